# SPDX-License-Identifier: BSD-2-Clause
"""multistack metrics: the switch's counters as Prometheus reads them (text format
0.0.4)."""

from __future__ import annotations

import http.server
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

import click

from multistack import _abi
from multistack._types import counter_texts
from multistack._version import __version__
from multistack.cli._switch import device_option, errors, user_name
from multistack.port import Control

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LISTEN = "127.0.0.1:9475"
CLIENT_S = 10.0  # that a scraper may take to ask and to read

Labels = Mapping[str, object]
Sample = tuple[Labels, float]


def _text(value: object) -> str:
    """Of a label."""
    return str(value).replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


class Page:
    """Samples by family, each family once with its help and type."""

    def __init__(self) -> None:
        self._families: dict[str, tuple[str, str, list[Sample]]] = {}

    def add(
        self, name: str, kind: str, about: str, value: float, /, **of: object
    ) -> None:
        """name: without the `multistack_` before it, and a counter's `_total`."""
        full = f"multistack_{name}" + ("_total" if kind == "counter" else "")
        self._families.setdefault(full, (kind, about, []))[2].append((of, value))

    def __str__(self) -> str:
        return "".join(self._lines())

    def _lines(self) -> Iterator[str]:
        for name, (kind, about, samples) in self._families.items():
            escaped = about.replace("\\", r"\\").replace("\n", r"\n")
            yield f"# HELP {name} {escaped}\n# TYPE {name} {kind}\n"
            for labels, value in samples:
                of = ",".join(f'{k}="{_text(v)}"' for k, v in labels.items())
                yield f"{name}{{{of}}} {value}\n" if of else f"{name} {value}\n"


def _count(page: Page, what: str, counters: Mapping[str, int], of: Labels) -> None:
    """Drops are one family, by reason."""
    texts = counter_texts()
    for name, value in counters.items():
        if name.startswith("drop_"):
            reason = name.removeprefix("drop_")
            about = "Frames not forwarded, by the reason that `status --counters` tells"
            page.add(
                f"{what}_dropped_frames", "counter", about, value, **of, reason=reason
            )
        else:
            about = texts[name][:1].upper() + texts[name][1:]
            page.add(f"{what}_{name}", "counter", about, value, **of)


def _interfaces(page: Page, control: Control) -> None:
    for nic in control.list_nics():
        of = {"interface": nic.name}
        about = {"kind": nic.kind, "mac": nic.mac.hex(":"), "vlan": nic.vlan or ""}
        page.add("interface_info", "gauge", "An attached interface", 1, **of, **about)
        page.add("interface_mtu_bytes", "gauge", "Bytes of IP", nic.mtu, **of)
        page.add("interface_ports", "gauge", "Open ports", nic.ports, **of)
        page.add("interface_queues", "gauge", "Queues served", nic.queues, **of)
        with suppress(OSError):  # it was detached meanwhile
            _count(page, "interface", control.stats(nic=nic.name), of)


def _ports(page: Page, control: Control) -> None:
    """All ports, and the counters of those that the caller may ask for."""
    for port in control.list_ports():
        of = {"port": port.id, "interface": port.nic, "label": port.label}
        owner = {"user": user_name(port.uid), "pid": port.pid}
        page.add("port_info", "gauge", "An open port and whose it is", 1, **of, **owner)
        page.add("port_tuples", "gauge", "Claims of a port", port.tuples, **of)
        for kind, number in (("tx", port.tx_rings), ("rx", port.rx_rings)):
            page.add("port_rings", "gauge", "Rings of a port", number, **of, kind=kind)
        with suppress(OSError):
            _count(page, "port", control.stats(port_id=port.id), of)


def page(device: str) -> str:
    """Everything, as it is now; without a switch that there is none."""
    made = Page()
    about = "Version of package and library, and of the ABI they speak"
    of = {"version": __version__, "abi": _abi.MS_ABI_VERSION}
    made.add("build_info", "gauge", about, 1, **of)
    up = "Whether the switch answers"
    try:
        with Control(device) as control:
            info = control.info()
            made.add("up", "gauge", up, 1)
            made.add("ports", "gauge", "Open ports", info.ports)
            made.add("tuples", "gauge", "Claimed tuples", info.tuples)
            _interfaces(made, control)
            _ports(made, control)
    except OSError:
        made = Page()
        made.add("build_info", "gauge", about, 1, **of)
        made.add("up", "gauge", up, 0)
    return str(made)


class _Handler(http.server.BaseHTTPRequestHandler):
    server_version = f"multistack/{__version__}"
    timeout = CLIENT_S
    scrape: Callable[[], str]

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != "/metrics":
            self.send_error(404, "There is /metrics")
            return
        body = self.scrape().encode()
        self.send_response(200)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: it is asked every few seconds."""


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, family: int, address: tuple[str, int], device: str) -> None:
        self.address_family = family
        scrape = staticmethod(lambda: page(device))
        super().__init__(address, type("Handler", (_Handler,), {"scrape": scrape}))

    def handle_error(self, request: object, client_address: object) -> None:
        """A scraper that went away is none of ours."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def _address(text: str) -> tuple[int, tuple[str, int]]:
    """HOST:PORT, [HOST]:PORT or PORT as an address family and an address."""
    host, _, port = text.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    try:
        found = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
    except (ValueError, OverflowError):
        raise click.UsageError(f"--listen {text}: is to be ADDRESS:PORT") from None
    except socket.gaierror as e:
        raise click.UsageError(f"--listen {text}: {e.strerror}") from None
    family, *_, address = found[0]
    return family, (str(address[0]), int(address[1]))


@click.command()
@click.option(
    *("--listen", "-l"),
    default=LISTEN,
    show_default=True,
    metavar="ADDRESS:PORT",
    help="Answer there, under /metrics.",
)
@click.option("--once", is_flag=True, help="Print them and exit; 1: no switch answers.")
@device_option
def metrics(device: str, listen: str, once: bool) -> None:
    """Serve the switch's counters to Prometheus.

    Interfaces and ports, drops by reason. A switch that does not answer is told as
    multistack_up 0, and asked again the next time. Counters of other users' ports
    take CAP_NET_ADMIN.
    """
    if once:
        text = page(device)
        click.echo(text, nl=False)
        raise SystemExit("multistack_up 1\n" not in text)
    with errors():
        server = _Server(*_address(listen), device)
    with server, suppress(KeyboardInterrupt):
        host, port = server.server_address[:2]
        shown = f"[{host!s}]" if ":" in str(host) else str(host)
        click.echo(f"http://{shown}:{port}/metrics")
        server.serve_forever()
