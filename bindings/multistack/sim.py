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
import weakref
from collections.abc import Callable, Coroutine, Mapping
from ctypes import (
    POINTER,
    Array,
    byref,
    c_char_p,
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
from multistack._simflow import Flow, Summary
from multistack._simlink import Hook, Link, Way, WayStats, round_trip

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

_T = TypeVar("_T")


class Node:
    def __init__(self, net: Network, name: str, handle: int) -> None:
        self.net = net
        self.name = name
        self._handle = handle

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


class Router(Node):
    """Passes packets on by the least number of links."""


class Host(Node):
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
        self.nodes: list[Node] = []
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
        a: Node,
        b: Node,
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
        rtt = round_trip(there, here)
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


def _option(name: str) -> _utcp.Opt:
    try:
        return _utcp.Opt[name.upper()]
    except KeyError:
        raise ValueError(f"no option {name!r}: {os.strerror(errno.ENOPROTOOPT)}") from (
            None
        )
