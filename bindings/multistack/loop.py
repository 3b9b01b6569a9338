# SPDX-License-Identifier: BSD-2-Clause
"""asyncio on a stack of one's own.

    async def main():
        server = await asyncio.start_server(talk, "10.0.0.1", 8080)
        await server.serve_forever()

    multistack.run(main(), device="daemon:eth0")

What an address of the attached interface, or the wildcard, is bound to is bound
on the stack; a connection goes by it if that is the way to its peer. All else
(pipes, subprocesses, Unix sockets, other interfaces) is the host's, as ever.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import sys
import weakref
from asyncio import format_helpers, sslproto
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, Union

from multistack import _addr, _utcp
from multistack._datagram import DatagramTransport
from multistack._fast import Scheduler
from multistack._keeper import Keeper
from multistack._opening import (
    FAMILIES,
    adopted,
    bind_one,
    bound,
    check_tls,
    goes,
    infos_of,
    is_inet,
    takes,
    udp_socket,
)
from multistack._selector import Selector
from multistack._socket import Socket, give, take
from multistack._stack import FD_BASE, Stack, device_of
from multistack.transport import Listener, StreamTransport

if sys.version_info >= (3, 11):
    _Runner = asyncio.Runner
else:
    from multistack._runner import Runner as _Runner

if TYPE_CHECKING:
    from multistack._cc import CongestionControl
    from multistack._ext import OptionRegistration, TcpOption

T = TypeVar("T")
Control = Union[str, "type[CongestionControl]"]


def _raise(error: BaseException) -> None:
    raise error


class EventLoop(Scheduler, asyncio.SelectorEventLoop):
    """asyncio's selector loop with TCP and UDP on a stack of its own.

    device: as Port's ("daemon:eth0", "xdp:eth0", "tap:ms0,..."); None takes
    $MULTISTACK_DEVICE. One loop has one stack, on a port that is the loop's
    until close(). adopt: sockets made by others (`sock=`) that are bound to an
    address of the stack's, and neither listening nor connected, are replaced by
    the stack's; those that sock_connect() connects, too. label: what `multistack
    status` shows. cc: as use_cc()'s.

    Errors: RuntimeError (no device), and those of Port and of use_cc().
    """

    _thread_id: int | None = None

    def __init__(
        self,
        device: str | None = None,
        *,
        adopt: bool = False,
        label: str = "asyncio",
        cc: Control | None = None,
    ) -> None:
        self._stack: Any = None
        self._adopt = adopt
        self._stack = Stack(device_of(device), label=label)
        selector = Selector(self._stack)
        try:
            super().__init__(selector)
        except BaseException:
            self._stack.close(0)
            raise
        self._chosen: Any = selector
        # Of sockets that others made, those that stand in for them.
        self._instead: Any = weakref.WeakKeyDictionary()
        self._keeper = Keeper(self._stack)
        self._told = asyncio.Handle(self._tell, (), self)
        if cc is not None:
            try:
                self.use_cc(cc)
            except BaseException:
                self.close()
                raise

    @property
    def stack(self) -> Stack:
        """The pointers of the stack, for calls of the library."""
        return self._stack  # type: ignore[no-any-return]

    def open_socket(
        self, family: int = socket.AF_INET, type: int = socket.SOCK_STREAM
    ) -> Socket:
        """A socket of the stack, for sock_connect() and its kin."""
        self._check_closed()  # type: ignore[attr-defined]
        return Socket(self._stack, family, type)

    # ---- congestion control ---------------------------------------------------------

    def _utcp_stack(self) -> int:
        self._check_closed()  # type: ignore[attr-defined]
        return self._stack.utcp  # type: ignore[no-any-return]

    def register_cc(self, cls: type[CongestionControl]) -> str:
        """Makes a congestion control known here; the name that a connection takes
        it by: writer.get_extra_info("utcp").set_cc(name). A listening socket's
        goes to the connections that it accepts. What a hook raises comes to the
        exception handler, once for each place, and its connection to CUBIC."""
        from multistack._cc import register_cc

        return register_cc(self, cls, on_error=self._hook_failed).name

    def use_cc(self, control: Control) -> None:
        """The congestion control of connections from now on: a name ("bbr"), or a
        class. Listening sockets of before keep theirs for what they accept.
        FileNotFoundError: there is none of this name; those of register_cc()."""
        name = control if isinstance(control, str) else self.register_cc(control)
        try:
            _utcp.utcp_cc_default(self._utcp_stack(), name.encode())
        except FileNotFoundError:
            known = ", ".join(_utcp.cc_names(self._utcp_stack()))
            text = f"no congestion control {name!r}; there are {known}"
            raise FileNotFoundError(errno.ENOENT, text) from None

    def register_option(
        self, cls: type[TcpOption], *, everywhere: bool = True, must: bool = False
    ) -> OptionRegistration:
        """Makes a TCP option known here: multistack.register_option()."""
        from multistack._ext import register_option

        told = self._hook_failed
        return register_option(
            self, cls, everywhere=everywhere, must=must, on_error=told
        )

    def _hook_failed(self, error: BaseException, text: str) -> None:
        # Not from inside the hook, where nothing can be raised.
        if isinstance(error, Exception):
            told = {"message": text, "exception": error}
            self.call_soon(self.call_exception_handler, told)
        else:
            self.call_soon(_raise, error)

    # ---- the iteration ------------------------------------------------------------

    def _process_events(self, event_list: Any) -> None:
        super()._process_events(event_list)  # type: ignore[misc]
        if self._stack.told.left:
            self._ready.append(self._told)  # type: ignore[attr-defined]

    def _tell(self) -> None:
        """What the stack's turn has brought."""
        self._stack.told.tell(self._stack.endpoints, self._stack)

    def _callback_failed(self, handle: Any, exc: BaseException) -> None:
        shown = partial(format_helpers._format_callback_source, handle._callback)
        if sys.version_info >= (3, 13):
            words = shown(handle._args, debug=self.get_debug())
        else:
            words = shown(handle._args)
        self.call_exception_handler(
            {
                "message": f"Exception in callback {words}",
                "exception": exc,
                "handle": handle,
            }
        )

    def run_forever(self) -> None:
        """As asyncio's; what was written last is sent, and the stack lives on."""
        self._keeper.stop()
        try:
            super().run_forever()
        finally:
            stack = self._stack
            if not stack.told.left and (stack.dirty or stack.cmds):
                self._chosen.flush()
            if stack.endpoints and not stack.lost:
                self._keeper.start()

    def close(self) -> None:
        """Closes the loop, its connections and its port. What was written has a
        second to arrive."""
        if self.is_running():
            raise RuntimeError("Cannot close a running event loop")
        if self.is_closed():
            return
        super().close()
        self._keeper.close()
        stack = self._stack.utcp
        self._stack.close()
        if "multistack._cc" in sys.modules:
            sys.modules["multistack._cc"].forget_stack(stack)

    # ---- TCP ------------------------------------------------------------------------

    def _make_socket_transport(
        self,
        sock: Any,
        protocol: Any,
        waiter: Any = None,
        *,
        extra: Any = None,
        server: Any = None,
    ) -> Any:
        if isinstance(sock, Socket):
            return StreamTransport.of_socket(
                self, sock, protocol, waiter, extra, server
            )
        return super()._make_socket_transport(  # type: ignore[misc]
            sock, protocol, waiter, extra=extra, server=server
        )

    def _make_ssl_transport(
        self,
        rawsock: Any,
        protocol: Any,
        sslcontext: Any,
        waiter: Any = None,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        extra: Any = None,
        server: Any = None,
        **more: Any,
    ) -> Any:
        if not isinstance(rawsock, Socket):
            return super()._make_ssl_transport(  # type: ignore[misc]
                rawsock,
                protocol,
                sslcontext,
                waiter,
                server_side=server_side,
                server_hostname=server_hostname,
                extra=extra,
                server=server,
                **more,
            )
        tls = sslproto.SSLProtocol(
            self,
            protocol,
            sslcontext,
            waiter,
            server_side,
            server_hostname,
            **more,
        )
        StreamTransport.of_socket(self, rawsock, tls, None, extra, server)
        return tls._app_transport

    def _start_serving(
        self,
        protocol_factory: Any,
        sock: Any,
        sslcontext: Any = None,
        server: Any = None,
        backlog: int = 100,
        *timeouts: Any,
        **more: Any,
    ) -> None:
        if not isinstance(sock, Socket):
            super()._start_serving(  # type: ignore[misc]
                protocol_factory, sock, sslcontext, server, backlog, *timeouts, **more
            )
            return
        listener = Listener(self, sock, protocol_factory, server)
        if sslcontext is not None:
            listener.tls = (sslcontext, *timeouts, *more.values())

    async def _connect_sock(
        self, exceptions: Any, addr_info: Any, local_addr_infos: Any = None
    ) -> Any:
        family, kind, proto, _, address = addr_info
        if not goes(self._stack, family, address, local_addr_infos):
            return await super()._connect_sock(  # type: ignore[misc]
                exceptions, addr_info, local_addr_infos
            )
        failed: list[OSError] = []
        exceptions.append(failed)
        sock = None
        try:
            sock = Socket(self._stack, family, kind, proto)
            if local_addr_infos is not None:
                bind_one(sock, local_addr_infos, failed)
            await self.sock_connect(sock, address)
            return sock
        except BaseException as exc:
            if isinstance(exc, OSError):
                failed.append(exc)
            if sock is not None:
                sock.close()
            raise
        finally:
            exceptions = failed = None  # type: ignore[assignment]

    # Who makes his sockets himself (aiohttp's client does) connects them by
    # sock_connect() and then hands them over.

    async def sock_connect(self, sock: Any, address: Any) -> None:
        """As asyncio's. With adopt, a TCP socket of the host's whose peer is
        reached by the stack is connected there; create_connection(sock=),
        sock_recv(), sock_sendall() and their kin then mean that, as do the
        socket's own send() and recv()."""
        if not self._may_stand_in(sock, address):
            await super().sock_connect(sock, address)
            return
        ours = Socket(self._stack, sock.family)
        try:
            await super().sock_connect(ours, address)  # type: ignore[arg-type]
        except BaseException:
            ours.close()
            raise
        self._instead[sock] = ours
        give(sock, ours)

    def _may_stand_in(self, sock: Any, address: Any) -> bool:
        return (
            self._adopt
            and isinstance(sock, socket.socket)
            and not isinstance(sock, ssl.SSLSocket)
            and not self._is_refused(sock)
            and sock.family in FAMILIES
            and sock.type == socket.SOCK_STREAM
            and not sock.getsockname()[1]  # nor bound by its owner
            and _addr.is_numeric(address, sock.family)
            and self._stack.reaches(_addr.pack(address, sock.family), "tcp")
        )

    def _is_refused(self, sock: socket.socket) -> bool:
        """By asyncio, in debug mode."""
        return self.get_debug() and sock.gettimeout() != 0

    def _meant(self, sock: Any) -> Any:
        ours = self._instead.get(sock)
        return sock if ours is None or self._is_refused(sock) else ours

    async def sock_recv(self, sock: Any, nbytes: int) -> bytes:
        return await super().sock_recv(self._meant(sock), nbytes)

    async def sock_recv_into(self, sock: Any, buf: Any) -> int:
        return await super().sock_recv_into(self._meant(sock), buf)

    async def sock_sendall(self, sock: Any, data: Any) -> None:
        await super().sock_sendall(self._meant(sock), data)

    async def sock_sendfile(
        self, sock: Any, file: Any, offset: int = 0, *args: Any, **more: Any
    ) -> int:
        sock = self._meant(sock)
        return await super().sock_sendfile(sock, file, offset, *args, **more)

    async def create_connection(
        self, protocol_factory: Any, *args: Any, sock: Any = None, **more: Any
    ) -> Any:
        ours = None
        if isinstance(sock, socket.socket):
            ours = self._instead.pop(sock, None)
        if ours is not None:
            take(sock)
            sock = ours
        base: Any = super().create_connection
        return await base(protocol_factory, *args, sock=sock, **more)

    async def create_server(  # type: ignore[override]
        self,
        protocol_factory: Any,
        host: Any = None,
        port: Any = None,
        *,
        family: int = socket.AF_UNSPEC,
        flags: int = socket.AI_PASSIVE,
        sock: Any = None,
        reuse_address: bool | None = None,
        reuse_port: bool | None = None,
        start_serving: bool = True,
        **more: Any,
    ) -> asyncio.AbstractServer:
        """As asyncio's. Addresses of the stack's are listened at there, those
        of others on the host."""
        base: Any = super().create_server
        check_tls(**more)
        infos: list[Any] = []
        if sock is None and (host is not None or port is not None):
            infos = await infos_of(self, host, port, family, flags)
        if not any(takes(self._stack, i) for i in infos):
            if sock is not None and self._adopt:
                sock = adopted(self._stack, sock)
            return await base(  # type: ignore[no-any-return]
                protocol_factory,
                host,
                port,
                family=family,
                flags=flags,
                sock=sock,
                reuse_address=reuse_address,
                reuse_port=reuse_port,
                start_serving=start_serving,
                **more,
            )
        sockets: list[Any] = []
        try:
            for info in infos:
                bound(self._stack, info, reuse_address, reuse_port, sockets)
            server = await base(
                protocol_factory, sock=sockets[0], start_serving=False, **more
            )
        except BaseException:
            for s in sockets:
                s.close()
            raise
        for s in sockets[1:]:
            s.setblocking(False)
        server._sockets.extend(sockets[1:])
        if start_serving:
            server._start_serving()
            # For those whose callbacks wait, as asyncio does.
            await asyncio.sleep(0)
        return server  # type: ignore[no-any-return]

    # ---- UDP ------------------------------------------------------------------------

    def _make_datagram_transport(
        self,
        sock: Any,
        protocol: Any,
        address: Any = None,
        waiter: Any = None,
        extra: Any = None,
    ) -> Any:
        if isinstance(sock, Socket):
            address = address or sock.target
            return DatagramTransport(self, sock, protocol, address, waiter, extra)
        return super()._make_datagram_transport(  # type: ignore[misc]
            sock, protocol, address, waiter, extra
        )

    async def create_datagram_endpoint(
        self,
        protocol_factory: Any,
        local_addr: Any = None,
        remote_addr: Any = None,
        *,
        family: int = 0,
        proto: int = 0,
        flags: int = 0,
        reuse_port: bool | None = None,
        allow_broadcast: bool | None = None,
        sock: Any = None,
        **more: Any,
    ) -> Any:
        """As asyncio's, on the stack if local_addr is its own, or else if
        remote_addr is reached by it."""
        base: Any = super().create_datagram_endpoint
        ours = None
        if sock is None and is_inet(family, local_addr, remote_addr):
            ours = await udp_socket(
                *(self, self._stack),
                *(local_addr, remote_addr, family, proto, flags),
                *(allow_broadcast, reuse_port),
            )
        if ours is None:
            if sock is not None and self._adopt:
                sock = adopted(self._stack, sock)
            return await base(
                protocol_factory,
                local_addr,
                remote_addr,
                family=family,
                proto=proto,
                flags=flags,
                reuse_port=reuse_port,
                allow_broadcast=allow_broadcast,
                sock=sock,
                **more,
            )
        try:
            return await base(protocol_factory, sock=ours)
        except BaseException:
            ours.close()
            raise

    # ---- descriptors -----------------------------------------------------------------

    def _ensure_fd_no_transport(self, fd: Any) -> None:
        super()._ensure_fd_no_transport(fd)  # type: ignore[misc]
        number = fd if isinstance(fd, int) else fd.fileno()
        owner = self._stack.endpoints.get(number - FD_BASE)
        if (
            isinstance(owner, (StreamTransport, DatagramTransport))
            and not owner.is_closing()
        ):
            raise RuntimeError(f"File descriptor {fd!r} is used by transport {owner!r}")

    async def _sock_sendfile_native(
        self, sock: Any, file: Any, offset: int, count: Any
    ) -> int:
        if isinstance(sock, Socket):
            raise asyncio.SendfileNotAvailableError(
                "a socket of a stack takes data, not descriptors"
            )
        return await super()._sock_sendfile_native(  # type: ignore[misc, no-any-return]
            sock, file, offset, count
        )


# ---- beginning ------------------------------------------------------------------------


def loop_factory(
    device: str | None = None, *, adopt: bool = False, cc: Control | None = None
) -> Callable[[], EventLoop]:
    """For asyncio.Runner(loop_factory=...), and all who take one."""

    def make() -> EventLoop:
        return EventLoop(device, adopt=adopt, cc=cc)

    return make


class Runner(_Runner):
    """asyncio.Runner with such a loop."""

    def __init__(
        self,
        *,
        debug: bool | None = None,
        device: str | None = None,
        adopt: bool = False,
        cc: Control | None = None,
    ) -> None:
        factory = loop_factory(device, adopt=adopt, cc=cc)
        super().__init__(debug=debug, loop_factory=factory)


def run(
    main: Coroutine[Any, Any, T],
    *,
    device: str | None = None,
    debug: bool | None = None,
    adopt: bool = False,
    cc: Control | None = None,
) -> T:
    """asyncio.run() on a stack of its own on this device; adopt, cc: as EventLoop's."""
    if asyncio._get_running_loop() is not None:
        main.close()
        raise RuntimeError(
            "multistack.run() cannot be called from a running event loop"
        )
    with Runner(debug=debug, device=device, adopt=adopt, cc=cc) as runner:
        return runner.run(main)


if sys.version_info < (3, 16):

    class EventLoopPolicy(asyncio.DefaultEventLoopPolicy):
        """For asyncio.set_event_loop_policy(): every new loop is such a one."""

        def __init__(
            self,
            device: str | None = None,
            *,
            adopt: bool = False,
            cc: Control | None = None,
        ) -> None:
            super().__init__()
            self._make = loop_factory(device, adopt=adopt, cc=cc)

        def new_event_loop(self) -> EventLoop:
            return self._make()
