"""The table of endings: what leaves a level, in every form a level has, and what is told of it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import sys
import threading
import traceback
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.trace import StatusCode

from otel_progress import Level, ProgressCancelled, State, current, history, level, names, operation, track
from otel_progress.testing import Capture, capture_progress

from .kit import attribute, drive, in_thread, outcomes, python, the_span

Leave = Callable[[], None]
Form = Callable[[Leave], None]


# --- every form a level has -------------------------------------------------------------------------------------------


def with_block(leave: Leave) -> None:
    """Run in a ``with`` block."""
    with level("form"):
        leave()


def with_operation(leave: Leave) -> None:
    """Run in an operation."""
    with operation("form"):
        leave()


def function(leave: Leave) -> None:
    """Run in a decorated function."""

    @level("form")
    def run() -> None:
        leave()

    run()


def coroutine(leave: Leave) -> None:
    """Run in a decorated coroutine."""

    @level("form")
    async def run() -> None:
        leave()

    drive(run())


def generator(leave: Leave) -> None:
    """Run in a decorated generator."""

    @level("form")
    def run() -> Iterator[int]:
        yield 1
        leave()

    for _ in run():
        pass


def async_generator(leave: Leave) -> None:
    """Run in a decorated async generator."""

    @level("form")
    async def run() -> AsyncIterator[int]:
        yield 1
        leave()

    async def consume() -> None:
        async for _ in run():
            pass

    drive(consume())


def track_block(leave: Leave) -> None:
    """Run in the block of a track, in the loop over its last item."""
    with track([1, 2], "form") as items:
        for item in items:
            if item == 2:
                leave()


FORMS = [with_block, with_operation, function, coroutine, generator, async_generator, track_block]


class OfTheUser(BaseException):
    """Something that is neither an Exception nor one of Python's own."""


class CancelledOfTheUser(asyncio.CancelledError):
    """A cancellation by another name."""


TABLE = [
    pytest.param(SystemExit(), State.COMPLETED, id="SystemExit()"),
    pytest.param(SystemExit(None), State.COMPLETED, id="SystemExit(None)"),
    pytest.param(SystemExit(0), State.COMPLETED, id="SystemExit(0)"),
    pytest.param(SystemExit(1), State.INTERRUPTED, id="SystemExit(1)"),
    pytest.param(SystemExit("no such file"), State.INTERRUPTED, id="SystemExit(text)"),
    pytest.param(SystemExit({"not": "hashable"}), State.INTERRUPTED, id="SystemExit(dict)"),
    pytest.param(KeyboardInterrupt(), State.INTERRUPTED, id="KeyboardInterrupt"),
    pytest.param(GeneratorExit(), State.ABANDONED, id="GeneratorExit"),
    pytest.param(asyncio.CancelledError(), State.CANCELLED, id="CancelledError"),
    pytest.param(CancelledOfTheUser(), State.CANCELLED, id="subclass of CancelledError"),
    pytest.param(ProgressCancelled("enough"), State.CANCELLED, id="ProgressCancelled"),
    pytest.param(ValueError("bad row"), State.FAILED, id="ValueError"),
    pytest.param(ExceptionGroup("both", [KeyError("a"), ValueError("b")]), State.FAILED, id="ExceptionGroup"),
    pytest.param(OfTheUser(), State.FAILED, id="another BaseException"),
]


@pytest.mark.parametrize("form", FORMS)
def test_a_level_whose_code_returns_is_completed(progress: Capture, form: Form) -> None:
    """Return means completed, with no error told."""
    form(lambda: None)
    span = the_span(progress, "form")
    assert attribute(span, names.OUTCOME) == "completed"
    assert attribute(span, names.ERROR_TYPE) is None
    assert span.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize(("error", "end"), TABLE)
@pytest.mark.parametrize("form", FORMS)
def test_what_leaves_a_level_decides_its_end_and_passes_unchanged(
    progress: Capture, form: Form, error: BaseException, end: State
) -> None:
    """The very object arrives outside, without cause or context of ours, and the level has the end of the table."""

    def leave() -> None:
        raise error.with_traceback(None)

    if form is track_block and end is State.COMPLETED:
        end = State.ABANDONED  # a loop left before its iterator was exhausted
    with pytest.raises(type(error)) as caught:
        form(leave)
    assert caught.value is error
    assert (error.__cause__, error.__context__) == (None, None)
    assert traceback.extract_tb(error.__traceback__)[-1].name == "leave"
    assert outcomes(progress) == {"form": end.value}
    assert [dict(labels)[names.OUTCOME] for labels in progress.points(names.LEVEL_DURATION.name)] == [end.value]


