# SPDX-License-Identifier: BSD-2-Clause
"""The manual pages: their form, and whether they say what the headers say."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from netns import need
from worlds import ROOT

HEADERS = ROOT / "lib" / "include" / "multistack"
CALLS = sorted((ROOT / "lib" / "man").glob("*.3"))
OTHERS = [
    *sorted(ROOT.glob("lib/*/*.[148]")),
    *sorted(ROOT.glob("sys/**/*.[48]")),
]
DECLARED = re.compile(r"^[A-Z]+_EXTERN\s+([^;(]*?)(\w+)\(([^;]*)\);", re.MULTILINE)
# Pages whose calls' errors are told elsewhere, or which have none.
OVERVIEWS = {"multistack.3"}


def words(text: str) -> str:
    return " ".join(text.split())


def declared(header: str) -> dict[str, str]:
    """Each call's prototype, by name."""
    text = re.sub(r"/\*.*?\*/", "", (HEADERS / header).read_text(), flags=re.DOTALL)
    found = {}
    for kind, name, args in DECLARED.findall(text):
        parts = ", ".join(words(a) for a in args.split(","))
        found[name] = f"{words(kind)} {name}({parts})"
    return found


def shown(page: Path) -> dict[str, str]:
    """The prototypes of a page's synopsis."""
    synopsis = sections(page)["SYNOPSIS"]
    found = {}
    for kind, name, args in re.findall(
        r'^\.Ft "?(.*?)"?\n\.Fn (\w+)((?: "[^"]*")*)$', synopsis, re.MULTILINE
    ):
        parts = ", ".join(re.findall(r'"([^"]*)"', args))
        found[name] = f"{kind} {name}({parts})"
    return found


def sections(page: Path) -> dict[str, str]:
    parts = re.split(r"^\.Sh (.*)\n", page.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def headers_of(page: Path) -> list[str]:
    return re.findall(r"^\.In multistack/(\S+)", page.read_text(), re.MULTILINE)


def included(names: set[str]) -> set[str]:
    """These headers, and those that they include."""
    more = {
        h
        for name in names
        for h in re.findall(r"<multistack/(\S+)>", (HEADERS / name).read_text())
    }
    return names if more <= names else included(names | more)


@pytest.mark.parametrize("page", [*CALLS, *OTHERS], ids=lambda p: p.name)
def test_form(page):
    need(shutil.which("mandoc"), "mandoc is missing")
    done = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", page], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("page", CALLS, ids=lambda p: p.name)
def test_a_page_has_what_one_looks_for(page):
    found = sections(page)
    assert ".Bd -literal" in found["EXAMPLES"] or page.name in OVERVIEWS
    assert ("ERRORS" in found) == (page.name not in OVERVIEWS)
    assert "RETURN VALUES" in found
    calls = shown(page)
    named = re.findall(r"\w+", " ".join(re.findall(r"^\.Nm (.*)", found["NAME"], re.M)))
    if calls:
        assert sorted(named) == sorted(calls)
        said = found["DESCRIPTION"]
        # libuv's own calls are described by libuv.
        for name in (n for n in calls if not n.startswith("mu_")):
            assert re.search(rf"^\.Fn {name}\b", said, re.M) or name in said, name


def test_each_call_of_a_header_is_on_one_page():
    documented: dict[str, str] = {}
    covered = included({h for page in CALLS if shown(page) for h in headers_of(page)})
    assert covered == {path.name for path in HEADERS.glob("*.h")}
    for page in CALLS:
        for name, prototype in shown(page).items():
            assert name not in documented, f"{name}: twice"
            documented[name] = prototype
    there: dict[str, str] = {}
    for header in sorted(covered):
        there |= declared(header)
    assert documented == there


def test_pages_that_are_named_are_there():
    """Of ours: those of the system may not be installed."""
    pages = {page.name for page in [*CALLS, *OTHERS]}
    names = {name for page in CALLS for name in shown(page)}
    for page in CALLS:
        for name, section in re.findall(r"^\.Xr (\S+) (\d)", page.read_text(), re.M):
            if re.match("ms|mu|utcp", name):
                assert f"{name}.{section}" in pages or (
                    section == "3" and name in names
                ), f"{page.name}: {name}({section})"


def _number(text: str) -> int:
    """A default or a bound as the page has it, or the header."""
    units = {"s": 10**9, "ms": 10**6, "MiB": 1 << 20, "GiB": 1 << 30}
    if text in ("2^32-1", "UINT32_MAX"):
        return 2**32 - 1
    if m := re.fullmatch(r"(\d+) << (\d+)", text):
        return int(m[1]) << int(m[2])
    value, _, unit = text.partition(" ")
    return int(value) * units.get(unit, 1)


def test_options_are_all_there_with_their_defaults():
    header = (HEADERS / "utcp.h").read_text().replace("\\\n", " ")
    (block,) = re.findall(r"#define UTCP_OPTIONS\(X\)(.*)", header)
    options = re.findall(
        r'X\((\w+),\s*(?:"[^"]*"\s*)+,\s*([^,]+?),\s*([^,]+?),\s*([^,]+?)\)', block
    )
    page = (ROOT / "lib" / "man" / "utcp_options.3").read_text()
    lines = dict(re.findall(r"^\.It Dv UTCP_OPT_(\w+) No \((.*)\)$", page, re.M))
    assert list(lines) == [name for name, *_ in options]
    assert len(options) > 40
    for name, *numbers in options:
        if lines[name] == "read only":
            continue
        default, _, bounds = lines[name].partition("; ")
        shown = [default, *(bounds.split(" to ") if bounds else ("0", "1"))]
        assert [_number(n) for n in shown] == [_number(n) for n in numbers], name
