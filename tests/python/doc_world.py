# SPDX-License-Identifier: BSD-2-Clause
"""The machines that the documents speak of: one with an interface eth0 and the
address 192.0.2.7, and a client at the other end of its wire.

A shell there has /run and /srv of its own, a folder that looks like a checkout that
was built, the programs in its PATH, and is root; `sudo` does nothing more.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from netns import Netns, need, sh, veth
from worlds import daemon_path, eventually

from multistack import _ffi

ROOT = Path(__file__).resolve().parents[2]
SERVER, CLIENT = ("192.0.2.7", "2001:db8::7"), ("192.0.2.1", "2001:db8::1")
PATIENCE_S = 60.0  # the machine may be busy with others
COMMAND_S = 180.0
# In a mount namespace that `ip netns exec` makes; stays there to be entered.
HOLD = """
mount -t tmpfs none /run && mount -t tmpfs none /srv &&
mkdir -p /srv/www && echo 'It works' > /srv/www/index.html && echo ready &&
exec sleep infinity
"""


class DocWorld:
    """kind: wired; daemon (multistackd runs); attached (and has eth0)."""

    def __init__(self, scratch: Path, kind: str) -> None:
        self.folder = scratch
        self.serving: list[subprocess.Popen[bytes]] = []
        self.runs = 0
        self.build = daemon_path().parents[4]
        self.server, self.client = Netns("srv"), Netns("cli")
        veth(
            *(self.server, self.client),
            {4: (SERVER[0], CLIENT[0]), 6: (SERVER[1], CLIENT[1])},
        )
        sh(*self.client.command("ethtool", "-K", "eth0", "tx", "off"))
        self._checkout()
        self.holder = subprocess.Popen(
            self.server.command("sh", "-c", HOLD), stdout=subprocess.PIPE, text=True
        )
        assert self.holder.stdout
        need(self.holder.stdout.readline() == "ready\n", "no tmpfs can be mounted")
        if kind != "wired":
            attach = " --attach eth0" if kind == "attached" else ""
            self.run(f"multistackd{attach}")

    def _checkout(self) -> None:
        self.binaries = self.folder / "bin"
        self.binaries.mkdir()
        (self.folder / "build").mkdir()
        (self.folder / "build/plain").symlink_to(self.build)
        for name in ("sys", "lib", "demo", "tests", "docs", "bindings"):
            (self.folder / name).symlink_to(ROOT / name)
        package = f"PYTHONPATH={os.pathsep.join(sys.path)} exec {sys.executable}"
        scripts = {
            "sudo": 'exec "$@"',
            "python3": f'{package} "$@"',
            "multistack": f'{package} -m multistack "$@"',
            "multistackd": f'exec {daemon_path()} "$@"',
            "multistack-httpd": f'exec {self.build}/lib/httpd/multistack-httpd "$@"',
        }
        for name, line in scripts.items():
            script = self.binaries / name
            script.write_text(f"#!/bin/sh\n{line}\n")
            script.chmod(0o755)

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": f"{self.binaries}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": str(self.folder),
            "TERM": "dumb",
            "LC_ALL": "C.UTF-8",
            "LD_LIBRARY_PATH": str(self.build / "lib"),
            "MULTISTACK_LIBRARY": str(_ffi.library_path),
            "PKG_CONFIG_PATH": str(self.build / "meson-uninstalled"),
            "PWD": str(self.folder),
        }

    def _there(self, script: str) -> list[str]:
        """A shell on the server: -e, so that each command counts."""
        enter = ["nsenter", "-t", str(self._holder_pid()), "-m", "-n", "--"]
        return [*enter, "bash", "-euo", "pipefail", "-c", f"cd {self.folder}\n{script}"]

    def _holder_pid(self) -> int:
        """`ip netns exec` becomes the command."""
        return self.holder.pid

    def run(self, script: str) -> str:
        """Runs it on the server; what it starts in the background stays."""
        # One for each: what an earlier one started still writes into its own.
        self.runs += 1
        log = self.folder / f"log-{self.runs}"
        with log.open("w+", errors="replace") as file:
            code = subprocess.run(
                self._there(script),
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                timeout=COMMAND_S,
            ).returncode
            file.seek(0)
            said = file.read()
        assert code == 0, f"exit status {code}\n{said}"
        return said

    def serve(self, script: str) -> None:
        """Starts it on the server; it goes on."""
        with (self.folder / "serving").open("w") as file:
            self.serving.append(
                subprocess.Popen(
                    self._there(script),
                    env=self._environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=file,
                )
            )

    def works(self, command: str) -> None:
        """On the client, within PATIENCE_S."""
        words = self.client.command("bash", "-uo", "pipefail", "-c", command)
        last = ""

        def once() -> bool:
            nonlocal last
            try:
                done = subprocess.run(words, capture_output=True, text=True, timeout=20)
            except subprocess.TimeoutExpired:
                last = "it did not end"
                return False
            last = done.stdout + done.stderr
            time.sleep(0 if done.returncode == 0 else 0.1)
            return done.returncode == 0

        try:
            eventually(once, command, PATIENCE_S)
        except AssertionError as e:
            log = self.folder / "serving"
            served = log.read_text(errors="replace") if log.exists() else ""
            raise AssertionError(f"{e}\n{last}\n{served}") from None

    def close(self) -> None:
        try:
            for ns in (self.server, self.client):
                for pid in sh("ip", "netns", "pids", ns.name).split():
                    os.kill(int(pid), 15 if int(pid) != self.holder.pid else 9)
            self.holder.communicate()
            for served in self.serving:
                served.wait(PATIENCE_S)
            eventually(self._empty, "the end of all programs")
        finally:
            self.server.close()
            self.client.close()

    def _empty(self) -> bool:
        return not sh("ip", "netns", "pids", self.server.name).split()
