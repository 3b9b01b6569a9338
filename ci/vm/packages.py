# SPDX-License-Identifier: BSD-2-Clause
"""Debian packages of any suite, unpacked into a cache, never installed.

apt does the work with sources, lists and state of its own, so the machine's
package database neither helps nor notices. All that lies here can be had again:
losing the cache only costs time. Safe for parallel callers: whoever comes
second waits for the first's download; a tree appears whole or not at all.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

# The suites' sources; {mirror} is replaced by mirror().
SUITES: dict[str, tuple[str, ...]] = {
    "bookworm": (
        "{mirror}/debian bookworm main",
        "{mirror}/debian bookworm-updates main",
        "{mirror}/debian-security bookworm-security main",
    ),
    "bookworm-backports": ("{mirror}/debian bookworm-backports main",),
    "trixie": (
        "{mirror}/debian trixie main",
        "{mirror}/debian trixie-updates main",
        "{mirror}/debian-security trixie-security main",
    ),
    "sid": ("{mirror}/debian sid main",),
}
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

INDEX_DAYS = 7.0  # a suite's index is asked for again after this
UNUSED_DAYS = 30.0  # a tree nobody wanted for so long goes
DAY_S = 86400.0
APT_TIMEOUT_S = 1200.0

# What the machine's own configuration says of proxies holds; its hooks do not.
_CONF = """\
Dir::State "{top}/state";
Dir::State::lists "{top}/lists";
Dir::State::status "{top}/status";
Dir::Cache "{top}/cache";
Dir::Etc::sourcelist "{top}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Acquire::Languages "none";
Acquire::Retries "3";
APT::Architecture "amd64";
APT::Architectures {{ "amd64"; }};
APT::Sandbox::User "root";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
"""


class PackageError(Exception):
    """A package cannot be had: the sentence says which and why."""


def cache() -> Path:
    """The folder for kernels, chroots and packages; made if need be."""
    named = os.environ.get("MULTISTACK_CACHE")
    path = Path(named) if named else Path.home() / ".cache" / "multistack"
    path.mkdir(parents=True, exist_ok=True)
    return path.resolve()


def mirror() -> str:
    """Where Debian's archives are, without a slash at the end."""
    return os.environ.get("MULTISTACK_MIRROR", "http://deb.debian.org").rstrip("/")


@contextmanager
def locked(name: str) -> Iterator[None]:
    """One holder of a name at a time, on the whole machine."""
    path = cache() / "locks" / re.sub(r"[^A-Za-z0-9.+_-]", "_", name)
    path.parent.mkdir(exist_ok=True)
    with path.open("w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


@contextmanager
def arriving(final: Path) -> Iterator[Path]:
    """An empty folder that becomes `final` if the body ends well."""
    final.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".new-", dir=final.parent))
    try:
        yield work
        work.chmod(0o755)
        os.utime(work)
        work.rename(final)
    finally:
        shutil.rmtree(work, ignore_errors=True)


# ---- apt ---------------------------------------------------------------------


def _conf(suite: str) -> Path:
    """Writes a suite's private configuration; returns it."""
    if suite not in SUITES:
        raise PackageError(f"no suite is called {suite}: {', '.join(SUITES)}")
    top = cache() / "apt" / suite
    for name in ("state", "lists/partial", "cache/archives/partial"):
        (top / name).mkdir(parents=True, exist_ok=True)
    (top / "status").touch()
    options = f"[arch=amd64 target=Packages signed-by={KEYRING}]"
    lines = [f"deb {options} {s.format(mirror=mirror())}\n" for s in SUITES[suite]]
    for name, text in (
        ("sources.list", "".join(lines)),
        ("apt.conf", _CONF.format(top=top)),
    ):
        path = top / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
    return top / "apt.conf"


