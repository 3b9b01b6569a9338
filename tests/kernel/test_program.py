# SPDX-License-Identifier: BSD-2-Clause
"""kernel-test, the portable C program: each of its cases is a test here."""

from __future__ import annotations

import functools
import os
import re
import subprocess
from pathlib import Path

import pytest

PROGRAM = Path(os.environ["MULTISTACK_BUILD"]) / "tests" / "kernel" / "kernel-test"
LONG_S = 600  # of each hostile case; scribbling is asked for ten minutes
_RESULT = re.compile(r"^(not )?ok \d+ - (.*?)( # SKIP)? # \d+ ms$")


def names() -> list[str]:
    done = subprocess.run([PROGRAM, "-l"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@functools.cache
def results() -> dict[str, tuple[str, str]]:
    """By case: ok, failed or skipped, and what was said."""
    done = subprocess.run([PROGRAM], stdout=subprocess.PIPE, text=True)
    found: dict[str, tuple[str, str]] = {}
    said: list[str] = []
    for line in done.stdout.splitlines():
        match = _RESULT.match(line)
        if match:
            what = "failed" if match[1] else "skipped" if match[3] else "ok"
            found[match[2]] = (what, "\n".join(said))
            said = []
        else:
            said.append(line.removeprefix("# "))
    return found


@pytest.mark.parametrize("name", names())
def test_case(name: str) -> None:
    what, said = results().get(name, ("failed", "it did not get that far"))
    if what == "skipped":
        pytest.skip(said.removeprefix("skip: "))
    assert what == "ok", said
    print(said)


HOSTILE = [
    "scribbling beside a neighbour",
    "commands of chance",
    "a storm of users",
    "without memory",
    "owners killed",
    "detached under traffic",
]


@pytest.mark.long
@pytest.mark.parametrize("name", HOSTILE)
def test_for_long(name: str) -> None:
    seconds = LONG_S if name.startswith("scribbling") else LONG_S // 5
    subprocess.run([PROGRAM, "-t", str(seconds), name], check=True)
