# SPDX-License-Identifier: BSD-2-Clause
"""Fixtures: a network namespace whose kernel is the other end, and UTCP peers.

Sizes are for CI; INTEROP_FULL=1 takes those of the acceptance (a gigabyte
clean, hundreds of megabytes under loss), which is an hour or so. INTEROP_PCAP
names a folder that gets a capture of each peer.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

_HERE = Path(__file__).resolve().parent
for _path in (_HERE, _HERE.parent / "python"):
    if str(_path) not in sys.path:
        sys.path.insert(0, str(_path))

import netns  # noqa: E402
from harness import Bench, Rig  # noqa: E402
from watch import Watch  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def clean() -> None:
    netns.sweep()


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    """The kernel's side, and the wire to ours."""
    made = Rig()
    yield made
    made.close()


@pytest.fixture
def bench(rig: Rig, request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Starts peers for one test; puts the kernel's settings back after it."""
    made = Bench(rig, request.node.name)
    yield made
    made.close()


@pytest.fixture
def watch(bench: Bench) -> Iterator[Watch]:
    """The segments on the device from now on."""
    with contextlib.closing(Watch(bench)) as made:
        yield made
