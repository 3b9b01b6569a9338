# SPDX-License-Identifier: BSD-2-Clause
"""The ABI's mirror in Python is what the C compiler says, both ways; and a
library of another version is refused with words."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import abi_dump
import pytest

import multistack
from multistack import _abi, _ffi

ROOT = Path(__file__).resolve().parents[2]
# Of the headers' macros these are no constants of the ABI.
NOT_MIRRORED = {"MS_ABI_ASSERT", "MS_COUNTERS", "MS_COUNTER_ENUM"}


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    scratch = tmp_path_factory.mktemp("abi")
    return abi_dump.dump(ROOT, scratch, "multistack.h", "multistack/port.h")


def mirrored(tag: str) -> str:
    """Python's name of a C struct."""
    words = (
        tag.removeprefix("ms_").removeprefix("msport_").removesuffix("_s").split("_")
    )
    return "".join(w.capitalize() for w in words)


def python_structs() -> dict[str, Any]:
    return {
        name: value
        for name, value in vars(_abi).items()
        if isinstance(value, type)
        and issubclass(value, ctypes.Structure)
        and value is not ctypes.Structure
    }


def test_every_struct_is_mirrored_and_no_other(layout: dict[str, Any]) -> None:
    assert {mirrored(tag) for tag in layout["structs"]} == set(python_structs())


def test_every_field_lies_where_c_has_it(layout: dict[str, Any]) -> None:
    for tag, (size, fields) in layout["structs"].items():
        ours = python_structs()[mirrored(tag)]
        assert fields, f"no field found in struct {tag}"
        assert {
            f[0]: [getattr(ours, f[0]).offset, getattr(ours, f[0]).size]
            for f in ours._fields_
        } == fields, tag
        assert ctypes.sizeof(ours) == size, tag


def test_every_constant_is_mirrored_and_no_other(layout: dict[str, Any]) -> None:
    ours = {k: v for k, v in vars(_abi).items() if k.startswith("MS_")}
    assert ours == layout["constants"]


def test_every_counter_is_mirrored(layout: dict[str, Any]) -> None:
    assert {c.name: c.value for c in _abi.Counter} == {
        name: value for name, _, value in layout["lists"]["ms_counter"]
    }


def test_the_library_names_the_counters_as_the_header(layout: dict[str, Any]) -> None:
    listed = layout["lists"]["ms_counter"]
    assert list(multistack.counter_texts().items()) == [
        (name.lower(), text) for name, text, _ in listed
    ]
    assert [(_ffi.msport_counter_name(i) or b"").decode() for _, _, i in listed] == [
        name.lower() for name, _, _ in listed
    ]
    assert _ffi.msport_counter_name(len(listed)) is None


def test_views_unpack_as_they_lie() -> None:
    import struct

    assert struct.calcsize(_abi.VIEW_FORMAT) == ctypes.sizeof(_abi.View)
    view = _abi.View(1 << 40, 2, 3, 4, 5, 6, 7, 8, 9)
    assert struct.unpack(_abi.VIEW_FORMAT, bytes(view)) == (1 << 40, *range(2, 10))


# ---- loading ---------------------------------------------------------------


def functions() -> list[str]:
    text = abi_dump._plain(ROOT / "lib/include/multistack/port.h")
    import re

    return re.findall(r"MSPORT_EXTERN[^;(]*?\b(msport_\w+)\(", text)


def test_every_call_of_the_header_is_declared() -> None:
    assert len(functions()) > 20
    assert {n for n in vars(_ffi) if n.startswith("msport_")} == set(functions())
    for name in functions():
        f = getattr(_ffi, name)
        assert f.argtypes is not None and f.errcheck is not None, name


def importing(library: Path | str) -> str:
    """What `import multistack` says of this library."""
    package = importlib.util.find_spec("multistack")
    assert package is not None and package.origin is not None
    env = {
        **os.environ,
        "MULTISTACK_LIBRARY": str(library),
        "PYTHONPATH": str(Path(package.origin).parents[1]),
    }
    done = subprocess.run(
        [sys.executable, "-c", "import multistack"],
        env=env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    return done.stderr.splitlines()[-1]


def stub(
    scratch: Path, abi: int, leave_out: str = "", version: str = multistack.__version__
) -> Path:
    """A library with all calls (but one) and no more than its versions."""
    lines = [
        f"void {f}(void) {{}}"
        for f in functions()
        if f not in ("msport_abi", "msport_version", leave_out)
    ]
    lines.append(f"unsigned int msport_abi(void) {{ return {abi}; }}")
    lines.append(f'const char *msport_version(void) {{ return "{version}"; }}')
    source, library = scratch / "stub.c", scratch / "libmultistack.so"
    source.write_text("\n".join(lines))
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    return library


def test_a_library_of_another_abi_is_refused_at_import(tmp_path: Path) -> None:
    said = importing(stub(tmp_path, _abi.MS_ABI_VERSION + 1))
    assert said.startswith("ImportError")
    assert f"ABI {_abi.MS_ABI_VERSION + 1}" in said and "reinstall" in said


def test_a_library_of_another_version_is_refused_at_import(tmp_path: Path) -> None:
    said = importing(stub(tmp_path, _abi.MS_ABI_VERSION, version="9.8.7"))
    assert said.startswith("ImportError") and "version 9.8.7" in said
    assert f"package {multistack.__version__};" in said and "reinstall" in said


def test_a_library_that_lacks_a_call_is_refused_at_import(tmp_path: Path) -> None:
    said = importing(stub(tmp_path, _abi.MS_ABI_VERSION, leave_out="msport_rx"))
    assert said.startswith("ImportError")
    assert "msport_rx()" in said and "reinstall" in said


def test_no_library_is_refused_at_import(tmp_path: Path) -> None:
    said = importing(tmp_path / "libmultistack.so")
    assert said.startswith("ImportError")
    assert str(tmp_path) in said and "./inv build" in said


def test_what_is_no_library_is_refused_at_import(tmp_path: Path) -> None:
    (tmp_path / "libmultistack.so").write_text("text")
    assert importing(tmp_path / "libmultistack.so").startswith("ImportError")
