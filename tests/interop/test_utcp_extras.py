# SPDX-License-Identifier: BSD-2-Clause
"""Fast Open, ECN, path MTU, extension headers, UDP: with the kernel."""

from __future__ import annotations

import contextlib
import errno
import socket
import time
from collections.abc import Iterator

import pytest
from harness import (
    KERNEL,
    MB,
    PATIENCE_S,
    TUN,
    UTCP,
    Bench,
    Peer,
    full_duplex,
    kernel_info,
    meanwhile,
    pattern,
    recv_pattern,
)
from netns import Netns

BOTH = pytest.mark.parametrize("family", [4, 6], ids="ipv{}".format)
ROLES = pytest.mark.parametrize("role", ["server", "client"])

# ---- Fast Open (RFC 7413) -----------------------------------------------------------

_FASTOPEN = 23


def kernel_fastopen(bench: Bench, family: int, data: bytes) -> socket.socket:
    sock = bench.socket(family)
    sock.settimeout(None)  # cold it blocks, or the data is not taken
    sock.sendto(data, socket.MSG_FASTOPEN, (UTCP[family], 7000))
    sock.settimeout(PATIENCE_S)
    return sock


def kernel_warms_up(bench: Bench, peer: Peer) -> None:
    """Gets its cookie."""
    sock = kernel_fastopen(bench, 4, b"cold")
    sock.shutdown(socket.SHUT_WR)
    assert sock.recv(10) == b"cold"
    sock.close()
    assert peer.event("end")["error"] == 0


@BOTH
def test_the_kernel_opens_fast_when_warm(bench: Bench, family: int) -> None:
    """Cold it gets a cookie; then its SYN's data is taken."""
    bench.sysctl(tcp_fastopen=1)
    with bench.rig.ns.inside():
        bench.rig.ns.ip("tcp_metrics", "flush")
    peer = bench.peer()
    peer.listen(family, 7000, "echo", "fastopen=100")
    for i in range(3):
        sock = kernel_fastopen(bench, family, bytes(pattern(0, 500)))
        sock.shutdown(socket.SHUT_WR)
        assert recv_pattern(sock) == 500
        end = peer.event("end")
        assert end["error"] == 0
        warm = i > 0
        assert ("fastopen" in end["negotiated"]) == warm
        assert peer.count("fastopen_in") == i


def test_the_kernel_opens_fast_and_the_answer_precedes_its_ack(bench: Bench) -> None:
    """Which is lost here, and not missed."""
    bench.sysctl(tcp_fastopen=1)
    peer = bench.peer()
    peer.listen(4, 7000, "echo", "fastopen=100")
    kernel_warms_up(bench, peer)
    peer.do("impair", "out", "delay=200ms")
    sock = kernel_fastopen(bench, 4, b"warm")
    peer.until(lambda: peer.count("fastopen_in") == 1, "the SYN has come")
    peer.do("impair", "in", "loss=1")
    assert sock.recv(10) == b"warm"


def test_the_kernel_shows_a_wrong_cookie(bench: Bench) -> None:
    """Ours has another secret now: the data is sent again after the SYN-ACK."""
    bench.sysctl(tcp_fastopen=1)
    peer = bench.peer("--seed", "1")
    peer.listen(4, 7000, "echo", "fastopen=100")
    kernel_warms_up(bench, peer)
    peer.close()
    peer = bench.peer("--seed", "2")
    peer.listen(4, 7000, "echo", "fastopen=100")
    sock = kernel_fastopen(bench, 4, b"data on a SYN")
    sock.shutdown(socket.SHUT_WR)
    assert sock.recv(100) == b"data on a SYN"
    assert peer.event("end")["negotiated"].count("fastopen") == 0


@BOTH
def test_we_open_fast_when_warm(bench: Bench, family: int) -> None:
    bench.sysctl(tcp_fastopen=2)
    listener = bench.listener(family)
    listener.setsockopt(socket.IPPROTO_TCP, _FASTOPEN, 100)
    port = listener.getsockname()[1]
    peer = bench.peer()
    for i in range(3):
        peer.connect(family, port, "source", 500, "fastopen_connect=1")
        sock = bench.accept(listener)
        assert recv_pattern(sock) == 500
        sock.close()
        end = peer.event("end", "client")
        assert end["error"] == 0
        assert ("fastopen" in end["negotiated"]) == (i > 0)
        assert peer.count("fastopen_out") == i


