# SPDX-License-Identifier: BSD-2-Clause
"""inv bench load: multistack-load against wrk, on one core, at the same servers.

Which of the two cores is full depends on who is faster, so what counts is also how
many requests a second of the generator's own processor time gives.
"""

from __future__ import annotations

import json
import resource
import shutil
import socket
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from demo.world import ADDR, CLIENT, IFNAME, SERVER, Process
from tests.bench.http import (
    CONNECTIONS,
    TAP_HOST,
    TAP_OURS,
    cpu_ns,
    understand,
    use_cubic,
)
from tests.bench.owner import Received, receiving
from tests.bench.programs import BenchError, Programs
from tests.bench.rows import Row, row
from tests.bench.wires import Stage, stage

SERVER4 = ADDR[SERVER][0]
# The kernel keeps a port for what is in TIME-WAIT, so each server has its own.
PORT, SOCKETS_PORT = 8080, 8081
TRACED_S = 1
GOAL = 2.0

METHOD = (
    "64 connections, a file of 1 KB; the generator has a core and one thread, the "
    "server the other core; in each round each generator in turn, medians over the "
    "rounds; baseline: wrk. XDP: multistack-httpd on XDP at one end of a veth, offloads "
    "off, multistack-load on XDP at the other, wrk on its kernel's sockets there. TAP: "
    "multistack-httpd on the host's sockets, multistack-load on a TAP with GSO and "
    "checksum offloads to that host, wrk over the veth with its offloads on. CUBIC. "
    "`a core`: requests over the seconds for which the generator's core worked for it, "
    "soft interrupts too, from its first connection on. `cpu-s`: the same without what "
    "that core received for the server, and with what the server's core received for "
    "the generator."
)
UNITS = {
    "per_s": "req/s",
    "per_core_s": "req/s a core",
    "per_cpu_s": "req/cpu-s",
    "half_us": "us",
    "most_us": "us",
}


@dataclass(frozen=True)
class Run:
    """What a generator said of itself."""

    requests: int
    per_s: float
    half_us: float
    most_us: float
    cpu_ns: float


@dataclass(frozen=True)
class Way:
    """How generator and server reach each other."""

    name: str
    offloads: bool
    server: tuple[str, ...]  # how multistack-httpd is told
    side: str  # where multistack-load runs
    device: str
    target: str  # of it; wrk's is SERVER4
    port: int


WAYS = (
    Way(
        "XDP",
        False,
        ("-d", f"xdp:{IFNAME}", "-l", f"{SERVER4}:{PORT}"),
        CLIENT,
        f"xdp:{IFNAME}",
        SERVER4,
        PORT,
    ),
    Way(
        "TAP",
        True,
        ("--host-stack", "-l", f"0.0.0.0:{SOCKETS_PORT}"),
        SERVER,
        f"tap:ms0,local={TAP_OURS}/24,host={TAP_HOST}",
        TAP_HOST,
        SOCKETS_PORT,
    ),
)


def from_json(said: str) -> Run:
    """Of multistack-load. BenchError if anything went wrong with its requests."""
    found = json.loads(said)
    requests, errors = found["requests"]["answered"], sum(found["errors"].values())
    if errors or found["status"]["2xx"] != requests or not requests:
        raise BenchError(f"multistack-load: {found['errors']}, {found['status']}")
    at = found["latency"]["percentiles_ns"]
    used_ns = found["cpu_seconds"] * 1e9
    return Run(requests, found["per_s"], at["50"] / 1e3, at["99"] / 1e3, used_ns)


def _children_ns() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * 1e9


