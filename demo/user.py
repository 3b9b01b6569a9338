# SPDX-License-Identifier: BSD-2-Clause
"""From root to an ordinary user, for good."""

from __future__ import annotations

import os
from collections.abc import Sequence

from demo.world import die_with_parent


def become(uid: int, groups: Sequence[int] | None = None) -> None:
    """This process goes on as user and group `uid`, and in these groups, with no
    privilege left, and still ends with its parent."""
    if not uid:
        return
    os.setgroups(groups or [])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    die_with_parent()
