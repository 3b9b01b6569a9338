# SPDX-License-Identifier: BSD-2-Clause
"""A stack with tcpcrypt on a device: to the kernel, which has none, it speaks
plain TCP; with an end that is not ours, whose segments are made by hand here, it
encrypts."""

from __future__ import annotations

import contextlib
import errno
import random
import socket
import struct
import time
from collections.abc import Iterator

import pytest
from harness import MB, TUN, UTCP, Bench, Peer, full_duplex, pattern, size

tcpcrypt = pytest.importorskip("tcpcrypt", reason="cryptography is missing")

N = size(MB // 2, 50 * MB)
PLAIN = -errno.EOPNOTSUPP
STRANGER = "198.18.0.9"  # routed to the device, and no address of the kernel's
ENO = 69
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16


def crypt_peer(bench: Bench, *options: object) -> Peer:
    return bench.peer("--crypt", *options)


def session(peer: Peer, name: str) -> int:
    return int(peer.try_do("session", name)["result"])


# ---- the kernel -----------------------------------------------------------------


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("link", ["", "loss=0.01,reorder=0.01,late=1ms,delay=300us"])
@pytest.mark.parametrize("role", ["server", "client"])
def test_plain_with_the_kernel(bench: Bench, role: str, link: str, family: int) -> None:
    peer = crypt_peer(bench, *(("--in", link, "--out", link) if link else ()))
    if role == "server":
        peer.listen(family, 7000, "both", N, "keep")
        sock, name = bench.connect(family, 7000), "server.0"
    else:
        listener = bench.listener(family)
        peer.connect(family, listener.getsockname()[1], "both", N, "keep")
        sock, name = bench.accept(listener), "client"
    assert full_duplex(sock, N) == N
    peer.until(lambda: peer.info(name)["eof"], "the end")
    ours = peer.info(name)
    assert ours["bad_at"] == -1
    assert ours["rx"] == N
    assert {"sack", "timestamps", "wscale"} <= set(ours["negotiated"])
    assert session(peer, name) == PLAIN


# ---- an end made by hand ------------------------------------------------------------


def checksum(data: bytes) -> int:
    total = sum(
        struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2))
    )
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Stranger:
    """One connection's end, of segments; the link loses nothing."""

    def __init__(self, bench: Bench, port: int) -> None:
        with bench.rig.ns.inside():
            self.sock = socket.socket(
                socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800)
            )
        self.sock.bind((TUN, 0x0800))
        self.sock.settimeout(5)
        self.port, self.peer_port = random.randrange(20000, 60000), port
        self.seq = random.getrandbits(32)
        self.ack = 0
        self.data = b""
        self.flags = 0  # of all that came
        self.options: list[bytes] = []  # ENO, of each segment that came

    def send(self, flags: int, data: bytes = b"", options: bytes = b"") -> None:
        options += b"\1" * (-len(options) % 4)
        head = struct.pack(
            "!HHIIBBHHH", self.port, self.peer_port, self.seq, self.ack,
            (5 + len(options) // 4) << 4, flags, 65535, 0, 0,
        )  # fmt: skip
        src, dst = socket.inet_aton(STRANGER), socket.inet_aton(UTCP[4])
        seg = head + options + data
        pseudo = src + dst + struct.pack("!HH", 6, len(seg))
        seg = seg[:16] + struct.pack("!H", checksum(pseudo + seg)) + seg[18:]
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(seg), 1, 0, 64, 6, 0)
        ip += src + dst
        ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
        self.sock.sendto(ip + seg, (TUN, 0x0800))
        self.seq += len(data) + bool(flags & (SYN | FIN))
        self.seq &= 0xFFFFFFFF

    def recv(self) -> int:
        """One segment for us, its data to self.data; its flags."""
        while True:
            packet = self.sock.recv(65536)
            if packet[16:20] != socket.inet_aton(STRANGER):
                continue
            tcp = packet[(packet[0] & 15) * 4 : struct.unpack_from("!H", packet, 2)[0]]
            sport, dport, seq, _, head, flags = struct.unpack_from("!HHIIBB", tcp)
            if self.port not in (0, dport) or self.peer_port not in (0, sport):
                continue
            self.port, self.peer_port = dport, sport
            options, data = tcp[20 : head >> 2], tcp[head >> 2 :]
            self.options.append(eno(options))
            self.flags |= flags
            if flags & SYN:
                self.ack = (seq + 1) & 0xFFFFFFFF
            elif seq == self.ack and (data or flags & FIN):
                self.data += data
                self.ack = (seq + len(data) + (flags & FIN)) & 0xFFFFFFFF
                self.send(ACK)
            return flags

    def until(self, n: int) -> None:
        """n bytes are there."""
        end = time.monotonic() + 10
        while len(self.data) < n:
            assert time.monotonic() < end
            self.recv()


def eno(options: bytes) -> bytes:
    """The option, with kind and length; empty: there is none."""
    while options and options[0]:
        n = 1 if options[0] == 1 else options[1]
        if options[0] == ENO:
            return options[:n]
        options = options[n:]
    return b""


@contextlib.contextmanager
def stranger(bench: Bench, port: int) -> Iterator[Stranger]:
    made = Stranger(bench, port)
    with contextlib.closing(made.sock):
        yield made


