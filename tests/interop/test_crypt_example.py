# SPDX-License-Identifier: BSD-2-Clause
"""ext_crypt, the example: a file between two stacks on a wire, and who has another
secret, or no encryption."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
from harness import MB, ROOT, pattern
from netns import Netns, need, veth

ADDRS = {4: ("10.82.0.1", "10.82.0.2"), 6: ("fd82::1", "fd82::2")}
BUILD = Path(os.environ.get("MULTISTACK_BUILD", str(ROOT / "build" / "plain")))
PROGRAM = BUILD / "lib" / "examples" / "ext_crypt"
PORT = 7009
PATIENCE_S = 60


@pytest.fixture
def wire() -> Iterator[tuple[Netns, Netns]]:
    need(PROGRAM.exists(), f"{PROGRAM} is not built; ./inv build, with libssl-dev")
    one, other = Netns("one"), Netns("other")
    try:
        veth(one, other, ADDRS)
        for ns in (one, other):
            subprocess.run(
                ns.command("ethtool", "-K", "eth0", "tx", "off"),
                check=True,
                capture_output=True,
            )
        yield one, other
    finally:
        one.close()
        other.close()


@contextlib.contextmanager
def example(
    ns: Netns, what: str, secret: str, out: IO[bytes] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    argv = ns.command(PROGRAM, "xdp:eth0", what, PORT, ADDRS[4][1], secret)
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=out, stderr=subprocess.PIPE
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def transfer(
    wire: tuple[Netns, Netns], data: bytes, secrets: tuple[str, str]
) -> tuple[bytes, list[tuple[int, str]]]:
    """What arrived; each end's status and words, the sender's first."""
    with (
        tempfile.TemporaryFile() as out,
        example(wire[1], "recv", secrets[1], out) as receiver,
    ):
        for _ in range(50):
            with example(wire[0], "send", secrets[0]) as sender:
                _, words = sender.communicate(data, timeout=PATIENCE_S)
            if b"refused" not in words:  # it listens by now
                break
        _, heard = receiver.communicate(timeout=PATIENCE_S)
        out.seek(0)
        return out.read(), [
            (sender.returncode, words.decode()),
            (receiver.returncode, heard.decode()),
        ]


def test_a_file(wire: tuple[Netns, Netns]) -> None:
    data = b"".join(bytes(pattern(at, MB)) for at in range(0, 8 * MB, MB))[: 8 * MB]
    got, ends = transfer(wire, data, ("sesame", "sesame"))
    assert got == data
    for status, words in ends:
        assert status == 0, words
        assert f"{len(data)} bytes, as they were sent" in words


def test_another_secret(wire: tuple[Netns, Netns]) -> None:
    got, ends = transfer(wire, b"for a friend", ("sesame", "open"))
    assert got == b""
    assert ends[0][0] == 1
    assert "somebody is in between" in ends[0][1]
    assert ends[1][0] == 1