def test_we_open_fast_to_who_does_not_know_it(bench: Bench) -> None:
    bench.sysctl(tcp_fastopen=0)
    listener = bench.listener(4)
    peer = bench.peer()
    peer.connect(4, listener.getsockname()[1], "source", 50000, "fastopen_connect=1")
    sock = bench.accept(listener)
    assert recv_pattern(sock) == 50000
    sock.close()
    assert peer.event("end", "client")["error"] == 0


def test_we_show_a_wrong_cookie(bench: Bench) -> None:
    """The kernel's key changes between two connections."""
    bench.sysctl(tcp_fastopen=2, tcp_fastopen_key="1-2-3-4")
    listener = bench.listener(4)
    listener.setsockopt(socket.IPPROTO_TCP, _FASTOPEN, 100)
    peer = bench.peer()
    for key in ("1-2-3-4", "5-6-7-8"):
        bench.sysctl(tcp_fastopen_key=key)
        peer.connect(4, listener.getsockname()[1], "source", 3000, "fastopen_connect=1")
        sock = bench.accept(listener)
        assert recv_pattern(sock) == 3000
        sock.close()
        assert peer.event("end", "client")["error"] == 0
    assert peer.count("fastopen_out") == 0


def test_fast_open_with_loss(bench: Bench) -> None:
    bench.sysctl(tcp_fastopen=3)
    peer = bench.peer("--in", "loss=0.15,dup=0.1", "--out", "loss=0.15,dup=0.1")
    peer.listen(4, 7000, "echo", "fastopen=100", "initrto_ns=100ms")
    for _ in range(5):
        sock = kernel_fastopen(bench, 4, bytes(pattern(0, 300)))
        sock.shutdown(socket.SHUT_WR)
        assert recv_pattern(sock) == 300
        sock.close()


# ---- ECN (RFC 3168) -------------------------------------------------------------------


@pytest.mark.parametrize("ours", [0, 1, 2], ids="utcp-{}".format)
@pytest.mark.parametrize("theirs", [0, 1, 2], ids="kernel-{}".format)
@ROLES
def test_who_agrees_on_ecn(bench: Bench, role: str, theirs: int, ours: int) -> None:
    """Kernel: 0 off, 1 asks, 2 if asked; ours: 0 off, 1 if asked, 2 asks."""
    bench.sysctl(tcp_ecn=theirs)
    peer = bench.peer()
    if role == "server":
        peer.listen(4, 7000, "echo", "keep", f"ecn={ours}")
        sock = bench.connect(4, 7000)
        agreed, name = theirs == 1 and ours > 0, "server.0"
    else:
        listener = bench.listener(4)
        port = listener.getsockname()[1]
        peer.connect(4, port, "echo", "keep", f"ecn={ours}")
        sock = bench.accept(listener)
        agreed, name = ours == 2 and theirs > 0, "client"
    assert full_duplex(sock, 100000) == 100000
    assert ("ecn" in peer.info(name)["negotiated"]) == agreed
    assert ("ecn" in kernel_info(sock)["options"]) == agreed


@BOTH
@pytest.mark.parametrize("cc", ["newreno", "cubic", "bbr"])
def test_we_heed_the_kernels_echo(bench: Bench, cc: str, family: int) -> None:
    """A queue that marks above 30 kB: no loss, and it stays short."""
    bench.sysctl(tcp_ecn=1)
    mark = 5000 if cc == "bbr" else 30000  # whose queues are shorter anyway
    peer = bench.peer(
        "--cc", cc, "--out", f"rate=50m,delay=2ms,mark={mark}", "--in", "delay=2ms"
    )
    peer.listen(family, 7000, "source", 3 * MB, "ecn=2")
    sock = bench.connect(family, 7000)
    assert recv_pattern(sock) == 3 * MB
    sock.close()
    end = peer.event("end")
    assert "ecn" in end["negotiated"]
    wire = peer.do("wire")["out"]
    assert wire["marked"] > 0
    assert peer.count("ecn_ece") > 0
    assert end["total_retrans_segs"] == 0
    assert end["delivered_ce_bytes"] > 0
    if cc != "bbr":
        assert wire["marked"] < wire["in"] * 0.6, "echoes were not heeded"


