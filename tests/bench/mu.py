# SPDX-License-Identifier: BSD-2-Clause
"""inv bench mu: what libuv's calls cost on UTCP, and what they gain.

The echo server of lib/examples, and the same on sockets: one source, of which
mu_sockets is made by renaming mu_ to uv_. And multistack-httpd's requests and
replies, carried by mu.h instead of UTCP's own calls.
"""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Iterator
from contextlib import contextmanager

from demo.world import ADDR, CLIENT, IFNAME, SERVER, Process
from tests.bench.http import CONNECTIONS as WRK_CONNECTIONS
from tests.bench.http import cpu_ns, understand, use_cubic
from tests.bench.programs import BenchError, Programs
from tests.bench.rows import Row, row
from tests.bench.wires import Stage, stage

SERVER4 = ADDR[SERVER][0]
PORTS = {"mu": 7007, "mu sleeping": 7007, "sockets": 7008}
CONNECTIONS = (1, 64, 10_000)
GOAL = 1.3

METHOD = (
    "Messages of 64 bytes; each connection of a client on sockets, on one core, sends "
    "the next when the last is back. mu: mu_echo on XDP, on the other core; baseline: "
    "the same source renamed to libuv's calls, on the kernel's sockets, same core. veth "
    "between two namespaces, offloads off at both ends, CUBIC on both sides, no Nagle. "
    "In each round each server in turn, medians over the rounds. Sleeping: mu_echo never "
    "looks for the next frame before it sleeps (MU_SPIN_NEVER)."
)

HTTP_PORT = 8080
HTTP_KB = (1, 8, 32)
HTTP_GOAL = 0.9
HTTP_METHOD = (
    "wrk (one thread, 64 connections) on one core, the server on the other, on XDP as "
    "above. mu: multistack-httpd's server, its connections mu_tcp_t's, reading with "
    "mu_read_start_view, writing with mu_write_ref; baseline: multistack-httpd itself. "
    "Requests over the seconds for which the server's core worked for it, soft "
    "interrupts too. In each round each server in turn, medians over the rounds."
)


def _offloads_off(s: Stage) -> None:
    for side in (CLIENT, SERVER):
        s.world.call(
            side,
            *("ethtool", "-K", IFNAME, "tx", "off", "tso", "off", "gso", "off"),
            *("gro", "off"),
        )
        use_cubic(s.world, side, IFNAME, ADDR[side][0])


@contextmanager
def _serving(s: Stage, kind: str) -> Iterator[Process]:
    program = "mu_sockets" if kind == "sockets" else "mu_echo"
    spin = "-1" if kind == "mu sleeping" else "0"
    argv = (f"xdp:{IFNAME}", SERVER4, str(PORTS[kind]), spin)
    process = s.start(SERVER, program, *argv, core=1)
    try:
        process.wait_for_text("serving")
        yield process
    finally:
        process.stop()
        s.world.processes.remove(process)


def _trips_per_s(s: Stage, kind: str, connections: int, seconds: int) -> float:
    argv = (SERVER4, str(PORTS[kind]), str(connections), str(seconds))
    said = s.finish(s.start(CLIENT, "bench_echo", *argv, core=0))
    return float(said["trips"]) / float(said["seconds"])


def echo(s: Stage, rounds: int, seconds: int) -> Iterator[Row]:
    """Round trips a second, by connections."""
    seen: dict[tuple[str, int], list[float]] = {}
    for _ in range(rounds):
        for kind in PORTS:
            with _serving(s, kind):
                for n in CONNECTIONS:
                    rate = _trips_per_s(s, kind, n, seconds)
                    seen.setdefault((kind, n), []).append(rate)
    median = {key: statistics.median(rates) for key, rates in seen.items()}
    for n in CONNECTIONS:
        theirs = median["sockets", n]
        for kind in ("mu", "mu sleeping"):
            yield row(
                "mu",
                f"{kind}: echo, {n:,} connection{'s' if n > 1 else ''}",
                median[kind, n],
                "trips/s",
                METHOD,
                baseline=theirs,
                goal=GOAL * theirs if n != 64 and kind == "mu" else None,
            )


@contextmanager
def _http_serving(s: Stage, kind: str) -> Iterator[Process]:
    device, www = f"xdp:{IFNAME}", str(s.world.dir / "www")
    if kind == "mu":
        argv = (device, SERVER4, str(HTTP_PORT), www)
        process = s.start(SERVER, "bench_mu_httpd", *argv, core=1)
    else:
        at = f"{SERVER4}:{HTTP_PORT}"
        process = s.start(
            SERVER, "multistack-httpd", "-d", device, "-l", at, www, core=1
        )
    try:
        process.wait_for_text("listening")
        yield process
    finally:
        process.stop()
        s.world.processes.remove(process)


def _per_core_s(s: Stage, process: Process, kb: int, keep: bool, seconds: int) -> float:
    """Requests for each second that the server's core worked for it."""
    core = int(s.core(1))
    before = cpu_ns([process.pid], core)
    said = s.world.call(
        CLIENT,
        *("taskset", "-c", s.core(0), "wrk", "-t1", f"-c{WRK_CONNECTIONS}"),
        *("--latency", f"-d{seconds}s", *([] if keep else ["-H", "Connection: close"])),
        f"http://{SERVER4}:{HTTP_PORT}/{kb}.html",
        timeout=seconds + 20,
    ).stdout
    run = understand(said)
    if not run or not run.requests:
        raise BenchError(f"{kb} KB: {said.strip()}")
    return run.requests * 1e9 / (cpu_ns([process.pid], core) - before)


def http(s: Stage, rounds: int, seconds: int) -> Iterator[Row]:
    """Requests a second of the server's core, by size."""
    www = s.world.dir / "www"
    www.mkdir(mode=0o755)
    for kb in HTTP_KB:
        (www / f"{kb}.html").write_bytes(b"x" * (kb << 10))
    cases = [(kb, keep) for keep in (False, True) for kb in HTTP_KB]
    seen: dict[tuple[str, int, bool], list[float]] = {}
    for _ in range(rounds):
        for kind in ("mu", "utcp"):
            with _http_serving(s, kind) as process:
                for kb, keep in cases:
                    rate = _per_core_s(s, process, kb, keep, seconds)
                    seen.setdefault((kind, kb, keep), []).append(rate)
    for kb, keep in cases:
        ours, theirs = (
            statistics.median(seen[kind, kb, keep]) for kind in ("mu", "utcp")
        )
        how = "keep-alive" if keep else "one request a connection"
        yield row(
            "mu",
            f"http, {how}, {kb} KB",
            ours,
            "req/s a core",
            HTTP_METHOD,
            baseline=theirs,
            goal=HTTP_GOAL * theirs,
        )


def bench(programs: Programs, quick: bool) -> list[Row]:
    """What mu.h gives over libuv's own."""
    for tool in ("wrk", "ethtool"):
        if shutil.which(tool) is None:
            raise BenchError(f"{tool} is missing: apt-get install {tool}")
    rounds, seconds = (1, 1) if quick else (5, 2)
    with stage(programs) as s:
        _offloads_off(s)
        return [*echo(s, rounds, seconds), *http(s, rounds, seconds)]
