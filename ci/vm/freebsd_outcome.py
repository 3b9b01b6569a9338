# SPDX-License-Identifier: BSD-2-Clause
"""What FreeBSD's console says of how a run ended."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ci.vm.outcome import BADNESS, Kind, Report

# What the driver has the guest's shell say around the run.
BEGIN = "multistack-vm: begin"
END = "multistack-vm: end"

# (kind, who complains, pattern); the first that matches names the line.
_RULES: tuple[tuple[Kind, str, re.Pattern[str]], ...] = tuple(
    (kind, tool, re.compile(pattern))  # type: ignore[misc]
    for kind, tool, pattern in (
        ("panic", "kernel", r"^panic: "),
        ("oops", "kernel", r"^Fatal (double fault|trap \d+)"),
        ("panic", "kernel", r"^KDB: enter: (?!Break|manual)"),
        ("warn", "WITNESS", r"^lock order reversal"),
        ("warn", "WITNESS", r"with the following non-sleepable locks held"),
        ("warn", "WITNESS", r"^Kernel page fault with the following"),
        ("warn", "WITNESS", r"^(WITNESS|witness_\w+): "),
        ("warn", "INVARIANTS", r"^KASSERT failed: "),
        ("warn", "kernel", r"^Sleeping thread .* owns a non-sleepable lock"),
        ("warn", "UMA", r"^(Duplicate free of|Memory modified after free)"),
        ("warn", "kernel", r"^multistack: .*: not so: "),
        ("leak", "malloc", r"^Warning: memory type \S+ leaked memory on destroy"),
        # Others' are the kernel's: 10.4 says it of each vnet that ends.
        ("leak", "UMA", r"^Freed UMA keg \((ms_|multistack)"),
        ("leak", "kernel", r"^(interface|vnet) .* (leaked|still has) "),
    )
)
# Complaints that stock kernels have of themselves too; ours name us.
_OWN_ONLY = ("lock order reversal",)
_NEAR = 40  # lines of a complaint, with its backtrace, up to the next result
_RESULT = re.compile(r"^(not ok|ok|#) ")
_OURS = re.compile(r"\bmultistack\b(?!: version)|\bms_\w+\+0x")

PANIC = re.compile(r"(?m)^(panic: |Fatal (double fault|trap \d+)|db> )")


def during(console: str) -> list[str]:
    """The lines from the begin of the run on; all if it never began."""
    _, found, after = console.partition(BEGIN)
    return [line.strip("\r\0") for line in (after if found else console).splitlines()]


def reports(console: str) -> list[Report]:
    """Every complaint of the kernel during the run, none twice in a row."""
    lines = during(console)
    found: list[Report] = []
    for i, line in enumerate(lines):
        for kind, tool, pattern in _RULES:
            if not pattern.search(line):
                continue
            if line.startswith(_OWN_ONLY) and not _is_ours(lines[i : i + _NEAR]):
                break
            report = Report(kind, tool, line)
            if not found or found[-1] != report:
                found.append(report)
            break
    return found


def _is_ours(lines: Sequence[str]) -> bool:
    for line in lines:
        if _RESULT.match(line):
            return False
        if _OURS.search(line):
            return True
    return False


def judge(status: int | None, found: Sequence[Report]) -> Kind:
    """The worst there is to say; a machine that panicked did not hang."""
    ended: Kind = "hang" if status is None else "failed" if status else "ok"
    if status is None and any(r.kind in ("oops", "panic") for r in found):
        ended = "ok"
    return max([ended, *(r.kind for r in found)], key=BADNESS.index)
