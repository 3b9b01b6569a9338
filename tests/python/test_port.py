# SPDX-License-Identifier: BSD-2-Clause
"""Port over every device: the same bodies in process and through multistackd."""

from __future__ import annotations

import errno
import gc
import select
import threading
from pathlib import Path

import pytest
from worlds import PairWorld, Stack, World, eventually, udp_frame

import multistack
from multistack import Meta, Port, SlotFlag

# ---- datagrams ----------------------------------------------------------------


@pytest.mark.parametrize("family", [4, 6])
def test_a_datagram_comes_and_its_answer_goes(world: World, family: int) -> None:
    with world.port() as port:
        ours = port.bind(world.addr[family], 7000)
        assert ours == (world.addr[family], 7000, "udp")
        peer = world.peer(family)
        stack = Stack(port)
        peer.sendto(b"question", ours[:2])
        assert stack.recv() == (b"question", (peer.addr, peer.port), ours[:2])
        stack.sendto(ours[:2], (peer.addr, peer.port), b"answer")
        assert peer.recv() == (b"answer", ours[:2])


def test_a_wildcard_gets_what_goes_to_any_local_address(world: World) -> None:
    with world.port() as port:
        port.bind("0.0.0.0", 7000)
        peer, stack = world.peer(), Stack(port)
        peer.sendto(b"any", (world.addr[4], 7000))
        assert stack.recv()[0] == b"any"
        stack.sendto((world.addr[4], 7000), (peer.addr, peer.port), b"back")
        assert peer.recv()[0] == b"back"


def test_exact_beats_wildcard(world: World) -> None:
    with world.port() as any_port, world.port() as exact:
        any_port.bind("0.0.0.0", 7000)
        exact.bind(world.addr[4], 7000)
        peer = world.peer()
        peer.sendto(b"x", (world.addr[4], 7000))
        assert Stack(exact).recv()[0] == b"x"
        assert Stack(any_port).nothing()


def test_nothing_comes_after_unbind(world: World) -> None:
    with world.port() as port:
        ours = port.bind(world.addr[4], 7000)
        peer, stack = world.peer(), Stack(port)
        peer.sendto(b"1", ours[:2])
        assert stack.recv()[0] == b"1"
        port.unbind(*ours)
        peer.sendto(b"2", ours[:2])
        assert stack.nothing()


def test_an_ephemeral_port_is_chosen_and_unbound(world: World) -> None:
    with world.port() as port:
        first, second = port.bind(world.addr[4]), port.bind(world.addr[4], 0, "tcp")
        assert first.port >= 1024 and first.proto == "udp"
        assert second.port >= 1024 and second.proto == "tcp"
        port.unbind(*first)
        port.unbind(*second)
        with pytest.raises(OSError) as e:
            port.unbind(*first)
        assert e.value.errno == errno.ENOENT


def test_a_large_frame_spans_slots(world: World) -> None:
    """Both ways, by way of buffers smaller than the frame where the MTU is."""
    mtu = world.keep[0].mtu if isinstance(world, PairWorld) else 1500
    size = min(mtu, 1500) - 28
    with world.port() as port:
        ours = port.bind(world.addr[4], 7000)
        peer, stack = world.peer(), Stack(port)
        data = bytes(i % 251 for i in range(size))
        peer.sendto(data, ours[:2])
        assert stack.recv()[0] == data
        stack.sendto(ours[:2], (peer.addr, peer.port), data)
        assert peer.recv()[0] == data


def test_stack_to_stack(world: World) -> None:
    """Two ports on one address reach each other without the wire."""
    with world.port() as a, world.port() as b:
        at, bt = a.bind(world.addr[4], 7001), b.bind(world.addr[4], 7002)
        sa, sb = Stack(a), Stack(b)
        mac = a.mac
        a.send(udp_frame((mac, *at[:2]), (mac, *bt[:2]), b"hi"))
        assert sb.recv() == (b"hi", at[:2], bt[:2])
        b.send(udp_frame((mac, *bt[:2]), (mac, *at[:2]), b"ho"))
        assert sa.recv() == (b"ho", bt[:2], at[:2])
        eventually(lambda: a.stats()["tx_local"] == 1, "a counted it as local")


