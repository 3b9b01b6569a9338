# SPDX-License-Identifier: BSD-2-Clause
"""./inv demo: several stacks on one address, with ordinary tools talking to them.

Two network namespaces play a client and a server. On the server's one address
answer its ordinary web server, a stack in C, a stack in Python and a web server
with a TCP of its own. Then come the things that must not work. Each promise is a line; --check makes a broken
one an error.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from demo import cast as play
from demo import traffic, world
from demo.carrier import Carrier, Daemon, Module
from demo.cast import Built, Cast
from demo.report import Report
from demo.world import (
    ADDR,
    CLIENT,
    IFNAME,
    PATIENCE_S,
    ROOT,
    SERVER,
    Process,
    World,
    WorldError,
)

if TYPE_CHECKING:
    from demo.switch import Switch

TOOLS = ("ip", "ethtool", "curl", "ping", "nsenter", "setpriv", "bash")
V4, V6 = ADDR[SERVER]
FINITE = ("intruder",)  # of the players, who is expected to leave


class Demo:
    """One performance."""

    def __init__(
        self, world_: World, built: Built, carrier: Carrier, report: Report
    ) -> None:
        self.world = world_
        self.report = report
        self.carrier = carrier
        self.cast = Cast(world_, built, carrier)
        self.switch: Switch
        self.stack: dict[str, Process] = {}
        self.served: list[dict[str, Any]] = []

    # ---- ordinary tools ---------------------------------------------------

    def curl(self, addr: str, port: int = play.WEB, *options: str) -> str:
        host = f"[{addr}]" if ":" in addr else addr
        url = f"http://{host}:{port}/"
        done = self.world.call(
            CLIENT, "curl", "-sS", "-m", "60", *options, url, ok=False
        )
        return done.stdout + done.stderr

    def ping(self, addr: str) -> bool:
        done = self.world.call(
            CLIENT, "ping", "-c", "2", "-i", "0.05", "-W", "20", addr, ok=False
        )
        return done.returncode == 0

    def udp_tool(self, addr: str, port: int, text: str, timeout: int = 60) -> str:
        """One datagram with a tool that everybody has."""
        script = f"exec 3<>/dev/udp/{addr}/{port}; echo {text} >&3; timeout {timeout} head -n1 <&3"
        done = self.world.call(CLIENT, "bash", "-c", script, ok=False)
        return done.stdout.strip()

    # ---- acts -------------------------------------------------------------

    def before(self) -> None:
        r = self.report
        r.title(f"Two machines: {ADDR[CLIENT][0]} ── veth ── {V4}  (and {V6})")
        r.say(f"namespaces {self.world.netns(CLIENT)} and {self.world.netns(SERVER)}")
        if self.world.checksums:
            r.say(
                f"ethtool -K {IFNAME} tx off: a veth leaves checksums undone, XDP needs them done"
            )
        self.cast.web()
        r.check(
            "an ordinary web server on the host's stack answers curl",
            self.curl(V4) == play.PAGE,
            f"python3 -m http.server {play.WEB}",
        )
        r.measured.append(
            traffic.measure_web(self.world, "web server, before", V4, play.WEB, 0.4)
        )

    def attach(self) -> None:
        r = self.report
        r.title(
            "MultiStack on the same interface, and three stacks on the same address"
        )
        self.carrier.start(r)
        os.environ["MULTISTACK_LIBRARY"] = str(self.cast.built.library)
        sys.path.append(str(ROOT / "bindings"))
        from demo.switch import Switch  # loads that library

        with self.world.inside(SERVER):
            self.switch = Switch(self.carrier.control)
        kind = self.switch.kind()
        r.check(f"{self.carrier.name} is attached to {IFNAME}", kind != "", kind)
        self.stack["c"] = self.cast.c_stack()
        self.stack["py"] = self.cast.python_stack()
        self.stack["http"] = self.cast.http_stack()
        for name, key, uid in (
            ("C", "c", play.C_USER),
            ("Python", "py", play.PY_USER),
            ("C, with TCP and HTTP,", "http", play.HTTP_USER),
        ):
            pid = self.stack[key].pid
            r.check(
                f"a stack in {name} has its ports, as a user without any privilege",
                _uid_and_caps(pid) == (uid, 0),
                f"process {pid}, user {uid}",
            )

    def talk(self) -> None:
        r = self.report
        r.title("Ordinary tools talk to all four on one address")
        for addr, family in ((V4, "IPv4"), (V6, "IPv6")):
            r.check(
                f"curl reaches the web server, {family}", self.curl(addr) == play.PAGE
            )
            r.check(f"ping reaches the host, {family}", self.ping(addr))
            for port, who in (
                (play.C_STACK, "C stack"),
                (play.PY_STACK, "Python stack"),
            ):
                said = self.udp_tool(addr, port, "who")
                r.check(
                    f"bash's /dev/udp reaches the {who}, {family}", who in said, said
                )
        for port, who in ((play.C_STACK, "C"), (play.PY_STACK, "Python")):
            payload = os.urandom(1400)
            back = traffic.ask(self.world, V4, port, payload)
            r.check(
                f"1400 random bytes come back whole from the {who} stack",
                back == payload,
            )
        self.talk_http()
        said = self.udp_tool(V4, play.INTRUDER, "anyone")
        r.check("a port nobody has claimed is the host's to refuse", said == "")

    def talk_http(self) -> None:
        r = self.report
        for addr, family in ((V4, "IPv4"), (V6, "IPv6")):
            said = self.curl(addr, play.HTTP_STACK)
            r.check(
                f"curl reaches the web server on UTCP, {family}",
                said == play.HTTP_PAGE,
                said.strip(),
            )
        head = self.curl(V4, play.HTTP_STACK, "-I").splitlines()
        r.check(
            "which says who it is",
            "Server: multistack-httpd" in head,
            head[0],
        )
        part = self.curl(V4, play.HTTP_STACK, "-r", "6-9")
        r.check("curl -r 6-9 gets four bytes of its page", part == "from", part)
        began = time.monotonic()
        large = traffic.fetch(self.world, V4, play.HTTP_STACK, "/large")
        took = time.monotonic() - began
        r.check(
            f"{len(large) >> 20} MiB over UTCP arrive as they are",
            large == self.cast.large(),
            f"{len(large) * 8 / took / 1e9:.1f} Gb/s",
        )

    def measure(self) -> None:
        r = self.report
        r.title("A short burst at each")
        for who, addr, port in (
            ("C stack", V4, play.C_STACK),
            ("C stack, IPv6", V6, play.C_STACK),
            ("Python stack", V4, play.PY_STACK),
        ):
            m = traffic.measure_udp(self.world, who, addr, port, 0.8)
            r.measured.append(m)
            r.check(
                f"{who}: answers come",
                m.answered > 0.9 * m.asked > 0,
                f"{m.rate:,.0f} a second",
            )
        for who, port in (
            ("web server, beside the stacks", play.WEB),
            ("web server on UTCP", play.HTTP_STACK),
        ):
            web = traffic.measure_web(self.world, who, V4, port, 0.4)
            r.measured.append(web)
            r.check(f"{who}: every request is answered", web.answered == web.asked > 0)
        r.check("both do so while two stacks are under load", self._under_load())
        self.served = self.switch.ports()

    def _under_load(self) -> bool:
        loads = [
            threading.Thread(
                target=traffic.measure_udp,
                args=(self.world, "load", V4, port, 0.6),
                daemon=True,
            )
            for port in (play.C_STACK, play.PY_STACK)
        ]
        for t in loads:
            t.start()
        pages = [self.curl(V4) == play.PAGE for _ in range(5)]
        pages += [self.curl(V4, play.HTTP_STACK) == play.HTTP_PAGE for _ in range(5)]
        for t in loads:
            t.join()
        return all(pages)

    def refuse(self) -> None:
        r = self.report
        r.title("What is refused")
        listener = traffic.Listener(self.world)
        said = self.cast.intruder(f"mark-{os.getpid()}")
        binds, sends = said["binds"], said["sends"]
        r.facts["refused"] = said
        for key, error, what in (
            ("host", "EADDRINUSE", "claiming the port of the host's web server"),
            ("stack", "EADDRINUSE", "claiming the port of another stack"),
            ("low", "EACCES", f"claiming port {play.LOW} without the privilege"),
            (
                "stranger",
                "EADDRNOTAVAIL",
                "claiming an address that is not this host's",
            ),
        ):
            r.check(what, binds[key]["error"] == error, binds[key]["text"])
        for key, counter, what in (
            ("foreign", "drop_tx_foreign", "sending as another stack"),
            ("unbound", "drop_tx_unbound", "sending from a port nobody claimed"),
            ("mac", "drop_tx_mac", "sending with another machine's MAC"),
            ("arp", "drop_tx_ether", "sending ARP"),
        ):
            r.check(what, sends[key] == {**sends[key], counter: 1}, f"{counter} +1")
        heard = listener.frames(f"mark-{os.getpid()}".encode(), 0.2)
        listener.close()
        honest = len(heard) == 1 and b" own" in heard[0]
        r.check(
            "of all these the cable saw only the honest frame",
            honest,
            f"{len(heard)} seen",
        )
        taken = not traffic.host_can_bind(self.world, play.C_STACK)
        r.check("an ordinary program taking a stack's port", taken, "EADDRINUSE")
        taken = not traffic.host_can_bind(self.world, play.HTTP_STACK, tcp=True)
        r.check("the same of TCP", taken, "EADDRINUSE")

    def kill(self) -> None:
        r = self.report
        r.title("kill -9")
        self.stack["c"].stop(signal.SIGKILL)
        self.world.processes.remove(self.stack["c"])
        began = time.monotonic()
        free = False
        while not free and time.monotonic() - began < PATIENCE_S:
            free = traffic.host_can_bind(self.world, play.C_STACK)
        r.check(
            "the killed stack's port is free again",
            free,
            f"after {(time.monotonic() - began) * 1e3:.1f} ms",
        )
        said = self.udp_tool(V4, play.PY_STACK, "who")
        r.check("the other stack goes on", "Python stack" in said, said)
        r.check("the web server goes on", self.curl(V4) == play.PAGE)
        said = self.curl(V4, play.HTTP_STACK)
        r.check("and so does the one on UTCP", said == play.HTTP_PAGE)
        self.stack["c"] = self.cast.c_stack()
        said = self.udp_tool(V4, play.C_STACK, "who")
        r.check("started again, it answers again", "C stack" in said, said)

    def tables(self) -> None:
        r = self.report
        ports, drops = self.served, self.switch.drops()
        web = next(p for p in self.world.processes if p.name == "web")
        r.facts |= {
            "ports": ports,
            "drops": drops,
            "interface": self.switch.interface(),
        }
        r.speed_table()
        r.port_table(ports, web.output().count('"GET '))
        r.drop_table(drops, self.switch.meaning())

    def end(self) -> None:
        """The switch goes, and leaves the interface as it was."""
        r = self.report
        r.title("The end")
        self.switch.close()
        status = self.stack["http"].stop()
        said = self.stack["http"].output().strip().splitlines()[-1]
        r.check("the web server on UTCP ends when asked to", status == 0, said)
        self.carrier.end(r, [self.stack["c"], self.stack["py"]])
        link = self.world.call(SERVER, "ip", "link", "show", IFNAME).stdout
        r.check("nothing stays on the interface", "xdp" not in link)
        r.check("the web server never noticed", self.curl(V4) == play.PAGE)

    def keep(self) -> None:
        cli, srv = self.world.netns(CLIENT), self.world.netns(SERVER)
        self.report.title(
            "It goes on running; play with it from another terminal (as root):"
        )
        for line in (
            f"ip netns exec {cli} curl http://{V4}:{play.WEB}/",
            f"ip netns exec {cli} curl http://{V4}:{play.HTTP_STACK}/",
            f"ip netns exec {cli} bash -c 'exec 3<>/dev/udp/{V4}/{play.C_STACK}; "
            "echo who >&3; head -n1 <&3'",
            f"ip netns exec {cli} ping {V4}",
            f"ip netns exec {srv} {self.cast.built.echo} {self.cast.device} 7010 {V4}",
            f"ip netns exec {cli} tcpdump -ni {IFNAME}",
        ):
            self.report.console.print(f"    {line}", soft_wrap=True, markup=False)
        self.report.title("To stop it: Ctrl-C here, or `./inv demo --stop` anywhere.")
        while True:
            time.sleep(3600)

    def play(self) -> None:
        """All acts. WorldError says which of the players left, and how, if one
        did."""
        try:
            for act in (
                *(self.before, self.attach, self.talk),
                *(self.measure, self.refuse, self.kill, self.tables),
            ):
                act()
        except (WorldError, OSError) as e:
            left = [p.end() for p in self.world.processes if p.name not in FINITE]
            raise WorldError("\n".join([str(e), *filter(None, left)])) from e


def _uid_and_caps(pid: int) -> tuple[int, int]:
    """A process's user and its effective capabilities."""
    status = dict(
        line.split(":", 1)
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    return int(status["Uid"].split()[0]), int(status["CapEff"], 16)


def _on_signal(number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + number)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="inv demo", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--keep", action="store_true", help="leave it running to play with"
    )
    parser.add_argument(
        "--check", action="store_true", help="a broken promise is an error"
    )
    parser.add_argument("--stop", action="store_true", help="stop demos that were kept")
    parser.add_argument(
        "--module", action="store_true", help="the kernel module instead of multistackd"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="what came out, for machines"
    )
    parser.add_argument(
        "--build", type=Path, default=ROOT / "build" / "plain", metavar="DIR"
    )
    return parser.parse_args(argv)


