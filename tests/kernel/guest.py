# SPDX-License-Identifier: BSD-2-Clause
"""What the guests can, and what may be missing in which: a test is skipped only
in a guest of which that is known."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

GUEST = os.environ.get("MULTISTACK_GUEST", "")
# Without BTF of its modules, or a JIT for their functions.
GUESTS_WITHOUT_XDP = ("uml", "uml-debug", "linux-kcsan")
# What is freed is in use for long, as /proc/slabinfo has it: KASAN keeps it back.
GUESTS_WITH_KASAN = ("uml-debug", "linux-debug")


def needs(there: object, what: str, missing_in: tuple[str, ...]) -> None:
    if there:
        return
    if GUEST not in missing_in:
        pytest.fail(f"{what} is missing in guest {GUEST}")
    pytest.skip(f"guest {GUEST} has no {what}")


def possible(kind: str) -> None:
    """Skips where an interface cannot be attached that way."""
    if kind == "xdp":
        there = Path("/sys/kernel/btf/multistack").exists()
        needs(there, "XDP for modules", GUESTS_WITHOUT_XDP)
