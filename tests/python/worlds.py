# SPDX-License-Identifier: BSD-2-Clause
"""The switch in every way that it can be had, behind one face, so that a test's
body is written once.

A World has a device string, local addresses that ports on it can claim, and a
peer: UDP sockets at the other end, the kernel's or (pair) made of a port.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from netns import Netns, need, sh, veth
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

import multistack

ROOT = Path(__file__).resolve().parents[2]
ADDRS = {4: ("10.77.0.1", "10.77.0.2"), 6: ("fd77::1", "fd77::2")}
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
PATIENCE_S = 60.0  # for what comes, on however slow a machine
_number = itertools.count()


def eventually(look: Callable[[], Any], what: str, seconds: float = PATIENCE_S) -> Any:
    """The first true answer of look()."""
    until = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > until:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.002)


def daemon_path() -> Path:
    """multistackd as $MULTISTACKD or $MULTISTACK_BUILD say, else from where the
    library is."""
    named = os.environ.get("MULTISTACKD")
    if named:
        return Path(named)
    from multistack import _ffi

    below = "sys/os/user/daemon/multistackd"
    built = [
        Path(os.environ.get("MULTISTACK_BUILD", ROOT / "build" / "plain")) / below,
        _ffi.library_path.parents[1] / below,
        *sorted(ROOT.glob(f"build*/**/{below}")),
    ]
    found = [p for p in built if p.exists()]
    need(found, "multistackd is not built; ./inv build, or name it in $MULTISTACKD")
    return found[0]


def udp_frame(
    src: tuple[bytes, str, int], dst: tuple[bytes, str, int], data: bytes, **ip: Any
) -> bytes:
    """An Ethernet frame with a datagram; ends are (MAC, address, port)."""
    layer = IPv6 if ":" in src[1] else IP
    network = layer(src=src[1], dst=dst[1], **ip)
    ends = UDP(sport=src[2], dport=dst[2])
    return bytes(Ether(src=src[0], dst=dst[0]) / network / ends / data)


def udp_parse(frame: bytes) -> tuple[bytes, tuple[str, int], tuple[str, int]] | None:
    """Payload, source and destination of an unfragmented UDP datagram."""
    ether = Ether(frame)
    if UDP not in ether:
        return None
    network = ether[IPv6] if IPv6 in ether else ether[IP]
    udp = ether[UDP]
    data = bytes(udp.payload)[: udp.len - 8]
    return data, (network.src, udp.sport), (network.dst, udp.dport)


class Stack:
    """The smallest UDP stack on a port."""

    def __init__(self, port: multistack.Port) -> None:
        self.port = port
        self.waiting: list[tuple[bytes, tuple[str, int], tuple[str, int]]] = []

    def frame(self, src: tuple[str, int], dst: tuple[str, int], data: bytes) -> bytes:
        route = self.route(dst[0])
        return udp_frame((route.src_mac, *src), (route.dst_mac, *dst), data)

    def route(self, addr: str) -> multistack.Route:
        def resolved() -> multistack.Route | None:
            route = self.port.route(addr)
            return None if route.state == multistack.RouteState.PENDING else route

        found: multistack.Route = eventually(resolved, f"the neighbour of {addr}")
        return found

    def sendto(self, src: tuple[str, int], dst: tuple[str, int], data: bytes) -> None:
        self.port.send(self.frame(src, dst, data))

    def recv(
        self, seconds: float = PATIENCE_S
    ) -> tuple[bytes, tuple[str, int], tuple[str, int]]:
        """Payload, source, destination of the next datagram."""
        until = time.monotonic() + seconds
        while not self.waiting:
            if not self.port.wait(max(0.0, until - time.monotonic())):
                raise TimeoutError(f"no datagram in {seconds} s: {self.port.stats()}")
            with self.port.recv_batch() as frames:
                for frame in frames:
                    found = udp_parse(bytes(frame))
                    if found:
                        self.waiting.append(found)
        return self.waiting.pop(0)

    def nothing(self, seconds: float = 0.2) -> bool:
        """Whether nothing comes for a while."""
        try:
            self.recv(seconds)
        except TimeoutError:
            return True
        return False


class Peer(Protocol):
    """A UDP socket at the other end."""

    addr: str
    port: int

    def sendto(self, data: bytes, to: tuple[str, int]) -> None: ...
    def recv(self, seconds: float = PATIENCE_S) -> tuple[bytes, tuple[str, int]]: ...
    def close(self) -> None: ...


class KernelPeer:
    """The kernel's socket."""

    def __init__(self, ns: Netns, family: int, addr: str, port: int) -> None:
        with ns.inside():
            self.sock = socket.socket(FAMILIES[family], socket.SOCK_DGRAM)
        self.sock.bind((addr, port))
        self.addr, self.port = self.sock.getsockname()[:2]

    def sendto(self, data: bytes, to: tuple[str, int]) -> None:
        self.sock.sendto(data, to)

    def recv(self, seconds: float = PATIENCE_S) -> tuple[bytes, tuple[str, int]]:
        self.sock.settimeout(seconds)
        data, who = self.sock.recvfrom(65536)
        return data, who[:2]

    def close(self) -> None:
        self.sock.close()


