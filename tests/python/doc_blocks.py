# SPDX-License-Identifier: BSD-2-Clause
"""Code in our Markdown, and what is to be done with it.

Every ```sh block is run by test_docs.py, in its page's order, in a world of the
page's own (doc_world.py). A comment in the line above a block says otherwise:

    <!-- not run: REASON -->      cannot be here; REASON says why
    <!-- serves: COMMAND -->      goes on until the page ends; COMMAND has to work
                                  on the client's machine meanwhile
    <!-- then: COMMAND -->        COMMAND has to work on the client's machine after it
    <!-- file: NAME -->           of any language: it is written to NAME

and one anywhere in the page (default: wired)

    <!-- world: wired | daemon | attached -->
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```[ ]*$", re.M | re.S)
_MARK = re.compile(r"^<!-- (not run|serves|then|file): (.+) -->\n+\Z", re.M)
_WORLD = re.compile(r"^<!-- world: (\w+) -->$", re.M)


@dataclass(frozen=True)
class Block:
    page: str  # below the checkout
    line: int
    language: str
    text: str
    mark: str = ""
    value: str = ""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """In the order of their names."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def world_of(page: Path) -> str:
    found = _WORLD.search(page.read_text())
    return found[1] if found else "wired"


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text()
    for found in _FENCE.finditer(text):
        mark = _MARK.search(text[: found.start()])
        indent, language, body = found.groups()
        yield Block(
            str(page.relative_to(ROOT)),
            text.count("\n", 0, found.start()) + 1,
            language,
            re.sub(rf"^{indent}", "", body, flags=re.M),
            *((mark[1], mark[2]) if mark else ("", "")),
        )
