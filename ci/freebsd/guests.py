# SPDX-License-Identifier: BSD-2-Clause
"""The steps that need a FreeBSD: kernel-test on the module, in a guest."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from ci.freebsd import build, sets, targets
from ci.freebsd.targets import BUILDS, PACKAGED, Target
from ci.steps import BUILD, Count, Step, StepFailed, StepFunction, Titled
from ci.vm import freebsd as vm
from ci.vm import machine
from ci.vm.outcome import Outcome

RESULTS = BUILD / "vm"
SYSROOT = "MULTISTACK_FREEBSD_SYSROOT"

# Official images by release; what else MULTISTACK_FREEBSD_IMAGE names joins them.
RELEASES = ("10.4", "14.2", "15.0")
TESTS_S = 3600.0
LONG_S = 7200.0
CONSOLE_LINES = 120  # of a machine that was lost, in the step's log

_RESULT = re.compile(r"^(not )?ok(?: \d+)? - (.*?)( # SKIP)?(?: # \d+ ms)?$")


def major(release: str) -> str:
    """15 of 15.0-RELEASE-p1."""
    return release.partition(".")[0]


def target(release: str, step: Step) -> Target:
    """What to build for a release of this name. sets.Unreachable."""
    for name in PACKAGED:
        if major(name) == major(release):
            return targets.packaged(name, step)
    given = os.environ.get(SYSROOT)
    if given:
        return targets.sysroot(Path(given), step)
    return targets.sysroot(sets.ensure(release, step.say), step)


def _some(step: Step) -> Iterator[Target]:
    """For a guest that is yet to say what it is: all that can be built."""
    for name in PACKAGED:
        yield targets.packaged(name, step)
    if SYSROOT in os.environ:
        yield targets.sysroot(Path(os.environ[SYSROOT]), step)


def disc(step: Step, name: str, chosen: list[Target]) -> Path:
    """The CD's folder: for each target one of its release's name."""
    folder = BUILDS / "disc" / (name or "any")
    shutil.rmtree(folder, ignore_errors=True)
    for it in chosen:
        if not it.links:
            raise StepFailed(f"{it.about} is headers only: no kernel-test for guests")
        build(step, it)
        shutil.copytree(it.build / "payload", folder / it.name, symlinks=False)
    return folder


def chooser(chosen: list[Target]) -> Callable[[str], str]:
    """The folder for a guest that says it is so; NoShell if there is none."""

    def choose(release: str) -> str:
        if len(chosen) == 1:
            return chosen[0].name
        for it in chosen:
            if major(it.name) == major(release):
                return it.name
        said = f"FreeBSD {release}" if release else "of a release it cannot tell"
        raise vm.NoShell(
            f"the guest is {said}, and there is no module for that: name it, as "
            f"10.4=/path/to/disk.img, and give {SYSROOT}"
        )

    return choose


def tap(text: str, before: str) -> Count:
    """Counts TAP; a console may have put the kernel's words in between."""
    count = Count()
    said = ""
    for line in text.splitlines():
        match = _RESULT.match(line.strip())
        if line.startswith("# skip: "):
            said = line.removeprefix("# skip: ").strip()
        if not match:
            continue
        name = f"{before}{match[2]}"
        if match[1]:
            count.failed.append(name)
        elif match[3]:
            count.skipped.append(f"{name}: {said or 'no reason given'}")
        else:
            count.passed += 1
    return count


def planned(text: str) -> int | None:
    """How many results were announced."""
    found = re.search(r"^1\.\.(\d+)", text, re.MULTILINE)
    return int(found[1]) if found else None


def counted(name: str, done: Outcome) -> Count:
    """The results of a run, and what became of the machine."""
    text = (done.results / "output.log").read_text(errors="replace")
    count = tap(text, f"{name}: ")
    wanted = planned(text)
    came = count.passed + len(count.failed) + len(count.skipped)
    if done.kind not in ("ok", "failed"):
        what = "machine lost" if done.lost else "kernel complained"
        count.failed.append(f"{name}: {what}: {done}")
    elif wanted is None or came < wanted:
        count.failed.append(f"{name}: {came} results of {wanted} came: {done}")
    elif done.status and not count.failed:
        count.failed.append(f"{name}: {done}")
    count.note = f"FreeBSD {done.release}"
    return count


def _image(release: str, step: Step) -> Path:
    given = vm.images()
    if release in given:
        if not given[release].exists():
            raise StepFailed(f"{vm.IMAGE}: there is no {given[release]}")
        return given[release]
    return sets.image(release, step.say)


def tests(release: str, match: str = "", long: bool = False) -> StepFunction:
    """kernel-test in a guest; release "": of the image that came without one."""
    name = f"freebsd-{release}" if release else "freebsd"

    def function(step: Step) -> Count:
        if reason := machine.may_boot():
            return Count(skipped=[f"{name}: {reason}"])
        try:
            image = _image(release, step)
            chosen = [target(release, step)] if release else [*_some(step)]
        except sets.Unreachable as e:
            return Count(skipped=[f"{name}: no image or no headers: {e}; {vm.ENABLE}"])
        folder = disc(step, release, chosen)
        script = ["run.sh", *(["-t", "60"] if long else [])]
        if match:
            script.append(f"'{match}'")
        results = RESULTS / f"test-{name}"
        shutil.rmtree(results, ignore_errors=True)
        try:
            done = vm.run(
                image,
                folder,
                chooser(chosen),
                results=results,
                script=" ".join(script),
                timeout_s=LONG_S if long else TESTS_S,
                output=step.feed,
                beat=step.beat,
            )
        except vm.NoShell as e:
            raise StepFailed(f"{name}: {e}; {results}") from None
        step.say(f"{name}: {done.release}: {done}, {done.seconds:.1f} s, {results}")
        return counted(name, done)

    return function


def plan(match: str = "", long: bool = False, only: str = "") -> list[Titled]:
    """A row for each release, and for each image that was given besides.

    only: "freebsd", or "freebsd-10.4".
    """
    names = [*RELEASES, *(r for r in vm.images() if r not in RELEASES)]
    wanted = only.partition("-")[2]
    if wanted:
        names = [wanted]
    return [
        (f"kernel tests, freebsd{'-' * bool(n)}{n}", tests(n, match, long))
        for n in names
    ]
