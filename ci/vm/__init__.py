# SPDX-License-Identifier: BSD-2-Clause
"""Machines to run kernel code in: they boot, run, bring back, assert nothing."""
