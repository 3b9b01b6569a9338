# SPDX-License-Identifier: BSD-2-Clause
"""inv bench http: our server on UTCP, the same on sockets, and nginx.

Each server has the second core for itself, wrk the first; the interface's
offloads are set for each, and its attachment is there only while it serves.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from demo.world import ADDR, CLIENT, IFNAME, SERVER, Process, World
from tests.bench import nginx, over
from tests.bench.owner import receiving
from tests.bench.plot6 import SIZES_KB, case
from tests.bench.programs import BenchError, Programs
from tests.bench.rows import Row, row
from tests.bench.wires import Stage, stage

PORT = 8080
# The kernel keeps a port for what is in TIME-WAIT, so each server has its own.
NGINX_PORT, SOCKETS_PORT = 8081, 8082
SERVER4 = ADDR[SERVER][0]
TAP_HOST, TAP_OURS = "10.98.0.1", "10.98.0.2"
CONNECTIONS = 64
TABLE_KB = (1, 8, 32)
TRACED_S = 1
TRIES = 3

METHOD = (
    "wrk (one thread, 64 connections) on one core, the server on the other; in each "
    "round each server in turn, medians over the rounds. XDP and what it is compared "
    "with: veth between two namespaces, offloads off at both ends. TAP: a private "
    "link with GSO and checksum offloads; nginx and sockets beside it: the veth with "
    "its offloads on. nginx: one worker, no access log, cached open files, sendfile "
    "off, tcp_nopush off. Congestion control: CUBIC, the kernel's too. `a core`: requests over the seconds for which the server's "
    "core worked for it: its threads with all that the kernel did in them, soft "
    "interrupts as well, and the core's ksoftirqd. `cpu-s`: the same without what "
    "the core received for wrk, and with what wrk's core received for the server. "
    "us: how soon half of the requests, and 99 %, were answered."
)

NGINX = """
daemon off; user root; worker_processes 1; error_log {dir}/error.log crit;
pid {dir}/nginx.pid; worker_rlimit_nofile 65536;
events {{ worker_connections 16384; multi_accept on; }}
http {{
  types {{ text/html html; }} access_log off; server_tokens on;
  sendfile off; tcp_nopush off; tcp_nodelay on;
  keepalive_timeout 60; keepalive_requests 1000000000;
  open_file_cache max=1000 inactive=60s; open_file_cache_valid 60s;
  client_body_temp_path {dir}; proxy_temp_path {dir}; fastcgi_temp_path {dir};
  uwsgi_temp_path {dir}; scgi_temp_path {dir};
  server {{ listen {port} backlog=65535 reuseport; root {www}; }}
}}
"""


@dataclass(frozen=True)
class Line:
    """A server in one of its ways; a line of the figure."""

    name: str
    start: Callable[[Http], Process]
    address: str
    port: int
    offloads: bool


@dataclass(frozen=True)
class Wrk:
    """What it said."""

    requests: int
    per_s: float
    half_us: float
    most_us: float


_WRK = re.compile(
    r"\n +50%\s+(?P<half>\S+).*99%\s+(?P<most>\S+).*\s(?P<requests>\d+) requests in"
    r".*Requests/sec:\s+(?P<rate>[\d.]+)",
    re.DOTALL,
)


def _us(text: str) -> float:
    """A time of wrk's, as "1.25ms"."""
    number = text.rstrip("mus")
    return float(number) * {"us": 1, "ms": 1e3, "s": 1e6}[text[len(number) :]]


def understand(said: str) -> Wrk | None:
    """None: it failed, or the server did."""
    found = _WRK.search(said)
    if not found or "Non-2xx" in said:
        return None
    return Wrk(
        int(found["requests"]),
        float(found["rate"]),
        _us(found["half"]),
        _us(found["most"]),
    )


@dataclass(frozen=True)
class Sample:
    """Of one run, or the median of several. UNITS says what each is."""

    per_s: float
    per_core_s: float
    per_cpu_s: float
    half_us: float
    most_us: float


UNITS = {
    "per_s": "req/s",
    "per_core_s": "req/s a core",
    "per_cpu_s": "req/cpu-s",
    "half_us": "us",
    "most_us": "us",
}


def use_cubic(world: World, side: str, ifname: str, address: str) -> None:
    """Has the kernel use CUBIC to the /24 of its address, whatever its default is:
    BBR would pace, which ours does not."""
    network = address.rpartition(".")[0] + ".0/24"
    route = (network, "dev", ifname, "proto", "kernel", "scope", "link", "src", address)
    world.call(side, "ip", "route", "change", *route, "congctl", "cubic")


