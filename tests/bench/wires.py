# SPDX-License-Identifier: BSD-2-Clause
"""Benchmarks over real interfaces and through multistackd, as root.

They use the demo's world: two namespaces joined by veth, here with one queue,
so that it is clear which core does what.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from demo.world import ADDR, CLIENT, IFNAME, SERVER, Process, World, sweep
from tests.bench.programs import BenchError, Programs, results
from tests.bench.rows import Row, interleaved, row

CLIENT4, SERVER4 = ADDR[CLIENT][0], ADDR[SERVER][0]
FRAME_BYTES = 60  # 64 with the CRC

DAEMON = (
    "Processes on ports of one multistackd; frames of 64 B (60 without CRC) from "
    "one to the other by local delivery. Rings of 4096 slots, batches of 256; "
    "received frames are looked at. multistackd has a core of its own; where two "
    "clients stand against it they share the other. Median of interleaved runs."
)
WAKE = (
    "One frame to and fro between two processes through multistackd; half the "
    "median round trip. sleep: client and daemon sleep until woken; spin: the "
    "clients poll and the daemon was started to poll before it sleeps."
)
VETH = (
    "A reflector in one namespace, the kernel's generator of 64 B frames in the "
    "other, a veth of one queue between, native XDP, copy mode; a core each. "
    "Baseline: the same reflector straight on AF_XDP, in place, without switch. "
    "Median of interleaved runs; frames reflected (or only received) a second."
)


class Stage:
    """A world with the programs that are measured."""

    def __init__(self, world: World, programs: Programs) -> None:
        self.world = world
        self.programs = programs
        self.cores = sorted(os.sched_getaffinity(0))
        self.socket = world.dir / "multistack.sock"
        self.device = f"daemon@{self.socket}:{IFNAME}"
        self._runs = 0

    def core(self, n: int) -> str:
        return str(self.cores[n % len(self.cores)])

    def start(self, side: str, program: str, *argv: str, core: int) -> Process:
        self._runs += 1
        path = self.programs.find(program)
        name = f"{program}-{self._runs}"
        return self.world.spawn(
            side, name, "taskset", "-c", self.core(core), path, *argv
        )

    def finish(self, process: Process) -> dict[str, Any]:
        """Waits for its end; what it said."""
        status = process.wait(60.0)
        said = results(process.output())
        if status or not said:
            raise BenchError(
                f"{' '.join(process.argv)} failed: {process.output().strip()}"
            )
        return {k: v for line in said for k, v in line.items()}

    @contextmanager
    def daemon(self, *options: str) -> Iterator[int]:
        """Runs multistackd; gives its process."""
        process = self.start(
            *(SERVER, "multistackd", "--foreground", "--socket", str(self.socket)),
            *("--attach", IFNAME, *options),
            core=0,
        )
        process.wait_for(self.socket.exists, f"socket {self.socket}")
        try:
            yield process.pid
        finally:
            process.stop()
            self.socket.unlink(missing_ok=True)


@contextmanager
def stage(programs: Programs) -> Iterator[Stage]:
    if os.geteuid():
        raise BenchError("It makes network namespaces: run it as root (sudo).")
    sweep()
    with World(queues=1) as world:
        yield Stage(world, programs)


# ---- through multistackd ----------------------------------------------------


def _two_clients(s: Stage, seconds: float, size: int, cores: tuple[int, int]) -> float:
    recv = s.start(
        *(
            SERVER,
            "bench_daemon",
            "recv",
            s.device,
            str(seconds + 0.6),
            SERVER4,
            "7002",
        ),
        core=cores[1],
    )
    recv.wait_for_text("ready")
    send = s.start(
        *(SERVER, "bench_daemon", "send", s.device, str(seconds), SERVER4, "7001"),
        *("7002", str(size)),
        core=cores[0],
    )
    s.finish(send)
    return float(s.finish(recv)["mpps"])


def _one_client(s: Stage, seconds: float, size: int) -> float:
    client = s.start(
        *(SERVER, "bench_daemon", "self", s.device, str(seconds), SERVER4, "7001"),
        *("7002", str(size)),
        core=1,
    )
    return float(s.finish(client)["mpps"])


def _cpu_seconds(pid: int) -> float:
    """What a process has used so far, all threads, user and kernel."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _cpu_ns(s: Stage, pid: int, seconds: float) -> float:
    """The daemon's time for a frame, however busy the machine is."""
    before = _cpu_seconds(pid)
    mpps = _one_client(s, seconds, FRAME_BYTES)
    return (_cpu_seconds(pid) - before) * 1e3 / (mpps * seconds)


