# SPDX-License-Identifier: BSD-2-Clause
"""Payload that a network card takes from the sender's own memory (tx=page), while
the card (msnic, of tests/kernel/modules) has not done with it: the sender goes on
writing, is killed, or loses its interface; the card goes; the module is asked to."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import guest
import pytest
from netns import Netns, need
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether
from worlds import eventually

import multistack

NIC, HERE, THERE = "msnic0", "10.79.0.1", "10.79.0.2"
THERE_MAC = "02:00:00:00:00:79"
PARAMETERS = Path("/sys/module/msnic/parameters")
END, CHANGED = b"the last sixteen", b"sixteen new ones"
PAYLOAD = bytes(i % 253 for i in range(20_000)) + END
UNLOADS = 5
SEGMENT = multistack.Meta(
    flags=multistack.SlotFlag.CSUM_PARTIAL,
    gso_type=multistack.Gso.TCP4,
    gso_size=1400,
    csum_start=34,
    csum_offset=16,
)


def ko(name: str) -> Path:
    path = Path(os.environ.get("MULTISTACK_KMOD", "")) / f"{name}.ko"
    need(path.is_file(), "$MULTISTACK_KMOD does not name the modules' folder")
    return path


def loaded(name: str) -> bool:
    return Path("/sys/module", name).exists()


def unload(name: str) -> bool:
    return subprocess.run(["rmmod", name], capture_output=True).returncode == 0


class Card:
    """msnic0 in a namespace of its own, attached with tx=page."""

    def __init__(self) -> None:
        if not loaded("msnic"):
            subprocess.run(["insmod", ko("msnic")], check=True)
        self.ns = Netns("card")
        subprocess.run(["ip", "link", "set", NIC, "netns", self.ns.name], check=True)
        self.ns.ip("addr", "add", f"{HERE}/24", "dev", NIC)
        self.ns.ip("link", "set", NIC, "up")
        self.ns.ip("neigh", "add", THERE, "lladdr", THERE_MAC, "dev", NIC)
        self.attach()

    def attach(self) -> None:
        self.control(lambda c: c.attach(NIC, "rx_handler", options={"tx": "page"}))

    def control(self, do: Callable[[multistack.Control], object]) -> None:
        with self.ns.inside(), multistack.Control("kmod:") as control:
            do(control)

    def port(self) -> multistack.Port:
        with self.ns.inside():
            port = multistack.Port(f"kmod:{NIC}", slots=64)
        port.bind(HERE, 7000, "tcp")
        return port

    @property
    def kept(self) -> int:
        return int((PARAMETERS / "kept").read_text())

    @property
    def end(self) -> bytes:
        """The last bytes of the oldest frame, as the card would read them now."""
        return bytes.fromhex((PARAMETERS / "end").read_text())

    def let_go(self) -> None:
        (PARAMETERS / "kept").write_text("0")

    def close(self) -> None:
        """It comes back to the first namespace if it is still there."""
        if loaded("msnic"):
            self.let_go()
        self.ns.close()
        if loaded("msnic"):
            eventually(lambda: Path("/sys/class/net", NIC).exists(), f"{NIC} is back")


@pytest.fixture(scope="module", autouse=True)
def unloaded() -> Iterator[None]:
    """There KASAN takes what lies where a module was for that module's still, and
    so complains sooner or later after many have come and gone."""
    there = not guest.GUEST.startswith("uml")
    guest.needs(there, "modules that come and go unseen", ("uml", "uml-debug"))
    yield
    assert not loaded("msnic") or unload("msnic")


@pytest.fixture
def card() -> Iterator[Card]:
    made = Card()
    yield made
    made.close()
    if not loaded("multistack"):
        subprocess.run(["insmod", ko("multistack")], check=True)


def large(port: multistack.Port) -> bytes:
    """A TCP segment for the card to cut."""
    ether = Ether(src=port.mac, dst=THERE_MAC)
    tcp = TCP(sport=7000, dport=9, flags="A")
    return bytes(ether / IP(src=HERE, dst=THERE) / tcp / PAYLOAD)


def lend(card: Card, port: multistack.Port) -> None:
    """One frame, which the card has when this returns."""
    before = card.kept
    assert port.send_batch([(large(port), SEGMENT)]) == 1
    eventually(lambda: card.kept == before + 1, "the card has the frame")


def overwrite(old: bytes, new: bytes) -> int:
    """In all that this process shares with the module; how often it was there."""
    found = 0
    for line in Path("/proc/self/maps").read_text().splitlines():
        place = re.match(r"(\w+)-(\w+) rw.*/dev/multistack$", line)
        if place is None:
            continue
        first, end = (int(x, 16) for x in place.groups())
        memory = (ctypes.c_char * (end - first)).from_address(first)
        at = ctypes.string_at(first, end - first).find(old)
        while at >= 0:
            memory[at : at + len(new)] = new
            found += 1
            at = ctypes.string_at(first, end - first).find(old)
    return found


def test_what_the_sender_changes_the_card_sees(card: Card) -> None:
    """Nothing was copied; nor does anything in the kernel mind."""
    with card.port() as port:
        lend(card, port)
        assert card.end == END
        assert overwrite(END, CHANGED) == 1
        assert card.end == CHANGED
        card.let_go()


def test_slots_come_back_when_the_card_has_done(card: Card) -> None:
    with card.port() as port:
        lent = 0
        while port.send_batch([(large(port), SEGMENT)]) == 1:
            lent += 1
        assert lent == 64 // (len(PAYLOAD) // 2048 + 1)
        eventually(lambda: card.kept == lent, "the card has all")
        assert port.send_batch([(large(port), SEGMENT)]) == 0
        for _ in range(3):
            time.sleep(0.1)
            assert port.send_batch([(large(port), SEGMENT)]) == 0
        card.let_go()
        for _ in range(lent):
            lend(card, port)
        card.let_go()


def test_the_sender_is_closed(card: Card) -> None:
    with card.port() as port:
        lend(card, port)
    assert card.end == END
    with card.port() as again:
        lend(card, again)
    assert card.kept == 2
    card.let_go()


def test_the_sender_is_killed(card: Card) -> None:
    pid = os.fork()
    if pid == 0:
        lend(card, card.port())
        signal.pause()
    try:
        eventually(lambda: card.kept == 1, "the card has the frame")
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert card.end == END
    with card.port() as port:  # its tuple is free
        lend(card, port)
    assert card.kept == 2
    card.let_go()


def test_the_attachment_ends(card: Card) -> None:
    with card.port() as port:
        lend(card, port)
        card.control(lambda c: c.detach(NIC, force=True))
        assert card.end == END
        card.let_go()
        with pytest.raises(OSError):
            port.send(large(port))


def test_the_card_goes(card: Card) -> None:
    with card.port() as port:
        lend(card, port)
        lend(card, port)
        assert unload("msnic")
        with pytest.raises(OSError):
            port.send(large(port))


def test_the_namespace_goes(card: Card) -> None:
    """The card falls back to the first namespace, with what it has."""
    with card.port() as port:
        lend(card, port)
        subprocess.run(["ip", "netns", "del", card.ns.name], check=True)
        eventually(lambda: Path("/sys/class/net", NIC).exists(), "the card comes back")
        with pytest.raises(OSError):
            port.send(large(port))
    card.ns = Netns("instead")


def test_unloading_waits_for_the_card(card: Card) -> None:
    """Refused while a frame is out, though no port is open any more; the last
    frame goes, and the module right behind it."""
    for left in reversed(range(UNLOADS)):
        with card.port() as port:
            lend(card, port)
            lend(card, port)
        assert not unload("multistack")
        assert card.end == END
        card.let_go()
        assert unload("multistack")
        if left:
            subprocess.run(["insmod", ko("multistack")], check=True)
            card.attach()
