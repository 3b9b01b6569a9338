# SPDX-License-Identifier: BSD-2-Clause
"""What an event loop cannot be made of, or cannot do, is an exception that says
what to do."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import loops
import netns
import pytest

import multistack
from multistack import _utcp


@pytest.fixture(scope="module", autouse=True)
def inside() -> Iterator[netns.Netns]:
    with loops.namespace() as ns:
        yield ns


@pytest.fixture
def loop() -> Iterator[multistack.EventLoop]:
    made = multistack.EventLoop(loops.DEVICE)
    yield made
    made.close()


def test_no_device_says_how_to_name_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MULTISTACK_DEVICE", raising=False)
    with pytest.raises(RuntimeError, match=r"no device: name one .*MULTISTACK_DEVICE"):
        multistack.EventLoop()


def test_the_device_may_stand_in_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MULTISTACK_DEVICE", loops.DEVICE)

    async def main() -> bool:
        return isinstance(asyncio.get_running_loop(), multistack.EventLoop)

    assert multistack.run(main())
    with asyncio.Runner(loop_factory=multistack.loop_factory()) as runner:
        assert runner.run(main())
    policy = multistack.EventLoopPolicy()
    made = policy.new_event_loop()
    assert isinstance(made, multistack.EventLoop)
    made.close()


@pytest.mark.parametrize(
    ("device", "number"),
    [
        ("xdp:none0", errno.ENODEV),
        ("daemon@/nowhere.sock:eth0", errno.ENOENT),
        ("what:is,this", errno.EINVAL),
    ],
)
def test_a_wrong_device_is_refused_and_nothing_is_left(
    device: str, number: int
) -> None:
    before = loops.descriptors()
    with pytest.raises(OSError) as e:
        multistack.EventLoop(device)
    assert e.value.errno in (number, errno.ECONNREFUSED), e.value
    assert len(str(e.value.strerror)) > 20  # the switch's words
    assert loops.descriptors() == before


def test_a_loop_s_congestion_control() -> None:
    """By name or by class, of all connections; one that is not there is said."""

    class Steady(multistack.CongestionControl):
        def ack(self, ack: multistack.Ack) -> None:
            self.cwnd += ack.acked

    for cc, name in (("prague", "prague"), (Steady, "steady")):
        loop = multistack.EventLoop(loops.DEVICE, cc=cc)
        sock = loop.open_socket()
        assert sock.cc == name
        sock.close()
        loop.close()
    with pytest.raises(FileNotFoundError, match="'none'; there are .*cubic"):
        multistack.EventLoop(loops.DEVICE, cc="none")


def test_a_privilege_that_is_missing_is_named(inside: netns.Netns) -> None:
    code = (
        "import os, multistack\n"
        "os.setgid(65534); os.setuid(65534)\n"
        f"try: multistack.EventLoop({loops.DEVICE!r})\n"
        "except PermissionError as e: print(e)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", "import multistack.loop\n" + code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(multistack.__path__[0]).parent)},
    )
    assert "CAP_NET_ADMIN" in said.stdout, said


def test_a_closed_loop_is_refused(loop: multistack.EventLoop) -> None:
    sock = loop.open_socket()
    sock.close()
    loop.close()
    loop.close()
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.call_soon(print)
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.open_socket()
    coroutine = asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.run_until_complete(coroutine)
    coroutine.close()


def test_sockets_and_transports_outlive_their_loop_as_closed(
    loop: multistack.EventLoop,
) -> None:
    async def main() -> Any:
        server = await loop.create_server(asyncio.Protocol, loops.OURS, 0)
        return server.sockets[0], loop.open_socket()

    listening, bare = loop.run_until_complete(main())
    loop.close()
    for s in (listening, bare):
        with pytest.raises(OSError) as e:
            s.getsockname()
        assert e.value.errno == errno.EBADF
    bare.close()


def test_run_inside_of_a_loop_is_refused(loop: multistack.EventLoop) -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match="cannot be called from a running"):
            multistack.run(asyncio.sleep(0), device=loops.DEVICE)

    loop.run_until_complete(main())


def test_what_a_socket_cannot_do(loop: multistack.EventLoop) -> None:
    with loop.open_socket() as s:
        with pytest.raises(ValueError, match="cannot block"):
            s.setblocking(True)
        with pytest.raises(OSError) as e:
            s.detach()
        assert e.value.errno == errno.EOPNOTSUPP
        with pytest.raises(TypeError):
            s.bind("10.98.0.2")  # type: ignore[arg-type]
        with pytest.raises(OverflowError):
            s.bind((loops.OURS, 70000))
        with pytest.raises(OSError) as e:
            s.bind(("192.0.2.1", 80))
        assert e.value.errno == errno.EADDRNOTAVAIL
        with pytest.raises(BlockingIOError):
            s.connect((loops.PEER, 9))
        assert s.connect_ex((loops.PEER, 9)) == errno.EALREADY
    assert s.fileno() == -1


def test_an_unclosed_socket_warns(loop: multistack.EventLoop) -> None:
    with pytest.warns(ResourceWarning, match="unclosed <multistack.Socket"):
        loop.open_socket()


def test_an_interrupt_in_a_callback_loses_no_event(loop: multistack.EventLoop) -> None:
    async def serve() -> Any:
        class Stopping(asyncio.Protocol):
            def data_received(self, data: bytes) -> None:
                got.append(data)
                raise KeyboardInterrupt

        return await loop.create_server(Stopping, loops.OURS, 0)

    got: list[bytes] = []
    server = loop.run_until_complete(serve())
    peers = [
        loops.Calls(lambda s: (s.sendall(b"x"), s.recv(1))).to(
            server.sockets[0].getsockname()
        )
        for _ in range(5)
    ]
    while len(got) < 5:
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(asyncio.sleep(5))
    assert got == [b"x"] * 5
    server.close()
    for t in list(loop.stack.endpoints.values()):
        if isinstance(t, asyncio.Transport):
            t.abort()
    loop.run_until_complete(asyncio.sleep(0.01))
    for p in peers:
        p.join(5)


def test_the_import_is_quick_and_brings_no_asyncio() -> None:
    code = "import sys, multistack; print('asyncio' in sys.modules)"
    said = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(multistack.__path__[0]).parent)},
    )
    assert said.stdout == "False\n"


def test_the_stack_s_calls_refuse_what_is_none() -> None:
    out = _utcp.c_void_p()
    for call, arguments in (
        (_utcp.msbatch_create, (out, None, 0, 0)),
        (_utcp.msbatch_add, (None, None, 0)),
        (_utcp.msbatch_add_udp, (None, None, 0)),
        (_utcp.msbatch_close, (None, 0)),
    ):
        with pytest.raises(OSError) as e:
            call(*arguments)
        assert e.value.errno == errno.EINVAL
    assert _utcp.msbatch_turn(None, None, 0, None, 0, 0) == -errno.EINVAL
    assert _utcp.msbatch_keep(None) == -errno.EINVAL
    assert _utcp.msbatch_sock(None, 0) is None and _utcp.msbatch_udp(None, 0) is None
    assert _utcp.mslink_linger(None, 0) == -errno.EINVAL
    _utcp.msbatch_destroy(None)
