# SPDX-License-Identifier: BSD-2-Clause
"""What is compiled of the event loop (bindings/speed) keeps asyncio's rules: the
same body, asyncio's loop and the compiled one without a stack under it."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import ctypes
import errno
import gc
import inspect
import selectors
import sys
import threading
import weakref
from asyncio import transports
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multistack import _utcp
from multistack._fast import Scheduler, Stream, Told
from multistack.loop import EventLoop


class Compiled(Scheduler, asyncio.SelectorEventLoop):
    """EventLoop without its stack."""

    _callback_failed = EventLoop._callback_failed


LOOPS = {"asyncio": asyncio.SelectorEventLoop, "compiled": Compiled}


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> Iterator[Any]:
    made = LOOPS[request.param]()
    yield made
    made.close()


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


# ---- callbacks -------------------------------------------------------------------


def test_callbacks_run_in_order_with_all_their_arguments(loop: Any) -> None:
    seen: list[Any] = []
    for n in range(6):
        loop.call_soon(lambda *args: seen.append(args), *range(n))
    handle = loop.call_soon(nothing, 1, "2", None)
    assert handle._args == (1, "2", None) and handle._callback is nothing
    assert seen == []
    iterate(loop)
    assert seen == [tuple(range(n)) for n in range(6)]


def test_what_callbacks_add_runs_in_the_next_iteration(loop: Any) -> None:
    seen: list[int] = []

    def add(n: int) -> None:
        seen.append(n)
        loop.call_soon(add, n + 1)

    loop.call_soon(add, 0)
    for n in range(4):
        iterate(loop)
        assert seen == list(range(n + 1))


def test_arguments_may_be_named(loop: Any) -> None:
    seen: list[int] = []
    add = seen.append
    loop.call_soon(callback=lambda: add(0))
    loop.call_at(when=0, callback=lambda: add(1))
    loop.call_later(0, callback=lambda: add(2))
    loop.call_later(delay=0, callback=lambda: add(3))
    while len(seen) < 4:
        iterate(loop)
    assert sorted(seen) == [0, 1, 2, 3]


def test_a_callback_runs_in_the_context_of_its_maker_or_the_one_given(
    loop: Any,
) -> None:
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name")
    seen: list[str] = []
    other = contextvars.Context()
    other.run(name.set, "given")
    name.set("own")
    handle = loop.call_soon(lambda: seen.append(name.get()))
    loop.call_soon(lambda: seen.append(name.get()), context=other)
    loop.call_later(0, lambda: seen.append(name.get()), context=None)
    given = loop.call_at(0, lambda a, b, c: seen.append(a + name.get()), *"123")
    name.set("changed")
    for _ in range(3):
        iterate(loop)
    assert sorted(seen) == ["1own", "given", "own", "own"]
    assert handle._context[name] == given._context[name] == "own"
    assert loop.call_soon(nothing, context=other)._context is other


WRONG: dict[str, Callable[[Any], Any]] = {
    "soon: nothing": lambda loop: loop.call_soon(),
    "at: nothing": lambda loop: loop.call_at(),
    "at: no callback": lambda loop: loop.call_at(1),
    "later: nothing": lambda loop: loop.call_later(),
    "later: no callback": lambda loop: loop.call_later(1),
    "soon: keyword": lambda loop: loop.call_soon(nothing, what=1),
    "at: keyword": lambda loop: loop.call_at(1, nothing, what=1),
    "later: keywords": lambda loop: loop.call_later(1, nothing, context=None, a=1),
    "at: None": lambda loop: loop.call_at(None, nothing),
    "later: None": lambda loop: loop.call_later(None, nothing),
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("debug", [False, True])
def test_wrong_calls_are_refused_in_the_same_words(case: str, debug: bool) -> None:
    words = set()
    for make in LOOPS.values():
        with contextlib.closing(make()) as loop:
            loop.set_debug(debug)
            # AssertionError: 3.10's, of None.
            with pytest.raises((TypeError, AssertionError)) as failed:
                WRONG[case](loop)
            words.add(str(failed.value))
    assert len(words) == 1


def test_a_delay_is_a_number(loop: Any) -> None:
    for wrong in ("1", []):
        with pytest.raises(TypeError):
            loop.call_later(wrong, nothing)
    with pytest.raises(OverflowError):
        loop.call_later(10**400, nothing)
    loop.call_later(True, nothing)
    loop.call_later(float("inf"), nothing)
    loop.call_later(float("-inf"), nothing)
    iterate(loop)
    assert [h.when() for h in loop._scheduled if h.when() == float("inf")]


def test_signatures_are_asyncios() -> None:
    for name in ("call_soon", "call_at", "call_later", "time"):
        shown = []
        for kind in LOOPS.values():
            parameters = inspect.signature(getattr(kind, name)).parameters.values()
            shown.append([(p.name, p.kind, p.default) for p in parameters][1:])
        assert shown[0] == shown[1]


def test_a_closed_loop_takes_nothing(loop: Any) -> None:
    loop.close()
    for call in (
        lambda: loop.call_soon(nothing),
        lambda: loop.call_at(1, nothing),
        lambda: loop.call_later(1, nothing),
        lambda: loop.call_soon_threadsafe(nothing),
        loop.run_forever,
    ):
        with pytest.raises(RuntimeError, match="Event loop is closed"):
            call()
    loop.time()


# ---- exceptions ------------------------------------------------------------------


class Refused(Exception):
    pass


def refuse(*args: Any) -> None:
    raise Refused(*args)


def test_an_exception_is_told_as_if_in_an_except(loop: Any) -> None:
    seen: list[Any] = []

    def handler(loop: Any, context: dict[str, Any]) -> None:
        seen.append((context, sys.exc_info()))

    loop.set_exception_handler(handler)
    handle = loop.call_soon(refuse, 1, 2, 3)
    loop.call_soon(lambda: seen.append(sys.exc_info()))
    iterate(loop)
    (context, inside), outside = seen
    exc = context["exception"]
    assert type(exc) is Refused and exc.args == (1, 2, 3)
    assert inside[:2] == (Refused, exc) and inside[2] is not None
    assert outside == (None, None, None)
    assert context["handle"] is handle
    shown = "refuse()" if sys.version_info >= (3, 13) else "refuse(1, 2, 3)"
    assert context["message"].startswith(f"Exception in callback {shown}")
    assert sorted(context) == ["exception", "handle", "message"]
    assert exc.__traceback__.tb_frame is not None
    while exc.__traceback__.tb_next:
        exc.__traceback__ = exc.__traceback__.tb_next
    assert exc.__traceback__.tb_frame.f_code is refuse.__code__


def test_a_loop_run_in_an_except_leaves_that_as_it_was(loop: Any) -> None:
    contexts = told(loop)
    loop.call_soon(refuse)
    try:
        raise KeyError("outer")
    except KeyError as outer:
        iterate(loop)
        assert sys.exc_info()[1] is outer
    assert type(contexts[0]["exception"]) is Refused
    assert sys.exc_info() == (None, None, None)


@pytest.mark.parametrize("wrong", [None, 5, "text", object()])
def test_what_is_not_callable_fails_when_it_is_called(loop: Any, wrong: Any) -> None:
    contexts = told(loop)
    loop.call_soon(wrong)
    loop.call_later(0, wrong, 1)
    while len(contexts) < 2:
        iterate(loop)
    for context in contexts:
        assert type(context["exception"]) is TypeError
        assert "not callable" in str(context["exception"])


def test_what_is_no_context_fails_when_it_is_run(loop: Any) -> None:
    contexts = told(loop)
    loop.call_soon(nothing, context=5)
    loop.call_soon(nothing, 1, 2, 3, context=5)
    iterate(loop)
    assert [type(c["exception"]) for c in contexts] == [AttributeError] * 2


def test_debug_mode_looks_at_callbacks_at_once(loop: Any) -> None:
    async def coroutine() -> None:
        pass

    loop.set_debug(True)
    for call in (
        lambda f: loop.call_soon(f),
        lambda f: loop.call_at(1, f),
        lambda f: loop.call_later(1, f),
    ):
        with pytest.raises(TypeError, match="a callable object was expected by call_"):
            call(5)
        with pytest.raises(TypeError, match="coroutines cannot be used with call_"):
            call(coroutine)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_ends_a_program_leaves_the_rest_ready(loop: Any, error: Any) -> None:
    seen: list[int] = []

    def leave() -> None:
        raise error

    contexts = told(loop)
    loop.call_soon(seen.append, 1)
    loop.call_soon(leave)
    loop.call_soon(seen.append, 2)
    with pytest.raises(error):
        loop.run_forever()
    assert seen == [1] and contexts == []
    iterate(loop)
    assert seen == [1, 2]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_a_handler_may_end_the_program(loop: Any, error: Any) -> None:
    seen: list[int] = []

    def handler(loop: Any, context: Any) -> None:
        raise error

    loop.set_exception_handler(handler)
    loop.call_soon(refuse)
    loop.call_soon(seen.append, 1)
    with pytest.raises(error) as failed:
        loop.run_forever()
    assert type(failed.value.__context__) is Refused
    assert seen == []
    iterate(loop)
    assert seen == [1]


def test_an_exception_of_the_handler_is_logged_and_the_loop_goes_on(
    loop: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def handler(loop: Any, context: Any) -> None:
        raise ValueError("of the handler")

    seen: list[int] = []
    loop.set_exception_handler(handler)
    loop.call_soon(refuse)
    loop.call_soon(seen.append, 1)
    iterate(loop)
    assert seen == [1]
    assert "Unhandled error in exception handler" in caplog.text
    assert "of the handler" in caplog.text


def test_a_callback_that_cancels_itself_has_its_arguments(loop: Any) -> None:
    contexts = told(loop)
    handles: list[Any] = []

    def callback(*args: Any) -> None:
        handles.pop(0).cancel()
        gc.collect()
        raise Refused(*map(len, args))

    for n in (1, 2, 5):
        # What nobody else has: its handle gives it away in cancel().
        handles.append(loop.call_soon(callback, *([[0] * i] for i in range(n))))
    iterate(loop)
    exceptions = [c["exception"] for c in contexts]
    assert [e.args for e in exceptions] == [(1,), (1, 1), (1, 1, 1, 1, 1)]
    assert {c["message"] for c in contexts} == {"Exception in callback None()"}


def test_recursion_too_deep_is_an_exception(loop: Any) -> None:
    contexts = told(loop)

    def deeper(handle: Any) -> None:
        loop.call_soon(deeper, None)._run()

    loop.call_soon(deeper, None)
    iterate(loop)
    assert type(contexts[0]["exception"]) is RecursionError
    loop._ready.clear()


# ---- tasks, futures -----------------------------------------------------------------


def ran(loop: Any, make: Callable[[Any, Any], Any]) -> Any:
    """A task that make() makes of a coroutine, when it has run."""

    async def coroutine() -> Any:
        await asyncio.sleep(0)
        return asyncio.current_task()

    coro = coroutine()
    try:
        task = make(loop, coro)
    except BaseException:
        coro.close()
        raise
    assert loop.run_until_complete(task) is task
    return task


def test_a_task_is_asyncios_of_this_loop(loop: Any) -> None:
    task = ran(loop, lambda loop, coro: loop.create_task(coro))
    assert type(task) is asyncio.Task and task.get_loop() is loop
    assert task.get_name().startswith("Task-")
    named = ran(loop, lambda loop, coro: loop.create_task(coro, name="its name"))
    assert named.get_name() == "its name"
    assert ran(loop, lambda loop, coro: loop.create_task(coro, name=None)).get_name()
    loop.set_debug(True)
    ran(loop, lambda loop, coro: loop.create_task(coro, name="in debug mode"))


@pytest.mark.skipif(sys.version_info < (3, 11), reason="tasks take no context")
def test_a_task_runs_in_the_context_that_it_is_given(loop: Any) -> None:
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name")
    context = contextvars.Context()

    async def coroutine() -> None:
        name.set("set by the task")

    loop.run_until_complete(loop.create_task(coroutine(), context=context))
    assert context[name] == "set by the task"
    loop.run_until_complete(loop.create_task(coroutine(), name="n", context=None))
    assert name not in contextvars.copy_context()


WRONG_TASKS: dict[str, Callable[[Any, Any], Any]] = {
    "nothing": lambda loop, coro: loop.create_task(),
    "two": lambda loop, coro: loop.create_task(coro, coro),
    "loop": lambda loop, coro: loop.create_task(coro, loop=loop),
    "unknown": lambda loop, coro: loop.create_task(coro, what=1),
    "no coroutine": lambda loop, coro: loop.create_task(5),
    "future": lambda loop, coro: loop.create_task(loop.create_future()),
    "future's argument": lambda loop, coro: loop.create_future(1),
}


@pytest.mark.parametrize("case", WRONG_TASKS)
def test_wrong_tasks_are_refused_as_asyncio_does(case: str) -> None:
    kinds = set()
    for make in LOOPS.values():
        with contextlib.closing(make()) as loop:
            with pytest.raises(TypeError) as failed:
                ran(loop, WRONG_TASKS[case])
            if case not in ("future", "future's argument"):
                kinds.add(str(failed.value))
    assert len(kinds) <= 1


def test_a_task_may_start_at_once(loop: Any) -> None:
    """Where asyncio's own takes that; else it is an argument too many."""
    takes = inspect.signature(asyncio.BaseEventLoop.create_task).parameters.values()

    async def nothing_awaited() -> None:
        pass

    async def main() -> bool:
        done = asyncio.sleep(0, 5)
        coro = nothing_awaited()
        if any(p.kind is p.VAR_KEYWORD for p in takes):
            at_once = loop.create_task(coro, eager_start=True).done()
        else:
            with pytest.raises(TypeError, match="eager_start"):
                loop.create_task(coro, eager_start=True)
            coro.close()
            at_once = True
        return at_once and await done == 5

    assert loop.run_until_complete(main())


