# SPDX-License-Identifier: BSD-2-Clause
"""python -m ci.vm --guest NAME [OPTIONS] [-- COMMAND...]: see --help."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from ci.steps import BUILD
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
    parser.add_argument("--results", type=Path, help="a folder to share and keep")
    parser.add_argument("--timeout", type=float, default=300.0, metavar="SECONDS")
    parser.add_argument("--cpus", type=int)
    parser.add_argument("--mem", type=int, metavar="MIB")
    parser.add_argument("--append", default="", help="for the kernel's command line")
    parser.add_argument("--nic", action="append", default=[], help="DRIVER[,hub=N]...")
    parser.add_argument("command", nargs="*")
    return parser.parse_args()


def main() -> int:
    args = _arguments()
    reason = machine.may_boot()
    if reason:
        print(f"vm: {reason}", file=sys.stderr)
        return 2
    results = args.results or BUILD / "vm" / f"{args.guest}.{os.getpid()}"
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    if not terminal and not args.command:
        print("vm: a shell wants a terminal; or say -- COMMAND", file=sys.stderr)
        return 2
    done = machine.run(
        args.guest,
        args.command,
        results=results,
        modules=args.module,
        timeout_s=args.timeout,
        cpus=args.cpus,
        mem_mib=args.mem,
        append=args.append,
        nics=args.nic,
        cwd=Path.cwd(),
        env={"TERM": os.environ.get("TERM", "dumb")},
        terminal=terminal,
        output=machine.to_stdout,
    )
    print(
        f"vm: {done.release}: {done}, {done.seconds:.1f} s; {results}", file=sys.stderr
    )
    for report in done.reports:
        print(f"vm: {report.tool}: {report.title}", file=sys.stderr)
    if done.status is None:
        return 126
    return done.status or (done.kind != "ok")


sys.exit(main())
