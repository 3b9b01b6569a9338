# SPDX-License-Identifier: BSD-2-Clause
"""Who plays: three stacks, a web server, an intruder."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.carrier import Carrier
from demo.world import ADDR, CLIENT, IFNAME, ROOT, SERVER, Process, World, WorldError

WEB, C_STACK, PY_STACK, INTRUDER, HTTP_STACK = 8080, 7001, 7002, 7003, 8081
LOW = 53
PEER_PORT = 9999
C_USER, PY_USER, INTRUDER_USER, HTTP_USER = 61001, 61002, 61003, 61004
PAGE = "Hello from the web server on the host's own stack.\n"
HTTP_PAGE = "Hello from multistack-httpd, whose TCP is in its own process.\n"
LARGE_BYTES = 8 << 20


@dataclass(frozen=True)
class Built:
    """What `./inv build` made that the demo needs."""

    daemon: Path
    echo: Path
    httpd: Path
    library: Path

    @classmethod
    def find(cls, build: Path) -> Built:
        """WorldError, with the remedy, if something is missing."""
        paths = (
            build / "sys/os/user/daemon/multistackd",
            build / "lib/examples/udp_echo",
            build / "lib/httpd/multistack-httpd",
            build / "lib/libmultistack.so",
        )
        for path in paths:
            if not path.is_file():
                raise WorldError(f"There is no {path}: run `./inv build` first.")
        return cls(*paths)


class Cast:
    """Starts the players in a world; it ends them."""

    def __init__(self, world: World, built: Built, carrier: Carrier) -> None:
        self.world = world
        self.built = built
        self.device = carrier.device
        self.groups = carrier.groups
        # The stacks' users may not look into the source tree (it may lie in
        # root's home), so what they need is laid out for them.
        self.stage = world.dir / "stage"
        self.stage.mkdir(mode=0o755)
        shutil.copy(built.echo, self.stage / "udp_echo")
        shutil.copy(built.httpd, self.stage / "multistack-httpd")
        for lib in built.library.parent.glob("libmultistack.so*"):
            if lib.is_file():
                shutil.copy(lib, self.stage / lib.name)
        self._python = {
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "bindings")]),
            "MULTISTACK_LIBRARY": str(self.stage / built.library.name),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def web(self) -> Process:
        """An ordinary web server, which knows nothing of us."""
        www = self.stage / "www"
        www.mkdir()
        (www / "index.html").write_text(PAGE)
        process = self.world.spawn(
            *(SERVER, "web", sys.executable, "-u", "-m", "http.server", str(WEB)),
            *("--bind", "::", "--directory", str(www)),
        )
        process.wait_for_text("Serving HTTP")
        return process

    def c_stack(self) -> Process:
        process = self.world.spawn(
            *(SERVER, "udp_echo", str(self.stage / "udp_echo")),
            *(self.device, str(C_STACK), *ADDR[SERVER]),
            uid=C_USER,
            groups=self.groups,
            env={"LD_LIBRARY_PATH": str(self.stage)},
        )
        process.wait_for_text(f"claimed {ADDR[SERVER][1]} port")
        return process

    def http_stack(self) -> Process:
        """A web server that brings its own TCP."""
        pages = self.stage / "pages"
        if not pages.exists():
            pages.mkdir()
            (pages / "index.html").write_text(HTTP_PAGE)
            (pages / "large").write_bytes(os.urandom(LARGE_BYTES))
        listen = [
            f"{ADDR[SERVER][0]}:{HTTP_STACK}",
            f"[{ADDR[SERVER][1]}]:{HTTP_STACK}",
        ]
        process = self.world.spawn(
            *(SERVER, "multistack-httpd", str(self.stage / "multistack-httpd")),
            *("-d", self.device, "-l", listen[0], "-l", listen[1], str(pages)),
            uid=HTTP_USER,
            groups=self.groups,
            env={"LD_LIBRARY_PATH": str(self.stage)},
        )
        process.wait_for_text(f"listening on {listen[1]}")
        return process

    def large(self) -> bytes:
        """The large file that it serves."""
        return (self.stage / "pages" / "large").read_bytes()

    def python_stack(self) -> Process:
        process = self.world.spawn(
            *(
                SERVER,
                "stack.py",
                sys.executable,
                "-m",
                "demo.stack",
                "--user",
                str(PY_USER),
                *self._in_groups(),
            ),
            *(self.device, str(PY_STACK), *ADDR[SERVER]),
            env=self._python,
        )
        process.wait_for_text(f"claimed {ADDR[SERVER][1]} port")
        return process

    def _in_groups(self) -> list[str]:
        """For the stacks in Python, which become ordinary users by themselves."""
        return [f"--group={g}" for g in self.groups]

    def intruder(self, mark: str) -> dict[str, Any]:
        """What came of each thing that it tried."""
        plan = {
            "mac": self.mac(SERVER).hex(),
            "addr": ADDR[SERVER][0],
            "own": INTRUDER,
            "victim": C_STACK,
            "peer": ADDR[CLIENT][0],
            "peer_mac": self.mac(CLIENT).hex(),
            "peer_port": PEER_PORT,
            "web": WEB,
            "other": "198.51.100.1",
            "low": LOW,
            "mark": mark,
        }
        process = self.world.spawn(
            *(SERVER, "intruder", sys.executable, "-m", "demo.intruder"),
            *("--user", str(INTRUDER_USER), *self._in_groups()),
            *(self.device, json.dumps(plan)),
            env=self._python,
        )
        process.wait_for_text('"sends"')
        process.stop()
        said: dict[str, Any] = json.loads(process.output().splitlines()[-1])
        return said

    def mac(self, side: str) -> bytes:
        shown = self.world.call(side, "cat", f"/sys/class/net/{IFNAME}/address").stdout
        return bytes.fromhex(shown.strip().replace(":", ""))
