# SPDX-License-Identifier: BSD-2-Clause
"""The loop's selector: the host's descriptors, our sockets, and the stack's turn."""

from __future__ import annotations

import math
import selectors
import time
from collections.abc import Iterator, Mapping
from typing import Any

from multistack import _utcp
from multistack._stack import FD_BASE, Stack
from multistack._utcp import UTCP_ERR, UTCP_HUP, UTCP_IN, UTCP_OUT, UTCP_RDHUP

_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
_RETRY_S = 0.2  # between tries to have a lost device back
_Ready = list[tuple[selectors.SelectorKey, int]]


class _Map(Mapping[Any, selectors.SelectorKey]):
    """Both kinds of descriptors, as a selector's get_map() has them."""

    def __init__(self, selector: Selector) -> None:
        self._selector = selector

    def __len__(self) -> int:
        s = self._selector
        return len(s._keys) + len(s._host.get_map()) - s._hidden

    def __getitem__(self, fileobj: Any) -> selectors.SelectorKey:
        return self._selector.get_key(fileobj)

    def __iter__(self) -> Iterator[Any]:
        yield from self._selector._keys
        for fd, key in self._selector._host.get_map().items():
            if key.data is not self._selector:
                yield fd


class Selector(selectors.BaseSelector):
    """Asked by asyncio once an iteration. Our sockets tell edges; here they
    become levels: a socket that was told stands in `hot` as long as it is ready.
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._host = selectors.DefaultSelector()
        self._keys: dict[int, selectors.SelectorKey] = {}
        self.hot = stack.hot
        self._hidden = 0
        self._link_fd = -1
        self._retry_at = 0.0
        self._watch_link()

    def _watch_link(self) -> None:
        self._link_fd = _utcp.mslink_fd(self._stack.link)
        self._host.register(self._link_fd, _READ, self)
        self._hidden = 1

    # ---- descriptors ------------------------------------------------------------

    @staticmethod
    def _fd(fileobj: Any) -> int:
        if isinstance(fileobj, int):
            return fileobj
        try:
            return int(fileobj.fileno())
        except (AttributeError, TypeError, ValueError):
            raise ValueError(f"Invalid file object: {fileobj!r}") from None

    def register(
        self, fileobj: Any, events: int, data: Any = None
    ) -> selectors.SelectorKey:
        fd = self._fd(fileobj)
        if fd < FD_BASE:
            return self._host.register(fileobj, events, data)
        if not events or events & ~(_READ | _WRITE):
            raise ValueError(f"Invalid events: {events!r}")
        if fd in self._keys:
            raise KeyError(f"{fileobj!r} (FD {fd}) is already registered")
        if fd - FD_BASE not in self._stack.endpoints:
            raise ValueError(f"Invalid file object: {fileobj!r}")
        key = self._keys[fd] = selectors.SelectorKey(fileobj, fd, events, data)
        self.hot.add(fd)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        fd = self._fd(fileobj)
        if fd < FD_BASE:
            return self._host.unregister(fileobj)
        try:
            return self._keys.pop(fd)
        except KeyError:
            raise KeyError(f"{fileobj!r} is not registered") from None

    def modify(
        self, fileobj: Any, events: int, data: Any = None
    ) -> selectors.SelectorKey:
        fd = self._fd(fileobj)
        if fd < FD_BASE:
            return self._host.modify(fileobj, events, data)
        self.unregister(fd)
        return self.register(fileobj, events, data)

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        fd = self._fd(fileobj)
        if fd < FD_BASE:
            return self._host.get_key(fileobj)
        try:
            return self._keys[fd]
        except KeyError:
            raise KeyError(f"{fileobj!r} is not registered") from None

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return _Map(self)

    def close(self) -> None:
        self._host.close()
        self._keys.clear()

    # ---- waiting ------------------------------------------------------------------

    def select(self, timeout: float | None = None) -> _Ready:
        """The host's descriptors that are ready and our sockets; the stack's
        own events are left in its `told` for the loop."""
        stack = self._stack
        if stack.told.left:
            # Of the last turn some are left: a callback raised SystemExit, or the
            # turn was interrupted.
            stack.settle()
            return self._poll_host(0.0)
        if stack.lost:
            self._come_back()
        sleep = not self.hot and (timeout is None or timeout > 0)
        most = stack.turn(sleep)
        ready = self._levels() if self.hot else []
        if stack.told.left or ready or not sleep or stack.dirty or stack.cmds:
            return ready + self._poll_host(0.0)
        if stack.lost:
            most = _RETRY_S
        if timeout is None or most < timeout:
            timeout = None if most == math.inf else most
        ready = self._poll_host(timeout)
        stack.turn(False)
        return ready + self._levels() if self.hot else ready

    def flush(self) -> None:
        """A turn outside of an iteration; what it brings waits for the next."""
        self._stack.turn(False)

    def _poll_host(self, timeout: float | None) -> _Ready:
        ready = self._host.select(timeout)
        for i, (key, _) in enumerate(ready):
            if key.data is self:
                del ready[i]
                break
        return ready

    def _levels(self) -> _Ready:
        ready: _Ready = []
        for fd in tuple(self.hot):
            key = self._keys.get(fd)
            endpoint = self._stack.endpoints.get(fd - FD_BASE)
            if key is None or endpoint is None:
                self.hot.discard(fd)
                continue
            level = endpoint.poll()
            mask = 0
            if level & (UTCP_IN | UTCP_RDHUP | UTCP_ERR | UTCP_HUP):
                mask |= _READ
            if level & (UTCP_OUT | UTCP_ERR | UTCP_HUP):
                mask |= _WRITE
            mask &= key.events
            if mask:
                ready.append((key, mask))
            else:
                self.hot.discard(fd)
        return ready

    def _come_back(self) -> None:
        now = time.monotonic()
        if self._hidden:
            self._host.unregister(self._link_fd)
            self._hidden = 0
        if now >= self._retry_at:
            self._retry_at = now + _RETRY_S
            if self._stack.reopen():
                self._watch_link()
