# SPDX-License-Identifier: BSD-2-Clause
"""The initramfs: busybox, a few modules, and a root that may be written to."""

from __future__ import annotations

import gzip
import lzma
import os
import shutil
import subprocess
from pathlib import Path

from ci.vm.guests import Kernel

# What it takes to mount the root; absent where the kernel has it built in.
NEEDED = ("virtio_pci", "virtiofs", "overlay", "virtio_console")

# Mounts the machine's root with a tmpfs over it, then becomes the job there.
INIT = """\
#!/bin/busybox sh
B=/bin/busybox
fail() { echo "multistack-vm: $1"; $B reboot -f; }
$B mount -t proc proc /proc
$B mount -t sysfs sys /sys
$B mount -t devtmpfs dev /dev
for m in $($B cat /modules/order); do
	$B insmod /modules/$m || echo "multistack-vm: no module $m"
done
$B mount -t virtiofs -o ro root /lower || fail 'no root'
$B mount -t tmpfs -o mode=755 rw /rw && $B mkdir /rw/up /rw/work
$B mount -t overlay -o lowerdir=/lower,upperdir=/rw/up,workdir=/rw/work over /r ||
	fail 'no overlay'
for d in proc sys dev; do $B mount --move /$d /r/$d; done
$B mount -t tmpfs -o mode=755 run /r/run
$B mkdir /r/run/vm
$B cp /job /r/run/vm/job
exec $B switch_root /r /bin/sh /run/vm/job
"""


def _modules(kernel: Kernel, names: tuple[str, ...]) -> list[Path]:
    """Modules by name with what they depend on, in the order to load them."""
    room = kernel.modules
    if room is None or not (room / "modules.dep").exists():
        return []
    depends: dict[str, list[str]] = {}
    for line in (room / "modules.dep").read_text().splitlines():
        path, _, rest = line.partition(":")
        depends[path] = rest.split()
    by_name = {p.split("/")[-1].split(".ko")[0].replace("-", "_"): p for p in depends}
    order: list[str] = []
    for name in names:
        if name in by_name:
            path = by_name[name]
            order += [p for p in [*reversed(depends[path]), path] if p not in order]
    return [room / p for p in order]


def _plain(path: Path) -> bytes:
    """A module's bytes, uncompressed."""
    data = path.read_bytes()
    if path.suffix == ".xz":
        return lzma.decompress(data)
    if path.suffix == ".gz":
        return gzip.decompress(data)
    if path.suffix == ".zst":
        argv = ["zstd", "-dcq", str(path)]
        return subprocess.run(argv, check=True, capture_output=True).stdout
    return data


def _entry(name: str, mode: int, data: bytes = b"") -> bytes:
    """A file or folder in cpio's newc format."""
    numbers = (0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
    head = b"070701" + "".join(f"{n:08x}" for n in numbers).encode()
    head += name.encode() + b"\0"
    return head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4)


def busybox() -> Path:
    """The static busybox; raises FileNotFoundError with the remedy."""
    found = shutil.which("busybox", path="/bin:/usr/bin:/usr/local/bin")
    if found is None:
        raise FileNotFoundError("no busybox: apt-get install busybox-static")
    return Path(found)


def write(path: Path, kernel: Kernel, job: str) -> None:
    """Writes an initramfs that runs the shell script `job` in the real root."""
    write_own(path, kernel, NEEDED, {"init": INIT, "job": job})


def write_own(
    path: Path, kernel: Kernel, modules: tuple[str, ...], scripts: dict[str, str]
) -> None:
    """Writes one with busybox, modules (/modules/order has the order) and scripts."""
    parts = [_entry(d, 0o40755) for d in ("bin", "proc", "sys", "dev", "modules")]
    parts += [_entry(d, 0o40755) for d in ("lower", "rw", "r")]
    order = []
    for module in _modules(kernel, modules):
        name = module.name.split(".ko")[0] + ".ko"
        parts.append(_entry(f"modules/{name}", 0o100644, _plain(module)))
        order.append(name)
    parts += [
        _entry("modules/order", 0o100644, " ".join(order).encode()),
        _entry("bin/busybox", 0o100755, busybox().read_bytes()),
        *(_entry(n, 0o100755, text.encode()) for n, text in scripts.items()),
        _entry("TRAILER!!!", 0),
    ]
    with path.open("wb") as f:
        f.writelines(parts)
        os.fchmod(f.fileno(), 0o600)
