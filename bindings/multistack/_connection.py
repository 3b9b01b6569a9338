# SPDX-License-Identifier: BSD-2-Clause
"""What a port and a control connection have in common: a library handle, and
the commands that need no rings."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from ctypes import byref
from typing import Any

from multistack import _abi, _ffi, _types
from multistack._types import (
    Feature,
    Nic,
    PortEntry,
    SwitchInfo,
    TupleEntry,
)


class Handle:
    """A msport_t that lives until its last user lets go: a call in another
    thread, or a view of a frame that outlived its batch, never meets freed
    memory."""

    __slots__ = ("_closed", "_lock", "_ptr", "_users")

    def __init__(self, ptr: int) -> None:
        self._ptr = ptr
        self._users = 1
        self._closed = False
        self._lock = threading.RLock()  # a finalizer may come in between

    def __enter__(self) -> int:
        with self._lock:
            if self._closed:
                raise ValueError("the port is closed")
            self._users += 1
            return self._ptr

    def __exit__(self, *exc: object) -> None:
        self.put()

    def put(self) -> None:
        with self._lock:
            self._users -= 1
            last = self._users == 0
        if last:
            _ffi.msport_close(self._ptr)

    def close(self) -> bool:
        """Whether this was the call that closed it."""
        with self._lock:
            if self._closed:
                return False
            self._closed = True
        self.put()
        return True

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def users(self) -> int:
        return self._users


class Connection:
    """What ports and control connections have in common."""

    def __init__(self, device: str) -> None:
        self.device = device
        self._handle: Handle | None = None

    def _ready(self) -> Handle:
        if self._handle is None:
            raise ValueError("the port is closed")
        return self._handle

    @property
    def closed(self) -> bool:
        return self._handle is None or self._handle.closed

    def close(self) -> None:
        """Gives everything back. Repeating it is fine. If another thread is
        in a call on this port, that ends when the call does."""
        if self._handle is not None:
            self._handle.close()

    def __del__(self) -> None:
        if getattr(self, "_handle", None) is not None and not self.closed:
            warnings.warn(
                f"unclosed {self!r}", ResourceWarning, stacklevel=2, source=self
            )
            self.close()

    def __repr__(self) -> str:
        state = " closed" if self.closed else ""
        return f"<multistack.{type(self).__name__} {self.device!r}{state}>"

    def info(self) -> SwitchInfo:
        """The switch as a whole."""
        arg = _types.sized(_abi.CmdInfo)
        self._command(_abi.MS_CMD_INFO, arg)
        return SwitchInfo(
            arg.abi, Feature(arg.features), arg.num_nics, arg.num_ports, arg.num_tuples
        )

    def stats(self, *, nic: str = "", port_id: int = 0) -> dict[str, int]:
        """Counters by name (`counter_texts()` says what they mean).

        Of this port; of an interface; or of another port, which PermissionError
        refuses unless it is the same user's or the caller is the administrator.
        """
        arg = _types.sized(
            _abi.CmdStats, nic=_types.text(nic, _abi.MS_IFNAME_BYTES, "interface")
        )
        arg.port_id = port_id
        with self._ready() as h:
            _ffi.msport_stats(h, arg)
        num = min(arg.num, _abi.MS_CTR_MAX)
        return {c.name.lower(): arg.counter[c] for c in _abi.Counter if c < num}

    def list_nics(self) -> list[Nic]:
        """Attached interfaces."""
        return [
            Nic(
                name=e.nic.decode(),
                kind=e.label.decode(errors="replace"),
                mac=bytes(e.mac),
                mtu=e.mtu,
                vlan=e.vlan,
                queues=e.tx_rings,
                ports=e.num,
                features=Feature(e.features),
            )
            for e in self._list(_abi.MS_LIST_NICS)
        ]

    def list_ports(self) -> list[PortEntry]:
        """Open ports of all users."""
        return [
            PortEntry(
                id=e.port_id,
                nic=e.nic.decode(),
                label=e.label.decode(errors="replace"),
                uid=e.uid,
                pid=e.pid,
                tuples=e.num,
                tx_rings=e.tx_rings,
                rx_rings=e.rx_rings,
                slots=e.slots,
            )
            for e in self._list(_abi.MS_LIST_PORTS)
        ]

    def list_tuples(self) -> list[TupleEntry]:
        """Claimed tuples of all users."""
        return [
            TupleEntry(
                tuple=_types.tuple_out(e.tuple),
                port_id=e.port_id,
                nic=e.nic.decode(),
                uid=e.uid,
                pid=e.pid,
            )
            for e in self._list(_abi.MS_LIST_TUPLES)
        ]

    def _command(self, cmd: int, arg: Any) -> None:
        with self._ready() as h:
            _ffi.msport_command(h, cmd, byref(arg))

    def _list(self, what: int) -> Iterator[Any]:
        cursor = 0
        while True:
            arg = _types.sized(_abi.CmdList, what=what, cursor=cursor)
            try:
                self._command(_abi.MS_CMD_LIST, arg)
            except FileNotFoundError:
                return
            cursor = arg.cursor
            yield arg
