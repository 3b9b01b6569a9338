# SPDX-License-Identifier: BSD-2-Clause
"""scapy's own functions on a port, over a wire to another host."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest
import worlds
from netns import sh
from worlds import HostedWorld, eventually

import multistack

scapy = pytest.importorskip("scapy.all")

from scapy.all import (  # noqa: E402
    IP,
    TCP,
    UDP,
    AsyncSniffer,
    Ether,
    IPv6,
    Raw,
    conf,
    send,
    sendp,
    sniff,
    sr,
    sr1,
    srp1,
)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostedWorld]:
    with worlds.hosted(worlds.WIRED, tmp_path_factory.mktemp("world")) as made:
        yield made


@pytest.fixture
def port(alone: HostedWorld) -> Iterator[multistack.Port]:
    """An open port that scapy uses, with a claim of UDP 7000 and TCP 7001."""
    assert alone.far is not None
    sh(*alone.far.command("ethtool", "-K", "eth0", "tx", "off"))
    with alone.port() as made:
        for family in (4, 6):
            made.bind(alone.addr[family], 7000, "udp")
        made.bind(alone.addr[4], 7001, "tcp")
        with alone.inside(), multistack.scapy_on(made):
            eventually(
                lambda: (
                    made.route(alone.peer_addr[4]).state == 1
                    or sh(*alone.ns.command("ping", "-c1", alone.peer_addr[4]))
                ),
                "a neighbour",
            )
            sh(*alone.ns.command("ping", "-c1", alone.peer_addr[6]))
            yield made


@pytest.fixture
def echo(alone: HostedWorld) -> Iterator[int]:
    """The other host sends back what it gets, over both families."""
    assert alone.far is not None
    with alone.far.inside():
        sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        sock.bind(("::", 0))

    def run() -> None:
        while True:
            data, peer = sock.recvfrom(2048)
            if data == b"stop":
                return
            sock.sendto(b"re:" + data, peer)

    thread = threading.Thread(target=run)
    thread.start()
    number = sock.getsockname()[1]
    yield number
    with alone.far.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.sendto(b"stop", ("127.0.0.1", number))
    thread.join()
    sock.close()


def frame(world: HostedWorld, port: multistack.Port, data: bytes, dport: int) -> Ether:
    route = port.route(world.peer_addr[4])
    macs = {"src": port.mac.hex(":"), "dst": route.dst_mac.hex(":")}
    ip = IP(src=world.addr[4], dst=world.peer_addr[4])
    return Ether(**macs) / ip / UDP(sport=7000, dport=dport) / Raw(data)


@pytest.mark.parametrize("family", [4, 6])
def test_sr1_asks_and_is_answered(
    alone: HostedWorld, port: multistack.Port, echo: int, family: int
) -> None:
    layer = {4: IP, 6: IPv6}[family]
    ip = layer(src=alone.addr[family], dst=alone.peer_addr[family])
    answer = sr1(ip / UDP(sport=7000, dport=echo) / b"hi", timeout=60, verbose=False)
    assert isinstance(answer, layer) and bytes(answer[UDP].payload) == b"re:hi"
    assert answer.time >= ip.time


def test_a_handshake_by_hand(alone: HostedWorld, port: multistack.Port) -> None:
    """The host's stack does not reset what it knows nothing of."""
    assert alone.far is not None
    with alone.far.inside():
        listener = socket.create_server((alone.peer_addr[4], 0))
    number = listener.getsockname()[1]
    ip = IP(src=alone.addr[4], dst=alone.peer_addr[4])
    syn = TCP(sport=7001, dport=number, flags="S", seq=100)
    answer = sr1(ip / syn, timeout=60, verbose=False)
    assert answer[TCP].flags == "SA" and answer[TCP].ack == 101
    ack = TCP(sport=7001, dport=number, flags="A", seq=101, ack=answer[TCP].seq + 1)
    send(ip / ack / b"by hand", verbose=False)
    conn, peer = listener.accept()
    with listener, conn:
        assert peer == (alone.addr[4], 7001)
        assert conn.recv(100) == b"by hand"
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def test_layer_2(alone: HostedWorld, port: multistack.Port, echo: int) -> None:
    answer = srp1(frame(alone, port, b"two", echo), timeout=60, verbose=False)
    assert isinstance(answer, Ether) and bytes(answer[UDP].payload) == b"re:two"


def test_sniff_and_sendp(alone: HostedWorld, port: multistack.Port, echo: int) -> None:
    frames = [frame(alone, port, b"%d" % i, echo) for i in range(20)]
    started = threading.Event()
    sniffer = AsyncSniffer(count=20, started_callback=started.set)
    sniffer.start()
    assert started.wait(60)
    sendp(frames, verbose=False)
    sniffer.join(timeout=60)
    assert [bytes(p[UDP].payload) for p in sniffer.results] == [
        b"re:%d" % i for i in range(20)
    ]
    begin = time.monotonic()
    assert len(sniff(timeout=0.2)) == 0
    assert time.monotonic() - begin > 0.15


def test_a_sniffer_is_stopped(alone: HostedWorld, port: multistack.Port) -> None:
    started = threading.Event()
    sniffer = AsyncSniffer(started_callback=started.set)
    sniffer.start()
    assert started.wait(60)
    assert sniffer.stop(join=True) is not None
    assert not sniffer.thread.is_alive()


def test_every_socket_sees_every_frame(
    alone: HostedWorld, port: multistack.Port, echo: int
) -> None:
    ip = IP(src=alone.addr[4], dst=alone.peer_addr[4])
    other = multistack.ScapySocket(port)
    many = [ip / UDP(sport=7000, dport=echo) / bytes([i]) for i in range(50)]
    answered, left = sr(many, timeout=60, verbose=False)
    assert len(answered) == 50 and not left
    seen = [other.recv() for _ in range(50)]
    assert sorted(bytes(p[UDP].payload)[3] for p in seen) == list(range(50))
    assert other.recv() is None
    other.close()


def test_what_is_not_claimed_does_not_leave(
    alone: HostedWorld, port: multistack.Port, echo: int
) -> None:
    ip = IP(src=alone.addr[4], dst=alone.peer_addr[4])
    bad = ip / UDP(sport=7999, dport=echo) / b"forged"
    assert sr1(bad, timeout=0.3, verbose=False) is None
    assert port.stats()["drop_tx_unbound"] > 0


def test_scapy_is_as_it_was(alone: HostedWorld) -> None:
    before = conf.L2socket, conf.L3socket
    with (
        alone.port() as port,
        pytest.raises(ZeroDivisionError),
        multistack.scapy_on(port),
    ):
        assert (conf.L2socket, conf.L3socket) != before
        _ = 1 / 0
    assert (conf.L2socket, conf.L3socket) == before
