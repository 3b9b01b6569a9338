# SPDX-License-Identifier: BSD-2-Clause
"""Congestion control in Python: utcp_cc_ops_t, a class for each and an object for
each connection.

A hook costs one call from C, a copy of the view in and of what it may set out:
about a microsecond beside its own code. It is called for each batch of
acknowledgements, not for each packet.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
import traceback
from collections.abc import Callable
from ctypes import (
    CFUNCTYPE,
    POINTER,
    Structure,
    c_char_p,
    c_int,
    c_uint8,
    c_uint32,
    c_uint64,
    c_void_p,
    sizeof,
)
from enum import IntEnum
from types import MethodType, SimpleNamespace
from typing import Any, ClassVar, Protocol, TypeAlias, cast

from multistack import _utcp
from multistack._ffi import _by_code, _declare

UTCP_CC_OWN_RECOVERY = 1 << 0
UTCP_CC_PACES = 1 << 1
NAME_MAX = 15
_FAILED = object()


class CcEvent(IntEnum):
    """What happened to a connection: enum utcp_cc_event."""

    LOSS = 0
    TIMEOUT = 1
    ECN = 2
    RECOVERED = 3
    UNDO = 4
    IDLE = 5
    MSS = 6


_CC_FIELDS: list[tuple[str, Any]] = [
    ("cwnd", c_uint32),
    ("ssthresh", c_uint32),
    ("pacing_rate", c_uint64),
    ("gso_max", c_uint32),
    ("mss", c_uint32),
    ("now_ns", c_uint64),
    ("srtt_ns", c_uint64),
    ("min_rtt_ns", c_uint64),
    ("latest_rtt_ns", c_uint64),
    ("delivered", c_uint64),
    ("lost", c_uint64),
    ("inflight", c_uint32),
    ("initcwnd", c_uint32),
    ("snd_una", c_uint32),
    ("snd_nxt", c_uint32),
    ("recovery", c_uint32),
    ("cwnd_limited", c_uint32),
    ("random", c_uint64),
    ("sock", c_void_p),
    ("priv", c_void_p),
]
# In Python some have other names: a hook is called ssthresh too, and what is
# behind a pointer is C's.
_RENAMED = {"ssthresh": "threshold", "sock": "_sock", "priv": "_priv"}


class Cc(Structure):
    """utcp_cc_t"""

    _fields_ = _CC_FIELDS


class Ack(Structure):
    """One batch of acknowledgements: utcp_ack_t. Valid during the call of ack()."""

    acked: int
    """Bytes by which the oldest unacknowledged sequence number advanced."""
    delivered: int
    """Bytes newly acknowledged, in order or selectively."""
    lost: int
    """Bytes newly found lost."""
    ce: int
    """Bytes that an ECN echo came with."""
    prior_inflight: int
    """Bytes in flight before this batch."""
    app_limited: int
    """Not 0: the rate is the application's, not the path's."""
    rtt_ns: int
    """A sample of the round trip; 0: none."""
    rate_delivered: int
    """Bytes delivered in interval_ns: a sample of the delivery rate."""
    interval_ns: int
    prior_delivered: int
    """self.delivered when the newest packet acknowledged here was sent."""
    rate_lost: int
    """Bytes lost in the rate's interval."""
    tx_inflight: int
    """Bytes in flight when that packet was sent."""

    _fields_ = [
        ("acked", c_uint32),
        ("delivered", c_uint32),
        ("lost", c_uint32),
        ("ce", c_uint32),
        ("prior_inflight", c_uint32),
        ("app_limited", c_uint32),
        ("rtt_ns", c_uint64),
        ("rate_delivered", c_uint64),
        ("interval_ns", c_uint64),
        ("prior_delivered", c_uint64),
        ("rate_lost", c_uint32),
        ("tx_inflight", c_uint32),
    ]

    @property
    def rtt(self) -> float:
        """rtt_ns in seconds; 0.0: no sample."""
        return self.rtt_ns * 1e-9

    @property
    def rate(self) -> float:
        """The sample of the delivery rate, bytes a second; 0.0: none."""
        return self.rate_delivered * 1e9 / self.interval_ns if self.interval_ns else 0.0


_INIT = CFUNCTYPE(c_int, c_void_p)
_RELEASE = CFUNCTYPE(None, c_void_p)
_ACK = CFUNCTYPE(None, c_void_p, c_void_p)
_SSTHRESH = CFUNCTYPE(c_uint32, c_void_p, c_int)
_UNDO = CFUNCTYPE(c_uint32, c_void_p)
_EVENT = CFUNCTYPE(None, c_void_p, c_int)
_SENT = CFUNCTYPE(None, c_void_p, c_uint32)


