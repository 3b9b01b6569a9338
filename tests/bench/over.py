# SPDX-License-Identifier: BSD-2-Clause
"""The table of `inv bench http`: a server over another, by size, a line each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from tests.bench.rows import Row

# What is measured: the end of a row's case, and the column's name.
WHAT = {
    "per_s": ("", "req/s"),
    "per_core_s": ("", "a core"),
    "per_cpu_s": ("", "cpu-s"),
    "half_us": (", half within", "50%, us"),
    "most_us": (", 99 % within", "99%, us"),
}
_COLUMNS = {"req/s": "req/s", "req/s a core": "a core", "req/cpu-s": "cpu-s"}
_CASE = re.compile(r"(.+), (\d+) KB(, half within|, 99 % within)?")


@dataclass(frozen=True)
class Point:
    line: str
    kb: int
    column: str
    row: Row


def case(line: str, kb: int, what: str) -> str:
    """How a row of the table is called."""
    return f"{line}, {kb} KB{WHAT[what][0]}"


def points(rows: Sequence[Row]) -> list[Point]:
    """The rows that belong into the table."""
    found = []
    for r in rows:
        m = _CASE.fullmatch(r.case) if r.bench == "http" and r.baseline else None
        if m:
            ends = {end: name for end, name in WHAT.values() if end}
            column = ends[m[3]] if m[3] else _COLUMNS[r.unit]
            found.append(Point(m[1], int(m[2]), column, r))
    return found


def tabulate(rows: Sequence[Row], console: Console) -> None:
    """A table for each server; beside each figure what it is over the other's.
    Ratios that have a goal are green or red."""
    shown = points(rows)
    for line in dict.fromkeys(p.line for p in shown):
        part = [p for p in shown if p.line == line]
        columns = list(dict.fromkeys(p.column for p in part))
        table = Table(title=f"{line}, over nginx", title_justify="left")
        table.add_column("", no_wrap=True)
        for name in columns:
            table.add_column(name, justify="right", no_wrap=True)
            table.add_column("ratio", justify="right", no_wrap=True)
        for kb in dict.fromkeys(p.kb for p in part):
            cells = {p.column: p.row for p in part if p.kb == kb}
            goals = (
                r.goal / r.baseline for r in cells.values() if r.goal and r.baseline
            )
            size = f"{kb} KB (goal {next(goals):g})"
            table.add_row(size, *(t for c in columns for t in _cells(cells[c])))
        console.print(table)
        console.print()
    if shown:
        console.print(shown[0].row.method)
        console.print()


def _cells(r: Row) -> tuple[str, str]:
    colour = {None: "none", True: "green", False: "bold red"}[r.met]
    return f"{r.value:,.0f}", f"[{colour}]{r.ratio:.2f}[/{colour}]"
