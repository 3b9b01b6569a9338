# SPDX-License-Identifier: BSD-2-Clause
"""What the module says of a peer comes from the kernel's tables, and what
changes it moves route_gen."""

from __future__ import annotations

import errno
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from netns import Netns
from worlds import PATIENCE_S, ModuleWorld, eventually

import multistack
from multistack import RouteState

OTHER_MAC = "02:00:00:00:77:99"
QUIET_S = 0.3  # in which nothing moves any more: many times the module's 10 ms


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleWorld]:
    """With routes of all kinds."""
    made = ModuleWorld("rx_handler")
    for family, far in made.peer_addr.items():
        ip = made.ns.ip if family == 4 else lambda *w: made.ns.ip("-6", *w)
        net = {4: "10.{}.0.0/16", 6: "fd{}::/16"}[family]
        ip("route", "add", "default", "via", far)
        ip("route", "add", net.format(60), "via", far, "mtu", 1300)
        for number, kind in (61, "unreachable"), (62, "prohibit"), (63, "blackhole"):
            ip("route", "add", kind, net.format(number))
    made.ns.ip("addr", "add", "10.77.0.3/24", "dev", "eth0")
    made.ns.ip("route", "add", "10.64.0.0/16", "via", "10.77.0.2", "src", "10.77.0.3")
    made.ns.ip("route", "add", "10.65.0.0/16", "via", "inet6", "fd77::2", "dev", "eth0")
    made.ns.ip("link", "add", "other0", "type", "dummy")
    made.ns.ip("addr", "add", "10.78.0.1/24", "dev", "other0")
    made.ns.ip("link", "set", "other0", "up")
    yield made
    made.close()


@pytest.fixture
def port(host: ModuleWorld) -> Iterator[multistack.Port]:
    with host.port() as port:
        yield port


def mac_of(ns: Netns, nic: str = "eth0") -> bytes:
    words = ns.ip("-o", "link", "show", nic).split()
    return bytes.fromhex(words[words.index("link/ether") + 1].replace(":", ""))


# ---- answers ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("addr", "src", "mtu"),
    [
        ("10.77.0.2", "10.77.0.1", 1500),
        ("fd77::2", "fd77::1", 1500),
        ("198.51.100.1", "10.77.0.1", 1500),
        ("2001:db8::1", "fd77::1", 1500),
        ("10.60.0.1", "10.77.0.1", 1300),
        ("fd60::1", "fd77::1", 1300),
        ("10.64.0.1", "10.77.0.3", 1500),
        ("10.65.0.1", "10.77.0.1", 1500),
    ],
)
def test_by_the_next_hop(
    host: ModuleWorld, port: multistack.Port, addr: str, src: str, mtu: int
) -> None:
    def known() -> multistack.Route | None:
        route = port.route(addr)
        return route if route.state != RouteState.PENDING else None

    route = eventually(known, f"{addr} is resolved")
    assert host.far
    assert (route.state, route.src, route.mtu) == (RouteState.REACHABLE, src, mtu)
    assert (route.src_mac, route.dst_mac) == (mac_of(host.ns), mac_of(host.far))


@pytest.mark.parametrize(
    ("addr", "mac"),
    [
        ("10.77.0.255", "ffffffffffff"),
        ("239.1.2.3", "01005e010203"),
        ("ff02::1:2", "333300010002"),
    ],
)
def test_groups_need_no_resolution(port: multistack.Port, addr: str, mac: str) -> None:
    route = port.route(addr)
    assert (route.state, route.dst_mac.hex()) == (RouteState.REACHABLE, mac)


@pytest.mark.parametrize(
    ("addr", "src"),
    [
        ("10.77.0.1", "10.77.0.1"),
        ("10.78.0.1", "10.78.0.1"),  # of another interface
        ("127.0.0.7", "127.0.0.1"),
        ("fd77::1", "fd77::1"),
        ("::1", "::1"),
    ],
)
def test_of_this_host(port: multistack.Port, addr: str, src: str) -> None:
    route = port.route(addr)
    assert (route.state, route.src) == (RouteState.LOCAL, src)


@pytest.mark.parametrize(
    ("number", "code"),
    [(61, errno.EHOSTUNREACH), (62, errno.EACCES), (63, errno.EINVAL)],
)
@pytest.mark.parametrize("net", ["10.{}.0.1", "fd{}::1"])
def test_refused_as_by_the_host(
    port: multistack.Port, net: str, number: int, code: int
) -> None:
    """Although a default route of this interface would take it."""
    with pytest.raises(OSError) as e:
        port.route(net.format(number))
    assert e.value.errno == code


@pytest.mark.parametrize(
    ("addr", "sysctl"),
    [
        ("10.77.0.200", "net/ipv4/neigh/eth0/retrans_time_ms"),
        ("fd77::200", "net/ipv6/neigh/eth0/retrans_time_ms"),
    ],
)
def test_nobody_answers(alone: ModuleWorld, addr: str, sysctl: str) -> None:
    """Whoever waits until the kernel has given up waits for minutes."""
    with alone.inside():
        Path("/proc/sys", sysctl).write_text("100000\n")
    with alone.port() as port:
        begin = time.monotonic()
        assert port.route(addr).state == RouteState.PENDING
        assert time.monotonic() - begin < PATIENCE_S


