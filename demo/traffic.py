# SPDX-License-Identifier: BSD-2-Clause
"""What the client does: asks, counts, times, listens."""

from __future__ import annotations

import http.client
import select
import socket
import statistics
import struct
import time
from dataclasses import dataclass

from demo.world import ADDR, CLIENT, IFNAME, PATIENCE_S, SERVER, World

_SEQ = struct.Struct("!Q")
_ETH_P_ALL = 3
_PACKET_OUTGOING = 4


@dataclass(frozen=True)
class Measured:
    """One measured conversation; rates per second, latencies in us."""

    what: str
    asked: int
    answered: int
    rate: float
    median_us: float
    p99_us: float


def _family(addr: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in addr else socket.AF_INET


def udp_socket(world: World, addr: str, port: int) -> socket.socket:
    """A client's UDP socket that speaks to this address and port."""
    with world.inside(CLIENT):
        sock = socket.socket(_family(addr), socket.SOCK_DGRAM)
    sock.connect((addr, port))
    sock.settimeout(1.0)
    return sock


def ask(world: World, addr: str, port: int, text: bytes) -> bytes:
    """One question, up to three tries, one answer; b"" if there is none."""
    with udp_socket(world, addr, port) as sock:
        sock.settimeout(PATIENCE_S / 3)
        for _ in range(3):
            try:
                sock.send(text)
                return sock.recv(2048)
            except (TimeoutError, ConnectionRefusedError):
                pass
    return b""


def measure_udp(
    world: World, what: str, addr: str, port: int, seconds: float
) -> Measured:
    """Latency one datagram at a time, then rate with a window of them."""
    with udp_socket(world, addr, port) as sock:
        rtts = _ping_pong(sock, 300, seconds / 2)
        asked, answered, took = _burst(sock, seconds / 2)
    median, p99 = _quantiles(rtts)
    return Measured(what, asked, answered, answered / took, median, p99)


def _quantiles(times_us: list[float]) -> tuple[float, float]:
    if len(times_us) < 2:
        return 0.0, 0.0
    return statistics.median(times_us), statistics.quantiles(times_us, n=100)[98]


def _ping_pong(sock: socket.socket, most: int, seconds: float) -> list[float]:
    times: list[float] = []
    end = time.monotonic() + seconds
    for seq in range(most):
        began = time.perf_counter_ns()
        try:
            sock.send(_SEQ.pack(seq))
            sock.recv(2048)
            times.append((time.perf_counter_ns() - began) / 1000)
        except (TimeoutError, ConnectionRefusedError):
            pass  # an answer that did not come
        if time.monotonic() > end:
            break
    return times


def _burst(
    sock: socket.socket, seconds: float, window: int = 32
) -> tuple[int, int, float]:
    sock.setblocking(False)
    payload = bytearray(18)  # 64 bytes with Ethernet, IPv4, UDP and the CRC
    asked = answered = open_ = 0
    began = time.monotonic()
    heard = began
    now = began
    while now - began < seconds or (open_ and now - heard < 5.0):
        if now - began < seconds:
            while open_ < window:
                _SEQ.pack_into(payload, 0, asked)
                try:
                    sock.send(payload)
                except (BlockingIOError, ConnectionRefusedError):
                    break
                asked += 1
                open_ += 1
        select.select([sock], [], [], 0.02)
        now = time.monotonic()
        while True:
            try:
                sock.recv(2048)
            except (BlockingIOError, ConnectionRefusedError):
                break
            answered += 1
            open_ -= 1
            heard = now
        if now - heard > 0.5:
            open_ = 0  # those are lost
    return asked, answered, max(heard - began, 1e-9)


def measure_web(
    world: World, what: str, addr: str, port: int, seconds: float
) -> Measured:
    """As many pages as fit, one connection each."""
    asked = answered = 0
    times: list[float] = []
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        asked += 1
        start = time.perf_counter_ns()
        if fetch(world, addr, port):
            answered += 1
            times.append((time.perf_counter_ns() - start) / 1000)
    took = time.monotonic() - began
    median, p99 = _quantiles(times)
    return Measured(what, asked, answered, answered / took, median, p99)


def fetch(world: World, addr: str, port: int, path: str = "/") -> bytes:
    """A page over HTTP; b"" if it does not come."""
    with world.inside(CLIENT):
        sock = socket.socket(_family(addr), socket.SOCK_STREAM)
    conn = http.client.HTTPConnection(addr, port)
    try:
        sock.settimeout(PATIENCE_S)
        sock.connect((addr, port))
        conn.sock = sock
        conn.request("GET", path)
        return conn.getresponse().read()
    except (OSError, http.client.HTTPException):
        return b""
    finally:
        conn.close()
        sock.close()


class Listener:
    """Hears every frame that the client gets over the cable."""

    def __init__(self, world: World) -> None:
        with world.inside(CLIENT):
            self._sock = socket.socket(
                socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL)
            )
            self._sock.bind((IFNAME, _ETH_P_ALL))
        self._sock.settimeout(0.05)

    def frames(self, mark: bytes, seconds: float) -> list[bytes]:
        """The frames with these bytes in them, among those that came since
        the last call and come in the time given after the first."""
        found: list[bytes] = []
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            try:
                frame, (_, _, kind, _, _) = self._sock.recvfrom(65536)
            except TimeoutError:
                continue
            if mark in frame and kind != _PACKET_OUTGOING:
                if not found:
                    end = time.monotonic() + seconds
                found.append(frame)
        return found

    def close(self) -> None:
        self._sock.close()


def host_can_bind(world: World, port: int, tcp: bool = False) -> bool:
    """Whether an ordinary program on the server could have this port, of UDP or
    of TCP."""
    with world.inside(SERVER):
        kind = socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM
        sock = socket.socket(socket.AF_INET, kind)
    with sock:
        try:
            sock.bind((ADDR[SERVER][0], port))
        except OSError:
            return False
    return True
