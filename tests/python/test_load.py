# SPDX-License-Identifier: BSD-2-Clause
"""multistack-load, on the host's sockets and on UTCP: what it counts."""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import json
import math
import os
import re
import signal
import socket
import struct
import subprocess
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from httpd_server import PATIENCE_S, httpd_path
from netns import Netns, need

# The generator is on the TAP, the server is the host at its other end.
HOST, OURS = "10.9.0.1", "10.9.0.2"
TAP = f"tap:ms0,local={OURS}/24,host={HOST},local6=fd09::2/64,host6=fd09::1"
CARRIERS = {"host": ["--host-stack"], "utcp": ["--device", TAP]}
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CLOSE = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
TIMES = {"count", "min_ns", "max_ns", "mean_ns", "stdev_ns", "percentiles_ns", "hdr"}


@pytest.fixture(scope="module")
def ns() -> Iterator[Netns]:
    made = Netns("load")
    yield made
    made.close()


@pytest.fixture(params=CARRIERS)
def carrier(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def load_path() -> str:
    path = httpd_path().parents[1] / "load" / "multistack-load"
    need(path.exists(), "multistack-load is not built; ./inv build")
    return str(path)


@contextlib.contextmanager
def listening(ns: Netns, carrier: str) -> Iterator[socket.socket]:
    with ns.inside():
        sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("0.0.0.0", 0))
    sock.listen(128)
    try:
        yield sock
    finally:
        sock.close()


def requests(sock: socket.socket) -> Iterator[bytes]:
    """Those of one connection, without bodies."""
    data = b""
    while True:
        while b"\r\n\r\n" in data:
            head, _, data = data.partition(b"\r\n\r\n")
            yield head
        more = sock.recv(65536)
        if not more:
            return
        data += more


Handler = Callable[[socket.socket], None]