def test_a_with_block_adds_no_frame_to_a_traceback(progress: Capture) -> None:
    """What the user reads is the user's code alone."""
    with pytest.raises(ZeroDivisionError) as caught, operation("job"), level("step"), track([7]) as items:
        for item in items:
            item / 0
    assert [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)] == [
        "test_a_with_block_adds_no_frame_to_a_traceback"
    ]
    assert outcomes(progress) == {"job": "failed", "step": "failed", "items": "failed"}


def test_a_level_swallows_nothing(progress: Capture) -> None:
    """An exception goes through every level on its way to who catches it."""
    with operation("job"):
        with pytest.raises(KeyError), level("outer"), level("inner"):
            raise KeyError("row")
        with level("after"):
            pass
    assert outcomes(progress) == {"inner": "failed", "outer": "failed", "after": "completed", "job": "completed"}


# --- a plain loop cannot see its body ---------------------------------------------------------------------------------


def test_a_loop_that_runs_out_is_completed(progress: Capture) -> None:
    """Exhaustion is the end of a bare track, before the enclosing level's."""
    with operation("job"):
        for _ in track("abc", "letters"):
            progress.clock.advance(2)
        assert [child.state for child in history()] == []
        progress.clock.advance(10)
    assert outcomes(progress) == {"letters": "completed", "job": "completed"}
    assert progress.value(names.LEVEL_DURATION.name, operation="job", level="letters", outcome="completed") == (1, 6.0)


@pytest.mark.parametrize(("error", "end"), TABLE)
def test_a_loop_left_by_what_leaves_the_level_around_it(progress: Capture, error: BaseException, end: State) -> None:
    """It was abandoned; failed if an exception went on to leave the enclosing level."""
    with pytest.raises(type(error)), operation("job"):
        for _ in track([1, 2, 3], "loop"):
            raise error.with_traceback(None)
    expected = State.FAILED if end is State.FAILED else State.ABANDONED
    assert outcomes(progress) == {"loop": expected.value, "job": end.value}


def test_a_loop_that_failed_tells_the_error_type(progress: Capture) -> None:
    """The failure that caused it is named, as on the level that saw it."""
    with pytest.raises(ZeroDivisionError), operation("job"):
        for item in track([1, 2, 3], "loop"):
            item / 0
    assert attribute(the_span(progress, "loop"), names.ERROR_TYPE) == "ZeroDivisionError"
    assert the_span(progress, "loop").status.status_code is StatusCode.ERROR


def test_a_loop_left_by_break_is_abandoned(progress: Capture) -> None:
    """Left after the second of three items: one is done, the one in hand is not."""
    with operation("job"):
        for item in track([1, 2, 3], "loop"):
            if item == 2:
                break
    span = the_span(progress, "loop")
    assert (attribute(span, names.OUTCOME), attribute(span, names.DONE)) == ("abandoned", 1.0)
    assert outcomes(progress)["job"] == "completed"


def test_a_loop_left_by_break_ends_when_it_is_left(progress: Capture) -> None:
    """The end is that of the loop, not of whoever notices it later."""
    with operation("job"):
        for item in track([1, 2, 3], "loop"):
            progress.clock.advance(3)
            if item == 2:
                break
        progress.clock.advance(50)
    assert progress.value(names.LEVEL_DURATION.name, operation="job", level="loop", outcome="abandoned") == (1, 6.0)


def test_an_exception_caught_inside_the_level_leaves_the_loop_abandoned(progress: Capture) -> None:
    """The enclosing level went on, so nothing failed but the loop was not finished."""
    with operation("job"):
        try:
            for item in track([1, 2, 3], "loop"):
                item / 0
        except ZeroDivisionError:
            pass
    assert outcomes(progress) == {"loop": "abandoned", "job": "completed"}


