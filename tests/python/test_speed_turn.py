# SPDX-License-Identifier: BSD-2-Clause
"""What is compiled of a turn of the stack: writes that wait for it, what it is given,
what it brings. The library's part is made by hand."""

from __future__ import annotations

import contextvars
import ctypes
import errno
import gc
import sys
import weakref
from asyncio import transports
from collections.abc import Callable
from typing import Any

import pytest
from compiled import Refused, blocks, refuse

from multistack import _utcp
from multistack._fast import Stream, Told


class Transport(Stream):
    """What a StreamTransport has of Stream."""

    def __init__(self, loop: Any = None) -> None:
        self._out, self._turn = [], []
        self._data_received = self._empty_waiter = None
        super().__init__(None, loop or object())
        self.slow: list[Any] = []

    def _write(self, data: Any) -> None:
        self.slow.append(data)

    def get_write_buffer_size(self) -> int:
        return self._out_bytes

    def on_event(self, *event: int) -> None:
        self.slow.append(event)

    def data_failed(self, exc: BaseException) -> None:
        self.slow.append((exc, sys.exc_info()[1]))


def test_streams_in_cycles_are_collected() -> None:
    refs = []
    for name in ("_out", "_turn", "_run", "_data_received", "_empty_waiter", None):
        t = Transport()
        if name is None:
            t._turn.append(t)
        else:
            setattr(t, name, [t])
        refs.append(weakref.ref(t))
    del t
    gc.collect()
    assert [r() for r in refs] == [None] * len(refs)


def test_nothing_is_lost_of_what_streams_and_turns_had() -> None:
    batch = Batch()

    def body() -> None:
        t = Transport()
        t._id, t._high_water = 7, 10**9
        t._run, t._data_received, t.plain = contextvars.Context().run, refuse, True
        for _ in range(5):
            t.write(bytes(1000))
        t.set_write_buffer_limits(10.0**40)
        t.write(object())
        batch.turn(t._turn, {7: t}, 3000)
        batch.turn(t._turn, {7: t})
        batch.tell({7: t}, (7, _utcp.MSBATCH_DATA, b"1" * 1000), (7, 0xFF, b"2"))
        t.slow.clear()
        batch.given.clear()
        batch.watched.clear()

    assert blocks(body) < 100


# ---- writes ----------------------------------------------------------------------

LIMITS: list[dict[str, Any]] = [
    {},
    {"high": 1000},
    {"high": 0},
    {"low": 10},
    {"high": 10, "low": 10},
    {"high": 10.5},
    {"high": 1e300, "low": 0},
    {"high": float("inf"), "low": 1},
    {"high": 10**30},
    {"high": True},
    {"high": sys.maxsize},
    {"high": -1},
    {"high": 1, "low": 2},
    {"high": float("nan"), "low": 0},
    {"high": "1"},
    {"low": "1"},
]


@pytest.mark.parametrize("limits", LIMITS, ids=str)
def test_write_buffer_limits_are_taken_as_asyncio_takes_them(limits: Any) -> None:
    class Plain(transports._FlowControlMixin):
        def get_write_buffer_size(self) -> int:
            return 0

    results = []
    for t in (Plain(None, object()), Transport()):
        try:
            t.set_write_buffer_limits(**limits)
            failed = None
        except (TypeError, ValueError) as e:
            failed = type(e), str(e)
        got = t.get_write_buffer_limits()
        results.append((failed, got, [type(n) for n in got]))
    assert results[0] == results[1]


def test_writes_wait_for_the_turn_up_to_the_high_water_mark() -> None:
    t = Transport()
    t.set_write_buffer_limits(10.5)
    for data in (b"", b"12345", bytearray(b"x"), b"67890", b"1"):
        t.write(data)
    assert t._out == [b"12345", b"67890"] and t._out_bytes == 10
    assert t.slow == [b"", bytearray(b"x"), b"1"]
    assert t._turn == [t] and t._dirty
    t.set_write_buffer_limits(float("inf"), 0)
    t.write(b"1")
    assert t._out_bytes == 11 and len(t.slow) == 3


