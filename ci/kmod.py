# SPDX-License-Identifier: BSD-2-Clause
"""Builds multistack.ko for the guests' kernels, each against its own headers.

kbuild writes beside the sources, so each kernel gets a copy of sys/ in
build/kmod/GUEST. Warnings are errors.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from ci import kernels
from ci.kernels import KernelError, _btf, _chroot
from ci.steps import BUILD, ROOT, Count, Step, StepFailed, StepFunction
from ci.vm import guests, packages
from ci.vm.packages import PackageError

SYS = ROOT / "sys"
MODULES = ROOT / "tests" / "kernel" / "modules"
STAGES = BUILD / "kmod"
INSIDE = "/mnt/multistack"  # where a chroot sees a stage
JOBS = os.cpu_count() or 1

MODULE = "multistack"
HERE = "here"
# A module of 6.1's headers gets its BTF by us, with a tool that those lack.
RESOLVER_SUITE = "bookworm-backports"


@dataclass(frozen=True)
class Target:
    """How to build modules for one kernel."""

    name: str  # of the guest
    release: str
    headers: Path  # where make goes, in the chroot if there is one
    make: tuple[str, ...] = ()  # its arguments
    chroot: Path | None = None
    btf: Path | None = None  # set: kbuild cannot make the module's BTF


def target(name: str, step: Step) -> Target:
    """The target of a guest's kernel; fetches or builds what is missing.

    HERE stands for the running kernel.
    """
    if name == HERE:
        release = os.uname().release
        headers = Path("/lib/modules") / release / "build"
        if not (headers / "Module.symvers").exists():
            raise PackageError(f"no headers of the running kernel {release}")
        return Target(name, release, headers)
    if name in kernels.RECIPES:
        own = kernels.ensure(name, step.say)
        return Target(name, own.release, own.build, own.make)
    kernel = guests.kernel(name, step.say)
    if kernel.suite == "sid":
        return _newest(kernel, step)
    tree, headers = _headers(kernel)
    # The tree's Makefile includes another by its installed name.
    common = next(tree.glob("usr/src/linux-headers-*-common"))
    chosen = (headers / ".kernelvariables").read_text()
    compiler = re.findall(r"\bgcc-\d+\b", chosen)[-1]
    make = (
        *("-f", str(common / "Makefile"), f"KBUILD_OUTPUT={headers}"),
        f"CC={kernels.ccached(compiler)}",
    )
    lacking = not (headers / "vmlinux").exists()
    btf = _btf.base(kernel.image) if lacking else None
    return Target(name, kernel.release, headers, make, btf=btf)


def _headers(kernel: guests.Kernel) -> tuple[Path, Path]:
    """The unpacked tree of a kernel's headers, and the headers in it."""
    package = f"linux-headers-{kernel.release}"
    depends = packages.control(kernel.suite, package)["Depends"]
    parts = packages.names(depends, ("linux-headers-", "linux-kbuild-"))
    tree = packages.fetch(kernel.suite, [package, *parts])
    return tree, tree / "usr" / "src" / package


def _newest(kernel: guests.Kernel, step: Step) -> Target:
    """sid's kernel wants sid's compiler."""
    package = f"linux-headers-{kernel.release}"
    wanted = [package, "make", "dwarves"]
    chroot = _chroot.ensure_chroot(kernel.suite, wanted, step.say)
    headers = Path("/usr/src") / package
    return Target(kernel.name, kernel.release, headers, chroot=chroot)


def _copy(source: Path, place: Path) -> None:
    """Makes the sources in `place` those in `source`; objects stay."""
    wanted = {
        p.relative_to(source)
        for p in source.rglob("*")
        if p.is_file() and (p.suffix in (".c", ".h", ".conf") or p.stem == "Kbuild")
    }
    for old in place.rglob("*.[ch]"):
        if old.relative_to(place) not in wanted and not old.name.endswith(".mod.c"):
            old.unlink()
    for name in wanted:
        _copy_file(source / name, place / name)


def _copy_file(source: Path, place: Path) -> None:
    """One that is the same stays as old as it is, for make."""
    data = source.read_bytes()
    if not place.exists() or place.read_bytes() != data:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)


def _stage(name: str, to: Target) -> Path:
    """The stage, with the sources as they are now."""
    stage = STAGES / name
    made_for = f"{to.headers} {to.make} {to.chroot}\n"
    note = stage / "made-for"
    if not note.exists() or note.read_text() != made_for:
        shutil.rmtree(stage, ignore_errors=True)
        stage.mkdir(parents=True)
        note.write_text(made_for)
    for room in ("core", "os/linux"):
        _copy(SYS / room, stage / "sys" / room)
    _copy_file(SYS / "multistack.h", stage / "sys" / "multistack.h")
    if MODULES.is_dir():
        _copy(MODULES, stage / "modules")
    return stage


_WARNING = re.compile(r"^.*\b(?:warning|error|WARNING|ERROR): .*$", re.MULTILINE)


def _make(
    step: Step, to: Target, stage: Path, room: str, variables: Mapping[str, str]
) -> None:
    """Builds one external module of a stage."""
    top = Path(INSIDE) if to.chroot else stage
    values = {"M": str(top / room), "MS_SYS": str(top / "sys"), **variables}
    argv: list[str] = ["make", "-C", str(to.headers), *to.make, f"-j{JOBS}"]
    argv += [f"{name}={value}" for name, value in values.items()]
    if to.chroot:
        argv = _chroot.command(to.chroot, argv, {stage: INSIDE})
    text = step.run(argv, env=kernels.ccache_environment(ROOT))
    if found := _WARNING.findall(text):
        # What is built stays built, and would be silent next time.
        shutil.rmtree(stage)
        raise StepFailed(f"{to.name}: {len(found)} warnings, the first: {found[0]}")


