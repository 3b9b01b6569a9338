# SPDX-License-Identifier: BSD-2-Clause
"""Networks of real stacks in virtual time.

    from multistack import sim

    net = sim.Network(seed=1)
    a, b = net.host("a"), net.host("b")
    net.link(a, b, rate="10Mbit", delay="20ms", buffer="1bdp")
    flow = net.bulk(a, b, cc="cubic")
    net.run(10)
    print(flow.summary())

Hosts run UTCP as it is on a network card, not a model of it; links, queues and
clocks are simulated in C (lib/include/multistack/sim.h). Nothing sleeps, and all
that is random follows from the seed: a run can be repeated to the bit.

Applications are asyncio's, on virtual time: Host.start_server() and
Host.open_connection() give asyncio streams, Network.run_until_complete() runs
coroutines.
"""

from __future__ import annotations

import errno
import heapq
import itertools
import os
import statistics
import weakref
from array import array
from collections.abc import Callable, Coroutine, Mapping
from ctypes import (
    POINTER,
    Array,
    byref,
    c_char_p,
    c_double,
    c_size_t,
    c_uint64,
    c_void_p,
    cast,
    sizeof,
    string_at,
)
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any, TypeVar

from multistack import _simffi as c
from multistack import _units, _utcp
from multistack._cc import (
    CongestionControl,
    Registration,
    forget_stack,
    register_cc,
    report_unraisable,
)
from multistack._simffi import Aqm, Verdict

if TYPE_CHECKING:
    import asyncio

    from matplotlib.figure import Figure

    from multistack._ext import OptionRegistration, TcpOption
    from multistack._simloop import SimLoop

__all__ = [
    "Aqm",
    "Dumbbell",
    "Flow",
    "Host",
    "Link",
    "Network",
    "Router",
    "Summary",
    "Verdict",
    "Way",
    "WayStats",
]

# So often at least the interpreter has its say: for Ctrl-C.
_SLICE_NS = 250_000_000
_MTU = 1500

_T = TypeVar("_T")
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


def _column(call: Any, *args: Any) -> array[float]:
    num = c_size_t()
    at = call(*args, byref(num))
    values: array[float] = array("d")
    if at and num.value:
        values.frombytes(string_at(at, num.value * sizeof(c_double)))
    return values


class _Node:
    def __init__(self, net: Network, name: str, handle: int) -> None:
        self.net = net
        self.name = name
        self._handle = handle

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


class Router(_Node):
    """Passes packets on by the least number of links."""