# ---- batches -------------------------------------------------------------------


def test_a_batch_arrives_whole_and_in_order(world: World) -> None:
    with world.port(slots=512) as port:
        ours = port.bind(world.addr[4], 7000)
        peer, stack = world.peer(), Stack(port)
        for i in range(200):  # a veth has room for 256
            peer.sendto(str(i).encode(), ours[:2])
        assert [int(stack.recv()[0]) for _ in range(200)] == list(range(200))


def test_a_batch_is_sent_whole_and_in_order(world: World) -> None:
    with world.port(slots=512) as port:
        ours = port.bind(world.addr[4], 7000)
        peer, stack = world.peer(), Stack(port)
        to = (peer.addr, peer.port)
        assert port.send_batch(
            [stack.frame(ours[:2], to, str(i).encode()) for i in range(100)]
        )
        assert [int(peer.recv()[0]) for _ in range(100)] == list(range(100))
        eventually(lambda: port.stats()["tx_frames"] == 100, "all are counted")


def test_max_limits_a_batch_and_the_rest_stays(pair: PairWorld) -> None:
    with pair.port() as port:
        ours = port.bind(pair.addr[4], 7000)
        peer = pair.peer()
        for i in range(10):
            peer.sendto(str(i).encode(), ours[:2])
        assert port.wait(60)
        got = []
        for most in (1, 3, 256):
            with port.recv_batch(max=most) as frames:
                assert len(frames) <= most
                got += [bytes(f)[-1:] for f in frames]
        assert got == [str(i).encode() for i in range(10)]


def test_a_full_ring_takes_what_fits(pair: PairWorld) -> None:
    with pair.port(slots=8) as port:
        ours = port.bind(pair.addr[4], 7000)
        stack = Stack(port)
        frame = stack.frame(ours[:2], (pair.peer_addr[4], 9), b"x")
        assert port.send_batch([frame] * 100) == port.slots == 8
        assert port.wait(60, tx=True)
        assert port.send_batch([]) == 0


def test_what_does_not_fit_the_ring_is_counted(pair: PairWorld) -> None:
    with pair.port(slots=8) as port:
        ours = port.bind(pair.addr[4], 7000)
        peer = pair.peer()
        for _ in range(50):
            peer.sendto(b"x", ours[:2])
        got = 0
        while port.wait(0.1):
            with port.recv_batch() as frames:
                got += len(frames)
        stats = port.stats()
        assert got == stats["rx_frames"] == 8 and stats["drop_rx_full"] == 42


def receive_one(pair: PairWorld, port: Port) -> tuple[multistack.Tuple, object]:
    ours = port.bind(pair.addr[4], 7000)
    peer = pair.peer()
    peer.sendto(b"payload", ours[:2])
    assert port.wait(60)
    return ours, peer


def test_a_view_is_released_with_its_batch(pair: PairWorld) -> None:
    with pair.port() as port:
        receive_one(pair, port)
        with port.recv_batch() as frames:
            assert len(frames) == 1
            view = frames[0]
            assert bytes(view[-7:]) == b"payload"
        with pytest.raises(ValueError, match="released"):
            bytes(view)
        assert len(frames) == 0


def test_a_slice_that_outlives_its_batch_is_reported(pair: PairWorld) -> None:
    port = pair.port()
    receive_one(pair, port)
    with pytest.raises(BufferError, match="outlives"), port.recv_batch() as frames:
        kept = frames[0][-7:]
    port.close()
    assert len(kept) == 7  # its memory is still there
    del kept
    gc.collect()
    with pair.port() as again:  # the port itself is gone with the last view
        again.bind(pair.addr[4], 7000)


def test_an_error_in_a_batch_is_not_hidden_by_a_slice(pair: PairWorld) -> None:
    with pair.port() as port:
        receive_one(pair, port)
        with pytest.raises(KeyError), port.recv_batch() as frames:
            kept = frames[0][:1]
            raise KeyError("the caller's")
        del kept


