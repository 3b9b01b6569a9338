# SPDX-License-Identifier: BSD-2-Clause
"""What the transports of a stack have in common: names, extra information, how they
fail and how they leave."""

from __future__ import annotations

import logging
import os
import socket
import sys
import warnings
from asyncio import transports, trsock
from collections.abc import Callable
from typing import Any

from multistack import _addr
from multistack._socket import Socket
from multistack._stack import FD_BASE, Stack
from multistack._utcp import MSBATCH_CLOSE

logger = logging.getLogger("asyncio")
_BYTES = (bytes, bytearray, memoryview)
_NAME_BYTES = 20


def _server_attach(server: Any, transport: Any) -> None:
    if sys.version_info >= (3, 13):
        server._attach(transport)
    else:
        server._attach()


def _server_detach(server: Any, transport: Any) -> None:
    if sys.version_info >= (3, 13):
        server._detach(transport)
    else:
        server._detach()


def _set_result(waiter: Any) -> None:
    if not waiter.cancelled():
        waiter.set_result(None)


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


class _Mixin(transports._FlowControlMixin):
    """What streams and datagrams have in common."""

    _loop: Any
    _extra: dict[str, Any]
    _high_water: int
    _low_water: int
    _protocol_paused: bool
    _maybe_pause_protocol: Callable[[], None]
    _maybe_resume_protocol: Callable[[], None]
    _protocol: Any
    _closing = False
    _conn_lost: int
    _sock_made: Socket | None = None
    _id: int
    _family: int
    _type: int
    _stack: Stack
    _names: bytes = b""  # utcp_addr_t of the peer, and of ours
    _server: Any = None

    def _name(self, which: int) -> tuple[Any, ...] | None:
        packed = self._names[which * _NAME_BYTES : (which + 1) * _NAME_BYTES]
        if not packed or not packed[-1]:
            return None
        return _addr.unpack(packed, self._family)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """peername, sockname, socket as asyncio's; utcp: the connection's
        Socket, with info(), set_cc() and the stack's own options."""
        found = self._extra.get(name)
        if found is None and name in ("peername", "sockname", "socket", "utcp"):
            if name == "peername":
                found = self._name(0)
            elif name == "sockname":
                found = self._name(1)
            elif name == "utcp":
                found = self._sock
            else:
                found = trsock.TransportSocket(self._sock)  # type: ignore[arg-type]
            self._extra[name] = found
        return default if found is None else found

    @property
    def _sock(self) -> Socket:
        if self._sock_made is None:
            names = self._names if self._type == socket.SOCK_STREAM else b""
            self._sock_made = Socket(
                self._stack, self._family, self._type, _id=self._id, _names=names
            )
            if self._loop is None:
                self._sock_made._gone()
        return self._sock_made

    @property
    def _sock_fd(self) -> int:
        return FD_BASE + self._id

    def _names_of(self, sock: Socket) -> bytes:
        names = []
        for get in (sock.getpeername, sock.getsockname):
            try:
                names.append(_addr.pack(get(), sock.family))
            except OSError:
                names.append(_addr.NOWHERE)
        return b"".join(names)

    def set_protocol(self, protocol: Any) -> None:
        self._protocol = protocol

    def get_protocol(self) -> Any:
        return self._protocol

    def is_closing(self) -> bool:
        return self._closing

    def abort(self) -> None:
        self._force_close(None)

    def _force_close(self, exc: BaseException | None) -> None:
        raise NotImplementedError

    def _fatal_error(
        self, exc: BaseException, message: str = "Fatal error on transport"
    ) -> None:
        if isinstance(exc, OSError):
            if self._loop.get_debug():
                logger.debug("%r: %s", self, message, exc_info=exc)
        else:
            self._loop.call_exception_handler(
                {
                    "message": message,
                    "exception": exc,
                    "transport": self,
                    "protocol": self._protocol,
                }
            )
        self._force_close(exc)

    def _leave(self) -> None:
        """The last of a transport: its number is the stack's again."""
        stack = self._stack
        if stack.batch:
            stack.cmds += (self._id, MSBATCH_CLOSE, 0, 0)
        stack.endpoints.pop(self._id, None)
        if self._sock_made is not None:
            self._sock_made._gone()
        self._protocol = self._loop = None
        server, self._server = self._server, None
        if server is not None:
            _server_detach(server, self)

    def __repr__(self) -> str:
        words = [type(self).__name__]
        if self._loop is None:
            words.append("closed")
        elif self._closing:
            words.append("closing")
        words.append(f"fd={self._sock_fd}")
        if self._loop is not None and not self._loop.is_closed():
            words.append(f"write=<bufsize={self.get_write_buffer_size()}>")
        return f"<{' '.join(words)}>"

    def __del__(self) -> None:
        if getattr(self, "_loop", None) is not None and self._stack.batch:
            warnings.warn(
                f"unclosed transport {self!r}", ResourceWarning, 2, source=self
            )
            self._leave()
