# SPDX-License-Identifier: BSD-2-Clause
"""Sysroots made of a release's distribution sets, and images of its VMs.

All is checked against the checksums that the release itself publishes, and
kept in the cache. MULTISTACK_FREEBSD_MIRROR names another mirror, laid out as
download.freebsd.org; "none": nobody is asked.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from ci.vm.packages import arriving, cache, locked

Say = Callable[[str], None]

MIRRORS = (
    "https://download.freebsd.org",
    # releases that are not supported any more
    "https://archive.freebsd.org/old-releases",
    "http://ftp-archive.freebsd.org/pub/FreeBSD-Archive/old-releases",
)
# What is taken from each set.
SETS = {
    "base.txz": ("./usr/include", "./usr/lib", "./lib"),
    "src.txz": ("./usr/src/sys",),
    "kernel.txz": ("./boot/kernel/kernel",),
}
ASK_S = 15.0  # a mirror that does not answer is none
TIMEOUT_S = 60.0
CHUNK = 1 << 20


class Unreachable(Exception):
    """A release cannot be had: the sentence says which and why."""


def mirrors() -> tuple[str, ...]:
    named = os.environ.get("MULTISTACK_FREEBSD_MIRROR")
    if named == "none":
        return ()
    return (named.rstrip("/"),) if named else MIRRORS


def _places(release: str, kind: str) -> Iterator[str]:
    """Where a mirror may have it: kind is releases or VM-IMAGES."""
    for mirror in mirrors():
        if kind == "VM-IMAGES":
            yield f"{mirror}/releases/VM-IMAGES/{release}-RELEASE/amd64/Latest"
            yield f"{mirror}/VM-IMAGES/{release}-RELEASE/amd64/Latest"
        else:
            yield f"{mirror}/releases/amd64/{release}-RELEASE"
            yield f"{mirror}/releases/amd64/amd64/{release}-RELEASE"
            yield f"{mirror}/amd64/{release}-RELEASE"
            yield f"{mirror}/amd64/amd64/{release}-RELEASE"


def _open(url: str) -> bytes | None:
    """A small file's content; None if it is not there."""
    try:
        with urllib.request.urlopen(url, timeout=ASK_S) as answer:
            return bytes(answer.read())
    except OSError:  # URLError and HTTPError are such
        return None


def _find(release: str, kind: str, index: str) -> tuple[str, str]:
    """The place that has a release, and its file of checksums."""
    for place in _places(release, kind):
        text = _open(f"{place}/{index}")
        if text is not None:
            return place, text.decode()
    asked = ", ".join(mirrors()) or "none was to be asked"
    raise Unreachable(
        f"no mirror has FreeBSD {release}, or there is no network ({asked}); "
        "MULTISTACK_FREEBSD_MIRROR names another"
    )


def checksums(text: str) -> dict[str, str]:
    """SHA-256 by file, of a MANIFEST or a CHECKSUM.SHA256."""
    found = {m[1]: m[2] for m in re.finditer(r"^(\S+)\t([0-9a-f]{64})\t", text, re.M)}
    for m in re.finditer(r"^SHA256 \((\S+)\) = ([0-9a-f]{64})$", text, re.M):
        found[m[1]] = m[2]
    return found


def download(url: str, to: Path, sha256: str) -> None:
    """A file with that checksum, or Unreachable."""
    digest = hashlib.sha256()
    try:
        with (
            urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer,
            to.open("wb") as f,
        ):
            while data := answer.read(CHUNK):
                digest.update(data)
                f.write(data)
    except OSError as e:
        raise Unreachable(f"{url}: {e}") from e
    if digest.hexdigest() != sha256:
        to.unlink()
        raise Unreachable(f"{url} is not what the release's checksums say")


def ensure(release: str, say: Say) -> Path:
    """The sysroot of a release ("10.4"), from the cache or the mirrors."""
    tree = cache() / "freebsd" / f"sysroot-{release}"
    with locked(f"freebsd-{release}"):
        if tree.exists():
            return tree
        place, text = _find(release, "releases", "MANIFEST")
        sums = checksums(text)
        with arriving(tree) as work, tempfile.TemporaryDirectory(dir=cache()) as tmp:
            for name, members in SETS.items():
                if name not in sums:
                    raise Unreachable(f"{place}/MANIFEST names no {name}")
                say(f"fetching {place}/{name}")
                got = Path(tmp, name)
                download(f"{place}/{name}", got, sums[name])
                _unpack(got, work, members)
                got.unlink()
    return tree


def _unpack(archive: Path, into: Path, members: tuple[str, ...]) -> None:
    argv = ["tar", "-xJf", str(archive), "-C", str(into), "--no-same-owner"]
    done = subprocess.run([*argv, *members], capture_output=True, text=True)
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise Unreachable(f"{archive.name}: {said[-1] if said else 'tar failed'}")


IMAGE = "FreeBSD-{release}-RELEASE-amd64.qcow2.xz"
IMAGE_UFS = "FreeBSD-{release}-RELEASE-amd64-ufs.qcow2.xz"


def image(release: str, say: Say) -> Path:
    """The official VM image of a release, unpacked, as qcow2."""
    final = cache() / "freebsd" / f"vm-{release}" / "disk.qcow2"
    with locked(f"freebsd-vm-{release}"):
        if final.exists():
            return final
        place, text = _find(release, "VM-IMAGES", "CHECKSUM.SHA256")
        sums = checksums(text)
        names = [n.format(release=release) for n in (IMAGE_UFS, IMAGE)]
        name = next((n for n in names if n in sums), None)
        if name is None:
            raise Unreachable(f"{place} has no {names[1]}")
        with arriving(final.parent) as work:
            say(f"fetching {place}/{name}")
            packed = work / "disk.qcow2.xz"
            download(f"{place}/{name}", packed, sums[name])
            subprocess.run(["xz", "-d", packed], check=True)
    return final
