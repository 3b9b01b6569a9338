# SPDX-License-Identifier: BSD-2-Clause
"""A guest that the emulator loses is told apart, told of, and run once more."""

from __future__ import annotations

import subprocess

import pytest

from ci import inguest, steps
from ci.vm import machine, outcome, qemu
from ci.vm.guests import Kernel
from ci.vm.outcome import Outcome, Report, judge, reports

BEGIN = "[    4.593402] multistack-vm: begin\n"
INT3 = "Oops: int3: 0000 [#1] PREEMPT SMP NOPTI"
OWN = "dev_hard_start_xmit+0x86/0x1d0"
# As linux-6.12 printed it, static keys flipped under traffic, no module of ours.
BEFORE = (
    "8b 40 20 ff d0 0f 1f 00 41 89 c5 85 c0 75 1a 41 83 bc 24 04 01 00 00 ff 74 0f "
    "48 8b 05 03 ec 1e 01 49 89 84 24 08 01 00 00"
)
AFTER = "41 83 fd 0e 0f 8f 00 01 00 00 49 8b 84 24 10 01 00 00"
NOP = f"{BEFORE} 0f <1f> 44 00 00 {AFTER}"


def oops(code: str = NOP, rip: str = OWN, head: str = INT3, stamp: bool = True) -> str:
    """An oops up to its registers, as the kernel prints it."""
    lines = [
        head,
        "CPU: 1 UID: 0 PID: 179 Comm: python3 Tainted: G           OE      "
        "6.12.95+deb12-cloud-amd64 #1  Debian 6.12.95-1~bpo12+1",
        "Tainted: [O]=OOT_MODULE, [E]=UNSIGNED_MODULE",
        "Hardware name: QEMU Standard PC (Q35 + ICH9, 2009), BIOS "
        "1.16.2-debian-1.16.2-1 04/01/2014",
        f"RIP: 0010:{rip}",
        f"Code: {code}",
        "RSP: 0018:ffa00000004b3990 EFLAGS: 00000246",
        "Call Trace:",
        " <TASK>",
        " entry_SYSCALL_64_after_hwframe+0x76/0x7e",
        "RIP: 0033:0x7f748126bba4",
        " </TASK>",
        "Kernel panic - not syncing: Fatal exception in interrupt",
    ]
    return "".join(f"{'[   13.789003] ' * stamp}{line}\r\n" for line in lines)


def last(code: str) -> str:
    """Code whose last bytes are these; <..> marks the one at the pointer."""
    before, mark, after = code.partition("<")
    known = len(before.split())
    left = [*["90"] * (42 - known), *before.split()]
    right = after.partition("> ")
    tail = [*right[2].split(), *["90"] * 21][:21]
    return " ".join([*left, f"{mark}{right[0]}>", *tail])


STALE = {
    "a nop of five bytes": NOP,
    "a nop of two bytes": last("66 <90> 66 90"),
    "a short jump": last("48 8b 54 24 08 eb <16> 48 89 df"),
    "a jump": last("44 24 18 31 c0 e9 <c9> 00 00 00 66 90"),
    "a call": last("49 8d 7e 40 e8 <1b> 22 00 00 48 89"),
}
OWN_FAULT = {
    "an int3 that is there": oops(f"{BEFORE} cc <1f> 44 00 00 {AFTER}"),
    "an int 3 of two bytes": oops(last("89 e5 cd 03 <90> 90")),
    "code that is not patched": oops(last("48 89 e5 5b <c3> cc cc")),
    "nothing to read": oops("Unable to access opcode bytes at RIP 0xffffffffc0291fd6."),
    "code cut off": oops(f"{BEFORE} 0f <1f> 44 00"),
    "code of a module": oops(rip="ms_rx+0x86/0x1d0 [multistack]"),
    "code of no name": oops(rip="0xffffffffc0292000"),
    "another fault": oops(head="Oops: 0002 [#1] PREEMPT SMP NOPTI"),
    "a second oops": oops(head="Oops: int3: 0000 [#2] PREEMPT SMP NOPTI"),
    "after a complaint": "WARNING: CPU: 0 PID: 1 at x.c:1 f\n" + oops(),
    "after another oops": "BUG: KASAN: use-after-free in f+0x1/0x2\n" + oops(),
}


