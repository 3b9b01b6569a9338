# SPDX-License-Identifier: BSD-2-Clause
"""inv bench switch: the switch alone, on a memory pair."""

from __future__ import annotations

import os
import statistics
import subprocess
from collections.abc import Iterator
from typing import Any

from tests.bench.plot import case
from tests.bench.programs import BenchError, Programs, results, run_lines
from tests.bench.rows import Row, row

TUPLES = 10_000
HUNDRED, MILLION = 100, 1_000_000
SIZES = (60, 124, 252, 508, 1020, 1514)
PORTS = (1, 64, 254, 4096)
LINE_RATE = 14.88  # million frames of 64 B a second on 10 Gb/s

METHOD = (
    "One core, memory pair, no NIC and no client: batches of 256 frames with random "
    "tuples out of so many; IP checksum verified, tuple looked up, frame copied "
    "into a receive ring. Time per frame. Baseline: the same frames copied in the "
    "same order into the same rings without parse and look-up (`bare copy`), "
    "interleaved with it in one process. Median of rounds. 64 B is 60 without CRC."
)
TX_METHOD = (
    "As above, in the other direction: a port's frames are snapshot, validated "
    "(source tuple looked up among 10,000, headers, MAC), copied and handed to the "
    "wire. Baseline: the same frames copied without validation."
)
SCALE_METHOD = (
    "As above with 64 ports; the baseline is the same run with a hundred tuples "
    "instead of a million. Interleaved, median of rounds."
)
FIGURE_METHOD = (
    "Figure 4: as above, by frame size and active ports; two cores: one process "
    "on each at the same time, rates added."
)


class Program:
    """bench_switch, pinned to one core."""

    def __init__(self, programs: Programs, quick: bool) -> None:
        self.path = programs.find("bench_switch")
        self.flags = ["--quick"] if quick else []
        self.cores = sorted(os.sched_getaffinity(0))

    def argv(self, direction: str, size: int, ports: int, tuples: int) -> list[str]:
        return [
            *(self.path, "--dir", direction, "--size", str(size)),
            *("--ports", str(ports), "--tuples", str(tuples), *self.flags),
        ]

    def ns(
        self, direction: str, size: int, ports: int, tuples: int
    ) -> tuple[float, float]:
        """Per frame: through the switch, and copied bare."""
        lines = run_lines(self.argv(direction, size, ports, tuples), self.cores[-1])
        return _value(lines, "switch", "ns"), _value(lines, "copy", "ns")

    def rate(self, cores: int, direction: str, size: int, ports: int) -> float:
        """Mpps of as many processes as cores, at the same time."""
        runs = [
            subprocess.Popen(
                [
                    *("taskset", "-c", str(core)),
                    *self.argv(direction, size, ports, max(ports, TUPLES)),
                ],
                stdout=subprocess.PIPE,
                text=True,
            )
            for core in self.cores[-cores:]
        ]
        total = 0.0
        for r in runs:
            out, _ = r.communicate()
            if r.returncode:
                raise BenchError(f"{self.path} failed with status {r.returncode}")
            total += _value(results(out), "switch", "mpps")
        return total


def _value(lines: list[dict[str, Any]], name: str, key: str) -> float:
    found = [float(x[key]) for x in lines if x["case"] == name]
    if not found:
        raise BenchError(f"bench_switch said nothing about '{name}'")
    return statistics.median(found)


def bench(programs: Programs, quick: bool) -> list[Row]:
    """The table that the switch must reach, and Figure 4."""
    program = Program(programs, quick)
    return [*_table(program), *_scale(program, 3 if quick else 5), *_figure(program)]


def _table(program: Program) -> Iterator[Row]:
    for ports in (1, 8, 64, 254, 1024, 4096):
        ns, copy = program.ns("rx", 60, ports, TUPLES)
        goal = copy + (15 if ports <= 64 else 35)
        what = f"{ports:,} port{'s'[: ports > 1]}"
        yield row(
            *("switch", f"64 B, {what}", ns, "ns", METHOD), baseline=copy, goal=goal
        )
        if ports <= 254:
            mpps = 1e3 / ns
            yield row(
                *("switch", f"64 B, {what}, rate", mpps, "Mpps", METHOD),
                baseline=1e3 / copy,
                goal=LINE_RATE,
            )
    for ports in (64, 254, 1024):
        ns, copy = program.ns("rx", 1514, ports, TUPLES)
        case_ = f"1500 B, {ports:,} ports"
        yield row(*("switch", case_, ns, "ns", METHOD), baseline=copy, goal=1.15 * copy)
    ns, copy = program.ns("tx", 60, 64, TUPLES)
    yield row(
        *("switch", "transmit validation, 64 B", ns, "ns", TX_METHOD),
        baseline=copy,
        goal=copy + 15,
    )


def _scale(program: Program, rounds: int) -> Iterator[Row]:
    few: list[float] = []
    many: list[float] = []
    for _ in range(rounds):
        few.append(program.ns("rx", 60, 64, HUNDRED)[0])
        many.append(program.ns("rx", 60, 64, MILLION)[0])
    case_ = "64 B, a million tuples over a hundred"
    value, base = statistics.median(many), statistics.median(few)
    yield row(
        *("switch", case_, value, "ns", SCALE_METHOD), baseline=base, goal=1.8 * base
    )


def _figure(program: Program) -> Iterator[Row]:
    for cores in (1, 2)[: len(program.cores)]:
        for direction, name in (("tx", "transmit"), ("rx", "receive")):
            for ports in PORTS:
                for size in SIZES:
                    yield row(
                        "switch",
                        case(name, size, ports, cores),
                        program.rate(cores, direction, size, ports),
                        "Mpps",
                        FIGURE_METHOD,
                    )
