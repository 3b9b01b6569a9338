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
import itertools
import os
import socket
import ssl
import sys
import weakref
from asyncio import format_helpers, sslproto
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, Union

from multistack import _addr, _utcp
from multistack._datagram import DatagramTransport
from multistack._fast import Scheduler
from multistack._keeper import Keeper
from multistack._selector import Selector
from multistack._socket import Socket, give, take
from multistack._stack import FD_BASE, Stack, device_of
from multistack.transport import Listener, StreamTransport

if TYPE_CHECKING:
    from multistack._cc import CongestionControl
    from multistack._ext import OptionRegistration, TcpOption

T = TypeVar("T")
Control = Union[str, "type[CongestionControl]"]
_FAMILIES = (socket.AF_INET, socket.AF_INET6)


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
        if not self._goes(family, address, local_addr_infos):
            return await super()._connect_sock(  # type: ignore[misc]
                exceptions, addr_info, local_addr_infos
            )
        failed: list[OSError] = []
        exceptions.append(failed)
        sock = None
        try:
            sock = Socket(self._stack, family, kind, proto)
            if local_addr_infos is not None:
                self._bind_one(sock, local_addr_infos, failed)
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
            and sock.family in _FAMILIES
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

    def _goes(self, family: int, address: Any, local_infos: Any) -> bool:
        if family not in _FAMILIES or self._stack.batch == 0:
            return False
        if not self._stack.reaches(_addr.pack(address, family), "tcp"):
            return False
        local = [i for i in local_infos or () if i[0] == family]
        return not local or any(
            self._stack.takes(_addr.pack(i[4], family)) for i in local
        )

    @staticmethod
    def _bind_one(sock: Socket, infos: Any, failed: list[OSError]) -> None:
        for family, _, _, _, address in infos:
            if family != sock.family:
                continue
            try:
                sock.bind(address)
                return
            except OSError as exc:
                failed.append(_bind_error(address, exc))
        if failed:
            raise failed.pop()
        raise OSError(f"no matching local address with family={sock.family!r} found")

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
        _check_tls(**more)
        infos: list[Any] = []
        if sock is None and (host is not None or port is not None):
            infos = await self._infos(host, port, family, flags)
        if not any(self._takes(i) for i in infos):
            if sock is not None:
                sock = self._adopted(sock)
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
                self._bound(info, reuse_address, reuse_port, sockets)
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

    async def _infos(self, host: Any, port: Any, family: int, flags: int) -> list[Any]:
        hosts: list[Any]
        if host == "":
            hosts = [None]
        elif isinstance(host, str) or not isinstance(host, Iterable):
            hosts = [host]
        else:
            hosts = list(host)
        found = await asyncio.gather(
            *(
                self._create_server_getaddrinfo(  # type: ignore[attr-defined]
                    h, port, family=family, flags=flags
                )
                for h in hosts
            )
        )
        return list(dict.fromkeys(itertools.chain.from_iterable(found)))

    def _takes(self, info: Any) -> bool:
        family, _, _, _, address = info
        return family in _FAMILIES and self._stack.takes(_addr.pack(address, family))

    def _bound(
        self,
        info: Any,
        reuse_address: bool | None,
        reuse_port: bool | None,
        sockets: list[Any],
    ) -> None:
        family, kind, proto, _, address = info
        ours = self._takes(info)
        try:
            if ours:
                sock: Any = Socket(self._stack, family, kind, proto)
            else:
                sock = socket.socket(family, kind, proto)
        except OSError:
            return  # this family is not to be had
        sockets.append(sock)
        if reuse_address or reuse_address is None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            sock.bind(address)
        except OSError as exc:
            raise _bind_error(address, exc) from None

    def _adopted(self, sock: Any) -> Any:
        """The stack's socket in place of one of the host's, if that is what the
        loop was asked for and can be."""
        if (
            not self._adopt
            or not isinstance(sock, socket.socket)
            or sock.family not in _FAMILIES
            or sock.type not in (socket.SOCK_STREAM, socket.SOCK_DGRAM)
        ):
            return sock
        name = sock.getsockname()
        if not name[1] or not self._stack.takes(_addr.pack(name, sock.family)):
            return sock
        if sock.type == socket.SOCK_STREAM and sock.getsockopt(
            socket.SOL_SOCKET, socket.SO_ACCEPTCONN
        ):
            return sock
        ours = Socket(self._stack, sock.family, sock.type)
        if sock.family == socket.AF_INET6:
            only = sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
            ours.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
        # The descriptor stays, on a socket without the address, until ours is closed:
        # asyncio would own it, and who made it may ask it this or that.
        with socket.socket(sock.family, sock.type) as empty:
            os.dup2(empty.fileno(), sock.fileno(), inheritable=False)
        try:
            ours.bind(name)
        except OSError:
            ours.close()
            raise
        ours._instead_of = sock
        give(sock, ours)
        return ours

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
        if sock is None and self._is_inet(family, local_addr, remote_addr):
            ours = await self._udp_socket(
                *(local_addr, remote_addr, family, proto, flags),
                *(allow_broadcast, reuse_port),
            )
        if ours is None:
            return await base(
                protocol_factory,
                local_addr,
                remote_addr,
                family=family,
                proto=proto,
                flags=flags,
                reuse_port=reuse_port,
                allow_broadcast=allow_broadcast,
                sock=None if sock is None else self._adopted(sock),
                **more,
            )
        try:
            return await base(protocol_factory, sock=ours)
        except BaseException:
            ours.close()
            raise

    @staticmethod
    def _is_inet(family: int, local: Any, remote: Any) -> bool:
        return family in (0, *_FAMILIES) and any(
            isinstance(a, tuple) and len(a) == 2 for a in (local, remote)
        )

    async def _udp_socket(
        self,
        local_addr: Any,
        remote_addr: Any,
        family: int,
        proto: int,
        flags: int,
        broadcast: bool | None,
        reuse_port: bool | None,
    ) -> Socket | None:
        """None: it is for the host, or for asyncio to say what is wrong."""
        locals_ = await self._udp_infos(local_addr, family, proto, flags)
        remotes = await self._udp_infos(remote_addr, family, proto, flags)
        failed = None
        for fam in _FAMILIES:
            local, remote = locals_.get(fam), remotes.get(fam)
            if (local_addr and not local) or (remote_addr and not remote):
                continue
            if not self._udp_goes(fam, local, remote):
                return None
            sock = Socket(self._stack, fam, socket.SOCK_DGRAM, proto)
            try:
                if broadcast:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                if reuse_port:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                if local:
                    sock.bind(local)
                if remote and broadcast:
                    sock.target = remote  # answers come from elsewhere
                elif remote:
                    sock.connect(remote)
                return sock
            except OSError as exc:
                sock.close()
                failed = failed or exc
        if failed:
            raise failed
        return None

    async def _udp_infos(
        self, addr: Any, family: int, proto: int, flags: int
    ) -> dict[int, Any]:
        if addr is None or not (isinstance(addr, tuple) and len(addr) == 2):
            return {}
        infos = await self._ensure_resolved(  # type: ignore[attr-defined]
            addr,
            family=family,
            type=socket.SOCK_DGRAM,
            proto=proto,
            flags=flags,
            loop=self,
        )
        found: dict[int, Any] = {}
        for fam, _, _, _, address in infos:
            found.setdefault(fam, address)
        return found

    def _udp_goes(self, family: int, local: Any, remote: Any) -> bool:
        if local is not None and not self._stack.takes(_addr.pack(local, family)):
            return False
        return remote is None or self._stack.reaches(_addr.pack(remote, family), "udp")

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


