# SPDX-License-Identifier: BSD-2-Clause
"""Accurate ECN (RFC 9768) with the kernel: with one that has it, and without."""

from __future__ import annotations

import socket
import struct

import pytest
from harness import (
    ANY,
    KERNEL,
    MB,
    Bench,
    full_duplex,
    kernel_info,
    pattern,
    recv_pattern,
)

BOTH = pytest.mark.parametrize("family", [4, 6], ids="ipv{}".format)
ROLES = pytest.mark.parametrize("role", ["server", "client"])
THEIRS = pytest.mark.parametrize("theirs", range(6), ids="kernel-{}".format)

OURS = {
    "off": ["ecn=0"],
    "asked": ["ecn=1"],
    "classic": ["ecn=2"],
    "accecn": ["ext=accecn"],
    "prague": ["cc=prague"],
    "prague-off": ["cc=prague", "ecn=0"],
}
# What the kernel asks for, and what it agrees to, by net.ipv4.tcp_ecn.
ASKS = {0: "", 1: "ecn", 2: "", 3: "accecn", 4: "ecn", 5: ""}
AGREES = {0: 0, 1: 1, 2: 1, 3: 2, 4: 2, 5: 2}

# The end of TCP_INFO from 6.18 on: received_ce, delivered_{e1,e0,ce}_bytes,
# received_{e1,e0,ce}_bytes; then, from 7.0 on, bits: ecn_mode (2), opt_seen (2).
_TAIL = struct.Struct("<7I")
_TAIL_AT = 248
_MODES = {0: "", 1: "ecn", 2: "accecn", 3: "pending"}


def kernel_ecn(sock: socket.socket) -> dict[str, int]:
    raw = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 512)
    if len(raw) < _TAIL_AT + _TAIL.size:
        pytest.skip("this kernel has no such protocol: AccECN")
    words = _TAIL.unpack_from(raw, _TAIL_AT)
    names = [
        "received_ce",
        "sent_e1",
        "sent_e0",
        "sent_ce",
        "got_e1",
        "got_e0",
        "got_ce",
    ]
    return dict(zip(names, words, strict=True))


def kernel_mode(sock: socket.socket) -> str:
    raw = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 512)
    return _MODES[raw[_TAIL_AT + _TAIL.size] & 3]


def has_accecn(bench: Bench) -> bool:
    try:
        bench.sysctl(tcp_ecn=5)
    except OSError:
        return False
    return True


def wants(bench: Bench, tcp_ecn: int) -> None:
    try:
        bench.sysctl(tcp_ecn=tcp_ecn)
    except OSError:
        pytest.skip("this kernel has no such protocol: AccECN")


def agreed(role: str, theirs: int, ours: str) -> str:
    accurate = ours in ("accecn", "prague")
    if ours in ("off", "prague-off"):
        return ""
    if role == "server":
        asked = ASKS[theirs]
        return "ecn" if asked and not accurate else asked
    if ours == "asked":
        return ""
    return ["", "ecn", "accecn" if accurate else "ecn"][AGREES[theirs]]


@THEIRS
@ROLES
def test_who_agrees_on_what(bench: Bench, role: str, theirs: int) -> None:
    """A setting of the kernel's with each of ours; data flows both ways."""
    knows = has_accecn(bench)
    wants(bench, theirs)
    peer = bench.peer()
    listener = bench.listener(4)
    for port, (ours, settings) in enumerate(OURS.items(), 7000):
        name = f"{role}{port}"
        if role == "server":
            peer.do("listen", name, ANY[4], port, "echo", "keep", *settings)
            sock = bench.connect(4, port)
            name += ".0"
        else:
            there = (KERNEL[4], listener.getsockname()[1])
            peer.do("connect", name, *there, "echo", "keep", *settings)
            sock = bench.accept(listener)
        assert full_duplex(sock, 100000) == 100000
        want = agreed(role, theirs, ours)
        got = peer.info(name)["negotiated"]
        assert ("ext_ecn" in got) == (want == "accecn"), ours
        assert ("ecn" in got) == (want == "ecn"), ours
        assert ("ecn" in kernel_info(sock)["options"]) == bool(want), ours
        assert not knows or kernel_mode(sock) == want, ours


@BOTH
@pytest.mark.parametrize("cc", ["cubic", "newreno", "prague"])
def test_the_kernel_counts_and_we_hear_it(bench: Bench, cc: str, family: int) -> None:
    """We send over a queue that marks: both ends have the same counts."""
    wants(bench, 3)
    mark = 5000 if cc == "prague" else 30000
    peer = bench.peer("--out", f"rate=50m,delay=2ms,mark={mark}", "--in", "delay=2ms")
    settings = ["cc=prague"] if cc == "prague" else [f"cc={cc}", "ext=accecn"]
    peer.listen(family, 7000, "source", 3 * MB, "keep", *settings)
    sock = bench.connect(family, 7000)
    assert recv_pattern(sock, 3 * MB) == 3 * MB
    wire = peer.do("wire")["out"]
    said = kernel_ecn(sock)
    assert wire["marked"] > 0
    assert said["received_ce"] == wire["marked"]
    here = peer.until(
        lambda: (i := peer.info("server.0"))["unacked_bytes"] == 0 and i, "all acked"
    )
    assert "ext_ecn" in here["negotiated"]
    assert here["delivered_ce_bytes"] == said["got_ce"]
    l4s, classic = ("got_e1", "got_e0") if cc == "prague" else ("got_e0", "got_e1")
    assert said[l4s] > MB
    assert said[classic] == 0
    assert here["total_retrans_segs"] == 0
    assert wire["marked"] < wire["in"] * 0.6, "marks were not heeded"


@BOTH
def test_we_count_and_the_kernel_hears_it(bench: Bench, family: int) -> None:
    wants(bench, 3)
    peer = bench.peer("--in", "rate=20m,delay=2ms,mark=15000", "--out", "delay=2ms")
    peer.listen(family, 7000, "sink", "keep", "ext=accecn")
    sock = bench.connect(family, 7000)
    sock.sendall(pattern(0, 900000))
    peer.until(lambda: peer.info("server.0")["bytes_received"] == 900000, "all came")
    wire = peer.do("wire")["in"]
    said = peer.until(
        lambda: (
            (k := kernel_ecn(sock))["sent_e0"] + k["sent_ce"] >= 900000 - 1460 and k
        ),
        "the kernel heard",
    )
    assert wire["marked"] > 0
    assert peer.count("ecn_ce") == wire["marked"]
    assert 0 < said["sent_ce"] <= wire["marked"] * 1460
    assert wire["marked"] < wire["in"] * 0.6, "the kernel did not slow down"
