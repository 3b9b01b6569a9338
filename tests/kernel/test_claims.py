# SPDX-License-Identifier: BSD-2-Clause
"""The sockets behind claims: of which protocols, whose they are, what they hear,
and how they end."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import subprocess
import traceback
from collections.abc import Iterator

import pytest
from guest import needs
from netns import Netns
from worlds import FAMILIES, ModuleWorld, eventually

import multistack

PORT = 7000
PROTO = 253
SCTP, DCCP = 132, 33
ANY = {4: "0.0.0.0", 6: "::"}
NOBODY = 1000
GUESTS_WITHOUT_SCTP = ("uml", "uml-debug", "linux-debug", "linux-kcsan")


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleWorld]:
    made = ModuleWorld("rx_handler")
    yield made
    made.close()


@pytest.fixture
def port(host: ModuleWorld) -> Iterator[multistack.Port]:
    with host.port() as port:
        yield port


@contextlib.contextmanager
def refused(code: int) -> Iterator[None]:
    with pytest.raises(OSError) as e:
        yield
    assert e.value.errno == code


def inside(host: ModuleWorld, family: int, kind: int, proto: int = 0) -> socket.socket:
    with host.inside():
        return socket.socket(FAMILIES[family], kind, proto)


def sockets(host: ModuleWorld, *tables: str) -> list[list[str]]:
    """The fields of /proc/net/TABLE: local address, queues, uid and others."""
    found = []
    for table in tables:
        text = host.ns.command("cat", f"/proc/net/{table}")
        lines = subprocess.check_output(text, text=True).splitlines()[1:]
        found += [line.split() for line in lines]
    return found


QUEUES, UID, DROPS = 4, 7, -1


# ---- whole protocols: the host's raw sockets, too, are somebody --------------------


@pytest.mark.parametrize("family", [4, 6])
def test_a_raw_socket_of_the_host_has_its_protocol(
    host: ModuleWorld, port: multistack.Port, family: int
) -> None:
    with inside(host, family, socket.SOCK_RAW, PROTO):
        with refused(errno.EADDRINUSE):
            port.bind(ANY[family], 0, PROTO)
        with refused(errno.EADDRINUSE):
            port.bind(host.addr[family], 0, PROTO)
        port.bind(host.addr[10 - family], 0, PROTO)
        port.bind(host.addr[family], 0, PROTO - 1)
    port.bind(host.addr[family], 0, PROTO)


def test_a_raw_socket_on_another_address_is_not_in_the_way(
    host: ModuleWorld, port: multistack.Port
) -> None:
    with inside(host, 4, socket.SOCK_RAW, PROTO) as raw:
        raw.bind(("127.0.0.1", 0))
        port.bind(host.addr[4], 0, PROTO)
        with refused(errno.EADDRINUSE):
            port.bind(ANY[4], 0, PROTO)


def test_two_stacks_and_a_protocol(host: ModuleWorld, port: multistack.Port) -> None:
    port.bind(host.addr[4], 0, PROTO)
    with host.port() as other, refused(errno.EADDRINUSE):
        other.bind(host.addr[4], 0, PROTO)


# ---- protocols that not every kernel has ----------------------------------------------


@pytest.mark.parametrize("addr", ["10.77.0.1", "0.0.0.0", "fd77::1", "::"])
def test_sctp(host: ModuleWorld, port: multistack.Port, addr: str) -> None:
    family = 6 if ":" in addr else 4
    try:
        port.bind(addr, PORT, SCTP)
    except OSError as e:
        assert e.errno == errno.EPROTONOSUPPORT
        needs(False, "SCTP", GUESTS_WITHOUT_SCTP)
    assert port.bind(addr, 0, SCTP).port != 0
    for kind in socket.SOCK_STREAM, socket.SOCK_SEQPACKET:
        for theirs in host.addr[family], ANY[family], ANY[6]:
            with inside(host, 6 if ":" in theirs else 4, kind, SCTP) as s:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == 6 or theirs != ANY[6]:
                    with refused(errno.EADDRINUSE):
                        s.bind((theirs, PORT))


def test_a_protocol_that_the_kernel_lacks(port: multistack.Port) -> None:
    try:
        socket.socket(socket.AF_INET, 6, DCCP).close()
    except OSError:
        with refused(errno.EPROTONOSUPPORT):
            port.bind("0.0.0.0", PORT, DCCP)
    else:
        port.bind("0.0.0.0", PORT, DCCP)


# ---- addresses -------------------------------------------------------------------------


def link_local(ns: Netns) -> str:
    def found() -> str | None:
        text = ns.ip("-6", "-o", "addr", "show", "dev", "eth0", "scope", "link")
        return None if "tentative" in text else text.split()[3].split("/")[0]

    return str(eventually(found, "a link-local address"))


def test_a_link_local_address_is_that_of_the_interface(
    host: ModuleWorld, port: multistack.Port
) -> None:
    addr = link_local(host.ns)
    port.bind(addr, PORT)
    with host.inside():
        index = socket.if_nametoindex("eth0")
    with inside(host, 6, socket.SOCK_DGRAM) as s, refused(errno.EADDRINUSE):
        s.bind((addr, PORT, 0, index))
    with refused(errno.EADDRNOTAVAIL):
        port.bind("fe80::1:2:3", PORT)


def test_not_the_broadcast_address(port: multistack.Port) -> None:
    with refused(errno.EADDRNOTAVAIL):
        port.bind("10.77.0.255", PORT)


def test_an_address_that_may_be_anothers_is_not_ours_yet(alone: ModuleWorld) -> None:
    """Until duplicate address detection is done; then it is, for wildcards too."""
    with alone.port() as port:
        port.bind("::", PORT)
        alone.ns.ip("addr", "add", "fd77::9/64", "dev", "eth0")
        with refused(errno.EADDRNOTAVAIL):
            port.bind("fd77::9", PORT + 1)

        def bound() -> bool:
            with contextlib.suppress(OSError):
                return bool(port.bind("fd77::9", PORT + 1))
            return False

        eventually(bound, "it can be bound")
        assert_taken(alone, port, 6, "fd77::9")


def assert_taken(
    world: ModuleWorld, port: multistack.Port, family: int, addr: str
) -> None:
    """A datagram of the host's to this address and PORT goes to the port."""
    before = port.stats()["rx_frames"]
    with inside(world, family, socket.SOCK_DGRAM) as s:

        def arrives() -> bool:
            s.sendto(b"?", (addr, PORT))
            return bool(port.stats()["rx_frames"] > before)

        eventually(arrives, f"the wildcard gets what is for {addr}")


