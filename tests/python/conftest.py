# SPDX-License-Identifier: BSD-2-Clause
"""Fixtures: the switch in every way that it can be had here.

What is tested: the installed package, or the checkout's with the library that
$MULTISTACK_LIBRARY, $MULTISTACK_BUILD (a meson build directory) or the build
tree has. multistackd: $MULTISTACKD, or beside the library, or the same. With
$MULTISTACK_TEST_DEVICE=module the kernel module takes multistackd's place.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# What tests start can be interrupted, also where this run was put into the
# background by a shell that ignores SIGINT for it.
signal.signal(signal.SIGINT, signal.default_int_handler)

sys.path.insert(0, str(Path(__file__).parent))
_BINDINGS = Path(__file__).resolve().parents[2] / "bindings"
if importlib.util.find_spec("multistack") is None:
    _build = os.environ.get("MULTISTACK_BUILD")
    if _build:
        os.environ.setdefault("MULTISTACK_LIBRARY", f"{_build}/lib/libmultistack.so")
    sys.path.insert(0, str(_BINDINGS))

import netns  # noqa: E402
import worlds  # noqa: E402

# Fixtures of what says nothing of a kernel module, and of that alone.
NOT_OF_THE_MODULE = {"daemon", "pair"}
OF_THE_MODULE = {"module"}


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    other = NOT_OF_THE_MODULE if worlds.KMOD else OF_THE_MODULE
    out = [i for i in items if other & set(getattr(i, "fixturenames", ()))]
    config.hook.pytest_deselected(items=out)
    items[:] = [i for i in items if i not in out]


@pytest.fixture(scope="session", autouse=True)
def clean() -> None:
    netns.sweep()


@pytest.fixture(autouse=True)
def close_peers() -> Iterator[None]:
    yield
    while worlds.opened:
        worlds.opened.pop().close()


@pytest.fixture(scope="module", params=worlds.KINDS)
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[worlds.World]:
    """Each of them in turn; a port of one test must not stay for the next."""
    with worlds.world(request.param, tmp_path_factory.mktemp("world")) as made:
        yield made


@pytest.fixture(scope="module", params=worlds.HOSTED)
def hosted(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[worlds.HostedWorld]:
    """Those with a host stack on the same address."""
    with worlds.hosted(request.param, tmp_path_factory.mktemp("hosted")) as made:
        yield made


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[worlds.HostedWorld]:
    """One on veth for this test alone, to be ill-treated."""
    with worlds.hosted(worlds.WIRED, tmp_path) as made:
        yield made


@pytest.fixture
def module(alone: worlds.HostedWorld) -> worlds.ModuleWorld:
    """Likewise, of the module."""
    assert isinstance(alone, worlds.ModuleWorld)
    return alone


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[worlds.DaemonWorld]:
    """Likewise, of multistackd."""
    with worlds.world("daemon-xdp", tmp_path) as made:
        assert isinstance(made, worlds.DaemonWorld)
        yield made


@pytest.fixture
def pair() -> Iterator[worlds.PairWorld]:
    """Two hosts in this process, for this test alone."""
    made = worlds.PairWorld()
    yield made
    made.close()
