"""Which level is current: threads, tasks, generators, odd orders; and what of the context is left behind."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from opentelemetry import baggage, trace
from opentelemetry import context as otel_context

from otel_progress import Level, State, active, advance, current, level, names, operation, track
from otel_progress.testing import Capture

from .kit import LONGEST_SECONDS, attribute, drive, ignored, in_thread, outcomes, parents, the_span, together


def name_of(found: Level | None) -> str | None:
    """Return the name of a level, if it is one."""
    return None if found is None else found.name


def here() -> tuple[str | None, str | None]:
    """Return the names of what is current: of our level, and of OTel's span."""
    return name_of(current()), getattr(trace.get_current_span(), "name", None)


@pytest.fixture
def tracer(progress: Capture) -> trace.Tracer:
    """A tracer of the user's, in the same provider."""
    return progress.tracer_provider.get_tracer("user")


# --- one thread -------------------------------------------------------------------------------------------------------


def test_the_innermost_level_is_current(progress: Capture) -> None:
    """For our `current` and for OTel's span alike, from the start of the block to its end."""
    assert here() == (None, None)
    with operation("job") as job:
        assert current() is job
        assert here() == ("job", "job")
        with level("step") as step:
            assert current() is step
            assert here() == ("step", "step")
        assert here() == ("job", "job")
    assert here() == (None, None)
    assert parents(progress) == {"job": None, "step": "job"}


def test_module_advance_counts_for_the_innermost_level(progress: Capture) -> None:
    """And for nobody outside any."""
    advance(100)
    with operation("job"):
        advance(2)
        with level("step"):
            advance(3, bytes=40)
            advance(outcome="skipped")
        advance()
    assert attribute(the_span(progress, "job"), names.DONE) == 3.0
    assert attribute(the_span(progress, "step"), names.DONE) == 4.0
    assert attribute(the_span(progress, "step"), names.BYTES) == 40.0


def test_a_level_outside_any_operation_is_its_own(progress: Capture) -> None:
    """What is below it belongs to it."""
    with level("alone") as alone, level("below") as below:
        assert (alone.operation, below.operation) == ("alone", "alone")
    assert attribute(the_span(progress, "alone"), names.LEVEL) is None
    assert attribute(the_span(progress, "below"), names.LEVEL) == "below"
    assert progress.value(names.ACTIVE.name, operation="alone", state="running") == 0


def test_an_operation_inside_an_operation_is_a_job_of_its_own(progress: Capture) -> None:
    """Its span nests, its progress does not."""
    with operation("outer") as outer, operation("inner") as inner, level("step") as step:
        assert (step.operation, inner.operation) == ("inner", "inner")
        assert outer.snapshot().children == ()
        assert [snapshot.name for snapshot in active()] == ["outer", "inner"]
        assert outer.snapshot().run_id != inner.snapshot().run_id
    assert parents(progress) == {"outer": None, "inner": "outer", "step": "inner"}


def test_recursion_nests(progress: Capture) -> None:
    """A decorated function that calls itself has a level for each call, each below the last."""

    @level("depth")
    def down(n: int) -> int:
        advance(n)
        return 0 if n == 0 else 1 + down(n - 1)

    assert down(3) == 3
    spans = {attribute(span, names.DONE): span for span in progress.spans("depth")}
    assert set(spans) == {3.0, 2.0, 1.0, 0.0}
    for done in (2.0, 1.0, 0.0):
        above = spans[done + 1].context
        assert above is not None
        assert spans[done].parent is not None
        assert spans[done].parent.span_id == above.span_id
    assert attribute(spans[0.0], names.PATH) == ("depth", "depth", "depth", "depth")


def test_recursion_without_end_raises_what_it_always_does(progress: Capture) -> None:
    """The stack overflows into a RecursionError; every level that began has ended."""

    @level("depth")
    def down() -> None:
        down()

    with pytest.raises(RecursionError):
        down()
    progress.runtime.reap()
    assert progress.runtime.registry.live() == []
    assert current() is None


def test_one_level_entered_again_starts_another(progress: Capture) -> None:
    """One after the other: each time a level of its own, which is the one that `as` names."""
    step = level("step", total=5)
    for done in (2, 3):
        with step as running:
            assert current() is running
            running.advance(done)
    assert [attribute(span, names.DONE) for span in progress.spans("step")] == [2.0, 3.0]


def test_one_level_entered_inside_itself_nests(progress: Capture) -> None:
    """The inner exit ends the inner level."""
    step = level("step")
    with step as outer:
        outer.advance(1)
        with step as inner:
            assert inner is not outer
            inner.advance(2)
        assert (outer.state, inner.state) == (State.RUNNING, State.COMPLETED)
        assert current() is outer
    assert [attribute(span, names.DONE) for span in progress.spans("step")] == [1.0, 2.0]  # the outer one is sent first


