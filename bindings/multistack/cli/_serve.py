# SPDX-License-Identifier: BSD-2-Clause
"""multistack serve: multistack-httpd on an attached interface."""

from __future__ import annotations

import click

from multistack.cli._programs import become
from multistack.cli._switch import (
    Failure,
    device_on,
    device_option,
    errors,
    interfaces,
)
from multistack.port import Control


def _only_interface(switch: str) -> str:
    with errors(), Control(switch) as control:
        nics = [n.name for n in control.list_nics()]
    if len(nics) == 1:
        return nics[0]
    if not nics:
        raise Failure("no interface is attached; multistack attach INTERFACE")
    raise Failure(f"--interface is to say which: {', '.join(nics)} are attached")


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("directory", default=".", type=click.Path(exists=True, file_okay=False))
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
@click.option(
    *("--interface", "-i"),
    default="",
    shell_complete=interfaces,
    help="The attached interface, or a port of another kind: "
    "tap:ms0,local=10.9.0.2/24,host=10.9.0.1. Without: the only one attached.",
)
@click.option(
    *("--listen", "-l"),
    multiple=True,
    default=["[::]:8080"],
    show_default="[::]:8080",
    metavar="[ADDRESS:]PORT",
    help="Where to listen; may be repeated.",
)
@device_option
def serve(
    device: str,
    directory: str,
    options: tuple[str, ...],
    interface: str,
    listen: tuple[str, ...],
) -> None:
    """Serve the folder DIRECTORY over HTTP, on a TCP of its own.

    It is multistack-httpd(8) that serves, on UTCP, beside the host's stack and on its
    addresses; OPTIONS are that program's, such as --cc bbr or --threads 4. Without
    DIRECTORY the current one. Ends at an interrupt.
    """
    if ":" not in interface:
        with errors():
            interface = device_on(device, interface or _only_interface(device))
    where = [word for address in listen for word in ("--listen", address)]
    become("multistack-httpd", "--device", interface, *where, *options, directory)
