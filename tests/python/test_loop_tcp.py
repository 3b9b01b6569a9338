# SPDX-License-Identifier: BSD-2-Clause
"""TCP on multistack.EventLoop is TCP on asyncio's loop: one body, both loops."""

from __future__ import annotations

import asyncio
import contextvars
import errno
import hashlib
import socket
import struct
from collections.abc import Iterator
from typing import Any

import loops
import pytest
from loops import DATA, Recorder, serving


@pytest.fixture(scope="module")
def spot() -> Iterator[dict[str, loops.Place]]:
    with loops.namespace():
        yield loops.places()


@pytest.fixture(params=["asyncio", "multistack"])
def place(request: pytest.FixtureRequest, spot: dict[str, loops.Place]) -> loops.Place:
    return spot[request.param]


@pytest.fixture
def ours(spot: dict[str, loops.Place]) -> loops.Place:
    return spot["multistack"]


def test_a_server_is_told_of_a_connection_its_data_and_its_end(
    place: loops.Place,
) -> None:
    async def main(loop: Any) -> None:
        p = Recorder()
        server, address = await serving(loop, place, p)
        peer = loops.Calls(lambda s: (s.sendall(b"hello"), s.getsockname())).to(address)
        name = (await peer.done())[1]
        assert await p.lost is None
        assert p.told == ["made", "data", "eof", "lost"] and p.data == b"hello"
        assert p.transport.get_extra_info("peername") == name
        assert p.transport.get_extra_info("sockname") == address
        server.close()
        await server.wait_closed()

    place.run(main)


def test_a_client_sends_much_and_reads_it_back_half_closed(place: loops.Place) -> None:
    async def main(loop: Any) -> None:
        def echo(s: socket.socket) -> None:
            s.sendall(loops.read_all(s))

        peer, port = loops.listening(echo, place.peer)
        reader, writer = await asyncio.open_connection(place.peer, port)
        for i in range(0, len(DATA), 100_000):
            writer.write(DATA[i : i + 100_000])
            await writer.drain()
        writer.write_eof()
        assert await reader.read() == DATA
        with pytest.raises(RuntimeError, match="Cannot call write.. after write_eof"):
            writer.write(b"more")
        writer.close()
        await writer.wait_closed()
        await peer.done()

    place.run(main)


def test_a_protocol_that_keeps_open_writes_after_the_peer_s_end(
    place: loops.Place,
) -> None:
    async def main(loop: Any) -> None:
        p = Recorder(keep_open=True)
        server, address = await serving(loop, place, p)

        def body(s: socket.socket) -> bytes:
            s.shutdown(socket.SHUT_WR)
            return loops.read_all(s)

        peer = loops.Calls(body).to(address)
        await p.ended
        assert not p.transport.is_closing()
        p.transport.write(b"late")
        p.transport.close()
        assert await peer.done() == b"late"
        server.close()

    place.run(main)


def test_a_writer_is_paused_above_its_mark_and_resumed_below(
    place: loops.Place,
) -> None:
    async def main(loop: Any) -> None:
        p = Recorder()
        go = asyncio.Event()
        server, address = await serving(loop, place, p)

        def body(s: socket.socket) -> str:
            asyncio.run_coroutine_threadsafe(go.wait(), loop).result(60)
            return hashlib.sha256(loops.read_all(s)).hexdigest()

        peer = loops.Calls(body).to(address)
        t = await p.made
        t.set_write_buffer_limits(high=100_000, low=10_000)
        assert t.get_write_buffer_limits() == (10_000, 100_000)
        digest = hashlib.sha256()
        while "pause" not in p.told:
            digest.update(DATA)
            t.write(DATA)
        assert t.get_write_buffer_size() > 100_000
        go.set()
        while "resume" not in p.told:
            await asyncio.sleep(0.01)
        assert t.get_write_buffer_size() <= 10_000
        t.close()
        assert await p.lost is None
        assert await peer.done() == digest.hexdigest()
        server.close()

    place.run(main)


def test_what_is_written_before_close_arrives(place: loops.Place) -> None:
    async def main(loop: Any) -> None:
        p = Recorder()
        server, address = await serving(loop, place, p)
        peer = loops.Calls(loops.read_all).to(address)
        t = await p.made
        t.write(DATA)
        t.write(bytearray(b"-"))
        t.writelines([memoryview(b"the "), b"end"])
        t.close()
        assert t.is_closing()
        assert await peer.done() == DATA + b"-the end"
        assert await p.lost is None
        server.close()

    place.run(main)


def test_nothing_is_told_while_reading_is_paused(place: loops.Place) -> None:
    async def main(loop: Any) -> None:
        p = Recorder()
        server, address = await serving(loop, place, p)
        peer = loops.Calls(lambda s: s.sendall(DATA)).to(address)
        t = await p.made
        t.pause_reading()
        assert not t.is_reading()
        before = len(p.data)
        await asyncio.sleep(0.05)
        assert len(p.data) == before
        t.resume_reading()
        assert t.is_reading()
        assert await p.lost is None
        await peer.done()
        assert p.data == DATA
        server.close()

    place.run(main)


def test_a_protocol_that_pauses_in_every_call_gets_all(place: loops.Place) -> None:
    async def main(loop: Any) -> None:
        class Pausing(Recorder):
            def data_received(self, data: bytes) -> None:
                super().data_received(data)
                self.transport.pause_reading()
                loop.call_soon(self.transport.resume_reading)

        p = Pausing()
        server, address = await serving(loop, place, p)
        peer = loops.Calls(lambda s: s.sendall(DATA)).to(address)
        assert await p.lost is None
        await peer.done()
        assert p.data == DATA
        server.close()

    place.run(main)