class Load:
    """The stage with a page to ask for."""

    def __init__(self, s: Stage, seconds: int) -> None:
        self.s = s
        self.seconds = seconds
        self.www = s.world.dir / "www"
        self.www.mkdir(mode=0o755)
        (self.www / "1.html").write_bytes(b"x" * 1024)
        for side in (CLIENT, SERVER):
            use_cubic(s.world, side, IFNAME, ADDR[side][0])
        self.untraced = ""  # why not
        try:
            with receiving(s.programs, s.world):
                pass
        except BenchError as e:
            self.untraced = str(e)

    def _answers(self, way: Way) -> bool:
        with self.s.world.inside(CLIENT):
            sock = socket.socket()
        with sock:
            sock.settimeout(1)
            return sock.connect_ex((SERVER4, way.port)) == 0

    @contextmanager
    def serving(self, way: Way) -> Iterator[Process]:
        state = "on" if way.offloads else "off"
        for side in (CLIENT, SERVER):
            words = ("tx", state, "tso", state, "gso", state, "gro", state)
            self.s.world.call(side, "ethtool", "-K", IFNAME, *words)
        process = self.s.start(
            SERVER, "multistack-httpd", *way.server, str(self.www), core=1
        )
        try:
            process.wait_for_text("listening")
            process.wait_for(lambda: self._answers(way), "an answer")
            yield process
        finally:
            process.stop()
            self.s.world.processes.remove(process)

    def ours(self, way: Way, keep: bool, seconds: int) -> Run:
        argv = ("-d", str(seconds), "-c", str(CONNECTIONS), "--json", "-")
        done = self.s.world.call(
            way.side,
            *("taskset", "-c", self.s.core(0)),
            *(self.s.programs.find("multistack-load"), "--device", way.device, *argv),
            *([] if keep else ["--close"]),
            f"http://{way.target}:{way.port}/1.html",
            timeout=seconds + 20,
        )
        return from_json(done.stdout)

    def wrk(self, way: Way, keep: bool, seconds: int) -> Run:
        before_ns = _children_ns()
        said = self.s.world.call(
            CLIENT,
            *("taskset", "-c", self.s.core(0), "wrk", "-t1", f"-c{CONNECTIONS}"),
            *("--latency", f"-d{seconds}s"),
            *([] if keep else ["-H", "Connection: close"]),
            f"http://{SERVER4}:{way.port}/1.html",
            timeout=seconds + 20,
        ).stdout
        run = understand(said)
        if not run or not run.requests:
            raise BenchError(f"wrk, {way.name}: {said.strip()}")
        used_ns = _children_ns() - before_ns
        return Run(run.requests, run.per_s, run.half_us, run.most_us, used_ns)

    def measure(
        self, generate: Callable[[Way, bool, int], Run], way: Way, keep: bool
    ) -> dict[str, float]:
        """Two runs: tracing would cost the first one something."""
        core = int(self.s.core(0))
        before = cpu_ns([], core)
        run = generate(way, keep, self.seconds)
        used_ns = (run.cpu_ns + cpu_ns([], core) - before) / run.requests
        found = {
            "per_s": run.per_s,
            "per_core_s": 1e9 / used_ns,
            "half_us": run.half_us,
            "most_us": run.most_us,
        }
        if not self.untraced:
            with receiving(self.s.programs, self.s.world) as received:
                traced = generate(way, keep, TRACED_S)
            turned = Received(server=received.client, client=received.server)
            moved_ns = turned.moved_ns(core) / traced.requests
            found["per_cpu_s"] = 1e9 / (used_ns + moved_ns)
        return found


def _rows(
    seen: dict[tuple[str, bool, str], list[dict[str, float]]], method: str
) -> Iterator[Row]:
    for way in WAYS:
        for keep in (True, False):
            how = "keep-alive" if keep else "one request a connection"
            ours, theirs = (seen[way.name, keep, who] for who in ("ours", "wrk"))
            for name in (n for n in UNITS if n in ours[0]):
                value, baseline = (
                    statistics.median(r[name] for r in runs) for runs in (ours, theirs)
                )
                unit = UNITS[name]
                ends = {"half_us": ", half within", "most_us": ", 99 % within"}
                yield row(
                    "load",
                    f"{way.name}, {how}{ends.get(name, '')}",
                    value,
                    unit,
                    method,
                    baseline=baseline,
                    goal=None if unit == "us" else GOAL * baseline,
                )


def bench(programs: Programs, quick: bool) -> list[Row]:
    """The generator over wrk."""
    for tool in ("wrk", "ethtool"):
        if shutil.which(tool) is None:
            raise BenchError(f"{tool} is missing: apt-get install {tool}")
    rounds, seconds = (1, 1) if quick else (5, 2)
    seen: dict[tuple[str, bool, str], list[dict[str, float]]] = {}
    with stage(programs) as s:
        load = Load(s, seconds)
        for _ in range(rounds):
            for way in WAYS:
                with load.serving(way):
                    for keep in (True, False):
                        for who, run in (("wrk", load.wrk), ("ours", load.ours)):
                            found = load.measure(run, way, keep)
                            seen.setdefault((way.name, keep, who), []).append(found)
        method = METHOD
        if load.untraced:
            method += f" `cpu-s` is missing: {load.untraced}."
    return list(_rows(seen, method))
