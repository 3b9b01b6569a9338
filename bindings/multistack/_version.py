# SPDX-License-Identifier: BSD-2-Clause
"""The version of package and library, which are one (pyproject.toml, meson.build)."""

__version__ = "0.1.0"
