# SPDX-License-Identifier: BSD-2-Clause
"""Flows of multistack.sim."""

from __future__ import annotations

import os
import statistics
from array import array
from ctypes import byref, sizeof
from dataclasses import dataclass
from typing import TYPE_CHECKING

from multistack import _simffi as c
from multistack import _utcp
from multistack._simlink import series

if TYPE_CHECKING:
    from multistack._cc import CongestionControl
    from multistack.sim import Host, Network


@dataclass(frozen=True)
class Summary:
    """A flow in numbers, from the time it could have settled on."""

    cc: str
    goodput: float
    """Bits a second that the receiver got."""
    rtt: float
    """Seconds, the mean of the smoothed round trip."""
    rtt_p95: float
    queue_delay: float
    """Seconds above the least round trip, the mean."""
    retransmits: int
    """Segments, of the whole flow."""
    sent: int
    """Bytes with retransmissions, of the whole flow."""
    finished: float | None
    """When the last byte had come; None: it had not."""


class Flow:
    """A connection that has always something to send, and its time series: arrays
    of floats (numpy.asarray() takes them as they are), a value each sample."""

    def __init__(
        self, net: Network, a: Host, b: Host, handle: int, name: str, start: float
    ) -> None:
        self.net, self.a, self.b = net, a, b
        self._handle = handle
        self.name = name
        self.start = start

    def __repr__(self) -> str:
        return f"<Flow {self.name} {self.a.name} to {self.b.name}>"

    def _series(self, column: c.FlowColumn) -> array[float]:
        self.net._alive()
        return series(c.mssim_flow_series, self._handle, column)

    @property
    def time(self) -> array[float]:
        """Seconds, of the values below."""
        return self._series(c.FlowColumn.TIME)

    @property
    def cwnd(self) -> array[float]:
        """The congestion window, bytes."""
        return self._series(c.FlowColumn.CWND)

    @property
    def ssthresh(self) -> array[float]:
        """The slow start threshold, bytes; 2**32 - 1: not known."""
        return self._series(c.FlowColumn.SSTHRESH)

    @property
    def rtt(self) -> array[float]:
        """The smoothed round trip, seconds; 0: not measured."""
        return self._series(c.FlowColumn.RTT)

    @property
    def inflight(self) -> array[float]:
        """Bytes on their way."""
        return self._series(c.FlowColumn.INFLIGHT)

    @property
    def goodput(self) -> array[float]:
        """Bits a second that the receiver got since the value before."""
        return self._series(c.FlowColumn.GOODPUT)

    @property
    def received(self) -> array[float]:
        """Bytes that the receiver got in all."""
        return self._series(c.FlowColumn.RECEIVED)

    @property
    def retransmits(self) -> array[float]:
        """Segments sent again, in all."""
        return self._series(c.FlowColumn.RETRANS)

    @property
    def pacing_rate(self) -> array[float]:
        """Bits a second; 0: not paced."""
        return self._series(c.FlowColumn.PACING)

    @property
    def queue_delay(self) -> array[float]:
        """Seconds by which the round trip is above the least one seen."""
        rtt = self.rtt
        least = min((r for r in rtt if r > 0), default=0.0)
        return array("d", (max(r - least, 0.0) for r in rtt))

    @property
    def info(self) -> _utcp.Info:
        """utcp_info() of the sender; of its end, once it has ended."""
        self.net._alive()
        info = _utcp.Info(size=sizeof(_utcp.Info))
        c.mssim_flow_info(self._handle, byref(info))
        return info

    @property
    def control(self) -> CongestionControl | None:
        """The object of a congestion control in Python, while the flow lasts."""
        self.net._alive()
        sock = c.mssim_flow_sock(self._handle)
        if not sock:
            return None
        found = (r.of(sock) for r in self.net._classes(self.a))
        return next((control for control in found if control is not None), None)

    def _stats(self) -> c.FlowStats:
        self.net._alive()
        s = c.FlowStats()
        c.mssim_flow_stats(self._handle, byref(s))
        return s

    @property
    def error(self) -> OSError | None:
        """What ended it; None: nothing, or the last byte."""
        code = self._stats().error
        return OSError(code, os.strerror(code)) if code else None

    @property
    def finished(self) -> float | None:
        """Seconds at which the receiver had all; None: it has not."""
        s = self._stats()
        return s.finished_ns * 1e-9 if s.done else None

    def summary(self, since: float | None = None) -> Summary:
        """Means from `since` seconds on; None: from a quarter of its time on."""
        time, rtt, got = self.time, self.rtt, self.received
        end = time[-1] if time else self.start
        if since is None:
            since = self.start + (end - self.start) / 4
        first = next((i for i, t in enumerate(time) if t >= since), len(time))
        rtts = sorted(r for r in rtt[first:] if r > 0) or [0.0]
        span = end - time[first] if first < len(time) else 0.0
        least = min((r for r in rtt if r > 0), default=0.0)
        info = self.info
        return Summary(
            cc=info.cc.decode(errors="replace") or self.name,
            goodput=(got[-1] - got[first]) * 8 / span if span > 0 else 0.0,
            rtt=statistics.fmean(rtts),
            rtt_p95=rtts[min(len(rtts) * 95 // 100, len(rtts) - 1)],
            queue_delay=statistics.fmean(rtts) - least,
            retransmits=info.total_retrans_segs,
            sent=info.bytes_sent,
            finished=self.finished,
        )
