# SPDX-License-Identifier: BSD-2-Clause
"""How connections open and end between UTCP and the kernel: all ways."""

from __future__ import annotations

import errno
import socket
import time

import pytest
from harness import (
    KERNEL,
    MB,
    PATIENCE_S,
    UTCP,
    Bench,
    echo_all,
    full_duplex,
    held,
    kernel_info,
    meanwhile,
    pattern,
    reaches,
    readable,
    recv_pattern,
    reset_on_close,
    send_pattern,
    state,
    well,
)

BOTH = pytest.mark.parametrize("family", [4, 6], ids="ipv{}".format)
ROLES = pytest.mark.parametrize("role", ["server", "client"])


# ---- closing in order -------------------------------------------------------------


@BOTH
@ROLES
def test_the_kernel_half_closes(bench: Bench, role: str, family: int) -> None:
    """And we go on sending for as long as we like."""
    peer = bench.peer()
    sock, name = held(bench, peer, role, family)
    send_pattern(sock, 1000)
    sock.shutdown(socket.SHUT_WR)
    peer.event("rdhup", name)
    assert state(peer, name) == "close-wait"
    assert peer.do("read", name, 5000)["result"] == 1000
    assert peer.do("read", name, 5000)["result"] == 0
    for _ in range(3):
        assert peer.do("write", name, 30000)["result"] == 30000
        time.sleep(0.05)
    peer.do("shutdown", name, "wr")
    assert recv_pattern(sock) == 90000
    reaches(peer, name, "closed")
    peer.do("close", name)
    assert peer.do("usage")["timewaits"] == 0, "who closes second does not wait"