def _stop() -> int:
    found = world.running()
    for name, pid in found.items():
        print(f"stopping {name}")
        os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + 10
    while world.running() and time.monotonic() < end:
        time.sleep(0.05)
    world.sweep()
    print("none running" if not found else "done")
    return 0


def main(argv: list[str] | None = None) -> int:
    args = _arguments(argv)
    report = Report()
    wrong = world.preflight(TOOLS)
    if wrong:
        for text in wrong:
            report.warn(text)
        return 2
    if args.stop:
        return _stop()
    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, _on_signal)
    for stale in world.sweep():
        report.say(f"cleared away what a killed run left: {stale}")
    played = False
    try:
        built = Built.find(args.build)
        carrier = Module if args.module else Daemon
        with (
            World(checksums=carrier.needs_checksums) as w,
            carrier(w, built) as carried,
        ):
            demo = Demo(w, built, carried, report)
            demo.play()
            if args.keep:
                demo.keep()
            demo.end()
            played = True
    except WorldError as e:
        report.check("the demo could be played to its end", False, str(e))
    except KeyboardInterrupt:
        report.say("stopped; everything is cleared away")
        return 130
    if args.json:
        report.write(args.json)
    kept = _verdict(report)
    return 0 if kept or (played and not args.check) else 1


def _verdict(report: Report) -> bool:
    broken = report.broken()
    if broken:
        report.title(f"{len(broken)} of {len(report.checks)} promises were broken:")
        for c in broken:
            report.warn(f"{c.name}: {c.detail}" if c.detail else c.name)
        return False
    report.title(f"All {len(report.checks)} promises were kept.")
    return True


if __name__ == "__main__":
    sys.exit(main())
