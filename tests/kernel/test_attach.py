# SPDX-License-Identifier: BSD-2-Clause
"""Attachments: beside bridges and other switches, under traffic, and when their
interface changes."""

from __future__ import annotations

import contextlib
import errno
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import flows
import pytest
from guest import needs, possible
from netns import Netns, veth
from ovs import Datapath
from worlds import ADDRS, ModuleWorld, Stack, eventually

import multistack

GUESTS_WITHOUT_OVS = ("linux-debug", "linux-kcsan")


TRIES, TRY_S = 10, 2.0


def heard(send: Callable[[], object], recv: Callable[[float], Any]) -> bytes:
    """What comes of what is sent, which may be lost: under traffic a veth's ring is
    full at times."""
    for _ in range(TRIES):
        send()
        with contextlib.suppress(TimeoutError):
            return bytes(recv(TRY_S)[0])
    raise TimeoutError(f"nothing came of {TRIES} datagrams")


def talk(world: ModuleWorld, port: multistack.Port, number: int = 7000) -> None:
    """A datagram to a port and its answer."""
    stack, peer = Stack(port), world.peer()
    here, there = (world.addr[4], number), (peer.addr, peer.port)
    assert heard(lambda: peer.sendto(b"to", here), stack.recv) == b"to"
    assert heard(lambda: stack.sendto(here, there, b"fro"), peer.recv) == b"fro"


# ---- who else wants the interface ----------------------------------------------------


@contextlib.contextmanager
def holder(ns: Netns, kind: str) -> Iterator[None]:
    """Somebody has eth0's handler."""
    if kind == "openvswitch":
        subprocess.run(["modprobe", "-q", "openvswitch"])
        try:
            with ns.inside():
                datapath = Datapath("dp0")
        except FileNotFoundError:
            needs(False, "Open vSwitch", GUESTS_WITHOUT_OVS)
        try:
            with ns.inside():
                datapath.add("eth0")
            yield
        finally:
            with ns.inside():
                datapath.close()
        return
    if kind == "bridge":
        ns.ip("link", "add", "br0", "type", "bridge")
        ns.ip("link", "set", "eth0", "master", "br0")
    else:
        ns.ip("link", "add", "link", "eth0", "name", "br0", "type", "macvlan")
    yield
    ns.ip("link", "del", "br0")


@pytest.mark.parametrize("kind", ["bridge", "openvswitch", "macvlan"])
def test_whoever_has_the_interface_is_named(alone: ModuleWorld, kind: str) -> None:
    with alone.administer() as control:
        control.detach("eth0")
        with holder(alone.ns, kind):
            with alone.inside(), pytest.raises(OSError) as e:
                control.attach("eth0", "rx_handler")
            assert e.value.errno == errno.EBUSY
            name = {"bridge": "br0", "openvswitch": "vswitch", "macvlan": "br0"}[kind]
            assert "eth0" in e.value.strerror and name in e.value.strerror
        control.attach("eth0", "rx_handler")
    with alone.port() as port:
        port.bind(alone.addr[4], 7000)
        talk(alone, port)


def test_a_bridge_that_comes_second_is_refused(alone: ModuleWorld) -> None:
    alone.ns.ip("link", "add", "br0", "type", "bridge")
    with pytest.raises(RuntimeError, match="busy"):
        alone.ns.ip("link", "set", "eth0", "master", "br0")
    with alone.administer() as control:
        control.detach("eth0")
    alone.ns.ip("link", "set", "eth0", "master", "br0")
    alone.ns.ip("link", "del", "br0")
    with alone.administer() as control:
        control.attach("eth0", "rx_handler")


def test_everybody_side_by_side(alone: ModuleWorld) -> None:
    """Two stacks and the host on one interface, a bridge and Open vSwitch (where
    there is one) on its neighbours."""
    near, far = alone.ns, alone.far
    assert far
    hosts = [Netns("left"), Netns("right")]
    near.ip("link", "add", "br0", "type", "bridge")
    near.ip("link", "set", "br0", "up")
    try:
        for i, host in enumerate(hosts):
            addrs = {4: (f"10.79.{i}.1", f"10.79.9.{i + 1}")}
            veth(near, host, addrs, name=f"br{i}p")
            near.ip("addr", "flush", "dev", f"br{i}p")
            near.ip("link", "set", f"br{i}p", "master", "br0")
        with (
            alone.port() as one,
            alone.port() as two,
            flows.Steady(far, near, alone.addr[4]),
            flows.Steady(hosts[0], hosts[1], "10.79.9.2", 8200),
        ):
            one.bind(alone.addr[4], 7000)
            two.bind(alone.addr[4], 7001)
            for _ in range(10):
                talk(alone, one, 7000)
                talk(alone, two, 7001)
    finally:
        for host in hosts:
            host.close()


