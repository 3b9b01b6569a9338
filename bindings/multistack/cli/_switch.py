# SPDX-License-Identifier: BSD-2-Clause
"""What the commands share: which switch is meant, and errors as one sentence."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Concatenate, ParamSpec, TypeVar

import click
from rich.console import Console

from multistack.port import Control

MODULE = "/dev/multistack"

P = ParamSpec("P")
R = TypeVar("R")


class Failure(click.ClickException):
    """One sentence on stderr, exit status 1."""

    def show(self, file: Any = None) -> None:
        click.echo(f"multistack: {self.format_message()}", file=file or sys.stderr)


@contextmanager
def errors() -> Iterator[None]:
    """What the switch refuses, in its words."""
    try:
        yield
    except OSError as e:
        raise Failure(e.strerror or str(e)) from e
    except ValueError as e:
        raise Failure(str(e)) from e


def console() -> Console:
    return Console(width=None if sys.stdout.isatty() else 110, highlight=False)


def is_module(device: str) -> bool:
    """Whether that is the kernel module; "" is that where it is loaded."""
    return device.startswith("kmod") or (not device and os.path.exists(MODULE))


def with_switch(
    command: Callable[Concatenate[Control, P], R],
) -> Callable[..., R]:
    """Adds --device, and gives the command a connection to that switch."""

    @click.option(
        "--device",
        "-d",
        default="",
        envvar="MULTISTACK_DEVICE",
        metavar="SWITCH",
        help="kmod, daemon or daemon@/PATH: instead of the module if it is loaded, "
        "else multistackd.",
    )
    @functools.wraps(command)
    def wrapped(device: str, *args: P.args, **kwargs: P.kwargs) -> R:
        with errors(), Control(device) as control:
            return command(control, *args, **kwargs)

    return wrapped