def test_an_abandoned_end_that_was_exported_stays(progress: Capture) -> None:
    """What was seen outside is not taken back when the enclosing level fails later."""
    with pytest.raises(ValueError, match="later"), operation("job"):
        for _ in track([1, 2, 3], "loop"):
            break
        assert [span.name for span in progress.spans()] == ["loop"]
        raise ValueError("later")
    assert outcomes(progress) == {"loop": "abandoned", "job": "failed"}


def test_a_failure_reaches_loops_that_the_exception_left_in_turn(progress: Capture) -> None:
    """Two loops around the same raise failed; one left in peace before did not have to."""
    with pytest.raises(ZeroDivisionError), operation("job"):
        for outer in track([1, 2], "outer"):
            for inner in track([0, 3], "inner"):
                outer / inner
    assert outcomes(progress) == {"outer": "failed", "inner": "failed", "job": "failed"}


def test_an_iterator_kept_in_a_variable_ends_with_its_parent(progress: Capture) -> None:
    """Whoever holds it, the level around it is over, and so is it."""
    with operation("job"):
        letters = iter(track("abc", "letters"))
        assert next(letters) == "a"
        progress.clock.advance(4)
    assert outcomes(progress) == {"letters": "abandoned", "job": "completed"}
    assert the_span(progress, "letters").end_time == the_span(progress, "job").end_time
    assert list(letters) == ["b", "c"], "the iterator itself goes on as ever"
    assert attribute(the_span(progress, "letters"), names.DONE) == 0.0


def test_an_iterator_kept_in_a_variable_fails_with_its_parent(progress: Capture) -> None:
    """It failed if the exception leaves the enclosing level."""
    kept = []
    with pytest.raises(KeyError), operation("job"):
        kept.append(iter(track("abc", "letters")))
        next(kept[0])
        raise KeyError("gone")
    assert outcomes(progress) == {"letters": "failed", "job": "failed"}
    assert attribute(the_span(progress, "letters"), names.ERROR_TYPE) == "KeyError"


def test_an_iterator_kept_by_a_traceback_ends_with_its_parent(progress: Capture) -> None:
    """A stored exception holds the frame, the frame the iterator; the parent ends it all the same."""
    kept: list[Exception] = []

    def loop() -> None:
        letters = iter(track("abc", "letters"))
        for _ in letters:
            raise ValueError("bad letter")

    with operation("job"):
        try:
            loop()
        except ValueError as error:
            kept.append(error)
    assert outcomes(progress) == {"letters": "abandoned", "job": "completed"}
    kept.clear()


def test_an_iterator_in_another_thread_outlives_its_parent(progress: Capture) -> None:
    """It belongs to who runs it: a loop elsewhere goes on and completes."""
    with operation("job") as job:
        letters = job.track("ab", "letters")
        running = in_thread(lambda: iter(letters))
        assert in_thread(lambda: next(running)) == "a"
    assert outcomes(progress) == {"job": "completed"}
    assert list(running) == ["b"]
    assert outcomes(progress) == {"job": "completed", "letters": "completed"}


def test_a_failure_reaches_grandchildren_only_through_their_parent(progress: Capture) -> None:
    """A loop abandoned inside a step that completed has nothing to do with a later failure."""
    with pytest.raises(OSError, match="disk"), operation("job"):
        with level("step"):
            for _ in track([1, 2], "loop"):
                break
        raise OSError("disk")
    assert outcomes(progress) == {"loop": "abandoned", "step": "completed", "job": "failed"}


# --- generators and owners that vanish --------------------------------------------------------------------------------


def test_a_decorated_generator_closed_early_is_abandoned(progress: Capture) -> None:
    """By `close`, by leaving its loop, and by being forgotten."""

    @level
    def rows() -> Iterator[int]:
        yield 1
        yield 2

    closed = rows()
    next(closed)
    closed.close()
    for _ in rows():
        break
    forgotten = rows()
    next(forgotten)
    del forgotten
    gc.collect()
    assert [attribute(span, names.OUTCOME) for span in progress.spans("rows")] == ["abandoned"] * 3


def test_a_generator_that_was_never_started_has_no_level(progress: Capture) -> None:
    """Nothing ran, so nothing is told."""

    @level
    def rows() -> Iterator[int]:
        yield 1

    never = rows()
    never.close()
    del never
    assert progress.spans() == []