def test_without_a_route(alone: ModuleWorld) -> None:
    with alone.port() as port:
        for addr in "10.99.0.1", "fd99::1", "255.255.255.255":
            with pytest.raises(OSError) as e:
                port.route(addr)
            assert e.value.errno == errno.ENETUNREACH


def test_by_lo(host: ModuleWorld) -> None:
    with host.administer() as control:
        control.attach("lo", "rx_handler")
        with host.open("kmod:lo") as port:
            for addr in "127.0.0.1", "::1", "10.77.0.1":
                assert port.route(addr).state == RouteState.LOCAL
            for addr in "10.77.0.2", "2001:db8::1":
                with pytest.raises(OSError) as e:
                    port.route(addr)
                assert e.value.errno == errno.ENETUNREACH
        control.detach("lo")


# ---- what moves route_gen ------------------------------------------------------------


def settled(world: ModuleWorld, port: multistack.Port) -> int:
    """Also behind the link-local addresses, which are tentative for a second or
    two (RFC 4862 section 5.4)."""
    eventually(
        lambda: not world.ns.ip("-6", "-o", "addr", "show", "tentative"),
        "no address is tentative",
    )
    gen = -1
    while gen != port.route_gen:
        gen = port.route_gen
        time.sleep(QUIET_S)
    return gen


NEIGH = ("neigh", "replace", "10.77.0.50", "dev", "eth0")


@pytest.mark.parametrize(
    "words",
    [
        ("addr", "add", "10.77.0.9/24", "dev", "eth0"),
        ("addr", "add", "10.78.0.9/24", "dev", "other0"),
        ("addr", "add", "fd77::9/64", "dev", "eth0", "nodad"),
        ("route", "add", "10.90.0.0/16", "via", "10.77.0.2"),
        ("-6", "route", "add", "fd90::/16", "via", "fd77::2"),
        ("route", "add", "10.91.0.0/16", "dev", "other0"),
        ("rule", "add", "pref", 90, "from", "10.90.0.1", "table", 90),
        (*NEIGH, "lladdr", OTHER_MAC, "nud", "reachable"),
        ("link", "set", "eth0", "mtu", 1400),
        ("link", "set", "eth0", "down"),
    ],
    ids=lambda words: " ".join(map(str, words)),
)
def test_moves_it(alone: ModuleWorld, words: tuple[object, ...]) -> None:
    alone.ns.ip("link", "add", "other0", "type", "dummy")
    alone.ns.ip("addr", "add", "10.78.0.1/24", "dev", "other0")
    alone.ns.ip("link", "set", "other0", "up")
    with alone.port() as port:
        gen = settled(alone, port)
        alone.ns.ip(*words)
        eventually(lambda: port.route_gen != gen, "route_gen moves")


def test_a_neighbour_counts_when_its_mac_does(alone: ModuleWorld) -> None:
    ip = alone.ns.ip
    ip("link", "add", "other0", "type", "dummy")
    ip("link", "set", "other0", "up")
    with alone.port() as port:
        ip(*NEIGH, "lladdr", OTHER_MAC, "nud", "reachable")
        gen = settled(alone, port)
        ip(*NEIGH, "lladdr", OTHER_MAC, "nud", "stale")
        ip(*NEIGH, "lladdr", OTHER_MAC, "nud", "permanent")
        ip("neigh", "add", "10.78.0.9", "dev", "other0", "lladdr", OTHER_MAC)
        assert settled(alone, port) == gen
        ip("neigh", "del", "10.77.0.50", "dev", "eth0")
        eventually(lambda: port.route_gen != gen, "route_gen moves")


def test_who_was_told_to_wait_is_told_to_ask(alone: ModuleWorld) -> None:
    assert alone.far
    with alone.port() as port:
        assert port.route("10.77.0.50").state == RouteState.PENDING
        gen = settled(alone, port)
        alone.far.ip("addr", "add", "10.77.0.50/24", "dev", "eth0")
        # The kernel has given up meanwhile, and tries again for who asks.
        eventually(
            lambda: port.route("10.77.0.50").state == RouteState.REACHABLE, "an answer"
        )
        assert port.route_gen != gen or settled(alone, port) != gen


def test_many_changes_move_it_a_few_times(alone: ModuleWorld) -> None:
    """Each costs all ports of the interface a look."""
    lines = [f"route add 10.200.{i}.0/24 via 10.77.0.2" for i in range(256)]
    with alone.port() as port:
        gen = settled(alone, port)
        begin = time.monotonic()
        batch = alone.ns.command("ip", "-batch", "-")
        subprocess.run(batch, input="\n".join(lines), text=True, check=True)
        took = time.monotonic() - begin
        assert 0 < settled(alone, port) - gen < 10 + took * 150


def test_the_interface_goes_while_one_asks(alone: ModuleWorld) -> None:
    done = threading.Event()
    asked = 0

    def ask() -> None:
        nonlocal asked
        while not done.is_set():
            try:
                port.route("10.77.0.200")
                asked += 1
            except OSError as e:
                assert e.errno in (errno.ENODEV, errno.ENETUNREACH)

    with alone.port() as port:
        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        eventually(lambda: asked > 3, "they ask")
        alone.ns.ip("link", "del", "eth0")
        done.set()
        for thread in threads:
            thread.join()
        with pytest.raises(OSError) as e:
            port.route("10.77.0.2")
        assert e.value.errno == errno.ENODEV
