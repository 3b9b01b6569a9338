# SPDX-License-Identifier: BSD-2-Clause
"""What of the module ran in a guest whose kernel counts it (gcov)."""

from __future__ import annotations

import json
import subprocess
from collections import defaultdict
from pathlib import Path

from ci.steps import StepFailed

# Lines of a file: whether each ran.
Lines = dict[str, dict[int, bool]]


def _one(counts: Path, sources: Path) -> Lines:
    """One object's lines; `sources` is the stage's folder."""
    notes = Path("/", *counts.parts[counts.parts.index("gcov") + 1 :])
    notes = notes.with_suffix(".gcno")
    beside = counts.with_suffix(".gcno")
    if not beside.exists():
        beside.symlink_to(notes)
    argv = ["gcov", "--json-format", "--stdout", counts.name]
    done = subprocess.run(argv, cwd=counts.parent, capture_output=True, text=True)
    if done.returncode:
        raise StepFailed(f"gcov {counts}: {done.stderr.strip()}")
    found: Lines = defaultdict(dict)
    for line in done.stdout.splitlines():
        for file in json.loads(line)["files"]:
            path = Path(file["file"])
            if not path.is_relative_to(sources):
                continue
            lines = found[str(path.relative_to(sources))]
            for entry in file["lines"]:
                number = entry["line_number"]
                lines[number] = lines.get(number, False) or entry["count"] > 0
    return found


def gather(results: Path, sources: Path) -> Lines:
    """Every object's lines, together; {} where the guest counted none."""
    total: Lines = defaultdict(dict)
    for counts in sorted((results / "gcov").rglob("*.gcda")):
        for name, lines in _one(counts, sources).items():
            for number, ran in lines.items():
                total[name][number] = total[name].get(number, False) or ran
    return total


def table(total: Lines) -> str:
    """A line for each file: its share, and the lines that did not run."""
    rows = []
    for name, lines in sorted(total.items()):
        share = 100 * sum(lines.values()) / len(lines)
        missed = [n for n, ran in sorted(lines.items()) if not ran]
        rows.append(f"{share:5.1f} %  {name:<40} {ranges(missed)}".rstrip())
    return "\n".join(rows) + "\n"


def ranges(numbers: list[int]) -> str:
    """Ascending numbers in words: "1-3 7"."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1] = [parts[-1][0], number]
        else:
            parts.append([number])
    return " ".join("-".join(map(str, part)) for part in parts)


def share(total: Lines) -> float:
    """The percentage of all lines that ran."""
    every = [ran for lines in total.values() for ran in lines.values()]
    return 100 * sum(every) / len(every) if every else 0.0
