# SPDX-License-Identifier: BSD-2-Clause
"""TCP on multistack.EventLoop is TCP on asyncio's loop: one body, both loops."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import errno
import hashlib
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import loops
import pytest

DATA = hashlib.shake_128(b"multistack").digest(3_000_000)


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


async def serving(loop: Any, place: loops.Place, protocol: Any, **more: Any) -> Any:
    server = await loop.create_server(lambda: protocol, place.ours, 0, **more)
    return server, server.sockets[0].getsockname()


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
            asyncio.run_coroutine_threadsafe(go.wait(), loop).result(20)
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


# ---- the socket ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "option", "value"),
    [
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 0),
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 33),
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 44),
        (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 5),
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 6000),
        (socket.IPPROTO_IP, socket.IP_TOS, 0x20),
        (socket.IPPROTO_IP, socket.IP_TTL, 17),
    ],
)
def test_options_of_a_connection(
    place: loops.Place, level: int, option: int, value: int
) -> None:
    async def main(loop: Any) -> None:
        p = Recorder()
        server, address = await serving(loop, place, p)
        peer = loops.Calls(loops.read_all).to(address)
        t = await p.made
        s = t.get_extra_info("socket")
        assert s.family == socket.AF_INET and s.type == socket.SOCK_STREAM
        if option == socket.TCP_NODELAY and level == socket.IPPROTO_TCP:
            assert s.getsockopt(level, option)  # asyncio turns Nagle off
        s.setsockopt(level, option, value)
        assert bool(s.getsockopt(level, option)) == bool(value)
        if value > 1:
            assert s.getsockopt(level, option) == value
        with pytest.raises(OSError) as e:
            s.setsockopt(level, 0x7777, 1)
        assert e.value.errno == errno.ENOPROTOOPT
        assert s.getpeername() == t.get_extra_info("peername")
        assert t.get_extra_info("nothing", 3) == 3
        t.close()
        await peer.done()
        server.close()

    place.run(main)


def test_tcp_info_is_laid_out_as_linux_has_it(place: loops.Place) -> None:
    async def main(loop: Any) -> None:
        p = Recorder()
        server, address = await serving(loop, place, p)
        peer = loops.Calls(loops.read_all).to(address)
        s = (await p.made).get_extra_info("socket")
        raw = s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        state, rto, mss = raw[0], *struct.unpack_from("=2xIxxxxI", raw, 6)
        assert len(raw) == 104 and state == 1
        assert 100_000 <= rto <= 3_000_000 and 500 < mss < 66_000
        p.transport.close()
        await peer.done()
        server.close()

    place.run(main)


def test_the_stack_s_own_socket_tells_and_sets(ours: loops.Place) -> None:
    async def main(loop: Any) -> None:
        p = Recorder()
        server, address = await serving(loop, ours, p)
        peer = loops.Calls(lambda s: (s.sendall(b"x" * 1000), s.recv(1))).to(address)
        t = await p.made
        native = t.get_extra_info("utcp")
        assert native.cc == "cubic"
        native.set_cc("bbr")
        assert native.cc == "bbr"
        with pytest.raises(FileNotFoundError):
            native.set_cc("none")
        while len(p.data) < 1000:
            await asyncio.sleep(0.001)
        info = native.info()
        assert info.bytes_received == 1000 and info.rtt_ns > 0
        t.close()
        await peer.done()
        server.close()

    ours.run(main)


# ---- other calls of the loop ---------------------------------------------------


def test_a_file_is_sent(place: loops.Place, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(DATA)

    async def main(loop: Any) -> None:
        p = Recorder()
        server, address = await serving(loop, place, p)
        peer = loops.Calls(loops.read_all).to(address)
        t = await p.made
        t.write(b"head")
        with path.open("rb") as f:
            assert await loop.sendfile(t, f, 1000) == len(DATA) - 1000
        t.write(b"tail")
        t.close()
        assert await peer.done() == b"head" + DATA[1000:] + b"tail"
        server.close()

    place.run(main)


def test_bare_sockets_connect_send_and_receive(ours: loops.Place) -> None:
    async def main(loop: Any) -> None:
        before = loops.connections(loop)

        def echo(s: socket.socket) -> None:
            s.sendall(loops.read_all(s))

        peer, port = loops.listening(echo, ours.peer)
        s = loop.open_socket()
        await loop.sock_connect(s, (ours.peer, port))
        await asyncio.gather(loop.sock_sendall(s, DATA), asyncio.sleep(0))
        s.shutdown(socket.SHUT_WR)
        got = bytearray()
        room = bytearray(10_000)
        while n := await loop.sock_recv_into(s, room):
            got += room[:n]
        assert got == DATA
        s.close()
        with pytest.raises(OSError):
            s.getsockname()
        await peer.done()
        with loop.open_socket() as listener:
            listener.bind((ours.ours, 0))
            listener.listen()
            calls = loops.Calls(lambda s: s.sendall(b"x")).to(listener.getsockname())
            conn, name = await loop.sock_accept(listener)
            assert name == conn.getpeername()
            assert await loop.sock_recv(conn, 10) == b"x"
            conn.close()
            await calls.done()
        while loops.connections(loop) > before:
            await asyncio.sleep(0.01)

    ours.run(main)


def test_both_families_and_the_wildcard_are_ours(ours: loops.Place) -> None:
    async def main(loop: Any) -> None:
        async def talk(reader: Any, writer: Any) -> None:
            writer.write(str(writer.get_extra_info("sockname")[0]).encode())
            writer.close()

        server = await asyncio.start_server(talk, None, 7070)
        assert sorted(s.getsockname()[:2] for s in server.sockets) == [
            ("0.0.0.0", 7070),
            ("::", 7070),
        ]
        for host in (loops.OURS, loops.OURS6):
            said = await loops.Calls(loops.read_all).to((host, 7070)).done()
            assert said.decode() == host
        server.close()
        await server.wait_closed()

    ours.run(main)


def test_what_is_not_the_stack_s_is_the_host_s(ours: loops.Place) -> None:
    async def main(loop: Any) -> None:
        server = await loop.create_server(Recorder, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        reader, writer = await asyncio.open_connection(*address)
        assert isinstance(writer.get_extra_info("socket")._sock, socket.socket)
        writer.close()
        await writer.wait_closed()
        server.close()
        child = await asyncio.create_subprocess_exec(
            "echo", "hello", stdout=asyncio.subprocess.PIPE
        )
        assert (await child.communicate())[0] == b"hello\n"

    ours.run(main)


def test_the_unspecified_address_is_this_host(place: loops.Place) -> None:
    async def main(loop: Any) -> None:
        async def hello(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"hello")
            writer.close()

        server = await asyncio.start_server(hello, None, 7071)
        for host, peer, local in (
            ("0.0.0.0", "127.0.0.1", None),
            ("::", "::1", None),
            ("0.0.0.0", place.ours, (place.ours, 0)),
        ):
            reader, writer = await asyncio.open_connection(host, 7071, local_addr=local)
            assert writer.get_extra_info("peername")[:2] == (peer, 7071)
            assert await reader.read() == b"hello"
            writer.close()
        server.close()
        # What listens on the host alone is meant, too; and nothing at all.
        with socket.create_server(("127.0.0.1", 0)) as listener:
            address = ("0.0.0.0", listener.getsockname()[1])
            _, writer = await asyncio.open_connection(*address)
            listener.accept()[0].close()
            writer.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*address)

    place.run(main)


# ---- nothing is left -------------------------------------------------------------


def test_a_cancelled_connect_leaves_nothing(ours: loops.Place) -> None:
    async def main(loop: Any) -> None:
        sockets, files = loops.connections(loop), loops.descriptors()
        tasks = [
            loop.create_task(asyncio.open_connection("10.98.0.77", 1 + i))
            for i in range(20)
        ]
        await asyncio.sleep(0.02)
        assert loops.connections(loop) == sockets + 20
        for t in tasks:
            t.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert loops.connections(loop) == sockets
        assert loops.descriptors() == files
        assert not loop.stack.endpoints

    ours.run(main)


@pytest.mark.parametrize("steps", range(8))
def test_a_call_cancelled_at_any_step_leaves_nothing(
    ours: loops.Place, steps: int
) -> None:
    async def main(loop: Any) -> None:
        async def call() -> None:
            reader, writer = await asyncio.open_connection(ours.peer, port)
            try:
                writer.write(b"x" * 100)
                await writer.drain()
                await reader.readexactly(100)
            finally:
                writer.close()

        def echo(s: socket.socket) -> None:
            s.sendall(loops.read_all(s))

        peer, port = loops.listening(echo, ours.peer)
        task = loop.create_task(call())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(0.05)
        assert not loop.stack.endpoints
        with contextlib.suppress(ConnectionRefusedError):  # ends it if nobody came
            socket.create_connection((ours.peer, port)).close()
        await loop.run_in_executor(None, peer.join, 5)

    ours.run(main)


def test_a_stopped_loop_still_takes_connections_and_data(ours: loops.Place) -> None:
    loop = ours._make()
    try:
        server = loop.run_until_complete(
            loop.create_server(asyncio.Protocol, ours.ours, 0)
        )
        with socket.create_connection(server.sockets[0].getsockname(), 5) as s:
            s.sendall(b"x")
        server.close()
        loop.run_until_complete(asyncio.sleep(0.01))
    finally:
        loop.close()


def test_thousands_of_connections_at_once(ours: loops.Place) -> None:
    many = 2000

    async def main(loop: Any) -> None:
        held: list[Any] = []

        class Echo(asyncio.Protocol):
            def connection_made(self, transport: Any) -> None:
                self.transport = transport
                held.append(transport)

            def data_received(self, data: bytes) -> None:
                self.transport.write(data)

        server = await loop.create_server(Echo, ours.ours, 0, backlog=1024)
        address = server.sockets[0].getsockname()

        async def ask(i: int) -> None:
            reader, writer = await asyncio.open_connection(*address)
            writer.write(b"%08d" % i)
            assert await reader.readexactly(8) == b"%08d" % i
            writer.close()

        for i in range(0, many, 200):
            await asyncio.gather(*(ask(k) for k in range(i, i + 200)))
        assert len(held) == many
        server.close()

    ours.run(main)
