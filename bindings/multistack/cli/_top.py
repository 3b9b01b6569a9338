# SPDX-License-Identifier: BSD-2-Clause
"""multistack top: rates of ports and connections, live."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import count as count_from
from typing import TYPE_CHECKING

import click

from multistack import _tables
from multistack._tables import Connection, LinkTable
from multistack._types import PortEntry
from multistack.cli._switch import (
    console,
    device_option,
    endpoint,
    errors,
    table,
    user_name,
)
from multistack.port import Control

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.table import Table

STALE_NS = 3_000_000_000  # a link that has been silent so long is idle

Counters = dict[str, int]


@dataclass
class PortRates:
    """Of a port, each a second; none where its counters are not for the caller."""

    id: int
    label: str
    interface: str
    user: str
    pid: int
    rx_frames: float | None = None
    rx_bytes: float | None = None
    tx_frames: float | None = None
    tx_bytes: float | None = None
    dropped: float | None = None
    drops: dict[str, float] = field(default_factory=dict)  # by reason


@dataclass
class ConnectionRates:
    """Of a connection; rates a second, the others as they are."""

    pid: int
    port: int
    local: tuple[str, int]
    peer: tuple[str, int]
    state: str
    cc: str
    rx_bytes: float
    tx_bytes: float  # acknowledged
    retransmits: float  # segments
    rtt_ms: float | None
    cwnd_bytes: int
    unacked_bytes: int
    retransmits_in_all: int


@dataclass
class Sample:
    """One look; connections: as many as were told of, busiest first."""

    ports: list[PortRates]
    connections: list[ConnectionRates]
    connections_in_all: int


def _rates(before: Counters, after: Counters, seconds: float) -> dict[str, float]:
    return {k: max(0, after[k] - before.get(k, 0)) / seconds for k in after}


class _Ports:
    """Looks at ports, and remembers what it saw."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[float, Counters]] = {}

    def look(self, control: Control) -> list[PortRates]:
        ports = sorted(control.list_ports(), key=lambda p: p.id)
        seen, self._seen = self._seen, {}
        return [self._rates(control, port, seen.get(port.id)) for port in ports]

    def _rates(
        self, control: Control, port: PortEntry, before: tuple[float, Counters] | None
    ) -> PortRates:
        rates = PortRates(
            *(port.id, port.label, port.nic, user_name(port.uid), port.pid)
        )
        with suppress(PermissionError, FileNotFoundError):
            now, counters = time.monotonic(), control.stats(port_id=port.id)
            self._seen[port.id] = now, counters
            if before:
                each = _rates(before[1], counters, max(now - before[0], 1e-3))
                rates.rx_frames, rates.rx_bytes = each["rx_frames"], each["rx_bytes"]
                rates.tx_frames, rates.tx_bytes = each["tx_frames"], each["tx_bytes"]
                rates.drops = {
                    name.removeprefix("drop_"): rate
                    for name, rate in each.items()
                    if name.startswith("drop_") and rate
                }
                rates.dropped = sum(rates.drops.values())
        return rates


Key = tuple[int, tuple[str, int], tuple[str, int]]
Three = tuple[float, float, float]


class _Connections:
    """Looks at what links tell of their connections, which they do once a second."""

    def __init__(self) -> None:
        self._seen: dict[Key, tuple[int, Connection, Three]] = {}

    def look(self, pids: set[int]) -> tuple[list[ConnectionRates], int]:
        """Of these processes; and how many there are in all."""
        found = _tables.tables(pids)
        before, self._seen = self._seen, {}
        rows = [row for t in found for row in self._rows(t, before)]
        rows.sort(key=lambda r: (-(r.rx_bytes + r.tx_bytes), r.local, r.peer))
        full = [t for t in found if len(t.connections) >= _tables.MSLINK_TABLE_ROWS]
        more = sum(max(0, t.socks - len(t.connections)) for t in full)
        return rows, len(rows) + more

    def _rows(
        self, t: LinkTable, before: dict[Key, tuple[int, Connection, Three]]
    ) -> Iterator[ConnectionRates]:
        for c in t.connections:
            key = (t.pid, c.local, c.peer)
            rates = self._three(t, c, before.get(key))
            self._seen[key] = t.time_ns, c, rates
            yield ConnectionRates(
                *(t.pid, t.port_id, c.local, c.peer, c.state, c.cc, *rates),
                rtt_ms=c.rtt_us / 1000 if c.rtt_us else None,
                cwnd_bytes=c.cwnd_bytes,
                unacked_bytes=c.unacked_bytes,
                retransmits_in_all=c.retrans_segs,
            )

    def _three(
        self, t: LinkTable, c: Connection, before: tuple[int, Connection, Three] | None
    ) -> Three:
        if before is None or before[1].bytes_received > c.bytes_received:
            return 0.0, 0.0, 0.0
        then, old, rates = before
        if then >= t.time_ns:  # not told anew
            idle = time.monotonic_ns() - t.time_ns > STALE_NS
            return (0.0, 0.0, 0.0) if idle else rates
        seconds = (t.time_ns - then) / 1e9
        return (
            (c.bytes_received - old.bytes_received) / seconds,
            max(0, c.bytes_acked - old.bytes_acked) / seconds,
            max(0, c.retrans_segs - old.retrans_segs) / seconds,
        )


