# SPDX-License-Identifier: BSD-2-Clause
"""Runs the steps of a long task: a line for each, a log for each, a count.

A step is a function that takes a `Step` and returns a `Count`; it runs
commands with `Step.run` and raises `StepFailed` with a sentence when something
is not as it must be.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
LOGS = BUILD / "log"

HEARTBEAT_S = 60.0
TAIL_LINES = 40
TAIL_COLUMNS = 160
NAMES_SHOWN = 5
SUMMARY_NAMES = 25


class StepFailed(Exception):
    """What went wrong, as a sentence for a person."""


class CommandFailed(StepFailed):
    """A command failed: the end of its output says why."""


@dataclass
class Count:
    """Tests of one step; reasons are named for what did not pass."""

    passed: int = 0
    failed: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    note: str = ""  # for the step's line

    def __iadd__(self, other: Count) -> Count:
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        return self


def junit(report: Path, before: str = "") -> Count:
    """Counts a JUnit file; `before` stands before each name."""
    count = Count()
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        name = f"{before}{case.get('classname')}::{case.get('name')}"
        skip = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            count.failed.append(name)
        elif skip is not None and skip.get("type") != "pytest.xfail":
            count.skipped.append(f"{name}: {skip.get('message')}")
        else:
            count.passed += 1
    return count


def environment() -> dict[str, str]:
    """The environment of every command: our virtual environment first."""
    env = dict(os.environ)
    env["PATH"] = f"{ROOT / '.venv' / 'bin'}:{env.get('PATH', '')}"
    # /usr/sbin has ip, bpftool and ethtool; plain users often lack it.
    for sbin in ("/usr/sbin", "/sbin"):
        if sbin not in env["PATH"].split(":"):
            env["PATH"] += f":{sbin}"
    env.pop("PYTHONHOME", None)
    env.pop("PYENV_VERSION", None)
    return env


class Step:
    """One running step: its log and its line on the terminal."""

    def __init__(
        self,
        title: str,
        log: Path,
        verbose: bool,
        alone: bool = True,
        stop: threading.Event | None = None,
    ) -> None:
        self._stop = stop
        self.title = title
        self.log = log
        self.verbose = verbose
        self.warnings: list[str] = []
        self.started = time.monotonic()
        self._live = sys.stdout.isatty() and not verbose and alone
        self._beat = self.started
        log.parent.mkdir(parents=True, exist_ok=True)
        self._file = log.open("w", encoding="utf-8", errors="replace")

    def close(self) -> None:
        self._file.close()
        if self._live:
            print("\r\033[K", end="", flush=True)

    def beat(self) -> None:
        """Shows that it goes on, if it is to: call it every now and then."""
        if self._stop and self._stop.is_set():
            raise StepFailed("interrupted")
        now = time.monotonic()
        spent = now - self.started
        if self._live:
            print(f"\r\033[K  {self.title} ... {spent:.0f} s", end="", flush=True)
        elif now - self._beat >= HEARTBEAT_S:
            self._beat = now
            print(f"  {self.title}: still at it, {spent:.0f} s", flush=True)

    def say(self, text: str) -> None:
        """Adds a line to the log."""
        self._file.write(text + "\n")
        self._file.flush()
        if self.verbose:
            print(text, flush=True)

    def warn(self, text: str) -> None:
        """Adds a line to the log that is also printed, now and at the end: what
        went wrong without being a failure."""
        self.warnings.append(text)
        self.say(f"warning: {text}")
        if not self.verbose:
            print(f"  {self.title}: warning: {text}", flush=True)

    def feed(self, data: bytes) -> None:
        """Adds a program's output to the log as it comes."""
        text = data.decode(errors="replace")
        self._file.write(text)
        self._file.flush()
        if self.verbose:
            print(text, end="", flush=True)

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        cwd: Path = ROOT,
        env: Mapping[str, str] | None = None,
        ok: Sequence[int] = (0,),
        timeout_s: float = 1800.0,
    ) -> str:
        """Runs a command; its output goes to the log and is returned.

        Raises StepFailed for an exit status that is not in `ok`, or when it
        takes longer than `timeout_s`.
        """
        args = [str(a) for a in argv]
        self.say(f"$ {shlex.join(args)}")
        begin = self._file.tell()
        proc = subprocess.Popen(
            args,
            cwd=cwd,
            env={**environment(), **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=None if self.verbose else self._file,
            stderr=None if self.verbose else subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = self._wait(proc, timeout_s)
        except BaseException:
            os.killpg(proc.pid, signal.SIGKILL)
            proc.wait()
            raise
        if code not in ok:
            raise CommandFailed(f"{shlex.join(args)[:200]}: exit status {code}")
        if self.verbose:
            return ""
        with self.log.open(encoding="utf-8", errors="replace") as f:
            f.seek(begin)
            return f.read()

    def ask(self, argv: Sequence[str | Path]) -> str:
        """Runs a quick command and returns its output, which is not logged."""
        args = [str(a) for a in argv]
        done = subprocess.run(
            args, cwd=ROOT, env=environment(), capture_output=True, text=True
        )
        if done.returncode:
            raise StepFailed(f"{shlex.join(args)[:200]}: {done.stderr.strip()}")
        return done.stdout

    def _wait(self, proc: subprocess.Popen[bytes], timeout_s: float) -> int:
        end = time.monotonic() + timeout_s
        while True:
            try:
                return proc.wait(timeout=0.5)
            except subprocess.TimeoutExpired:
                if time.monotonic() > end:
                    raise CommandFailed(
                        f"{shlex.join(map(str, proc.args))[:200]}: "  # type: ignore[arg-type]
                        f"not done after {timeout_s:.0f} s"
                    ) from None
                self.beat()


StepFunction = Callable[[Step], Count]
Titled = tuple[str, StepFunction]


@dataclass(frozen=True)
class Together:
    """Steps that may run at the same time, so many at once."""

    steps: Sequence[Titled]
    jobs: int = 2


Plan = Sequence[Titled | Together]


def size(plan: Plan) -> int:
    """How many steps a plan has."""
    return sum(len(p.steps) if isinstance(p, Together) else 1 for p in plan)


class Runner:
    """Runs steps and adds up what they counted."""

    def __init__(
        self,
        total: int,
        verbose: bool = False,
        expected_skips: Sequence[str] = (),
    ) -> None:
        self.total = total
        self.expected_skips = expected_skips
        self.verbose = verbose
        self.count = Count()
        self.warnings: list[str] = []
        self.done = 0
        self.started = time.monotonic()
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def follow(self, plan: Plan) -> None:
        """Runs what a plan says, in its order."""
        for part in plan:
            if not isinstance(part, Together):
                self.run(*part)
                continue
            with ThreadPoolExecutor(part.jobs) as pool:
                futures = [pool.submit(self.run, *s, alone=False) for s in part.steps]
                try:
                    for future in futures:
                        future.result()
                except BaseException:
                    self._stop.set()
                    pool.shutdown(cancel_futures=True)
                    raise

    def run(self, title: str, function: StepFunction, alone: bool = True) -> bool:
        """Runs one step and prints its line; whether it passed."""
        with self._lock:
            self.done += 1
            head = f"[{self.done:2}/{self.total}] {title}"
            if self.verbose:
                print(head, flush=True)
        log = LOGS / f"{re.sub('[^A-Za-z0-9.]+', '-', title).strip('-')}.log"
        step = Step(head, log, self.verbose, alone, self._stop)
        broken = ""
        tail = True
        try:
            count = function(step)
        except StepFailed as e:
            count, broken = Count(failed=[title]), str(e)
            tail = isinstance(e, CommandFailed)
        finally:
            step.close()
        spent = time.monotonic() - step.started
        with self._lock:
            self._judge_skips(count)
            self.count += count
            self.warnings += step.warnings
            self._report(head, count, broken, spent)
            if count.failed and not self.verbose:
                self._show_log(log, tail)
        return not count.failed

    def _judge_skips(self, count: Count) -> None:
        """In CI a skip that is not expected there is a failure."""
        if not os.environ.get("CI"):
            return
        for reason in list(count.skipped):
            if not any(known in reason for known in self.expected_skips):
                count.skipped.remove(reason)
                count.failed.append(f"skipped in CI: {reason}")

    def _report(self, head: str, count: Count, broken: str, spent: float) -> None:
        what = f"{count.passed} passed" if count.passed else ""
        if count.failed:
            what = f"{count.passed} passed, {len(count.failed)} FAILED"
        if count.skipped:
            what += f", {len(count.skipped)} skipped"
        line = f"{head:<46} {what or 'nothing to do'} ({spent:.0f} s)"
        print(line + (f": {count.note}" if count.note else ""), flush=True)
        names = [] if broken else count.failed
        for name in names[:NAMES_SHOWN]:
            print(f"          failed: {name}")
        if len(names) > NAMES_SHOWN:
            print(f"          and {len(names) - NAMES_SHOWN} more")
        for reason in count.skipped:
            print(f"          skipped: {reason}")
        if broken:
            print(f"          {broken}")

    def _show_log(self, log: Path, tail: bool) -> None:
        if tail:
            lines = log.read_text(errors="replace").splitlines()
            for line in lines[-TAIL_LINES:]:
                print(f"        | {line[:TAIL_COLUMNS]}")
        print(f"          whole log: {log}", flush=True)

    def summary(self) -> bool:
        """Prints the closing line; whether all is well."""
        count = self.count
        spent = time.monotonic() - self.started
        print(f"\nin {int(spent) // 60} min {int(spent) % 60} s")
        for warning in self.warnings:
            print(f"warning: {warning}")
        for name in count.failed[:SUMMARY_NAMES]:
            print(f"failed: {name}")
        if len(count.failed) > SUMMARY_NAMES:
            print(f"and {len(count.failed) - SUMMARY_NAMES} more; see {LOGS}")
        line = f"{count.passed} passed, {len(count.failed)} failed"
        if count.skipped:
            line += f", {len(count.skipped)} skipped"
        if self.warnings:
            line += f", {len(self.warnings)} warned"
        print(line, flush=True)
        return not count.failed and count.passed > 0
