# SPDX-License-Identifier: BSD-2-Clause
"""The command `multistack`, over the daemon or the module."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from httpd_server import httpd_path
from netns import need
from worlds import KMOD, Daemon, HostedWorld, ModuleWorld, eventually, sh

import multistack
from ci import manpage
from multistack.cli import main
from multistack.cli._app import COMMANDS

# These become servers, or print what is for other programs.
SILENT = {"completion", "metrics", "run", "serve"}
MODULE_BTF = Path("/sys/kernel/btf/multistack")


def run(world: HostedWorld, *words: str, device: str = "") -> Result:
    """`multistack ...`, in the switch's namespace."""
    with world.inside():
        return CliRunner(env={"MULTISTACK_DEVICE": device or world.control}).invoke(
            main, list(words), catch_exceptions=False
        )


def said(world: HostedWorld, *words: str) -> str:
    done = run(world, *words)
    assert done.exit_code == 0, done.output
    return done.output


def refused(world: HostedWorld, *words: str) -> str:
    """One sentence, on stderr."""
    done = run(world, *words)
    assert done.exit_code == 1 and done.stdout == ""
    assert done.stderr.startswith("multistack: ") and done.stderr.count("\n") == 1
    return done.stderr


@pytest.fixture
def bare(alone: HostedWorld) -> Iterator[HostedWorld]:
    """A switch without an interface."""
    with alone.administer() as control:
        control.detach("eth0")
    yield alone


@pytest.fixture
def busy(alone: HostedWorld) -> Iterator[multistack.Port]:
    """A port with claims."""
    with alone.port(label="[bold]x") as port:
        port.bind(alone.addr[4], 7000)
        port.bind(alone.addr[6], 0, "tcp")
        yield port


def test_attach_and_detach(bare: HostedWorld) -> None:
    assert said(bare, "attach", "eth0").startswith("eth0 is attached: ")
    assert "already" in refused(bare, "attach", "eth0")
    assert said(bare, "detach", "eth0") == "eth0 is detached\n"
    assert "not attached" in refused(bare, "detach", "eth0")


@pytest.mark.parametrize(
    ("options", "kinds"),
    [
        (["--xdp"], ("xdp",)),
        (["--no-xdp"], ("tc", "rx_handler")),
        (["--generic"], ("xdp",)),
    ],
)
def test_attach_as_asked(
    bare: HostedWorld, options: list[str], kinds: tuple[str, ...]
) -> None:
    if KMOD and "xdp" in kinds and not MODULE_BTF.exists():
        assert str(MODULE_BTF) in refused(bare, "attach", "eth0", *options)
        assert json.loads(said(bare, "status", "--json"))["interfaces"] == []
        return
    told = said(bare, "attach", "eth0", *options)
    assert any(kind in told for kind in kinds)
    said(bare, "detach", "eth0")


def test_attach_to_a_vlan(bare: HostedWorld) -> None:
    said(bare, "attach", "eth0", "--vlan", "7", "--no-xdp")
    (nic,) = json.loads(said(bare, "status", "--json"))["interfaces"]
    assert nic["vlan"] == 7


def test_attach_of_nonsense(bare: HostedWorld) -> None:
    assert "nosuch0" in refused(bare, "attach", "nosuch0")
    assert "wire" in refused(bare, "attach", "eth0", "--kind", "wire")
    words = refused(bare, "attach", "eth0", "--no-xdp", "-o", "colour=red")
    assert "colour" in words
    for words in (
        ["attach"],
        ["attach", "eth0", "--vlan", "4095"],
        ["attach", "eth0", "-o", "colour"],
        ["attach", "eth0", "--generic", "--no-xdp"],
        ["attach", "eth0", "--kind", "tc", "--xdp"],
    ):
        assert run(bare, *words).exit_code == 2, words
    assert json.loads(said(bare, "status", "--json"))["interfaces"] == []


def test_detach_from_under_ports(alone: HostedWorld, busy: multistack.Port) -> None:
    assert "1 port is open" in refused(alone, "detach", "eth0")
    said(alone, "detach", "eth0", "--force")


def test_status_as_tables(alone: HostedWorld, busy: multistack.Port) -> None:
    alone.peer().sendto(b"x", (alone.addr[4], 7000))
    assert busy.wait(60)
    text = said(alone, "status", "--tuples", "--counters")
    for word in (
        *("eth0", "[bold]x", "root", str(os.getpid()), f"udp {alone.addr[4]}:7000"),
        *(f"tcp [{alone.addr[6]}]:", "rx_frames", "frames put into receive rings"),
    ):
        assert word in text, word
    assert "nosuch0" in refused(alone, "status", "nosuch0")