@contextlib.contextmanager
def serving(ns: Netns, carrier: str, handle: Handler) -> Iterator[str]:
    """Each connection is a thread's; gives the URL."""
    threads: list[threading.Thread] = []

    def one(conn: socket.socket) -> None:
        with conn, contextlib.suppress(OSError):
            handle(conn)

    def all_of(sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                conn, _ = sock.accept()
                threads.append(threading.Thread(target=one, args=[conn], daemon=True))
                threads[-1].start()

    with listening(ns, carrier) as sock:
        acceptor = threading.Thread(target=all_of, args=[sock], daemon=True)
        acceptor.start()
        host = "127.0.0.1" if carrier == "host" else HOST
        yield f"http://{host}:{sock.getsockname()[1]}/x?y"
        sock.shutdown(socket.SHUT_RDWR)
        acceptor.join(PATIENCE_S)
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def answering(answer: bytes) -> Handler:
    def handle(conn: socket.socket) -> None:
        for _ in requests(conn):
            conn.sendall(answer)
            if b"close" in answer:
                return

    return handle


def telling(began: threading.Event, handle: Handler) -> Handler:
    """Sets the event when somebody has connected."""

    def told(conn: socket.socket) -> None:
        began.set()
        handle(conn)

    return told


def run(ns: Netns, carrier: str, url: str, *argv: object) -> tuple[int, dict[str, Any]]:
    """Its exit status and what it said."""
    command = [load_path(), *CARRIERS[carrier], "--json", "-", *argv, url]
    done = subprocess.run(
        ns.command(*command), stdout=subprocess.PIPE, text=True, timeout=PATIENCE_S
    )
    return done.returncode, json.loads(done.stdout)


def consistent(said: dict[str, Any]) -> None:
    """What always holds."""
    requests, errors = said["requests"], sum(said["errors"].values())
    ended = requests["answered"] + errors + requests["unfinished"]
    assert requests["begun"] == ended
    assert sum(said["status"].values()) == requests["answered"]
    assert said["latency"]["count"] == requests["answered"]


# ---- counts ------------------------------------------------------------------


@pytest.mark.parametrize(
    "argv",
    [
        ["-c", 1],
        ["-c", 8],
        ["-c", 8, "-p", 5],
        ["-c", 5, "--close"],
        ["-c", 4, "--close", "--reset"],
        ["-c", 3, "-t", 1, "-r", 2000],
        ["-c", 4, "--close", "-r", 1000],
    ],
    ids=str,
)
def test_so_many_requests_and_no_more(ns, carrier, argv):
    seen: list[bytes] = []

    def handle(conn: socket.socket) -> None:
        for head in requests(conn):
            seen.append(head)
            conn.sendall(CLOSE if b"close" in head else OK)

    with serving(ns, carrier, handle) as url:
        status, said = run(ns, carrier, url, "-n", 203, *argv)
    assert status == 0
    assert len(seen) == 203
    assert said["requests"]["answered"] == said["status"]["2xx"] == 203
    assert said["body_bytes"] == 5 * 203
    # A connection may open before it turns out that nothing is left for it.
    fewest, most = (203, 203) if "--close" in argv else (1, argv[1])
    assert fewest <= said["connects"] <= most
    assert seen[0].startswith(b"GET /x?y HTTP/1.1\r\nHost: ")
    consistent(said)


def test_threads_share_it(ns):
    with serving(ns, "host", answering(OK)) as url:
        status, said = run(ns, "host", url, "-n", 101, "-c", 7, "-t", 3)
    assert (status, said["requests"]["answered"], said["connects"]) == (0, 101, 7)
    consistent(said)


def test_threads_have_stacks_of_their_own(ns):
    with serving(ns, "utcp", answering(OK)) as url:
        status, said = run(ns, "utcp", url, "-n", 101, "-c", 7, "-t", 3)
    assert (status, said["requests"]["answered"], said["connects"]) == (0, 101, 7)


def test_method_fields_and_body_are_sent(ns, carrier, tmp_path):
    text = b""

    def handle(conn: socket.socket) -> None:
        nonlocal text
        while not text.endswith(b"\x00\xffbody"):
            text += conn.recv(4096)
        conn.sendall(OK)

    (tmp_path / "body").write_bytes(b"\x00\xffbody")
    with serving(ns, carrier, handle) as url:
        argv = ["-X", "PUT", "-H", "Host: a", "-H", "B: c", "-b", f"@{tmp_path}/body"]
        status, said = run(ns, carrier, url, "-n", 1, "-c", 1, *argv)
    assert (status, said["method"]) == (0, "PUT")
    assert text == (
        b"PUT /x?y HTTP/1.1\r\nHost: a\r\nB: c\r\nContent-Length: 6\r\n\r\n\x00\xffbody"
    )


def test_source_is_as_asked(ns, carrier):
    peers: set[tuple[str, int]] = set()

    def handle(conn: socket.socket) -> None:
        peers.add(conn.getpeername())
        answering(OK)(conn)

    source = "127.0.0.9" if carrier == "host" else OURS
    argv = [x for port in (5001, 5002) for x in ("-s", f"{source}:{port}")]
    with serving(ns, carrier, handle) as url:
        status, _ = run(ns, carrier, url, "-n", 10, "-c", 2, *argv)
    assert status == 0
    assert peers == {(source, 5001), (source, 5002)}


def test_ipv6(ns, carrier):
    with ns.inside():
        sock = socket.create_server(("::", 0), family=socket.AF_INET6)
    with sock:
        host = "::1" if carrier == "host" else "fd09::1"
        source = "::1" if carrier == "host" else "fd09::2"
        url = f"http://[{host}]:{sock.getsockname()[1]}/"
        heads: list[bytes] = []

        def serve() -> None:
            conn, peer = sock.accept()
            with conn, contextlib.suppress(ConnectionResetError):
                for head in requests(conn):
                    heads.append(head + peer[0].encode())
                    conn.sendall(OK)

        thread = threading.Thread(target=serve)
        thread.start()
        status, said = run(ns, carrier, url, "-n", 5, "-c", 1, "-s", source)
        thread.join(10)
    assert (status, said["requests"]["answered"]) == (0, 5)
    assert f"Host: [{host}]:".encode() in heads[0]
    assert heads[0].endswith(source.encode())


@pytest.mark.parametrize(
    "answer, body",
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
         b"3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nA: b\r\n\r\n", 5),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, 5),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 0),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx", 1),
    ],
    ids=["chunked", "interim", "204", "old"],
)  # fmt: skip
def test_responses_of_all_sorts(ns, carrier, answer, body):
    with serving(ns, carrier, answering(answer)) as url:
        status, said = run(ns, carrier, url, "-n", 20, "-c", 2)
    assert (status, said["body_bytes"], said["connects"]) == (0, 20 * body, 2)
    consistent(said)


