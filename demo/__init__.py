# SPDX-License-Identifier: BSD-2-Clause
"""Four stacks on one address, between two network namespaces."""