def test_one_level_entered_by_several_threads_is_a_level_in_each(progress: Capture) -> None:
    """A level made once for a module: exits find the level of their own thread, in whatever order they come."""
    step = level("step")
    entered: dict[str, Level] = {}

    def work(name: str, wait_for: Callable[[], object], done: int) -> None:
        with step as running:
            entered[name] = running
            wait_for()
            running.advance(done)
            assert current() is running
            assert running.state is State.RUNNING

    inside, first_is_out = threading.Barrier(3), threading.Event()

    def first() -> None:
        work("a", lambda: inside.wait(LONGEST_SECONDS), 1)
        first_is_out.set()

    def later() -> None:
        inside.wait(LONGEST_SECONDS)
        assert first_is_out.wait(LONGEST_SECONDS)

    together(first, lambda: work("b", later, 20), lambda: work("c", later, 300))
    assert len(set(map(id, entered.values()))) == 3
    assert sorted(attribute(span, names.DONE) for span in progress.spans("step")) == [1.0, 20.0, 300.0]
    assert {attribute(span, names.OUTCOME) for span in progress.spans("step")} == {"completed"}


@pytest.mark.parametrize("order", list(itertools.permutations("abc")), ids="".join)
def test_one_level_entered_in_several_contexts_is_left_in_any_order(progress: Capture, order: tuple[str, ...]) -> None:
    """Each exit ends the level of its own context: with what left it there, and no other."""
    step = level("step")
    contexts = {name: contextvars.Context() for name in "abc"}
    running = {name: context.run(step.__enter__) for name, context in contexts.items()}
    for done, name in enumerate(order):
        assert [each for each in "abc" if running[each].state is State.RUNNING] == sorted(order[done:])
        running[name].advance(done + 1)
        error = KeyError(name) if name == "b" else None
        contexts[name].run(step.__exit__, type(error), error, None)
        assert contexts[name].run(here) == (None, None)
    ended = [(attribute(span, names.DONE), attribute(span, names.OUTCOME)) for span in progress.spans("step")]
    assert ended == [(done + 1.0, "failed" if name == "b" else "completed") for done, name in enumerate(order)]


def test_a_level_that_failed_early_is_left_without_touching_another_context(progress: Capture) -> None:
    """Its place is gone by then, so that it cannot be found; the other one's level must not be taken for it."""
    step = level("step")
    first, second = contextvars.Context(), contextvars.Context()

    def fail() -> None:
        running.fail("early")
        with level("after"):
            pass

    running = first.run(step.__enter__)
    other = second.run(step.__enter__)
    first.run(fail)
    first.run(step.__exit__, None, None, None)
    assert other.state is State.RUNNING
    second.run(step.__exit__, None, None, None)
    assert [attribute(span, names.OUTCOME) for span in progress.spans("step")] == ["failed", "completed"]


def test_threads_racing_into_one_level_all_get_one(progress: Capture) -> None:
    """Nobody's level is lost, however close they come."""
    step = level("step")

    def work() -> None:
        for _ in range(200):
            with step:
                advance()

    together(*[work] * 4)
    spans = progress.spans("step")
    assert len(spans) == 800
    assert {attribute(span, names.DONE) for span in spans} == {1.0}
    assert ignored(progress) == {}


def test_a_decorator_made_once_serves_several_functions_and_threads(progress: Capture) -> None:
    """Each call is a level of its own."""
    timed = level("timed")

    @timed
    def one(n: int) -> None:
        advance(n)

    @timed
    def two(n: int) -> None:
        one(n + 1)
        advance(n)

    together(lambda: two(10), lambda: two(200))
    assert sorted(attribute(span, names.DONE) for span in progress.spans("timed")) == [10.0, 11.0, 200.0, 201.0]


# --- spans and baggage of the user ------------------------------------------------------------------------------------


def test_spans_of_the_user_nest_between_levels(progress: Capture, tracer: trace.Tracer) -> None:
    """Level, span, level: a straight line, while progress skips what is not ours."""
    with operation("job") as job:
        with tracer.start_as_current_span("request"):
            assert here() == ("job", "request")
            with level("step") as step:
                with tracer.start_as_current_span("query"):
                    assert current() is step
                assert here() == ("step", "step")
            assert here() == ("job", "request")
        assert [child.name for child in job.snapshot().children] == ["step"]
        assert here() == ("job", "job")
    assert parents(progress) == {"job": None, "request": "job", "step": "request", "query": "step"}


def test_an_operation_nests_under_whatever_span_is_current(progress: Capture, tracer: trace.Tracer) -> None:
    """A service's handler is its parent, and is current again afterwards."""
    with tracer.start_as_current_span("handler") as handler:
        with operation("job"):
            pass
        assert trace.get_current_span() is handler
    assert parents(progress) == {"handler": None, "job": "handler"}


def test_baggage_of_the_user_survives_the_end_of_a_level(progress: Capture) -> None:
    """Attached inside and not taken back, it stays: only our span goes."""
    before = otel_context.get_current()
    try:
        with operation("job"):
            with level("step"):
                otel_context.attach(baggage.set_baggage("tenant", "acme"))
            assert baggage.get_baggage("tenant") == "acme"
            assert here() == ("job", "job")
            with level("next"):
                assert baggage.get_baggage("tenant") == "acme"
        assert baggage.get_baggage("tenant") == "acme"
        assert here() == (None, None)
        with level("after") as after:
            assert after.operation == "after"
    finally:
        otel_context.attach(before)
    assert parents(progress) == {"job": None, "step": "job", "next": "job", "after": None}