class PortPeer:
    """A port of another host in this process, with a stack on it."""

    def __init__(self, device: str, addr: str, port: int) -> None:
        self.handle = multistack.Port(device, label="peer")
        self.addr, self.port = self.handle.bind(addr, port)[:2]
        self.stack = Stack(self.handle)

    def sendto(self, data: bytes, to: tuple[str, int]) -> None:
        self.stack.sendto((self.addr, self.port), to, data)

    def recv(self, seconds: float = PATIENCE_S) -> tuple[bytes, tuple[str, int]]:
        data, src, _ = self.stack.recv(seconds)
        return data, src

    def close(self) -> None:
        self.handle.close()


opened: list[Peer] = []  # of the test that runs; closed behind it


class World:
    """What is common; `kernel` says whether a host stack is beside ours."""

    name = ""
    kernel = True
    device = ""
    nic = ""
    addr: dict[int, str]
    peer_addr: dict[int, str]

    def __init__(self) -> None:
        self.addr = {f: pair[0] for f, pair in ADDRS.items()}
        self.peer_addr = {f: pair[1] for f, pair in ADDRS.items()}

    def port(self, **options: Any) -> multistack.Port:
        return multistack.Port(self.device, **options)

    def peer(self, family: int = 4, port: int = 0) -> Any:
        """A Peer; closed at the end of the test, or by itself."""
        made = self._peer(family, port)
        opened.append(made)
        return made

    def _peer(self, family: int, port: int) -> Peer:
        raise NotImplementedError

    def settle(self) -> None:
        """What was sent before is with its owner, or lost, after this."""

    def inside(self) -> contextlib.AbstractContextManager[None]:
        """What the host of the switch opens meanwhile is in its namespace."""
        return contextlib.nullcontext()

    def close(self) -> None:
        raise NotImplementedError


class PairWorld(World):
    """Both ends of a wire, in this process."""

    name = "pair"
    kernel = False

    def __init__(self, also: dict[int, str] | None = None) -> None:
        super().__init__()
        link = f"L{next(_number)}"
        ends = [list(a) for a in zip(*ADDRS.values(), strict=True)]
        ends[0] += (also or {}).values()
        end = [
            f"pair:p{side},link={link},side={side},addr={'+'.join(a)}"
            for side, a in enumerate(ends)
        ]
        self.device, self.nic, self.far = end[0], "p0", end[1]
        # What is sent while the other end is not there is lost.
        self.keep = [multistack.Port(end[0]), multistack.Port(end[1])]

    def settle(self) -> None:
        self.keep[0].recv()

    def _peer(self, family: int, port: int) -> PortPeer:
        return PortPeer(self.far, self.peer_addr[family], port)

    def close(self) -> None:
        for port in self.keep:
            port.close()


