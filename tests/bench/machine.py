# SPDX-License-Identifier: BSD-2-Clause
"""On what a figure was measured."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def describe() -> str:
    """Processor, cores, kernel and what else was going on, in a line."""
    cores = len(os.sched_getaffinity(0))
    load = os.getloadavg()[0]
    words = f"{_processor()}, {cores} cores, Linux {platform.release()}"
    if load > 0.5:
        words += f" (load {load:.1f}: figures of a busy machine)"
    return words


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