@BOTH
def test_the_kernel_heeds_our_echo(bench: Bench, family: int) -> None:
    bench.sysctl(tcp_ecn=1)
    peer = bench.peer("--in", "rate=50m,delay=2ms,mark=30000", "--out", "delay=2ms")
    peer.listen(family, 7000, "sink", "ecn=1")
    sock = bench.connect(family, 7000)
    assert full_duplex(sock, 3 * MB) == 0
    end = peer.event("end")
    assert end["rx"] == 3 * MB
    wire = peer.do("wire")["in"]
    assert wire["marked"] > 0
    assert peer.count("ecn_ce") == wire["marked"]
    assert wire["marked"] < wire["in"] * 0.6, "the kernel did not slow down"


# ---- path MTU ---------------------------------------------------------------------------


class Road:
    """client == wire == the rig's namespace as a router == TUN == UTCP."""

    ADDR = {4: ("10.79.0.1", "10.79.0.2"), 6: ("fd79::1", "fd79::2")}

    def __init__(self, bench: Bench) -> None:
        self.far = Netns("far")
        self.router = bench.rig.ns
        self.router.ip(
            "link", "add", "far0", "type", "veth", "peer", "name", "eth0",
            "netns", self.far.name,
        )  # fmt: skip
        for family, (far, near) in self.ADDR.items():
            bits, nodad = (24, []) if family == 4 else (64, ["nodad"])
            self.far.ip("addr", "add", f"{far}/{bits}", "dev", "eth0", *nodad)
            self.router.ip("addr", "add", f"{near}/{bits}", "dev", "far0", *nodad)
        self.router.ip("link", "set", "far0", "up")
        self.far.ip("link", "set", "eth0", "up")
        for family, (_, near) in self.ADDR.items():
            self.far.ip(f"-{family}", "route", "add", "default", "via", near)
        self.was = {
            name: bench.rig.sysctl(name, 1)
            for name in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding")
        }
        self.rig = bench.rig

    def mtu(self, n: int) -> None:
        self.router.ip("link", "set", "far0", "mtu", n)

    def socket(self, family: int) -> socket.socket:
        with self.far.inside():
            af = socket.AF_INET if family == 4 else socket.AF_INET6
            made = socket.socket(af)
        made.settimeout(30)
        return made

    def close(self) -> None:
        # By hand: with its namespace the cable would go some time later, and
        # the next road's has the same name.
        self.router.ip("link", "del", "far0")
        self.far.close()
        for name, was in self.was.items():
            self.rig.sysctl(name, was)


@pytest.fixture
def road(bench: Bench) -> Iterator[Road]:
    with contextlib.closing(Road(bench)) as made:
        yield made


@BOTH
def test_a_router_says_that_packets_are_too_big(
    bench: Bench, road: Road, family: int
) -> None:
    """ICMP in the midst of a transfer: segments shrink, and it goes on."""
    n = 4 * MB
    road.mtu(1500)
    peer = bench.peer("--out", "rate=100m,delay=1ms")
    peer.listen(family, 7000, "source", n, "pmtud=1")
    with contextlib.closing(road.socket(family)) as sock:
        sock.connect((UTCP[family], 7000))
        assert recv_pattern(sock, MB) == MB
        road.mtu(1320)
        assert recv_pattern(sock, None, MB) == n - MB
    end = peer.event("end")
    assert end["error"] == 0
    assert end["pmtu"] == 1320
    assert peer.count("pmtu") >= 1
    # A router that contradicts what worked is believed after a timeout (RFC 5927
    # section 7); another may be of a machine that is busy elsewhere.
    assert peer.count("timeouts") <= 2, "what was too big was not sent again"


@BOTH
def test_the_path_mtu_is_remembered(bench: Bench, road: Road, family: int) -> None:
    road.mtu(1300)
    peer = bench.peer()
    peer.listen(family, 7000, "source", 100000)
    learnt = 0
    for i in range(2):
        with contextlib.closing(road.socket(family)) as sock:
            sock.connect((UTCP[family], 7000))
            assert recv_pattern(sock) == 100000
        end = peer.event("end")
        assert end["pmtu"] <= 1300
        learnt = peer.count("pmtu") if i == 0 else learnt
    assert peer.count("pmtu") == learnt, "it was learnt anew"
    road.mtu(1500)


