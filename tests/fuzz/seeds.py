#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Writes the hand-made part of the corpora: one input a case worth having.

`seeds.py [DIR]`, by default corpus/ beside this file. Inputs that fuzzing
found (or that reach code of their own: cov-*) stand there too, and are left
alone.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path

from seeds_batch import batch_programs

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


def ether(
    payload: bytes, kind: int, tags: list[tuple[int, int]] | None = None
) -> bytes:
    head = MAC_B + MAC_A
    for tpid, tci in tags or []:
        head += struct.pack("!HH", tpid, tci)
    return head + struct.pack("!H", kind) + payload


def ip4(payload: bytes, proto: int, options: bytes = b"", frag: int = 0) -> bytes:
    ihl = 5 + len(options) // 4
    head = struct.pack(
        "!BBHHHBBH4s4s",
        0x40 | ihl,
        0,
        ihl * 4 + len(payload),
        7,
        frag,
        64,
        proto,
        0,
        A4,
        B4,
    )
    head += options
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def ip6(payload: bytes, proto: int) -> bytes:
    return struct.pack("!IHBB", 6 << 28, len(payload), proto, 64) + A6 + B6 + payload


def udp(payload: bytes = b"hello", sport: int = 1000, dport: int = 2000) -> bytes:
    return struct.pack("!HHHH", sport, dport, 8 + len(payload), 0) + payload


def tcp(options: bytes = b"") -> bytes:
    words = 5 + len(options) // 4
    return (
        struct.pack("!HHIIBBHHH", 1000, 2000, 1, 2, words << 4, 2, 500, 0, 0) + options
    )


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
        "hop-dst-route6": ether(
            ip6(ext(60) + ext(43) + ext(6, bytes(14)) + tcp(), 0), six
        ),
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


def region_programs() -> dict[str, bytes]:
    """Steps of fuzz_region.c: see step() there for the numbers."""
    good = bytes([7, 8, 11, 1])
    bad_head = b"".join(
        bytes([0, ring, 0]) + struct.pack("<I", v)
        for ring in range(4)
        for v in (9, 0xFFFFFFFF, 0x80000000)
    )
    run = bytes([9, 0xFC])
    slot = struct.pack("<IHHBBHHH", 0xFFFF, 0xFFFF, 0xFFFF, 9, 1, 2, 3, 4)
    return {
        "good-only": good * 20 + run,
        "bad-head": good + bad_head + run + good + run,
        "bad-slots": b"".join(bytes([2, 2, i]) + slot for i in range(8))
        + bytes([6, 1, 100, 0]) * 9
        + good
        + run,
        "bad-sent-slots": b"".join(bytes([2, 0, i]) + slot for i in range(8))
        + bytes([0, 0, 1, 8, 0, 0, 0])
        + run
        + good,
        "long-frames": bytes([6, 1, 0x28, 0x23]) * 4 + good,
        "endless-frame": bytes([4, 8, 0]) * 8 + run + good + run,
        "forged": bytes([4, 2, 0]) + run + good + run,
        "local": bytes([4, 4, 0]) * 5 + run + good,
        "gso": bytes([4, 32, 0, 5, 200, 0, 0, 6]) + run,
        "wake-storm": (bytes([0, 2, 6, 0, 0, 0, 0]) + bytes([6, 0, 10, 0])) * 6 + good,
        "garbage": bytes([3])
        + struct.pack("<IB", 128, 255)
        + bytes(range(255))
        + run
        + good
        + run,
        "taps": bytes([11, 0, 5]) + bytes([6, 0, 9, 0, 4, 0, 0]) * 3 + run + good,
    }


