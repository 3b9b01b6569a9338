# SPDX-License-Identifier: BSD-2-Clause
"""pcapng: blocks of a capture file, as Wireshark and tcpdump read them
(draft-ietf-opsawg-pcapng)."""

from __future__ import annotations

import struct
from typing import IO

_SECTION, _INTERFACE, _STATISTICS, _PACKET = 0x0A0D0D0A, 1, 5, 6
_BYTE_ORDER = 0x1A2B3C4D
_ETHERNET = 1  # LINKTYPE_ETHERNET
_END, _COMMENT = 0, 1
# Options of an interface, of a packet, of statistics.
_IF_NAME, _IF_DESCRIPTION, _IF_TSRESOL, _IF_FILTER = 2, 3, 9, 11
_EPB_FLAGS = 2
_ISB_RECEIVED, _ISB_DROPPED, _ISB_ACCEPTED = 4, 5, 6
_SHB_APPLICATION = 4

INBOUND, OUTBOUND = 1, 2  # of a packet, as its flags say


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _options(*pairs: tuple[int, bytes]) -> bytes:
    """An empty value is left out."""
    told = b"".join(
        struct.pack("=HH", code, len(value)) + _padded(value)
        for code, value in pairs
        if value
    )
    return told + struct.pack("=HH", _END, 0) if told else b""


def _block(kind: int, body: bytes) -> bytes:
    size = len(body) + 12
    return struct.pack("=II", kind, size) + body + struct.pack("=I", size)


def _stamp(ns: int) -> bytes:
    return struct.pack("=II", ns >> 32, ns & 0xFFFFFFFF)


def _told(direction: int, comment: str) -> bytes:
    """A packet's options."""
    flags = struct.pack("=I", direction)
    return _options((_COMMENT, comment.encode()), (_EPB_FLAGS, flags))


_DIRECTIONS = {way: _told(way, "") for way in (INBOUND, OUTBOUND)}
_PACKET_HEAD, _SIZE = struct.Struct("=IIIIIII"), struct.Struct("=I")


class Writer:
    """One section with one Ethernet interface. Times are nanoseconds since 1970."""

    def __init__(
        self,
        out: IO[bytes],
        *,
        application: str,
        interface: str,
        description: str = "",
        snap_bytes: int,
        expression: str = "",
    ) -> None:
        """expression: the filter that packets passed. Writes the head at once."""
        self._out = out
        head = struct.pack("=IHHq", _BYTE_ORDER, 1, 0, -1)
        head += _options((_SHB_APPLICATION, application.encode()))
        nic = struct.pack("=HHI", _ETHERNET, 0, snap_bytes) + _options(
            (_IF_NAME, interface.encode()),
            (_IF_DESCRIPTION, description.encode()),
            (_IF_TSRESOL, b"\x09"),
            (_IF_FILTER, b"\0" + expression.encode() if expression else b""),
        )
        out.write(_block(_SECTION, head) + _block(_INTERFACE, nic))

    def packet(
        self,
        data: bytes,
        wire_bytes: int,
        time_ns: int,
        direction: int,
        comment: str = "",
    ) -> None:
        """wire_bytes: what the packet had, of which data may be the beginning."""
        # As _block() would make it, in one go: there are many of these.
        told = _DIRECTIONS[direction] if not comment else _told(direction, comment)
        length, pad = len(data), b"\0\0\0"[: -len(data) % 4]
        size = 32 + length + len(pad) + len(told)
        high, low = time_ns >> 32, time_ns & 0xFFFFFFFF
        head = _PACKET_HEAD.pack(_PACKET, size, 0, high, low, length, wire_bytes)
        self._out.write(b"".join((head, data, pad, told, _SIZE.pack(size))))

    def statistics(
        self, time_ns: int, *, received: int, dropped: int, accepted: int
    ) -> None:
        """At the end: packets that came, were lost on the way, and passed."""
        body = struct.pack("=I", 0) + _stamp(time_ns)
        body += _options(
            (_ISB_RECEIVED, struct.pack("=Q", received)),
            (_ISB_DROPPED, struct.pack("=Q", dropped)),
            (_ISB_ACCEPTED, struct.pack("=Q", accepted)),
        )
        self._out.write(_block(_STATISTICS, body))
