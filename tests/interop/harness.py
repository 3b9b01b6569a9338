# SPDX-License-Identifier: BSD-2-Clause
"""UTCP on a TUN device, the kernel at its other end, and what passes between.

What is sent is one pattern, compared byte by byte where it arrives, so that a
failure names the first byte that is wrong.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from netns import Netns, need

ROOT = Path(__file__).resolve().parents[2]
TUN = "ut0"
KERNEL = {4: "10.78.0.1", 6: "fd78::1"}
UTCP = {4: "10.78.0.2", 6: "fd78::2"}
AF = {4: socket.AF_INET, 6: socket.AF_INET6}
ANY = {4: "0.0.0.0", 6: "::"}
FULL = bool(os.environ.get("INTEROP_FULL"))
PATTERN_BYTES = 1000003
PATIENCE_S = 60.0  # for what comes, on however slow a machine
# Its timers are what many tests look at: ahead of what else is at work here.
AHEAD = ("nice", "-n", "-15")
MB = 1 << 20

Event = dict[str, Any]


def size(ci: int, full: int) -> int:
    """Bytes of a transfer."""
    return full if FULL else ci


def program(name: str) -> Path:
    build = os.environ.get("MULTISTACK_BUILD", str(ROOT / "build" / "plain"))
    path = Path(build, "tests", "interop", name)
    need(path.exists(), f"{path} is not built; ./inv build")
    return path


def _splitmix(n: int) -> bytes:
    mask = (1 << 64) - 1
    x = 0x123456789ABCDEF
    words = []
    for _ in range((n + 7) // 8):
        x = (x + 0x9E3779B97F4A7C15) & mask
        z = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ z >> 27) * 0x94D049BB133111EB) & mask
        words.append(z ^ z >> 31)
    return struct.pack(f"<{len(words)}Q", *words)[:n]


_BLOCK = _splitmix(PATTERN_BYTES)
_TWICE = memoryview(_BLOCK + _BLOCK)


def pattern(at: int, n: int) -> memoryview:
    """n bytes, at most PATTERN_BYTES, from offset `at` on."""
    at %= PATTERN_BYTES
    return _TWICE[at : at + n]


# ---- the kernel's end ---------------------------------------------------------


class Rig:
    """A namespace of the kernel's with a TUN device to UTCP."""

    def __init__(self) -> None:
        self.ns = Netns("kernel")
        self.ns.ip("tuntap", "add", TUN, "mode", "tun", "vnet_hdr")
        self.ns.ip("link", "set", TUN, "txqueuelen", 20000, "up")
        self.ns.ip("addr", "add", f"{KERNEL[4]}/24", "dev", TUN)
        self.ns.ip("addr", "add", f"{KERNEL[6]}/64", "dev", TUN, "nodad")
        self.ns.ip("route", "add", "198.18.0.0/15", "dev", TUN)
        self.sysctl("net.ipv4.ip_local_port_range", "1100 64000")
        self.sysctl("net.core.somaxconn", "65535")
        self.sysctl("net.ipv4.tcp_max_syn_backlog", "65535")

    def close(self) -> None:
        self.ns.close()

    def sysctl(self, name: str, value: object | None = None) -> str:
        """Sets it in the namespace; what it was."""
        path = Path("/proc/sys", name.replace(".", "/"))
        with self.ns.inside():
            was = path.read_text().strip()
            if value is not None:
                path.write_text(str(value))
        return was

    def nstat(self, name: str) -> int:
        """A counter of the kernel's TCP, as netstat -s has it."""
        with self.ns.inside():
            text = Path("/proc/thread-self/net/netstat").read_text()
            text += Path("/proc/thread-self/net/snmp").read_text()
        lines = text.splitlines()
        for names, values in zip(lines[::2], lines[1::2], strict=True):
            if name in names.split():
                return int(values.split()[names.split().index(name)])
        raise KeyError(name)

    def socket(self, family: int, kind: int = socket.SOCK_STREAM) -> socket.socket:
        with self.ns.inside():
            return socket.socket(AF[family], kind)


def well(words: object, said: Event) -> Event:
    """A reply that must be one."""
    assert said["result"] >= 0, f"{words}: {os.strerror(-said['result'])}"
    return said


