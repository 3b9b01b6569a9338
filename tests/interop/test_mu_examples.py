# SPDX-License-Identifier: BSD-2-Clause
"""The examples over mu.h, on a TAP with offloads, against the kernel's sockets;
and the header, as C and as C++."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import MB, ROOT, full_duplex
from netns import Netns, need

BUILD = Path(os.environ.get("MULTISTACK_BUILD", str(ROOT / "build" / "plain")))
HOST, OURS, PORT = "10.81.0.1", "10.81.0.2", 7007
IP_FREEBIND = 15  # linux/in.h
DEVICE = f"tap:ms0,local={OURS}/24,host={HOST}"
PATIENCE_S = 60


@pytest.fixture
def ns() -> Iterator[Netns]:
    made = Netns("tap")
    yield made
    made.close()


@contextlib.contextmanager
def example(ns: Netns, name: str, *argv: object) -> Iterator[subprocess.Popen[str]]:
    path = BUILD / "lib" / "examples" / name
    need(path.exists(), f"{path} is not built; ./inv build, with libuv1-dev")
    child = subprocess.Popen(
        ns.command(path, DEVICE, *argv),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with child:
        try:
            yield child
        finally:
            child.kill()


def said(child: subprocess.Popen[str], what: str) -> None:
    assert child.stdout
    line = child.stdout.readline()
    assert what in line, line + child.stdout.read()


def finish(child: subprocess.Popen[str]) -> str:
    out, _ = child.communicate(timeout=PATIENCE_S)
    assert child.returncode == 0, out
    return out


def connect(ns: Netns) -> socket.socket:
    """To our side, as soon as it listens."""
    for _ in range(200):
        with ns.inside():
            sock = socket.socket()
        sock.settimeout(PATIENCE_S)
        if sock.connect_ex((OURS, PORT)) == 0:
            return sock
        sock.close()
        threading.Event().wait(0.05)
    raise AssertionError("nobody listens")


def listen(ns: Netns) -> socket.socket:
    """On the host's side, whose address comes with the example's TAP."""
    with ns.inside():
        sock = socket.socket()
    sock.setsockopt(socket.SOL_IP, IP_FREEBIND, 1)
    sock.bind((HOST, PORT))
    sock.listen()
    sock.settimeout(PATIENCE_S)
    return sock


def read_all(sock: socket.socket) -> bytes:
    got = bytearray()
    while part := sock.recv(1 << 16):
        got += part
    return bytes(got)


def test_the_echo_server(ns: Netns) -> None:
    with example(ns, "mu_echo", OURS, PORT) as child:
        said(child, "serving")
        for _ in range(3):
            with connect(ns) as sock:
                assert full_duplex(sock, 8 * MB) == 8 * MB
        child.send_signal(signal.SIGTERM)
        assert f"3 accepted, {24 * MB} bytes" in finish(child)


def test_the_server_outlives_its_interface(ns: Netns) -> None:
    with example(ns, "mu_echo", OURS, PORT) as child:
        said(child, "serving")
        for _ in range(2):
            with connect(ns) as sock:
                assert full_duplex(sock, MB) == MB
            subprocess.run(ns.command("ip", "link", "del", "ms0"), check=True)
        with connect(ns) as sock:
            assert full_duplex(sock, MB) == MB
        child.send_signal(signal.SIGTERM)
        assert "3 accepted" in finish(child)


def test_the_proxy_passes_both_ways_and_both_ends(ns: Netns) -> None:
    def echo() -> None:
        conn, _ = server.accept()
        with conn:
            conn.sendall(read_all(conn))

    with listen(ns) as server, example(ns, "mu_proxy", OURS, PORT, HOST, PORT) as child:
        said(child, "mu_proxy")
        target = threading.Thread(target=echo)
        target.start()
        data = os.urandom(3 * MB)
        with connect(ns) as sock:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            assert read_all(sock) == data
        target.join()


def test_a_file_is_received(ns: Netns, tmp_path: Path) -> None:
    data = os.urandom(5 * MB + 17)
    with example(ns, "mu_file", "receive", tmp_path / "f", OURS, PORT) as child:
        with connect(ns) as sock:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            assert read_all(sock) == b""
        assert f"received {len(data)} bytes" in finish(child)
    assert (tmp_path / "f").read_bytes() == data


def test_a_file_is_sent(ns: Netns, tmp_path: Path) -> None:
    data = os.urandom(5 * MB + 17)
    (tmp_path / "f").write_bytes(data)
    with (
        listen(ns) as server,
        example(ns, "mu_file", "send", tmp_path / "f", HOST, PORT) as child,
    ):
        conn, _ = server.accept()
        with conn:
            assert read_all(conn) == data
        assert f"sent {len(data)} bytes" in finish(child)


@pytest.mark.parametrize("language", ["c", "c++"])
def test_the_header_compiles(language: str) -> None:
    compiler = {"c": "cc", "c++": "c++"}[language]
    need(shutil.which(compiler), f"a compiler of {language}")
    done = subprocess.run(
        [compiler, "-x", language, "-Wall", "-Wextra", "-Wpedantic", "-Werror",
         "-D_GNU_SOURCE", "-fsyntax-only", f"-I{ROOT}/lib/include",
         f"-I{ROOT}/sys", "-"],
        input="#include <multistack/mu.h>\nmu_tcp_t tcp; mu_timer_t timer;\n",
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
