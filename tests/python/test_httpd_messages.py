# SPDX-License-Identifier: BSD-2-Clause
"""Messages of all sorts, byte by byte, and what RFC 9112 has a server say to them.

What is refused ends the connection, what is answered does not."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from httpd_server import CARRIERS, Client, Server, request, serve_all


@pytest.fixture(scope="module", params=CARRIERS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    with serve_all(request.param, tmp_path_factory.mktemp("www")) as made:
        yield made


def statuses(server: Server, raw: str | bytes) -> list[int]:
    """Of all answers to what is said, until the server ends the connection."""
    client = Client(server.connect())
    client.say(raw)
    client.sock.shutdown(socket.SHUT_WR)
    found = []
    while client.file.peek(1):
        found.append(client.answer().status)
    return found


NEXT = request("/sub/")
CHUNKED = "Transfer-Encoding: chunked"
UPGRADE = ("Connection: Upgrade", "Upgrade: h2c")

REFUSED = {
    # The request line (RFC 9112 section 3)
    "a version that is none": ("GET / HTTX/1.1\r\nHost: x\r\n\r\n", 400),
    "a version in small letters": ("GET / http/1.1\r\nHost: x\r\n\r\n", 400),
    "HTTP/2 in the manner of 1": ("GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505),
    "HTTP/3 in the manner of 1": ("GET / HTTP/3.0\r\nHost: x\r\n\r\n", 505),
    "a version of two digits": ("GET / HTTP/11.1\r\nHost: x\r\n\r\n", 505),
    "the preface of HTTP/2": ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "an unknown method": ("BREW / HTTP/1.1\r\nHost: x\r\n\r\n", 501),
    "a method in small letters": ("get / HTTP/1.1\r\nHost: x\r\n\r\n", 501),
    "an endless method": ("A" * 100000, 501),
    "a tab for a space": ("GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "a space in the target": ("GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "a control in the target": ("GET /a\1b HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "raw UTF-8 in the target": ("GET /\xc3\xbc HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "an authority for a target": (request("x:80"), 400),
    "a target that is too long": (request("/" + "n" * 8000), 414),
    # Fields (RFC 9112 section 5, RFC 9110 section 5.5)
    "a space in a name": (request("/", "bad name: 1"), 400),
    "a space before the colon": ("GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400),
    "a space before the first": ("GET / HTTP/1.1\r\n Host: x\r\n\r\n", 400),
    "no colon": (request("/", "Foo"), 400),
    "no name": (request("/", ": x"), 400),
    "a fold": (request("/", "X: a\r\n b"), 400),
    "a fold in what matters": (request("/", "Range: bytes=0-0,\r\n\t1-1"), 400),
    "a bare LF behind all lines": ("GET / HTTP/1.1\nHost: x\n\n", 400),
    "a bare LF": ("GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n", 400),
    "a bare CR": ("GET / HTTP/1.1\r\nHost: x\rA: b\r\n\r\n", 400),
    "a NUL": (request("/", "X: a\0b"), 400),
    "a control": (request("/", "X: a\1b"), 400),
    "a head that is too long": (request("/", "X: " + "x" * 20000), 431),
    "many fields": (request("/", *[f"X{i}: y" for i in range(4000)]), 431),
    "a value that is too long": (request("/", "Range: " + "x" * 2000), 431),
    "values too long together": (request("/", *["Range: " + "x" * 200] * 8), 431),
    # Host (RFC 9112 section 3.2)
    "no Host": ("GET / HTTP/1.1\r\n\r\n", 400),
    "two Hosts": ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "the same Host twice": ("GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", 400),
    "a Host with a space": ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    "a Host with a path": ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    "a Host with a user": ("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400),
    "a Host with a bad port": ("GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", 400),
    "a Host cut short": ("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400),
    # Where the body ends (RFC 9112 section 6)
    "a length below 0": (request("/", "Content-Length: -1"), 400),
    "a length with a sign": (request("/", "Content-Length: +3") + "abc", 400),
    "a length that is none": (request("/", "Content-Length: 3x") + "abc", 400),
    "a length of nothing": (request("/", "Content-Length:"), 400),
    "a length that wraps": (request("/", "Content-Length: " + "9" * 23), 400),
    "two lengths": (request("/", *["Content-Length: 3"] * 2) + "abc", 400),
    "a list of lengths": (request("/", "Content-Length: 3, 3") + "abc", 400),
    "a length and chunks": (request("/", "Content-Length: 3", CHUNKED), 400),
    "chunks and a length": (request("/", CHUNKED, "Content-Length: 3"), 400),
    "chunks twice": (request("/", CHUNKED, CHUNKED) + "0\r\n\r\n", 400),
    "chunks, but not last": (request("/", CHUNKED + ", gzip"), 400),
    "no chunks at last": (request("/", "Transfer-Encoding: gzip"), 400),
    "identity": (request("/", "Transfer-Encoding: identity"), 400),
    "what is not quite chunked": (request("/", "Transfer-Encoding: xchunked"), 400),
    "a coding before chunks": (
        request("/", "Transfer-Encoding: gzip, chunked") + "0\r\n\r\n",
        501,
    ),
    "chunks in HTTP/1.0": (
        f"GET / HTTP/1.0\r\nConnection: keep-alive\r\n{CHUNKED}\r\n\r\n0\r\n\r\n",
        400,
    ),
    "a chunk of no number": (request("/", CHUNKED) + "zz\r\nabc\r\n0\r\n\r\n", 400),
    "a chunk below 0": (request("/", CHUNKED) + "-1\r\nabc\r\n0\r\n\r\n", 400),
    "a chunk that wraps": (request("/", CHUNKED) + "f" * 17 + "\r\nabc\r\n", 400),
    "a chunk without an end": (request("/", CHUNKED) + "3\r\nabcX\r\n0\r\n\r\n", 400),
    "a body that is too long": (
        request("/", "Content-Length: 99999999", method="POST"),
        413,
    ),
    "chunks that are too long": (
        request("/", CHUNKED) + ("8000\r\n" + "x" * 0x8000 + "\r\n") * 3,
        413,
    ),
    "endless extensions": (request("/", CHUNKED) + "1;" + "x" * 20000, 431),
    "a body with PUT": (request("/", "Content-Length: 5", method="PUT") + "hello", 405),
    "an expectation": (request("/", "Expect: miracles"), 417),
}


@pytest.mark.parametrize("raw, status", REFUSED.values(), ids=REFUSED)
def test_message_is_refused(server, raw, status):
    more = raw + NEXT if isinstance(raw, str) else raw + NEXT.encode()
    assert statuses(server, more) == [status]


@pytest.mark.parametrize("brim", range(1529, 1535))
@pytest.mark.parametrize("more", ["If-Match: " + "y" * 5000, "If-Match:"])
def test_values_to_the_brim_and_more(server, brim, more):
    """Host takes 3 of the 1536 bytes; each value has an end of its own."""
    raw = request("/", "Range: " + "x" * brim, more)
    fits = more == "If-Match:" and brim < 1532
    assert statuses(server, raw) == [412 if fits else 431]
    assert server.get("/").status == 200


def test_refusal_says_that_it_closes(server):
    client = server.say(request("/", "Content-Length: x"))
    assert client.answer().fields["connection"] == "close"
    assert client.ended()


ANSWERED = {
    "the absolute form": (request("http://x/sub/"), 200),
    "its scheme in any letters": (request("HTTP://x:80/sub/"), 200),
    "a scheme of others": (request("ftp://x/sub/"), 400),
    "a secure scheme in the open": (request("https://x/sub/"), 421),
    "the absolute form of nobody": (request("http:///sub/"), 400),
    "the absolute form of a user": (request("http://u:p@x/sub/"), 400),
    "the asterisk": (request("*", method="OPTIONS"), 405),
    "a tunnel": (request("x:80", method="CONNECT"), 405),
    "a later minor version": ("GET / HTTP/1.9\r\nHost: x\r\n\r\n", 200),
    "two spaces": ("GET  / HTTP/1.1\r\nHost: x\r\n\r\n", 200),
    "empty lines in front": ("\r\n\r\n" + request("/"), 200),
    "an empty Host": ("GET / HTTP/1.1\r\nHost:\r\n\r\n", 200),
    "an IPv6 Host": ("GET / HTTP/1.1\r\nHost: [fd09::2]:8080\r\n\r\n", 200),
    "a Host with an escape": ("GET / HTTP/1.1\r\nHost: a%20b\r\n\r\n", 200),
    "a byte above ASCII in a value": (request("/", "X: a\xffb"), 200),
    "an offer to upgrade": (request("/", *UPGRADE), 200),
    "one with a body": (request("/", *UPGRADE, "Content-Length: 3") + "abc", 200),
    "a body": (request("/", "Content-Length: 3") + "abc", 200),
    "an empty body": (request("/", "Content-Length: 0"), 200),
    "chunks": (
        request("/", CHUNKED) + "3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
        200,
    ),
    "trailers that speak for the head": (
        request("/", CHUNKED) + "0\r\nHost: y\r\nRange: bytes=0-0\r\n\r\n",
        200,
    ),
    "leave to send what is not there": (request("/", "Expect: 100-continue"), 200),
    "blanks behind a date": (
        request("/", "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT \t"),
        304,
    ),
    "two dates": (
        request("/", *["If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT"] * 2),
        200,
    ),
    "two ranges in two fields": (request("/", *["Range: bytes=0-0"] * 2), 200),
    "a list in two fields": (
        request("/", 'If-None-Match: "x"', "If-None-Match: *"),
        304,
    ),
    "a part of what is empty": (request("/zero", "Range: bytes=-5"), 200),
    "a part behind what is empty": (request("/zero", "Range: bytes=0-"), 416),
}


@pytest.mark.parametrize("raw, status", ANSWERED.values(), ids=ANSWERED)
def test_message_is_answered_and_the_next_one_too(server, raw, status):
    assert statuses(server, raw + NEXT) == [status, 200]


def test_who_asks_for_leave_to_send_a_body_is_answered_at_once(server):
    fields = ("Expect: 100-continue", "Content-Length: 3")
    client = server.say(request("/sub/", *fields))
    answer = client.answer()
    assert (answer.status, answer.body) == (200, b"sub")
    assert answer.fields["connection"] == "close"
    client.say("abc")
    assert client.ended()


def test_folder_keeps_its_query_when_redirected(server):
    answer = server.get("/sub?a=b%20c#d?e")
    assert (answer.status, answer.fields["location"]) == (301, "/sub/?a=b%20c")


def test_error_tells_http_1_0_that_it_goes_on(server):
    client = server.say("GET /none HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert client.answer().fields["connection"] == "keep-alive"
    client.say(NEXT)
    assert client.answer().body == b"sub"


def test_refusal_of_head_has_no_page(server):
    client = server.say(request("/" + "n" * 9000, method="HEAD"))
    assert client.answer(head_only=True).status == 414
    assert client.ended()