def _check_tls(
    ssl: Any = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
    **_more: Any,
) -> None:
    """asyncio's own checks, which come before names are looked up."""
    if isinstance(ssl, bool):
        raise TypeError("ssl argument must be an SSLContext or None")
    if ssl_handshake_timeout is not None and ssl is None:
        raise ValueError("ssl_handshake_timeout is only meaningful with ssl")
    if ssl_shutdown_timeout is not None and ssl is None:
        raise ValueError("ssl_shutdown_timeout is only meaningful with ssl")


def _bind_error(address: Any, exc: OSError) -> OSError:
    words = (exc.strerror or os.strerror(exc.errno or errno.EINVAL)).lower()
    return OSError(
        exc.errno, f"error while attempting to bind on address {address!r}: {words}"
    )


# ---- beginning ------------------------------------------------------------------------


def loop_factory(
    device: str | None = None, *, adopt: bool = False, cc: Control | None = None
) -> Callable[[], EventLoop]:
    """For asyncio.Runner(loop_factory=...), and all who take one."""

    def make() -> EventLoop:
        return EventLoop(device, adopt=adopt, cc=cc)

    return make


if sys.version_info >= (3, 11):

    class Runner(asyncio.Runner):
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

else:

    class Runner:
        """What asyncio.Runner is from Python 3.11 on, with such a loop."""

        def __init__(
            self,
            *,
            debug: bool | None = None,
            device: str | None = None,
            adopt: bool = False,
            cc: Control | None = None,
        ) -> None:
            self._debug = debug
            self._make = loop_factory(device, adopt=adopt, cc=cc)
            self._loop: EventLoop | None = None

        def __enter__(self) -> Runner:
            self.get_loop()
            return self

        def __exit__(self, *exc: object) -> None:
            self.close()

        def get_loop(self) -> EventLoop:
            if self._loop is None:
                self._loop = self._make()
                if self._debug is not None:
                    self._loop.set_debug(self._debug)
            return self._loop

        def run(self, main: Coroutine[Any, Any, T]) -> T:
            """Runs it in the loop and returns what it returns."""
            if not asyncio.iscoroutine(main):
                raise ValueError(f"a coroutine was expected, got {main!r}")
            loop = self.get_loop()
            asyncio.set_event_loop(loop)
            try:
                return loop.run_until_complete(main)
            finally:
                asyncio.set_event_loop(None)

        def close(self) -> None:
            """Cancels what is left, and closes the loop."""
            loop, self._loop = self._loop, None
            if loop is None:
                return
            try:
                left = asyncio.all_tasks(loop)
                for task in left:
                    task.cancel()
                loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
                loop.run_until_complete(loop.shutdown_asyncgens())
                loop.run_until_complete(loop.shutdown_default_executor())
            finally:
                loop.close()


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
