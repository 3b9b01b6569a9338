# SPDX-License-Identifier: BSD-2-Clause
"""Ports of the MultiStack switch: open, bind, frames in and out in batches.

    with Port("daemon:eth0") as port:
        port.bind("10.0.0.1", 7000, "udp")
        while port.wait():
            with port.recv_batch() as frames:
                port.send_batch([answer(f) for f in frames])

Frames are whole Ethernet frames without FCS. Errors of the switch are OSError
with its own words, in the subclass that belongs to the errno (PermissionError,
ConnectionRefusedError, ...). What the calls promise in detail stands in
lib/include/multistack/port.h, what the fields mean in sys/multistack.h.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import struct
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from ctypes import (
    Array,
    addressof,
    c_uint8,
    c_uint32,
    c_void_p,
    create_string_buffer,
    string_at,
)
from types import TracebackType
from typing import Any, Literal

from multistack import _abi, _ffi, _types
from multistack._connection import Connection, Handle
from multistack._types import (
    Feature,
    Frame,
    Meta,
    Route,
    RouteState,
    Tuple,
)

_VIEW = struct.Struct(_abi.VIEW_FORMAT)
_PLAIN = Meta(gso_type=0)
_REFUSED = {
    "": 0,
    "also": _abi.MS_TAP_REFUSED,
    "only": _abi.MS_TAP_REFUSED | _abi.MS_TAP_NO_OTHERS,
}


class Control(Connection):
    """A connection to the switch without a port, for administrators:
    `Control("daemon:")`, `Control("daemon@/path:")`."""

    def __init__(self, device: str = "daemon:") -> None:
        super().__init__(device)
        ptr = c_void_p()
        _ffi.msport_control(ptr, os.fsencode(device), _abi.Error())
        self._handle = Handle(ptr.value or 0)

    def __enter__(self) -> Control:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def attach(
        self,
        nic: str,
        kind: str = "",
        *,
        options: Mapping[str, object] | None = None,
        vlan: int = 0,
        queues: int = 0,
        generic: bool = False,
    ) -> None:
        """Puts the switch on an interface.

        kind: "" takes the best; "xdp", "tc", "tap", "pair". queues: 0 takes as
        many as the interface has. generic: slow XDP even if the driver has its
        own. FileExistsError: attached already; OSError ENODEV: no such
        interface; PermissionError: names the capability that is missing.
        """
        flags = _abi.MS_ATTACH_GENERIC if generic else 0
        self._command(
            _abi.MS_CMD_ATTACH,
            _types.attach_arg(nic, kind, options or {}, vlan, queues, flags),
        )

    def detach(self, nic: str, *, force: bool = False) -> None:
        """Takes the switch from an interface. OSError EBUSY: ports are open
        on it, and not force."""
        flags = _abi.MS_ATTACH_FORCE if force else 0
        self._command(_abi.MS_CMD_DETACH, _types.attach_arg(nic, "", {}, 0, 0, flags))


class Port(Connection):
    """One port: its rings, and the tuples that it claims.

    device: "eth0" (the kernel module, else multistackd), "daemon:eth0",
    "daemon@/path:eth0", or in process "xdp:eth0", "tc:lo", "tap:ms0,...",
    "pair:p0,...". In process nothing moves while no thread makes a call on a
    ring. tx_rings, rx_rings: each to be used by one thread at a time. slots: in
    each ring, rounded up to a power of two. buf_bytes: of a slot's buffer.

    Errors: OSError ENODEV (no such interface), ConnectionRefusedError (no
    daemon), OSError EPROTO (daemon of another ABI), PermissionError, OSError
    EMFILE and ENOMEM.

    After fork() the port is the parent's alone.
    """

    def __init__(
        self,
        device: str,
        *,
        tx_rings: int = 1,
        rx_rings: int = 1,
        slots: int = 512,
        buf_bytes: int = 2048,
        label: str = "",
    ) -> None:
        super().__init__(device)
        opt = _abi.Options(
            tx_rings=_types.uint(tx_rings, 16, "tx_rings"),
            rx_rings=_types.uint(rx_rings, 16, "rx_rings"),
            slots=_types.uint(slots, 32, "slots"),
            buf_bytes=_types.uint(buf_bytes, 32, "buf_bytes"),
            label=_types.text(label, 16, "label"),
        )
        ptr = c_void_p()
        _ffi.msport_open(ptr, os.fsencode(device), opt, _abi.Error())
        self._handle = Handle(ptr.value or 0)
        self._held: set[int] = set()  # receive rings with an open batch
        self._rx: dict[tuple[int, int], Array[_abi.View]] = {}
        self._tx: dict[int, Array[_abi.View]] = {}
        self._one: dict[int, Any] = {}
        self._map()

    def _map(self) -> None:
        """Takes what the library says of the port as it is now."""
        with self._ready() as h:
            self._info = _abi.CmdPortCreate.from_buffer_copy(
                _ffi.msport_info(h).contents
            )
            region = _ffi.msport_region(h).contents
            self._route_gen = c_uint32.from_address(
                addressof(region) + _abi.Region.route_gen.offset
            )
            self._base = addressof(region)
            self._bytes = region.bytes
            self._slots = region.slots
            self._buf_bytes = region.buf_bytes
            self._rings = (region.tx_rings, region.rx_rings)
        self._mem = self._exporter()[1]

    def _exporter(self) -> tuple[Any, memoryview]:
        area = (c_uint8 * self._bytes).from_address(self._base)
        return area, memoryview(area).cast("B")

    def __enter__(self) -> Port:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Unbinds everything and gives the rings back. Repeating it is fine.
        If another thread is in a call on this port, that ends when the call
        does."""
        super().close()

    # ---- what it is ---------------------------------------------------------

    @property
    def id(self) -> int:
        """The switch's number for this port."""
        return int(self._info.port_id)

    @property
    def nic(self) -> str:
        return bytes(self._info.nic).decode()

    @property
    def mac(self) -> bytes:
        """6 bytes: what every sent frame must have as its source."""
        return bytes(self._info.mac)

    @property
    def mtu(self) -> int:
        """Bytes of IP, as of when the port was opened; routes have today's."""
        return int(self._info.mtu)

    @property
    def vlan(self) -> int:
        """The attachment's VLAN, 0 for none."""
        return int(self._info.vlan)

    @property
    def features(self) -> Feature:
        return Feature(self._info.features)

    @property
    def tx_rings(self) -> int:
        return int(self._rings[0])

    @property
    def rx_rings(self) -> int:
        return int(self._rings[1])

    @property
    def slots(self) -> int:
        """In each ring."""
        return int(self._slots)

    @property
    def buf_bytes(self) -> int:
        return int(self._buf_bytes)

    @property
    def route_gen(self) -> int:
        """Moves when routes, neighbours, MTU or addresses changed."""
        with self._ready():
            return int(self._route_gen.value)

    # ---- names ---------------------------------------------------------------

    def bind(self, addr: str, port: int = 0, proto: str | int = "udp") -> Tuple:
        """Claims a tuple; port 0 asks for an ephemeral one. Returns it as bound.

        A number of a protocol that has no ports claims
        all of it, with port 0. OSError EADDRINUSE (says who has it),
        PermissionError (port below ip_unprivileged_port_start, or a whole
        protocol, without the privilege), OSError EADDRNOTAVAIL (not an address
        of this host).
        """
        arg = _types.tuple_in(addr, port, proto)
        with self._ready() as h:
            _ffi.msport_bind(h, arg)
        return _types.tuple_out(arg)

    def unbind(self, addr: str, port: int = 0, proto: str | int = "udp") -> None:
        """Gives a tuple back. FileNotFoundError: nobody has it; PermissionError:
        another port has."""
        with self._ready() as h:
            _ffi.msport_unbind(h, _types.tuple_in(addr, port, proto))

    def route(self, addr: str) -> Route:
        """What to put into frames to a peer, from the host's own tables. OSError
        ENETUNREACH and others as connect() has them."""
        arg = _types.sized(_abi.CmdRoute, dst=_types.tuple_in(addr, 0, "udp"))
        with self._ready() as h:
            _ffi.msport_route(h, arg)
        return Route(
            src=_types.tuple_out(arg.src).addr,
            src_mac=bytes(arg.src_mac),
            dst_mac=bytes(arg.dst_mac),
            mtu=arg.mtu,
            state=RouteState(arg.state),
            gen=arg.gen,
        )

    def handover_offer(self) -> bytes:
        """A token of 16 bytes; who has it can take this port's tuples."""
        arg = _types.sized(_abi.CmdHandover, op=_abi.MS_HANDOVER_OFFER)
        self._command(_abi.MS_CMD_HANDOVER, arg)
        return bytes(arg.token)

    def handover_accept(self, token: bytes) -> int:
        """Takes all tuples of the port that offered, without losing a packet.
        Returns how many."""
        if len(token) != 16:
            raise ValueError("a handover token has 16 bytes")
        arg = _types.sized(_abi.CmdHandover, op=_abi.MS_HANDOVER_ACCEPT)
        arg.token[:] = token
        self._command(_abi.MS_CMD_HANDOVER, arg)
        return int(arg.moved)

    def tap(
        self,
        port_id: int = 0,
        *,
        snap_bytes: int = 0,
        refused: Literal["", "also", "only"] = "",
    ) -> None:
        """Copies of another port's frames, sent and received, come to receive
        ring 0 (flags TAP_TX, TAP_RX); 0: of the whole interface, for the
        administrator. snap_bytes cuts them; 0: whole. refused: those that the
        switch refuses to send come also, or only (TAP_DROP; Batch.refusal() says
        why), as far as they could be read, with metadata that may be nonsense;
        OSError E2BIG: it is of a version that cannot."""
        tap = _types.sized(_abi.CmdTap, port_id=port_id, snap_bytes=snap_bytes)
        tap.scope = _abi.MS_TAP_PORT if port_id else _abi.MS_TAP_NIC
        tap.flags = _REFUSED[refused]
        self._command(_abi.MS_CMD_TAP, tap)

    def untap(self) -> None:
        """Ends what tap() began."""
        self._command(_abi.MS_CMD_TAP, _types.sized(_abi.CmdTap))

    def reopen(self) -> None:
        """The same port anew, with its tuples, after ConnectionResetError or
        OSError ENETDOWN. Frames in the old rings are lost. BufferError: views
        of received frames are still in use."""
        handle = self._ready()
        if handle.users > 1:
            raise BufferError("frames of this port, or calls on it, are still in use")
        with handle as h:
            self._mem.release()
            try:
                _ffi.msport_reopen(h)
            finally:
                if _ffi.msport_region(h):
                    self._map()

    # ---- frames in -------------------------------------------------------------

    def recv_batch(self, ring: int = 0, max: int = 256) -> Batch:
        """Up to `max` waiting frames, without a copy; none if none wait.

        To be used as `with port.recv_batch() as frames:`; the frames are read
        at its beginning and gone at its end. `for frame in port.recv_batch():`
        is the same around a loop. Errors, at the beginning: OSError ENETDOWN
        (interface gone), ConnectionResetError (daemon gone).
        """
        if max < 1:
            raise ValueError("max is at least 1")
        return Batch(self, ring, max)

    def recv(self, ring: int = 0) -> bytes | None:
        """The next frame, or None if none waits. Errors as recv_batch()."""
        if ring in self._held:
            raise RuntimeError(f"receive ring {ring} has an open batch")
        buf = self._one.get(ring)
        if buf is None:
            buf = self._one[ring] = create_string_buffer(_abi.MS_FRAME_BYTES_MAX)
        with self._ready() as h:
            size = _ffi.msport_recv(h, ring, buf, len(buf))
        return string_at(buf, size) if size else None

    def __iter__(self) -> Iterator[bytes]:
        """Frames of ring 0 as they come, for ever or until the port is closed
        between two of them."""
        while not self.closed:
            frame = self.recv()
            if frame is None:
                self.wait()
            else:
                yield frame

    # ---- frames out ------------------------------------------------------------

    def send(self, frame: Frame, meta: Meta | None = None, ring: int = 0) -> None:
        """Sends one frame. OSError ENOBUFS: the ring is full; EMSGSIZE: longer
        than a ring can hold; ENETDOWN; ConnectionResetError."""
        if meta is None:
            data = frame if isinstance(frame, bytes) else bytes(frame)
            with self._ready() as h:
                _ffi.msport_send(h, ring, data, len(data))
        elif not self.send_batch([(frame, meta)], ring):
            raise OSError(errno.ENOBUFS, f"transmit ring {ring} is full; wait(tx=True)")

    def send_batch(
        self, frames: Iterable[Frame | tuple[Frame, Meta]], ring: int = 0
    ) -> int:
        """Sends frames, each with its Meta if it has one, and returns how many
        from the first on were taken: fewer than all when the ring is full
        (`wait(tx=True, ring=ring)`). OSError EMSGSIZE and EINVAL, before any
        is sent: one is longer than a ring can hold, or empty."""
        todo = [self._outgoing(f) for f in frames]
        if not todo:
            return 0
        with self._ready() as h:
            views = self._tx.get(ring)
            if views is None:
                views = self._tx[ring] = (_abi.View * self._slots)()
            room = min(sum(need for _, _, need in todo), self._slots)
            room = _ffi.msport_tx(h, ring, views, room)
            table = memoryview(views).cast("B")
            used = taken = 0
            for data, meta, need in todo:
                if used + need > room:
                    break
                self._fill(table, used, data, meta)
                used += need
                taken += 1
            if used:
                _ffi.msport_tx_commit(h, ring, views, used)
            _ffi.msport_sync(h, ring)
        return taken

    def _outgoing(
        self, frame: Frame | tuple[Frame, Meta]
    ) -> tuple[memoryview, Meta, int]:
        """The frame's bytes, its metadata, the slots it needs."""
        given, meta = frame if isinstance(frame, tuple) else (frame, _PLAIN)
        data = memoryview(given)
        if data.format != "B" or data.ndim != 1:
            data = data.cast("B")
        need = -(-len(data) // self._buf_bytes)
        if need == 0:
            raise OSError(errno.EINVAL, "a frame without a byte")
        if need > min(self._slots, _abi.MS_FRAME_SLOTS_MAX):
            raise OSError(
                errno.EMSGSIZE,
                f"a frame of {len(data)} bytes is longer than a ring of {self._slots} "
                f"slots of {self._buf_bytes} bytes takes at once; open the port with "
                "larger buf_bytes",
            )
        return data, meta, need

    def _fill(
        self, table: memoryview, first: int, data: memoryview, meta: Meta
    ) -> None:
        """Copies a frame into the reserved slots from `first` on."""
        step = self._buf_bytes
        for i, at in enumerate(range(0, len(data), step), first):
            part = data[at : at + step]
            size, ofs = len(part), i * _VIEW.size
            address = _VIEW.unpack_from(table, ofs)[0]
            start = address - self._base
            self._mem[start : start + size] = part
            flags, kind, gso, csum, csum_ofs = meta if at == 0 else _PLAIN
            if at + step < len(data):
                flags |= _abi.MS_SLOT_MORE
            _VIEW.pack_into(
                table, ofs, address, size, flags, kind, 0, gso, csum, csum_ofs, 0
            )

    # ---- sleeping ----------------------------------------------------------------

    def wait(
        self, timeout: float | None = None, ring: int = 0, *, tx: bool = False
    ) -> bool:
        """Sleeps until frames wait in a receive ring (tx: a transmit ring has
        room) and says True, or False after `timeout` seconds; None: for ever.
        Errors as recv_batch()."""
        until = None if timeout is None else time.monotonic() + timeout
        with self._ready() as h:
            while True:
                ms = -1
                if until is not None:
                    left = math.ceil((until - time.monotonic()) * 1000)
                    ms = min(left, 2**31 - 1) if left > 0 else 0
                try:
                    return bool(_ffi.msport_wait(h, not tx, ring, ms))
                except InterruptedError:
                    if ms == 0:
                        return False

    def fileno(self, ring: int = 0, *, tx: bool = False) -> int:
        """A descriptor to poll for reading, after arm() said False; the port's
        own, not to be read or closed."""
        with self._ready() as h:
            return int(_ffi.msport_fd(h, not tx, ring))

    def arm(self, ring: int = 0, *, tx: bool = False) -> bool:
        """Asks for a wake-up on fileno(). True: there is something already, do
        not sleep. Errors as recv_batch()."""
        with self._ready() as h:
            return bool(_ffi.msport_arm(h, not tx, ring))


class Batch(Sequence[memoryview]):
    """Received frames, oldest first, as views of the ring's own buffers.

    They are writable, and gone with the batch: using one later raises
    ValueError; what must stay is to be copied, `bytes(frame)`. A slice of a
    frame, or another object on its memory, that is still there at the end is
    reported by BufferError there: its bytes are another frame's soon.

    A frame in several buffers that do not adjoin is copied into one.
    """

    def __init__(self, port: Port, ring: int, most: int) -> None:
        self._port = port
        self._ring = ring
        self._most = most
        self._open = False
        self._frames: list[memoryview] = []
        self._records: list[tuple[int, ...]] = []
        self._views = 0

    def __enter__(self) -> Batch:
        port, ring = self._port, self._ring
        if self._open or ring in port._held:
            raise RuntimeError(f"receive ring {ring} has an open batch")
        handle = port._ready()
        h = handle.__enter__()
        try:
            self._area, self._mem = port._exporter()
            table, self._views = self._receive(h)
        except BaseException:
            handle.put()
            raise
        self._handle = handle
        self._open = True
        port._held.add(ring)
        self._cut(list(_VIEW.iter_unpack(table[: self._views * _VIEW.size])))
        return self

    def _receive(self, h: int) -> tuple[memoryview, int]:
        """The library's table of views, and how many it filled."""
        most = self._most
        while True:
            key = (self._ring, most)
            views = self._port._rx.get(key)
            if views is None:
                views = self._port._rx[key] = (_abi.View * most)()
            try:
                n = _ffi.msport_rx(h, self._ring, views, most)
                return memoryview(views).cast("B"), n
            except OSError as e:  # the next frame alone has more views
                if e.errno != errno.EMSGSIZE or most >= _abi.MS_FRAME_SLOTS_MAX:
                    raise
                most += 1

    def _cut(self, views: list[tuple[int, ...]]) -> None:
        """Makes frames of views."""
        base, mem = self._port._base, self._mem
        first = 0
        for i, view in enumerate(views):
            if view[2] & _abi.MS_SLOT_MORE:
                continue
            parts = views[first : i + 1]
            start, size = parts[0][0] - base, sum(p[1] for p in parts)
            if all(a[0] + a[1] == b[0] for a, b in zip(parts, parts[1:], strict=False)):
                frame = mem[start : start + size]
            else:
                frame = memoryview(
                    bytearray().join(
                        mem[p[0] - base : p[0] - base + p[1]] for p in parts
                    )
                )
            self._frames.append(frame)
            self._records.append(parts[0])
            first = i + 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        stray = self._end()
        if stray and kind is None:
            raise BufferError(
                "a slice of a frame outlives its batch; copy what has to stay: bytes(frame[a:b])"
            )

    def release(self) -> None:
        """Ends the batch early. BufferError as at its end."""
        self.__exit__(None, None, None)

    def _end(self) -> bool:
        """Gives the slots back. Whether something still looks at them."""
        if not self._open:
            return False
        self._open = False
        for view in (*self._frames, self._mem):
            with contextlib.suppress(BufferError):  # found below
                view.release()
        del view, self._mem
        self._frames, self._records = [], []
        alive = weakref.ref(self._area)
        del self._area
        self._port._held.discard(self._ring)
        _ffi.msport_rx_release(self._handle._ptr, self._ring, self._views)
        area = alive()
        if area is None:
            self._handle.put()
            return False
        # The memory stays mapped until the last view is gone.
        weakref.finalize(area, self._handle.put)
        return True

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, i: Any) -> Any:
        return self._frames[i]

    def __iter__(self) -> Iterator[memoryview]:
        if self._open:
            yield from self._frames
        else:
            with self:
                yield from self._frames

    def meta(self, i: int) -> Meta:
        """Offload metadata of frame i."""
        _, _, flags, gso_type, _, gso_size, start, offset, _ = self._records[i]
        return Meta(flags & ~_abi.MS_SLOT_MORE, gso_type, gso_size, start, offset)

    def refusal(self, i: int) -> str:
        """Of a tap's frame i that was refused to be sent: the counter that counted
        it ("drop_tx_unbound"); "": it was not refused."""
        _, _, flags, _, reason, *_ = self._records[i]
        if not flags & _abi.MS_SLOT_TAP_DROP:
            return ""
        return (_ffi.msport_counter_name(reason) or b"drop").decode()

    def __repr__(self) -> str:
        state = f"{len(self._frames)} frames" if self._open else "not open"
        return f"<multistack.Batch of ring {self._ring}, {state}>"
