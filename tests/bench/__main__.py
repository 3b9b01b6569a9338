# SPDX-License-Identifier: BSD-2-Clause
"""`python -m tests.bench NAME` is `inv bench NAME` without the build."""

import sys

from tests.bench.run import main

sys.exit(main())
