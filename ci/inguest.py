# SPDX-License-Identifier: BSD-2-Clause
"""The steps that need a guest: load the module, test it, show it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from ci import coverage, kmod, planted
from ci.kernels import KernelError
from ci.steps import (
    BUILD,
    LOGS,
    ROOT,
    Count,
    Step,
    StepFailed,
    StepFunction,
    Titled,
    Together,
    junit,
)
from ci.vm import guests, machine
from ci.vm.job import PATH
from ci.vm.outcome import Outcome
from ci.vm.packages import PackageError
from ci.vm.share import DIE_TOGETHER

RESULTS = BUILD / "vm"
PYTHON = str(ROOT / ".venv" / "bin" / "python")
CONSOLE_LINES = 120  # of a machine that was lost, in the step's log

# In the order in which they become ready where nothing is cached.
# linux-kcsan is for when it is asked for: `inv test --guest linux-kcsan`.
TESTED = ("linux-6.1", "linux-6.12", "linux-newest", "uml-debug", "linux-debug")

# What of tests/kernel a guest runs where all guests run (inv test): the paths of
# frames and the C program everywhere, the rest shared out.
EVERYWHERE = ("test_program.py", "test_traffic.py")
SHARE = {
    "linux-6.1": (
        *("test_attach.py", "test_loans.py", "test_names.py", "test_rounds.py"),
    ),
    "linux-6.12": (
        *("test_attach.py", "test_bindings.py", "test_loans.py", "test_utcp.py"),
    ),
    "linux-newest": (
        *("test_accecn.py", "test_claims.py", "test_routes.py", "test_tcpdump.py"),
    ),
}

LOAD_S = 120.0
TESTS_S = 1800.0
LONG_S = 7200.0
DEMO_S = 600.0

# Is it there, which one is it, does it go?
LOAD = (
    "test -c /dev/multistack && cat /sys/module/multistack/version && rmmod multistack"
)


def select(name: str) -> list[str]:
    """Guests by name; all: those that `inv test` tests."""
    if name == "all":
        return list(TESTED)
    if name not in guests.GUESTS:
        known = ", ".join(guests.GUESTS)
        raise SystemExit(f"no guest is called {name}; there are {known}, and all")
    return [name]


def environment_in(modules: Path, results: Path) -> dict[str, str]:
    """What programs of ours find their things by, in a guest."""
    env = {
        "PATH": f"{ROOT / '.venv' / 'bin'}:{PATH}",
        "PYTHONPATH": str(ROOT / "bindings"),
        "MULTISTACK_BUILD": str(BUILD / "plain"),
        "MULTISTACK_LIBRARY": str(BUILD / "plain" / "lib" / "libmultistack.so"),
        "MULTISTACK_KMOD": str(modules),
        "MULTISTACK_KO": str(modules / "multistack.ko"),
        "MULTISTACK_RESULTS": str(results),
    }
    if "CI" in os.environ:
        env["CI"] = os.environ["CI"]
    return env


def boot(
    step: Step,
    name: str,
    argv: Sequence[str | Path],
    *,
    timeout_s: float,
    purpose: str,
    env: Mapping[str, str] | None = None,
) -> Outcome:
    """Runs a command in a guest that has the module; all goes to the log.

    Once more where the emulator is known to have lost the guest: that is told, and
    what the lost run left stays in a folder of its own.
    """
    reason = machine.may_boot()
    if reason:
        raise StepFailed(reason)
    try:
        kernel = guests.kernel(name, step.say)
    except (PackageError, KernelError) as e:
        raise StepFailed(f"{name}: {e}") from None
    module = kmod.build(step, name)
    results = RESULTS / f"{purpose}-{name}"

    def once() -> Outcome:
        shutil.rmtree(results, ignore_errors=True)
        done = machine.run(
            kernel,
            argv,
            results=results,
            modules=[module],
            timeout_s=timeout_s,
            cwd=ROOT,
            env=environment_in(module.parent, results) | dict(env or {}),
            output=step.feed,
            beat=step.beat,
        )
        _log(step, name, done)
        return done

    done = once()
    if done.kind == "emulator":
        kept = results.with_name(f"{results.name}.lost")
        shutil.rmtree(kept, ignore_errors=True)
        results.rename(kept)
        step.warn(f"{name}: machine lost: {done}; run again; {kept}")
        done = once()
    return done


def _log(step: Step, name: str, done: Outcome) -> None:
    """What became of a machine, for the step's log."""
    step.say(f"{name}: {done.release}: {done}, {done.seconds:.1f} s, {done.results}")
    for report in done.reports:
        step.say(f"  {report.tool}: {report.title}")
    if done.lost or done.reports:
        console = (done.results / "console.log").read_text(errors="replace")
        step.say("\n".join(console.splitlines()[-CONSOLE_LINES:]))


def _complaint(name: str, done: Outcome) -> list[str]:
    """What is wrong with a machine, besides what ran there."""
    if done.kind in ("ok", "failed"):
        return []
    what = "machine lost" if done.lost else "kernel complained"
    return [f"{name}: {what}: {done}"]


def _note(done: Outcome) -> str:
    return f"Linux {done.release}"


