# SPDX-License-Identifier: BSD-2-Clause
"""Writes bindings/multistack.1 from the commands' own help.

python -m ci.manpage [FILE]
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import click

from multistack.cli import main

PAGE = Path(__file__).resolve().parent.parent / "bindings" / "multistack.1"

HEAD = r"""\" SPDX-License-Identifier: BSD-2-Clause
.\" Made by ci/manpage.py from the commands' help: change it there.
.Dd November 23, 2026
.Dt MULTISTACK 1
.Os
.Sh NAME
.Nm multistack
.Nd look after the MultiStack switch, and serve, watch and record with it
.Sh SYNOPSIS
.Nm
.Op Fl V | h
.Ar command
.Op Ar option ...
.Op Ar argument ...
.Sh DESCRIPTION
.Nm
speaks to a switch: to the kernel module,
.Xr multistack 4 ,
where it is loaded, else to
.Xr multistackd 8 .
The switch gives programs ports, over which they run network stacks of their own
beside the host's, on its interfaces and addresses.
.Pp
Every command explains itself with
.Fl -help .
With
.Fl -json
it prints one object of JSON,
.Cm top
one for each look, whose fields stay; new ones may come.
"""

TAIL = r""".Sh ENVIRONMENT
.Bl -tag -width Ds
.It Ev MULTISTACK_DEVICE
The switch, where
.Fl -device
does not say which.
.It Ev MULTISTACK_SOCKET
Of
.Xr multistackd 8 ,
where it is not
.Pa /run/multistack.sock .
.It Ev MULTISTACK_LIBRARY
The shared library, where it is not the package's own.
.El
.Sh EXIT STATUS
0 if it did what it was asked to; 1 if not, with a sentence on standard error; 2 if it
was called in a wrong way.
.Sh SEE ALSO
.Xr tcpdump 1 ,
.Xr multistack 4 ,
.Xr pcap-filter 7 ,
.Xr msctl 8 ,
.Xr multistack-httpd 8 ,
.Xr multistackd 8
"""


def _escape(text: str) -> str:
    text = text.replace("\\", r"\e").replace("-", r"\-")
    return r"\&" + text if text.startswith((".", "'")) else text


def _fill(text: str) -> Iterator[str]:
    """A sentence begins a line, as mdoc wants it."""
    for sentence in re.split(r"(?<=[.:]) +(?=[A-Z])", " ".join(text.split())):
        yield from map(_escape, textwrap.wrap(sentence, 76, break_long_words=False))


def _paragraphs(text: str) -> Iterator[str]:
    """Of a command's help: click's \\b keeps lines as they are."""
    for i, part in enumerate(text.strip().split("\n\n")):
        lines = part.split("\n")
        if lines[0].strip() == "\b":
            yield ".Bd -literal -offset indent"
            yield from map(_escape, lines[1:])
            yield ".Ed"
            continue
        if i:
            yield ".Pp"
        yield from _fill(part)


def _flags(option: click.Option) -> str:
    """As mdoc has an item's head: dashes are its own."""
    words = []
    for flag in [*option.opts, *option.secondary_opts]:
        words.append(f"Fl {_escape(flag[1:])}")
    head = " , ".join(words)
    if option.is_flag:
        return head
    what = option.metavar or option.type.name.replace("integer range", "number")
    return f"{head} Ar {_escape(what.replace('float range', 'number'))}"


def _option(option: click.Option) -> Iterator[str]:
    yield f".It {_flags(option)}"
    yield from _fill(option.help or "")
    if option.show_default:
        shown = option.show_default
        value = shown if isinstance(shown, str) else option.default
        yield f"The default is {_escape(str(value))}."


def _arguments(command: click.Command) -> str:
    words = []
    for p in command.params:
        if not isinstance(p, click.Argument):
            continue
        name = f"Ar {p.name}" + (" ..." if p.nargs == -1 else "")
        words.append(name if p.required else f"Oo {name} Oc")
    return " ".join(words)


def _command(name: str, command: click.Command) -> Iterator[str]:
    yield f".It Cm {name} Oo Ar option ... Oc {_arguments(command)}".rstrip()
    yield from _paragraphs(command.help or "")
    options = [
        p for p in command.params if isinstance(p, click.Option) and not p.hidden
    ]
    if not options:
        return
    yield ".Bl -tag -width Ds"
    for option in options:
        yield from _option(option)
    yield ".El"


def _commands() -> Iterator[str]:
    context = click.Context(main)
    yield ".Sh COMMANDS"
    yield ".Bl -tag -width Ds"
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command
        yield from _command(name, command)
    yield ".El"


def page() -> str:
    return ".\\" + HEAD[1:] + "\n".join(_commands()) + "\n" + TAIL


if __name__ == "__main__":
    Path(sys.argv[1] if len(sys.argv) > 1 else PAGE).write_text(page())