def test_a_task_factory_makes_the_tasks(loop: Any) -> None:
    made: list[Any] = []

    def factory(loop: Any, coro: Any, **kw: Any) -> Any:
        made.append(kw)
        return asyncio.Task(coro, loop=loop, **kw)

    loop.set_task_factory(factory)
    assert loop.get_task_factory() is factory
    task = ran(loop, lambda loop, coro: loop.create_task(coro, name="its name"))
    assert len(made) == 1 and task.get_name() == "its name"
    loop.set_task_factory(None)
    ran(loop, lambda loop, coro: loop.create_task(coro))
    assert len(made) == 1
    with pytest.raises(TypeError, match="task factory must be a callable or None"):
        loop.set_task_factory(5)


def test_a_future_is_asyncios_of_this_loop(loop: Any) -> None:
    future = loop.create_future()
    assert type(future) is asyncio.Future and future.get_loop() is loop
    loop.call_soon(future.set_result, 5)
    assert loop.run_until_complete(future) == 5


def test_a_closed_loop_has_no_tasks(loop: Any) -> None:
    async def coroutine() -> None:
        pass

    loop.close()
    coro = coroutine()
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.create_task(coro)
    coro.close()


# ---- handles ---------------------------------------------------------------------


def test_cancelled_callbacks_do_not_run(loop: Any) -> None:
    seen: list[int] = []
    handles = [
        loop.call_soon(seen.append, 1),
        loop.call_later(0, seen.append, 2),
        loop.call_at(loop.time(), seen.append, 3),
    ]
    loop.call_soon(handles[0].cancel)
    assert not any(h.cancelled() for h in handles)
    for handle in handles:
        assert handle.cancel() is None
        handle.cancel()
        assert handle.cancelled() and handle._cancelled
        assert handle._callback is None and handle._args is None
    assert loop._timer_cancelled_count == 2
    for _ in range(3):
        iterate(loop)
    assert seen == [] and loop._timer_cancelled_count == 0