def test_a_generator_that_handles_being_closed_has_returned(progress: Capture) -> None:
    """What leaves the level decides: here it is a return."""

    @level
    def rows() -> Iterator[int]:
        try:
            yield 1
        except GeneratorExit:
            return

    closed = rows()
    next(closed)
    closed.close()
    assert outcomes(progress) == {"rows": "completed"}


def test_the_clean_up_of_a_closed_generator_runs_inside_its_level(progress: Capture) -> None:
    """Levels of a ``finally`` are children of the generator's."""
    seen: list[Level | None] = []

    @level
    def rows() -> Iterator[int]:
        try:
            yield 1
        finally:
            seen.append(current())
            with level("clean-up"):
                progress.clock.advance(2)

    closed = rows()
    next(closed)
    closed.close()
    assert [found.name for found in seen if found is not None] == ["rows"]
    assert outcomes(progress) == {"clean-up": "completed", "rows": "abandoned"}


async def test_an_async_generator_left_by_break_is_abandoned(progress: Capture) -> None:
    """Its level ends when it is closed."""

    @level
    async def rows() -> AsyncIterator[int]:
        yield 1
        yield 2

    running = rows()
    async for _ in running:
        break
    await running.aclose()  # type: ignore[attr-defined]  # it is an async generator
    assert outcomes(progress) == {"rows": "abandoned"}


async def test_a_forgotten_async_generator_is_abandoned(progress: Capture) -> None:
    """The loop closes it, in a task of its own."""

    @level
    async def rows() -> AsyncIterator[int]:
        yield 1
        yield 2

    async for _ in rows():
        break
    gc.collect()
    for _ in range(5):
        await asyncio.sleep(0)
    assert outcomes(progress) == {"rows": "abandoned"}


# --- cancellation -----------------------------------------------------------------------------------------------------


async def forever() -> None:
    """Wait until cancelled."""
    await asyncio.Event().wait()


async def cancelled_with() -> None:
    """Wait in a block."""
    with level("step"):
        await forever()


@level("step")
async def cancelled_coroutine() -> None:
    """Wait in a decorated coroutine."""
    await forever()


@level("step")
async def waiting_rows() -> AsyncIterator[int]:
    """Wait in a decorated async generator."""
    await forever()
    yield 1


async def cancelled_async_generator() -> None:
    """Wait for the first row."""
    async for _ in waiting_rows():
        pass


async def cancelled_track() -> None:
    """Wait in the loop of a track's block."""
    with track([1, 2], "step") as items:
        for _ in items:
            await forever()


@pytest.mark.parametrize(
    "work", [cancelled_with, cancelled_coroutine, cancelled_async_generator, cancelled_track], ids=lambda f: f.__name__
)
async def test_a_cancelled_task_cancels_its_levels(progress: Capture, work: Callable[[], object]) -> None:
    """A real cancellation, delivered where the task waits."""
    with operation("job"):
        task = asyncio.ensure_future(work())  # type: ignore[arg-type]  # a coroutine
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        del task
    assert outcomes(progress) == {"step": "cancelled", "job": "completed"}
    assert the_span(progress, "step").status.status_code is StatusCode.UNSET


async def test_a_timeout_cancels_inside_and_fails_outside(progress: Capture) -> None:
    """Inside the scope it is a cancellation; what leaves the scope is an error."""
    with pytest.raises(TimeoutError), level("outside"):
        async with asyncio.timeout(0):
            with level("inside"):
                await forever()
    assert outcomes(progress) == {"inside": "cancelled", "outside": "failed"}


async def test_a_failing_task_cancels_the_levels_of_its_siblings(progress: Capture) -> None:
    """One fails, the group cancels the other, and the level around the group fails with both told."""

    async def fails() -> None:
        with level("fails"):
            await asyncio.sleep(0)
            raise ValueError("one")

    with pytest.raises(ExceptionGroup), operation("job"):
        async with asyncio.TaskGroup() as group:
            group.create_task(cancelled_with())
            group.create_task(fails())
    assert outcomes(progress) == {"step": "cancelled", "fails": "failed", "job": "failed"}


def test_a_requested_cancellation_ends_what_checks_for_it(progress: Capture) -> None:
    """The request changes nothing by itself; the check raises, and both levels it leaves are cancelled."""
    with pytest.raises(ProgressCancelled, match="disk is full"), operation("job") as job, level("step") as step:
        job.cancel("disk is full")
        assert (job.state, step.state, step.cancel_requested) == (State.RUNNING, State.RUNNING, True)
        step.check_cancelled()
    assert outcomes(progress) == {"step": "cancelled", "job": "cancelled"}