def _resolver() -> Path:
    """resolve_btfids, of a newer kernel's package."""
    image = guests.distribution_kernel("linux-6.12", RESOLVER_SUITE)
    tree, _ = _headers(image)
    return next(tree.glob("usr/lib/linux-kbuild-*/tools/bpf/resolve_btfids/*btfids"))


def _finish(step: Step, to: Target, module: Path, place: Path) -> Path:
    """Copies a module to where guests find it, with BTF, without DWARF."""
    work = place.with_name(f".{place.name}")
    shutil.copyfile(module, work)
    if to.btf:
        step.run(["pahole", "-J", "--btf_base", to.btf, work])
        step.run([_resolver(), "-b", to.btf, work])
    step.run(["strip", "--strip-debug", work])
    work.rename(place)
    return place


def _target(name: str, step: Step) -> Target:
    try:
        return target(name, step)
    except (PackageError, KernelError) as e:
        raise StepFailed(f"{name}: {e}") from None


def _locked(name: str) -> AbstractContextManager[None]:
    """Of one stage, among all processes."""
    return packages.locked(f"kmod-{ROOT}-{name}")


def build(step: Step, name: str) -> Path:
    """multistack.ko for a guest's kernel: build/kmod/GUEST/multistack.ko.

    Raises StepFailed.
    """
    return build_all(step, name)[MODULE]


# Once in a run: a guest may be running them, and what counts their lines has to
# find the notes that they were compiled with.
_built: dict[str, dict[str, Path]] = {}


def build_all(step: Step, name: str) -> dict[str, Path]:
    """As build(), with the tests' own modules, by their names."""
    to = _target(name, step)
    with _locked(name):
        if name not in _built:
            _built[name] = _build(step, name, to)
        return _built[name]


def _build(step: Step, name: str, to: Target) -> dict[str, Path]:
    stage = _stage(name, to)
    room = Path("sys/os/linux")
    _make(step, to, stage, str(room), {})
    built = {MODULE: stage / room / f"{MODULE}.ko"}
    symbols = Path(INSIDE) if to.chroot else stage
    extra = {"KBUILD_EXTRA_SYMBOLS": str(symbols / room / "Module.symvers")}
    for kbuild in sorted((stage / "modules").glob("*/Kbuild")):
        _make(step, to, stage, f"modules/{kbuild.parent.name}", extra)
        built |= {ko.stem: ko for ko in kbuild.parent.glob("*.ko")}
    return {
        module: _finish(step, to, ko, stage / f"{module}.ko")
        for module, ko in built.items()
    }


def checked(step: Step) -> Path:
    """Builds for 6.1 afresh, sparse looking on; the stage it was done in."""
    to = _target("linux-6.1", step)
    name = "sparse"
    with _locked(name):
        shutil.rmtree(STAGES / name, ignore_errors=True)
        stage = _stage(name, to)
        _make(step, to, stage, "sys/os/linux", {"C": "1"})
    return stage


def _installed_headers() -> Path | None:
    """The newest headers that the distribution has installed, or None."""
    found = Path("/usr/src").glob("linux-headers-*")
    builds = [p for p in found if (p / "Module.symvers").exists()]
    return max(
        builds,
        key=lambda p: [int(n) for n in re.findall(r"\d+", p.name)],
        default=None,
    )


def dkms(step: Step) -> Count:
    """Builds as DKMS would for its user, in trees of our own."""
    headers = _installed_headers()
    if headers is None:
        return Count(skipped=["no kernel headers (linux-headers-amd64)"])
    top = STAGES / "dkms"
    shutil.rmtree(top, ignore_errors=True)
    conf = SYS / "os" / "linux" / "dkms.conf"
    version = re.findall(r'^PACKAGE_VERSION="(.*)"', conf.read_text(), re.MULTILINE)[0]
    source = top / "src" / f"{MODULE}-{version}"
    shutil.copytree(SYS, source, ignore=shutil.ignore_patterns("freebsd", "user"))
    shutil.copy(conf, source)
    for name in ("tree", "installed"):
        (top / name).mkdir()
    options: list[str | Path] = [
        "--sourcetree",
        top / "src",
        "--dkmstree",
        top / "tree",
    ]
    options += ["--installtree", top / "installed", "--kernelsourcedir", headers]
    release = headers.name.removeprefix("linux-headers-")
    which = ["-m", MODULE, "-v", version, "-k", release]
    # A key for signing would be made outside of our trees.
    unsigned = {"sign_file": "/nonexistent"}
    for verb in ("add", "build"):
        step.run(["dkms", verb, *which, *options], env=unsigned)
    built = top.glob(f"tree/{MODULE}/{version}/{release}/*/module/{MODULE}.ko*")
    if not any(built):
        raise StepFailed("dkms built nothing")
    return Count(passed=1)


def debug_module(name: str, module: str = MODULE) -> Path:
    """The module with DWARF, as kbuild left it: for a backtrace's lines."""
    room = "sys/os/linux" if module == MODULE else f"modules/{module}"
    return STAGES / name / room / f"{module}.ko"


STEPS: list[tuple[str, StepFunction]] = [("module by DKMS", dkms)]
