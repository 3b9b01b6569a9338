# SPDX-License-Identifier: BSD-2-Clause
"""TCP options in Python: negotiated, carried on segments, and harmless."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import abi_dump
import pytest
from worlds import PairWorld

import multistack
from multistack import TcpOption, _ext, register_option, sim

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def net() -> Iterator[sim.Network]:
    with sim.Network(seed=1) as world:
        yield world


@pytest.fixture
def unraisable(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    seen: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", seen.append)
    return seen


class Label(TcpOption):
    """Tells the peer who sends: an application's number on the SYN, and on each
    segment how many have been sent."""

    exid = 0x4D53
    room = 4
    number = 7

    def syn(self) -> bytes:
        self.sent, self.log = 0, list[bytes]()
        self.ended = False
        if not self.passive:
            return self.number.to_bytes(2, "big")
        assert self.peer is not None
        return self.peer[::-1]

    def segment(self, segment: _ext.Outgoing) -> bytes:
        self.sent += 1
        return self.sent.to_bytes(4, "big")

    def received(self, data: bytes, segment: _ext.Incoming) -> None:
        self.log.append(data)

    def closed(self) -> None:
        self.ended = True


def wire(net: sim.Network, **way: Any) -> tuple[sim.Host, sim.Host, sim.Link]:
    a, b = net.host("a"), net.host("b")
    return a, b, net.link(a, b, **{"rate": "10Mbit", "delay": "20ms", **way})


# ---- the mirror ----


def test_structs_and_constants_are_mirrored(tmp_path: Path) -> None:
    headers = ("multistack/utcp.h", "multistack/utcp_ext.h")
    layout = abi_dump.dump(ROOT, tmp_path, *headers)
    for tag, ours in {
        "utcp_ext_s": _ext.Ext,
        "utcp_ext_opt_s": _ext.ExtOpt,
        "utcp_ext_in_s": _ext.Incoming,
        "utcp_ext_out_s": _ext.Outgoing,
        "utcp_ext_option_s": _ext.ExtOption,
        "utcp_ext_ops_s": _ext.ExtOps,
    }.items():
        size, fields = layout["structs"][tag]
        assert {
            f[0]: [getattr(ours, f[0]).offset, getattr(ours, f[0]).size]
            for f in ours._fields_
        } == fields, tag
        assert ctypes.sizeof(ours) == size, tag
    ours_too = {
        k: v for k, v in vars(_ext).items() if k.startswith(("UTCP_EXT_", "UTCP_TCP_"))
    }
    assert len(ours_too) > 5 and ours_too.items() <= layout["constants"].items()


# ---- on the wire ----


def test_both_ends_have_it(net: sim.Network) -> None:
    a, b, link = wire(net)
    at_a, at_b = a.register_option(Label), b.register_option(Label)
    flow = net.bulk(a, b, size="200kB", start=0)
    net.run(0.2)
    (client,), (server,) = at_a.instances, at_b.instances
    assert isinstance(client, Label) and isinstance(server, Label)
    assert (client.passive, server.passive) == (False, True)
    assert server.peer == b"\0\7" and client.peer == b"\7\0"
    net.run(5)
    assert flow.finished is not None and flow.info.mss == 1448
    assert server.log == [i.to_bytes(4, "big") for i in range(1, client.sent + 1)]
    assert client.log == [i.to_bytes(4, "big") for i in range(1, len(client.log) + 1)]
    assert client.sent > 138 and len(client.log) > 60
    assert (client.ended, server.ended) == (True, True)
    assert at_a.instances == at_b.instances == [] and not net.hook_errors


def test_it_stands_in_the_packets(net: sim.Network, tmp_path: Path) -> None:
    scapy = pytest.importorskip("scapy.all")
    a, b, link = wire(net)
    a.register_option(Label)
    b.register_option(Label)
    link.capture(tmp_path / "a.pcapng")
    net.bulk(a, b, size="20kB")
    net.run(5)
    net.close()
    packets = scapy.rdpcap(str(tmp_path / "a.pcapng"))
    options = [dict(p["TCP"].options).get(253) for p in packets]
    assert options[0] == bytes.fromhex("4d53 0007")
    assert options[1] == bytes.fromhex("4d53 0700")
    # the last one acknowledges the end, when there is no connection any more
    carried = options[2:-1]
    assert all(o is not None and o[:2] == b"MS" and len(o) == 6 for o in carried)


@pytest.mark.parametrize("without", ["a", "b"])
def test_one_end_alone_goes_on_without(net: sim.Network, without: str) -> None:
    a, b, _ = wire(net)
    there = (b if without == "a" else a).register_option(Label)
    flow = net.bulk(a, b, size="100kB")
    net.run(5)
    assert flow.finished is not None and there.instances == []


def test_must_have_it(net: sim.Network) -> None:
    a, b, _ = wire(net)
    a.register_option(Label, must=True)
    flow = net.bulk(a, b, size="100kB")
    net.run(5)
    assert flow.finished is None and isinstance(flow.error, OSError)


def test_a_cookie_of_ones_own_kind_on_syns_alone(net: sim.Network) -> None:
    class Hello(TcpOption):
        kind = 200
        said: list[tuple[bool, bytes | None]] = []

        def syn(self) -> bytes | None:
            return b"hello" if not self.passive else b""

        def syn_received(self, data: bytes | None) -> bool:
            self.said.append((self.passive, data))
            return super().syn_received(data)

        def opened(self) -> None:
            self.said.append((self.passive, b"open"))

    a, b, _ = wire(net, down=(0, 0.5))  # SYNs are lost
    for host in (a, b):
        host.register_option(Hello)
    flow = net.bulk(a, b, size="50kB")
    net.run(20)
    assert flow.finished is not None
    assert sorted(Hello.said) == [
        (False, b""),
        (False, b"open"),
        (True, b"hello"),
        (True, b"open"),
    ]


def test_it_may_set_the_ecn_field(net: sim.Network) -> None:
    class Marks(TcpOption):
        exid = 0x4D53
        seen: set[int] = set()
        kept: list[Any] = []

        def segment(self, segment: _ext.Outgoing) -> bytes:
            segment.ecn = 3
            self.kept.append(segment)
            return b""

        def received(self, data: bytes, segment: _ext.Incoming) -> None:
            self.seen.add(segment.ecn)
            self.kept.append(segment)

    a, b, _ = wire(net)
    for host in (a, b):
        host.register_option(Marks)
    net.bulk(a, b, size="10kB")
    net.run(5)
    assert Marks.seen == {3}
    net.close()
    # copies: they can be looked at for ever
    assert sum(s.len for s in Marks.kept if isinstance(s, _ext.Outgoing)) == 10_000


def test_who_does_not_want_to_answer(net: sim.Network) -> None:
    class Shy(Label):
        def syn_received(self, data: bytes | None) -> bool:
            return not self.passive

    a, b, _ = wire(net)
    at = [host.register_option(Shy) for host in (a, b)]
    flow = net.bulk(a, b, size="50kB")
    net.run(0.09)
    assert [len(r.instances) for r in at] == [1, 0]
    net.run(5)
    assert flow.finished is not None


def test_how_a_connection_ended_is_told_once(net: sim.Network) -> None:
    told: list[tuple[bool, str | None, int]] = []

    class Ends(Label):
        def over(self, reset: str | None, error: int) -> None:
            told.append((self.passive, reset, error))

    a, b, _ = wire(net)
    for host in (a, b):
        host.register_option(Ends)

    async def talk(reader: Any, writer: Any) -> None:
        if await reader.read(1) == b"x":
            writer.transport.abort()
        writer.close()

    async def main(word: bytes) -> None:
        server = await b.start_server(talk, 7)
        reader, writer = await a.open_connection(b, 7)
        writer.write(word)
        with contextlib.suppress(ConnectionResetError):
            await reader.read()
        writer.close()
        await asyncio.sleep(1)
        server.close()

    net.run_until_complete(main(b"."))
    assert sorted(told) == [(False, None, 0), (True, None, 0)]
    told.clear()
    net.run_until_complete(main(b"x"))
    assert sorted(told) == [(False, "peer", errno.ECONNRESET), (True, "us", 0)]


# ---- what goes wrong ----


@pytest.mark.parametrize(
    "hook",
    ["__init__", "syn", "syn_received", "opened", "segment", "received", "closed"],
)
def test_an_exception_is_told_once_and_the_connection_goes_on(
    net: sim.Network, unraisable: list[Any], hook: str
) -> None:
    def fail(self: TcpOption, *args: Any) -> Any:
        raise LookupError(hook)

    a, b, _ = wire(net)
    cls = type("Bad", (Label,), {hook: fail})
    for host in (a, b):
        host.register_option(cls)
    flows = [net.bulk(a, b, size="100kB") for _ in range(2)]
    net.run(10)
    assert all(f.finished is not None and f.error is None for f in flows)
    # at one of both ends, or at both
    told = [type(u.exc_value) for u in unraisable]
    assert told in ([LookupError], [LookupError] * 2)
    assert "goes on without" in unraisable[0].err_msg


def test_too_long_content_is_an_error(net: sim.Network, unraisable: list[Any]) -> None:
    class Long(Label):
        def segment(self, segment: _ext.Outgoing) -> bytes:
            return bytes(5)

    a, b, _ = wire(net)
    for host in (a, b):
        host.register_option(Long)
    flow = net.bulk(a, b, size="100kB")
    net.run(10)
    assert flow.finished is not None
    assert {type(u.exc_value) for u in unraisable} == {ValueError}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"exid": None}, "exid"),
        ({"kind": 200}, "exid"),
        ({"kind": 300, "exid": None}, "kind 300"),
        ({"exid": 1 << 32}, "32 bits"),
        ({"room": 37}, "40 bytes"),
        ({"name": "x" * 16}, "15 bytes"),
    ],
)
def test_classes_that_are_refused(
    net: sim.Network, given: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        net.host().register_option(type("Odd", (Label,), given))


def test_a_kind_of_the_stacks_own_is_refused(net: sim.Network) -> None:
    with pytest.raises(OSError, match="Invalid"):
        net.host().register_option(type("Sack", (TcpOption,), {"kind": 5}))
    with pytest.raises(TypeError, match="no subclass"):
        register_option(net.host(), dict)  # type: ignore[arg-type]
    host = net.host()
    host.register_option(Label)
    with pytest.raises(FileExistsError):
        host.register_option(Label)


# ---- on loops ----


def test_between_two_event_loops(pair: PairWorld) -> None:
    """Each a stack of its own, in a thread of its own, at an end of a wire."""
    ready, ends = threading.Event(), list[Any]()

    def serve() -> None:
        loop = multistack.EventLoop(pair.far)
        registration = loop.register_option(Label)

        async def main() -> None:
            over = asyncio.Event()

            async def talk(r: asyncio.StreamReader, w: asyncio.StreamWriter) -> None:
                await r.readexactly(100_000)
                ends.extend(registration.instances)
                w.write(b"done")
                w.close()
                await w.wait_closed()
                over.set()

            server = await asyncio.start_server(talk, pair.peer_addr[4], 7000)
            ready.set()
            await asyncio.wait_for(over.wait(), 60)
            server.close()

        try:
            loop.run_until_complete(main())
        finally:
            loop.close()

    async def main() -> None:
        reader, writer = await asyncio.open_connection(pair.peer_addr[4], 7000)
        (client,) = registration.instances
        assert client.peer == b"\7\0"
        writer.write(bytes(100_000))
        assert await reader.read() == b"done"
        writer.close()

    thread = threading.Thread(target=serve)
    thread.start()
    assert ready.wait(60)
    loop = multistack.EventLoop(pair.device)
    registration = loop.register_option(Label)
    try:
        loop.run_until_complete(asyncio.wait_for(main(), 60))
    finally:
        loop.close()
        thread.join()
    (server,) = ends
    assert server.log == [i.to_bytes(4, "big") for i in range(1, len(server.log) + 1)]
    assert len(server.log) > 60 and server.ended
