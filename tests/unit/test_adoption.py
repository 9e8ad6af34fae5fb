"""Spans made with the bare OpenTelemetry API: which become levels, what of them is told, and what is left alone."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.trace import Span, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, Decision, Sampler, SamplingResult
from opentelemetry.trace import Status, StatusCode, Tracer

from otel_progress import (
    ProgressSpanProcessor,
    _adoption,
    _records,
    _runtime,
    active,
    continue_from,
    find,
    history,
    level,
    names,
    operation,
    track,
)
from otel_progress.processors import install
from otel_progress.testing import Capture, FakeClock, capture_progress
from tests.unit.kit import attribute, ignored, python, the_span, together

TOTAL, DONE = names.TOTAL, names.DONE


@pytest.fixture
def tracer(progress: Capture) -> Tracer:
    """A tracer of somebody else's."""
    return progress.tracer_provider.get_tracer("job")


@contextmanager
def span_of(tracer: Tracer, name: str, **attributes: object) -> Iterator[Span]:
    """Make a span current; double underscores in keyword arguments are dots, as ``progress__total``."""
    told = {key.replace("__", "."): value for key, value in attributes.items()}
    with tracer.start_as_current_span(name, attributes=told) as span:  # type: ignore[arg-type]
        assert isinstance(span, Span)
        yield span


def watched(progress: Capture) -> int:
    """How many spans are watched."""
    return len(progress.runtime.adoption.watched)


# --- which spans, and when --------------------------------------------------------------------------------------------


def test_span_that_starts_with_a_total_is_a_level_at_once(progress: Capture, tracer: Tracer) -> None:
    """With counts, limit, share, time left and heartbeat while it runs."""
    with span_of(tracer, "import", progress__total=10) as span:
        (seen,) = active()
        assert (seen.name, seen.operation, seen.is_operation, seen.total, seen.done) == (
            *("import", "import", True),
            *(10, 0),
        )
        for done in range(1, 5):
            progress.clock.advance(1)
            span.set_attribute(DONE, done)
            progress.tick()
        value = progress.value
        assert value(names.LEVEL_DONE.name, operation="import") == 4
        assert value(names.LEVEL_LIMIT.name, operation="import") == 10
        assert value(names.LEVEL_FRACTION.name, operation="import") == 0.4
        assert value(names.ITEMS.name, operation="import", item_outcome="ok") == 4
        assert value(names.ACTIVE.name, operation="import", state="running") == 1
        # One item a second, six are left.
        assert value(names.LEVEL_ETA.name, operation="import") == pytest.approx(6, rel=0.05)
        assert value(names.LEVEL_HEARTBEAT.name, operation="import") == 1_700_000_004
        progress.clock.advance(1)
        span.set_attribute(DONE, 9)
    assert value(names.LEVEL_DONE.name, operation="import") is None
    assert value(names.ITEMS.name, operation="import", item_outcome="ok") == 9
    assert value(names.ACTIVE.name, operation="import", state="running") == 0
    assert value(names.LEVEL_DURATION.name, operation="import", outcome="completed") == (1, pytest.approx(5))
    (kept,) = history()
    assert (kept.name, kept.state, kept.done, kept.total, kept.elapsed_seconds) == ("import", "completed", 9, 10, 5)


@pytest.mark.parametrize("key", [TOTAL, DONE])
def test_span_becomes_a_level_when_the_attribute_is_set_later(progress: Capture, tracer: Tracer, key: str) -> None:
    """At the next look; its start stays its start."""
    with span_of(tracer, "import", other=1) as span:
        progress.tick(3)
        assert active() == ()
        span.set_attribute(key, 7)
        progress.tick(1)
        (seen,) = active()
        assert seen.elapsed_seconds == 4
        assert (seen.total, seen.done) == ((7, 0) if key == TOTAL else (None, 7))


def test_ordinary_span_is_never_a_level(progress: Capture, tracer: Tracer) -> None:
    """Other attributes of ours do not make one."""
    with span_of(tracer, "request", http__method="GET", progress__message="hello"):
        progress.tick(5)
        assert active() == ()
        assert watched(progress) == 1
    assert watched(progress) == 0
    assert find() == ()
    assert progress.points(names.LEVEL_DURATION.name) == {}


