# SPDX-License-Identifier: BSD-2-Clause
"""Links of multistack.sim."""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable
from ctypes import byref, c_double, c_size_t, sizeof, string_at
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from multistack import _simffi as c
from multistack import _units
from multistack._simffi import Aqm, Verdict

if TYPE_CHECKING:
    from multistack.sim import Node

_MTU = 1500

Hook = Callable[[bytes, float, int], "Verdict | int | None"]


@dataclass(frozen=True)
class Way:
    """One way of a link. Rates ("10Mbit"), times ("20ms"), sizes ("64KiB", "1bdp")
    and shares ("0.1%") may be numbers too: bits a second, seconds, bytes, 0 to 1."""

    rate: str | float | None = None
    """None: no limit, and no queue."""
    delay: str | float = 0
    jitter: str | float = 0
    """More delay, evenly from 0 to this."""
    reorders: bool = False
    """Jitter lets packets overtake each other."""
    buffer: str | float | None = None
    """Of the queue. None: no limit. In bdp: rate times rtt, at least two packets."""
    rtt: str | float | None = None
    """For bdp; None: the link's delay there and back."""
    loss: str | float = 0
    """Of each packet, by chance."""
    loss_every: int = 0
    """Each so many-th packet is lost; 0: none."""
    burst: tuple[float, float, float] | None = None
    """Gilbert-Elliott: chance to enter the bad state, to leave it, loss in it."""
    reorder: str | float = 0
    """Share that is held back by reorder_delay."""
    reorder_delay: str | float = 0
    duplicate: str | float = 0
    corrupt: str | float = 0
    aqm: Aqm | str | Hook = "droptail"
    """"droptail", "step" (marks CE from a threshold on), "codel" (RFC 8289), "pie"
    (RFC 8033), or a function: see Network.link()."""
    ecn: bool = True
    """codel and pie mark packets of connections that use ECN, and drop others."""
    target: str | float = 0
    """Of codel (0: 5 ms), of pie (15 ms); threshold of step (1 ms)."""
    interval: str | float = 0
    """Of codel; 0: 100 ms."""
    step: str | float = 0
    """Threshold of step as a size, or in bdp; 0: by target."""
    mtu: int = 0
    """Packets longer than this get an ICMP error; 0: none is."""
    black_hole: bool = False
    """They get none."""
    down: tuple[float, float] | None = None
    """From, to: seconds in which all is lost."""

    def _struct(self, rtt: float, hook: Any) -> c.Way:
        rate = 0 if self.rate is None else _units.rate(self.rate)
        if self.rate is not None and rate == 0:
            raise ValueError("a rate of 0: nothing would ever arrive")
        rtt = rtt if self.rtt is None else _units.seconds(self.rtt)
        bdp = rate * rtt / 8
        room = 0 if self.buffer is None else _units.size(self.buffer, bdp)
        if self.buffer is not None:
            room = max(room, 2 * _MTU)
        burst = self.burst or (0.0, 0.0, 0.0)
        down = self.down or (0.0, 0.0)
        return c.Way(
            size=sizeof(c.Way),
            aqm=c.Aqm.HOOK if hook else _aqm(self.aqm),
            hook=hook or c.HOOK(),
            rate_bps=rate,
            delay_ns=_units.nanoseconds(self.delay),
            jitter_ns=_units.nanoseconds(self.jitter),
            jitter_reorders=self.reorders,
            queue_bytes=room,
            ecn=self.ecn,
            target_ns=_units.nanoseconds(self.target),
            interval_ns=_units.nanoseconds(self.interval),
            step_bytes=_units.size(self.step, bdp),
            loss=_units.share(self.loss),
            loss_every=self.loss_every,
            burst_begin=_units.share(burst[0]),
            burst_end=_units.share(burst[1]),
            burst_loss=_units.share(burst[2]),
            reorder=_units.share(self.reorder),
            reorder_ns=_units.nanoseconds(self.reorder_delay),
            dup=_units.share(self.duplicate),
            corrupt=_units.share(self.corrupt),
            mtu=self.mtu,
            mtu_silent=self.black_hole,
            dead_from_ns=_units.nanoseconds(down[0]),
            dead_to_ns=_units.nanoseconds(down[1]),
        )


