# SPDX-License-Identifier: BSD-2-Clause
"""What a packet socket of the host sees of a stack's frames (tcpdump): the rule
of docs/internals/linux.md."""

from __future__ import annotations

import socket

import pytest
from worlds import ModuleWorld, Stack, raw_socket


def seen(sock: socket.socket, mark: bytes, seconds: float) -> bool:
    """Whether a frame with these bytes is shown."""
    sock.settimeout(seconds)
    try:
        while mark not in sock.recv(65536):
            pass
    except TimeoutError:
        return False
    return True


def test_received_frames(wire: ModuleWorld) -> None:
    """By the handler they come past packet sockets, by XDP they do not."""
    with wire.port() as port, raw_socket(wire.ns, "eth0") as dump:
        ours = port.bind(wire.addr[4], 7000)
        wire.peer().sendto(b"received by a stack", ours[:2])
        assert Stack(port).recv(60)[0] == b"received by a stack"
        shown = wire.kind == "rx_handler"
        assert seen(dump, b"received by a stack", 60 if shown else 0.3) == shown


def test_sent_frames(wire: ModuleWorld) -> None:
    with wire.port() as port, raw_socket(wire.ns, "eth0") as dump:
        ours = port.bind(wire.addr[4], 7000)
        peer = wire.peer()
        Stack(port).sendto(ours[:2], (peer.addr, peer.port), b"sent by a stack")
        assert peer.recv(60)[0] == b"sent by a stack"
        assert seen(dump, b"sent by a stack", 60)


def test_between_stacks_nothing_is_shown(wire: ModuleWorld) -> None:
    """Copied from ring to ring: only taps of the switch see it."""
    with (
        wire.port() as a,
        wire.port() as b,
        raw_socket(wire.ns, "eth0") as dump,
        raw_socket(wire.ns, "lo") as dump_lo,
    ):
        at, bt = a.bind(wire.addr[4], 7001), b.bind(wire.addr[4], 7002)
        Stack(a).sendto(at[:2], bt[:2], b"between stacks")
        assert Stack(b).recv(60)[0] == b"between stacks"
        assert not seen(dump, b"between stacks", 0.2)
        assert not seen(dump_lo, b"between stacks", 0.2)


@pytest.mark.parametrize("way", ["to the host", "to a stack"])
def test_between_a_stack_and_the_host_it_is_lo(wire: ModuleWorld, way: str) -> None:
    mark = way.encode()
    with (
        wire.port() as port,
        raw_socket(wire.ns, "lo") as dump,
        wire.inside(),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ordinary,
    ):
        ours = port.bind(wire.addr[4], 7000)
        ordinary.bind((wire.addr[4], 8000))
        ordinary.settimeout(60)
        if way == "to the host":
            Stack(port).sendto(ours[:2], (wire.addr[4], 8000), mark)
            assert ordinary.recv(100) == mark
        else:
            ordinary.sendto(mark, ours[:2])
            assert Stack(port).recv(60)[0] == mark
        assert seen(dump, mark, 60)