def ctl_programs() -> dict[str, bytes]:
    """Steps of fuzz_ctl.c."""
    make = b"".join(bytes([4 | c << 4, 0, 2]) for c in range(4))
    bind = bytes([4, 2, 4, 0x14, 2, 4, 0x34, 2, 4])
    return {
        "make": make,
        "bind-twice": make + bind + bind,
        "wild-and-exact": make + bytes([4, 0, 4, 0x34, 2, 4, 0x14, 0, 4, 0x24, 2, 4]),
        "hand-over": make + bind + bytes([0x14, 1, 10, 0x24, 2, 10]),
        "die": make + bind + bytes([0, 0x10, 0x20, 0x30]),
        "list": make + bind + bytes([4, 3, 13, 0, 0, 0, 0]),
        "no-memory": b"".join(bytes([3 | 0x80, n, 0, 2]) for n in range(8))
        + make
        + bytes([3, 0, 2, 4, 3, 1, 2, 4, 3, 2, 2, 4]),
        "short": bytes([1, 4, 3, 0, 1]) + bytes(3),
        "tap-each-other": make
        + bytes([4, 1 | 2 << 2, 9, 0x14, 1 | 1 << 2, 9, 0, 0x10]),
    }


def table_programs() -> dict[str, bytes]:
    """Steps of fuzz_table.c."""
    grow = b"".join(struct.pack("<BH", 0xFD, i * 256) for i in range(4))
    shrink = b"".join(struct.pack("<BH", 0xFE, i * 256) for i in range(4))
    return {
        "grow": grow,
        "grow-and-shrink": grow + shrink + struct.pack("<BH", 3, 0),
        "churn": (grow + shrink) * 3,
        "wildcards": struct.pack("<BHBHBH", 0, 0, 12, 1, 7, 4)
        + struct.pack("<BH", 4, 1),
        "no-memory": struct.pack("<BH", 15, 5) + grow + struct.pack("<BH", 15, 900),
        "update": struct.pack("<BHBH", 0, 5, 0x17, 5),
    }


def proto_programs() -> dict[str, bytes]:
    """Steps of fuzz_proto.c."""
    create = bytes([3, 1 << 4 | 1, 2]) + bytes(88)
    bind = (
        bytes([3, 1, 4])
        + struct.pack("<II", 0, 0)
        + bytes([127, 0, 0, 1])
        + bytes(12)
        + struct.pack(">HBB", 0, 17, 4)
        + bytes(4)
    )
    return {
        "create": create,
        "create-bind": create + bind,
        "create-twice": create + create,
        "create-die": create + bytes([0]),
        "babble": bytes([1]) + struct.pack("<H", 16) + bytes(16),
        "empty": bytes([1, 0, 0]),
        "descriptors": bytes([2]),
        "each-command": b"".join(bytes([3, 1, n]) + bytes(96) for n in range(15)),
        "wrong-version": bytes([1])
        + struct.pack("<HHHIiHH", 16, 0x4D53, 99, 1, 0, 0, 0),
        "half": bytes([1]) + struct.pack("<HHHIi", 12, 0x4D53, 1, 1, 0),
    }


