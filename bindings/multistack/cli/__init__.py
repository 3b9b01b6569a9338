# SPDX-License-Identifier: BSD-2-Clause
"""The command `multistack`: for administrators, and for those who wonder."""

from multistack.cli._app import main

__all__ = ["main"]