def test_a_span_of_the_user_left_open_across_the_end_of_a_level(progress: Capture, tracer: trace.Tracer) -> None:
    """Closed in the wrong order, it brings the ended level's context back; nobody takes that for live."""
    with operation("job"):
        step, request = level("step"), tracer.start_as_current_span("request")
        step.__enter__()
        request.__enter__()
        step.__exit__(None, None, None)
        assert here() == ("job", "request")
        with level("during"):
            pass
        request.__exit__(None, None, None)
        assert name_of(current()) == "job"
        with level("after"):
            assert here() == ("after", "after")
        assert here() == ("job", "job")
    assert here() == (None, None)
    assert parents(progress) == {"job": None, "step": "job", "request": "step", "during": "request", "after": "job"}


def test_a_context_brought_back_after_its_level_is_left_with_the_next(progress: Capture, tracer: trace.Tracer) -> None:
    """With no new level in between, the enclosing level's end cleans up."""
    with operation("job"):
        step, request = level("step"), tracer.start_as_current_span("request")
        step.__enter__()
        request.__enter__()
        step.__exit__(None, None, None)
        request.__exit__(None, None, None)
    assert here() == (None, None)
    with level("next"):
        pass
    assert parents(progress) == {"job": None, "step": "job", "request": "step", "next": None}


def test_a_context_carried_out_of_its_level_is_no_parent(progress: Capture) -> None:
    """Attached again after the end, as a queue of callbacks might, it leads to the nearest live ancestor."""
    before = otel_context.get_current()
    with operation("job"):
        with level("step"):
            carried = otel_context.set_value("theirs", 7)
        otel_context.attach(carried)
        with level("late"):
            assert otel_context.get_value("theirs") == 7
    otel_context.attach(before)
    assert parents(progress) == {"job": None, "step": "job", "late": "job"}


# --- odd orders -------------------------------------------------------------------------------------------------------


def test_a_level_ended_before_the_one_inside_it(progress: Capture) -> None:
    """The inner one stays current; when it ends, what is current is what was before the outer."""
    with operation("job"):
        outer, inner = level("outer"), level("inner")
        outer.__enter__()
        inner.__enter__()
        outer.__exit__(None, None, None)
        assert current() is inner
        assert here() == ("inner", "inner")
        inner.__exit__(None, None, None)
        assert here() == ("job", "job")
        with level("next"):
            pass
    assert parents(progress) == {"job": None, "outer": "job", "inner": "outer", "next": "job"}
    assert outcomes(progress) == dict.fromkeys(["job", "outer", "inner", "next"], "completed")


def test_current_skips_levels_that_have_ended(progress: Capture) -> None:
    """After `fail`, the rest of the block is the enclosing level's."""
    with operation("job") as job, level("outer") as outer, level("inner") as inner:
        inner.fail()
        assert current() is outer
        outer.fail()
        assert current() is job
        advance(5)
        with level("late"):
            pass
    assert parents(progress) == {"job": None, "outer": "job", "inner": "outer", "late": "job"}
    assert attribute(the_span(progress, "job"), names.DONE) == 5.0


def test_a_level_ended_by_another_thread(progress: Capture) -> None:
    """The thread that entered it goes on in the level around it, and leaves nothing behind."""
    with operation("job"):
        step = level("step").__enter__()
        in_thread(lambda: step.__exit__(None, None, None))
        assert step.state is State.COMPLETED
        assert name_of(current()) == "job"
        with level("next"):
            pass
        assert here() == ("job", "job")
    assert parents(progress) == {"job": None, "step": "job", "next": "job"}


def test_a_level_ended_by_another_thread_is_gone_with_the_operation(progress: Capture) -> None:
    """Even when nothing of ours happens in between."""
    with operation("job"):
        step = level("step").__enter__()
        in_thread(lambda: step.__exit__(None, None, None))
    assert here() == (None, None)
    assert outcomes(progress) == {"step": "completed", "job": "completed"}


def test_a_level_ended_in_another_context(progress: Capture) -> None:
    """There it was never current, so nothing is changed there."""
    with operation("job"):
        step = level("step").__enter__()
        elsewhere = contextvars.Context()

        def end_it() -> tuple[str | None, str | None]:
            with operation("other"):
                step.__exit__(None, None, None)
                return here()

        assert elsewhere.run(end_it) == ("other", "other")
        assert elsewhere.run(here) == (None, None)
        assert name_of(current()) == "job"
    assert outcomes(progress) == {"step": "completed", "job": "completed", "other": "completed"}


async def test_a_level_ended_by_another_task(progress: Capture) -> None:
    """A task has a copy of the context; ending the level there ends it, here it is skipped."""

    async def end_it(step: Level) -> None:
        assert current() is step
        step.__exit__(None, None, None)
        assert here() == ("job", "job")

    with operation("job"):
        step = level("step").__enter__()
        await asyncio.create_task(end_it(step))
        assert name_of(current()) == "job"
        with level("next"):
            pass
        assert here() == ("job", "job")
    assert here() == (None, None)
    assert parents(progress) == {"job": None, "step": "job", "next": "job"}


def test_a_stack_of_levels_left_at_once(progress: Capture) -> None:
    """By an ExitStack, and with an exception."""
    with pytest.raises(ValueError, match="all"), ExitStack() as stack:
        for name in ("one", "two", "three"):
            stack.enter_context(level(name))
        raise ValueError("all")
    assert outcomes(progress) == {"three": "failed", "two": "failed", "one": "failed"}


# --- threads ----------------------------------------------------------------------------------------------------------


