# SPDX-License-Identifier: BSD-2-Clause
"""What each option of a socket does, as the kernel at the other end sees it."""

from __future__ import annotations

import errno
import itertools
import socket
import subprocess
import time

import pytest
from harness import (
    MB,
    PATIENCE_S,
    TUN,
    UTCP,
    Bench,
    Peer,
    full_duplex,
    held,
    meanwhile,
    pattern,
    program,
    recv_pattern,
    send_pattern,
)
from watch import ACK, FIN, RST, SYN, Seg, Watch

BOTH = pytest.mark.parametrize("family", [4, 6], ids="ipv{}".format)
_IN, _OUT = 1, 4  # UTCP_IN, UTCP_OUT
_FULL = 1448  # of IPv4, timestamps on


def sizes(watch: Watch) -> list[int]:
    return [s.size for s in watch.data()]


def gaps(segs: list[Seg]) -> list[float]:
    return [b.at - a.at for a, b in itertools.pairwise(segs)]


def can(peer: Peer, name: str, what: int) -> bool:
    return bool(peer.info(name)["poll"] & what)


# ---- when a segment leaves ------------------------------------------------------------


def test_nagle_waits_for_the_acknowledgement(bench: Bench, watch: Watch) -> None:
    peer = bench.peer("--in", "delay=500ms")
    sock, name = held(bench, peer)
    for _ in range(3):
        peer.do("write", name, 10)
    assert peer.info(name)["notsent_bytes"] == 20
    recv_pattern(sock, 30)
    assert sizes(watch) == [10, 20]


def test_the_end_of_a_record_is_the_end_of_a_segment(
    bench: Bench, watch: Watch
) -> None:
    """UTCP_MSG_EOR: nothing behind it is merged into its segment."""
    peer = bench.peer("--in", "delay=500ms")
    sock, name = held(bench, peer)
    for how in ("", "", "eor", ""):
        peer.do("write", name, 10, how)
    recv_pattern(sock, 40)
    assert sizes(watch) == [10, 20, 10]


def test_nodelay_does_not(bench: Bench, watch: Watch) -> None:
    peer = bench.peer("--in", "delay=500ms")
    sock, name = held(bench, peer, "server", 4, "nodelay=1")
    for _ in range(3):
        peer.do("write", name, 10)
    recv_pattern(sock, 30)
    assert sizes(watch) == [10, 10, 10]
    peer.do("set", name, "nodelay=0")
    for _ in range(2):
        peer.do("write", name, 10)
    assert peer.info(name)["notsent_bytes"] == 20
    peer.do("set", name, "nodelay=1")
    recv_pattern(sock, 20, 30)
    assert sizes(watch) == [10, 10, 10, 20]


@pytest.mark.parametrize("way", ["option", "flag"])
def test_a_cork_waits_for_full_segments(bench: Bench, watch: Watch, way: str) -> None:
    """And leaves no small one until it is drawn."""
    peer = bench.peer()
    sock, name = held(bench, peer, "client", 4, "nodelay=1")
    writes = [f"write {name} {n}" for n in (400, 400, 2000, 100)]
    if way == "option":
        commands = [f"set {name} cork=1", *writes, f"set {name} cork=0"]
    else:
        commands = [*(f"{write} more" for write in writes), f"write {name} 100"]
    peer.do_at_once(*commands)
    n = 2900 + 100 * (way == "flag")
    recv_pattern(sock, n)
    assert sizes(watch) == [_FULL, _FULL, n - 2 * _FULL]


def test_a_forgotten_cork_holds_for_a_fifth_of_a_second(
    bench: Bench, watch: Watch
) -> None:
    peer = bench.peer()
    sock, name = held(bench, peer, "server", 4, "cork=1")
    start = time.time()
    peer.do("write", name, 100)
    recv_pattern(sock, 100)
    assert watch.data()[0].at - start > 0.19


@pytest.mark.parametrize("n", [1, 4, 30])
def test_the_initial_window(bench: Bench, watch: Watch, n: int) -> None:
    peer = bench.peer("--in", "delay=400ms")
    peer.listen(4, 7000, "source", 2 * n * _FULL, f"initcwnd={n}", "pacing=0")
    sock = bench.connect(4, 7000)
    recv_pattern(sock)
    data = watch.data()
    first = [s for s in data if s.at < data[0].at + 0.35]
    assert len(first) == n