def test_a_loop_over_a_batch_opens_and_ends_it(pair: PairWorld) -> None:
    with pair.port() as port:
        ours, peer = receive_one(pair, port)
        for frame in port.recv_batch():
            assert bytes(frame[-7:]) == b"payload"
        with pytest.raises(ValueError):
            bytes(frame)
        peer.sendto(b"2", ours[:2])
        assert port.wait(60)
        assert port.recv()[-1:] == b"2"
        assert port.recv() is None


def test_one_batch_at_a_time_on_a_ring(pair: PairWorld) -> None:
    with pair.port() as port, port.recv_batch():
        with pytest.raises(RuntimeError, match="open batch"):
            port.recv_batch().__enter__()
        with pytest.raises(RuntimeError, match="open batch"):
            port.recv()
        with pytest.raises(BufferError):
            port.reopen()


def test_iteration_yields_bytes_until_the_port_is_closed(pair: PairWorld) -> None:
    with pair.port() as port:
        receive_one(pair, port)
        got = []
        for frame in port:
            got.append(frame[-7:])
            port.close()
        assert got == [b"payload"]


# ---- offload metadata -------------------------------------------------------------


def test_metadata_crosses_the_pair(pair: PairWorld) -> None:
    """The pair is a virtio link: what the sender says, the receiver reads."""
    with pair.port() as port:
        ours = port.bind(pair.addr[4], 7000)
        peer = pair.peer()
        frame = bytearray(peer.stack.frame((peer.addr, peer.port), ours[:2], bytes(8)))
        port_end = peer.handle
        meta = Meta(SlotFlag.CSUM_PARTIAL, csum_start=34, csum_offset=6)
        port_end.send(frame, meta)
        assert port.wait(60)
        with port.recv_batch() as frames:
            assert bytes(frames[0]) == bytes(frame)
            assert frames.meta(0) == meta


def test_a_gso_frame_spans_slots_and_keeps_its_metadata(pair: PairWorld) -> None:
    with pair.port() as port:
        ours = port.bind(pair.addr[4], 7000)
        peer = pair.peer()
        data = bytes(i % 253 for i in range(20000))
        frame = peer.stack.frame((peer.addr, peer.port), ours[:2], data)
        meta = Meta(
            SlotFlag.CSUM_PARTIAL,
            multistack.Gso.UDP,
            gso_size=1000,
            csum_start=34,
            csum_offset=6,
        )
        assert peer.handle.send_batch([(frame, meta)]) == 1
        assert port.wait(60)
        with port.recv_batch(max=1) as frames:
            assert bytes(frames[0]) == frame
            assert frames.meta(0) == meta


# ---- statistics, lists, taps, routes --------------------------------------------------


def test_counters_have_names_and_move(world: World) -> None:
    with world.port() as port:
        ours = port.bind(world.addr[4], 7000)
        peer, stack = world.peer(), Stack(port)
        before = port.stats()
        assert set(before) == set(multistack.counter_texts())
        peer.sendto(b"12345", ours[:2])
        stack.recv()
        stack.sendto(ours[:2], (peer.addr, peer.port), b"12345")
        peer.recv()
        eventually(lambda: port.stats()["tx_frames"] == 1, "the sent frame is counted")
        after = port.stats()
        assert after["rx_frames"] == 1 and after["rx_bytes"] == 14 + 20 + 8 + 5
        assert after["tx_bytes"] == 14 + 20 + 8 + 5
        assert port.stats(nic=world.nic)["rx_seen"] >= 1


