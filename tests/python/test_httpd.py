# SPDX-License-Identifier: BSD-2-Clause
"""multistack-httpd, on the host's sockets and on UTCP: the same tests."""

from __future__ import annotations

import contextlib
import email.utils
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator

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
    httpd_path,
    request,
    serve,
    serve_all,
)
from netns import need
from worlds import ROOT, eventually


@pytest.fixture(scope="module", params=CARRIERS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    with serve_all(request.param, tmp_path_factory.mktemp("www")) as made:
        yield made


# ---- what is there ---------------------------------------------------------


def test_a_file_comes_whole_with_its_fields(server):
    answer = server.get("/index.html")
    assert (answer.status, answer.body) == (200, PAGE)
    assert answer.fields["content-type"] == "text/html; charset=utf-8"
    assert answer.fields["accept-ranges"] == "bytes"
    assert email.utils.parsedate_to_datetime(answer.fields["date"])
    when = email.utils.parsedate_to_datetime(answer.fields["last-modified"])
    assert int(when.timestamp()) == int((server.folder / "index.html").stat().st_mtime)


@pytest.mark.parametrize(
    "target, body",
    [
        ("/", PAGE),
        ("/sub/", b"sub"),
        ("/big.bin", BIG),
        ("/zero", b""),
        ("/a%20b&%c3%bc.txt", b"odd name"),
        ("/sub/../index.html", PAGE),
        ("//sub///index.html", b"sub"),
        ("/./sub/./index.html?a=b#c", b"sub"),
        ("/sub/%2e%2e/index.html", PAGE),
        ("http://x/sub/", b"sub"),
        ("http://x", PAGE),
        ("/.well-known/x", b"known"),
    ],
)
def test_target_leads_to_its_file(server, target, body):
    answer = server.get(target)
    assert (answer.status, answer.body) == (200, body)


@pytest.mark.parametrize(
    "target, status",
    [
        ("/none", 404),
        ("/index.html/", 404),
        ("/index.html/x", 404),
        ("/.git/config", 404),
        ("/out", 404),
        ("/etc/passwd", 404),
        ("/bare/", 403),
        ("/fifo", 403),
        ("/..", 400),
        ("/../../etc/passwd", 400),
        ("/%2e%2e/%2e%2e/etc/passwd", 400),
        ("/sub/..%2f..%2fetc/passwd", 400),
        ("/a%00b", 400),
        ("/%zz", 400),
        ("/%4", 400),
        ("index.html", 400),
        ("*", 400),
        ("/" + "n" * 300, 404),
        ("/" + "n" * 7000, 404),
        ("/" + "n" * 9000, 414),
    ],
)
def test_what_is_not_there_or_not_for_everybody(server, target, status):
    answer = server.get(target)
    assert answer.status == status
    assert str(status).encode() in answer.body


def test_folder_without_its_slash_is_redirected(server):
    answer = server.get("/sub")
    assert answer.status == 301
    assert answer.fields["location"] == "/sub/"


def test_redirect_cannot_name_another_host(server):
    answer = server.get("//sub")
    assert (answer.status, answer.fields["location"]) == (301, "/sub/")


def test_head_has_the_fields_of_get_and_no_body(server):
    get = server.get("/big.bin")
    client = server.say(request("/big.bin", method="HEAD") + request("/sub/"))
    head = client.answer(head_only=True)
    same = set(get.fields) - {"date"}
    assert {k: head.fields[k] for k in same} == {k: get.fields[k] for k in same}
    assert client.answer().body == b"sub"


def test_a_file_that_was_replaced_is_served_anew(server):
    path = server.folder / "news"
    path.write_bytes(b"old")
    assert server.get("/news").body == b"old"
    (server.folder / "news.tmp").write_bytes(b"newer")
    (server.folder / "news.tmp").rename(path)
    eventually(lambda: server.get("/news").body == b"newer", "the new one")
    path.unlink()
    eventually(lambda: server.get("/news").status == 404, "its end")


def test_a_file_that_shrinks_under_way_does_not_end_the_server(server):
    path = server.folder / "shrinks"
    path.write_bytes(BIG * 8)
    assert server.get("/shrinks", method="HEAD").status == 200
    client = server.say(request("/shrinks"))
    os.truncate(path, 4096)
    with contextlib.suppress(ConnectionResetError):  # the kernel's writev() fails
        assert client.answer().body[:4096] == BIG[:4096]
    assert server.get("/").status == 200
    path.unlink()


# ---- conditions ---------------------------------------------------------------


@pytest.mark.parametrize(
    "fields, status",
    [
        (["If-None-Match: {etag}"], 304),
        (['If-None-Match: "x", W/{etag}'], 304),
        (["If-None-Match: *"], 304),
        (['If-None-Match: "x"'], 200),
        (['If-None-Match: "x"', "If-Modified-Since: {date}"], 200),
        (["If-Modified-Since: {date}"], 304),
        (["If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT"], 200),
        (["If-Modified-Since: Sun Nov  6 08:49:37 1994"], 200),
        (["If-Modified-Since: yesterday"], 200),
        (["If-Match: {etag}"], 200),
        (["If-Match: W/{etag}"], 412),
        (['If-Match: "x"'], 412),
        (["If-Unmodified-Since: {date}"], 200),
        (["If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT"], 412),
    ],
)
def test_condition(server, fields, status):
    now = server.get("/index.html")
    known = {"etag": now.fields["etag"], "date": now.fields["last-modified"]}
    answer = server.get("/index.html", *[f.format(**known) for f in fields])
    assert answer.status == status
    if status == 304:
        assert answer.fields["etag"] == known["etag"]


# ---- ranges --------------------------------------------------------------------

N = len(BIG)


@pytest.mark.parametrize(
    "spec, first, last",
    [
        ("0-0", 0, 0),
        ("100-199", 100, 199),
        ("999000-", 999000, N - 1),
        ("999000-99999999", 999000, N - 1),
        ("999000-" + "9" * 30, 999000, N - 1),
        ("-5", N - 5, N - 1),
        (f"-{N + 7}", 0, N - 1),
        (f"{N}-, 5-6", 5, 6),
        (" , 7-9 ,", 7, 9),
    ],
)
def test_range(server, spec, first, last):
    answer = server.get("/big.bin", f"Range: bytes={spec}")
    assert answer.status == 206
    assert answer.fields["content-range"] == f"bytes {first}-{last}/{N}"
    assert answer.body == BIG[first : last + 1]


@pytest.mark.parametrize(
    "spec", [f"{N}-", f"{N}-{N + 5}", "-0", f"{N + 1}-,-0", "9" * 23 + "-"]
)
def test_range_outside(server, spec):
    answer = server.get("/big.bin", f"Range: bytes={spec}")
    assert answer.status == 416
    assert answer.fields["content-range"] == f"bytes */{N}"


@pytest.mark.parametrize(
    "spec",
    [
        *("lines=1-2", "bytes=", "bytes=5-3", "bytes=a-b", "bytes=1-2x", "bytes=--1"),
        "bytes=" + ",".join(["0-"] * 20),
        "bytes=" + ",".join(f"{i}-{i}" for i in range(100)),
    ],
)
def test_range_that_is_none_gets_the_whole(server, spec):
    answer = server.get("/big.bin", f"Range: {spec}")
    assert (answer.status, len(answer.body)) == (200, N)


def test_ranges_come_as_parts(server):
    answer = server.get("/big.bin", "Range: bytes=0-9, 500000-600000, -3")
    assert answer.status == 206
    kind, boundary = answer.fields["content-type"].split("; boundary=")
    assert kind == "multipart/byteranges"
    parts = answer.body.split(b"\r\n--" + boundary.encode())
    assert parts[0] == b"" and parts[-1] == b"--\r\n"
    wanted = [(0, 9), (500000, 600000), (N - 3, N - 1)]
    assert len(parts) == 2 + len(wanted)
    for part, (first, last) in zip(parts[1:-1], wanted, strict=True):
        head, _, body = part.partition(b"\r\n\r\n")
        assert f"Content-Range: bytes {first}-{last}/{N}".encode() in head
        assert body == BIG[first : last + 1]


def test_if_range_decides_between_part_and_whole(server):
    now = server.get("/big.bin", method="HEAD").fields
    for value, status in (
        (now["etag"], 206),
        (now["last-modified"], 206),
        ('"x"', 200),
        ("W/" + now["etag"], 200),
    ):
        answer = server.get("/big.bin", "Range: bytes=1-2", f"If-Range: {value}")
        assert answer.status == status


# ---- connections -----------------------------------------------------------------


def test_pipelined_requests_are_answered_in_order(server):
    targets = ["/", "/sub/", "/none", "/zero", "/big.bin"] * 60
    client = server.connect()
    text = "".join(request(t) for t in targets).encode()
    reader = Client(client)
    reader.say(text)
    bodies = {"/": PAGE, "/sub/": b"sub", "/zero": b"", "/big.bin": BIG}
    for target in targets:
        answer = reader.answer()
        assert answer.status == (404 if target == "/none" else 200)
        assert target == "/none" or answer.body == bodies[target]


def test_a_request_in_single_bytes(server):
    client = Client(server.connect())
    for c in request("/sub/", "Range: bytes=1-"):
        client.say(c)
    assert client.answer().body == b"ub"


def test_empty_lines_between_requests(server):
    client = server.say("\r\n\r\n" + request("/") + "\r\n" + request("/sub/"))
    assert client.answer().body == PAGE
    assert client.answer().body == b"sub"


def test_close_is_obeyed(server):
    client = server.say(request("/", "Connection: close"))
    answer = client.answer()
    assert answer.fields["connection"] == "close"
    assert client.ended()


def test_http_1_0_closes_unless_asked(server):
    client = server.say("GET / HTTP/1.0\r\n\r\n")
    assert client.answer().body == PAGE
    assert client.ended()
    client = server.say("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert client.answer().fields["connection"] == "keep-alive"
    client.say("GET /sub/ HTTP/1.0\r\n\r\n")
    assert client.answer().body == b"sub"


def test_half_closed_client_gets_its_answer(server):
    client = server.say(request("/big.bin"))
    client.sock.shutdown(socket.SHUT_WR)
    assert client.answer().body == BIG
    assert client.ended()


def test_large_file_to_a_slow_reader(server):
    client = server.say(request("/big.bin") * 5)
    for _ in range(5):
        time.sleep(0.1)
        assert client.answer().body == BIG


def test_many_connections_at_once(server):
    clients = [server.say(request("/sub/")) for _ in range(200)]
    for client in clients:
        assert client.answer().body == b"sub"


def test_reset_clients_are_no_trouble(server):
    for _ in range(50):
        client = server.say(request("/big.bin"))
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.file.close()
        client.sock.close()
    assert server.get("/").status == 200


# ---- other tools, other ways ------------------------------------------------------


def test_curl_gets_a_file(server):
    need(shutil.which("curl"), "curl is missing")
    url = f"http://{ADDRESS[server.kind]}:{PORT}/big.bin"
    argv = server.clients.command("curl", "-sS", "--fail", "-r", "10-99", url)
    assert subprocess.run(argv, capture_output=True).stdout == BIG[10:100]


def test_threads_have_a_stack_each(tmp_path):
    furnish(tmp_path)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(serve("utcp", tmp_path, "--threads", "3"))
        clients = [server.say(request("/big.bin")) for _ in range(20)]
        for client in clients:
            assert client.answer().body == BIG


def test_ipv6_on_utcp(tmp_path):
    furnish(tmp_path)
    with serve("utcp", tmp_path, "-l", "[fd09::2]:8081") as server:
        with server.clients.inside():
            sock = socket.socket(socket.AF_INET6)
        with sock:
            sock.settimeout(PATIENCE_S)
            eventually(lambda: _connects(sock), "IPv6 on the TAP")
            client = Client(sock)
            client.say(request("/big.bin"))
            assert client.answer().body == BIG


def _connects(sock: socket.socket) -> bool:
    return sock.connect_ex(("fd09::2", 8081)) == 0


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["folder"],
        ["--host-stack", "-d", "tap:x", "folder"],
        ["--host-stack", "-l", "nowhere:80", "folder"],
        ["--host-stack", "-l", "99999", "folder"],
        ["--host-stack", "-o", "nosuch=1", "folder"],
        ["--host-stack", "--threads", "0", "folder"],
    ],
)
def test_wrong_use_is_told(argv):
    done = subprocess.run([httpd_path(), *argv], capture_output=True, text=True)
    assert done.returncode == 2
    assert re.search(r"usage|multistack-httpd: ", done.stderr)


def test_folder_that_is_not_there_is_told(tmp_path):
    argv = [httpd_path(), "--host-stack", "-l", "127.0.0.1:1", tmp_path / "none"]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 1
    assert "No such file" in done.stderr


def test_help_and_manual_name_the_same_options():
    said = subprocess.run([httpd_path(), "--help"], capture_output=True, text=True)
    named = set(re.findall(r"--([a-z][a-z-]+)", said.stdout))
    manual = (ROOT / "lib/httpd/multistack-httpd.8").read_text()
    items = "".join(line for line in manual.splitlines() if line.startswith(".It"))
    described = set(re.findall(r" -([a-z]{2}[a-z-]*)", items))
    assert named == described
    sources = [ROOT / "lib/httpd/main.c", ROOT / "lib/program/program.h"]
    taken = "".join(path.read_text() for path in sources)
    assert named == set(re.findall(r'\{[\s\\]*"([a-z-]+)",', taken))
