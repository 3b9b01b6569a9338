# SPDX-License-Identifier: BSD-2-Clause
"""FreeBSD from here: the module, the library and the programs, cross-built.

Nothing is loaded: what can be known without a FreeBSD is proved of each object
(proofs.py). ci/vm/freebsd.py runs them where there is an image.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from ci.freebsd import module, programs, proofs, sets, targets
from ci.freebsd.targets import PACKAGED, Target
from ci.steps import Count, Step, StepFailed, StepFunction, Titled

Chosen = Callable[[Step], Target]


def build(step: Step, target: Target) -> Count:
    """All of one FreeBSD, proved."""
    step.say(f"FreeBSD {target.name} ({target.version}), by {target.about}")
    shutil.rmtree(target.build / "payload", ignore_errors=True)
    count = Count(note=f"{target.version}, {target.about}")
    for variant in target.variants:
        objects = module.compile_all(step, target, variant)
        proofs.only_the_seam(objects.files)
        for obj in objects.files:
            proofs.vector_registers(step, obj)
        ko = module.link(step, target, variant, objects)
        count.passed += len(objects.files)
        count.passed += proofs.module(step, target, ko, objects.declarations)
    if not target.links:
        count.skipped.append(f"no programs: {target.about} has no usr/lib/crt1.o")
        return count
    folder = programs.payload(target, programs.build(step, target))
    count.passed += programs.prove(target, folder)
    return count


def _step(choose: Chosen) -> StepFunction:
    def function(step: Step) -> Count:
        return build(step, choose(step))

    return function


def _packaged(name: str) -> Chosen:
    return lambda step: targets.packaged(name, step)


def _release(name: str) -> Chosen:
    def choose(step: Step) -> Target:
        try:
            return targets.sysroot(sets.ensure(name, step.say), step)
        except sets.Unreachable as e:
            raise StepFailed(str(e)) from None

    return choose


def plan(sysroot: str = "", release: str = "") -> list[Titled]:
    """The steps of `inv build --os freebsd`.

    sysroot: a folder with a release's files; release: "10.4", to be fetched;
    without either, those whose headers the PyPI packages have.
    """
    if sysroot:
        root = Path(sysroot)
        return [("FreeBSD of a sysroot", _step(lambda s: targets.sysroot(root, s)))]
    if release:
        return [(f"FreeBSD {release}", _step(_release(release)))]
    return STEPS


STEPS: list[Titled] = [(f"FreeBSD {name}", _step(_packaged(name))) for name in PACKAGED]
