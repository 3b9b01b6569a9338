# SPDX-License-Identifier: BSD-2-Clause
"""A stack on a port of the switch, as an event loop uses it: one call a turn."""

from __future__ import annotations

import collections
import contextlib
import errno
import math
import os
import socket
import weakref
from collections.abc import Callable
from ctypes import addressof, c_char, c_uint32, c_void_p, cast, sizeof
from typing import Any

from multistack import _abi, _addr, _ffi, _types, _utcp
from multistack._fast import Told
from multistack._utcp import MSBATCH_SLEEP, UTCP_NEVER

FD_BASE = 1 << 30  # numbers of our sockets; the host's are smaller
_MAX_EVENTS = 4096
LINGER_MS = 1000
WRITE_BYTES = 1 << 18  # of one connection in a turn


def device_of(device: str | None) -> str:
    named = os.environ.get("MULTISTACK_DEVICE") if device is None else device
    if not named:
        raise RuntimeError(
            'no device: name one (device="daemon:eth0", "xdp:eth0", '
            '"tap:ms0,local=10.9.0.2/24,host=10.9.0.1") or set $MULTISTACK_DEVICE'
        )
    return named


# After fork() they are the parent's alone: their ports are not in the child.
_stacks: weakref.WeakSet[Stack] = weakref.WeakSet()


def _forget() -> None:
    for stack in list(_stacks):
        stack.batch = stack.link = stack.utcp = 0
        stack.told.close()
        stack.endpoints.clear()
        stack.dirty.clear()


os.register_at_fork(after_in_child=_forget)


