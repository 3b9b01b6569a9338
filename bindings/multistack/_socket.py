# SPDX-License-Identifier: BSD-2-Clause
"""A socket of a stack with the methods of socket.socket, never blocking."""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import time
import warnings
import weakref
from collections.abc import Iterable
from ctypes import byref, c_int64, c_ubyte, c_void_p, create_string_buffer, sizeof
from typing import Any, NoReturn

from multistack import _addr, _sockopt, _utcp
from multistack._stack import FD_BASE, Stack
from multistack._utcp import MSBATCH_TELL, Info, Opt

Address = tuple[Any, ...]
_LOOPBACK_S = 0.05  # most that a peer on the loopback interface is waited for


def _bad() -> NoReturn:
    raise OSError(errno.EBADF, os.strerror(errno.EBADF))


def _pointer(stack: Stack, id_: int, udp: bool) -> int:
    get = _utcp.msbatch_udp if udp else _utcp.msbatch_sock
    return int((stack.batch and get(stack.batch, id_)) or _bad())


_ENUMS: dict[int, Any] = {int(f): f for f in (socket.AF_INET, socket.AF_INET6)}
_KINDS: dict[int, Any] = {int(k): k for k in (socket.SOCK_STREAM, socket.SOCK_DGRAM)}


class _Endpoint:
    """What the loop knows of a socket, so that it does not keep it alive."""

    def __init__(self, stack: Stack, id_: int, udp: bool) -> None:
        self._stack = stack
        self._id = id_
        self._udp = udp
        self.held: list[tuple[int, int, bytes]] = []  # came before its transport

    def poll(self) -> int:
        """UTCP_IN and so on: what it is ready for."""
        poll = _utcp.utcp_udp_poll if self._udp else _utcp.utcp_poll
        return int(poll(_pointer(self._stack, self._id, self._udp)))

    def on_event(self, what: int, error: int, at: int, size: int, arg: int) -> None:
        if what & _utcp.MSBATCH_READY:
            self._stack.hot.add(FD_BASE + self._id)
        else:
            data = self._stack.arena[at : at + size].tobytes()
            self.held.append((what, error, data))

    def _answer(self, op: int, error: int, left: bytes) -> None:
        """Nothing is asked of it by commands."""


class Given(socket.socket):
    """A socket of the host's that the loop was given and has one of its own for. Who
    made it may still ask it who it is, use it and close it."""

    __slots__ = ()

    def getsockname(self) -> Any:
        ours = _ours_for(self)
        return super().getsockname() if ours is None else ours.getsockname()

    def getpeername(self) -> Any:
        ours = _ours_for(self)
        return super().getpeername() if ours is None else ours.getpeername()

    def send(self, *args: Any) -> int:
        ours = _ours_for(self)
        return super().send(*args) if ours is None else ours.send(*args)

    def recv(self, *args: Any) -> bytes:
        ours = _ours_for(self)
        return super().recv(*args) if ours is None else ours.recv(*args)

    def recv_into(self, *args: Any) -> int:
        ours = _ours_for(self)
        return super().recv_into(*args) if ours is None else ours.recv_into(*args)

    def shutdown(self, how: int) -> None:
        ours = _ours_for(self)
        return super().shutdown(how) if ours is None else ours.shutdown(how)

    def _real_close(self, *args: Any) -> None:
        ours = _ours_for(self)
        super()._real_close(*args)  # type: ignore[misc]
        if ours is not None:
            ours.close()


_given: weakref.WeakKeyDictionary[socket.socket, weakref.ref[Socket]]
_given = weakref.WeakKeyDictionary()


def _ours_for(sock: socket.socket) -> Socket | None:
    found = _given.get(sock)
    ours = None if found is None else found()
    return None if ours is None or ours._closed else ours


def give(sock: socket.socket, ours: Socket) -> None:
    """From now on `ours` is what `sock` speaks of."""
    if type(sock) is socket.socket:
        sock.__class__ = Given
        _given[sock] = weakref.ref(ours)


def take(sock: socket.socket) -> None:
    """Closes it; what stood for it lives on."""
    _given.pop(sock, None)
    sock.close()


