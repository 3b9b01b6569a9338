# SPDX-License-Identifier: BSD-2-Clause
"""multistack bench: the switch in this process, between two ports in memory."""

from __future__ import annotations

import ctypes
import json
import os
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import click

from multistack import _abi, _ffi
from multistack.cli._switch import console, errors, table
from multistack.port import Port

SLOTS = 1024  # as many frames in each call, so that Python's own time is small
ADDRESS = ("10.9.0.1", "10.9.0.2")
PORT = 7000
SIZES = (60, 590, 1514)  # of a frame, without FCS


@dataclass
class Result:
    """Of one size: frames that one core takes from port to port."""

    what: str
    frame_bytes: int
    frames: int
    seconds: float

    @property
    def ns(self) -> float:
        return self.seconds / self.frames * 1e9

    def row(self) -> tuple[str, ...]:
        rate = self.frames / self.seconds
        return (
            *(self.what, str(self.frame_bytes), f"{rate / 1e6:.2f}"),
            *(f"{self.ns:.0f}", f"{rate * self.frame_bytes * 8 / 1e9:.2f}"),
        )


def _checksum(head: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(head) // 2}H", head))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def frame(size: int, macs: tuple[bytes, bytes]) -> bytes:
    """A UDP datagram over IPv4, from the first of ADDRESS to the second."""
    src, dst = (bytes(map(int, a.split("."))) for a in ADDRESS)
    fields = (0x45, 0, size - 14, 0, 0x4000, 64, 17)
    head = struct.pack("!BBHHHBBH4s4s", *fields, 0, src, dst)
    head = struct.pack("!BBHHHBBH4s4s", *fields, _checksum(head), src, dst)
    udp = struct.pack("!HHHH", PORT, PORT, size - 34, 0)
    return (macs[1] + macs[0] + b"\x08\x00" + head + udp).ljust(size, b"\0")


class Wire:
    """Two interfaces in memory, joined, and a port on each."""

    def __init__(self) -> None:
        self.ports: list[Port] = []
        try:
            for side, address in enumerate(ADDRESS):
                device = (
                    f"pair:bench{side},link=bench{os.getpid()},side={side},"
                    f"addr={address},frames={2 * SLOTS}"
                )
                self.ports.append(Port(device, slots=SLOTS))
                self.ports[side].bind(address, PORT, "udp")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        for port in self.ports:
            port.close()

    def frame(self, size: int) -> bytes:
        return frame(size, (self.ports[0].mac, self.ports[1].mac))


def _in_c(wire: Wire, data: bytes) -> Iterator[int]:
    """Sends full rings of the same frame; only Python's six calls for each are its
    own. The frames stay in the ring's buffers, which come round in their order."""
    there, here = wire.ports
    made, got = (_abi.View * SLOTS)(), (_abi.View * SLOTS)()
    with there._ready() as tx, here._ready() as rx:
        if _ffi.msport_tx(tx, 0, made, SLOTS) != SLOTS:
            raise RuntimeError("the ring is not free")
        for view in made:
            ctypes.memmove(view.data, data, len(data))
            view.len, view.flags = len(data), 0
        while True:
            _ffi.msport_tx_commit(tx, 0, made, SLOTS)
            arrived, moved = 0, True
            while arrived < SLOTS and moved:
                _ffi.msport_sync(tx, 0)
                moved = False
                while n := _ffi.msport_rx(rx, 0, got, SLOTS):
                    _ffi.msport_rx_release(rx, 0, n)
                    arrived += n
                    moved = True
            yield arrived
            if _ffi.msport_tx(tx, 0, got, SLOTS) != SLOTS:
                raise RuntimeError(f"frames stay in the ring: {there.stats()}")


def _in_python(wire: Wire, data: bytes) -> Iterator[int]:
    """Batches of views, each frame an object of Python's."""
    there, here = wire.ports
    frames = [data] * 256
    while True:
        there.send_batch(frames)
        arrived = 0
        while True:
            with here.recv_batch() as batch:
                arrived += sum(1 for view in batch if view[0] is not None)
            if not len(batch):
                break
        yield arrived


WAYS: dict[str, Callable[[Wire, bytes], Iterator[int]]] = {
    "switch": _in_c,
    "Port in Python": _in_python,
}


def measure(what: str, size: int, seconds: float) -> Result:
    """Errors as Port()."""
    with Wire() as wire:
        rounds = WAYS[what](wire, wire.frame(size))
        next(rounds)
        frames, begin = 0, time.perf_counter()
        end = begin + seconds
        while (now := time.perf_counter()) < end:
            frames += next(rounds)
        rounds.close()  # type: ignore[attr-defined]
        if not frames:
            raise RuntimeError(f"no frame arrived: {wire.ports[0].stats()}")
        return Result(what, size, frames, now - begin)


@click.command()
@click.option(
    *("--seconds", "-t"),
    type=click.FloatRange(0.01, 60),
    default=0.5,
    show_default=True,
    help="For each row.",
)
@click.option("--json", "as_json", is_flag=True, help="The rows, for machines.")
def bench(seconds: float, as_json: bool) -> None:
    """Measure the switch in this process.

    UDP frames from port to port over a wire in memory, on one core: checked, looked up
    and copied as anywhere, without an interface or a privilege. It tells machines
    apart; what interfaces and stacks reach is measured in a checkout (`./inv bench`).
    """
    with errors():
        results = [measure(what, size, seconds) for what in WAYS for size in SIZES]
    if as_json:
        rows = [{**asdict(r), "ns_per_frame": r.ns} for r in results]
        click.echo(json.dumps({"bench": rows}, indent=2))
        return
    numbers = ("bytes", "M frames/s", "ns each", "Gbit/s")
    made = table("From port to port, one core", "through", *numbers, right=numbers)
    for result in results:
        made.add_row(*result.row())
    console().print(made, markup=False)