def test_status_says_why_a_port_lost_frames(alone: HostedWorld) -> None:
    with alone.port(slots=8) as port:
        port.bind(alone.addr[4], 7000)
        peer = alone.peer()
        for _ in range(50):
            peer.sendto(b"x", (alone.addr[4], 7000))
        eventually(lambda: port.stats()["drop_rx_full"], "a full ring")
        text = said(alone, "status", "--counters")
        assert f"eth0 port {port.id}" in text and "receive ring full" in text


def test_status_for_machines(alone: HostedWorld, busy: multistack.Port) -> None:
    told = json.loads(said(alone, "status", "eth0", "--json"))
    assert [n["name"] for n in told["interfaces"]] == ["eth0"]
    assert told["interfaces"][0]["counters"]["rx_frames"] == 0
    assert "host" in told["interfaces"][0]["features"]
    (port,) = told["ports"]
    assert (port["id"], port["pid"], port["tuples"]) == (busy.id, os.getpid(), 2)
    assert {t["tuple"]["port"] for t in told["tuples"]} >= {7000}


def test_status_of_many_claims_is_short(alone: HostedWorld) -> None:
    with alone.port() as port:
        for number in range(7000, 7100):
            port.bind(alone.addr[4], number)
        assert "and 96 more" in said(alone, "status")
        assert said(alone, "status", "--tuples").count("udp ") > 100


def test_a_switch_that_is_not_there(alone: HostedWorld, tmp_path: Path) -> None:
    device = f"daemon@{tmp_path}/none:"
    for words in (["status"], ["attach", "eth0"], ["detach", "eth0"]):
        done = run(alone, *words, device=device)
        assert done.exit_code == 1 and "not running" in done.stderr
    done = run(alone, "doctor", device=device)
    assert done.exit_code == 1 and "not running" in done.output


def test_doctor(alone: HostedWorld) -> None:
    text = said(alone, "doctor")
    for word in ("libmultistack", "kernel module", "eth0", "CAP_NET_ADMIN"):
        assert word in text, word


def test_doctor_for_machines(alone: HostedWorld) -> None:
    alone.ns.ip("link", "add", "asleep", "type", "veth")
    told = json.loads(said(alone, "doctor", "--json"))
    assert told["well"] is True
    found = {f["what"]: f for f in told["findings"]}
    assert "veth" in found["eth0"]["detail"] and "XDP" in found["eth0"]["detail"]
    assert found["asleep"]["remedy"] == "ip link set asleep up"
    assert found[f"switch at {alone.control}"]["answers"]


def test_attach_and_detach_for_machines(bare: HostedWorld) -> None:
    told = json.loads(said(bare, "attach", "eth0", "--no-xdp", "--json"))
    assert told["attached"]["name"] == "eth0" and told["attached"]["mtu"] == 1500
    told = json.loads(said(bare, "detach", "eth0", "--json"))
    assert told == {"detached": {"name": "eth0"}}


def test_a_folder_is_served(alone: HostedWorld, tmp_path: Path) -> None:
    """By multistack-httpd, on the only interface there is."""
    httpd_path()
    need(shutil.which("ethtool"), "no ethtool")
    assert alone.far
    sh(*alone.far.command("ethtool", "-K", "eth0", "tx", "off"))
    (tmp_path / "page").write_text("It works")
    words = ["serve", tmp_path, "-l", f"{alone.addr[4]}:80", "--cc", "bbr"]
    server = subprocess.Popen(
        alone.ns.command(sys.executable, "-m", "multistack", *words),
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "MULTISTACK_DEVICE": alone.control,
        },
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        url = f"http://{alone.addr[4]}/page"
        got = alone.far.command("curl", "-sf", "--retry-connrefused", url)
        assert eventually(lambda: _output(got), "an answer", 60) == "It works"
    finally:
        server.send_signal(signal.SIGINT)
        _, err = server.communicate(timeout=60)
    assert server.returncode == 0, err


def _output(words: list[str]) -> str:
    return subprocess.run(words, capture_output=True, text=True).stdout


def test_what_cannot_be_served(bare: HostedWorld, tmp_path: Path) -> None:
    assert "no interface is attached" in refused(bare, "serve", str(tmp_path))
    assert run(bare, "serve", str(tmp_path / "none")).exit_code == 2


def test_bench() -> None:
    done = CliRunner().invoke(main, ["bench", "-t", "0.02", "--json"])
    rows = json.loads(done.output)["bench"]
    assert [r["frame_bytes"] for r in rows] == [60, 590, 1514] * 2
    assert all(r["frames"] > 0 and r["ns_per_frame"] > 0 for r in rows)


