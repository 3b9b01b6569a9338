# SPDX-License-Identifier: BSD-2-Clause
"""inv bench: measures, compares with the goals, writes rows, draws.

A goal that is missed is shown as such and is no error: what a busy or slow
machine gives is a figure too.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from demo.world import WorldError
from tests.bench import (
    http,
    kernel,
    load,
    machine,
    mu,
    over,
    plot,
    plot6,
    prague,
    python,
    switch,
    utcp,
    wires,
)
from tests.bench.programs import BenchError, Programs
from tests.bench.rows import Row, show, write

ROOT = Path(__file__).resolve().parents[2]

BENCHES: dict[str, Callable[[Programs, bool], list[Row]]] = {
    "switch": switch.bench,
    "daemon": wires.daemon,
    "veth": wires.veth,
    "http": http.bench,
    "mu": mu.bench,
    "python": python.bench,
    "load": load.bench,
    "bulk": utcp.bulk,
    "connections": utcp.connections,
    "prague": prague.bench,
    "kernel": kernel.bench,
}


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="inv bench", description=__doc__)
    parser.add_argument("name", choices=[*BENCHES, "all"])
    parser.add_argument("--quick", action="store_true", help="short and rough")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows")
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw Figure 4, of http 6"
    )
    build = ROOT / "build" / "plain"
    parser.add_argument("--build", type=Path, default=build, metavar="DIR")
    return parser.parse_args(argv)


def _draw(rows: list[Row], path: Path) -> bool:
    """Figure 4, Figure 6, or both: then the latter beside the former."""
    four = plot.draw(rows, path)
    beside = path.with_stem(f"{path.stem}-http") if four else path
    return plot6.draw(rows, beside) or four


def main(argv: list[str] | None = None) -> int:
    args = _arguments(argv)
    console = Console(width=None if sys.stdout.isatty() else 110, highlight=False)
    console.print(machine.describe())
    console.print()
    rows: list[Row] = []
    for name in BENCHES if args.name == "all" else [args.name]:
        try:
            with console.status(f"measuring: {name}"):
                found = BENCHES[name](Programs(args.build), args.quick)
        except (BenchError, WorldError) as e:
            console.print(f"[bold red]{name}[/bold red]: {e}", markup=True)
            return 1
        drawn = {id(p.row) for p in plot.points(found)}
        drawn |= {id(p.row) for p in plot6.points(found)}
        drawn |= {id(p.row) for p in over.points(found)}
        show([r for r in found if id(r) not in drawn], console)
        plot.tabulate(found, console)
        plot6.tabulate(found, console)
        over.tabulate(found, console)
        rows += found
    if args.json:
        write(rows, args.json)
    if args.plot and not _draw(rows, args.plot):
        console.print(f"{args.plot}: only `switch` and `http` have what to draw.")
        return 1
    goals = [r for r in rows if r.met is not None]
    console.print(f"{sum(bool(r.met) for r in goals)} of {len(goals)} goals met.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
