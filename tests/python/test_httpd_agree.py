# SPDX-License-Identifier: BSD-2-Clause
"""multistack-httpd says the same whatever carries it, and however its input is cut.

Hypothesis makes requests of good and bad parts, and hurts some of them; each server
gets the same bytes, each in pieces of its own."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Iterator

import pytest
from httpd_server import BIG, CARRIERS, Client, Server, request, serve_all
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

USUAL = settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(serve_all(kind, tmp_path_factory.mktemp("www")))
            for kind in CARRIERS
        ]


# ---- what is said ------------------------------------------------------------

_methods = st.sampled_from(["GET"] * 8 + ["HEAD", "POST", "OPTIONS", "BREW", "get", ""])
_targets = st.one_of(
    st.sampled_from(["/", "/index.html", "/sub/", "/sub", "/zero", "/none", "/out"]),
    st.sampled_from(["/bare/", "*", "http://x/sub/", "https://x/", "//sub", "/%zz"]),
    st.lists(
        st.sampled_from(
            ["sub", "..", ".", "", "index.html", "%2e%2e", "%2f", "?a", "#"]
        )
    ).map(lambda parts: "/" + "/".join(parts)),
    st.text(st.characters(min_codepoint=1, max_codepoint=255), max_size=9),
)
_versions = st.sampled_from(["HTTP/1.1"] * 8 + ["HTTP/1.0", "HTTP/1.7", "HTTP/2.0", ""])
_ranges = st.lists(
    st.builds(
        "{}-{}".format,
        st.one_of(st.just(""), st.integers(0, 30)),
        st.one_of(st.just(""), st.integers(0, 30)),
    ),
    max_size=4,
).map(lambda specs: "bytes=" + ",".join(specs))
_values = st.one_of(
    _ranges,
    st.sampled_from(["x", "", "*", '"x"', "close", "keep-alive", "100-continue", "3"]),
    st.sampled_from(["chunked", "gzip", "Fri, 01 Jan 2100 00:00:00 GMT", "a\r\n b"]),
    st.text(st.characters(min_codepoint=0, max_codepoint=255), max_size=12),
)
_names = st.sampled_from(
    ["Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "Host"]
    + ["If-Unmodified-Since", "Expect", "Connection", "Content-Length", "X", "", "a b"]
    + ["Transfer-Encoding", "Upgrade"]
)
_fields = st.lists(st.builds("{}: {}".format, _names, _values), max_size=3)
_bodies = st.sampled_from(
    [""] * 6 + ["abc", "3\r\nabc\r\n0\r\n\r\n", "0\r\nRange: x\r\n\r\n"]
)


def _text(
    method: str, target: str, version: str, fields: list[str], body: str
) -> bytes:
    lines = [f"{method} {target} {version}", "Host: x", *fields, "", ""]
    return ("\r\n".join(lines) + body).encode("latin-1")


_request = st.builds(_text, _methods, _targets, _versions, _fields, _bodies)


@st.composite
def _messages(draw: st.DrawFn) -> bytes:
    """A few requests; perhaps a few bytes of them are others."""
    raw = bytearray(b"".join(draw(st.lists(_request, min_size=1, max_size=4))))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        at = draw(st.integers(0, len(raw) - 1))
        raw[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=2))
    return bytes(raw)


def _cut(raw: bytes, cuts: list[int]) -> list[bytes]:
    ends = sorted({c % (len(raw) + 1) for c in cuts} | {0, len(raw)})
    return [raw[a:b] for a, b in zip(ends, ends[1:], strict=False)]


def _heard(server: Server, pieces: list[bytes]) -> tuple[bytes, bool]:
    """All that the server says, but for the time; and whether it was cut off."""
    sock = server.connect()
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    said, reset = b"", False
    try:
        for piece in pieces:
            sock.sendall(piece)
            if len(pieces) > 1:
                time.sleep(0.001)
        sock.shutdown(socket.SHUT_WR)
        while part := sock.recv(1 << 16):
            said += part
    except OSError:  # who says more than "close" may be cut off
        reset = True
    server.open.remove(sock)
    sock.close()
    for stamp in (rb"Date: [^\r]*", rb"Last-Modified: [^\r]*", rb"ETag: [^\r]*"):
        said = re.sub(stamp, b"", said)
    return said, reset


@USUAL
@given(raw=_messages(), cuts=st.lists(st.integers(0, 999), max_size=3))
def test_all_say_the_same(servers, raw, cuts):
    heard = [_heard(servers[0], [raw])]
    heard += [_heard(s, _cut(raw, cuts)) for s in servers[1:]]
    longest = max((said for said, _ in heard), key=len)
    for said, reset in heard:
        assert longest.startswith(said) if reset else said == longest


# ---- ranges, against another reading of RFC 9110 14.1.2 -------------------------

N = len(BIG)
_near = st.one_of(st.integers(0, 9), st.integers(N - 9, N + 9), st.just(10**30))
_specs = st.lists(
    st.one_of(
        st.tuples(_near, st.none()),
        st.tuples(st.none(), _near),
        st.tuples(_near, _near),
    ),
    min_size=1,
    max_size=3,
)


def _wanted(specs: list[tuple[int | None, int | None]]) -> list[tuple[int, int]] | None:
    """First and last byte of what can be sent; None: not a valid set."""
    found = []
    for first, last in specs:
        if first is None:
            assert last is not None
            first, last = max(0, N - last), N - 1
        elif last is not None and last < first:
            return None
        last = N - 1 if last is None else min(last, N - 1)
        if first <= last:
            found.append((first, last))
    return found


@USUAL
@given(specs=_specs)
def test_ranges_are_what_they_say(servers, specs):
    text = ",".join(
        f"{'' if a is None else a}-{'' if b is None else b}" for a, b in specs
    )
    wanted = _wanted(specs)
    for server in servers:
        sock = server.connect()
        client = Client(sock)
        client.say(request("/big.bin", f"Range: bytes={text}", "Connection: close"))
        answer = client.answer()
        client.file.close()
        server.open.remove(sock)
        sock.close()
        if wanted == []:
            assert answer.status == 416
        elif wanted is None or sum(b - a + 1 for a, b in wanted) > N:
            assert (answer.status, answer.body == BIG) == (200, True)
        elif len(wanted) == 1:
            first, last = wanted[0]
            assert answer.status == 206
            assert answer.fields["content-range"] == f"bytes {first}-{last}/{N}"
            assert answer.body == BIG[first : last + 1]
        else:
            assert answer.status == 206
            boundary = answer.fields["content-type"].partition("boundary=")[2]
            parts = answer.body.split(f"\r\n--{boundary}".encode())
            bodies = [p.partition(b"\r\n\r\n")[2] for p in parts[1:-1]]
            assert bodies == [BIG[a : b + 1] for a, b in wanted]
