# SPDX-License-Identifier: BSD-2-Clause
"""What is compiled of the event loop keeps asyncio's rules: tasks, handles and timers,
debug mode, subclasses, garbage."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import inspect
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from compiled import LOOPS, Compiled, iterate, nothing, told


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> Iterator[Any]:
    made = LOOPS[request.param]()
    yield made
    made.close()


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
