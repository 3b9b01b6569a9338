# SPDX-License-Identifier: BSD-2-Clause
"""The library and the programs for FreeBSD, by meson, and what a guest gets."""

from __future__ import annotations

import shutil
from pathlib import Path

from ci.freebsd import elf
from ci.freebsd.targets import Target
from ci.steps import ROOT, Step, StepFailed
from ci.vm.packages import cache

INTERP = ".interp"  # of programs that are not static

# In the payload, by where meson puts them.
PROGRAMS = {
    "kernel-test": "tests/kernel/kernel-test",
    "msctl": "lib/msctl/msctl",
    "multistack-httpd": "lib/httpd/multistack-httpd",
    "tcp_echo": "lib/examples/tcp_echo",
    "udp_echo": "lib/examples/udp_echo",
    "libmultistack.so.0": "lib/libmultistack.so.0",
}
RUN_SH = ROOT / "tests" / "kernel" / "freebsd-run.sh"

_CROSS = """\
# Written by ci/freebsd/programs.py.
[binaries]
c = {compiler}
ar = 'llvm-ar-16'
strip = 'llvm-strip-16'
pkg-config = 'false'

[host_machine]
system = 'freebsd'
cpu_family = 'x86_64'
cpu = 'x86_64'
endian = 'little'
"""


def build(step: Step, target: Target) -> Path:
    """Configures and compiles; returns meson's folder."""
    path = target.build / "meson"
    cross = target.build / "cross.ini"
    target.build.mkdir(parents=True, exist_ok=True)
    text = _CROSS.format(compiler=list(target.compiler))
    if not cross.exists() or cross.read_text() != text:
        shutil.rmtree(path, ignore_errors=True)  # made with another compiler
        cross.write_text(text)
    env = {"ZIG_GLOBAL_CACHE_DIR": str(cache() / "zig")}
    setup: list[str | Path] = ["meson", "setup", path, ROOT, "-Dwerror=true"]
    setup += [f"--cross-file={cross}"]
    if (path / "build.ninja").exists():
        setup.append("--reconfigure")
    elif path.exists():
        shutil.rmtree(path)
    step.run(setup, env=env)
    step.run(["meson", "compile", "-C", path], env=env)
    return path


def payload(target: Target, meson: Path) -> Path:
    """What a guest gets: modules, programs, and the script that runs them."""
    folder = target.build / "payload"
    for name, built in PROGRAMS.items():
        source = meson / built
        if not source.exists():
            raise StepFailed(f"{built} was not built for FreeBSD {target.name}")
        shutil.copy2(source, folder / name)
    shutil.copy2(RUN_SH, folder / "run.sh")
    return folder


def prove(target: Target, folder: Path) -> int:
    """Raises for a program that is not of FreeBSD, or not as it should be linked.

    Returns how many there are.
    """
    for name in PROGRAMS:
        it = elf.Elf(folder / name)
        if it.machine != elf.EM_X86_64:
            raise StepFailed(f"{name} is not amd64's")
        if ".so" in name:
            continue
        if not _is_freebsds(it):
            raise StepFailed(f"{name} does not say that it is FreeBSD's")
        if target.static and it.section(INTERP):
            raise StepFailed(f"{name} is not static")
    return len(PROGRAMS)


def _is_freebsds(it: elf.Elf) -> bool:
    """By OSABI, or by the note that the kernel looks for."""
    note = it.section(".note.tag")
    return it.osabi == elf.OSABI_FREEBSD or (
        note is not None and b"FreeBSD\0" in it.bytes_of(note)
    )
