# SPDX-License-Identifier: BSD-2-Clause
"""Again and again: attaching, loading, opening, under traffic, with nothing left
behind at the end."""

from __future__ import annotations

import contextlib
import gc
import os
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import flows
import guest
from netns import Netns, need, veth
from worlds import ADDRS, KernelPeer, ModuleWorld, Peer, Stack, eventually

import multistack

SLABINFO = Path("/proc/slabinfo")
SLAB = Path("/sys/kernel/slab")
KMEMLEAK = Path("/sys/kernel/debug/kmemleak")
# In UML it does not look into modules, and takes for leaked what only they know of.
TELLS_LEAKS = KMEMLEAK.exists() and not guest.GUEST.startswith("uml")
USUAL, LONG = 10, 1000
# A round may not keep an object of any slab; what the rest of the system does
# meanwhile, and what a processor keeps at hand of a slab, is less than that.
SLACK = 0.5
AT_HAND_BYTES = 1 << 18
LOOKS_AGAIN = 2


class Slab(NamedTuple):
    used: int  # objects; all of a page that a processor has at hand count
    size: int  # bytes of one
    together: int  # so many on a page

    def at_hand(self, settled: bool) -> int:
        """Objects that may only seem to be in use; settled: of each processor one
        page, taken since."""
        if settled:
            return self.together * (os.cpu_count() or 1)
        return AT_HAND_BYTES // self.size


def settle(rounds: int, seconds: float) -> bool:
    """What is freed by RCU, workqueues and ends of namespaces is free after these
    seconds; of many rounds, also what processors kept at hand: whether that is so."""
    gc.collect()
    Path("/proc/sys/vm/drop_caches").write_text("3")
    time.sleep(seconds)
    if rounds < LONG // 10:
        return False  # the rest of the system does more than they
    caches = [path for path in SLAB.glob("*/shrink") if not path.parent.is_symlink()]
    for shrink in caches:
        shrink.write_text("1")
    return bool(caches)


def slabs() -> dict[str, Slab]:
    """By name; those whose count follows files are not told."""
    found: dict[str, Slab] = {}
    if not SLABINFO.exists() or guest.GUEST in guest.GUESTS_WITH_KASAN:
        return found
    for line in SLABINFO.read_text().splitlines()[2:]:
        name, used, _, size, together = line.split()[:5]
        if not re.match(
            r"(inode_cache|dentry|proc_inode|.*_inode_cache|buffer_head|radix|vma|"
            r"vm_area|anon_vma|filp|maple|fuse|v9fs|kernfs|pid|cred|task|files|"
            r"signal|sighand|mm_struct|fs_cache|lsm|skbuff|pool_workqueue|"
            r"debug_objects|kmemleak)",
            name,
        ):
            found[name] = Slab(int(used), int(size), int(together))
    return found


def grown_in(rounds: int, one: Callable[[], None], seconds: float) -> dict[str, int]:
    """Objects more after as many rounds, where they are too many, by name."""
    settle(rounds, seconds)
    before = slabs()
    for _ in range(rounds):
        one()
    settled = settle(rounds, seconds)
    after = slabs()
    more = {
        n: s.used - (before[n].used if n in before else 0) for n, s in after.items()
    }
    top = sorted(more.items(), key=lambda item: -item[1])[:3]
    Path("/dev/kmsg").write_text(f"<6>{rounds} rounds, objects more: {dict(top)}\n")
    return {
        name: more[name]
        for name, slab in after.items()
        if more[name] > max(slab.at_hand(settled), rounds * SLACK)
    }


def leaks() -> str:
    """Objects to which nothing points, of those that are 5 s old."""
    time.sleep(6)
    KMEMLEAK.write_text("scan")
    return KMEMLEAK.read_text()


def nothing_leaks() -> None:
    """What a processor had only in a register in one scan has its pointer in
    memory in another; a leak has none in any."""
    found = leaks()
    for _ in range(LOOKS_AGAIN):
        if found:
            found = leaks()
    assert found == ""