def test_a_timer_knows_its_time(loop: Any) -> None:
    before = loop.time()
    later = loop.call_later(5, nothing)
    assert before + 5 <= later.when() <= loop.time() + 5
    assert loop.call_at(123.5, nothing).when() == 123.5
    assert not hasattr(loop.call_soon(nothing), "when")


def test_handles_are_shown_as_asyncios() -> None:
    shown = []
    for make in LOOPS.values():
        with contextlib.closing(make()) as loop:
            handles = [
                loop.call_soon(nothing),
                loop.call_soon(nothing, 1, 2, 3),
                loop.call_at(1.5, nothing, "x"),
                loop.call_at(2.5, nothing),
                loop.call_soon(nothing),
            ]
            handles[3].cancel()
            handles[4].cancel()
            shown.append([repr(h) for h in handles])
            for h in handles:
                assert isinstance(h, asyncio.Handle)
                assert h._source_traceback is None
            assert isinstance(handles[2], asyncio.TimerHandle)
            assert not isinstance(handles[0], asyncio.TimerHandle)
    assert shown[0] == shown[1]


def test_timers_compare_as_asyncios() -> None:
    def other() -> None:
        pass

    tables = []
    for make in LOOPS.values():
        with contextlib.closing(make()) as loop:
            timers = [
                loop.call_at(when, f, *args)
                for when, f, args in [
                    (1.0, nothing, ()),
                    (1.0, nothing, ()),
                    (1.0, other, ()),
                    (1.0, nothing, (1,)),
                    (1.0, nothing, (1, 2, 3)),
                    (2.0, nothing, ()),
                    (2.0, nothing, ()),
                    (float("nan"), nothing, ()),
                ]
            ]
            timers[6].cancel()
            # One of debug mode is asyncio's own.
            loop.set_debug(True)
            timers.append(loop.call_at(1.0, nothing))
            table = []
            for a in timers:
                for b in timers:
                    table.append((a < b, a <= b, a > b, a >= b, a == b, a != b))
            table.append([hash(t) for t in timers[:7]])
            soon = loop.call_soon(nothing)
            assert timers[0] != soon and timers[0] != 1
            for wrong in (soon, 1, None):
                with pytest.raises(TypeError):
                    _ = timers[0] < wrong
            tables.append(table)
    assert tables[0] == tables[1]


