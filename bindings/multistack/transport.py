# SPDX-License-Identifier: BSD-2-Clause
"""asyncio's transports of connections on a stack, and what accepts them.

They behave as asyncio's own do, to the words of their exceptions. What is
written waits for the end of the loop's iteration, when all of it leaves with
one call; more than the high-water mark at once is tried at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import socket
from asyncio import constants
from collections.abc import Callable
from typing import Any

from multistack import _addr, _utcp
from multistack._fast import Stream
from multistack._socket import Socket
from multistack._stack import Stack
from multistack._transport import (
    _BYTES,
    _NAME_BYTES,
    _error,
    _Mixin,
    _server_attach,
    _set_result,
    logger,
)
from multistack._utcp import (
    MSBATCH_ACCEPT,
    MSBATCH_ACCEPTED,
    MSBATCH_ALL,
    MSBATCH_CLOSE,
    MSBATCH_DATA,
    MSBATCH_EOF,
    MSBATCH_ERROR,
    MSBATCH_HOLD,
    MSBATCH_MODE,
    MSBATCH_READ,
    MSBATCH_ROOM,
    MSBATCH_SHUTDOWN,
    MSBATCH_WRITE,
    Opt,
)

LENT_BYTES = 4 << 20  # of one connection: what Linux's send buffers grow to


class StreamTransport(Stream, _Mixin, asyncio.Transport):
    """A connection. Made by the loop."""

    _start_tls_compatible = True
    _sendfile_compatible = constants._SendfileMode.FALLBACK
    _type = socket.SOCK_STREAM

    _buffered = False
    _lent = 0
    _paused = False
    _on_hold = False  # the stack reads no more
    _started = False  # connection_made() has been called

    def __init__(
        self,
        loop: Any,
        stack: Stack,
        id_: int,
        family: int,
        names: bytes,
        protocol: Any,
        extra: dict[str, Any] | None,
        server: Any,
        run: Callable[..., Any],
    ) -> None:
        self._loop = None
        self._stack = stack
        self._id = id_
        self._family = family
        self._names = names
        self._out = []
        self._turn = stack.dirty
        self._empty_waiter = self._data_received = None
        self._held: list[tuple[int, int, Any]] = []  # came, and not yet told
        self._run = run
        super().__init__(extra, loop)
        self.set_protocol(protocol)
        if server is not None:
            self._server = server
            _server_attach(server, self)
        stack.endpoints[id_] = self

    @classmethod
    def of_socket(
        cls,
        loop: Any,
        sock: Socket,
        protocol: Any,
        waiter: Any,
        extra: dict[str, Any] | None,
        server: Any,
    ) -> StreamTransport:
        """On a connected socket, which the transport owns from now on."""
        sock.set(Opt.NODELAY, 1)
        run = contextvars.copy_context().run
        to = (loop, sock._stack, sock._id, sock.family)
        t = cls(*to, b"", protocol, extra, server, run)
        t._names = t._names_of(sock)
        t._sock_made = sock
        t._held = sock._release()
        sock._stack.command(sock._id, MSBATCH_MODE, MSBATCH_READ)
        loop.call_soon(protocol.connection_made, t)
        if waiter is not None:
            loop.call_soon(_set_result, waiter)
        # In the next iteration, as what a selector finds: who waits has it then.
        loop.call_soon(loop.call_soon, t._start)
        return t

    def _start(self) -> None:
        self._started = True
        self._deliver()

    def accepted(self) -> None:
        """Tells the protocol of a connection that a listener had, in its context."""
        self._started = True
        try:
            self._protocol.connection_made(self)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self._loop.call_exception_handler(
                {
                    "message": "Exception in protocol.connection_made()",
                    "exception": exc,
                    "transport": self,
                    "protocol": self._protocol,
                }
            )
        self._ready()

    def set_protocol(self, protocol: Any) -> None:
        self._protocol = protocol
        self._buffered = isinstance(protocol, asyncio.BufferedProtocol)
        if not self._buffered:
            self._data_received = getattr(protocol, "data_received", None)
        if self._started:
            self._ready()

    def _ready(self) -> None:
        """Whether data goes straight to data_received()."""
        self.plain = (
            self._started
            and not (self._buffered or self._paused or self._closing)
            and not self._held
        )

    # ---- in -----------------------------------------------------------------------

    def on_event(self, what: int, error: int, at: int, size: int, arg: int) -> None:
        if what & MSBATCH_ROOM:
            self._room()
        if not what & (MSBATCH_DATA | MSBATCH_EOF | MSBATCH_ERROR):
            return
        data = self._stack.arena[at : at + size]
        if not self._started or self._paused or self._held:
            self._hold(what, error, data.tobytes())
        else:
            self._receive(what, error, data)

    def _room(self) -> None:
        self._blocked = False
        if not self._out_bytes and not self._after:
            return
        self._mark()
        if self._protocol_paused and not self._conn_lost:
            # Before the data that came with it: TLS, when it is told the end, only
            # sends what a transport takes that is not full.
            self._write_now()
            if self._out_bytes <= self._low_water:
                self._resume()

    def _hold(self, what: int, error: int, data: Any) -> None:
        self._held.append((what, error, data))
        self.plain = False
        if self._paused and not self._on_hold:
            self._on_hold = True
            self._stack.command(self._id, MSBATCH_MODE, MSBATCH_HOLD)

    def _deliver(self) -> None:
        """What came while it could not be told."""
        while self._held and not self._paused and self._loop is not None:
            what, error, data = self._held.pop(0)
            self._receive(what, error, data)
        if self._loop is not None:
            self._ready()

    def _receive(self, what: int, error: int, data: Any) -> None:
        if what & MSBATCH_DATA and not self._closing:
            if self._buffered:
                left = self._fill(memoryview(data))
            else:
                left = None
                self.data(bytes(data))
            what &= ~MSBATCH_DATA
            if left:
                what |= MSBATCH_DATA
            if what and (self._paused or left):
                self._held.insert(0, (what, error, bytes(left or b"")))
                self.plain = False
                return
        if what & MSBATCH_EOF and not self._closing:
            self._end()
        if what & MSBATCH_ERROR and not self._conn_lost:
            self._fatal_error(_error(error), "Fatal read error on socket transport")

    def data(self, data: bytes) -> None:
        try:
            self._run(self._data_received, data)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self.data_failed(exc)

    def data_failed(self, exc: BaseException) -> None:
        self._fatal_error(exc, "Fatal error: protocol.data_received() call failed.")

    def _fill(self, data: memoryview) -> memoryview | None:
        """Data for a BufferedProtocol; what is left because it paused."""
        while data and not self._closing:
            if self._paused or not self._buffered:
                break
            try:
                buf = self._run(self._protocol.get_buffer, -1)
                if not len(buf):
                    raise RuntimeError("get_buffer() returned an empty buffer")
                n = min(len(buf), len(data))
                memoryview(buf).cast("B")[:n] = data[:n]
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as exc:
                self._fatal_error(
                    exc, "Fatal error: protocol.get_buffer() call failed."
                )
                return None
            data = data[n:]
            try:
                self._run(self._protocol.buffer_updated, n)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as exc:
                self._fatal_error(
                    exc, "Fatal error: protocol.buffer_updated() call failed."
                )
                return None
        if data and not self._closing and not self._paused:
            # Its protocol was exchanged for one of the other kind.
            self.data(bytes(data))
            return None
        return None if self._closing else data

    def _end(self) -> None:
        if self._loop.get_debug():
            logger.debug("%r received EOF", self)
        try:
            keep_open = self._run(self._protocol.eof_received)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self._fatal_error(exc, "Fatal error: protocol.eof_received() call failed.")
            return
        if not keep_open:
            self.close()

    def is_reading(self) -> bool:
        return not self._paused and not self._closing

    def pause_reading(self) -> None:
        if self._closing or self._paused:
            return
        self._paused = True
        self.plain = False
        if self._loop.get_debug():
            logger.debug("%r pauses reading", self)

    def resume_reading(self) -> None:
        if self._closing or not self._paused:
            return
        self._paused = False
        if self._on_hold:
            self._on_hold = False
            self._stack.command(self._id, MSBATCH_MODE, MSBATCH_READ)
        if self._held:
            self._loop.call_soon(self._deliver)
        self._ready()
        if self._loop.get_debug():
            logger.debug("%r resumes reading", self)

    # ---- out ----------------------------------------------------------------------

    def get_write_buffer_size(self) -> int:
        """Bytes that the stack has not taken yet."""
        return self._out_bytes

    def _mark(self) -> None:
        if not self._dirty:
            self._dirty = True
            self._turn.append(self)

    def _write(self, data: Any) -> None:
        """What write() does if it is not bytes, too much, or too late."""
        if type(data) is not bytes:
            if not isinstance(data, _BYTES):
                raise TypeError(
                    f"data argument must be a bytes-like object, "
                    f"not {type(data).__name__!r}"
                )
            data = bytes(data)
        if self._eof:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self._empty_waiter is not None:
            raise RuntimeError("unable to write; sendfile is in progress")
        if not data:
            return
        if self._conn_lost:
            if self._conn_lost >= constants.LOG_THRESHOLD_FOR_CONNLOST_WRITES:
                logger.warning("socket.send() raised exception.")
            self._conn_lost += 1
            return
        self._out.append(data)
        self._out_bytes += len(data)
        if self._out_bytes > self._high_water:
            if not self._blocked:
                self._write_now()
            if self._loop is not None and self._out_bytes:
                self._maybe_pause_protocol()
                self._watch()
        if not self._blocked:
            self._mark()

    def _write_now(self) -> None:
        """What has no room is lent to the stack, up to a limit, as the host's
        stack lets its buffers grow."""
        out = self._out
        data = out[0] if len(out) == 1 and type(out[0]) is bytes else b"".join(out)
        sock = _utcp.msbatch_sock(self._stack.batch, self._id)
        n = 0
        try:
            with contextlib.suppress(BlockingIOError):
                n = _utcp.utcp_write(sock, data, len(data), 0)
            room = LENT_BYTES - self._lent
            if n < len(data) and room > 0:
                part = data[n : n + room] if n or room < len(data) else data
                self._stack.lend(sock, part, self._returned)
                self._lent += len(part)
                n += len(part)
        except OSError as exc:
            self._out = []
            self._out_bytes = 0
            self._fatal_error(exc, "Fatal write error on socket transport")
            return
        self._out_bytes = len(data) - n
        self._out = [memoryview(data)[n:]] if self._out_bytes else []

    def _returned(self, size: int) -> None:
        self._lent -= size

    def _answer(self, op: int, error: int, left: bytes) -> None:
        """A command has failed. What of a write was not taken is back already."""
        if self._conn_lost or not error:
            return
        self._out = []
        self._out_bytes = 0
        waiter = self._empty_waiter
        self._fatal_error(_error(error), "Fatal write error on socket transport")
        if waiter is not None and not waiter.done():
            waiter.set_exception(_error(error))

    def _watch(self) -> None:
        self._watched = bool(
            self._protocol_paused
            or self._closing
            or self._empty_waiter is not None
            or self._out_bytes
        )

    def _sent(self) -> None:
        """A turn has taken what it could; the loop may be told."""
        if self._conn_lost or self._loop is None:
            self._watched = False
            return
        if self._protocol_paused and self._out_bytes <= self._low_water:
            self._loop.call_soon(self._resume)
        if self._out_bytes:
            if not self._blocked:
                self._mark()
            return
        if self._empty_waiter is not None and not self._empty_waiter.done():
            self._empty_waiter.set_result(None)
        if self._closing:
            self._conn_lost += 1
            self._loop.call_soon(self._call_connection_lost, None)
        self._watched = False

    def _resume(self) -> None:
        if self._loop is not None and not self._conn_lost:
            self._maybe_resume_protocol()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if self._closing or self._eof:
            return
        self._eof = True
        self._after = MSBATCH_SHUTDOWN
        if not self._blocked:
            self._mark()

    def _make_empty_waiter(self) -> Any:
        if self._empty_waiter is not None:
            raise RuntimeError("Empty waiter is already set")
        self._empty_waiter = self._loop.create_future()
        if not self._out_bytes:
            self._empty_waiter.set_result(None)
        self._watch()
        return self._empty_waiter

    def _reset_empty_waiter(self) -> None:
        self._empty_waiter = None

    # ---- the end --------------------------------------------------------------------

    def _leave(self) -> None:
        if self._out_bytes and self._stack.batch:
            stack = self._stack
            stack.cmds += (self._id, MSBATCH_WRITE, self._out_bytes, MSBATCH_ALL)
            stack.chunks += self._out
        self._out = []
        self._out_bytes = self._after = 0
        self._data_received = None
        super()._leave()

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        self.plain = False
        if self._blocked and self._out_bytes or self._out_bytes > self._high_water:
            self._watched = True
            self._stack.command(self._id, MSBATCH_MODE, MSBATCH_HOLD)
            return
        self._all = MSBATCH_ALL
        self._conn_lost += 1
        self._loop.call_soon(self._call_connection_lost, None)

    def _force_close(self, exc: BaseException | None) -> None:
        if self._conn_lost:
            return
        if self._blocked:
            self._out = []
            self._out_bytes = 0
        self._closing = True
        self.plain = False
        self._all = MSBATCH_ALL
        self._conn_lost += 1
        self._loop.call_soon(self._call_connection_lost, exc)

    def _call_connection_lost(self, exc: BaseException | None) -> None:
        waiter = self._empty_waiter
        try:
            self._protocol.connection_lost(exc)
        finally:
            self._leave()
            if waiter is not None and not waiter.done():
                waiter.set_exception(ConnectionError("Connection is closed by peer"))


class Listener:
    """What a server listens on: an endpoint of the stack."""

    def __init__(
        self, loop: Any, sock: Socket, factory: Callable[[], Any], server: Any
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._stack = sock._stack
        self._factory = factory
        self._server = server
        # Of TLS: what asyncio's own way of accepting takes.
        self.tls: tuple[Any, ...] | None = None
        # Connections are made in the context that the server was.
        self._context = contextvars.copy_context()
        sock.set(Opt.NODELAY, 1)
        self._stack.endpoints[sock._id] = self
        self._stack.command(sock._id, MSBATCH_MODE, MSBATCH_ACCEPT)

    def poll(self) -> int:
        return self._sock._endpoint.poll()

    def on_event(self, what: int, error: int, at: int, size: int, arg: int) -> None:
        if not what & MSBATCH_ACCEPTED:
            return
        names = self._stack.arena[at : at + size].tobytes()
        run = self._context.copy().run
        if self.tls is None:
            run(self._accept, names, arg, run)
        else:
            run(self._accept_tls, names, arg)

    def _accept(self, names: bytes, id_: int, run: Callable[..., Any]) -> None:
        loop = self._loop
        protocol = None
        try:
            protocol = self._factory()
            transport = StreamTransport(
                loop,
                self._stack,
                id_,
                self._sock.family,
                names,
                protocol,
                None,
                self._server,
                run,
            )
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self._stack.command(id_, MSBATCH_CLOSE)
            if loop.get_debug():
                context: dict[str, Any] = {
                    "message": "Error on transport creation for incoming connection",
                    "exception": exc,
                }
                if protocol is not None:
                    context["protocol"] = protocol
                loop.call_exception_handler(context)
            return
        transport.accepted()

    def _accept_tls(self, names: bytes, id_: int) -> None:
        conn = Socket(self._stack, self._sock.family, _id=id_)._own()
        peer = _addr.unpack(names[:_NAME_BYTES], self._sock.family)
        context, *timeouts = self.tls or ()
        loop = self._loop
        loop.create_task(
            loop._accept_connection2(
                *(self._factory, conn, {"peername": peer}, context, self._server),
                *timeouts,
            )
        )

    def _answer(self, op: int, error: int, left: bytes) -> None:
        """Its only command cannot fail."""