def _ping(s: Stage, seconds: float, how: str, cores: tuple[int, int]) -> float:
    pong = s.start(
        *(SERVER, "bench_daemon", "pong", s.device, str(seconds + 1), SERVER4, "7002"),
        how,
        core=cores[1],
    )
    pong.wait_for_text("ready")
    ping = s.start(
        *(SERVER, "bench_daemon", "ping", s.device, str(seconds), SERVER4, "7001"),
        *("7002", how),
        core=cores[0],
    )
    said = s.finish(ping)
    pong.stop()
    return float(said["median_ns"]) / 2000


def daemon(programs: Programs, quick: bool) -> list[Row]:
    """Frames a second from process to process, and what waking costs."""
    seconds, rounds = (0.3, 3) if quick else (1.0, 5)
    rows: list[Row] = []
    with stage(programs) as s:
        with s.daemon() as pid:
            rates = interleaved(
                {
                    "process to process, 64 B, clients share a core": lambda: (
                        _two_clients(s, seconds, FRAME_BYTES, (1, 1))
                    ),
                    "one client to itself, 64 B": lambda: _one_client(
                        s, seconds, FRAME_BYTES
                    ),
                    "process to process, 1514 B, clients share a core": lambda: (
                        _two_clients(s, seconds, 1514, (1, 1))
                    ),
                },
                rounds,
            )
            for case, mpps in rates.items():
                goal = 10.0 if "64 B" in case else None
                rows.append(row("daemon", case, mpps, "Mpps", DAEMON, goal=goal))
            cost = _cpu_ns(s, pid, 2 * seconds)
            rows.append(row("daemon", "its CPU time a frame", cost, "ns", DAEMON))
            sleep = _ping(s, seconds, "sleep", (1, 1))
            rows.append(row("daemon", "one way, all asleep", sleep, "us", WAKE))
        with s.daemon("--busy-poll", "1000"):
            spin = _ping(s, seconds, "sleep", (1, 1))
            rows.append(
                row("daemon", "one way, daemon polls", spin, "us", WAKE, baseline=sleep)
            )
    return rows


# ---- on veth ------------------------------------------------------------------


def _veth(s: Stage, mode: str, seconds: float, on: str) -> float:
    gen = s.start(
        *(CLIENT, "bench_veth", "gen", IFNAME, str(seconds + 5), str(FRAME_BYTES)),
        *(_mac(s, CLIENT), _mac(s, SERVER), CLIENT4, SERVER4, "9999", "7001"),
        core=0,
    )
    where = (SERVER4, "7001") if mode.startswith("port") else ()
    fwd = s.start(SERVER, "bench_veth", mode, on, str(seconds), *where, core=1)
    try:
        return float(s.finish(fwd)["mpps"])
    finally:
        gen.stop()


def _mac(s: Stage, side: str) -> str:
    return s.world.call(side, "cat", f"/sys/class/net/{IFNAME}/address").stdout.strip()


def veth(programs: Programs, quick: bool) -> list[Row]:
    """A reflector on our XDP attachment against one on bare AF_XDP."""
    seconds, rounds = (0.5, 3) if quick else (1.5, 7)
    rows: list[Row] = []
    with stage(programs) as s:
        rates = interleaved(
            {
                "bare": lambda: _veth(s, "bare", seconds, IFNAME),
                "port": lambda: _veth(s, "port", seconds, f"xdp:{IFNAME}"),
                "bare-rx": lambda: _veth(s, "bare-rx", seconds, IFNAME),
                "port-rx": lambda: _veth(s, "port-rx", seconds, f"xdp:{IFNAME}"),
            },
            rounds,
        )
        for suffix, what in (("", "reflected"), ("-rx", "received")):
            bare, ours = rates["bare" + suffix], rates["port" + suffix]
            rows.append(
                row(
                    *("veth", f"{what} by a port in process", ours, "Mpps", VETH),
                    baseline=bare,
                    goal=None if suffix else 0.9 * bare,
                )
            )
        with s.daemon():
            through = interleaved(
                {
                    "": lambda: _veth(s, "port", seconds, s.device),
                    "-rx": lambda: _veth(s, "port-rx", seconds, s.device),
                },
                rounds,
            )
        for suffix, what in (("", "reflected"), ("-rx", "received")):
            case = f"{what} by a client of multistackd"
            bare = rates["bare" + suffix]
            value = through[suffix]
            rows.append(row("veth", case, value, "Mpps", VETH, baseline=bare))
    return rows