def test_a_handle_is_made_by_a_loop_only() -> None:
    with contextlib.closing(Compiled()) as loop:
        for handle in (loop.call_soon(nothing), loop.call_at(1, nothing)):
            kind = type(handle)
            for make in (
                kind,
                lambda k=kind: k.__new__(k),
                lambda k=kind: object.__new__(k),
            ):
                with pytest.raises(TypeError):
                    make()
            with pytest.raises(TypeError):
                handle.__class__ = asyncio.Handle
            with pytest.raises(TypeError):
                type("Sub", (kind,), {})
            with pytest.raises(AttributeError):
                asyncio.Handle.__init__(handle, nothing, (), loop)


def test_handles_may_be_referred_to_weakly(loop: Any) -> None:
    ends: list[int] = []
    refs = [
        weakref.ref(loop.call_soon(nothing, *range(n)), lambda _: ends.append(1))
        for n in (0, 2, 4)
    ]
    assert all(ref() for ref in refs)
    iterate(loop)
    assert not any(ref() for ref in refs) and len(ends) == 3


def test_a_long_chain_of_handles_is_freed_on_a_small_stack() -> None:
    loop = Compiled()
    handle = None
    for _ in range(20_000):
        handle = loop.call_soon(nothing, handle)
    for _ in range(5_000):
        handle = loop.call_soon(nothing, (handle,), 1, 2)
    first = weakref.ref(loop._ready[0])
    del handle
    before = threading.stack_size(256 << 10)
    thread = threading.Thread(target=iterate, args=(loop,))
    thread.start()
    threading.stack_size(before)
    thread.join()
    assert first() is None
    loop.close()


