# SPDX-License-Identifier: BSD-2-Clause
"""TCP on multistack.EventLoop is TCP on asyncio's loop: one body, both loops.
A connection's socket, the loop's other calls, and that nothing of them is left."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
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
        while loops.connections(loop) < sockets + 20:
            await asyncio.sleep(0.01)
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
        while loop.stack.endpoints:
            await asyncio.sleep(0.01)
        with contextlib.suppress(ConnectionRefusedError):  # ends it if nobody came
            socket.create_connection((ours.peer, port)).close()
        await loop.run_in_executor(None, peer.join, loops.PATIENCE_S)

    ours.run(main)


def test_a_stopped_loop_still_takes_connections_and_data(ours: loops.Place) -> None:
    loop = ours._make()
    try:
        server = loop.run_until_complete(
            loop.create_server(asyncio.Protocol, ours.ours, 0)
        )
        with socket.create_connection(
            server.sockets[0].getsockname(), loops.PATIENCE_S
        ) as s:
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
