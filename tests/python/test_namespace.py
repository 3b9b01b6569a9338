# SPDX-License-Identifier: BSD-2-Clause
"""Random walks over ports, claims, the host's sockets and traffic: deliveries
and refusals are those of a model of ten lines."""

from __future__ import annotations

import errno
import itertools
import socket
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from worlds import (
    FAMILIES,
    HostedWorld,
    PairWorld,
    Peer,
    Stack,
    World,
    eventually,
    udp_frame,
)

import multistack

ANY = {4: "0.0.0.0", 6: "::"}
SECOND = {4: "10.77.0.3", 6: "fd77::3"}  # another address of the switch's host
STRANGER = {4: "10.77.0.99", 6: "fd77::99"}  # nobody's
PORTS_MAX = 4
_payload = itertools.count()

Claim = tuple[int, str, str, int]  # family, address, protocol, port


class Model:
    """Who has which tuple. `sockets` are what the host's kernel holds for us and
    for its own programs; a claim under a wildcard shares the wildcard's."""

    def __init__(self, kernel: bool) -> None:
        self.kernel = kernel
        self.claims: dict[Claim, tuple[int, list[Claim]]] = {}

    def sockets(self, host: list[Claim]) -> list[Claim]:
        return host + [s[0] for _, s in self.claims.values()]

    def bind(self, who: int, t: Claim, host: list[Claim]) -> bool:
        family, addr, proto, port = t
        wild = self.claims.get((family, ANY[family], proto, port))
        if t in self.claims or (
            self.kernel and not wild and clash(t, self.sockets(host))
        ):
            return False
        self.claims[t] = (who, wild[1] if wild and self.kernel else [t])
        return True

    def owner(self, t: Claim) -> int | None:
        exact = self.claims.get(t)
        found = exact or self.claims.get((t[0], ANY[t[0]], *t[2:]))
        return found[0] if found else None


def clash(t: Claim, sockets: list[Claim]) -> bool:
    """As the kernel sees it, without SO_REUSEADDR."""
    return any(
        (s[0], s[2], s[3]) == (t[0], t[2], t[3])
        and (s[1] == t[1] or ANY[t[0]] in (s[1], t[1]))
        for s in sockets
    )


def claims(addresses: list[dict[int, str]]) -> st.SearchStrategy[Claim]:
    return st.builds(
        lambda family, addr, proto, port: (family, addr[family], proto, port),
        st.sampled_from([4, 6]),
        st.sampled_from(addresses),
        st.sampled_from(["udp", "udp", "tcp"]),
        st.sampled_from([7000, 7001]),
    )


OURS = {4: "10.77.0.1", 6: "fd77::1"}
BINDABLE = claims([OURS, SECOND, ANY])
SOURCES = claims([OURS, SECOND, STRANGER])
WHO = st.integers(0, PORTS_MAX - 1)


