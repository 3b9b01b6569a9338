# SPDX-License-Identifier: BSD-2-Clause
"""Bugs on purpose: a kernel that is silent in our tests must be able to speak.

tests/kernel/modules/planted does in a guest what its parameter names; each
must be reported by the tool that is there for it.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ci import kmod
from ci.steps import BUILD, Count, Step, StepFunction
from ci.vm import guests, machine
from ci.vm.outcome import Kind

RESULTS = BUILD / "vm"


@dataclass(frozen=True)
class Boot:
    """Bugs of one boot: who must speak of them, and how the machine ends."""

    bugs: str
    tools: frozenset[str]
    kind: Kind
    append: str = ""
    timeout_s: float = 60.0


def _boot(bugs: str, tools: str, kind: Kind, append: str = "", s: float = 60.0) -> Boot:
    named = frozenset(t.strip() for t in tools.split(","))
    return Boot(bugs, named, kind, append, s)


# Lockdep falls silent with its own first report, and with KASAN's: those come
# last, and RCU's check, which is lockdep's too, has a boot of its own.
DEBUG = (
    _boot(
        "warn,ubsan,odebug,atomic,lockdep,kasan,kasan-slab,kmemleak",
        "kernel, UBSAN, ODEBUG, atomic sleep, lockdep, KASAN, kmemleak",
        "oops",
    ),
    _boot("rcu", "lockdep", "warn"),
    _boot("softlockup", "watchdog", "hang", "watchdog_thresh=3", 5.0),
    _boot(
        "hungtask",
        "hung task",
        "hang",
        "sysctl.kernel.hung_task_timeout_secs=5 hung_task_check_interval_secs=2",
        5.0,
    ),
)
PLANTED: dict[str, Sequence[Boot]] = {
    "linux-6.1": (
        _boot("warn", "kernel", "warn"),
        _boot("oops", "kernel", "oops"),
        _boot("panic", "kernel", "panic"),
        _boot("hang", "watchdog", "hang", s=5.0),
    ),
    "uml-debug": (
        _boot(
            "warn,odebug,lockdep,kasan,kasan-slab",
            "kernel, ODEBUG, lockdep, KASAN",
            "oops",
        ),
        _boot("rcu", "lockdep", "warn"),
        _boot("oops", "kernel", "oops"),
        _boot("panic", "kernel", "panic"),
    ),
    "linux-debug": DEBUG,
    "linux-kcsan": (_boot("kcsan", "KCSAN", "warn"),),
}


def _judge(step: Step, kernel: guests.Kernel, module: Path, boot: Boot) -> Count:
    """Boots once; counts each tool that spoke, and the machine's end."""
    results = RESULTS / f"planted-{kernel.name}" / boot.bugs.replace(",", "-")
    shutil.rmtree(results, ignore_errors=True)
    done = machine.run(
        kernel,
        ["insmod", module, f"kinds={boot.bugs}"],
        results=results,
        timeout_s=boot.timeout_s,
        append=boot.append,
        output=step.feed,
        beat=step.beat,
    )
    step.say(f"{boot.bugs}: {done}, {done.seconds:.1f} s")
    for report in done.reports:
        step.say(f"  {report.tool}: {report.title}")
    spoke = {report.tool for report in done.reports}
    count = Count(passed=len(boot.tools & spoke))
    for tool in sorted(boot.tools - spoke):
        count.failed.append(f"{kernel.name}: {boot.bugs}: {tool} said nothing")
    if done.kind == boot.kind:
        count.passed += 1
    else:
        count.failed.append(f"{kernel.name}: {boot.bugs}: {done}, not {boot.kind}")
    return count


def planted(name: str) -> StepFunction:
    """Every planted bug of a guest."""

    def function(step: Step) -> Count:
        if reason := machine.may_boot():
            return Count(skipped=[f"{name}: {reason}"])
        module = kmod.build_all(step, name)["planted"]
        kernel = guests.kernel(name, step.say)
        count = Count()
        for boot in PLANTED[name]:
            count += _judge(step, kernel, module, boot)
        return count

    return function