def tcp_programs() -> dict[str, bytes]:
    """Steps of fuzz_tcp.c: see step() and call() there for the numbers."""

    def call(side: int, which: int, *args: int, high: int = 0) -> bytes:
        return bytes([8, side << 7 | high << 4 | which, *args])

    def two(value: int) -> tuple[int, int]:
        return value & 255, value >> 8

    def flow(packets: int) -> bytes:
        return bytes([3, packets - 1])

    def time(code: int) -> bytes:
        return bytes([13, code])

    def listen(how: int = 0) -> bytes:
        return call(1, 0, how | 0x36)

    def connect(how: int = 0) -> bytes:
        return call(0, 0, how)

    def write_some(side: int, sock: int, length: int, high: int = 0) -> bytes:
        return call(side, 1, sock, *two(length), high=high)

    def read(side: int, sock: int) -> bytes:
        return call(side, 4, sock, *two(60000))

    def close(side: int, sock: int) -> bytes:
        return call(side, 9, sock)

    def option(side: int, sock: int, opt: int, value: int, shift: int = 0) -> bytes:
        return call(side, 12, sock, opt, *two(value), shift)

    def far(which: int, how: int, *args: int) -> bytes:
        return bytes([0xE0 | which, how, *args])

    def live(code: int, loss: int = 0, luck: int = 1) -> bytes:
        """2^(20 + code) ns; one packet in 2^(8 - loss) is lost."""
        return far(0, loss << 5 | 16 | code, luck)

    def stack_call(side: int, which: int, *args: int, high: int = 0) -> bytes:
        return far(4, high << 4 | which << 1 | side, *args)

    def ext(how: int) -> bytes:
        """Bit 1: must be; bit 2: a stream."""
        return stack_call(0, 5, high=8 | how) + stack_call(1, 5, high=8 | how)

    both = listen() + connect() + flow(8) + call(1, 7, 0)
    six = listen(1) + connect(1) + flow(8) + call(1, 7, 0)
    udp = call(0, 0, 0) + call(1, 0, 0)
    udp += b"".join(call(side, 14, 0, k << 6) for side in (0, 1) for k in range(3))
    small = call(1, 12, 1, 5, *two(3000), 0)
    forged = [
        [4, 0x0C, 0x10, 0, 1, 0, 2, 0],
        [4, 1, 4, 0],
        [4, 5, 2, 0, 9, 0],
        [6, 2, 3, 4, 5, 5, 99],
    ]
    lot = write_some(0, 0, 65535) * 3 + write_some(1, 1, 65535, high=1)
    wrap = far(6, 0) + far(6, 1)
    own_ports = listen() + connect(2) + flow(8) + call(1, 7, 0)
    too_big = bytes([6, 2, 3, 4, *two(600), 40])
    return {
        "live": b"\0" + both + lot + live(15),
        "live-loss": b"\0" + both + (lot + live(12, 5) + live(15, 4)) * 2,
        "live-bursts": b"\0" + six + lot + live(9, 7, 3) + live(15) * 3,
        "gso": b"\x40" + both + lot + live(15, 3) + close(0, 0) + live(15),
        "gso-six": b"\x48" + six + lot + live(15, 4) + close(1, 1) + live(15),
        "bbr": b"\x80\x08\x08" + both + lot + live(10, 5) + live(15, 4),
        "claims": b"\x80\4\4" + both + connect(6 << 5) + lot + live(14),
        "trust": b"\x80\x13\x13" + both + lot + live(14, 4),
        "no-memory": b"\x20" + both + far(3, 0x82) + lot + live(13, 2) * 3,
        "no-memory-once": b"\0"
        + b"".join(
            far(2, n << 1 | side) + connect() + write_some(0, 0, 9000) + live(8)
            for n in range(6)
            for side in (0, 1)
        )
        + call(1, 7, 0) * 5,
        "wrap-sequence": b"\0" + wrap + own_ports + lot + live(15, 4),
        "wrap-timestamps": b"\0" + far(6, 2) + far(6, 3) + own_ports + lot + live(15),
        "odd-cc": b"\0"
        + stack_call(0, 5)
        + both
        + option(0, 0, 255, 4)
        + lot
        + live(14, 5)
        + option(0, 0, 255, 0)
        + live(14),
        # Extensions on both sides; with a stream; one that must be.
        "odd-ext": b"\0" + ext(0) + both + lot + live(14, 5) + lot + live(14),
        "odd-ext-gso": b"\x40" + ext(0) + six + lot + live(14, 3) + live(14),
        "odd-ext-stream": b"\0" + ext(4) + both + lot + live(14, 4) + live(14),
        "odd-ext-close": b"\x40" + ext(4) + both + lot + close(0, 0) + live(15),
        "odd-ext-must": b"\0" + ext(6) + both * 3 + lot + live(14) + close(1, 1),
        "odd-ext-memory": b"\0" + ext(4) + both + far(3, 0x82) + lot + live(13, 2),
        "stack": b"\0"
        + both
        + b"".join(stack_call(side, n, 3, 5) for side in (0, 1) for n in range(8)),
        "misuse": b"\0" + both + b"".join(call(0, 13, 0, high=n) for n in range(8)),
        "batch": b"\0" + both + lot + (far(5, 1, 9, 30, 11) + far(5, 0, 0, 20, 40)) * 9,
        "clamp": b"\0"
        + both
        + option(1, 1, 8, 90)
        + lot
        + live(14)
        + option(1, 1, 8, 0)
        + live(15),
        "cork": b"\0" + both + option(0, 0, 1, 1) + write_some(0, 0, 2000) + live(9),
        "keepalive": b"\0"
        + both
        + option(0, 0, 10, 1000, 20)
        + option(0, 0, 9, 1)
        + live(15) * 2
        + bytes([2, 0]) * 9
        + time(0xFF),
        "ecn": b"\0"
        + listen()
        + call(0, 0, 4)
        + option(0, 0, 26, 2)
        + call(0, 13, 0, 0, high=1)
        + flow(8)
        + call(1, 7, 0)
        + lot
        + live(2)
        + bytes([4, 1, 3, 0x10, 64, 4, 0, 3, 0x50, 64])
        + live(13),
        "too-big": b"\0" + both + lot + too_big + live(14) + far(7, 8) + live(15),
        "mtu": b"\x08" + both + lot + stack_call(0, 4, *two(576)) + live(14),
        "far-time": b"\0" + both + lot + live(3) + far(7, 19) + live(15),
        "udp-gso": b"\x40"
        + udp
        + call(0, 14, 0x42, *two(9000), *two(700))
        + call(0, 14, 0x42, *two(9000), *two(3000))
        + bytes([7, 0])
        + stack_call(0, 4, *two(9000))
        + flow(32)
        + call(1, 14, 2, 0, 0) * 4,
        "open": b"\0" + both,
        "transfer": b"\0"
        + both
        + write_some(0, 0, 20000)
        + flow(32)
        + read(1, 1)
        + write_some(1, 1, 5000, high=1)
        + flow(20)
        + read(0, 0)
        + close(0, 0)
        + flow(10)
        + close(1, 1)
        + flow(10)
        + time(0x1F),
        "six": b"\0" + six + write_some(0, 0, 3000) + flow(32) + read(1, 1),
        "loss": b"\0"
        + both
        + write_some(0, 0, 30000)
        + bytes([2, 8, 3, 2, 8, 2])
        + flow(32)
        + time(10)
        + flow(32)
        + time(25)
        + flow(32),
        "fast-open": b"\0"
        + listen(8)
        + (connect(8) + write_some(0, 0, 10) + flow(9)) * 2
        + call(1, 7, 0),
        "forged": b"\0" + both + b"".join(bytes(f) + flow(3) for f in forged),
        "fragment": b"\0"
        + both
        + write_some(0, 0, 2000)
        + bytes([2, 3, 2, 100, 0])
        + flow(10),
        "udp": b"\0" + udp + call(0, 14, 8, *two(456)) + flow(9) + call(1, 14, 2, 0, 0),
        "cookies": b"\1" + listen() + connect() * 5 + flow(32) + call(1, 7, 0) * 2,
        "zero-window": b"\0"
        + both
        + small
        + write_some(0, 0, 60000)
        + flow(32)
        + time(0x99)
        + time(0x9C)
        + flow(5)
        + read(1, 1)
        + flow(32),
    }


