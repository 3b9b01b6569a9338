# SPDX-License-Identifier: BSD-2-Clause
"""A stack lives on while its loop does not run.

Between two run_until_complete() a host's sockets go on: connections are taken,
data is acknowledged. A thread does it for a stack of ours; it sleeps while the
loop runs. No two threads are in the library at once, as its calls keep the
interpreter's lock.
"""

from __future__ import annotations

import select
import threading

from multistack import _utcp
from multistack._stack import Stack

_MOST_S = 0.1


class Keeper:
    """Of one stack; the thread is made when it is first needed."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._awake = threading.Event()
        self._thread: threading.Thread | None = None
        self._closed = False

    def start(self) -> None:
        """The loop has stopped."""
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name="multistack-keeper", daemon=True
            )
            self._thread.start()
        self._awake.set()

    def stop(self) -> None:
        """The loop goes on."""
        self._awake.clear()

    def close(self) -> None:
        self._closed = True
        self._awake.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while True:
            self._awake.wait()
            stack = self._stack
            if self._closed:
                return
            if _utcp.msbatch_keep(stack.batch) < 0:
                self._awake.clear()  # the loop finds out
                continue
            timeout = min(stack.sleep_s(), _MOST_S)
            if timeout:
                select.select([_utcp.mslink_fd(stack.link)], [], [], timeout)