def _apt(suite: str, *argv: str, cwd: Path | None = None) -> str:
    tool, *rest = argv
    args = [tool, "-c", str(_conf(suite)), "-q", *rest]
    done = subprocess.run(
        args,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=APT_TIMEOUT_S,
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise PackageError(f"{suite}: {' '.join(argv)}: {' '.join(said)}")
    return done.stdout


def refresh(suite: str, max_days: float = INDEX_DAYS) -> None:
    """Asks for a suite's index if ours is older than this.

    Where no mirror answers, an old index serves: packages it names that are in
    the cache can still be had.
    """
    stamp = _conf(suite).parent / "stamp"

    def fresh() -> bool:
        return stamp.exists() and time.time() - stamp.stat().st_mtime < max_days * DAY_S

    if fresh():
        return
    with locked(f"index-{suite}"):
        if fresh():
            return
        try:
            _apt(suite, "apt-get", "--error-on=any", "update")
        except (PackageError, subprocess.TimeoutExpired):
            if not stamp.exists():
                raise
        stamp.touch()


def control(suite: str, package: str) -> dict[str, str]:
    """The fields of a package's newest version in a suite."""
    refresh(suite)
    index = _conf(suite).parent
    known = index / "known" / package  # apt takes a second to read its index
    if known.exists() and known.stat().st_mtime >= (index / "stamp").stat().st_mtime:
        return parse_control(known.read_text())
    try:
        text = _apt(suite, "apt-cache", "--no-all-versions", "show", package)
    except PackageError as e:
        raise PackageError(f"{suite} has no package {package}") from e
    known.parent.mkdir(exist_ok=True)
    fresh = known.with_name(f".{package}.{os.getpid()}")
    fresh.write_text(text)
    fresh.rename(known)
    return parse_control(text)


def parse_control(text: str) -> dict[str, str]:
    """The first stanza's fields; continuation lines are dropped."""
    fields: dict[str, str] = {}
    for line in text.strip().split("\n\n")[0].splitlines():
        name, colon, value = line.partition(":")
        if colon and not line[0].isspace():
            fields[name] = value.strip()
    return fields


def behind(suite: str, meta: str, prefix: str) -> str:
    """The package with this prefix that a metapackage depends on."""
    depends = control(suite, meta).get("Depends", "")
    found = names(depends, (prefix,))
    if not found:
        raise PackageError(f"{suite}: {meta} wants no {prefix}*, but {depends}")
    return found[0]


def names(depends: str, prefixes: tuple[str, ...]) -> list[str]:
    """The packages in a Depends field whose names begin so."""
    every = [part.split("(")[0].strip() for part in re.split(r"[,|]", depends)]
    return [name for name in every if name.startswith(prefixes)]


# ---- trees -------------------------------------------------------------------


def fetch(suite: str, packages: Sequence[str]) -> Path:
    """Downloads packages and unpacks them together into one cached tree.

    Takes exact names (see behind()); dependencies are the caller's to name.
    The tree is shared and not to be written to. Kernel modules in it have
    their modules.dep. Raises PackageError.
    """
    try:
        return _fetch(suite, packages)
    except PackageError:
        # The mirror has moved on since we read its index.
        refresh(suite, max_days=0)
        return _fetch(suite, packages)


def _fetch(suite: str, packages: Sequence[str]) -> Path:
    found = [control(suite, name) for name in packages]
    sums = hashlib.sha256("".join(c.get("SHA256", "") for c in found).encode())
    version = re.sub(r"[^A-Za-z0-9.+~-]", "_", found[0]["Version"])
    name = f"{packages[0]}_{version}_{sums.hexdigest()[:10]}"
    tree = cache() / "trees" / suite / name
    with locked(f"tree-{name}"):
        if not tree.exists():
            with arriving(tree) as work:
                _download(suite, packages, work)
            _prune(tree.parent)
    os.utime(tree)
    return tree


def _download(suite: str, packages: Sequence[str], tree: Path) -> None:
    with tempfile.TemporaryDirectory(dir=cache()) as name:
        _apt(suite, "apt-get", "download", *packages, cwd=Path(name))
        debs = sorted(Path(name).glob("*.deb"))
        if len(debs) != len(set(packages)):
            raise PackageError(f"{suite}: {len(debs)} of {len(packages)} packages came")
        for deb in debs:
            subprocess.run(["dpkg-deb", "-x", deb, tree], check=True)
    for modules in modules_of(tree):
        base = modules.parent.parent.parent
        subprocess.run(["/sbin/depmod", "-b", base, modules.name], check=True)


def modules_of(tree: Path) -> list[Path]:
    """The .../lib/modules/RELEASE of an unpacked kernel image."""
    found = [*tree.glob("lib/modules/*"), *tree.glob("usr/lib/modules/*")]
    return [path for path in found if (path / "kernel").is_dir()]


def _prune(room: Path) -> None:
    """Removes trees that nobody asked for in a long while."""
    for tree in room.iterdir():
        age_s = time.time() - tree.stat().st_mtime
        if not tree.name.startswith(".") and age_s > UNUSED_DAYS * DAY_S:
            shutil.rmtree(tree, ignore_errors=True)