def ip_programs() -> dict[str, bytes]:
    """Packets of fuzz_ip.c: how, length, id, offset and flags, bytes."""

    def part4(how: int, eights: int, field: int) -> bytes:
        return bytes([how, eights, 1]) + struct.pack("<H", field) + bytes(8 * eights)

    def part6(eights: int, field: int) -> bytes:
        return (
            bytes([0x42, 0]) + struct.pack("<HBB", field, 1, eights) + bytes(8 * eights)
        )

    return {
        "whole4": part4(9, 20, 0),
        "two4": part4(9, 20, 0x2000) + part4(9, 5, 20),
        "late4": part4(9, 5, 20) + part4(9, 20, 0x2000),
        "overlap4": part4(9, 20, 0x2000) + part4(9, 5, 19),
        "gap4": part4(9, 20, 0x2000) + part4(9, 5, 21) + bytes([255, 60]),
        "two6": part6(20, 1) + part6(5, 160),
        "late6": part6(5, 160) + part6(20, 1),
        "overlap6": part6(20, 1) + part6(5, 152),
    }


def crypt_programs() -> dict[str, bytes]:
    """Two options, then steps of fuzz_crypt.c: end, call."""
    usual = b"\0\0"
    keys = bytes([13, 12])  # Init1 to B, Init2 to A
    talk = bytes([0]) + struct.pack("<H", 999) + bytes([3]) + struct.pack("<H", 40000)

    def option(body: bytes) -> bytes:
        return bytes([0x80 + (len(body) - 0x80 % 39) % 39]) + body

    half = bytes(9)
    resume = option(b"\xa3" + half + bytes(8))
    return {
        "talk": usual + keys + talk + bytes([12, 13]),
        "x448": b"\1\1" + keys + talk + bytes([12, 13]),
        "pieces": usual + bytes([8, 3, 9, 3]) * 40 + talk + bytes([0x49, 7]) * 20,
        "end": usual + keys + talk + bytes([4, 5]),
        "rekey": usual + keys + bytes([6, 7, 12, 13]) + talk + bytes([6, 12, 13]) * 3,
        "flipped": usual + keys + talk + bytes([0x2E, 30, 0, 1, 13]),
        "cut": usual + keys + talk + bytes([4, 0x1E, 5, 0, 8, 13]),
        "hostile": usual + keys + bytes([0x8C, 0, 9]) + bytes(9) + bytes([13]),
        "no-memory": usual + bytes([0x4D, 13, 0x5C, 12]) + talk + bytes([13, 12]),
        "options": option(b"\x82\xa4\1\2\3\x23") + option(b"\1\x24\x23"),
        "resume": resume + option(b"\1\xa3" + half + bytes(7)) + talk + bytes([13]),
    }