def test_addresses_that_come_and_go(alone: ModuleWorld) -> None:
    """Added twice, promoted from secondary: known as long as one is left."""
    ip = alone.ns.ip
    with alone.port() as port:
        port.bind("0.0.0.0", PORT)
        ip("addr", "add", "10.77.0.9/24", "dev", "eth0")
        assert_taken(alone, port, 4, "10.77.0.9")
        ip("addr", "add", "10.77.0.9/32", "dev", "eth0")
        ip("addr", "del", "10.77.0.9/24", "dev", "eth0")
        assert_taken(alone, port, 4, "10.77.0.9")
        ip("addr", "add", "10.77.0.10/24", "dev", "eth0")
        with alone.inside():
            sysctl = "/proc/sys/net/ipv4/conf/eth0/promote_secondaries"
            with open(sysctl, "w") as f:
                f.write("1\n")
        ip("addr", "del", "10.77.0.1/24", "dev", "eth0")
        assert_taken(alone, port, 4, "10.77.0.10")


# ---- whose they are, and what they hear ---------------------------------------------


def as_nobody(host: ModuleWorld, *claims: tuple[str, int, int]) -> list[int]:
    """What a user without privileges gets: 0 or an errno for each. The
    sockets are that user's."""
    ours, its = socket.socketpair()
    child = os.fork()
    if child == 0:
        ours.close()
        try:
            with host.inside():
                port = open_as_nobody(host.device)
                its.send(bytes(claim(port, *c) for c in claims))
                its.recv(1)
                os._exit(0)  # here: there is no way back
        except Exception:
            traceback.print_exc()
        os._exit(1)
    its.close()
    with ours:
        codes = list(ours.recv(len(claims) + 1))
        held = sockets(host, "udp", "udp6", "raw", "raw6")
    os.waitpid(child, 0)
    assert [s[UID] for s in held] == [str(NOBODY)] * codes.count(0)
    return codes