def test_span_that_lives_shorter_than_a_tick_reaches_the_metrics(progress: Capture, tracer: Tracer) -> None:
    """What it had at its end is read then: counts, duration, outcome; each once."""
    for done in (3, 4):
        with span_of(tracer, "batch") as span:
            progress.clock.advance(0.25)
            span.set_attributes({TOTAL: 5, DONE: done, names.BYTES: 100})
    assert progress.value(names.ITEMS.name, operation="batch", item_outcome="ok") == 7
    assert progress.value(names.BYTES_DONE.name, operation="batch") == 200
    assert progress.value(names.LEVEL_DURATION.name, operation="batch", outcome="completed") == (2, 0.5)
    assert [kept.total for kept in history()] == [5, 5]
    assert [event.event_name for event in progress.events()] == ["progress.started", "progress.completed"] * 2


def test_names_in_the_settings_and_of_the_processor_are_levels_from_their_start(clock: FakeClock) -> None:
    """No count is needed; others stay ordinary."""
    with capture_progress(clock=clock, adopt=["nightly"]) as progress:
        progress.tracer_provider.add_span_processor(ProgressSpanProcessor(names=["weekly"]))
        tracer = progress.tracer_provider.get_tracer("job")
        with span_of(tracer, "nightly"), span_of(tracer, "weekly"), span_of(tracer, "daily"):
            assert [seen.name for seen in find()] == ["nightly", "weekly"]


def test_names_with_a_history_are_levels_from_their_start(progress: Capture, tracer: Tracer) -> None:
    """The store says which have one; it is asked for spans that nothing else makes levels."""
    progress.runtime.adoption.has_history = lambda name: name == "known"
    with span_of(tracer, "known"), span_of(tracer, "unknown"):
        assert [seen.name for seen in find()] == ["known"]


def test_name_adopted_before_is_a_level_from_its_start_the_next_time(progress: Capture, tracer: Tracer) -> None:
    """As long as this process lives, and for a bounded number of names."""
    with span_of(tracer, "import", progress__total=1):
        pass
    with span_of(tracer, "import"):
        assert [seen.name for seen in active()] == ["import"]
    with span_of(tracer, "export"):
        assert active() == ()


def test_names_adopted_before_are_bounded(monkeypatch: pytest.MonkeyPatch, progress: Capture, tracer: Tracer) -> None:
    """Beyond the limit a span needs its attribute."""
    monkeypatch.setattr(_adoption, "NAMES_LIMIT", 1)
    for name in ("first", "second"):
        with span_of(tracer, name, progress__total=1):
            pass
    with span_of(tracer, "first"), span_of(tracer, "second"):
        assert [seen.name for seen in find(state="running")] == ["first"]


def test_spans_of_ours_are_not_watched(progress: Capture) -> None:
    """They are levels already."""
    with operation("job", total=3) as job:
        job.advance()
        assert watched(progress) == 0
    assert progress.value(names.ITEMS.name, operation="job", item_outcome="ok") == 1


def test_span_that_is_not_sampled_never_comes_and_one_that_only_records_does() -> None:
    """The SDK gives processors what records."""

    class RecordOnly(Sampler):
        def should_sample(self, *given: Any, **named: Any) -> SamplingResult:  # noqa: ANN401  # as the SDK calls it
            # The fifth: context, trace id, name, kind, attributes.
            return SamplingResult(Decision.RECORD_ONLY, attributes=named.get("attributes") or given[4])

        def get_description(self) -> str:
            return "record only"

    for sampler, expected in ((ALWAYS_OFF, None), (RecordOnly(), 1)):
        with capture_progress(sampler=sampler) as progress:
            with progress.tracer_provider.get_tracer("job").start_as_current_span("import", attributes={DONE: 1}):
                pass
            assert progress.value(names.ITEMS.name, operation="import", item_outcome="ok") == expected


# --- what is read -----------------------------------------------------------------------------------------------------


def test_texts_and_bytes_are_read_as_they_change(progress: Capture, tracer: Tracer) -> None:
    """Unit, message, bytes, id and title."""
    with span_of(tracer, "load", progress__total=4, progress__unit="{row}", progress__level__id="orders") as span:
        span.set_attributes({names.MESSAGE: "reading", names.BYTES: 10, names.LEVEL_TITLE: "Orders"})
        progress.tick(1)
        (seen,) = active()
        assert (seen.unit, seen.id, seen.title, seen.message, seen.bytes) == (
            *("{row}", "orders", "Orders"),
            *("reading", 10),
        )
        span.set_attributes({names.MESSAGE: "writing", names.BYTES: 30, TOTAL: 8})
        progress.tick(1)
        (seen,) = active()
        assert (seen.message, seen.bytes, seen.total) == ("writing", 30, 8)


