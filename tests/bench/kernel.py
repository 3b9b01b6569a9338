# SPDX-License-Identifier: BSD-2-Clause
"""inv bench kernel: the module, in guests of this machine.

User Mode Linux runs the module's code at the machine's own speed, on one core;
QEMU without KVM translates it, so that of what is measured there only ratios
mean something.
"""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Iterator
from pathlib import Path

from ci import kmod
from ci.steps import LOGS, Step
from ci.vm import machine
from tests.bench.programs import BenchError, Programs
from tests.bench.rows import Row, row

ROOT = Path(__file__).resolve().parents[2]
UML, TCG = "uml", "linux-6.12"
TIMEOUT_S = 900.0

WIRE = (
    "Headers written into frames, sent from a port through the module over a veth "
    "to the other namespace's module and port, and looked at there, by a loop in the "
    "kernel; one core, batches of 256. Beside it the Linux bridge: pktgen, veth, bridge, veth, and a "
    "receiver that drops at its first look. Arrived frames a second, sizes without "
    "CRC. User Mode Linux; interleaved, median of rounds."
)
SCALE = (
    "As above, 60 B. Many: 1,000 ports of 16 slots with 100 tuples each, frames of a "
    "batch to 256 of the tuples in a row from a random one on. Interleaved, median of rounds."
)
HOST = (
    "pktgen, veth, and a UDP socket of the host that nobody reads; frames of 60 B that "
    "arrived a second, with the receiving end attached and without; and with a program "
    "of XDP that looks at nothing. Interleaved, median of rounds. "
)
XDP = (
    "As over User Mode Linux, by XDP frames and kfunc against the skb way, in a guest "
    "of QEMU without KVM. Interleaved, median of rounds."
)
HTTP = (
    "wrk on one processor of the guest, the server on the other, veth with offloads "
    "between two namespaces; 64 connections, one request each. QEMU without KVM. "
    "Interleaved, median of rounds."
)
BULK = (
    "One connection reads a file over and over, veth with offloads between two "
    "namespaces; multistack-httpd on UTCP and the module, and the same on sockets; "
    "CUBIC. QEMU without KVM. Interleaved, median of rounds."
)
HTTP_GOALS = {1: 1.5, 8: 1.3, 32: 1.2}


def _measure(guest: str, what: str, rounds: int, seconds: float) -> dict[str, float]:
    """Boots the guest and runs one part of kernel_guest.py; medians by case."""
    step = Step(f"bench kernel: module for {guest}", LOGS / "bench-kernel.log", False)
    built = kmod.build_all(step, guest)
    results = ROOT / "build" / "vm" / f"bench-{guest}-{what}"
    done = machine.run(
        guest,
        [
            *(ROOT / ".venv/bin/python", "-m", "tests.bench.kernel_guest"),
            *(what, str(rounds), str(seconds)),
        ],
        results=results,
        modules=[built["multistack"], built["msbench"]],
        timeout_s=TIMEOUT_S,
        mem_mib=3072,
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'bindings'}"},
        leaks=False,
    )
    text = (results / "output.log").read_text(errors="replace")
    if done.kind != "ok":
        last = "; ".join(text.strip().splitlines()[-3:])
        raise BenchError(f"{guest}, {what}: {done}: {last} ({results})")
    seen: dict[str, list[float]] = {}
    for line in text.splitlines():
        if line.startswith('{"case"'):
            said = json.loads(line)
            seen.setdefault(said["case"], []).append(said["value"])
    return {name: statistics.median(values) for name, values in seen.items()}


def _wire(rounds: int, seconds: float) -> Iterator[Row]:
    found = _measure(UML, "skb", rounds, seconds)
    for size, goal in ((60, 2.5), (1500, 2.0)):
        base = found[f"bridge, {size} B"]
        yield row(
            *("kernel", f"port to port, {size} B", found[f"ports, {size} B"]),
            *("Mpps", WIRE),
            baseline=base,
            goal=goal * base,
        )


def _scale(rounds: int, seconds: float) -> Iterator[Row]:
    found = _measure(UML, "scale", rounds, seconds)
    base = found["1 port, 1 tuple"]
    many = "1,000 ports, 100,000 tuples"
    yield row(
        "kernel", many, found[many], "Mpps", SCALE, baseline=base, goal=0.7 * base
    )


def _host(guest: str, where: str, rounds: int, seconds: float) -> Iterator[Row]:
    found = _measure(guest, "host", rounds, seconds)
    base = found.pop("host, without")
    for name, value in found.items():
        how = name.removeprefix("host, ")
        ours = how in ("rx_handler", "xdp")
        case = f"unclaimed, attached by {how}" if ours else f"unclaimed, beside {how}"
        yield row(
            *("kernel", case, value, "Mpps", HOST + where),
            baseline=base,
            goal=0.97 * base if ours else None,
        )


def _xdp(rounds: int, seconds: float) -> Iterator[Row]:
    found = _measure(TCG, "xdp", rounds, seconds)
    for size in (60, 1500):
        base = found[f"skb, {size} B"]
        yield row(
            *("kernel", f"port to port by XDP, {size} B", found[f"xdp, {size} B"]),
            *("Mpps", XDP),
            baseline=base,
            goal=1.3 * base if size == 60 else None,
        )


def _http(rounds: int, seconds: float) -> Iterator[Row]:
    found = _measure(TCG, "http", rounds, seconds)
    for kb, goal in HTTP_GOALS.items():
        base = found[f"nginx, offloads, {kb} KB"]
        value = found[f"UTCP on the module, {kb} KB"]
        name = f"HTTP on the module over nginx, {kb} KB"
        yield row("kernel", name, value, "req/s", HTTP, baseline=base, goal=goal * base)


def _bulk(rounds: int, seconds: float) -> Iterator[Row]:
    found = _measure(TCG, "bulk", rounds, seconds)
    base = found["sockets"]
    name = "one stream, UTCP on the module over sockets"
    value = found["UTCP on the module"]
    yield row("kernel", name, value, "Gb/s", BULK, baseline=base, goal=base)


def bench(programs: Programs, quick: bool) -> list[Row]:
    """The module beside the bridge, the host's own stack and nginx."""
    reason = machine.may_boot()
    if reason:
        raise BenchError(reason)
    os.environ["MULTISTACK_BUILD"] = str(programs.build)
    fast = (3, 0.5) if quick else (7, 2.0)
    slow = (3, 1.0) if quick else (5, 3.0)
    return [
        *_wire(*fast),
        *_scale(*fast),
        *_host(UML, "User Mode Linux.", *fast),
        *_xdp(*slow),
        *_host(TCG, "QEMU without KVM.", *slow),
        *_http(*slow),
        *_bulk(*slow),
    ]
