# SPDX-License-Identifier: BSD-2-Clause
"""Connections of which all is drawn by lot: link, options of both sides, sizes,
habits. A seed that fails is repeated with INTEROP_SEED=N; INTEROP_SEEDS=N says
how many are tried."""

from __future__ import annotations

import errno
import os
import random
import socket
import time

import pytest
from harness import (
    FULL,
    KERNEL,
    MB,
    UTCP,
    Bench,
    Peer,
    meanwhile,
    recv_pattern,
    reset_on_close,
    send_pattern,
    size,
)
from watch import SYN, Seg, Watch

_FIRST = int(os.environ.get("INTEROP_SEED", "1"))
_COUNT = int(os.environ.get("INTEROP_SEEDS", "1" if _FIRST > 1 else "16"))

# Of ours; None is the default.
SETTINGS: dict[str, list[str | None]] = {
    "sack": ["0", None, None],
    "timestamps": ["0", None, None],
    "wscale": ["-1", "0", "2", None, None],
    "rack": ["0", None, None],
    "ecn": ["0", "2", None],
    "nodelay": ["1", None],
    "cork": ["1", None, None],
    "quickack": ["1", None],
    "maxseg": ["100", "536", None, None, None],
    "sndbuf": ["4096", "20000", None, None],
    "rcvbuf": ["4096", "20000", None, None],
    "window_clamp": ["3000", None, None, None],
    "notsent_lowat": ["5000", None, None],
    "pacing": ["0", "2", None],
    "ack_every": ["1", "8", None],
    "delack_ns": ["0", "200ms", None],
    "initcwnd": ["1", "50", None],
    "pmtud": ["0", "1", None],
    "cc": ["newreno", "cubic", "bbr"],
}


def bad_link(r: random.Random) -> str:
    """One direction's."""
    parts = [f"delay={r.choice([0, 100, 1000, 10000])}us"]
    odds = {"loss": 0.03, "dup": 0.05, "corrupt": 0.01, "reorder": 0.1}
    parts += [
        f"{name}={r.uniform(0, most):.4f}"
        for name, most in odds.items()
        if r.random() < 0.4
    ]
    if r.random() < 0.3:
        parts += [f"jitter={r.choice([200, 3000])}us"]
    if r.random() < 0.3:
        parts += [f"burst={r.choice([2, 5])}"]
    if r.random() < 0.3:
        parts += [f"late={r.choice([500, 5000, 20000])}us"]
    if r.random() < 0.3:
        parts += [f"rate={r.choice([10, 100, 1000])}m", "queue=60000", "mark=20000"]
    return ",".join(parts)


def slow_recv(sock: socket.socket, r: random.Random) -> int:
    """With pauses at first."""
    done = 0
    for _ in range(r.choice([0, 0, 3, 10])):
        time.sleep(r.uniform(0, 0.05))
        sock.settimeout(60)
        got = len(sock.recv(r.choice([1, 500, 20000]), socket.MSG_PEEK))
        if not got:
            break
        done += recv_pattern(sock, got, done)
    return done + recv_pattern(sock, None, done)


def slow_send(sock: socket.socket, n: int, r: random.Random) -> None:
    done = 0
    for _ in range(r.choice([0, 0, 5, 30])):
        piece = min(n - done, r.choice([1, 10, 1000, 5000]))
        send_pattern(sock, piece, done)
        done += piece
        time.sleep(r.uniform(0, 0.01))
    send_pattern(sock, n - done, done)
    sock.shutdown(socket.SHUT_WR)


def change_settings(peer: Peer, name: str, r: random.Random) -> None:
    """Of a connection that is at work."""
    for _ in range(r.choice([0, 0, 3, 20])):
        time.sleep(r.uniform(0, 0.03))
        option, values = r.choice(list(SETTINGS.items()))
        value = r.choice(values)
        if value is None:
            continue
        said = peer.try_do("set", name, f"{option}={value}")["result"]
        assert said in (0, -errno.ENOENT, -errno.EISCONN), f"{option}={value}"
    peer.try_do("set", name, "cork=0")


