# SPDX-License-Identifier: BSD-2-Clause
"""multistack status: what the switch does, and for whom."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from multistack._types import Nic, PortEntry, Tuple, TupleEntry, counter_texts
from multistack.cli._switch import (
    console,
    endpoint,
    interfaces,
    nic_json,
    user_name,
    with_switch,
)
from multistack.cli._switch import table as new_table
from multistack.port import Control

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

CLAIMS_SHOWN = 4  # of a port, without --tuples

Counters = dict[str, int]


def tuple_text(t: Tuple) -> str:
    return f"{t.proto} {endpoint(t.addr, t.port)}"


def drops(counters: Counters) -> int:
    return sum(n for name, n in counters.items() if name.startswith("drop_"))


def nic_table(nics: list[tuple[Nic, Counters]]) -> Table:
    numbers = ("MTU", "queues", "ports", "received", "to host", "sent", "dropped")
    table = new_table(
        "Interfaces", "name", "kind", "MAC", "VLAN", *numbers, right=numbers
    )
    for nic, c in nics:
        table.add_row(
            *(nic.name, nic.kind, nic.mac.hex(":"), str(nic.vlan or "")),
            *(str(nic.mtu), str(nic.queues), str(nic.ports)),
            *(f"{c[k]:,}" for k in ("rx_frames", "rx_host", "tx_frames")),
            f"{drops(c):,}",
        )
    if not nics:
        table.add_row("none", "multistack attach INTERFACE")
    return table


def port_table(
    ports: list[tuple[PortEntry, Counters | None]], tuples: list[TupleEntry]
) -> Table:
    numbers = ("rings", "received", "sent", "dropped")
    table = new_table(
        *("Ports", "port", "label", "interface", "user", "process", "claims"),
        *numbers,
        right=("port", "process", *numbers),
    )
    for port, c in ports:
        mine = [tuple_text(t.tuple) for t in tuples if t.port_id == port.id]
        more = port.tuples - CLAIMS_SHOWN
        if more > 0:
            mine = [*mine[:CLAIMS_SHOWN], f"and {more:,} more"]
        counted = (
            ("", "", "")
            if c is None
            else (f"{c['rx_frames']:,}", f"{c['tx_frames']:,}", f"{drops(c):,}")
        )
        table.add_row(
            *(str(port.id), port.label, port.nic or "gone", user_name(port.uid)),
            *(str(port.pid), "\n".join(mine)),
            f"{port.tx_rings} + {port.rx_rings}",
            *counted,
        )
    return table


def counter_table(of: list[tuple[str, Counters]]) -> Table:
    """of: interfaces and ports by name."""
    table = new_table(
        "Counters", "of", "counter", "number", "meaning", right=["number"]
    )
    meaning = counter_texts()
    for name, counters in of:
        for counter, n in counters.items():
            if n:
                table.add_row(name, counter, f"{n:,}", meaning[counter])
    return table


def tuple_table(tuples: list[TupleEntry]) -> Table:
    table = new_table("Tuples", "tuple", "port", "interface", "user", right=["port"])
    for t in tuples:
        table.add_row(
            tuple_text(t.tuple), str(t.port_id), t.nic or "gone", user_name(t.uid)
        )
    return table


def _port_stats(control: Control, port: PortEntry) -> Counters | None:
    """None: another user's, or it has gone meanwhile."""
    with suppress(PermissionError, FileNotFoundError):
        return control.stats(port_id=port.id)
    return None


def _json(
    nics: list[tuple[Nic, Counters]],
    ports: list[tuple[PortEntry, Counters | None]],
    tuples: list[TupleEntry],
) -> dict[str, Any]:
    return {
        "interfaces": [{**nic_json(n), "counters": c} for n, c in nics],
        "ports": [
            {**asdict(p), "user": user_name(p.uid), "counters": c} for p, c in ports
        ],
        "tuples": [{**asdict(t), "tuple": t.tuple._asdict()} for t in tuples],
    }


def _show(
    out: Console,
    nics: list[tuple[Nic, Counters]],
    ports: list[tuple[PortEntry, Counters | None]],
    tuples: list[TupleEntry],
) -> None:
    out.print(nic_table(nics), markup=False)
    if ports:
        out.print(port_table(ports, tuples), markup=False)


@click.command()
@click.argument("interface", default="", shell_complete=interfaces)
@click.option("--tuples", "all_tuples", is_flag=True, help="Each claim, a line.")
@click.option(
    "--counters", is_flag=True, help="Each counter that moved, drops by reason."
)
@click.option("--json", "as_json", is_flag=True, help="All of it, for machines.")
@with_switch
def status(
    control: Control, interface: str, all_tuples: bool, counters: bool, as_json: bool
) -> None:
    """Show interfaces, ports and what they claim; of INTERFACE, or of all."""
    nics = [
        (n, control.stats(nic=n.name))
        for n in control.list_nics()
        if interface in ("", n.name)
    ]
    if interface and not nics:
        control.stats(nic=interface)  # which says why
    ports = [
        (p, _port_stats(control, p))
        for p in sorted(control.list_ports(), key=lambda p: p.id)
        if interface in ("", p.nic)
    ]
    tuples = [t for t in control.list_tuples() if interface in ("", t.nic)]
    if as_json:
        click.echo(json.dumps(_json(nics, ports, tuples), indent=2))
        return
    out = console()
    _show(out, nics, ports, tuples)
    if all_tuples and tuples:
        out.print(tuple_table(tuples), markup=False)
    if counters:
        of = [(n.name, c) for n, c in nics]
        of += [(f"{p.nic} port {p.id}", c) for p, c in ports if c is not None]
        out.print(counter_table(of), markup=False)
