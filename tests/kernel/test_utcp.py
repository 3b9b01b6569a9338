# SPDX-License-Identifier: BSD-2-Clause
"""UTCP over the module: multistack-httpd to curl, and the echo program, over a
wire that loses, reorders and delays."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from netns import Netns
from worlds import FAMILIES, ModuleWorld, eventually

PORT = 8080
BIG = random.Random(7).randbytes(2_000_003)
BUILD = Path(os.environ["MULTISTACK_BUILD"])
WIRES = {
    "clean": [],
    "loss": ["loss", "2%"],
    "reorder": ["delay", "3ms", "reorder", "70%"],
    "delay": ["delay", "20ms", "5ms"],
    "duplicates": ["duplicate", "5%"],
    "damage": ["corrupt", "1%"],
}


@contextlib.contextmanager
def program(ns: Netns, *words: object) -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen(
        ns.command(*words),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield child
        assert child.poll() is None, child.communicate()[0]
    finally:
        child.terminate()
        child.communicate(timeout=60)


@contextlib.contextmanager
def impaired(wire: ModuleWorld, how: list[str]) -> Iterator[None]:
    if not how:
        yield
        return
    assert wire.far
    ends = (wire.ns, wire.far)
    subprocess.run(["modprobe", "-q", "sch_netem"])
    for ns in ends:
        add = ns.command("tc", "qdisc", "add", "dev", "eth0", "root", "netem", *how)
        done = subprocess.run(add, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    try:
        yield
    finally:
        for ns in ends:
            subprocess.run(
                ns.command("tc", "qdisc", "del", "dev", "eth0", "root"), check=True
            )


def answers(ns: Netns, family: int, addr: str, port: int) -> bool:
    with ns.inside(), socket.socket(FAMILIES[family]) as s:
        s.settimeout(1)
        return s.connect_ex((addr, port)) == 0


def fetch(ns: Netns, url: str) -> bytes:
    done = subprocess.run(
        ns.command("curl", "-sS", "--fail", "--max-time", 600, "-g", url),
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@pytest.mark.parametrize("how", WIRES)
def test_httpd_and_curl(wire: ModuleWorld, how: str, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_bytes(b"it works")
    (tmp_path / "big.bin").write_bytes(BIG)
    httpd = BUILD / "lib" / "httpd" / "multistack-httpd"
    listen = f"{wire.addr[4]}:{PORT}"
    assert wire.far
    with program(wire.ns, httpd, "-d", wire.device, "-l", listen, tmp_path):
        eventually(
            lambda: answers(wire.far, 4, wire.addr[4], PORT), "the server answers"
        )
        with impaired(wire, WIRES[how]):
            for _ in range(3):
                assert fetch(wire.far, f"http://{listen}/") == b"it works"
            got = fetch(wire.far, f"http://{listen}/big.bin")
            assert hashlib.sha256(got).digest() == hashlib.sha256(BIG).digest()
    with wire.administer() as control:
        assert control.list_ports() == []


@pytest.mark.parametrize("family", [4, 6])
def test_the_echo_example(wire: ModuleWorld, family: int) -> None:
    """Bulk both ways at once, from the host's TCP."""
    echo = BUILD / "lib" / "examples" / "tcp_echo"
    addr, data = wire.addr[family], BIG[:600_000]
    assert wire.far
    with program(wire.ns, echo, wire.device, 7007, addr):
        eventually(lambda: answers(wire.far, family, addr, 7007), "echo answers")
        with wire.far.inside():
            sock = socket.create_connection((addr, 7007), 60)
        got = b""
        with sock:
            sock.settimeout(60)
            sent = 0
            while len(got) < len(data):
                if sent < len(data) and sent - len(got) < 100_000:
                    sent += sock.send(data[sent : sent + 20_000])
                else:
                    got += sock.recv(65536)
        assert got == data
