# SPDX-License-Identifier: BSD-2-Clause
"""inv bench bulk, inv bench connections: the stack by itself."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from demo.world import ADDR, CLIENT, IFNAME, SERVER, Process
from tests.bench.http import PORT, SERVER4, TAP_HOST, TAP_OURS, cpu_ns, use_cubic
from tests.bench.programs import BenchError, Programs, run_lines
from tests.bench.rows import Row, interleaved, row
from tests.bench.wires import Stage, stage

MEMORY = (
    "One flow from stack to stack in one thread, each segment's checksum made and "
    "verified; what one stack puts out is what the other takes in. Payload over the "
    "processor time of both ends together. Median of rounds."
)
SWITCHED = (
    "As above, but each stack on a port of its own switch, the switches joined by a "
    "`pair`: three more copies on the way."
)
TAP = (
    "One flow from multistack-httpd to a reader on the host, the same file over and "
    "over; server and reader have a core each; over the time on the clock, and `a core`: "
    "over the time that all but the reader ran. UTCP: on a "
    "TAP with GSO. Baseline: the same server on sockets, the kernels of two namespaces "
    "joined by a TAP in each and a program, on the server's core, that carries frames "
    "whole from one to the other. Shown beside it: sockets over a veth with its "
    "offloads, where frames are not copied at all. CUBIC everywhere. Interleaved, "
    "median of rounds."
)
RATE = (
    "Connections opened, accepted and closed by both ends, 256 under way, in one "
    "thread; per second of its processor time. direct: what one stack puts out the "
    "other takes in; pair: each on a port of its own switch."
)
IDLE = (
    "So many established connections on one stack, opened from another in the same "
    "process. Bytes: all memory of the stack but what it had before; the time is that "
    "of opening one more among them, asking and being answered, processor time."
)


def _value(argv: list[str], key: str) -> float:
    lines: list[dict[str, Any]] = run_lines(argv, sorted(os.sched_getaffinity(0))[-1])
    if not lines:
        raise BenchError(f"{' '.join(argv)} said nothing")
    return float(lines[0][key])


def bulk(programs: Programs, quick: bool) -> list[Row]:
    """One flow: over memory, and over a TAP against the kernel."""
    path = programs.find("bench_bulk")
    seconds, rounds = ("0.5", 3) if quick else ("1.5", 7)

    def over(how: str, mtu: int) -> Callable[[], float]:
        argv = [path, how, seconds, str(mtu)]
        return lambda: _value(argv, "core_gbps")

    cases = {
        (how, mtu): over(how, mtu) for how in ("direct", "pair") for mtu in (1500, 9000)
    }
    found = interleaved({f"{h}, MTU {m}": c for (h, m), c in cases.items()}, rounds)
    rows = [
        row(
            *("bulk", f"memory, {name}", gbps, "Gb/s"),
            MEMORY if name.startswith("direct") else SWITCHED,
            goal=20.0 if name == "direct, MTU 1500" else None,
        )
        for name, gbps in found.items()
    ]
    return [*rows, *_over_tap(programs, quick)]


@dataclass(frozen=True)
class Rate:
    """In a second, and in one for which the senders' core worked for them."""

    gbps: float
    core_gbps: float


