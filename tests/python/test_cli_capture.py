# SPDX-License-Identifier: BSD-2-Clause
"""multistack capture: what it writes is what tcpdump and scapy read."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest
from netns import need
from scapy.layers.inet import UDP
from scapy.packet import Packet
from scapy.utils import PcapNgReader
from worlds import HostedWorld, Stack, eventually

import multistack
from multistack.cli._capture import wire_bytes

SCRIPT = "from multistack.cli import main; main()"


class Captor:
    """`multistack capture ...` at work, in the switch's namespace: its first line,
    on standard error, says that it is."""

    def __init__(self, world: HostedWorld, *words: object, **more: object) -> None:
        self.process = subprocess.Popen(
            world.ns.command(sys.executable, "-c", SCRIPT, "capture", *words),
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(sys.path),
                "MULTISTACK_DEVICE": world.control,
            },
            stderr=subprocess.PIPE,
            bufsize=0,  # what readline() left is communicate()'s
            **{"stdout": subprocess.PIPE, **more},  # type: ignore[call-overload]
        )
        assert self.process.stderr
        self.first = self.process.stderr.readline().decode()

    def end(self, interrupt: bool = False) -> tuple[bytes, str, int]:
        """What it wrote, what it said, its exit status."""
        if interrupt:
            self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=60)
        said = "" if self.first.startswith("capturing ") else self.first
        return out or b"", said + err.decode(), self.process.returncode


@pytest.fixture
def port(alone: HostedWorld) -> Iterator[multistack.Port]:
    with alone.port(label="mine") as made:
        made.bind(alone.addr[4], 7000)
        yield made


def talk(world: HostedWorld, port: multistack.Port, times: int) -> None:
    """So many datagrams each way, 100 bytes of data each."""
    peer = world.peer()
    stack = Stack(port)
    with world.inside():
        for _ in range(times):
            peer.sendto(bytes(100), (world.addr[4], 7000))
            _, src, dst = stack.recv()
            stack.sendto(dst, src, bytes(100))
            peer.recv()


def packets_of(file: Path) -> list[Packet]:
    with PcapNgReader(str(file)) as reader:
        return list(reader)


def test_a_port_into_a_file(
    alone: HostedWorld, port: multistack.Port, tmp_path: Path
) -> None:
    file = tmp_path / "x.pcapng"
    captor = Captor(alone, "-p", "mine", "-w", file, "-c", 6, "udp", "or", "icmp")
    assert captor.first.startswith(f"capturing eth0 port {port.id}: ")
    talk(alone, port, 3)
    _, err, code = captor.end()
    assert code == 0 and err == "6 frames captured, 6 seen, 0 dropped on the way here\n"
    with PcapNgReader(str(file)) as reader:
        packets = list(reader)
    assert [p[UDP].dport == 7000 for p in packets] == [True, False] * 3
    assert [p.direction for p in packets] == [1, 2] * 3
    assert all(abs(float(p.time) - time.time()) < 60 for p in packets)


def test_the_closing_line_for_machines(
    alone: HostedWorld, port: multistack.Port, tmp_path: Path
) -> None:
    """And no other."""
    words = ["capture", "eth0", "-w", tmp_path / "x.pcapng", "--json", "-c", "1"]
    process = subprocess.Popen(
        alone.ns.command(sys.executable, "-c", SCRIPT, *words, "udp port 7000"),
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "MULTISTACK_DEVICE": alone.control,
        },
        stderr=subprocess.PIPE,
        text=True,
    )
    peer = alone.peer()
    while process.poll() is None:
        peer.sendto(b"x", (alone.addr[4], 7000))
        time.sleep(0.05)
    assert process.stderr
    with process.stderr:
        told = json.loads(process.stderr.read())
    assert process.returncode == 0 and told["captured"] == 1
    assert told == {
        "frames": told["frames"],
        "captured": 1,
        "dropped": 0,
        "refused": {},
    }


def test_an_interface_with_a_filter_and_a_length(
    alone: HostedWorld, port: multistack.Port, tmp_path: Path
) -> None:
    file = tmp_path / "x.pcapng"
    captor = Captor(alone, "eth0", "-w", file, "-s", 64, "udp", "and dst port 7000")
    talk(alone, port, 4)
    eventually(lambda: len(packets_of(file)) >= 4, "four packets in the file")
    _, err, code = captor.end(interrupt=True)
    assert code == 0 and err.startswith("4 frames captured, "), err
    packets = packets_of(file)
    assert len(packets) == 4
    for packet in packets:
        assert packet[UDP].dport == 7000
        assert packet.wirelen == 14 + 20 + 8 + 100
        assert len(bytes(packet)) <= 64


@pytest.mark.parametrize(("which", "num"), [("also", 4), ("only", 2)])
def test_what_the_switch_refused(
    alone: HostedWorld, port: multistack.Port, tmp_path: Path, which: str, num: int
) -> None:
    """With the reason of each, whatever nonsense came with it."""
    file = tmp_path / "x.pcapng"
    captor = Captor(
        *(alone, "-p", "mine", "-w", file, "--refused", which, "-c", num),
        *("udp", "and", "port", 7000),
    )
    talk(alone, port, 1)
    peer, stack = alone.peer(), Stack(port)
    to = (peer.addr, peer.port)
    frame = stack.frame((alone.addr[4], 7000), to, b"x")
    port.send(frame[:6] + b"\x02liars" + frame[12:])
    port.send(stack.frame((alone.addr[4], 7001), to, b"x"))  # not what is asked for
    port.send(frame, multistack.Meta(gso_type=77))
    _, err, code = captor.end()
    assert code == 0, err
    assert err.splitlines()[1:] == [
        "1 of them refused: drop_tx_mac, source MAC is not the interface's",
        "1 of them refused: drop_tx_offload, bad or unsupported offload metadata",
    ]
    with PcapNgReader(str(file)) as reader:
        packets = list(reader)
    assert [p.direction for p in packets] == [1, 2, 2, 2][-num:]
    *others, mac, offload = [p.comment for p in packets]
    assert others == [None] * (num - 2)
    assert mac == b"refused: drop_tx_mac, source MAC is not the interface's"
    assert offload.startswith(b"refused: drop_tx_offload, ")
    assert offload.endswith(b"; to be cut into segments of 0 bytes (type 77)")


def test_that_there_were_others_is_said(
    alone: HostedWorld, port: multistack.Port, tmp_path: Path
) -> None:
    captor = Captor(alone, "-p", "mine", "-w", tmp_path / "x.pcapng", "-c", 2)
    port.send(bytes(60))
    talk(alone, port, 1)
    _, err, code = captor.end()
    assert code == 0 and err.splitlines() == [
        "2 frames captured, 2 seen, 0 dropped on the way here",
        "1 more refused to be sent: --refused also",
    ]


def test_a_pipe_into_tcpdump(alone: HostedWorld, port: multistack.Port) -> None:
    need(shutil.which("tcpdump"), "no tcpdump")
    captor = Captor(alone, "eth0", "-w", "-", "-c", 2, "udp port 7000")
    assert captor.process.stdout
    shown = subprocess.Popen(
        ["tcpdump", "-n", "-r", "-"],
        stdin=captor.process.stdout,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    talk(alone, port, 1)
    text, faults = shown.communicate(timeout=60)
    _, err, code = captor.end()
    assert code == 0, err
    assert text.count(f"{alone.addr[4]}.7000") == 2, text + faults


def test_a_terminal_gets_text(alone: HostedWorld, port: multistack.Port) -> None:
    """tcpdump's, until an interrupt."""
    need(shutil.which("tcpdump"), "no tcpdump")
    words = alone.ns.command(sys.executable, "-c", SCRIPT, "capture", "eth0", "udp")
    shown = pexpect.spawn(
        words[0],
        words[1:],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "MULTISTACK_DEVICE": alone.control,
        },
        timeout=60,
    )
    shown.expect("reading from file")
    talk(alone, port, 1)
    shown.expect(rf"{alone.addr[4]}\.7000")
    shown.sendintr()
    shown.expect("2 frames captured")
    shown.expect(pexpect.EOF)
    shown.close()
    assert shown.exitstatus == 0


