# SPDX-License-Identifier: BSD-2-Clause
"""Applications as they are, started by their own commands behind `multistack run`.

They are on a stack of their own; who speaks to them is on the host's, across a wire.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import loops
import netns
import pytest

import multistack

APPS = Path(__file__).parent / "apps"
PORT = 8080
HERE = f"http://{loops.OURS}:{PORT}"


@pytest.fixture(scope="module", autouse=True)
def wire() -> Iterator[netns.Netns]:
    with loops.namespace() as ns:
        yield ns


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    netns.need(shutil.which("openssl"), "openssl is missing")
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    netns.sh(
        *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", 9),
        *("-subj", f"/CN={loops.OURS}", "-keyout", key, "-out", cert),
    )
    return cert, key


def needs(*modules: str) -> None:
    for m in modules:
        netns.need(importlib.util.find_spec(m), f"the Python package {m} is missing")


def environment() -> dict[str, str]:
    package = str(Path(multistack.__path__[0]).parent)
    return {
        **os.environ,
        "MULTISTACK_DEVICE": loops.DEVICE,
        "PYTHONPATH": package,
        "PYTHONUNBUFFERED": "1",
    }


def command(*argv: object) -> list[str]:
    return [sys.executable, "-m", "multistack", "run", *map(str, argv)]


@contextlib.contextmanager
def serving(
    *argv: object, log: Path, says: str = "", end: int = signal.SIGINT
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs it until the block's end, once it answers (or has said so)."""
    with log.open("wb") as out:
        child = subprocess.Popen(
            command(*argv), env=environment(), cwd=APPS, stdout=out, stderr=out
        )
    try:
        until = time.monotonic() + loops.PATIENCE_S
        while says not in log.read_text() if says else not answers():
            assert child.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.05)
        yield child
        assert child.poll() is None, log.read_text()
    finally:
        child.send_signal(end)
        try:
            child.wait(loops.PATIENCE_S)
        finally:
            child.kill()


def answers() -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection((loops.OURS, PORT), 0.5).close()
        return True
    return False


def get(path: str = "/", data: bytes | None = None) -> bytes:
    with urllib.request.urlopen(HERE + path, data, timeout=loops.PATIENCE_S) as answer:
        return bytes(answer.read())


@pytest.mark.parametrize("http", ["h11", "httptools"])
def test_uvicorn_with_starlette(http: str, tmp_path: Path) -> None:
    needs("uvicorn", "starlette", http)
    argv = ("uvicorn", "asgi:app", "--host", loops.OURS, "--port", PORT, "--http", http)
    with serving(*argv, log=tmp_path / "log"):
        said = get().decode()
        assert said == f"multistack.loop {loops.PEER}"
        large = os.urandom(700_000).hex().encode()
        assert get("/echo", large) == large


def test_uvicorn_that_asks_for_uvloop_gets_ours(tmp_path: Path) -> None:
    needs("uvicorn", "starlette")
    argv = ("--", "uvicorn", "asgi:app", "--host", "0.0.0.0", "--port", PORT)
    with serving(*argv, "--loop", "uvloop", log=tmp_path / "log"):
        assert get().startswith(b"multistack.loop")


def test_aiohttp_serves_asks_and_sends_files(tmp_path: Path) -> None:
    needs("aiohttp")
    with socket.create_server(("0.0.0.0", 0)) as other:
        url = f"http://{loops.PEER}:{other.getsockname()[1]}/"
        argv = ("web.py", PORT, url)
        with serving(*argv, log=tmp_path / "log"):
            with socket.create_connection((loops.OURS, PORT), 5) as s:
                s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                conn, name = other.accept()
                with conn:
                    assert name[0] == loops.OURS
                    conn.recv(4096)
                    conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes")
                    assert loops.read_all(s).endswith(b"it says yes")
            assert get("/file") == (APPS / "web.py").read_bytes()


def test_websockets(tmp_path: Path) -> None:
    needs("websockets")
    from websockets.sync.client import connect

    with (
        serving("chat.py", PORT, log=tmp_path / "log"),
        connect(f"ws://{loops.OURS}:{PORT}/") as w,
    ):
        for message in ("hello", b"\0" * 300_000):
            w.send(message)
            assert w.recv(10) == message


