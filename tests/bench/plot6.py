# SPDX-License-Identifier: BSD-2-Clause
"""Figure 6 of Honda et al. (CCR 2014) with our figures: requests by size."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.plot import COLOURS, MARKERS
from tests.bench.rows import Row

SIZES_KB = (1, 2, 4, 8, 16, 32)
UNITS = {
    "req/s": "requests a second",
    "req/s a core": "requests a second of the server's core",
    "req/cpu-s": "requests a second of the server's own time",
}
_CASE = re.compile(r"figure: (.+), (\d+) KB")


@dataclass(frozen=True)
class Point:
    line: str
    kb: int
    unit: str
    value: float
    row: Row


def case(line: str, kb: int) -> str:
    """How a row of the figure is called."""
    return f"figure: {line}, {kb} KB"


def points(rows: Sequence[Row]) -> list[Point]:
    """The rows that belong into the figure."""
    found = []
    for r in rows:
        m = _CASE.fullmatch(r.case)
        if m and r.unit in UNITS:
            found.append(Point(m[1], int(m[2]), r.unit, r.value, r))
    return found


def tabulate(rows: Sequence[Row], console: Console) -> None:
    """The figure as tables for people who cannot look at it now."""
    shown = points(rows)
    for unit, words in UNITS.items():
        part = [p for p in shown if p.unit == unit]
        if not part:
            continue
        sizes = sorted({p.kb for p in part})
        table = Table(title=f"http, one request a connection: {words}")
        table.title_justify = "left"
        for name in ("", *(f"{kb} KB" for kb in sizes)):
            table.add_column(name, justify="right" if name else "left")
        cell = {(p.line, p.kb): p.value for p in part}
        for line in dict.fromkeys(p.line for p in part):
            values = (cell.get((line, kb)) for kb in sizes)
            table.add_row(line, *("" if v is None else f"{v:,.0f}" for v in values))
        console.print(table)
        console.print()


def draw(rows: Sequence[Row], path: Path) -> bool:
    """Writes the figure (PNG, PDF or SVG by its name); False if the rows have
    nothing for it."""
    shown = points(rows)
    if not shown:
        return False
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    style: Any = {
        "font.size": 8,
        "font.family": "sans-serif",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.7,
        "svg.fonttype": "none",
        "pdf.fonttype": 42,
    }
    with pyplot.rc_context(style):
        figure, both = pyplot.subplots(
            1, 3, figsize=(6.9, 2.9), sharex=True, layout="constrained"
        )
        for axes, (unit, words) in zip(both, UNITS.items(), strict=True):
            title = words.replace("requests a second of", "... of")
            _panel(axes, [p for p in shown if p.unit == unit], title)
        handles, labels = both[0].get_legend_handles_labels()
        figure.legend(
            handles,
            labels,
            loc="outside upper center",
            ncols=3,
            frameon=False,
            fontsize=7.5,
            handlelength=2.2,
            columnspacing=1.4,
        )
        figure.supxlabel("file size (KB), one request a connection", fontsize=8)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=300)
        pyplot.close(figure)
    return True


def _panel(axes: Any, part: Sequence[Point], title: str) -> None:
    from matplotlib.ticker import FuncFormatter, NullFormatter

    # A server has its colour and marker, offloads a solid line.
    servers = list(dict.fromkeys(_server(p.line) for p in part))
    for line in dict.fromkeys(p.line for p in part):
        which = servers.index(_server(line))
        xs, ys = zip(
            *sorted((p.kb, p.value / 1e3) for p in part if p.line == line), strict=True
        )
        axes.plot(
            xs,
            ys,
            color=COLOURS[which % len(COLOURS)],
            marker=MARKERS[which % len(MARKERS)],
            ls=(0, (4, 2)) if "no offloads" in line else "-",
            ms=3.6,
            lw=1.3,
            mec="white",
            mew=0.5,
            label=line,
        )
    axes.set_xscale("log", base=2)
    axes.set_xticks(sorted({p.kb for p in part}))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(bottom=0)
    axes.set_ylabel("thousands")
    axes.set_title(title, loc="left", fontsize=8.5, fontweight="bold")
    axes.grid(axis="y", which="major", color="0.9", lw=0.6, zorder=0)


def _server(line: str) -> str:
    return line.split()[0].rstrip(",")
