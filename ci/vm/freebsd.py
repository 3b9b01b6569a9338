# SPDX-License-Identifier: BSD-2-Clause
"""FreeBSD guests: an image, its serial console, and a CD with what is to run.

The guest needs sh, mount_cd9660 and what the script on the CD calls. It may
have its boot loader, its login, or a root shell on the serial console: each is
answered as it comes. The image itself is never written to.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pexpect

from ci.vm import freebsd_outcome, kvm, machine, qemu
from ci.vm.freebsd_outcome import BEGIN, END
from ci.vm.job import CONSOLE, FILES, OUTPUT, RELEASE, STATUS
from ci.vm.outcome import Outcome
from ci.vm.share import DIE_TOGETHER

IMAGE = "MULTISTACK_FREEBSD_IMAGE"
ENABLE = (
    f"{IMAGE}=/path/to/disk.img (or 10.4=/path/to/disk.img, with spaces between "
    "several) has them run"
)

BOOT_S = 900.0  # an emulated 10.4 with WITNESS takes minutes
STEP_S = 120.0  # a command of ours
QUIET_S = 20.0  # a console that waits for a key says nothing for so long
PROBE_S = 10.0
SILENCE_S = 1.0  # after a prompt
LAST_WORDS_S = 20.0

# At the loader's prompt.
LOADER = ("set console=comconsole", "set boot_serial=YES", "boot")
# Typed with "" in it, so that the echo of what is typed is not the answer.
_SAY = 'echo multistack-vm"":'
_SHELL = "multistack-vm: shell"


class NoShell(Exception):
    """The guest did not come up to a shell: the sentence says how far."""


@dataclass(frozen=True)
class Settings:
    """How to get a root shell of an image, and more for QEMU: by environment.

    MULTISTACK_FREEBSD_LOGIN and _PASSWORD answer the login; _PROMPT is a
    pattern of the shell's; _CD its name of the CD, and _MNT where to put it;
    _DISK how QEMU has the disk (ide, virtio, none: it needs none); _QEMU more of
    its options; _MEM (MiB) and _CPUS.
    """

    login: str = "root"
    password: str = ""
    prompt: str = r"[#$%>] ?(\x1b\[[0-9;?]*[A-Za-z])*$"
    cd: str = ""
    mnt: str = "/mnt"
    disk: str = "ide"
    qemu: str = ""
    mem: str = "2048"
    cpus: str = "2"

    @staticmethod
    def of_environment() -> Settings:
        found = {
            name: os.environ[key]
            for name in Settings.__dataclass_fields__
            if (key := f"MULTISTACK_FREEBSD_{name.upper()}") in os.environ
        }
        return Settings(**found)


def images() -> dict[str, Path]:
    """Images of MULTISTACK_FREEBSD_IMAGE by release; "": it has to be asked."""
    found = {}
    for word in os.environ.get(IMAGE, "").split():
        release, equals, path = word.partition("=")
        found[release if equals else ""] = Path(path if equals else word)
    return found


def iso(folder: Path, to: Path) -> None:
    """Writes a CD image of a folder, with long names and modes."""
    tool = shutil.which("genisoimage") or shutil.which("mkisofs")
    if tool is None:
        raise NoShell("no genisoimage: apt-get install genisoimage")
    argv = [tool, "-quiet", "-r", "-V", "MULTISTACK", "-o", str(to), str(folder)]
    subprocess.run(argv, check=True, capture_output=True)


def command_line(image: Path, cd: Path, monitor: Path, set_: Settings) -> list[str]:
    """QEMU's. What would be on the screen comes over the serial port too."""
    accel = qemu.KVM if kvm.works(machine.kvm_boots) else qemu.TCG
    argv = [*DIE_TOGETHER, qemu.QEMU, *accel, "-machine", "pc,graphics=off"]
    argv += ["-m", set_.mem, "-smp", set_.cpus, "-display", "none", "-no-reboot"]
    argv += ["-nic", "none", "-serial", "stdio", "-monitor", "none"]
    argv += ["-qmp", f"unix:{monitor},server=on,wait=off", "-cdrom", str(cd)]
    if set_.disk != "none":
        with image.open("rb") as f:
            form = "qcow2" if f.read(4) == b"QFI\xfb" else "raw"
        argv += ["-drive"]
        argv += [f"file={image},format={form},if={set_.disk},snapshot=on"]
    return [*argv, *shlex.split(set_.qemu)]


# ---- the console -------------------------------------------------------------


class _Log:
    """The console, whole, as it comes: a file, and whoever listens."""

    def __init__(self, path: Path, output: Callable[[bytes], object] | None) -> None:
        self._file: IO[bytes] = path.open("wb")
        self._output = output

    def write(self, data: bytes) -> None:
        self._file.write(data)
        if self._output:
            self._output(data)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


