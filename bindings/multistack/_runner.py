# SPDX-License-Identifier: BSD-2-Clause
"""What asyncio.Runner is from Python 3.11 on, for 3.10."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Runner:
    """Runs coroutines one after another in a loop of its own."""

    def __init__(
        self,
        *,
        debug: bool | None = None,
        loop_factory: Callable[[], asyncio.AbstractEventLoop],
    ) -> None:
        self._debug = debug
        self._make = loop_factory
        self._loop: asyncio.AbstractEventLoop | None = None

    def __enter__(self) -> Runner:
        self.get_loop()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def get_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = self._make()
            if self._debug is not None:
                self._loop.set_debug(self._debug)
        return self._loop

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Runs it in the loop and returns what it returns."""
        if not asyncio.iscoroutine(main):
            raise ValueError(f"a coroutine was expected, got {main!r}")
        loop = self.get_loop()
        asyncio.set_event_loop(loop)
        try:
            return loop.run_until_complete(main)
        finally:
            asyncio.set_event_loop(None)

    def close(self) -> None:
        """Cancels what is left, and closes the loop."""
        loop, self._loop = self._loop, None
        if loop is None:
            return
        try:
            _cancel(loop, asyncio.all_tasks(loop))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            loop.close()


def _cancel(loop: asyncio.AbstractEventLoop, tasks: set[asyncio.Task[Any]]) -> None:
    if not tasks:
        return  # gather() would ask which loop is current: none is
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    for task in tasks:
        if not task.cancelled() and task.exception() is not None:
            loop.call_exception_handler(
                {
                    "message": "unhandled exception during multistack.run() shutdown",
                    "exception": task.exception(),
                    "task": task,
                }
            )
