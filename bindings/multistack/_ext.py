# SPDX-License-Identifier: BSD-2-Clause
"""TCP options in Python: utcp_ext_ops_t, a class for each and an object for each
connection. What is here of utcp_ext.h has C's names; the extensions that stand
in the stream itself are C's.
"""

from __future__ import annotations

import inspect
from ctypes import (
    CFUNCTYPE,
    POINTER,
    Structure,
    c_char_p,
    c_int,
    c_size_t,
    c_ssize_t,
    c_uint,
    c_uint8,
    c_uint16,
    c_uint32,
    c_uint64,
    c_void_p,
    memmove,
    pointer,
    sizeof,
    string_at,
)
from typing import Any, ClassVar

from multistack._cc import (
    NAME_MAX,
    ErrorHandler,
    Reporter,
    SupportsStack,
    keep,
    report_unraisable,
    stack_address,
)
from multistack._ffi import _by_code, _declare, _never

UTCP_EXT_PASSIVE = 1 << 0
UTCP_EXT_OPEN = 1 << 1
UTCP_EXT_LEAVE = 1
UTCP_EXT_RST_IN = 1
UTCP_EXT_RST_OUT = 2
UTCP_EXT_ALL = 1 << 0
UTCP_EXT_MUST = 1 << 1
UTCP_EXT_OPTS_MAX = 8
UTCP_TCP_SYN = 0x002
UTCP_TCP_ACK = 0x010

_EXPERIMENTAL = (253, 254)
_RESET_BY = {UTCP_EXT_RST_IN: "peer", UTCP_EXT_RST_OUT: "us"}


class Ext(Structure):
    """utcp_ext_t"""

    _fields_ = [
        ("stack", c_void_p),
        ("sock", c_void_p),
        ("priv", c_void_p),
        ("arg", c_void_p),
        ("shared", c_void_p),
        ("flags", c_uint32),
        ("pad", c_uint32),
    ]


class ExtOpt(Structure):
    """utcp_ext_opt_t"""

    _fields_ = [
        ("data", c_void_p),
        ("len", c_uint8),
        ("which", c_uint8),
        ("pad", c_uint8 * 6),
    ]


class Incoming(Structure):
    """A segment that came: utcp_ext_in_t. Valid during the call."""

    seq: int
    ack: int
    ofs: int
    """Place of its data in the stream, from 0."""
    len: int
    """Bytes of data."""
    segs: int
    """Segments that came merged into this."""
    flags: int
    """Of the TCP header."""
    wnd: int
    ecn: int
    """Of IP: 0 not, 1 ECT(1), 2 ECT(0), 3 CE."""

    _fields_ = [
        ("seq", c_uint32),
        ("ack", c_uint32),
        ("ofs", c_uint64),
        ("len", c_uint32),
        ("segs", c_uint16),
        ("flags", c_uint16),
        ("wnd", c_uint16),
        ("ecn", c_uint8),
        ("num_opts", c_uint8),
        ("pad", c_uint32),
        ("opts", ExtOpt * UTCP_EXT_OPTS_MAX),
    ]


class Outgoing(Structure):
    """A segment that leaves: utcp_ext_out_t. Valid during the call."""

    flags: int
    """Of the TCP header."""
    ecn: int
    """Of IP; may be set."""
    again: int
    """Sent so many times before."""
    seq: int
    ack: int
    ofs: int
    """Place of its data in the stream, from 0."""
    len: int
    """Bytes of data."""
    room: int
    """Bytes that options may still take, with kind, length and ExID."""

    _fields_ = [
        ("flags", c_uint16),
        ("ecn", c_uint8),
        ("again", c_uint8),
        ("segs", c_uint16),
        ("probe", c_uint16),
        ("seq", c_uint32),
        ("ack", c_uint32),
        ("ofs", c_uint64),
        ("len", c_uint32),
        ("room", c_uint32),
        ("at_", c_void_p),
        ("ops_", c_void_p),
    ]