# --- fail, and ending twice -------------------------------------------------------------------------------------------


def test_fail_ends_a_level_at_once(progress: Capture) -> None:
    """Leaving the block in peace ten seconds later changes neither the end nor its time."""
    with level("step") as step:
        progress.clock.advance(3)
        step.fail(ValueError("bad row"))
        assert step.state is State.FAILED
        progress.clock.advance(10)
    assert progress.value(names.LEVEL_DURATION.name, operation="step", outcome="failed") == (1, 3.0)
    assert attribute(the_span(progress, "step"), names.ERROR_TYPE) == "ValueError"


def test_fail_takes_a_text_or_nothing(progress: Capture) -> None:
    """A text is the message; without anything the level has just failed."""
    with level("told") as told:
        told.fail("gave up")
    with level("silent") as silent:
        silent.fail()
    assert [(snapshot.name, snapshot.state, snapshot.error_type, snapshot.error_message) for snapshot in history()] == [
        ("silent", "failed", None, None),
        ("told", "failed", None, "gave up"),
    ]
    assert the_span(progress, "told").status.description == "gave up"
    assert the_span(progress, "silent").status.description == "failed"


def test_a_second_end_is_ignored(progress: Capture) -> None:
    """The first end counts: fail, then an exception; and fail twice."""
    with pytest.raises(KeyError), level("step") as step:
        step.fail("first")
        step.fail("second")
        raise KeyError("third")
    assert [(snapshot.error_message, snapshot.state) for snapshot in history()] == [("first", "failed")]
    assert len(progress.spans()) == 1
    assert progress.points(names.LEVEL_DURATION.name) == {
        frozenset({(names.OPERATION, "step"), (names.OUTCOME, "failed")}): (1, 0.0)
    }


def test_leaving_twice_is_harmless(progress: Capture) -> None:
    """An exit too many, as by an ExitStack that was closed already, does nothing."""
    step = level("step")
    with step:
        pass
    step.__exit__(ValueError, ValueError("late"), None)
    assert outcomes(progress) == {"step": "completed"}


def test_children_of_a_failed_level_go_on(progress: Capture) -> None:
    """A level that failed by its own word takes no child with it."""
    with operation("job") as job, level("step") as step:
        job.fail("half of it")
        step.advance(4)
    assert outcomes(progress) == {"job": "failed", "step": "completed"}
    assert attribute(the_span(progress, "step"), names.DONE) == 4.0


# --- what is told of an error -----------------------------------------------------------------------------------------


class OfAModule(Exception):
    """An exception whose name needs its module."""


def test_the_error_type_has_its_module_unless_it_is_built_in(progress: Capture) -> None:
    """As OpenTelemetry's conventions have it."""
    with pytest.raises(OfAModule), level("ours"):
        raise OfAModule
    with pytest.raises(LookupError), level("builtin"):
        raise LookupError
    assert attribute(the_span(progress, "ours"), names.ERROR_TYPE) == f"{__name__}.OfAModule"
    assert attribute(the_span(progress, "builtin"), names.ERROR_TYPE) == "LookupError"


@pytest.mark.parametrize("error", [SystemExit(0), SystemExit(None)], ids=repr)
def test_a_completed_level_has_no_error_type(progress: Capture, error: SystemExit) -> None:
    """An exit with success is no error."""
    with pytest.raises(SystemExit), level("step"):
        raise error
    assert attribute(the_span(progress, "step"), names.ERROR_TYPE) is None
    assert history()[0].error_type is None


def test_a_failure_is_told_on_span_and_event(progress: Capture) -> None:
    """Type, message and stack on the span's exception event; type and outcome on the log event."""
    with pytest.raises(ValueError, match="row 17"), operation("job"):
        raise ValueError("row 17")
    span = the_span(progress, "job")
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "ValueError: row 17")
    [event] = span.events
    assert event.name == names.EXCEPTION_EVENT
    told = dict(event.attributes or {})
    assert (told[names.EXCEPTION_TYPE], told[names.EXCEPTION_MESSAGE]) == ("ValueError", "row 17")
    assert str(told[names.EXCEPTION_STACKTRACE]).endswith("ValueError: row 17\n")
    assert "test_a_failure_is_told_on_span_and_event" in str(told[names.EXCEPTION_STACKTRACE])
    [log] = progress.events(names.FAILED_EVENT.name)
    assert (log.severity_text, log.body) == ("ERROR", "job failed after 0.0 s: ValueError")
    assert (log.attributes[names.ERROR_TYPE], log.attributes[names.OUTCOME]) == ("ValueError", "failed")