def open_as_nobody(device: str) -> multistack.Port:
    """In a process of its own, which stays that user's."""
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    return multistack.Port(device)


def claim(port: multistack.Port, addr: str, number: int, proto: int) -> int:
    try:
        port.bind(addr, number, proto)
    except OSError as e:
        return e.errno or 255
    return 0


def test_privileges_are_the_callers(host: ModuleWorld) -> None:
    assert as_nobody(
        host,
        (host.addr[4], 1023, socket.IPPROTO_UDP),
        (ANY[6], 80, socket.IPPROTO_TCP),
        (host.addr[4], 1024, socket.IPPROTO_UDP),
        (ANY[4], 0, PROTO),
    ) == [errno.EACCES, errno.EACCES, 0, errno.EPERM]


def test_privileged_ports_are_those_of_the_namespace(alone: ModuleWorld) -> None:
    with (
        alone.inside(),
        open("/proc/sys/net/ipv4/ip_unprivileged_port_start", "w") as f,
    ):
        f.write("80\n")
    assert as_nobody(
        alone,
        (alone.addr[4], 79, socket.IPPROTO_UDP),
        (alone.addr[4], 80, socket.IPPROTO_UDP),
    ) == [errno.EACCES, 0]


def test_nothing_is_queued_for_them(alone: ModuleWorld) -> None:
    """The host gets what no interface takes: here, after detaching."""
    with alone.port() as port:
        for family in 4, 6:
            port.bind(ANY[family], PORT)
            port.bind(ANY[family], 0, PROTO)
        with alone.administer() as control:
            control.detach("eth0", force=True)
        for family in 4, 6:
            addr = alone.addr[family]
            with inside(alone, family, socket.SOCK_DGRAM) as s:
                s.sendto(bytes(1000), (addr, PORT))
            with inside(alone, family, socket.SOCK_RAW, PROTO) as s:
                s.sendto(bytes(1000), (addr, 0))
        eventually(
            lambda: [s[DROPS] for s in sockets(alone, "udp", "udp6")] == ["1", "1"],
            "both datagrams have been dropped",
        )
        held = sockets(alone, "udp", "udp6", "raw", "raw6")
        assert [s[QUEUES] for s in held] == ["00000000:00000000"] * 4


# ---- their end -------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["namespace", "port"])
def test_a_namespace_ends_with_claims(first: str) -> None:
    """Its sockets do not keep it, and are not missed later."""
    world = ModuleWorld("rx_handler")
    port = world.port()
    for family in 4, 6:
        for addr in world.addr[family], ANY[family]:
            for proto in "tcp", "udp", SCTP:
                with contextlib.suppress(OSError):
                    port.bind(addr, 0, proto)
            with contextlib.suppress(OSError):
                port.bind(addr, 0, PROTO)
    if first == "port":
        port.close()
        world.close()
        return
    world._unwire()

    def gone() -> bool:
        try:
            port.route("10.77.0.2")
        except OSError as e:
            return e.errno == errno.ENODEV
        return False

    eventually(gone, "the interface is gone")
    with refused(errno.ENODEV):
        port.bind("10.77.0.1", PORT)
    port.close()
