# SPDX-License-Identifier: BSD-2-Clause
"""multistack attach, multistack detach."""

from __future__ import annotations

import json

import click

from multistack.cli._switch import (
    interfaces,
    is_module,
    links,
    nic_json,
    with_switch,
)
from multistack.port import Control


def _options(
    _context: click.Context, _param: click.Parameter, given: tuple[str, ...]
) -> dict[str, str]:
    """key=value pairs."""
    pairs = [text.partition("=") for text in given]
    for key, equals, _ in pairs:
        if not key or not equals:
            raise click.BadParameter("is to be KEY=VALUE")
    return {key: value for key, _, value in pairs}


@click.command()
@click.argument("interface", shell_complete=links)
@click.option(
    "--xdp/--no-xdp",
    default=None,
    help="Take frames from the driver, or never. Without either: where that is best.",
)
@click.option(
    "--generic", is_flag=True, help="XDP behind the driver, where it has none."
)
@click.option(
    "--vlan", type=click.IntRange(1, 4094), default=None, help="Serve this VLAN only."
)
@click.option("--queues", type=click.IntRange(0, 1024), default=0, hidden=True)
@click.option("--kind", default="", help="Another kind of attachment: tc, tap, pair.")
@click.option(
    *("--option", "-o", "options"),
    multiple=True,
    metavar="KEY=VALUE",
    callback=_options,
    help="Of the kind. The module: qdisc=auto|always|never, tx=skb|xdp|page.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="What was attached, for machines."
)
@with_switch
def attach(
    control: Control,
    interface: str,
    xdp: bool | None,
    generic: bool,
    vlan: int | None,
    queues: int,
    kind: str,
    options: dict[str, str],
    as_json: bool,
) -> None:
    """Put the switch on INTERFACE."""
    if kind and (xdp is not None or generic):
        raise click.UsageError("--kind says it all; leave --xdp and --generic out")
    if generic and xdp is False:
        raise click.UsageError("--generic is a kind of --xdp")
    if xdp or generic:
        kind = "xdp"
    elif xdp is False:
        kind = "rx_handler" if is_module(control.device) else "tc"
    control.attach(
        interface,
        kind,
        options=options,
        vlan=vlan or 0,
        queues=queues,
        generic=generic,
    )
    found = next((n for n in control.list_nics() if n.name == interface), None)
    if as_json:
        told = nic_json(found) if found else {"name": interface}
        click.echo(json.dumps({"attached": told}, indent=2))
    else:
        click.echo(f"{interface} is attached" + (f": {found.kind}" if found else ""))


@click.command()
@click.argument("interface", shell_complete=interfaces)
@click.option("--force", is_flag=True, help="Although ports are open on it.")
@click.option(
    "--json", "as_json", is_flag=True, help="What was detached, for machines."
)
@with_switch
def detach(control: Control, interface: str, force: bool, as_json: bool) -> None:
    """Take the switch off INTERFACE."""
    control.detach(interface, force=force)
    if as_json:
        click.echo(json.dumps({"detached": {"name": interface}}, indent=2))
    else:
        click.echo(f"{interface} is detached")