class Host(_Node):
    """A host with a stack of its own."""

    def _utcp_stack(self) -> int:
        self.net._alive()
        return int(c.mssim_stack(self._handle))

    @property
    def address(self) -> str:
        """Its IPv4 address."""
        return str(IPv4Address(bytes(self._addr(4).addr)[:4]))

    @property
    def address6(self) -> str:
        return str(IPv6Address(bytes(self._addr(6).addr)))

    def _addr(self, family: int) -> _utcp.Addr:
        self.net._alive()
        addr = _utcp.Addr()
        c.mssim_addr(self._handle, family, byref(addr))
        return addr

    def counters(self) -> dict[str, int]:
        """The stack's counters that are not 0, by name."""
        values = (c_uint64 * _utcp.UTCP_CTR_MAX)()
        num = _utcp.utcp_counters(self._utcp_stack(), values, _utcp.UTCP_CTR_MAX)
        return {
            str(_utcp.utcp_counter_name(i), "ascii"): values[i]
            for i in range(num)
            if values[i]
        }

    def register_cc(self, cls: type[CongestionControl]) -> Registration:
        """Makes a class known here (Network.bulk does so by itself)."""
        return register_cc(self, cls, on_error=self.net._hook_failed)

    def register_option(
        self, cls: type[TcpOption], *, everywhere: bool = True, must: bool = False
    ) -> OptionRegistration:
        """Makes a TCP option of yours known here: multistack.register_option()."""
        from multistack._ext import register_option

        told = self.net._hook_failed
        return register_option(
            self, cls, everywhere=everywhere, must=must, on_error=told
        )

    async def open_connection(
        self, peer: Host | str, port: int, *, cc: str | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """asyncio.open_connection() from this host, in Network.run_until_complete()."""
        from multistack._simloop import open_connection

        return await open_connection(self, peer, port, cc)

    async def create_connection(
        self,
        factory: Callable[[], asyncio.BaseProtocol],
        peer: Host | str,
        port: int,
        *,
        cc: str | None = None,
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        """loop.create_connection() from this host."""
        from multistack._simloop import create_connection

        return await create_connection(self, factory, peer, port, cc)

    async def start_server(
        self,
        client: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any],
        port: int,
        *,
        cc: str | None = None,
    ) -> asyncio.AbstractServer:
        """asyncio.start_server() on this host; `client` may be a coroutine
        function."""
        from multistack._simloop import start_server

        return await start_server(self, client, port, cc)

    async def create_server(
        self,
        factory: Callable[[], asyncio.BaseProtocol],
        port: int,
        *,
        cc: str | None = None,
    ) -> asyncio.AbstractServer:
        """loop.create_server() on this host."""
        from multistack._simloop import create_server

        return create_server(self, factory, port, cc)


class Link:
    """Between nodes a and b. Series and stats are of the way from a to b; those of
    `link.back` are of the other."""

    def __init__(self, a: _Node, b: _Node, handle: int, way: int, conf: Way) -> None:
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
        struct = way._struct(_rtt(way, back), self._hook)
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
        return _column(c.mssim_link_series, self._handle, self._way, column)

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
        return _column(c.mssim_flow_series, self._handle, column)

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


@dataclass(frozen=True)
class Dumbbell:
    """Hosts on both sides of one link."""

    left: list[Host]
    right: list[Host]
    bottleneck: Link


class Network:
    """A world: nodes, links, flows, and their time.

    seed decides everything random. sample is the time between values of the time
    series, in seconds. Close it, or use it in a `with`; memory is freed when it is
    forgotten, too.
    """

    def __init__(self, seed: int = 1, *, sample: str | float = 0.01) -> None:
        handle = c_void_p()
        c.mssim_create(byref(handle), seed & (1 << 64) - 1)
        self._handle: int | None = handle.value
        self._stacks: list[int] = []
        assert handle.value is not None
        self._finalizer = weakref.finalize(self, _destroy, handle.value, self._stacks)
        self._keep: list[Any] = []
        self._timers: list[tuple[int, int, Callable[[], object]]] = []
        self._order = itertools.count()
        self._raised: BaseException | None = None
        self._running = False
        self._loop: SimLoop | None = None
        self._registered: dict[Host, list[Registration]] = {}
        self.nodes: list[_Node] = []
        self.links: list[Link] = []
        self.flows: list[Flow] = []
        self.hook_errors: list[tuple[BaseException, str]] = []
        c.mssim_sample(self._handle, _units.nanoseconds(sample))

    def __enter__(self) -> Network:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Frees it all; idempotent. Arrays that were taken stay."""
        if self._running:
            raise RuntimeError("the network runs")
        if self._loop is not None:
            self._loop.close()
        self._finalizer()
        self._handle = None

    def _alive(self) -> None:
        if self._handle is None:
            raise ValueError("the network is closed")

    # ---- what there is ----

    def host(
        self, name: str | None = None, *, mtu: int = 1500, cc: str | None = None
    ) -> Host:
        """A host with a stack; cc: of its connections unless they say."""
        self._alive()
        handle = c_void_p()
        config = _utcp.Config(cc=cc.encode() if cc else None)
        net = weakref.ref(self)

        def ready(arg: int | None, events: int, num: int) -> None:
            world = net()
            if world is not None and world._loop is not None:
                try:
                    batch = cast(events, POINTER(_utcp.Event))
                    world._loop._stack_ready(batch[:num])
                except BaseException as e:
                    world._failed(e)

        callback = c.READY(ready)
        conf = c.HostConf(
            size=sizeof(c.HostConf),
            mtu=mtu,
            ready=callback,
            config=cast(byref(config), POINTER(_utcp.Config)),
        )
        c.mssim_host(self._handle, byref(conf), byref(handle))
        self._keep.append(callback)
        assert handle.value is not None
        host = Host(self, name or f"h{len(self.nodes) + 1}", handle.value)
        self._stacks.append(host._utcp_stack())
        self.nodes.append(host)
        return host

    def router(self, name: str | None = None) -> Router:
        self._alive()
        handle = c_void_p()
        c.mssim_router(self._handle, byref(handle))
        assert handle.value is not None
        router = Router(self, name or f"r{len(self.nodes) + 1}", handle.value)
        self.nodes.append(router)
        return router

    def link(
        self,
        a: _Node,
        b: _Node,
        *,
        back: Way | Mapping[str, Any] | None = None,
        **way: Any,
    ) -> Link:
        """Joins two nodes. The keywords are Way's, of both directions; `back` has
        what differs from b to a, or all of it as a Way.

        aqm may be a function (packet, now in seconds, backlog in bytes) that is
        called for each packet that comes to the queue, and returns Verdict.PASS,
        DROP or MARK (None: PASS); what it raises comes out of run().
        """
        self._alive()
        there = Way(**way)
        here = back if isinstance(back, Way) else replace(there, **(back or {}))
        hooks = (self._hook(there.aqm), self._hook(here.aqm))
        rtt = _rtt(there, here)
        structs = (there._struct(rtt, hooks[0]), here._struct(rtt, hooks[1]))
        handle = c_void_p()
        c.mssim_link(
            self._handle,
            a._handle,
            b._handle,
            byref(structs[0]),
            byref(structs[1]),
            byref(handle),
        )
        assert handle.value is not None
        link = Link(a, b, handle.value, 0, there)
        link.back = Link(b, a, handle.value, 1, here)
        link.back.back = link
        link._hook, link.back._hook = hooks
        self.links.append(link)
        return link

    def dumbbell(
        self, pairs: int, *, access_delay: str | float = 0, **way: Any
    ) -> Dumbbell:
        """So many hosts on each side of one link of `way` (keywords of link());
        each reaches its router with access_delay at no limited rate. A buffer in
        bdp counts the whole path."""
        if pairs < 1:
            raise ValueError("a dumbbell of no hosts")
        access = _units.seconds(access_delay)
        delay = _units.seconds(way.get("delay", 0))
        way.setdefault("rtt", 2 * (delay + 2 * access))
        near, far = self.router(), self.router()
        bottleneck = self.link(near, far, **way)
        sides: tuple[list[Host], list[Host]] = ([], [])
        for hosts, router, side in zip(sides, (near, far), "lr", strict=True):
            for i in range(pairs):
                host = self.host(f"{side}{i + 1}")
                self.link(host, router, delay=access)
                hosts.append(host)
        return Dumbbell(*sides, bottleneck)

    def bulk(
        self,
        a: Host,
        b: Host,
        *,
        cc: str | type[CongestionControl] | None = None,
        name: str | None = None,
        start: str | float | None = None,
        stop: str | float | None = None,
        size: str | float | None = None,
        ecn: bool | None = None,
        ipv6: bool = False,
        options: Mapping[str, int] = {},
    ) -> Flow:
        """Bytes from a to b: without end, or `size` of them, or until `stop`.

        cc: a name, or a class of yours. start: seconds; None: now. ecn: True: both
        ends use it. options: UTCP_OPT_* by name ("sndbuf_max", "delack_ns"), of
        both ends.
        """
        self._alive()
        if isinstance(cc, type):
            registration = a.register_cc(cc)
            known = self._registered.setdefault(a, [])
            if registration not in known:
                known.append(registration)
            cc = registration.name
        values = {_option(n): v for n, v in options.items()}
        if ecn is not None:
            values[_utcp.Opt.ECN] = 2 if ecn else 0
        opts: Array[c.Opt] = (c.Opt * max(len(values), 1))(
            *(c.Opt(opt=o, value=v) for o, v in values.items())
        )
        begin = self._now_ns() if start is None else _units.nanoseconds(start)
        conf = c.FlowConf(
            size=sizeof(c.FlowConf),
            num_opts=len(values),
            from_=a._handle,
            to=b._handle,
            cc=c_char_p(cc.encode() if cc else None),
            opts=opts,
            start_ns=begin,
            stop_ns=0 if stop is None else _units.nanoseconds(stop),
            bytes=0 if size is None else max(_units.size(size), 1),
            family=6 if ipv6 else 4,
        )
        handle = c_void_p()
        try:
            c.mssim_flow(self._handle, byref(conf), byref(handle))
        except FileNotFoundError:
            raise ValueError(f"no congestion control {cc!r}") from None
        assert handle.value is not None
        flow = Flow(self, a, b, handle.value, name or cc or "cubic", begin * 1e-9)
        self.flows.append(flow)
        return flow

    # ---- time ----

    def _now_ns(self) -> int:
        self._alive()
        return int(c.mssim_now_ns(self._handle))

    @property
    def now(self) -> float:
        """Seconds since the beginning."""
        return self._now_ns() * 1e-9

    def at(self, time: str | float, call: Callable[[], object]) -> None:
        """Has run() call it at that time: net.at(5, lambda: link.set(rate="1Mbit"))."""
        entry = (_units.nanoseconds(time), next(self._order), call)
        heapq.heappush(self._timers, entry)

    def run(
        self, duration: str | float | None = None, *, until: str | float | None = None
    ) -> None:
        """Runs for so long, or until that time. Exceptions of callbacks come out
        here, but for those of congestion controls and options (hook_errors)."""
        if (duration is None) == (until is None):
            raise TypeError("either a duration or until")
        if until is not None:
            end = _units.nanoseconds(until)
        else:
            end = self._now_ns() + _units.nanoseconds(duration or 0)
        if self._loop is not None:
            # so that its tasks go on as well
            delay = max(end - self._now_ns(), 0) * 1e-9
            self._loop.sleep(delay)
            return
        while self._now_ns() < end:
            self._step(end)
        self._call_due()

    def _call_due(self) -> None:
        while self._timers and self._timers[0][0] <= self._now_ns():
            heapq.heappop(self._timers)[2]()

    def _step(self, end: int) -> None:
        """Some way towards `end`; to it if nothing stops it. Calls what at() was
        given."""
        self._call_due()
        step = min(end, self._now_ns() + _SLICE_NS)
        if self._timers:
            step = min(step, self._timers[0][0])
        self._alive()
        if self._running:
            raise RuntimeError("the network runs already")
        self._running = True
        try:
            c.mssim_run(self._handle, step)
        finally:
            self._running = False
            raised, self._raised = self._raised, None
            if raised is not None:
                raise raised

    def run_until_complete(self, main: Coroutine[Any, Any, _T]) -> _T:
        """asyncio.run() in virtual time: runs the network while `main` waits. What
        is left of its tasks goes on in the next call. A coroutine that waits for
        what can never happen gets a RuntimeError."""
        return self.loop.run_until_complete(main)

    @property
    def loop(self) -> SimLoop:
        """asyncio's event loop of this network."""
        self._alive()
        if self._loop is None:
            from multistack._simloop import SimLoop

            self._loop = SimLoop(self)
        return self._loop

    # ---- what goes wrong ----

    def _failed(self, error: BaseException) -> None:
        if self._raised is None:
            self._raised = error
        c.mssim_stop(self._handle)

    def _hook_failed(self, error: BaseException, text: str) -> None:
        if isinstance(error, Exception):
            self.hook_errors.append((error, text))
            report_unraisable(error, text)
        else:
            self._failed(error)

    def _classes(self, host: Host) -> list[Registration]:
        return self._registered.get(host, [])

    def _hook(self, aqm: Aqm | str | Hook) -> Any:
        if not callable(aqm):
            return None
        function = aqm
        net = weakref.ref(self)

        def hook(
            arg: int | None, packet: int, size: int, now: int, backlog: int
        ) -> int:
            try:
                return int(function(string_at(packet, size), now * 1e-9, backlog) or 0)
            except BaseException as e:
                world = net()
                if world is not None:
                    world._failed(e)
                return Verdict.PASS

        callback = c.HOOK(hook)
        self._keep.append(callback)
        return callback

    # ---- pictures ----

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Goodput, windows and round trips of all flows over time, with matplotlib
        (the extra `plot`); written to path if there is one."""
        from multistack._simplot import draw

        figure = draw(self.flows)
        if path is not None:
            figure.savefig(path)
        return figure


def _destroy(handle: int, stacks: list[int]) -> None:
    c.mssim_destroy(handle)
    for stack in stacks:
        forget_stack(stack)


def _rtt(there: Way, back: Way) -> float:
    return _units.seconds(there.delay) + _units.seconds(back.delay)


def _option(name: str) -> _utcp.Opt:
    try:
        return _utcp.Opt[name.upper()]
    except KeyError:
        raise ValueError(f"no option {name!r}: {os.strerror(errno.ENOPROTOOPT)}") from (
            None
        )