class Stack:
    """A link and its batch. What is not a method here asks the library by the
    pointers: batch, link, utcp."""

    def __init__(self, device: str, *, label: str = "") -> None:
        self.device = device
        opt = _utcp.LinkOptions(
            size=sizeof(_utcp.LinkOptions), label=_types.text(label, 16, "label")
        )
        link, batch = c_void_p(), c_void_p()
        self.link = self.batch = self.utcp = 0
        _utcp.mslink_open(link, os.fsencode(device), opt, _abi.Error())
        self.link = link.value or 0
        try:
            _utcp.msbatch_create(batch, self.link, 0, _MAX_EVENTS)
        except BaseException:
            _utcp.mslink_close(self.link)
            raise
        self.batch = batch.value or 0
        self.utcp = int(_utcp.mslink_stack(self.link))
        self._view = _utcp.msbatch_view(self.batch).contents
        arena = (c_char * self._view.arena_bytes).from_address(self._view.arena)
        self.arena = memoryview(arena).cast("B")
        # A turn, and what the last one has brought.
        turn = cast(_utcp.msbatch_turn, c_void_p).value
        self.told = Told(self.batch, addressof(self._view), turn)
        self._where()
        _stacks.add(self)
        # By number: transports, listeners, sockets.
        self.endpoints: dict[int, Any] = {}
        self.hot: set[int] = set()  # the selector's, by descriptor
        self.dirty: list[Any] = []  # transports with something to send
        self.cmds: list[int] = []  # four to a command
        self.chunks: list[bytes] = []  # what those write
        self.watched: list[Any] = []  # transports that want to know when it is sent
        # Of commands: (endpoint, which, errno, what was not taken), not yet told.
        self.answers: list[tuple[Any, int, int, bytes]] = []
        # How many of our sockets take what comes to a port, at any address.
        self.wildcards: collections.Counter[tuple[str, int]] = collections.Counter()
        self._lent: dict[int, tuple[Any, bytes, Callable[[int], None]]] = {}
        self._done = _utcp.DONE(self._give_back)
        self._routes: dict[bytes, bool] = {}
        self._routes_gen = -1
        self._sources: set[int] = set()  # families that have one

    def _where(self) -> None:
        port = _utcp.mslink_port(self.link)
        info = _ffi.msport_info(port).contents
        self.nic = bytes(info.nic).decode()
        self.private = not info.features & _abi.MS_FEATURE_HOST
        region = addressof(_ffi.msport_region(port).contents)
        self._gen = c_uint32.from_address(region + _abi.Region.route_gen.offset)

    # ---- a turn -----------------------------------------------------------------

    def turn(self, sleep: bool) -> float:
        """Sends what is to be sent, takes what came: `told` has it. The most
        seconds that the loop may sleep."""
        n = self.told.turn(
            self.dirty,
            self.cmds,
            self.chunks,
            self.watched,
            self.answers,
            self.endpoints,
            WRITE_BYTES,
            MSBATCH_SLEEP * sleep,
        )
        timeout = 0.0
        if n < 0:
            self._failed(n)
        elif sleep and not n:
            timeout = self.sleep_s()
        if self.answers or self.watched:
            self.settle()
        return timeout

    def settle(self) -> None:
        """Tells who gave commands, before anybody writes more, what came of them. Who
        is interrupted meanwhile is told again."""
        while self.answers:
            t, op, error, left = self.answers[0]
            t._answer(op, error, left)
            del self.answers[0]
        while self.watched:
            self.watched[0]._sent()
            del self.watched[0]

    def sleep_s(self) -> float:
        """As the last turn said; infinity: until something comes."""
        ns = self._view.timeout_ns
        return math.inf if ns == UTCP_NEVER else ns / 1e9

    def unclaimed(self, id_: int) -> None:
        """Of a connection whose listener has closed meanwhile."""
        self.command(id_, _utcp.MSBATCH_ABORT)

    def _failed(self, code: int) -> None:
        """The interface or the daemon is gone: to have it back is tried at each
        turn; connections live as long as their peers have patience."""
        if code in (-errno.ENETDOWN, -errno.ECONNRESET, -errno.EBADMSG):
            self.lost = True
            return
        if not self.batch:
            raise RuntimeError("this loop's stack is closed, or another process's")
        raise OSError(-code, os.strerror(-code))

    lost = False

    def reopen(self) -> bool:
        """After a loss; whether the port is there again."""
        try:
            _utcp.msbatch_reopen(self.batch)
        except OSError:
            return False
        self.lost = False
        self._where()
        return True

    def command(self, id_: int, op: int, arg: int = 0) -> None:
        self.cmds += (id_, op, 0, arg)

    # ---- large writes ------------------------------------------------------------

    def lend(self, sock: int, data: bytes, told: Callable[[int], None]) -> None:
        """Has a connection send `data` from where it lies; told(its bytes) when
        the peer has it, or the connection has ended. OSError: it has."""
        buf = _utcp.Buf(len=len(data), done=self._done)
        buf.data = cast(data, c_void_p).value  # type: ignore[arg-type]
        at = addressof(buf)
        self._lent[at] = (buf, data, told)
        try:
            _utcp.utcp_send(sock, buf, 0)
        except OSError:
            del self._lent[at]
            raise

    def _give_back(self, buf: Any, _status: int) -> None:
        _, data, told = self._lent.pop(addressof(buf.contents))
        told(len(data))

    # ---- whose an address is ------------------------------------------------------

    def takes(self, packed: bytes) -> bool:
        """Whether this stack is where a socket of this address is bound."""
        host = _addr.unpack(packed, 0)[0].removeprefix("::ffff:")
        if host in _addr.WILDCARDS:
            return True
        if self.private:
            route = _types.sized(_abi.CmdRoute)
            route.dst = _abi.Tuple.from_buffer_copy(packed)
            try:
                _ffi.msport_route(_utcp.mslink_port(self.link), route)
            except OSError:
                return False
            return bool(route.state == _abi.MS_ROUTE_LOCAL)
        if self.nic == "lo" and _addr.is_loopback(host):
            return True
        return host in _addr.of_interface(self.nic)

    def reaches(self, packed: bytes, kind: str) -> bool:
        """Whether what goes to this peer goes by this stack; kind: "tcp", "udp"."""
        host, port = _addr.unpack(packed, 0)[:2]
        host = host.removeprefix("::ffff:")
        if _addr.is_loopback(host) and self.nic != "lo":
            return (kind, port) in self.wildcards
        if self.lost:  # what it was in is gone
            return self._by_us(packed, host)
        gen = self._gen.value
        if gen != self._routes_gen or len(self._routes) > 4096:
            self._routes.clear()
            self._routes_gen = gen
        known = self._routes.get(packed)
        if known is None:
            known = self._routes[packed] = self._by_us(packed, host)
        return known

    def _by_us(self, packed: bytes, host: str) -> bool:
        ours = _addr.of_interface(self.nic)
        if self.private and not ours:
            return True  # a wire that the host has no end of
        if host in _addr.WILDCARDS or self.takes(packed):
            return True
        source = _addr.host_source(packed)
        return source in ours or bool(
            source and self.nic == "lo" and _addr.is_loopback(source)
        )

    def find_source(self, packed: bytes) -> None:
        """Before the first datagram from no address in particular: the stack is
        told its own on the way to this peer. (To connect by the link does it.)"""
        family = packed[-1]
        if self.private or family in self._sources:
            return
        source = _addr.host_source(packed)
        if source not in _addr.of_interface(self.nic) or _addr.is_loopback(source):
            return
        self._sources.add(family)
        number = socket.AF_INET if family == 4 else socket.AF_INET6
        with contextlib.suppress(FileExistsError):
            own = _addr.as_c(_addr.pack((source, 0), number))
            _utcp.utcp_address(self.utcp, own, 1)

    # ---- the end --------------------------------------------------------------------

    def close(self, linger_ms: int = LINGER_MS) -> None:
        """Ends all sockets; what was written has so long to arrive."""
        if not self.link:
            return
        self.turn(False)
        self.arena.release()
        self.told.close()
        _utcp.msbatch_destroy(self.batch)
        if not self.lost:
            _utcp.mslink_linger(self.link, linger_ms)
        _utcp.mslink_close(self.link)
        self.batch = self.link = self.utcp = 0
