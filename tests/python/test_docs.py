# SPDX-License-Identifier: BSD-2-Clause
"""What the documents say to type works as they say it (doc_blocks.py has the rules)."""

from __future__ import annotations

import ast
import os
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from doc_blocks import ROOT, Block, blocks, pages, world_of
from doc_world import DocWorld
from netns import need

RUN = ("", "serves", "then")
PAGES = {
    str(page.relative_to(ROOT)): [
        b for b in blocks(page) if b.mark == "file" or (b.language, b.mark) in SHELL
    ]
    for SHELL in [{("sh", mark) for mark in RUN}]
    for page in pages()
}
COMMANDS = [b for page in pages() for b in blocks(page) if b.language == "sh"]
# What stands for a reason; another one is to be thought about first.
REASONS = {
    "FreeBSD": "tested on the machines of docs/internals/freebsd.md",
    "a kernel module": "tested in guests, by tests/kernel",
    "guests": "they take minutes; `inv test` starts them itself",
    "minutes": "takes them; parsed only",
    "installs": "changes the machine",
    "inv test": "is a step of `inv test` itself",
    "a terminal": "waits for a person",
    "an example": "its files are the reader's",
}


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DocWorld]:
    need(shutil.which("ethtool"), "no ethtool")
    need(shutil.which("nsenter"), "no nsenter")
    made = DocWorld(tmp_path, world_of(ROOT / request.param))
    yield made
    made.close()


@pytest.mark.parametrize(
    ("page", "world"),
    [(p, p) for p, todo in PAGES.items() if any(b.mark != "file" for b in todo)],
    indirect=["world"],
    ids=lambda value: str(value),
)
def test_what_a_page_says_to_type(page: str, world: DocWorld) -> None:
    for block in PAGES[page]:
        if block.mark == "file":
            (world.folder / block.value).write_text(block.text)
        elif block.mark == "serves":
            world.serve(block.text)
            world.works(block.value)
        else:
            try:
                world.run(block.text)
            except AssertionError as e:
                raise AssertionError(f"{block}: {e}") from None
            if block.mark == "then":
                world.works(block.value)


def test_what_is_not_run_says_why() -> None:
    """And most of what is said is run, or understood by inv."""
    left = [b for b in COMMANDS if b.mark == "not run"]
    for block in left:
        assert block.value in REASONS, f"{block}: {block.value!r} is no reason of ours"
    print(f"{len(COMMANDS) - len(left)} blocks are run, {len(left)} are not")


def inv_lines() -> list[tuple[Block, list[str]]]:
    found = []
    for block in COMMANDS:
        for line in block.text.splitlines():
            words = shlex.split(line, comments=True)
            while words and "=" in words[0]:
                words.pop(0)
            if words and words[0] in ("./inv", "invoke"):
                found.append((block, words[1:]))
    return found


def test_tasks_and_their_options_exist() -> None:
    """What is said of ./inv is understood by it, run or not."""
    need(os.access(ROOT / "tasks.py", os.R_OK), "no tasks.py")
    invoke = pytest.importorskip("invoke")
    import tasks

    collection = invoke.Collection.from_module(tasks)
    assert len(inv_lines()) > 20
    for block, words in inv_lines():
        said = words[: words.index("--")] if "--" in words else words
        parser = invoke.parser.Parser(contexts=collection.to_contexts())
        try:
            parser.parse_argv(said)
        except invoke.exceptions.ParseError as e:
            pytest.fail(f"{block}: {shlex.join(said)}: {e}")


PYTHON = [b for page in pages() for b in blocks(page) if b.language == "python"]


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_python_in_the_documents_is_python(block: Block) -> None:
    ast.parse(block.text)


def test_every_page_is_in_the_contents() -> None:
    """docs/index.md has them in the order in which they are shown."""
    index = (ROOT / "docs/index.md").read_text()
    for page in pages():
        name = str(page.relative_to(ROOT / "docs")) if "docs" in page.parts else ""
        if name and name != "index.md":
            assert f"]({name})" in index, f"docs/index.md does not name {name}"