class Http:
    """The stage with pages to serve."""

    def __init__(self, s: Stage, seconds: int) -> None:
        self.s = s
        self.seconds = seconds
        self.nginx_path = nginx.find(s.programs.build)
        self.www = s.world.dir / "www"
        self.www.mkdir(mode=0o755)
        for kb in SIZES_KB:
            (self.www / f"{kb}.html").write_bytes(b"x" * (kb << 10))
        self.untraced = ""  # why not
        try:
            with receiving(s.programs, s.world):
                pass
        except BenchError as e:
            self.untraced = str(e)
        for side in (CLIENT, SERVER):
            use_cubic(s.world, side, IFNAME, ADDR[side][0])
        self.conf = s.world.dir / "nginx.conf"
        self.conf.write_text(
            NGINX.format(dir=s.world.dir, www=self.www, port=f"{SERVER4}:{NGINX_PORT}")
        )

    # ---- servers -------------------------------------------------------------

    def ours(self, side: str, *argv: str) -> Process:
        process = self.s.start(side, "multistack-httpd", *argv, str(self.www), core=1)
        process.wait_for_text("listening")
        return process

    def xdp(self) -> Process:
        return self.ours(SERVER, "-d", f"xdp:{IFNAME}", "-l", f"{SERVER4}:{PORT}")

    def module(self) -> Process:
        return self.ours(SERVER, "-d", f"kmod:{IFNAME}", "-l", f"{SERVER4}:{PORT}")

    def tap(self) -> Process:
        device = f"tap:ms0,local={TAP_OURS}/24,host={TAP_HOST}"
        return self.ours(CLIENT, "-d", device, "-l", f"{TAP_OURS}:{PORT}")

    def sockets(self) -> Process:
        return self.ours(SERVER, "--host-stack", "-l", f"{SERVER4}:{SOCKETS_PORT}")

    def nginx(self) -> Process:
        process = self.s.world.spawn(
            *(SERVER, f"nginx-{time.monotonic_ns()}", "taskset", "-c", self.s.core(1)),
            *(self.nginx_path, "-e", "stderr", "-c", str(self.conf)),
        )
        pid = self.s.world.dir / "nginx.pid"
        process.wait_for(lambda: pid.exists() and bool(_children(process.pid)), "nginx")
        return process

    def offloads(self, on: bool) -> None:
        state = "on" if on else "off"
        for side in (CLIENT, SERVER):
            self.s.world.call(
                side,
                *("ethtool", "-K", IFNAME, "tx", state, "tso", state, "gso", state),
                *("gro", state),
            )

    def _answers(self, line: Line) -> bool:
        with self.s.world.inside(CLIENT):
            sock = socket.socket()
        with sock:
            sock.settimeout(1)
            return sock.connect_ex((line.address, line.port)) == 0

    @contextmanager
    def serving(self, line: Line) -> Iterator[Process]:
        self.offloads(line.offloads)
        process = line.start(self)
        try:
            process.wait_for(lambda: self._answers(line), "an answer")
            yield process
        finally:
            process.stop()
            self.s.world.processes.remove(process)

    # ---- measuring -------------------------------------------------------------

    def measure(self, line: Line, process: Process, kb: int, keep: bool) -> Sample:
        """Two runs of wrk: tracing would cost the first one something."""
        core = int(self.s.core(1))
        before = cpu_ns([process.pid], core)
        run = self.wrk(line, kb, keep, self.seconds)
        used_ns = (cpu_ns([process.pid], core) - before) / run.requests
        own_ns = used_ns + (0 if self.untraced else self._moved_ns(line, kb, keep))
        return Sample(run.per_s, 1e9 / used_ns, 1e9 / own_ns, run.half_us, run.most_us)

    def _moved_ns(self, line: Line, kb: int, keep: bool) -> float:
        """Of a request: what other cores received for the server, less what its
        core received for wrk."""
        with receiving(self.s.programs, self.s.world) as received:
            run = self.wrk(line, kb, keep, TRACED_S)
        return received.moved_ns(int(self.s.core(1))) / run.requests

    def wrk(self, line: Line, kb: int, keep: bool, seconds: int) -> Wrk:
        """On a machine that is busy with others a run may come to nothing."""
        for _ in range(TRIES):
            run = self._wrk_once(line, kb, keep, seconds)
            if run.requests:
                return run
        raise BenchError(f"{line.name}, {kb} KB: not a request in {seconds} s")

    def _wrk_once(self, line: Line, kb: int, keep: bool, seconds: int) -> Wrk:
        fields = [] if keep else ["-H", "Connection: close"]
        said = self.s.world.call(
            CLIENT,
            *("taskset", "-c", self.s.core(0), "wrk", "-t1", f"-c{CONNECTIONS}"),
            *("--latency", f"-d{seconds}s", *fields),
            f"http://{line.address}:{line.port}/{kb}.html",
            timeout=seconds + 20,
        ).stdout
        run = understand(said)
        if not run:
            raise BenchError(f"{line.name}, {kb} KB: {said.strip()}")
        return run


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(p) for p in text.split()]


