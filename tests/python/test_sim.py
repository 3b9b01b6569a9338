# SPDX-License-Identifier: BSD-2-Clause
"""multistack.sim: links, queues, stacks and asyncio in virtual time."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import abi_dump
import pytest
from click.testing import CliRunner

from multistack import _simffi, _units, sim
from multistack._simffi import mssim_link, mssim_run
from multistack.cli import main

ROOT = Path(__file__).resolve().parents[2]
HEADER = "multistack/sim.h"


@pytest.fixture
def net() -> Iterator[sim.Network]:
    with sim.Network(seed=1) as world:
        yield world


def pair(net: sim.Network, **way: Any) -> tuple[sim.Host, sim.Host, sim.Link]:
    a, b = net.host("a"), net.host("b")
    return a, b, net.link(a, b, **{"rate": "10Mbit", "delay": "20ms", **way})


# ---- the mirror of sim.h ----


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return abi_dump.dump(ROOT, tmp_path_factory.mktemp("abi"), HEADER)


def test_structs_are_mirrored(layout: dict[str, Any]) -> None:
    ours = {
        name: value
        for name, value in vars(_simffi).items()
        if isinstance(value, type)
        and issubclass(value, ctypes.Structure)
        and value.__module__ == _simffi.__name__
    }
    tags = {
        "".join(w.capitalize() for w in t[len("mssim_") : -2].split("_")): t
        for t in layout["structs"]
    }
    assert ours.keys() == tags.keys()
    for name, struct in ours.items():
        size, fields = layout["structs"][tags[name]]
        assert ctypes.sizeof(struct) == size, name
        assert {
            f[0].rstrip("_"): [getattr(struct, f[0]).offset, getattr(struct, f[0]).size]
            for f in struct._fields_
        } == fields, name


def test_constants_are_mirrored(layout: dict[str, Any]) -> None:
    ours = {k: v for k, v in vars(_simffi).items() if k.startswith("MSSIM_")}
    for prefix, enum, end in (
        ("MSSIM_", _simffi.Aqm, "MSSIM_AQM_MAX"),
        ("MSSIM_", _simffi.Verdict, ""),
        ("MSSIM_LINK_", _simffi.LinkColumn, "MSSIM_LINK_COLUMNS"),
        ("MSSIM_FLOW_", _simffi.FlowColumn, "MSSIM_FLOW_COLUMNS"),
    ):
        ours |= {prefix + e.name: e.value for e in enum}
        ours |= {end: len(enum)} if end else {}
    assert ours == layout["constants"]


def test_calls_are_declared() -> None:
    text = abi_dump._plain(ROOT / "lib/include" / HEADER)
    calls = set(re.findall(r"EXTERN[^;(]*?\b(mssim_\w+)\(", text))
    assert calls == {n for n in vars(_simffi) if n.startswith("mssim_")}
    assert len(calls) == 21


# ---- words ----


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (_units.rate, "10Mbit", 10_000_000),
        (_units.rate, "1.5 Gbit/s", 1_500_000_000),
        (_units.rate, 9600, 9600),
        (_units.seconds, "20ms", 0.02),
        (_units.seconds, "100us", 1e-4),
        (_units.seconds, 2, 2.0),
        (_units.share, "0.1%", 0.001),
        (_units.share, 1, 1.0),
        (_units.size, "64KiB", 65536),
        (_units.size, "1.5MB", 1_500_000),
        (lambda t: _units.size(t, 50_000), "0.5bdp", 25_000),
    ],
)
def test_units(parse: Any, text: Any, value: float) -> None:
    assert parse(text) == pytest.approx(value)


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (_units.rate, "10Mbyte"),
        (_units.rate, -1),
        (_units.seconds, "soon"),
        (_units.share, "101%"),
        (_units.share, float("nan")),
        (_units.size, "1 bd p"),
    ],
)
def test_units_refused(parse: Any, text: Any) -> None:
    with pytest.raises(ValueError):
        parse(text)


# ---- links ----


def test_a_flow_fills_the_link_and_no_more(net: sim.Network) -> None:
    a, b, link = pair(net, buffer="1bdp")
    flow = net.bulk(a, b, cc="cubic")
    net.run(10)
    s = flow.summary()
    # 1448 of 1500 bytes are the application's
    assert 9.0e6 < s.goodput <= 10e6 * 1448 / 1500 * 1.001
    assert max(link.queue_delay) <= 0.0401  # one bdp of a round trip of 40 ms
    assert 0.04 <= min(r for r in flow.rtt if r) < 0.042
    assert link.stats.backlog_max <= 50_000
    assert link.stats.overflows == link.drops[-1] > 0
    assert flow.retransmits[-1] >= link.stats.overflows * 0.9
    assert flow.time[-1] == pytest.approx(10) and len(flow.time) == len(flow.cwnd)
    # acknowledgements are on their way
    assert 0 <= flow.received[-1] - flow.info.bytes_acked < 100_000


def test_the_seed_decides(net: sim.Network) -> None:
    def run(seed: int) -> tuple[bytes, int]:
        with sim.Network(seed) as world:
            a, b, link = pair(world, loss="1%", jitter="3ms", buffer="1bdp")
            flow = world.bulk(a, b, cc="bbr")
            world.run(3)
            return flow.cwnd.tobytes() + flow.rtt.tobytes(), link.stats.losses

    assert run(5) == run(5)
    assert run(5) != run(6)


@pytest.mark.parametrize(
    ("way", "counted", "share"),
    [
        ({"loss": "2%"}, "losses", 0.02),
        ({"loss_every": 50}, "losses", 0.02),
        ({"burst": (0.01, 0.5, 1.0)}, "losses", 0.0196),
        ({"duplicate": 0.05}, "duplicated", 0.05),
        ({"corrupt": 0.03}, "corrupted", 0.03),
        ({"reorder": 0.05, "reorder_delay": "5ms"}, "reordered", 0.05),
    ],
)
def test_what_happens_on_the_way(
    net: sim.Network, way: dict[str, Any], counted: str, share: float
) -> None:
    a, b, link = pair(net, **way, back={"loss": 0, "burst": None, "corrupt": 0})
    flow = net.bulk(a, b, cc="bbr", size="4MB")
    net.run(30)
    assert flow.finished is not None and flow.received[-1] == 4e6
    got = getattr(link.stats, counted) / link.stats.sent
    assert share * 0.6 < got < share * 1.6


def test_a_link_that_is_down(net: sim.Network) -> None:
    a, b, link = pair(net, down=(1, 2))
    flow = net.bulk(a, b)
    net.run(4)
    at = {round(t, 2): r for t, r in zip(flow.time, flow.received, strict=True)}
    assert at[1.1] == at[2.0] < at[4.0]
    assert link.stats.losses > 0


def test_a_link_changes(net: sim.Network) -> None:
    a, b, link = pair(net, buffer="1bdp")
    flow = net.bulk(a, b, cc="cubic")
    net.at(5, lambda: link.set(rate="2Mbit"))
    net.run(10)
    rate = {round(t, 2): r for t, r in zip(link.time, link.rate, strict=True)}
    assert statistics.fmean(r for t, r in rate.items() if 3 < t < 5) > 9e6
    assert 1.9e6 < statistics.fmean(r for t, r in rate.items() if t > 6) < 2.1e6
    assert flow.error is None


@pytest.mark.parametrize("aqm", ["codel", "pie"])
@pytest.mark.parametrize("ecn", [False, True])
def test_managed_queues_stay_short(net: sim.Network, aqm: str, ecn: bool) -> None:
    a, b, link = pair(net, rate="20Mbit", buffer="5bdp", aqm=aqm)
    flow = net.bulk(a, b, cc="cubic", ecn=ecn)
    net.run(20)
    later = [d for t, d in zip(link.time, link.queue_delay, strict=True) if t > 5]
    assert statistics.fmean(later) < {"codel": 0.020, "pie": 0.030}[aqm]
    assert flow.summary().goodput > 15e6
    if ecn:
        assert link.stats.marks > 5 and link.stats.drops <= link.stats.marks
    else:
        assert link.stats.marks == 0 and link.stats.drops > 5


def test_a_step_marks_only_those_who_can(net: sim.Network) -> None:
    d = net.dumbbell(2, rate="20Mbit", delay="10ms", buffer="4bdp", aqm="step")
    able = net.bulk(d.left[0], d.right[0], ecn=True)
    net.run(5)
    marked = d.bottleneck.stats
    assert marked.marks > 0 and marked.drops == marked.overflows == 0
    assert able.info.total_retrans_segs == 0


def test_a_queue_in_python(net: sim.Network) -> None:
    seen: list[tuple[int, float, int]] = []

    def every_tenth(packet: bytes, now: float, backlog: int) -> sim.Verdict | None:
        assert packet[0] == 0x45 and len(packet) <= 1500
        seen.append((len(packet), now, backlog))
        return sim.Verdict.DROP if len(seen) % 10 == 0 else None

    a, b, link = pair(net, aqm=every_tenth, back={"aqm": "droptail"})
    net.bulk(a, b, size="300kB")
    net.run(60)
    assert link.stats.drops == len(seen) // 10 > 10
    assert [t for _, t, _ in seen] == sorted(t for _, t, _ in seen)


def test_what_a_queue_in_python_raises_comes_out(net: sim.Network) -> None:
    def broken(packet: bytes, now: float, backlog: int) -> None:
        raise LookupError("as expected")

    a, b, _ = pair(net, aqm=broken)
    net.bulk(a, b)
    with pytest.raises(LookupError, match="as expected"):
        net.run(1)


def test_too_big_for_a_link(net: sim.Network) -> None:
    a, r, b = net.host(), net.router(), net.host()
    net.link(a, r, delay="1ms")
    narrow = net.link(r, b, rate="10Mbit", delay="5ms", mtu=1300)
    flows = [net.bulk(a, b, size="200kB", ipv6=v6) for v6 in (False, True)]
    net.run(10)
    for flow in flows:
        assert flow.finished is not None and flow.info.pmtu == 1300
    assert narrow.stats.too_big > 0


def test_capture(net: sim.Network, tmp_path: Path) -> None:
    from scapy.all import TCP, rdpcap

    a, b, link = pair(net, loss="2%")
    flow = net.bulk(a, b, size="100kB")
    link.capture(tmp_path / "a.pcapng")
    link.back.capture(tmp_path / "b.pcapng")
    with pytest.raises(OSError, match="busy"):
        link.capture(tmp_path / "again.pcapng")
    with pytest.raises(FileNotFoundError):
        pair(net)[2].capture(tmp_path / "none" / "a.pcapng")
    net.run(10)
    stats, back = link.stats, link.back.stats
    net.close()
    sent, got = (rdpcap(str(tmp_path / f"{n}.pcapng")) for n in "ab")
    assert len(sent) == stats.sent + back.sent - back.losses
    assert len(got) == back.sent + stats.sent - stats.losses
    # when its 60 bytes were sent
    assert float(sent[0].time) == pytest.approx(48e-6) and sent[0][TCP].flags == "S"
    assert sum(len(p[TCP].payload) for p in sent if p.src == "10.0.0.1") > 1e5
    assert flow.b is b


# ---- nodes ----


def test_routes_are_short_and_hosts_pass_nothing_on(net: sim.Network) -> None:
    a, b, c = net.host("a"), net.host("b"), net.host("c")
    long = [net.router() for _ in range(3)]
    short = net.router()
    net.link(a, c, delay="1ms")
    net.link(c, b, delay="1ms")
    for left, right in zip([a, *long], [*long, b], strict=True):
        net.link(left, right, delay="1ms")
    near = net.link(a, short, delay="5ms")
    net.link(short, b, delay="5ms")
    flow = net.bulk(a, b, size="10kB")
    net.run(1)
    assert flow.finished is not None
    assert min(r for r in flow.rtt if r) >= 0.020
    assert near.stats.pkts > 5 and "drop_closed" not in c.counters()


def test_a_dumbbell_is_shared(net: sim.Network) -> None:
    d = net.dumbbell(2, rate="20Mbit", delay="10ms", access_delay="5ms", buffer="1bdp")
    assert d.bottleneck.stats.backlog_max == 0
    flows = [net.bulk(x, y, cc="cubic") for x, y in zip(d.left, d.right, strict=True)]
    net.run(30)
    rates = [f.summary().goodput for f in flows]
    assert 18e6 < sum(rates) < 20e6
    assert min(rates) > 0.5 * max(rates)
    # a round trip of 40 ms counts for the buffer
    assert 90_000 < d.bottleneck.stats.backlog_max <= 100_000


def test_a_network_that_is_closed_says_so(net: sim.Network) -> None:
    a, b, link = pair(net)
    flow = net.bulk(a, b)
    net.run(1)
    cwnd = flow.cwnd
    net.close()
    net.close()
    for use in (
        lambda: net.run(1),
        lambda: net.host(),
        lambda: net.bulk(a, b),
        lambda: flow.cwnd,
        lambda: flow.info,
        lambda: flow.control,
        lambda: link.stats,
        lambda: link.set(delay=1),
        lambda: a.counters(),
        lambda: a.address,
        lambda: net.now,
    ):
        with pytest.raises(ValueError, match="closed"):
            use()
    assert len(cwnd) == 100


def test_a_forgotten_network_is_freed() -> None:
    net = sim.Network()
    a, b, _ = pair(net)
    net.bulk(a, b)
    net.run(0.1)
    alive = net._finalizer
    del net, a, b, _
    gc.collect()
    assert not alive.alive


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda n, a, b: n.link(a, b, rate="fast"), ValueError, "no rate"),
        (lambda n, a, b: n.link(a, b, rate=0), ValueError, "rate of 0"),
        (lambda n, a, b: n.link(a, b, aqm="red"), ValueError, "droptail"),
        (lambda n, a, b: n.link(a, b, speed=1), TypeError, "speed"),
        (lambda n, a, b: n.link(a, a), OSError, "Invalid"),
        (lambda n, a, b: n.bulk(a, a), OSError, "Invalid"),
        (lambda n, a, b: n.bulk(a, b, cc="fast"), ValueError, "fast"),
        (lambda n, a, b: n.bulk(a, b, options={"x": 1}), ValueError, "'x'"),
        (lambda n, a, b: n.run(), TypeError, "until"),
        (lambda n, a, b: n.run(-1), ValueError, "time"),
        (lambda n, a, b: n.dumbbell(0), ValueError, "no hosts"),
        (lambda n, a, b: n.host(cc="fast"), OSError, "No such"),
        (lambda n, a, b: sim.Network(sample=1e-9), OSError, "Invalid"),
    ],
)
def test_what_makes_no_sense_is_refused(
    net: sim.Network, call: Any, error: type[Exception], words: str
) -> None:
    a, b, _ = pair(net)
    with pytest.raises(error, match=words):
        call(net, a, b)
    net.run(0.1)


def test_the_c_calls_refuse_what_makes_no_sense(net: sim.Network) -> None:
    with pytest.raises(OSError):
        mssim_run(None, 1)
    with pytest.raises(OSError):
        mssim_link(None, None, None, None, None, None)
    for name in ("mssim_destroy", "mssim_stop", "mssim_kick"):
        getattr(_simffi, name)(None)
    assert _simffi.mssim_now_ns(None) == 0
    assert _simffi.mssim_stack(None) is None
    assert _simffi.mssim_flow_sock(None) is None
    assert _simffi.mssim_flow_series(None, 0, None) is None


# ---- asyncio ----


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


def test_streams_in_virtual_time(net: sim.Network) -> None:
    a, b, _ = pair(net, delay="50ms", loss="1%", buffer="1bdp")

    async def main() -> float:
        loop = asyncio.get_running_loop()
        server = await b.start_server(echo, 7)
        begin = loop.time()
        reader, writer = await a.open_connection(b, 7)
        assert loop.time() - begin == pytest.approx(0.1, abs=0.001)
        assert writer.get_extra_info("peername") == (b.address, 7)
        text = bytes(range(256)) * 1000
        writer.write(text)
        assert await reader.readexactly(len(text)) == text
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        return loop.time() - begin

    assert 0.4 < net.run_until_complete(main()) < 10


def test_errors_of_connections(net: sim.Network) -> None:
    a, b, link = pair(net)

    async def main() -> None:
        with pytest.raises(ConnectionRefusedError):
            await a.open_connection("b", 9)
        with pytest.raises(ValueError, match="no congestion control"):
            await a.open_connection(b, 9, cc="none")
        server = await b.start_server(echo, 9)
        with pytest.raises(OSError):
            await b.start_server(echo, 9)
        link.set(down=(0, 1000))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(a.open_connection(b.address, 9), 5)
        link.set(down=None)
        _, writer = await a.open_connection(b.address, 9)
        transport = writer.transport
        transport.abort()
        server.close()
        await server.wait_closed()

    net.run_until_complete(main())
    assert not net.loop._socks


def test_a_protocol_is_told_of_a_reset(net: sim.Network) -> None:
    a, b, _ = pair(net)

    class Told(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.lost = net.loop.create_future()

        def connection_lost(self, error: Exception | None) -> None:
            self.lost.set_result(error)

    async def reset(r: asyncio.StreamReader, w: asyncio.StreamWriter) -> None:
        w.transport.abort()

    async def main() -> None:
        server = await b.start_server(reset, 9)
        _, protocol = await a.create_connection(Told, b, 9)
        assert isinstance(protocol, Told)
        assert isinstance(await protocol.lost, ConnectionResetError)
        server.close()
        await server.wait_closed()

    net.run_until_complete(main())


def test_sleep_takes_no_time_and_servers_go_on(net: sim.Network) -> None:
    a, b, _ = pair(net)
    ticks: list[float] = []

    async def tick() -> None:
        while True:
            await asyncio.sleep(10)
            ticks.append(net.now)

    async def main() -> asyncio.Task[None]:
        return asyncio.create_task(tick())

    task = net.run_until_complete(main())
    net.run(100)
    assert ticks == pytest.approx([10.0 * i for i in range(1, 10)], abs=1e-6)
    task.cancel()
    net.run(0)
    assert task.cancelled()


def test_a_wait_in_vain_is_told(net: sim.Network) -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="never happen"):
        net.run_until_complete(main())


# ---- the command ----


def command(*words: str) -> Any:
    return CliRunner().invoke(main, ["sim", *words], catch_exceptions=False)


def test_the_command_compares() -> None:
    done = command("--cc", "cubic,bbr", "--seconds", "5", "--json")
    assert done.exit_code == 0
    cubic, bbr = json.loads(done.output)["flows"]
    assert (cubic["cc"], bbr["cc"]) == ("cubic", "bbr")
    assert cubic["goodput"] > 8e6 and cubic["queue_delay"] > bbr["queue_delay"]
    shown = command("--cc", "cubic,bbr", "--seconds", "5", "--together", "--loss", "1%")
    assert shown.exit_code == 0
    assert "Sharing 10Mbit" in shown.output and "fairness" in shown.output


def test_the_command_takes_a_class_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine_cc.py").write_text(
        "import multistack\n"
        "class Slow(multistack.CongestionControl):\n"
        "    def ack(self, ack):\n"
        "        self.cwnd = 4 * self.mss\n"
    )
    file = f"{tmp_path}/mine_cc.py:Slow"
    done = command("--cc", file, "--seconds", "5", "--json")
    assert done.exit_code == 0
    (slow,) = json.loads(done.output)["flows"]
    assert slow["cc"] == "Slow" and not slow["fell_back"]
    assert slow["goodput"] == pytest.approx(4 * 1448 * 8 / 0.0413, rel=0.15)


def test_the_command_draws_and_captures(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    out, pcap = tmp_path / "a.png", tmp_path / "a.pcapng"
    words = ("--cc", "cubic", "--seconds", "2", "--plot", str(out))
    assert command(*words, "--capture", str(pcap)).exit_code == 0
    assert out.read_bytes()[:4] == b"\x89PNG"
    assert pcap.stat().st_size > 1_000_000


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--rate", "fast"), "no rate"),
        (("--loss", "200%"), "share"),
        (("--cc", "nobody"), "nobody"),
        (("--cc", "/none.py:X"), "/none.py"),
        (("--cc", "json:dumps"), "no class dumps"),
        (("--cc", "cubic,bbr", "--capture", "/tmp/x"), "--together"),
    ],
)
def test_the_command_says_what_is_wrong(words: tuple[str, ...], said: str) -> None:
    done = command(*words)
    assert done.exit_code in (1, 2)
    assert said in done.stderr and "Traceback" not in done.stderr


def test_the_simulator_needs_no_extras() -> None:
    """Neither matplotlib nor asyncio is loaded for a network and a flow."""
    text = (
        "import sys; from multistack import sim; n = sim.Network(); "
        "a, b = n.host(), n.host(); n.link(a, b); n.run(1); "
        "assert not {'matplotlib', 'numpy', 'asyncio'} & sys.modules.keys()"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", text], check=True, env=env)
