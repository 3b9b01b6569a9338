# SPDX-License-Identifier: BSD-2-Clause
"""inv bench python: applications on our event loop against the same on uvloop.

Each server has the second core for itself, the client the first. TAP is compared
with uvloop on the veth with its offloads, XDP with uvloop on the veth without.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from demo.world import ADDR, CLIENT, IFNAME, SERVER, Process
from tests.bench.http import (
    CONNECTIONS,
    TAP_HOST,
    TAP_OURS,
    cpu_ns,
    understand,
    use_cubic,
)
from tests.bench.owner import receiving
from tests.bench.programs import BenchError, Programs
from tests.bench.rows import Row, row
from tests.bench.wires import Stage, stage

SERVER4 = ADDR[SERVER][0]
PROGRAM = "tests.bench.python_server"
ROOT = Path(__file__).resolve().parents[2]
TRACED_S = 1
TRIES = 3
MANY = 10_000

METHOD = (
    "Each application in turn on our loop and on uvloop over the kernel's sockets, in "
    "each round, medians over the rounds. The server has one core, the client the "
    "other: wrk with 64 connections for HTTP (uvicorn with httptools and a bare ASGI "
    "application, aiohttp with one route, no access logs), bench_echo with 64 bytes a "
    "message for echo. TAP: a private link with GSO and checksum offloads, against "
    "uvloop on a veth with its offloads on; XDP: on the veth, offloads off at both "
    "ends, for uvloop too. CUBIC everywhere. `a core`: over the seconds for which the "
    "server's core worked for it: its threads with all that the kernel did in them, and "
    "the core's ksoftirqd. `cpu-s`: the same without what the core received for the "
    "client, and with what the client's core received for the server."
)


@dataclass(frozen=True)
class Way:
    """How a server is reached."""

    name: str
    side: str
    loop: str
    address: str
    port: int
    offloads: bool


TAP = Way(
    *("TAP", CLIENT, f"tap:ms0,local={TAP_OURS}/24,host={TAP_HOST}"),
    *(TAP_OURS, 8080, True),
)
XDP = Way("XDP", SERVER, f"xdp:{IFNAME}", SERVER4, 8080, False)
UVLOOP_ON = Way("uvloop, offloads", SERVER, "uvloop", SERVER4, 8081, True)
UVLOOP_OFF = Way("uvloop, no offloads", SERVER, "uvloop", SERVER4, 8082, False)
WAYS = (TAP, UVLOOP_ON, XDP, UVLOOP_OFF)
AGAINST = {TAP: UVLOOP_ON, XDP: UVLOOP_OFF}

UNITS = {"per_s": "{}/s", "per_core_s": "{}/s a core", "per_cpu_s": "{}/cpu-s"}
# Application, how, what is counted, the goal over uvloop.
CASES = [
    ("uvicorn", "one request a connection", "req", 1.2),
    ("uvicorn", "keep-alive", "req", 1.0),
    ("aiohttp", "one request a connection", "req", 1.2),
    ("aiohttp", "keep-alive", "req", 1.0),
    ("protocol", f"echo, {CONNECTIONS} connections", "trips", 1.0),
    ("streams", f"echo, {CONNECTIONS} connections", "trips", 1.0),
    ("protocol", f"echo, {MANY:,} connections", "trips", None),
]


class Bench:
    def __init__(self, s: Stage, seconds: int) -> None:
        self.s = s
        self.seconds = seconds
        self.untraced = ""
        try:
            with receiving(s.programs, s.world):
                pass
        except BenchError as e:
            self.untraced = str(e)
        for side in (CLIENT, SERVER):
            use_cubic(s.world, side, IFNAME, ADDR[side][0])
        # Else the client has soon used up its ports: the end that closes first,
        # which with aiohttp is wrk, keeps them for a minute.
        s.world.call(CLIENT, "sysctl", "-qw", "net.ipv4.tcp_max_tw_buckets=0")

    def _offloads(self, on: bool) -> None:
        state = "on" if on else "off"
        for side in (CLIENT, SERVER):
            features = [
                w for name in ("tx", "tso", "gso", "gro") for w in (name, state)
            ]
            self.s.world.call(side, "ethtool", "-K", IFNAME, *features)

    @contextmanager
    def serving(self, application: str, way: Way) -> Iterator[Process]:
        self._offloads(way.offloads)
        library = self.s.programs.find("libmultistack.so")
        process = self.s.world.spawn(
            *(way.side, f"{application}-{way.port}", "taskset", "-c", self.s.core(1)),
            *(
                "env",
                f"PYTHONPATH={ROOT}:{ROOT / 'bindings'}",
                f"MULTISTACK_LIBRARY={library}",
            ),
            *(sys.executable, "-m", PROGRAM, application, way.loop, way.address),
            str(way.port),
        )
        try:
            process.wait_for_text("serving")
            yield process
        finally:
            process.stop()
            self.s.world.processes.remove(process)

    def sample(self, way: Way, process: Process, how: str) -> dict[str, float]:
        core = int(self.s.core(1))
        before = cpu_ns([process.pid], core)
        done, seconds = self._client(way, how, self.seconds)
        used_ns = (cpu_ns([process.pid], core) - before) / done
        found = {"per_s": done / seconds, "per_core_s": 1e9 / used_ns}
        if not self.untraced:
            with receiving(self.s.programs, self.s.world) as received:
                done, _ = self._client(way, how, TRACED_S)
            found["per_cpu_s"] = 1e9 / (used_ns + received.moved_ns(core) / done)
        return found

    def _client(self, way: Way, how: str, seconds: int) -> tuple[int, float]:
        """How many, in which time."""
        for _ in range(TRIES):
            client = self._echo if how.startswith("echo") else self._wrk
            done, took = client(way, how, seconds)
            if done:
                return done, took
        raise BenchError(f"{way.name}, {how}: nothing in {seconds} s")

    def _echo(self, way: Way, how: str, seconds: int) -> tuple[int, float]:
        n = MANY if f"{MANY:,}" in how else CONNECTIONS
        argv = (way.address, str(way.port), str(n), str(seconds))
        said = self.s.finish(self.s.start(CLIENT, "bench_echo", *argv, core=0))
        return int(said["trips"]), float(said["seconds"])

    def _wrk(self, way: Way, how: str, seconds: int) -> tuple[int, float]:
        fields = [] if how == "keep-alive" else ["-H", "Connection: close"]
        said = self.s.world.call(
            CLIENT,
            *("taskset", "-c", self.s.core(0), "wrk", "-t1", f"-c{CONNECTIONS}"),
            *("--latency", f"-d{seconds}s", *fields),
            f"http://{way.address}:{way.port}/",
            timeout=seconds + 20,
        ).stdout
        run = understand(said)
        if run is None:
            raise BenchError(f"{way.name}, {how}: {said.strip()}")
        return run.requests, run.requests / run.per_s if run.requests else 1.0


def _need() -> None:
    for tool in ("wrk", "ethtool"):
        if shutil.which(tool) is None:
            raise BenchError(f"{tool} is missing: apt-get install {tool}")
    for module in ("uvloop", "uvicorn", "httptools", "aiohttp"):
        if importlib.util.find_spec(module) is None:
            raise BenchError(f"{module} is missing: pip install {module}")
    if len(os.sched_getaffinity(0)) < 2:
        raise BenchError("It takes two cores, one for the server.")


def _measure(b: Bench, rounds: int) -> Callable[[str, str, Way, str], float | None]:
    seen: dict[tuple[str, str, Way, str], list[float]] = {}
    for _ in range(rounds):
        for application in dict.fromkeys(c[0] for c in CASES):
            for way in WAYS:
                with b.serving(application, way) as process:
                    for name, how, _, _ in CASES:
                        if name != application:
                            continue
                        for unit, value in b.sample(way, process, how).items():
                            key = (application, how, way, unit)
                            seen.setdefault(key, []).append(value)

    def median(application: str, how: str, way: Way, unit: str) -> float | None:
        values = seen.get((application, how, way, unit))
        return statistics.median(values) if values else None

    return median


def bench(programs: Programs, quick: bool) -> list[Row]:
    """What asyncio's applications gain on a stack of their own."""
    _need()
    rounds, seconds = (1, 1) if quick else (5, 2)
    rows: list[Row] = []
    with stage(programs) as s:
        b = Bench(s, seconds)
        median = _measure(b, rounds)
    method = METHOD
    if b.untraced:
        method += f" `cpu-s` is missing: {b.untraced}."
    for application, how, counted, goal in CASES:
        for way, against in AGAINST.items():
            for unit, words in UNITS.items():
                value = median(application, how, way, unit)
                theirs = median(application, how, against, unit)
                if value is None or theirs is None:
                    continue
                rows.append(
                    row(
                        *("python", f"{application}, {how}, {way.name}", value),
                        *(words.format(counted), method),
                        baseline=theirs,
                        goal=None if goal is None else goal * theirs,
                    )
                )
    return rows