@pytest.mark.parametrize("pacing", [0, 2])
def test_pacing_spreads_the_window(bench: Bench, watch: Watch, pacing: int) -> None:
    """The second, of twenty segments, over half a round trip of 500 ms; or at
    once. (An initial window leaves as it is.)"""
    peer = bench.peer("--in", "delay=500ms")
    peer.listen(4, 7000, "source", 30 * _FULL, f"pacing={pacing}")
    sock = bench.connect(4, 7000)
    recv_pattern(sock)
    data = watch.data()
    assert len(data) == 30
    assert (data[-1].at - data[10].at > 0.15) == (pacing == 2)


@pytest.mark.parametrize("cc", ["cubic", "bbr"])
def test_a_largest_rate(bench: Bench, watch: Watch, cc: str) -> None:
    """Kept throughout: no tenth of a second has two tenths' bytes."""
    rate = 1000000
    peer = bench.peer("--cc", cc, "--in", "delay=5ms")
    peer.listen(4, 7000, "source", rate, f"max_pacing_rate={rate}")
    sock = bench.connect(4, 7000)
    recv_pattern(sock)
    data = watch.data()
    took = data[-1].at - data[0].at
    assert took > 0.9
    for i in range(int(took * 10) + 1):
        begin = data[0].at + i / 10
        amount = sum(s.size for s in data if begin <= s.at < begin + 0.1)
        assert amount < 2 * rate / 10


@pytest.mark.parametrize("cc", ["newreno", "cubic", "bbr"])
def test_another_congestion_control_on_the_way(bench: Bench, cc: str) -> None:
    link = "rate=100m,delay=5ms,queue=60000"
    peer = bench.peer("--out", link, "--in", "delay=5ms")
    peer.listen(6, 7000, "source", 3 * MB, "keep")
    sock = bench.connect(6, 7000)
    peer.event("accepted")
    for i, name in enumerate([cc, "cubic", "bbr", "newreno", cc]):
        assert recv_pattern(sock, MB // 2, i * MB // 2) == MB // 2
        peer.do("set", "server.0", f"cc={name}")
        assert peer.info("server.0")["cc"] == name
    assert peer.try_do("set", "server.0", "cc=nobody")["result"] == -errno.ENOENT
    assert recv_pattern(sock, None, 5 * MB // 2) == MB // 2


# ---- when an acknowledgement does ----------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "waits"),
    [
        (["delack_ns=150ms"], True),
        (["delack_ns=150ms", "quickack=1"], False),
        (["delack_ns=0"], False),
    ],
    ids=["delayed", "quickack", "no-delay"],
)
def test_an_acknowledgement_waits(
    bench: Bench, watch: Watch, settings: list[str], waits: bool
) -> None:
    peer = bench.peer()
    sock, name = held(bench, peer, "server", 4, *settings)

    def send_one() -> float:
        """Seconds until it is acknowledged."""
        before = watch.segs()[-1]
        sock.send(b"x" * 100)
        segs = peer.until(
            lambda: [s for s in watch.ours() if s.at > before.at], "an ACK"
        )
        data = next(s for s in watch.segs() if s.at > before.at and s.size)
        return float(segs[0].at - data.at)

    for _ in range(20):  # a new connection's are acknowledged at once
        send_one()
    took = [send_one() for _ in range(3)]
    assert min(took) > 0.13 if waits else min(took) < 0.1, took


@pytest.mark.parametrize(("every", "least", "most"), [(1, 0.6, 1.1), (8, 0.05, 0.35)])
def test_so_many_segments_for_an_acknowledgement(
    bench: Bench, watch: Watch, every: int, least: float, most: float
) -> None:
    """At 400 segments a second, so that each is taken in alone."""
    peer = bench.peer("--in", "rate=5m")
    peer.listen(4, 7000, "sink", f"ack_every={every}", "delack_ns=400ms")
    sock = bench.connect(4, 7000)
    send_pattern(sock, 400000)
    sock.shutdown(socket.SHUT_WR)
    assert sock.recv(10) == b""
    data = [s for s in watch.segs() if s.size and not s.ours]
    acks = [s for s in watch.ours() if s.flags == ACK]
    assert least < len(acks) / len(data) < most


# ---- sizes ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "least", "most"),
    [
        ("sndbuf=0", 300000, 4 * MB),
        ("sndbuf_max=100000", 60000, 100000),
        ("sndbuf=40000", 30000, 40000),
    ],
)
def test_what_is_under_way_grows_up_to(
    bench: Bench, setting: str, least: int, most: int
) -> None:
    """100 Mb/s and 40 ms are half a megabyte."""
    peer = bench.peer("--out", "rate=100m,delay=20ms", "--in", "delay=20ms")
    n = 6 * MB if most > MB else MB
    peer.listen(4, 7000, "source", n, setting, "keep")
    sock = bench.connect(4, 7000)
    peer.event("accepted")
    seen = []

    def look() -> None:
        eof = False
        while not eof:
            info = peer.info("server.0")
            seen.append(info["unacked_bytes"] + info["notsent_bytes"])
            eof = info["eof"]

    with meanwhile(look):
        assert recv_pattern(sock) == n
        sock.shutdown(socket.SHUT_WR)
    assert least < max(seen) <= most


