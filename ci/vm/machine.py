# SPDX-License-Identifier: BSD-2-Clause
"""Boots a guest, runs a command there, and says how it went."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import IO, Protocol

from ci.vm import job, kvm, outcome, qemu, uml
from ci.vm.guests import GUESTS, Kernel, kernel
from ci.vm.outcome import Outcome
from ci.vm.qemu import KVM, TCG, TCG_ONE_THREAD, Qemu
from ci.vm.uml import Uml

POLL_S = 0.05
KVM_GUEST = "linux-6.1"
KVM_TRY_S = 15.0
# An emulator that waits for a processor while its guest measures timers breaks
# the guest, before anything of ours is there: such a boot is tried again.
BOOTS = 3
BOOT_S = 60.0
DOOMED = "APIC timer disabled due to verification failure"
LAST_WORDS_S = 30.0


class Machine(Protocol):
    process: subprocess.Popen[bytes]

    def interrupt(self) -> None: ...

    def close(self) -> None: ...


def run(
    guest: str | Kernel,
    argv: Sequence[str | Path],
    *,
    results: Path,
    modules: Sequence[Path] = (),
    timeout_s: float = 300.0,
    cpus: int | None = None,
    mem_mib: int | None = None,
    append: str = "",
    nics: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    cwd: Path = Path("/"),
    leaks: bool = True,
    stdin: bytes = b"",
    terminal: bool = False,
    output: Callable[[bytes], object] | None = None,
    beat: Callable[[], object] | None = None,
) -> Outcome:
    """Runs a command as root in a guest; blocks until the machine is gone.

    The guest sees this machine's root with all it holds, as it was when the
    guest started, and may write to it: what it writes is gone afterwards, but
    for the folder `results`, which is the same here and there. It ends up with console.log (the kernel), output.log (the
    command) and whatever the command puts there.

    modules are inserted first; a machine not done `timeout_s` (times the guest's
    slowness) after its boot is asked where it hangs, then killed. stdin: what the
    command finds on its standard input. append: more for
    the kernel's command line; nics: see qemu.nic(). terminal: the command gets
    this terminal. A boot that fails before the command's turn is tried again.
    output is called with what the command prints, as it comes;
    beat every now and then. Needs root.
    """
    name = guest if isinstance(guest, str) else guest.name
    row = GUESTS[name]
    which = kernel(guest) if isinstance(guest, str) else guest
    if which.kind == "uml" and nics:
        raise ValueError("a guest of User Mode Linux has no NICs")
    mem = mem_mib or row.mem_mib
    results = results.absolute()
    results.mkdir(parents=True, exist_ok=True)
    for old in job.FILES:
        (results / old).unlink(missing_ok=True)
    (results / job.INPUT).write_bytes(stdin)
    task = job.Job(
        argv=[str(a) for a in argv],
        results=results,
        modules=[m.absolute() for m in modules],
        env={**(env or {}), "MULTISTACK_GUEST": name},
        cwd=cwd,
        terminal=_terminal(which) if terminal else None,
        # In UML kmemleak does not look into modules, and takes for leaked what
        # only they know of.
        leaks=leaks and which.kind != "uml",
    )

    accel: Sequence[str] = ()
    if which.kind == "qemu":
        tcg = TCG_ONE_THREAD if row.one_thread else TCG
        accel = KVM if kvm.works(kvm_boots) else tcg

    def machine(work: Path) -> Machine:
        if which.kind == "uml":
            return Uml(which, task, work, mem_mib=mem, append=append)
        return Qemu(
            which,
            task,
            work,
            cpus=cpus or row.cpus,
            mem_mib=mem,
            append=append,
            nics=nics,
            accel=accel,
        )

    for boot in range(1, BOOTS + 1):
        started = time.monotonic()
        with (
            tempfile.TemporaryDirectory(prefix="multistack-vm-") as work,
            closing(machine(Path(work))) as it,
        ):
            _wait(it, task, timeout_s * row.slow, output, beat, BOOT_S * row.slow)
        if (results / job.RELEASE).exists() or boot == BOOTS:
            break
        (results / job.CONSOLE).rename(results / f"{boot}.{job.CONSOLE}")
    return _outcome(results, time.monotonic() - started, qemu.may_be_stale(accel))


def kvm_boots() -> bool:
    """Tries a stock kernel under KVM; leaves nothing behind."""
    which = kernel(KVM_GUEST)
    row = GUESTS[KVM_GUEST]
    with tempfile.TemporaryDirectory(prefix="multistack-kvm-") as work:
        results = Path(work, "results")
        results.mkdir()
        task = job.Job(["true"], results)
        machine = Qemu(
            which, task, Path(work), cpus=row.cpus, mem_mib=row.mem_mib, accel=KVM
        )
        with closing(machine):
            _wait(machine, task, KVM_TRY_S, None, None, KVM_TRY_S)
        return (results / job.STATUS).exists()


def _terminal(kernel: Kernel) -> job.Terminal:
    size = shutil.get_terminal_size()
    device = (uml if kernel.kind == "uml" else qemu).TERMINAL
    return job.Terminal(device, size.lines, size.columns)


def _wait(
    machine: Machine,
    task: job.Job,
    timeout_s: float,
    output: Callable[[bytes], object] | None,
    beat: Callable[[], object] | None,
    boot_s: float,
) -> None:
    """Waits for the end, or for a boot that fails; passes on what is printed."""
    path = task.results / job.OUTPUT
    began = task.results / job.RELEASE
    printed: IO[bytes] | None = None
    booted = asked = False
    end = time.monotonic() + boot_s
    try:
        while True:
            gone = machine.process.poll() is not None
            if not booted and began.exists():
                booted = True
                end = time.monotonic() + timeout_s
            if not booted and _doomed(task.results / job.CONSOLE):
                return
            if printed is None and path.exists():
                printed = path.open("rb")
            if printed and output and (data := printed.read()):
                output(data)
            if gone:
                return
            if task.terminal is None and time.monotonic() > end:
                if asked:
                    return
                asked = True
                end += LAST_WORDS_S
                machine.interrupt()
            if beat:
                beat()
            time.sleep(POLL_S)
    finally:
        if printed:
            printed.close()


def _doomed(console: Path) -> bool:
    """Whether a kernel that boots has lost its clock."""
    return console.exists() and DOOMED in console.read_text(errors="replace")


def _outcome(results: Path, seconds: float, stale: bool) -> Outcome:
    def text(name: str) -> str:
        path = results / name
        return path.read_text(errors="replace") if path.exists() else ""

    said = text(job.STATUS).strip()
    status = int(said) if said.isdigit() else None
    found = outcome.reports(text(job.CONSOLE), stale=stale)
    if text(job.LEAKS) and not any(r.tool == "kmemleak" for r in found):
        title = text(job.LEAKS).splitlines()[0]
        found.append(outcome.Report("leak", "kmemleak", title))
    kind = outcome.judge(status, found)
    release = text(job.RELEASE).strip()
    return Outcome(kind, status, seconds, results, found, release)


def to_stdout(data: bytes) -> None:
    """An `output` for run()."""
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def may_boot() -> str:
    """Why no machine can be had here; "" if one can."""
    if os.geteuid() != 0:
        return "machines need root"
    return ""