def _ran_ns(pid: int) -> int:
    """Time on a processor of all threads of a process."""
    return sum(
        int(p.read_text().split()[0])
        for p in Path(f"/proc/{pid}/task").glob("*/schedstat")
    )


def _ksoftirqd(core: int) -> int:
    for path in Path("/proc").glob("[0-9]*/comm"):
        if path.read_text().strip() == f"ksoftirqd/{core}":
            return int(path.parent.name)
    raise BenchError(f"no ksoftirqd/{core}")


def cpu_ns(pids: list[int], core: int) -> int:
    """Of processes with their children, and of soft interrupts on their core."""
    all_ = [_ksoftirqd(core), *pids, *(c for p in pids for c in _children(p))]
    return sum(map(_ran_ns, all_))


UTCP_XDP = Line("UTCP on XDP, no offloads", Http.xdp, SERVER4, PORT, False)
UTCP_TAP = Line("UTCP on TAP, offloads", Http.tap, TAP_OURS, PORT, True)
# In a guest with the module, attached: kernel_guest.py.
UTCP_MODULE = Line("UTCP on the module", Http.module, SERVER4, PORT, True)
SOCKETS_OFF = Line("sockets, no offloads", Http.sockets, SERVER4, SOCKETS_PORT, False)
SOCKETS_ON = Line("sockets, offloads", Http.sockets, SERVER4, SOCKETS_PORT, True)
NGINX_OFF = Line("nginx, no offloads", Http.nginx, SERVER4, NGINX_PORT, False)
NGINX_ON = Line("nginx, offloads", Http.nginx, SERVER4, NGINX_PORT, True)
LINES = (UTCP_XDP, UTCP_TAP, SOCKETS_OFF, SOCKETS_ON, NGINX_OFF, NGINX_ON)

# The table: over nginx, by size.
GOALS = {
    (UTCP_XDP, False): (NGINX_OFF, {1: 1.5, 8: 1.25, 32: 1.0}),
    (UTCP_TAP, False): (NGINX_ON, {1: 1.8, 8: 1.5, 32: 1.4}),
    (UTCP_TAP, True): (NGINX_ON, {1: 1.5, 8: 1.3, 32: 1.0}),
}

Key = tuple[Line, int, bool]  # server, KB, keep-alive


class Results:
    """The medians of all cases, as rows."""

    def __init__(self, h: Http, rounds: int) -> None:
        seen: dict[Key, list[Sample]] = {}
        for _ in range(rounds):
            for line in LINES:
                with h.serving(line) as process:
                    cases = [(kb, False) for kb in SIZES_KB]
                    for kb, keep in [*cases, *((kb, True) for kb in TABLE_KB)]:
                        sample = h.measure(line, process, kb, keep)
                        seen.setdefault((line, kb, keep), []).append(sample)
        self.units = dict(UNITS)
        self.method = METHOD
        if h.untraced:
            del self.units["per_cpu_s"]
            self.method += f" `cpu-s` is missing: {h.untraced}."
        self._median = {
            (key, name): statistics.median(getattr(s, name) for s in samples)
            for key, samples in seen.items()
            for name in self.units
        }

    def table(self) -> Iterator[Row]:
        for (line, keep), (base, goals) in GOALS.items():
            how = "keep-alive" if keep else "one request a connection"
            for kb, goal in goals.items():
                for name, unit in self.units.items():
                    baseline = self._median[(base, kb, keep), name]
                    yield row(
                        "http",
                        over.case(f"{line.name}, {how}", kb, name),
                        self._median[(line, kb, keep), name],
                        *(unit, self.method),
                        baseline=baseline,
                        goal=None if unit == "us" else goal * baseline,
                    )

    def figure(self) -> Iterator[Row]:
        for ((line, kb, keep), name), value in self._median.items():
            if not keep and (unit := self.units[name]) != "us":
                yield row("http", case(line.name, kb), value, unit, self.method)


def _need() -> None:
    for tool in ("wrk", "ethtool"):
        if shutil.which(tool) is None:
            raise BenchError(f"{tool} is missing: apt-get install {tool}")
    if len(os.sched_getaffinity(0)) < 2:
        raise BenchError("It takes two cores, one for the server.")


def bench(programs: Programs, quick: bool) -> list[Row]:
    """The table that the server must reach, and Figure 6."""
    _need()
    seconds, rounds = (1, 1) if quick else (2, 5)
    with stage(programs) as s:
        results = Results(Http(s, seconds), rounds)
    return [*results.table(), *results.figure()]
