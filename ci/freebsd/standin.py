# SPDX-License-Identifier: BSD-2-Clause
"""The driver of FreeBSD guests, tried on what only behaves like one.

Where no FreeBSD can be had, a Linux kernel and busybox play it on the serial
console of a real QEMU: the loader's menu and prompt, a login, csh's prompt, a
shell with mount_cd9660 and kldload, and the words of a panic. What the driver
makes of it is checked.
"""

from __future__ import annotations

import shlex
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ci.freebsd.guests import counted
from ci.steps import BUILD, Count, Step, StepFailed, Titled
from ci.vm import freebsd as vm
from ci.vm import guests, initramfs, machine, qemu
from ci.vm.outcome import Kind
from ci.vm.packages import PackageError

KERNEL = "linux-6.1"
MODULES = ("ata_piix", "sr_mod", "isofs")
RUN_S = 45.0

_INIT = """\
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin PS1='# '
mount -t proc proc /proc
mount -t devtmpfs dev /dev
mkdir -p /mnt
for m in $(cat /modules/order); do insmod /modules/$m; done
exec </dev/ttyS0 >/dev/ttyS0 2>&1
stty sane
echo ' 3. [Esc]ape to loader prompt'
read -r -n 1 key
[ "$key" = 3 ] || echo 'Booting...'
while [ "$line" != boot ]; do
	printf '\\nOK '
	read -r line
done
echo 'FreeBSD 10.4-RELEASE #0'
echo 'Starting devd. #> '
printf '\\nFreeBSD/amd64 (standin) (ttyu0)\\n\\nlogin: '
read -r user
[ "$user" = root ] || reboot -f
exec setsid -c sh -i
"""
# What FreeBSD's own commands do.
_COMMANDS = {
    "mount_cd9660": (
        "[ $1 = /dev/cd0 ] || exit 1\n"
        "for i in 1 2 3 4 5 6 7 8 9; do [ -b /dev/sr0 ] && break; sleep 1; done\n"
        "mount -t iso9660 -o ro /dev/sr0 $2"
    ),
    "kldload": "[ -f $1 ] && mknod /dev/multistack c 1 3",
    "kldunload": "rm /dev/multistack",
}

_TAP_OK = "echo 1..2; echo 'ok 1 - one # 3 ms'; echo '# skip: no such thing'\n"
_TAP_OK += "echo 'ok 2 - two # SKIP # 0 ms'; kldunload multistack\n"
_PANIC = """\
echo 1..2; echo 'ok 1 - one # 3 ms'
echo 'panic: mutex ms_ring not owned at /src/ms_ring.c:17'
echo 'cpuid = 0'; echo 'KDB: stack backtrace:'
echo '#0 0xffffffff80aada97 at kdb_backtrace+0x67'
printf 'db> '; while read -r line; do echo "did $line"; printf 'db> '; done
"""


@dataclass(frozen=True)
class Play:
    """A script on the CD, and what is to come of it."""

    script: str
    kind: Kind
    status: int | None
    passed: int
    failed: int
    on_console: str = ""


PLAYS = {
    "well": Play(_TAP_OK, "ok", 0, 1, 0),
    "not well": Play("echo 1..1; echo 'not ok 1 - one'; exit 1", "failed", 1, 0, 1),
    "complaint": Play(
        "echo 'lock order reversal:'; echo ' 1st 0x1 multistack ring'\n" + _TAP_OK,
        *("warn", 0, 1, 1),
    ),
    "panic": Play(_PANIC, "panic", None, 1, 1, "did bt"),
    "hang": Play("echo 1..1; sleep 100000", "hang", None, 0, 1, "NMI"),
}


def _initrd(path: Path) -> Path:
    """Writes the stand-in's initramfs; returns its kernel."""
    kernel = guests.kernel(KERNEL)
    files = {f"bin/{n}": f"#!/bin/sh\n{c}\n" for n, c in _COMMANDS.items()}
    initramfs.write_own(path, kernel, MODULES, files | {"init": _INIT})
    return kernel.image


def _settings(image: Path, initrd: Path) -> vm.Settings:
    append = "console=ttyS0 quiet panic=-1 unknown_nmi_panic=1 no_timer_check"
    options = ["-kernel", str(image), "-initrd", str(initrd), "-append", append]
    return vm.Settings(disk="none", qemu=shlex.join(options), mem="512", cpus="1")


def _play(
    step: Step, name: str, play: Play, work: Path, settings: vm.Settings
) -> list[str]:
    """One boot; what is not as it is to be."""
    folder = work / "disc" / "10.4"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "multistack.ko").write_text("no module\n")
    load = "kldload ./multistack.ko && test -c /dev/multistack || exit 9\n"
    (folder / "run.sh").write_text(load + play.script + "\n")
    results = BUILD / "vm" / f"standin-{name.replace(' ', '-')}"
    done = vm.run(
        work,
        folder.parent,
        lambda release: "10.4" if release.endswith("amd64") else "none",
        results=results,
        timeout_s=RUN_S if play.kind != "hang" else 3.0,
        settings=settings,
        output=step.feed,
        beat=step.beat,
    )
    count = counted(name, done)
    step.say(f"{name}: {done}, {count}")
    said = (results / "console.log").read_text(errors="replace")
    wrong = []
    if (done.kind, done.status) != (play.kind, play.status):
        wrong.append(f"{name}: {done.kind}, status {done.status}")
    if (count.passed, len(count.failed)) != (play.passed, play.failed):
        wrong.append(f"{name}: {count}")
    if play.on_console not in said:
        wrong.append(f"{name}: the console does not say {play.on_console!r}")
    return wrong


def check(step: Step) -> Count:
    """The driver against each play."""
    if reason := machine.may_boot():
        return Count(skipped=[f"stand-in: {reason}"])
    count = Count()
    with tempfile.TemporaryDirectory(prefix="multistack-vm-") as tmp:
        work = Path(tmp)
        try:
            settings = _settings(_initrd(work / "initrd"), work / "initrd")
        except PackageError as e:
            raise StepFailed(f"{KERNEL}: {e}") from None
        for name, play in PLAYS.items():
            wrong = _play(step, name, play, work, settings)
            count.failed += wrong
            count.passed += not wrong
    count.note = f"{qemu.QEMU}, {KERNEL}"
    return count


STEP: Titled = ("FreeBSD's driver, on a stand-in", check)