class Namespace(RuleBasedStateMachine):
    world: World

    @initialize()
    def begin(self) -> None:
        self.model = Model(self.world.kernel)
        self.ports: dict[int, multistack.Port] = {}
        self.expected: dict[int, int] = {}  # frames received, by port
        self.refused: dict[int, dict[str, int]] = {}
        self.host: dict[Claim, socket.socket] = {}
        self.peers: dict[int, Peer] = {f: self.world.peer(f) for f in (4, 6)}

    def teardown(self) -> None:
        for closable in (
            *self.ports.values(),
            *self.host.values(),
            *self.peers.values(),
        ):
            closable.close()

    # ---- ports and claims ------------------------------------------------------

    @rule(who=WHO)
    def open_or_close(self, who: int) -> None:
        port = self.ports.pop(who, None)
        if port is None:
            self.ports[who] = self.world.port(label=f"model {who}")
            self.expected[who] = 0
            self.refused[who] = {
                "drop_tx_unbound": 0,
                "drop_tx_foreign": 0,
                "tx_frames": 0,
            }
        else:
            port.close()
            self.model.claims = {
                t: o for t, o in self.model.claims.items() if o[0] != who
            }

    @precondition(lambda self: self.ports)
    @rule(who=WHO, t=BINDABLE)
    def bind(self, who: int, t: Claim) -> None:
        if who not in self.ports:
            who = min(self.ports)
        holder = self.model.claims.get(t)
        if self.model.bind(who, t, list(self.host)):
            assert self.ports[who].bind(t[1], t[3], t[2]) == (t[1], t[3], t[2])
            return
        with pytest.raises(OSError) as e:
            self.ports[who].bind(t[1], t[3], t[2])
        assert e.value.errno == errno.EADDRINUSE
        if holder:
            name = "this port" if holder[0] == who else str(self.ports[holder[0]].id)
            assert name in e.value.strerror

    @precondition(lambda self: self.ports)
    @rule(who=WHO, t=BINDABLE)
    def unbind(self, who: int, t: Claim) -> None:
        if who not in self.ports:
            who = min(self.ports)
        holder = self.model.claims.get(t)
        if holder and holder[0] == who:
            del self.model.claims[t]
            self.ports[who].unbind(t[1], t[3], t[2])
            return
        with pytest.raises(OSError) as e:
            self.ports[who].unbind(t[1], t[3], t[2])
        assert e.value.errno == (errno.EPERM if holder else errno.ENOENT)

    @precondition(lambda self: len(self.ports) > 1)
    @rule(a=WHO, b=WHO)
    def hand_over(self, a: int, b: int) -> None:
        if a == b or a not in self.ports or b not in self.ports:
            return
        moved = [t for t, o in self.model.claims.items() if o[0] == a]
        assert self.ports[b].handover_accept(self.ports[a].handover_offer()) == len(
            moved
        )
        for t in moved:
            self.model.claims[t] = (b, self.model.claims[t][1])

    # ---- the host's programs ---------------------------------------------------

    @precondition(lambda self: self.world.kernel)
    @rule(t=BINDABLE)
    def host_bind_or_close(self, t: Claim) -> None:
        if t in self.host:
            self.host.pop(t).close()
            return
        kind = socket.SOCK_DGRAM if t[2] == "udp" else socket.SOCK_STREAM
        with self.world.inside():
            s = socket.socket(FAMILIES[t[0]], kind)
        if t[0] == 6:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        s.settimeout(60)
        if clash(t, self.model.sockets(list(self.host))):
            with s, pytest.raises(OSError) as e:
                s.bind((t[1], t[3]))
            assert e.value.errno == errno.EADDRINUSE
        else:
            s.bind((t[1], t[3]))
            self.host[t] = s

    # ---- traffic ------------------------------------------------------------------

    @rule(t=claims([OURS, SECOND]))
    def deliver(self, t: Claim) -> None:
        """A datagram from the peer: to its owner, or the host, or nobody."""
        data = b"%d" % next(_payload)
        t = (t[0], t[1], "udp", t[3])
        self.peers[t[0]].sendto(data, (t[1], t[3]))
        owner = self.model.owner(t)
        host = self.host.get(t) or self.host.get((t[0], ANY[t[0]], *t[2:]))
        if owner is not None:
            self.expected[owner] += 1
            stack = Stack(self.ports[owner])
            assert stack.recv()[0::2] == (data, (t[1], t[3]))
        elif host:
            assert host.recv(100) == data
        self.world.settle()
        for who, port in self.ports.items():
            assert port.stats()["rx_frames"] == self.expected[who]
            assert port.recv() is None

    @precondition(lambda self: self.ports)
    @rule(who=WHO, t=SOURCES)
    def send(self, who: int, t: Claim) -> None:
        """A datagram to the peer, from a source that is ours or is not."""
        if who not in self.ports:
            who = min(self.ports)
        port, peer = self.ports[who], self.peers[t[0]]
        t = (t[0], t[1], "udp", t[3])
        data = b"%d" % next(_payload)
        mac = Stack(port).route(peer.addr).dst_mac
        port.send(udp_frame((port.mac, t[1], t[3]), (mac, peer.addr, peer.port), data))
        # a wildcard claims the host's own addresses and no others
        owner = None if t[1] == STRANGER[t[0]] else self.model.owner(t)
        moves = "tx_frames" if owner == who else "drop_tx_foreign"
        moves = "drop_tx_unbound" if owner is None else moves
        self.refused[who][moves] += 1
        if owner == who:
            assert peer.recv() == (data, (t[1], t[3]))
        expected = self.refused[who]

        def counted() -> bool:
            now = port.stats()
            return {name: now[name] for name in expected} == expected

        eventually(counted, f"{moves} moves and no other")


def walk(world: World, examples: int) -> None:
    class Walk(Namespace):
        pass

    Walk.world = world
    run_state_machine_as_test(
        Walk,
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.fixture
def two_addresses(alone: HostedWorld) -> Iterator[HostedWorld]:
    alone.ns.ip("addr", "add", f"{SECOND[4]}/24", "dev", "eth0")
    alone.ns.ip("addr", "add", f"{SECOND[6]}/64", "dev", "eth0", "nodad")
    yield alone


def test_namespace_in_process() -> None:
    world = PairWorld(also=SECOND)
    try:
        walk(world, 50)
    finally:
        world.close()


def test_namespace_through_the_daemon(two_addresses: HostedWorld) -> None:
    walk(two_addresses, 25)