def test_done_may_go_back_and_the_counter_does_not(progress: Capture, tracer: Tracer) -> None:
    """5, back to 2, then 4: seven items were done in all."""
    with span_of(tracer, "import", progress__total=10) as span:
        for done, shown, ever in ((5, 5, 5), (2, 2, 5), (4, 4, 7)):
            span.set_attribute(DONE, done)
            progress.tick(1)
            assert progress.value(names.LEVEL_DONE.name, operation="import") == shown
            assert progress.value(names.ITEMS.name, operation="import", item_outcome="ok") == ever
    assert history()[0].done == 4


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        (TOTAL, "many", "bad_total"),
        (TOTAL, float("nan"), "bad_total"),
        (DONE, -1, "bad_done"),
        (DONE, (1, 2), "bad_done"),
        (names.BYTES, float("inf"), "bad_bytes"),
        (names.BYTES, 5, "bad_bytes"),  # a counter that goes back
    ],
)
def test_value_that_makes_no_sense_is_ignored_and_counted_once(
    progress: Capture, tracer: Tracer, key: str, value: object, reason: str
) -> None:
    """However often it is looked at; what was known before holds."""
    with span_of(tracer, "import", progress__total=10, progress__done=3, progress__bytes=9) as span:
        progress.tick(1)
        span.set_attribute(key, value)  # type: ignore[arg-type]
        for _ in range(3):
            progress.tick(1)
        (seen,) = active()
        assert (seen.total, seen.done, seen.bytes) == (10, 3, 9)
    assert ignored(progress) == {reason: 1}


def test_done_at_the_start_is_where_a_resumed_run_goes_on(progress: Capture, tracer: Tracer) -> None:
    """It is no speed: 900 were done before, then one a second, so 96 are left and take 96 s."""
    with span_of(tracer, "import", progress__total=1_000, progress__done=900) as span:
        for done in range(901, 905):
            progress.clock.advance(1)
            span.set_attribute(DONE, done)
            progress.tick()
        assert progress.value(names.LEVEL_ETA.name, operation="import") == pytest.approx(96, rel=0.05)


def test_done_seen_within_the_first_second_is_speed(progress: Capture, tracer: Tracer) -> None:
    """It was set while the span ran: ten a second, so 80 are left and take 8 s."""
    with span_of(tracer, "import", progress__total=100) as span:
        for done in (10, 20):
            progress.clock.advance(1)
            span.set_attribute(DONE, done)
            progress.tick()
        assert progress.value(names.LEVEL_RATE.name, operation="import") == pytest.approx(10, rel=0.05)


def test_span_told_of_after_the_fact_has_its_own_times(progress: Capture, tracer: Tracer) -> None:
    """Started and ended in the past, by its own word: 40 s."""
    now = progress.clock.wall_ns()
    span = tracer.start_span("import", attributes={DONE: 8}, start_time=now - 60_000_000_000)
    assert active()[0].elapsed_seconds == pytest.approx(60)
    span.end(now - 20_000_000_000)
    assert progress.value(names.LEVEL_DURATION.name, operation="import", outcome="completed") == (
        1,
        pytest.approx(40),
    )


# --- endings ----------------------------------------------------------------------------------------------------------


def test_error_status_is_failure_with_the_type_of_the_exception(progress: Capture, tracer: Tracer) -> None:
    """As the exception event of the span has it; the message is redacted, and the span stays as it is."""
    with (
        pytest.raises(ValueError, match="password"),
        span_of(tracer, "import", progress__total=10, progress__done=4),
    ):
        raise ValueError("password=hunter2")
    (kept,) = history()
    assert (kept.state, kept.error_type, kept.error_message) == ("failed", "ValueError", "password=***")
    (failed,) = progress.events("progress.failed")
    assert failed.attributes[names.ERROR_TYPE] == "ValueError"
    assert progress.value(names.LEVEL_DURATION.name, operation="import", outcome="failed")[0] == 1


def test_error_type_attribute_goes_before_the_exception_event(progress: Capture, tracer: Tracer) -> None:
    """Without either it is unknown; the description is the message."""
    with span_of(tracer, "import", progress__total=1) as span:
        span.record_exception(KeyError("k"))
        span.set_attribute(names.ERROR_TYPE, "timeout")
        span.set_status(Status(StatusCode.ERROR, "too slow"))
    with span_of(tracer, "export", progress__total=1) as span:
        span.set_status(Status(StatusCode.ERROR, "too slow"))
    assert [(kept.name, kept.error_type, kept.error_message) for kept in history()] == [
        ("export", None, "too slow"),
        ("import", "timeout", "'k'"),
    ]


