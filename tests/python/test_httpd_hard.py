# SPDX-License-Identifier: BSD-2-Clause
"""multistack-httpd in hard times: told to end, out of descriptors, among files that
it may not read, or that are huge, or that change."""

from __future__ import annotations

import email.utils
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from httpd_server import (
    ADDRESS,
    BIG,
    CARRIERS,
    PAGE,
    PATIENCE_S,
    PORT,
    Client,
    Server,
    furnish,
    request,
    serve,
    serve_all,
)
from worlds import eventually


@pytest.fixture(scope="module", params=CARRIERS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    with serve_all(request.param, tmp_path_factory.mktemp("www")) as made:
        yield made


@pytest.fixture(params=CARRIERS)
def brief(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """One that is told to end, with more patience then than a test has."""
    furnish(tmp_path)
    (tmp_path / "huge.bin").write_bytes(BIG * 8)
    with serve(request.param, tmp_path, "--grace", "300") as made:
        yield made


@pytest.fixture(params=CARRIERS)
def hasty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """One that gives up soon after it was told to end."""
    (tmp_path / "huge.bin").write_bytes(BIG * 8)
    with serve(request.param, tmp_path, "--grace", "1") as made:
        yield made


def slow(server: Server) -> socket.socket:
    """A client without much room."""
    with server.clients.inside():
        sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    sock.settimeout(PATIENCE_S)
    sock.connect((ADDRESS[server.kind], PORT))
    server.open.append(sock)
    return sock


def answered_slowly(server: Server) -> Client:
    """One whose answer is under way, and will not be done without it."""
    client = Client(slow(server))
    client.say(request("/huge.bin"))
    assert client.file.peek(1)
    return client


def listens_no_more(server: Server) -> None:
    with pytest.raises(ConnectionError):
        eventually(lambda: server.connect().close(), "nobody listens")


# ---- told to end -------------------------------------------------------------


def test_idle_connections_are_closed_at_the_end(brief):
    fresh = Client(brief.connect())
    used = brief.say(request("/"))
    assert used.answer().body == PAGE
    brief.child.terminate()
    assert used.ended() and fresh.ended()
    assert brief.child.wait(PATIENCE_S) == 0


def test_answer_under_way_is_finished_at_the_end(brief):
    client = answered_slowly(brief)
    brief.child.terminate()
    listens_no_more(brief)
    assert client.answer().body == BIG * 8
    assert client.ended()
    assert brief.child.wait(PATIENCE_S) == 0


def test_request_under_way_is_the_last_at_the_end(brief):
    client = brief.say(request("/sub/") + "GET / HTTP/1.1\r\nHost")
    assert client.answer().body == b"sub"  # so what came with it was read, too
    brief.child.terminate()
    listens_no_more(brief)
    client.say(": x\r\n\r\n")
    answer = client.answer()
    assert (answer.body, answer.fields["connection"]) == (PAGE, "close")
    assert client.ended()
    assert brief.child.wait(PATIENCE_S) == 0


def test_end_does_not_wait_for_who_takes_nothing(hasty):
    answered_slowly(hasty)
    began = time.monotonic()
    hasty.child.terminate()
    assert hasty.child.wait(PATIENCE_S) == 0
    assert time.monotonic() - began > 0.9


def test_second_signal_ends_it_at_once(brief):
    answered_slowly(brief)
    brief.child.terminate()
    listens_no_more(brief)
    brief.child.send_signal(signal.SIGINT)
    assert brief.child.wait(PATIENCE_S) == 0


# ---- too much ------------------------------------------------------------------


def test_without_descriptors_it_waits_for_some(tmp_path):
    furnish(tmp_path)
    few = ("prlimit", "--nofile=20")
    with serve("host", tmp_path, under=few) as server:
        # All are there before any is answered: files have to be opened still.
        server.child.send_signal(signal.SIGSTOP)
        clients = [server.say(request("/sub/")) for _ in range(40)]
        server.child.send_signal(signal.SIGCONT)
        time.sleep(1)
        used = _cpu_seconds(server.child.pid)
        time.sleep(1)
        assert _cpu_seconds(server.child.pid) - used < 0.2
        for client in clients:
            assert client.answer().body == b"sub"
            client.file.close()
            client.sock.close()


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident_kb(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4


def test_pipeline_that_takes_nothing_is_not_remembered(server):
    assert server.get("/").status == 200
    before = _resident_kb(server.child.pid)
    sock = slow(server)
    sock.settimeout(0.3)
    block = request("/big.bin").encode() * 1000
    sent = 0
    with pytest.raises(OSError):
        while sent < 1 << 30:
            sent += sock.send(block)
    assert sent < 32 << 20
    assert _resident_kb(server.child.pid) - before < 20_000
    assert server.get("/").status == 200


# ---- files ------------------------------------------------------------------------


def test_file_of_more_than_4_gib(server):
    path = server.folder / "vast"
    size = 5 << 30
    with path.open("wb") as f:
        f.truncate(size)
        f.seek(size - 3)
        f.write(b"end")
    head = server.get("/vast", method="HEAD")
    assert head.fields["content-length"] == str(size)
    answer = server.get("/vast", f"Range: bytes={size - 5}-")
    assert answer.fields["content-range"] == f"bytes {size - 5}-{size - 1}/{size}"
    assert answer.body == b"\0\0end"
    client = server.say(request("/vast", "Range: bytes=10-"))
    assert client.file.read(1 << 22).endswith(b"\0" * 1024)
    path.unlink()


def test_last_change_is_never_to_come(server):
    path = server.folder / "future"
    path.write_bytes(b"new")
    later = time.time() + 3600
    os.utime(path, (later, later))
    answer = server.get("/future")
    when = answer.fields["last-modified"]
    stamps = [when, answer.fields["date"]]
    changed, said = map(email.utils.parsedate_to_datetime, stamps)
    assert changed <= said
    # And so it proves nothing.
    assert server.get("/future", f"If-Modified-Since: {when}").status == 200
    again = server.get("/future", "Range: bytes=0-0", f"If-Range: {when}")
    assert again.status == 200


@pytest.mark.parametrize(
    "date, status",
    [
        ("Sunday, 06-Nov-94 08:49:37 GMT", 200),
        ("Thursday, 01-Jan-70 00:00:00 GMT", 304),  # 2070: not 50 years from now
        ("Saturday, 01-Jan-00 00:00:00 GMT", 200),
        ("Sun, -6 Nov 2094 08:49:37 GMT", 200),
        ("Sun, 06 Nov 2094 25:49:37 GMT", 200),
        ("Sun, 06 Nov 2094 08:49:37 GMT", 304),
        ("Sat Nov  6 08:49:37 2094", 304),
        ("Sun, 06 Nov 2094 08:49:37 GMT+1", 200),
    ],
)
def test_date_is_read_as_it_must_be(server, date, status):
    answer = server.get("/big.bin", f"If-Modified-Since: {date}")
    assert answer.status == status


def test_what_may_not_be_read_is_forbidden():
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        furnish(folder)
        (folder / "secret").write_bytes(b"x")
        (folder / "secret").chmod(0)
        for way, mode in (("unlisted", 0o711), ("closed", 0o600)):
            (folder / way).mkdir()
            (folder / way / "index.html").write_bytes(PAGE)
            (folder / way).chmod(mode)
        folder.chmod(0o711)
        with serve("host", folder, under=nobody) as server:
            assert server.get("/").body == PAGE
            assert server.get("/secret").status == 403
            assert server.get("/unlisted/").body == PAGE
            assert server.get("/unlisted").status == 301
            assert server.get("/closed/").status == 403
            (folder / "index.html").chmod(0)
            eventually(lambda: server.get("/").status == 403, "the new mode")


def test_port_of_another_server_is_taken(tmp_path):
    with serve("host", tmp_path) as server:
        argv = [*server.child.args]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE_S)
        assert done.returncode == 1
        assert "Address already in use" in done.stderr
