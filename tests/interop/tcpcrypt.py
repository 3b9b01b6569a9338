# SPDX-License-Identifier: BSD-2-Clause
"""The other end of tcpcrypt, written from RFC 8548 alone, on the `cryptography`
package: what lib/crypt is held against. Slow, and without defences."""

from __future__ import annotations

import hashlib
import hmac
import os
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import ec, x448, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

TEPS = {"P256": 0x21, "P521": 0x22, "X25519": 0x23, "X448": 0x24}
# Identifier: class, bytes of the key.
AEADS = {0x0001: (AESGCM, 16), 0x0002: (AESGCM, 32), 0x0010: (ChaCha20Poly1305, 32)}
CURVES = {0x21: ec.SECP256R1(), 0x22: ec.SECP521R1()}
INIT1, INIT2 = 0x15101A0E, 0x097105E0
NEXTK, SESSID, REKEY, KEY_A, KEY_B, RESUME = (bytes([n]) for n in range(1, 7))
FINP, URGP = 1, 2


def mac(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha256).digest()


def cprf(key: bytes, const: bytes, n: int) -> bytes:
    """HKDF-Expand (figure 1)."""
    okm = t = b""
    for i in range(1, 2 + n // 32):
        t = mac(key, t + const + bytes([i]))
        okm += t
    return okm[:n]


def make_key(tep: int) -> tuple[object, bytes]:
    """A private key, and the public one as it is sent (section 5)."""
    if tep in CURVES:
        key = ec.generate_private_key(CURVES[tep])
        point = key.public_key().public_bytes(
            Encoding.X962, PublicFormat.CompressedPoint
        )
        return key, (2 + len(point)).to_bytes(2, "big") + point
    module = x25519.X25519PrivateKey if tep == 0x23 else x448.X448PrivateKey
    raw = module.generate()
    return raw, raw.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def agree(tep: int, key: object, message: bytes) -> bytes:
    """The shared secret with the public key that `message` begins with."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        n = int.from_bytes(message[:2], "big")
        point = ec.EllipticCurvePublicKey.from_encoded_point(CURVES[tep], message[2:n])
        return key.exchange(ec.ECDH(), point)
    if isinstance(key, x25519.X25519PrivateKey):
        return key.exchange(x25519.X25519PublicKey.from_public_bytes(message[:32]))
    assert isinstance(key, x448.X448PrivateKey)
    return key.exchange(x448.X448PublicKey.from_public_bytes(message[:56]))


@dataclass
class Way:
    """One direction's keys."""

    mk: bytes
    const: bytes
    aead: int
    ofs: int
    gen: int = 0

    def step(self) -> None:
        self.mk = cprf(self.mk, REKEY, 32)
        self.gen += 1

    def cipher(self) -> tuple[AESGCM | ChaCha20Poly1305, bytes]:
        kind, n = AEADS[self.aead]
        both = cprf(self.mk, self.const, n + 12)
        frame_id = self.ofs.to_bytes(12, "big")
        nonce = bytes(a ^ b for a, b in zip(frame_id, both[n:], strict=True))
        return kind(both[:n]), nonce


@dataclass
class End:
    """A host, in role A or B of this connection; options as they were sent."""

    a: bool
    own: bytes
    peer: bytes
    tep_byte: int
    aeads: list[int]
    was_a: bool = True
    fin: bool = False
    urgent: bool = False
    ss: bytes = b""
    sent: bytes = b""  # our Init
    inbox: bytes = b""
    got: bytes = b""
    key: object = None
    session_id: bytes = b""
    tx: Way = field(init=False)
    rx: Way = field(init=False)

    @property
    def tep(self) -> int:
        return self.tep_byte & 0x7F

    def init1(self) -> bytes:
        self.was_a = True
        body = bytes([len(self.aeads)])
        body += b"".join(n.to_bytes(2, "big") for n in self.aeads)
        return self._init(INIT1, body)

    def _init(self, magic: int, body: bytes) -> bytes:
        self.key, pub = make_key(self.tep)
        body += os.urandom(32) + pub
        head = magic.to_bytes(4, "big") + (8 + len(body)).to_bytes(4, "big")
        self.sent = head + body
        return self.sent

    def take_init(self, more: bytes = b"") -> bytes:
        """The peer's Init, whole, from the inbox; returns ours if we are B.
        `more` is put behind our key, to be ignored by the peer."""
        n = int.from_bytes(self.inbox[4:8], "big")
        theirs, self.inbox = self.inbox[:n], self.inbox[n:]
        assert len(theirs) == n
        assert theirs[:4] == (INIT2 if self.a else INIT1).to_bytes(4, "big")
        out = b""
        if self.a:
            aead = int.from_bytes(theirs[8:10], "big")
            assert aead in self.aeads
            at, init1, init2 = 10, self.sent, theirs
            n_a = init1[9 + 2 * len(self.aeads) :][:32]
        else:
            self.was_a = False
            offers = [
                int.from_bytes(theirs[9 + 2 * i :][:2], "big") for i in range(theirs[8])
            ]
            aead = next(n for n in self.aeads if n in offers)
            at = 9 + 2 * len(offers)
            n_a = theirs[at : at + 32]
            out = self._init(INIT2, aead.to_bytes(2, "big")) + more
            total = len(out).to_bytes(4, "big")
            self.sent = out = out[:4] + total + out[8:]
            init1, init2 = theirs, out
        es = agree(self.tep, self.key, theirs[at + 32 :])
        options = self.own + self.peer if self.a else self.peer + self.own
        self.ss = mac(n_a, options + init1 + init2 + es)
        self._keys(aead, b"", len(self.sent), n)
        return out

    def resume(self, ss: bytes, aead: int, was_a: bool) -> None:
        """By the nonces at the end of both options (section 3.5)."""
        nonces = [o[o.index(self.tep_byte) + 10 :] for o in (self.own, self.peer)]
        self.ss, self.was_a = ss, was_a
        self._keys(aead, b"".join(nonces if was_a else nonces[::-1]), 0, 0)

    def _keys(self, aead: int, sn: bytes, sent: int, came: int) -> None:
        mk = cprf(self.ss, REKEY + sn, 32)
        ways = (KEY_A, KEY_B) if self.was_a else (KEY_B, KEY_A)
        self.tx = Way(mk, ways[0], aead, sent)
        self.rx = Way(mk, ways[1], aead, came)
        self.session_id = bytes([self.tep_byte]) + cprf(self.ss, SESSID + sn, 32)

    def next_secret(self) -> bytes:
        return cprf(self.ss, NEXTK, 32)

    def frame(
        self, data: bytes, flags: int = 0, rekey: bool = False, control: int = 0
    ) -> bytes:
        if rekey:
            self.tx.step()
            control |= 1
        urgent = b"\0\7" if flags & URGP else b""
        plain = bytes([flags]) + urgent + data
        head = bytes([control]) + (len(plain) + 16).to_bytes(2, "big")
        cipher, nonce = self.tx.cipher()
        out = head + cipher.encrypt(nonce, plain, head)
        self.tx.ofs += len(out)
        return out

    def take_frames(self) -> None:
        """All whole ones of the inbox."""
        while len(self.inbox) >= 3:
            n = int.from_bytes(self.inbox[1:3], "big")
            if len(self.inbox) < 3 + n:
                return
            head, text = self.inbox[:3], self.inbox[3 : 3 + n]
            self.inbox = self.inbox[3 + n :]
            assert not self.fin and head[0] in (0, 1)
            if head[0]:
                self.rx.step()
            cipher, nonce = self.rx.cipher()
            plain = cipher.decrypt(nonce, text, head)
            assert plain[0] in (0, FINP)
            self.fin = plain[0] == FINP
            self.got += plain[1:]
            self.rx.ofs += 3 + n


def resume_id(ss: bytes) -> bytes:
    return cprf(ss, RESUME, 18)