@pytest.mark.parametrize(
    ("setting", "least", "most"),
    [
        ("rcvbuf=0", 300000, 6 * MB),
        ("rcvbuf_max=100000", 60000, 100000),
        ("rcvbuf=40000", 20000, 40000),
        ("window_clamp=30000", 20000, 30000),
    ],
)
def test_the_window_grows_up_to(
    bench: Bench, watch: Watch, setting: str, least: int, most: int
) -> None:
    peer = bench.peer("--in", "rate=100m,delay=20ms", "--out", "delay=20ms")
    n = 6 * MB if most > MB else MB
    peer.listen(4, 7000, "sink", setting, "keep")
    sock = bench.connect(4, 7000)
    peer.event("accepted")
    send_pattern(sock, n)
    peer.until(lambda: peer.info("server.0")["rx"] == n, "all of it", 30)
    scale = peer.info("server.0")["rcv_wscale"]
    windows = [s.window << scale for s in watch.ours() if not s.flags & SYN]
    assert least < max(windows) <= most


@pytest.mark.parametrize("when", ["before", "later"])
@pytest.mark.parametrize("setting", ["rcvbuf", "window_clamp"])
@pytest.mark.parametrize("n", [1, 100, 1000])
def test_a_tiny_window_does_not_stall(
    bench: Bench, n: int, setting: str, when: str
) -> None:
    """Less than the unit of its scale, or than a segment."""
    peer = bench.peer()
    tiny = f"{setting}={n}"
    settings = ["keep", "delack_ns=0", *([tiny] if when == "before" else [])]
    peer.listen(4, 7000, "sink", *settings)
    sock = bench.connect(4, 7000)
    peer.event("accepted")
    first, rest = 0, min(500, 10 * n)
    if when == "later":
        first = 100000
        send_pattern(sock, first)
        peer.until(lambda: peer.info("server.0")["rx"] == first, "the first of it")
        peer.do("set", "server.0", tiny)
        rest += peer.info("server.0")["rcv_wnd_bytes"]  # which it has already
    with meanwhile(lambda: send_pattern(sock, rest, first)):
        peer.until(lambda: peer.info("server.0")["rx"] == first + rest, "all")


def test_no_more_is_asked_for_than_little_unsent(bench: Bench) -> None:
    """Not-sent low water: the level is what is unsent, not what is in flight."""
    peer = bench.peer()
    sock, name = held(bench, peer, "server", 4, "notsent_lowat=5000", "sndbuf=1000000")
    peer.do("impair", "in", "loss=1")
    wrote = peer.do("write", name, 40000)["result"]
    info = peer.info(name)
    assert info["notsent_bytes"] >= 5000
    assert not info["poll"] & _OUT
    peer.do("set", name, "notsent_lowat=30000")
    assert can(peer, name, _OUT)
    peer.do("set", name, "notsent_lowat=5000")
    assert not can(peer, name, _OUT)
    peer.do("impair", "in", "none")
    recv_pattern(sock, wrote)
    peer.until(lambda: can(peer, name, _OUT), "room")


def test_few_bytes_are_no_reason_to_read(bench: Bench) -> None:
    peer = bench.peer()
    sock, name = held(bench, peer, "server", 4, "rcvlowat=1000")
    sock.send(bytes(pattern(0, 999)))
    peer.until(lambda: peer.info(name)["unread_bytes"] == 999, "the data")
    assert not can(peer, name, _IN)
    sock.send(bytes(pattern(999, 1)))
    peer.until(lambda: can(peer, name, _IN), "enough")
    assert peer.do("read", name, 5000)["result"] == 1000


