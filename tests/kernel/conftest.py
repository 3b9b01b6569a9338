# SPDX-License-Identifier: BSD-2-Clause
"""Tests inside a guest that has the module loaded, from the repository's root.

$MULTISTACK_BUILD is meson's build directory, $MULTISTACK_KMOD the folder of the
modules built for this kernel. The helpers are those of tests/python.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
os.environ["MULTISTACK_TEST_DEVICE"] = "module"
sys.path[:0] = [str(Path(__file__).parent), str(ROOT / "tests" / "python")]
sys.path.append(str(ROOT / "bindings"))
_build = os.environ.setdefault("MULTISTACK_BUILD", str(ROOT / "build" / "plain"))
os.environ.setdefault("MULTISTACK_LIBRARY", f"{_build}/lib/libmultistack.so")

import guest  # noqa: E402
import worlds  # noqa: E402

DEVICE = Path("/dev/multistack")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--long", action="store_true", help="minutes where the usual run has seconds"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long: only with --long")


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    if config.getoption("--long"):
        return
    out = [i for i in items if i.get_closest_marker("long")]
    config.hook.pytest_deselected(items=out)
    items[:] = [i for i in items if i not in out]


@pytest.fixture(scope="session", autouse=True)
def loaded() -> None:
    assert DEVICE.is_char_device(), "the module is not loaded"


@pytest.fixture(scope="session")
def long(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--long"))


@pytest.fixture(autouse=True)
def named_in_the_log(request: pytest.FixtureRequest) -> Iterator[None]:
    """So that a complaint of the kernel has its test above it."""
    Path("/dev/kmsg").write_text(f"<6>pytest: {request.node.name}\n")
    yield
    while worlds.opened:
        worlds.opened.pop().close()


@pytest.fixture(scope="module", params=["rx_handler", "xdp"])
def wire(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[worlds.ModuleWorld]:
    """Attached, in each way, to one end of a veth."""
    guest.possible(request.param)
    made = worlds.make(f"module-{request.param}", tmp_path_factory.mktemp("wire"))
    assert isinstance(made, worlds.ModuleWorld)
    yield made
    made.close()


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[worlds.ModuleWorld]:
    """One for this test alone, to be ill-treated."""
    made = worlds.make("module-rx_handler", tmp_path)
    assert isinstance(made, worlds.ModuleWorld)
    yield made
    made.close()
