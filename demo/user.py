# SPDX-License-Identifier: BSD-2-Clause
"""From root to an ordinary user, for good."""

from __future__ import annotations

import os

from demo.world import die_with_parent


def become(uid: int) -> None:
    """This process goes on as user and group `uid`, with no privilege left,
    and still ends with its parent."""
    if not uid:
        return
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    die_with_parent()