class Peer:
    """A utcp-peer process: commands, their replies, events."""

    def __init__(self, rig: Rig, name: str, *options: object) -> None:
        argv = [program("utcp-peer"), "--tun", TUN]
        for family in (4, 6):
            argv += ["--addr", UTCP[family]]
        folder = os.environ.get("INTEROP_PCAP")
        if folder:
            safe = re.sub(r"[^\w.-]+", "_", name)
            argv += ["--pcap", Path(folder, f"{safe}.pcap"), "--snap", "128"]
        self.argv = [*AHEAD, *rig.ns.command(*argv, *options)]
        self._child = subprocess.Popen(
            self.argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self._news = threading.Condition()
        self._events: list[Event] = []
        self._replies: list[Event] = []
        self._over = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.event("ready")
        with self._news:  # of the addresses
            assert all(r["result"] == 0 for r in self._replies), self._replies
            self._replies.clear()

    def _read(self) -> None:
        assert self._child.stdout
        for line in self._child.stdout:
            try:
                said = json.loads(line)
            except ValueError:
                said = {"event": "garbled", "line": line}
            with self._news:
                (self._replies if "reply" in said else self._events).append(said)
                self._news.notify_all()
        with self._news:
            self._over = True
            self._news.notify_all()

    def _gone(self) -> AssertionError:
        assert self._child.stderr
        code = self._child.wait(PATIENCE_S)
        return AssertionError(
            f"utcp-peer ended with {code}:\n{self._child.stderr.read()[-6000:]}"
        )

    def _wait(self, found: Callable[[], Any], what: str, seconds: float) -> Any:
        until = time.monotonic() + seconds
        with self._news:
            while True:
                it = found()
                if it is not None:
                    return it
                if self._over:
                    break
                left = until - time.monotonic()
                if left <= 0:
                    raise AssertionError(
                        f"{what}: not within {seconds} s; events not asked for: "
                        f"{self._events[-5:]}"
                    )
                self._news.wait(left)
        raise self._gone()

    def event(self, kind: str, name: str = "", seconds: float = PATIENCE_S) -> Event:
        """Waits for one, and takes it."""

        def found() -> Event | None:
            for i, e in enumerate(self._events):
                if e["event"] == kind and (not name or e["name"] == name):
                    return self._events.pop(i)
            return None

        return self._wait(found, f"event {kind} {name}", seconds)  # type: ignore[no-any-return]

    def has(self, kind: str, name: str = "") -> bool:
        with self._news:
            return any(
                e["event"] == kind and (not name or e["name"] == name)
                for e in self._events
            )

    def say(self, *words: object) -> None:
        """A command, whose reply is to be taken later."""
        assert self._child.stdin
        try:
            self._child.stdin.write(" ".join(map(str, words)) + "\n")
        except (BrokenPipeError, ValueError):
            raise self._gone() from None

    def reply(self, words: object) -> Event:
        def found() -> Event | None:
            return self._replies.pop(0) if self._replies else None

        return self._wait(found, f"reply to {words}", PATIENCE_S)  # type: ignore[no-any-return]

    def try_do(self, *words: object) -> Event:
        """A command; its reply."""
        self.say(*words)
        return self.reply(words)

    def do(self, *words: object) -> Event:
        """One that must succeed."""
        return well(words, self.try_do(*words))

    def do_at_once(self, *commands: str) -> list[Event]:
        """Several, with no time between them; all must succeed."""
        with self.stopped():
            for command in commands:
                self.say(command)
        return [well(command, self.reply(command)) for command in commands]

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """What it is told and sent meanwhile it finds all at once afterwards:
        packets first, though a link's delay begins only then."""
        self._child.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._child.pid, os.WSTOPPED)
        try:
            yield
        finally:
            self._child.send_signal(signal.SIGCONT)

    def listen(self, family: int, port: int, mode: str, *settings: object) -> None:
        self.do("listen", "server", ANY[family], port, mode, *settings)

    def connect(self, family: int, port: int, mode: str, *settings: object) -> None:
        self.do("connect", "client", KERNEL[family], port, mode, *settings)

    def info(self, name: str) -> Event:
        return self.do("info", name)

    def counters(self) -> Event:
        said: Event = dict.fromkeys(["timeouts", "retrans_segs", "fast_recovery"], 0)
        return said | self.do("counters")

    def count(self, name: str) -> int:
        return int(self.counters().get(name, 0))

    def until(
        self, look: Callable[[], Any], what: str, seconds: float = PATIENCE_S
    ) -> Any:
        """The first true answer of look()."""
        end = time.monotonic() + seconds
        while True:
            found = look()
            if found:
                return found
            assert time.monotonic() < end, f"{what}: not within {seconds} s"
            time.sleep(0.01)

    def cpu_s(self) -> float:
        """Of the process so far."""
        text = Path(f"/proc/{self._child.pid}/stat").read_text()
        fields = text.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def kill(self) -> None:
        """Vanishes, as a machine without power does."""
        self._child.kill()
        self._child.wait(PATIENCE_S)
        self._shut()

    def close(self) -> None:
        """Ends it in order; a sanitizer's complaint is a failure."""
        if self._child.poll() is None:
            with contextlib.suppress(BrokenPipeError, ValueError):
                assert self._child.stdin
                self._child.stdin.write("quit\n")
            try:
                self._child.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
                raise AssertionError("utcp-peer does not end: it hangs") from None
            finally:
                code = self._child.returncode
                said = self._child.stderr.read() if self._child.stderr else ""
                self._shut()
            assert code == 0, f"utcp-peer ended with {code}:\n{said[-6000:]}"
        else:
            self._shut()

    def _shut(self) -> None:
        self._reader.join(PATIENCE_S)
        for pipe in (self._child.stdin, self._child.stdout, self._child.stderr):
            if pipe and not pipe.closed:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


