# SPDX-License-Identifier: BSD-2-Clause
"""Applications that know nothing of MultiStack, by `multistack run` beside the host's
stack, on its address: it has nothing to do meanwhile. At the other end of the wire is
the kernel's TCP. (test_loop_apps.py has more of them, on a TAP.)"""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import importlib.util
import ipaddress
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import worlds
from netns import Netns, need, sh

APPS = Path(__file__).parent / "apps"
SERVER, CLIENT = (worlds.ADDRS[4][side] for side in (0, 1))
PATIENCE_S = 60
BODY = os.urandom(300_000)


def needs(*modules: str) -> None:
    for name in modules:
        need(importlib.util.find_spec(name), f"no {name}: pip install it")


@pytest.fixture(scope="module")
def wired(tmp_path_factory: pytest.TempPathFactory) -> Iterator[worlds.HostedWorld]:
    """The applications' side is the switch's, the other one the kernel's alone."""
    need(shutil.which("ethtool"), "no ethtool")
    with worlds.hosted(worlds.WIRED, tmp_path_factory.mktemp("apps")) as made:
        assert made.far is not None
        # A veth leaves checksums undone; XDP needs them done.
        sh(*made.far.command("ethtool", "-K", "eth0", "tx", "off"))
        yield made


def counters(ns: Netns) -> dict[str, int]:
    """What this namespace's own stack has done."""
    lines = sh(*ns.command("cat", "/proc/net/snmp")).splitlines()
    found = {}
    for names, values in zip(lines[::2], lines[1::2], strict=True):
        kind, *words = names.split()
        for word, value in zip(words, values.split()[1:], strict=True):
            found[kind + word] = int(value)
    return found


@pytest.fixture
def world(wired: worlds.HostedWorld) -> Iterator[worlds.HostedWorld]:
    """Beside it the host's stack of that side must have had nothing to do."""
    before = counters(wired.ns)
    yield wired
    after = counters(wired.ns)
    for name in ("Tcp:ActiveOpens", "Tcp:PassiveOpens", "Udp:InDatagrams"):
        assert after[name] == before[name], name


class App:
    """A program that has been started, and what it has said."""

    def __init__(self, ns: Netns, log: Path, *words: object, **env: str) -> None:
        self.log = log
        with log.open("w") as out:
            self.process = subprocess.Popen(
                ns.command(*words),
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=APPS,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **env},
            )

    @property
    def said(self) -> str:
        return self.log.read_text()

    def wait(self, code: int = 0) -> str:
        try:
            assert self.process.wait(PATIENCE_S) == code, self.said
        finally:
            self.kill()
        return self.said

    def end(self, number: int = signal.SIGTERM, code: int = 0) -> None:
        assert self.process.poll() is None, self.said
        self.process.send_signal(number)
        self.wait(code)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


Start = Callable[..., App]


@pytest.fixture
def start(world: worlds.HostedWorld, tmp_path: Path) -> Iterator[Callable[..., App]]:
    """Starts a command as `multistack run` has it; with far=True as it is, at the
    other end."""
    started: list[App] = []
    ours = [sys.executable, "-m", "multistack", "run", "-d", world.device]

    def begin(*words: object, far: bool = False, **env: str) -> App:
        ns = world.far if far else world.ns
        assert ns is not None
        log = tmp_path / f"log-{len(started)}"
        started.append(App(ns, log, *([] if far else ours), *words, **env))
        return started[-1]

    yield begin
    for app in started:
        app.kill()


def command(name: str) -> str:
    """A command that a package has brought, by its path."""
    beside = Path(sys.executable).parent / name
    need(beside.exists(), f"no {name}: pip install it")
    return str(beside)


def far(world: worlds.HostedWorld) -> Netns:
    assert world.far is not None
    return world.far


def await_listener(ns: Netns, address: str, port: int, app: App) -> None:
    def connects() -> bool:
        assert app.process.poll() is None, app.said
        with ns.inside():
            s = socket.socket()
        with s:
            s.settimeout(1)
            return s.connect_ex((address, port)) == 0

    worlds.eventually(connects, f"a listener at port {port}", PATIENCE_S)


def curl(world: worlds.HostedWorld, url: str, *options: object) -> bytes:
    """By the kernel, from the other end."""
    need(shutil.which("curl"), "no curl")
    words = ["curl", "-sS", "--fail", "--max-time", PATIENCE_S, *options, url]
    done = subprocess.run(
        far(world).command(*words), capture_output=True, input=BODY, timeout=60
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def post(world: worlds.HostedWorld, url: str, *options: object) -> Any:
    return json.loads(curl(world, url, "--data-binary", "@-", *options))


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with key.pem and cert.pem, which both ends' addresses are in."""
    needs("cryptography")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "apps")])
    names = [x509.IPAddress(ipaddress.ip_address(a)) for a in (SERVER, CLIENT)]
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            pem,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return folder


def hypercorn(tls: Path, address: str) -> list[str]:
    """Its command; HTTP/2 at 8443, HTTP/3 at 4433."""
    needs("starlette", "aioquic")
    config = tls / f"{address}.toml"
    config.write_text(
        f"""
bind = "{address}:8443"
quic_bind = "{address}:4433"
certfile = "{tls}/cert.pem"
keyfile = "{tls}/key.pem"
workers = 0
"""
    )
    return [command("hypercorn"), "--config", str(config), "about:app"]


def http3(tls: Path, address: str) -> list[str]:
    return ["http3_client.py", address, "4433", str(tls / "cert.pem")]


# What http3_client.py sends.
SENT3 = bytes(range(256)) * 1024


