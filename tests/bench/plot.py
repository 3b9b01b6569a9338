# SPDX-License-Identifier: BSD-2-Clause
"""Figure 4 of Honda et al. (CCR 2014) with our figures: rate by frame size."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.rows import Row

# What surrounds a frame on the wire: CRC, preamble, gap between frames.
WIRE_BYTES = 4 + 8 + 12
# Okabe and Ito's colours, which the colour-blind can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v")
LINES = {10: (0, (1, 1.5)), 100: (0, (5, 2))}

_CASE = re.compile(r"(transmit|receive), (\d+) B, (\d+) ports?, (\d+) cores?")


@dataclass(frozen=True)
class Point:
    direction: str
    size: int  # bytes, without CRC
    ports: int
    cores: int
    mpps: float
    row: Row


def case(direction: str, size: int, ports: int, cores: int) -> str:
    """How a row of the figure is called."""
    many = ("" if ports == 1 else "s", "" if cores == 1 else "s")
    return f"{direction}, {size} B, {ports} port{many[0]}, {cores} core{many[1]}"


def points(rows: Sequence[Row]) -> list[Point]:
    """The rows that belong into the figure."""
    found = []
    for r in rows:
        m = _CASE.fullmatch(r.case) if r.unit == "Mpps" else None
        if m:
            size, ports, cores = (int(x) for x in m.groups()[1:])
            found.append(Point(m[1], size, ports, cores, r.value, r))
    return found


def tabulate(rows: Sequence[Row], console: Console) -> None:
    """The figure as a table for people who cannot look at it now."""
    shown = points(rows)
    if not shown:
        return
    sizes = sorted({p.size for p in shown})
    caption = shown[0].row.method
    table = Table(title="switch: Mpps", title_justify="left", caption=caption)
    table.caption_justify = "left"
    for name in ("", "cores", "ports", *(f"{s} B" for s in sizes)):
        table.add_column(name, justify="right" if name else "left")
    cell = {(p.direction, p.cores, p.ports, p.size): p.mpps for p in shown}
    for line in dict.fromkeys((p.direction, p.cores, p.ports) for p in shown):
        values = (cell.get((*line, s)) for s in sizes)
        figures = ("" if v is None else f"{v:.2f}" for v in values)
        table.add_row(line[0], str(line[1]), f"{line[2]:,}", *figures)
    lines = [f"{line_rate(10, s):.2f}" for s in sizes]
    table.add_row("10 Gb/s Ethernet", "", "", *lines, style="dim")
    console.print(table)
    console.print()


def line_rate(gbps: float, size: int) -> float:
    """Frames of so many bytes in a second on such a wire, in millions."""
    return gbps * 1e3 / (8 * (size + WIRE_BYTES))


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
    cores = sorted({p.cores for p in shown})
    with pyplot.rc_context(style):
        figure, grid = pyplot.subplots(
            len(cores),
            2,
            figsize=(6.9, 2.5 * len(cores) + 0.5),
            sharex=True,
            sharey=True,
            squeeze=False,
            layout="constrained",
        )
        for axes_row, n in zip(grid, cores, strict=True):
            for axes, direction in zip(axes_row, ("transmit", "receive"), strict=True):
                part = [p for p in shown if (p.cores, p.direction) == (n, direction)]
                _panel(axes, part, f"{direction.capitalize()}, {n} core{'s'[: n > 1]}")
        _legend(figure, grid[0][0])
        figure.supxlabel("frame size without CRC (bytes)", fontsize=8)
        figure.supylabel("million frames a second", fontsize=8)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=300)
        pyplot.close(figure)
    return True


def _panel(axes: Any, part: Sequence[Point], title: str) -> None:
    from matplotlib.ticker import FuncFormatter, NullFormatter

    sizes = sorted({p.size for p in part}) or [60, 1514]
    for gbps, dashes in LINES.items():
        span = range(sizes[0], sizes[-1] + 1)
        rate = [line_rate(gbps, s) for s in span]
        axes.plot(span, rate, color="0.45", lw=0.9, ls=dashes, zorder=1)
        axes.annotate(
            f"{gbps} Gb/s",
            (span[0], rate[0]) if gbps > 10 else (span[-1], rate[-1]),
            textcoords="offset points",
            xytext=(5, 1) if gbps > 10 else (-10, 2),
            ha="left" if gbps > 10 else "right",
            va="bottom" if gbps > 10 else "top",
            fontsize=6.5,
            color="0.35",
        )
    for i, ports in enumerate(sorted({p.ports for p in part})):
        line = sorted((p.size, p.mpps) for p in part if p.ports == ports)
        axes.plot(
            *zip(*line, strict=True),
            color=COLOURS[i % len(COLOURS)],
            marker=MARKERS[i % len(MARKERS)],
            ms=3.6,
            lw=1.3,
            mec="white",
            mew=0.5,
            label=f"{ports:,} port{'s'[: ports > 1]}",
            zorder=3,
        )
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(sizes)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    axes.set_title(title, loc="left", fontsize=8.5, fontweight="bold")
    axes.grid(axis="y", which="major", color="0.9", lw=0.6, zorder=0)


def _legend(figure: Any, axes: Any) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside upper right",
        ncols=len(labels),
        frameon=False,
        title="active ports",
        title_fontsize=7,
        fontsize=7.5,
        handlelength=1.8,
        columnspacing=1.4,
    )
