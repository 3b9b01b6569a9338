# SPDX-License-Identifier: BSD-2-Clause
"""A tuple is either a stack's or the host's: whatever the socket's family and
options, whoever came first."""

from __future__ import annotations

import contextlib
import errno
import itertools
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from worlds import FAMILIES, ModuleWorld

PORT = 7000
ANY = {4: "0.0.0.0", 6: "::"}
KINDS = {"udp": socket.SOCK_DGRAM, "tcp": socket.SOCK_STREAM}
OPTIONS = {
    "plain": [],
    "reuseaddr": [socket.SO_REUSEADDR],
    "reuseport": [socket.SO_REUSEPORT],
    "both": [socket.SO_REUSEADDR, socket.SO_REUSEPORT],
}


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleWorld]:
    made = ModuleWorld("rx_handler")
    yield made
    made.close()


@contextlib.contextmanager
def bound(
    host: ModuleWorld,
    proto: str,
    family: int,
    addr: str,
    options: list[int],
    v6only: bool = True,
    port: int = PORT,
) -> Iterator[socket.socket]:
    with host.inside():
        sock = socket.socket(FAMILIES[family], KINDS[proto])
    with sock:
        for option in options:
            sock.setsockopt(socket.SOL_SOCKET, option, 1)
        if family == 6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
        sock.bind((addr, port))
        yield sock


def overlap(ours: tuple[int, str], theirs: tuple[int, str], v6only: bool) -> bool:
    """Whether some packet could be meant for both."""
    dual = theirs[0] == 6 and not v6only and theirs[1] == ANY[6]
    if ours[0] != theirs[0]:
        return dual
    return ANY[ours[0]] in (ours[1], theirs[1]) or ours[1] == theirs[1]


def cases(host: ModuleWorld) -> Iterator[tuple[tuple[int, str], tuple[int, str], bool]]:
    names = [(f, a) for f in (4, 6) for a in (host.addr[f], ANY[f])]
    for ours, theirs in itertools.product(names, names):
        yield ours, theirs, True
        if theirs == (6, ANY[6]):
            yield ours, theirs, False


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("proto", KINDS)
def test_the_host_first(host: ModuleWorld, proto: str, options: str) -> None:
    for ours, theirs, v6only in cases(host):
        with (
            bound(host, proto, *theirs, OPTIONS[options], v6only),
            host.port() as port,
        ):
            if overlap(ours, theirs, v6only):
                with pytest.raises(OSError) as e:
                    port.bind(ours[1], PORT, proto)
                assert e.value.errno == errno.EADDRINUSE, (ours, theirs, v6only)
            else:
                port.bind(ours[1], PORT, proto)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("proto", KINDS)
def test_a_stack_first(host: ModuleWorld, proto: str, options: str) -> None:
    for ours, theirs, v6only in cases(host):
        with host.port() as port:
            port.bind(ours[1], PORT, proto)
            if overlap(ours, theirs, v6only):
                with (
                    pytest.raises(OSError) as e,
                    bound(host, proto, *theirs, OPTIONS[options], v6only),
                ):
                    pass
                assert e.value.errno == errno.EADDRINUSE, (ours, theirs, v6only)
            else:
                with bound(host, proto, *theirs, OPTIONS[options], v6only):
                    pass


@pytest.mark.parametrize("proto", KINDS)
def test_listening_again_at_once(host: ModuleWorld, proto: str) -> None:
    """As servers do that are started anew, with SO_REUSEADDR."""
    for _ in range(3):
        with host.port() as port:
            port.bind(host.addr[4], PORT, proto)
        with bound(host, proto, 4, host.addr[4], [socket.SO_REUSEADDR]) as s:
            if proto == "tcp":
                s.listen()


@contextlib.contextmanager
def ephemeral_ports(host: ModuleWorld, first: int, last: int) -> Iterator[None]:
    path = Path("/proc/sys/net/ipv4/ip_local_port_range")
    with host.inside():
        before = path.read_text()
        path.write_text(f"{first} {last}\n")
    try:
        yield
    finally:
        with host.inside():
            path.write_text(before)


@pytest.mark.parametrize("proto", KINDS)
def test_ephemeral_ports_of_the_host_are_others(host: ModuleWorld, proto: str) -> None:
    """Of ten, nine are ours: the host gets the tenth, then none."""
    with ephemeral_ports(host, 41000, 41009), host.port() as port:
        ours = [41000 + i for i in range(10) if i != 4]
        for number in ours:
            port.bind(host.addr[4], number, proto)
        with bound(host, proto, 4, host.addr[4], [], port=0) as s:
            assert s.getsockname()[1] == 41004
            with (
                pytest.raises(OSError) as e,
                bound(host, proto, 4, host.addr[4], [], port=0),
            ):
                pass
            assert e.value.errno == errno.EADDRINUSE


def test_a_connection_of_the_host_leaves_from_another(host: ModuleWorld) -> None:
    """connect() without bind() finds a port by another way."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(ephemeral_ports(host, 42000, 42003))
        port = stack.enter_context(host.port())
        for number in (42000, 42001, 42003):
            port.bind("0.0.0.0", number, "tcp")
        with (host.far or host.ns).inside():
            listener = socket.create_server((host.peer_addr[4], 8000))
        stack.enter_context(listener)
        for _ in range(3):
            with host.inside():
                s = socket.create_connection((host.peer_addr[4], 8000), 10)
            with s:
                assert s.getsockname()[1] == 42002
                now = struct.pack("ii", 1, 0)
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)


def test_an_ephemeral_port_of_ours_is_nobody_elses(host: ModuleWorld) -> None:
    with contextlib.ExitStack() as stack:
        stack.enter_context(ephemeral_ports(host, 43000, 43009))
        port = stack.enter_context(host.port())
        for number in range(43000, 43010, 2):
            stack.enter_context(bound(host, "udp", 4, host.addr[4], [], port=number))
        got = [port.bind(host.addr[4], 0, "udp").port for _ in range(5)]
        assert sorted(got) == [43001, 43003, 43005, 43007, 43009]
        with pytest.raises(OSError) as e:
            port.bind(host.addr[4], 0, "udp")
        assert e.value.errno == errno.EADDRINUSE


@pytest.mark.parametrize("proto", KINDS)
@pytest.mark.parametrize("family", [4, 6])
def test_the_other_loopback_is_free_and_ours_is_not(
    host: ModuleWorld, proto: str, family: int
) -> None:
    loop = {4: "127.0.0.1", 6: "::1"}
    with host.port() as port:
        port.bind(ANY[family], PORT, proto)
        with (
            pytest.raises(OSError) as e,
            bound(host, proto, family, loop[family], [socket.SO_REUSEADDR]),
        ):
            pass
        assert e.value.errno == errno.EADDRINUSE
        other = 10 - family
        with bound(host, proto, other, loop[other], []):
            pass


def test_an_address_that_goes_and_comes(host: ModuleWorld) -> None:
    host.ns.ip("addr", "add", "10.77.0.9/24", "dev", "eth0")
    with host.port() as port:
        port.bind("10.77.0.9", PORT, "udp")
        host.ns.ip("addr", "del", "10.77.0.9/24", "dev", "eth0")
        host.ns.ip("addr", "add", "10.77.0.9/24", "dev", "eth0")
        with (
            pytest.raises(OSError) as e,
            bound(host, "udp", 4, "10.77.0.9", [socket.SO_REUSEADDR]),
        ):
            pass
        assert e.value.errno == errno.EADDRINUSE
    host.ns.ip("addr", "del", "10.77.0.9/24", "dev", "eth0")