def test_hypercorn_speaks_http2_over_tls(
    tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    needs("hypercorn", "h2")
    import h2.connection
    import h2.events

    cert, key = certificate
    argv = ("hypercorn", "asgi:app", "--workers", 0, "--bind", f"0.0.0.0:{PORT}")
    with serving(*argv, "--certfile", cert, "--keyfile", key, log=tmp_path / "log"):
        context = ssl.create_default_context(cafile=str(cert))
        context.check_hostname = False
        context.set_alpn_protocols(["h2"])
        raw = socket.create_connection((loops.OURS, PORT), 10)
        with context.wrap_socket(raw, server_hostname=loops.OURS) as s:
            assert s.selected_alpn_protocol() == "h2"
            c = h2.connection.H2Connection()
            c.initiate_connection()
            head = {":method": "GET", ":path": "/", ":scheme": "https"}
            c.send_headers(1, [*head.items(), (":authority", "x")], end_stream=True)
            body, ended = b"", False
            while not ended:
                s.sendall(c.data_to_send())
                for event in c.receive_data(s.recv(65536)):
                    if isinstance(event, h2.events.DataReceived):
                        body += event.data
                    ended = ended or isinstance(event, h2.events.StreamEnded)
        assert body.decode() == f"multistack.loop {loops.PEER}"


@pytest.mark.parametrize("role", ["server", "client"])
def test_aioquic_over_our_udp(
    tmp_path: Path, certificate: tuple[Path, Path], role: str
) -> None:
    """The other end is the same program, on the host's stack."""
    needs("aioquic")
    program = APPS / "quic.py"
    host = loops.OURS if role == "server" else loops.PEER
    # The wire is there only as long as our end of it.
    at = loops.OURS if role == "server" else "0.0.0.0"
    start = ("server", at, PORT, *certificate)
    ask = ("client", host, PORT)
    first = command(program, *start) if role == "server" else plain(program, *start)
    second = plain(program, *ask) if role == "server" else command(program, *ask)
    with subprocess.Popen(
        first, env=environment(), stdout=subprocess.PIPE, text=True
    ) as child:
        try:
            assert child.stdout and child.stdout.readline() == "serving\n"
            done = subprocess.run(
                second,
                env=environment(),
                capture_output=True,
                text=True,
                timeout=loops.PATIENCE_S,
            )
            assert done.stdout == "200000\n", done.stderr
        finally:
            child.kill()


def plain(*argv: object) -> list[str]:
    return [sys.executable, *map(str, argv)]


def test_redis_py_and_a_server_on_the_host(tmp_path: Path) -> None:
    needs("redis")
    # Debian's redis-tools have the server's program without a service.
    program = shutil.which("redis-server") or shutil.which("redis-check-rdb")
    netns.need(program, "redis is missing: apt-get install redis-tools")
    child = subprocess.Popen(
        [
            *("redis-server", "--bind", "0.0.0.0", "--port", "6399", "--save", ""),
            *("--protected-mode", "no", "--dir", str(tmp_path)),
        ],
        executable=program,
        stdout=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + loops.PATIENCE_S
        while time.monotonic() < until:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", 6399), 1).close()
                break
            time.sleep(0.05)
        done = subprocess.run(
            command("store.py", loops.PEER, 6399),
            env=environment(),
            cwd=APPS,
            capture_output=True,
            text=True,
            timeout=loops.PATIENCE_S,
        )
        assert done.stdout == f"{sum(range(100))} 1000000\n", done.stderr
    finally:
        child.terminate()
        child.wait()


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["no-such-program"], "no such file, and no such command"),
        (["ls"], "is not a Python program"),
        (["--device", "", "web.py"], "no device"),
    ],
)
def test_what_cannot_be_run_is_said_in_a_sentence(argv: list[str], words: str) -> None:
    done = subprocess.run(
        command(*argv), env=environment(), cwd=APPS, capture_output=True, text=True
    )
    assert done.returncode == 1 and words in done.stderr
    assert done.stderr.count("\n") == 1
