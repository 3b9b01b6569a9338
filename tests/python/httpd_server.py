# SPDX-License-Identifier: BSD-2-Clause
"""multistack-httpd on the host's sockets and on UTCP, and a client of it."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from netns import Netns, need, veth
from worlds import KMOD, ROOT

import multistack

PORT = 8080
WIRE = {4: ("10.9.0.2", "10.9.0.1"), 6: ("fd09::2", "fd09::1")}
TAP = "tap:ms0,local=10.9.0.2/24,host=10.9.0.1,local6=fd09::2/64,host6=fd09::1"
DEVICE = "kmod:eth0" if KMOD else TAP
CARRIERS = {
    "host": ["--host-stack"],
    "utcp": ["-d", DEVICE],
    # Without offloads and with a ring that a large answer does not fit into.
    "utcp-small": ["-d", DEVICE, "--no-offloads", "--slots", "64"],
}
ADDRESS = {kind: "127.0.0.1" if kind == "host" else WIRE[4][0] for kind in CARRIERS}
PAGE = b"<h1>It works</h1>\n"
BIG = random.Random(7).randbytes(1_000_003)
# No test waits so long for what comes, on however slow a machine.
PATIENCE_S = 60.0
# Of the server, where that is what a test is about; else it has more than we.
LITTLE = ("--head-timeout", "1.5", "--keep-alive", "3", "--send-timeout", "2")
MUCH = ("--head-timeout", "300", "--keep-alive", "300", "--send-timeout", "300")


def httpd_path() -> Path:
    named = os.environ.get("MULTISTACK_HTTPD")
    if named:
        return Path(named)
    below = "lib/httpd/multistack-httpd"
    builds = [Path(os.environ.get("MULTISTACK_BUILD", ROOT / "build" / "plain"))]
    builds += sorted(p for p in ROOT.glob("build/*") if p.is_dir())
    found = [b / below for b in builds if (b / below).exists()]
    need(found, "multistack-httpd is not built; ./inv build")
    return found[0]


@dataclass
class Answer:
    status: int
    fields: dict[str, str]
    body: bytes


@dataclass
class Server:
    kind: str
    ns: Netns
    clients: Netns
    folder: Path
    child: subprocess.Popen[str]
    open: list[socket.socket] = field(default_factory=list)

    def connect(self) -> socket.socket:
        with self.clients.inside():
            sock = socket.socket()
        self.open.append(sock)
        sock.settimeout(PATIENCE_S)
        sock.connect((ADDRESS[self.kind], PORT))
        return sock

    def say(self, text: str | bytes) -> Client:
        client = Client(self.connect())
        client.say(text)
        return client

    def get(self, target: str, *fields: str, method: str = "GET") -> Answer:
        client = self.say(request(target, *fields, method=method))
        return client.answer(method == "HEAD")


def request(target: str, *fields: str, method: str = "GET") -> str:
    return "\r\n".join([f"{method} {target} HTTP/1.1", "Host: x", *fields, "", ""])


class Client:
    """One connection; answers are read by their length."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.file = sock.makefile("rb")

    def say(self, text: str | bytes) -> None:
        self.sock.sendall(text if isinstance(text, bytes) else text.encode("latin-1"))

    def answer(self, head_only: bool = False) -> Answer:
        status = self.file.readline()
        assert status.startswith(b"HTTP/1.1 "), status
        fields: dict[str, str] = {}
        while (line := self.file.readline().rstrip(b"\r\n")) != b"":
            name, _, value = line.decode("latin-1").partition(": ")
            assert name.lower() not in fields, f"{name} twice"
            fields[name.lower()] = value
        length = int(fields.get("content-length", "0"))
        code = int(status.split()[1])
        body = b"" if head_only or code == 304 else self.file.read(length)
        if not head_only and code != 304:
            assert len(body) == length
        return Answer(code, fields, body)

    def ended(self) -> bool:
        """Whether the server has closed, in order, with nothing more said."""
        return self.file.read() == b""


def furnish(folder: Path) -> None:
    (folder / "index.html").write_bytes(PAGE)
    (folder / "big.bin").write_bytes(BIG)
    os.utime(folder / "big.bin", (1e9, 1e9))
    (folder / "zero").write_bytes(b"")
    (folder / "a b&ü.txt").write_bytes(b"odd name")
    (folder / "sub").mkdir()
    (folder / "sub" / "index.html").write_bytes(b"sub")
    (folder / "bare").mkdir()
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_bytes(b"secret")
    (folder / ".well-known").mkdir()
    (folder / ".well-known" / "x").write_bytes(b"known")
    (folder / "out").symlink_to("/etc/passwd")
    (folder / "etc").symlink_to("/etc")
    os.mkfifo(folder / "fifo")


def wire_to_module(ns: Netns) -> Netns:
    """The other end of a wire whose end here is the module's."""
    far = Netns("browser")
    try:
        veth(ns, far, WIRE)
        with ns.inside(), multistack.Control("kmod:") as control:
            control.attach("eth0")
    except BaseException:
        far.close()
        raise
    return far


@contextlib.contextmanager
def serve(
    kind: str, folder: Path, *options: str, under: Sequence[str] = ()
) -> Iterator[Server]:
    """under: a command that runs it."""
    ns = clients = Netns("httpd")
    child: subprocess.Popen[str] | None = None
    try:
        if KMOD and kind != "host":
            clients = wire_to_module(ns)
        listen = ADDRESS[kind] + f":{PORT}"
        argv = [*under, str(httpd_path()), *CARRIERS[kind], "-l", listen, *options]
        child = subprocess.Popen(
            ns.command(*argv, str(folder)), stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        assert "listening" in child.stdout.readline()
        server = Server(kind, ns, clients, folder, child)
        yield server
        for sock in server.open:
            sock.close()
        if child.poll() is None:
            child.terminate()
        assert child.wait(PATIENCE_S) == 0
    finally:
        if child:
            child.kill()
            child.wait()
            if child.stdout:
                child.stdout.close()
        if clients is not ns:
            clients.close()
        ns.close()


@contextlib.contextmanager
def serve_all(
    kind: str, folder: Path, patience: Sequence[str] = MUCH
) -> Iterator[Server]:
    """With a folder of all sorts."""
    furnish(folder)
    with serve(kind, folder, *patience) as made:
        yield made