def again_and_again(rounds: int, one: Callable[[], None], seconds: float = 0.5) -> None:
    """A leak leaves something behind each time; the rest of the system, now and
    then: what has grown once must grow as often as one looks. All is freed some
    seconds after the last round."""
    if TELLS_LEAKS:
        KMEMLEAK.write_text("clear")
    grown = grown_in(rounds, one, seconds)
    for _ in range(LOOKS_AGAIN):
        if grown:
            again = grown_in(rounds, one, seconds)
            grown = {name: more for name, more in again.items() if name in grown}
    assert not grown, f"objects more after {rounds} rounds, each time: {grown}"
    if TELLS_LEAKS:
        nothing_leaks()


@contextlib.contextmanager
def noise(peer: Peer, addr: str) -> Iterator[None]:
    """Datagrams to a port that is there or not, all the while."""
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            with contextlib.suppress(ConnectionError):
                peer.sendto(b"noise", (addr, 7000))
            time.sleep(0.0002)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_attached_and_detached_again_and_again(alone: ModuleWorld, long: bool) -> None:
    assert alone.far
    with (
        flows.Steady(alone.far, alone.ns, alone.addr[4]),
        noise(alone.peer(), alone.addr[4]),
        alone.administer() as control,
    ):

        def attach_and_detach() -> None:
            control.detach("eth0")
            control.attach("eth0", "rx_handler")
            with alone.port() as port:
                port.bind(alone.addr[4], 7000)
                assert port.wait(60)
                control.detach("eth0", force=True)
            control.attach("eth0", "rx_handler")

        again_and_again(LONG if long else USUAL, attach_and_detach)


def test_opened_and_closed_again_and_again(alone: ModuleWorld, long: bool) -> None:
    def open_and_close() -> None:
        with alone.port(tx_rings=2) as port:
            port.bind(alone.addr[4], 7000)
            port.bind(alone.addr[6], 7000, "tcp")
            assert port.wait(60)

    with noise(alone.peer(), alone.addr[4]):
        again_and_again(LONG if long else 5 * USUAL, open_and_close)


def test_namespaces_again_and_again(long: bool) -> None:
    def make_and_end() -> None:
        world = ModuleWorld("rx_handler")
        with world.port() as port:
            port.bind(world.addr[4], 7000)
            assert world.far
            world.far.close()
            world.ns.close()

    again_and_again(LONG // 10 if long else USUAL // 2, make_and_end, seconds=2)


def kmod(name: str) -> Path:
    path = Path(os.environ.get("MULTISTACK_KMOD", "")) / f"{name}.ko"
    need(path.is_file(), "$MULTISTACK_KMOD does not name the modules' folder")
    return path


def test_loaded_and_unloaded_again_and_again(long: bool) -> None:
    """Under traffic of the host's and of stacks; refused while a port is open."""
    ko = kmod("multistack")
    near, far = Netns("near"), Netns("far")
    try:
        veth(near, far, ADDRS)
        with (
            flows.Steady(far, near, ADDRS[4][0]),
            contextlib.closing(KernelPeer(far, 4, ADDRS[4][1], 0)) as peer,
            noise(peer, ADDRS[4][0]),
        ):
            again_and_again(LONG if long else USUAL, lambda: one_load(ko, near))
    finally:
        near.close()
        far.close()


def unloaded() -> bool:
    """What has ended lets go of it some time later."""
    done = subprocess.run(["rmmod", "multistack"], capture_output=True)
    return done.returncode == 0


def one_load(ko: Path, near: Netns) -> None:
    eventually(unloaded, "nothing holds the module")
    subprocess.run(["insmod", ko], check=True)
    with near.inside():
        with multistack.Control("kmod:") as control:
            control.attach("eth0", "rx_handler")
        with multistack.Port("kmod:eth0") as port:
            port.bind(ADDRS[4][0], 7000)
            assert port.wait(60)
            frame = Stack(port).frame(
                (ADDRS[4][0], 7000), (ADDRS[4][1], 9), b"from a new module"
            )
            port.send(frame)
            assert not unloaded()


def test_unloading_is_refused_while_a_program_of_xdp_is_there(
    alone: ModuleWorld,
) -> None:
    guest.possible("xdp")
    with alone.administer() as control, alone.inside():
        control.detach("eth0")
        control.attach("eth0", "xdp")
    assert not unloaded()
    with alone.administer() as control:
        control.detach("eth0")
        control.attach("eth0", "rx_handler")