def test_a_thread_starts_with_nothing_current(progress: Capture) -> None:
    """A level started there on its own is its own operation."""
    with operation("job"):
        assert in_thread(here) == (None, None)

        def work() -> str:
            with level("step") as step:
                return step.operation

        assert in_thread(work) == "step"
    assert parents(progress) == {"job": None, "step": None}


def test_a_copied_context_takes_the_level_along(progress: Capture) -> None:
    """As `asyncio.to_thread` does; what the thread opens below it is the thread's."""

    def work() -> tuple[str | None, str | None]:
        with level("step"):
            advance(3)
        return here()

    with operation("job"):
        context = contextvars.copy_context()
        assert in_thread(lambda: context.run(work)) == ("job", "job")
        assert here() == ("job", "job")
    assert parents(progress) == {"job": None, "step": "job"}


def carried(function: Callable[[], Any]) -> Callable[[], Any]:
    """Return a function that runs with today's OTel context attached, and only that: as thread instrumentation does."""
    context = otel_context.get_current()

    def run() -> Any:  # noqa: ANN401  # as the function
        token = otel_context.attach(context)
        try:
            return function()
        finally:
            otel_context.detach(token)

    return run


def test_a_thread_that_got_otels_context_alone_finds_the_level(progress: Capture, tracer: trace.Tracer) -> None:
    """`current`, `advance`, new levels and tracks: all are the level's, under the user's span and baggage."""

    def work() -> tuple[str | None, str | None]:
        advance(4)
        with level("step") as step:
            assert current() is step
            assert step.operation == "job"
            assert baggage.get_baggage("tenant") == "acme"
        for _ in track("ab", "letters"):
            advance()
        return here()

    with operation("job"), tracer.start_as_current_span("request"):
        token = otel_context.attach(baggage.set_baggage("tenant", "acme"))
        assert in_thread(carried(work)) == ("job", "request")
        otel_context.detach(token)
    assert parents(progress) == {"job": None, "request": "job", "step": "request", "letters": "request"}
    assert attribute(the_span(progress, "job"), names.DONE) == 6.0


def test_otels_context_of_an_ended_level_leads_to_its_live_ancestor(progress: Capture) -> None:
    """The thread came late: the step is over, the job is not."""

    def work() -> str | None:
        found = name_of(current())
        with level("late"):
            pass
        return found

    with operation("job"):
        with level("step"):
            late = carried(work)
        assert in_thread(late) == "job"
    assert parents(progress) == {"job": None, "step": "job", "late": "job"}


def test_a_level_named_as_parent_from_another_thread(progress: Capture) -> None:
    """`parent.level()` and `parent.track()` bring parent, operation and baggage with them."""
    token = otel_context.attach(baggage.set_baggage("tenant", "acme"))
    with operation("job") as job, level("copy") as copy:

        def work() -> tuple[Any, ...]:
            seen: list[object] = [baggage.get_baggage("tenant")]
            with copy.level("table", id="7") as table:
                seen += [baggage.get_baggage("tenant"), table.operation, *here()]
            with copy.track("abc", "rows") as rows:
                seen += [baggage.get_baggage("tenant"), rows.operation, *here()]
                assert list(rows) == ["a", "b", "c"]
            assert list(copy.track([1], "loop")) == [1]
            return (*seen, *here())

        assert in_thread(work) == (None, "acme", "job", "table", "table", "acme", "job", "rows", "rows", None, None)
        assert [child.name for child in copy.snapshot().children] == ["table", "rows", "loop"]
        assert [child.name for child in job.snapshot().children] == ["copy"]
    otel_context.detach(token)
    assert parents(progress) == {"job": None, "copy": "job", "table": "copy", "rows": "copy", "loop": "copy"}


def test_a_level_named_as_parent_in_its_own_thread(progress: Capture, tracer: trace.Tracer) -> None:
    """Where it is the current one, the user's span in between stays in between; where it is not, it is the parent."""
    with operation("job") as job:
        with tracer.start_as_current_span("request"), job.level("step"):
            pass
        with level("other"), job.level("beside"):
            assert here() == ("beside", "beside")
    assert parents(progress) == {"job": None, "request": "job", "step": "request", "other": "job", "beside": "job"}


def test_children_of_many_threads_are_siblings(progress: Capture) -> None:
    """Each finds the parent it named, none another's child."""
    with operation("job", total=4) as job:

        def work(name: str) -> None:
            with job.level(name):
                for _ in range(500):
                    advance()
            job.advance()

        together(*[lambda name=name: work(name) for name in "abcd"])
        assert job.snapshot().done == 4
    assert parents(progress) == {"job": None, "a": "job", "b": "job", "c": "job", "d": "job"}
    assert {attribute(the_span(progress, name), names.DONE) for name in "abcd"} == {500.0}


def test_a_parent_that_has_ended_gives_way_to_its_live_ancestor(progress: Capture) -> None:
    """As `current` does; with none left, the level is its own operation."""
    with operation("job"):
        with level("step") as step:
            pass
        late = step.level("late")
        with late:
            assert late.operation == "job"
    with step.level("later") as later:
        assert later.operation == "later"
    assert parents(progress) == {"job": None, "step": "job", "late": "job", "later": None}


# --- tasks ------------------------------------------------------------------------------------------------------------


