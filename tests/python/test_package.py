# SPDX-License-Identifier: BSD-2-Clause
"""What is installed is one thing: one version, nothing left out, nothing loaded that
is not asked for. (ci/wheel.py tries the wheel itself.)"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, entry_points, metadata
from pathlib import Path

import pytest

import multistack
from multistack import _ffi

ROOT = Path(__file__).resolve().parents[2]
BINDINGS = ROOT / "bindings"
PACKAGE = Path(multistack.__file__).parent


@pytest.mark.parametrize(
    ("file", "pattern"),
    [
        ("pyproject.toml", r'^version = "(.*)"$'),
        ("meson.build", r"^  version: '(.*)',$"),
        ("sys/os/linux/dkms.conf", r'^PACKAGE_VERSION="(.*)"$'),
    ],
)
def test_there_is_one_version(file: str, pattern: str) -> None:
    found = re.search(pattern, (ROOT / file).read_text(), re.M)
    assert found and found[1] == multistack.__version__
    assert _ffi.msport_version().decode() == multistack.__version__


def test_every_module_is_installed() -> None:
    listed = (BINDINGS / "meson.build").read_text()
    for path in BINDINGS.rglob("*.py"):
        assert f"'{path.relative_to(BINDINGS)}'" in listed, path


def test_the_installed_package() -> None:
    """Where it is one: library and programs inside, and types."""
    if PACKAGE == BINDINGS / "multistack":
        pytest.skip("a checkout, not an installed package")
    assert metadata("multistack")["Version"] == multistack.__version__
    assert (PACKAGE / "py.typed").exists()
    if "MULTISTACK_LIBRARY" not in os.environ:
        assert _ffi.library_path == PACKAGE / "libmultistack.so.0"
    commands = {e.name for e in entry_points(group="console_scripts")}
    assert {"multistack", "multistackd", "multistack-load"} <= commands
    for program in ("multistackd", "multistack-httpd", "multistack-load"):
        done = subprocess.run([PACKAGE / "bin" / program, "-V"], capture_output=True)
        assert done.returncode == 0 and multistack.__version__.encode() in done.stdout


def test_the_extras_are_those_that_are_used() -> None:
    try:
        told = metadata("multistack")
    except PackageNotFoundError:
        pytest.skip("a checkout, not an installed package")
    text = (ROOT / "pyproject.toml").read_text()
    section = text.partition("[project.optional-dependencies]\n")[2].partition("\n[")[0]
    wanted = set(re.findall(r"^(\w+) = \[", section, re.M))
    assert set(told.get_all("Provides-Extra") or []) == wanted


def test_import_takes_nothing_that_is_optional() -> None:
    script = (
        "import multistack, sys; print(sorted({m.split('.')[0] for m in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for name in ("click", "matplotlib", "numpy", "rich", "scapy"):
        assert f"'{name}'" not in done.stdout, name