@BOTH
@ROLES
def test_we_half_close(bench: Bench, role: str, family: int) -> None:
    """And the kernel goes on sending."""
    peer = bench.peer()
    sock, name = held(bench, peer, role, family)
    peer.do("write", name, 1000)
    peer.do("shutdown", name, "wr")
    assert recv_pattern(sock) == 1000
    reaches(peer, name, "fin-wait-2")
    assert peer.try_do("write", name, 10)["result"] == -errno.EPIPE
    for i in range(3):
        send_pattern(sock, 500000 // 3, i * (500000 // 3))
        time.sleep(0.02)
        while peer.try_do("read", name, 1 << 18)["result"] > 0:
            pass
    sock.close()
    peer.event("rdhup", name)
    peer.until(lambda: peer.try_do("read", name, 1 << 18)["result"] == 0, "the end")
    assert peer.info(name)["rx"] == 500000 // 3 * 3
    assert peer.info(name)["bad_at"] == -1
    peer.do("close", name)
    assert peer.do("usage")["timewaits"] == 1


def test_close_sends_what_was_written(bench: Bench) -> None:
    """The handle is gone at once; the data arrives all the same."""
    peer = bench.peer("--out", "delay=5ms,loss=0.02", "--in", "delay=5ms")
    sock, name = held(bench, peer)
    wrote = peer.do("write", name, 200000)["result"]
    peer.do("close", name)
    assert recv_pattern(sock) == wrote
    sock.close()
    peer.until(lambda: peer.do("usage")["timewaits"] == 1, "TIME-WAIT")


@BOTH
def test_simultaneous_close(bench: Bench, family: int) -> None:
    """The kernel's FIN comes while ours is on its way: CLOSING (RFC 9293 figure
    13). It is lost on the way, so that it stays there for us to see."""
    peer = bench.peer()
    sock, name = held(bench, peer, "server", family)
    peer.do("impair", "out", "loss=1")
    peer.do("shutdown", name, "wr")
    sock.shutdown(socket.SHUT_WR)
    reaches(peer, name, "closing")
    peer.do("impair", "out", "none")
    assert sock.recv(10) == b""
    peer.until(lambda: peer.do("usage")["timewaits"] == 1, "TIME-WAIT")
    peer.do("close", name)


@BOTH
def test_simultaneous_open(bench: Bench, family: int) -> None:
    """Both SYNs are on their way at once (RFC 9293 figure 8)."""
    peer = bench.peer("--in", "delay=50ms", "--out", "delay=50ms")
    sock = bench.socket(family)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((KERNEL[family], 7100))
    sock.setblocking(False)
    with peer.stopped():
        assert sock.connect_ex((UTCP[family], 7200)) == errno.EINPROGRESS
        ours = f"from={UTCP[family]},7200"
        peer.say("connect", "client", KERNEL[family], 7100, "both", 50000, ours)
    well("connect", peer.reply("connect"))
    sock.settimeout(PATIENCE_S)
    peer.event("open", "client")
    assert full_duplex(sock, 50000) == 50000
    end = peer.event("end", "client")
    assert (end["error"], end["bad_at"], end["rx"]) == (0, -1, 50000)
    assert peer.count("resets_out") == peer.count("resets_in") == 0


def test_a_port_in_time_wait_is_used_again(bench: Bench) -> None:
    """Our TIME-WAIT; the kernel's SYN from the same port (RFC 6191)."""
    peer = bench.peer()
    peer.listen(4, 7000, "source", 100)
    for _ in range(5):
        sock = bench.socket(4)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((KERNEL[4], 7300))
        sock.connect((UTCP[4], 7000))
        assert recv_pattern(sock) == 100
        sock.close()
        peer.event("end")
        peer.until(lambda: peer.do("usage")["timewaits"] == 1, "TIME-WAIT")
        time.sleep(0.01)
    assert peer.count("timewait_reused") == 4


def test_we_connect_again_from_the_same_port(bench: Bench) -> None:
    """The kernel's TIME-WAIT, our SYN from the same port."""
    listener = bench.listener(4)
    port = listener.getsockname()[1]
    peer = bench.peer()
    for _ in range(3):
        peer.connect(4, port, "sink", f"from={UTCP[4]},7400", "timestamps=1")
        sock = bench.accept(listener)
        sock.close()
        assert peer.event("end", "client")["error"] == 0
        time.sleep(0.01)


# ---- resets -------------------------------------------------------------------------


@BOTH
@ROLES
def test_the_kernel_resets(bench: Bench, role: str, family: int) -> None:
    peer = bench.peer()
    sock, name = held(bench, peer, role, family)
    peer.do("mode", name, "sink")
    reset_on_close(sock)
    sock.close()
    assert peer.event("end", name)["error"] == errno.ECONNRESET
    assert peer.do("usage")["timewaits"] == 0


@BOTH
@ROLES
def test_we_reset(bench: Bench, role: str, family: int) -> None:
    peer = bench.peer()
    sock, name = held(bench, peer, role, family)
    peer.do("abort", name)
    with pytest.raises(ConnectionResetError):
        sock.recv(10)


def test_linger_0_resets(bench: Bench) -> None:
    peer = bench.peer()
    sock, name = held(bench, peer, "server", 4, "linger=0")
    peer.do("write", name, 100)
    peer.do("close", name)
    with pytest.raises(ConnectionResetError):
        while sock.recv(1000):
            pass


def test_closing_with_unread_data_resets(bench: Bench) -> None:
    """RFC 2525 section 2.17."""
    peer = bench.peer()
    sock, name = held(bench, peer)
    sock.send(b"never read")
    peer.until(lambda: peer.info(name)["unread_bytes"] == 10, "the data")
    peer.do("close", name)
    with pytest.raises(ConnectionResetError):
        sock.recv(10)


def test_the_kernel_closes_with_unread_data(bench: Bench) -> None:
    peer = bench.peer()
    sock, name = held(bench, peer)
    peer.do("write", name, 100)
    assert readable(sock, PATIENCE_S)
    peer.do("mode", name, "sink")
    sock.close()
    assert peer.event("end", name)["error"] == errno.ECONNRESET


@BOTH
def test_nobody_listens_at_ours(bench: Bench, family: int) -> None:
    bench.peer()
    with pytest.raises(ConnectionRefusedError):
        bench.connect(family, 7999)


@BOTH
def test_nobody_listens_at_the_kernels(bench: Bench, family: int) -> None:
    peer = bench.peer()
    peer.connect(family, 7999, "sink")
    assert peer.event("end", "client")["error"] == errno.ECONNREFUSED


def test_the_listener_closes(bench: Bench) -> None:
    """Connections that were accepted live on; new ones are refused."""
    peer = bench.peer()
    peer.listen(4, 7000, "echo")
    sock = bench.connect(4, 7000)
    sock.send(b"a")
    assert sock.recv(1) == b"a"
    peer.do("close", "server")
    with pytest.raises(ConnectionRefusedError):
        bench.connect(4, 7000)
    sock.send(b"b")
    assert sock.recv(1) == b"b"


# ---- somebody vanishes --------------------------------------------------------------


def test_the_kernel_vanishes_while_we_send(bench: Bench) -> None:
    """RFC 5482's user timeout."""
    peer = bench.peer()
    _, name = held(bench, peer, "server", 4, "user_timeout_ns=1s")
    peer.do("impair", "in", "loss=1")
    peer.do("impair", "out", "loss=1")
    start = time.monotonic()
    peer.do("mode", name, "source", 10000)
    assert peer.event("end", name)["error"] == errno.ETIMEDOUT
    assert time.monotonic() - start > 0.99


def test_the_kernel_vanishes_while_idle(bench: Bench) -> None:
    """Keepalive."""
    peer = bench.peer()
    settings = ["keepalive=1", "keepidle_ns=300ms", "keepintvl_ns=200ms", "keepcnt=3"]
    _, name = held(bench, peer, "server", 4, *settings)
    peer.do("mode", name, "sink")
    peer.until(lambda: peer.count("keepalives") >= 4, "probes")
    assert not peer.has("end"), "the kernel answers probes"
    start = time.monotonic()
    peer.do("impair", "in", "loss=1")
    assert peer.event("end", name)["error"] == errno.ETIMEDOUT
    assert time.monotonic() - start > 0.5


def test_we_answer_the_kernels_keepalives(bench: Bench) -> None:
    peer = bench.peer()
    sock, name = held(bench, peer)
    start = time.monotonic()  # nothing is said from now on

    def heard() -> float:
        """When the kernel had its last acknowledgement."""
        return time.monotonic() - kernel_info(sock)["last_ack_recv"] / 1000

    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 60)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    peer.until(lambda: heard() > start + 0.9, "an answer")
    sock.send(b"still here")
    peer.until(lambda: peer.info(name)["unread_bytes"] == 10, "the data")


