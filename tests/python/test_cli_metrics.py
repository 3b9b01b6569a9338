# SPDX-License-Identifier: BSD-2-Clause
"""multistack metrics, read by Prometheus's own parser."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families
from worlds import HostedWorld

import multistack
from multistack.cli import main
from multistack.cli._metrics import Page

SCRIPT = "from multistack.cli import main; main()"


def samples(text: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation and family.type in ("gauge", "counter")
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


@pytest.fixture
def server(alone: HostedWorld) -> Iterator[tuple[str, int]]:
    """`multistack metrics` on a port of its choice, in the switch's namespace."""
    process = subprocess.Popen(
        alone.ns.command(sys.executable, "-uc", SCRIPT, "metrics", "-l", "127.0.0.1:0"),
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "MULTISTACK_DEVICE": alone.control,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout and process.stderr
    line = process.stdout.readline()
    found = re.fullmatch(r"http://(127\.0\.0\.1):(\d+)/metrics\n", line)
    assert found, line
    yield found[1], int(found[2])
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    assert process.stderr.read() == ""
    process.stdout.close()
    process.stderr.close()


def ask(world: HostedWorld, server: tuple[str, int], path: str) -> tuple[int, str]:
    with world.inside():
        connection = http.client.HTTPConnection(*server, timeout=60)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()


def test_what_a_scraper_gets(alone: HostedWorld, server: tuple[str, int]) -> None:
    with alone.port(label='a"b\\c') as port:
        port.bind(alone.addr[4], 7000)
        alone.peer().sendto(b"x" * 100, (alone.addr[4], 7000))
        assert port.wait(60)
        status, text = ask(alone, server, "/metrics")
        assert status == 200
        told = samples(text)
    of = {"port": str(port.id), "interface": "eth0", "label": 'a"b\\c'}
    assert told["multistack_up"] == [({}, 1.0)]
    assert (of, 1.0) in told["multistack_port_rx_frames_total"]
    assert (of, 1.0) in told["multistack_port_tuples"]
    owner = {**of, "user": "root", "pid": str(os.getpid())}
    assert (owner, 1.0) in told["multistack_port_info"]
    (dropped,) = {labels["interface"] for labels, _ in told[DROPPED]}
    assert dropped == "eth0"
    reasons = {labels["reason"] for labels, _ in told[DROPPED]}
    assert reasons == {
        name[5:] for name in multistack.counter_texts() if name.startswith("drop_")
    }


DROPPED = "multistack_interface_dropped_frames_total"


def test_a_scraper_that_says_nothing_stops_nobody(
    alone: HostedWorld, server: tuple[str, int]
) -> None:
    with alone.inside():
        silent = socket.create_connection(server)
    with silent:
        assert ask(alone, server, "/metrics")[0] == 200
        assert ask(alone, server, "/")[0] == 404


def test_without_a_switch() -> None:
    done = CliRunner().invoke(main, ["metrics", "--once", "-d", "daemon@/nonexistent"])
    assert done.exit_code == 1
    assert samples(done.output)["multistack_up"] == [({}, 0.0)]


def test_the_address_is_taken_or_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        done = CliRunner().invoke(main, ["metrics", "-l", f"127.0.0.1:{number}"])
        assert done.exit_code == 1 and "in use" in done.stderr
    done = CliRunner().invoke(main, ["metrics", "-l", "localhost:http:"])
    assert done.exit_code == 2 and "ADDRESS:PORT" in done.stderr


def test_any_label_comes_through() -> None:
    page = Page()
    nasty = 'q"uo\\te\nline {x="y"} \N{SNOWMAN}'
    page.add("x", "gauge", "About\nthis \\", 1.5, label=nasty)
    assert samples(str(page)) == {"multistack_x": [({"label": nasty}, 1.5)]}