class Flow:
    """A large file, and who brings it over which interface."""

    def __init__(self, s: Stage, seconds: float) -> None:
        self.s = s
        self.seconds = seconds
        self.www = s.world.dir / "www"
        self.www.mkdir(mode=0o755)
        (self.www / "large").write_bytes(os.urandom(1 << 20) * 64)
        for side in (CLIENT, SERVER):
            on = ("tx", "on", "tso", "on", "gso", "on", "gro", "on")
            s.world.call(side, "ethtool", "-K", IFNAME, *on)
            use_cubic(s.world, side, IFNAME, ADDR[side][0])

    def _rate(self, address: str, *others: Process) -> Rate:
        core = int(self.s.core(1))
        before = cpu_ns([p.pid for p in others], core)
        sink = self.s.start(
            *(CLIENT, "bench_tap", "sink", address, str(PORT), "/large"),
            str(self.seconds),
            core=0,
        )
        try:
            said = self.s.finish(sink)
            used_s = (cpu_ns([p.pid for p in others], core) - before) / 1e9
            return Rate(float(said["gbps"]), float(said["gbits"]) / used_s)
        finally:
            for process in (*others, sink):
                process.stop()
                self.s.world.processes.remove(process)

    def _server(self, side: str, address: str, *argv: str) -> Process:
        listen = ("-l", f"{address}:{PORT}", str(self.www))
        server = self.s.start(side, "multistack-httpd", *argv, *listen, core=1)
        server.wait_for_text("listening")
        return server

    def utcp(self) -> Rate:
        device = f"tap:ms0,local={TAP_OURS}/24,host={TAP_HOST}"
        return self._rate(TAP_OURS, self._server(CLIENT, TAP_OURS, "-d", device))

    def module(self) -> Rate:
        """In a guest with the module, attached at the server's end."""
        device = f"kmod:{IFNAME}"
        return self._rate(SERVER4, self._server(SERVER, SERVER4, "-d", device))

    def veth(self) -> Rate:
        return self._rate(SERVER4, self._server(SERVER, SERVER4, "--host-stack"))

    def relay(self) -> Rate:
        world = self.s.world
        ends = [(CLIENT, TAP_HOST), (SERVER, TAP_OURS)]
        names = [f"{world.netns(side)}:rl0" for side, _ in ends]
        relay = self.s.start(CLIENT, "bench_tap", "relay", *names, core=1)
        relay.wait_for_text("ready")
        for side, address in ends:
            world.call(side, "ip", "addr", "add", f"{address}/24", "dev", "rl0")
            world.call(side, "ip", "link", "set", "rl0", "up")
            use_cubic(world, side, "rl0", address)
        server = self._server(SERVER, TAP_OURS, "--host-stack")
        return self._rate(TAP_OURS, server, relay)


def _over_tap(programs: Programs, quick: bool) -> list[Row]:
    seconds, rounds = (0.5, 3) if quick else (1.5, 7)
    with stage(programs) as s:
        flow = Flow(s, seconds)
        turns = [(flow.utcp(), flow.relay(), flow.veth()) for _ in range(rounds)]
    rows = []
    for unit in ("Gb/s", "Gb/s a core"):
        ours, relay, veth = (
            statistics.median(r.gbps if unit == "Gb/s" else r.core_gbps for r in way)
            for way in zip(*turns, strict=True)
        )
        what = "TAP with GSO, UTCP"
        rows.append(row("bulk", what, ours, unit, TAP, baseline=relay, goal=relay))
        rows.append(row("bulk", "sockets over veth, to compare", veth, unit, TAP))
    return rows


def connections(programs: Programs, quick: bool) -> list[Row]:
    """Set-ups and tear-downs; what idle ones cost."""
    path = programs.find("bench_connections")
    seconds, rounds = ("0.5", 3) if quick else ("1.5", 7)
    many = 100_000 if quick else 1_000_000

    def rate(how: str) -> Callable[[], float]:
        return lambda: _value([path, "rate", how, seconds], "per_core_s")

    found = interleaved({how: rate(how) for how in ("direct", "pair")}, rounds)
    rows = [
        row(
            *("connections", f"set up and torn down, {how}", per_s, "conn/s", RATE),
            goal=200_000.0,
        )
        for how, per_s in found.items()
    ]
    lines = run_lines([path, "idle", str(many)], sorted(os.sched_getaffinity(0))[-1])
    idle = lines[0]
    what = f"idle, {many:,}"
    rows += [
        row(
            *("connections", f"{what}, memory of each", float(idle["bytes"])),
            *("bytes", IDLE),
            goal=1024.0,
        ),
        row(
            "connections",
            f"{what}, one more asks and is answered",
            float(idle["answer_cpu_us"]),
            *("us", IDLE),
        ),
    ]
    return rows
