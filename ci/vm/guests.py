# SPDX-License-Identifier: BSD-2-Clause
"""The guests: which kernels there are, and where each comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ci import kernels
from ci.vm import packages

Kind = Literal["qemu", "uml"]

META = "linux-image-cloud-amd64"
# Since 7.x the image is a metapackage, and these hold what it held.
PARTS = ("linux-base-", "linux-binary-", "linux-modules-")


@dataclass(frozen=True)
class Kernel:
    """A kernel that can be booted."""

    name: str  # of the guest
    kind: Kind
    release: str  # as uname -r says
    image: Path  # a bzImage, or UML's executable
    modules: Path | None = None  # .../lib/modules/RELEASE, with modules.dep
    suite: str = ""  # the distribution's; "": built here


@dataclass(frozen=True)
class Guest:
    """A row of the table: a distribution's kernel or one of our own."""

    about: str
    suites: tuple[str, ...] = ()  # the first that has it; (): built here
    cpus: int = 2
    mem_mib: int = 1024
    slow: float = 1.0  # time limits are multiplied by this
    one_thread: bool = False  # see qemu.TCG_ONE_THREAD


GUESTS: dict[str, Guest] = {
    "linux-6.1": Guest("Debian 12's", ("bookworm",)),
    "linux-6.12": Guest("Debian 13's", ("bookworm-backports", "trixie")),
    "linux-newest": Guest(
        "Debian unstable's, as found", ("sid",), slow=2.0, one_thread=True
    ),
    "linux-debug": Guest("KASAN, lockdep, kmemleak, UBSAN", mem_mib=2048, slow=4.0),
    "linux-kcsan": Guest("data races", mem_mib=2048, slow=4.0),
    "uml": Guest("native speed", cpus=1, mem_mib=512),
    "uml-debug": Guest("KASAN, lockdep, coverage, in seconds", cpus=1, slow=2.0),
}


def kernel(name: str, say: Callable[[str], None] = print) -> Kernel:
    """A guest's kernel, fetched or built where the cache has none.

    Says what takes long. Raises packages.PackageError or kernels.KernelError.
    """
    guest = GUESTS[name]
    if not guest.suites:
        return _own(name, say)
    for suite in guest.suites:
        try:
            return distribution_kernel(name, suite)
        except packages.PackageError as e:
            last = e
    raise last


def _own(name: str, say: Callable[[str], None]) -> Kernel:
    built = kernels.ensure(name, say)
    kind: Kind = "uml" if built.arch == "um" else "qemu"
    return Kernel(name, kind, built.release, built.image)


def distribution_kernel(name: str, suite: str) -> Kernel:
    """The cloud kernel of a suite, unpacked in the cache."""
    image = packages.behind(suite, META, "linux-image-")
    depends = packages.control(suite, image)["Depends"]
    parts = packages.names(depends, PARTS)
    tree = packages.fetch(suite, [image, *parts])
    modules = packages.modules_of(tree)
    if len(modules) != 1:
        raise packages.PackageError(f"{suite}: {image} has no modules")
    release = modules[0].name
    boot = [tree / "boot" / f"vmlinuz-{release}", modules[0] / "vmlinuz"]
    found = [path for path in boot if path.exists()]
    if not found:
        raise packages.PackageError(f"{suite}: {image} has no kernel")
    return Kernel(name, "qemu", release, found[0], modules[0], suite)