async def test_concurrent_tasks_are_siblings(progress: Capture) -> None:
    """Each task sees its own level, however their turns come."""
    seen: list[bool] = []

    async def work(name: str, turns: int) -> None:
        with level(name) as own:
            for _ in range(turns):
                await asyncio.sleep(0)
                seen.append(current() is own and here() == (name, name))
                own.advance()

    with operation("job"):
        await asyncio.gather(work("a", 3), work("b", 1), work("c", 2))
        assert here() == ("job", "job")
    assert seen == [True] * 6
    assert parents(progress) == {"job": None, "a": "job", "b": "job", "c": "job"}
    assert [attribute(the_span(progress, name), names.DONE) for name in "abc"] == [3.0, 1.0, 2.0]


async def test_a_task_that_outlives_the_level_it_was_started_in(progress: Capture) -> None:
    """Its next level belongs to the nearest ancestor that is still alive; in the end to nobody."""
    step_over, job_over = asyncio.Event(), asyncio.Event()
    found: list[str | None] = []

    async def outliving() -> None:
        for event in (step_over, job_over):
            await event.wait()
            found.append(name_of(current()))
            with level(f"late {len(found)}") as late:
                found.append(late.operation)

    with operation("job"):
        with level("step"):
            task = asyncio.create_task(outliving())
            await asyncio.sleep(0)
        step_over.set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    job_over.set()
    await task
    assert found == ["job", "job", None, "late 3"]
    assert parents(progress) == {"job": None, "step": "job", "late 1": "job", "late 3": None}


async def test_a_level_in_a_task_is_not_seen_by_its_starter(progress: Capture) -> None:
    """Contexts are copied one way."""
    inside, go = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        with level("inside"):
            inside.set()
            await go.wait()

    with operation("job"):
        task = asyncio.create_task(work())
        await inside.wait()
        assert here() == ("job", "job")
        go.set()
        await task
    assert parents(progress) == {"job": None, "inside": "job"}


async def test_a_thread_of_asyncio_finds_the_level(progress: Capture) -> None:
    """`asyncio.to_thread` copies the context."""
    with operation("job"):
        assert await asyncio.to_thread(here) == ("job", "job")
    assert here() == (None, None)


# --- levels inside generators that are not ours -----------------------------------------------------------------------


def rows_in_a_block() -> Iterator[int]:
    """Yield from inside a level's block."""
    with level("rows"):
        yield 1
        yield 2


def test_a_block_inside_a_generator_that_is_left_early(progress: Capture) -> None:
    """Closed in the loop's thread, its level is abandoned and what was current is so again."""
    with operation("job"):
        for _ in rows_in_a_block():
            break
        assert here() == ("job", "job")
    assert outcomes(progress) == {"rows": "abandoned", "job": "completed"}


def test_a_block_inside_a_generator_that_runs_out(progress: Capture) -> None:
    """The same, completed."""
    with operation("job"):
        assert list(rows_in_a_block()) == [1, 2]
        assert here() == ("job", "job")
    assert outcomes(progress) == {"rows": "completed", "job": "completed"}


def test_a_block_inside_a_generator_closed_while_the_loops_level_is_open(progress: Capture) -> None:
    """The loop's level was entered later and stays current."""
    with operation("job"):
        rows = rows_in_a_block()
        next(rows)
        with level("body"):
            rows.close()  # type: ignore[attr-defined]  # it is a generator
            assert here() == ("body", "body")
        assert here() == ("job", "job")
    assert outcomes(progress) == {"rows": "abandoned", "body": "completed", "job": "completed"}


def test_a_block_inside_a_generator_closed_by_another_thread(progress: Capture) -> None:
    """Nothing is left of it, here or there, and OTel has nothing to complain of."""
    with operation("job"):
        rows = rows_in_a_block()
        next(rows)
        in_thread(rows.close)  # type: ignore[attr-defined]  # it is a generator
        assert name_of(current()) == "job"
    assert here() == (None, None)
    assert outcomes(progress) == {"rows": "abandoned", "job": "completed"}


def test_two_generators_with_blocks_interleaved(progress: Capture) -> None:
    """They end in the order they run out; both are gone then."""
    with operation("job"):
        assert list(zip(rows_in_a_block(), rows_in_a_block(), strict=True)) == [(1, 1), (2, 2)]
        assert here() == ("job", "job")
    assert {attribute(span, names.OUTCOME) for span in progress.spans("rows")} == {"completed"}


def test_a_context_manager_of_a_generator(progress: Capture) -> None:
    """The usual way to write one: its level is around the block."""

    @contextmanager
    def transaction() -> Iterator[None]:
        with level("transaction"):
            yield

    with operation("job"):
        with transaction():
            assert here() == ("transaction", "transaction")
        with pytest.raises(KeyError), transaction():
            raise KeyError("row")
        assert here() == ("job", "job")
    assert [attribute(span, names.OUTCOME) for span in progress.spans("transaction")] == ["completed", "failed"]


async def async_rows_in_a_block() -> AsyncIterator[int]:
    """Yield from inside a level's block."""
    with level("rows"):
        yield 1
        yield 2


async def test_a_block_inside_an_async_generator_left_by_break(progress: Capture) -> None:
    """The loop closes it later, in a task with another context; nothing is left and nothing is logged."""
    with operation("job"):
        async for _ in async_rows_in_a_block():
            break
        gc.collect()
        for _ in range(5):
            await asyncio.sleep(0)
        assert name_of(current()) == "job"
        with level("next"):
            pass
        assert here() == ("job", "job")
    assert here() == (None, None)
    assert parents(progress) == {"job": None, "rows": "job", "next": "job"}
    assert outcomes(progress) == {"rows": "abandoned", "next": "completed", "job": "completed"}


