#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Writes the hand-made part of the corpora: one input a case worth having.

`seeds.py [DIR]`, by default corpus/ beside this file. Inputs that fuzzing
found stand there too, under names of their own, and are left alone.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path

MAC_A = bytes.fromhex("020000000001")
MAC_B = bytes.fromhex("020000000002")
A4, B4 = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])
A6 = bytes.fromhex("fd000000000000000000000000000001")
B6 = bytes.fromhex("fd000000000000000000000000000002")


def checksum(data: bytes) -> int:
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total >> 16) + (total & 0xFFFF)
    return ~total & 0xFFFF


def ether(payload: bytes, kind: int, tags: list[tuple[int, int]] | None = None) -> bytes:
    head = MAC_B + MAC_A
    for tpid, tci in tags or []:
        head += struct.pack("!HH", tpid, tci)
    return head + struct.pack("!H", kind) + payload


def ip4(payload: bytes, proto: int, options: bytes = b"", frag: int = 0) -> bytes:
    ihl = 5 + len(options) // 4
    head = struct.pack(
        "!BBHHHBBH4s4s", 0x40 | ihl, 0, ihl * 4 + len(payload), 7, frag, 64, proto, 0, A4, B4
    )
    head += options
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def ip6(payload: bytes, proto: int) -> bytes:
    return struct.pack("!IHBB", 6 << 28, len(payload), proto, 64) + A6 + B6 + payload


def udp(payload: bytes = b"hello", sport: int = 1000, dport: int = 2000) -> bytes:
    return struct.pack("!HHHH", sport, dport, 8 + len(payload), 0) + payload


def tcp(options: bytes = b"") -> bytes:
    words = 5 + len(options) // 4
    return struct.pack("!HHIIBBHHH", 1000, 2000, 1, 2, words << 4, 2, 500, 0, 0) + options


def sctp() -> bytes:
    return struct.pack("!HHII", 1000, 2000, 0, 0) + b"\1\0\0\4"


def ext(following: int, body: bytes = bytes(6)) -> bytes:
    return bytes([following, (len(body) + 2) // 8 - 1]) + body


def frag6(following: int, offset: int, more: bool) -> bytes:
    return struct.pack("!BBHI", following, 0, offset | more, 0x1234)


def icmp(kind: int, quoted: bytes) -> bytes:
    return bytes([kind, 0]) + bytes(6) + quoted


def frames() -> dict[str, bytes]:
    four, six = 0x0800, 0x86DD
    nop = b"\1\1\1\1"
    return {
        "empty": b"",
        "arp": ether(bytes(28), 0x0806),
        "udp4": ether(ip4(udp(), 17), four),
        "tcp4": ether(ip4(tcp(), 6), four),
        "tcp4-options": ether(ip4(tcp(nop * 3), 6, nop), four),
        "sctp4": ether(ip4(sctp(), 132), four),
        "udplite4": ether(ip4(udp(), 136), four),
        "dccp4": ether(ip4(tcp(), 33), four),
        "portless4": ether(ip4(b"abcd", 253), four),
        "ospf4": ether(ip4(bytes(24), 89), four),
        "icmp4-echo": ether(ip4(icmp(8, b""), 1), four),
        "icmp4-unreach-udp": ether(ip4(icmp(3, ip4(udp(), 17)), 1), four),
        "icmp4-frag-needed-tcp": ether(ip4(icmp(3, ip4(tcp(), 6, nop)[:32]), 1), four),
        "icmp4-exceeded-portless": ether(ip4(icmp(11, ip4(b"x", 253)), 1), four),
        "icmp4-error-cut": ether(ip4(icmp(3, ip4(udp(), 17)[:22]), 1), four),
        "icmp4-about-icmp": ether(ip4(icmp(3, ip4(icmp(3, b""), 1)), 1), four),
        "frag4-first": ether(ip4(udp(), 17, frag=0x2000), four),
        "frag4-later": ether(ip4(udp(), 17, frag=0x2001), four),
        "frag4-last": ether(ip4(udp(), 17, frag=0x0001), four),
        "frag4-past-end": ether(ip4(udp(), 17, frag=0x1FFF), four),
        "ip4-options": ether(ip4(udp(), 17, nop * 10), four),
        "ip4-short": ether(ip4(udp(), 17)[:19], four),
        "ip4-long": ether(b"\x45\0\xff\xff" + ip4(udp(), 17)[4:], four),
        "udp6": ether(ip6(udp(), 17), six),
        "tcp6": ether(ip6(tcp(), 6), six),
        "hop6": ether(ip6(ext(17) + udp(), 0), six),
        "hop-dst-route6": ether(ip6(ext(60) + ext(43) + ext(6, bytes(14)) + tcp(), 0), six),
        "ah6": ether(ip6(bytes([17, 4]) + bytes(22) + udp(), 51), six),
        "frag6-first": ether(ip6(frag6(17, 0, True) + udp(), 44), six),
        "frag6-atomic": ether(ip6(frag6(17, 0, False) + udp(), 44), six),
        "frag6-later": ether(ip6(frag6(17, 8, True) + udp(), 44), six),
        "ext6-17": ether(ip6(ext(60) * 17 + ext(17) + udp(), 60), six),
        "icmp6-too-big": ether(ip6(icmp(2, ip6(udp(), 17)), 58), six),
        "icmp6-unreach-ext": ether(ip6(icmp(1, ip6(ext(6) + tcp(), 60)), 58), six),
        "icmp6-nd": ether(ip6(icmp(135, A6), 58), six),
        "no-next6": ether(ip6(b"", 59), six),
        "vlan-udp4": ether(ip4(udp(), 17), four, [(0x8100, 5)]),
        "priority-tag": ether(ip4(udp(), 17), four, [(0x8100, 0xE000)]),
        "qinq": ether(ip6(udp(), 17), six, [(0x88A8, 5), (0x8100, 6)]),
        "vlan-cut": ether(b"", 0x8100) + b"\0",
    }


def main() -> None:
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "corpus"
    for name, frame in frames().items():
        write(root / "parse" / name, struct.pack("<H", 0) + frame)
    for cut in (14, 33, 37, 53):
        frame = frames()["tcp4-options"][:cut]
        write(root / "parse" / f"nonlinear-{cut}", struct.pack("<H", 64) + frame)


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


if __name__ == "__main__":
    main()
