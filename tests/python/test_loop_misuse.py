# SPDX-License-Identifier: BSD-2-Clause
"""Beside a host's stack: addresses that are somebody's, what fails in the application's
own functions, and how `multistack run` ends."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import worlds
from netns import need, sh

import multistack

HERE = worlds.ADDRS[4][0]
PATIENCE_S = 60


@pytest.fixture(scope="module")
def wired(tmp_path_factory: pytest.TempPathFactory) -> Iterator[worlds.HostedWorld]:
    need(shutil.which("ethtool"), "no ethtool")
    folder = tmp_path_factory.mktemp("misuse")
    with worlds.hosted(worlds.WIRED, folder) as made, made.inside():
        assert made.far is not None
        # A veth leaves checksums undone; a stack looks at them.
        sh(*made.far.command("ethtool", "-K", "eth0", "tx", "off"))
        yield made


def run(world: worlds.HostedWorld, main: Any) -> Any:
    return multistack.run(asyncio.wait_for(main, PATIENCE_S), device=world.device)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_an_address_of_a_host_s_socket_is_in_use(
    wired: worlds.HostedWorld, kind: socket.SocketKind
) -> None:
    async def main(address: Any) -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(OSError) as e:
            if kind == socket.SOCK_STREAM:
                await loop.create_server(asyncio.Protocol, *address)
            else:
                await loop.create_datagram_endpoint(
                    asyncio.DatagramProtocol, local_addr=address
                )
        assert e.value.errno == errno.EADDRINUSE

    with socket.socket(socket.AF_INET, kind) as theirs:
        theirs.bind((HERE, 0))
        if kind == socket.SOCK_STREAM:
            theirs.listen()
        run(wired, main(theirs.getsockname()))


def test_an_address_of_ours_is_in_use_until_the_server_has_closed(
    wired: worlds.HostedWorld,
) -> None:
    async def main() -> None:
        address = (HERE, 7070)
        server = await asyncio.start_server(lambda _r, _w: None, *address)
        with socket.socket() as theirs:
            with pytest.raises(OSError) as e:
                theirs.bind(address)
            assert e.value.errno == errno.EADDRINUSE
            server.close()
            await server.wait_closed()
            bound = False
            while not bound:  # the switch lets go of it a little later
                with contextlib.suppress(OSError):
                    theirs.bind(address)
                    bound = True
                await asyncio.sleep(0.01)

    run(wired, main())


def test_an_address_of_nobody_s_is_not_available(wired: worlds.HostedWorld) -> None:
    async def main() -> None:
        with pytest.raises(OSError) as e:
            await asyncio.start_server(lambda _r, _w: None, "192.0.2.77", 0)
        assert e.value.errno == errno.EADDRNOTAVAIL
        assert "192.0.2.77" in str(e.value)

    run(wired, main())


def test_a_port_that_takes_a_privilege_is_refused_without(
    wired: worlds.HostedWorld,
) -> None:
    nobody = pwd.getpwnam("nobody").pw_uid
    code = f"""
import asyncio, os, multistack, multistack.loop
os.setgroups([]); os.setgid({nobody}); os.setuid({nobody})
async def main():
    await asyncio.start_server(print, {HERE!r}, 80)
try:
    multistack.run(main(), device={wired.device!r})
except PermissionError as e:
    print(e)
