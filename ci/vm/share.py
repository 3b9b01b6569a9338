# SPDX-License-Identifier: BSD-2-Clause
"""Folders of this machine in a guest, by virtiofs."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path
from typing import IO

# Debian 12's, in C; from Debian 13 on it is another program, in Rust.
_DAEMONS = {
    "/usr/lib/qemu/virtiofsd": (
        *("-f", "-o", "source={folder},cache={cache},sandbox=chroot,log_level=err"),
        *("--thread-pool-size=1", "--fd={fd}"),
    ),
    "/usr/libexec/virtiofsd": (
        *("--shared-dir={folder}", "--cache={cache}", "--sandbox=chroot"),
        *("--log-level=error", "--thread-pool-size=1", "--fd={fd}"),
    ),
}

# For sh, in a mount namespace of its own. A guest whose kernel went mad must
# not be able to write here.
READ_ONLY = """\
while read -r _ place _; do
	mount -o remount,bind,ro "$(printf %b "$place")" 2>/dev/null
done </proc/self/mounts
"""


# A machine does not outlive whoever runs it, however that one ended.
DIE_TOGETHER = ("setpriv", "--pdeathsig", "KILL")


class Share:
    """A daemon that gives one folder to one guest."""

    def __init__(
        self, tag: str, folder: Path, work: Path, log: IO[bytes], read_only: bool
    ) -> None:
        self.tag = tag
        self.path = work / f"{tag}.socket"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.path))
            listener.listen(1)
            fd = listener.fileno()
            argv = self._argv(folder, fd, read_only)
            self._daemon = subprocess.Popen(
                argv,
                pass_fds=[fd],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @staticmethod
    def _argv(folder: Path, fd: int, read_only: bool) -> list[str]:
        program = next((p for p in _DAEMONS if Path(p).exists()), None)
        if program is None:
            raise FileNotFoundError(
                "no virtiofsd: apt-get install qemu-system-common (or virtiofsd)"
            )
        # The root is taken as unchanging; results are seen at once.
        cache = "always" if read_only else "auto"
        values = {"folder": folder, "cache": cache, "fd": fd}
        argv = [program, *(o.format(**values) for o in _DAEMONS[program])]
        if read_only:
            argv = ["unshare", "-m", "sh", "-c", f'{READ_ONLY}exec "$@"', "sh", *argv]
        return [*DIE_TOGETHER, *argv]

    def qemu(self) -> list[str]:
        """QEMU's options for it."""
        return [
            *("-chardev", f"socket,id={self.tag},path={self.path}"),
            "-device",
            f"vhost-user-fs-pci,chardev={self.tag},tag={self.tag},queue-size=1024",
        ]

    def close(self) -> None:
        self._daemon.kill()
        self._daemon.wait()