@pytest.mark.parametrize("status", [StatusCode.UNSET, StatusCode.OK])
def test_any_other_status_is_completion(progress: Capture, tracer: Tracer, status: StatusCode) -> None:
    """Also with an exception that was only noted."""
    with span_of(tracer, "import", progress__total=1) as span:
        span.record_exception(KeyError("k"))
        span.set_status(status)
    assert [(kept.state, kept.error_type) for kept in history()] == [("completed", None)]


def test_span_dropped_without_an_end_is_abandoned(progress: Capture, tracer: Tracer) -> None:
    """It is not kept alive by being watched, adopted or not."""
    tracer.start_span("ordinary")
    span = tracer.start_span("import", attributes={TOTAL: 1})
    assert len(active()) == 1
    del span
    gc.collect()
    assert watched(progress) == 0
    assert [(kept.name, kept.state) for kept in history()] == [("import", "abandoned")]


def test_end_of_the_runtime_interrupts_and_a_later_end_changes_nothing(progress: Capture, tracer: Tracer) -> None:
    """As for levels of ours."""
    with span_of(tracer, "import", progress__total=1):
        progress.runtime.shutdown()
        assert watched(progress) == 0
        assert [kept.state for kept in history()] == ["interrupted"]
    assert [kept.state for kept in history()] == ["interrupted"]
    assert watched(progress) == 0


def test_shutdown_of_a_provider_interrupts_what_it_had_adopted(progress: Capture, tracer: Tracer) -> None:
    """Its spans will not be exported any more; later ones are not adopted, and those of other providers are left."""
    going = TracerProvider(shutdown_on_exit=False)
    going.add_span_processor(ProgressSpanProcessor())
    with (
        span_of(tracer, "theirs", progress__total=1),
        span_of(going.get_tracer("job"), "import", progress__total=1),
        span_of(going.get_tracer("job"), "ordinary"),
    ):
        going.shutdown()
        assert watched(progress) == 1
        with span_of(going.get_tracer("job"), "later", progress__total=1):
            pass
    assert [(kept.name, kept.state) for kept in find()] == [("theirs", "completed"), ("import", "interrupted")]


def test_force_flush_hands_over_what_has_ended(progress: Capture) -> None:
    """To the processors that come after ours; at once if there is nothing."""
    processor = ProgressSpanProcessor()
    with operation("job"):
        pass
    assert processor.force_flush(10_000)
    assert progress.runtime.health().outbox_length == 0


def test_force_flush_keeps_to_its_timeout(progress: Capture) -> None:
    """Somebody's slow callback is in the way."""
    release = threading.Event()
    progress.runtime.outbox.put(release.wait, 20)
    try:
        assert not ProgressSpanProcessor().force_flush(50)
    finally:
        release.set()


# --- trees ------------------------------------------------------------------------------------------------------------


def paths() -> set[tuple[str, ...]]:
    """Paths of all live levels."""
    return {seen.path for seen in find() if seen.is_live}


def test_span_inside_a_level_of_ours_is_its_child(progress: Capture, tracer: Tracer) -> None:
    """One operation, one run; ordinary spans in between do not matter."""
    with operation("job") as job, span_of(tracer, "request"), span_of(tracer, "copy", progress__total=5):
        assert paths() == {("job",), ("job", "copy")}
        assert {seen.run_id for seen in find()} == {job.snapshot().run_id}
    assert progress.value(names.LEVEL_DURATION.name, operation="job", level="copy", outcome="completed")[0] == 1


def test_span_inside_an_adopted_one_is_its_child_and_one_beside_it_is_an_operation(tracer: Tracer) -> None:
    """Whatever is in between, and in whatever thread: the context counts."""
    with span_of(tracer, "import", progress__total=5) as span:
        apart = tracer.start_span("apart", otel_context.Context(), attributes={TOTAL: 1})
        with span_of(tracer, "request"), span_of(tracer, "copy", progress__total=5):
            assert paths() == {("import",), ("import", "copy"), ("apart",)}
        inside = trace.set_span_in_context(span)

        def run() -> None:
            with tracer.start_as_current_span("threaded", inside, attributes={DONE: 1}):
                assert paths() == {("import",), ("import", "threaded"), ("apart",)}

        together(run)
        apart.end()