@pytest.mark.parametrize(
    ("error", "end"), [(KeyboardInterrupt(), "interrupted"), (ProgressCancelled("enough"), "cancelled")]
)
def test_an_end_that_is_no_failure_is_a_warning(progress: Capture, error: BaseException, end: str) -> None:
    """It did not complete, and it did not fail either; no stack is told."""
    with pytest.raises(type(error)), operation("job"):
        raise error
    [log] = progress.events(names.COMPLETED.name)
    assert (log.severity_text, log.body) == ("WARN", f"job {end} after 0.0 s")
    assert the_span(progress, "job").events == ()


def test_secrets_are_masked_in_message_and_stack(progress: Capture) -> None:
    """The default redactor knows what looks like a secret; the exception itself is untouched."""
    with pytest.raises(ConnectionError) as caught, operation("job"):
        raise ConnectionError("postgres://app:hunter2@db/orders refused, token=abc123")
    assert str(caught.value) == "postgres://app:hunter2@db/orders refused, token=abc123"
    span = the_span(progress, "job")
    exported = json.dumps([span.status.description, [dict(event.attributes or {}) for event in span.events]])
    assert "postgres://app:***@db/orders refused, token=***" in exported
    assert "hunter2" not in exported
    assert "abc123" not in exported
    assert history()[0].error_message == "postgres://app:***@db/orders refused, token=***"


def test_a_redactor_of_the_user_sees_every_text() -> None:
    """Message, stack, item errors, texts given to `fail` and reasons go through it."""

    def redact(text: str) -> str:
        return text.replace("Smith", "…")

    with capture_progress(redact=redact) as progress:
        with pytest.raises(ValueError, match="Smith"), operation("job") as job:
            job.retrying("Smith is away")
            assert job.snapshot().reason == "… is away"
            with level("told") as told:
                told.fail("Smith said no")
            job.item_failed(KeyError("Smith"))
            raise ValueError("Smith, row 3")
        exported = json.dumps(
            [[span.status.description, [dict(e.attributes or {}) for e in span.events]] for span in progress.spans()]
            + [[log.body, dict(log.attributes)] for log in progress.events()]
        )
        assert "Smith" not in exported
        assert the_span(progress, "job").status.description == "ValueError: …, row 3"
        assert the_span(progress, "told").status.description == "… said no"


