# SPDX-License-Identifier: BSD-2-Clause
"""The dialogue with a FreeBSD guest, with shell scripts that play the guest.

ci/freebsd/standin.py does the same with a machine.
"""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import pytest

from ci.vm import freebsd
from ci.vm.freebsd import Console, NoShell, Settings

SHELL = "PS1='# ' exec sh -i\n"


@pytest.fixture
def console(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Makes one: console(script, ...); what FreeBSD has is in $PATH."""
    monkeypatch.setattr(freebsd, "SILENCE_S", 0.3)
    monkeypatch.setattr(freebsd, "LAST_WORDS_S", 2.0)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    (tmp_path / "bin").mkdir()
    made: list[Console] = []

    def command(name: str, script: str) -> None:
        path = tmp_path / "bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def make(
        script: str,
        settings: Settings | None = None,
        quiet_s: float = 10.0,
        **commands: str,
    ) -> Console:
        for name, text in commands.items():
            command(name, text)
        guest = tmp_path / "guest"
        guest.write_text(script)
        it = Console(
            ["sh", str(guest)],
            tmp_path,
            settings or Settings(mnt=str(tmp_path)),
            quiet_s=quiet_s,
        )
        made.append(it)
        return it

    yield make
    for it in made:
        it.close()


@pytest.mark.parametrize(
    ("script", "settings", "quiet_s", "silence_s"),
    [
        (SHELL, Settings(), 10.0, 0.3),
        # Without echo, as at any password.
        (
            "printf 'login: '; read -r u; stty -echo; printf 'Password:'; read -r p\n"
            "stty echo; [ $u.$p = toor.secret ] || exit\n" + SHELL,
            Settings(login="toor", password="secret"),
            10.0,
            0.3,
        ),
        (
            "printf 'Enter full pathname of shell or RETURN for /bin/sh: '; read -r s\n"
            + SHELL,
            Settings(),
            10.0,
            0.3,
        ),
        # Somebody wants a key before he says anything.
        ("read -r key\n" + SHELL, Settings(), 1.0, 0.3),
        # What looks like a prompt and is none; nobody may type into it.
        (
            "for i in 1 2 3 4 5; do printf 'usb%s # ' $i; sleep 0.1; done\n"
            "read -r -t 0.1 typed && exit\n" + SHELL.replace("sh -i", "bash --norc -i"),
            Settings(),
            10.0,
            2.0,  # so long the next one may take on a busy machine
        ),
        # Another prompt.
        ("PS1='root@fb:~ => ' exec sh -i\n", Settings(prompt="=> $"), 10.0, 0.3),
    ],
)
def test_all_ways_lead_to_a_shell(
    console,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    settings: Settings,
    quiet_s: float,
    silence_s: float,
) -> None:
    monkeypatch.setattr(freebsd, "SILENCE_S", silence_s)
    it = console(script, settings, quiet_s)
    it.shell(60.0)
    assert it.run("echo one; echo two; (exit 3)") == (3, "one\ntwo\n")


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'panic: no init'; printf 'db> '; sleep 60\n", "does not boot: .*db>"),
        ("echo 'Loading kernel'; exit\n", "ended at boot: last said: Loading kernel"),
        ("sleep 60\n", "no shell .* in 3 s: it said nothing; .*comconsole"),
        ("cat\n", "no shell .* in 3 s"),
    ],
)
def test_a_guest_without_a_shell_is_told(console, script: str, said: str) -> None:
    with pytest.raises(NoShell, match=said):
        console(script, quiet_s=1.0).shell(3.0)


def converse(it: Console, timeout_s: float = 60.0) -> int | None:
    monitor = it.results / "monitor"  # nobody is there
    return freebsd.converse(it, monitor, lambda r: "disc", "run.sh -t 2", timeout_s, 20)


def disc(folder: Path, script: str) -> None:
    (folder / "disc").mkdir()
    (folder / "disc" / "run.sh").write_text(script)


def test_a_run_brings_back_what_it_said(console, tmp_path: Path) -> None:
    disc(tmp_path, 'echo 1..1; echo "ok 1 - $1 $2 in $PWD"; exit 5\n')
    it = console(SHELL, mount_cd9660="[ $1 = /dev/cd1 ]", uname="echo 10.4-RELEASE-p3")
    assert converse(it) == 5
    done = freebsd.outcome(tmp_path, 5, 1.0)
    assert (done.kind, done.release) == ("failed", "10.4-RELEASE-p3")
    said = (tmp_path / "output.log").read_text().splitlines()
    assert said == ["1..1", f"ok 1 - -t 2 in {tmp_path}/disc"]
    assert (tmp_path / "status").read_text() == "5\n"


def test_a_guest_without_uname_or_disc(console, tmp_path: Path) -> None:
    disc(tmp_path, "exit 0\n")
    it = console(SHELL, mount_cd9660="exit 1", uname="exit 127")
    (tmp_path / "disc" / "run.sh").unlink()
    with pytest.raises(NoShell, match="cannot mount the CD"):
        converse(it)
    assert (tmp_path / "release").read_text() == "\n"


def test_a_panic_is_no_hang(
    console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    panic = "echo 'panic: sleeping thread'; printf 'db> '\n"
    panic += "while read -r l; do echo \"did $l\"; printf 'db> '; done\n"
    monkeypatch.setattr(freebsd, "LAST_WORDS_S", 60.0)
    disc(tmp_path, panic)
    it = console(SHELL, mount_cd9660="exit 0")
    assert converse(it) is None
    done = freebsd.outcome(tmp_path, None, 1.0)
    assert (done.kind, done.lost, str(done)) == (
        "panic",
        True,
        "panic: panic: sleeping thread",
    )
    assert "did bt" in (tmp_path / "console.log").read_text()


def test_a_machine_that_ends_was_lost(console, tmp_path: Path) -> None:
    disc(tmp_path, "echo 'panic: x'; kill -9 $PPID\n")
    with closing(console(SHELL, mount_cd9660="exit 0")) as it:
        assert converse(it) is None
    assert freebsd.outcome(tmp_path, None, 1.0).kind == "panic"


def test_a_run_without_end_hangs(console, tmp_path: Path) -> None:
    disc(tmp_path, "echo 1..1; sleep 60\n")
    assert converse(console(SHELL, mount_cd9660="exit 0"), 1.5) is None
    assert freebsd.outcome(tmp_path, None, 1.0).kind == "hang"


def test_images_have_names_or_have_to_be_asked(monkeypatch) -> None:
    monkeypatch.setenv("MULTISTACK_FREEBSD_IMAGE", "/a/b.img 10.4=/c.qcow2")
    assert freebsd.images() == {"": Path("/a/b.img"), "10.4": Path("/c.qcow2")}
    monkeypatch.delenv("MULTISTACK_FREEBSD_IMAGE")
    assert freebsd.images() == {}


def test_settings_are_the_environment_s(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MULTISTACK_KVM", "0")
    monkeypatch.setenv("MULTISTACK_FREEBSD_DISK", "virtio")
    monkeypatch.setenv("MULTISTACK_FREEBSD_QEMU", "-rtc 'base=utc'")
    set_ = Settings.of_environment()
    (tmp_path / "disk").write_bytes(b"QFI\xfb")
    argv = freebsd.command_line(
        tmp_path / "disk", tmp_path / "cd", tmp_path / "m", set_
    )
    assert argv[-2:] == ["-rtc", "base=utc"]
    assert f"file={tmp_path}/disk,format=qcow2,if=virtio,snapshot=on" in argv
