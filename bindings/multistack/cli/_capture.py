# SPDX-License-Identifier: BSD-2-Clause
"""multistack capture: frames as the switch saw them, into a file or a pipe."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import IO, Literal

import click

from multistack._types import Gso, Meta, PortEntry, SlotFlag, counter_texts
from multistack._version import __version__
from multistack.cli._ffi_pcap import Filter
from multistack.cli._pcapng import INBOUND, OUTBOUND, Writer
from multistack.cli._switch import (
    Failure,
    device_on,
    interfaces,
    port_named,
    with_switch,
)
from multistack.port import Control, Port

SNAP_MIN, SNAP_MAX = 64, 65568  # all headers of a plain frame; MS_FRAME_BYTES_MAX
SLOTS = 4096
# Counted after a frame was sent as far as a tap is concerned.
LATER = {"drop_tx_nic", "drop_tx_nohost"}
QUIET_S = 0.25  # between looks whether what is watched is still there


@dataclass
class Tally:
    """frames came to the capture, captured passed the filter, and dropped were
    lost because the capture was slower than the traffic. refused: those of the
    captured that the switch refused to send, by the counter that has them."""

    frames: int = 0
    captured: int = 0
    dropped: int = 0
    refused: dict[str, int] = field(default_factory=dict)


def wire_bytes(frame: bytes, cut: bool) -> int:
    """The length that a frame had: as its IP header says where it was cut. The
    switch does not tell; what is shorter than SNAP_MIN is never cut."""
    if not cut:
        return len(frame)
    at = 18 if frame[12:14] == b"\x81\x00" else 14
    kind = frame[at - 2 : at]
    if kind == b"\x08\x00":
        said = int.from_bytes(frame[at + 2 : at + 4], "big")
    elif kind == b"\x86\xdd":
        said = 40 + int.from_bytes(frame[at + 4 : at + 6], "big")
    else:
        said = 0
    return max(len(frame), at + said)


def reason(counter: str) -> str:
    """A counter with its meaning."""
    return f"{counter}, {counter_texts().get(counter, 'of a newer switch')}"


def remarks(meta: Meta, refusal: str = "") -> str:
    """Why the switch refused it; what Wireshark would take for faults, and why it
    is none."""
    told = [f"refused: {reason(refusal)}"] if refusal else []
    if meta.flags & SlotFlag.CSUM_PARTIAL:
        told.append("checksum left to the interface")
    if meta.gso_type:
        try:
            name = Gso(meta.gso_type).name.lower()
        except ValueError:  # of a frame that was refused
            name = f"type {meta.gso_type}"
        told.append(f"to be cut into segments of {meta.gso_size} bytes ({name})")
    return "; ".join(told)


class Capture:
    """A port whose only use is the tap on it."""

    def __init__(
        self,
        port: Port,
        writer: Writer,
        passes: Callable[[bytes, int], bool],
        tally: Tally,
        *,
        snap_bytes: int,
        most: int,
    ) -> None:
        """most: frames to capture, 0 for all."""
        self.port = port
        self.writer = writer
        self.passes = passes
        self.tally = tally
        self.snap_bytes = snap_bytes
        self.most = most

    @property
    def full(self) -> bool:
        return self.most > 0 and self.tally.captured >= self.most

    def drain(self) -> None:
        """Writes what waits."""
        now = time.time_ns()
        with self.port.recv_batch() as frames:
            for i, frame in enumerate(frames):
                if self.full:
                    break
                data, meta = bytes(frame), frames.meta(i)
                self.tally.frames += 1
                size = wire_bytes(data, len(data) == self.snap_bytes)
                if not self.passes(data, size):
                    continue
                self.tally.captured += 1
                refusal = frames.refusal(i)
                if refusal:
                    known = self.tally.refused
                    known[refusal] = known.get(refusal, 0) + 1
                sent = meta.flags & (SlotFlag.TAP_TX | SlotFlag.TAP_DROP)
                way = OUTBOUND if sent else INBOUND
                self.writer.packet(data, size, now, way, remarks(meta, refusal))

    def close(self) -> None:
        """Writes what is to be known of the whole."""
        self.writer.statistics(
            time.time_ns(),
            received=self.tally.frames + lost(self.port),
            dropped=lost(self.port),
            accepted=self.tally.captured,
        )


def lost(port: Port) -> int:
    """Frames that found the tap's ring full."""
    return port.stats()["tap_lost"]


def refusals(control: Control, nic: str, target: PortEntry | None) -> int:
    """How many frames the switch has refused to send, ever; 0 where the port is gone."""
    with contextlib.suppress(OSError):
        counters = (
            control.stats(port_id=target.id) if target else control.stats(nic=nic)
        )
        return sum(
            n
            for name, n in counters.items()
            if name.startswith("drop_tx_") and name not in LATER
        )
    return 0


@contextlib.contextmanager
def _destination(path: str) -> Iterator[IO[bytes]]:
    """A file, standard output, or without either tcpdump, which prints."""
    if path and path != "-":
        with open(path, "wb") as file:
            yield file
        return
    if path == "-" or not sys.stdout.isatty():
        yield sys.stdout.buffer
        return
    tcpdump = shutil.which("tcpdump")
    if not tcpdump:
        raise Failure(
            "standard output is a terminal and there is no tcpdump to print frames: "
            "-w FILE, or pipe it into `wireshark -k -i -`"
        )
    # It reads to the end of the pipe: an interrupt is ours to answer.
    shown = subprocess.Popen(
        [tcpdump, "-n", "-l", "-r", "-"], stdin=subprocess.PIPE, start_new_session=True
    )
    assert shown.stdin
    try:
        yield shown.stdin
    finally:
        with contextlib.suppress(BrokenPipeError):
            shown.stdin.close()
        shown.wait()