def load(name: str) -> StepFunction:
    """Boots a guest, loads the module, asks for it, unloads it."""

    def function(step: Step) -> Count:
        argv = ["sh", "-c", LOAD]
        done = boot(step, name, argv, timeout_s=LOAD_S, purpose="load")
        if done.kind != "ok":
            raise StepFailed(f"{name}: {done}; {done.results}")
        version = (done.results / "output.log").read_text().strip()
        return Count(passed=1, note=f"multistack {version}, {_note(done)}")

    return function


def tests(
    name: str, match: str = "", long: bool = False, share: bool = False
) -> StepFunction:
    """Runs tests/kernel in a guest; long: hostile cases for minutes, not seconds;
    share: only the guest's share."""

    def function(step: Step) -> Count:
        if reason := machine.may_boot():
            return Count(skipped=[f"{name}: {reason}"])
        report = RESULTS / f"test-{name}" / "junit.xml"
        files = (*EVERYWHERE, *SHARE.get(name, ())) if share else ("",)
        argv = [PYTHON, "-m", "pytest", *["--long"] * long]
        argv += [f"tests/kernel/{file}" for file in files]
        argv += ["-v", "-p", "no:cacheprovider", f"--junitxml={report}"]
        argv += ["--durations=20"]
        if match:
            argv += ["-k", match]
        limit_s = LONG_S if long else TESTS_S
        done = boot(step, name, argv, timeout_s=limit_s, purpose="test")
        count = junit(report, f"{name}: ") if report.exists() else Count()
        count.failed += _complaint(name, done)
        if not report.exists() and not count.failed:
            raise StepFailed(f"{name}: the tests did not run: {done}")
        count.note = _note(done)
        if lines := coverage.gather(done.results, kmod.STAGES / name):
            (done.results / "coverage.txt").write_text(coverage.table(lines))
            count.note += f", {coverage.share(lines):.0f} % of the lines ran"
        return count

    return function


def demo(name: str, flags: Sequence[str], json: Path | None) -> StepFunction:
    """The demo, on the module."""

    def function(step: Step) -> Count:
        came = RESULTS / f"demo-{name}" / "demo.json"
        argv = [PYTHON, "-m", "demo", "--module", *flags]
        argv += [f"--json={came}"] if json else []
        done = boot(step, name, argv, timeout_s=DEMO_S, purpose="demo")
        if json and came.exists():
            json.write_bytes(came.read_bytes())
        if done.kind != "ok":
            raise StepFailed(f"{name}: {done}; {done.results}")
        return Count(passed=1, note=_note(done))

    return function


def module(name: str) -> StepFunction:
    """Builds the module for a guest's kernel."""

    def function(step: Step) -> Count:
        kmod.build(step, name)
        return Count(passed=1)

    return function


def load_here(step: Step) -> Count:
    """Builds the module for the running kernel and inserts it."""
    step.run(["insmod", kmod.build(step, "here")])
    version = Path("/sys/module/multistack/version").read_text().strip()
    return Count(passed=1, note=f"multistack {version}, Linux {os.uname().release}")


def plan(
    names: Sequence[str],
    match: str = "",
    long: bool = False,
    share: bool = False,
    beside: Sequence[Titled] = (),
    after: Sequence[Titled] = (),
) -> list[Titled | Together]:
    """The kernel's tests and planted bugs, two guests at a time, and beside the
    slowest what else is slow; after the other emulated ones what else boots some."""
    # The longest first, so that neither of the two ends long before the other.
    order = sorted(names, key=lambda name: -guests.GUESTS[name].slow)
    steps: list[Titled] = []
    for uml in (False, True):
        some = [name for name in order if name.startswith("uml") == uml]
        steps += [
            (f"kernel tests, {name}", tests(name, match, long, share)) for name in some
        ]
        if not match:
            steps += [
                (f"planted bugs, {name}", planted.planted(name))
                for name in some
                if name in planted.PLANTED
            ]
        if not uml:
            steps += after
    return [Together([*steps[:1], *beside, *steps[1:]])]


class Ahead:
    """Makes what the guests need in the background, while other steps run.

    The steps wait for what they need by the cache's own locks.
    """

    def __init__(self, names: Sequence[str]) -> None:
        LOGS.mkdir(parents=True, exist_ok=True)
        with (LOGS / "ahead.log").open("w") as log:
            self._process = subprocess.Popen(
                [
                    *DIE_TOGETHER,
                    "nice",
                    "-n",
                    "10",
                    sys.executable,
                    "-m",
                    "ci.inguest",
                    *names,
                ],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def __enter__(self) -> Ahead:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def main() -> int:
    """Builds the kernels, and the modules for them, of the guests named."""
    failed = 0
    for name in sys.argv[1:]:
        step = Step(f"module for {name}", LOGS / f"ahead-{name}.log", verbose=False)
        try:
            print(f"{name}: {kmod.build(step, name)}", flush=True)
        except StepFailed as e:
            print(f"{name}: {e}", flush=True)
            failed = 1
        finally:
            step.close()
    return failed


if __name__ == "__main__":
    sys.exit(main())