@pytest.mark.parametrize("size", [1, 7, 4096, 1 << 20])
def test_a_buffered_protocol_gets_all_in_its_own_buffer(
    place: loops.Place, size: int
) -> None:
    data = DATA[: min(1000 * size, len(DATA))]

    async def main(loop: Any) -> None:
        class Buffered(asyncio.BufferedProtocol):
            def __init__(self) -> None:
                self.room = bytearray(size)
                self.data = bytearray()
                self.lost = loop.create_future()

            def get_buffer(self, sizehint: int) -> bytearray:
                assert sizehint == -1
                return self.room

            def buffer_updated(self, nbytes: int) -> None:
                self.data += self.room[:nbytes]

            def connection_lost(self, exc: BaseException | None) -> None:
                self.lost.set_result(exc)

        p = Buffered()
        server, address = await serving(loop, place, p)
        peer = loops.Calls(lambda s: s.sendall(data)).to(address)
        assert await p.lost is None
        await peer.done()
        assert p.data == data
        server.close()

    place.run(main)


def test_a_reset_is_told(place: loops.Place) -> None:
    async def main(loop: Any) -> None:
        p = Recorder()
        server, address = await serving(loop, place, p)

        def reset(s: socket.socket) -> None:
            linger = struct.pack("ii", 1, 0)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

        await loops.Calls(reset).to(address).done()
        assert isinstance(await p.lost, ConnectionResetError)
        server.close()

    place.run(main)


def test_abort_ends_at_once(place: loops.Place) -> None:
    async def main(loop: Any) -> None:
        p = Recorder()
        server, address = await serving(loop, place, p)
        peer = loops.Calls(lambda s: s.recv(10)).to(address)
        (await p.made).abort()
        assert await p.lost is None and p.told == ["made", "lost"]
        assert await peer.done() == b""
        server.close()

    place.run(main)


def test_an_exception_of_the_protocol_is_reported_and_ends_its_connection(
    place: loops.Place,
) -> None:
    async def main(loop: Any) -> None:
        class Failing(Recorder):
            def data_received(self, data: bytes) -> None:
                raise ZeroDivisionError(data)

        reported: list[Any] = []
        loop.set_exception_handler(lambda _loop, context: reported.append(context))
        p = Failing()
        server, address = await serving(loop, place, p)
        peer = loops.Calls(lambda s: (s.sendall(b"x"), s.recv(10))).to(address)
        assert isinstance(await p.lost, ZeroDivisionError)
        await peer.done()
        assert [c["message"] for c in reported] == [
            "Fatal error: protocol.data_received() call failed."
        ]
        assert reported[0]["protocol"] is p
        server.close()

    place.run(main)


def test_a_connection_keeps_its_context(place: loops.Place) -> None:
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="")

    async def main(loop: Any) -> None:
        class Named(Recorder):
            seen: list[str]

            def data_received(self, data: bytes) -> None:
                super().data_received(data)
                self.seen = [name.get()]

        p = Named()
        name.set("server")
        server, address = await serving(loop, place, p)
        name.set("later")
        await loops.Calls(lambda s: s.sendall(b"x")).to(address).done()
        await p.lost
        assert p.seen in (["server"], ["later"])
        server.close()

    place.run(main)


def test_who_waits_for_a_connection_has_it_before_what_came_on_it(
    place: loops.Place,
) -> None:
    async def main(loop: Any) -> None:
        transport = None

        class Late(Recorder):
            def __init__(self) -> None:
                super().__init__()
                peer.join(loops.PATIENCE_S)  # all that it says is there

            def data_received(self, data: bytes) -> None:
                super().data_received(data)
                self.had = transport

        peer, port = loops.listening(lambda s: s.sendall(b"first"), place.peer)
        transport, p = await loop.create_connection(Late, place.peer, port)
        assert await p.lost is None
        assert p.data == b"first" and p.had is transport

    place.run(main)


# ---- what is refused -----------------------------------------------------------


def test_a_refused_connection_says_where(place: loops.Place) -> None:
    async def main(loop: Any) -> None:
        with pytest.raises(ConnectionRefusedError) as e:
            await asyncio.open_connection(place.peer, 9)
        assert str(e.value) == f"[Errno 111] Connect call failed ({place.peer!r}, 9)"

    place.run(main)


def test_an_address_in_use_says_which(place: loops.Place) -> None:
    async def main(loop: Any) -> None:
        server, address = await serving(loop, place, None)
        with pytest.raises(OSError) as e:
            await loop.create_server(asyncio.Protocol, *address)
        assert e.value.errno == errno.EADDRINUSE
        assert e.value.strerror == (
            f"error while attempting to bind on address {address!r}: "
            "address already in use"
        )
        server.close()

    place.run(main)


def test_what_is_no_bytes_is_refused(place: loops.Place) -> None:
    async def main(loop: Any) -> None:
        p = Recorder()
        server, address = await serving(loop, place, p)
        peer = loops.Calls(loops.read_all).to(address)
        t = await p.made
        with pytest.raises(
            TypeError, match="data argument must be a bytes-like object, not 'str'"
        ):
            t.write("text")
        t.close()
        await peer.done()
        server.close()

    place.run(main)