def httpd_programs() -> dict[str, bytes]:
    """Requests of fuzz_httpd.c, after the sizes of the first pieces."""

    def get(target: str, *fields: str, method: str = "GET") -> bytes:
        lines = [f"{method} {target} HTTP/1.1", "Host: x", *fields, "", ""]
        return "\r\n".join(lines).encode()

    chunked = "Transfer-Encoding: chunked"
    found = {
        "page": get("/"),
        "folder": get("/sub?a=b"),
        "dots": get("/sub/%2e%2e/./a/..//index.html"),
        "above": get("/../etc/passwd") + get("/out/passwd") + get("/.hidden"),
        "absolute": get("http://x/sub/"),
        "head": get("/", method="HEAD"),
        "range": get("/", "Range: bytes=2-5"),
        "suffix": get("/", "Range: bytes=-4"),
        "ranges": get("/", "Range: bytes=0-1,4-5, -2"),
        "outside": get("/", "Range: bytes=99-"),
        "if-range": get("/", "Range: bytes=0-1", 'If-Range: "x"'),
        "etags": get("/", 'If-None-Match: W/"x", "y"', "If-None-Match: *"),
        "date": get("/", "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT"),
        "date-850": get("/", "If-Unmodified-Since: Sunday, 06-Nov-94 08:49:37 GMT"),
        "date-c": get("/", "If-Modified-Since: Sun Nov  6 08:49:37 2094"),
        "chunks": get("/", chunked) + b"3;a=b\r\nabc\r\n0\r\nRange: bytes=0-0\r\n\r\n",
        "length": get("/", "Content-Length: 3") + b"abc" + get("/"),
        "expect": get("/", "Expect: 100-continue", "Content-Length: 3"),
        "upgrade": get("/", "Connection: Upgrade", "Upgrade: h2c") + get("/"),
        "close": get("/", "Connection: close") + get("/"),
        "old": b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + get("/"),
        "other": get("/", method="DELETE") + get("x:80", method="CONNECT") + get("/"),
        "fold": get("/", "Range: bytes=0-0,\r\n 1-1"),
        "long": get("/" + "n" * 700) + get("/"),
        "many": get("/a") * 150,
    }
    # The room for values is filled to the brim, and then more comes.
    for brim in range(1529, 1535):
        full = "Range: " + "x" * brim
        found[f"brim-{brim}"] = get("/", full, "If-Match: " + "y" * 5000)
        found[f"brim-empty-{brim}"] = get("/", full, "If-Match:", "If-Range:")
    return {name: bytes([3, 17, 40, 90]) + text for name, text in found.items()}