# ---- patience ------------------------------------------------------------------------------


def test_retransmissions(bench: Bench, watch: Watch) -> None:
    """How many, how long the first waits, and up to what the wait doubles."""
    peer = bench.peer()
    settings = ["retries=5", "rto_min_ns=200ms", "rto_max_ns=1s", "rack=0"]
    _, name = held(bench, peer, "server", 4, *settings)
    peer.do("impair", "in", "loss=1")
    peer.do("write", name, 100)
    assert peer.event("end", name)["error"] == errno.ETIMEDOUT
    data = watch.data()
    assert len({s.seq for s in data}) == 1
    waits = gaps(data)
    assert len(waits) == 5
    for wait, least in zip(waits, (0.2, 0.4, 0.8, 1.0, 1.0), strict=True):
        assert least * 0.98 <= wait < least + 2.0  # and not 1.6, 3.2


def test_retransmissions_of_a_syn(bench: Bench, watch: Watch) -> None:
    peer = bench.peer("--in", "loss=1")
    peer.connect(4, 7999, "sink", "syn_retries=2", "initrto_ns=200ms")
    assert peer.event("end", "client")["error"] == errno.ETIMEDOUT
    waits = gaps([s for s in watch.ours() if s.flags & SYN])
    assert len(waits) == 2
    assert waits[0] > 0.19 and waits[1] > 0.38


def test_retransmissions_of_a_syn_ack(bench: Bench, watch: Watch) -> None:
    """Each of many strangers is answered, and twice more."""
    peer = bench.peer()
    peer.listen(4, 7000, "hold", "synack_retries=2", "initrto_ns=50ms")
    flood = [program("utcp-flood"), TUN, UTCP[4], 7000, "syn", 0.01, 100]
    subprocess.run(bench.rig.ns.command(*flood), check=True, capture_output=True)
    peer.until(lambda: peer.do("usage")["syns"] == 0, "the end of their patience")
    answers = [(s.dst, s.dport) for s in watch.ours() if s.flags == SYN | ACK]
    each = {answers.count(who) for who in set(answers)}
    assert each == {3}


def test_an_orphan_does_not_wait_for_ever(bench: Bench, watch: Watch) -> None:
    """FIN-WAIT-2 of who has closed ends, though the kernel never says a word."""
    peer = bench.peer()
    sock, name = held(bench, peer, "server", 4, "fin_timeout_ns=300ms")
    start = time.monotonic()
    peer.do("close", name)
    assert sock.recv(10) == b""
    peer.until(lambda: peer.do("usage")["socks"] == 1, "the orphan's end")
    assert time.monotonic() - start > 0.29
    sock.send(b"anybody?")
    peer.until(lambda: [s for s in watch.ours() if s.flags & RST], "a reset")


def test_time_wait_takes_twice_the_msl(bench: Bench) -> None:
    peer = bench.peer()
    sock, name = held(bench, peer, "server", 4, "msl_ns=150ms")
    peer.do("close", name)
    assert sock.recv(10) == b""
    start = time.monotonic()
    sock.close()
    peer.until(lambda: peer.count("timewaits") == 1, "TIME-WAIT")
    peer.until(lambda: peer.do("usage")["timewaits"] == 0, "its end")
    assert time.monotonic() - start > 0.29


def test_a_port_in_time_wait_is_not_bound(bench: Bench) -> None:
    """Unless REUSEADDR says so, which is the default."""
    listener = bench.listener(4)
    port = listener.getsockname()[1]
    peer = bench.peer()
    peer.connect(4, port, "hold", f"from={UTCP[4]},7700")
    sock = bench.accept(listener)
    peer.event("open")
    peer.do("close", "client")
    assert sock.recv(10) == b""
    sock.close()
    peer.until(lambda: peer.do("usage")["timewaits"] == 1, "TIME-WAIT")
    listen = ["listen", "again", UTCP[4], 7700, "echo"]
    assert peer.try_do(*listen, "reuseaddr=0")["result"] == -errno.EADDRINUSE
    peer.do(*listen)
    assert full_duplex(bench.connect(4, 7700), 1000) == 1000