@pytest.mark.parametrize("code", STALE.values(), ids=STALE)
@pytest.mark.parametrize("stamp", [True, False], ids=["time", "no time"])
def test_code_that_was_no_longer_there(code: str, stamp: bool) -> None:
    console = BEGIN + oops(code, stamp=stamp)
    found = reports(console, stale=True)
    assert found[0] == Report("emulator", "QEMU", INT3)
    assert judge(None, found) == "emulator"
    assert judge(None, reports(console)) == "oops", "of an emulator that cannot"


def test_an_older_kernels_words_of_it() -> None:
    console = BEGIN + oops(head="int3: 0000 [#1] PREEMPT SMP NOPTI")
    assert judge(None, reports(console, stale=True)) == "emulator"


@pytest.mark.parametrize("console", OWN_FAULT.values(), ids=OWN_FAULT)
def test_an_oops_of_the_guests_own(console: str) -> None:
    assert judge(None, reports(BEGIN + console, stale=True)) == "oops"


@pytest.mark.parametrize(
    ("said", "stale"),
    [
        ("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)", True),
        ("QEMU emulator version 8.0.0", True),
        ("QEMU emulator version 8.1.0", False),
        ("QEMU emulator version 10.0.3 (Debian 1:10.0.3+ds-1)", False),
        ("nothing of the kind", False),
    ],
)
def test_which_emulator_may(said: str, stale: bool, monkeypatch) -> None:
    monkeypatch.setattr(
        subprocess, "run", lambda *a, **k: subprocess.CompletedProcess(a, 0, said, "")
    )
    qemu.version.cache_clear()
    try:
        assert qemu.may_be_stale(qemu.TCG) == stale
        assert not qemu.may_be_stale(qemu.TCG_ONE_THREAD)
        assert not qemu.may_be_stale(qemu.KVM)
        assert not qemu.may_be_stale(())
    finally:
        qemu.version.cache_clear()


# ---- what is done about it -----------------------------------------------------


@pytest.fixture
def guest(tmp_path, monkeypatch):
    """Runs the tests' step; takes how each run of the guest ends, and tells the
    step's runner and how many runs there were."""
    monkeypatch.setattr(inguest, "RESULTS", tmp_path / "vm")
    monkeypatch.setattr(steps, "LOGS", tmp_path / "log")
    monkeypatch.setattr(machine, "may_boot", lambda: "")
    kernel = Kernel("linux-6.12", "qemu", "6.12", tmp_path)
    monkeypatch.setattr(inguest.guests, "kernel", lambda name, say: kernel)
    monkeypatch.setattr(inguest.kmod, "build", lambda step, name: tmp_path / "m.ko")

    def follow(*ends: str) -> tuple[steps.Runner, int]:
        left = list(ends)

        def run(kernel, argv, *, results, **more) -> Outcome:
            console = BEGIN + left.pop(0)
            results.mkdir(parents=True)
            (results / "console.log").write_text(console)
            found = reports(console, stale=True)
            status = None if found else 0
            (results / "junit.xml").write_text("<testsuite><testcase/></testsuite>")
            kind = judge(status, found)
            return Outcome(kind, status, 1.0, results, found, "6.12.95")

        monkeypatch.setattr(machine, "run", run)
        runner = steps.Runner(1)
        runner.follow([("kernel tests", inguest.tests("linux-6.12"))])
        return runner, len(ends) - len(left)

    return follow


def test_a_run_that_the_emulator_lost_is_made_again(guest, tmp_path, capsys) -> None:
    runner, runs = guest(oops(), "")
    assert (runs, runner.count.failed, runner.count.passed) == (2, [], 1)
    assert runner.summary()
    said = capsys.readouterr().out
    assert said.count("warning: linux-6.12: machine lost: the emulator") == 2
    assert said.rstrip().endswith("1 passed, 0 failed, 1 warned")
    kept = tmp_path / "vm" / "test-linux-6.12.lost" / "console.log"
    assert outcome.reports(kept.read_text(), stale=True)[0].kind == "emulator"
    assert INT3 in (tmp_path / "log" / "kernel-tests.log").read_text()


def test_a_second_loss_is_a_failure(guest) -> None:
    runner, runs = guest(oops(), oops(), "")
    assert runs == 2 and not runner.summary()
    [failed] = runner.count.failed
    assert failed.startswith("linux-6.12: machine lost: the emulator executed")


def test_another_oops_is_a_failure_at_once(guest, capsys) -> None:
    runner, runs = guest(OWN_FAULT["an int3 that is there"], "")
    assert runs == 1 and runner.count.failed == [
        f"linux-6.12: machine lost: oops: {INT3}"
    ]
    assert not runner.summary() and "warning" not in capsys.readouterr().out
