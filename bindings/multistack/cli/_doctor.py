# SPDX-License-Identifier: BSD-2-Clause
"""multistack doctor: what is here, what is missing, and what to do about it."""

from __future__ import annotations

import errno
import grp
import json
import os
import platform
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from multistack import _abi, _ffi
from multistack.cli._ffi_pcap import Filter
from multistack.cli._links import Link, links
from multistack.cli._programs import find
from multistack.cli._switch import MODULE, Failure, console
from multistack.port import Control

CAPABILITIES = {
    "CAP_NET_BIND_SERVICE": (10, "claim ports below {low}"),
    "CAP_NET_ADMIN": (12, "attach and detach"),
    "CAP_NET_RAW": (13, "claim whole protocols"),
    "CAP_BPF": (39, "attach by XDP"),
}
_SYS_ADMIN = 21  # has CAP_BPF's powers too
LINUX_OF_XDP = (5, 18)
LINKS_SHOWN = 8


@dataclass(frozen=True)
class Finding:
    """good: True, False, or None where it is neither."""

    what: str
    good: bool | None
    detail: str
    remedy: str = ""
    answers: bool = False  # a switch, that is


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def library() -> Iterator[Finding]:
    text = f"{_ffi.library_path}, ABI {_abi.MS_ABI_VERSION}"
    yield Finding("libmultistack", True, text)


def _module_file(release: str) -> str:
    """Where modprobe would find it."""
    below = Path("/lib/modules", release)
    return next((str(p) for p in below.rglob("multistack.ko*")), "")


def module() -> Iterator[Finding]:
    release = platform.release()
    if not os.path.exists("/sys/module/multistack") and not os.path.exists(MODULE):
        built = _module_file(release)
        yield Finding(
            "kernel module",
            None,
            "not loaded",
            f"modprobe multistack ({built})"
            if built
            else f"for Linux {release} none is installed: see docs/guide/kernel-module.md",
        )
        return
    version = _read("/sys/module/multistack/version")
    yield Finding(
        "kernel module", True, f"loaded, version {version or '?'}, Linux {release}"
    )
    yield from _device()
    btf = os.path.exists("/sys/kernel/btf/multistack")
    yield Finding(
        "XDP for the module",
        True if btf else None,
        "the module has BTF" if btf else "no /sys/kernel/btf/multistack",
        ""
        if btf
        else "build the module where /sys/kernel/btf/vmlinux is; until then interfaces "
        "are attached by rx_handler, which works everywhere",
    )


def _device() -> Iterator[Finding]:
    try:
        st = os.stat(MODULE)
    except FileNotFoundError:
        yield Finding(
            MODULE, False, "is not there", "devtmpfs makes it: is /dev mounted?"
        )
        return
    try:
        group = grp.getgrgid(st.st_gid).gr_name
    except KeyError:
        group = str(st.st_gid)
    mode = stat.filemode(st.st_mode)[1:]
    mine = os.access(MODULE, os.R_OK | os.W_OK)
    remedy = f"become a member of group '{group}'"
    if st.st_gid == 0 or not st.st_mode & stat.S_IWGRP:
        remedy = "install the udev rule 60-multistack.rules and make group 'multistack'"
    yield Finding(MODULE, mine, f"{mode}, group {group}", "" if mine else remedy)


def _answers(what: str, device: str, wanted: bool) -> Iterator[Finding]:
    try:
        with Control(device) as control:
            info = control.info()
            nics = control.list_nics()
    except OSError as e:
        missing = e.errno in (errno.ECONNREFUSED, errno.ENODEV) and not wanted
        text, _, remedy = (e.strerror or str(e)).partition("; ")
        yield Finding(what, None if missing else False, text, remedy)
        return
    names = ", ".join(f"{n.name} ({n.kind})" for n in nics)
    yield Finding(
        what,
        True if nics else None,
        f"{info.ports} ports, {info.tuples} tuples; attached: {names or 'nothing'}",
        "" if nics else "multistack attach INTERFACE",
        answers=True,
    )


def switches(device: str) -> Iterator[Finding]:
    """Who answers."""
    if device:
        yield from _answers(f"switch at {device}", device, True)
        return
    if os.path.exists(MODULE):
        yield from _answers("the module answers", "kmod", True)
    yield from _answers("multistackd", "daemon", False)


def privileges() -> Iterator[Finding]:
    mask = int(
        next(
            line.split()[1]
            for line in _read("/proc/self/status").splitlines()
            if line.startswith("CapEff:")
        ),
        16,
    )
    low = _read("/proc/sys/net/ipv4/ip_unprivileged_port_start") or "1024"
    for name, (bit, use) in CAPABILITIES.items():
        has = bool(mask >> bit & 1) or (
            name == "CAP_BPF" and bool(mask >> _SYS_ADMIN & 1)
        )
        yield Finding(
            name,
            True if has else None,
            ("may " if has else "may not ") + use.format(low=low),
        )