def load_programs() -> dict[str, bytes]:
    """Responses for fuzz_load.c, after what was asked and the pieces' sizes."""

    def say(status: str, *fields: str, body: bytes = b"", version: int = 1) -> bytes:
        lines = [f"HTTP/1.{version} {status}", *fields, "", ""]
        return "\r\n".join(lines).encode() + body

    def length(n: int | str) -> str:
        return f"Content-Length: {n}"

    chunked = "Transfer-Encoding: chunked"
    page = say("200 OK", length(5), "Date: now", body=b"hello")
    found = {
        "page": page,
        "again": page + page + page,
        "empty": say("200", length(0)) + say("204 No Content") + say("304 x"),
        "chunks": say("200 OK", chunked, body=b"5;a=b\r\nhello\r\n0\r\n\r\n") + page,
        "trailer": say("200 OK", chunked, body=b"1\r\nx\r\n0\r\nA: b\r\n\r\n"),
        "chunk-long": say("200 OK", chunked, body=b"fffffffffffffff\r\nx"),
        "chunk-bad": say("200 OK", chunked, body=b"1\r\nxy\r\n0\r\n\r\n"),
        "to-end": say("200 OK", body=b"until it ends"),
        "close": say("200 OK", length(2), "Connection: x, close", body=b"ok"),
        "old": say("200 OK", length(2), body=b"ok", version=0),
        "old-keep": say("200 OK", length(0), "Connection: Keep-Alive", version=0),
        "interim": say("100 Continue") + say("103 Early", "Link: <a>") + page,
        "interims": say("100 x") * 20 + page,
        "switched": say("101 Switching"),
        "both": say("200 OK", length(5), chunked, body=b"hello"),
        "lengths": say("200 OK", length(5), length(5), body=b"hello"),
        "lengths-differ": say("200 OK", length(5), length(6), body=b"hello!"),
        "length-bad": say("200 OK", length("5, 5"), body=b"hello"),
        "length-long": say("200 OK", length("9" * 19)),
        "coding": say("200 OK", "Transfer-Encoding: gzip, chunked"),
        "bare": b"HTTP/1.1 200 OK\n\n",
        "fold": say("200 OK", "A: b", " c", length(0)),
        "name": say("200 OK", "A b: c"),
        "control": say("200 OK", "A: \x01"),
        "status": say("2000 OK"),
        "version": b"HTTP/2 200\r\n\r\n",
        "line": say("200 OK", "A: " + "x" * 8300),
        "fields": say("200 OK", *["A: " + "x" * 1000] * 70),
        "brim": say("100 x", *["A: " + "x" * 1000] * 65) + page,
    }
    return {
        name: bytes([name == "empty", 3, 9, 1, 40, 2, 30]) + text
        for name, text in found.items()
    }


def main() -> None:
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "corpus"
    for name, frame in frames().items():
        write(root / "parse" / name, struct.pack("<H", 0) + frame)
    for target, programs in (
        ("region", region_programs()),
        ("ctl", ctl_programs()),
        ("table", table_programs()),
        ("proto", proto_programs()),
        ("tcp", tcp_programs()),
        ("ip", ip_programs()),
        ("httpd", httpd_programs()),
        ("load", load_programs()),
        ("crypt", crypt_programs()),
        ("tcp-crypt", tcp_programs()),
        ("batch", batch_programs()),
    ):
        for name, program in programs.items():
            write(root / target / name, program)
    for cut in (14, 33, 37, 53):
        frame = frames()["tcp4-options"][:cut]
        write(root / "parse" / f"nonlinear-{cut}", struct.pack("<H", 64) + frame)


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


if __name__ == "__main__":
    main()