def test_aiohttp_server(world: worlds.HostedWorld, start: Start) -> None:
    needs("aiohttp")
    app = start("-m", "aiohttp.web", "-H", SERVER, "aiohttp_app:make")
    await_listener(far(world), SERVER, 8080, app)
    url = f"http://{SERVER}:8080/"
    assert post(world, url) == {"client": CLIENT, "sha256": digest(BODY)}
    assert curl(world, url + "file") == (APPS / "aiohttp_app.py").read_bytes()
    assert curl(world, url + "big") == bytes(range(256)) * 4096
    app.end(signal.SIGINT)


def test_aiohttp_client(
    world: worlds.HostedWorld, start: Start, tmp_path: Path
) -> None:
    needs("aiohttp")
    (tmp_path / "page").write_text("It works.\n" * 1000)
    server = start(
        *(sys.executable, "-m", "http.server", "-b", CLIENT, "-d", tmp_path, 8081),
        far=True,
    )
    await_listener(far(world), CLIENT, 8081, server)
    url = f"http://{CLIENT}:8081/page"
    assert start("aiohttp_client.py", url).wait() == "It works.\n" * 1000


def test_uvicorn(world: worlds.HostedWorld, start: Start) -> None:
    needs("starlette", "httptools")
    app = start(command("uvicorn"), "about:app", "--host", SERVER)
    await_listener(far(world), SERVER, 8000, app)
    url = f"http://{SERVER}:8000/"
    said = post(world, url)
    assert said == {
        "client": CLIENT,
        "server": SERVER,
        "version": "1.1",
        "scheme": "http",
        "sha256": digest(BODY),
    }
    echoes(world, f"ws://{SERVER}:8000/echo")
    app.end(signal.SIGINT)
    assert "Finished server process" in app.said


def test_uvicorn_with_fastapi(world: worlds.HostedWorld, start: Start) -> None:
    needs("fastapi")
    app = start(command("uvicorn"), "fast:app", "--host", SERVER)
    await_listener(far(world), SERVER, 8000, app)
    url = f"http://{SERVER}:8000"
    as_json = ("-H", "Content-Type: application/json", "--data-binary")
    text = json.dumps({"name": "tea", "amounts": [3, 4]})
    assert json.loads(curl(world, f"{url}/orders", *as_json, text)) == {
        "name": "tea",
        "total": 7,
        "client": CLIENT,
        "in_loop_thread": False,
    }
    code = ("-o", "/dev/null", "-w", "%{http_code}", "--no-fail")
    assert curl(world, f"{url}/orders", *code, *as_json, '{"name": 1}') == b"422"
    assert post(world, f"{url}/digest") == digest(BODY)
    pieces = b"".join(bytes([i]) * 9000 for i in range(200))
    assert curl(world, f"{url}/pieces/200?size=9000") == pieces
    echoes(world, f"ws://{SERVER}:8000/echo")
    app.end(signal.SIGINT)
    assert "background: tea" in app.said


def echoes(world: worlds.HostedWorld, url: str) -> None:
    """Texts of all sizes, from a client on the kernel's TCP."""
    needs("websockets")
    from websockets.asyncio.client import connect

    texts = ["x" * n for n in (0, 1, 125, 126, 65535, 65536, 900_000)]

    async def talk() -> list[object]:
        async with connect(url) as connection:
            heard: list[object] = []
            for text in texts:
                await connection.send(text)
                heard.append(await connection.recv())
            return heard

    with far(world).inside():
        assert asyncio.run(asyncio.wait_for(talk(), PATIENCE_S)) == texts


def test_hypercorn_http2_and_http3(
    world: worlds.HostedWorld, start: Start, certificate: Path
) -> None:
    app = start(*hypercorn(certificate, SERVER))
    await_listener(far(world), SERVER, 8443, app)
    ca = certificate / "cert.pem"
    said = post(world, f"https://{SERVER}:8443/", "--http2", "--cacert", ca)
    assert (said["version"], said["scheme"]) == ("2", "https")
    assert (said["client"], said["sha256"]) == (CLIENT, digest(BODY))
    client = start(sys.executable, *http3(certificate, SERVER), far=True)
    said = json.loads(client.wait())
    assert (said["version"], said["scheme"]) == ("3", "https")
    assert (said["client"], said["sha256"]) == (CLIENT, digest(SENT3))
    app.end(signal.SIGTERM)


def test_aioquic_client(
    world: worlds.HostedWorld, start: Start, certificate: Path
) -> None:
    server = start(*hypercorn(certificate, CLIENT), far=True)
    await_listener(far(world), CLIENT, 8443, server)
    said = json.loads(start(*http3(certificate, CLIENT)).wait())
    assert (said["version"], said["sha256"]) == ("3", digest(SENT3))
    assert said["client"].removeprefix("::ffff:") == SERVER


def test_httpx_client(
    world: worlds.HostedWorld, start: Start, certificate: Path
) -> None:
    needs("httpx", "h2")
    server = start(*hypercorn(certificate, CLIENT), far=True)
    await_listener(far(world), CLIENT, 8443, server)
    url, ca = f"https://{CLIENT}:8443/", certificate / "cert.pem"
    sent = b"".join(bytes([i]) * 3000 for i in range(100))
    for version in ("2", "1.1"):
        client = start("httpx_client.py", url, ca, version)
        text, refused = client.wait().splitlines()
        said = json.loads(text)
        assert (said["spoken"], said["scheme"]) == (f"HTTP/{version}", "https")
        assert (said["client"], said["sha256"]) == (SERVER, digest(sent))
        assert refused == "All connection attempts failed"
