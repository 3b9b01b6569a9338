# SPDX-License-Identifier: BSD-2-Clause
"""The names of the calls that public headers declare, each a C string.

python public_calls.py HEADER
"""

import re
import sys
from pathlib import Path

CALL = re.compile(r"^(?:UTCP|MSLINK)_EXTERN [^;(]*?(\w+)\(", re.MULTILINE)

for name in CALL.findall(Path(sys.argv[1]).read_text(encoding="utf-8")):
    print(f'"{name}",')