def talk(peer: Peer, name: str, wire: Stranger, end: object) -> None:
    """Bytes each way under keys that are agreed on, and an end."""
    peer.until(lambda: session(peer, name) == 0, "keys")
    peer.do("write", name, 3000)
    said = len(wire.data)
    wire.until(said + 3000 + 20)
    end.inbox, wire.data = wire.data, b""
    end.take_frames()
    assert end.got == pattern(0, 3000)
    wire.send(PSH | ACK, end.frame(bytes(pattern(0, 500))))
    peer.until(lambda: peer.do("read", name, 500)["result"] == 500, "500 bytes")
    # Our new key is answered by its new key.
    wire.send(PSH | ACK, end.frame(b"", rekey=True))
    wire.until(20)
    end.inbox, wire.data = wire.data, b""
    end.take_frames()
    assert end.rx.gen == 1
    wire.send(PSH | ACK | FIN, end.frame(b"", flags=tcpcrypt.FINP))
    peer.until(lambda: peer.info(name)["state"] == "close-wait", "the end")


@pytest.mark.parametrize("name", tcpcrypt.TEPS)
def test_a_client_made_by_hand(bench: Bench, name: str) -> None:
    tep = tcpcrypt.TEPS[name]
    peer = crypt_peer(bench)
    peer.listen(4, 7000, "hold")
    with stranger(bench, 7000) as wire:
        option = bytes([ENO, 3, tep])
        wire.send(SYN, options=b"\2\4\5\xb4" + option)
        assert wire.recv() == SYN | ACK
        if name not in ("X25519", "X448"):  # not by default
            assert wire.options == [b""]
            return
        assert wire.options == [bytes([ENO, 4, 1, tep])]
        end = tcpcrypt.End(True, option, wire.options[0], tep, [1])
        wire.send(ACK, options=bytes([ENO, 2]))
        peer.event("accepted", "server.0")
        assert session(peer, "server.0") == -errno.ENOTCONN
        wire.send(PSH | ACK, end.init1(), options=bytes([ENO, 2]))
        wire.until(10)
        while len(wire.data) < int.from_bytes(wire.data[4:8], "big"):
            wire.recv()
        end.inbox, wire.data = wire.data, b""
        end.take_init()
        talk(peer, "server.0", wire, end)


def test_a_server_made_by_hand(bench: Bench) -> None:
    peer = crypt_peer(bench)
    with stranger(bench, 0) as wire:
        wire.port = 7001
        peer.do("connect", "client", STRANGER, 7001, "hold")
        assert wire.recv() == SYN
        theirs = wire.options[0]
        assert theirs == bytes([ENO, 4, 0x24, 0x23])
        option = bytes([ENO, 4, 1, 0x23])
        end = tcpcrypt.End(False, option, theirs, 0x23, [1])
        wire.send(SYN | ACK, options=b"\2\4\5\xb4" + option)
        # The option is on all it sends until it hears a segment without SYN.
        wire.until(10)
        assert wire.options[1:] and set(wire.options[1:]) == {bytes([ENO, 2])}
        seen = len(wire.options)
        end.inbox, wire.data = wire.data, b""
        wire.send(PSH | ACK, end.take_init())
        talk(peer, "client", wire, end)
        assert bytes([ENO, 2]) not in wire.options[seen:]


def test_the_ack_without_the_option_means_plain(bench: Bench) -> None:
    peer = crypt_peer(bench)
    peer.listen(4, 7000, "hold")
    with stranger(bench, 7000) as wire:
        wire.send(SYN, options=b"\2\4\5\xb4" + bytes([ENO, 3, 0x23]))
        assert wire.recv() == SYN | ACK
        wire.send(PSH | ACK, bytes(pattern(0, 100)))
        peer.event("accepted", "server.0")
        peer.until(
            lambda: peer.do("read", "server.0", 100)["result"] == 100, "plain bytes"
        )
        assert session(peer, "server.0") == PLAIN


@pytest.mark.parametrize(
    "options",
    [
        bytes([ENO, 3, 0x23, ENO, 3, 0x23]),  # two of them
        bytes([ENO, 2]),  # vacuous
        bytes([ENO, 4, 0x23, 0x80]),  # a length at the end
        bytes([ENO, 4, 0x01, 0x23]),  # host B, as a listener is
        bytes([ENO, 3, 0x20]),  # another protocol
        bytes([ENO, 40, 0x23]),  # longer than what there is
    ],
)
def test_what_means_nothing_is_plain(bench: Bench, options: bytes) -> None:
    peer = crypt_peer(bench)
    peer.listen(4, 7000, "hold")
    with stranger(bench, 7000) as wire:
        wire.send(SYN, options=b"\2\4\5\xb4" + options)
        assert wire.recv() == SYN | ACK
        assert wire.options == [b""]
        wire.send(PSH | ACK, bytes(pattern(0, 100)), options=bytes([ENO, 2]))
        peer.event("accepted", "server.0")
        peer.until(
            lambda: peer.do("read", "server.0", 100)["result"] == 100, "plain bytes"
        )


def test_a_frame_that_is_not_good_ends_it(bench: Bench) -> None:
    peer = crypt_peer(bench)
    peer.listen(4, 7000, "hold")
    with stranger(bench, 7000) as wire:
        option = bytes([ENO, 3, 0x23])
        wire.send(SYN, options=b"\2\4\5\xb4" + option)
        wire.recv()
        end = tcpcrypt.End(True, option, wire.options[0], 0x23, [1])
        wire.send(PSH | ACK, end.init1(), options=bytes([ENO, 2]))
        peer.event("accepted", "server.0")
        wire.until(74)
        end.inbox, wire.data = wire.data, b""
        end.take_init()
        frame = end.frame(b"secret")
        wire.send(PSH | ACK, frame[:-1] + bytes([frame[-1] ^ 1]))
        ended = peer.event("end", "server.0")
        assert ended["error"] == errno.EBADMSG
        while not wire.flags & RST:
            wire.recv()
