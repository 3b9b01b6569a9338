# SPDX-License-Identifier: BSD-2-Clause
"""The host's own traffic, as ordinary programs make it, and whether it came
through whole."""

from __future__ import annotations

import contextlib
import hashlib
import random
import socket
import subprocess
import threading
from collections.abc import Iterator

from netns import Netns
from worlds import FAMILIES

TCP_PORT = 8000
UDP_PORT = 8001
PING_SIZES = (0, 1, 56, 1472, 1473, 9000)


def ping(ns: Netns, addr: str, sizes: tuple[int, ...] = PING_SIZES) -> None:
    for size in sizes:
        subprocess.run(
            ns.command("ping", "-c", 2, "-i", "0.05", "-W", 60, "-s", size, addr),
            check=True,
            capture_output=True,
        )


def stream(
    source: Netns, sink: Netns, addr: str, nbytes: int, port: int = TCP_PORT
) -> None:
    """So many random bytes over TCP; compared by their hash."""
    family = FAMILIES[6 if ":" in addr else 4]
    with sink.inside():
        listener = socket.create_server((addr, port), family=family)
    with source.inside():
        sender = socket.socket(family)
    got = hashlib.sha256()

    def receive() -> None:
        conn, _ = listener.accept()
        with conn:
            conn.settimeout(60)
            while data := conn.recv(1 << 16):
                got.update(data)

    reader = threading.Thread(target=receive)
    with listener, sender:
        listener.settimeout(60)
        sender.settimeout(60)
        reader.start()
        sender.connect((addr, port))
        data = random.Random(nbytes).randbytes(nbytes)
        sender.sendall(data)
        sender.shutdown(socket.SHUT_WR)
        reader.join()
    assert got.digest() == hashlib.sha256(data).digest()


def datagrams(
    source: Netns, sink: Netns, addr: str, sizes: tuple[int, ...], port: int = UDP_PORT
) -> None:
    """Of each size one to and fro, fragmented where they are long."""
    family = FAMILIES[6 if ":" in addr else 4]
    with sink.inside():
        there = socket.socket(family, socket.SOCK_DGRAM)
    with source.inside():
        here = socket.socket(family, socket.SOCK_DGRAM)
    with there, here:
        there.bind((addr, port))
        for sock in (there, here):
            sock.settimeout(60)
        for size in sizes:
            data = random.Random(size).randbytes(size)
            here.sendto(data, (addr, port))
            got, who = there.recvfrom(65536)
            assert got == data
            there.sendto(got, who)
            assert here.recv(65536) == data


class Steady:
    """A TCP connection whose bytes never stop; ended by the with statement,
    which fails if one was lost or wrong."""

    def __init__(self, source: Netns, sink: Netns, addr: str, port: int = 8100) -> None:
        with sink.inside():
            self._listener = socket.create_server((addr, port))
        with source.inside():
            self._sender = socket.create_connection((addr, port), 30)
        self._receiver, _ = self._listener.accept()
        for sock in (self._sender, self._receiver):
            sock.settimeout(60)
        self._stop = threading.Event()
        self._wrong = ""
        self.received = 0
        self._threads = [
            threading.Thread(target=self._send),
            threading.Thread(target=self._receive),
        ]

    _LINE = bytes(range(256)) * 16

    def _send(self) -> None:
        while not self._stop.is_set():
            self._sender.sendall(self._LINE)
        self._sender.shutdown(socket.SHUT_WR)

    def _receive(self) -> None:
        left = b""
        while data := self._receiver.recv(1 << 16):
            left += data
            whole = len(left) // len(self._LINE)
            if left[: whole * len(self._LINE)] != self._LINE * whole:
                self._wrong = f"wrong bytes behind {self.received}"
                return
            self.received += whole * len(self._LINE)
            left = left[whole * len(self._LINE) :]

    def __enter__(self) -> Steady:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(90)
        alive = [t for t in self._threads if t.is_alive()]
        for sock in (self._sender, self._receiver, self._listener):
            sock.close()
        assert not alive, f"the connection stands still at {self.received} bytes"
        assert not self._wrong, self._wrong


@contextlib.contextmanager
def offloads(ns: Netns, nic: str, **settings: str) -> Iterator[None]:
    """ethtool -K for a while: tso="off", gro="on"."""
    words = [w for pair in settings.items() for w in pair]
    back = {"on": "off", "off": "on"}
    subprocess.run(ns.command("ethtool", "-K", nic, *words), check=True)
    try:
        yield
    finally:
        words = [w for k, v in settings.items() for w in (k, back[v])]
        # A veth remembers what it cannot have while XDP is at its other end.
        subprocess.run(ns.command("ethtool", "-K", nic, *words), check=False)