# ---- under traffic ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["rx_handler", "xdp"])
def test_attached_and_detached_under_traffic(alone: ModuleWorld, kind: str) -> None:
    assert alone.far
    possible(kind)
    with (
        flows.Steady(alone.far, alone.ns, alone.addr[4]) as steady,
        alone.administer() as control,
    ):
        control.detach("eth0")
        for _ in range(5):
            before = steady.received
            control.attach("eth0", kind)
            with alone.port() as port:
                port.bind(alone.addr[4], 7000)
                talk(alone, port)
            control.detach("eth0")
            eventually(lambda n=before: steady.received > n, "the host's bytes flow")
        control.attach("eth0", "rx_handler")


# ---- the interface changes --------------------------------------------------------------------


def test_another_mtu_is_told(alone: ModuleWorld) -> None:
    with alone.port() as port:
        port.bind(alone.addr[4], 7000)
        gen = port.route_gen
        alone.ns.ip("link", "set", "eth0", "mtu", 1300)
        eventually(lambda: port.route_gen != gen, "route_gen moves")
        assert port.route(alone.peer_addr[4]).mtu == 1300
        with alone.administer() as control:
            assert [n.mtu for n in control.list_nics()] == [1300]
        talk(alone, port)


def test_another_name_is_the_attachments_at_once(alone: ModuleWorld) -> None:
    with alone.port() as port:
        port.bind(alone.addr[4], 7000)
        alone.ns.ip("link", "set", "eth0", "down")
        alone.ns.ip("link", "set", "eth0", "name", "other0")
        alone.ns.ip("link", "set", "other0", "up")
        with alone.administer() as control:
            assert [n.name for n in control.list_nics()] == ["other0"]
            with pytest.raises(OSError) as e:
                control.detach("eth0")
            assert e.value.errno == errno.ENODEV
        talk(alone, port)
    alone.ns.ip("link", "set", "other0", "down")
    alone.ns.ip("link", "set", "other0", "name", "eth0")


def test_another_address_of_the_card(alone: ModuleWorld) -> None:
    with alone.port() as port:
        port.bind(alone.addr[4], 7000)
        alone.ns.ip("link", "set", "eth0", "address", "02:00:00:00:77:01")
        mac = bytes.fromhex("020000007701")
        eventually(
            lambda: port.route(alone.peer_addr[4]).src_mac == mac, "the new source"
        )
        assert alone.far
        alone.far.ip("neigh", "flush", "dev", "eth0")
        talk(alone, port)


def test_down_and_up(alone: ModuleWorld) -> None:
    with alone.port() as port:
        port.bind(alone.addr[4], 7000)
        talk(alone, port)
        alone.ns.ip("link", "set", "eth0", "down")
        with contextlib.suppress(OSError):
            port.send(bytes(60))
        alone.ns.ip("link", "set", "eth0", "up")
        talk(alone, port)


def test_a_move_to_another_namespace_ends_it(alone: ModuleWorld) -> None:
    there = Netns("there")
    with alone.port() as port:
        port.bind(alone.addr[4], 7000)
        alone.ns.ip("link", "set", "eth0", "netns", there.name)

        def gone() -> bool:
            try:
                port.recv()
            except OSError as e:
                return e.errno == errno.ENETDOWN
            return False

        eventually(gone, "the port is told")
    with alone.administer() as control:
        assert control.list_nics() == []
    with there.inside(), multistack.Control("kmod:") as control:
        there.ip("addr", "add", f"{ADDRS[4][0]}/24", "dev", "eth0")
        there.ip("link", "set", "eth0", "up")
        control.attach("eth0", "rx_handler")
        with multistack.Port("kmod:eth0") as port:
            port.bind(ADDRS[4][0], 7000)
            talk(alone, port)
    there.close()


def test_a_namespace_goes_with_what_is_attached(alone: ModuleWorld) -> None:
    """Its process too: nothing keeps it, and nothing of it is left."""
    other = ModuleWorld("rx_handler")
    with other.port() as port:
        port.bind(other.addr[4], 7000)
        assert other.far
        other.far.close()
        other.ns.close()

        def gone() -> bool:
            try:
                port.recv()
            except OSError as e:
                return e.errno in (errno.ENETDOWN, errno.ENODEV)
            return False

        eventually(gone, "the port is told")
    with alone.port() as port:
        port.bind(alone.addr[4], 7000)
        talk(alone, port)
