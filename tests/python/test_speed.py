# SPDX-License-Identifier: BSD-2-Clause
"""What is compiled of the event loop (bindings/speed) keeps asyncio's rules: the
same body, asyncio's loop and the compiled one without a stack under it. Callbacks,
their exceptions, and any program of them."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import inspect
import selectors
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from compiled import LOOPS, Compiled, Refused, blocks, iterate, nothing, refuse, told
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> Iterator[Any]:
    made = LOOPS[request.param]()
    yield made
    made.close()


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
