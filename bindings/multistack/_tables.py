# SPDX-License-Identifier: BSD-2-Clause
"""What links tell of their connections: mslink_table_t of
lib/include/multistack/link_table.h, read from the outside.

The memory is that of the process looked at: everything in it may be a lie.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from ctypes import Structure, c_char, c_uint8, c_uint16, c_uint32, c_uint64, sizeof
from dataclasses import dataclass
from typing import Any

from multistack import _abi, _types

MSLINK_TABLE_MAGIC = 0x4D534C54
MSLINK_TABLE_ROWS = 1024
_LINK = "/memfd:multistack-link"
_BYTES_MAX = 1 << 20
_TRIES = 4  # while it is being written, which takes less than a millisecond

# enum utcp_state
STATES = (
    *("closed", "listen", "syn-sent", "syn-recv", "established", "fin-wait-1"),
    *("fin-wait-2", "close-wait", "closing", "last-ack", "time-wait"),
)


class Head(Structure):
    """mslink_table_t"""

    _fields_ = [
        ("magic", c_uint32),
        ("head_bytes", c_uint16),
        ("row_bytes", c_uint16),
        ("port_id", c_uint32),
        ("ring", c_uint32),
        ("seq", c_uint32),
        ("rows", c_uint32),
        ("socks", c_uint32),
        ("syns", c_uint32),
        ("timewaits", c_uint32),
        ("time_ns", c_uint64),
        ("pad", c_uint64 * 2),
    ]


class Row(Structure):
    """mslink_row_t"""

    _fields_ = [
        ("local", _abi.Tuple),
        ("peer", _abi.Tuple),
        ("state", c_uint8),
        ("recovery", c_uint8),
        ("mss", c_uint16),
        ("cc", c_char * 16),
        ("rtt_us", c_uint32),
        ("min_rtt_us", c_uint32),
        ("cwnd_bytes", c_uint32),
        ("ssthresh_bytes", c_uint32),
        ("unacked_bytes", c_uint32),
        ("lost_bytes", c_uint32),
        ("snd_wnd_bytes", c_uint32),
        ("bytes_sent", c_uint64),
        ("bytes_acked", c_uint64),
        ("bytes_received", c_uint64),
        ("retrans_segs", c_uint64),
        ("delivery_rate", c_uint64),
    ]


@dataclass(frozen=True)
class Connection:
    """One TCP connection of a stack on a link, as the stack said."""

    local: tuple[str, int]
    peer: tuple[str, int]
    state: str
    cc: str
    mss: int
    rtt_us: int  # 0: not known
    min_rtt_us: int
    cwnd_bytes: int
    ssthresh_bytes: int
    unacked_bytes: int
    lost_bytes: int
    snd_wnd_bytes: int
    bytes_sent: int
    bytes_acked: int
    bytes_received: int
    retrans_segs: int
    delivery_rate: int  # bytes a second


@dataclass(frozen=True)
class LinkTable:
    """All that a link told; connections may be fewer than `socks`."""

    pid: int
    port_id: int
    ring: int
    socks: int
    syns: int
    timewaits: int
    time_ns: int  # CLOCK_MONOTONIC
    connections: tuple[Connection, ...]


def _end(t: Any) -> tuple[str, int]:
    addr, port, _ = _types.tuple_out(t)
    return addr, port


def _connection(row: Any) -> Connection | None:
    if row.local.family not in (4, 6) or row.peer.family not in (4, 6):
        return None
    state = STATES[row.state] if row.state < len(STATES) else "?"
    names = [f for f in Connection.__dataclass_fields__ if f not in _NOT_NUMBERS]
    return Connection(
        local=_end(row.local),
        peer=_end(row.peer),
        state=state,
        cc="".join(c if c.isprintable() else "?" for c in row.cc.decode("latin-1")),
        **{name: getattr(row, name) for name in names},
    )


_NOT_NUMBERS = {"local", "peer", "state", "cc"}


def parse(data: bytes, pid: int) -> LinkTable | None:
    """A table's bytes; None: it is none, or was being written."""
    if len(data) < sizeof(Head):
        return None
    head = Head.from_buffer_copy(data)
    if (
        head.magic != MSLINK_TABLE_MAGIC
        or head.head_bytes < sizeof(Head)
        or head.row_bytes < sizeof(Row)
        or head.seq % 2
    ):
        return None
    room = (len(data) - head.head_bytes) // head.row_bytes
    rows = (
        Row.from_buffer_copy(data, head.head_bytes + i * head.row_bytes)
        for i in range(min(head.rows, max(room, 0)))
    )
    told = tuple(c for c in map(_connection, rows) if c)
    return LinkTable(
        *(pid, head.port_id, head.ring, head.socks, head.syns, head.timewaits),
        *(head.time_ns, told),
    )


def _read(fd: int) -> bytes:
    """The same twice in its `seq`, or what is no table."""
    for _ in range(_TRIES):
        data = os.pread(fd, _BYTES_MAX, 0)
        again = os.pread(fd, sizeof(Head), 0)
        if data[: sizeof(Head)] == again:
            break
    return data


def _open(path: str) -> int:
    """What is behind the name may be anything by now."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise FileNotFoundError(path)
    return fd


def _tables(pid: int, seen: set[tuple[int, int]]) -> Iterator[LinkTable]:
    below = f"/proc/{pid}/fd"
    for name in os.listdir(below):
        path = f"{below}/{name}"
        with suppress(OSError):
            if not os.readlink(path).startswith(_LINK):
                continue
            fd = _open(path)
            try:
                file = os.fstat(fd)
                if (file.st_dev, file.st_ino) in seen:  # a child has it too
                    continue
                seen.add((file.st_dev, file.st_ino))
                found = parse(_read(fd), pid)
            finally:
                os.close(fd)
            if found:
                yield found


def tables(pids: Iterable[int]) -> list[LinkTable]:
    """Of these processes; nothing of those that are gone, or that the caller may not
    look into."""
    seen: set[tuple[int, int]] = set()
    found: list[LinkTable] = []
    for pid in sorted(set(pids)):
        with suppress(OSError):
            found += _tables(pid, seen)
    return found