class TapWorld(World):
    """A private link to the host's stack; the peer is the host itself."""

    name = "tap"
    kernel = False  # on our address, that is

    def __init__(self) -> None:
        super().__init__()
        self.ns = Netns("tap")
        local, host = self.addr, self.peer_addr
        self.nic = "ms0"
        self.device = f"tap:ms0,local={local[4]}/24,host={host[4]},local6={local[6]}/64,host6={host[6]}"
        try:
            with self.ns.inside():
                self.keep = multistack.Port(self.device)
        except BaseException:
            self.ns.close()
            raise

    def port(self, **options: Any) -> multistack.Port:
        with self.ns.inside():
            return super().port(**options)

    def _peer(self, family: int, port: int) -> KernelPeer:
        return KernelPeer(self.ns, family, self.peer_addr[family], port)

    def close(self) -> None:
        self.keep.close()
        self.ns.close()


class Daemon:
    """multistackd in the foreground, in a namespace."""

    def __init__(self, ns: Netns, scratch: Path, *options: str) -> None:
        self.ns = ns
        self.public = Path(tempfile.mkdtemp(prefix="ms-"))  # for all users
        self.public.chmod(0o755)
        self.socket = self.public / "multistack.sock"
        self.log = scratch / "multistackd.log"
        self.options = options
        self.start()

    def start(self) -> None:
        words = [daemon_path(), "--foreground", "--verbose", "--socket", self.socket]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                self.ns.command(*words, *self.options), stdout=log, stderr=log
            )
        until = time.monotonic() + PATIENCE_S
        while not self._listens():
            if self.process.poll() is not None or time.monotonic() > until:
                self.kill()
                raise RuntimeError(
                    f"multistackd does not start: {self.log.read_text()}"
                )
            time.sleep(0.01)

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            try:
                s.connect(str(self.socket))
            except OSError:
                return False
        return True

    @property
    def pid(self) -> int:
        return self.process.pid

    def kill(self) -> None:
        """As the kernel does when memory runs out."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """As systemd does."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(PATIENCE_S)
        finally:
            self.kill()
        assert code == 0, (
            f"multistackd ended with {code}: {self.log.read_text()[-2000:]}"
        )

    def close(self) -> None:
        try:
            self.stop()
        finally:
            shutil.rmtree(self.public)


class HostedWorld(World):
    """A switch beside the host's stack, in a namespace of its own.

    wired: on one end of a veth whose other end is in another namespace; else on
    lo. `control` is the switch's device string without an interface.
    """

    control = ""
    kind = ""  # of the attachment
    lo_kind = ""  # how lo could be attached

    def __init__(self, wired: bool) -> None:
        super().__init__()
        self.ns = Netns("srv")
        self.far: Netns | None = None
        try:
            self._wire(wired)
            self._start()
        except BaseException:
            self._unwire()
            raise
        self.device = self.control + self.nic

    def _start(self) -> None:
        """Puts the switch there, and sets `control`."""
        raise NotImplementedError

    def _stop(self) -> None:
        raise NotImplementedError

    def _wire(self, wired: bool) -> None:
        if wired:
            self.nic = "eth0"
            self.far = Netns("cli")
            veth(self.ns, self.far, ADDRS)
            return
        self.nic = "lo"
        self.peer_addr = self.addr
        for family, addr in self.addr.items():
            nodad = ["nodad"] if family == 6 else []
            self.ns.ip("addr", "add", addr, "dev", "lo", *nodad)

    def _unwire(self) -> None:
        if self.far:
            self.far.close()
        self.ns.close()

    def open(self, device: str, **options: Any) -> multistack.Port:
        """A port as the namespace's programs have it."""
        with self.inside():
            return multistack.Port(device, **options)

    def port(self, **options: Any) -> multistack.Port:
        return self.open(self.device, **options)

    def well(self) -> bool:
        """Whether the switch itself came to no harm."""
        raise NotImplementedError

    def administer(self) -> multistack.Control:
        with self.inside():
            return multistack.Control(self.control)

    def _peer(self, family: int, port: int) -> KernelPeer:
        return KernelPeer(self.far or self.ns, family, self.peer_addr[family], port)

    def inside(self) -> contextlib.AbstractContextManager[None]:
        return self.ns.inside()

    def close(self) -> None:
        try:
            self._stop()
        finally:
            self._unwire()