@pytest.mark.parametrize(
    "field", [{"_eof": True}, {"_conn_lost": 1}, {"_empty_waiter": 5}], ids=str
)
def test_a_write_that_comes_too_late_is_not_taken(field: dict[str, Any]) -> None:
    t = Transport()
    for name, value in field.items():
        setattr(t, name, value)
    t.write(b"x")
    assert t.slow == [b"x"] and t._out == [] and t._turn == []


def test_a_turn_has_the_commands_of_all_who_wrote() -> None:
    turn: list[Any] = []
    streams = []
    for i in range(3):
        t = Transport()
        t._turn, t._id = turn, i
        t.write(b"%d" % i)
        t.write(b"more")
        streams.append(t)
    streams[1]._after = _utcp.MSBATCH_SHUTDOWN
    streams[2]._watched = True
    streams[2]._all = _utcp.MSBATCH_ALL
    batch = Batch()
    batch.turn(turn)
    assert batch.watched == [streams[2]]
    write, shutdown = _utcp.MSBATCH_WRITE, _utcp.MSBATCH_SHUTDOWN
    assert batch.given == [
        (
            [
                (0, write, 5, 0),
                (1, write, 5, 0),
                (1, shutdown, 0, 0),
                (2, write, 5, _utcp.MSBATCH_ALL),
            ],
            b"0more1more2more",
        )
    ]
    assert turn == [] and not any(t._dirty or t._out_bytes or t._out for t in streams)
    batch.turn(turn)
    assert batch.given[1:] == [([], b"")]


def test_a_turn_takes_no_more_of_a_stream_than_its_limit() -> None:
    t = Transport()
    for data in (b"12", memoryview(b"345"), b"678", b"9"):
        t._out.append(data)
        t._out_bytes += len(data)
    t._turn.append(t)
    batch = Batch()
    for _ in range(3):
        batch.turn(t._turn, limit=4)
        t._turn.append(t)
    assert [data for _, data in batch.given] == [b"1234", b"5678", b"9"]
    assert batch.watched == [t, t, t] and t._out == [] and t._out_bytes == 0


def test_what_the_stack_did_not_take_is_the_stream_s_again() -> None:
    streams = [Transport() for _ in range(3)]
    for i, t in enumerate(streams):
        t._id, t._turn = i, streams[0]._turn
        t.write(b"%d2345" % i)
    streams[1]._eof = True
    batch = Batch()
    short, error = _utcp.MSBATCH_SHORT, _utcp.MSBATCH_ERROR
    batch.bring((0, short, 0, 3, 0), (1, short, 0, 0, 1), (2, error, 32, 0, 2))
    batch.turn(streams[0]._turn, dict(enumerate(streams)))
    assert [b"".join(t._out) for t in streams] == [b"45", b"12345", b""]
    assert [t._out_bytes for t in streams] == [2, 5, 0]
    assert [t._blocked and t._watched for t in streams] == [True, True, False]
    assert [t._after for t in streams] == [0, _utcp.MSBATCH_SHUTDOWN, 0]
    assert batch.answers == [(streams[2], _utcp.MSBATCH_WRITE, 32, b"")]
    assert batch.told.left == 0


def test_a_datagram_that_was_not_taken_is_told() -> None:
    batch = Batch()
    sendto = _utcp.MSBATCH_SENDTO
    batch.cmds += (5, _utcp.MSBATCH_MODE, 0, 1, 7, sendto, 2, 0, 7, sendto, 3, 0)
    batch.chunks += (b"ab", b"cde")
    batch.bring(*((i, _utcp.MSBATCH_SHORT, 0, 0, k) for i, k in ((7, 1), (7, 2))))
    batch.turn([], {7: "endpoint"})
    assert batch.answers == [
        ("endpoint", sendto, 0, b"ab"),
        ("endpoint", sendto, 0, b"cde"),
    ]
    assert batch.cmds == batch.chunks == []


