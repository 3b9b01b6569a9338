# SPDX-License-Identifier: BSD-2-Clause
"""The types of a distribution's kernel, from its image.

A module's BTF refers to the kernel's own, which 6.1's headers do not hold.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from ci.kernels._cache import digest
from ci.vm import packages
from ci.vm.packages import PackageError

# Where Linux's x86 boot protocol keeps what we need (boot.rst, version 2.08).
SETUP_SECTS = 0x1F1
MAGIC = 0x202
PAYLOAD_OFFSET = 0x248
PAYLOAD_LENGTH = 0x24C
SECTOR_BYTES = 512
LZ4 = bytes.fromhex("02214c18")
SIZE_BYTES = 4  # what the kernel's build appends to the compressed file


def payload(image: bytes) -> bytes:
    """The compressed kernel in a bzImage. Raises ValueError for others."""
    if image[MAGIC : MAGIC + 4] != b"HdrS":
        raise ValueError("not a Linux boot image")
    at = (image[SETUP_SECTS] + 1) * SECTOR_BYTES
    offset, length = (
        int.from_bytes(image[a : a + 4], "little")
        for a in (PAYLOAD_OFFSET, PAYLOAD_LENGTH)
    )
    found = image[at + offset : at + offset + length]
    if len(found) != length:
        raise ValueError("a boot image cut short")
    return found


def base(image: Path) -> Path:
    """An ELF file with the .BTF of this image's kernel, cached."""
    data = image.read_bytes()
    place = packages.cache() / "btf" / digest(data.hex())
    with packages.locked(f"btf-{place.name}"):
        if place.exists():
            return place / "vmlinux"
        try:
            packed = payload(data)
        except ValueError as e:
            raise PackageError(f"{image}: {e}") from None
        if not packed.startswith(LZ4):
            raise PackageError(f"{image} is not compressed by LZ4")
        with packages.arriving(place) as work:
            whole = work / "whole"
            with whole.open("wb") as out:
                subprocess.run(
                    ["lz4", "-dc"],
                    input=packed[:-SIZE_BYTES],
                    stdout=out,
                    stderr=subprocess.PIPE,
                    check=True,
                )
            keep = ["objcopy", "--only-section=.BTF", str(whole)]
            # It warns of segments without a section, which nobody loads.
            subprocess.run(
                [*keep, str(work / "vmlinux")], check=True, stderr=subprocess.DEVNULL
            )
            whole.unlink()
    return place / "vmlinux"