@dataclass
class Console:
    """A dialogue with a guest; argv: whose standard input and output it is."""

    argv: Sequence[str]
    results: Path
    settings: Settings
    output: Callable[[bytes], object] | None = None
    beat: Callable[[], object] | None = None
    quiet_s: float = QUIET_S
    _menus: int = field(default=0, init=False)
    _loaded: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._log = _Log(self.results / CONSOLE, self.output)
        self.child = pexpect.spawn(
            self.argv[0], list(self.argv[1:]), timeout=None, echo=False
        )
        self.child.logfile_read = self._log
        self.child.delaybeforesend = 0.05

    def close(self) -> None:
        self.child.close(force=True)
        self._log.close()

    def text(self) -> str:
        self._log.flush()
        return (self.results / CONSOLE).read_text(errors="replace")

    def _expect(self, patterns: Sequence[bytes], timeout_s: float) -> int | None:
        """The first pattern that comes; None: none did. EOFError: it is gone.

        Waits in slices, so that somebody sees that it goes on.
        """
        end = time.monotonic() + timeout_s
        every = [re.compile(p) for p in patterns]
        while True:
            left = max(0.05, min(1.0, end - time.monotonic()))
            found: int = self.child.expect(
                [*every, pexpect.TIMEOUT, pexpect.EOF], timeout=left
            )
            if found == len(every) + 1:
                raise EOFError
            if found < len(every):
                return found
            if self.beat:
                self.beat()
            if time.monotonic() >= end:
                return None

    def _type(self, line: str) -> None:
        self.child.send(line.encode() + b"\r")

    # ---- up to a shell -------------------------------------------------------

    def shell(self, timeout_s: float = BOOT_S) -> None:
        """Answers what comes up to a root shell. NoShell says how far it got."""
        end = time.monotonic() + timeout_s
        answers = self._answers()
        patterns = [pattern for pattern, _ in answers]
        try:
            while time.monotonic() < end:
                found = self._expect(patterns, min(self.quiet_s, timeout_s))
                if found is None:
                    self._type("")  # somebody may wait for a key
                elif answers[found][1]():
                    return
        except EOFError:
            raise NoShell(f"the machine ended at boot: {self._last()}") from None
        raise NoShell(
            f"no shell on the serial console in {timeout_s:.0f} s: {self._last()}; is "
            'the image\'s console its serial port (console="comconsole" in '
            "/boot/loader.conf)?"
        )

    def _answers(self) -> list[tuple[bytes, Callable[[], bool]]]:
        set_ = self.settings

        def say(line: str) -> Callable[[], bool]:
            def answer() -> bool:
                self._type(line)
                return False

            return answer

        return [
            (rb"Escape to loader prompt|\[Esc\]ape to loader", self._menu),
            (rb"\nOK $", self._loader),
            (rb"(?i)\blogin: ?$", say(set_.login)),
            (rb"(?i)\bpassword: ?$", say(set_.password)),
            (rb"(?i)pathname of shell or RETURN for \S+ ?$", say("")),
            (rb"(?m)^(panic: |Fatal trap |mountroot> )", self._broken),
            (set_.prompt.encode(), self._probe),
        ]

    def _menu(self) -> bool:
        """The loader's: to its prompt, once; the menu is drawn again and again."""
        self._menus += 1
        if self._menus == 1:
            self.child.send(b"3")
        return False

    def _loader(self) -> bool:
        """A line at each of the loader's prompts."""
        lines = LOADER[self._loaded : self._loaded + 1] or ("boot",)
        self._loaded += 1
        self._type(lines[0])
        return False

    def _broken(self) -> bool:
        with contextlib.suppress(EOFError):
            self._expect([rb"db> $"], LAST_WORDS_S)
        raise NoShell(f"the guest does not boot: {self._last()}")

    def _probe(self) -> bool:
        """Whether that was a shell's prompt: a shell does as it is told.

        Nothing is typed to somebody who is still talking. csh gives way to sh.
        """
        if self._expect([rb"(?s)(?=.)"], SILENCE_S) is not None:
            return False
        self._type("exec sh")
        self._type(f"{_SAY} shell")
        return self._expect([re.escape(_SHELL).encode()], PROBE_S) is not None

    def _last(self) -> str:
        lines = [line.strip() for line in self.text().splitlines()]
        said = [line for line in lines if line]
        return f"last said: {said[-1][:100]}" if said else "it said nothing"

    # ---- in the shell --------------------------------------------------------

    def run(self, line: str, timeout_s: float = STEP_S) -> tuple[int, str]:
        """One command: its exit status, and what it printed."""
        self._type(f"{_SAY} ask; {line}; {_SAY} $?.")
        self._expect([rb"multistack-vm: ask\r*\n"], STEP_S)
        if self._expect([rb"multistack-vm: (\d+)\."], timeout_s) is None:
            raise NoShell(f"`{line}` does not end: {self._last()}")
        said = self.child.before.decode(errors="replace").replace("\r", "")
        return int(self.child.match[1]), said

    def job(self, line: str, timeout_s: float) -> int | None:
        """The command that all is for: its exit status, None if it was lost."""
        begin, end = (mark.replace("vm:", 'vm"":') for mark in (BEGIN, END))
        self._type(f"echo {begin}; {line}; echo {end} $?.")
        panic = freebsd_outcome.PANIC.pattern.encode()
        try:
            found = self._expect([rb"multistack-vm: end (\d+)\.", panic], timeout_s)
            if found == 0:
                return int(self.child.match[1])
            if found is not None:
                self._backtrace()
        except EOFError:
            pass
        return None

    def _backtrace(self) -> None:
        """What a kernel that died has to say; its debugger is asked."""
        if b"db>" in self.child.after or self._expect([rb"db> $"], LAST_WORDS_S) == 0:
            for line in ("bt", "show alllocks"):
                self._type(line)
                self._expect([rb"\ndb> $", rb"--More--"], PROBE_S)

    def last_words(self, monitor: Path) -> None:
        """Makes a guest that hangs say where, by an NMI, which it panics of."""
        qemu.inject_nmi(monitor)
        with contextlib.suppress(EOFError):
            panic = freebsd_outcome.PANIC.pattern.encode()
            if self._expect([panic], LAST_WORDS_S) is not None:
                self._backtrace()