@BOTH
@pytest.mark.parametrize("mtu", [1300, 1400])
def test_a_black_hole_for_what_we_send(bench: Bench, family: int, mtu: int) -> None:
    """Packets vanish without ICMP (RFC 4821, 8899)."""
    peer = bench.peer("--out", f"mtu={mtu}")
    peer.listen(family, 7000, "source", 300000)
    sock = bench.connect(family, 7000, 60)
    assert recv_pattern(sock) == 300000
    sock.close()
    end = peer.event("end")
    assert end["pmtu"] <= mtu


def test_a_black_hole_for_what_the_kernel_sends(bench: Bench) -> None:
    bench.sysctl(tcp_mtu_probing=1, tcp_retries1=1)  # doubts after one timeout
    peer = bench.peer("--in", "mtu=1200")
    peer.listen(4, 7000, "sink")
    sock = bench.connect(4, 7000, 60)
    assert full_duplex(sock, 200000) == 0
    assert peer.event("end")["rx"] == 200000


@BOTH
def test_our_interface_changes_its_mtu(bench: Bench, family: int) -> None:
    peer = bench.peer("--out", "rate=200m")
    peer.listen(family, 7000, "source", 3 * MB)
    sock = bench.connect(family, 7000)
    assert recv_pattern(sock, MB) == MB
    peer.do("mtu", 1300)
    assert recv_pattern(sock, None, MB) == 2 * MB
    sock.close()
    assert peer.event("end")["pmtu"] == 1300


def test_jumbo_frames(bench: Bench) -> None:
    bench.rig.ns.ip("link", "set", TUN, "mtu", 9000)
    try:
        peer = bench.peer("--mtu", 9000)
        peer.listen(4, 7000, "echo")
        sock = bench.connect(4, 7000)
        assert full_duplex(sock, 4 * MB) == 4 * MB
        assert peer.event("end")["mss"] > 8900
    finally:
        bench.rig.ns.ip("link", "set", TUN, "mtu", 1500)


# ---- headers -----------------------------------------------------------------------------

# Next header and length are the kernel's to fill; PadN of 4.
_PADDING = bytes([0, 0, 1, 4, 0, 0, 0, 0])


@pytest.mark.parametrize(
    "header",
    [
        ("hop-by-hop", socket.IPV6_HOPOPTS),
        ("destination", socket.IPV6_DSTOPTS),
    ],
    ids=lambda h: h[0],
)
def test_extension_headers(bench: Bench, header: tuple[str, int]) -> None:
    peer = bench.peer("--offloads", "csum,tso")
    peer.listen(6, 7000, "echo")
    sock = bench.socket(6)
    sock.setsockopt(socket.IPPROTO_IPV6, header[1], _PADDING)
    sock.connect((UTCP[6], 7000))
    assert full_duplex(sock, MB) == MB
    assert peer.event("end")["error"] == 0


def test_ipv4_options(bench: Bench) -> None:
    """Three no-operations and an end."""
    peer = bench.peer()
    peer.listen(4, 7000, "echo")
    sock = bench.socket(4)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, b"\1\1\1\0")
    sock.connect((UTCP[4], 7000))
    assert full_duplex(sock, MB) == MB


_MINHOPCOUNT = 73


def test_dscp_and_hop_limit_of_ours(bench: Bench) -> None:
    """As the kernel sees them."""
    peer = bench.peer()
    peer.listen(6, 7000, "echo", "dscp=46", "ttl=33")
    sock = bench.socket(6)
    sock.setsockopt(socket.IPPROTO_IPV6, _MINHOPCOUNT, 33)
    sock.connect((UTCP[6], 7000))
    assert full_duplex(sock, 1000) == 1000


def test_ttl_min(bench: Bench) -> None:
    """RFC 5082: who comes from too far away is not heard."""
    peer = bench.peer()
    peer.listen(4, 7000, "echo", "ttl_min=60")
    near, far = bench.socket(4), bench.socket(4, seconds=0.5)
    far.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 59)
    near.connect((UTCP[4], 7000))
    assert full_duplex(near, 1000) == 1000
    with pytest.raises(TimeoutError):
        far.connect((UTCP[4], 7000))
    assert peer.count("accepts") == 1


