# SPDX-License-Identifier: BSD-2-Clause
"""A guest under QEMU."""

from __future__ import annotations

import contextlib
import functools
import json
import re
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from ci.vm import initramfs, tsc
from ci.vm.guests import Kernel
from ci.vm.job import CONSOLE, Job, script
from ci.vm.share import DIE_TOGETHER, Share

QEMU = "qemu-system-x86_64"
TERMINAL = "/dev/ttyS1"

# Under TCG: QEMU 7.2's cmpxchg16b makes 6.12 guests crash at random, and with
# erms and fsrm memcpy crawls.
TCG = ("-accel", "tcg,thread=multi", "-cpu", "max,cx16=off,erms=off,fsrm=off")
# For kernels that patch code which another processor may be running: with a
# thread for each processor, QEMU before 8.1 shows them an int3 that is gone already
# (outcome.py names the commit), and 7.x the most.
TCG_ONE_THREAD = ("-accel", "tcg,thread=single", *TCG[2:])
FRESH_SINCE = (8, 1)
KVM = ("-accel", "kvm", "-cpu", "host")

# loglevel=5: warnings are shown. A panic reboots, which ends QEMU. An NMI from
# outside makes a guest that hangs tell where its processors are. The watchdogs
# know that an emulated processor may have to wait for a real one.
COMMAND_LINE = (
    "console=ttyS0 loglevel=5 panic=-1 panic_print=0x48 oops=panic "
    "unknown_nmi_panic=1 mitigations=off nokaslr audit=0 no_timer_check "
    "random.trust_cpu=on kasan_multi_shot kcsan.early_enable=1 watchdog_thresh=30 "
    "rcupdate.rcu_cpu_stall_timeout=60"
)


@functools.cache
def version() -> tuple[int, int]:
    """QEMU's, as (8, 1); (0, 0) if it does not tell."""
    said = subprocess.run([QEMU, "--version"], capture_output=True, text=True).stdout
    found = re.search(r"version (\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def may_be_stale(accel: Sequence[str]) -> bool:
    """Whether this emulator may execute code that is no longer there."""
    return accel == TCG and (0, 0) < version() < FRESH_SINCE


def nic(number: int, text: str) -> list[str]:
    """QEMU's options for "DRIVER[,hub=N][,OPTION...]"; hubs join their NICs."""
    driver, *options = text.split(",")
    hub = "0"
    for option in list(options):
        if option.startswith("hub="):
            hub = option.removeprefix("hub=")
            options.remove(option)
    mac = f"mac=52:54:00:4d:53:{number:02x}"
    device = ",".join([driver, f"netdev=net{number}", mac, *options])
    return ["-netdev", f"hubport,id=net{number},hubid={hub}", "-device", device]


def inject_nmi(monitor: Path) -> None:
    """By QEMU's monitor, at this Unix socket; nothing if it does not answer."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as s:
        s.settimeout(2.0)
        s.connect(str(monitor))
        with s.makefile("rw") as lines:
            lines.readline()  # its greeting
            for command in ("qmp_capabilities", "inject-nmi"):
                lines.write(json.dumps({"execute": command}) + "\n")
                lines.flush()
                lines.readline()


class Qemu:
    """One boot; the same methods as Uml has."""

    def __init__(
        self,
        kernel: Kernel,
        job: Job,
        work: Path,
        *,
        cpus: int,
        mem_mib: int,
        append: str = "",
        nics: Sequence[str] = (),
        accel: Sequence[str] = TCG,
    ) -> None:
        self._monitor = work / "monitor"
        self._log = (work / "share.log").open("wb")
        self._shares = [
            Share("root", Path("/"), work, self._log, read_only=True),
            Share("results", job.results, work, self._log, read_only=False),
        ]
        text = script(
            job, "mount -t virtiofs results", kernel.modules, "busybox reboot -f"
        )
        initramfs.write(work / "initrd", kernel, text)
        clock = tsc.told() if accel is not KVM else ""
        argv = [
            *(*DIE_TOGETHER, QEMU, *accel, "-machine", "q35"),
            # Without ACPI, a kernel finds one processor of each socket.
            *("-smp", f"{cpus},sockets={cpus}"),
            *("-m", f"{mem_mib}M", "-numa", "node,memdev=mem", "-object"),
            f"memory-backend-memfd,id=mem,size={mem_mib}M,share=on",
            *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
            *("-kernel", str(kernel.image), "-initrd", str(work / "initrd")),
            *("-append", " ".join([COMMAND_LINE, clock, append])),
            *("-chardev", f"file,id=console,path={job.results / CONSOLE}"),
            *("-serial", "chardev:console"),
            *("-qmp", f"unix:{self._monitor},server=on,wait=off"),
            *(option for share in self._shares for option in share.qemu()),
            *(option for i, text in enumerate(nics) for option in nic(i, text)),
        ]
        out: IO[bytes] | None = self._log
        if job.terminal:
            argv += ["-chardev", "stdio,id=tty,signal=off", "-serial", "chardev:tty"]
            out = None
        self.process = subprocess.Popen(
            argv,
            stdin=None if job.terminal else subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=job.terminal is None,
        )

    def interrupt(self) -> None:
        """Makes a guest that hangs say where, and die of it."""
        inject_nmi(self._monitor)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for share in self._shares:
            share.close()
        self._log.close()