# ---- timers ----------------------------------------------------------------------


def test_timers_run_when_their_time_has_come(loop: Any) -> None:
    seen: list[int] = []
    now = loop.time()
    for n in (3, 1, 2, 0):
        loop.call_at(now + n / 1000, seen.append, n)
    loop.call_later(0.01, loop.stop)
    loop.run_forever()
    assert seen == [0, 1, 2, 3]


def test_cancelled_timers_do_not_pile_up(loop: Any) -> None:
    kept = [loop.call_later(1000 + i, nothing) for i in range(60)]
    gone = [loop.call_later(1000 - i, nothing) for i in range(400)]
    for timer in gone:
        timer.cancel()
    assert loop._timer_cancelled_count == 400
    iterate(loop)
    assert sorted(loop._scheduled) == kept
    assert all(t._scheduled for t in kept) and not any(t._scheduled for t in gone)
    assert loop._timer_cancelled_count == 0
    gone[0].cancel()
    assert loop._timer_cancelled_count == 0


def test_time_is_the_monotonic_clock(loop: Any) -> None:
    import time

    for _ in range(1000):
        assert time.monotonic() <= loop.time() <= time.monotonic()


# ---- debug mode ------------------------------------------------------------------


def test_debug_mode_may_change_while_callbacks_wait(
    loop: Any, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[int] = []
    handles = []
    for debug in (False, True, False, True):
        loop.set_debug(debug)
        handles.append(loop.call_soon(seen.append, 1))
        handles.append(loop.call_later(0, seen.append, 2))
        handles.append(loop.call_later(0, seen.append, 3))
        handles[-1].cancel()
    loop.slow_callback_duration = 0
    while len(seen) < 8:
        iterate(loop)
    assert sorted(seen) == [1] * 4 + [2] * 4
    assert "Executing <Handle" in caplog.text
    loop.set_debug(1)
    assert loop.get_debug()
    with pytest.raises(RuntimeError, match="Non-thread-safe operation"):
        in_thread(loop)


def in_thread(loop: Any) -> None:
    """call_soon() from another thread while the loop runs."""
    failed: list[BaseException] = []

    def call() -> None:
        try:
            loop.call_soon(nothing)
        except BaseException as e:
            failed.append(e)

    def run() -> None:
        thread = threading.Thread(target=call)
        thread.start()
        thread.join()

    loop.call_soon(run)
    iterate(loop)
    raise failed[0]


# ---- subclasses, attributes ------------------------------------------------------


@pytest.mark.parametrize("base", LOOPS.values(), ids=LOOPS)
def test_a_subclass_has_its_say(base: Any) -> None:
    called: list[str] = []

    class Sub(base):  # type: ignore[misc]
        now = 100.0

        def time(self) -> float:
            return self.now

        def call_soon(self, *args: Any, **kw: Any) -> Any:
            called.append("call_soon")
            return super().call_soon(*args, **kw)

        def call_at(self, *args: Any, **kw: Any) -> Any:
            called.append("call_at")
            return super().call_at(*args, **kw)

        def _run_once(self) -> None:
            called.append("_run_once")
            super()._run_once()

    with contextlib.closing(Sub()) as loop:
        timer = loop.call_later(5, called.append, "timer")
        assert called == ["call_at"] and timer.when() == 105
        loop.call_soon(called.append, "soon")
        iterate(loop)
        loop.now = 105.0
        iterate(loop)
    assert called[1:] == ["call_soon", "_run_once", "soon", "_run_once", "timer"]


def test_a_clock_that_fails_ends_the_iteration(loop: Any) -> None:
    class Broken(type(loop)):  # type: ignore[misc]
        def time(self) -> float:
            raise LookupError

    with contextlib.closing(Broken()) as other:
        other.call_at(1, nothing)
        with pytest.raises(LookupError):
            other.call_later(1, nothing)
        with pytest.raises(LookupError):
            other.run_forever()


def test_fields_of_the_loop_cannot_be_taken_away() -> None:
    with contextlib.closing(Compiled()) as loop:
        for name in ("_ready", "_scheduled", "_selector", "_task_factory"):
            with pytest.raises(TypeError, match=name):
                delattr(loop, name)
        for wrong in (None, (), 5):
            with pytest.raises(TypeError, match="_scheduled must be a list"):
                loop._scheduled = wrong
        loop._scheduled = [loop.call_later(0, nothing)]
        iterate(loop)


def test_a_loop_that_was_not_made_whole_fails_and_no_more() -> None:
    loop = Compiled.__new__(Compiled)
    for call in (
        lambda: loop._run_once(),
        lambda: loop.call_soon(nothing),
        lambda: loop.call_at(1, nothing),
        lambda: loop.call_later(1, nothing),
        lambda: loop._ready,
    ):
        with pytest.raises((AttributeError, RuntimeError)):
            call()
    assert loop.is_closed()


def test_what_is_replaced_during_an_iteration_is_used_to_its_end(loop: Any) -> None:
    """Timers of others whose looks change the heap: an exception at most."""

    class Timer(asyncio.TimerHandle):
        @property
        def _when(self) -> float:  # type: ignore[override]
            loop._scheduled = []
            gc.collect()
            return 0.0

        @_when.setter
        def _when(self, value: float) -> None:
            pass

    contexts = told(loop)
    for _ in range(20):
        loop._scheduled = [Timer(0, nothing, (), loop) for _ in range(3)]
        with contextlib.suppress(IndexError, RuntimeError):
            loop.call_at(1, nothing)
        with contextlib.suppress(IndexError, RuntimeError):
            iterate(loop)
    assert contexts == []


# ---- garbage ---------------------------------------------------------------------


def test_handles_in_cycles_are_collected(loop: Any) -> None:
    class Owner:
        handle: Any = None

        def method(self, *args: Any) -> None:
            pass

    refs = []
    for n in (0, 1, 3):
        for call in (loop.call_soon, lambda *a: loop.call_at(0, *a)):
            owner = Owner()
            owner.handle = call(owner.method, *[owner] * n)
            refs.append(weakref.ref(owner))
            refs.append(weakref.ref(owner.handle))
    del owner
    iterate(loop)
    iterate(loop)
    gc.collect()
    assert [r() for r in refs] == [None] * len(refs)


def test_a_loop_with_what_waits_in_it_is_collected(loop: Any) -> None:
    other = type(loop)()
    marks = []
    for _ in range(3):

        def callback(*args: Any) -> None:
            pass

        callback.loop = other  # type: ignore[attr-defined]
        other.call_soon(callback, other)
        other.call_later(1000, callback, 1, 2, other)
        marks.append(weakref.ref(callback))
    del callback
    marks.append(weakref.ref(other))
    with pytest.warns(ResourceWarning, match="unclosed event loop"):
        del other
        gc.collect()
    assert [m() for m in marks] == [None] * 4


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


def test_nothing_is_lost_of_what_callbacks_had() -> None:
    with contextlib.closing(Compiled()) as loop:
        loop.set_exception_handler(nothing)

        def body() -> None:
            for n in range(5):
                loop.call_soon(nothing, *[object() for _ in range(n)])
                loop.call_later(0, nothing, *[object() for _ in range(n)])
                loop.call_soon(nothing, object(), context=contextvars.Context())
                loop.call_at(1e9, nothing, object()).cancel()
                loop.call_soon(refuse, *[object() for _ in range(n)])
                loop.call_soon(object())
            for wrong in WRONG.values():
                with contextlib.suppress(TypeError, AssertionError):
                    wrong(loop)
            for name in ("name", None):
                loop.create_task(asyncio.sleep(0), name=name)
            loop.create_future().set_result(object())
            handle = loop.call_at(0, nothing, object(), object(), object())
            repr(handle), hash(handle), handle._args, handle == loop.call_soon(nothing)
            iterate(loop)
            iterate(loop)

        assert blocks(body) < 100


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


# ---- any program -----------------------------------------------------------------

_step = st.lists(
    st.one_of(
        st.tuples(st.just("soon"), st.integers(0, 4)),
        st.tuples(st.just("later"), st.integers(-1, 6)),
        st.tuples(st.just("at"), st.integers(0, 12)),
        st.tuples(st.just("cancel"), st.integers(0, 50)),
        st.tuples(st.just("burst"), st.integers(90, 130)),
        st.tuples(st.just("debug"), st.integers(0, 1)),
        st.tuples(st.just("raise"), st.just(0)),
    ),
    max_size=5,
)


def follow(make: Any, program: list[Any]) -> list[Any]:
    """Runs it in virtual time: each callback takes the next step of the program."""
    log: list[Any] = []
    handles: list[Any] = []
    steps = iter(program)

    class Clock(selectors.SelectSelector):
        def select(self, timeout: float | None = None) -> Any:
            if timeout is None:
                loop.stop()
            else:
                loop.now += timeout
            return []

    class Virtual(make):  # type: ignore[misc]
        now = 0.0

        def time(self) -> float:
            return self.now

    def callback(number: int, *args: int) -> None:
        log.append((number, loop.now, args))
        for name, n in next(steps, ()):
            if name == "soon":
                handles.append(loop.call_soon(callback, len(handles), *range(n)))
            elif name == "later":
                handles.append(loop.call_later(n, callback, len(handles)))
            elif name == "at":
                handles.append(loop.call_at(n, callback, len(handles), n))
            elif name == "cancel":
                handles[n % len(handles)].cancel()
            elif name == "burst":
                many = [loop.call_later(i % 9, callback, -i) for i in range(n)]
                for i, handle in enumerate(many):
                    if i % 8:
                        handle.cancel()
            elif name == "debug":
                loop.set_debug(n)
            else:
                raise Refused(number)

    loop: Any = Virtual(Clock())
    with contextlib.closing(loop):
        loop.slow_callback_duration = 1000
        loop.set_exception_handler(
            lambda _, c: log.append((c["message"], c["exception"].args))
        )
        handles.append(loop.call_soon(callback, 0))
        loop.run_forever()
        log.append([h.cancelled() for h in handles])
        log.append((loop.now, len(loop._scheduled), loop._timer_cancelled_count))
    return log


@settings(max_examples=150, deadline=None)
@given(st.lists(_step, max_size=30))
def test_any_program_runs_in_the_same_order(program: list[Any]) -> None:
    assert follow(Compiled, program) == follow(asyncio.SelectorEventLoop, program)


def test_threads_wake_the_loop(loop: Any) -> None:
    counts = [0] * 4

    def count(i: int) -> None:
        counts[i] += 1
        if sum(counts) == 4000:
            loop.stop()

    def call(i: int) -> None:
        for _ in range(1000):
            loop.call_soon_threadsafe(count, i)

    threads = [threading.Thread(target=call, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    loop.run_forever()
    for thread in threads:
        thread.join()
    assert counts == [1000] * 4