def test_a_redactor_that_raises_tells_the_type_only(caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be cleaned is not told; the user's exception passes, and the redactor's is logged once."""

    def redact(text: str) -> str:
        raise RuntimeError("no rules for " + text)

    with capture_progress(redact=redact) as progress:
        for _ in range(2):
            with pytest.raises(ValueError, match="secret"), operation("job"):
                raise ValueError("secret")
        for span in progress.spans("job"):
            assert (span.status.description, span.events) == ("ValueError", ())
            assert attribute(span, names.ERROR_TYPE) == "ValueError"
        assert progress.runtime.tally.contained == {"redact": 4}
    assert [record.name for record in caplog.records] == ["otel_progress"]


def test_an_exception_without_words_is_told_by_its_type(progress: Capture) -> None:
    """A `__str__` that raises costs the message, not the program."""

    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    with pytest.raises(Mute), operation("job"):
        raise Mute
    assert history()[0].error_message == "<Mute>"
    assert outcomes(progress) == {"job": "failed"}


def test_a_level_keeps_no_exception(progress: Capture) -> None:
    """Its frames, and all they hold, are free when the program is done with it."""
    collected: list[str] = []

    class Big:
        def __del__(self) -> None:
            collected.append("big")

    def fails() -> None:
        big = Big()
        raise ValueError(type(big).__name__)

    with operation("job"):
        with pytest.raises(ValueError, match="Big"), level("with"):
            fails()
        gc.collect()
        assert collected == ["big"]

        @level
        def rows() -> Iterator[int]:
            yield 1
            fails()

        with pytest.raises(ValueError, match="Big"):
            list(rows())
        gc.collect()
        assert collected == ["big", "big"]
    assert outcomes(progress) == {"with": "failed", "rows": "failed", "job": "completed"}


def test_a_generators_level_keeps_no_exception_thrown_in(progress: Capture) -> None:
    """Neither while it is suspended nor after the end, and not until the garbage collector comes either."""
    thrown: list[weakref.ref[Exception]] = []

    class Thrown(Exception):
        def __init__(self) -> None:
            thrown.append(weakref.ref(self))

    @level
    def rows() -> Iterator[int]:
        with contextlib.suppress(Thrown):
            yield 1
        yield 2

    gc.disable()
    try:
        running: Any = rows()
        assert next(running) == 1
        running.throw(Thrown())
        assert thrown[0]() is None
        with contextlib.suppress(Thrown):
            running.throw(Thrown())
        assert [ref() for ref in thrown] == [None, None]
    finally:
        gc.enable()
    assert outcomes(progress) == {"rows": "failed"}


def test_the_programs_own_hook_for_threads_is_called_and_comes_back() -> None:
    """We listen to exceptions that leave threads, and pass them on; afterwards all is as before."""
    heard: list[Any] = []
    before = threading.excepthook
    threading.excepthook = heard.append
    ours = threading.excepthook
    try:
        with capture_progress() as progress:
            error = ValueError("bad row")

            def work() -> None:
                for _ in track([1, 2], "loop"):
                    raise error

            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
            assert outcomes(progress) == {"loop": "failed"}
            assert [args.exc_value for args in heard] == [error]
        assert threading.excepthook is ours
    finally:
        threading.excepthook = before


# --- the interpreter's exit -------------------------------------------------------------------------------------------

EXPORTING = """
import sys, threading
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
from otel_progress import level, operation, track

def one_line(thing):
    return thing.to_json(indent=None) + "\\n"

def export_spans():
    provider = TracerProvider()
    exporter = ConsoleSpanExporter(out=open(sys.argv[1], "a"), formatter=one_line)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)

def export_metrics():
    exporter = ConsoleMetricExporter(out=open(sys.argv[2], "a"), formatter=one_line)
    metrics.set_meter_provider(MeterProvider([PeriodicExportingMetricReader(exporter, 3_600_000)]))
"""


def exported(tmp_path: Path, body: str, *, returncode: int = 0) -> tuple[dict[str, str], dict[str, str]]:
    """Run a script to its exit; return how its levels ended by the spans, and by the last durations exported."""
    spans, points = tmp_path / "spans", tmp_path / "metrics"
    done = python(EXPORTING + body, str(spans), str(points))
    assert done.returncode == returncode, done.stderr
    for complaint in ("otel_progress", "Exception ignored", "opentelemetry"):
        assert complaint not in done.stderr
    told = [json.loads(line) for line in spans.read_text().splitlines()] if spans.exists() else []
    by_span = {span["name"]: span["attributes"][names.OUTCOME] for span in told}
    assert len(by_span) == len(told)
    by_duration: dict[str, str] = {}
    if points.exists() and (lines := points.read_text().splitlines()):
        for resource in json.loads(lines[-1])["resource_metrics"]:
            for metric in (metric for scope in resource["scope_metrics"] for metric in scope["metrics"]):
                if metric["name"] == names.LEVEL_DURATION.name:
                    for point in metric["data"]["data_points"]:
                        attributes = point["attributes"]
                        name = attributes.get(names.LEVEL, attributes[names.OPERATION])
                        by_duration[name] = attributes[names.OUTCOME]
    return by_span, by_duration


def test_levels_alive_at_the_interpreters_exit_are_interrupted(tmp_path: Path) -> None:
    """They are exported on the way out, by spans and by numbers."""
    body = """
export_spans(); export_metrics()
job = operation("job"); job.__enter__()
step = level("step"); step.__enter__()
with level("done"): pass
loop = iter(track([1, 2], "loop")); next(loop)
"""
    expected = {"job": "interrupted", "step": "interrupted", "done": "completed", "loop": "interrupted"}
    assert exported(tmp_path, body) == (expected, expected)


def test_a_provider_set_after_the_first_level_still_gets_the_ends(tmp_path: Path) -> None:
    """Whoever comes late hears of every operation started from then on; the exit runs in the right order."""
    body = """
