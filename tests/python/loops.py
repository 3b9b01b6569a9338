# SPDX-License-Identifier: BSD-2-Clause
"""Event loops on a wire, for tests: asyncio's on the host's stack, and ours on
the same kind of wire, in one namespace. What both must do is asked of both."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import netns

import multistack
from multistack import _utcp

OURS, PEER = "10.98.0.2", "10.98.0.1"
OURS6, PEER6 = "fd98::2", "fd98::1"
DEVICE = f"tap:ms0,local={OURS}/24,host={PEER},local6={OURS6}/64,host6={PEER6}"
PATIENCE_S = 60.0  # for what comes, on however slow a machine
DATA = hashlib.shake_128(b"multistack").digest(3_000_000)


class Place:
    """Where a test's loop is: `ours` are its addresses, `peer` those of the
    host's sockets at the other end."""

    def __init__(self, ours: str, peer: str, make: Callable[[], Any]) -> None:
        self.ours = ours
        self.peer = peer
        self._make = make

    def run(self, main: Any) -> Any:
        """Runs main(loop) to its end, on a loop of its own, in time."""

        async def limited() -> Any:
            loop = asyncio.get_running_loop()
            return await asyncio.wait_for(main(loop), PATIENCE_S)

        loop = self._make()
        asyncio.set_event_loop(loop)
        try:
            return loop.run_until_complete(limited())
        finally:
            with contextlib.suppress(asyncio.CancelledError):
                loop.run_until_complete(loop.shutdown_default_executor())
            asyncio.set_event_loop(None)
            loop.close()


@contextlib.contextmanager
def namespace() -> Iterator[netns.Netns]:
    ns = netns.Netns("loop")
    try:
        with ns.inside():
            yield ns
    finally:
        ns.close()


def places() -> dict[str, Place]:
    """To be used inside namespace()."""
    return {
        "asyncio": Place("127.0.0.1", "127.0.0.1", asyncio.SelectorEventLoop),
        "multistack": Place(OURS, PEER, multistack.loop_factory(DEVICE)),
    }


def connections(loop: Any) -> int:
    """How many sockets the loop's stack has."""
    usage = _utcp.Usage()
    _utcp.utcp_usage(loop.stack.utcp, usage)
    return int(usage.socks)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


class Peer(threading.Thread):
    """The other end, on blocking sockets in a thread: body(socket)."""

    def __init__(
        self, body: Callable[[socket.socket], Any], sock: socket.socket, accepts: bool
    ) -> None:
        super().__init__(daemon=True)
        self._body = body
        self._sock = sock
        self._accepts = accepts
        self.result: Any = None
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        with self._sock as s:
            try:
                if self._accepts:
                    s.settimeout(PATIENCE_S)
                    s = s.accept()[0]
                with s:
                    s.settimeout(PATIENCE_S)
                    self.result = self._body(s)
            except BaseException as e:
                self.error = e

    async def done(self) -> Any:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self.join, PATIENCE_S)
        if self.error:
            raise self.error
        return self.result


class Calls:
    """A peer that connects to (host, port) once the loop says where."""

    def __init__(self, body: Callable[[socket.socket], Any]) -> None:
        self._body = body

    def to(self, address: Any) -> Peer:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        s = socket.socket(family)

        def body(sock: socket.socket) -> Any:
            sock.connect(address[:2])
            return self._body(sock)

        return Peer(body, s, accepts=False)


def listening(body: Callable[[socket.socket], Any], host: str) -> tuple[Peer, int]:
    """A peer that accepts one connection; its port."""
    s = socket.create_server((host, 0))
    port = s.getsockname()[1]
    return Peer(body, s, accepts=True), port


def read_all(s: socket.socket) -> bytes:
    parts = []
    while part := s.recv(65536):
        parts.append(part)
    return b"".join(parts)


class Recorder(asyncio.Protocol):
    """Writes down what it is told."""

    def __init__(self, keep_open: bool = False) -> None:
        self.told: list[str] = []
        self.data = b""
        self.keep_open = keep_open
        self.transport: Any = None
        loop = asyncio.get_running_loop()
        self.made, self.lost = loop.create_future(), loop.create_future()
        self.ended = loop.create_future()

    def connection_made(self, transport: Any) -> None:
        self.told.append("made")
        self.transport = transport
        self.made.set_result(transport)

    def data_received(self, data: bytes) -> None:
        assert type(data) is bytes
        if self.told[-1] != "data":
            self.told.append("data")
        self.data += data

    def eof_received(self) -> bool:
        self.told.append("eof")
        self.ended.set_result(None)
        return self.keep_open

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")

    def connection_lost(self, exc: BaseException | None) -> None:
        self.told.append("lost")
        self.lost.set_result(exc)


async def serving(loop: Any, place: Place, protocol: Any, **more: Any) -> Any:
    server = await loop.create_server(lambda: protocol, place.ours, 0, **more)
    return server, server.sockets[0].getsockname()
