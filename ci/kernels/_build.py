# SPDX-License-Identifier: BSD-2-Clause
"""Which kernels there are, how they are built, and what is kept of them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from ci.kernels._cache import Say, digest, forget, stamp
from ci.kernels._source import ensure_source, patches, version
from ci.vm.packages import PackageError, cache, locked

HERE = Path(__file__).resolve().parent
TAIL_LINES = 30
JOBS = os.cpu_count() or 1


class KernelError(Exception):
    """Why there is no such kernel: a sentence for a person."""


@dataclass(frozen=True)
class Recipe:
    """A kernel: its architecture in kbuild's words, its fragments in order."""

    arch: str
    fragments: tuple[str, ...]
    image: str
    targets: tuple[str, ...]


def _x86(fragment: str) -> Recipe:
    fragments = ("common", "x86", fragment)
    return Recipe("x86", fragments, "arch/x86/boot/bzImage", ("bzImage", "modules"))


RECIPES = {
    "uml": Recipe("um", ("common", "um"), "linux", ("all",)),
    "uml-debug": Recipe("um", ("common", "um", "uml-debug"), "linux", ("all",)),
    "linux-debug": _x86("debug"),
    "linux-kcsan": _x86("kcsan"),
}


@dataclass(frozen=True)
class Kernel:
    """A kernel that is built, and what building a module for it takes."""

    name: str
    release: str  # as uname -r says it
    arch: str  # kbuild's word: x86 or um
    image: Path  # what QEMU boots; for um a program
    build: Path  # where `make -C` goes
    make: tuple[str, ...]  # the variables that go with it


def _compiler() -> tuple[str, str]:
    """The command and its version. 6.1 is older than most compilers."""
    for command in ("gcc-12", "gcc"):
        if shutil.which(command):
            done = subprocess.run(
                [command, "--version"], capture_output=True, text=True
            )
            return command, done.stdout.splitlines()[0]
    raise KernelError("there is no gcc")


def _wanted(recipe: Recipe) -> str:
    """The recipe's configuration: a later fragment overrules an earlier."""
    return "".join((HERE / f"{f}.config").read_text() for f in recipe.fragments)


def _settings(text: str) -> dict[str, str]:
    """What a configuration says of each option; "n" where it is not set."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        if unset := re.fullmatch(r"# (CONFIG_\w+) is not set", line):
            found[unset[1]] = "n"
        elif given := re.fullmatch(r"(CONFIG_\w+)=(.*)", line):
            found[given[1]] = given[2]
    return found


def refused(wanted: str, config: str) -> list[str]:
    """The options that Kconfig left out, as `OPTION=what it became`.

    A kernel that silently lacks a check would pass every test of it.
    """
    have = _settings(config)
    return [
        f"{option}={have.get(option, 'n')}"
        for option, value in _settings(wanted).items()
        if have.get(option, "n") != value
    ]


def _key(recipe: Recipe, source_version: str) -> str:
    _, compiler = _compiler()
    changes = patches() if recipe.arch == "um" else ""
    return digest(source_version, compiler, recipe.arch, _wanted(recipe) + changes)


def ccached(command: str) -> str:
    """The compiler's command, behind ccache where there is one."""
    return f"ccache {command}" if shutil.which("ccache") else command


def ccache_environment(top: Path) -> dict[str, str]:
    """For ccache: objects are the same wherever `top` is."""
    return {
        "CCACHE_DIR": str(cache() / "ccache"),
        "CCACHE_MAXSIZE": "2G",
        "CCACHE_BASEDIR": str(top),
        "CCACHE_NOHASHDIR": "1",
    }


def _make(recipe: Recipe) -> list[str]:
    """Variables for the kernel's build."""
    cc = ccached(_compiler()[0])
    return [f"ARCH={recipe.arch}", f"CC={cc}", f"HOSTCC={cc}"]


def _environment() -> dict[str, str]:
    return {
        **os.environ,
        **ccache_environment(cache()),
        "KBUILD_BUILD_TIMESTAMP": "1970-01-01",
        "KBUILD_BUILD_USER": "multistack",
        "KBUILD_BUILD_HOST": "multistack",
        "LC_ALL": "C",
    }