async def test_a_block_inside_an_async_generator_left_by_break_is_gone_with_the_operation(progress: Capture) -> None:
    """Without a level of ours in between, the operation's end cleans up OTel's context too."""
    with operation("job"):
        async for _ in async_rows_in_a_block():
            break
        gc.collect()
        for _ in range(5):
            await asyncio.sleep(0)
    assert here() == (None, None)
    assert outcomes(progress) == {"rows": "abandoned", "job": "completed"}


# --- iterators --------------------------------------------------------------------------------------------------------


def test_interleaved_tracks_are_siblings(progress: Capture) -> None:
    """A bare track is nobody's parent by being iterated."""
    with operation("job"):
        pairs = list(zip(track([1, 2, 3], "left"), track("abc", "right"), strict=False))
        assert here() == ("job", "job")
    assert pairs == [(1, "a"), (2, "b"), (3, "c")]
    assert parents(progress) == {"job": None, "left": "job", "right": "job"}


def test_the_body_of_a_plain_loop_is_not_inside_its_track(progress: Capture) -> None:
    """Levels of the body are the enclosing level's children; `current` is that level."""
    with operation("job") as job:
        for _ in track([1, 2], "loop"):
            assert current() is job
            with level("body"):
                pass
    assert [span.parent and span.parent.span_id for span in progress.spans("body")] == [
        the_span(progress, "job").context.span_id  # type: ignore[union-attr]  # it has one
    ] * 2


def test_the_block_of_a_track_is_inside_it(progress: Capture) -> None:
    """`with track(...)` is a level like any other."""
    with operation("job"):
        with track([1, 2], "loop") as loop:
            for _ in loop:
                assert current() is loop
                assert here() == ("loop", "loop")
        assert here() == ("job", "job")


def test_levels_of_a_plain_generator_given_to_track(progress: Capture) -> None:
    """What the source opens between its items is no child of the track, and is closed with it."""
    with operation("job"):
        for _ in track(rows_in_a_block(), "tracked"):
            break
        assert here() == ("job", "job")
    assert parents(progress) == {"job": None, "tracked": "job", "rows": "job"}
    assert outcomes(progress) == {"tracked": "abandoned", "rows": "abandoned", "job": "completed"}


# --- decorated generators: the consumer never sees the level ----------------------------------------------------------


@level("rows")
def rows(*values: int) -> Generator[int, Any, str]:
    """Yield the values, checking each time that the level is current inside."""
    own = current()
    assert name_of(own) == "rows"
    for value in values:
        yield value
        assert current() is own
        assert here() == ("rows", "rows")
        advance()
    return "all"


def test_a_decorated_generators_level_is_current_in_its_body_alone(progress: Capture) -> None:
    """Entered at each resume, left at each suspend."""
    with operation("job"):
        for _ in rows(1, 2, 3):
            assert here() == ("job", "job")
            with level("body") as body:
                assert body.operation == "job"
        assert here() == ("job", "job")
    assert attribute(the_span(progress, "rows"), names.DONE) == 3.0
    job = the_span(progress, "job").context
    assert job is not None
    assert {span.parent and span.parent.span_id for span in progress.spans("body")} == {job.span_id}


def test_decorated_generators_interleaved(progress: Capture) -> None:
    """Each body finds its own level; both are children of the consumer's."""
    with operation("job"):
        assert list(zip(rows(1, 2), rows(3, 4), strict=True)) == [(1, 3), (2, 4)]
        assert here() == ("job", "job")
    job = the_span(progress, "job").context
    assert job is not None
    assert [span.parent and span.parent.span_id for span in progress.spans("rows")] == [job.span_id] * 2


def test_a_level_open_across_a_yield_stays_inside(progress: Capture) -> None:
    """The consumer does not see it; the body finds it current again."""

    @level("rows")
    def batches() -> Iterator[int]:
        with level("batch") as batch:
            yield 1
            assert current() is batch
            yield 2
            assert here() == ("batch", "batch")
        assert here() == ("rows", "rows")
        yield 3

    with operation("job"):
        for _ in batches():
            assert here() == ("job", "job")
            with level("body"):
                pass
    assert parents_of(progress, "body") == {"job"}
    assert parents_of(progress, "batch") == {"rows"}


def parents_of(progress: Capture, name: str) -> set[str | None]:
    """Return the names of the parents of all spans of one name."""
    by_id = {span.context.span_id: span.name for span in progress.spans() if span.context}
    return {by_id[span.parent.span_id] if span.parent else None for span in progress.spans(name)}


def test_a_consumers_level_does_not_become_the_bodys(progress: Capture) -> None:
    """Resumed from inside another level, the body is still in its own."""
    with operation("job"):
        running = rows(1, 2)
        next(running)
        with level("elsewhere"):
            assert next(running) == 2
            assert here() == ("elsewhere", "elsewhere")
        assert list(running) == []
    assert parents(progress) == {"job": None, "rows": "job", "elsewhere": "job"}


def test_a_decorated_generator_resumed_by_another_thread(progress: Capture) -> None:
    """The level goes with the body, and leaves nothing in the thread."""
    with operation("job"):
        running = rows(1, 2)
        next(running)

        def resume() -> tuple[int, tuple[str | None, str | None]]:
            return next(running), here()

        assert in_thread(resume) == (2, (None, None))
        assert list(running) == []
        assert here() == ("job", "job")
    assert attribute(the_span(progress, "rows"), names.DONE) == 2.0