def test_we_vanish_and_come_back(bench: Bench) -> None:
    """A stack that knows nothing of a connection resets it."""
    peer = bench.peer()
    sock, _ = held(bench, peer)
    peer.kill()
    bench.peer()
    sock.send(b"hello?")
    with pytest.raises(ConnectionResetError):
        sock.recv(10)


def test_a_link_that_comes_back(bench: Bench) -> None:
    """Nothing passes for a second and a half: then all goes on."""
    peer = bench.peer()
    peer.listen(4, 7000, "both", 4 * MB)
    sock = bench.connect(4, 7000)
    with meanwhile(lambda: full_duplex(sock, 4 * MB)) as got:
        for way in ("in", "out"):
            peer.do("impair", way, "loss=1")
        time.sleep(1.5)
        for way in ("in", "out"):
            peer.do("impair", way, "none")
    assert got == [4 * MB]
    assert peer.event("end")["bad_at"] == -1


def test_a_server_that_does_not_answer(bench: Bench) -> None:
    peer = bench.peer("--out", "loss=1")
    settings = ["syn_retries=2", "initrto_ns=100ms"]
    peer.connect(4, 7999, "sink", *settings)
    assert peer.event("end", "client")["error"] == errno.ETIMEDOUT


# ---- windows ---------------------------------------------------------------------------


@BOTH
def test_the_kernel_does_not_read(bench: Bench, family: int) -> None:
    """Its window is 0 for seconds: we probe; then it reads."""
    n = 6 * MB
    peer = bench.peer()
    peer.listen(family, 7000, "source", n)
    sock = bench.socket(family)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 40000)
    sock.connect((UTCP[family], 7000))
    peer.until(lambda: peer.info("server.0")["snd_wnd_bytes"] == 0, "a zero window")
    peer.until(lambda: peer.count("probes") >= 3, "probes")
    assert recv_pattern(sock) == n
    sock.close()
    assert peer.event("end")["error"] == 0


@BOTH
def test_we_do_not_read(bench: Bench, family: int) -> None:
    """Our window is 0 for seconds; the kernel's probes are answered."""
    n = 3 * MB
    peer = bench.peer()
    peer.listen(family, 7000, "hold", "rcvbuf=40000")
    sock = bench.connect(family, 7000)
    with meanwhile(lambda: send_pattern(sock, n)):
        name = peer.event("accepted")["name"]
        peer.until(lambda: peer.info(name)["rcv_wnd_bytes"] < 2000, "a full buffer")
        time.sleep(1.5)
        assert peer.info(name)["unread_bytes"] <= 50000
        peer.do("mode", name, "sink")
    sock.close()
    end = peer.event("end", name)
    assert (end["error"], end["rx"], end["bad_at"]) == (0, n, -1)