"""
    os.chmod(wired.daemon.socket, 0o666)  # type: ignore[attr-defined]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment()
    )
    assert f"('{HERE}', 80)" in done.stdout, done


def environment() -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(Path(multistack.__path__[0]).parent),
        "PYTHONUNBUFFERED": "1",
    }


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"ssl": True}, TypeError),
        ({"ssl_handshake_timeout": 1}, ValueError),
        ({"ssl_shutdown_timeout": 1}, ValueError),
    ],
)
def test_options_are_looked_at_before_names(
    wired: worlds.HostedWorld, options: dict[str, Any], error: type[Exception]
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(error, match="ssl"):
            await loop.create_server(asyncio.Protocol, "a.invalid", 80, **options)

    run(wired, main())


def test_datagrams_that_may_be_broadcast_are_answered_by_anybody(
    wired: worlds.HostedWorld,
) -> None:
    class Asking(asyncio.DatagramProtocol):
        def __init__(self) -> None:
            self.heard = asyncio.get_running_loop().create_future()

        def datagram_received(self, data: bytes, addr: Any) -> None:
            self.heard.set_result((data, addr))

    async def main() -> None:
        loop = asyncio.get_running_loop()
        far = wired.peer()
        other = wired.peer()
        transport, asking = await loop.create_datagram_endpoint(
            Asking,
            remote_addr=(far.addr, far.port),
            allow_broadcast=True,
            reuse_port=True,
        )
        assert transport.get_extra_info("peername") is None
        sock = transport.get_extra_info("socket")
        for option in (socket.SO_BROADCAST, socket.SO_REUSEPORT):
            assert sock.getsockopt(socket.SOL_SOCKET, option)
        transport.sendto(b"who?")
        data, who = await loop.run_in_executor(None, far.recv)
        assert data == b"who?"
        other.sendto(b"I", who)
        assert await asking.heard == (b"I", (other.addr, other.port))
        transport.close()

    run(wired, main())


class Failing(asyncio.Protocol, asyncio.DatagramProtocol):
    """Fails wherever it is told to."""

    def __init__(self, where: str) -> None:
        self.where = where

    def fail(self, where: str) -> None:
        if where == self.where:
            raise ZeroDivisionError(where)

    def connection_made(self, _transport: Any) -> None:
        self.fail("connection_made")

    def data_received(self, _data: bytes) -> None:
        self.fail("data_received")

    def eof_received(self) -> None:
        self.fail("eof_received")

    def datagram_received(self, _data: bytes, _addr: Any) -> None:
        self.fail("datagram_received")


@pytest.mark.parametrize(
    "where", ["factory", "connection_made", "data_received", "eof_received"]
)
def test_what_fails_in_a_protocol_is_reported_once_and_hurts_no_other(
    wired: worlds.HostedWorld, where: str
) -> None:
    async def main() -> list[Any]:
        loop = asyncio.get_running_loop()
        loop.set_debug(where == "factory")  # asyncio reports those only so
        loop.slow_callback_duration = PATIENCE_S
        told: list[Any] = []
        loop.set_exception_handler(lambda _loop, context: told.append(context))
        protocols = iter([where, ""])

        def factory() -> Failing:
            made = Failing(next(protocols))
            made.fail("factory")
            return made

        server = await loop.create_server(factory, HERE, 0)
        address = server.sockets[0].getsockname()
        for n in range(2):
            reader, writer = await asyncio.open_connection(*address)
            writer.write(b"x")
            if where != "connection_made" or n:
                writer.write_eof()
            with contextlib.suppress(ConnectionResetError):
                if where != "connection_made" or n:
                    assert await reader.read() == b""
            writer.close()
        server.close()
        return told

    told = run(wired, main())
    assert [type(c["exception"]) for c in told] == [ZeroDivisionError]


def test_what_fails_at_a_datagram_is_reported_once_and_the_next_one_comes(
    wired: worlds.HostedWorld,
) -> None:
    async def main() -> list[Any]:
        loop = asyncio.get_running_loop()
        told: list[Any] = []
        loop.set_exception_handler(lambda _loop, context: told.append(context))
        ours, _ = await loop.create_datagram_endpoint(
            lambda: Failing("datagram_received"), local_addr=(HERE, 0)
        )
        to = ours.get_extra_info("sockname")
        sender, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, remote_addr=to
        )
        for n in (1, 2):
            sender.sendto(b"x")
            while len(told) < n:
                await asyncio.sleep(0.005)
        ours.close()
        sender.close()
        return told

    told = run(wired, main())
    assert [type(c["exception"]) for c in told] == [ZeroDivisionError] * 2


@pytest.mark.parametrize("pieces", [1, 80])
def test_a_peer_that_goes_away_amid_much_data_ends_the_transport(
    wired: worlds.HostedWorld, pieces: int
) -> None:
    """Also of one that is closing already, and waits for what it has to be sent."""

    class Sender(asyncio.Protocol):
        def __init__(self) -> None:
            self.lost = asyncio.get_running_loop().create_future()

        def connection_made(self, transport: Any) -> None:
            sock = transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1024)
            for _ in range(pieces):
                transport.write(bytes(1 << 20))

        def connection_lost(self, exc: Exception | None) -> None:
            self.lost.set_result(exc)

    class Leaver(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def data_received(self, _data: bytes) -> None:
            self.transport.close()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        sender = Sender()
        server = await loop.create_server(lambda: sender, HERE, 0)
        await loop.create_connection(Leaver, *server.sockets[0].getsockname())
        lost = await sender.lost
        assert lost is None or isinstance(lost, ConnectionError)
        server.close()

    run(wired, main())


def test_a_socket_that_was_adopted_speaks_for_the_one_in_its_place(
    wired: worlds.HostedWorld,
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with socket.socket() as listening, socket.socket() as client:
            listening.bind((HERE, 0))
            name = listening.getsockname()
            server = await asyncio.start_server(lambda _r, w: w.close(), sock=listening)
            assert server.sockets[0].getsockname() == listening.getsockname() == name
            client.setblocking(False)
            await loop.sock_connect(client, name)
            assert client.getpeername() == name and client.getsockname()[0] == HERE
            assert await loop.sock_recv(client, 10) == b""
            server.close()
            assert listening.fileno() == -1

    multistack.run(
        asyncio.wait_for(main(), PATIENCE_S), device=wired.device, adopt=True
    )


def test_a_socket_connected_by_the_loop_may_be_used_itself(
    wired: worlds.HostedWorld,
) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read())
        writer.close()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with socket.socket() as listening, socket.socket() as client:
            listening.bind((HERE, 0))
            name = listening.getsockname()
            server = await asyncio.start_server(echo, sock=listening)
            loop.set_debug(True)
            with pytest.raises(ValueError, match="must be non-blocking"):
                await loop.sock_connect(client, name)
            client.setblocking(False)
            await loop.sock_connect(client, name)
            with pytest.raises(BlockingIOError):
                client.recv(10)
            assert client.send(b"hello") == 5
            client.shutdown(socket.SHUT_WR)
            assert await loop.sock_recv(client, 10) == b"hello"
            client.setblocking(True)
            for refused in (
                loop.sock_recv(client, 10),
                loop.sock_recv_into(client, bytearray(1)),
                loop.sock_sendall(client, b"x"),
            ):
                with pytest.raises(ValueError, match="must be non-blocking"):
                    await refused
            server.close()

    multistack.run(
        asyncio.wait_for(main(), PATIENCE_S), device=wired.device, adopt=True
    )


def start(world: worlds.HostedWorld, folder: Path, code: str) -> Any:
    script = folder / "script.py"
    script.write_text("import asyncio, sys\n" + code)
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "multistack",
            "run",
            "-d",
            world.device,
            str(script),
            "x",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )


@pytest.mark.parametrize(
    ("code", "status", "words"),
    [
        ("print(sys.argv[1:], __name__)", 0, "['x'] __main__"),
        ("sys.exit(3)", 3, ""),
        ("sys.exit('no such thing')", 1, "no such thing"),
        ("asyncio.run(asyncio.sleep(0)); 1 / 0", 1, "ZeroDivisionError"),
        ("asyncio.run(asyncio.open_connection('x', -1))", 1, "Traceback"),
    ],
)
def test_a_program_ends_as_it_would_by_itself(
    wired: worlds.HostedWorld, tmp_path: Path, code: str, status: int, words: str
) -> None:
    child = start(wired, tmp_path, code)
    out, err = child.communicate(timeout=PATIENCE_S)
    assert child.returncode == status, err
    assert words in out + err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_program_s_signals_are_its_own(
    wired: worlds.HostedWorld, tmp_path: Path, number: int
) -> None:
    """Those it does nothing about end it as they end any Python."""
    child = start(
        wired,
        tmp_path,
        "async def main():\n"
        "    print('here', flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())",
    )
    assert child.stdout.readline() == "here\n"
    time.sleep(0.1)
    child.send_signal(number)
    _, err = child.communicate(timeout=PATIENCE_S)
    assert child.returncode == -number, err
    assert ("KeyboardInterrupt" in err) == (number == signal.SIGINT)


def test_a_device_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    child = subprocess.run(
        [sys.executable, "-m", "multistack", "run", "-d", f"daemon@{tmp_path}/no:eth0"]
        + ["-m", "asyncio"],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env=environment(),
    )
    assert child.returncode == 1
    assert "multistackd" in child.stderr.splitlines()[-1], child.stderr
