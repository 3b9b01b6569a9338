# SPDX-License-Identifier: BSD-2-Clause
"""What UTCP and the kernel agree on when the connection opens, each option on
and off on either side, in both roles; and that it works then."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from harness import MB, Bench, Peer, full_duplex, kernel_info, size

N = size(MB // 2, 50 * MB)

# name: kernel's setting that turns it off, UTCP's
OPTIONS = {
    "sack": ("tcp_sack", "sack=0"),
    "timestamps": ("tcp_timestamps", "timestamps=0"),
    "wscale": ("tcp_window_scaling", "wscale=-1"),
}
WHO = ["neither", "utcp", "kernel", "both"]


def open_one(
    bench: Bench, peer: Peer, role: str, family: int, *settings: str
) -> tuple[socket.socket, str]:
    """A connection whose both ends send N bytes; kernel's socket, our name."""
    if role == "server":
        peer.listen(family, 7000, "both", N, "keep", *settings)
        return bench.connect(family, 7000), "server.0"
    listener = bench.listener(family)
    peer.connect(family, listener.getsockname()[1], "both", N, "keep", *settings)
    return bench.accept(listener), "client"


def both_ends(
    bench: Bench, peer: Peer, role: str, family: int, *settings: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """After the transfer: what UTCP says, what the kernel says."""
    sock, name = open_one(bench, peer, role, family, *settings)
    kernel = kernel_info(sock)
    assert full_duplex(sock, N) == N
    peer.until(lambda: peer.info(name)["eof"], "the end")
    ours = peer.info(name)
    assert ours["bad_at"] == -1
    assert ours["rx"] == N
    return ours, kernel


@pytest.mark.parametrize("off", WHO)
@pytest.mark.parametrize("role", ["server", "client"])
@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_is_on_if_both_want_it(
    bench: Bench, option: str, role: str, off: str
) -> None:
    theirs, ours = OPTIONS[option]
    if off in ("kernel", "both"):
        bench.sysctl(**{theirs: 0})
    settings = [ours] if off in ("utcp", "both") else []
    family = 6 if option == "sack" else 4
    peer = bench.peer("--in", "delay=300us")
    utcp, kernel = both_ends(bench, peer, role, family, *settings)
    assert (option in utcp["negotiated"]) == (off == "neither")
    assert (option in kernel["options"]) == (off == "neither")
    for other in OPTIONS:
        if other != option:
            assert other in utcp["negotiated"]
            assert other in kernel["options"]


@pytest.mark.parametrize("role", ["server", "client"])
def test_no_option_at_all(bench: Bench, role: str) -> None:
    bench.sysctl(tcp_sack=0, tcp_timestamps=0, tcp_window_scaling=0, tcp_dsack=0)
    peer = bench.peer("--in", "loss=0.01,delay=300us", "--out", "loss=0.01,delay=300us")
    utcp, kernel = both_ends(bench, peer, role, 4)
    assert utcp["negotiated"] == []
    assert not kernel["options"] & set(OPTIONS)


@pytest.mark.parametrize("without", ["sack", "timestamps", "wscale"])
@pytest.mark.parametrize("role", ["server", "client"])
def test_loss_without(bench: Bench, without: str, role: str) -> None:
    """Recovery by duplicate ACKs alone, round trips without timestamps..."""
    link = "loss=0.02,reorder=0.02,late=1ms,delay=300us"
    peer = bench.peer("--in", link, "--out", link)
    utcp, _ = both_ends(bench, peer, role, 4, OPTIONS[without][1])
    assert without not in utcp["negotiated"]


@pytest.mark.parametrize("rack", [0, 1])
def test_loss_with_and_without_rack(bench: Bench, rack: int) -> None:
    peer = bench.peer("--out", "loss=0.02,delay=300us", "--in", "delay=300us")
    both_ends(bench, peer, "server", 4, f"rack={rack}")
    assert peer.count("retrans_segs") > 0


@pytest.mark.parametrize("role", ["server", "client"])
def test_duplicates_are_reported_both_ways(bench: Bench, role: str) -> None:
    """DSACK (RFC 2883)."""
    peer = bench.peer("--in", "dup=0.1", "--out", "dup=0.1")
    sent_before = bench.rig.nstat("TCPDSACKOldSent")
    seen_before = bench.rig.nstat("TCPDSACKRecv")
    both_ends(bench, peer, role, 4)
    assert bench.rig.nstat("TCPDSACKOldSent") > sent_before
    assert peer.count("dsack_in") > 0
    assert peer.count("dsack_out") > 0
    assert bench.rig.nstat("TCPDSACKRecv") > seen_before


def test_the_kernel_reports_no_duplicates(bench: Bench) -> None:
    bench.sysctl(tcp_dsack=0)
    peer = bench.peer("--out", "dup=0.1")
    both_ends(bench, peer, "server", 4)
    assert peer.count("dsack_in") == 0


@pytest.mark.parametrize("family", [4, 6], ids="ipv{}".format)
@pytest.mark.parametrize("role", ["server", "client"])
def test_largest_segments(bench: Bench, role: str, family: int) -> None:
    """Both sides fill 1500 bytes, timestamps on."""
    peer = bench.peer()
    utcp, kernel = both_ends(bench, peer, role, family)
    mss = 1500 - (20 if family == 4 else 40) - 20
    assert utcp["mss"] in (mss, mss - 12)
    assert kernel["snd_mss"] in (mss, mss - 12)
    assert utcp["rcv_mss"] in (mss, mss - 12)


@pytest.mark.parametrize("role", ["server", "client"])
def test_maxseg_of_ours(bench: Bench, role: str) -> None:
    """It limits what we send and what the kernel may."""
    peer = bench.peer()
    utcp, kernel = both_ends(bench, peer, role, 4, "maxseg=700")
    assert utcp["mss"] <= 700
    assert kernel["snd_mss"] <= 700


@pytest.mark.parametrize("role", ["server", "client"])
def test_maxseg_of_the_kernels(bench: Bench, role: str) -> None:
    peer = bench.peer()
    if role == "server":
        peer.listen(4, 7000, "both", N, "keep")
        sock = bench.socket(4)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 600)
        sock.connect(("10.78.0.2", 7000))
        name = "server.0"
    else:
        listener = bench.listener(4)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 600)
        peer.connect(4, listener.getsockname()[1], "both", N, "keep")
        sock = bench.accept(listener)
        name = "client"
    assert full_duplex(sock, N) == N
    assert peer.info(name)["mss"] <= 600


@pytest.mark.parametrize("scale", [0, 3, 14])
def test_window_scales(bench: Bench, scale: int) -> None:
    peer = bench.peer("--in", "delay=1ms")
    utcp, _ = both_ends(bench, peer, "server", 4, f"wscale={scale}")
    assert "wscale" in utcp["negotiated"]
    assert utcp["rcv_wscale"] <= scale


@pytest.mark.parametrize(
    "setting",
    [
        "nodelay=1",
        "cork=1",
        "quickack=1",
        "sndbuf=8192",
        "sndbuf=300000",
        "rcvbuf=5000",
        "rcvbuf=300000",
        "window_clamp=4000",
        "notsent_lowat=16384",
        "rcvlowat=10000",
        "pacing=2",
        "max_pacing_rate=20000000",
        "initcwnd=1",
        "ack_every=16",
        "delack_ns=0",
        "pmtud=0",
        "ttl=5",
        "dscp=46",
    ],
)
def test_a_transfer_with(bench: Bench, setting: str) -> None:
    peer = bench.peer("--in", "delay=100us")
    utcp, _ = both_ends(bench, peer, "server", 4, setting)
    assert utcp["tx"] == N
