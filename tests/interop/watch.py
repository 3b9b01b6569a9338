# SPDX-License-Identifier: BSD-2-Clause
"""The segments on a rig's device, as the kernel sees them: both directions, each
with the time it passed."""

from __future__ import annotations

import ipaddress
import socket
import struct
from dataclasses import dataclass

from harness import TUN, UTCP, Bench

_ETH_P_ALL = 3
_SO_TIMESTAMPNS = 35
_SO_RCVBUFFORCE = 33
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16


@dataclass(frozen=True)
class Seg:
    at: float  # seconds
    src: str
    dst: str
    tos: int
    ttl: int
    sport: int
    dport: int
    seq: int
    ack: int
    flags: int
    window: int  # as it stands there
    size: int  # of the data
    tsval: int | None  # of the timestamps

    @property
    def ours(self) -> bool:
        """UTCP sent it."""
        return self.src in UTCP.values()


def timestamp(options: bytes) -> int | None:
    """TSval (RFC 7323)."""
    while len(options) > 1 and options[0]:
        if options[0] == 8:
            return int(struct.unpack_from(">I", options, 2)[0])
        options = options[1 if options[0] == 1 else max(options[1], 2) :]
    return None


def parse(packet: bytes, at: float) -> Seg | None:
    """None: no TCP, or behind extension headers."""
    if packet[0] >> 4 == 4:
        head, end = (packet[0] & 15) * 4, struct.unpack_from(">H", packet, 2)[0]
        tos, ttl, proto = packet[1], packet[8], packet[9]
        addrs = packet[12:16], packet[16:20]
    else:
        head, end = 40, 40 + struct.unpack_from(">H", packet, 4)[0]
        tos = struct.unpack_from(">H", packet)[0] >> 4 & 0xFF
        proto, ttl = packet[6], packet[7]
        addrs = packet[8:24], packet[24:40]
    if proto != socket.IPPROTO_TCP:
        return None
    sport, dport, seq, ack, offset, flags, window = struct.unpack_from(
        ">HHIIBBH", packet, head
    )
    data = head + (offset >> 4) * 4
    src, dst = (str(ipaddress.ip_address(a)) for a in addrs)
    return Seg(
        at, src, dst, tos, ttl, sport, dport, seq, ack, flags, window,
        end - data, timestamp(packet[head + 20 : data]),
    )  # fmt: skip


class Watch:
    """Collects from its creation on; the socket's buffer holds what was not asked
    for yet."""

    def __init__(self, bench: Bench) -> None:
        with bench.rig.ns.inside():
            self._sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
            self._sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            self._sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 64 << 20)
            self._sock.setblocking(False)
            self._sock.bind((TUN, _ETH_P_ALL))
        self._segs: list[Seg] = []

    def close(self) -> None:
        self._sock.close()

    def segs(self) -> list[Seg]:
        """All so far."""
        while True:
            try:
                packet, extra, _, _ = self._sock.recvmsg(160, 64)
            except BlockingIOError:
                return self._segs
            seconds, ns = struct.unpack("qq", extra[0][2][:16])
            seg = parse(packet, seconds + ns / 1e9)
            if seg:
                self._segs.append(seg)

    def ours(self) -> list[Seg]:
        """UTCP's."""
        return [s for s in self.segs() if s.ours]

    def data(self) -> list[Seg]:
        """UTCP's with data."""
        return [s for s in self.ours() if s.size]
