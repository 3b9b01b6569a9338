# SPDX-License-Identifier: BSD-2-Clause
"""What a guest does once its root is there: one shell script for both kinds."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ci.vm.outcome import BEGIN, END

# Files in the results folder.
OUTPUT = "output.log"
CONSOLE = "console.log"
INPUT = "input"
STATUS = "status"
RELEASE = "release"
LEAKS = "kmemleak.log"
FILES = (OUTPUT, CONSOLE, INPUT, STATUS, RELEASE, LEAKS)

NO_MODULE = 125  # the command's status where a module did not load

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What kmemleak calls a leak must be older than five seconds.
_LEAK_AGE_S = 6


@dataclass(frozen=True)
class Terminal:
    """A terminal of the guest that is ours."""

    device: str  # /dev/ttyS1
    rows: int
    columns: int


@dataclass(frozen=True)
class Job:
    """A command for a guest and what it wants around it."""

    argv: Sequence[str]  # (): a shell
    results: Path  # the same folder here and there
    modules: Sequence[Path] = ()  # inserted in this order
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path = Path("/")
    terminal: Terminal | None = None
    leaks: bool = True  # look for leaks afterwards, where the kernel can


def script(job: Job, mount_results: str, modules: Path | None, stop: str) -> str:
    """The script: mounts, inserts, runs, looks for leaks, says how it went.

    mount_results: a command that gets the folder as its last word; stop: the
    command that ends the machine.
    """
    results = shlex.quote(str(job.results))
    room = shlex.quote(str(modules)) if modules else ""
    env = {"PATH": PATH, "HOME": "/root", "TERM": "dumb", **job.env}
    lines = [
        *(f"export {name}={shlex.quote(text)}" for name, text in env.items()),
        "mkdir -p /dev/pts /dev/shm /run/lock /sys/fs/bpf",
        "mount -t devpts -o ptmxmode=666 devpts /dev/pts",
        "mount -t tmpfs shm /dev/shm",
        "for f in bpf:/sys/fs/bpf debugfs:/sys/kernel/debug "
        "tracefs:/sys/kernel/tracing; do",
        "\tmount -t ${f%:*} ${f%:*} ${f#*:} 2>/dev/null",
        "done",
        "ln -sf /proc/self/fd /dev/fd; ln -sf /proc/self/fd/0 /dev/stdin",
        "ln -sf /proc/self/fd/1 /dev/stdout; ln -sf /proc/self/fd/2 /dev/stderr",
        "R=/lib/modules/$(uname -r)",
        f"mount -t tmpfs modules /lib/modules && ln -s {room} $R" if room else "",
        f"{mount_results} {results}",
        f"uname -r >{results}/{RELEASE}",
        "ip link set lo up",
        "hostname $MULTISTACK_GUEST",
        "ulimit -n 65536",
        "echo 8 >/proc/sys/kernel/printk",
        "K=/sys/kernel/debug/kmemleak",
        "[ -e $K ] && echo clear >$K",
        f"echo '{BEGIN}' >/dev/kmsg",
        "status=0",
        *(_insert(module, results) for module in job.modules),
        "if [ $status = 0 ]; then",
        _command(job, results),
        "status=$?",
        "fi",
        *(_leaks(results) if job.leaks else ()),
        *_coverage(results),
        f"echo '{END} '$status >/dev/kmsg",
        f"echo $status >{results}/{STATUS}",
        "sync",
        stop,
    ]
    return "\n".join(["#!/bin/sh", *filter(None, lines), ""])


def _insert(module: Path, results: str) -> str:
    path = shlex.quote(str(module))
    return f"insmod {path} >>{results}/{OUTPUT} 2>&1 || status={NO_MODULE}"


def _command(job: Job, results: str) -> str:
    command = shlex.join(job.argv) if job.argv else "${SHELL:-/bin/bash} -i"
    command = f"cd {shlex.quote(str(job.cwd))} && {command}"
    if job.terminal is None:
        return (
            f"sh -c {shlex.quote(command)} >>{results}/{OUTPUT} 2>&1 <{results}/{INPUT}"
        )
    tty = job.terminal
    size = f"stty rows {tty.rows} columns {tty.columns} sane"
    inner = shlex.quote(f"exec <>{tty.device} >&0 2>&0; {size}; {command}")
    return f"setsid -c -w sh -c {inner} <>{tty.device}"


def _leaks(results: str) -> list[str]:
    return [
        "if [ -e $K ]; then",
        # A scan tells only of what has not changed since the one before.
        f"sleep {_LEAK_AGE_S}; echo scan >$K; echo scan >$K; cat $K >{results}/{LEAKS}",
        f"[ -s {results}/{LEAKS} ] || rm {results}/{LEAKS}",
        "fi",
    ]


def _coverage(results: str) -> list[str]:
    """Brings gcov's counts; what debugfs shows cannot just be copied."""
    return [
        "G=/sys/kernel/debug/gcov",
        "[ -d $G ] && (cd $G && find . -name '*.gcda' | while read -r f; do",
        f'\tmkdir -p "{results}/gcov/${{f%/*}}" && cat "$f" >"{results}/gcov/$f"',
        "done)",
    ]
