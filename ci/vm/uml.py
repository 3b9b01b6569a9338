# SPDX-License-Identifier: BSD-2-Clause
"""A guest that is a process: User Mode Linux."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

from ci.vm.guests import Kernel
from ci.vm.job import CONSOLE, Job, script
from ci.vm.share import DIE_TOGETHER, READ_ONLY

TERMINAL = "/dev/tty1"

# The kernel sees this machine's files as its own: all of them read-only but
# two folders, and memory of its own that may hold code. It is not the first
# process of its namespace, which could not kill itself when it panics.
_HOST = (
    READ_ONLY
    + """\
for place in "$1" "$2"; do
	mount --bind "$place" "$place" && mount -o remount,bind,rw "$place"
done
mount -t tmpfs -o mode=1777,huge=always shm /dev/shm 2> /dev/null ||
	mount -t tmpfs -o mode=1777 shm /dev/shm
shift 2
"$@"
exit $?
"""
)

# Puts a tmpfs over the root, as the initramfs does for QEMU's guests.
_INIT = """\
#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs -o mode=755 rw /run
mkdir /run/up /run/work /run/r
if ! mount -t overlay -o lowerdir=/,upperdir=/run/up,workdir=/run/work over /run/r
then
	echo 'multistack-vm: no overlay'; busybox halt -f
fi
for d in proc sys dev; do mount --move /$d /run/r/$d; done
mkdir -p /run/r/mnt /run/r/run
cd /run/r && pivot_root . mnt
mount -t tmpfs -o mode=755 run /run
umount -l /mnt
exec /bin/sh {job}
"""


class Uml:
    """One boot; the same methods as Qemu has."""

    def __init__(
        self,
        kernel: Kernel,
        job: Job,
        work: Path,
        *,
        mem_mib: int,
        append: str = "",
    ) -> None:
        results = shlex.quote(str(job.results))
        mount = f"mount -t hostfs -o {results} results"
        text = script(job, mount, kernel.modules, "busybox halt -f")
        (work / "job").write_text(text)
        (work / "init").write_text(_INIT.format(job=work / "job"))
        (work / "init").chmod(0o755)
        self._console = (job.results / CONSOLE).open("wb")
        fd = self._console.fileno()
        tty = "fd:0,fd:1" if job.terminal else "null"
        argv = [
            *(*DIE_TOGETHER, "unshare", "--mount", "--net", "--pid", "--fork"),
            *("--mount-proc", "--kill-child", "sh", "-c", _HOST, "sh"),
            *(str(job.results), str(work), str(kernel.image)),
            *(f"mem={mem_mib}M", "root=/dev/root", "rootfstype=hostfs", "rootflags=/"),
            *("ro", f"init={work / 'init'}", f"uml_dir={work}", "loglevel=5"),
            *(
                "con=null",
                "ssl=null",
                f"con0=null,fd:{fd}",
                f"con1={tty}",
                "kasan_multi_shot",
                "random.trust_cpu=on",
            ),
            *append.split(),
        ]
        self.process = subprocess.Popen(
            argv,
            stdin=None if job.terminal else subprocess.DEVNULL,
            stdout=None if job.terminal else self._console,
            stderr=self._console,
            pass_fds=[fd],
            start_new_session=job.terminal is None,
            env={**os.environ, "TMPDIR": "/dev/shm"},
        )

    def interrupt(self) -> None:
        """There is nobody to ask: the console is all it said."""

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._console.close()
