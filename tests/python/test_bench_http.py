# SPDX-License-Identifier: BSD-2-Clause
"""What `inv bench http` makes of what it is told."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from tests.bench import http, nginx, over, plot6
from tests.bench.owner import Received
from tests.bench.programs import BenchError
from tests.bench.rows import row

WRK = """Running 1s test @ http://10.99.0.2:8081/1.html
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     4.69ms    2.20ms  36.97ms   75.50%
    Req/Sec    13.60k     1.02k   15.25k    70.00%
  Latency Distribution
     50%  900.00us
     75%    5.46ms
     90%    6.95ms
     99%    1.25s
  13606 requests in 1.01s, 17.24MB read
Requests/sec:  13482.33
Transfer/sec:     17.08MB
"""


def test_wrk_is_understood():
    run = http.understand(WRK)
    assert run == http.Wrk(13606, 13482.33, 900.0, 1.25e6)


@pytest.mark.parametrize(
    "said", ["", WRK.replace("Requests/sec", "  Non-2xx or 3xx responses: 3\nX")]
)
def test_wrk_that_fails_is_noticed(said):
    assert http.understand(said) is None


def test_work_for_the_other_side_is_moved():
    received = Received(server=[700, 20], client=[5, 300])
    assert received.moved_ns(1) == 700 - 300
    assert received.moved_ns(0) == 20 - 5


def test_rows_come_as_a_table_and_not_twice():
    def made(what: str, unit: str, value: float, goal: float | None):
        case = over.case("UTCP, keep-alive", 8, what)
        return row("http", case, value, unit, "how", baseline=100.0, goal=goal)

    rows = [
        made("per_s", "req/s", 130.0, 120.0),
        made("per_cpu_s", "req/cpu-s", 110.0, 120.0),
        made("most_us", "us", 50.0, None),
        row("http", plot6.case("nginx", 8), 1.0, "req/s", "how"),
        row("bulk", "UTCP, 8 KB", 1.0, "Gb/s", "how", baseline=2.0),
    ]
    assert [p.row for p in over.points(rows)] == rows[:3]
    assert [p.row for p in plot6.points(rows)] == rows[3:4]
    out = io.StringIO()
    over.tabulate(rows, Console(file=out, width=110))
    words = out.getvalue()
    for part in ("8 KB (goal 1.2)", "130", "1.30", "1.10", "99%, us", "0.50"):
        assert part in words


def test_nginx_that_cannot_be_had_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BenchError, match="nginx is missing.*apt-get install"):
        nginx.find(tmp_path)
