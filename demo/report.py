# SPDX-License-Identifier: BSD-2-Clause
"""What the demo says: lines as it goes, tables at the end, JSON for machines."""

from __future__ import annotations

import json
import sys
import textwrap
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from demo.cast import WEB
from demo.traffic import Measured

LINE = "\n      "


@dataclass(frozen=True)
class Check:
    """One promise, and whether it was kept."""

    name: str
    ok: bool
    detail: str


@dataclass
class Report:
    quiet: bool = False
    checks: list[Check] = field(default_factory=list)
    measured: list[Measured] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        width = None if sys.stdout.isatty() else 100
        self.console = Console(width=width, highlight=False, quiet=self.quiet)

    def title(self, text: str) -> None:
        self.console.print(f"\n[bold]{escape(text)}[/bold]")

    def say(self, text: str) -> None:
        self.console.print(f"  [dim]{escape(text)}[/dim]")

    def warn(self, text: str) -> None:
        self.console.print(f"  [yellow]! {escape(text)}[/yellow]")

    def check(self, name: str, ok: bool, detail: str = "") -> bool:
        """Records a promise; the line says it, the detail shows it."""
        self.checks.append(Check(name, ok, detail))
        mark = "[green]✓[/green]" if ok else "[bold red]✗[/bold red]"
        self.console.print(f"  {mark} {escape(name)}", end="")
        fits = len(name) + len(detail) + 7 <= self.console.width
        for line in detail.splitlines() if fits else self._folded(detail):
            self.console.print(
                f"{'  ' if fits else LINE}[dim]{escape(line)}[/dim]", end=""
            )
        self.console.print()
        return ok

    def _folded(self, text: str) -> list[str]:
        width = self.console.width - 7
        return [s for line in text.splitlines() for s in textwrap.wrap(line, width)]

    def broken(self) -> list[Check]:
        return [c for c in self.checks if not c.ok]

    def speed_table(self) -> None:
        table = Table(title="What the client measured", title_justify="left")
        for name in ("who answered", "asked", "answered", "a second", "median", "99 %"):
            table.add_column(
                name, justify="left" if name == "who answered" else "right"
            )
        for m in self.measured:
            table.add_row(
                m.what,
                f"{m.asked:,}",
                f"{m.answered:,}",
                f"{m.rate:,.0f}",
                f"{m.median_us:,.0f} µs",
                f"{m.p99_us:,.0f} µs",
            )
        self.console.print()
        self.console.print(table)

    def port_table(self, ports: list[dict[str, Any]], pages: int) -> None:
        """Who received what. ports: label, user, claims, counters; pages: of
        the web server."""
        table = Table(title="Who received what on one address", title_justify="left")
        for name in ("stack", "user", "claims"):
            table.add_column(name)
        for name in ("received", "sent", "wake-ups", "dropped"):
            table.add_column(name, justify="right")
        for p in ports:
            c = p["counters"]
            drops = sum(v for k, v in c.items() if k.startswith("drop_"))
            table.add_row(
                p["label"],
                str(p["user"]),
                p["claims"],
                f"{c.get('rx_frames', 0):,}",
                f"{c.get('tx_frames', 0):,}",
                f"{c.get('rx_wakeups', 0):,}",
                f"{drops:,}",
            )
        table.add_row(
            "host", "", f"tcp {WEB}, and all else", f"{pages:,} pages", "", "", ""
        )
        self.console.print()
        self.console.print(table)

    def drop_table(self, drops: dict[str, int], meaning: dict[str, str]) -> None:
        table = Table(title="Dropped, by reason", title_justify="left")
        table.add_column("counter")
        table.add_column("frames", justify="right")
        table.add_column("meaning")
        for name, n in drops.items():
            table.add_row(name, f"{n:,}", meaning.get(name, ""))
        if not drops:
            table.add_row("none", "0", "")
        self.console.print()
        self.console.print(table)

    def write(self, path: Path) -> None:
        path.write_text(
            json.dumps(
                {
                    "ok": not self.broken(),
                    "checks": [asdict(c) for c in self.checks],
                    "measured": [asdict(m) for m in self.measured],
                    **self.facts,
                },
                indent=2,
            )
            + "\n"
        )
