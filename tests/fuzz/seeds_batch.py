# SPDX-License-Identifier: BSD-2-Clause
"""The hand-made inputs of fuzz_batch.c: see step() and command() there."""

from __future__ import annotations

WRITE, SENDTO, SHUTDOWN, CLOSE, ABORT, MODE = range(6)
TELL, READ, HOLD, ACCEPT = range(4)
ALL = 1
OFFLOADS, SMALL, EVENTS = 0x11, 2, 8  # of both sides; the batch's


def command(
    op: int, number: int, units: int = 0, shift: int = 0, arg: int = 0
) -> bytes:
    """It writes units * 4 ** shift bytes."""
    return bytes([shift << 5 | op, units << 2 | arg, number])


def send(number: int, units: int, shift: int, port: int = 0) -> bytes:
    """A datagram to the peer."""
    return command(SENDTO, number, units, shift) + bytes([1, port])


def turn(*commands: bytes, how: int = 0x40) -> bytes:
    return bytes([0, how | len(commands)]) + b"".join(commands)


def listen(options: int = 0) -> bytes:
    return bytes([6, 0x12, 0x3C, options])


def connect(itself: bool = False, options: int = 0, mode: int = READ) -> bytes:
    return bytes([6, 4 | itself << 3 | mode << 6, 0, options])


def udp(peer: bool = False, how: int = 0x20) -> bytes:
    """how: bit 6 connected, 5 bound, 4 a small buffer; 2-0 the port."""
    kind = bytes([14, 0, 1]) if peer else bytes([6, READ << 6])
    return kind + bytes([how, 0])


def rounds(n: int, peer_reads: bool = True) -> bytes:
    """Turns, and all that waits on the wire comes."""
    reads = bytes([14, 0xFD, 0, 14, 0xFD, 1]) if peer_reads else b""
    return (turn() + bytes([12, 31, 12, 30]) + reads) * n


def peer(which: int, end: int = 0, how: int = 0) -> bytes:
    """2 writes, 4 accepts, 5 reads, 6 shuts down, 7 closes."""
    return bytes([14, how | which, end])


def peer_connect() -> bytes:
    return bytes([14, 0, 2, 0, 0])


def batch_programs() -> dict[str, bytes]:
    alone = listen() + connect(itself=True) + rounds(4)
    peer_listens = bytes([14, 0, 0, 0x3C, 0])
    both = peer_listens + connect() + rounds(3) + peer(4)
    theirs = listen() + peer_connect() + rounds(4)
    lots = turn(*[command(WRITE, 0, 31, 6)] * 3)
    datagrams = bytes([14, 1, 0, 1, 0x90, 5, 0, 0xE0])  # many in one
    end = rounds(3) + turn(command(SHUTDOWN, 0)) + rounds(2) + turn(command(CLOSE, 0))
    wide = 0xC2  # a large receive buffer
    held = listen(wide) + peer_connect() * 4 + rounds(4)
    held += turn(*[command(MODE, n, arg=HOLD) for n in range(1, 5)])
    held += b"".join(peer(2, n % 4, 0xF0) + rounds(2) for n in range(24))
    serve = turn(*[command(MODE, n, arg=READ) for n in range(1, 5)])
    lost = bytes([11, 0, 11, 4]) + turn() * 2 + bytes([11, 1, 11, 5])
    early = [bytes([11 | 32, n]) for n in range(5)]
    found = {
        "alone": b"\0\0" + alone + lots + end,
        "both": b"\0\0" + both + lots + end,
        "both-gso": bytes([OFFLOADS, 0]) + both + lots + peer(2, 1, 0xF0) * 3 + end,
        "both-small": bytes([SMALL, 0]) + both + lots + end,
        "theirs": b"\0\0" + theirs + peer(2, 0, 0xF0) * 4 + end,
        "theirs-few-events": bytes([EVENTS, 0]) + theirs * 5 + rounds(4) + end,
        "theirs-end": b"\0\0" + theirs + peer(2, 0, 0x50) + peer(7) + rounds(3),
        "theirs-abort": b"\0\0" + theirs + peer(7, 0, 8) + rounds(2) + lots,
        "room": b"\0\0"
        + peer_listens
        + connect(options=1)
        + rounds(3)
        + peer(4)
        + lots
        + rounds(2, peer_reads=False)
        + lots
        + turn(*[command(op, 0, arg=ALL) for op in (WRITE, SHUTDOWN, CLOSE)])
        + end,
        "all": b"\0\0" + both + turn(command(WRITE, 0, 31, 7, ALL)) + end,
        "held": b"\0\0" + held + serve + end,
        "held-large-arena": b"\0\1" + held + serve + end,
        "held-end-reset": b"\0\0"
        + held
        + peer(6)
        + rounds(3)
        + peer(7, 0, 8)
        + rounds(3)
        + serve
        + end,
        "modes": b"\0\0"
        + theirs
        + b"".join(
            turn(command(MODE, 1, arg=mode)) + peer(2, 0, 0x70) + rounds(1)
            for mode in (HOLD, READ, TELL, HOLD, ACCEPT, READ)
        )
        + end,
        "datagrams": bytes([OFFLOADS, 0])
        + udp()
        + udp(peer=True)
        + turn(*[send(0, 9, shift) for shift in (2, 3, 5)])
        + datagrams * 4
        + rounds(4)
        + turn(command(MODE, 0, arg=ACCEPT))
        + end,
        "datagrams-few-events": bytes([OFFLOADS | EVENTS, 0])
        + udp()
        + udp(peer=True)
        + (datagrams * 3 + rounds(2)) * 3,
        "datagrams-no-room": b"\0\0"
        + udp(how=0x70)
        + turn(*[send(0, 31, 3)] * 7)
        + rounds(2)
        + end,
        "nobody-there": b"\0\0" + udp(how=0x60) + (turn(send(0, 9, 1)) + rounds(2)) * 3,
        "lost": b"\0\0" + both + lots + lost + lots + end,
        "no-memory": bytes([0, 0x30])
        + b"".join(f + connect() + f + lots + f + rounds(1) for f in early)
        + both
        + b"".join(f + turn(command(WRITE, 0, 31, 6, ALL)) for f in early)
        + end,
        "numbers": b"\0\0" + listen() + (connect(itself=True) + rounds(1)) * 20 + end,
        "many": b"\0\0" + both + turn(command(CLOSE, 9), how=0xE0) + end,
        "more-and-less-data": b"\0\0"
        + both
        + turn(command(WRITE, 0, 9, 3), how=0x38)
        + turn(command(WRITE, 0, 9, 3), command(CLOSE, 0), how=0x18)
        + end,
        "misuse": b"\0\0"
        + both
        + udp()
        + bytes([11 | 64, 0])
        + bytes([9, 0]) * 3
        + end,
        "calls": b"\0\0"
        + both
        + bytes([7, 0x4C, 0, 7, 0, 0, 27, 0, 0, 7, 0xEF, 0])
        + end,
    }
    # The table of numbers is full, and there is none for who is to be accepted.
    full = listen() + (connect(itself=True) + rounds(1)) * 31 + connect()
    full += peer_connect() + rounds(1)
    for n in range(8, 20):
        fails = bytes([11 | 32, n])
        found[f"numbers-no-memory-{n}"] = b"\0\0" + full + fails + end
    return found
