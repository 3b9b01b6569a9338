# SPDX-License-Identifier: BSD-2-Clause
"""UTCP's accurate ECN and this kernel's own: tests/interop's, where it has it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

INTEROP = Path(__file__).resolve().parents[1] / "interop" / "test_utcp_accecn.py"
# Settings of net.ipv4.tcp_ecn that only a kernel with AccECN takes, and counts.
THOSE = "kernel-3 or kernel-4 or kernel-5 or count"


def knows() -> bool:
    """From 7.0 on; a namespace of its own has its own setting."""
    words = ["unshare", "-n", "sysctl", "-qw", "net.ipv4.tcp_ecn=3"]
    return subprocess.run(words, capture_output=True).returncode == 0


def test_with_the_kernels_own_tcp(tmp_path: Path) -> None:
    if not knows():
        pytest.skip("this kernel has no such protocol: AccECN")
    subprocess.run(["modprobe", "-q", "tun"])
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *(f"--rootdir={tmp_path}", "-k", THOSE, INTEROP),
        ],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 0, done.stdout
    assert "skipped" not in done.stdout.splitlines()[-1], done.stdout
