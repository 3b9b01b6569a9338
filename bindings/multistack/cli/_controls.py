# SPDX-License-Identifier: BSD-2-Clause
"""Congestion controls as a command line names them."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import byref, c_void_p
from pathlib import Path
from types import ModuleType

import click
from click.shell_completion import CompletionItem

from multistack import _cc, _utcp
from multistack._cc import CongestionControl
from multistack.cli._switch import Failure


@contextmanager
def _stack() -> Iterator[int]:
    """One on no wire, to ask."""
    out = c_void_p()
    _utcp.utcp_create(byref(out), None)
    stack = out.value or 0
    try:
        yield stack
    finally:
        _utcp.utcp_destroy(stack)
        _cc.forget_stack(stack)


def complete(
    _context: click.Context, _param: click.Parameter, text: str
) -> list[CompletionItem]:
    """For the shell: those that every stack has, or files."""
    with _stack() as stack:
        names = [name for name in _utcp.cc_names(stack) if name.startswith(text)]
    if names:
        return [CompletionItem(name) for name in names]
    return [CompletionItem(text, type="file")]


def _file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    spec.loader.exec_module(module)
    return module


def _module(name: str) -> ModuleType:
    """Also one that lies where the command is run, as uvicorn has its APP."""
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    return importlib.import_module(name)


def load(text: str) -> str | type[CongestionControl]:
    """ "cubic", "FILE.py:Class" or "module:Class"; what a stack can take."""
    where, colon, name = text.rpartition(":")
    with _stack() as stack:
        known = _utcp.cc_names(stack)
        if not colon:
            if text not in known:
                raise Failure(
                    f"no congestion control '{text}'; there are {', '.join(known)}, "
                    "and classes of Python: FILE.py:CLASS, MODULE:CLASS"
                )
            return text
        try:
            module = _file(Path(where)) if where.endswith(".py") else _module(where)
        except Exception as e:
            raise Failure(f"{where}: {type(e).__name__}: {e}") from e
        found = getattr(module, name, None)
        if not isinstance(found, type) or not issubclass(found, CongestionControl):
            raise Failure(
                f"{where} has no class {name} of multistack.CongestionControl"
            )
        try:
            _cc.register_cc(stack, found)
        except FileExistsError as e:
            raise Failure(f"{text}: each stack has a '{found.name}' already") from e
        except (TypeError, ValueError) as e:
            raise Failure(f"{text}: {e}") from e
        return found
