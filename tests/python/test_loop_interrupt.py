# SPDX-License-Identifier: BSD-2-Clause
"""KeyboardInterrupt, as SIGINT's handler raises it, anywhere in a turn of the stack:
the loop that runs again goes on as if it had not been."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

import loops
import pytest

from multistack._selector import Selector
from multistack._stack import Stack

DATA = hashlib.shake_128(b"interrupted").digest(700_000)  # more than a turn's
TURN = {
    f.__code__
    for f in (
        *(Selector.select, Selector._poll_host, Selector._levels),
        *(Stack.turn, Stack.settle, Stack.sleep_s),
    )
}
Point = tuple[str, int, str]


@pytest.fixture(scope="module")
def ours() -> Iterator[loops.Place]:
    with loops.namespace():
        yield loops.places()["multistack"]


class Points:
    """Where a signal's handler can run: a function is entered, a call has returned.
    Raises at one of them, the first time that it is met."""

    def __init__(self, at: Point | None) -> None:
        self.at = at
        self.met: dict[Point, None] = {}

    def __call__(self, frame: FrameType, event: str, _arg: Any) -> None:
        code = frame.f_code
        if code not in TURN or event not in ("call", "c_return"):
            return
        point = (code.co_name, frame.f_lasti, event)
        self.met[point] = None
        if point == self.at:
            raise KeyboardInterrupt


class Echo(asyncio.Protocol):
    """Sends all back at once, and has what follows watched."""

    def __init__(self, points: Points) -> None:
        self._points = points
        self._data = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.set_write_buffer_limits(1 << 20)

    def data_received(self, data: bytes) -> None:
        self._data += data
        if len(self._data) == len(DATA):
            for at in range(0, len(DATA), 65536):
                self._transport.write(self._data[at : at + 65536])
            self._transport.close()
            sys.setprofile(self._points)


def ask(s: socket.socket) -> bytes:
    s.sendall(DATA)
    return loops.read_all(s)


def echoed(loop: Any, place: loops.Place, points: Points) -> tuple[bytes, int]:
    """What came back, and how often that was interrupted."""

    async def talk() -> bytes:
        server = await loop.create_server(lambda: Echo(points), place.ours, 0)
        peer = loops.Calls(ask).to(server.sockets[0].getsockname())
        try:
            return await asyncio.wait_for(peer.done(), loops.PATIENCE_S)  # type: ignore[no-any-return]
        finally:
            server.close()

    task = loop.create_task(talk())
    interrupted = 0
    while True:
        try:
            return loop.run_until_complete(task), interrupted
        except KeyboardInterrupt:
            interrupted += 1
        finally:
            sys.setprofile(None)


def test_an_interrupted_turn_loses_nothing(ours: loops.Place) -> None:
    loop = ours._make()
    try:
        all_points = Points(None)
        assert echoed(loop, ours, all_points) == (DATA, 0)
        names = {name for name, _, _ in all_points.met}
        assert {"select", "turn", "settle"} <= names
        for point in all_points.met:
            data, interrupted = echoed(loop, ours, Points(point))
            assert (point, data == DATA) == (point, True)
            assert interrupted <= 1
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()
