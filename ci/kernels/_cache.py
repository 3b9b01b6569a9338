# SPDX-License-Identifier: BSD-2-Clause
"""Names and ends of what is built into the cache."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

Say = Callable[[str], None]

KEEP = 2  # builds of one name: this one and the last


def digest(*parts: str) -> str:
    """Names a build by all that it is made from."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def stamp(path: Path) -> Path:
    """The file in a cached directory that says: all is here."""
    return path / "complete"


def forget(parent: Path, name: str) -> None:
    """Removes all but the latest builds NAME-KEY of one name."""
    dashes = name.count("-") + 1
    found = [p for p in parent.glob(f"{name}-*") if p.name.count("-") == dashes]
    done = [p for p in found if stamp(p).exists()]
    done.sort(key=lambda p: stamp(p).stat().st_mtime, reverse=True)
    for old in done[KEEP:]:
        shutil.rmtree(old, ignore_errors=True)
