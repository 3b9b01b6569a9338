# SPDX-License-Identifier: BSD-2-Clause
"""Congestion control in Python: what hooks see and set, and what happens when
they fail."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from ctypes import byref, c_void_p
from pathlib import Path
from typing import Any

import abi_dump
import pytest
from netns import sh
from worlds import HostedWorld

import multistack
from multistack import CcEvent, CongestionControl, _cc, _utcp, register_cc, sim

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


class Reno(CongestionControl):
    """RFC 5681: what the stack's own "newreno" does."""

    def ack(self, ack: multistack.Ack) -> None:
        if not self.cwnd_limited:
            return
        if self.cwnd < self.threshold:
            self.cwnd += ack.acked
        else:
            self.cwnd += max(self.mss * ack.acked // self.cwnd, 1)


def flow_of(
    net: sim.Network, cls: type[CongestionControl], **way: Any
) -> tuple[sim.Flow, sim.Link]:
    a, b = net.host("a"), net.host("b")
    conf = {"rate": "10Mbit", "delay": "20ms", "buffer": "1bdp", **way}
    link = net.link(a, b, **conf)
    return net.bulk(a, b, cc=cls), link


# ---- the mirror ----


@pytest.mark.parametrize(
    ("tag", "ours"),
    [
        ("utcp_cc_s", _cc.Cc),
        ("utcp_ack_s", _cc.Ack),
        ("utcp_cc_ops_s", _cc.CcOps),
    ],
)
def test_structs_are_mirrored(tag: str, ours: Any, tmp_path: Path) -> None:
    headers = ["multistack/utcp.h"]
    headers += [
        f"multistack/{p.name}"
        for p in (ROOT / "lib/include/multistack").glob("utcp_cc.h")
    ]
    layout = abi_dump.dump(ROOT, tmp_path, *headers)
    size, fields = layout["structs"][tag]
    assert {
        f[0]: [getattr(ours, f[0]).offset, getattr(ours, f[0]).size]
        for f in ours._fields_
    } == fields
    assert ctypes.sizeof(ours) == size
    theirs = {k: v for k, v in layout["constants"].items() if k.startswith("UTCP_CC_")}
    events = {f"UTCP_CC_{e.name}": e.value for e in CcEvent}
    known = {k: v for k, v in vars(_cc).items() if k.startswith("UTCP_CC_")}
    assert (known | events).items() <= theirs.items()


# ---- hooks ----


def test_it_does_what_the_same_in_c_does(net: sim.Network) -> None:
    mine, link = flow_of(net, Reno)
    net.run(20)
    with sim.Network(seed=1) as other:
        a, b = other.host(), other.host()
        other.link(a, b, rate="10Mbit", delay="20ms", buffer="1bdp")
        theirs = other.bulk(a, b, cc="newreno")
        other.run(20)
        ours, them = mine.summary(), theirs.summary()
        assert ours.cc == "reno" and them.cc == "newreno"
        assert ours.goodput == pytest.approx(them.goodput, rel=0.01)
        assert ours.rtt == pytest.approx(them.rtt, rel=0.03)


def test_hooks_see_their_connection(net: sim.Network) -> None:
    seen: list[tuple[str, Any]] = []

    class Look(Reno):
        paces = True

        def opened(self) -> None:
            seen.append(("opened", (self.cwnd, self.mss, self.initcwnd)))
            self.mine = "kept"

        def ack(self, ack: multistack.Ack) -> None:
            super().ack(ack)
            assert self.mine == "kept"
            assert self.now == pytest.approx(self.now_ns / 1e9)
            if ack.rtt_ns:
                assert 0.04 <= ack.rtt < 0.2 and self.min_rtt <= ack.rtt
                assert ack.rate <= 10e6 / 8 * 1.3
            seen.append(("ack", ack.delivered))

        def ssthresh(self, why: CcEvent) -> int:
            seen.append(("ssthresh", why))
            return super().ssthresh(why)

        def event(self, event: CcEvent) -> None:
            seen.append(("event", event))

        def sent(self, size: int) -> None:
            seen.append(("sent", size))

        def closed(self) -> None:
            seen.append(("closed", self.delivered))

    flow, link = flow_of(net, Look)
    net.run(10)
    control = flow.control
    assert isinstance(control, Look) and control.delivered == flow.info.delivered_bytes
    delivered = flow.info.delivered_bytes
    assert seen[0] == ("opened", (14480, 1448, 14480))
    assert sum(n for kind, n in seen if kind == "ack") == delivered
    assert sum(n for kind, n in seen if kind == "sent") == flow.info.bytes_sent
    asked = [w for kind, w in seen if kind == "ssthresh"]
    assert set(asked) <= {CcEvent.LOSS, CcEvent.TIMEOUT} and len(asked) > 1
    events = [e for kind, e in seen if kind == "event"]
    assert events.count(CcEvent.LOSS) > 0 and CcEvent.RECOVERED in events
    net.close()
    assert seen[-1] == ("closed", delivered)


def test_what_hooks_set_is_taken(net: sim.Network) -> None:
    class Fixed(CongestionControl):
        paces = True
        own_recovery = True

        def ack(self, ack: multistack.Ack) -> None:
            self.cwnd = 20 * self.mss
            self.threshold = 7 * self.mss
            self.pacing_rate = 100_000

    flow, _ = flow_of(net, Fixed)
    net.run(5)
    info = flow.info
    assert info.cwnd_bytes == 20 * 1448 and info.ssthresh_bytes == 7 * 1448
    assert info.pacing_rate == 100_000
    assert flow.summary().goodput == pytest.approx(800_000, rel=0.1)


def test_undo_says_the_window(net: sim.Network) -> None:
    class Undo(Reno):
        asked = 0

        def undo(self) -> int:
            type(self).asked += 1
            return 9 * self.mss

    # what is held back looks lost, and was not
    flow, _ = flow_of(net, Undo, reorder="1%", reorder_delay="60ms", buffer="8bdp")
    net.run(20)
    assert Undo.asked > 0 and not net.hook_errors


def test_connections_have_objects_of_their_own(net: sim.Network) -> None:
    class Count(Reno):
        def opened(self) -> None:
            self.acks = 0
            self.closed = self.sent = None  # type: ignore[method-assign,assignment]

        def ack(self, ack: multistack.Ack) -> None:
            super().ack(ack)
            self.acks += 1

    d = net.dumbbell(1, rate="10Mbit", delay="20ms")
    flows = [net.bulk(d.left[0], d.right[0], cc=Count) for _ in range(3)]
    short = net.bulk(d.left[0], d.right[0], cc=Count, size="10kB")
    net.run(5)
    counts = [getattr(f.control, "acks", 0) for f in flows]
    assert min(counts) > 50
    assert short.finished is not None and short.control is None


def test_a_view_outlives_its_stack() -> None:
    with sim.Network() as net:
        flow, _ = flow_of(net, Reno)
        net.run(1)
        control = flow.control
        assert control is not None
        cwnd = control.cwnd
    gc.collect()
    assert control.cwnd == cwnd > 14480


# ---- what goes wrong ----


def failing(hook: str) -> type[CongestionControl]:
    """Raises in that hook, but for ack() not before there is something to do."""

    def fail(self: CongestionControl, *args: Any) -> Any:
        if hook == "ack" and self.delivered < 100_000:
            return Reno.ack(self, *args)  # type: ignore[arg-type]
        raise LookupError(hook)

    return type("Failing", (Reno,), {hook: fail})


@pytest.mark.parametrize(
    "hook", ["__init__", "opened", "ack", "ssthresh", "event", "sent"]
)
def test_an_exception_is_told_once_and_cubic_takes_over(
    net: sim.Network, unraisable: list[Any], hook: str
) -> None:
    flow, _ = flow_of(net, failing(hook))
    net.run(10)
    assert flow.info.cc == b"cubic"
    assert flow.summary().goodput > 8.5e6
    assert flow.control is None and flow.error is None
    assert [type(u.exc_value) for u in unraisable] == [LookupError]
    assert "falls back to CUBIC" in unraisable[0].err_msg
    ((error, text),) = net.hook_errors
    assert error is unraisable[0].exc_value and "'failing'" in text


def test_an_exception_in_undo_and_at_the_end(
    net: sim.Network, unraisable: list[Any]
) -> None:
    flow, _ = flow_of(
        net, failing("undo"), reorder="1%", reorder_delay="60ms", buffer="8bdp"
    )
    end = net.bulk(
        flow.a, flow.b, cc=type("Ends", (failing("closed"),), {}), size="1kB"
    )
    net.run(20)
    assert flow.info.cc == b"cubic" and end.finished is not None
    assert sorted(str(u.exc_value) for u in unraisable) == ["closed", "undo"]


def test_the_same_mistake_of_many_is_told_once(
    net: sim.Network, unraisable: list[Any]
) -> None:
    d = net.dumbbell(1, rate="10Mbit", delay="20ms")
    cls = failing("opened")
    flows = [net.bulk(d.left[0], d.right[0], cc=cls) for _ in range(5)]
    net.run(1)
    assert [f.info.cc for f in flows] == [b"cubic"] * 5
    assert len(unraisable) == 1


@pytest.mark.parametrize("result", [None, 1.5, -1, 1 << 32, "many"])
def test_an_ssthresh_of_nonsense(
    net: sim.Network, unraisable: list[Any], result: Any
) -> None:
    class Odd(Reno):
        def ssthresh(self, why: CcEvent) -> Any:
            return result

    flow, _ = flow_of(net, Odd)
    net.run(5)
    assert flow.info.cc == b"cubic" and flow.summary().goodput > 8e6
    assert [type(u.exc_value) for u in unraisable] == [TypeError]
    assert "ssthresh()" in str(unraisable[0].exc_value)


def test_a_window_of_nothing_does_not_stop_it(net: sim.Network) -> None:
    class Zero(CongestionControl):
        def ack(self, ack: multistack.Ack) -> None:
            self.cwnd = 0

        def ssthresh(self, why: CcEvent) -> int:
            return 0

    flow, _ = flow_of(net, Zero, loss="1%")
    net.run(20)
    # a segment each round trip, as little as there is
    assert flow.received[-1] > 100 * 1448


def test_an_interrupt_comes_out(net: sim.Network) -> None:
    class Interrupted(Reno):
        def ack(self, ack: multistack.Ack) -> None:
            raise KeyboardInterrupt

    flow, _ = flow_of(net, Interrupted)
    with pytest.raises(KeyboardInterrupt):
        net.run(10)
    assert net.now < 1
    net.run(2)
    assert flow.info.cc == b"cubic"


def test_the_default_prints_a_traceback(
    net: sim.Network, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)
    flow_of(net, failing("opened"))
    net.run(1)
    err = capfd.readouterr().err
    assert err.count("Traceback") == 1 and "LookupError: opened" in err


def test_a_handler_that_fails_is_told_of_too(unraisable: list[Any]) -> None:
    def handler(error: BaseException, text: str) -> None:
        raise ArithmeticError

    with sim.Network() as net:
        a, b = net.host(), net.host()
        net.link(a, b, delay="1ms")
        register_cc(a, failing("opened"), on_error=handler)
        flow = net.bulk(a, b, cc="failing", size="10kB")
        net.run(1)
        assert flow.finished is not None
    assert [type(u.exc_value) for u in unraisable] == [ArithmeticError]


# ---- registration ----


def test_names(net: sim.Network) -> None:
    class Named(Reno):
        name = "mine"

    class AVeryLongNameIndeed(Reno):
        pass

    host = net.host()
    assert register_cc(host, Named).name == "mine"
    assert register_cc(host, AVeryLongNameIndeed).name == "averylongnamein"
    assert register_cc(host, Named) is register_cc(host, Named)
    with pytest.raises(FileExistsError):
        register_cc(host, type("Mine", (Reno,), {}))
    with pytest.raises(FileExistsError):
        register_cc(host, type("Cubic", (Reno,), {}))
    assert _cc.registered(host).keys() == {"mine", "averylongnamein"}


@pytest.mark.parametrize(
    ("cls", "error", "words"),
    [
        (type("None_", (CongestionControl,), {}), TypeError, "no ack"),
        (type("Long", (Reno,), {"name": "x" * 16}), ValueError, "15 bytes"),
        (type("Empty", (Reno,), {"name": ""}), ValueError, "15 bytes"),
        (dict, TypeError, "no subclass"),
        (Reno(), TypeError, "no subclass"),
    ],
)
def test_classes_that_are_refused(
    net: sim.Network, cls: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        register_cc(net.host(), cls)


def test_a_stack_of_ones_own() -> None:
    """register_cc() takes the address of a utcp_t."""
    out = c_void_p()
    _utcp.utcp_create(byref(out), None)
    stack = out.value
    assert stack is not None
    try:
        register_cc(stack, Reno)
        names = [_utcp.utcp_cc_name(stack, i) for i in range(10)]
        assert names[:3] == [b"newreno", b"cubic", b"bbr"] and b"reno" in names
    finally:
        _utcp.utcp_destroy(stack)
        _cc.forget_stack(stack)
    assert _cc.registered(stack) == {}


# ---- on the wire ----


def fetch(
    world: HostedWorld, classes: list[type[CongestionControl]]
) -> tuple[list[str], list[Any], list[dict[str, Any]]]:
    """The host beyond the wire reads 3 MB from our loop for each class: the
    connections' controls and their objects at the end, and what the loop's
    exception handler was told."""
    size = 3_000_000
    told: list[dict[str, Any]] = []
    names: list[str] = []
    objects: list[Any] = []
    assert world.far is not None
    # XDP sees frames before anybody finishes their checksums.
    sh(*world.far.command("ethtool", "-K", "eth0", "tx", "off"))
    with world.inside():
        loop = multistack.EventLoop(world.device)
    loop.set_exception_handler(lambda _, context: told.append(context))

    def read(port: int) -> int:
        assert world.far is not None
        with world.far.inside():
            sock = socket.create_connection((world.addr[4], port), timeout=60)
        got = 0
        with sock:
            while data := sock.recv(1 << 16):
                got += len(data)
        return got

    async def main() -> None:
        wanted = iter([loop.register_cc(cls) for cls in classes])

        async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            sock = writer.get_extra_info("utcp")
            sock.set_cc(next(wanted))
            for _part in range(size // 50_000):
                writer.write(bytes(50_000))
                await writer.drain()
            while sock.info().bytes_acked < size:
                await asyncio.sleep(0.01)
            names.append(sock.cc)
            objects.append([r.of(sock._ptr) for r in _cc.registered(loop).values()])
            writer.close()

        server = await asyncio.start_server(serve, world.addr[4], 0)
        port = server.sockets[0].getsockname()[1]
        for _cls in classes:
            assert await asyncio.to_thread(read, port) == size
        server.close()
        await loop.shutdown_default_executor()

    with world.inside():
        try:
            loop.run_until_complete(main())
        finally:
            loop.close()
    return names, objects, told


def test_the_same_class_on_the_wire(alone: HostedWorld) -> None:
    class Wire(Reno):
        acks = 0

        def ack(self, ack: multistack.Ack) -> None:
            super().ack(ack)
            self.acks += 1

    names, ((control,),), told = fetch(alone, [Wire])
    assert names == ["wire"] and told == []
    assert control.acks > 2 and control.delivered >= 3_000_000
    assert control.srtt_ns > 0


def test_the_loop_is_told_of_what_a_hook_raises(alone: HostedWorld) -> None:
    bad = failing("ack")
    names, _, told = fetch(alone, [bad, bad])
    assert names == ["cubic", "cubic"]
    assert [type(t["exception"]) for t in told] == [LookupError]
    assert "'failing'" in told[0]["message"]


# ---- multistack run --cc ----

TALKS = """
import asyncio, sys

HERE = sys.argv[1]


async def main():
    async def answer(reader, writer):
        writer.write(await reader.readline())
        writer.write(name(writer).encode())
        writer.close()

    def name(writer):
        return writer.get_extra_info("utcp").cc

    server = await asyncio.start_server(answer, HERE, 0)
    address = server.sockets[0].getsockname()
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"hello\\n")
    print((await reader.read()).decode().split(), name(writer))
    writer.close()
    server.close()


asyncio.run(main())
"""

MINE = """
import multistack


class Mine(multistack.CongestionControl):
    acks = 0

    def ack(self, ack):
        Mine.acks += 1
        self.cwnd += ack.acked

    def closed(self):
        print("acks", Mine.acks > 0)


class Raises(Mine):
    def ack(self, ack):
        raise LookupError("no such window")


class Empty(multistack.CongestionControl):
    pass


class Cubic(Mine):
    pass
"""


def run_with(
    world: HostedWorld, folder: Path, cc: str
) -> subprocess.CompletedProcess[str]:
    """An application that knows nothing of this, by `multistack run --cc`."""
    (folder / "talks.py").write_text(TALKS)
    (folder / "mine_of_run.py").write_text(MINE)
    words = [sys.executable, "-m", "multistack", "run", "-d", world.device]
    # A script, as the command that a wheel brings: where it is run is not in its path.
    words[1:3] = ["-P", *words[1:3]] if sys.version_info >= (3, 11) else words[1:3]
    words += ["--cc", cc, "--", str(folder / "talks.py"), world.addr[4]]
    return subprocess.run(
        world.ns.command(*words),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("cc", "name"),
    [
        ("bbr", "bbr"),
        ("prague", "prague"),
        ("mine_of_run:Mine", "mine"),
        ("{}/mine_of_run.py:Mine", "mine"),
    ],
)
def test_an_application_s_connections_have_the_control_of_the_command(
    alone: HostedWorld, tmp_path: Path, cc: str, name: str
) -> None:
    """Those that it accepts and those that it opens."""
    done = run_with(alone, tmp_path, cc.format(tmp_path))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert f"['hello', '{name}'] {name}" in lines
    if name == "mine":
        assert lines.count("acks True") == 2


def test_what_the_command_s_control_raises_is_told(
    alone: HostedWorld, tmp_path: Path
) -> None:
    done = run_with(alone, tmp_path, "mine_of_run:Raises")
    assert done.returncode == 0, done.stderr
    assert "['hello'," in done.stdout
    assert done.stderr.count("LookupError: no such window") == 1


@pytest.mark.parametrize(
    ("cc", "words"),
    [
        ("vegas", "no congestion control 'vegas'; there are newreno, cubic, bbr, "),
        ("none_such_module:Mine", "ModuleNotFoundError"),
        ("none_such.py:Mine", "FileNotFoundError"),
        ("mine_of_run:None", "has no class None"),
        ("mine_of_run:Empty", "Empty has no ack()"),
        ("mine_of_run:Cubic", "each stack has a 'cubic' already"),
    ],
)
def test_a_control_that_cannot_be_had_is_one_sentence(
    alone: HostedWorld, tmp_path: Path, cc: str, words: str
) -> None:
    done = run_with(alone, tmp_path, cc)
    assert done.returncode == 1 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("multistack: ") and words in line
