# SPDX-License-Identifier: BSD-2-Clause
"""multistack.ko for FreeBSD, by clang and lld on any system."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from ci.freebsd import elf
from ci.freebsd.targets import Target, clang_resources
from ci.steps import ROOT, Step

SYS = ROOT / "sys"
CK = (Path("/usr/include"), "ck_*.h", Path("/usr/include/gcc"))  # libck-dev

# As sys/conf/kern.mk has them, but for what only its own compiler knows.
FLAGS = (
    *("-O2", "-pipe", "-std=gnu17", "-nostdinc", "-ffreestanding"),
    *("-D_KERNEL", "-DKLD_MODULE", "-DHAVE_KERNEL_OPTION_HEADERS"),
    *("-mcmodel=kernel", "-mno-red-zone", "-mno-mmx", "-mno-sse", "-mno-avx"),
    *("-msoft-float", "-fno-pic", "-fno-common", "-fno-strict-aliasing"),
    *("-fwrapv", "-fno-omit-frame-pointer", "-mno-omit-leaf-frame-pointer"),
    *("-fno-asynchronous-unwind-tables", "-fno-unwind-tables"),
    "-fno-stack-protector",
    *("-Wall", "-Wextra", "-Werror", "-Wshadow", "-Wmissing-prototypes"),
    *("-Wstrict-prototypes", "-Wno-unused-parameter"),
    "-Wno-missing-field-initializers",
)
# The first kernel whose linker takes a call's relocation as it is.
PLT32_SINCE = 12


def _version() -> str:
    text = (SYS / "os" / "freebsd" / "Makefile").read_text()
    found = re.search(r"^VERSION=\s*(\S+)$", text, re.MULTILINE)
    return found[1] if found else "0"


def _includes(target: Target, variant: str, stage: Path) -> list[str]:
    """Options for all that a source file may include."""
    own = stage / "include"
    own.mkdir()
    for name, text in target.options(variant).items():
        (own / name).write_text(text)
    if not any((folder / "ck_queue.h").exists() for folder in target.kernel):
        top, pattern, folder = CK
        for header in [*top.glob(pattern), folder]:
            (own / header.name).symlink_to(header)
    flags = ["-include", str(own / "opt_global.h")]
    flags += [f"-I{d}" for d in (SYS / "os/freebsd", SYS / "core", SYS, own)]
    for folder in target.kernel:
        flags += ["-isystem", str(folder)]
    return [*flags, "-isystem", str(clang_resources())]


def sources() -> list[Path]:
    return sorted([*SYS.glob("core/*.c"), *SYS.glob("os/freebsd/*.c")])


@dataclass(frozen=True)
class Objects:
    """The module before it is linked."""

    stage: Path
    files: list[Path]  # named ROOM-SOURCE.o
    declarations: str  # all that its sources see, preprocessed


def compile_all(step: Step, target: Target, variant: str) -> Objects:
    """An object of each source; warnings are errors."""
    stage = target.build / f"objects-{variant or 'generic'}"
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir(parents=True)
    flags = stage / "flags"
    words = [f"--target={target.triple}", *FLAGS]
    words.append(f'-DMS_MODULE_VERSION=\\"{_version()}\\"')
    if target.define_version:
        words.append(f"-D__FreeBSD_version={target.version}")
    flags.write_text("\n".join([*words, *_includes(target, variant, stage)]))
    objects = []
    for source in sources():
        obj = stage / f"{source.parent.name}-{source.stem}.o"
        step.run(["clang-16", f"@{flags}", "-c", source, "-o", obj])
        objects.append(obj)
    every = stage / "every.c"
    every.write_text("".join(f'#include "{s}"\n' for s in sources()))
    seen = step.ask(["clang-16", f"@{flags}", "-w", "-E", every])
    return Objects(stage, objects, seen)


def link(step: Step, target: Target, variant: str, objects: Objects) -> Path:
    """One relocatable object, whose names are its own."""
    ko = target.build / "payload" / variant / "multistack.ko"
    ko.parent.mkdir(parents=True, exist_ok=True)
    whole = objects.stage / "multistack.o"
    into: list[str | Path] = ["-m", "elf_x86_64_fbsd", "-r", "-o", whole]
    step.run(["ld.lld-16", *into, *objects.files])
    # As bsd.kmod.mk does for a module that exports nothing.
    step.run(["llvm-objcopy-16", "--keep-global-symbol=", whole, ko])
    if target.major < PLT32_SINCE:
        # Without shared objects both are the distance to the symbol.
        done = elf.retype(ko, elf.PLT32, elf.PC32)
        step.say(f"{done} relocations PLT32 are PC32")
    return ko