def test_who_has_not_had_his_turn_keeps_it() -> None:
    turn: list[Any] = []
    streams: list[Any] = [Transport(), 5, Transport()]
    for t in streams[::2]:
        t._turn = turn
        t.write(b"1")
    turn.insert(1, 5)
    batch = Batch()
    with pytest.raises(TypeError, match="not a Stream"):
        batch.turn(turn)
    assert turn == streams[1:] and batch.given == []
    assert batch.cmds == [0, _utcp.MSBATCH_WRITE, 1, 0] and batch.chunks == [b"1"]
    del turn[0]
    batch.turn(turn)
    assert turn == [] and batch.given[0][1] == b"11"


@pytest.mark.parametrize(
    "wrong",
    [{0: ()}, {1: [1, 0, -1, 0]}, {1: [1, 0, 1 << 32, 0]}, {2: [1]}, {5: []}, {6: ""}],
    ids=str,
)
def test_a_turn_that_makes_no_sense_is_none(wrong: dict[int, Any]) -> None:
    batch = Batch()
    args: list[Any] = [[], [1, 0, 0, 0], [], [], [], {}, 1, 0]
    for i, arg in wrong.items():
        args[i] = arg
    with pytest.raises((TypeError, OverflowError)):
        batch.told.turn(*args)
    with pytest.raises(TypeError):
        batch.told.turn(*args[1:])
    assert batch.given == []


def test_a_turn_of_which_nothing_came_brings_nothing() -> None:
    batch = Batch()
    batch.put((1, DATA, b"old"))
    batch.told.tell({}, None)
    batch.result = -errno.ENOMEM
    assert batch.turn([]) == -errno.ENOMEM and batch.told.left == 0


# ---- events ----------------------------------------------------------------------


RUN = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.POINTER(_utcp.BatchCmd),
    ctypes.c_uint,
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_uint32,
)


class Batch:
    """A batch's turns, made by hand."""

    def __init__(self) -> None:
        self.arena = ctypes.create_string_buffer(1 << 16)
        self.events = (_utcp.BatchEvent * 64)()
        self.view = _utcp.BatchView(
            events=ctypes.addressof(self.events), arena=ctypes.addressof(self.arena)
        )
        self._run = RUN(self._turn)
        at = (7, ctypes.addressof(self.view))
        self.told = Told(*at, ctypes.cast(self._run, ctypes.c_void_p).value)
        self.given: list[tuple[list[Any], bytes]] = []  # in each turn
        self.result: int | None = None
        self.unclaimed: list[int] = []
        # What a Stack has.
        self.cmds: list[int] = []
        self.chunks: list[bytes] = []
        self.watched: list[Any] = []
        self.answers: list[Any] = []

    def _turn(self, b: int, cmds: Any, n: int, data: int, size: int, _: int) -> int:
        assert b == 7
        words = [(c.id, c.op, c.len, c.arg) for c in cmds[:n]]
        self.given.append((words, ctypes.string_at(data, size) if size else b""))
        return self.view.num_events if self.result is None else self.result

    def turn(
        self,
        dirty: list[Any],
        endpoints: dict[int, Any] | None = None,
        limit: int = 1 << 20,
    ) -> int:
        lists = (dirty, self.cmds, self.chunks, self.watched, self.answers)
        return int(self.told.turn(*lists, endpoints or {}, limit, 0))

    def bring(self, *answers: tuple[int, int, int, int, int]) -> None:
        """With the next turn: (id, what, error, how much was taken, command)."""
        for i, (id_, what, error, taken, arg) in enumerate(answers):
            self.events[i] = (id_, what, error, 0, taken, arg, 0)
        self.view.num_events = self.view.num_answers = len(answers)

    def put(self, *events: Any) -> int:
        at = 0
        for i, (id_, what, data) in enumerate(events):
            self.arena[at : at + len(data)] = data
            self.events[i] = (id_, what, 0, at, len(data), 100 + i, 0)
            at += len(data)
        self.view.num_events = len(events)
        return self.turn([])

    def tell(self, endpoints: dict[int, Any], *events: Any) -> None:
        self.put(*events)
        owner = type("Owner", (), {"unclaimed": self.unclaimed.append})
        self.told.tell(endpoints, owner)


