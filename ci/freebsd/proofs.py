# SPDX-License-Identifier: BSD-2-Clause
"""What can be known of a module without a FreeBSD to load it."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from ci.freebsd import elf
from ci.freebsd.module import SYS
from ci.freebsd.targets import Target
from ci.steps import Step, StepFailed

# What amd64's elf_reloc() takes in an object file, of 10.4 and since 12.
RELOCATIONS = {"64", "PC32", "32S"}
RELOCATIONS_SINCE_12 = RELOCATIONS | {"PLT32"}

# What link_elf_obj.c makes of modules' needs: sets of records, by section.
SETS = ("set_modmetadata_set", "set_sysinit_set")
# The kernel's linker would keep them as data, unwanted.
UNWANTED = (".eh_frame", ".init_array", ".ctors", ".debug_info")

# What the core's own objects may leave open besides ms_*: the C library's and
# what the seam's inline functions become.
SEAM = (
    *("memcpy", "memset", "memcmp", "memmove"),
    *("bzero", "__mtx_*", "_mtx_*", "_sx_*", "sx_*", "cpu_spinwait", "panic"),
    *("__start_set_pcpu", "__stop_set_pcpu"),
    "atomic_*",  # of 10.4's modules functions
)
# Ends of sets, which a header may name although nothing asks for them.
SET_ENDS = re.compile(r"^__(start|stop)_set_\w+$")


def _require(fact: bool, words: str) -> None:
    if not fact:
        raise StepFailed(words)


def module(step: Step, target: Target, ko: Path, preprocessed: str) -> int:
    """Raises StepFailed for what a kernel of the target would not take.

    preprocessed: what its sources see. Returns how many proofs there were.
    """
    it = elf.Elf(ko)
    _header(it)
    _metadata(it, target)
    _relocations(it, target)
    vector_registers(step, ko)
    undefined(it, target, preprocessed)
    return 5


def _header(it: elf.Elf) -> None:
    _require(it.type == elf.ET_REL, "the module is not relocatable")
    _require(it.machine == elf.EM_X86_64, "the module is not amd64's")
    _require(it.osabi == elf.OSABI_FREEBSD, f"the module's OSABI is {it.osabi}")
    for name in UNWANTED:
        section = it.section(name)
        _require(
            section is None or not section.flags & elf.SHF_ALLOC and not section.size,
            f"the module has a section {name}",
        )


def _metadata(it: elf.Elf, target: Target) -> None:
    """The sets are there, and the kernel that is asked for is the target."""
    for name in SETS:
        section = it.section(name)
        _require(section is not None and section.size > 0, f"there is no {name}")
    want = next((s for s in it.symbols() if s.name.endswith("_depend_on_kernel")), None)
    if want is None:
        raise StepFailed("the module does not say which kernel it is for")
    section = it.sections[want.section]
    low, best, high = struct.unpack_from("<iii", it.bytes_of(section), want.value)
    last = -(-target.version // 100000) * 100000 - 1  # of its major version
    _require(
        (low, best, high) == (target.version, target.version, last),
        f"the module is for kernels {low} ({best}) to {high}, not {target.version}",
    )


def _relocations(it: elf.Elf, target: Target) -> None:
    known = RELOCATIONS if target.major < 12 else RELOCATIONS_SINCE_12
    for r in it.relocations():
        _require(
            r.name in known,
            f"{r.section} has a relocation R_X86_64_{r.name}, which the kernel's "
            "linker lacks",
        )


def vector_registers(step: Step, obj: Path) -> None:
    """Raises if the object touches a register the kernel does not save."""
    code = step.ask(["llvm-objdump-16", "-d", "--no-show-raw-insn", obj])
    found = re.search(r"^.*%(?:[xyz]mm\d+|st\b|mm\d).*$", code, re.MULTILINE)
    _require(found is None, f"{obj.name} uses {found[0].strip() if found else ''}")


def open_names(it: elf.Elf) -> list[str]:
    """Undefined symbols, weak ones left out."""
    return sorted(
        s.name
        for s in it.symbols()
        if s.section == elf.SHN_UNDEF and s.binding == elf.STB_GLOBAL
    )


_MARKER = re.compile(r'^# \d+ "([^"]+)"')


def declared(preprocessed: str) -> set[str]:
    """Every word that came from a header which is not ours."""
    words: set[str] = set()
    ours = True
    for line in preprocessed.splitlines():
        marker = _MARKER.match(line)
        if marker:
            ours = marker[1].startswith((str(SYS), "<"))
        elif not ours:
            words.update(re.findall(r"\w+", line))
    return words


def exported(image: Path) -> set[str]:
    """The names that a kernel itself defines."""
    return {
        s.name
        for s in elf.Elf(image).symbols()
        if s.section != elf.SHN_UNDEF and s.binding != 0
    }


def undefined(it: elf.Elf, target: Target, preprocessed: str) -> None:
    """Raises for a symbol that the target's kernel does not have."""
    words = declared(preprocessed)
    names = exported(target.image) if target.image else set()
    symbols = it.symbols()
    wanted = {symbols[r.symbol].name for r in it.relocations()}
    for name in open_names(it):
        if SET_ENDS.match(name) and name not in wanted:
            continue
        _require(name in words, f"{name} is declared in no header of {target.about}")
        if names:
            _require(name in names, f"{name} is not in the kernel {target.image}")


def only_the_seam(objects: list[Path]) -> None:
    """Raises for a core object that needs more than ms_os.h gives."""
    headers = (SYS / "core/ms_os.h", SYS / "os/freebsd/ms_os_impl.h")
    seam = set(re.findall(r"\bms_os_\w+", "".join(h.read_text() for h in headers)))
    files = [(obj, elf.Elf(obj)) for obj in objects if obj.name.startswith("core-")]
    defined = set(_defined(e for _, e in files))
    for obj, it in files:
        for name in open_names(it):
            if name in seam or name in defined:
                continue
            if not any(fnmatchcase(name, p) for p in SEAM):
                raise StepFailed(f"{obj.name} needs {name}: not in ms_os.h")


def _defined(files: Iterator[elf.Elf]) -> Iterator[str]:
    for it in files:
        for s in it.symbols():
            if s.section != elf.SHN_UNDEF and s.binding == elf.STB_GLOBAL:
                yield s.name