def test_a_decorated_generator_that_outlives_its_parent(progress: Capture) -> None:
    """It has an owner of its own, so it goes on; new levels inside are still its children."""

    @level("rows")
    def slow() -> Iterator[int]:
        yield 1
        with level("late"):
            yield 2

    with operation("job"):
        running = slow()
        next(running)
    assert outcomes(progress) == {"job": "completed"}
    assert list(running) == [2]
    assert here() == (None, None)
    assert parents(progress) == {"job": None, "rows": "job", "late": "rows"}


def test_what_is_sent_thrown_and_returned_passes_through(progress: Capture) -> None:
    """A decorated generator talks like the bare one."""

    def talk() -> Generator[str, str, str]:
        heard = []
        try:
            heard.append((yield "one"))
            heard.append((yield "two"))
            yield "never"
        except KeyError as error:
            heard.append((yield f"caught {error}"))
        return " ".join(heard)

    def converse(talker: Generator[str, str, str]) -> list[str]:
        said = [next(talker), talker.send("A"), talker.throw(KeyError("k"))]
        with pytest.raises(StopIteration) as stop:
            talker.send("B")
        return [*said, stop.value.value]

    assert converse(level("talk")(talk)()) == converse(talk()) == ["one", "two", "caught 'k'", "A B"]
    assert outcomes(progress) == {"talk": "completed"}


def test_a_decorated_generator_delegates_and_is_delegated_to(progress: Capture) -> None:
    """By ``yield from``: values, exceptions and the return value go all the way."""

    @level("inner")
    def inner() -> Generator[int, int, str]:
        total = 0
        for value in (1, 2):
            total += yield value
        return f"sum {total}"

    @level("outer")
    def outer() -> Generator[int, int, str]:
        result = yield from inner()
        assert here() == ("outer", "outer")
        return result.upper()

    def bare() -> Generator[int, int, str]:
        return (yield from outer())

    with operation("job"):
        running = bare()
        assert next(running) == 1
        assert here() == ("job", "job")
        assert running.send(10) == 2
        with pytest.raises(StopIteration) as stop:
            running.send(20)
        assert stop.value.value == "SUM 30"
    assert parents(progress) == {"job": None, "outer": "job", "inner": "outer"}


def test_an_error_thrown_in_that_nobody_catches(progress: Capture) -> None:
    """It comes back as it went, and fails the level."""
    error = LookupError("thrown")
    with operation("job"):
        running = rows(1, 2)
        next(running)
        with pytest.raises(LookupError) as caught:
            running.throw(error)
        assert caught.value is error
        assert error.__context__ is None
        assert here() == ("job", "job")
    assert outcomes(progress) == {"rows": "failed", "job": "completed"}


def test_a_generator_that_ignores_being_closed_is_told_off_by_python(progress: Capture) -> None:
    """The same RuntimeError as without us."""

    def stubborn() -> Iterator[int]:
        try:
            yield 1
        except GeneratorExit:
            yield 2

    messages = []
    for make in (stubborn, level("stubborn")(stubborn)):
        running = make()
        next(running)
        with pytest.raises(RuntimeError) as caught:
            running.close()  # type: ignore[attr-defined]  # it is a generator
        messages.append(str(caught.value))
        with pytest.raises(StopIteration):
            next(running)
    assert messages == ["generator ignored GeneratorExit"] * 2
    assert outcomes(progress) == {"stubborn": "completed"}


def test_stop_iteration_raised_in_a_body_is_pythons_runtime_error(progress: Capture) -> None:
    """As PEP 479 has it, with its cause."""

    @level("rows")
    def broken() -> Iterator[int]:
        yield 1
        raise StopIteration("oops")  # noqa: PLR1708  # that is the point

    with pytest.raises(RuntimeError, match="generator raised StopIteration") as caught:
        list(broken())
    assert isinstance(caught.value.__cause__, StopIteration)
    assert outcomes(progress) == {"rows": "failed"}


def test_a_decorated_generator_as_a_context_manager(progress: Capture) -> None:
    """Between its two halves the block runs outside the level: only the generator's own code is inside."""

    @contextmanager
    @level("transaction")
    def transaction() -> Iterator[str]:
        assert here() == ("transaction", "transaction")
        yield "open"
        assert here() == ("transaction", "transaction")

    with operation("job"), transaction() as state:
        assert state == "open"
        assert here() == ("job", "job")
    with pytest.raises(KeyError), transaction():
        raise KeyError("row")
    assert [attribute(span, names.OUTCOME) for span in progress.spans("transaction")] == ["completed", "failed"]


# --- decorated async generators ---------------------------------------------------------------------------------------


@level("rows")
async def async_rows(*values: int) -> AsyncIterator[int]:
    """Yield the values, checking each time that the level is current inside."""
    own = current()
    assert name_of(own) == "rows"
    for value in values:
        await asyncio.sleep(0)
        assert current() is own
        yield value
        assert here() == ("rows", "rows")
        advance()