class ExtOption(Structure):
    """utcp_ext_option_t"""

    _fields_ = [
        ("kind", c_uint8),
        ("exid_bytes", c_uint8),
        ("pad", c_uint16),
        ("exid", c_uint32),
    ]


_DESTROY = CFUNCTYPE(None, c_void_p, c_void_p)
_HOOK = CFUNCTYPE(c_int, c_void_p)
_RELEASE = CFUNCTYPE(None, c_void_p)
_SEGMENT = CFUNCTYPE(c_int, c_void_p, c_void_p)
_ACK = CFUNCTYPE(None, c_void_p, c_void_p)
_WRITE = CFUNCTYPE(c_ssize_t, c_void_p, c_void_p, c_size_t, c_int)
_READ = CFUNCTYPE(c_ssize_t, c_void_p, c_void_p, c_size_t)
_END = CFUNCTYPE(None, c_void_p, c_int, c_int)


class ExtOps(Structure):
    """utcp_ext_ops_t"""

    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("name", c_char_p),
        ("priv_bytes", c_uint32),
        ("num_options", c_uint32),
        ("options", POINTER(ExtOption)),
        ("destroy", _DESTROY),
        ("init", _HOOK),
        ("release", _RELEASE),
        ("open", _HOOK),
        ("in", _SEGMENT),
        ("out", _SEGMENT),
        ("ack", _ACK),
        ("timer", _HOOK),
        ("write", _WRITE),
        ("write_end", _HOOK),
        ("read", _READ),
        ("read_end", _HOOK),
        ("end", _END),
    ]


utcp_ext_put = _declare("utcp_ext_put", c_void_p, _never, c_void_p, c_uint, c_uint)
utcp_ext_want = _declare("utcp_ext_want", c_int, _by_code, c_void_p, c_uint)
utcp_ext_gso = _declare("utcp_ext_gso", c_int, _by_code, c_void_p, c_int)
utcp_ext_ack_now = _declare("utcp_ext_ack_now", c_int, _by_code, c_void_p)
utcp_ext_register = _declare(
    "utcp_ext_register", c_int, _by_code, c_void_p, POINTER(ExtOps), c_uint32, c_void_p
)
utcp_ext_add = _declare(
    "utcp_ext_add", c_int, _by_code, c_void_p, c_char_p, c_void_p, c_uint32
)
utcp_ext_find = _declare("utcp_ext_find", c_void_p, _never, c_void_p, c_char_p)


_IN_BYTES = sizeof(Incoming)


class TcpOption:
    """An option of your own; an object of it for each connection.

    Both ends offer it on their SYNs, so the class has to be registered at both.
    If the peer does not have it, the connection goes on without, and so does
    one in whose hook an exception is raised (reported once). A hook is called for
    each segment of a connection that has it.

    kind: 253 and 254 are for experiments and need an exid (RFC 6994) of 16 or 32
    bits; others are assigned by IANA. room: bytes of content on each segment after
    the SYNs; less data then fits. Options are up to 40 bytes in all; the stack's
    own leave about 16.
    """

    name: ClassVar[str] = ""
    """At most 15 characters; the class's name in lower case if it has none."""
    kind: ClassVar[int] = 253
    exid: ClassVar[int | None] = None
    room: ClassVar[int] = 0

    passive: bool
    """The peer opened the connection."""
    peer: bytes | None
    """What its SYN said; None: nothing, or not yet."""

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        if "name" not in cls.__dict__:
            cls.name = cls.__name__.lower()[:NAME_MAX]

    def syn(self) -> bytes | None:
        """Content for our SYN, or (passive) for the SYN that answers the peer's,
        which is in self.peer; None: not offered."""
        return b""

    def syn_received(self, data: bytes | None) -> bool:
        """The peer's SYN had the option with this content, or had it not. Whether
        the connection goes on with it."""
        return data is not None

    def opened(self) -> None:
        """The connection is open, and both have the option."""

    def segment(self, segment: Outgoing) -> bytes | None:
        """Content for a segment that leaves, at most `room` bytes; None: without."""
        return None

    def received(self, data: bytes, segment: Incoming) -> None:
        """A segment came with the option."""

    def over(self, reset: str | None, error: int) -> None:
        """The connection is over: "peer" or "us" has reset it, or nobody has.
        error: the errno that its user is told; 0: none. closed() follows when he has
        closed it."""

    def closed(self) -> None:
        """The connection is gone, or goes on without."""


