# SPDX-License-Identifier: BSD-2-Clause
"""Rows of results, as every benchmark here gives them."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

# Of these units less is better; of all others more.
LESS_IS_BETTER = frozenset({"ns", "us", "bytes"})


@dataclass(frozen=True)
class Row:
    """One figure. baseline: what it is compared with, in the same unit and the
    same run; ratio: value over baseline; goal: the most (ns, us, bytes) or the
    least (of all others) that value may be; met: whether it is. None where there is none."""

    bench: str
    case: str
    value: float
    unit: str
    baseline: float | None
    ratio: float | None
    goal: float | None
    met: bool | None
    method: str


def row(
    bench: str,
    case: str,
    value: float,
    unit: str,
    method: str,
    *,
    baseline: float | None = None,
    goal: float | None = None,
) -> Row:
    """Fills in what follows from the rest."""
    ratio = value / baseline if baseline else None
    met = None
    if goal is not None:
        met = value <= goal if unit in LESS_IS_BETTER else value >= goal
    return Row(
        bench=bench,
        case=case,
        value=round(value, 4),
        unit=unit,
        baseline=None if baseline is None else round(baseline, 4),
        ratio=None if ratio is None else round(ratio, 4),
        goal=None if goal is None else round(goal, 4),
        met=met,
        method=method,
    )


def interleaved(
    cases: Mapping[str, Callable[[], float]], rounds: int
) -> dict[str, float]:
    """The median of each case over so many rounds, in each of which all cases
    are run one after the other: what disturbs the machine disturbs them all."""
    seen: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, measure in cases.items():
            seen[name].append(measure())
    return {name: statistics.median(values) for name, values in seen.items()}


def write(rows: Sequence[Row], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(r) for r in rows], indent=1) + "\n")


def show(rows: Sequence[Row], console: Console) -> None:
    """A table for each method, with the method under it."""
    for method in dict.fromkeys(r.method for r in rows):
        part = [r for r in rows if r.method == method]
        table = Table(title=part[0].bench, title_justify="left", caption=method)
        table.caption_justify = "left"
        table.add_column("case")
        for name in ("value", "baseline", "ratio", "goal", "met"):
            table.add_column(name, justify="right", no_wrap=True)
        for r in part:
            table.add_row(*_cells(r))
        console.print(table)
        console.print()


def _cells(r: Row) -> list[str]:
    sign = "≤" if r.unit in LESS_IS_BETTER else "≥"
    met = {None: "", True: "[green]yes[/green]", False: "[bold red]no[/bold red]"}
    return [
        r.case,
        f"{_figure(r.value)} {r.unit}",
        "" if r.baseline is None else _figure(r.baseline),
        "" if r.ratio is None else f"{r.ratio:.2f}",
        "" if r.goal is None else f"{sign} {_figure(r.goal)}",
        met[r.met],
    ]


def _figure(x: float) -> str:
    return f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.3g}" if abs(x) < 10 else f"{x:.1f}"