def _aqm(name: Aqm | str | Hook) -> Aqm:
    if isinstance(name, Aqm):
        return name
    known = [a.name.lower() for a in Aqm if a is not Aqm.HOOK]
    if not isinstance(name, str) or name.lower() not in known:
        raise ValueError(f"{name!r} is no queue management; there are {known}")
    return Aqm[name.upper()]


@dataclass(frozen=True)
class WayStats:
    """What happened on one way of a link: packets, unless they are bytes."""

    pkts: int
    bytes: int
    sent: int
    sent_bytes: int
    overflows: int
    """Found the queue full."""
    drops: int
    """By the queue management."""
    marks: int
    losses: int
    """On the way."""
    too_big: int
    corrupted: int
    reordered: int
    duplicated: int
    nomem: int
    backlog_max: int
    """Bytes."""
    backlog_sum: int
    """Bytes, at each packet."""


def series(call: Any, *args: Any) -> array[float]:
    num = c_size_t()
    at = call(*args, byref(num))
    values: array[float] = array("d")
    if at and num.value:
        values.frombytes(string_at(at, num.value * sizeof(c_double)))
    return values


class Link:
    """Between nodes a and b. Series and stats are of the way from a to b; those of
    `link.back` are of the other."""

    def __init__(self, a: Node, b: Node, handle: int, way: int, conf: Way) -> None:
        self.a, self.b = a, b
        self.net = a.net
        self._handle, self._way = handle, way
        self.way = conf
        self.back: Link
        self._hook: Any = None
        self._keep: list[Any] = []

    def __repr__(self) -> str:
        return f"<Link {self.a.name} to {self.b.name}>"

    def set(self, **changes: Any) -> None:
        """Changes some of Way from now on, of this way only: set(rate="5Mbit")."""
        way = replace(self.way, **changes)
        back = self.back.way
        if "aqm" in changes:
            self._hook = self.net._hook(way.aqm)
            self._keep.append(self._hook)
        struct = way._struct(round_trip(way, back), self._hook)
        self.net._alive()
        c.mssim_link_set(self._handle, self._way, byref(struct))
        self.way = way

    def capture(self, path: str | os.PathLike[str]) -> None:
        """Writes what the interface of a at this link sends and receives to a
        pcapng file, until the network is closed."""
        self.net._alive()
        c.mssim_link_capture(self._handle, self._way, os.fsencode(path))

    @property
    def stats(self) -> WayStats:
        self.net._alive()
        s = c.WayStats()
        c.mssim_link_stats(self._handle, self._way, byref(s))
        return WayStats(**{f[0]: getattr(s, f[0]) for f in c.WayStats._fields_})

    def _series(self, column: c.LinkColumn) -> array[float]:
        self.net._alive()
        return series(c.mssim_link_series, self._handle, self._way, column)

    @property
    def time(self) -> array[float]:
        """Seconds, of the values below."""
        return self._series(c.LinkColumn.TIME)

    @property
    def backlog(self) -> array[float]:
        """Bytes in the queue."""
        return self._series(c.LinkColumn.BACKLOG)

    @property
    def queue_delay(self) -> array[float]:
        """Seconds that the queue takes."""
        return self._series(c.LinkColumn.DELAY)

    @property
    def rate(self) -> array[float]:
        """Bits a second that left the queue."""
        return self._series(c.LinkColumn.RATE)

    @property
    def drops(self) -> array[float]:
        """Packets in all: by a full queue and by its management."""
        return self._series(c.LinkColumn.DROPS)

    @property
    def marks(self) -> array[float]:
        return self._series(c.LinkColumn.MARKS)


def round_trip(there: Way, back: Way) -> float:
    return _units.seconds(there.delay) + _units.seconds(back.delay)
