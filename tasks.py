# SPDX-License-Identifier: BSD-2-Clause
"""What one does here: `./inv --list`; details in docs/internals/build.md."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from invoke import Context, Exit, task

from ci import checks, freebsd, inguest, kobj
from ci.freebsd import guests as freebsd_guests
from ci.steps import (
    BUILD,
    ROOT,
    Count,
    Plan,
    Runner,
    Step,
    StepFunction,
    environment,
    size,
)


def _prepare() -> None:
    """As ./inv does, for those who call invoke themselves."""
    if "MULTISTACK_PREPARED" not in os.environ:
        subprocess.run([ROOT / "ci" / "prepare"], check=True)


def _run(plan: Plan, verbose: bool) -> None:
    """Follows a plan, then prints the closing line; exits 1 if a step failed."""
    _prepare()
    runner = Runner(size(plan), verbose, checks.EXPECTED_SKIPS)
    runner.follow(plan)
    if not runner.summary():
        raise Exit(code=1)


def _program(*argv: str, root: bool = False) -> None:
    """Runs one of our programs on this terminal; exits as it does."""
    env = environment() | checks.BINDINGS
    args = list(argv)
    if root and os.geteuid() != 0:
        keep = [f"{name}={env[name]}" for name in ("PATH", "PYTHONPATH")]
        args = ["sudo", "env", *keep, *args]
    code = subprocess.run(args, cwd=ROOT, env=env).returncode
    if code:
        raise Exit(code=code)


def _compile(step: Step) -> Count:
    checks.compile_c(step)
    return Count(passed=1)


@task(
    help={
        "modules": "the kernel module, too, for every guest's kernel",
        "os": "for another system: freebsd, into build/freebsd",
        "sysroot": "with --os: a folder with the files of a release",
        "release": "with --os: a release whose files are fetched, as 10.4",
    }
)
def build(
    c: Context,
    kernel_objects: bool = False,
    modules: bool = False,
    os: str = "",
    sysroot: str = "",
    release: str = "",
    verbose: bool = False,
) -> None:
    """Compile the C into build/plain (and what kernels take)."""
    if os:
        if os != "freebsd":
            raise Exit(f"--os {os}: there is freebsd", code=2)
        _run(freebsd.plan(sysroot, release), verbose)
        return
    plan: list[tuple[str, StepFunction]] = [("build", _compile)]
    if kernel_objects:
        plan += kobj.STEPS
    if modules:
        plan += [(f"module for {g}", inguest.module(g)) for g in inguest.TESTED]
    _prepare()
    runner = Runner(len(plan), verbose)
    if not all([runner.run(title, function) for title, function in plan]):
        raise Exit(code=1)


@task(
    help={
        "guest": "a guest of the table in docs/internals/machines.md, or all",
        "here": "into the running kernel, for those who mean it",
    }
)
def load(
    c: Context, guest: str = "all", here: bool = False, verbose: bool = False
) -> None:
    """Boot each guest and load the kernel module there."""
    if here:
        _run([("load here", inguest.load_here)], verbose)
        return
    names = inguest.select(guest)
    with inguest.Ahead(names):
        _run([(f"load {name}", inguest.load(name)) for name in names], verbose)


@task(
    help={
        "guest": "its kernel",
        "load": "insert the kernel module first",
        "timeout": "seconds",
    }
)
def vm(
    c: Context, guest: str = "linux-6.12", load: bool = False, timeout: int = 3600
) -> None:
    """Run the COMMAND behind `--`, or a shell, in a guest with this root."""
    _prepare()
    flags = [f"--guest={guest}", f"--timeout={timeout}", *["--load"] * load]
    command = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else []
    _program("python", "-m", "ci.vm", *flags, "--", *command, root=True)


@task(
    help={
        "k": "only tests whose name contains this",
        "fast": "no sanitizers, no guests",
        "seeds": "simulate TCP in so many times the usual worlds",
        "guest": "only tests/kernel, in this guest, or in all; freebsd, freebsd-10.4",
        "long": "with --guest: hostile cases for minutes, not seconds",
    }
)
def test(
    c: Context,
    k: str = "",
    fast: bool = False,
    seeds: int = 1,
    guest: str = "",
    long: bool = False,
    verbose: bool = False,
) -> None:
    """Run every check there is; the last line counts them."""
    if guest.startswith("freebsd"):
        _run(freebsd_guests.plan(k, long, guest), verbose)
        return
    if guest:
        names = inguest.select(guest)
        plan: Plan = [("build", _compile), *inguest.plan(names, k, long)]
    else:
        names = [] if fast or k else list(inguest.TESTED)
        plan = checks.all_checks(fast, k, seeds)
    with inguest.Ahead(names):
        _run(plan, verbose)


@task
def lint(c: Context, verbose: bool = False) -> None:
    """Check formats, types, and who includes what."""
    _run(checks.LINT, verbose)


@task
def docs(c: Context, verbose: bool = False) -> None:
    """Make the site of the documents in build/site; whatever is not right ends it."""
    _run([checks.SITE], verbose)


@task
def wheel(c: Context, verbose: bool = False) -> None:
    """Make dist/: the source package, and of it the wheel, which is tried."""
    _run([checks.PACKAGES], verbose)


@task
def fmt(c: Context) -> None:
    """Format C and Python in place."""
    _run(
        [
            ("format C", lambda step: checks.clang_format(step, fix=True)),
            ("format Python", lambda step: checks.ruff(step, fix=True)),
        ],
        verbose=False,
    )


@task(
    help={
        "keep": "leave it running to play with",
        "check": "a broken promise is an error",
        "stop": "stop demos that were kept",
        "json": "write what came out to this file",
        "guest": "in this guest, on the kernel module",
    }
)
def demo(
    c: Context,
    keep: bool = False,
    check: bool = False,
    stop: bool = False,
    json: str = "",
    guest: str = "",
) -> None:
    """Show four servers on one address: the host's, in C, in Python, on UTCP."""
    if not stop:
        build(c)
    flags = ["--keep"] * keep + ["--check"] * check + ["--stop"] * stop
    out = Path(json).absolute() if json else None
    if guest:
        _run([(f"demo in {guest}", inguest.demo(guest, flags, out))], verbose=True)
        return
    flags += [f"--json={out}"] if out else []
    _program("python", "-m", "demo", *flags, root=True)


@task(
    help={
        "name": "switch, daemon, veth, http, mu, load, bulk, connections, kernel or all",
        "quick": "short and rough",
        "json": "write the rows to this file",
        "plot": "draw the paper's Figure 4 (of http: Figure 6) into this file",
    }
)
def bench(
    c: Context, name: str, quick: bool = False, json: str = "", plot: str = ""
) -> None:
    """Measure, and compare with the goals."""
    build(c)
    flags = ["--quick"] * quick
    flags += [f"--json={Path(json).absolute()}"] if json else []
    flags += [f"--plot={Path(plot).absolute()}"] if plot else []
    _program("python", "-m", "tests.bench", name, *flags, root=True)


@task
def clean(c: Context) -> None:
    """Remove what was built; .venv stays."""
    for path in (BUILD, ROOT / ".tox", ROOT / "dist", ROOT / "results"):
        shutil.rmtree(path, ignore_errors=True)
