# SPDX-License-Identifier: BSD-2-Clause
"""As much of Ethernet, IP and UDP as the demo's stacks need."""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass
from typing import NamedTuple

UDP = 17


class Endpoint(NamedTuple):
    """Where a datagram comes from or goes to; mac is 6 bytes."""

    mac: bytes
    addr: str
    port: int


@dataclass(frozen=True)
class Datagram:
    src: Endpoint
    dst: Endpoint
    payload: bytes


def checksum(data: bytes) -> int:
    """RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def parse(frame: bytes, checked: bool = False) -> Datagram | None:
    """The UDP datagram in an Ethernet frame; None if it holds none, or only
    a fragment, or one whose checksum is wrong. checked: that was looked at, or
    it never was on a wire and has none yet."""
    if len(frame) < 42:
        return None
    version = frame[14] >> 4
    if version == 4:
        size, proto, addrs = 4, frame[23], frame[26:34]
        udp = 14 + (frame[14] & 15) * 4
        if struct.unpack_from("!H", frame, 20)[0] & 0x3FFF:
            return None
    elif version == 6 and len(frame) >= 62:
        size, proto, addrs, udp = 16, frame[20], frame[22:54], 54
    else:
        return None
    if proto != UDP or len(frame) < udp + 8:
        return None
    sport, dport, length, given = struct.unpack_from("!4H", frame, udp)
    if not 8 <= length <= len(frame) - udp:
        return None
    datagram = frame[udp : udp + length]
    if given and not checked and checksum(_pseudo(addrs, length) + datagram):
        return None
    src = Endpoint(frame[6:12], str(ipaddress.ip_address(addrs[:size])), sport)
    dst = Endpoint(frame[0:6], str(ipaddress.ip_address(addrs[size:])), dport)
    return Datagram(src, dst, datagram[8:])


def build(src: Endpoint, dst: Endpoint, payload: bytes) -> bytes:
    """The Ethernet frame with this datagram, checksums and all."""
    saddr, daddr = ipaddress.ip_address(src.addr), ipaddress.ip_address(dst.addr)
    addrs = saddr.packed + daddr.packed
    length = 8 + len(payload)
    udp = struct.pack("!4H", src.port, dst.port, length, 0) + payload
    check = checksum(_pseudo(addrs, length) + udp) or 0xFFFF
    udp = udp[:6] + struct.pack("!H", check) + udp[8:]
    if saddr.version == 4:
        ip = (
            struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 0, 0x4000, 64, UDP, 0)
            + addrs
        )
        ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
        ethertype = b"\x08\x00"
    else:
        ip = struct.pack("!IHBB", 6 << 28, length, UDP, 64) + addrs
        ethertype = b"\x86\xdd"
    return dst.mac + src.mac + ethertype + ip + udp


def arp_claim(mac: bytes, addr: str, note: bytes) -> bytes:
    """An unasked ARP answer that says `mac` has IPv4 address `addr`."""
    packed = ipaddress.ip_address(addr).packed
    head = b"\xff" * 6 + mac + struct.pack("!HHHBBH", 0x0806, 1, 0x0800, 6, 4, 2)
    return head + mac + packed + b"\xff" * 6 + packed + note


def _pseudo(addrs: bytes, length: int) -> bytes:
    return addrs + struct.pack("!II", length, UDP)
