# SPDX-License-Identifier: BSD-2-Clause
"""Kernels of our own, built once from the distribution's source and kept.

`ensure(name, say)` gives the kernel, building it where the cache lacks it;
`python -m ci.kernels NAME…` does the same from a shell.
"""

from __future__ import annotations

from ci.kernels._build import (
    RECIPES,
    Kernel,
    KernelError,
    cached,
    ccache_environment,
    ccached,
    ensure,
)

__all__ = [
    "RECIPES",
    "Kernel",
    "KernelError",
    "cached",
    "ccache_environment",
    "ccached",
    "ensure",
]