class _Live:
    __slots__ = ("option", "syn", "heard", "open")

    def __init__(self, option: TcpOption) -> None:
        self.option = option
        self.syn: bytes | None = None  # the same each time that it is sent
        self.heard = False
        self.open = False


class OptionRegistration:
    """A class that a stack knows, with its hooks."""

    def __init__(self, cls: type[TcpOption], on_error: ErrorHandler) -> None:
        _check(cls)
        self.cls = cls
        self.name = cls.name
        self._head = 2 + _exid_bytes(cls)
        self._live: dict[int, _Live] = {}
        self._reporter = Reporter(
            on_error,
            f"Exception in the TCP option {cls.name!r}, its connection goes on without",
        )
        self._options = (ExtOption * 1)(
            ExtOption(kind=cls.kind, exid_bytes=_exid_bytes(cls), exid=cls.exid or 0)
        )
        self._ops = self._make_ops()

    @property
    def instances(self) -> list[TcpOption]:
        """Of the connections that have it, oldest first."""
        return [live.option for live in self._live.values()]

    def of(self, sock: int) -> TcpOption | None:
        """That of a utcp_sock_t."""
        live = self._live.get(utcp_ext_find(sock, self.name.encode()) or 0)
        return None if live is None else live.option

    def add(self, sock: int, *, must: bool = False) -> None:
        """Puts it on a socket that is not connected yet, or on a listener for what
        it accepts. must: without it at the peer the connection is reset."""
        flags = UTCP_EXT_MUST if must else 0
        utcp_ext_add(sock, self.name.encode(), None, flags)

    def _make_ops(self) -> ExtOps:
        cls, live, failed = self.cls, self._live, self._reporter
        head, room = self._head, cls.room
        segments_in = cls.received is not TcpOption.received
        segments_out = cls.segment is not TcpOption.segment

        def on_init(ext: int) -> int:
            try:
                option = cls()
                flags = Ext.from_address(ext).flags
                option.passive = bool(flags & UTCP_EXT_PASSIVE)
                option.peer = None
                live[ext] = _Live(option)
                return 0
            except BaseException as e:
                failed(e)
                return UTCP_EXT_LEAVE

        def on_release(ext: int) -> None:
            me = live.pop(ext, None)
            try:
                if me is not None:
                    me.option.closed()
            except BaseException as e:
                failed(e)

        def on_end(ext: int, reset: int, error: int) -> None:
            try:
                live[ext].option.over(_RESET_BY.get(reset), -error)
            except BaseException as e:
                failed(e)

        def open_it(me: _Live) -> None:
            if not me.open:
                me.open = True
                me.option.opened()

        def on_open(ext: int) -> int:
            try:
                open_it(live[ext])
                return 0
            except BaseException as e:
                failed(e)
                return UTCP_EXT_LEAVE

        def heard_syn(ext: int, me: _Live, segment: Incoming) -> int:
            me.heard = True
            data = None
            if segment.num_opts:
                data = string_at(segment.opts[0].data, segment.opts[0].len)
            me.option.peer = data
            if not me.option.syn_received(data):
                return UTCP_EXT_LEAVE
            if segments_out:
                # each segment is to have content of its own
                utcp_ext_gso(ext, 0)
                utcp_ext_want(ext, head + room)
            return 0

        def on_in(ext: int, at: int) -> int:
            try:
                me = live[ext]
                if me.heard and not segments_in:
                    return 0
                # a copy: nobody can look at C's stack when it is over
                segment = Incoming.from_buffer_copy(string_at(at, _IN_BYTES))
                if segment.flags & UTCP_TCP_SYN:
                    return 0 if me.heard else heard_syn(ext, me, segment)
                # that it opens the connection is told behind it
                open_it(me)
                for i in range(segment.num_opts if segments_in else 0):
                    opt = segment.opts[i]
                    me.option.received(string_at(opt.data, opt.len), segment)
                return 0
            except BaseException as e:
                failed(e)
                return UTCP_EXT_LEAVE

        def on_out(ext: int, at: int) -> int:
            try:
                me = live[ext]
                real = Outgoing.from_address(at)
                if real.flags & UTCP_TCP_SYN:
                    if me.syn is None:
                        me.syn = me.option.syn()
                        if me.syn is None:
                            return UTCP_EXT_LEAVE
                    content = me.syn
                elif segments_out:
                    segment = Outgoing.from_buffer_copy(real)
                    found = me.option.segment(segment)
                    real.ecn = segment.ecn
                    if found is None:
                        return 0
                    if len(found) > room:
                        raise ValueError(
                            f"segment() returned {len(found)} bytes, room is {room}"
                        )
                    content = found
                else:
                    return 0
                place = utcp_ext_put(at, 0, len(content))
                if place and content:
                    memmove(place, content, len(content))
                return 0
            except BaseException as e:
                failed(e)
                return UTCP_EXT_LEAVE

        ops = ExtOps(
            size=sizeof(ExtOps),
            name=cls.name.encode(),
            num_options=1,
            options=pointer(self._options[0]),
            init=_HOOK(on_init),
            release=_RELEASE(on_release),
            out=_SEGMENT(on_out),
        )
        # The field's name is a word of Python's.
        setattr(ops, "in", _SEGMENT(on_in))
        if cls.opened is not TcpOption.opened:
            ops.open = _HOOK(on_open)
        if cls.over is not TcpOption.over:
            ops.end = _END(on_end)
        return ops


