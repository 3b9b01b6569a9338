# SPDX-License-Identifier: BSD-2-Clause
"""Compiles the unchanged core as kernel code, for Linux 6.1 and FreeBSD 15.

Nothing is loaded: this shows that the seam (sys/core/ms_os.h) is one that both
kernels can fill, and that the core asks for nothing else.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

from ci import kmod
from ci.steps import BUILD, ROOT, Count, Step, StepFailed, StepFunction

SYS = ROOT / "sys"

# What the core's objects may leave open besides ms_*: the C library's three
# and what the seam's inline functions and the compiler's flags expand to.
LINUX_SEAM = (
    *("memcpy", "memset", "memcmp", "memmove", "fortify_panic"),
    *("mutex_*", "__mutex_init", "_raw_spin_*", "__raw_spin_lock_init"),
    *("__local_bh_enable_ip", "__fentry__", "__x86_return_thunk"),
    *("__x86_indirect_thunk_*", "__stack_chk_fail", "__warn_printk"),
)
FREEBSD_SEAM = (
    *("memcpy", "memset", "memcmp", "memmove"),
    *("__mtx_*", "_mtx_*", "_sx_*", "sx_*", "cpu_spinwait"),
    *("__start_set_pcpu", "__stop_set_pcpu"),
)

FREEBSD_RELEASE = "15.0"
FREEBSD_VERSION = 1500068  # the release's, not the headers' own
FREEBSD_FLAGS = (
    *("-O2", "-pipe", "-std=gnu17", "-nostdinc", "-ffreestanding"),
    *("-D_KERNEL", "-DKLD_MODULE", "-DHAVE_KERNEL_OPTION_HEADERS"),
    f"-D__FreeBSD_version={FREEBSD_VERSION}",
    *("-mcmodel=kernel", "-mno-red-zone", "-mno-mmx", "-mno-sse", "-mno-avx"),
    *("-msoft-float", "-fno-pic", "-fno-common", "-fno-strict-aliasing"),
    *("-fwrapv", "-fno-omit-frame-pointer", "-mno-omit-leaf-frame-pointer"),
    *("-fno-asynchronous-unwind-tables", "-fno-unwind-tables"),
    "-fno-stack-protector",
    *("-Wall", "-Wextra", "-Werror", "-Wshadow", "-Wmissing-prototypes"),
    *("-Wstrict-prototypes", "-Wno-unused-parameter"),
    "-Wno-missing-field-initializers",
)
FREEBSD_OPTIONS = {
    "opt_global.h": "#define VIMAGE 1\n#define SMP 1\n",
    "opt_inet.h": "#define INET 1\n#define TCP_OFFLOAD 1\n",
    "opt_inet6.h": "#define INET6 1\n",
}


def _fresh(path: Path) -> Path:
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


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


# ---- FreeBSD -------------------------------------------------------------------


def _freebsd_includes(stage: Path) -> list[str]:
    """Kernel headers: the package ziglang ships them; ck is Debian's."""
    spec = importlib.util.find_spec("ziglang")
    if spec is None or spec.origin is None:
        raise StepFailed("the Python package ziglang is missing (./inv gets it)")
    libc = Path(spec.origin).parent / "lib" / "libc" / "include"
    own = stage / "include"
    own.mkdir()
    for name, text in FREEBSD_OPTIONS.items():
        (own / name).write_text(text)
    for ck in [*Path("/usr/include").glob("ck_*.h"), Path("/usr/include/gcc")]:
        (own / ck.name).symlink_to(ck)
    flags = ["-include", str(own / "opt_global.h")]
    flags += [f"-I{d}" for d in (SYS / "os/freebsd", SYS / "core", SYS, own)]
    for kernel in ("x86_64-freebsd-none", "generic-freebsd"):
        flags += ["-isystem", str(libc / kernel)]
    return flags


def freebsd(step: Step) -> Count:
    """clang against FreeBSD's kernel headers, with the kernel's flags."""
    stage = _fresh(BUILD / "kobj" / "freebsd")
    includes = _freebsd_includes(stage)
    target = f"--target=x86_64-unknown-freebsd{FREEBSD_RELEASE}"
    flags = stage / "flags"
    flags.write_text("\n".join([target, *FREEBSD_FLAGS, *includes]))
    core = []
    for source in sorted([*SYS.glob("core/*.c"), *SYS.glob("os/freebsd/*.c")]):
        obj = stage / f"{source.stem}.o"
        step.run(["clang-16", f"@{flags}", "-c", source, "-o", obj])
        if source.parent.name == "core":
            core.append(obj)
        _no_vector_registers(step, obj)
    _only_the_seam(step, core, "freebsd", FREEBSD_SEAM)
    _declared(step, stage, includes)
    return Count(passed=len(core))


def _no_vector_registers(step: Step, obj: Path) -> None:
    """Raises if the object touches a register the kernel does not save."""
    code = step.ask(["llvm-objdump-16", "-d", "--no-show-raw-insn", obj])
    found = re.search(r"^.*%[xyz]mm\d+.*$", code, re.MULTILINE)
    if found:
        raise StepFailed(f"{obj.name} uses a vector register: {found[0]}")


def _declared(step: Step, stage: Path, includes: list[str]) -> None:
    """Raises for a symbol of the host's glue that no header declares."""
    places = [Path(includes[i + 1]) for i, f in enumerate(includes) if f == "-isystem"]
    words: set[str] = set()
    for place in places:
        for room in ("sys", "machine", "net"):
            for header in (place / room).glob("*.h"):
                words.update(re.findall(r"\w+", header.read_text(errors="replace")))
    for obj in stage.glob("*.o"):
        for name in sorted(_undefined(step, obj)):
            plain = re.sub(r"^__(start|stop)_set_", "", name)
            if not plain.startswith("ms_") and plain not in words:
                raise StepFailed(f"{name} is declared in no kernel header")


STEPS: list[tuple[str, StepFunction]] = [
    ("kernel objects, Linux", linux),
    *kmod.STEPS,
    ("kernel objects, FreeBSD", freebsd),
]
