# SPDX-License-Identifier: BSD-2-Clause
"""Who carries the switch: multistackd, or the kernel module. The cast and what
it does are the same with both; what differs is here."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from demo.world import IFNAME, ROOT, SERVER, Process, World, WorldError

if TYPE_CHECKING:
    from demo.cast import Built
    from demo.report import Report

NODE = Path("/dev/multistack")
GROUP = 61000  # has the module's node meanwhile, where no udev rule gave it away


class Carrier:
    """Between its beginning and its end, `device` is what stacks open."""

    name = ""
    device = ""
    # Whether frames have to have their checksums before they are on a wire.
    needs_checksums = False

    def __init__(self, world: World, built: Built) -> None:
        self.world = world
        self.built = built
        self.groups: list[int] = []  # that a stack's user has to be in

    @property
    def control(self) -> str:
        """The switch without an interface."""
        return self.device.rpartition(":")[0] + ":"

    def __enter__(self) -> Carrier:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    def start(self, report: Report) -> None:
        """Puts the switch on the server's interface."""
        raise NotImplementedError

    def end(self, report: Report, stacks: list[Process]) -> None:
        """Takes it off, although these still have ports."""
        raise NotImplementedError


class Daemon(Carrier):
    name = "multistackd"
    needs_checksums = True

    def __init__(self, world: World, built: Built) -> None:
        super().__init__(world, built)
        self.socket = world.dir / "multistack.sock"
        self.device = f"daemon@{self.socket}:{IFNAME}"

    def start(self, report: Report) -> None:
        self.process = self.world.spawn(
            *(SERVER, "multistackd", str(self.built.daemon), "--foreground"),
            *("--socket", str(self.socket), "--attach", IFNAME),
        )
        self.process.wait_for(self.socket.exists, f"socket {self.socket}")
        for line in self.process.output().splitlines():
            (report.warn if "warn" in line.lower() else report.say)(line)

    def end(self, report: Report, stacks: list[Process]) -> None:
        status = self.process.stop()
        report.check(
            "multistackd ends when asked to", status == 0, f"exit status {status}"
        )


class Module(Carrier):
    name = "the kernel module"
    device = f"kmod:{IFNAME}"

    def __enter__(self) -> Carrier:
        try:
            self._was = NODE.stat()
        except FileNotFoundError:
            raise WorldError(
                "There is no /dev/multistack: `modprobe multistack` first, or play this "
                "in a guest: ./inv demo --guest linux-6.12"
            ) from None
        self.ruled = bool(self._was.st_gid and self._was.st_mode & stat.S_IWGRP)
        if not self.ruled:
            os.chown(NODE, 0, GROUP)
            NODE.chmod(0o660)
        self.groups = [self._was.st_gid if self.ruled else GROUP]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self.ruled:
            os.chown(NODE, self._was.st_uid, self._was.st_gid)
            NODE.chmod(stat.S_IMODE(self._was.st_mode))

    def _command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`multistack ...` on the server."""
        return self.world.call(
            *(SERVER, "env", f"PYTHONPATH={ROOT / 'bindings'}"),
            f"MULTISTACK_LIBRARY={self.built.library}",
            *(sys.executable, "-m", "multistack", *words),
            ok=False,
        )

    def start(self, report: Report) -> None:
        if not self.ruled:
            report.say(
                f"no udev rule gave {NODE} to a group: group {GROUP} has it meanwhile"
            )
        done = self._command("attach", "-d", "kmod", IFNAME)
        if done.returncode:
            raise WorldError(done.stderr.strip())
        report.say(f"multistack attach {IFNAME}: {done.stdout.strip()}")

    def end(self, report: Report, stacks: list[Process]) -> None:
        done = self._command("detach", "-d", "kmod", IFNAME)
        report.check(
            "the module is not taken from under open ports",
            done.returncode == 1 and "open" in done.stderr,
            done.stderr.strip().removeprefix("multistack: "),
        )
        done = self._command("detach", "-d", "kmod", IFNAME, "--force")
        report.check("unless by force", done.returncode == 0, done.stdout + done.stderr)
        for stack in stacks:
            stack.wait_for_end()
            said = [s for s in stack.output().splitlines() if "detached" in s]
            report.check(
                f"{stack.name} is told so, and ends", said != [], "".join(said[-1:])
            )
        self._hand_over(report)

    def _hand_over(self, report: Report) -> None:
        """Nobody has the interface's packets any more: a bridge can."""
        bridge = "demo-bridge"
        for words in (
            ("ip", "link", "add", bridge, "type", "bridge"),
            ("ip", "link", "set", IFNAME, "master", bridge),
            ("ip", "link", "set", IFNAME, "nomaster"),
            ("ip", "link", "del", bridge),
        ):
            done = self.world.call(SERVER, *words, ok=False)
            if done.returncode:
                break
        report.check(
            "a bridge can have the interface now", done.returncode == 0, done.stderr
        )
