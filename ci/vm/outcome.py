# SPDX-License-Identifier: BSD-2-Clause
"""How a machine ended, read from its exit status and its console."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Kind = Literal["ok", "failed", "warn", "leak", "hang", "oops", "panic", "emulator"]

# The worse wins where a console shows several; of what follows the emulator's
# fault, nothing is the guest's.
BADNESS: tuple[Kind, ...] = (
    *("ok", "failed", "leak", "warn", "hang", "oops", "panic", "emulator"),
)

# The guest says this on its console when the job begins and ends; complaints
# before the first are the boot's own.
BEGIN = "multistack-vm: begin"
END = "multistack-vm: end"


WORDS: dict[Kind, str] = {
    "emulator": "the emulator executed code that was no longer there"
}


@dataclass(frozen=True)
class Report:
    """A complaint of the kernel."""

    kind: Kind
    tool: str  # who complains: KASAN, lockdep, ...
    title: str  # its first line, without time and place in the log


@dataclass(frozen=True)
class Outcome:
    """What became of a run: the kernel's complaints decide over the status.

    `kind` is ok or failed by the command's exit status where the kernel was
    content; leak and warn where the machine lived and the kernel complained;
    hang, oops and panic where the machine is lost or cannot be trusted; emulator
    where it is lost, and by the emulator: see _stale_code().
    """

    kind: Kind
    status: int | None  # the command's; None: it never ended
    seconds: float  # from start to end
    results: Path  # console.log, output.log and what the command left
    reports: list[Report] = field(default_factory=list)
    release: str = ""  # as uname -r said

    @property
    def lost(self) -> bool:
        return self.status is None

    def __str__(self) -> str:
        if self.kind == "ok":
            return "ok"
        if self.kind == "failed":
            return f"exit status {self.status}"
        for report in self.reports:
            if report.kind == self.kind:
                return f"{WORDS.get(self.kind, self.kind)}: {report.title}"
        return f"{self.kind}: no answer in {self.seconds:.0f} s"


def _rule(kind: Kind, tool: str, pattern: str) -> tuple[Kind, str, re.Pattern[str]]:
    return kind, tool, re.compile(pattern)


# The first that matches names the line.
RULES = (
    _rule("oops", "KASAN", r"^BUG: KASAN: "),
    _rule("oops", "KFENCE", r"^BUG: KFENCE: "),
    _rule("warn", "KCSAN", r"^BUG: KCSAN: .*\[\w+\]"),
    _rule("hang", "watchdog", r"^(watchdog: )?BUG: (soft lockup|workqueue lockup)"),
    _rule("hang", "watchdog", r"^(NMI )?watchdog: .*(hard LOCKUP|soft lockup)"),
    _rule("hang", "hung task", r"^INFO: task .* blocked for more than"),
    _rule("hang", "RCU", r"^(rcu: )?INFO: rcu\w* .*(detected|self-detected).* stall"),
    _rule("hang", "RCU", r"^rcu: INFO: .*stall"),
    _rule("warn", "atomic sleep", r"^BUG: sleeping function called from invalid"),
    _rule("warn", "atomic sleep", r"^BUG: scheduling while atomic"),
    _rule("warn", "lockdep", r"^WARNING: (possible|inconsistent|bad unlock|held lock)"),
    _rule("warn", "lockdep", r"^WARNING: (suspicious RCU|lock held when|Nested lock)"),
    _rule("warn", "lockdep", r"^WARNING: .*(HARDIRQ|SOFTIRQ|nested lock)"),
    _rule("warn", "lockdep", r"^BUG: (held lock freed|Invalid wait|MAX_LOCK)"),
    _rule("warn", "lockdep", r"^\[ BUG: "),
    _rule("warn", "UBSAN", r"^UBSAN: "),
    _rule("warn", "ODEBUG", r"^ODEBUG: "),
    _rule("leak", "kmemleak", r"^kmemleak: [1-9]\d* new suspected memory leak"),
    _rule("leak", "kernel", r"^unregister_netdevice: waiting for "),
    _rule("leak", "kernel", r"^ref_tracker: .*(leaked|has \d+/\d+ users)"),
    _rule("leak", "slab", r"^BUG .*: Objects remaining in "),
    _rule("leak", "slab", r"^kmem_cache_destroy .*: Slab cache still has objects"),
    _rule("oops", "slab", r"^BUG [\w-]+( \(.*\))?: "),
    _rule("warn", "kernel", r"^(?:-+\[ cut here \]-+ )?WARNING: "),
    _rule("warn", "kernel", r"^BUG: Bad (rss|page) "),
    _rule("oops", "kernel", r"^BUG: "),
    _rule("oops", "kernel", r"^(general protection fault|Oops: |invalid opcode: )"),
    _rule("oops", "kernel", r"^(kernel BUG at|Internal error|double fault)"),
    _rule("oops", "kernel", r"^\w[\w -]*: [0-9a-f]{4} \[#\d+\]"),
    _rule("hang", "watchdog", r"^Kernel panic - not syncing: NMI"),  # ours
    _rule(
        "oops", "kernel", r"^Kernel panic - not syncing: (Fatal exception|Kernel mode)"
    ),
    _rule("panic", "kernel", r"^Kernel panic - not syncing"),
)

# The kernel has races of its own, which it lives with: not of a module's code.
IGNORED = re.compile(r"^BUG: KCSAN: (?!.*\[\w+\])")

_STAMP = re.compile(r"^(?:<\d+>)?\[\s*\d+\.\d+\](?:\[\s*[TC]\d+\])? ?")


def messages(console: str, begin: str = BEGIN) -> Iterator[str]:
    """The kernel's lines after `begin` without their time; all if it is not there."""
    _, found, after = console.partition(begin)
    for line in (after if found else console).splitlines():
        yield _STAMP.sub("", line.strip("\r\0")).strip()