class Socket:
    """A TCP or UDP socket of the loop's stack: for loop.sock_*(), and what
    transport.get_extra_info("utcp") gives.

    It never blocks: what would raises BlockingIOError. fileno() is a number of
    the loop's, for add_reader() and the like, and none of the host's.
    """

    def __init__(
        self,
        stack: Stack,
        family: int = socket.AF_INET,
        type: int = socket.SOCK_STREAM,
        proto: int = 0,
        *,
        _id: int | None = None,
        _names: bytes = b"",
    ) -> None:
        self._instead_of: socket.socket | None = None  # what the loop was given
        self.target: Address | None = None  # of datagrams, without being connected
        self._closed = True
        self._stack = stack
        self.family = _ENUMS.get(family) or socket.AddressFamily(family)
        self.type = _KINDS.get(type) or socket.SocketKind(type & 0xF)
        self._udp = self.type == socket.SOCK_DGRAM
        self.proto = proto or (socket.IPPROTO_UDP if self._udp else socket.IPPROTO_TCP)
        self._kept: dict[tuple[int, int], int] = {}
        self._wildcard: tuple[str, int] | None = None
        self._names = _names  # of a connection: the peer's, and ours
        self._owned = False  # else a transport closes it
        if _id is None:
            self._id = self._open()
            self._own()
        else:
            self._id = _id
        self._closed = False

    def _open(self) -> int:
        if self.family not in (socket.AF_INET, socket.AF_INET6) or self.type not in (
            socket.SOCK_STREAM,
            socket.SOCK_DGRAM,
        ):
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
        version = 4 if self.family == socket.AF_INET else 6
        s = c_void_p()
        batch = self._stack.batch
        if not batch:
            raise RuntimeError("Event loop is closed")
        if self._udp:
            _utcp.utcp_udp_open(self._stack.utcp, version, s)
            return int(_utcp.msbatch_add_udp(batch, s, MSBATCH_TELL))
        _utcp.utcp_open(self._stack.utcp, version, s)
        return int(_utcp.msbatch_add(batch, s, MSBATCH_TELL))

    @property
    def _ptr(self) -> int:
        if self._closed:
            _bad()
        return _pointer(self._stack, self._id, self._udp)

    def _own(self) -> Socket:
        """It is not its transport's, but its user's to close."""
        self._owned = True
        self._endpoint = _Endpoint(self._stack, self._id, self._udp)
        self._stack.endpoints[self._id] = self._endpoint
        return self

    def _release(self) -> list[tuple[int, int, bytes]]:
        """It is a transport's from now on; what came for it."""
        self._owned = False
        held, self._endpoint.held = self._endpoint.held, []
        return held

    # ---- socket.socket ------------------------------------------------------------

    def fileno(self) -> int:
        return -1 if self._closed else FD_BASE + self._id

    def setblocking(self, flag: bool) -> None:
        if flag:
            raise ValueError("a socket of a stack cannot block; use the loop's sock_*")

    def settimeout(self, value: float | None) -> None:
        self.setblocking(value != 0)

    def gettimeout(self) -> float:
        return 0.0

    def getblocking(self) -> bool:
        return False

    def _pack(self, address: Any, call: str) -> bytes:
        return _addr.pack(address, self.family, call)

    def bind(self, address: Address) -> None:
        """Claims it of the switch. OSError EADDRINUSE, EADDRNOTAVAIL, EINVAL;
        PermissionError."""
        packed = self._pack(address, "bind")
        bind = _utcp.utcp_udp_bind if self._udp else _utcp.utcp_bind
        bind(self._ptr, _addr.as_c(packed))
        name = self.getsockname()
        if name[0] in _addr.WILDCARDS:
            self._wildcard = ("udp" if self._udp else "tcp", name[1])
            self._stack.wildcards[self._wildcard] += 1

    def listen(self, backlog: int = 128) -> None:
        _utcp.utcp_listen(self._ptr, min(max(backlog, 0), 0xFFFF))
        # accept(2) gives sockets with the listener's options; ours do too.

    def accept(self) -> tuple[Socket, Address]:
        s = c_void_p()
        _utcp.utcp_accept(self._ptr, s)
        stack = self._stack
        id_ = int(_utcp.msbatch_add(stack.batch, s, MSBATCH_TELL))
        conn = Socket(stack, self.family, self.type, self.proto, _id=id_)._own()
        try:
            return conn, conn.getpeername()
        except OSError:  # it has ended meanwhile
            return conn, self._anybody()

    def _anybody(self) -> Address:
        return ("", 0) if self.family == socket.AF_INET else ("", 0, 0, 0)

    def connect(self, address: Address) -> None:
        packed = self._pack(address, "connect")
        to = _addr.as_c(packed)
        if self._udp:
            _utcp.mslink_udp_connect(self._stack.link, self._ptr, to)
        else:
            try:
                _utcp.mslink_connect(self._stack.link, self._ptr, to)
            except BlockingIOError:
                if self._stack.nic != "lo" or not self._shake_hands():
                    raise
                error = self.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if error:
                    raise OSError(error, os.strerror(error)) from None

    def _shake_hands(self) -> bool:
        """On the loopback interface a host's connect() is answered within the call,
        so that a program may wait for its own listener next: accept(). Whether the
        answer is there."""
        came = select.poll()
        came.register(_utcp.mslink_fd(self._stack.link), select.POLLIN)
        end = time.monotonic() + _LOOPBACK_S
        while _utcp.msbatch_keep(self._stack.batch) >= 0 and not self._endpoint.poll():
            if time.monotonic() > end:
                break
            came.poll(1)
        return bool(self._endpoint.poll())

    def _bound(self) -> bytes:
        """The address that bind() gave it, packed; NOWHERE: none."""
        a = _utcp.Addr()
        get = _utcp.utcp_udp_getsockname if self._udp else _utcp.utcp_getsockname
        try:
            get(self._ptr, a)
        except OSError as e:
            if e.errno != errno.EINVAL:
                raise
            return _addr.NOWHERE
        return bytes(a)

    def connect_ex(self, address: Address) -> int:
        try:
            self.connect(address)
        except OSError as e:
            return e.errno or errno.EIO
        return 0

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        if self._udp:
            return self.recvfrom(bufsize, flags)[0]
        buf = create_string_buffer(max(bufsize, 1))
        n = _utcp.utcp_read(self._ptr, buf, bufsize, self._flags(flags))
        return buf.raw[:n]

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        view = memoryview(buffer).cast("B")
        size = nbytes or len(view)
        if self._udp:
            return self.recvfrom_into(buffer, nbytes, flags)[0]
        if size == 0:
            return 0
        at = (c_ubyte * size).from_buffer(view)
        return int(_utcp.utcp_read(self._ptr, at, size, self._flags(flags)))

    @staticmethod
    def _flags(flags: int) -> int:
        if flags & ~socket.MSG_PEEK:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return flags

    def recvfrom(self, bufsize: int, flags: int = 0) -> tuple[bytes, Address]:
        if not self._udp:
            return self.recv(bufsize, flags), self._anybody()
        if flags:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        d = _utcp.Dgram()
        _utcp.utcp_udp_recv(self._ptr, d, 1)
        data = (c_ubyte * d.len).from_address(d.data) if d.len else b""
        peer = _addr.unpack(bytes(d.peer), self.family)
        return bytes(data)[:bufsize], peer

    def recvfrom_into(
        self, buffer: Any, nbytes: int = 0, flags: int = 0
    ) -> tuple[int, Address]:
        view = memoryview(buffer).cast("B")
        if not self._udp:
            return self.recv_into(buffer, nbytes, flags), self._anybody()
        data, peer = self.recvfrom(nbytes or len(view), flags)
        view[: len(data)] = data
        return len(data), peer

    def send(self, data: Any, flags: int = 0) -> int:
        raw = data if isinstance(data, bytes) else bytes(data)
        if self._udp:
            return self._send_dgram(raw, None)
        n = _utcp.utcp_write(self._ptr, raw, len(raw), 0)
        return int(n)

    def sendmsg(self, buffers: Iterable[Any]) -> int:
        return self.send(b"".join(bytes(b) for b in buffers))

    def sendto(self, data: Any, *args: Any) -> int:
        raw = data if isinstance(data, bytes) else bytes(data)
        if not self._udp:
            return self.send(raw)
        return self._send_dgram(raw, args[-1])

    def _send_dgram(self, raw: bytes, address: Any) -> int:
        d = _utcp.Dgram(len=len(raw))
        keep = create_string_buffer(raw, max(len(raw), 1))
        d.data = _utcp.address_of(keep)
        if address is not None:
            peer = _addr.pack(address, self.family, "sendto", self._bound())
            self._stack.find_source(peer)
            d.peer = _addr.as_c(peer)
        _utcp.utcp_udp_send(self._ptr, d, 1)
        return len(raw)

    def shutdown(self, how: int) -> None:
        if self._udp:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        _utcp.utcp_shutdown(self._ptr, how)

    def getsockname(self) -> Address:
        if self._names and not self._closed:
            return _addr.unpack(self._names[20:], self.family)
        packed = self._bound()
        if packed == _addr.NOWHERE:
            return ("0.0.0.0", 0) if self.family == socket.AF_INET else ("::", 0, 0, 0)
        return _addr.unpack(packed, self.family)

    def getpeername(self) -> Address:
        if self._names and self._names[19] and not self._closed:
            return _addr.unpack(self._names[:20], self.family)
        a = _utcp.Addr()
        get = _utcp.utcp_udp_getpeername if self._udp else _utcp.utcp_getpeername
        get(self._ptr, a)
        return _addr.unpack(bytes(a), self.family)

    # ---- options -------------------------------------------------------------------

    def set(self, opt: Opt, value: int) -> None:
        """An option of the stack's own (utcp.h), times in nanoseconds."""
        (_utcp.utcp_udp_set if self._udp else _utcp.utcp_set)(self._ptr, opt, value)

    def get(self, opt: Opt) -> int:
        value = c_int64()
        get = _utcp.utcp_udp_get if self._udp else _utcp.utcp_get
        get(self._ptr, opt, byref(value))
        return value.value

    def setsockopt(
        self, level: int, optname: int, value: Any, optlen: int | None = None
    ) -> None:
        key = (level, optname)
        if key == _sockopt.CONGESTION and not self._udp:
            name = value.encode() if isinstance(value, str) else bytes(value)
            _utcp.utcp_set_cc(self._ptr, name.rstrip(b"\0"))
            return
        if key == _sockopt.LINGER:
            on, seconds = struct.unpack("ii", bytes(value)[:8])
            # Only 0 differs from what closing does anyway.
            self.set(Opt.LINGER, 0 if on and seconds == 0 else -1)
            self._kept[key] = seconds if on else -1
            return
        number = value if isinstance(value, int) else _number(value)
        option = _sockopt.lookup(key, self._udp)
        if option is None or option.opt == Opt.REUSEADDR:
            self._kept[key] = int(bool(number))
        if option is None:
            self._ptr  # EBADF of a closed one  # noqa: B018
        elif option.opt == Opt.REUSEADDR and not self._udp:
            return  # TCP's binds beside TIME-WAIT, and never beside a listener
        elif option.opt == Opt.ERROR:
            raise _sockopt.unknown()
        else:
            self.set(option.opt, _sockopt.to_ours(option, int(number)))

    def getsockopt(self, level: int, optname: int, buflen: int = 0) -> Any:
        number = self._getsockopt((level, optname))
        if isinstance(number, bytes):
            return number[:buflen] if buflen else number
        return number.to_bytes(4, "little")[:buflen] if buflen else number

    def _getsockopt(self, key: tuple[int, int]) -> int | bytes:
        fixed = {
            (socket.SOL_SOCKET, socket.SO_TYPE): int(self.type),
            (socket.SOL_SOCKET, getattr(socket, "SO_DOMAIN", -1)): int(self.family),
            (socket.SOL_SOCKET, getattr(socket, "SO_PROTOCOL", -1)): self.proto,
        }
        ptr = self._ptr
        if key in fixed:
            return fixed[key]
        if not self._udp:
            if key == (socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                return int(self.info().state == _utcp.State.LISTEN)
            if key == _sockopt.CONGESTION:
                return bytes(_utcp.utcp_cc(ptr)).ljust(16, b"\0")
            if key == _sockopt.TCP_INFO:
                return _sockopt.tcp_info(self.info())
            if key == _sockopt.LINGER:
                seconds = self._kept.get(key, -1)
                return struct.pack("ii", seconds >= 0, max(seconds, 0))
        option = _sockopt.lookup(key, self._udp)
        if option is None or option.opt == Opt.REUSEADDR:
            return self._kept.get(key, 0)
        return _sockopt.to_host(option, self.get(option.opt))

    # ---- of the stack alone --------------------------------------------------------

    def info(self) -> Info:
        """utcp_info_t: what TCP knows of this connection. OSError EINVAL: UDP."""
        if self._udp:
            raise OSError(errno.EINVAL, "a UDP socket has no connection to tell of")
        info = Info(size=sizeof(Info))
        _utcp.utcp_info(self._ptr, info)
        return info

    @property
    def cc(self) -> str:
        """Its congestion control."""
        return bytes(_utcp.utcp_cc(self._ptr)).decode()

    def set_cc(self, name: str) -> None:
        """Another congestion control, at any time. FileNotFoundError: there is
        none of this name."""
        _utcp.utcp_set_cc(self._ptr, name.encode())

    # ---- the end -------------------------------------------------------------------

    def _gone(self) -> None:
        """Its number is somebody else's from now on."""
        self._closed = True
        if self._instead_of is not None:
            self._instead_of.close()
        if self._wildcard:
            self._stack.wildcards[self._wildcard] -= 1
            if not self._stack.wildcards[self._wildcard]:
                del self._stack.wildcards[self._wildcard]
            self._wildcard = None

    def close(self) -> None:
        if self._closed:
            return
        if self._owned and self._stack.batch:
            self._stack.endpoints.pop(self._id, None)
            _utcp.msbatch_close(self._stack.batch, self._id)
        self._gone()

    def detach(self) -> int:
        raise OSError(errno.EOPNOTSUPP, "a socket of a stack has no descriptor")

    def __enter__(self) -> Socket:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __del__(self) -> None:
        if not self._closed and self._owned and self._stack.batch:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, 2, source=self)
            self.close()

    def __repr__(self) -> str:
        kind = f"family={self.family}, type={self.type}, proto={self.proto}"
        if self._closed:
            return f"<multistack.Socket [closed] {kind}>"
        words = [f"<multistack.Socket fd={self.fileno()}, {kind}"]
        try:
            words.append(f"laddr={self.getsockname()}")
            words.append(f"raddr={self.getpeername()}")
        except OSError:
            pass
        return ", ".join(words) + ">"


def _number(value: Any) -> int:
    return int.from_bytes(bytes(value), "little")
