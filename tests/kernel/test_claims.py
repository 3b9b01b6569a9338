# SPDX-License-Identifier: BSD-2-Clause
"""The sockets behind claims: of which protocols, whose they are, what they hear,
and how they end."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import subprocess
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


def ss(host: ModuleWorld, *words: str) -> list[str]:
    """Lines of ss, without their heading."""
    command = host.ns.command("ss", "-nHaO", *words)
    return subprocess.check_output(command, text=True).splitlines()


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
    """What a user without privileges gets: 0 or an errno for each; and ss shows
    the sockets as that user's."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        with host.inside():
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            port = multistack.Port(host.device)
        for addr, number, proto in claims:
            try:
                port.bind(addr, number, proto)
                code = 0
            except OSError as e:
                code = e.errno or -1
            os.write(write, bytes([code]))
        os.write(write, b"\n".join(x.encode() for x in ss(host, "-uwe")))
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with open(read, "rb") as f:
        text = f.read()
    held = sum(code == 0 for code in text[: len(claims)])
    assert text[len(claims) :].count(b"uid:%d" % NOBODY) == held
    return list(text[: len(claims)])


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
        # UDP and raw sockets: state, receive queue, ..., skmem:(r0,...
        lines = ss(alone, "-uwm")
        assert len(lines) == 4, lines
        for line in lines:
            assert line.split()[1] == "0" and "skmem:(r0," in line, line
        assert sum(",d1)" in line for line in lines) == 2, lines


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
