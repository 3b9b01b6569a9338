# SPDX-License-Identifier: BSD-2-Clause
"""scapy on a port: its functions send and receive on the tuples that a port claims.

    from scapy.all import IP, TCP, sr1
    with multistack.Port("daemon:eth0") as port, multistack.scapy_on(port):
        claim = port.bind("192.0.2.7", 0, "tcp")
        sr1(IP(src=claim.addr, dst="192.0.2.1") / TCP(sport=claim.port, dport=80))

The switch lets nothing out that is not from a claimed tuple (ARP is not), and
nothing in that is not for one; the host's stack sees neither, and answers neither.
"""

from __future__ import annotations

import collections
import contextlib
import errno
import select
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

from scapy.config import conf
from scapy.data import MTU
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw
from scapy.supersocket import SuperSocket

from multistack.port import Port

__all__ = ["ScapyL3Socket", "ScapySocket", "scapy_on"]

# A frame that another thread took for this socket waits no longer than this.
_SLICE_S = 0.02
_SEND_S = 1.0


class _Hub:
    """What the sockets of one port share: each of them sees every frame."""

    def __init__(self, port: Port) -> None:
        self.port = port
        self.lock = threading.Lock()
        self.sockets: weakref.WeakSet[ScapySocket] = weakref.WeakSet()

    def take(self) -> None:
        """Hands on what waits in the ring."""
        with self.lock:
            if self.port.closed:
                return
            while (frame := self.port.recv()) is not None:
                now = time.time()
                for sock in self.sockets:
                    sock._frames.append((frame, now))

    def idle(self) -> bool:
        """Whether one may sleep on the port's descriptor."""
        with self.lock:
            return self.port.closed or not self.port.arm()


_hubs: weakref.WeakKeyDictionary[Port, _Hub] = weakref.WeakKeyDictionary()


class ScapySocket(SuperSocket):
    """A scapy socket of layer 2 on a Port, for as long as that is open; closing it
    leaves the port. Several on one port see all frames each."""

    desc = "frames of a port of the MultiStack switch"

    def __init__(self, port: Port) -> None:
        self._hub = _hubs.setdefault(port, _Hub(port))
        self._frames: collections.deque[tuple[bytes, float]] = collections.deque()
        self.port = port
        self.iface = port.nic
        self.outs = None
        self.closed = False
        self._hub.sockets.add(self)

    def fileno(self) -> int:
        return self.port.fileno()

    def send(self, x: Packet | bytes) -> int:
        """Sends a frame; waits for room. Returns its bytes."""
        data = bytes(x)
        until = time.monotonic() + _SEND_S
        while True:
            try:
                self.port.send(data)
                break
            except OSError as e:
                if e.errno != errno.ENOBUFS or time.monotonic() > until:
                    raise
                self.port.wait(_SLICE_S, tx=True)
        if isinstance(x, Packet):
            x.sent_time = time.time()
        return len(data)

    def recv_raw(self, x: int = MTU) -> tuple[Any, bytes | None, float | None]:
        """The next frame, if one waits."""
        if not self._frames:
            self._hub.take()
        if not self._frames:
            return None, None, None
        data, when = self._frames.popleft()
        return Ether, data[:x], when

    def close(self) -> None:
        self.closed = True
        self._hub.sockets.discard(self)

    def __del__(self) -> None:
        self.close()

    @staticmethod
    def select(sockets: list[Any], remain: float | None = None) -> list[Any]:
        """Those with something to read; for scapy's own loops."""
        until = None if remain is None else time.monotonic() + max(remain, 0)
        ours = [s for s in sockets if isinstance(s, ScapySocket)]
        others = [s for s in sockets if not isinstance(s, ScapySocket)]
        while True:
            for hub in {s._hub for s in ours}:
                hub.take()
            ready: list[Any] = [s for s in ours if s._frames or s.port.closed]
            pause = _SLICE_S
            if ready or not all(hub.idle() for hub in {s._hub for s in ours}):
                pause = 0.0
            elif until is not None:
                pause = max(min(until - time.monotonic(), _SLICE_S), 0.0)
            sleepers = [s for s in ours if s not in ready]
            found = select.select([*sleepers, *others], [], [], pause)[0]
            ready += [s for s in others if s in found]
            if ready or (until is not None and time.monotonic() >= until):
                return ready


class ScapyL3Socket(ScapySocket):
    """The same for packets: link headers come from the host's routes. Give packets
    their src; scapy's own guess is of its own tables."""

    desc = "packets of a port of the MultiStack switch"

    def send(self, x: Packet | bytes) -> int:
        packet = x if isinstance(x, Packet) else IP(x)
        if not isinstance(packet, (IP, IPv6)):
            raise TypeError(f"no packet of IP: {packet.summary()}")
        route = self.port.route(packet.dst)
        frame = Ether(src=route.src_mac.hex(":"), dst=route.dst_mac.hex(":")) / packet
        super().send(bytes(frame))
        packet.sent_time = time.time()
        return len(packet)

    def recv(self, x: int = MTU, **more: Any) -> Packet | None:
        frame = super().recv(x, **more)
        if frame is None:
            return None
        packet = frame.payload
        packet.time = frame.time
        return packet if not isinstance(packet, Raw) else None


@contextlib.contextmanager
def scapy_on(port: Port) -> Iterator[None]:
    """Meanwhile scapy's functions (sr, sniff, sendp, AsyncSniffer...) are on that
    port: conf.L2socket, L2listen, L3socket and L3socket6 make sockets of it."""

    def layer2(*_args: Any, **_options: Any) -> ScapySocket:
        return ScapySocket(port)

    def layer3(*_args: Any, **_options: Any) -> ScapyL3Socket:
        return ScapyL3Socket(port)

    ours = {"L2socket": layer2, "L2listen": layer2}
    ours |= {"L3socket": layer3, "L3socket6": layer3}
    before = {name: getattr(conf, name) for name in ours}
    try:
        for name, made in ours.items():
            setattr(conf, name, made)
        yield
    finally:
        for name, made in before.items():
            setattr(conf, name, made)