class CcOps(Structure):
    """utcp_cc_ops_t"""

    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("name", c_char_p),
        ("priv_bytes", c_uint32),
        ("pad", c_uint32),
        ("init", _INIT),
        ("release", _RELEASE),
        ("ack", _ACK),
        ("ssthresh", _SSTHRESH),
        ("undo", _UNDO),
        ("event", _EVENT),
        ("sent", _SENT),
    ]


utcp_cc_register = _declare(
    "utcp_cc_register", c_int, _by_code, c_void_p, POINTER(CcOps)
)

_CC_BYTES = sizeof(Cc)
# What a control may set comes first.
_SET_BYTES = Cc.mss.offset
_ACK_BYTES = sizeof(Ack)


def _memory(at: int, size: int) -> memoryview:
    return memoryview((c_uint8 * size).from_address(at)).cast("B")


class CongestionControl(Structure):
    """A congestion control of your own; an object of it for each connection.

    Override ack(), and what else is needed. Amounts are bytes and whole numbers;
    times are nanoseconds where the name says so, else seconds. The attributes
    below are brought up to date before each hook, and what the hook assigned to
    the first four is taken when it returns; between hooks they stay as they
    were. Other attributes are yours.

    An exception in a hook (an attribute assigned a float is one) hands the
    connection to CUBIC and is reported once; the connection goes on.
    """

    name: ClassVar[str] = ""
    """What connections choose it by, at most 15 characters; the class's name in
    lower case if it has none."""
    paces: ClassVar[bool] = False
    """It wants its packets paced: at pacing_rate, or cwnd in a round trip."""
    own_recovery: ClassVar[bool] = False
    """It sets cwnd in recovery too: no proportional rate reduction (RFC 9937)
    and no ssthresh()."""

    cwnd: int
    """Set: the congestion window."""
    threshold: int
    """Set: the slow start threshold; 2**32 - 1: not known."""
    pacing_rate: int
    """Set: bytes a second; 0: the stack derives one, if it paces at all."""
    gso_max: int
    """Set: most bytes in one burst; 0: the stack decides."""
    mss: int
    """Largest segment, without options."""
    now_ns: int
    """The stack's clock."""
    srtt_ns: int
    """Smoothed round trip; 0: not measured."""
    min_rtt_ns: int
    """Least of the connection; 2**64 - 1: not measured."""
    latest_rtt_ns: int
    delivered: int
    """Acknowledged in order or selectively, ever."""
    lost: int
    """Found lost, ever."""
    inflight: int
    """On their way, as far as one can know (RFC 6675's pipe)."""
    initcwnd: int
    snd_una: int
    """Oldest unacknowledged sequence number, modulo 2**32."""
    snd_nxt: int
    recovery: int
    """0 open, 1 disorder, 2 ECN, 3 recovery, 4 loss (after a timeout)."""
    cwnd_limited: int
    """Not 0: the window was what held data back."""
    random: int
    """64 random bits, others for each call; of the stack's seed."""
    _sock: int | None
    _priv: int | None

    _fields_ = [(_RENAMED.get(n, n), t) for n, t in _CC_FIELDS]

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        if "name" not in cls.__dict__:
            cls.name = cls.__name__.lower()[:NAME_MAX]

    @property
    def now(self) -> float:
        """now_ns in seconds."""
        return self.now_ns * 1e-9

    @property
    def srtt(self) -> float:
        """srtt_ns in seconds."""
        return self.srtt_ns * 1e-9

    @property
    def min_rtt(self) -> float:
        """min_rtt_ns in seconds; infinite: not measured."""
        known = self.min_rtt_ns != _utcp.UTCP_NEVER
        return self.min_rtt_ns * 1e-9 if known else float("inf")

    @property
    def latest_rtt(self) -> float:
        """latest_rtt_ns in seconds."""
        return self.latest_rtt_ns * 1e-9

    def opened(self) -> None:
        """The connection is open; cwnd is the initial window."""

    def ack(self, ack: Ack) -> None:
        """Acknowledgements came. In recovery the stack holds cwnd afterwards,
        unless own_recovery."""
        raise NotImplementedError

    def ssthresh(self, why: CcEvent) -> int:
        """The slow start threshold that a loss, timeout or ECN echo asks for;
        half of what is in flight (RFC 5681) unless overridden."""
        return max(self.inflight // 2, 2 * self.mss)

    def undo(self) -> int:
        """cwnd after a recovery that was for nothing; not overridden: as it was
        before."""
        raise NotImplementedError

    def event(self, event: CcEvent) -> None:
        """Something else happened."""

    def sent(self, size: int) -> None:
        """A segment of so many bytes was sent. Costs a call for each."""

    def closed(self) -> None:
        """The connection ends, or another control takes over."""


ErrorHandler: TypeAlias = Callable[[BaseException, str], None]


class SupportsStack(Protocol):
    """Something that has a stack of its own: a simulated host, an event loop."""

    def _utcp_stack(self) -> int: ...


def report_unraisable(error: BaseException, text: str) -> None:
    """To sys.unraisablehook, which prints the traceback unless replaced."""
    if sys.unraisablehook is sys.__unraisablehook__:
        # It takes only the interpreter's own arguments, and does this.
        print(f"{text}:", file=sys.stderr)
        traceback.print_exception(error)
        return
    what = SimpleNamespace(
        exc_type=type(error),
        exc_value=error,
        exc_traceback=error.__traceback__,
        err_msg=text,
        object=None,
    )
    sys.unraisablehook(cast(Any, what))


class Reporter:
    """Tells of an exception in a hook, but of the same mistake of many connections
    once. Raises nothing: who calls it is called by C."""

    def __init__(self, on_error: ErrorHandler, text: str) -> None:
        self._on_error = on_error
        self._text = text
        self._told: set[tuple[object, ...]] = set()

    def __call__(self, error: BaseException) -> None:
        try:
            where = error.__traceback__
            while where is not None and where.tb_next is not None:
                where = where.tb_next
            place = where and (where.tb_frame.f_code, where.tb_lineno)
            if (type(error), place) not in self._told:
                self._told.add((type(error), place))
                self._on_error(error, self._text)
        except BaseException as e:
            report_unraisable(e, "Exception in the handler of a hook's exception")


class _Live:
    """A connection's control, and the memory of its attributes."""

    __slots__ = ("control", "whole", "settable", "hook")

    def __init__(self, control: CongestionControl) -> None:
        own = (c_uint8 * _CC_BYTES).from_buffer(control)
        self.control = control
        self.whole = memoryview(own).cast("B")
        self.settable = self.whole[:_SET_BYTES]
        # The class's, whatever attributes of its own the object has.
        self.hook = MethodType(type(control).ack, control)


class Registration:
    """A class that a stack knows, with the hooks that the stack calls: they have
    to live as long as it does."""

    def __init__(self, cls: type[CongestionControl], on_error: ErrorHandler) -> None:
        _check(cls)
        self.cls = cls
        self.name = cls.name
        self._report = Reporter(
            on_error,
            f"Exception in the congestion control {cls.name!r}, "
            "its connection falls back to CUBIC",
        )
        self._live: dict[int, _Live] = {}
        self._ops = self._make_ops()

    def of(self, sock: int) -> CongestionControl | None:
        """The control of that connection."""
        live = self._live.get(sock)
        return None if live is None else live.control

    def _failed(self, sock: int, error: BaseException) -> None:
        """CUBIC takes over when the hook returns."""
        with contextlib.suppress(OSError):
            _utcp.utcp_set_cc(sock, b"cubic")
        self._report(error)

    def _make_ops(self) -> CcOps:
        cls, live, failed = self.cls, self._live, self._failed
        batch = Ack()
        batch_memory = memoryview((c_uint8 * _ACK_BYTES).from_buffer(batch)).cast("B")
        # By address: a stack has one view, and its batches lie on C's stack, in
        # few places. Looked at only while C says that they are there.
        views: dict[int, tuple[Cc, memoryview, memoryview]] = {}
        batches: dict[int, memoryview] = {}

        def view(cc: int) -> tuple[Cc, memoryview, memoryview]:
            found = views.get(cc)
            if found is None:
                whole = _memory(cc, _CC_BYTES)
                found = views[cc] = (Cc.from_address(cc), whole, whole[:_SET_BYTES])
            return found

        def on_ack(cc: int, at: int) -> None:
            try:
                head, whole, settable = views[cc]
                me = live[head.sock]
                source = batches.get(at)
                if source is None:
                    if len(batches) > 32:
                        batches.clear()
                    source = batches[at] = _memory(at, _ACK_BYTES)
                me.whole[:] = whole
                batch_memory[:] = source
                me.hook(batch)
                settable[:] = me.settable
            except BaseException as e:
                failed(view(cc)[0].sock, e)

        def on_init(cc: int) -> int:
            head, whole, settable = view(cc)
            try:
                me = _Live(cls())
                live[head.sock] = me
                me.whole[:] = whole
                cls.opened(me.control)
                settable[:] = me.settable
            except BaseException as e:
                failed(head.sock, e)
            return 0

        def on_release(cc: int) -> None:
            head, whole, _ = view(cc)
            me = live.pop(head.sock, None)
            try:
                if me is not None:
                    me.whole[:] = whole
                    cls.closed(me.control)
            except BaseException as e:
                failed(head.sock, e)

        def call(cc: int, hook: str, *args: Any) -> Any:
            head, whole, settable = view(cc)
            try:
                me = live[head.sock]
                me.whole[:] = whole
                result = getattr(cls, hook)(me.control, *args)
                settable[:] = me.settable
                return result
            except BaseException as e:
                failed(head.sock, e)
                return _FAILED

        def window(cc: int, hook: str, *args: Any) -> int:
            result = call(cc, hook, *args)
            if isinstance(result, int) and 0 <= result < 1 << 32:
                return result
            head = Cc.from_address(cc)
            if result is not _FAILED:
                bad = f"{hook}() returned {result!r}, not a whole number of bytes"
                failed(head.sock, TypeError(bad))
            fallback: int = max(head.inflight // 2, 2 * head.mss)
            return fallback

        def on_event(cc: int, event: int) -> None:
            call(cc, "event", CcEvent(event))

        def on_sent(cc: int, size: int) -> None:
            call(cc, "sent", size)

        def overrides(hook: str) -> bool:
            return getattr(cls, hook) is not getattr(CongestionControl, hook)

        flags = UTCP_CC_OWN_RECOVERY if cls.own_recovery else 0
        ops = CcOps(
            size=sizeof(CcOps),
            flags=flags | (UTCP_CC_PACES if cls.paces else 0),
            name=cls.name.encode(),
            init=_INIT(on_init),
            release=_RELEASE(on_release),
            ack=_ACK(on_ack),
            ssthresh=_SSTHRESH(lambda cc, why: window(cc, "ssthresh", CcEvent(why))),
        )
        if overrides("undo"):
            ops.undo = _UNDO(lambda cc: window(cc, "undo"))
        if overrides("event"):
            ops.event = _EVENT(on_event)
        if overrides("sent"):
            ops.sent = _SENT(on_sent)
        return ops


def _check(cls: type[CongestionControl]) -> None:
    if not (inspect.isclass(cls) and issubclass(cls, CongestionControl)):
        raise TypeError(f"{cls!r} is no subclass of multistack.CongestionControl")
    if cls.ack is CongestionControl.ack:
        raise TypeError(f"{cls.__name__} has no ack()")
    if not 0 < len(cls.name.encode()) <= NAME_MAX:
        raise ValueError(f"name {cls.name!r}: from 1 to {NAME_MAX} bytes")


# By the address of the stack, until forget_stack().
_registered: dict[int, dict[str, Registration]] = {}
_kept: dict[int, list[object]] = {}


def keep(at: int, hooks: object) -> None:
    """C calls these as long as the stack at that address lives."""
    _kept.setdefault(at, []).append(hooks)


def stack_address(stack: SupportsStack | int) -> int:
    return stack if isinstance(stack, int) else stack._utcp_stack()


def register_cc(
    stack: SupportsStack | int,
    cls: type[CongestionControl],
    *,
    on_error: ErrorHandler = report_unraisable,
) -> Registration:
    """Makes cls known to a stack: a simulated host, an event loop, or the address
    of a utcp_t. Its connections choose it by cls.name.

    on_error(exception, text) is told of an exception in a hook, once for each
    place that raises; sys.unraisablehook unless given. FileExistsError: another
    class has that name; the same class again is fine.
    """
    at = stack_address(stack)
    known = _registered.setdefault(at, {})
    old = known.get(getattr(cls, "name", ""))
    if old is not None and old.cls is cls:
        return old
    registration = Registration(cls, on_error)
    utcp_cc_register(at, registration._ops)
    known[registration.name] = registration
    return registration


def registered(stack: SupportsStack | int) -> dict[str, Registration]:
    """Those that register_cc() made known to it, by name."""
    return dict(_registered.get(stack_address(stack), {}))


def forget_stack(at: int) -> None:
    """The stack at that address was destroyed: its hooks may go."""
    _registered.pop(at, None)
    _kept.pop(at, None)
