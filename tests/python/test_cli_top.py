# SPDX-License-Identifier: BSD-2-Clause
"""multistack top: rates of ports, and of connections as their stacks tell them."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest
from click.testing import CliRunner, Result
from httpd_server import httpd_path
from netns import need
from worlds import HostedWorld, eventually, sh

from multistack import _tables
from multistack.cli import main
from multistack.cli._top import si

ROOT = Path(__file__).resolve().parents[2]


def run(world: HostedWorld, *words: str) -> Result:
    with world.inside():
        return CliRunner(env={"MULTISTACK_DEVICE": world.control}).invoke(
            main, ["top", *words], catch_exceptions=False
        )


class Sender(threading.Thread):
    """Datagrams to a port, until it is told to stop."""

    def __init__(self, world: HostedWorld) -> None:
        super().__init__()
        self.peer = world.peer()
        self.to = (world.addr[4], 7000)
        self.stop = threading.Event()

    def run(self) -> None:
        while not self.stop.wait(0.002):
            self.peer.sendto(bytes(100), self.to)

    def __enter__(self) -> None:
        self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop.set()
        self.join()


def test_rates_of_ports_and_why_frames_are_dropped(alone: HostedWorld) -> None:
    with alone.port(label="slow", slots=8) as port:
        port.bind(alone.addr[4], 7000)
        with Sender(alone):
            eventually(lambda: port.stats()["drop_rx_full"], "a full ring")
            done = run(alone, "--json", "-n", "2", "-i", "0.5")
    assert done.exit_code == 0, done.output
    first, second = map(json.loads, done.stdout.splitlines())
    (told,) = second["ports"]
    assert (told["label"], told["user"], told["pid"]) == ("slow", "root", os.getpid())
    assert list(told["drops"]) == ["rx_full"]
    assert told["dropped"] == told["drops"]["rx_full"] > 0
    assert first["connections"] == [] and told["rx_frames"] == 0


def test_as_tables(alone: HostedWorld) -> None:
    assert "no port is open" in run(alone, "--once", "-i", "0.1").stdout
    with alone.port(label="here") as port:
        port.bind(alone.addr[4], 7000)
        text = run(alone, "--once", "-i", "0.1").stdout
    assert "here" in text and "bit/s" in text


def test_live_on_a_terminal(alone: HostedWorld) -> None:
    """Until an interrupt, which is no error."""
    with alone.port(label="mine"):
        words = alone.ns.command(sys.executable, "-m", "multistack", "top", "-i", "0.1")
        shown = pexpect.spawn(
            words[0],
            words[1:],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(sys.path),
                "MULTISTACK_DEVICE": alone.control,
                "TERM": "xterm",
            },
            dimensions=(40, 150),
            timeout=60,
        )
        for _ in range(3):
            shown.expect("mine")
        shown.sendintr()
        shown.expect(pexpect.EOF)
        shown.close()
    assert shown.exitstatus == 0


def test_a_switch_that_is_not_there(alone: HostedWorld) -> None:
    done = run(alone, "--once", "-d", "daemon@/nonexistent")
    assert done.exit_code == 1 and "not running" in done.stderr


@pytest.fixture
def server(alone: HostedWorld, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """multistack-httpd on the switch, with a large file."""
    need(shutil.which("ethtool"), "no ethtool")
    assert alone.far
    sh(*alone.far.command("ethtool", "-K", "eth0", "tx", "off"))
    (tmp_path / "large").write_bytes(bytes(64 << 20))
    made = subprocess.Popen(
        alone.ns.command(
            *(httpd_path(), "-d", alone.device, "-l", f"{alone.addr[4]}:80", tmp_path)
        ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    yield made
    made.terminate()
    made.communicate(timeout=60)


def connect(world: HostedWorld) -> socket.socket:
    assert world.far
    with world.far.inside():
        made = socket.socket()
    made.settimeout(60)
    until = time.monotonic() + 60
    while made.connect_ex((world.addr[4], 80)):
        assert time.monotonic() < until
        time.sleep(0.05)
        made.close()
        with world.far.inside():
            made = socket.socket()
        made.settimeout(60)
    return made


def test_connections_of_a_server(
    alone: HostedWorld, server: subprocess.Popen[bytes]
) -> None:
    with connect(alone) as idle, connect(alone) as busy:
        busy.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        done = threading.Event()

        def read() -> None:
            while not done.wait(0.01):
                busy.recv(100_000)

        reader = threading.Thread(target=read)
        reader.start()
        told: dict[str, Any] = {}

        def busy_is_seen() -> bool:
            """The stack tells once a second, and this machine may be busy too."""
            nonlocal told
            result = run(alone, "--json", "-n", "2", "-i", "1.1")
            told = json.loads(result.stdout.splitlines()[-1])
            rates = [c["tx_bytes"] for c in told["connections"]]
            return len(rates) == 2 and rates[0] > 10_000

        try:
            eventually(busy_is_seen, "a busy connection", 60)
        finally:
            done.set()
            reader.join()
        here = idle.getsockname()
        assert told["connections_in_all"] == 2
        first, second = told["connections"]
        assert first["tx_bytes"] > 10_000 and second["tx_bytes"] == 0
        assert tuple(second["peer"]) == here and second["local"] == [alone.addr[4], 80]
        assert first["state"] == second["state"] == "established"
        assert first["cc"] == "cubic" and first["cwnd_bytes"] > 0
        assert first["rtt_ms"] > 0 and first["port"] == told["ports"][0]["id"]
        text = run(alone, "--once", "-i", "0.1", "-r", "1").stdout
        assert "established" in text and "and 1 more" in text
        # Whoever may not look into the process sees its ports and no more.
        words = ["setpriv", "--reuid=65534", "--clear-groups", "--bounding-set=-all"]
        stranger = subprocess.run(
            alone.ns.command(
                *(*words, sys.executable, "-m", "multistack", "top", "--json"),
                *("--once", "-i", "0.1", "-d", alone.control),
            ),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
        )
        assert stranger.returncode == 0, stranger.stderr
        seen = json.loads(stranger.stdout)
        assert seen["connections"] == [] and seen["ports"][0]["rx_frames"] is None


# ---- the table, which may lie ---------------------------------------------------


def table(told: list[_tables.Row], /, **head: Any) -> bytes:
    made = _tables.Head(
        magic=_tables.MSLINK_TABLE_MAGIC,
        head_bytes=ctypes.sizeof(_tables.Head),
        row_bytes=ctypes.sizeof(_tables.Row),
        rows=len(told),
        socks=len(told),
    )
    for name, value in head.items():
        setattr(made, name, value)
    return bytes(made) + b"".join(map(bytes, told))


def row(**fields: Any) -> _tables.Row:
    made = _tables.Row(**fields)
    made.local.family = made.peer.family = 4
    return made


def test_the_mirror_is_what_c_says(tmp_path: Path) -> None:
    mirror = {"mslink_table_s": _tables.Head, "mslink_row_s": _tables.Row}
    out = ["#include <multistack/link_table.h>", "#include <stddef.h>"]
    out += ["#include <stdio.h>", "int main(void) {"]
    wanted = []
    for tag, ours in mirror.items():
        out.append(f'printf("%zu\\n", sizeof(struct {tag}));')
        wanted.append(str(ctypes.sizeof(ours)))
        for name, *_ in ours._fields_:
            field = getattr(ours, name)
            wanted.append(f"{name} {field.offset} {field.size}")
            out.append(
                f'printf("{name} %zu %zu\\n", offsetof(struct {tag}, {name}), '
                f"sizeof(((struct {tag} *)0)->{name}));"
            )
    (tmp_path / "x.c").write_text("\n".join([*out, "}"]))
    headers = [f"-I{ROOT}/lib/include", f"-I{ROOT}/sys"]
    sh("cc", *headers, "-o", tmp_path / "x", tmp_path / "x.c")
    assert sh(tmp_path / "x").split("\n") == [*wanted, ""]
    header = (ROOT / "lib/include/multistack/link_table.h").read_text()
    assert f"MSLINK_TABLE_MAGIC {_tables.MSLINK_TABLE_MAGIC:#x}u" in header
    assert f"MSLINK_TABLE_ROWS {_tables.MSLINK_TABLE_ROWS}" in header


def test_a_table_that_lies() -> None:
    good = table([row(cc=b"cubic", state=4)])
    parsed = _tables.parse(good, 1)
    assert parsed and parsed.connections[0].state == "established"
    for data in (
        b"",
        good[:50],
        table([row()], magic=0),
        table([row()], seq=1),
        table([row()], head_bytes=0),
        table([row()], row_bytes=0),
        table([row()], row_bytes=16),
    ):
        assert _tables.parse(data, 1) is None
    # More rows than there are, states and families that are none, escapes.
    many = _tables.parse(table([row()], rows=2**32 - 1), 1)
    assert many and len(many.connections) == 1
    nasty = _tables.parse(table([row(cc=b"\x1b[31m\xff", state=200)]), 1)
    assert nasty and nasty.connections[0].state == "?"
    assert nasty.connections[0].cc.isprintable()
    assert _tables.parse(table([_tables.Row()]), 1).connections == ()  # type: ignore[union-attr]
    far = _tables.parse(table([row()], head_bytes=60000), 1)
    assert far and far.connections == ()


def test_what_is_open_under_the_name_may_be_anything(tmp_path: Path) -> None:
    """A pipe of that name does not stop us."""
    os.mkfifo(tmp_path / "x")
    fd = os.open(tmp_path / "x", os.O_RDWR)
    made = os.memfd_create("multistack-link")
    try:
        os.write(made, b"x" * 1000)
        with pytest.raises(FileNotFoundError):
            _tables._open(f"/proc/self/fd/{fd}")
        assert _tables.tables([os.getpid(), 2**22 - 1]) == []
        os.pwrite(made, table([row(state=4)]), 0)
        twin = os.dup(made)
        (found,) = _tables.tables([os.getpid()])
        os.close(twin)
        assert len(found.connections) == 1
    finally:
        os.close(fd)
        os.close(made)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "?"), (0, "0 B"), (0.25, "0.2 B"), (12, "12 B"), (999.6, "1.0 kB")]
    + [(123456, "123 kB"), (1.5e15, "1500 TB")],
)
def test_numbers_are_short(value: float | None, text: str) -> None:
    assert si(value, "B") == text