# ---- UDP and ICMP ---------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("n", [0, 1, 1000, 1472, 5000, 60000])
def test_datagrams_of_any_size(bench: Bench, family: int, n: int) -> None:
    """Larger than the MTU they travel as fragments, both ways."""
    peer = bench.peer()
    peer.do("udp", UTCP[family], 7001)
    sock = bench.socket(family, socket.SOCK_DGRAM)
    sock.sendto(bytes(pattern(0, n)), (UTCP[family], 7001))
    answer, source = sock.recvfrom(70000)
    assert answer == bytes(pattern(0, n))
    assert source[:2] == (UTCP[family], 7001)


@BOTH
def test_segmented_datagrams(bench: Bench, family: int) -> None:
    """UDP_SEGMENT: many in one packet on the way in and out."""
    peer = bench.peer("--offloads", "csum,tso,uso")
    peer.do("udp", UTCP[family], 7001)
    sock = bench.socket(family, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_UDP, 103, 1000)  # UDP_SEGMENT
    sock.sendto(bytes(pattern(0, 20500)), (UTCP[family], 7001))
    got = b"".join(sock.recv(2000) for _ in range(21))
    assert got == bytes(pattern(0, 20500))


def test_fragments_out_of_order_and_lost(bench: Bench) -> None:
    peer = bench.peer("--in", "reorder=0.3,late=2ms,dup=0.1")
    peer.do("udp", UTCP[4], 7001)
    sock = bench.socket(4, socket.SOCK_DGRAM)
    for i in range(50):
        sock.sendto(bytes(pattern(i, 9000)), (UTCP[4], 7001))
        assert sock.recv(70000) == bytes(pattern(i, 9000))


@BOTH
def test_no_udp_socket(bench: Bench, family: int) -> None:
    """Port unreachable, which the kernel tells its sender."""
    bench.peer()
    sock = bench.socket(family, socket.SOCK_DGRAM)
    sock.connect((UTCP[family], 7009))
    sock.send(b"anybody?")
    with pytest.raises(ConnectionRefusedError):
        sock.recv(10)


@pytest.mark.parametrize("soft", [0, 1])
def test_icmp_unreachable_ends_a_connect(bench: Bench, soft: int) -> None:
    """The kernel has no way to there, and says so: at once, or if the user thinks
    that it may pass when all retries were in vain."""
    bench.rig.ns.ip("route", "add", "unreachable", "203.0.113.0/24")
    bench.sysctl(ip_forward=1)
    try:
        peer = bench.peer()
        rto = "60s" if soft else "500ms"  # for which nobody has to wait, or all
        start = time.monotonic()
        peer.do("connect", "client", "203.0.113.1", 80, "sink", "syn_retries=1",
                f"initrto_ns={rto}", f"soft_errors={soft}")  # fmt: skip
        assert peer.event("end", "client")["error"] == errno.EHOSTUNREACH
        assert soft or time.monotonic() - start > 1.4
    finally:
        bench.rig.ns.ip("route", "del", "unreachable", "203.0.113.0/24")


# ---- cookies of the kernel's --------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("timestamps", [0, 1])
def test_the_kernel_answers_with_syn_cookies(
    bench: Bench, timestamps: int, family: int
) -> None:
    """Its memory of our options is in the cookie and the timestamp."""
    bench.sysctl(tcp_syncookies=2)
    listener = bench.listener(family)
    before = bench.rig.nstat("SyncookiesRecv")
    peer = bench.peer("--in", "delay=1ms", "--out", "delay=1ms")
    peer.connect(
        family, listener.getsockname()[1], "both", MB, f"timestamps={timestamps}"
    )
    sock = bench.accept(listener)
    assert full_duplex(sock, MB) == MB
    end = peer.event("end", "client")
    assert (end["error"], end["bad_at"], end["rx"]) == (0, -1, MB)
    assert bench.rig.nstat("SyncookiesRecv") == before + 1


def test_the_kernels_accept_queue_is_full(bench: Bench) -> None:
    """It drops our ACK and data; we go on trying until it accepts."""
    listener = bench.listener(4, backlog=0)
    port = listener.getsockname()[1]
    peer = bench.peer()
    for i in range(3):
        peer.do("connect", f"c{i}", KERNEL[4], port, "both", 1000, "initrto_ns=100ms")
    time.sleep(0.5)

    def serve() -> None:
        for _ in range(3):
            sock = bench.accept(listener)
            assert full_duplex(sock, 1000) == 1000

    with meanwhile(serve):
        for i in range(3):
            assert peer.event("end", f"c{i}")["error"] == 0
