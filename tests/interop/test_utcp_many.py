# SPDX-License-Identifier: BSD-2-Clause
"""UTCP with ten thousand kernel clients, and while it is flooded."""

from __future__ import annotations

import json
import resource
import select
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from harness import (
    FULL,
    MB,
    PATIENCE_S,
    TUN,
    UTCP,
    Bench,
    Peer,
    full_duplex,
    meanwhile,
    pattern,
    program,
    recv_pattern,
    send_pattern,
    size,
)

CLIENTS = 10000
FIRST = 2000  # of a flood: more than any test has room for strangers
# Segments a second, few enough for a busy machine. (A core of ours takes some
# 450000 SYNs from a TUN device, a packet a call.)
FLOOD = "100000" if FULL else "20000"


@pytest.fixture(autouse=True)
def many_descriptors() -> Iterator[None]:
    was = resource.getrlimit(resource.RLIMIT_NOFILE)
    room = max(was[1], CLIENTS + 2000)
    resource.setrlimit(resource.RLIMIT_NOFILE, (room, room))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, was)


class Clients:
    """Kernel clients, all at once, by epoll."""

    def __init__(self, bench: Bench, family: int, n: int) -> None:
        af = socket.AF_INET if family == 4 else socket.AF_INET6
        self.poll = select.epoll()
        self.socks: dict[int, socket.socket] = {}
        with bench.rig.ns.inside():
            for _ in range(n):
                sock = socket.socket(af, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
                self.socks[sock.fileno()] = sock
                sock.connect_ex((UTCP[family], 7000))
                self.poll.register(sock, select.EPOLLOUT)

    def ready(self, kind: int, seconds: float = 60.0) -> None:
        """Until this has happened to each."""
        waiting = set(self.socks)
        for fd in waiting:
            self.poll.modify(fd, kind)
        until = time.monotonic() + seconds
        while waiting:
            assert time.monotonic() < until, f"{len(waiting)} clients still wait"
            for fd, what in self.poll.poll(1.0, 4096):
                assert not what & select.EPOLLERR, (
                    f"client: {self.socks[fd].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)}"
                )
                if what & kind and fd in waiting:
                    waiting.remove(fd)
                    self.poll.modify(fd, 0)

    def close(self) -> None:
        self.poll.close()
        for sock in self.socks.values():
            sock.close()


@pytest.mark.parametrize("family", [4, 6], ids="ipv{}".format)
@pytest.mark.parametrize("link", ["clean", "bad"] if FULL else ["clean"])
def test_ten_thousand_clients_at_once(bench: Bench, link: str, family: int) -> None:
    """All open, all are answered twice, all close: in order, and to the byte."""
    bad = "loss=0.03,reorder=0.05,late=2ms,dup=0.02"
    peer = bench.peer(*(["--in", bad, "--out", bad] if link == "bad" else []))
    peer.listen(family, 7000, "echo", "backlog=65535", "quiet")
    clients = Clients(bench, family, CLIENTS)
    try:
        clients.ready(select.EPOLLOUT)
        peer.until(lambda: peer.do("usage")["socks"] > CLIENTS, "all connections")
        for turn in range(2):
            said = bytes(pattern(turn * 100, 100 + 900 * turn))
            for sock in clients.socks.values():
                assert sock.send(said) == len(said)
            clients.ready(select.EPOLLIN)
            for sock in clients.socks.values():
                assert sock.recv(2000) == said
        for sock in clients.socks.values():
            sock.shutdown(socket.SHUT_WR)
        clients.ready(select.EPOLLIN | select.EPOLLRDHUP)
        for sock in clients.socks.values():
            assert sock.recv(10) == b""
    finally:
        clients.close()
    info = peer.until(
        lambda: (i := peer.info("server"))["ended"] == CLIENTS and i, "the ends", 60
    )
    assert (info["accepted"], info["failed"], info["sum_bad"]) == (CLIENTS, 0, 0)
    peer.until(lambda: peer.do("usage")["socks"] == 1, "no connection left", 60)
    assert peer.do("usage")["buffered_bytes"] == 0


def test_idle_connections_cost_a_kilobyte(bench: Bench) -> None:
    peer = bench.peer()
    peer.listen(4, 7000, "hold", "backlog=65535", "quiet")
    before = peer.do("usage")["mem_bytes"]
    clients = Clients(bench, 4, CLIENTS)
    try:
        clients.ready(select.EPOLLOUT)
        peer.until(lambda: peer.info("server")["accepted"] == CLIENTS, "all accepted")
        each = (peer.do("usage")["mem_bytes"] - before) / CLIENTS
        assert each <= 1024, f"{each:.0f} bytes"
    finally:
        clients.close()


def test_many_connections_one_after_another(bench: Bench) -> None:
    """As HTTP/1.0 has them."""
    peer = bench.peer()
    peer.listen(4, 7000, "source", 1000, "quiet")
    n = size(3000, 50000)
    for _ in range(n):
        sock = bench.rig.socket(4)
        sock.settimeout(PATIENCE_S)
        sock.connect((UTCP[4], 7000))
        assert recv_pattern(sock) == 1000
        sock.close()
    info = peer.until(
        lambda: (i := peer.info("server"))["ended"] == n and i, "the ends"
    )
    assert info["failed"] == 0


@contextmanager
def flood(
    bench: Bench, peer: Peer, family: int, kind: str, rate: str, *source: object
) -> Iterator[None]:
    """From everybody, to port 7000, until the block is over; some of it is there
    before the block begins."""
    argv = [program("utcp-flood"), TUN, UTCP[family], 7000, kind, 600, rate, *source]
    before = peer.count("in_pkts")
    child = subprocess.Popen(
        bench.rig.ns.command(*argv), stdout=subprocess.PIPE, text=True
    )
    try:
        peer.until(lambda: peer.count("in_pkts") > before + FIRST, "a flood")
        yield
        assert child.poll() is None, "the flood is over"
    finally:
        child.kill()
        child.communicate()


def exchange(sock: socket.socket, n: int) -> None:
    """So many questions, one after another."""
    for _ in range(n):
        sock.send(b"x" * 100)
        assert sock.recv(100) == b"x" * 100


@pytest.mark.parametrize("family", [4, 6], ids="ipv{}".format)
@pytest.mark.parametrize("kind", ["syn", "ack", "rst", "junk"])
def test_a_flood_while_serving(bench: Bench, kind: str, family: int) -> None:
    """Who is served goes on, new ones get in, memory stays where it is."""
    peer = bench.peer("--max-syns", 1024, "--snap", "64")
    peer.listen(family, 7000, "echo", "backlog=128", "quiet")
    old = bench.connect(family, 7000)
    with flood(bench, peer, family, kind, FLOOD):
        before = peer.do("usage")
        exchange(old, 200)
        for _ in range(20):
            sock = bench.connect(family, 7000)
            assert full_duplex(sock, 20000) == 20000
            sock.close()
        after = peer.do("usage")
    assert after["mem_bytes"] < before["mem_bytes"] + 4 * MB
    assert after["syns"] <= 1024
    if kind == "syn":
        assert peer.count("cookies_out") > 0
        assert peer.count("cookies_in") > 0
    if kind == "ack":
        assert peer.count("accepts") == 21, "a guess passed for a cookie"
    assert full_duplex(old, 1000) == 1000


@pytest.mark.parametrize("family", [4, 6] if FULL else [4], ids="ipv{}".format)
@pytest.mark.parametrize("kind", ["syn", "ack", "rst", "junk"])
def test_a_flood_as_fast_as_a_core_can(bench: Bench, kind: str, family: int) -> None:
    """More than the device takes: who is served waits, and is served then."""
    peer = bench.peer("--max-syns", 1024)
    peer.listen(family, 7000, "echo", "backlog=128", "quiet")
    old = bench.connect(family, 7000)
    assert full_duplex(bench.connect(family, 7000), 1000) == 1000
    before, cpu_s = peer.do("usage"), peer.cpu_s()
    many = 1000000 if FULL else 100000
    with flood(bench, peer, family, kind, "1e9"):
        old.send(b"in the midst of it")
        taken = peer.until(
            lambda: (n := peer.count("in_pkts")) > many and n, "many segments"
        )
        after, spent = peer.do("usage"), peer.cpu_s() - cpu_s
    print(f"{kind}: {taken} taken, {spent / taken * 1e9:.0f} ns of a core each")
    assert after["mem_bytes"] < before["mem_bytes"] + 4 * MB
    assert after["syns"] <= 1024
    assert old.recv(100) == b"in the midst of it"
    for _ in range(10):
        assert full_duplex(bench.connect(family, 7000), 1000) == 1000
    assert full_duplex(old, 1000) == 1000


@pytest.mark.parametrize("timestamps", [0, 1], ids="timestamps-{}".format)
@pytest.mark.parametrize("family", [4, 6], ids="ipv{}".format)
def test_a_blind_attacker(bench: Bench, family: int, timestamps: int) -> None:
    """RFC 5961: who knows addresses and ports, and guesses numbers."""
    peer = bench.peer("--out", "rate=100m")
    peer.listen(family, 7000, "echo", "quiet", f"timestamps={timestamps}")
    sock = bench.connect(family, 7000)
    source = sock.getsockname()[:2]
    with (
        flood(bench, peer, family, "blind", FLOOD, *source),
        meanwhile(lambda: send_pattern(sock, 8 * MB)),
    ):
        assert recv_pattern(sock, 8 * MB) == 8 * MB
        challenges = peer.count("challenge_acks")
    assert challenges < 30, "an attacker makes us talk"
    assert peer.count("drop_window") > 300
    assert full_duplex(sock, 0) == 0
    info = peer.info("server")
    assert (info["failed"], info["accepted"]) == (0, 1)


def test_a_transfer_during_a_syn_flood(bench: Bench) -> None:
    peer = bench.peer("--max-syns", 256)
    peer.listen(4, 7000, "echo", "quiet")
    sock = bench.connect(4, 7000, 60)
    with flood(bench, peer, 4, "syn", FLOOD):
        assert full_duplex(sock, 8 * MB) == 8 * MB


def test_a_connection_by_cookie_has_its_options(bench: Bench) -> None:
    """Timestamps carry what the cookie has no room for."""
    peer = bench.peer("--max-syns", 64, "--in", "delay=1ms")
    peer.listen(4, 7000, "both", 300000, "keep")
    with flood(bench, peer, 4, "syn", "20000"):
        sock = bench.connect(4, 7000)
        assert full_duplex(sock, 300000) == 300000
        info = peer.info("server.0")
    assert set(info["negotiated"]) >= {"cookie", "timestamps", "sack", "wscale"}


def test_flood_says_what_it_sent(bench: Bench) -> None:
    argv = bench.rig.ns.command(
        program("utcp-flood"), TUN, UTCP[4], 7000, "syn", 0.2, 10000
    )
    bench.peer()
    said = json.loads(subprocess.run(argv, capture_output=True, check=True).stdout)
    assert 1000 < said["sent"] < 3000
