# SPDX-License-Identifier: BSD-2-Clause
"""asyncio's transport of datagrams on a stack: behaves as asyncio's own does, to the
words of its exceptions. What is sent leaves at the end of the loop's iteration."""

from __future__ import annotations

import asyncio
import collections
import contextvars
import socket
from asyncio import constants
from typing import Any

from multistack import _addr
from multistack._socket import Socket
from multistack._transport import (
    _BYTES,
    _NAME_BYTES,
    _error,
    _Mixin,
    _set_result,
    logger,
)
from multistack._utcp import (
    MSBATCH_DGRAM,
    MSBATCH_ERROR,
    MSBATCH_MODE,
    MSBATCH_READ,
    MSBATCH_ROOM,
    MSBATCH_SENDTO,
)


class DatagramTransport(_Mixin, asyncio.DatagramTransport):
    """A UDP socket. Made by the loop."""

    _type = socket.SOCK_DGRAM
    _conn_lost = 0

    def __init__(
        self,
        loop: Any,
        sock: Socket,
        protocol: Any,
        address: Any,
        waiter: Any,
        extra: dict[str, Any] | None,
    ) -> None:
        self._loop = None
        self._stack = sock._stack
        self._id = sock._id
        self._family = sock.family
        super().__init__(extra, loop)
        self._names = self._names_of(sock)
        self._protocol = protocol
        self._address = address or self._name(0)
        self._queue: collections.deque[bytes] = collections.deque()
        self._queue_bytes = 0
        self._blocked = False
        self._peers: dict[bytes, Any] = {}
        self._sock_made = sock
        self._held = sock._release()
        self._started = False
        self._stack.endpoints[self._id] = self
        self._stack.command(self._id, MSBATCH_MODE, MSBATCH_READ)
        # asyncio's, too, are told what comes in the context that they were made in.
        self._run = contextvars.copy_context().run
        loop.call_soon(protocol.connection_made, self)
        if waiter is not None:
            loop.call_soon(_set_result, waiter)
        loop.call_soon(loop.call_soon, self._start)

    def _start(self) -> None:
        self._started = True
        for what, error, data in self._held:
            self._receive(what, error, data)
        self._held = []

    def on_event(self, what: int, error: int, at: int, size: int, arg: int) -> None:
        if what & MSBATCH_ROOM:
            self._blocked = False
            self._send_queued()
        if what & (MSBATCH_DGRAM | MSBATCH_ERROR):
            data = self._stack.arena[at : at + size].tobytes()
            if self._started:
                self._receive(what, error, data)
            else:
                self._held.append((what, error, data))

    def _receive(self, what: int, error: int, data: bytes) -> None:
        if self._conn_lost:
            return
        if what & MSBATCH_ERROR:
            self._run(self._protocol.error_received, _error(error))
            return
        packed = data[:_NAME_BYTES]
        peer = self._peers.get(packed)
        if peer is None:
            if len(self._peers) > 4096:
                self._peers.clear()
            peer = self._peers[packed] = _addr.unpack(packed, self._family)
        try:
            self._run(self._protocol.datagram_received, data[_NAME_BYTES:], peer)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self._loop.call_exception_handler(
                {
                    "message": "Exception in protocol.datagram_received()",
                    "exception": exc,
                    "transport": self,
                    "protocol": self._protocol,
                }
            )

    def get_write_buffer_size(self) -> int:
        return self._queue_bytes

    def sendto(self, data: Any, addr: Any = None) -> None:
        if not isinstance(data, _BYTES):
            raise TypeError(
                f"data argument must be a bytes-like object, "
                f"not {type(data).__name__!r}"
            )
        if not data:
            return
        if self._address:
            if addr not in (None, self._address):
                raise ValueError(f"Invalid address: must be None or {self._address}")
            addr = None if self._name(0) else self._address
        if self._conn_lost:
            if self._address:
                if self._conn_lost >= constants.LOG_THRESHOLD_FOR_CONNLOST_WRITES:
                    logger.warning("socket.send() raised exception.")
                self._conn_lost += 1
            return
        try:
            peer = _addr.NOWHERE if addr is None else self._packed(addr)
        except OSError as exc:
            self._protocol.error_received(exc)
            return
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self._fatal_error(exc, "Fatal write error on datagram transport")
            return
        whole = b"".join((peer, data))
        if self._blocked:
            self._queue_put(whole)
        else:
            self._send(whole)

    def _packed(self, addr: Any) -> bytes:
        bound = self._names[_NAME_BYTES:]
        packed = _addr.pack(addr, self._family, "sendto", bound)
        self._stack.find_source(packed)
        return packed

    def _send(self, whole: bytes) -> None:
        self._stack.cmds += (self._id, MSBATCH_SENDTO, len(whole), 0)
        self._stack.chunks.append(whole)

    def _queue_put(self, whole: bytes) -> None:
        self._queue.append(whole)
        self._queue_bytes += len(whole) - _NAME_BYTES
        self._maybe_pause_protocol()

    def _answer(self, op: int, error: int, left: bytes) -> None:
        if self._loop is None:
            return
        if error:
            if not self._conn_lost:
                self._loop.call_soon(self._receive, MSBATCH_ERROR, error, b"")
        elif op == MSBATCH_SENDTO:
            self._blocked = True
            self._queue_put(left)

    def _send_queued(self) -> None:
        queued, self._queue = self._queue, collections.deque()
        self._queue_bytes = 0
        for whole in queued:
            self._send(whole)
        self._maybe_resume_protocol()
        if self._closing and not self._conn_lost:
            self._lose(None)

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        if not self._queue:
            self._lose(None)

    def _force_close(self, exc: BaseException | None) -> None:
        if self._conn_lost:
            return
        self._queue.clear()
        self._queue_bytes = 0
        self._closing = True
        self._lose(exc)

    def _lose(self, exc: BaseException | None) -> None:
        self._conn_lost += 1
        self._loop.call_soon(self._call_connection_lost, exc)

    def _call_connection_lost(self, exc: BaseException | None) -> None:
        try:
            self._protocol.connection_lost(exc)
        finally:
            self._leave()