# ---- a run -------------------------------------------------------------------

MOUNT = (
    "for d in {cds}; do mount_cd9660 /dev/$d {mnt} && break; done; "
    "test -f {script} && cd {folder}"
)
CDS = "cd0 cd1 acd0"


def converse(
    console: Console,
    monitor: Path,
    choose: Callable[[str], str],
    script: str,
    timeout_s: float,
    boot_s: float = BOOT_S,
) -> int | None:
    """From power on to the exit status of `sh SCRIPT` on the CD.

    choose: from what `uname -r` said ("" where there is no uname) to the folder
    on the CD. NoShell.
    """
    console.shell(boot_s)
    status, said = console.run("uname -r")
    release = said.strip().splitlines()[-1].strip() if not status and said else ""
    (console.results / RELEASE).write_text(f"{release}\n")
    mnt = console.settings.mnt
    folder = f"{mnt}/{choose(release)}"
    name = shlex.split(script)[0]
    mount = MOUNT.format(
        cds=console.settings.cd.removeprefix("/dev/") or CDS,
        mnt=mnt,
        script=f"{folder}/{name}",
        folder=folder,
    )
    status, said = console.run(mount)
    if status:
        raise NoShell(f"the guest cannot mount the CD: {said.strip()[-200:]}")
    status_of_job = console.job(f"sh {script}", timeout_s)
    gone = not console.child.isalive()
    if status_of_job is None and not gone and not _panicked(console):
        console.last_words(monitor)
    return status_of_job


def _panicked(console: Console) -> bool:
    text = "\n".join(freebsd_outcome.during(console.text()))
    return freebsd_outcome.PANIC.search(text) is not None


def run(
    image: Path,
    payloads: Path,
    choose: Callable[[str], str],
    *,
    results: Path,
    script: str = "run.sh",
    timeout_s: float = 1800.0,
    settings: Settings | None = None,
    output: Callable[[bytes], object] | None = None,
    beat: Callable[[], object] | None = None,
) -> Outcome:
    """Boots an image with a CD of the folder `payloads`, and runs a script there.

    script: relative to the folder that choose() names, with its arguments.
    settings: those of the environment, if none are given.
    results ends up with console.log (all of it), output.log (the script's),
    status and release. NoShell: the guest was not fit for it.
    """
    set_ = settings or Settings.of_environment()
    results.mkdir(parents=True, exist_ok=True)
    for old in FILES:
        (results / old).unlink(missing_ok=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="multistack-vm-") as work:
        cd, monitor = Path(work, "cd.iso"), Path(work, "monitor")
        iso(payloads, cd)
        argv = command_line(image, cd, monitor, set_)
        with contextlib.closing(Console(argv, results, set_, output, beat)) as it:
            status = converse(it, monitor, choose, script, timeout_s)
    return outcome(results, status, time.monotonic() - started)


def outcome(results: Path, status: int | None, seconds: float) -> Outcome:
    """Reads the console; writes what else there is to keep."""
    text = (results / CONSOLE).read_text(errors="replace")
    lines = freebsd_outcome.during(text)
    end = next((i for i, line in enumerate(lines) if END in line), len(lines))
    (results / OUTPUT).write_text("\n".join(lines[1:end]) + "\n")
    if status is not None:
        (results / STATUS).write_text(f"{status}\n")
    found = freebsd_outcome.reports(text)
    kind = freebsd_outcome.judge(status, found)
    release = (results / RELEASE).read_text().strip()
    return Outcome(kind, status, seconds, results, found, release)
