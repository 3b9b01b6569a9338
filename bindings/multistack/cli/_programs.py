# SPDX-License-Identifier: BSD-2-Clause
"""The programs in C: where they are, and to become one of them."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn

from multistack import _ffi
from multistack.cli._switch import Failure

_BUILT = {  # in a build directory
    "multistack-httpd": "lib/httpd/multistack-httpd",
    "multistack-load": "lib/load/multistack-load",
    "multistackd": "sys/os/user/daemon/multistackd",
}
_SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def find(name: str) -> str:
    """In the installed package, in the build directory that the library is of, or
    where the system's programs are. Failure: nowhere."""
    package = Path(__file__).resolve().parents[1]
    for path in (
        package / "bin" / name,
        _ffi.library_path.resolve().parent.parent / _BUILT[name],
    ):
        if os.access(path, os.X_OK):
            return str(path)
    folders = [*os.get_exec_path(), *_SBIN]
    # Not the script that leads here.
    folders = [f for f in folders if not _is_ours(os.path.join(f, name))]
    found = shutil.which(name, path=os.pathsep.join(folders))
    if not found:
        raise Failure(
            f"{name} is not installed; install the wheel, or build it (./inv build)"
        )
    return found


def _is_ours(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(2) == b"#!"
    except OSError:
        return False


def become(name: str, *words: str) -> NoReturn:
    """Replaces this process."""
    program = find(name)
    sys.stdout.flush()
    os.execv(program, [name, *words])


def _command(name: str) -> NoReturn:
    try:
        become(name, *sys.argv[1:])
    except Failure as e:
        e.show()
        raise SystemExit(1) from None


def multistackd() -> NoReturn:
    """The command `multistackd` of the wheel."""
    _command("multistackd")


def multistack_load() -> NoReturn:
    """The command `multistack-load` of the wheel."""
    _command("multistack-load")