def test_response_in_single_bytes(ns, carrier):
    def handle(conn: socket.socket) -> None:
        conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in requests(conn):
            for i in range(len(OK)):
                conn.sendall(OK[i : i + 1])

    with serving(ns, carrier, handle) as url:
        status, said = run(ns, carrier, url, "-n", 3, "-c", 1)
    assert (status, said["requests"]["answered"], said["body_bytes"]) == (0, 3, 15)


def test_body_until_the_end_and_head_without_one(ns, carrier):
    def handle(conn: socket.socket) -> None:
        next(requests(conn))
        conn.sendall(b"HTTP/1.1 200 OK\r\n\r\nall of it")

    with serving(ns, carrier, handle) as url:
        status, said = run(ns, carrier, url, "-n", 4, "-c", 1)
        assert (status, said["body_bytes"], said["connects"]) == (0, 36, 4)
    head = OK.removesuffix(b"hello")
    with serving(ns, carrier, answering(head)) as url:
        status, said = run(ns, carrier, url, "-n", 9, "-c", 1, "-X", "HEAD")
        assert (status, said["body_bytes"], said["connects"]) == (0, 0, 1)


def test_pipeline_is_sent_again_behind_a_close(ns, carrier):
    """Two answers a connection; what was sent behind them was never looked at."""

    def handle(conn: socket.socket) -> None:
        heads = requests(conn)
        next(heads)
        conn.sendall(OK)
        next(heads)
        conn.sendall(CLOSE)
        conn.shutdown(socket.SHUT_WR)
        while conn.recv(4096):
            pass

    with serving(ns, carrier, handle) as url:
        status, said = run(ns, carrier, url, "-n", 20, "-c", 1, "-p", 4)
    assert (status, said["requests"]["answered"], said["connects"]) == (0, 20, 10)
    assert said["requests"]["repeated"] > 0
    consistent(said)


# ---- errors -------------------------------------------------------------------


def _resets(conn: socket.socket) -> None:
    next(requests(conn))
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _closes(conn: socket.socket) -> None:
    next(requests(conn))
    conn.sendall(OK[:-2])


def _silent(conn: socket.socket) -> None:
    while conn.recv(4096):
        pass


