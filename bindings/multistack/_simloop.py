# SPDX-License-Identifier: BSD-2-Clause
"""asyncio on the time of a simulated network, and transports on its hosts' stacks.

The loop's select() lets the network run until one of its sockets is ready or a
timer of the loop is due; its time() is the network's.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import os
import socket
from asyncio import protocols, streams, transports
from collections.abc import Callable, Iterable
from ctypes import byref, c_int64, c_void_p, create_string_buffer
from typing import TYPE_CHECKING, Any, Protocol

from multistack import _simffi as c
from multistack import _utcp

if TYPE_CHECKING:
    from multistack.sim import Host, Network

_READ_BYTES = 256 * 1024
_BACKLOG = 100
# Of virtual time: who waits longer for the network alone waits in vain.
_PATIENCE_NS = 1_000_000_000_000


class _Ready(Protocol):
    def _event(self, ready: int) -> None: ...


class SimLoop(asyncio.BaseEventLoop):
    """One loop for all hosts of a network."""

    def __init__(self, net: Network) -> None:
        super().__init__()
        self._net = net
        self._selector = self
        # BaseEventLoop's own, which typeshed does not show.
        self._ready: collections.deque[asyncio.Handle]
        self._socks: dict[int, _Ready] = {}

    def time(self) -> float:
        return self._net.now

    def sleep(self, delay: float) -> None:
        """Runs for so long."""
        self.run_until_complete(asyncio.sleep(delay))

    # ---- what BaseEventLoop asks of a selector ----

    def select(self, timeout: float | None) -> list[Any]:
        net = self._net
        now = net._now_ns()
        if timeout is None:
            end = now + _PATIENCE_NS
        else:
            end = now + (int(timeout * 1e9) + 1 if timeout > 0 else 0)
        while True:
            net._step(end)
            if self._ready:
                break
            if net._now_ns() >= end:
                if timeout is None:
                    raise RuntimeError("all tasks wait for what can never happen")
                break
        return []

    def _process_events(self, event_list: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        """Other threads cannot wake a loop that never sleeps."""

    def _stack_ready(self, events: Iterable[_utcp.Event]) -> None:
        for event in events:
            handler = self._socks.get(event.sock)
            if handler is not None:
                self.call_soon(handler._event, event.ready)
        c.mssim_stop(self._net._handle)


def _loop(host: Host) -> SimLoop:
    loop = asyncio.get_running_loop()
    if loop is not host.net._loop:
        raise RuntimeError(
            f"{host!r} is of another network than the loop that runs; "
            "use its Network.run_until_complete()"
        )
    assert isinstance(loop, SimLoop)
    return loop


def _sock_error(sock: int) -> OSError:
    value = c_int64()
    _utcp.utcp_get(sock, _utcp.Opt.ERROR, byref(value))
    code = value.value or 5
    return OSError(code, os.strerror(code))


def _name(call: Any, sock: int) -> tuple[Any, ...] | None:
    addr = _utcp.Addr()
    try:
        call(sock, byref(addr))
    except OSError:
        return None
    port = socket.ntohs(addr.port_be)
    if addr.family == 4:
        return socket.inet_ntop(socket.AF_INET, bytes(addr.addr)[:4]), port
    return socket.inet_ntop(socket.AF_INET6, bytes(addr.addr)), port, 0, 0


class SimTransport(transports._FlowControlMixin, asyncio.Transport):
    """A connection of a simulated host."""

    _start_tls_compatible = True
    _loop: SimLoop
    # _FlowControlMixin's.
    _maybe_pause_protocol: Callable[[], None]
    _maybe_resume_protocol: Callable[[], None]

    def __init__(
        self,
        loop: SimLoop,
        host: Host,
        sock: int,
        protocol: asyncio.BaseProtocol,
        server: SimServer | None = None,
    ) -> None:
        super().__init__(None, loop)
        self._host = host
        self._sock = sock
        self._protocol = protocol
        self._server = server
        self._waiter: asyncio.Future[None] | None = None
        self._buffer: collections.deque[bytes] = collections.deque()
        self._buffered = 0
        self._paused = False
        self._closing = False
        self._eof = False
        self._got_eof = False
        loop._socks[sock] = self
        if server is not None:
            server._attach()

    def _kick(self) -> None:
        c.mssim_kick(self._host._handle)

    # ---- begin ----

    def _made(self) -> None:
        self._extra = {
            "sockname": _name(_utcp.utcp_getsockname, self._sock),
            "peername": _name(_utcp.utcp_getpeername, self._sock),
        }
        self._protocol.connection_made(self)

    async def _connect(self, peer: _utcp.Addr) -> None:
        self._waiter = self._loop.create_future()
        try:
            with contextlib.suppress(BlockingIOError):
                _utcp.utcp_connect(self._sock, byref(peer))
            self._kick()
            await self._waiter
        except BaseException:
            self._forget(abort=True)
            raise
        finally:
            self._waiter = None
        self._made()
        self._loop.call_soon(self._event, _utcp.UTCP_IN)

    # ---- what the stack tells ----

    def _event(self, ready: int) -> None:
        if not self._sock:
            return
        waiter = self._waiter
        if waiter is not None:
            if waiter.done():
                return
            if ready & _utcp.UTCP_ERR:
                waiter.set_exception(_sock_error(self._sock))
            elif ready & _utcp.UTCP_OUT:
                waiter.set_result(None)
            return
        if ready & _utcp.UTCP_ERR:
            # what came before the error is read first
            self._read()
            if self._sock:
                self._fatal(_sock_error(self._sock))
            return
        if ready & _utcp.UTCP_OUT:
            self._flush()
        if ready & (_utcp.UTCP_IN | _utcp.UTCP_RDHUP):
            self._read()

    def _read(self) -> None:
        buffer = create_string_buffer(_READ_BYTES)
        while self._sock and not (self._paused or self._closing or self._got_eof):
            try:
                num = _utcp.utcp_read(self._sock, buffer, _READ_BYTES, 0)
            except BlockingIOError:
                break
            except OSError as e:
                self._fatal(e)
                return
            if num == 0:
                self._got_eof = True
                if not self._protocol_as_stream().eof_received():
                    self.close()
                break
            data = buffer.raw[:num] if num < _READ_BYTES else buffer.raw
            if isinstance(self._protocol, asyncio.BufferedProtocol):
                feed = protocols._feed_data_to_buffered_proto  # type: ignore[attr-defined]
                feed(self._protocol, data)
            else:
                self._protocol_as_stream().data_received(data)
        if self._sock:
            self._kick()

    def _protocol_as_stream(self) -> Any:
        return self._protocol

    # ---- reading ----

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        if self._paused:
            self._paused = False
            self._loop.call_soon(self._event, _utcp.UTCP_IN)

    def is_reading(self) -> bool:
        return not (self._paused or self._closing)

    # ---- writing ----

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"data is of {type(data).__name__}, not of bytes")
        if self._eof:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self._closing or not self._sock or not data:
            return
        self._buffer.append(bytes(data))
        self._buffered += len(self._buffer[-1])
        if len(self._buffer) == 1:
            self._flush()
        if self._buffered:
            self._maybe_pause_protocol()

    def _flush(self) -> None:
        try:
            while self._buffer:
                data = self._buffer[0]
                num = _utcp.utcp_write(self._sock, data, len(data), 0)
                self._buffered -= num
                if num == len(data):
                    self._buffer.popleft()
                else:
                    self._buffer[0] = data[num:]
        except BlockingIOError:
            pass
        except OSError as e:
            self._fatal(e)
            return
        self._kick()
        self._maybe_resume_protocol()
        if not self._buffer and self._closing:
            self._loop.call_soon(self._lost, None)
        elif not self._buffer and self._eof:
            _utcp.utcp_shutdown(self._sock, _utcp.UTCP_SHUT_WR)

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if self._closing or self._eof or not self._sock:
            return
        self._eof = True
        if not self._buffer:
            _utcp.utcp_shutdown(self._sock, _utcp.UTCP_SHUT_WR)
            self._kick()

    def get_write_buffer_size(self) -> int:
        return self._buffered

    # ---- end ----

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        if not self._buffer:
            self._loop.call_soon(self._lost, None)

    def abort(self) -> None:
        if self._sock:
            self._closing = True
            self._drop()
            self._forget(abort=True)
            self._loop.call_soon(self._lost, None)

    def _fatal(self, error: OSError) -> None:
        if not self._closing or self._buffer:
            self._closing = True
            self._drop()
            self._loop.call_soon(self._lost, error)

    def _drop(self) -> None:
        self._buffer.clear()
        self._buffered = 0

    def _forget(self, abort: bool = False) -> None:
        sock, self._sock = self._sock, 0
        if sock and self._host.net._handle is not None:
            self._loop._socks.pop(sock, None)
            (_utcp.utcp_abort if abort else _utcp.utcp_close)(sock)
            self._kick()

    def _lost(self, error: OSError | None) -> None:
        protocol, self._protocol = self._protocol, asyncio.BaseProtocol()
        server, self._server = self._server, None
        try:
            protocol.connection_lost(error)
        finally:
            self._forget()
            if server is not None:
                server._detach()

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol


class SimServer(asyncio.AbstractServer):
    """A listener of a simulated host."""

    def __init__(
        self,
        loop: SimLoop,
        host: Host,
        factory: Callable[[], asyncio.BaseProtocol],
        port: int,
        cc: str | None,
    ) -> None:
        self._host = host
        self._own_loop = loop
        self._factory = factory
        self._open = 0
        self._waiters: list[asyncio.Future[None]] = []
        self._sock = _open(host, 6, cc)
        try:
            addr = _utcp.Addr(family=6, port_be=socket.htons(port))
            _utcp.utcp_bind(self._sock, byref(addr))
            _utcp.utcp_listen(self._sock, _BACKLOG)
        except BaseException:
            _utcp.utcp_close(self._sock)
            raise
        loop._socks[self._sock] = self
        self.sockname = _name(_utcp.utcp_getsockname, self._sock)

    def _event(self, ready: int) -> None:
        loop = self._own_loop
        while self._sock:
            out = c_void_p()
            try:
                _utcp.utcp_accept(self._sock, byref(out))
            except BlockingIOError:
                break
            assert out.value is not None
            transport = SimTransport(loop, self._host, out.value, self._factory(), self)
            transport._made()
            loop.call_soon(transport._event, _utcp.utcp_poll(out.value))

    def _attach(self) -> None:
        self._open += 1

    def _detach(self) -> None:
        self._open -= 1
        self._wake()

    def _wake(self) -> None:
        if self._sock == 0 and self._open == 0:
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_result(None)

    def close(self) -> None:
        sock, self._sock = self._sock, 0
        if sock and self._host.net._handle is not None:
            self._own_loop._socks.pop(sock, None)
            _utcp.utcp_close(sock)
            c.mssim_kick(self._host._handle)
        self._wake()

    def is_serving(self) -> bool:
        return self._sock != 0

    async def start_serving(self) -> None:
        """It serves from the beginning."""

    async def serve_forever(self) -> None:
        try:
            await self._own_loop.create_future()
        finally:
            self.close()

    async def wait_closed(self) -> None:
        """Until it is closed and so are its connections."""
        if self._sock == 0 and self._open == 0:
            return
        waiter = self._own_loop.create_future()
        self._waiters.append(waiter)
        await waiter

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._own_loop


def _open(host: Host, family: int, cc: str | None) -> int:
    out = c_void_p()
    _utcp.utcp_open(host._utcp_stack(), family, byref(out))
    assert out.value is not None
    if cc is not None:
        try:
            _utcp.utcp_set_cc(out.value, cc.encode())
        except FileNotFoundError:
            _utcp.utcp_close(out.value)
            raise ValueError(f"no congestion control {cc!r}") from None
    return out.value


def _peer(host: Host, peer: Host | str, port: int) -> _utcp.Addr:
    from multistack.sim import Host

    if isinstance(peer, str):
        named = [n for n in host.net.nodes if isinstance(n, Host) and n.name == peer]
        if not named:
            addr = _utcp.Addr()
            _utcp.mslink_addr(byref(addr), peer.encode(), port)
            return addr
        peer = named[0]
    addr = peer._addr(4)
    addr.port_be = socket.htons(port)
    return addr


async def create_connection(
    host: Host,
    factory: Callable[[], asyncio.BaseProtocol],
    peer: Host | str,
    port: int,
    cc: str | None,
) -> tuple[SimTransport, asyncio.BaseProtocol]:
    loop = _loop(host)
    addr = _peer(host, peer, port)
    protocol = factory()
    sock = _open(host, addr.family, cc)
    transport = SimTransport(loop, host, sock, protocol)
    await transport._connect(addr)
    return transport, protocol


async def open_connection(
    host: Host, peer: Host | str, port: int, cc: str | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    loop = _loop(host)
    reader = streams.StreamReader(loop=loop)
    protocol = streams.StreamReaderProtocol(reader, loop=loop)
    transport, _ = await create_connection(host, lambda: protocol, peer, port, cc)
    return reader, streams.StreamWriter(transport, protocol, reader, loop)


def create_server(
    host: Host,
    factory: Callable[[], asyncio.BaseProtocol],
    port: int,
    cc: str | None,
) -> SimServer:
    return SimServer(_loop(host), host, factory, port, cc)


async def start_server(
    host: Host, client: Callable[..., Any], port: int, cc: str | None
) -> SimServer:
    loop = _loop(host)

    def factory() -> asyncio.BaseProtocol:
        reader = streams.StreamReader(loop=loop)
        return streams.StreamReaderProtocol(reader, client, loop=loop)

    return create_server(host, factory, port, cc)
