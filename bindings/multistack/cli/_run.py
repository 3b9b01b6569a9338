# SPDX-License-Identifier: BSD-2-Clause
"""multistack run: somebody's application on a stack of its own."""

from __future__ import annotations

import asyncio
import atexit
import os
import runpy
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from multistack._cc import CongestionControl
from multistack.cli._controls import complete, load
from multistack.cli._switch import Failure

Control = str | type[CongestionControl]


def _for_asyncio(make: Callable[[], Any]) -> None:
    """Every loop that asyncio makes, with a policy or without."""
    from asyncio import events

    asyncio.SelectorEventLoop = make  # type: ignore[assignment]
    if hasattr(asyncio, "EventLoop"):  # Python 3.13
        asyncio.EventLoop = make
    policy: Any = getattr(asyncio, "DefaultEventLoopPolicy", None)
    if policy is not None:
        policy._loop_factory = staticmethod(make)
    # Who chooses a loop by its policy chooses this one.
    for module in (asyncio, events):
        if hasattr(module, "set_event_loop_policy"):
            setattr(module, "set_event_loop_policy", lambda _policy: None)  # noqa: B010
        setattr(module, "new_event_loop", make)  # noqa: B010


def _for_runner(make: Callable[[], Any]) -> None:
    """Every Runner, whatever factory it is given."""
    runner: Any = getattr(asyncio, "Runner", None)
    if runner is None:
        return
    init = runner.__init__

    def __init__(
        self: Any, *, debug: bool | None = None, loop_factory: Any = None
    ) -> None:
        init(self, debug=debug, loop_factory=make)

    runner.__init__ = __init__


def _for_uvloop(make: Callable[[], Any]) -> None:
    """Who asks for uvloop by name gets ours under that name."""
    stand_in: Any = ModuleType("uvloop")
    stand_in.Loop = stand_in.new_event_loop = make
    stand_in.install = lambda: None
    stand_in.EventLoopPolicy = asyncio.DefaultEventLoopPolicy

    def run(main: Any, *, debug: bool | None = None, **_more: Any) -> Any:
        return asyncio.run(main, debug=debug)

    stand_in.run = run
    sys.modules["uvloop"] = stand_in


def install(device: str, control: Control | None = None) -> None:
    """From now on every event loop of this process is ours, on this device; with
    this congestion control, unless a connection asks for another."""
    from multistack.loop import loop_factory

    make = loop_factory(device, adopt=True, cc=control)
    _for_asyncio(make)
    _for_runner(make)
    _for_uvloop(make)


def _script(name: str) -> str | None:
    """The path of a Python program: a file, or a command of this environment."""
    if Path(name).is_file():
        return name
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        return None
    with open(found, "rb") as f:
        first = f.readline(256)
    if first.startswith(b"#!") and b"python" in first or found.endswith(".py"):
        return found
    raise Failure(
        f"{found} is not a Python program; name a script, or a module by --module"
    )


def _program(path: str | None, name: str) -> None:
    if path is None:
        sys.path.insert(0, os.getcwd())
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    else:
        # As python SCRIPT does it; a command finds the application where it is run.
        sys.path.insert(0, str(Path(path).resolve().parent))
        runpy.run_path(path, run_name="__main__")


def _end_by(signals: list[int]) -> None:
    for number in signals:
        sys.stdout.flush()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False}
)
@click.option(
    *("--device", "-d"),
    envvar="MULTISTACK_DEVICE",
    metavar="DEVICE",
    help="The port: daemon:eth0, xdp:eth0, tap:ms0,local=10.9.0.2/24,host=10.9.0.1. "
    "Without: $MULTISTACK_DEVICE.",
)
@click.option(
    "--cc",
    metavar="NAME",
    shell_complete=complete,
    help="Congestion control of its connections: newreno, cubic, bbr, prague, or a "
    "class of Python, as FILE.py:CLASS or MODULE:CLASS. Without: cubic.",
)
@click.option(
    *("--module", "-m"), is_flag=True, help="PROGRAM is a module, as python -m has it."
)
@click.argument("program")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def run(
    device: str | None,
    cc: str | None,
    module: bool,
    program: str,
    arguments: tuple[str, ...],
) -> None:
    """Run PROGRAM, which uses asyncio, on a TCP of its own.

    PROGRAM is a command of the Python environment (uvicorn, hypercorn), a script, or a
    module. Its event loop, whichever it asks for, is multistack.EventLoop; nothing else
    of it is changed. It says of itself how it ends.

    \b
    multistack run -d daemon:eth0 -- uvicorn app:app --port 8080
    multistack run -d daemon:eth0 --cc mine.py:Mine -- uvicorn app:app
    """
    if not device:
        raise Failure(
            "no device: --device daemon:eth0 (or xdp:eth0, tap:...), "
            "or set $MULTISTACK_DEVICE"
        )
    path = None if module else _script(program)
    if path is None and not module:
        raise Failure(f"{program}: no such file, and no such command")
    control = None if cc is None else load(cc)
    os.environ["MULTISTACK_DEVICE"] = device
    try:
        install(device, control)
    except ImportError as e:
        raise Failure(str(e)) from e
    sys.argv = [path or program, *arguments]
    at_exit: list[int] = []
    atexit.register(_end_by, at_exit)  # before what the program registers: runs last
    try:
        _program(path, program)
    except KeyboardInterrupt:
        # As python has it. click would say "Aborted!" and end with 1.
        sys.excepthook(*sys.exc_info())
        at_exit.append(signal.SIGINT)