@pytest.mark.parametrize("seed", range(_FIRST, _FIRST + _COUNT))
def test_by_lot(bench: Bench, seed: int) -> None:
    r = random.Random(seed)
    for name in ("tcp_sack", "tcp_timestamps", "tcp_window_scaling", "tcp_dsack"):
        if r.random() < 0.2:
            bench.sysctl(**{name: 0})
    bench.sysctl(tcp_ecn=r.choice([0, 1, 2]))
    bench.cc = r.choice([b"cubic", b"reno", b"bbr"])
    options = ["--seed", seed]
    if r.random() < 0.7:
        options += ["--in", bad_link(r), "--out", bad_link(r)]
    options += ["--offloads", r.choice(["none", "csum", "csum,tso"])]
    options += ["--buf", r.choice([2048, 4096, 65536])]
    if r.random() < 0.5:
        options.append("--zerocopy")
    settings = [
        f"{name}={value}"
        for name, values in SETTINGS.items()
        if (value := r.choice(values)) is not None and r.random() < 0.7
    ]
    family, role = r.choice([4, 6]), r.choice(["server", "client"])
    small = any(
        s in settings for s in ("maxseg=100", "rcvbuf=4096", "sndbuf=4096", "cork=1")
    ) or any(s.startswith("window_clamp") for s in settings)
    ours, theirs = (
        r.choice([0, 1, 1000, 50000, 100000 if small else 1500000]) for _ in range(2)
    )
    peer = bench.peer(*options)
    buffer = r.choice([0, 0, 5000, 50000])
    if role == "server":
        peer.listen(family, 7000, "both", ours, *settings)
        sock = bench.socket(family, seconds=60)
        if buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        sock.connect((UTCP[family], 7000))
    else:
        listener = bench.listener(family)
        if buffer:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        port = listener.getsockname()[1]
        peer.connect(family, port, "both", ours, *settings)
        sock = bench.accept(listener)
        sock.settimeout(60)
    name = "server.0" if role == "server" else "client"
    with (
        meanwhile(lambda: slow_send(sock, theirs, r)),
        meanwhile(lambda: change_settings(peer, name, random.Random(seed + 2))),
    ):
        assert slow_recv(sock, random.Random(seed + 1)) == ours
    end = peer.event("end", seconds=60)
    assert (end["error"], end["bad_at"], end["rx"]) == (0, -1, theirs)
    assert end["tx"] == ours
    sock.close()
    peer.until(
        lambda: peer.do("usage")["socks"] == (role == "server"), "the end of all", 30
    )
    assert peer.do("usage")["buffered_bytes"] == 0


# ---- wrap-around --------------------------------------------------------------------


N = size(3 * MB, 40 * MB)


@pytest.mark.parametrize("what", ["sequence-numbers", "timestamps"])
@pytest.mark.parametrize(
    ("role", "link"),
    [("client", "clean"), ("server", "bad")]
    + FULL * [("client", "bad"), ("server", "clean")],
)
def test_our_numbers_wrap_around(
    bench: Bench, watch: Watch, role: str, link: str, what: str
) -> None:
    """A connection is opened once to learn where its numbers begin; then the
    stack's clock is set so that they begin shortly before 2^32."""
    family = 4 if role == "client" else 6
    listener = bench.listener(family, 7500) if role == "client" else None
    bad = "loss=0.02,reorder=0.05,late=1ms" if link == "bad" else "delay=1ms"

    def open_one(epoch_ns: int) -> tuple[Peer, socket.socket, Seg]:
        before = len(watch.segs())
        peer = bench.peer(
            "--epoch", f"{epoch_ns}ns",
            "--out", f"rate=40m,{bad}", "--in", f"delay=2ms,{bad}",
        )  # fmt: skip
        if listener:
            peer.connect(family, 7500, "both", N, f"from={UTCP[family]},7600")
            sock = bench.accept(listener)
        else:
            peer.listen(family, 7600, "both", N)
            sock = bench.socket(family)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((KERNEL[family], 7500))
            sock.connect((UTCP[family], 7600))
        segs = watch.segs()[before:]
        return peer, sock, next(s for s in segs if s.ours and s.flags & SYN)

    epoch_ns = 10**9
    peer, sock, syn = open_one(epoch_ns)
    reset_on_close(sock)
    sock.close()
    peer.close()
    if what == "timestamps":
        assert syn.tsval is not None
        epoch_ns += ((2**32 - 400 - syn.tsval) % 2**32) * 10**6
    else:
        epoch_ns += ((2**32 - 10**6 - syn.seq) % 2**32) * 4000
    peer, sock, syn = open_one(epoch_ns)
    with meanwhile(lambda: slow_send(sock, N, random.Random(0))):
        assert recv_pattern(sock) == N
    end = peer.event("end")
    assert (end["error"], end["bad_at"], end["rx"]) == (0, -1, N)
    last = watch.ours()[-1]
    if what == "sequence-numbers":
        assert end["snd_nxt"] < 2**31 < syn.seq
    elif last.tsval is not None:  # no reset
        assert last.tsval < 2**31 < (syn.tsval or 0)


