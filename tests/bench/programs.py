# SPDX-License-Identifier: BSD-2-Clause
"""Where the benchmarks' programs are, and how to run them."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class BenchError(Exception):
    """A benchmark could not be run; the text says why."""


@dataclass(frozen=True)
class Programs:
    """A build directory of meson."""

    build: Path

    def find(self, name: str) -> str:
        """The path of an executable. BenchError, with the remedy."""
        carried = self.build / "bindings"  # copies that only a wheel can run
        here = sorted(
            p
            for p in self.build.rglob(name)
            if p.is_file() and os.access(p, os.X_OK) and carried not in p.parents
        )
        if not here:
            raise BenchError(f"No {name} under {self.build}: run `./inv build`.")
        return str(here[0])


def results(output: str) -> list[dict[str, Any]]:
    """The lines of JSON in a program's output."""
    return [json.loads(s) for s in output.splitlines() if s.startswith("{")]


def run_lines(argv: list[str], cpu: int | None = None) -> list[dict[str, Any]]:
    """Runs a program, on one core if asked to; the JSON it printed."""
    if cpu is not None:
        argv = ["taskset", "-c", str(cpu), *argv]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"`{' '.join(argv)}` failed: {done.stderr.strip()}")
    return results(done.stdout)
