# SPDX-License-Identifier: BSD-2-Clause
"""What the commands share: which switch is meant, and errors as one sentence."""

from __future__ import annotations

import functools
import os
import pwd
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import click

from multistack._types import Feature, Nic, PortEntry
from multistack.port import Control

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

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


def console(columns: int = 110) -> Console:
    """columns: where there is no terminal to say."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else columns, highlight=False)


def is_module(device: str) -> bool:
    """Whether that is the kernel module; "" is that where it is loaded."""
    return device.startswith("kmod") or (not device and os.path.exists(MODULE))


def table(title: str, *columns: str, right: Iterable[str] = ()) -> Table:
    """An empty one; right: columns of numbers."""
    from rich.table import Table

    made = Table(title=title, title_justify="left", caption_justify="left")
    for name in columns:
        made.add_column(name, justify="right" if name in right else "left")
    return made


def endpoint(addr: str, port: int) -> str:
    """As URLs have it; without a port where there is none."""
    shown = f"[{addr}]" if ":" in addr else addr
    return f"{shown}:{port}" if port else shown


def nic_json(nic: Nic) -> dict[str, Any]:
    """features: their names."""
    told = asdict(nic)
    told["mac"] = nic.mac.hex(":")
    told["features"] = [f.name.lower() for f in Feature if f in nic.features and f.name]
    return told


def user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def device_on(device: str, nic: str) -> str:
    """The device string of a port: on this switch, this interface."""
    switch = device.rstrip(":")
    return f"{switch}:{nic}" if switch else nic


def port_named(control: Control, text: str, nic: str = "") -> PortEntry:
    """The open port (of an interface) with this number, or this label."""
    ports = [p for p in control.list_ports() if nic in ("", p.nic)]
    found = [p for p in ports if text in (str(p.id), p.label)]
    if len(found) == 1:
        return found[0]
    if found:
        numbers = ", ".join(str(p.id) for p in found)
        raise Failure(f"several ports have the label '{text}': name one of {numbers}")
    there = ", ".join(f"{p.id} ({p.label})" if p.label else str(p.id) for p in ports)
    raise Failure(f"there is no port '{text}'; there are: {there or 'none'}")


def interfaces(context: click.Context, _param: click.Parameter, text: str) -> list[str]:
    """For the shell: attached interfaces."""
    device = context.params.get("device") or os.environ.get("MULTISTACK_DEVICE", "")
    with suppress(OSError), Control(device) as control:
        return [n.name for n in control.list_nics() if n.name.startswith(text)]
    return []


def links(_context: click.Context, _param: click.Parameter, text: str) -> list[str]:
    """For the shell: interfaces of this machine."""
    with suppress(OSError):
        return sorted(n for n in os.listdir("/sys/class/net") if n.startswith(text))
    return []


device_option = click.option(
    *("--device", "-d"),
    default="",
    envvar="MULTISTACK_DEVICE",
    metavar="SWITCH",
    help="kmod, daemon or daemon@/PATH: instead of the module if it is loaded, "
    "else multistackd.",
)


def with_switch(
    command: Callable[Concatenate[Control, P], R],
) -> Callable[..., R]:
    """Adds --device, and gives the command a connection to that switch."""

    @device_option
    @functools.wraps(command)
    def wrapped(device: str, *args: P.args, **kwargs: P.kwargs) -> R:
        with errors(), Control(device) as control:
            return command(control, *args, **kwargs)

    return wrapped
