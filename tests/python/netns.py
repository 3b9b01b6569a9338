# SPDX-License-Identifier: BSD-2-Clause
"""Network namespaces for tests, and what cannot be had on this machine."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator

import pytest

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_number = itertools.count()


def need(there: object, what: str) -> None:
    """Skips where something is missing; in CI that is a failure."""
    if there:
        return
    if os.environ.get("CI"):
        pytest.fail(f"{what}, and in CI this must not be skipped")
    pytest.skip(what)


def sh(*words: object) -> str:
    """Runs a command; its output is in the error if it fails."""
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, words))}: {done.stderr or done.stdout}")
    return done.stdout


def sweep() -> None:
    """Ends what a test run that was killed left behind."""
    if os.geteuid() or not os.path.isdir("/var/run/netns"):
        return
    for name in os.listdir("/var/run/netns"):
        found = re.fullmatch(r"ms-f-(\d+)-\d+-\w+", name)
        if found and not os.path.exists(f"/proc/{found[1]}"):
            for pid in sh("ip", "netns", "pids", name).split():
                os.kill(int(pid), signal.SIGKILL)
            sh("ip", "netns", "del", name)


class Netns:
    """A network namespace of ours."""

    def __init__(self, role: str) -> None:
        need(os.geteuid() == 0, "network namespaces need root")
        need(shutil.which("ip"), "network namespaces need iproute2")
        self.name = f"ms-f-{os.getpid()}-{next(_number)}-{role}"
        sh("ip", "netns", "add", self.name)
        self.ip("link", "set", "lo", "up")

    def ip(self, *words: object) -> str:
        return sh("ip", "-n", self.name, *words)

    def command(self, *words: object) -> list[str]:
        """A command line that runs inside."""
        return ["ip", "netns", "exec", self.name, *map(str, words)]

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """The calling thread is in there meanwhile; what it opens stays so. Who
        is there already needs no privilege for it."""
        with (
            open("/proc/thread-self/ns/net") as before,
            open(f"/var/run/netns/{self.name}") as ours,
        ):
            if os.path.sameopenfile(before.fileno(), ours.fileno()):
                yield
                return
            _setns(ours.fileno())
            try:
                yield
            finally:
                _setns(before.fileno())

    def close(self) -> None:
        sh("ip", "netns", "del", self.name)


def _setns(fd: int) -> None:
    if _libc.setns(fd, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def veth(
    a: Netns, b: Netns, addrs: dict[int, tuple[str, str]], name: str = "eth0"
) -> None:
    """Joins two namespaces by a wire: `name` in both, addresses by family."""
    a.ip("link", "add", name, "type", "veth", "peer", "name", name, "netns", b.name)
    for ns, which in ((a, 0), (b, 1)):
        for family, pair in addrs.items():
            nodad = ["nodad"] if family == 6 else []
            prefix = 24 if family == 4 else 64
            ns.ip("addr", "add", f"{pair[which]}/{prefix}", "dev", name, *nodad)
        ns.ip("link", "set", name, "up")