_TCP_REPAIR, _TCP_REPAIR_QUEUE, _TCP_QUEUE_SEQ, _TCP_TIMESTAMP = 19, 20, 21, 24
_SEND_QUEUE, _REPAIR_OFF = 2, -1


def repair(sock: socket.socket, option: int, value: int) -> None:
    """Sets what only TCP_REPAIR may."""
    sock.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, 1)
    if option == _TCP_QUEUE_SEQ:
        sock.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR_QUEUE, _SEND_QUEUE)
    sock.setsockopt(socket.IPPROTO_TCP, option, value)
    sock.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, _REPAIR_OFF)


@pytest.mark.parametrize(
    ("family", "link"),
    [(4, "clean"), (6, "bad")] + FULL * [(4, "bad"), (6, "clean")],
)
@pytest.mark.parametrize("before", [1, 2, 10**6])
def test_the_kernels_sequence_numbers_wrap_around(
    bench: Bench, watch: Watch, before: int, link: str, family: int
) -> None:
    """Behind its SYN, in its first data, in the midst of all."""
    bad = "loss=0.02,reorder=0.05,late=1ms" if link == "bad" else "delay=1ms"
    peer = bench.peer("--out", f"rate=80m,{bad}", "--in", f"rate=80m,{bad}")
    peer.listen(family, 7000, "both", N)
    sock = bench.socket(family)
    repair(sock, _TCP_QUEUE_SEQ, -before)
    sock.connect((UTCP[family], 7000))
    with meanwhile(lambda: slow_send(sock, N, random.Random(0))):
        assert recv_pattern(sock) == N
    end = peer.event("end")
    assert (end["error"], end["bad_at"], end["rx"]) == (0, -1, N)
    syn = next(s for s in watch.segs() if s.flags == SYN)
    assert syn.seq == 2**32 - before
    assert end["rcv_nxt"] < 2**31


@pytest.mark.parametrize("link", ["clean", "bad"])
def test_the_kernels_timestamps_wrap_around(
    bench: Bench, watch: Watch, link: str
) -> None:
    """Set forward in two leaps that are no step back (RFC 7323 section 5.2)."""
    bad = "loss=0.02,reorder=0.05,late=1ms" if link == "bad" else "delay=1ms"
    peer = bench.peer("--out", f"rate=80m,{bad}", "--in", f"rate=80m,{bad}")
    peer.listen(4, 7000, "both", N, "keep")
    sock = bench.connect(4, 7000)
    peer.event("accepted")
    syn = next(s for s in watch.segs() if s.flags == SYN)
    assert syn.tsval is not None
    far = (2**32 - 300 - syn.tsval) % 2**32
    for i, way in enumerate((far // 2, far)):
        stamp = (syn.tsval + way) % 2**32 & ~1  # odd: microseconds
        repair(sock, _TCP_TIMESTAMP, stamp - (stamp >> 31 << 32))
        send_pattern(sock, 1, i)
        peer.until(lambda i=i: peer.info("server.0")["rx"] == i + 1, "the byte")
    last = next(s for s in reversed(watch.segs()) if not s.ours)
    with meanwhile(lambda: send_pattern(sock, N - 2, 2)):
        assert recv_pattern(sock, N) == N
    theirs = [s for s in watch.segs() if not s.ours and s.tsval is not None]
    assert (theirs[-1].tsval or 0) < 2**31 < (last.tsval or 0)
    if link == "clean":
        assert peer.count("drop_paws") == 0