def test_level_of_ours_inside_an_adopted_span_is_its_child(progress: Capture, tracer: Tracer) -> None:
    """And so on inwards, in turn; an operation is a root all the same."""
    with span_of(tracer, "import", progress__total=5):
        with level("copy"), span_of(tracer, "table", progress__total=3), level("rows"):
            assert paths() == {
                ("import",),
                ("import", "copy"),
                ("import", "copy", "table"),
                ("import", "copy", "table", "rows"),
            }
        with operation("other"):
            assert paths() == {("import",), ("other",)}
    rows = the_span(progress, "rows")
    assert attribute(rows, names.OPERATION) == "import"
    assert rows.parent is not None
    assert rows.parent.span_id == progress.spans("table")[0].context.span_id  # type: ignore[union-attr]


def test_span_around_is_adopted_first_when_it_carries_a_count_by_then(tracer: Tracer) -> None:
    """No tick has come yet: what is inside is its child all the same, span or level."""
    with span_of(tracer, "import") as outer, span_of(tracer, "stage") as inner:
        outer.set_attribute(TOTAL, 5)
        inner.set_attribute(TOTAL, 2)
        with level("copy"):
            assert paths() == {("import",), ("import", "stage"), ("import", "stage", "copy")}
    with span_of(tracer, "export") as outer:
        outer.set_attribute(TOTAL, 5)
        with span_of(tracer, "table", progress__total=1):
            assert paths() == {("export",), ("export", "table")}


def test_level_that_outlives_the_adopted_span_goes_on(tracer: Tracer) -> None:
    """What starts in it then is below what is left."""
    span = tracer.start_span("import", attributes={TOTAL: 5})
    with trace.use_span(span, end_on_exit=False), level("copy"):
        span.end()
        with level("rows"), span_of(tracer, "table", progress__total=1):
            assert paths() == {("import", "copy"), ("import", "copy", "rows"), ("import", "copy", "rows", "table")}


def test_span_below_one_that_has_ended_belongs_to_the_live_one_above(progress: Capture, tracer: Tracer) -> None:
    """An ordinary span between the two ended first, as where tasks are started in it."""
    with span_of(tracer, "import", progress__total=5):
        between = tracer.start_span("enqueue")
        task = tracer.start_span("task", trace.set_span_in_context(between))
        between.end()
        task.set_attribute(TOTAL, 2)
        progress.tick(1)
        assert paths() == {("import",), ("import", "task")}
        task.end()


def test_span_inside_a_level_that_has_no_span_is_its_child(
    monkeypatch: pytest.MonkeyPatch, progress: Capture, tracer: Tracer
) -> None:
    """The sampler failed, say: the adopted span around it is the current one still, but the level is nearer."""

    def fail(*_: object) -> None:
        raise RuntimeError("broken")

    with span_of(tracer, "import", progress__total=5):
        monkeypatch.setattr(_records, "start", fail)
        with level("copy"):
            monkeypatch.undo()
            with span_of(tracer, "table", progress__total=1), level("rows"):
                assert ("import", "copy", "table", "rows") in paths()
    assert progress.runtime.tally.contained == {"span_start": 1}


def test_very_deep_spans_are_adopted_from_the_outside(progress: Capture, tracer: Tracer) -> None:
    """Deeper than the stack."""
    spans = [tracer.start_span("step")]
    while len(spans) < 1_200:
        spans.append(tracer.start_span("step", trace.set_span_in_context(spans[-1])))
    for span in spans:
        span.set_attribute(TOTAL, 1)
    with trace.use_span(spans[-1]), level("inmost") as inmost:
        assert len(inmost.snapshot().path) == 1_201
    for span in reversed(spans):
        span.end()
    assert progress.runtime.tally.contained == {}


def test_span_in_another_process_belongs_to_the_operation_of_the_carrier(progress: Capture, tracer: Tracer) -> None:
    """As levels of ours do."""
    with operation("job") as job:
        carrier = job.carrier()

    def work() -> None:
        with continue_from(carrier), span_of(tracer, "request"), span_of(tracer, "copy", progress__total=1):
            (seen,) = active()
            assert (seen.operation, seen.path, seen.is_operation) == ("job", ("job", "copy"), False)
            assert seen.run_id == carrier["progress-run"]

    together(work)
    assert progress.value(names.LEVEL_DURATION.name, operation="job", level="copy", outcome="completed")[0] == 1


