# SPDX-License-Identifier: BSD-2-Clause
"""ext_ask and cc_send, the examples: an option of one's own between two of our
stacks, and towards kernels that do not know it; a congestion control of one's own."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator

import pytest
from harness import MB
from netns import Netns, need, veth
from test_utcp_example import ADDRS, BUILD, tap

ASK = BUILD / "lib" / "examples" / "ext_ask"
SEND = BUILD / "lib" / "examples" / "cc_send"
HOST, OURS = ADDRS[4]


@pytest.fixture
def ns() -> Iterator[Netns]:
    made = Netns("tap")
    yield made
    made.close()


@contextlib.contextmanager
def server(ns: Netns, device: str, address: str) -> Iterator[None]:
    need(ASK.exists(), f"{ASK} is not built; ./inv build")
    argv = ns.command(ASK, "serve", device, address, 7)
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as child:
        assert child.stdout
        try:
            line = child.stdout.readline()
            assert "serving" in line, line + child.stdout.read()
            yield
            child.send_signal(signal.SIGTERM)
            assert child.wait(10) == 0, child.stdout.read()
        finally:
            child.kill()


def run(ns: Netns, *words: object) -> str:
    need(ASK.exists(), f"{ASK} is not built; ./inv build")
    done = subprocess.run(
        ns.command(*words), capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextlib.contextmanager
def kernel(ns: Netns) -> Iterator[list[bytes]]:
    """A server of the kernel's, which gives back what it gets; what it got."""
    got: list[bytes] = []

    def serve() -> None:
        with contextlib.suppress(OSError):
            conn, _ = listener.accept()
            conn.settimeout(20)
            with conn:
                while data := conn.recv(1 << 20):
                    got.append(data)
                    if len(data) == 1:
                        conn.sendall(data)

    with ns.inside():
        listener = socket.create_server((HOST, 7))
    with listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield got
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_two_stacks_of_ours_negotiate() -> None:
    """The load is heard on the SYN-ACK, and on segments when it has changed."""
    here, there = Netns("server"), Netns("client")
    try:
        veth(there, here, ADDRS)
        for ns in (here, there):
            subprocess.run(
                ns.command("ethtool", "-K", "eth0", "tx", "off"),
                check=True,
                capture_output=True,
            )
        with server(here, "xdp:eth0", OURS):
            # The first question may come before the server has accepted.
            said = run(there, ASK, "ask", "xdp:eth0", OURS, 7, 3)
            lines = said.splitlines()
            assert lines[0] == "ext_ask: connected, load 0"
            assert lines[2:] == ["ext_ask: load 10"] * 2
            with there.inside():  # a kernel is served beside it
                other = socket.create_connection((OURS, 7), timeout=10)
            with other:
                other.sendall(b"x")
                assert other.recv(10) == b"x"
                said = run(there, ASK, "ask", "xdp:eth0", OURS, 7, 2)
                assert said.splitlines()[2] == "ext_ask: load 20"
    finally:
        here.close()
        there.close()


def test_a_kernels_client_does_not_mind(ns: Netns) -> None:
    with server(ns, tap(), OURS):
        with ns.inside():
            sock = socket.create_connection((OURS, 7), timeout=10)
        with sock:
            for _ in range(3):
                sock.sendall(b"?")
                assert sock.recv(10) == b"?"


def test_a_kernels_server_does_not_mind(ns: Netns) -> None:
    # The device comes with the program, the host's address with the device.
    ns.ip("addr", "add", f"{HOST}/32", "dev", "lo")
    with kernel(ns) as got:
        said = run(ns, ASK, "ask", tap(), HOST, 7, 3)
        assert (
            said.splitlines()
            == ["ext_ask: connected, no word of load"] + ["ext_ask: load -1"] * 3
        )
    assert b"".join(got) == b"???"


@pytest.mark.parametrize("control", ["westwood", "cubic"])
def test_a_congestion_control_of_ones_own(ns: Netns, control: str) -> None:
    ns.ip("addr", "add", f"{HOST}/32", "dev", "lo")
    with kernel(ns) as got:
        said = run(ns, SEND, tap(), HOST, 7, 8 * MB, control)
    assert sum(map(len, got)) == 8 * MB
    assert re.match(rf"cc_send: {control}: {8 * MB} bytes in ", said), said