# A breakpoint that the kernel does not know, at a symbol that is not a module's,
# and the code there: %42ph <%02x> %21ph, the marked byte behind the breakpoint.
_INT3 = re.compile(r"^(?:Oops: )?int3: 0000 \[#1\]")
_OWN_RIP = re.compile(r"^RIP: 0010:[\w.]+\+0x[0-9a-f]+/0x[0-9a-f]+$")
_CODE = re.compile(
    r"^Code: (?:[0-9a-f]{2} ){41}([0-9a-f]{2}) <([0-9a-f]{2})>((?: [0-9a-f]{2}){21})$"
)
# What patching leaves of x86 code: nops of 5 and 2 bytes, jumps, calls.
_PATCHED = re.compile(r"^(0f 1f 44 00 00|66 90|eb \w\w|e[89]( \w\w){4}) ")
_OOPS_HEAD_LINES = 12


def _stale_code(lines: Sequence[str]) -> bool:
    """Whether an oops, which these lines begin with, is of an emulator that
    executed code no longer there.

    Linux patches its code while it runs (static keys, tracing): it writes an int3
    over the first byte, the rest, and then the first byte, and between them waits
    until every processor has executed what serialises it. QEMU before 8.1, with a
    thread for each processor, may keep a translation made while the page was
    written: the int3 is executed when it is long gone, and Linux since 6.3 dies
    of one that is nobody's (up to then it looked at the byte and stepped back).
    Fixed by QEMU's deba78709ae8 "accel/tcg: Always lock pages before translation";
    Linux's 8e791f7eba4c "x86/kprobes: Drop removed INT3 handling code".

    The sign is that memory, which the oops shows, has no int3 where one was
    executed, but an instruction of those that patching leaves, in code of the
    kernel itself. Code of ours that ran into an int3 would still show it.
    """
    if not _INT3.search(lines[0]):
        return False
    rip = next((line for line in lines if line.startswith("RIP: ")), "")
    code = next((line for line in lines if line.startswith("Code: ")), "")
    shown = _CODE.search(code)
    there = f"{shown[1]} {shown[2]}{shown[3]}" if shown else ""
    return bool(_OWN_RIP.search(rip) and _PATCHED.search(there))


def reports(console: str, begin: str = BEGIN, stale: bool = False) -> list[Report]:
    """Every complaint on a console, in order, none twice in a row.

    stale: the machine was an emulator that may execute code no longer there; it
    is held responsible only for what nothing else was complained of before.
    """
    found: list[Report] = []
    lines = list(messages(console, begin))
    for i, line in enumerate(lines):
        if IGNORED.search(line):
            continue
        if stale and not found and _stale_code(lines[i : i + _OOPS_HEAD_LINES]):
            found.append(Report("emulator", "QEMU", line))
            continue
        for kind, tool, pattern in RULES:
            if pattern.search(line):
                report = Report(kind, tool, line)
                if not found or found[-1] != report:
                    found.append(report)
                break
    return found


DEATHS: tuple[Kind, ...] = ("oops", "panic", "emulator")


def judge(status: int | None, found: list[Report]) -> Kind:
    """The kind of an outcome: the worst there is to say."""
    ended: Kind = "hang" if status is None else "failed" if status else "ok"
    if status is None and any(r.kind in DEATHS for r in found):
        ended = "ok"  # a machine that died did not hang
    kinds = [ended, *(r.kind for r in found)]
    return max(kinds, key=BADNESS.index)