# ---- who gets in -------------------------------------------------------------------------


def test_nobody_is_accepted_before_he_says_something(bench: Bench) -> None:
    """DEFER_ACCEPT: with the first data, or when the time is up."""
    peer = bench.peer()
    peer.listen(4, 7000, "echo", "defer_accept_ns=700ms", "initrto_ns=300ms")
    start, silent = time.monotonic(), bench.connect(4, 7000)
    talks = bench.connect(4, 7000)
    talks.send(b"hello")
    assert talks.recv(10) == b"hello"
    if time.monotonic() - start < 0.6:
        assert peer.info("server")["accepted"] == 1
    peer.until(lambda: peer.info("server")["accepted"] == 2, "patience to end")
    assert time.monotonic() - start > 0.69
    silent.send(b"at last")
    assert silent.recv(10) == b"at last"


@pytest.mark.parametrize("v6only", [0, 1])
def test_an_ipv6_listener_takes_ipv4(bench: Bench, v6only: int) -> None:
    peer = bench.peer()
    peer.listen(6, 7000, "echo", f"v6only={v6only}")
    assert full_duplex(bench.connect(6, 7000), 1000) == 1000
    if v6only:
        with pytest.raises(ConnectionRefusedError):
            bench.connect(4, 7000)
    else:
        assert full_duplex(bench.connect(4, 7000), 1000) == 1000


_WITHOUT_COOKIE = 0x4, 0x200  # of net.ipv4.tcp_fastopen: client, server
_TCP_FASTOPEN = 23


def test_fast_open_without_cookies_by_the_kernel(bench: Bench, watch: Watch) -> None:
    """The first connection's data is on its SYN, and taken."""
    bench.sysctl(tcp_fastopen=1 | _WITHOUT_COOKIE[0])
    peer = bench.peer()
    peer.listen(4, 7000, "echo", "fastopen=100", "fastopen_nocookie=1")
    sock = bench.socket(4)
    sock.settimeout(None)
    sock.sendto(b"at once", socket.MSG_FASTOPEN, (UTCP[4], 7000))
    sock.settimeout(PATIENCE_S)
    sock.shutdown(socket.SHUT_WR)
    assert recv_all(sock) == b"at once"
    assert "fastopen" in peer.event("end")["negotiated"]
    assert [s.size for s in watch.segs() if s.flags == SYN] == [7]


def test_fast_open_without_cookies_by_us(bench: Bench, watch: Watch) -> None:
    bench.sysctl(tcp_fastopen=2 | _WITHOUT_COOKIE[1])
    listener = bench.listener(4)
    listener.setsockopt(socket.IPPROTO_TCP, _TCP_FASTOPEN, 100)
    peer = bench.peer()
    peer.connect(4, listener.getsockname()[1], "source", 400,
                 "fastopen_connect=1", "fastopen_nocookie=1")  # fmt: skip
    sock = bench.accept(listener)
    assert recv_pattern(sock) == 400
    sock.close()
    assert "fastopen" in peer.event("end", "client")["negotiated"]
    assert [s.size for s in watch.segs() if s.flags == SYN] == [400]


def recv_all(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(1000), b""))


# ---- marks ----------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("role", ["server", "client"])
def test_dscp_and_hop_limit(bench: Bench, watch: Watch, role: str, family: int) -> None:
    """On every segment, from the SYN to the FIN; changed, from then on."""
    peer = bench.peer()
    sock, name = held(bench, peer, role, family, "dscp=46", "ttl=33")
    peer.do("write", name, 1000)
    recv_pattern(sock, 1000)
    ours = watch.ours()
    assert {(s.tos >> 2, s.ttl) for s in ours} == {(46, 33)}
    assert any(s.flags & SYN for s in ours)
    before = len(ours)
    peer.do("set", name, "dscp=10")
    peer.do("set", name, "ttl=255")
    peer.do("write", name, 1000)
    recv_pattern(sock, 1000, 1000)
    sock.send(b"never read")
    peer.until(lambda: peer.info(name)["unread_bytes"] == 10, "the data")
    peer.do("close", name)
    ours = peer.until(lambda: (o := watch.ours())[-1].flags & (RST | FIN) and o, "RST")
    assert {(s.tos >> 2, s.ttl) for s in ours[before:]} == {(10, 255)}