class DaemonWorld(HostedWorld):
    """multistackd."""

    lo_kind = "tc"

    def __init__(self, scratch: Path, kind: str) -> None:
        self.name = f"daemon-{kind}"
        self.kind, self.scratch = kind, scratch
        super().__init__(wired=kind != "tc")

    def _start(self) -> None:
        self.daemon = Daemon(
            self.ns, self.scratch, "--attach", f"{self.kind}:{self.nic}"
        )
        self.control = f"daemon@{self.daemon.socket}:"

    def _stop(self) -> None:
        self.daemon.close()

    def well(self) -> bool:
        return self.daemon.process.poll() is None


class ModuleWorld(HostedWorld):
    """The kernel module, which is there; everybody may use it meanwhile."""

    control = "kmod:"
    lo_kind = "rx_handler"

    def __init__(self, kind: str) -> None:
        self.name = f"module-{kind}"
        self.kind = "xdp" if kind == "xdp" else "rx_handler"
        super().__init__(wired=kind != "lo")

    def _start(self) -> None:
        os.chmod(MODULE, 0o666)
        with self.administer() as control:
            control.attach(self.nic, self.kind)

    def _stop(self) -> None:
        """The namespace may have lost the interface in a test."""
        with self.administer() as control:
            if self.nic in [n.name for n in control.list_nics()]:
                control.detach(self.nic)

    def well(self) -> bool:
        tainted = int(Path("/proc/sys/kernel/tainted").read_text())
        return not tainted & (TAINT_DIE | TAINT_WARN)


TAINT_DIE, TAINT_WARN = 1 << 7, 1 << 9  # Documentation/admin-guide/tainted-kernels
MODULE = "/dev/multistack"
# What $MULTISTACK_TEST_DEVICE=module tests, in a guest that has it loaded, and
# what is tested else.
KMOD = os.environ.get("MULTISTACK_TEST_DEVICE") == "module"
HOSTED = (
    ["module-rx_handler", "module-lo", "module-xdp"]
    if KMOD
    else ["daemon-xdp", "daemon-tc"]
)
if os.environ.get("MULTISTACK_GUEST", "").startswith("uml"):
    HOSTED.remove("module-xdp")  # User Mode Linux has no BPF compiler
KINDS = HOSTED if KMOD else ["pair", "tap", *HOSTED]
WIRED = HOSTED[0]  # on veth


def make(kind: str, scratch: Path) -> World:
    if kind == "pair":
        return PairWorld()
    if kind == "tap":
        need(os.path.exists("/dev/net/tun"), "tap needs /dev/net/tun")
        return TapWorld()
    carrier, _, way = kind.partition("-")
    if carrier == "module":
        need(os.path.exists(MODULE), f"no {MODULE}: load the module")
        return ModuleWorld(way)
    return DaemonWorld(scratch, way)


@contextlib.contextmanager
def hosted(kind: str, scratch: Path) -> Iterator[HostedWorld]:
    with world(kind, scratch) as made:
        assert isinstance(made, HostedWorld)
        yield made


@contextlib.contextmanager
def world(kind: str, scratch: Path) -> Iterator[World]:
    made = make(kind, scratch)
    try:
        yield made
    finally:
        made.close()


def raw_socket(ns: Netns, nic: str) -> socket.socket:
    """A packet socket: whole frames as they are."""
    with ns.inside():
        s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    s.bind((nic, 0))
    return s


__all__ = [
    "HOSTED",
    "KINDS",
    "KMOD",
    "WIRED",
    "Daemon",
    "DaemonWorld",
    "HostedWorld",
    "KernelPeer",
    "ModuleWorld",
    "PairWorld",
    "Peer",
    "Stack",
    "World",
    "daemon_path",
    "eventually",
    "hosted",
    "make",
    "raw_socket",
    "sh",
    "udp_frame",
    "udp_parse",
    "world",
]
