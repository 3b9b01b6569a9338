# SPDX-License-Identifier: BSD-2-Clause
"""python -m ci.kernels [NAME…]: build kernels and say where they are."""

from __future__ import annotations

import sys

from ci.kernels import RECIPES, KernelError, ensure


def main() -> int:
    for name in sys.argv[1:] or RECIPES:
        try:
            kernel = ensure(name, lambda text: print(text, flush=True))
        except KernelError as e:
            print(f"{name}: {e}", file=sys.stderr)
            return 1
        print(f"{name}: Linux {kernel.release}, {kernel.image}", flush=True)
    return 0


sys.exit(main())
