# SPDX-License-Identifier: BSD-2-Clause
"""Three stacks on one address, between two network namespaces."""
