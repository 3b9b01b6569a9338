# SPDX-License-Identifier: BSD-2-Clause
"""A loop whose daemon goes away, and one whose process forks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import loops
import pytest
from worlds import KMOD, daemon_path

import multistack

pytestmark = pytest.mark.skipif(KMOD, reason="it is about multistackd")


class Daemon:
    """multistackd on lo, to be ended and started."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "lost.sock"
        self.device = f"daemon@{self._socket}:lo"
        self.start()

    def start(self) -> None:
        argv = [daemon_path(), "--foreground", "--socket", self._socket]
        self._child = subprocess.Popen(
            [*map(str, argv), "--attach", "lo"], stderr=subprocess.DEVNULL
        )
        until = time.monotonic() + loops.PATIENCE_S
        while time.monotonic() < until:
            with (
                contextlib.suppress(OSError),
                multistack.Control(self.device.removesuffix("lo")) as control,
            ):
                if control.list_nics():
                    return
            time.sleep(0.05)
        raise AssertionError("multistackd does not answer")

    def kill(self) -> None:
        self._child.kill()
        self._child.wait()


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with loops.namespace():
        made = Daemon(tmp_path)
        yield made
        made.kill()


def test_a_connection_on_loopback_is_answered_before_a_blocking_call(
    daemon: Daemon,
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with socket.socket() as listening, socket.socket() as client:
            listening.bind(("127.0.0.1", 0))
            client.setblocking(False)
            with pytest.raises(ConnectionRefusedError):
                await loop.sock_connect(client, listening.getsockname())
            listening.listen()
            listening.settimeout(loops.PATIENCE_S)
            connecting = loop.create_task(
                loop.sock_connect(client, listening.getsockname())
            )
            await asyncio.sleep(0)
            with listening.accept()[0] as accepted:
                await connecting
                accepted.sendall(b"hello")
                assert await loop.sock_recv(client, 10) == b"hello"

    multistack.run(main(), device=daemon.device, adopt=True)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(100):
        writer.write(data)
    writer.close()


def test_connections_live_through_a_daemon_that_is_started_again(
    daemon: Daemon,
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await asyncio.start_server(echo, "127.0.0.1", 7777)
        reader, writer = await asyncio.open_connection("127.0.0.1", 7777)
        writer.write(b"a")
        assert await reader.readexactly(1) == b"a"
        daemon.kill()
        await asyncio.sleep(0.3)
        writer.write(b"b")
        with pytest.raises(OSError):
            await asyncio.wait_for(asyncio.open_connection("127.0.0.1", 9), 5)
        await loop.run_in_executor(None, daemon.start)
        got = await asyncio.wait_for(reader.readexactly(1), loops.PATIENCE_S)
        assert got == b"b"
        writer.close()
        await writer.wait_closed()
        server.close()

    multistack.run(main(), device=daemon.device)


def test_a_loop_whose_daemon_is_gone_closes(daemon: Daemon) -> None:
    loop = multistack.EventLoop(daemon.device)
    server = loop.run_until_complete(
        loop.create_server(asyncio.Protocol, "127.0.0.1", 7777)
    )
    daemon.kill()
    loop.run_until_complete(asyncio.sleep(0.3))
    with pytest.raises(OSError):
        loop.run_until_complete(loop.create_server(asyncio.Protocol, "127.0.0.1", 7778))
    server.close()
    loop.close()


def test_a_child_has_no_part_in_the_parent_s_stack(daemon: Daemon) -> None:
    async def main() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 7777)
        loop = asyncio.get_running_loop()
        child = os.fork()
        if child == 0:
            try:
                loop.stack.turn(False)  # type: ignore[attr-defined]
            except RuntimeError:
                loop.stack.close()  # type: ignore[attr-defined]
                os._exit(7)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        reader, writer = await asyncio.open_connection("127.0.0.1", 7777)
        writer.write(b"a")
        assert await reader.readexactly(1) == b"a"
        writer.close()
        server.close()

    multistack.run(main(), device=daemon.device)