@pytest.mark.parametrize(
    "handle, kind",
    [
        (_resets, "reset"),
        (_closes, "closed"),
        (_silent, "timeout"),
        (answering(b"HTTP/1.1 20 OK\r\n\r\n"), "bad"),
        (answering(b"SSH-2.0-OpenSSH_9.2\r\n"), "bad"),
        (answering(OK.replace(b"\r\n", b"\n")), "bad"),
        (answering(OK + OK), "bad"),
        (answering(b"HTTP/1.1 200 OK\r\nA: " + b"x" * 9000), "bad"),
        (answering(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 20000), "bad"),
        (answering(OK.replace(b": 5", b": -5")), "bad"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_errors_are_counted_by_kind(ns, carrier, handle, kind):
    with serving(ns, carrier, handle) as url:
        timeout = "0.2" if kind == "timeout" else PATIENCE_S
        status, said = run(ns, carrier, url, "-n", 6, "-c", 2, "--timeout", timeout)
    assert status == 1
    assert said["errors"][kind] > 0
    assert sum(said["errors"].values()) == said["errors"][kind]
    assert said["requests"]["begun"] == 6
    consistent(said)


def test_errors_of_the_server_are_errors(ns, carrier):
    with serving(ns, carrier, answering(OK.replace(b"200", b"503"))) as url:
        status, said = run(ns, carrier, url, "-n", 6, "-c", 2)
    assert (status, said["status"]["5xx"]) == (1, 6)
    consistent(said)


def test_nobody_there_is_counted_and_ends(ns, carrier):
    with listening(ns, carrier) as sock:
        port = sock.getsockname()[1]
    url = f"http://{'127.0.0.1' if carrier == 'host' else HOST}:{port}/"
    for how in ([], ["--close"]):
        status, said = run(ns, carrier, url, "-n", 9, "-c", 2, *how)
        assert (status, said["errors"]["connect"]) == (1, 9)
        consistent(said)


def test_idle_connections_that_close_are_no_error(ns, carrier):
    def handle(conn: socket.socket) -> None:
        conn.settimeout(0.05)
        with contextlib.suppress(TimeoutError):
            answering(OK)(conn)

    with serving(ns, carrier, handle) as url:
        status, said = run(ns, carrier, url, "-c", 2, "-d", "0.6", "-r", 4)
    assert (status, said["status"]["2xx"]) == (0, said["requests"]["answered"])
    assert said["idle_closed"] > 0


# ---- time -----------------------------------------------------------------------


def _stalls(after_s: float, stall_s: float) -> Handler:
    """Answers at once, but for one pause, so long after the first request."""
    began: list[float] = []
    lock = threading.Lock()

    def handle(conn: socket.socket) -> None:
        for _ in requests(conn):
            began.append(time.monotonic())
            now = began[-1] - began[0]
            if after_s <= now < after_s + stall_s:
                time.sleep(after_s + stall_s - now)
            with lock:
                conn.sendall(OK)

    return handle


def test_a_stall_is_charged_to_all_that_were_due(ns, carrier):
    with serving(ns, carrier, _stalls(0.5, 0.5)) as url:
        status, said = run(ns, carrier, url, "-c", 2, "-d", 2, "-r", 200)
    assert status == 0
    requests = said["requests"]
    # All that were due count, those of the stall as late.
    assert requests["begun"] + requests["unsent"] >= 398
    # A quarter of the time: 100 of 400 were due then, and wait 250 ms on average;
    # one of each connection waited for its answer.
    ours, sent = said["latency"], said["service"]
    late = _hdr_count(ours["hdr"], above_ns=200_000_000)
    assert late > 40
    assert _hdr_count(sent["hdr"], above_ns=200_000_000) < late / 4
    assert ours["percentiles_ns"]["90"] > 100_000_000
    assert "corrected" not in said


def test_without_a_rate_the_stall_is_corrected_afterwards(ns, carrier):
    with serving(ns, carrier, _stalls(0.5, 0.5)) as url:
        argv = ["-c", 1, "-d", "1.5", "--interval", "5ms"]
        status, said = run(ns, carrier, url, *argv)
    assert (status, said["interval_ns"]) == (0, 5_000_000)
    # To the 500 ms are added 495 ms and so on: 90 are longer than 50 ms.
    seen, corrected = (
        _hdr_count(said[kind]["hdr"], above_ns=50_000_000)
        for kind in ("latency", "corrected")
    )
    assert corrected > seen + 60


def test_warm_up_does_not_count(ns, carrier):
    seen: list[float] = []

    def handle(conn: socket.socket) -> None:
        for _ in requests(conn):
            seen.append(time.monotonic())
            conn.sendall(OK)

    with serving(ns, carrier, handle) as url:
        status, said = run(ns, carrier, url, "-c", 1, "-n", 10, "-w", "0.3")
    assert (status, said["requests"]["answered"]) == (0, 10)
    assert said["latency"]["count"] == 10
    assert seen[-1] - seen[0] >= 0.29
    assert len(seen) > 10
    assert said["warmup_s"] == 0.3


def test_rate_is_kept(ns, carrier):
    with serving(ns, carrier, answering(OK)) as url:
        _, said = run(ns, carrier, url, "-c", 8, "-d", 1, "-r", 500)
    requests = said["requests"]
    assert 500 <= requests["begun"] + requests["unsent"] <= 501


def test_interrupt_ends_it_with_the_table(ns, carrier):
    began = threading.Event()
    with serving(ns, carrier, telling(began, answering(OK))) as url:
        command = [load_path(), *CARRIERS[carrier], "-c", "2", "-d", "600", url]
        with subprocess.Popen(
            ns.command(*command), stdout=subprocess.PIPE, text=True
        ) as child:
            assert began.wait(PATIENCE_S)
            child.send_signal(signal.SIGINT)
            text, _ = child.communicate(timeout=PATIENCE_S)
    assert child.returncode == 0
    assert "Requests/sec:" in text
    assert "99.999%" in text


def test_interface_that_goes_away_ends_it_with_the_table(ns):
    def handle(conn: socket.socket) -> None:
        conn.settimeout(1)  # nobody tells it
        answering(OK)(conn)

    began = threading.Event()
    with serving(ns, "utcp", telling(began, handle)) as url:
        command = [load_path(), *CARRIERS["utcp"], "-c", "2", "-d", "600", url]
        with subprocess.Popen(
            ns.command(*command),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as child:
            assert began.wait(PATIENCE_S)
            ns.ip("link", "del", "ms0")
            text, errors = child.communicate(timeout=PATIENCE_S)
    assert child.returncode == 1
    assert "ms0" in errors
    assert "Requests/sec:" in text


def test_live_line_on_a_terminal(ns):
    ours, theirs = os.openpty()
    with serving(ns, "host", answering(OK)) as url:
        command = [load_path(), "--host-stack", "-c", "2", "-d", "2.3", url]
        with subprocess.Popen(
            ns.command(*command), stdout=subprocess.DEVNULL, stderr=theirs
        ) as child:
            assert child.wait(PATIENCE_S) == 0
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert "requests/s, 0 errors, p50" in shown
    assert shown.endswith("\r\x1b[K")


# ---- what it says ------------------------------------------------------------------


def _hdr(text: str) -> dict[int, int]:
    """HdrHistogram's V2 encoding read anew: counts by the lowest value of each."""
    cookie, length = struct.unpack(">II", base64.b64decode(text)[:8])
    assert cookie == 0x1C849314
    plain = zlib.decompress(base64.b64decode(text)[8:])
    assert length == len(base64.b64decode(text)) - 8
    head = struct.unpack(">IIIIqqd", plain[:40])
    assert head[0] == 0x1C849313 and head[1] == len(plain) - 40
    assert head[2:] == (0, 3, 1, 3_600_000_000_000, 1.0)
    counts: dict[int, int] = {}
    index, at = 0, 40
    while at < len(plain):
        value = shift = 0
        while True:
            byte = plain[at]
            at += 1
            value |= (byte if shift == 56 else byte & 0x7F) << shift
            if shift == 56 or byte < 0x80:
                break
            shift += 7
        n = (value >> 1) ^ -(value & 1)
        if n < 0:
            index -= n
            continue
        half, part = divmod(index, 1024)
        lowest = index if half < 2 else (part + 1024) << (half - 1)
        counts[lowest] = n
        index += 1
    return counts


def _hdr_count(text: str, above_ns: int) -> int:
    return sum(n for value, n in _hdr(text).items() if value >= above_ns)


def test_json_has_it_all_and_the_histogram_agrees(ns, carrier, tmp_path):
    with serving(ns, carrier, answering(OK)) as url:
        path = tmp_path / "out.json"
        command = [load_path(), *CARRIERS[carrier], "-n", 400, "--json", path, url]
        done = subprocess.run(
            ns.command(*command), capture_output=True, text=True, timeout=60
        )
    assert done.returncode == 0, done.stderr
    said = json.loads(path.read_text())
    assert set(said) == {
        *("program", "url", "method", "device", "threads", "connections"),
        *("pipeline", "close", "rate", "warmup_s", "seconds", "cpu_seconds"),
        *("per_s", "in_bytes_per_s", "requests", "status", "errors", "connects"),
        *("idle_closed", "in_bytes", "body_bytes", "latency", "corrected"),
        *("interval_ns", "connect"),
    }
    assert said["in_bytes"] == 400 * len(OK)
    assert said["per_s"] == pytest.approx(400 / said["seconds"], rel=1e-3)
    shown = re.search(r"^Requests/sec: +([0-9.]+)$", done.stdout, re.M)
    assert shown
    assert float(shown[1]) == pytest.approx(said["per_s"], abs=0.006)
    for name in ("latency", "corrected", "connect"):
        times = said[name]
        assert set(times) == TIMES
        counts = _hdr(times["hdr"])
        assert sum(counts.values()) == times["count"]
        assert times["max_ns"] == times["percentiles_ns"]["100"]
        rank = math.ceil(times["count"] / 2)
        middle = sorted(v for v, n in counts.items() for _ in range(n))[rank - 1]
        assert middle == pytest.approx(times["percentiles_ns"]["50"], rel=2e-3)
        mean = sum(v * n for v, n in counts.items()) / times["count"]
        assert mean == pytest.approx(times["mean_ns"], rel=2e-3)


def test_histograms_are_as_hdrhistogram_reads_and_corrects_them(ns, carrier):
    need(importlib.util.find_spec("hdrh"), "hdrhistogram is missing")
    from hdrh.histogram import HdrHistogram

    with serving(ns, carrier, _stalls(0.2, 0.2)) as url:
        _, said = run(ns, carrier, url, "-c", 2, "-d", 0.6, "--interval", "2ms")
    for name in ("latency", "corrected", "connect"):
        ours, theirs = said[name], HdrHistogram.decode(said[name]["hdr"])
        assert theirs.get_total_count() == ours["count"]
        for percent, ns_ in ours["percentiles_ns"].items():
            # It rounds the rank, where the Java one takes the next.
            rank = math.ceil(float(percent) / 100 * ours["count"])
            value = theirs.get_value_at_percentile(100 * rank / ours["count"])
            assert min(value, ours["max_ns"]) == ns_
        assert theirs.get_mean_value() == pytest.approx(ours["mean_ns"], abs=0.1)
        assert theirs.get_stddev() == pytest.approx(ours["stdev_ns"], abs=0.1)
    corrected = HdrHistogram(1, 3_600_000_000_000, 3)
    measured = HdrHistogram.decode(said["latency"]["hdr"])
    for item in measured.get_recorded_iterator():
        value, n = item.value_iterated_to, item.count_at_value_iterated_to
        corrected.record_value(value, n)
        # As Java's recordValueWithExpectedInterval(); Python's goes one further.
        for missing in range(value - 2_000_000, 2_000_000 - 1, -2_000_000):
            corrected.record_value(missing, n)
    assert corrected.get_total_count() > measured.get_total_count() + 80
    count = said["corrected"]["count"]
    assert corrected.get_total_count() == pytest.approx(count, rel=0.01)
    for percent in (90, 99, 99.9):
        value = corrected.get_value_at_percentile(percent)
        ours = said["corrected"]["percentiles_ns"][str(percent)]
        assert value == pytest.approx(ours, abs=5_000_000)  # times lie 2 ms apart


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["http://127.0.0.1/"],
        ["--host-stack"],
        ["--host-stack", "--device", "x", "http://127.0.0.1/"],
        *(
            ["--host-stack", *words, "http://127.0.0.1/"]
            for words in (
                ["-c", "0"], ["-c", "x"], ["-n", "0"], ["-r", "-1"], ["-d", "0"],
                ["-d", "3x"], ["-p", "300"], ["-p", "2", "--close"], ["-t", "65"],
                ["-t", "3", "-c", "2"], ["-X", "get"], ["-X", "CONNECT"],
                ["-H", "a"], ["-H", "a: b\r\nc: d"], ["-b", "@/none"],
                ["-s", "nobody"], ["-s", "127.0.0.1", "-s", "::1"],
                ["-s", "127.0.0.1:99"], ["-o", "none=1"], ["--interval", "1us"],
                ["--none"],
            )
        ),
        *(
            ["--host-stack", url]
            for url in (
                "127.0.0.1", "https://127.0.0.1/", "http://", "http://:80/",
                "http://127.0.0.1:0/", "http://127.0.0.1:65536/",
                "http://127.0.0.1:/", "http://[::1/", "http://a b/", "http://u@h/",
            )
        ),
    ],
    ids=str,
)  # fmt: skip
def test_called_in_a_wrong_way(argv):
    done = subprocess.run(
        [load_path(), *argv], capture_output=True, text=True, timeout=20
    )
    assert done.returncode == 2
    assert done.stderr
    assert done.stdout == ""


def test_help_and_version():
    for flag, word in (("--help", "usage: multistack-load"), ("-V", "multistack-load")):
        done = subprocess.run([load_path(), flag], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(word)


def test_no_such_interface_is_said(ns):
    command = [load_path(), "--device", "xdp:none0", "http://10.0.0.1/"]
    done = subprocess.run(
        ns.command(*command), capture_output=True, text=True, timeout=20
    )
    assert done.returncode == 1
    assert "none0" in done.stderr
