# SPDX-License-Identifier: BSD-2-Clause
"""UDP on multistack.EventLoop is UDP on asyncio's loop: one body, both loops."""

from __future__ import annotations

import asyncio
import contextvars
import socket
from collections.abc import Iterator
from typing import Any

import loops
import pytest


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


class Recorder(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.got: asyncio.Queue[Any] = asyncio.Queue()
        self.errors: asyncio.Queue[Exception] = asyncio.Queue()
        self.lost = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.got.put_nowait((data, addr))

    def error_received(self, exc: Exception) -> None:
        self.errors.put_nowait(exc)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost.set_result(exc)


def peer(host: str) -> socket.socket:
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, 2)
    s.bind((host, 0))
    s.settimeout(60)
    return s


def test_datagrams_come_with_their_sender_and_go_to_whom_it_says(
    place: loops.Place,
) -> None:
    async def main(loop: Any) -> None:
        t, p = await loop.create_datagram_endpoint(Recorder, (place.ours, 0))
        name = t.get_extra_info("sockname")
        with peer(place.peer) as s:
            for data in (b"x", b"y" * 1200):
                s.sendto(data, name)
                assert await p.got.get() == (data, s.getsockname())
                t.sendto(data + b"!", s.getsockname())
                got = await loop.run_in_executor(None, s.recvfrom, 2000)
                assert got == (data + b"!", name)
        assert t.get_extra_info("peername") is None
        t.close()
        assert await p.lost is None

    place.run(main)


def test_a_connected_endpoint_speaks_to_one_peer(place: loops.Place) -> None:
    async def main(loop: Any) -> None:
        with peer(place.peer) as s:
            t, p = await loop.create_datagram_endpoint(
                Recorder, remote_addr=s.getsockname()
            )
            assert t.get_extra_info("peername") == s.getsockname()
            t.sendto(b"x")
            data, name = await loop.run_in_executor(None, s.recvfrom, 10)
            assert data == b"x" and name == t.get_extra_info("sockname")
            with pytest.raises(ValueError, match="Invalid address: must be None or"):
                t.sendto(b"x", ("192.0.2.1", 9))
            t.close()
            assert await p.lost is None

    place.run(main)


def test_the_unspecified_address_is_this_host(place: loops.Place) -> None:
    """Of whom is connected, and of whom one datagram is for."""

    async def main(loop: Any) -> None:
        hears, heard = await loop.create_datagram_endpoint(Recorder, ("0.0.0.0", 7072))
        connected, one = await loop.create_datagram_endpoint(
            Recorder, remote_addr=("0.0.0.0", 7072)
        )
        assert connected.get_extra_info("peername") == ("127.0.0.1", 7072)
        connected.sendto(b"one")
        data, name = await heard.got.get()
        assert data == b"one" and name == connected.get_extra_info("sockname")
        free, two = await loop.create_datagram_endpoint(Recorder, ("0.0.0.0", 0))
        free.sendto(b"two", ("0.0.0.0", 7072))
        data, name = await heard.got.get()
        assert data == b"two" and name[0] == "127.0.0.1"
        for transport, protocol in (hears, heard), (connected, one), (free, two):
            transport.close()
            assert await protocol.lost is None

    place.run(main)


def test_that_nobody_is_there_is_told(place: loops.Place) -> None:
    async def main(loop: Any) -> None:
        t, p = await loop.create_datagram_endpoint(
            Recorder, remote_addr=(place.peer, 9)
        )
        t.sendto(b"x")
        assert isinstance(await p.errors.get(), ConnectionRefusedError)
        t.close()
        await p.lost

    place.run(main)


def test_datagrams_are_told_in_the_context_of_their_endpoint(
    place: loops.Place,
) -> None:
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="")

    async def main(loop: Any) -> None:
        seen = loop.create_future()

        class Named(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, addr: Any) -> None:
                seen.set_result(name.get())

        name.set("endpoint")
        transport, _ = await loop.create_datagram_endpoint(
            Named, local_addr=(place.ours, 0)
        )
        name.set("later")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.sendto(b"x", transport.get_extra_info("sockname"))
            assert await seen == "endpoint"
        transport.close()

    place.run(main)


def test_a_thousand_datagrams_all_arrive(ours: loops.Place) -> None:
    async def main(loop: Any) -> None:
        a, _ = await loop.create_datagram_endpoint(Recorder, (ours.ours, 0))
        b, p = await loop.create_datagram_endpoint(Recorder, (ours.ours, 0))
        for i in range(1000):
            a.sendto(b"%d" % i, b.get_extra_info("sockname"))
            if i % 50 == 49:
                await asyncio.sleep(0)
        got = [(await p.got.get())[0] for _ in range(1000)]
        assert got == [b"%d" % i for i in range(1000)]
        a.close()
        b.close()

    ours.run(main)


def test_an_endpoint_of_ipv6_speaks_both(ours: loops.Place) -> None:
    async def main(loop: Any) -> None:
        s = loop.open_socket(socket.AF_INET6, socket.SOCK_DGRAM)
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        s.bind(("::", 0))
        t, p = await loop.create_datagram_endpoint(Recorder, sock=s)
        port = t.get_extra_info("sockname")[1]
        with peer(loops.PEER) as four, peer(loops.PEER6) as six:
            four.sendto(b"4", (loops.OURS, port))
            data, addr = await p.got.get()
            mapped = f"::ffff:{loops.PEER}"
            assert (data, addr[:2]) == (b"4", (mapped, four.getsockname()[1]))
            t.sendto(b"four", addr)
            six.sendto(b"6", (loops.OURS6, port))
            data, addr = await p.got.get()
            assert (data, addr[0]) == (b"6", loops.PEER6)
            t.sendto(b"six", addr)
            assert await loop.run_in_executor(None, four.recv, 10) == b"four"
            assert await loop.run_in_executor(None, six.recv, 10) == b"six"
        t.close()
        await p.lost

    ours.run(main)


def test_bare_sockets_of_udp(ours: loops.Place) -> None:
    async def main(loop: Any) -> None:
        with loop.open_socket(type=socket.SOCK_DGRAM) as s, peer(ours.peer) as other:
            s.bind((ours.ours, 0))
            with pytest.raises(BlockingIOError):
                s.recvfrom(10)
            other.sendto(b"ask", s.getsockname())
            data, addr = await loop.sock_recvfrom(s, 100)
            assert (data, addr) == (b"ask", other.getsockname())
            await loop.sock_sendto(s, b"answer", addr)
            assert await loop.run_in_executor(None, other.recv, 10) == b"answer"
            s.connect(other.getsockname())
            assert s.getpeername() == other.getsockname()
            await loop.sock_sendall(s, b"more")
            assert await loop.run_in_executor(None, other.recv, 10) == b"more"

    ours.run(main)
