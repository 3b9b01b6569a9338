# SPDX-License-Identifier: BSD-2-Clause
"""The mirror of utcp.h, link.h and batch.h is what the C compiler says, both ways."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path
from typing import Any

import abi_dump
import pytest

from multistack import _utcp

ROOT = Path(__file__).resolve().parents[2]
HEADERS = ("multistack/utcp.h", "multistack/link.h", "multistack/batch.h")
CC_CALLS = {"utcp_cc_default", "utcp_cc_name"}  # utcp_cc.h's
ENUMS = {
    "utcp_counter": _utcp.StackCounter,
    "utcp_opt": _utcp.Opt,
    "mslink_counter": _utcp.LinkCounter,
}


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return abi_dump.dump(ROOT, tmp_path_factory.mktemp("abi"), *HEADERS)


def mirrored(tag: str) -> str:
    """Python's name of a C struct."""
    words = tag.removeprefix("utcp_").removesuffix("_s")
    words = words.replace("mslink_", "link_").replace("msbatch_", "batch_")
    return "".join(w.capitalize() for w in words.split("_"))


def test_every_struct_is_mirrored_and_no_other(layout: dict[str, Any]) -> None:
    ours = {
        name
        for name, value in vars(_utcp).items()
        if isinstance(value, type)
        and issubclass(value, ctypes.Structure)
        and value is not ctypes.Structure
    }
    assert {mirrored(t) for t in layout["structs"]} == ours


def test_every_field_lies_where_c_has_it(layout: dict[str, Any]) -> None:
    for tag in layout["structs"]:
        size, fields = layout["structs"][tag]
        ours = getattr(_utcp, mirrored(tag))
        assert fields, f"no field found in struct {tag}"
        assert {
            f[0]: [getattr(ours, f[0]).offset, getattr(ours, f[0]).size]
            for f in ours._fields_
        } == fields, tag
        assert ctypes.sizeof(ours) == size, tag


def test_every_constant_is_mirrored_and_no_other(layout: dict[str, Any]) -> None:
    ours = {
        k: v
        for k, v in vars(_utcp).items()
        if k.startswith(("UTCP_", "MSLINK_", "MSBATCH_"))
    }
    states = {f"UTCP_{s.name}": s.value for s in _utcp.State}
    assert ours | states == layout["constants"]


@pytest.mark.parametrize("tag", ENUMS)
def test_every_listed_enumerator_is_mirrored(layout: dict[str, Any], tag: str) -> None:
    assert {e.name: e.value for e in ENUMS[tag]} == {
        name: value for name, _, value in layout["lists"][tag]
    }


@pytest.mark.parametrize(
    ("tag", "name", "text"),
    [
        ("utcp_counter", _utcp.utcp_counter_name, _utcp.utcp_counter_text),
        ("utcp_opt", _utcp.utcp_opt_name, _utcp.utcp_opt_text),
        ("mslink_counter", _utcp.mslink_counter_name, _utcp.mslink_counter_text),
    ],
)
def test_the_library_names_them_as_the_header(
    layout: dict[str, Any], tag: str, name: Any, text: Any
) -> None:
    listed = layout["lists"][tag]
    assert [(name(i), text(i)) for _, _, i in listed] == [
        (n.lower().encode(), t.encode()) for n, t, _ in listed
    ]
    assert name(len(listed)) is None


def test_every_call_of_the_headers_is_declared() -> None:
    paths = [ROOT / "lib/include" / h for h in HEADERS]
    text = "".join(abi_dump._plain(p) for p in paths)
    calls = set(re.findall(r"EXTERN[^;(]*?\b((?:utcp|mslink|msbatch)_\w+)\(", text))
    assert len(calls) > 70
    ours = {n for n in vars(_utcp) if n.startswith(("utcp_", "mslink_", "msbatch_"))}
    assert ours == calls | CC_CALLS
    for name in ours:
        f = getattr(_utcp, name)
        assert f.argtypes is not None and f.errcheck is not None, name