def _exid_bytes(cls: type[TcpOption]) -> int:
    if cls.exid is None:
        return 0
    return 2 if cls.exid < 1 << 16 else 4


def _check(cls: type[TcpOption]) -> None:
    if not (inspect.isclass(cls) and issubclass(cls, TcpOption)):
        raise TypeError(f"{cls!r} is no subclass of multistack.TcpOption")
    if not 0 < len(cls.name.encode()) <= NAME_MAX:
        raise ValueError(f"name {cls.name!r}: from 1 to {NAME_MAX} bytes")
    if not 0 <= cls.kind <= 255:
        raise ValueError(f"kind {cls.kind}: from 0 to 255")
    if (cls.kind in _EXPERIMENTAL) != (cls.exid is not None):
        raise ValueError("kinds 253 and 254 have an exid, and no other has")
    if cls.exid is not None and not 0 <= cls.exid < 1 << 32:
        raise ValueError(f"exid {cls.exid}: of 16 or 32 bits")
    if not 0 <= cls.room <= 40 - 2 - _exid_bytes(cls):
        raise ValueError(f"room {cls.room}: options have 40 bytes in all")


def register_option(
    stack: SupportsStack | int,
    cls: type[TcpOption],
    *,
    everywhere: bool = True,
    must: bool = False,
    on_error: ErrorHandler = report_unraisable,
) -> OptionRegistration:
    """Makes an option known to a stack: a simulated host, an event loop, or the
    address of a utcp_t.

    everywhere: all its connections opened from now on have it; else those that
    OptionRegistration.add() is given. must: a connection whose peer does not have
    it is reset. on_error: as register_cc()'s. FileExistsError: the name, or with
    everywhere the kind and exid, is another's.
    """
    at = stack_address(stack)
    registration = OptionRegistration(cls, on_error)
    flags = UTCP_EXT_ALL if everywhere else 0
    flags |= UTCP_EXT_MUST if must and everywhere else 0
    utcp_ext_register(at, registration._ops, flags, None)
    keep(at, registration)
    return registration
