# SPDX-License-Identifier: BSD-2-Clause
"""Beside the host's stack: what nobody claimed stays the host's, whole."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator

import pytest
import worlds
from scapy.layers.inet import ICMP, IP, UDP, IPOption_NOP, IPOption_RR, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, fragment6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from worlds import FAMILIES, HostedWorld, Stack, eventually, raw_socket

import multistack


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostedWorld]:
    """multistackd on veth, where frames can be made at the other end."""
    with worlds.hosted(worlds.WIRED, tmp_path_factory.mktemp("wire")) as world:
        yield world


@pytest.fixture
def line(wire: HostedWorld) -> Iterator[socket.socket]:
    """The other end of the wire, for whole frames."""
    assert wire.far
    with raw_socket(wire.far, "eth0") as s:
        yield s


@pytest.mark.parametrize("family", [4, 6])
def test_ordinary_servers_notice_nothing(hosted: HostedWorld, family: int) -> None:
    """UDP and TCP through the host's sockets, next to claimed tuples."""
    addr = hosted.addr[family]
    with hosted.port() as port, hosted.inside():
        port.bind(addr, 7000, "udp")
        port.bind(addr, 7000, "tcp")
        udp = socket.socket(FAMILIES[family], socket.SOCK_DGRAM)
        tcp = socket.socket(FAMILIES[family], socket.SOCK_STREAM)
    with udp, tcp:
        udp.bind((addr, 8000))
        tcp.bind((addr, 8000))
        tcp.listen()
        udp.settimeout(60)
        tcp.settimeout(60)
        peer = hosted.peer(family)
        for i in range(50):
            peer.sendto(str(i).encode(), (addr, 8000))
            data, who = udp.recvfrom(100)
            udp.sendto(data, who)
            assert peer.recv()[0] == str(i).encode()
        payload = bytes(range(256)) * 4096
        with (hosted.far or hosted.ns).inside():
            client = socket.socket(FAMILIES[family], socket.SOCK_STREAM)
        with client:
            client.settimeout(60)
            client.connect((addr, 8000))
            server, _ = tcp.accept()
            with server:
                threading.Thread(target=client.sendall, args=(payload,)).start()
                got = b""
                server.settimeout(60)
                while len(got) < len(payload):
                    got += server.recv(65536)
        assert got == payload


def test_ping_and_neighbours_stay_the_hosts(hosted: HostedWorld) -> None:
    with hosted.port() as port:
        port.bind("0.0.0.0", 7000)
        port.bind("::", 7000)
        far = hosted.far or hosted.ns
        for family in (4, 6):
            subprocess.run(
                far.command(
                    "ping", "-c", "2", "-i", "0.1", "-W", "2", hosted.addr[family]
                ),
                check=True,
                capture_output=True,
            )
        assert port.stats()["rx_frames"] == 0


def test_the_host_reaches_a_stack_and_is_reached(hosted: HostedWorld) -> None:
    """A socket on the very address that the stack has, through the switch."""
    addr = hosted.addr[4]
    with hosted.inside():
        ordinary = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with ordinary, hosted.port() as port:
        ordinary.bind((addr, 8000))
        ordinary.settimeout(60)
        ours = port.bind(addr, 7000)
        stack = Stack(port)
        stack.sendto(ours[:2], (addr, 8000), b"to the host")
        assert ordinary.recvfrom(100) == (b"to the host", ours[:2])
        eventually(lambda: port.stats()["tx_host"] >= 1, "it is counted as the host's")


def test_a_claim_is_only_of_its_protocol_address_and_port(wire: HostedWorld) -> None:
    wire.ns.ip("addr", "add", "10.77.0.3/24", "dev", "eth0")
    with wire.port() as port, wire.inside():
        port.bind(wire.addr[4], 7000)
        near = []
        for addr, number in ((wire.addr[4], 7001), ("10.77.0.3", 7000)):
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.bind((addr, number))
            s.settimeout(60)
            near.append(s)
        peer = wire.peer()
        for s in near:
            peer.sendto(b"yours", s.getsockname())
            assert s.recv(100) == b"yours"
            s.close()
        assert port.stats()["rx_frames"] == 0
    wire.ns.ip("addr", "del", "10.77.0.3/24", "dev", "eth0")


def claimed(wire: HostedWorld) -> list[tuple[str, list[bytes]]]:
    """Frames that belong to UDP 7000, as scapy makes them; each case is a
    train of frames that must arrive whole."""
    v4, v6 = (
        IP(src="10.77.0.2", dst=wire.addr[4]),
        IPv6(src="fd77::2", dst=wire.addr[6]),
    )
    udp = UDP(sport=9, dport=7000) / bytes(64)
    long = UDP(sport=9, dport=7000) / bytes(i % 249 for i in range(4000))
    options = IP(
        src="10.77.0.2", dst=wire.addr[4], options=[IPOption_NOP(), IPOption_RR()]
    )  # fmt: skip
    inner = (
        IP(src=wire.addr[4], dst="10.77.0.2")
        / UDP(sport=7000, dport=9)
        / b"what we sent"
    )
    cases = {
        "plain": [v4 / udp],
        "IP options": [options / udp],
        "IPv6": [v6 / udp],
        "IPv6 destination options": [v6 / IPv6ExtHdrDestOpt() / udp],
        "fragments": fragment(IP(bytes(v4 / long)), 1480),
        "fragments with options": fragment(IP(bytes(options / long)), 1200),
        "IPv6 fragments": fragment6(
            IPv6(bytes(v6 / IPv6ExtHdrFragment(id=7) / long)), 1280
        ),
        "ICMP error about what we sent": [v4 / ICMP(type=3, code=3) / inner],
    }
    return [(name, [bytes(p) for p in packets]) for name, packets in cases.items()]


