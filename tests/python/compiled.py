# SPDX-License-Identifier: BSD-2-Clause
"""The compiled part of the event loop without a stack under it, for tests, beside
asyncio's own loop; and what callbacks do there."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable
from typing import Any

from multistack._fast import Scheduler
from multistack.loop import EventLoop


class Compiled(Scheduler, asyncio.SelectorEventLoop):
    """EventLoop without its stack."""

    _callback_failed = EventLoop._callback_failed


LOOPS = {"asyncio": asyncio.SelectorEventLoop, "compiled": Compiled}


def iterate(loop: Any) -> None:
    """One iteration, run as all are."""
    loop.stop()
    loop.run_forever()


def told(loop: Any) -> list[dict[str, Any]]:
    """What the exception handler is told."""
    contexts: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: contexts.append(context))
    return contexts


def nothing(*args: Any) -> None:
    pass


class Refused(Exception):
    pass


def refuse(*args: Any) -> None:
    raise Refused(*args)


def blocks(body: Callable[[], None]) -> int:
    """How many blocks of memory a thousand rounds leave, at the least."""
    found = []
    for _ in range(4):
        body()
        gc.collect()
        before = sys.getallocatedblocks()
        for _ in range(1000):
            body()
        gc.collect()
        found.append(sys.getallocatedblocks() - before)
    return min(found)
