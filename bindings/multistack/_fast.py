# SPDX-License-Identifier: BSD-2-Clause
"""The compiled part of the event loop (bindings/speed), loaded.

It lies beside this file where the package is installed, and in the build that
the library is of where one is named.
"""

from __future__ import annotations

import sys
from asyncio import transports
from collections.abc import Callable
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multistack import _ffi

_NAME = "multistack._speed"
_FILE = "_speed.abi3.so"


def _load() -> Any:
    tried = [
        Path(__file__).resolve().parent / _FILE,
        _ffi.library_path.resolve().parent.parent / "bindings" / _FILE,
    ]
    for path in tried:
        if path.exists():
            spec = spec_from_file_location(
                _NAME, path, loader=ExtensionFileLoader(_NAME, str(path))
            )
            assert spec and spec.loader
            module = sys.modules[_NAME] = module_from_spec(spec)
            spec.loader.exec_module(module)
            return module
    raise ImportError(
        f"the compiled part of the event loop is not there, looked for as "
        f"{', '.join(map(str, tried))}; build it (./inv build, which needs "
        f"python3-dev), or install the wheel"
    )


_speed = _load()

if TYPE_CHECKING:

    class Scheduler:
        """call_soon(), call_at(), call_later(), time() and the iteration: the base of
        a loop, beside asyncio's own."""

    class Stream(transports._FlowControlMixin):
        """What a connection's transport keeps for the next turn, and write()."""

        _out: list[Any]
        _turn: list[Any]
        _run: Callable[..., Any]
        _data_received: Any
        _empty_waiter: Any
        _out_bytes: int
        _high_water: int
        _id: int
        _after: int
        _all: int
        _conn_lost: int
        plain: bool
        _dirty: bool
        _watched: bool
        _blocked: bool
        _eof: bool

        def write(self, data: Any) -> None: ...

else:
    Scheduler = _speed.Scheduler
    Stream = _speed.Stream

Told: Any = _speed.Told
