# SPDX-License-Identifier: BSD-2-Clause
"""tcp_echo, the example, on attachments of the switch, with kernel clients; and
the server in the guide."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
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


BUILD = Path(os.environ.get("MULTISTACK_BUILD", str(ROOT / "build" / "plain")))
ECHO = BUILD / "lib" / "examples" / "tcp_echo"


@contextlib.contextmanager
def example(ns: Netns, device: str) -> Iterator[None]:
    """Serves port 7 of the second addresses in a namespace."""
    need(ECHO.exists(), f"{ECHO} is not built; ./inv build")
    child = subprocess.Popen(
        ns.command(ECHO, device, 7, ADDRS[4][1], ADDRS[6][1]),
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


def tap() -> str:
    """Device string of one that joins the stack and its namespace's host."""
    device = "tap:ms0"
    for family, bits in ((4, 24), (6, 64)):
        host, local = ADDRS[family]
        six = "6" if family == 6 else ""
        device += f",local{six}={local}/{bits},host{six}={host}"
    return device


@pytest.fixture
def ns() -> Iterator[Netns]:
    made = Netns("tap")
    yield made
    made.close()


def test_on_a_tap_with_offloads(ns: Netns) -> None:
    with example(ns, tap()):
        clients(ns, 8 * MB)


def test_the_guides_first_server(ns: Netns, tmp_path: Path) -> None:
    """Compiles as it stands there, and serves."""
    need(shutil.which("cc"), "a C compiler")
    guide = (ROOT / "docs" / "guide" / "utcp.md").read_text()
    code = next(c for c in re.findall("```c\n(.*?)```", guide, re.S) if "main" in c)
    (tmp_path / "echo.c").write_text(code)
    done = subprocess.run(
        ["cc", "-Wall", "-Wextra", "-Werror", "-o", tmp_path / "echo",
         tmp_path / "echo.c", f"-I{ROOT}/lib/include", f"-I{ROOT}/sys",
         f"-L{BUILD}/lib", f"-Wl,-rpath,{BUILD}/lib", "-lmultistack"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    argv = ns.command(tmp_path / "echo", tap(), ADDRS[4][1], 7007)
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as child:
        try:
            until = time.monotonic() + 10
            while True:
                with ns.inside():
                    sock = socket.socket()
                with sock, contextlib.suppress(OSError):
                    sock.connect((ADDRS[4][1], 7007))
                    assert full_duplex(sock, MB) == MB
                    break
                assert time.monotonic() < until and child.poll() is None
                time.sleep(0.05)
        finally:
            child.kill()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "usage: tcp_echo"),
        (["nothing", 7, "10.80.0.2"], "multistackd"),
        (["tap", "seven", "10.80.0.2"], "a port of 1 to 65535"),
        (["tap", 7, "10.80.0"], "no address"),
        (["tap", 7, "192.0.2.9"], "192.0.2.9 is not an address"),
        (["tap", 7, "10.80.0.2", "10.80.0.2"], "use"),
    ],
)
def test_what_is_wrong_is_said(ns: Netns, words: list[object], says: str) -> None:
    need(ECHO.exists(), f"{ECHO} is not built; ./inv build")
    argv = ns.command(ECHO, *(tap() if w == "tap" else w for w in words))
    done = subprocess.run(argv, capture_output=True, text=True, timeout=10)
    assert done.returncode in (1, 2)
    assert says in done.stderr


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