def kernel() -> Iterator[Finding]:
    release = platform.release()
    number = tuple(int(n) for n in re.findall(r"\d+", release)[:2])
    fit = number >= LINUX_OF_XDP
    yield Finding(
        "Linux",
        True if fit else None,
        release,
        ""
        if fit
        else "multistackd attaches by XDP and tc from 5.18 on, the module from 6.1 on",
    )
    btf = os.path.exists("/sys/kernel/btf/vmlinux")
    yield Finding(
        "kernel's own BTF",
        True if btf else None,
        "there" if btf else "none: no XDP for the module",
    )


def _of_link(link: Link) -> Finding:
    told = [link.driver or "virtual", f"MTU {link.mtu}"]
    if link.queues > 1:
        told.append(f"{link.queues} queues")
    told.append(f"XDP {link.xdp}" if link.xdp else "XDP unknown before Linux 6.3")
    told.append(f"offloads {' '.join(link.offloads) or 'none'}")
    remedy = ""
    if not link.up:
        told.insert(0, "down")
        remedy = f"ip link set {link.name} up"
    elif link.driver == "veth":
        remedy = (
            "if attached by XDP: at the wire's other end `ethtool -K NAME tx off`, or "
            "checksums stay open"
        )
    elif link.xdp == "generic":
        remedy = (
            "its driver runs no XDP: generic XDP takes about twice as long; "
            f"multistack attach {link.name} --no-xdp"
        )
    return Finding(link.name, True if link.up else None, ", ".join(told), remedy)


def interfaces() -> Iterator[Finding]:
    """Those that a switch could be put on, up ones first."""
    found = sorted((n for n in links() if n.name != "lo"), key=lambda n: not n.up)
    yield from map(_of_link, found[:LINKS_SHOWN])
    if len(found) > LINKS_SHOWN:
        more = ", ".join(n.name for n in found[LINKS_SHOWN:])
        yield Finding(
            "interfaces", None, f"and {len(found) - LINKS_SHOWN} more: {more}"
        )


def programs() -> Iterator[Finding]:
    for name, use in (
        ("multistackd", "the switch without a kernel module"),
        ("multistack-httpd", "multistack serve"),
    ):
        try:
            yield Finding(f"program {name}", True, find(name))
        except Failure as e:
            yield Finding(f"program {name}", None, f"not found, for {use}", e.message)
    try:
        Filter("tcp", 64).close()
        yield Finding("libpcap", True, "compiles capture's filters")
    except ValueError as e:
        yield Finding("libpcap", None, "no filters for capture", str(e))


def findings(device: str) -> Iterator[Finding]:
    checks: tuple[Callable[[], Iterator[Finding]], ...] = (
        *(library, kernel, module, lambda: switches(device), privileges),
        *(interfaces, programs),
    )
    for check in checks:
        yield from check()


def _mark(good: bool | None) -> str:
    return {True: "[green]✓[/]", False: "[bold red]✗[/]", None: "[dim]·[/]"}[good]


@click.command()
@click.option(
    *("--device", "-d"),
    default="",
    envvar="MULTISTACK_DEVICE",
    metavar="SWITCH",
    help="Ask only this switch.",
)
@click.option("--json", "as_json", is_flag=True, help="The findings, for machines.")
def doctor(device: str, as_json: bool) -> None:
    """Say what is here, what is missing, and what to do about it.

    Exit status 1 where something is wrong, or no switch answers.
    """
    found = list(findings(device))
    wrong = any(f.good is False for f in found)
    answered = any(f.answers for f in found)
    well = answered and not wrong
    if as_json:
        told = {"well": well, "findings": [asdict(f) for f in found]}
        click.echo(json.dumps(told, indent=2))
    else:
        _show(found)
        if not answered and not wrong:
            click.echo(
                "\nNo switch answers: load the module, or start multistackd "
                "(docs/guide/first-five-minutes.md)."
            )
    if not well:
        raise SystemExit(1)


def _show(found: list[Finding]) -> None:
    from rich.markup import escape

    out = console()
    width = max(len(f.what) for f in found)
    for f in found:
        out.print(
            f"{_mark(f.good)} {escape(f.what):{width}}  {escape(f.detail)}",
            soft_wrap=True,
        )
        if f.remedy:
            out.print(f"  {'':{width}}  [yellow]{escape(f.remedy)}[/]", soft_wrap=True)
