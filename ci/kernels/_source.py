# SPDX-License-Identifier: BSD-2-Clause
"""The kernel's source, from the distribution's package."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from ci.kernels._cache import Say, digest
from ci.vm import packages

SUITE = "bookworm"
PACKAGE = "linux-source-6.1"

# Parts that none of our configurations compiles; their Kconfig files stay.
UNUSED = (
    *("Documentation/*.rst", "Documentation/*.yaml", "Documentation/*.svg"),
    *("samples/*.[ch]", "tools/testing/*", "tools/perf/*"),
    *("sound/*.[ch]", "drivers/gpu/*.[ch]", "drivers/media/*.[ch]"),
    *("drivers/infiniband/*.[ch]", "drivers/staging/*.[ch]"),
    *("drivers/scsi/*.[ch]", "drivers/iio/*.[ch]", "drivers/hwmon/*.[ch]"),
    *("drivers/net/ethernet/*.[ch]", "drivers/net/wireless/*.[ch]"),
    *("drivers/usb/*.[ch]", "drivers/mtd/*.[ch]", "drivers/comedi/*.[ch]"),
    *("fs/xfs/*.[ch]", "fs/btrfs/*.[ch]", "fs/ocfs2/*.[ch]", "*/dts/*"),
)
ARCHITECTURES = (
    *("alpha", "arc", "arm", "arm64", "csky", "hexagon", "ia64", "loongarch"),
    *("m68k", "microblaze", "mips", "nios2", "openrisc", "parisc", "powerpc"),
    *("riscv", "s390", "sh", "sparc", "xtensa"),
)
SKIP = (
    *(f"--exclude=*/{p}" for p in UNUSED),
    *(f"--exclude=*/arch/{a}/*.[chS]" for a in ARCHITECTURES),
)


PATCHES = sorted(Path(__file__).parent.glob("*.patch"))


def patches() -> str:
    """Names what we change in the source: all of it under arch/x86/um."""
    return digest(*(p.read_text() for p in PATCHES))


def version() -> str:
    """Of the package that would be taken. Raises PackageError."""
    return packages.control(SUITE, PACKAGE)["Version"]


def ensure_source(say: Say) -> Path:
    """The unpacked and patched source, shared; kbuild writes elsewhere.

    Its path outlives a change of patches: what was built of it refers to it.
    """
    name = f"{PACKAGE}-{digest(version(), *SKIP)}"
    place = packages.cache() / "source" / name
    with packages.locked(f"source-{name}"):
        patched = place / "patched"
        if patched.exists() and patched.read_text() == patches():
            return place
        shutil.rmtree(place, ignore_errors=True)
        say(f"fetching and unpacking {PACKAGE} {version()}")
        tree = packages.fetch(SUITE, [PACKAGE])
        archive = tree / "usr" / "src" / f"{PACKAGE}.tar.xz"
        with packages.arriving(place) as work:
            tar = ["tar", "-C", str(work), "--strip-components=1", *SKIP]
            xz = ["--use-compress-program=xz -T0", "-xf", str(archive)]
            subprocess.run([*tar, *xz], check=True)
            for change in PATCHES:
                argv = ["patch", "-s", "-d", str(work), "-p1", "-i", str(change)]
                subprocess.run(argv, check=True)
            (work / "patched").write_text(patches())
    return place