def test_loop_left_open_ends_with_the_adopted_span(progress: Capture, tracer: Tracer) -> None:
    """Its iterator is kept by a variable."""
    with span_of(tracer, "import", progress__total=1):
        iterator = iter(track(range(3), "rows"))
        next(iterator)
    assert [(kept.name, kept.state) for kept in find()] == [("import", "completed"), ("rows", "abandoned")]
    del progress, iterator


def test_parent_counts_the_share_of_an_adopted_child(progress: Capture, tracer: Tracer) -> None:
    """A job of two items, half of the first done by the child: a quarter."""
    with operation("job", total=2), span_of(tracer, "copy", progress__total=4) as copy:
        copy.set_attribute(DONE, 2)
        progress.tick(1)
        assert progress.value(names.LEVEL_FRACTION.name, operation="job") == 0.25


# --- trace and events -------------------------------------------------------------------------------------------------


def test_trace_holds_the_span_once_and_unchanged(progress: Capture, tracer: Tracer) -> None:
    """No record of ours, no attribute, however long it runs."""
    with span_of(tracer, "import", progress__total=10) as span:
        for _ in range(200):
            progress.tick(1)
        assert progress.spans() == []
        assert span.is_recording()
    (exported,) = progress.spans()
    assert dict(exported.attributes or {}) == {TOTAL: 10}
    assert exported.name == "import"


def test_level_above_is_shown_and_the_adopted_span_between_is_left_alone(progress: Capture, tracer: Tracer) -> None:
    """A level of ours on either side of it: records are theirs alone."""
    with operation("job"), span_of(tracer, "import", progress__total=10), level("copy"):
        progress.tick(3)
        assert sorted(span.name for span in progress.spans()) == ["copy", "job"]
    assert sorted(span.name for span in progress.spans()) == ["copy", "copy", "import", "job", "job"]


def test_lifecycle_events_carry_the_context_of_the_span(progress: Capture, tracer: Tracer) -> None:
    """An operation has them at once, a level below it once it is old enough."""
    with span_of(tracer, "import", progress__total=10) as outer, span_of(tracer, "copy", progress__done=1) as inner:
        assert [event.event_name for event in progress.events()] == ["progress.started"]
        progress.tick(3)
        ids = {span.name: span.get_span_context() for span in (outer, inner)}
        (seen,) = active()
        assert (int(seen.trace_id or "", 16), int(seen.span_id or "", 16)) == ids["import"][:2]
    told = [(e.event_name, e.attributes[names.PATH][-1], e.trace_id, e.span_id) for e in progress.events()]
    assert told == [
        ("progress.started", "import", *ids["import"][:2]),
        ("progress.started", "copy", *ids["copy"][:2]),
        ("progress.completed", "copy", *ids["copy"][:2]),
        ("progress.completed", "import", *ids["import"][:2]),
    ]


# --- bounds and harm --------------------------------------------------------------------------------------------------


def test_spans_beyond_the_limit_are_not_watched_and_counted(
    monkeypatch: pytest.MonkeyPatch, progress: Capture, tracer: Tracer
) -> None:
    """There is room again when others have ended."""
    monkeypatch.setattr(_adoption, "WATCHED_LIMIT", 2)
    with span_of(tracer, "a"), span_of(tracer, "b"), span_of(tracer, "c", progress__total=1):
        assert watched(progress) == 2
    assert find() == ()
    assert progress.runtime.tally.dropped == {"watched_spans": 1}
    with span_of(tracer, "d", progress__total=1):
        assert [seen.name for seen in active()] == ["d"]


def test_looking_at_many_spans_is_spread_over_ticks(
    monkeypatch: pytest.MonkeyPatch, progress: Capture, tracer: Tracer
) -> None:
    """With no time at all one is looked at in each tick, in turn."""
    monkeypatch.setattr(_adoption, "POLL_BUDGET_SECONDS", -1.0)
    spans = [tracer.start_span(name, otel_context.Context()) for name in "abcd"]
    for span in spans[1:]:
        span.set_attribute(TOTAL, 1)
    seen: list[int] = []
    for _ in range(6):
        progress.tick(1)
        seen.append(len(active()))
    assert seen[-1] == 3
    assert seen[0] < 3
    for span in spans:
        span.end()


