# SPDX-License-Identifier: BSD-2-Clause
"""What `inv bench kernel` runs inside a guest, with the module loaded.

    python -m tests.bench.kernel_guest skb|xdp|host|scale|http|bulk ROUNDS SECONDS

In each round each case once; a line of JSON for each figure: {"case", "value"}.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

from demo.world import IFNAME, SERVER, sh
from tests.bench.http import NGINX_ON, TABLE_KB, UTCP_MODULE, Http
from tests.bench.programs import BenchError, Programs, run_lines
from tests.bench.utcp import Flow
from tests.bench.wires import stage

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("MULTISTACK_BUILD", ROOT / "build" / "plain"))
FROM, TO = "10.97.0.1", "10.97.0.2"
SINK_MAC = "02:00:00:00:00:99"
SIZES = (60, 1500)


def say(case: str, value: float) -> None:
    print(json.dumps({"case": case, "value": value}), flush=True)


# ---- namespaces and cables -----------------------------------------------------


def ip(*args: str) -> None:
    sh("ip", *args, timeout=60)


@contextmanager
def netns(*names: str) -> Iterator[None]:
    for name in names:
        ip("netns", "add", name)
    try:
        yield
    finally:
        for name in names:
            with suppress(Exception):
                ip("netns", "del", name)


def cable(a: tuple[str, str], b: tuple[str, str]) -> None:
    """A veth of one queue; its ends as (namespace, name), up."""
    queues = ("numrxqueues", "1", "numtxqueues", "1")
    ip(
        *("link", "add", a[1], "netns", a[0], *queues, "type", "veth"),
        *("peer", "name", b[1], "netns", b[0], *queues),
    )
    for space, name in (a, b):
        ip("-n", space, "link", "set", name, "up")


def address(space: str, name: str, addr: str) -> None:
    ip("-n", space, "addr", "add", f"{addr}/16", "dev", name)


def inside(space: str, *argv: str, timeout: float = 60.0) -> str:
    return sh("ip", "netns", "exec", space, *argv, timeout=timeout)


def multistack(space: str, *argv: str) -> None:
    inside(space, sys.executable, "-m", "multistack", *argv, "-d", "kmod")


@contextmanager
def attached(*ends: tuple[str, str], options: tuple[str, ...] = ()) -> Iterator[None]:
    done = []
    try:
        for space, name in ends:
            multistack(space, "attach", name, *options)
            done.append((space, name))
        yield
    finally:
        for space, name in done:
            multistack(space, "detach", "--force", name)


@contextmanager
def programmed(space: str, name: str) -> Iterator[None]:
    """With a program of XDP that passes everything, in the driver."""
    program = BUILD / "tests" / "bench" / "bench_pass.bpf.o"
    xdp = ("link", "set", "dev", name, "xdpdrv")
    ip("-n", space, *xdp, "obj", str(program), "sec", "xdp.frags")
    try:
        yield
    finally:
        ip("-n", space, *xdp, "off")


# ---- generators and counters -----------------------------------------------------


def received(space: str, name: str) -> int:
    path = f"/sys/class/net/{name}/statistics/rx_packets"
    return int(inside(space, "cat", path))


_PKTGEN = re.compile(r"Result: OK: (\d+)\(")


def pktgen(space: str, name: str, count: int, size: int, mac: str, dst: str) -> float:
    """Has the kernel send `count` UDP frames of `size` bytes; seconds it took."""
    if not Path("/proc/net/pktgen").exists():
        subprocess.run(["modprobe", "pktgen"], check=True)
    script = "; ".join(
        f"echo '{line}' > /proc/net/pktgen/{file}"
        for file, line in [
            ("kpktgend_0", "rem_device_all"),
            ("kpktgend_0", f"add_device {name}"),
            *(
                (name, line)
                for line in (
                    f"count {count}",
                    "clone_skb 0",
                    "delay 0",
                    f"pkt_size {size}",
                    f"dst {dst}",
                    f"dst_mac {mac}",
                    "udp_dst_min 9",
                    "udp_dst_max 9",
                )
            ),
            ("pgctrl", "start"),
        ]
    )
    text = inside(space, "sh", "-c", f"{script}; cat /proc/net/pktgen/{name}")
    found = _PKTGEN.search(text)
    if not found:
        raise BenchError(f"pktgen: {text.strip()[-200:]}")
    return int(found[1]) / 1e6


class Generator:
    """So many frames that it takes about so long; Mpps that arrived."""

    def __init__(
        self,
        source: tuple[str, str],
        sink: tuple[str, str],
        size: int,
        mac: str,
        dst: str,
        seconds: float,
    ) -> None:
        self.source, self.sink = source, sink
        self.size, self.mac, self.dst = size, mac, dst
        self.count = 20000
        took = self._run()
        self.count = max(20000, int(self.count * seconds / took))

    def _run(self) -> float:
        space, name = self.source
        return pktgen(space, name, self.count, self.size, self.mac, self.dst)

    def __call__(self) -> float:
        before = received(*self.sink)
        took = self._run()
        return (received(*self.sink) - before) / took / 1e6


def mac_of(space: str, name: str) -> str:
    return inside(space, "cat", f"/sys/class/net/{name}/address").strip()


# ---- cases -----------------------------------------------------------------------


def wire(
    seconds: float, size: int, *more: str, a: str = "msa0", b: str = "msb0"
) -> float:
    """Mpps from a port in msa to ports in msb."""
    argv = [
        *("ip", "netns", "exec", "msa", Programs(BUILD).find("bench_wire")),
        *(a, FROM, "/run/netns/msb", b, TO),
        *(str(seconds), str(size), *more),
    ]
    return float(run_lines(argv)[0]["mpps"])


def bridge_of(kind: str, space: str, ports: tuple[str, str]) -> None:
    """Joins two interfaces; frames to SINK_MAC go out of the second."""
    if kind == "bridge":
        ip("-n", space, "link", "add", "br0", "type", "bridge")
        ip("-n", space, "link", "set", "br0", "up")
        for port in ports:
            ip("-n", space, "link", "set", port, "master", "br0")
        inside(
            *(space, "bridge", "fdb", "add", SINK_MAC, "dev", ports[1]),
            *("master", "static"),
        )
        return
    raise BenchError(f"no such neighbour: {kind}")


@contextmanager
def forwarder(kind: str, size: int, seconds: float) -> Iterator[Callable[[], float]]:
    """pktgen -> veth -> bridge -> veth -> a receiver that is not meant."""
    spaces = tuple(f"{kind}-{x}" for x in "gbs")
    with netns(*spaces):
        g, b, s = spaces
        cable((g, "g0"), (b, "p0"))
        cable((b, "p1"), (s, "s0"))
        bridge_of(kind, b, ("p0", "p1"))
        yield Generator((g, "g0"), (s, "s0"), size, SINK_MAC, "10.96.0.9", seconds)


def skb(rounds: int, seconds: float) -> None:
    """The port's way over a cable beside the bridge's."""
    with netns("msa", "msb"):
        cable(("msa", "msa0"), ("msb", "msb0"))
        address("msa", "msa0", FROM)
        address("msb", "msb0", TO)
        for size in SIZES:
            with (
                forwarder("bridge", size, seconds) as bridge,
                attached(("msa", "msa0"), ("msb", "msb0")),
            ):
                for _ in range(rounds):
                    say(f"bridge, {size} B", bridge())
                    say(f"ports, {size} B", wire(seconds, size))


def xdp(rounds: int, seconds: float) -> None:
    """The same by XDP frames and kfunc, beside the skb way."""
    with netns("msa", "msb"):
        cable(("msa", "msa0"), ("msb", "msb0"))
        cable(("msa", "msa1"), ("msb", "msb1"))
        for space, name in (("msa", "msa1"), ("msb", "msb1")):
            # With NAPI a veth takes XDP frames before its peer has a program.
            inside(space, "ethtool", "-K", name, "gro", "on")
        address("msa", "msa0", FROM)
        address("msb", "msb0", TO)
        with (
            attached(("msa", "msa0"), ("msb", "msb0"), options=("--no-xdp",)),
            attached(
                ("msa", "msa1"), ("msb", "msb1"), options=("--xdp", "-o", "tx=xdp")
            ),
        ):
            for _ in range(rounds):
                for size in SIZES:
                    say(f"skb, {size} B", wire(seconds, size))
                    say(f"xdp, {size} B", wire(seconds, size, a="msa1", b="msb1"))


def host(rounds: int, seconds: float) -> None:
    """Frames that nobody claimed, to a socket of the host that nobody reads."""
    end = ("msb", "msb0")
    modes: dict[str, Callable[[], AbstractContextManager[None]]] = {
        "without": nullcontext,
        "rx_handler": lambda: attached(end, options=("--no-xdp",)),
    }
    if os.environ.get("MULTISTACK_GUEST") != "uml":
        modes["a program that passes all"] = lambda: programmed(*end)
        modes["xdp"] = lambda: attached(end, options=("--xdp",))
    with netns("msa", "msb"):
        cable(("msa", "msa0"), ("msb", "msb0"))
        address("msb", "msb0", TO)
        sink = subprocess.Popen(
            [
                *("ip", "netns", "exec", "msb", sys.executable, "-c"),
                "import socket, time; s = socket.socket(2, 2); s.bind(('', 9)); "
                "time.sleep(3600)",
            ]
        )
        try:
            time.sleep(1)
            gen = Generator(
                ("msa", "msa0"), ("msb", "msb0"), 60, mac_of("msb", "msb0"), TO, seconds
            )
            for _ in range(rounds):
                for name, mode in modes.items():
                    with mode():
                        say(f"host, {name}", gen())
        finally:
            sink.kill()
            sink.wait()


def scale(rounds: int, seconds: float) -> None:
    """1 port and 1 tuple beside 1,000 ports and 100,000 tuples."""
    with netns("msa", "msb"):
        cable(("msa", "msa0"), ("msb", "msb0"))
        address("msa", "msa0", FROM)
        for n in range(2, 5):
            address("msb", "msb0", f"10.97.0.{n}")
        with attached(("msa", "msa0"), ("msb", "msb0")):
            for _ in range(rounds):
                say("1 port, 1 tuple", wire(seconds, 60))
                say("1,000 ports, 100,000 tuples", wire(seconds, 60, "1000", "100000"))


def http(rounds: int, seconds: float) -> None:
    """Our server on the module and nginx, one connection a request."""
    with stage(Programs(BUILD)) as s:
        h = Http(s, max(1, round(seconds)))
        with attached((s.world.netns(SERVER), IFNAME)):
            for _ in range(rounds):
                for line in (UTCP_MODULE, NGINX_ON):
                    with h.serving(line) as _:
                        for kb in TABLE_KB:
                            said = h.wrk(line, kb, False, h.seconds)
                            say(f"{line.name}, {kb} KB", said.per_s)


def bulk(rounds: int, seconds: float) -> None:
    """One connection's stream, from our stack on the module and from sockets."""
    with stage(Programs(BUILD)) as s:
        flow = Flow(s, seconds)
        with attached((s.world.netns(SERVER), IFNAME)):
            for _ in range(rounds):
                say("UTCP on the module", flow.module().gbps)
                say("sockets", flow.veth().gbps)


WHAT: dict[str, Callable[[int, float], None]] = {
    "skb": skb,
    "xdp": xdp,
    "host": host,
    "scale": scale,
    "http": http,
    "bulk": bulk,
}


def main() -> int:
    what, rounds, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    os.environ["MULTISTACK_LIBRARY"] = str(BUILD / "lib" / "libmultistack.so")
    os.environ["PYTHONPATH"] = f"{ROOT / 'bindings'}:{os.environ.get('PYTHONPATH', '')}"
    WHAT[what](rounds, seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
