# SPDX-License-Identifier: BSD-2-Clause
"""inv bench prague: how long packets wait at a bottleneck, in the simulator."""

from __future__ import annotations

from typing import Any

from tests.bench.programs import BenchError, Programs, run_lines
from tests.bench.rows import Row, row

WAIT_GOAL_US = 1000.0
USE_GOAL = 95.0

_WORLD = (
    "Simulated, in virtual time: flows that never end, 20 s after the last began, for "
    "20 s. value: Prague with AccECN, over a bottleneck that marks what waits longer "
    "than 0.5 ms. "
)
WAITS = _WORLD + (
    "What 99 % of the packets wait at most. baseline: CUBIC, over a queue of a round "
    "trip and 32 packets that drops."
)
USE = _WORLD + (
    "Of the link's bits. baseline: CUBIC, over a queue of 1 ms that drops; with the "
    "other queue it uses all."
)


def _name(world: dict[str, Any]) -> str:
    flows = "1 flow" if world["flows"] == 1 else f"{world['flows']} flows"
    return f"{world['mbps']} Mb/s, {world['rtt_ms']} ms, {flows}"


def bench(programs: Programs, quick: bool) -> list[Row]:
    """Three worlds a scene: Prague, CUBIC with a deep queue, with a short one."""
    argv = [programs.find("sim"), "-v"]
    if quick:
        argv += ["--seeds", "12"]
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for world in run_lines([*argv, "l4s"]):
        found.setdefault(_name(world), {})[world["queue"]] = world
    if not found:
        raise BenchError("the simulator said nothing")
    waits = [
        row(
            *("prague", f"wait, {name}", of["prague"]["p99_us"], "us", WAITS),
            baseline=of["cubic"]["p99_us"],
            goal=WAIT_GOAL_US,
        )
        for name, of in found.items()
    ]
    use = [
        row(
            *("prague", f"use, {name}", of["prague"]["used"] * 100, "%", USE),
            baseline=of["cubic, 1 ms"]["used"] * 100,
            goal=USE_GOAL,
        )
        for name, of in found.items()
    ]
    return waits + use
