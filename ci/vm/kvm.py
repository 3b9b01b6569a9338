# SPDX-License-Identifier: BSD-2-Clause
"""Whether KVM works here: the device may be there and guests hang all the same."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ci.vm.packages import cache, locked

DEVICE = Path("/dev/kvm")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def works(boots: Callable[[], bool]) -> bool:
    """Whether a guest boots under KVM; `boots` tries it, once a boot of ours.

    MULTISTACK_KVM=0 or 1 says so without a try.
    """
    told = os.environ.get("MULTISTACK_KVM")
    if told in ("0", "1"):
        return told == "1"
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        return False
    with locked("kvm"):
        known = cache() / "kvm"
        now = BOOT_ID.read_text().strip()
        said = known.read_text().split() if known.exists() else []
        if len(said) != 2 or said[0] != now:
            said = [now, "yes" if boots() else "no"]
            known.write_text(" ".join(said) + "\n")
        return said[1] == "yes"