early = operation("early"); early.__enter__()
early.__exit__(None, None, None)
export_spans()
first = operation("first"); first.__enter__(); first.__exit__(None, None, None)
export_metrics()
late = operation("late"); late.__enter__()
"""
    spans, durations = exported(tmp_path, body)
    assert spans == {"first": "completed", "late": "interrupted"}
    assert durations["late"] == "interrupted"


def test_a_level_from_before_the_provider_does_not_disturb_the_exit(tmp_path: Path) -> None:
    """It began unseen and ends unseen; what came later ends as it should."""
    body = """
early = operation("early"); early.__enter__()
export_spans(); export_metrics()
late = operation("late"); late.__enter__()
"""
    spans, durations = exported(tmp_path, body)
    assert spans == {"late": "interrupted"}
    assert durations["late"] == "interrupted"


def test_levels_of_daemon_threads_are_interrupted(tmp_path: Path) -> None:
    """The thread is cut off in the middle; its levels are told all the same."""
    body = """
export_spans()
inside = threading.Event()
def work():
    with operation("background"):
        for _ in track([1, 2], "loop"):
            inside.set()
            threading.Event().wait()
threading.Thread(target=work, daemon=True).start()
inside.wait()
"""
    assert exported(tmp_path, body)[0] == {"background": "interrupted", "loop": "interrupted"}


def test_other_threads_are_waited_for_before_the_exit(tmp_path: Path) -> None:
    """A thread that the interpreter joins ends its levels itself."""
    body = """
export_spans()
go = threading.Event()
def work():
    with operation("foreground"):
        go.wait()
threading.Thread(target=work).start()
threading.Timer(0.2, go.set).start()
"""
    assert exported(tmp_path, body)[0] == {"foreground": "completed"}


def test_sys_exit_ends_by_the_table_and_not_by_the_exit(tmp_path: Path) -> None:
    """The exception leaves the levels first."""
    body = """
export_spans()
with operation("job"), level("step"):
    sys.exit(3)
"""
    assert exported(tmp_path, body, returncode=3)[0] == {"job": "interrupted", "step": "interrupted"}


def test_an_exception_that_ends_the_program_fails_the_loop_it_left(tmp_path: Path) -> None:
    """A bare loop at the top of a script has no level around it; the exception that leaves the thread says it."""
    body = """
export_spans()
for _ in track([1, 2], "loop"):
    raise ValueError("bad row")
"""
    assert exported(tmp_path, body, returncode=1)[0] == {"loop": "failed"}


def test_an_exception_that_ends_a_thread_fails_the_loop_it_left(tmp_path: Path) -> None:
    """As in the main thread; a loop that another thread has just left in peace is not taken along."""
    body = """
export_spans()
def fails():
    for _ in track([1, 2], "failed"):
        raise ValueError("bad row")
def leaves():
    for _ in track([1, 2], "left"):
        break
for work in (leaves, fails):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
"""
    assert exported(tmp_path, body)[0] == {"failed": "failed", "left": "abandoned"}


def test_an_exception_that_ends_a_thread_changes_nothing_that_was_seen(tmp_path: Path) -> None:
    """What was exported as abandoned is abandoned, in the history as well."""
    body = """
from otel_progress import flush, history
export_spans()
def fails():
    for _ in track([1, 2], "left"):
        break
    flush()
    raise ValueError("later")
thread = threading.Thread(target=fails)
thread.start()
thread.join()
assert history()[0].state == "abandoned"
"""
    assert exported(tmp_path, body)[0] == {"left": "abandoned"}


def test_the_last_levels_reach_the_exporter_without_being_waited_for(tmp_path: Path) -> None:
    """A job of a few milliseconds that just ends loses nothing."""
    body = """
export_spans()
with operation("job"):
    for _ in track(range(3), "rows"): pass
"""
    assert exported(tmp_path, body)[0] == {"job": "completed", "rows": "completed"}


def test_the_test_of_exits_can_fail(tmp_path: Path) -> None:
    """Killed without a word, nothing is told."""
    body = """
import os
export_spans()
operation("job").__enter__()
os._exit(0)
"""
    assert exported(tmp_path, body) == ({}, {})
    assert sys.executable
