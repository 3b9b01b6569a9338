# SPDX-License-Identifier: BSD-2-Clause
"""lib/crypt against an end of tcpcrypt that shares no line with it: RFC 8548 has
no test vectors."""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Iterator

import pytest
from harness import program

tcpcrypt = pytest.importorskip("tcpcrypt", reason="cryptography is missing")

EBADMSG = 74
ROLES = {"A": b"\x45\x03", "B": b"\x45\x04\x01"}


class Line:
    """A crypt-line process."""

    def __init__(self) -> None:
        self.child = subprocess.Popen(
            [program("crypt-line")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.out = b""
        self.got = b""
        self.session_id = self.next = b""

    def close(self) -> None:
        self.child.communicate()
        assert self.child.returncode == 0

    def say(self, *words: object) -> int:
        assert self.child.stdin and self.child.stdout
        print(*words, file=self.child.stdin, flush=True)
        result = -1
        while (line := self.child.stdout.readline().strip()) != ".":
            assert line, "crypt-line ended"
            what, *rest = line.split()
            if what == "emit":
                self.out += bytes.fromhex(rest[0])
            elif what == "got":
                self.got += bytes.fromhex(rest[0])
            elif what == "next":
                self.next = bytes.fromhex(rest[0])
            else:
                result = int(rest[0])
                self.session_id = bytes.fromhex("".join(rest[1:]))
        return result

    def feed(self, data: bytes, piece: int = 1448) -> int:
        """In pieces; the first error."""
        for at in range(0, len(data), piece):
            result = self.say("in", data[at : at + piece].hex())
            if result:
                return result
        return 0

    def taken(self) -> bytes:
        out, self.out = self.out, b""
        return out


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line()
    yield made
    made.close()


def opened(line: Line, role: str, tep: int, aead: int, more: bytes = b"") -> object:
    """`line` is host `role`, the reference the other; keys are agreed on."""
    options = {r: head + bytes([tep]) for r, head in ROLES.items()}
    other = "AB".replace(role, "")
    end = tcpcrypt.End(other == "A", options[other], options[role], tep, [aead])
    # What is first in our list is what host B takes.
    offers = ",".join(str(n) for n in (aead, *tcpcrypt.AEADS))
    assert line.say("start", options[role].hex(), options[other].hex(), offers) == 0
    if other == "A":
        assert line.feed(end.init1()) == 0
        end.inbox = line.taken()
        end.take_init()
    else:
        end.inbox = line.taken()
        assert line.feed(end.take_init(more)) == 0
    return end


def talk(line: Line, end: object) -> None:
    """Both ways, sizes of all kinds, new keys by either, and both ends."""
    said = os.urandom(70000)
    for n in (1, 1000, 16384, 16385, 70000):
        assert line.say("write", said[:n].hex()) == n
    assert line.say("rekey") == 0
    assert line.say("write", said[:10].hex()) == 10
    end.inbox += line.taken()
    end.take_frames()
    assert end.got == b"".join(said[:n] for n in (1, 1000, 16384, 16385, 70000, 10))
    assert end.rx.gen == 1
    stream = end.frame(b"", rekey=True)  # the answer
    stream += end.frame(b"abc") + end.frame(said[:65000])
    stream += end.frame(b"urgent", flags=tcpcrypt.URGP)
    stream += end.frame(b"of later times", flags=0xFC, control=0xFE)
    stream += end.frame(b"x", rekey=True)
    assert line.feed(stream) == 0
    assert line.got == b"abc" + said[:65000] + b"urgentof later timesx"
    end.inbox += line.taken()
    end.take_frames()
    assert end.rx.gen == 2  # it followed
    assert line.say("end") == 0
    end.inbox += line.taken()
    end.take_frames()
    assert end.fin
    assert line.say("closed") == -EBADMSG
    assert line.feed(end.frame(b"last", flags=tcpcrypt.FINP)) == 0
    assert line.say("closed") == 0
    assert line.got.endswith(b"last")


@pytest.mark.parametrize(
    ("role", "name", "aead"),
    [
        *itertools.product("AB", tcpcrypt.TEPS, [0x0001]),
        *itertools.product("AB", ["X25519"], [0x0002, 0x0010]),
    ],
)
def test_fresh_keys(line: Line, role: str, name: str, aead: int) -> None:
    end = opened(line, role, tcpcrypt.TEPS[name], aead)
    assert line.session_id == end.session_id
    assert len(end.session_id) == 33
    assert line.next == end.next_secret()
    talk(line, end)


def test_what_follows_the_key_counts_and_is_ignored(line: Line) -> None:
    end = opened(line, "A", 0x23, 1, more=b"of later times")
    assert line.session_id == end.session_id
    talk(line, end)


@pytest.mark.parametrize("role", "AB")
@pytest.mark.parametrize("was", "AB")
@pytest.mark.parametrize("lengths", [(8, 8), (8, 7), (0, 0)])
def test_resumed(line: Line, role: str, was: str, lengths: tuple[int, int]) -> None:
    """Whoever opened the first connection, whoever opens this one."""
    ss = os.urandom(32)
    ident = tcpcrypt.resume_id(ss)
    half = {"A": ident[:9], "B": ident[9:]}
    other = "AB".replace(role, "")
    other_was = "AB".replace(was, "")
    options = {}
    for r, w, n in ((role, was, lengths[0]), (other, other_was, lengths[1])):
        body = (b"\x01" if r == "B" else b"") + b"\xa4" + half[w] + os.urandom(n)
        options[r] = bytes([69, 2 + len(body)]) + body
    end = tcpcrypt.End(other == "A", options[other], options[role], 0xA4, [])
    end.resume(ss, 0x0010, other_was == "A")
    said = line.say(
        "resume", options[role].hex(), options[other].hex(), ss.hex(), 0x24, 0x10, was
    )
    assert said == 0
    assert line.out == b""
    assert line.session_id == end.session_id
    assert end.session_id[0] == 0xA4
    assert line.next == end.next_secret()
    talk(line, end)


def test_a_bit_turned(line: Line) -> None:
    end = opened(line, "B", 0x23, 1)
    frame = bytearray(end.frame(b"secret"))
    frame[-1] ^= 1
    assert line.feed(bytes(frame)) == -EBADMSG
    assert line.got == b""