class Watch:
    """Samples of a switch and of what its ports' processes tell."""

    def __init__(self, device: str, pids: set[int], rows: int) -> None:
        """pids: processes whose switch is their own. rows: connections told of."""
        self._device = device
        self._pids = pids
        self._ports = _Ports()
        self._connections = _Connections()
        self._rows = rows

    def sample(self) -> Sample:
        """Rates since the last one. Errors as Control(), unless there are pids."""
        ports: list[PortRates] = []
        try:
            with Control(self._device) as control:
                ports = self._ports.look(control)
        except OSError:
            if not self._pids:
                raise
        pids = self._pids | {p.pid for p in ports}
        connections, every = self._connections.look(pids)
        return Sample(ports, connections[: self._rows], every)


# ---- on the screen -----------------------------------------------------------


def si(value: float | None, unit: str = "") -> str:
    """Three digits and a prefix: 1.2 Mbit/s."""
    if value is None:
        return "?"
    prefixes = ["", "k", "M", "G", "T"]
    while value >= 999.5 and len(prefixes) > 1:
        value /= 1000
        del prefixes[0]
    prefix = prefixes[0]
    digits = 0 if value >= 99.5 or (not prefix and value == int(value)) else 1
    return f"{value:.{digits}f} {prefix}{unit}".rstrip()


def _bits(bytes_a_second: float | None) -> str:
    return si(None if bytes_a_second is None else bytes_a_second * 8, "bit/s")


def port_table(ports: list[PortRates]) -> Table:
    numbers = ("in/s", "in", "out/s", "out", "dropped/s")
    made = table(
        *("Ports", "port", "label", "interface", "user", "process", *numbers, "why"),
        right=("port", "process", *numbers),
    )
    for p in ports:
        made.add_row(
            *(str(p.id), p.label, p.interface or "gone", p.user, str(p.pid)),
            *(si(p.rx_frames), _bits(p.rx_bytes), si(p.tx_frames), _bits(p.tx_bytes)),
            *(si(p.dropped), ", ".join(sorted(p.drops, key=lambda k: -p.drops[k])[:2])),
        )
    return made


def connection_table(sample: Sample) -> Table:
    numbers = ("in", "out", "rtt ms", "cwnd", "in flight", "retrans/s", "retrans")
    made = table(
        *("Connections", "process", "local", "peer", "state", "cc", *numbers),
        right=("process", *numbers),
    )
    for c in sample.connections:
        made.add_row(
            *(str(c.pid), endpoint(*c.local), endpoint(*c.peer), c.state, c.cc),
            *(_bits(c.rx_bytes), _bits(c.tx_bytes)),
            "" if c.rtt_ms is None else f"{c.rtt_ms:.2f}",
            *(si(c.cwnd_bytes, "B"), si(c.unacked_bytes, "B")),
            *(si(c.retransmits), f"{c.retransmits_in_all:,}"),
        )
    left = sample.connections_in_all - len(sample.connections)
    if left > 0:
        made.caption = f"and {left:,} more"
    return made


def _shown(sample: Sample) -> Group:
    from rich.console import Group

    tables = [port_table(sample.ports)] if sample.ports else []
    if sample.connections:
        tables.append(connection_table(sample))
    return Group(*tables) if tables else Group("no port is open")


def _samples(watch: Watch, interval: float, times: int) -> Iterator[Sample]:
    """times: 0 for ever."""
    watch.sample()
    for n in count_from(1):
        time.sleep(interval)
        yield watch.sample()
        if n == times:
            return


def _live(samples: Iterator[Sample], out: Console) -> None:
    from rich.live import Live

    with Live(console=out, screen=True, auto_refresh=False) as live:
        for sample in samples:
            live.update(_shown(sample), refresh=True)


@click.command()
@click.option(
    *("--interval", "-i"),
    type=click.FloatRange(0.1, 3600),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Between two looks, which rates are of.",
)
@click.option("--count", "-n", type=click.IntRange(1), help="End after so many looks.")
@click.option("--once", is_flag=True, help="The same as -n 1.")
@click.option(
    *("--rows", "-r"),
    type=click.IntRange(0),
    default=20,
    show_default=True,
    help="So many connections.",
)
@click.option(
    *("--pid", "-p", "pids"),
    type=click.IntRange(1),
    multiple=True,
    help="Connections of this process too, which has a switch of its own.",
)
@click.option("--json", "as_json", is_flag=True, help="A line for each look.")
@device_option
def top(
    device: str,
    interval: float,
    count: int | None,
    once: bool,
    rows: int,
    pids: tuple[int, ...],
    as_json: bool,
) -> None:
    """Watch ports and connections, busiest first.

    Connections are those of UTCP: each stack tells of up to 1024, to its own user and
    to the administrator. Counters of other users' ports take CAP_NET_ADMIN. On a
    terminal it goes on until an interrupt; elsewhere, and with -n, it prints.
    """
    times = 1 if once else count or 0
    samples = _samples(Watch(device, set(pids), rows), interval, times)
    out = console(160)
    with errors(), suppress(KeyboardInterrupt):
        if not times and not as_json and out.is_terminal:
            _live(samples, out)
        for sample in samples:
            if as_json:
                click.echo(json.dumps(asdict(sample)))
            else:
                out.print(_shown(sample), markup=False)