def test_slow_reading_by_us(bench: Bench) -> None:
    """Window updates are not silly (RFC 9293 section 3.8.6.2.2)."""
    peer = bench.peer()
    peer.listen(4, 7000, "hold", "rcvbuf=30000")
    sock = bench.connect(4, 7000)
    n = 300000
    with meanwhile(lambda: send_pattern(sock, n)):
        name = peer.event("accepted")["name"]
        total = 0
        while total < n:
            got = peer.try_do("read", name, 700)["result"]
            total += max(got, 0)
            if got <= 0:
                time.sleep(0.001)
    info = peer.info(name)
    assert info["bad_at"] == -1
    assert info["segs_in"] < 900, "the kernel was led to send small segments"


def test_urgent_data_does_not_disturb(bench: Bench) -> None:
    """The pointer is tolerated: its byte stands in the stream."""
    peer = bench.peer()
    sock, name = held(bench, peer)
    sock.send(bytes(pattern(0, 10)))
    sock.send(bytes(pattern(10, 1)), socket.MSG_OOB)
    sock.send(bytes(pattern(11, 20)))
    peer.until(lambda: peer.info(name)["unread_bytes"] >= 30, "the data")
    peer.do("read", name, 100)
    assert peer.info(name)["bad_at"] == -1


# ---- what both know of the connection ---------------------------------------------------


@ROLES
def test_both_know_the_round_trip(bench: Bench, role: str) -> None:
    peer = bench.peer("--in", "delay=10ms", "--out", "delay=10ms")
    n = MB
    if role == "server":
        peer.listen(4, 7000, "both", n, "keep")
        sock = bench.connect(4, 7000)
        name = "server.0"
    else:
        listener = bench.listener(4)
        peer.connect(4, listener.getsockname()[1], "both", n, "keep")
        sock = bench.accept(listener)
        name = "client"
    assert full_duplex(sock, n) == n
    peer.until(lambda: peer.info(name)["unacked_bytes"] == 0, "the last ACK")
    ours, theirs = peer.info(name), kernel_info(sock)
    # Of 20 ms, and whatever the machine adds.
    assert 19e6 < ours["min_rtt_ns"] < 1e9
    assert 19e6 < ours["rtt_ns"] < 1e9
    assert 19000 < theirs["rtt"] < 1000000
    assert ours["rto_ns"] >= 200e6
    assert ours["bytes_acked"] == n
    assert n <= ours["delivered_bytes"] <= n + 2  # SYN and FIN may count
    assert ours["bytes_received"] == n
    assert ours["bytes_sent"] == n + ours["bytes_retrans"]
    assert ours["unacked_bytes"] == ours["notsent_bytes"] == ours["lost_bytes"] == 0
    # Nothing was lost; what was late may have been thought so, as one is told.
    assert ours["total_retrans_segs"] == 0 or peer.count("dsack_in")
    assert theirs["total_retrans"] == 0 or peer.count("dsack_out")
    assert ours["cwnd_bytes"] > 10 * ours["mss"]
    assert ours["pmtu"] == 1500
    assert ours["segs_in"] > 0
    assert ours["delivery_rate"] > 0


def test_what_is_lost_is_counted(bench: Bench) -> None:
    peer = bench.peer("--out", "loss=0.03,delay=1ms", "--in", "delay=1ms")
    peer.listen(4, 7000, "source", 2 * MB)
    sock = bench.connect(4, 7000)
    assert recv_pattern(sock) == 2 * MB
    sock.close()
    end = peer.event("end")
    lost = peer.do("wire")["out"]["lost"]
    assert 0.7 * lost <= end["total_retrans_segs"] <= 1.5 * lost + 10
    assert end["bytes_sent"] == 2 * MB + end["bytes_retrans"]


def test_an_idle_connection_stays_open(bench: Bench) -> None:
    peer = bench.peer()
    peer.listen(4, 7000, "echo")
    sock = bench.connect(4, 7000)
    for pause in (0.0, 0.3, 2.5):
        time.sleep(pause)
        sock.send(b"ping")
        assert sock.recv(10) == b"ping"


def test_the_kernel_echoes_what_we_send(bench: Bench) -> None:
    listener = bench.listener(6)
    peer = bench.peer("--offloads", "csum,tso")
    peer.connect(6, listener.getsockname()[1], "both", 4 * MB)
    sock = bench.accept(listener)
    assert echo_all(sock) == 4 * MB
    end = peer.event("end", "client")
    assert (end["error"], end["rx"], end["bad_at"]) == (0, 4 * MB, -1)