@pytest.mark.parametrize(
    ("words", "found"),
    [("detach e", "eth0"), ("run --cc pr", "prague"), ("run --cc mine.p", "file")],
)
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str, words: str, found: str, alone: HostedWorld) -> None:
    if shell == "bash":  # click asks it for its version
        need(shutil.which("bash"), "no bash")
    script = said(alone, "completion", shell)
    assert "_MULTISTACK_COMPLETE" in script
    asked = {"bash": "bash_complete", "zsh": "zsh_complete", "fish": "fish_complete"}
    env = {"COMP_WORDS": f"multistack {words}", "COMP_CWORD": str(len(words.split()))}
    if shell == "fish":
        env["COMP_CWORD"] = words.split()[-1]
    with alone.inside():
        done = CliRunner().invoke(
            main,
            env={
                **env,
                "MULTISTACK_DEVICE": alone.control,
                "_MULTISTACK_COMPLETE": asked[shell],
            },
            prog_name="multistack",
        )
    assert found in done.output


def test_doctor_of_an_ordinary_user(alone: HostedWorld) -> None:
    """What it may not do is told, and is no fault."""
    if not shutil.which("setpriv"):
        pytest.skip("no setpriv")
    script = "from multistack.cli import main; main()"
    done = subprocess.run(
        alone.ns.command(
            *("setpriv", "--reuid=65534", "--clear-groups", "--bounding-set=-all"),
            *(sys.executable, "-c", script, "doctor", "-d", alone.control),
        ),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "may not attach and detach" in done.stdout


def test_help_and_version() -> None:
    for words in (["--help"], ["attach", "--help"], ["--version"]):
        done = CliRunner().invoke(main, words)
        assert done.exit_code == 0 and done.output


def test_what_tells_something_tells_it_to_machines_too() -> None:
    context = click.Context(main)
    for name in COMMANDS.keys() - SILENT:
        command = main.get_command(context, name)
        assert command and any("--json" in p.opts for p in command.params), name


def test_commands_come_when_they_are_asked_for() -> None:
    """Help takes its first lines from a table: they are those of the commands."""
    context = click.Context(main)
    for name, (_module, text) in COMMANDS.items():
        command = main.get_command(context, name)
        assert command and command.name == name
        assert (command.help or "").splitlines()[0] == text, name
    script = "import sys; sys.argv[1:] = ['--help']\n"
    script += "from multistack.cli import main; main(standalone_mode=False)\n"
    script += "print([m for m in sys.modules if m == 'rich'])"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.endswith("\n[]\n"), done.stdout + done.stderr


def test_the_man_page_is_the_commands_help(tmp_path: Path) -> None:
    assert manpage.PAGE.read_text() == manpage.page(), "python -m ci.manpage"
    if shutil.which("mandoc"):
        faults = subprocess.run(
            ["mandoc", "-T", "lint", "-W", "warning", manpage.PAGE],
            capture_output=True,
            text=True,
        ).stdout
        assert not faults, faults


def test_python_m_multistack() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "multistack", "--help"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and "attach" in done.stdout


def test_somebody_elses_program_stays(module: ModuleWorld, tmp_path: Path) -> None:
    """With it there, the module comes behind it or not at all."""
    said(module, "detach", "eth0")
    other = Daemon(module.ns, tmp_path, "--attach", "xdp:eth0")
    try:

        def program() -> str:
            link = module.ns.ip("link", "show", "eth0")
            return link.partition("prog/xdp id ")[2].partition(" ")[0]

        theirs = program()
        assert theirs
        words = refused(module, "attach", "eth0", "--xdp")
        assert "ms_xdp" in words and theirs in words
        assert "rx_handler" in said(module, "attach", "eth0")
        assert program() == theirs
        said(module, "detach", "eth0")
        assert program() == theirs
    finally:
        other.close()


def test_nobody_of_the_group_is_told_so(module: ModuleWorld) -> None:
    """Without the right to open the device."""
    os.chmod("/dev/multistack", 0o600)
    try:
        done = subprocess.run(
            module.ns.command(
                *("setpriv", "--reuid=65534", "--clear-groups", "--bounding-set=-all"),
                *(sys.executable, "-m", "multistack", "status"),
            ),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
        )
    finally:
        os.chmod("/dev/multistack", 0o666)
    assert done.returncode == 1
    assert "no permission for /dev/multistack" in done.stderr
    assert "udev rule" in done.stderr
