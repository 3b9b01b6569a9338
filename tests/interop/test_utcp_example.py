# SPDX-License-Identifier: BSD-2-Clause
"""tcp_echo, the example, on attachments of the switch, with kernel clients."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import AF, MB, ROOT, full_duplex
from netns import Netns, need, veth

ADDRS = {4: ("10.80.0.1", "10.80.0.2"), 6: ("fd80::1", "fd80::2")}


@contextlib.contextmanager
def example(ns: Netns, device: str) -> Iterator[None]:
    """Serves port 7 of the second addresses in a namespace."""
    build = os.environ.get("MULTISTACK_BUILD", str(ROOT / "build" / "plain"))
    program = Path(build, "lib", "examples", "tcp_echo")
    need(program.exists(), f"{program} is not built; ./inv build")
    child = subprocess.Popen(
        ns.command(program, device, 7, ADDRS[4][1], ADDRS[6][1]),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with child:
        assert child.stdout
        try:
            for _ in (4, 6):
                line = child.stdout.readline()
                assert "serving" in line, line + child.stdout.read()
            yield
            child.send_signal(signal.SIGTERM)
            said = child.stdout.read()
            assert child.wait(10) == 0, said
            assert " 0 of them badly" in said
        finally:
            child.kill()


def clients(ns: Netns, n: int) -> None:
    for family in (4, 6):
        for _ in range(3):
            with ns.inside():
                sock = socket.socket(AF[family])
            with sock:
                sock.settimeout(30)
                sock.connect((ADDRS[family][1], 7))
                assert full_duplex(sock, n) == n


def test_on_a_tap_with_offloads() -> None:
    ns = Netns("tap")
    try:
        device = "tap:ms0"
        for family, bits in ((4, 24), (6, 64)):
            host, local = ADDRS[family]
            six = "6" if family == 6 else ""
            device += f",local{six}={local}/{bits},host{six}={host}"
        with example(ns, device):
            clients(ns, 8 * MB)
    finally:
        ns.close()


@pytest.mark.parametrize("kind", ["xdp", "tc"])
def test_beside_the_host_on_a_wire(kind: str) -> None:
    """The kernel at the other end of a veth; the host keeps its other ports."""
    here, there = Netns("server"), Netns("client")
    try:
        veth(there, here, ADDRS)
        for ns in (here, there):
            subprocess.run(
                ns.command("ethtool", "-K", "eth0", "tx", "off"),
                check=True,
                capture_output=True,
            )
        with here.inside():
            host = socket.create_server((ADDRS[4][1], 8))
        with host, example(here, f"{kind}:eth0"):
            clients(there, 2 * MB)
            with there.inside():
                sock = socket.create_connection((ADDRS[4][1], 8), timeout=5)
            with sock:
                time.sleep(0.01)
                host.accept()[0].close()
    finally:
        here.close()
        there.close()
