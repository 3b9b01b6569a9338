# SPDX-License-Identifier: BSD-2-Clause
"""mkdocs' hooks: the contents from docs/index.md, sources and man pages as pages.

Documents link to sources in the tree, `../../lib/x.c`. On the site each of those is a
page of its own, and so is each man page (`man/NAME.SECTION.md`) and the manual of each
public header (`c/NAME.md`), whose text is the comments before the prototypes.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
MAN = sorted(
    (
        str(path.relative_to(ROOT))
        for room in ("bindings", "lib", "sys")
        for path in (ROOT / room).rglob("*.[1-8]")
    ),
    key=lambda source: (source[-1], Path(source).name),
)
HEADERS = sorted((ROOT / "lib/include/multistack").glob("*.h"))
_LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)\s]*)?\))")
_LIST = re.compile(r"^(\w[^\n]*)\n\n((?:- \[.*\n(?:  .*\n)*)+)", re.M)
_ITEM = re.compile(r"^- \[([^]]*)\]\(([^)]*)\)", re.M)
_LANGUAGES = {".c": "c", ".h": "c", ".py": "python", ".patch": "diff"}
_PROTOTYPE = re.compile(
    r"(?:^/\*(?P<comment>(?:(?!\*/).)*)\*/\n)?"
    r"^(?P<text>[A-Z]+_EXTERN\s[^;{]*?(?P<name>\w+)\s*\([^;]*\)\s*;)",
    re.M | re.S,
)


# ---- contents -----------------------------------------------------------------


def _contents() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Of docs/index.md: lists of links, each behind a line with its title."""
    text = (DOCS / "index.md").read_text()
    for title, items in _LIST.findall(text):
        yield title, [{name: page} for name, page in _ITEM.findall(items)]


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    nav: list[Any] = ["index.md", "how-it-works.md"]
    made = [{path.name: f"c/{path.stem}.md"} for path in HEADERS]
    made += [{_man_title(m): f"man/{Path(m).name}.md"} for m in MAN]
    for title, pages in _contents():
        nav.append({title: pages + made if title == "Reference" else pages})
    config.nav = nav
    return config


# ---- sources --------------------------------------------------------------------


def _outside(page: str, target: str) -> Path | None:
    """What a link leads to, where that is in the tree but not in docs/."""
    if "://" in target or target.startswith("mailto:"):
        return None
    path = (DOCS / page).parent.joinpath(target).resolve()
    if path.is_relative_to(DOCS) or not path.is_relative_to(ROOT):
        return None
    return path.relative_to(ROOT)


def _fence(text: str, language: str) -> str:
    ticks = "`" * max(3, *(len(t) + 1 for t in re.findall(r"`+", text)), 0)
    return f"{ticks}{language}\n{text.rstrip()}\n{ticks}\n"


def _source(path: Path) -> str:
    if (ROOT / path).is_dir():
        listed = "".join(f"    {p.name}\n" for p in sorted((ROOT / path).iterdir()))
        return f"# {path}\n\n{listed}"
    text = (ROOT / path).read_text(errors="replace")
    if path.suffix == ".md":
        return _rewritten(text, os.path.relpath(path, "docs"))
    return f"# {path}\n\n" + _fence(text, _LANGUAGES.get(path.suffix, "text"))


def _page_of(path: Path) -> str:
    return f"tree/{path}.md"


def _rewritten(text: str, page: str) -> str:
    """With links to sources leading to their pages."""
    here = os.path.dirname(page)

    def lead(found: re.Match[str]) -> str:
        path = _outside(page, found[2])
        if path is None:
            return found[0]
        return found[1] + os.path.relpath(_page_of(path), here or ".") + found[3]

    return _LINK.sub(lead, text)


# ---- manuals ----------------------------------------------------------------------


def _man_title(source: str) -> str:
    name, _, section = Path(source).name.rpartition(".")
    return f"{name}({section})"


def _man(source: str) -> str:
    done = subprocess.run(
        ["mandoc", "-T", "markdown", ROOT / source],
        capture_output=True,
        text=True,
        check=True,
    )
    body = done.stdout.partition("\n\n")[2].rpartition("\n\n")[0]
    # One heading more than it has, which is the page's own.
    body = re.sub(r"^#", "##", body, flags=re.M)
    return f"# {_man_title(source)}\n\n{body}\n"


def _manual(comment: str) -> str:
    """A comment's text: as it is where it has columns, else in paragraphs."""
    lines = [
        re.sub(r"^\s*\*? ?", "", line.expandtabs(8)) for line in comment.splitlines()
    ]
    text = "\n".join(lines).strip()
    if re.search(r"^ {2}|\S {3}", text, re.M):
        return _fence(text, "text")
    text = re.sub(r"([\\`*_<>\[\]])", r"\\\1", text)
    return re.sub(r"^([-+#])", r"\\\1", text, flags=re.M) + "\n"


def _header(path: Path) -> str:
    """Calls with their manuals, then the whole header."""
    text = path.read_text()
    parts = [f"# {path.name}\n\n`#include <multistack/{path.name}>`\n"]
    for found in _PROTOTYPE.finditer(text):
        code = re.sub(r"^[A-Z]+_EXTERN\s+", "", found["text"])
        parts.append(f"## {found['name']}\n\n" + _fence(code.expandtabs(8), "c"))
        if found["comment"]:
            parts.append(_manual(found["comment"]))
    parts.append("## The header, whole\n\n" + _fence(text, "c"))
    return "\n".join(parts)


# ---- hooks --------------------------------------------------------------------------


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    made = {f"man/{Path(m).name}.md": _man(m) for m in MAN}
    made |= {f"c/{path.stem}.md": _header(path) for path in HEADERS}
    for file in list(files.documentation_pages()):
        if file.abs_src_path is None:
            continue
        text = Path(file.abs_src_path).read_text()
        for _, target, _ in _LINK.findall(text):
            path = _outside(file.src_uri, target)
            if path is not None and (ROOT / path).exists():
                made[_page_of(path)] = _source(path)
    for uri, text in made.items():
        made_file = File.generated(config, uri, content=text)
        if uri.startswith("tree/"):
            made_file.inclusion = made_file.inclusion.NOT_IN_NAV
        files.append(made_file)
    return files


def on_page_markdown(
    markdown: str, *, page: Page, config: MkDocsConfig, files: Files
) -> str:
    return _rewritten(markdown, page.file.src_uri)
