# SPDX-License-Identifier: BSD-2-Clause
"""Whose packets a core receives: what bench_owner counts."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from demo.world import CLIENT, SERVER, World
from tests.bench.programs import BenchError, Programs


@dataclass
class Received:
    """Nanoseconds for which each core has received for each side."""

    server: list[int] = field(default_factory=list)
    client: list[int] = field(default_factory=list)

    def moved_ns(self, core: int) -> int:
        """What other cores did for the server whose core this is, less what
        this core did for the client."""
        return sum(self.server) - self.server[core] - self.client[core]


@contextmanager
def receiving(programs: Programs, world: World) -> Iterator[Received]:
    """Counts for as long as the block lasts; filled in at its end. BenchError if
    the kernel has no tracing."""
    found = Received()
    argv = [programs.find("bench_owner"), *map(world.netns, (SERVER, CLIENT))]
    with subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as child:
        assert child.stdin and child.stdout
        said = child.stdout.readline()
        if said != "ready\n":
            child.stdin.close()
            raise BenchError((said + child.stdout.read()).strip().splitlines()[-1])
        try:
            yield found
        finally:
            child.stdin.close()
            said = child.stdout.read()
    for server, client in json.loads(said)["ns"]:
        found.server.append(server)
        found.client.append(client)