@pytest.mark.parametrize("site", ["on_start", "on_end"])
def test_error_of_ours_never_reaches_the_program(
    monkeypatch: pytest.MonkeyPatch, progress: Capture, tracer: Tracer, site: str
) -> None:
    """It is contained and counted."""

    def fail(*_: object) -> bool:
        raise RuntimeError("broken")

    if site == "on_start":
        progress.runtime.adoption.has_history = fail
    else:
        monkeypatch.setattr(progress.runtime.adoption, "ended", fail)
    with span_of(tracer, "import"):
        pass
    assert progress.runtime.tally.contained == {site: 1}
    assert len(progress.spans("import")) == 1


def test_level_whose_end_failed_is_ended_by_whoever_comes_next(
    monkeypatch: pytest.MonkeyPatch, progress: Capture, tracer: Tracer
) -> None:
    """It must not look alive for ever."""

    def fail(*_: object) -> None:
        raise RuntimeError("broken")

    with span_of(tracer, "import", progress__total=1):
        monkeypatch.setattr(progress.runtime, "finish", fail)
    progress.runtime.reap()
    assert [kept.state for kept in history()] == ["abandoned"]
    assert progress.runtime.tally.contained == {"on_end": 1}


def test_level_whose_start_failed_is_ended_by_whoever_comes_next(
    monkeypatch: pytest.MonkeyPatch, progress: Capture, tracer: Tracer
) -> None:
    """It may be among the live ones already."""

    def fail(*_: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(progress.runtime, "announce", fail)
    with span_of(tracer, "import", progress__total=1):
        monkeypatch.undo()
        assert active() == ()
    assert [kept.state for kept in history()] == ["abandoned"]
    assert progress.runtime.tally.contained == {"on_start": 1}


def test_chain_of_spans_that_start_each_other_keeps_no_more_than_the_last(progress: Capture, tracer: Tracer) -> None:
    """Each is started in the one before, which ends then: a queue that goes on for months."""
    span = tracer.start_span("task")
    for _ in range(50):
        follower = tracer.start_span("task", trace.set_span_in_context(span))
        span.end()
        span = follower
    (last,) = progress.runtime.adoption.watched.values()
    chain = []
    while last is not None:
        chain.append(last)
        last = last.above  # type: ignore[assignment]  # the loop's condition
    assert len(chain) <= 2
    span.end()


def test_nothing_is_watched_when_switched_off() -> None:
    """`enabled` is off."""
    with capture_progress(enabled=False) as progress:
        with progress.tracer_provider.get_tracer("job").start_as_current_span("import", attributes={TOTAL: 1}):
            assert active() == ()
            assert watched(progress) == 0
        assert progress.points(names.ITEMS.name) == {}


def test_two_processors_count_once(progress: Capture, tracer: Tracer) -> None:
    """By hand and by `configure`, say."""
    progress.tracer_provider.add_span_processor(ProgressSpanProcessor())
    with span_of(tracer, "import", progress__total=3) as span:
        span.set_attribute(DONE, 3)
        progress.tick(1)
        assert len(active()) == 1
    with span_of(tracer, "short") as span:
        span.set_attribute(DONE, 2)
    assert progress.value(names.ITEMS.name, operation="import", item_outcome="ok") == 3
    assert progress.value(names.ITEMS.name, operation="short", item_outcome="ok") == 2
    assert progress.value(names.LEVEL_DURATION.name, operation="import", outcome="completed")[0] == 1


def test_install_adds_one_processor_to_a_provider_and_works_while_somebody_wants_it(clock: FakeClock) -> None:
    """A provider that is not the SDK's is left alone."""
    install(trace.NoOpTracerProvider(), "configure")()
    with capture_progress(clock=clock):
        added: list[object] = []
        provider = TracerProvider(shutdown_on_exit=False)
        add = provider.add_span_processor
        provider.add_span_processor = lambda processor: (added.append(processor), add(processor))[1]  # type: ignore[method-assign]
        tracer = provider.get_tracer("job")

        def adopted() -> int:
            with span_of(tracer, "import", progress__total=1):
                return len(active())

        undo = [install(provider, owner) for owner in ("configure", "instrument")]
        assert (len(added), adopted()) == (1, 1)
        undo[0]()
        assert adopted() == 1
        undo[1]()
        assert adopted() == 0
        install(provider, "configure")
        assert (len(added), adopted()) == (1, 1)
        provider.shutdown()
        assert adopted() == 0


def test_span_that_started_before_the_runtime_was_replaced_ends_where_it_was_adopted(
    progress: Capture, tracer: Tracer
) -> None:
    """`configure` in the middle of a program."""
    with span_of(tracer, "import", progress__total=1):
        previous = _runtime.replace(_runtime.Runtime(ticker=False))
    used = _runtime.replace(previous)
    assert used is not None
    assert [kept.state for kept in history()] == ["completed"]
    assert watched(progress) == 0


def test_many_threads_and_the_ticker_count_each_span_once(progress: Capture, tracer: Tracer) -> None:
    """Adopted by whoever comes first: the one who looks, or the one who ends it."""
    spans_each = 300
    over = threading.Event()

    def work() -> None:
        for _ in range(spans_each):
            span = tracer.start_span("short", otel_context.Context())
            span.set_attribute(DONE, 1)
            span.end()

    def look() -> None:
        while not over.is_set():
            progress.runtime.rounds.tick()

    looking = threading.Thread(target=look)
    looking.start()
    try:
        together(work, work, work)
    finally:
        over.set()
        looking.join(20)
    assert watched(progress) == 0
    assert progress.runtime.adoption.levels == {}
    assert progress.value(names.ITEMS.name, operation="short", item_outcome="ok") == 3 * spans_each
    assert progress.value(names.ACTIVE.name, operation="short", state="running") == 0
    assert progress.value(names.LEVEL_DURATION.name, operation="short", outcome="completed")[0] == 3 * spans_each


EXISTING = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from otel_progress import ProgressSpanProcessor, active, configure

provider = TracerProvider()
provider.add_span_processor(ProgressSpanProcessor(names=["weekly"]))
trace.set_tracer_provider(provider)

def adopted(name):
    with trace.get_tracer("job").start_as_current_span(name):
        return len(active())

with configure(terminal="off", adopt=["nightly"]):
    print(*map(adopted, ("nightly", "weekly", "daily")))
print(*map(adopted, ("nightly", "weekly", "daily")))
"""


def test_configure_installs_beside_a_processor_of_the_users_own_and_takes_it_back() -> None:
    """Each goes by its own names; after the shutdown only the user's is left."""
    done = python(EXISTING)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["1 1 0", "0 1 0"]


FORKED = """
import os
from otel_progress import find, level, operation
from otel_progress.testing import capture_progress

def tell(who):
    lines = [f"{who} {seen.name} {seen.operation} {seen.state} {seen.run_id == run}" for seen in find()]
    os.write(1, ("\\n".join(lines) + "\\n").encode())

with capture_progress() as progress:
    tracer = progress.tracer_provider.get_tracer("job")
    start = tracer.start_as_current_span
    with start("import", attributes={"progress.total": 3}), start("request"):  # the second is no level
        run = find()[0].run_id
        pid = os.fork()
        if pid == 0:
            with tracer.start_as_current_span("copy", attributes={"progress.total": 1}), level("rows"):
                pass
            with level("index"):
                tell("child")
            tell("idle" if not progress.runtime.rounds.tick() else "busy")
    if pid == 0:
        tell("child-later")
        os._exit(0)
    os.waitpid(pid, 0)
    tell("parent")

with capture_progress() as progress:
    with operation("job") as job:
        run = job.snapshot().run_id
        if os.fork() == 0:
            tracer = progress.tracer_provider.get_tracer("job")
            with tracer.start_as_current_span("copy", attributes={"progress.total": 1}):
                tell("child-of-ours")
            os._exit(0)
        os.wait()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_fork_leaves_live_spans_to_the_parent_and_new_ones_in_its_operation() -> None:
    """The child neither tells of the parent's span nor ends it; what it starts inside belongs to the same run."""
    done = python("import warnings; warnings.simplefilter('ignore')\n" + FORKED)
    assert (done.returncode, done.stderr) == (0, "")
    told: dict[str, list[str]] = {}
    for who, _, line in (each.partition(" ") for each in done.stdout.splitlines()):
        told.setdefault(who, []).append(line)
    assert told["child"] == ["index import running True", "copy import completed True", "rows import completed True"]
    assert "idle" in told
    assert told["child-of-ours"] == ["copy job running True"]
    assert told["child-later"] == ["index import completed True", *told["child"][1:]]
    assert told["parent"] == ["import import completed True"]


@pytest.fixture
def clock() -> FakeClock:
    """A clock for a capture of one's own."""
    return FakeClock()