def unclaimed(wire: HostedWorld) -> list[tuple[str, list[bytes]]]:
    """Frames that look like it and are not."""
    v4, v6 = (
        IP(src="10.77.0.2", dst=wire.addr[4]),
        IPv6(src="fd77::2", dst=wire.addr[6]),
    )
    udp = UDP(sport=9, dport=7000) / bytes(64)
    stranger = IP(src=wire.addr[4], dst="10.77.0.2") / UDP(sport=7001, dport=9) / b"x"
    about = (
        IP(src=wire.addr[4], dst="10.77.0.2")
        / UDP(sport=7000, dport=9)
        / b"what we sent"
    )
    frag = bytes(udp)  # a fragment whose bytes look like our ports
    bad = bytearray(bytes(v4 / udp))
    bad[10] ^= 1
    cases = {
        "another port": [v4 / UDP(sport=7000, dport=7001) / b"x"],
        "late fragment without a first": [v4.__class__(src="10.77.0.2", dst=wire.addr[4], frag=5, id=99, proto=17) / frag],
        "IPv6 late fragment without a first": [v6 / IPv6ExtHdrFragment(offset=5, id=99, nh=17) / frag],
        "bad header checksum": [bytes(bad)],
        "ICMP error about another's": [v4 / ICMP(type=3, code=3) / stranger],
        "ICMP error that comes to another address": [
            IP(src="10.77.0.2", dst="10.77.0.77") / ICMP(type=3, code=3) / about
        ],
        "cut in the ports": [bytes(v4 / udp)[:22]],
    }  # fmt: skip
    return [(name, [bytes(p) for p in packets]) for name, packets in cases.items()]


def mac_of(wire: HostedWorld) -> bytes:
    assert wire.far
    text = wire.far.ip("-o", "link", "show", "eth0").split("link/ether ")[1].split()[0]
    return bytes.fromhex(text.replace(":", ""))


def put(
    line: socket.socket, wire: HostedWorld, port: multistack.Port, packets: list[bytes]
) -> list[bytes]:
    """Sends packets as frames; returns the frames."""
    frames = []
    for packet in packets:
        kind = b"\x86\xdd" if packet[0] >> 4 == 6 else b"\x08\x00"
        frames.append(port.mac + mac_of(wire) + kind + packet)
        line.send(frames[-1])
    return frames


@pytest.mark.parametrize("case", range(8))
def test_what_is_claimed_arrives_byte_by_byte(
    wire: HostedWorld, line: socket.socket, case: int
) -> None:
    name, packets = claimed(wire)[case]
    with wire.port() as port:
        port.bind(wire.addr[4], 7000)
        port.bind(wire.addr[6], 7000)
        sent = put(line, wire, port, packets)
        got: list[bytes] = []

        def all_of_them() -> bool:
            port.wait(0.05)
            with port.recv_batch() as frames:
                got.extend(bytes(f) for f in frames)
            return len(got) >= len(sent)

        eventually(all_of_them, f"{name}: {len(got)} of {len(sent)}: {port.stats()}")
        assert got == sent


@pytest.mark.parametrize("case", range(7))
def test_what_is_not_claimed_does_not(
    wire: HostedWorld, line: socket.socket, case: int
) -> None:
    name, packets = unclaimed(wire)[case]
    with wire.port() as port:
        port.bind(wire.addr[4], 7000)
        port.bind(wire.addr[6], 7000)
        put(line, wire, port, packets)
        # behind it one that is claimed: when that is there, the others passed
        put(line, wire, port, claimed(wire)[0][1])
        assert port.wait(60)
        assert len(port.recv() or b"") == 14 + 20 + 8 + 64, name
        assert port.recv() is None


def test_another_vlan_is_not_ours(wire: HostedWorld, line: socket.socket) -> None:
    with wire.port() as port:
        port.bind(wire.addr[4], 7000)
        packet = IP(claimed(wire)[0][1][0])
        line.send(bytes(Ether(dst=port.mac, src=mac_of(wire)) / Dot1Q(vlan=7) / packet))
        line.send(
            bytes(
                Ether(dst="ff:ff:ff:ff:ff:ff", src=mac_of(wire))
                / ARP(pdst=wire.addr[4])
            )
        )
        put(line, wire, port, claimed(wire)[0][1])
        assert port.wait(60)
        assert len(port.recv() or b"") == 14 + 20 + 8 + 64
        assert port.recv() is None


def test_ordinary_reassembly_beside_ours(wire: HostedWorld) -> None:
    """Fragments for a socket of the host, with a claim on the same address."""
    with wire.port() as port, wire.inside():
        port.bind(wire.addr[4], 7000)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind((wire.addr[4], 8000))
            s.settimeout(60)
            peer = wire.peer()
            peer.sendto(bytes(9000), (wire.addr[4], 8000))
            assert len(s.recv(65536)) == 9000
        assert port.stats()["rx_frames"] == 0
