# SPDX-License-Identifier: BSD-2-Clause
"""The FreeBSDs that can be built for, and where their headers come from.

By default those inside the PyPI packages ziglang, which carry the headers of
libc and of the kernel; else a sysroot: somebody's, or one made of a release's
sets (sets.py).
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from ci.steps import BUILD, Step, StepFailed
from ci.vm.packages import arriving, cache, locked

BUILDS = BUILD / "freebsd"

# What bsd.kmod.mk takes for GENERIC's options where no kernel is at hand.
_INET = "#define INET 1\n#define TCP_OFFLOAD 1\n"
_INET6 = "#define INET6 1\n"


@dataclass(frozen=True)
class Target:
    """One FreeBSD."""

    name: str  # "15.0": of the release, and of the folder in build/freebsd
    version: int  # __FreeBSD_version: a kernel refuses a later one's modules
    kernel: tuple[Path, ...]  # folders of the kernel's headers
    compiler: tuple[str, ...]  # of programs
    about: str  # where all that comes from
    define_version: bool = False  # its headers leave that to the compiler
    root: Path | None = None  # a sysroot: its kernel and libc.a, if it has them

    @property
    def triple(self) -> str:
        return f"x86_64-unknown-freebsd{self.name}"

    @property
    def major(self) -> int:
        return self.version // 100000

    @property
    def image(self) -> Path | None:
        """The kernel itself."""
        return self._has("boot/kernel/kernel")

    @property
    def static(self) -> bool:
        """Whether programs can be."""
        return self._has("usr/lib/libc.a") is not None

    @property
    def links(self) -> bool:
        """Whether programs can be linked at all: some sysroots are headers."""
        return self.root is None or self._has("usr/lib/crt1.o") is not None

    def _has(self, name: str) -> Path | None:
        path = self.root / name if self.root else None
        return path if path and path.exists() else None

    @property
    def build(self) -> Path:
        return BUILDS / self.name

    @property
    def variants(self) -> dict[str, str]:
        """Kernels that want modules of their own: folder, opt_global.h.

        GENERIC has VIMAGE from 12 on; before, both kinds are about.
        """
        smp, vimage = "#define SMP 1\n", "#define VIMAGE 1\n"
        if self.major >= 12:
            return {"": smp + vimage}
        return {"": smp, "vimage": smp + vimage}

    def options(self, variant: str) -> dict[str, str]:
        """opt_*.h by name."""
        return {
            "opt_global.h": self.variants[variant],
            "opt_inet.h": _INET,
            "opt_inet6.h": _INET6,
        }


# ---- the PyPI packages -------------------------------------------------------


@dataclass(frozen=True)
class Packaged:
    ziglang: str  # version of the package whose kernel headers these are
    version: int  # of the release: the headers are of the branch after it
    libc: str  # the oldest that its programs run with


PACKAGED = {
    "15.0": Packaged("0.17.1", 1500068, "15.0"),
    "14.2": Packaged("0.15.2", 1402000, "14.0"),
}
INCLUDE = "lib/libc/include"
KERNEL = ("x86_64-freebsd-none", "generic-freebsd")


def zig() -> Path:
    """The package of ci/requirements.txt, which compiles and links programs."""
    spec = importlib.util.find_spec("ziglang")
    if spec is None or spec.origin is None:
        raise StepFailed("the Python package ziglang is missing (./inv gets it)")
    return Path(spec.origin).parent


def _headers(version: str, step: Step) -> Path:
    """The headers of a version of the package, from the cache or the index."""
    here = zig()
    if (here.parent / f"ziglang-{version}.dist-info").is_dir():
        return here / INCLUDE
    tree = cache() / "freebsd" / f"ziglang-{version}"
    with locked(f"ziglang-{version}"):
        if not tree.exists():
            step.say(f"fetching ziglang {version}")
            with arriving(tree) as work, tempfile.TemporaryDirectory() as tmp:
                argv = [sys.executable, "-m", "pip", "download", "--quiet"]
                argv += ["--disable-pip-version-check", "--no-deps", "--dest", tmp]
                step.run([*argv, f"ziglang=={version}"])
                with zipfile.ZipFile(next(Path(tmp).glob("*.whl"))) as wheel:
                    rooms = tuple(f"ziglang/{INCLUDE}/{d}/" for d in KERNEL)
                    names = [n for n in wheel.namelist() if n.startswith(rooms)]
                    wheel.extractall(work, names)
    return tree / "ziglang" / INCLUDE


def packaged(name: str, step: Step) -> Target:
    """A release by the headers of its ziglang."""
    it = PACKAGED[name]
    include = _headers(it.ziglang, step)
    for folder in KERNEL:
        if not (include / folder).is_dir():
            raise StepFailed(f"ziglang {it.ziglang} has no {folder}")
    return Target(
        name,
        it.version,
        tuple(include / folder for folder in KERNEL),
        (str(zig() / "zig"), "cc", "-target", f"x86_64-freebsd.{it.libc}"),
        f"ziglang {it.ziglang}",
        define_version=True,
    )


# ---- sysroots ----------------------------------------------------------------

_VERSION = re.compile(r"^#define\s+__FreeBSD_version\s+(\d+)", re.MULTILINE)


def version_of(param_h: Path) -> int:
    """__FreeBSD_version as sys/param.h defines it."""
    found = _VERSION.search(param_h.read_text(errors="replace"))
    if not found:
        raise StepFailed(f"{param_h} does not define __FreeBSD_version")
    return int(found[1])


def release_of(version: int) -> str:
    """1004000 is 10.4, 1402000 is 14.2, 1500068 is 15.0."""
    return f"{version // 100000}.{version % 100000 // 1000}"


def sysroot(root: Path, step: Step) -> Target:
    """A release by its own files.

    root: what base.txz and, if there, src.txz and kernel.txz hold: usr/include
    and usr/lib at least.
    """
    root = root.resolve()
    include = root / "usr" / "include"
    if not (include / "sys" / "param.h").exists():
        raise StepFailed(f"{root} has no usr/include/sys/param.h: not a sysroot")
    version = version_of(include / "sys" / "param.h")
    name = release_of(version)
    source = root / "usr" / "src" / "sys"
    if (source / "amd64" / "include").is_dir():
        kernel = _from_source(source, BUILDS / name / "machine")
    else:
        kernel = (include,)
    target = f"x86_64-unknown-freebsd{name}"
    compiler = [shutil.which("clang-16") or "clang", f"--target={target}"]
    compiler += [f"--sysroot={root}", "--start-no-unused-arguments"]
    compiler += ["-fuse-ld=lld-16", "--end-no-unused-arguments"]
    return Target(
        name,
        version,
        kernel,
        tuple(compiler),
        str(root),
        root=root,
    )


def _from_source(source: Path, links: Path) -> tuple[Path, ...]:
    """A kernel's source as headers, with the two links that make gives it."""
    links.mkdir(parents=True, exist_ok=True)
    for name, place in (("machine", "amd64"), ("x86", "x86")):
        link = links / name
        link.unlink(missing_ok=True)
        link.symlink_to(source / place / "include")
    contrib = [source / "contrib" / "ck" / "include", source / "contrib" / "altq"]
    return (links, source, *(d for d in contrib if d.is_dir()))


def clang_resources() -> Path:
    """clang's own headers: stdarg.h and its like are not the system's."""
    done = subprocess.run(
        ["clang-16", "-print-resource-dir"], capture_output=True, text=True, check=True
    )
    return Path(done.stdout.strip()) / "include"
