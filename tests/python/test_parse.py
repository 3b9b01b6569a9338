# SPDX-License-Identifier: BSD-2-Clause
"""Random header stacks through the whole switch: whether a frame comes to the
port is what scapy's reading of the same bytes says."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Any

import pytest
import worlds
from hypothesis import HealthCheck, event, given, note, settings
from hypothesis import strategies as st
from scapy.layers.inet import (
    ICMP,
    IP,
    TCP,
    UDP,
    IPerror,
    IPOption_NOP,
    IPOption_RR,
    IPOption_Timestamp,
    TCPerror,
    UDPerror,
    fragment,
)
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6PacketTooBig,
    ICMPv6TimeExceeded,
    IPerror6,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    PadN,
    fragment6,
)
from scapy.layers.l2 import Dot1Q, Ether
from scapy.layers.sctp import SCTP
from scapy.packet import Packet, Raw
from worlds import HostedWorld, raw_socket, udp_frame

OURS = {4: "10.77.0.1", 6: "fd77::1"}
PEER = {4: "10.77.0.2", 6: "fd77::2"}
OTHER = {4: "10.77.0.77", 6: "fd77::77"}
UDP_PORT, TCP_PORT, SCTP_PORT, WHOLE, MARK = 7000, 7001, 7002, 253, 7099
CLAIMED = {("udp", UDP_PORT), ("tcp", TCP_PORT), ("sctp", SCTP_PORT)}
PROTOCOLS = {UDP: "udp", TCP: "tcp", SCTP: "sctp"}
ERRORS_4 = {3, 4, 5, 11, 12}


# ---- what scapy says ---------------------------------------------------------


def claimed(frame: bytes) -> bool:
    """Whether a frame that is no fragment belongs to a tuple of CLAIMED."""
    ether = Ether(frame)
    if Dot1Q in ether and ether[Dot1Q].vlan != 0:
        return False
    if IP in ether:
        return claimed_4(ether[IP])
    return IPv6 in ether and claimed_6(ether[IPv6])


def claimed_4(ip: Any) -> bool:
    present = len(bytes(ip.original))
    if ip.version != 4 or ip.ihl < 5 or ip.len < ip.ihl * 4 or ip.len > present:
        return False
    again = IP(bytes(ip.original)[: ip.ihl * 4])
    del again.chksum
    if IP(bytes(again)).chksum != ip.chksum or ip.dst != OURS[4]:
        return False
    if ICMP in ip and ip[ICMP].type in ERRORS_4 and IPerror in ip:
        inner = ip[IPerror]
        if inner.src != OURS[4] or inner.frag:
            return False
        return any(
            layer in inner and (name, inner[layer].sport) in CLAIMED
            for layer, name in ((UDPerror, "udp"), (TCPerror, "tcp"))
        )
    return transport(ip) or ip.proto == WHOLE


def claimed_6(ip: Any) -> bool:
    if ip.version != 6 or ip.plen > len(bytes(ip.original)) - 40 or ip.dst != OURS[6]:
        return False
    if IPerror6 in ip:
        inner = ip[IPerror6]
        return inner.src == OURS[6] and any(
            layer in inner and (name, inner[layer].sport) in CLAIMED
            for layer, name in ((UDPerror, "udp"), (TCPerror, "tcp"))
        )
    last: Any = ip
    while type(last.payload) in (
        IPv6ExtHdrDestOpt,
        IPv6ExtHdrHopByHop,
        IPv6ExtHdrFragment,
    ):
        last = last.payload
    return transport(ip) or last.nh == WHOLE


def transport(ip: Any) -> bool:
    return any(
        layer in ip and (name, ip[layer].dport) in CLAIMED
        for layer, name in PROTOCOLS.items()
    )


# ---- random stacks ------------------------------------------------------------


PORT = {UDP: UDP_PORT, TCP: TCP_PORT, SCTP: SCTP_PORT}
NEAR = [7003, 9, TCP_PORT, UDP_PORT]


@st.composite
def transports(draw: st.DrawFn) -> Packet:
    payload = Raw(draw(st.binary(min_size=1, max_size=64)))
    kind = draw(st.sampled_from([UDP, UDP, TCP, SCTP]))
    ports = st.sampled_from([PORT[kind]] * 6 + NEAR)
    layer = kind(sport=draw(ports), dport=draw(ports))
    return layer / payload


@st.composite
def networks(draw: st.DrawFn, source: bool = False) -> Packet:
    """An IP header with options or extension headers; from us if `source`."""
    family = draw(st.sampled_from([4, 6]))
    local = draw(st.sampled_from([OURS] * 7 + [OTHER]))[family]
    ends = {"src": PEER[family], "dst": local}
    if source:
        ends = {"src": local, "dst": PEER[family]}
    if family == 4:
        options = draw(
            st.lists(
                st.sampled_from([IPOption_NOP(), IPOption_RR(), IPOption_Timestamp()]),
                max_size=3,
            )
        )
        return IP(**ends, options=options, ttl=draw(st.integers(1, 255)))
    packet = IPv6(
        **ends, tc=draw(st.integers(0, 255)), fl=draw(st.integers(0, (1 << 20) - 1))
    )
    if draw(st.booleans()):
        packet = packet / IPv6ExtHdrHopByHop(options=[PadN(optdata=bytes(4))])
    if draw(st.booleans()):
        packet = packet / IPv6ExtHdrDestOpt(
            options=[PadN(optdata=bytes(draw(st.integers(0, 30))))]
        )
    if draw(st.integers(0, 3)) == 0:
        packet = packet / IPv6ExtHdrFragment(id=1, offset=0, m=0)  # atomic, RFC 6946
    return packet


@st.composite
def packets(draw: st.DrawFn) -> Packet:
    kind = draw(st.sampled_from(["transport"] * 4 + ["whole", "error", "echo"]))
    network = draw(networks())
    if kind == "transport":
        return network / draw(transports())
    if kind == "whole":
        last = network.lastlayer()
        setattr(last, "proto" if IP in network else "nh", WHOLE)
        return network / Raw(draw(st.binary(min_size=1, max_size=40)))
    if kind == "echo":
        return network / ICMP() / b"ping" if IP in network else network / Raw(b"")
    about = draw(networks(source=True))
    while (IP in about) != (IP in network):
        about = draw(networks(source=True))
    quoted = about / draw(transports())
    if IP in network:
        return network / ICMP(type=draw(st.sampled_from([3, 11, 12])), code=0) / quoted
    error = draw(
        st.sampled_from([ICMPv6DestUnreach, ICMPv6PacketTooBig, ICMPv6TimeExceeded])
    )
    return network / error() / quoted


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """Whole, padded, cut or with a bit changed in the network header."""
    vlan = draw(st.sampled_from([None] * 8 + [0, 7]))
    ether = Ether(dst="02:00:00:00:00:01", src="02:00:00:00:00:02")
    if vlan is not None:
        ether = ether / Dot1Q(vlan=vlan, prio=3)
    frame = bytearray(bytes(ether / draw(packets())))
    change = draw(st.sampled_from(["none"] * 7 + ["pad", "cut", "flip"]))
    start = 14 + 4 * (vlan is not None)
    if change == "pad":
        frame += bytes(draw(st.integers(1, 40)))
    elif change == "cut":
        del frame[draw(st.integers(start, len(frame) - 1)) :]
    elif change == "flip" and frame[start] >> 4 == 4:
        frame[start + draw(st.integers(1, 19))] ^= 1 << draw(st.integers(0, 7))
    return bytes(frame)


# ---- through the switch ---------------------------------------------------------


class Line:
    """A port with claims, and the wire's other end."""

    def __init__(self, world: HostedWorld) -> None:
        assert world.far
        self.port = world.port(slots=1024)
        self.peer = raw_socket(world.far, "eth0")
        self.marks = 0

    def claim(self) -> None:
        for family in (4, 6):
            for name, number in (*sorted(CLAIMED), ("udp", MARK)):
                try:
                    self.port.bind(OURS[family], number, name)
                except OSError as e:
                    if (name, e.errno) != ("sctp", errno.EPROTONOSUPPORT):
                        raise
                    CLAIMED.discard((name, number))  # a kernel without SCTP
            self.port.bind(OURS[family], 0, WHOLE)

    def close(self) -> None:
        self.port.close()
        self.peer.close()

    def through(self, sent: list[bytes]) -> list[bytes]:
        """What came of these frames (to the port's MAC), in order."""
        for frame in sent:
            self.peer.send(self.port.mac + frame[6:])
        self.marks += 1
        mark = b"%d" % self.marks
        self.peer.send(
            udp_frame(
                (b"\x02" + bytes(5), PEER[4], 9), (self.port.mac, OURS[4], MARK), mark
            )
        )
        got: list[bytes] = []
        while True:
            assert self.port.wait(60), (
                f"the mark behind the frames: {self.port.stats()}"
            )
            with self.port.recv_batch() as batch:
                got += [bytes(f) for f in batch]
            if (
                got
                and got[-1][42:] == mark
                and got[-1][36:38] == MARK.to_bytes(2, "big")
            ):
                return got[:-1]


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    with worlds.hosted(worlds.WIRED, tmp_path_factory.mktemp("parse")) as world:
        made = Line(world)
        try:
            made.claim()
            yield made
        finally:
            made.close()


