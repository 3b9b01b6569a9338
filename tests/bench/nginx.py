# SPDX-License-Identifier: BSD-2-Clause
"""nginx to compare with: the machine's, or the distribution's unpacked beside the
build. Installing the package would start a server of its own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.bench.programs import BenchError

# Where the program is: in the first of these packages that has it.
PACKAGES = ("nginx", "nginx-core", "nginx-light")
REMEDY = "Have nginx in PATH: apt-get install nginx-light, and stop what it starts."


def find(build: Path) -> str:
    """The path of nginx. BenchError, with the remedy, if it cannot be had."""
    here = shutil.which("nginx")
    if here:
        return here
    folder = build / "nginx"
    program = folder / "usr/sbin/nginx"
    for package in PACKAGES:
        if not program.exists():
            _unpack(package, folder)
    if not program.exists():
        raise BenchError(f"nginx is not in {', '.join(PACKAGES)}. {REMEDY}")
    _run([str(program), "-v"], folder)  # its libraries are there
    return str(program)


def _unpack(package: str, folder: Path) -> None:
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        raise BenchError(f"nginx is missing, and so is apt-get. {REMEDY}")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _run(["apt-get", "-q", "download", package], folder)
    except BenchError:  # perhaps it has not been asked what there is
        _run(["apt-get", "-q", "update"], folder)
        _run(["apt-get", "-q", "download", package], folder)
    for archive in folder.glob(f"{package}_*.deb"):
        _run(["dpkg", "-x", archive.name, "."], folder)
        archive.unlink()


def _run(argv: list[str], folder: Path) -> None:
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        why = (done.stderr or done.stdout).strip().splitlines() or ["?"]
        raise BenchError(f"`{' '.join(argv)}` failed: {why[-1]}. {REMEDY}")