async def test_a_decorated_async_generators_level_is_current_in_its_body_alone(progress: Capture) -> None:
    """Entered at each resume, left at each suspend, kept while the body awaits."""
    with operation("job"):
        async for _ in async_rows(1, 2, 3):
            assert here() == ("job", "job")
            await asyncio.sleep(0)
            with level("body"):
                pass
        assert here() == ("job", "job")
    assert parents_of(progress, "body") == {"job"}
    assert attribute(the_span(progress, "rows"), names.DONE) == 3.0


async def test_decorated_async_generators_of_concurrent_tasks(progress: Capture) -> None:
    """Each task has its own, and sees nothing of the other's."""

    async def consume(*values: int) -> None:
        async for _ in async_rows(*values):
            assert here() == ("job", "job")
            await asyncio.sleep(0)

    with operation("job"):
        await asyncio.gather(consume(1, 2), consume(3, 4, 5))
        assert here() == ("job", "job")
    assert sorted(attribute(span, names.DONE) for span in progress.spans("rows")) == [2.0, 3.0]


async def test_decorated_async_generators_interleaved(progress: Capture) -> None:
    """In one task, turn by turn, with a level open across a yield in each."""

    @level("rows")
    async def batches(name: str) -> AsyncIterator[str]:
        with level(name) as batch:
            yield name + "1"
            assert current() is batch
            yield name + "2"
            assert current() is batch

    with operation("job"):
        left, right = batches("left"), batches("right")
        assert [await anext(left), await anext(right), await anext(left), await anext(right)] == [
            "left1",
            "right1",
            "left2",
            "right2",
        ]
        assert here() == ("job", "job")
        for done in (left, right):
            with pytest.raises(StopAsyncIteration):
                await anext(done)
        assert here() == ("job", "job")
    assert parents_of(progress, "left") == parents_of(progress, "right") == {"rows"}


async def test_what_is_sent_to_and_thrown_into_an_async_generator_passes_through(progress: Capture) -> None:
    """It talks like the bare one: asend, athrow, aclose."""

    async def talk() -> Any:  # noqa: ANN401  # an async generator
        heard = []
        try:
            heard.append((yield "one"))
            heard.append((yield "two"))
        except KeyError as error:
            yield f"caught {error} after {heard}"

    async def converse(talker: Any) -> list[str]:  # noqa: ANN401  # an async generator
        said = [await anext(talker), await talker.asend("A"), await talker.athrow(KeyError("k"))]
        await talker.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(talker)
        return said

    assert await converse(level("talk")(talk)()) == await converse(talk()) == ["one", "two", "caught 'k' after ['A']"]
    assert outcomes(progress) == {"talk": "abandoned"}


async def test_an_error_thrown_into_an_async_generator_that_nobody_catches(progress: Capture) -> None:
    """It comes back as it went, and fails the level."""
    error = LookupError("thrown")
    with operation("job"):
        running: Any = async_rows(1, 2)
        await anext(running)
        with pytest.raises(LookupError) as caught:
            await running.athrow(error)
        assert caught.value is error
        assert here() == ("job", "job")
    assert outcomes(progress) == {"rows": "failed", "job": "completed"}


async def test_an_async_generators_clean_up_may_await_and_open_levels(progress: Capture) -> None:
    """Closed by its consumer or by the event loop, it runs inside the level."""

    @level("rows")
    async def careful() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            with level("clean-up"):
                await asyncio.sleep(0)

    with operation("job"):
        closed: Any = careful()
        await anext(closed)
        await closed.aclose()
        assert here() == ("job", "job")
        async for _ in careful():
            break
        gc.collect()
        for _ in range(10):
            await asyncio.sleep(0)
        assert here() == ("job", "job")
    assert parents_of(progress, "clean-up") == {"rows"}
    assert [attribute(span, names.OUTCOME) for span in progress.spans("rows")] == ["abandoned"] * 2


async def test_an_async_generator_closed_by_another_task(progress: Capture) -> None:
    """The other task sees nothing of its level, before or after."""

    async def close(running: Any) -> tuple[tuple[str | None, str | None], tuple[str | None, str | None]]:  # noqa: ANN401
        before = here()
        await running.aclose()
        return before, here()

    with operation("job"):
        running: Any = async_rows(1, 2)
        await anext(running)
        seen = await asyncio.create_task(close(running))
        assert seen == (("job", "job"), ("job", "job"))
        assert here() == ("job", "job")
    assert outcomes(progress) == {"rows": "abandoned", "job": "completed"}


def test_an_async_generator_without_a_loop(progress: Capture) -> None:
    """Driven by hand, as by another framework."""

    @level("rows")
    async def plain() -> AsyncIterator[int]:
        yield 5

    async def consume() -> list[int]:
        return [value async for value in plain()]

    assert drive(consume()) == [5]
    assert outcomes(progress) == {"rows": "completed"}


# --- without OpenTelemetry --------------------------------------------------------------------------------------------


def test_levels_nest_without_any_sdk() -> None:
    """Our own current level does not depend on a span; OTel's context is left alone."""
    before = otel_context.get_current()

    @level("rows")
    def plain() -> Iterator[int]:
        assert name_of(current()) == "rows"
        yield 1

    with operation("job") as job:
        assert otel_context.get_current() is before
        with level("step"):
            assert name_of(current()) == "step"
            assert [snapshot.name for snapshot in job.snapshot().children] == ["step"]
        for _ in plain():
            assert current() is job
        assert in_thread(lambda: current() is None)
    assert current() is None
    assert otel_context.get_current() is before
