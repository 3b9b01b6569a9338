# SPDX-License-Identifier: BSD-2-Clause
"""The bindings' own tests, on the module: those that a switch has to pass
whatever carries it."""

from __future__ import annotations

import os
import subprocess
import sys

import guest
import pytest
from worlds import ROOT

# Minutes under an emulator: in one guest, and where there is time.
pytestmark = [] if guest.GUEST == "linux-6.12" else pytest.mark.long

FILES = [
    "test_port.py",
    "test_errors.py",
    "test_host.py",
    "test_namespace.py",
]


@pytest.mark.parametrize("name", FILES)
def test_file(name: str) -> None:
    env = {**os.environ, "MULTISTACK_TEST_DEVICE": "module"}
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    if guest.GUEST in guest.GUESTS_WITHOUT_XDP:
        argv += ["-k", "not module-xdp"]
    done = subprocess.run(
        [*argv, f"tests/python/{name}"],
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-4000:]
