# SPDX-License-Identifier: BSD-2-Clause
"""What multistack-httpd does not take, and for how long it waits."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Iterator

import pytest
from httpd_server import (
    ADDRESS,
    BIG,
    CARRIERS,
    LITTLE,
    PATIENCE_S,
    PORT,
    Client,
    Server,
    request,
    serve_all,
)


@pytest.fixture(scope="module", params=CARRIERS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    with serve_all(request.param, tmp_path_factory.mktemp("www"), LITTLE) as made:
        yield made


# ---- refusals ----------------------------------------------------------------------


def test_other_methods_are_refused_and_the_connection_goes_on(server):
    client = server.say(request("/", method="DELETE"))
    answer = client.answer()
    assert (answer.status, answer.fields["allow"]) == (405, "GET, HEAD")
    client.say(request("/sub/"))
    assert client.answer().body == b"sub"


def test_refusal_reaches_a_client_that_goes_on_sending(server):
    client = server.say(request("/", "Content-Length: 10000000", method="POST"))
    with contextlib.suppress(OSError):
        for _ in range(20):
            client.say(b"x" * 50000)
    assert client.answer().status == 413


# ---- patience -----------------------------------------------------------------------


def test_half_a_request_times_out(server):
    began = time.monotonic()
    client = server.say("GET / HTTP/1.1\r\nHost")
    assert client.answer().status == 408
    assert client.ended()
    assert time.monotonic() - began > 1.4


def test_silent_connection_is_closed(server):
    client = Client(server.connect())
    assert client.ended()


def test_idle_connection_is_closed_after_a_while(server):
    began = time.monotonic()
    client = server.say(request("/"))
    assert client.answer().status == 200
    assert client.ended()
    assert time.monotonic() - began > 2.9


def test_who_takes_nothing_is_cut_off(server):
    with server.clients.inside():
        sock = socket.socket()
    with sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(PATIENCE_S)
        sock.connect((ADDRESS[server.kind], PORT))
        sock.sendall((request("/big.bin") * 20).encode())
        reset = select.poll()
        reset.register(sock, 0)  # errors alone, not what there is to take
        assert reset.poll(PATIENCE_S * 1000)
        with pytest.raises(ConnectionResetError):
            while sock.recv(65536):
                pass


def test_who_takes_slowly_gets_it_all(server):
    path = server.folder / "slow"
    path.write_bytes(BIG * 8)
    with server.clients.inside():
        sock = socket.socket()
    with sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.settimeout(PATIENCE_S)
        sock.connect((ADDRESS[server.kind], PORT))
        sock.sendall(request("/slow", "Connection: close").encode())
        parts = []
        while part := sock.recv(1 << 20):
            parts.append(part)
            if len(parts) < 30:
                time.sleep(0.1)  # 3 s, and a timeout is 2 s
    path.unlink()
    assert b"".join(parts).partition(b"\r\n\r\n")[2] == BIG * 8