def test_whoever_reads_may_stop(alone: HostedWorld, port: multistack.Port) -> None:
    """As `| head -c 100` does: no traceback, no error."""
    reading, writing = os.pipe()
    captor = Captor(alone, "eth0", "udp port 7000", stdout=writing)
    os.close(writing)
    os.close(reading)
    talk(alone, port, 1)
    _, err, code = captor.end()
    assert code == 0 and "frames captured" in err and "Traceback" not in err, err


def test_it_ends_with_the_port(
    alone: HostedWorld, port: multistack.Port, tmp_path: Path
) -> None:
    captor = Captor(alone, "-p", port.id, "-w", tmp_path / "x.pcapng")
    port.close()
    _, err, code = captor.end()
    assert code == 0 and "is closed" in err and "0 frames captured" in err


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["-p", "nobody"], 1, "there is no port 'nobody'; there are: "),
        (["eth0", "tcp", "prot", "80"], 1, "syntax error"),
        (["nosuch0"], 1, "nosuch0"),
        ([], 2, "INTERFACE is missing"),
        (["eth0", "-s", "3"], 2, "--snaplen"),
        (["eth0", "-w", "/nonexistent/x"], 1, "No such file or directory"),
    ],
)
def test_what_cannot_be(
    alone: HostedWorld, words: list[str], code: int, says: str
) -> None:
    _, err, got = Captor(alone, *words).end()
    assert got == code and says in err and "Traceback" not in err, err


@pytest.mark.parametrize(
    ("frame", "size"),
    [
        (bytes(12) + b"\x08\x00\x45\x00" + (1000).to_bytes(2, "big"), 1014),
        (bytes(12) + b"\x81\x00\x00\x07\x08\x00\x45\x00\x03\xe8", 1018),
        (bytes(12) + b"\x86\xdd\x60\x00\x00\x00" + (1000).to_bytes(2, "big"), 1054),
        (bytes(12) + b"\x08\x06" + bytes(28), 42),
        (bytes(12) + b"\x08\x00\x45\x00\x00\x01" + bytes(40), 58),
    ],
)
def test_the_length_of_what_was_cut(frame: bytes, size: int) -> None:
    """By the IP header, which may lie, and never below what there is."""
    assert wire_bytes(frame, True) == size
    assert wire_bytes(frame, False) == len(frame)
