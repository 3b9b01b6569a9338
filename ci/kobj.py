# SPDX-License-Identifier: BSD-2-Clause
"""Compiles the unchanged core as kernel code, for Linux 6.1.

Nothing is loaded: this shows that the seam (sys/core/ms_os.h) is one that this
kernel can fill, and that the core asks for nothing else. FreeBSD: ci/freebsd.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

from ci import kmod
from ci.steps import ROOT, Count, Step, StepFailed, StepFunction

SYS = ROOT / "sys"

# What the core's objects may leave open besides ms_*: the C library's three
# and what the seam's inline functions and the compiler's flags expand to.
LINUX_SEAM = (
    *("memcpy", "memset", "memcmp", "memmove", "fortify_panic"),
    *("mutex_*", "__mutex_init", "_raw_spin_*", "__raw_spin_lock_init"),
    *("__local_bh_enable_ip", "__fentry__", "__x86_return_thunk"),
    *("__x86_indirect_thunk_*", "__stack_chk_fail", "__warn_printk"),
)


def _undefined(step: Step, obj: Path) -> set[str]:
    """Undefined symbols of an object, weak ones left out."""
    text = step.ask(["llvm-nm-16", "--undefined-only", "--no-weak", obj])
    return {m[1] for m in re.finditer(r"^\s+U (\S+)$", text, re.MULTILINE)}


def _only_the_seam(
    step: Step, objects: Iterable[Path], system: str, allowed: tuple[str, ...]
) -> None:
    """Raises for a core object that needs more than the seam gives."""
    headers = (SYS / "core/ms_os.h", SYS / "os" / system / "ms_os_impl.h")
    text = "".join(h.read_text() for h in headers)
    seam = set(re.findall(r"\bms_os_\w+", text))
    objects = list(objects)
    text = step.ask(["llvm-nm-16", "--defined-only", "-g", *objects])
    defined = set(re.findall(r"^\S+ [A-Z] (\S+)$", text, re.MULTILINE))
    for obj in objects:
        for name in sorted(_undefined(step, obj) - seam - defined):
            if not any(fnmatchcase(name, p) for p in allowed):
                raise StepFailed(f"{obj.name} needs {name}: not in ms_os.h")


# ---- Linux -------------------------------------------------------------------


def linux(step: Step) -> Count:
    """The module under sparse's eyes, and what its core asks for."""
    stage = kmod.checked(step)
    objects = sorted((stage / "sys/core").glob("*.o"))
    _only_the_seam(step, objects, "linux", LINUX_SEAM)
    return Count(passed=len(objects))


STEPS: list[tuple[str, StepFunction]] = [
    ("kernel objects, Linux", linux),
    *kmod.STEPS,
]