def _run(argv: list[str], log: Path) -> None:
    with log.open("a") as out:
        out.write(f"$ {' '.join(argv)}\n")
        out.flush()
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=_environment(),
        )
    if done.returncode:
        lines = log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
        raise KernelError("\n".join([f"{argv[0]} failed; {log} ends:", *lines]))


def _configure(recipe: Recipe, source: Path, place: Path, log: Path) -> None:
    wanted = place / "wanted.config"
    wanted.write_text(_wanted(recipe))
    make = ["make", "-C", str(source), f"O={place}", *_make(recipe)]
    _run([*make, f"KCONFIG_ALLCONFIG={wanted}", "allnoconfig"], log)
    lacking = refused(wanted.read_text(), (place / ".config").read_text())
    if lacking:
        raise KernelError(f"Kconfig refuses {', '.join(lacking)}")


# What modules are built with stays; the rest of the build is large.
_TOOLS = ("scripts", "tools", "include")
_DROP = (".o", ".a", ".cmd", ".d", ".s", ".i", ".gcno")
_BOOT = ("arch/x86/boot/compressed", "arch/x86/boot/vmlinux.bin")


def _strip(place: Path) -> None:
    """Leaves of a build what runs, and what building a module needs."""
    for top, _, names in os.walk(place):
        room = Path(top).relative_to(place).parts[:1]
        drop = (".o",) if room and room[0] in _TOOLS else _DROP
        for name in names:
            if name.endswith(drop) or name.startswith(".tmp_"):
                Path(top, name).unlink()
    for name in _BOOT:
        path = place / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _only_btf(place: Path, log: Path) -> None:
    """Leaves of vmlinux what modules need to get BTF, if this kernel has it."""
    image = place / "vmlinux"
    if _settings((place / ".config").read_text()).get("CONFIG_DEBUG_INFO_BTF") == "y":
        _run(["objcopy", "--only-section=.BTF", str(image), str(place / "btf")], log)
        os.replace(place / "btf", image)
    else:
        image.unlink()


def _assemble(recipe: Recipe, source: Path, place: Path) -> None:
    log = place / "build.log"
    _configure(recipe, source, place, log)
    make = ["make", "-C", str(source), f"O={place}", f"-j{JOBS}", *_make(recipe)]
    _run([*make, *recipe.targets], log)
    if recipe.arch == "um":
        _run(["strip", "--strip-debug", str(place / recipe.image)], log)
    _only_btf(place, log)
    _strip(place)


def _kernel(name: str, recipe: Recipe, place: Path) -> Kernel:
    command, _ = _compiler()
    release = (place / "include/config/kernel.release").read_text().strip()
    return Kernel(
        name=name,
        release=release,
        arch=recipe.arch,
        image=place / recipe.image,
        build=place,
        make=(f"ARCH={recipe.arch}", f"CC={ccached(command)}"),
    )


def _place(name: str, source_version: str) -> Path:
    return cache() / "kernels" / f"{name}-{_key(RECIPES[name], source_version)}"


def cached(name: str) -> Kernel | None:
    """The kernel, if nothing would have to be built."""
    try:
        place = _place(name, version())
    except PackageError as e:
        raise KernelError(str(e)) from None
    return _kernel(name, RECIPES[name], place) if stamp(place).exists() else None


def ensure(name: str, say: Say) -> Kernel:
    """The kernel, built now if the cache lacks it: minutes, with words to say.

    One process builds, others wait for it. Raises KernelError.
    """
    recipe = RECIPES[name]
    try:
        place = _place(name, version())
        with locked(f"kernel-{name}"):
            if stamp(place).exists():
                return _kernel(name, recipe, place)
            source = ensure_source(say)
            say(f"building {name}: {place}")
            begin = time.monotonic()
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            _assemble(recipe, source, place)
            spent = time.monotonic() - begin
            stamp(place).write_text(f"{spent:.0f} s\n")
            say(f"{name}: built in {spent:.0f} s")
            forget(place.parent, name)
            return _kernel(name, recipe, place)
    except PackageError as e:
        raise KernelError(str(e)) from None
