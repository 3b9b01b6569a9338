# SPDX-License-Identifier: BSD-2-Clause
"""`python -m demo` is `inv demo` without the build."""

import sys

from demo.run import main

sys.exit(main())
