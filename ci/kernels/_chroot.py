# SPDX-License-Identifier: BSD-2-Clause
"""A suite's own compiler, in a directory of its own: for kernels that want it.

Everything is mounted in a private mount namespace, which ends with the
command: whatever happens, no mount is left behind.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from ci.kernels._cache import Say, digest, forget, stamp
from ci.vm import packages
from ci.vm.packages import PackageError

TAIL_LINES = 12


def command(
    chroot: Path, argv: Sequence[str | Path], binds: Mapping[Path, str]
) -> list[str]:
    """The command that runs argv in a chroot; binds: what is seen where."""
    lines = [f"mount -t proc proc {shlex.quote(str(chroot / 'proc'))}"]
    for source, place in binds.items():
        target = chroot / place.lstrip("/")
        quoted = shlex.join([str(source), str(target)])
        lines += [f"mkdir -p {shlex.quote(str(target))}", f"mount --bind {quoted}"]
    inside = shlex.join(["chroot", str(chroot), *map(str, argv)])
    script = " && ".join([*lines, f"exec {inside}"])
    return ["unshare", "--mount", "--propagation=private", "sh", "-c", script]


def _run(argv: list[str], log: Path) -> None:
    env = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C",
        "DEBIAN_FRONTEND": "noninteractive",
        **{k: v for k, v in os.environ.items() if k.lower().endswith("_proxy")},
    }
    with log.open("a") as out:
        out.write(f"$ {shlex.join(argv)}\n")
        out.flush()
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=env,
        )
    if done.returncode:
        tail = log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
        raise PackageError("\n".join([f"no chroot; {log} ends:", *tail]))


def ensure_chroot(suite: str, wanted: Sequence[str], say: Say) -> Path:
    """A minimal chroot with these packages, installed only there.

    Raises PackageError, also where we are not root.
    """
    parent = packages.cache() / "chroot"
    place = parent / f"{suite}-{digest(*wanted)}"
    with packages.locked(f"chroot-{suite}"):
        if stamp(place).exists():
            os.utime(stamp(place))
            return place
        if os.geteuid() != 0:
            raise PackageError(f"a chroot of {suite} can only be made by root")
        parent.mkdir(exist_ok=True)
        log = parent / f"{suite}.log"
        log.unlink(missing_ok=True)
        say(f"making a chroot of {suite} with {', '.join(wanted)}")
        with packages.arriving(place) as work:
            bootstrap = ["debootstrap", "--variant=minbase", suite, str(work)]
            bootstrap.append(f"{packages.mirror()}/debian")
            _run(["unshare", "--mount", "--propagation=private", *bootstrap], log)
            install = ["apt-get", "-q", "-y", "--no-install-recommends", "install"]
            _run(command(work, [*install, *wanted], {}), log)
            _run(command(work, ["apt-get", "clean"], {}), log)
            stamp(work).touch()
        forget(parent, suite)
    return place