REFUSED = {
    "unbound": ("drop_tx_unbound", lambda w, m: udp_frame((m, w.addr[4], 7009), (m, "10.77.0.2", 9), b"")),
    "foreign": ("drop_tx_foreign", lambda w, m: udp_frame((m, w.addr[4], 7001), (m, "10.77.0.2", 9), b"")),
    "foreign address": (
        "drop_tx_unbound",
        lambda w, m: udp_frame((m, "10.77.0.99", 7000), (m, "10.77.0.2", 9), b""),
    ),
    "arp": ("drop_tx_ether", lambda w, m: b"\xff" * 6 + m + b"\x08\x06" + bytes(46)),
    "short": (
        "drop_tx_short",
        lambda w, m: udp_frame((m, w.addr[4], 7000), (m, "10.77.0.2", 9), bytes(90))[:60],
    ),
    "bad checksum": (
        "drop_tx_header",
        lambda w, m: udp_frame((m, w.addr[4], 7000), (m, "10.77.0.2", 9), b"", chksum=1),
    ),
    "forged fragment": (
        "drop_tx_fragment",
        lambda w, m: udp_frame((m, w.addr[4], 7000), (m, "10.77.0.2", 9), b"", frag=9, id=1),
    ),
    "vlan": (
        "drop_tx_vlan",
        lambda w, m: (lambda f: f[:12] + b"\x81\x00\x00\x07" + f[12:])(
            udp_frame((m, w.addr[4], 7000), (m, "10.77.0.2", 9), b"")
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_port_must_not_send_is_counted(world: World, case: str) -> None:
    reason, make = REFUSED[case]
    with world.port() as port, world.port() as victim:
        port.bind(world.addr[4], 7000)
        victim.bind(world.addr[4], 7001)
        port.send(make(world, port.mac))
        eventually(lambda: port.stats()[reason] == 1, f"{reason} moves: {port.stats()}")
        stats = port.stats()
        assert stats["tx_frames"] == 0
        assert sum(v for k, v in stats.items() if k.startswith("drop_")) == 1


def test_another_source_mac_is_refused_but_on_loopback(world: World) -> None:
    with world.port() as port:
        ours = port.bind(world.addr[4], 7000)
        other = b"\x02\x66\x66\x66\x66\x66"
        port.send(udp_frame((other, *ours[:2]), (port.mac, world.peer_addr[4], 9), b""))
        name = "tx_frames" if world.nic == "lo" else "drop_tx_mac"
        eventually(lambda: port.stats()[name] == 1, f"{name}: {port.stats()}")


def test_an_open_port_is_listed(world: World) -> None:
    with world.port(label="a label", tx_rings=2, rx_rings=4, slots=100) as port:
        ours = port.bind(world.addr[4], 7000)
        entry = next(p for p in port.list_ports() if p.id == port.id)
        assert (entry.label, entry.nic, entry.tuples) == ("a label", world.nic, 1)
        assert (entry.tx_rings, entry.rx_rings, entry.slots) == (2, 4, 128)
        assert (port.tx_rings, port.rx_rings, port.slots) == (2, 4, 128)
        assert (ours, port.id) in [(t.tuple, t.port_id) for t in port.list_tuples()]
        nic = next(n for n in port.list_nics() if n.name == world.nic)
        assert (nic.mac, nic.mtu, nic.ports >= 1) == (port.mac, port.mtu, True)
        info = port.info()
        assert info.abi == 1 and info.ports >= 1 and info.tuples >= 1 and info.nics >= 1
    assert port.closed


def test_a_tap_sees_both_directions(world: World) -> None:
    with world.port() as port, world.port() as watcher:
        ours = port.bind(world.addr[4], 7000)
        watcher.tap(port.id)
        peer, stack = world.peer(), Stack(port)
        peer.sendto(b"in", ours[:2])
        stack.recv()
        stack.sendto(ours[:2], (peer.addr, peer.port), b"out")
        peer.recv()
        seen = []

        def both() -> bool:
            watcher.wait(0.05)
            with watcher.recv_batch() as frames:
                seen.extend(
                    (
                        frames.meta(i).flags & (SlotFlag.TAP_RX | SlotFlag.TAP_TX),
                        bytes(f[42:45]),
                    )
                    for i, f in enumerate(frames)
                )
            return len(seen) >= 2

        eventually(both, f"copies of both: {seen}")
        assert [flag for flag, _ in seen] == [SlotFlag.TAP_RX, SlotFlag.TAP_TX]
        assert seen[0][1].startswith(b"in") and seen[1][1].startswith(b"out")
        watcher.untap()


def test_a_tap_sees_what_is_refused_if_it_asks(world: World) -> None:
    with (
        world.port() as port,
        world.port() as watcher,
        world.port() as plain,
        world.port() as only,
    ):
        ours = port.bind(world.addr[4], 7000)
        watcher.tap(port.id, refused="also")
        only.tap(port.id, refused="only")
        plain.tap(port.id)
        peer, stack = world.peer(), Stack(port)
        to = (peer.addr, peer.port)
        good = stack.frame(ours[:2], to, b"good")
        arp = good[:12] + b"\x08\x06" + bytes(46)
        sent = {
            "drop_tx_unbound": stack.frame((world.addr[4], 7001), to, b"nobody's"),
            "drop_tx_mac": good[:6] + b"\x02liars" + good[12:],
            "drop_tx_ether": arp,
            "drop_tx_short": good[:-1],
            "": good,
        }
        if port.mac == bytes(6):  # on lo any will do
            del sent["drop_tx_mac"]
        for frame in sent.values():
            port.send(frame)
        seen: dict[str, bytes] = {}

        def all_of_them() -> bool:
            watcher.wait(0.05)
            with watcher.recv_batch() as frames:
                for i, frame in enumerate(frames):
                    flag = frames.meta(i).flags & (SlotFlag.TAP_TX | SlotFlag.TAP_DROP)
                    refusal = frames.refusal(i)
                    drop = flag == SlotFlag.TAP_DROP
                    assert drop == bool(refusal) and flag
                    seen[refusal] = bytes(frame)
            return len(seen) >= len(sent)

        eventually(all_of_them, "copies of all")
        assert seen == sent
        with plain.recv_batch() as frames:
            assert [bytes(f) for f in frames] == [good]
            assert frames.refusal(0) == ""
        with only.recv_batch() as frames:
            refusals = {frames.refusal(i): bytes(f) for i, f in enumerate(frames)}
            assert refusals | {"": good} == sent and "" not in refusals


def test_tuples_move_to_a_successor(world: World) -> None:
    with world.port() as old, world.port() as new:
        ours = old.bind(world.addr[4], 7000)
        assert new.handover_accept(old.handover_offer()) == 1
        peer = world.peer()
        peer.sendto(b"x", ours[:2])
        assert Stack(new).recv()[0] == b"x"
        with pytest.raises(OSError):
            old.unbind(*ours)
        with pytest.raises(OSError):
            new.handover_accept(bytes(16))


@pytest.mark.parametrize("family", [4, 6])
def test_a_route_names_source_macs_and_mtu(world: World, family: int) -> None:
    with world.port() as port:
        route = Stack(port).route(world.peer_addr[family])
        assert route.src == world.addr[family]
        assert route.src_mac == port.mac and len(route.dst_mac) == 6
        assert route.mtu >= 1280
        assert route.gen <= port.route_gen


# ---- sleeping, threads -------------------------------------------------------------


def test_wait_times_out(world: World) -> None:
    with world.port() as port:
        assert port.wait(0) is False
        assert port.wait(0.02) is False
        assert port.wait(1, tx=True) is True


def test_the_descriptor_polls_after_arm(world: World) -> None:
    with world.port() as port:
        ours = port.bind(world.addr[4], 7000)
        peer = world.peer()
        if not isinstance(world, PairWorld):  # in process somebody must step
            assert port.arm() is False
        peer.sendto(b"x", ours[:2])

        def frame() -> bytes | None:
            if not port.arm():
                select.select([port.fileno()], [], [], 0.5)
            return port.recv()

        assert eventually(frame, "a frame behind the descriptor")[-1:] == b"x"


def test_threads_with_a_ring_each(world: World) -> None:
    """Four threads receive on four rings; every datagram comes to exactly one,
    and those of one flow to the same."""
    with world.port(rx_rings=4, tx_rings=4, slots=512) as port:
        ours = port.bind(world.addr[4], 7000)
        peers = [world.peer() for _ in range(16)]
        got: list[list[tuple[int, int]]] = [[] for _ in range(4)]
        done = threading.Event()

        def receive(ring: int) -> None:
            while not done.is_set():
                if port.wait(0.02, ring):
                    with port.recv_batch(ring) as frames:
                        for f in frames:
                            flow = int.from_bytes(f[34:36], "big")
                            got[ring].append((flow, int(bytes(f[42:45]))))

        threads = [threading.Thread(target=receive, args=(r,)) for r in range(4)]
        for t in threads:
            t.start()
        try:
            for i in range(20):
                for peer in peers:
                    peer.sendto(b"%03d" % i, ours[:2])
                # A wire has room for a few, if nobody has time to take them.
                sent = (i + 1) * len(peers)
                eventually(lambda n=sent: sum(map(len, got)) == n, f"{sent} datagrams")
        finally:
            done.set()
            for t in threads:
                t.join()
        rings_of: dict[int, set[int]] = {}
        for ring, frames in enumerate(got):
            for flow, _ in frames:
                rings_of.setdefault(flow, set()).add(ring)
            for flow in {f for f, _ in frames}:
                assert [i for f, i in frames if f == flow] == list(range(20))
        assert all(len(r) == 1 for r in rings_of.values())
        assert len(set.union(*rings_of.values())) > 1, "the hash uses one ring only"


# ---- lifetime --------------------------------------------------------------------


def test_a_forgotten_port_warns(pair: PairWorld) -> None:
    port = pair.port()
    with pytest.warns(ResourceWarning, match="unclosed <multistack.Port 'pair:"):
        del port
        gc.collect()


def test_a_closed_port_says_so(pair: PairWorld, tmp_path: Path) -> None:
    port = pair.port()
    port.close()
    port.close()
    for call in (port.recv, port.stats, port.wait, port.fileno, port.list_ports):
        with pytest.raises(ValueError, match="closed"):
            call()
    with pytest.raises(ValueError, match="closed"):
        port.recv_batch().__enter__()
    assert "closed" in repr(port)


def test_close_lets_a_waiting_thread_finish(pair: PairWorld) -> None:
    port = pair.port()
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(port.wait(1)))
    thread.start()
    eventually(lambda: port._handle.users > 1, "the thread is in wait()")
    port.close()
    thread.join()
    assert answers == [False]


def test_reopen_keeps_the_tuples(world: World) -> None:
    with world.port(label="again", slots=64) as port:
        ours = port.bind(world.addr[4])
        with world.inside():
            port.reopen()
        assert port.slots == 64
        peer = world.peer()
        peer.sendto(b"x", ours[:2])
        assert Stack(port).recv()[0] == b"x"


@pytest.mark.parametrize(
    "options",
    [{"label": "x" * 16}, {"tx_rings": -1}, {"slots": 1 << 32}, {"rx_rings": 1 << 16}],
)
def test_options_out_of_range(options: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        Port("pair:p0", **options)  # type: ignore[arg-type]


def test_frames_out_of_range(pair: PairWorld) -> None:
    with pair.port(slots=8) as port:
        for frame, code in ((b"", errno.EINVAL), (bytes(8 * 2048 + 1), errno.EMSGSIZE)):
            with pytest.raises(OSError) as e:
                port.send_batch([b"x" * 60, frame])
            assert e.value.errno == code
        assert port.stats()["tx_syncs"] >= 0 and port.stats()["drop_tx_short"] == 0


@pytest.mark.parametrize("addr", ["", "10.0.0", "::g", "eth0", "1.2.3.4.5"])
def test_what_is_no_address(pair: PairWorld, addr: str) -> None:
    with pair.port() as port:
        with pytest.raises(ValueError, match="not an IPv4 or IPv6 address"):
            port.bind(addr, 1)
        with pytest.raises(ValueError):
            port.bind(pair.addr[4], 70000)
        with pytest.raises(ValueError, match="protocol 'dup'"):
            port.bind(pair.addr[4], 7000, "dup")
