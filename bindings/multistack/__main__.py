# SPDX-License-Identifier: BSD-2-Clause
"""`python -m multistack` is the command `multistack`."""

from multistack.cli import main

main()