def _record(control: Control, capture: Capture, out: IO[bytes], watched: int) -> None:
    """Until it is full, an interrupt, or the end of the port that is watched."""
    while not capture.full:
        if capture.port.wait(QUIET_S):
            capture.drain()
            out.flush()
        elif watched and all(p.id != watched for p in control.list_ports()):
            click.echo(f"multistack: port {watched} is closed", err=True)
            return


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _open(
    control: Control,
    nic: str,
    target: PortEntry | None,
    snap_bytes: int,
    refused: Literal["", "also", "only"],
) -> Port:
    port = Port(device_on(control.device, nic), slots=SLOTS, label="capture")
    try:
        port.tap(target.id if target else 0, snap_bytes=snap_bytes, refused=refused)
    except BaseException as e:
        port.close()
        if isinstance(e, OSError) and e.errno == errno.E2BIG:
            raise Failure(
                "this switch is older than --refused; status --counters has the "
                "number of frames that it refused"
            ) from e
        raise
    return port


def _described(nic: str, target: PortEntry | None) -> tuple[str, str]:
    if target is None:
        return nic, "what the switch sees"
    label = f" ({target.label})" if target.label else ""
    return f"{nic} port {target.id}", f"port {target.id}{label} of process {target.pid}"


@click.command()
@click.argument("interface", default="", shell_complete=interfaces)
@click.argument("filter", nargs=-1)
@click.option(
    *("--port", "-p", "port"),
    default="",
    metavar="PORT",
    help="Only this port: its number, or its label, as status shows them.",
)
@click.option(
    *("--write", "-w", "path"),
    default="",
    metavar="FILE",
    help="- is standard output. Without: likewise; on a terminal tcpdump prints.",
)
@click.option(
    *("--count", "-c"), type=click.IntRange(1), default=None, help="End after so many."
)
@click.option(
    *("--snaplen", "-s"),
    type=click.IntRange(SNAP_MIN, SNAP_MAX),
    default=SNAP_MAX,
    help="Keep so many bytes of each.",
)
@click.option(
    "--refused",
    type=click.Choice(["also", "only"]),
    default=None,
    help="Also, or only, frames that ports sent and the switch refused. A comment on "
    "each and the last line say why.",
)
@click.option("--json", "as_json", is_flag=True, help="The closing line, for machines.")
@with_switch
def capture(
    control: Control,
    interface: str,
    filter: tuple[str, ...],
    port: str,
    path: str,
    count: int | None,
    snaplen: int,
    refused: Literal["also", "only"] | None,
    as_json: bool,
) -> None:
    """Record frames of INTERFACE, or of one port, as pcapng.

    FILTER is an expression as tcpdump takes it (pcap-filter(7)). Frames are as the
    switch saw them; those that it refused to send come with --refused. A whole
    interface takes CAP_NET_ADMIN, a port its owner. Ends at an interrupt; the last
    line, on standard error, says what came.

    \b
    multistack capture eth0 -w all.pcapng
    multistack capture -p multistack-httpd tcp port 80
    multistack capture -p mine --refused only
    multistack capture eth0 -w - | wireshark -k -i -
    """
    if port and interface not in [n.name for n in control.list_nics()]:
        interface, filter = "", (interface, *filter)
    target = port_named(control, port, interface) if port else None
    nic = target.nic if target else interface
    if not nic:
        raise click.UsageError("INTERFACE is missing")
    expression = " ".join(filter).strip()
    compiled = Filter(expression, snaplen) if expression else None
    name, description = _described(nic, target)
    signal.signal(signal.SIGTERM, _interrupt)
    with contextlib.ExitStack() as stack:
        if compiled:
            stack.callback(compiled.close)
        tapped = stack.enter_context(
            _open(control, nic, target, snaplen, refused or "")
        )
        tally = Tally()
        before = refusals(control, nic, target)
        try:
            with _destination(path) as out:
                writer = Writer(
                    out,
                    application=f"multistack {__version__}",
                    interface=name,
                    description=description,
                    snap_bytes=snaplen,
                    expression=expression,
                )
                taken = Capture(
                    *(tapped, writer, compiled or (lambda _frame, _size: True), tally),
                    snap_bytes=snaplen,
                    most=count or 0,
                )
                out.flush()
                if not as_json:
                    click.echo(f"capturing {name}: {description}", err=True)
                with contextlib.suppress(KeyboardInterrupt):
                    _record(control, taken, out, target.id if target else 0)
                taken.close()
                out.flush()
        except BrokenPipeError:  # who reads has seen enough; nor does exit() write
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        tally.dropped = lost(tapped)
        unseen = 0 if refused else refusals(control, nic, target) - before
        _tell(tally, unseen, as_json)


def _tell(tally: Tally, unseen: int, as_json: bool) -> None:
    """unseen: refused meanwhile, and not asked for."""
    if as_json:
        click.echo(json.dumps(asdict(tally)), err=True)
        return
    click.echo(
        f"{tally.captured:,} frames captured, {tally.frames:,} seen, "
        f"{tally.dropped:,} dropped on the way here",
        err=True,
    )
    for counter, n in sorted(tally.refused.items()):
        click.echo(f"{n:,} of them refused: {reason(counter)}", err=True)
    if unseen > 0:
        click.echo(f"{unseen:,} more refused to be sent: --refused also", err=True)