class Bench:
    """One test's peers, kernel sockets and settings."""

    def __init__(self, rig: Rig, name: str) -> None:
        self.rig = rig
        self.name = name
        self.cc = b"cubic"  # the kernel's, for sockets made from now on
        self._peers: list[Peer] = []
        self._settings: dict[str, str] = {}
        self._sockets: list[socket.socket] = []

    def peer(self, *options: object) -> Peer:
        """A stack; the one before must have ended: there is one device."""
        number = f"-{len(self._peers)}" if self._peers else ""
        made = Peer(self.rig, self.name + number, *options)
        self._peers.append(made)
        return made

    def sysctl(self, **values: object) -> None:
        """tcp_sack=0 and so on, until the test is over."""
        for name, value in values.items():
            full = f"net.ipv4.{name}"
            was = self.rig.sysctl(full, value)
            self._settings.setdefault(full, was)

    def socket(
        self, family: int, kind: int = socket.SOCK_STREAM, seconds: float = PATIENCE_S
    ) -> socket.socket:
        made = self.rig.socket(family, kind)
        made.settimeout(seconds)
        if kind == socket.SOCK_STREAM:
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, self.cc)
        self._sockets.append(made)
        return made

    def connect(
        self, family: int, port: int, seconds: float = PATIENCE_S
    ) -> socket.socket:
        """A kernel client of UTCP's server."""
        made = self.socket(family, seconds=seconds)
        made.connect((UTCP[family], port))
        return made

    def listener(self, family: int, port: int = 0, backlog: int = 1024) -> Any:
        """A kernel server; its port is getsockname()[1]."""
        made = self.socket(family)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((KERNEL[family], port))
        made.listen(backlog)
        return made

    def accept(self, listener: socket.socket) -> socket.socket:
        made, _ = listener.accept()
        made.settimeout(PATIENCE_S)
        self._sockets.append(made)
        return made

    def close(self) -> None:
        for sock in self._sockets:
            # No retransmission of this test is to come into the next.
            if sock.fileno() >= 0 and sock.type == socket.SOCK_STREAM:
                reset_on_close(sock)
            sock.close()
        for name, was in self._settings.items():
            self.rig.sysctl(name, was)
        faults = []
        for peer in self._peers:
            try:
                peer.close()
            except AssertionError as e:
                faults.append(e)
        if faults:
            raise faults[0]


# ---- connections that commands drive ---------------------------------------------


