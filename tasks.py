# SPDX-License-Identifier: BSD-2-Clause
"""What one does here: `./inv --list`; details in docs/internals/build.md."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from invoke import Context, Exit, task

from ci import checks, kobj
from ci.steps import BUILD, ROOT, Count, Runner, Step, StepFunction, environment


def _prepare() -> None:
    """As ./inv does, for those who call invoke themselves."""
    if "MULTISTACK_PREPARED" not in os.environ:
        subprocess.run([ROOT / "ci" / "prepare"], check=True)


def _run(steps: list[tuple[str, StepFunction]], verbose: bool) -> None:
    """Runs steps, then prints the closing line; exits 1 if one failed."""
    _prepare()
    runner = Runner(len(steps), verbose, checks.EXPECTED_SKIPS)
    for title, function in steps:
        runner.run(title, function)
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


@task
def build(c: Context, kernel_objects: bool = False, verbose: bool = False) -> None:
    """Compile the C into build/plain (and the kernels' objects)."""
    steps: list[tuple[str, StepFunction]] = [("build", _compile)]
    if kernel_objects:
        steps += kobj.STEPS
    _prepare()
    runner = Runner(len(steps), verbose)
    if not all([runner.run(title, function) for title, function in steps]):
        raise Exit(code=1)


@task
def load(c: Context) -> None:
    """Load the kernel module into guests: there is no module yet."""
    print(
        "load: nothing to do. The kernel module and its guests are not here "
        "yet; the switch runs in user space (multistackd or in process)."
    )


@task(
    help={
        "k": "only tests whose name contains this",
        "fast": "no sanitizers",
        "seeds": "simulate TCP in so many times the usual worlds",
    }
)
def test(
    c: Context,
    k: str = "",
    fast: bool = False,
    seeds: int = 1,
    verbose: bool = False,
) -> None:
    """Run every check there is; the last line counts them."""
    _run(checks.all_checks(fast, k, seeds), verbose)


@task
def lint(c: Context, verbose: bool = False) -> None:
    """Check formats, types, and who includes what."""
    _run(checks.LINT, verbose)


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
    }
)
def demo(
    c: Context,
    keep: bool = False,
    check: bool = False,
    stop: bool = False,
    json: str = "",
) -> None:
    """Show four servers on one address: the host's, in C, in Python, on UTCP."""
    if not stop:
        build(c)
    flags = ["--keep"] * keep + ["--check"] * check + ["--stop"] * stop
    flags += [f"--json={Path(json).absolute()}"] if json else []
    _program("python", "-m", "demo", *flags, root=True)


@task(
    help={
        "name": "switch, daemon, veth, http, bulk, connections or all",
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
