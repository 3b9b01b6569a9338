# SPDX-License-Identifier: BSD-2-Clause
"""python -m ci.vm --guest NAME [OPTIONS] [-- COMMAND...]: see --help."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from ci import kmod
from ci.inguest import environment_in
from ci.steps import BUILD, LOGS, Step, StepFailed
from ci.vm import guests, machine


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m ci.vm",
        description="Runs a command, or a shell, in a guest with this machine's root.",
    )
    parser.add_argument("--guest", default="linux-6.12", choices=guests.GUESTS)
    parser.add_argument(
        "--module", action="append", default=[], type=Path, help="insert it first"
    )
    parser.add_argument("--load", action="store_true", help="our module, built first")
    parser.add_argument(
        "--stdin",
        action="store_true",
        help="the command gets what comes here, up to its end",
    )
    parser.add_argument("--results", type=Path, help="a folder to share and keep")
    parser.add_argument("--timeout", type=float, default=300.0, metavar="SECONDS")
    parser.add_argument("--cpus", type=int)
    parser.add_argument("--mem", type=int, metavar="MIB")
    parser.add_argument("--append", default="", help="for the kernel's command line")
    parser.add_argument("--nic", action="append", default=[], help="DRIVER[,hub=N]...")
    parser.add_argument("command", nargs="*")
    return parser.parse_args()


def _build(guest: str) -> Path:
    step = Step(f"module for {guest}", LOGS / f"vm-{guest}.log", verbose=False)
    try:
        return kmod.build(step, guest)
    except StepFailed as e:
        raise SystemExit(f"vm: {e}; whole log: {step.log}") from None
    finally:
        step.close()


def main() -> int:
    args = _arguments()
    reason = machine.may_boot()
    if reason:
        print(f"vm: {reason}", file=sys.stderr)
        return 2
    results = args.results or BUILD / "vm" / f"{args.guest}.{os.getpid()}"
    modules: list[Path] = args.module
    if args.load:
        modules = [_build(args.guest), *modules]
    terminal = not args.stdin and sys.stdin.isatty() and sys.stdout.isatty()
    if not terminal and not args.command:
        print("vm: a shell wants a terminal; or say -- COMMAND", file=sys.stderr)
        return 2
    done = machine.run(
        args.guest,
        args.command,
        results=results,
        modules=modules,
        timeout_s=args.timeout,
        cpus=args.cpus,
        mem_mib=args.mem,
        append=args.append,
        nics=args.nic,
        cwd=Path.cwd(),
        env=environment_in(BUILD / "kmod" / args.guest, results)
        | {"TERM": os.environ.get("TERM", "dumb")},
        stdin=sys.stdin.buffer.read() if args.stdin else b"",
        terminal=terminal,
        output=machine.to_stdout,
    )
    print(
        f"vm: {done.release}: {done}, {done.seconds:.1f} s; {results}", file=sys.stderr
    )
    if args.results is None and done.kind == "ok":
        shutil.rmtree(results)
    for report in done.reports:
        print(f"vm: {report.tool}: {report.title}", file=sys.stderr)
    if done.status is None:
        return 126
    return done.status or (done.kind != "ok")


sys.exit(main())