def held(
    bench: Bench, peer: Peer, role: str = "server", family: int = 4, *settings: str
) -> tuple[socket.socket, str]:
    """An open connection that does nothing by itself: kernel's end, our name."""
    if role == "server":
        peer.listen(family, 7000, "hold", *settings)
        sock = bench.connect(family, 7000)
        peer.event("accepted", "server.0")
        return sock, "server.0"
    listener = bench.listener(family)
    peer.connect(family, listener.getsockname()[1], "hold", *settings)
    sock = bench.accept(listener)
    peer.event("open", "client")
    return sock, "client"


def state(peer: Peer, name: str) -> str:
    return str(peer.info(name)["state"])


def reaches(peer: Peer, name: str, wanted: str) -> None:
    peer.until(lambda: state(peer, name) == wanted, f"state {wanted}")


# ---- transfers -------------------------------------------------------------------


def send_pattern(sock: socket.socket, n: int, at: int = 0) -> None:
    """n bytes of it, and no end."""
    end = at + n
    while at < end:
        at += sock.send(pattern(at, min(end - at, 256 * 1024)))


def recv_pattern(sock: socket.socket, n: int | None = None, at: int = 0) -> int:
    """n bytes, or all until the end; how many. They must be the pattern's."""
    start = at
    while n is None or at < start + n:
        room = 256 * 1024 if n is None else min(256 * 1024, start + n - at)
        got = sock.recv(room)
        if not got:
            assert n is None, f"the end came after {at - start} of {n} bytes"
            return at - start
        want = pattern(at, len(got))
        if got != want:
            wrong = next(i for i, b in enumerate(got) if b != want[i])
            raise AssertionError(f"byte {at + wrong} is wrong")
        at += len(got)
    return at - start


def echo_all(sock: socket.socket) -> int:
    """Gives back what comes until the end, and ends too; how much."""
    total = 0
    while True:
        got = sock.recv(256 * 1024)
        if not got:
            sock.shutdown(socket.SHUT_WR)
            return total
        sock.sendall(got)
        total += len(got)


@contextlib.contextmanager
def meanwhile(work: Callable[[], Any]) -> Iterator[list[Any]]:
    """Does work in a thread; its answer is in the list after the block."""
    answer: list[Any] = []
    faults: list[BaseException] = []

    def run() -> None:
        try:
            answer.append(work())
        except BaseException as e:
            faults.append(e)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield answer
    except BaseException as e:
        thread.join(1)
        if faults:
            raise faults[0] from e
        raise
    thread.join(600)
    assert not thread.is_alive(), "it does not end"
    if faults:
        raise faults[0]


def full_duplex(sock: socket.socket, n: int) -> int:
    """Sends n bytes and shuts down while it takes all that comes."""

    def send() -> None:
        send_pattern(sock, n)
        sock.shutdown(socket.SHUT_WR)

    with meanwhile(send):
        return recv_pattern(sock)


def reset_on_close(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def readable(sock: socket.socket, seconds: float) -> bool:
    return bool(select.select([sock], [], [], seconds)[0])


# ---- what the kernel says of a connection ----------------------------------------------

TCPI_OPT = {
    "timestamps": 1,
    "sack": 2,
    "wscale": 4,
    "ecn": 8,
    "ecn_seen": 16,
    "fastopen": 32,
}
_INFO = struct.Struct("<8B24I")
_INFO_WORDS = """rto ato snd_mss rcv_mss unacked sacked lost retrans fackets
 last_data_sent last_ack_sent last_data_recv last_ack_recv pmtu rcv_ssthresh rtt
 rttvar snd_ssthresh snd_cwnd advmss reordering rcv_rtt rcv_space total_retrans"""


def kernel_info(sock: socket.socket) -> dict[str, Any]:
    """TCP_INFO; `options` as a set of names. Times in microseconds."""
    raw = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    values = _INFO.unpack(raw[: _INFO.size])
    said: dict[str, Any] = dict(zip(_INFO_WORDS.split(), values[8:], strict=True))
    said["state"] = values[0]
    said["backoff"] = values[4]
    said["options"] = {n for n, bit in TCPI_OPT.items() if values[5] & bit}
    return said
