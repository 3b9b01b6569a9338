# SPDX-License-Identifier: BSD-2-Clause
"""Python 3.10's Runner of ours is asyncio's of later Pythons."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from multistack import _runner

RUNNERS = {"ours": _runner.Runner}
if hasattr(asyncio, "Runner"):
    RUNNERS["asyncio"] = asyncio.Runner


@pytest.mark.parametrize("name", RUNNERS)
def test_a_runner_runs_what_it_is_given_and_ends_the_rest(name: str) -> None:
    ended: list[str] = []
    tasks: list[Any] = []

    async def left() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("left")

    async def main(n: int) -> Any:
        tasks.append(asyncio.create_task(left()))
        await asyncio.sleep(0)
        return n, asyncio.get_running_loop()

    runner = RUNNERS[name](debug=True, loop_factory=asyncio.SelectorEventLoop)
    with runner:
        loop = runner.get_loop()
        assert loop.get_debug()
        assert [runner.run(main(n)) for n in range(2)] == [(0, loop), (1, loop)]
        assert ended == []
    assert ended == ["left", "left"] and loop.is_closed()
    runner.close()


@pytest.mark.parametrize("name", RUNNERS)
def test_a_runner_with_nothing_left_ends(name: str) -> None:
    with RUNNERS[name](loop_factory=asyncio.SelectorEventLoop) as runner:
        assert runner.run(asyncio.sleep(0, "slept")) == "slept"


@pytest.mark.parametrize("name", RUNNERS)
def test_what_fails_when_it_is_ended_is_reported(name: str) -> None:
    told: list[Any] = []
    tasks: list[Any] = []

    async def left() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise KeyError("at the end")

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, c: told.append(c))
        tasks.append(asyncio.create_task(left()))
        await asyncio.sleep(0)

    with RUNNERS[name](loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(main())
    assert [(repr(c["exception"]), c["task"]) for c in told] == [
        ("KeyError('at the end')", tasks[0])
    ]