DATA, EOF = _utcp.MSBATCH_DATA, _utcp.MSBATCH_EOF


def plain(data_received: Callable[[bytes], Any]) -> Transport:
    t = Transport()
    t._run, t._data_received, t.plain = contextvars.Context().run, data_received, True
    return t


def test_data_goes_straight_to_a_protocol_that_takes_it_so() -> None:
    seen: list[bytes] = []
    straight, slow = plain(seen.append), Transport()
    events = [(1, DATA, b"ab"), (2, DATA, b"c"), (1, DATA | EOF, b"d"), (3, DATA, b"e")]
    batch = Batch()
    batch.tell({1: straight, 2: slow}, *events, (9, _utcp.MSBATCH_ACCEPTED, b""))
    assert seen == [b"ab"] and type(seen[0]) is bytes
    assert slow.slow == [(DATA, 0, 2, 1, 101)]
    assert straight.slow == [(DATA | EOF, 0, 3, 1, 102)]
    assert batch.unclaimed == [104] and batch.told.left == 0


def test_an_exception_of_a_protocol_is_its_transports() -> None:
    t = plain(refuse)
    Batch().tell({1: t}, (1, DATA, b"x"))
    ((exc, handled),) = t.slow
    assert type(exc) is Refused and exc.args == (b"x",) and handled is exc
    assert sys.exc_info() == (None, None, None)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_ends_a_program_leaves_the_events_behind_it(error: Any) -> None:
    def leave(data: bytes) -> None:
        raise error

    seen: list[bytes] = []
    batch = Batch()
    endpoints = {1: plain(leave), 2: plain(seen.append)}
    with pytest.raises(error):
        batch.tell(endpoints, (1, DATA, b"1"), (2, DATA, b"2"), (2, DATA, b"3"))
    assert batch.told.left == 2 and seen == []
    batch.told.tell(endpoints, None)
    assert batch.told.left == 0 and seen == [b"2", b"3"]


def test_a_callback_may_end_any_endpoint_and_the_batch() -> None:
    batch = Batch()
    endpoints: dict[int, Any] = {}

    def end(data: bytes) -> None:
        t = endpoints.pop(int(data))
        t._run = t._data_received = None
        gc.collect()

    for i in range(3):
        endpoints[i] = plain(end)
    batch.tell(endpoints, *[(i, DATA, b"%d" % (i ^ 1)) for i in range(3)][:2])
    assert list(endpoints) == [0, 2]
    batch.tell(endpoints, (2, DATA, b"2"), (2, DATA, b"2"))
    assert list(endpoints) == [0]

    def close(data: bytes) -> None:
        batch.told.close()
        ctypes.memset(batch.events, 0xFF, ctypes.sizeof(batch.events))
        batch.view.events = None

    endpoints[0]._data_received = close
    batch.tell(endpoints, (0, DATA, b"1"), (0, DATA, b"2"))
    assert batch.told.left == 0 and batch.turn([]) == -errno.EINVAL


def test_answers_to_commands_are_no_events() -> None:
    batch = Batch()
    seen: list[bytes] = []
    batch.view.num_answers = 2
    batch.cmds += (9, _utcp.MSBATCH_SHUTDOWN, 0, 0) * 102
    batch.put((1, _utcp.MSBATCH_SHORT, b"abc"), (2, 8, b""), (3, DATA, b"data"))
    assert batch.told.left == 1 and batch.answers == []
    batch.told.tell({3: plain(seen.append)}, None)
    assert seen == [b"data"]
