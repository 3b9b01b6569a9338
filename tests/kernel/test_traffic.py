# SPDX-License-Identifier: BSD-2-Clause
"""What nobody claimed is the host's, as it came, however it came: beside claims
on the same address, and with both ways of attaching."""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Iterator

import flows
import guest
import pytest
from netns import Netns
from worlds import FAMILIES, ModuleWorld, Stack

import multistack

SIZES = (0, 1, 17, 512, 1472, 1473, 3000, 9000, 65000)
# Sanitizers under an emulator are slow.
BULK = (1 if guest.GUEST in ("linux-debug", "linux-kcsan") else 4) << 20


@contextlib.contextmanager
def claims(wire: ModuleWorld) -> Iterator[multistack.Port]:
    """On the address and on all; none of them sees a frame of the host's."""
    with wire.port() as port:
        for family in (4, 6):
            for proto in ("udp", "tcp"):
                port.bind(wire.addr[family], 7000, proto)
        port.bind("0.0.0.0", 7001, "udp")
        port.bind("::", 7001, "tcp")
        yield port
        assert port.stats()["rx_frames"] == 0


def ends(wire: ModuleWorld) -> tuple[Netns, Netns]:
    assert wire.far
    return wire.ns, wire.far


@pytest.mark.parametrize("family", [4, 6])
def test_ping(wire: ModuleWorld, family: int) -> None:
    near, far = ends(wire)
    with claims(wire):
        flows.ping(far, wire.addr[family])
        flows.ping(near, wire.peer_addr[family], (56, 9000))


@pytest.mark.parametrize("family", [4, 6])
def test_datagrams_and_fragments(wire: ModuleWorld, family: int) -> None:
    near, far = ends(wire)
    with claims(wire):
        flows.datagrams(far, near, wire.addr[family], SIZES)
        flows.datagrams(near, far, wire.peer_addr[family], SIZES)


@pytest.mark.parametrize(
    "settings",
    [{}, {"tso": "off"}, {"tx": "off"}, {"gro": "on"}],
    ids=["usual", "no TSO", "no checksum offload", "GRO"],
)
@pytest.mark.parametrize("family", [4, 6])
def test_streams(wire: ModuleWorld, family: int, settings: dict[str, str]) -> None:
    near, far = ends(wire)
    with contextlib.ExitStack() as stack:
        for ns in (near, far):
            if settings:
                stack.enter_context(flows.offloads(ns, "eth0", **settings))
        stack.enter_context(claims(wire))
        flows.stream(far, near, wire.addr[family], BULK)
        flows.stream(near, far, wire.peer_addr[family], BULK)


def test_vlans(wire: ModuleWorld) -> None:
    """A VLAN of the host's on the attached interface, with its own addresses."""
    near, far = ends(wire)
    for ns, number in ((near, 1), (far, 2)):
        ns.ip("link", "add", "link", "eth0", "name", "v5", "type", "vlan", "id", 5)
        ns.ip("addr", "add", f"10.78.0.{number}/24", "dev", "v5")
        ns.ip("link", "set", "v5", "up")
    try:
        with claims(wire) as port:
            port.bind("10.78.0.1", 7000)
            flows.ping(far, "10.78.0.1", (56, 4000))
            flows.stream(far, near, "10.78.0.1", BULK)
            flows.datagrams(far, near, "10.78.0.1", SIZES)
    finally:
        near.ip("link", "del", "v5")
        far.ip("link", "del", "v5")


def test_jumbo_frames(wire: ModuleWorld) -> None:
    near, far = ends(wire)
    if wire.kind == "xdp":
        pytest.skip("a veth with a program of XDP takes no jumbo frames")
    for ns in (near, far):
        ns.ip("link", "set", "eth0", "mtu", 9000)
    try:
        with claims(wire):
            flows.ping(far, wire.addr[4], (8972, 8973))
            flows.stream(far, near, wire.addr[4], BULK)
        with wire.port(buf_bytes=2048) as port:
            ours = port.bind(wire.addr[4], 7000)
            stack, peer = Stack(port), wire.peer()
            data = bytes(i % 251 for i in range(8900))
            peer.sendto(data, ours[:2])
            assert stack.recv(60)[0] == data
            stack.sendto(ours[:2], (peer.addr, peer.port), data)
            assert peer.recv(60)[0] == data
    finally:
        for ns in (near, far):
            ns.ip("link", "set", "eth0", "mtu", 1500)


UDP_SEGMENT = 103


@pytest.mark.parametrize("family", [4, 6])
def test_large_sends_of_a_peer_arrive_in_pieces(wire: ModuleWorld, family: int) -> None:
    """UDP segmentation offload: what crosses a veth is one large packet."""
    near, far = ends(wire)
    with wire.port(slots=1024) as port, far.inside():
        ours = port.bind(wire.addr[family], 7000)
        sock = socket.socket(FAMILIES[family], socket.SOCK_DGRAM)
        with sock:
            sock.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 1000)
            data = bytes(i % 249 for i in range(40_500))
            sock.sendto(data, ours[:2])
            stack, got = Stack(port), b""
            while len(got) < len(data):
                got += stack.recv(60)[0]
        assert got == data


@pytest.mark.parametrize("family", [4, 6])
def test_checksums_that_are_not_there_yet(wire: ModuleWorld, family: int) -> None:
    """Whatever the peer's offloads: what a port gets has a right sum, or says
    what is missing."""
    near, far = ends(wire)
    for setting in ("on", "off"):
        with contextlib.ExitStack() as stack:
            if setting == "off":
                stack.enter_context(flows.offloads(far, "eth0", tx="off"))
            port = stack.enter_context(wire.port())
            ours = port.bind(wire.addr[family], 7000)
            peer = wire.peer(family)
            for size in (1, 2, 63, 1400):
                peer.sendto(random.Random(size).randbytes(size), ours[:2])
                assert port.wait(60)
                with port.recv_batch() as frames:
                    for i, frame in enumerate(frames):
                        assert sum_is_right(bytes(frame), frames.meta(i), family)


def sum_is_right(frame: bytes, meta: multistack.Meta, family: int) -> bool:
    ip = 14
    l4 = ip + (20 if family == 4 else 40)
    length = len(frame) - l4
    addrs = frame[26:34] if family == 4 else frame[22:54]
    pseudo = addrs + length.to_bytes(4, "big") + (17).to_bytes(4, "big")
    if meta.flags & multistack.SlotFlag.CSUM_PARTIAL:
        assert (meta.csum_start, meta.csum_offset) == (l4, 6)
        return fold(pseudo) == int.from_bytes(frame[l4 + 6 : l4 + 8], "big")
    return fold(pseudo + frame[l4:]) in (0, 0xFFFF)


def fold(data: bytes) -> int:
    data += bytes(len(data) % 2)
    total = sum(int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2))
    while total > 0xFFFF:
        total = (total >> 16) + (total & 0xFFFF)
    return total