def tail(frame: bytes) -> bytes:
    return frame[6:]


quickly = settings(
    max_examples=400,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)


@quickly
@given(frame=frames())
def test_a_frame_is_delivered_as_scapy_reads_it(line: Line, frame: bytes) -> None:
    note(Ether(frame).show(dump=True))
    event(f"claimed: {claimed(frame)}")
    expected = [tail(frame)] if claimed(frame) else []
    assert [tail(f) for f in line.through([frame])] == expected


@quickly
@given(
    network=networks(),
    upper=transports(),
    size=st.integers(40, 1200),
    lost=st.booleans(),
)
def test_fragments_follow_their_first(
    line: Line, network: Packet, upper: Packet, size: int, lost: bool
) -> None:
    """In order they all come; those without the first do not. A first one that
    is too short to have the ports leads nowhere."""
    whole = network / upper / Raw(bytes(2000))
    if IP in network:
        whole[IP].id = 1 + line.marks % 65535  # trains must not mix
        parts = fragment(IP(bytes(whole)), size)
    else:
        bare = IPv6(src=network.src, dst=network.dst) / IPv6ExtHdrFragment(
            id=1 + line.marks
        )
        parts = fragment6(IPv6(bytes(bare / upper / Raw(bytes(2000)))), 1280)
    ether = Ether(dst="02:00:00:00:00:01", src="02:00:00:00:00:02")
    train = [bytes(ether / p) for p in parts]
    target = OURS[4] if IP in network else OURS[6]
    ours = network.dst == target and any(
        layer in upper and (name, upper[layer].dport) in CLAIMED
        for layer, name in PROTOCOLS.items()
    )
    if lost:
        train, ours = train[1:], False
    assert [tail(f) for f in line.through(train)] == (
        [tail(f) for f in train] if ours else []
    )
