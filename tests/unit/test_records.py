"""A level in its trace while it runs: what is shown when, whose child it is, and where later words end up."""

from __future__ import annotations

import threading
from itertools import pairwise
from typing import Any

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, Decision, Sampler, SamplingResult, TraceIdRatioBased
from opentelemetry.trace import Link, SpanContext, SpanKind, StatusCode, TraceFlags

from otel_progress import State, health, level, names, operation, track
from otel_progress._level_span import LATE_LIMIT, LevelSpan
from otel_progress.testing import Capture, capture_progress
from tests.unit.kit import attribute, ignored, in_thread, records, wholes

SECOND = 1_000_000_000
MINUTE = 60.0


def only(spans: list[ReadableSpan]) -> ReadableSpan:
    """Return the one span of a list."""
    (span,) = spans
    return span


def span_id(span: ReadableSpan) -> int:
    """Return a span's own id."""
    assert span.context is not None
    return span.context.span_id


def parent_id(span: ReadableSpan) -> int | None:
    """Return the id of a span's parent."""
    return None if span.parent is None else span.parent.span_id


def assert_sound(progress: Capture) -> None:
    """Every id is there once, every parent is there, and nothing is without length."""
    spans = progress.spans()
    ids = [span_id(span) for span in spans]
    assert len(set(ids)) == len(ids)
    assert {parent_id(span) for span in spans} - {None} <= set(ids)
    assert all((span.end_time or 0) > (span.start_time or 0) for span in spans)


# --- what is shown when -----------------------------------------------------------------------------------------------


def test_a_short_level_is_one_span(progress: Capture) -> None:
    """Just short of two seconds."""
    with operation("job"):
        progress.tick(1.9)
    assert attribute(only(progress.spans()), names.RECORD) == "span"


def test_a_level_that_outlives_open_after_is_in_its_trace_at_once(progress: Capture) -> None:
    """With its tree and how far it is, while it runs; the levels above it too."""
    start = progress.clock.wall_ns()
    with operation("job", id="42"), level("copy", total=10, unit="{row}") as copy:
        copy.advance(3)
        copy.update(message="first table", metadata={"host": "db1"})
        progress.tick(1.0)
        progress.tick(1.0)
        job_span, copy_span = progress.spans()
        assert [span.name for span in (job_span, copy_span)] == ["job", "copy"]
        assert parent_id(copy_span) == span_id(job_span)
        assert parent_id(job_span) is None
        assert (copy_span.start_time, copy_span.end_time) == (start, start + 2 * SECOND)
        assert copy_span.status.status_code is StatusCode.UNSET
        told = dict(copy_span.attributes or {})
        eta = [told.pop(key) for key in (names.ETA_LOW, names.ETA_SECONDS, names.ETA_HIGH)]
        assert eta == sorted(eta)
        assert str(told.pop(names.EXPECTED_END)).startswith("2023-11-14T22:13:")
        assert told == {
            names.RECORD: "open",
            names.OPERATION: "job",
            names.LEVEL: "copy",
            names.RUN_ID: attribute(job_span, names.RUN_ID),
            names.PATH: ("job", "copy"),
            names.STATE: "running",
            names.DONE: 3.0,
            names.LIMIT: 10.0,
            names.FRACTION: 0.3,
            names.UNIT: "{row}",
            names.MESSAGE: "first table",
            names.METADATA_PREFIX + "host": "db1",
        }
        assert attribute(job_span, names.LEVEL_ID) == "42"


def test_its_end_is_a_second_span_below_it(progress: Capture) -> None:
    """With the true start and end, final numbers, status and error, and the id of the open record."""
    start = progress.clock.wall_ns()
    with pytest.raises(ValueError, match="row 7"), operation("job"), level("copy", total=10) as copy:
        copy.advance(1)
        progress.tick(2.5)
        assert attribute(only(records(progress, "open", "copy")), names.ETA_SECONDS) is not None
        copy.advance(6)
        progress.clock.advance(1.5)
        raise ValueError("row 7")
    opened, completion = progress.spans("copy")
    assert parent_id(completion) == span_id(opened)
    assert (completion.start_time, completion.end_time) == (start, start + 4 * SECOND)
    assert attribute(completion, names.RECORD) == "completion"
    assert attribute(completion, names.OPEN_SPAN_ID) == f"{span_id(opened):016x}"
    assert attribute(completion, names.OUTCOME) == attribute(completion, names.STATE) == "failed"
    assert attribute(completion, names.DONE) == 7
    assert attribute(completion, names.ERROR_TYPE) == "ValueError"
    assert attribute(completion, names.ETA_SECONDS) is None  # nothing is left
    assert completion.status.status_code is StatusCode.ERROR
    assert completion.status.description == "ValueError: row 7"
    assert [event.name for event in completion.events] == ["exception"]
    assert attribute(opened, names.OUTCOME) is None
    assert opened.events == ()
    assert_sound(progress)


def test_an_end_beyond_the_calendar_is_left_out(progress: Capture) -> None:
    """Ten to the eighteenth items at one a second."""
    with operation("job", total=10**18) as job:
        for _ in range(3):
            job.advance()
            progress.tick(1.0)
    opened = only(records(progress, "open"))
    assert float(attribute(opened, names.ETA_SECONDS)) > 1e17
    assert attribute(opened, names.EXPECTED_END) is None


def test_children_before_and_after_it_was_shown_have_one_parent(progress: Capture) -> None:
    """Our own and those of other instrumentations."""
    tracer = progress.tracer_provider.get_tracer("library")
    with operation("job"):
        with level("early"), tracer.start_as_current_span("query before"):
            pass
        progress.tick(3.0)
        with level("late"), tracer.start_as_current_span("query after"):
            pass
    opened = only(records(progress, "open", "job"))
    for name in ("early", "late"):
        assert parent_id(only(progress.spans(name))) == span_id(opened)
    assert parent_id(only(progress.spans("query before"))) == span_id(only(progress.spans("early")))
    assert parent_id(only(progress.spans("query after"))) == span_id(only(progress.spans("late")))
    assert_sound(progress)


def test_what_is_shown_has_its_parents_even_if_the_ticker_has_not_come_to_them(progress: Capture) -> None:
    """A child that ends is sent when the level above it is due but not shown yet: that goes first."""
    with operation("job"):
        with level("part"):
            progress.clock.advance(2.5)
        names_sent = [(span.name, attribute(span, names.RECORD)) for span in progress.spans()]
    assert names_sent == [("job", "open"), ("part", "span")]


def test_a_level_that_ends_before_a_tick_sees_it_is_one_span_however_long(progress: Capture) -> None:
    """There is nothing to be seen while it ran any more."""
    with operation("job"):
        progress.clock.advance(10.0)
    assert attribute(only(progress.spans()), names.RECORD) == "span"


@pytest.mark.parametrize("seconds", ["off", 30])
def test_open_after_is_a_setting(seconds: str | int) -> None:
    """``off`` gives one plain span a level, and its span is the SDK's own."""
    with capture_progress(open_after_seconds=seconds) as progress:
        with operation("job"), level("copy"):
            assert isinstance(trace.get_current_span(), LevelSpan) is (seconds != "off")
            progress.tick(29.0)
            progress.tick(0.5)
        assert [attribute(span, names.RECORD) for span in progress.spans()] == ["span", "span"]


@pytest.mark.parametrize("how", ["track", "generator", "thread"])
def test_every_kind_of_level_is_shown(progress: Capture, how: str) -> None:
    """Bare loops, decorated generators and levels of other threads are shown under the same parent."""

    @level("part")
    def generator() -> Any:  # noqa: ANN401  # a generator
        for n in range(3):
            progress.tick(1.0)
            yield n

    def in_a_thread() -> None:
        with job.level("part"):
            progress.tick(3.0)

    with operation("job") as job:
        if how == "track":
            for _ in track([1, 2, 3], "part"):
                progress.tick(1.0)
        elif how == "generator":
            assert list(generator()) == [0, 1, 2]
        else:
            in_thread(in_a_thread)
    opened, completion = progress.spans("part")
    assert parent_id(opened) == span_id(only(records(progress, "open", "job")))
    assert parent_id(completion) == span_id(opened)
    assert_sound(progress)


# --- what has no parent yet -------------------------------------------------------------------------------------------


class Ordered(SpanProcessor):
    """Notes the spans in the order in which they end, while the program runs."""

    def __init__(self) -> None:
        self.ended: list[tuple[str, str]] = []

    def on_end(self, span: ReadableSpan) -> None:
        """Note name and record."""
        self.ended.append((span.name, str(attribute(span, names.RECORD))))


def settle(progress: Capture) -> None:
    """Wait for the outbox, without the flush that would send what waits."""
    progress.runtime.outbox.flush(10.0)


def test_a_short_level_is_not_sent_before_the_one_above_it(progress: Capture) -> None:
    """A backend would show it as broken: it waits until that one is shown, with what is below it."""
    seen = Ordered()
    progress.tracer_provider.add_span_processor(seen)
    with operation("job"):
        with level("part"), level("step"):
            pass
        settle(progress)
        assert seen.ended == []
        assert progress.runtime.registry.live()[0].name == "job"
        progress.tick(2.0)
        settle(progress)
        assert seen.ended == [("job", "open"), ("part", "span"), ("step", "span")]
        with level("late"):
            pass
        settle(progress)
        assert seen.ended[3:] == [("late", "span")]


def test_what_waits_is_sent_after_the_end_of_a_short_level_above_it(progress: Capture) -> None:
    """One span each, as ever."""
    seen = Ordered()
    progress.tracer_provider.add_span_processor(seen)
    with operation("job"), level("part"), level("step"):
        pass
    settle(progress)
    assert seen.ended == [("job", "span"), ("part", "span"), ("step", "span")]
    assert progress.runtime.holding == {}


def test_a_flush_sends_what_waits(progress: Capture) -> None:
    """Who flushes may be about to end the process."""
    seen = Ordered()
    progress.tracer_provider.add_span_processor(seen)
    with operation("job"):
        with level("part"):
            pass
        progress.runtime.flush(10.0)
        assert seen.ended == [("part", "span")]
    settle(progress)
    assert seen.ended == [("part", "span"), ("job", "span")]


def test_what_waits_is_bounded(progress: Capture) -> None:
    """A thousand spans; the others are sent at once, and none is lost. Numbers never wait."""
    seen = Ordered()
    progress.tracer_provider.add_span_processor(seen)
    with operation("job"):
        for _ in range(1_010):
            with level("part"):
                pass
        settle(progress)
        assert len(seen.ended) == 10
        assert progress.value("progress.level.duration", operation="job", level="part", outcome="completed")[0] == 1_010
    settle(progress)
    assert len(seen.ended) == 1_011


# --- the span that user code sees -------------------------------------------------------------------------------------


def say_everything(span: trace.Span, when: str, linked: SpanContext) -> None:
    """Use every method of the API."""
    span.set_attribute(f"one.{when}", [1, 2])
    span.set_attributes({f"two.{when}": "b", "both": when})
    span.add_event(f"event {when}", {"n": 1})
    span.add_event(f"timed {when}", timestamp=5 * SECOND)
    span.add_link(linked, {"why": when})
    span.update_name(f"job {when}")
    try:
        raise KeyError(when)  # noqa: TRY301  # to have a traceback
    except KeyError as error:
        span.record_exception(error, {"extra": True})


def test_what_is_said_before_and_after_it_was_shown_ends_up_in_the_trace(progress: Capture) -> None:
    """Without a complaint of the SDK (a fixture watches): attributes on both, each event and link once."""
    linked = SpanContext(7, 8, is_remote=True, trace_flags=TraceFlags(1))
    with operation("job"):
        span = trace.get_current_span()
        say_everything(span, "before", linked)
        progress.tick(2.0)
        progress.runtime.flush(10.0)
        say_everything(span, "after", linked)
        span.set_status(StatusCode.ERROR, "half of it is missing")
    opened = only(records(progress, "open"))
    completion = only(records(progress, "completion"))
    assert opened.name == "job before"
    assert completion.name == "job after"
    assert attribute(opened, "both") == "before"
    assert attribute(opened, "two.after") is None
    for key, value in {"one.before": (1, 2), "one.after": (1, 2), "two.before": "b", "both": "after"}.items():
        assert attribute(completion, key) == value
    for span_sent, when in ((opened, "before"), (completion, "after")):
        assert [event.name for event in span_sent.events] == [f"event {when}", f"timed {when}", "exception"]
        assert span_sent.events[1].timestamp == 5 * SECOND
        told = dict(span_sent.events[2].attributes or {})
        assert "raise KeyError(when)" in str(told.pop("exception.stacktrace"))
        assert told == {
            "exception.type": "KeyError",
            "exception.message": f"'{when}'",
            "exception.escaped": "False",
            "extra": True,
        }
        assert [(link.context, dict(link.attributes or {})) for link in span_sent.links] == [(linked, {"why": when})]
    assert opened.status.status_code is StatusCode.UNSET
    assert completion.status.description == "half of it is missing"
    assert attribute(completion, names.OUTCOME) == "completed"  # a status is not an outcome


def test_a_status_set_before_it_was_shown_is_on_the_completion_record_too(progress: Capture) -> None:
    """And OK is final, as the API has it."""
    with operation("job"):
        trace.get_current_span().set_status(StatusCode.OK)
        progress.tick(2.0)
    with operation("late"):
        progress.tick(2.0)
        progress.runtime.flush(10.0)
        trace.get_current_span().set_status(trace.Status(StatusCode.OK))
        trace.get_current_span().set_status(StatusCode.ERROR, "no")
        trace.get_current_span().set_status(StatusCode.UNSET)
    with operation("bad"):
        progress.tick(2.0)
        progress.runtime.flush(10.0)
        trace.get_current_span().set_status(StatusCode.ERROR, "no")
        trace.get_current_span().set_status(StatusCode.UNSET)
    codes = [span.status.status_code for span in records(progress, "completion")]
    assert codes == [StatusCode.OK, StatusCode.OK, StatusCode.ERROR]


def test_the_span_can_be_read_like_the_sdks_own(progress: Capture) -> None:
    """Public read-only attributes have live values before and after it was shown; private ones are not passed on."""
    start = progress.clock.wall_ns()
    with operation("job"), level("copy"):
        span: Any = trace.get_current_span()
        job_id = span.parent.span_id
        for when in ("before", "after"):
            span.set_attribute("when", when)
            assert span.attributes["when"] == when
            assert span.name == "copy"
            assert span.kind is SpanKind.INTERNAL
            assert span.start_time == start
            assert span.end_time is None
            assert span.parent.span_id == job_id
            assert span.resource is progress.tracer_provider.resource
            assert span.instrumentation_scope.name == names.SCOPE
            assert span.status.status_code is StatusCode.UNSET
            assert span.is_recording()
            assert not hasattr(span, "_readable_span")
            assert not hasattr(span, "no_such_thing")
            progress.tick(2.0)
            progress.runtime.flush(10.0)
        span.update_name("renamed")
        span.set_status(StatusCode.ERROR)
        assert (span.name, span.status.status_code) == ("renamed", StatusCode.ERROR)
        assert span.get_span_context().span_id == span_id(only(records(progress, "open", "copy")))
    assert span.end_time == start + 4 * SECOND


def test_after_the_end_writes_are_ignored_and_counted(progress: Capture) -> None:
    """The SDK would log a warning for each."""
    with operation("job"):
        span = trace.get_current_span()
        progress.tick(2.0)
    assert not span.is_recording()
    span.set_attribute("late", 1)
    span.add_event("late")
    assert ignored(progress) == {"after_end": 2}
    assert attribute(only(records(progress, "completion")), "late") is None


@pytest.mark.parametrize("shown", [False, True])
def test_a_user_who_ends_the_span_ends_the_level_once(progress: Capture, shown: bool) -> None:  # noqa: FBT001
    """At the time that was given; the end of the block changes nothing."""
    start = progress.clock.wall_ns()
    with operation("job") as job:
        job.advance(3)
        progress.tick(3.0 if shown else 1.0)
        trace.get_current_span().end(start + SECOND // 2)
        assert job.state is State.COMPLETED
        progress.clock.advance(5.0)
    span = only(wholes(progress))
    assert attribute(span, names.RECORD) == ("completion" if shown else "span")
    assert span.end_time == start + SECOND // 2
    assert progress.value("progress.level.duration", operation="job", outcome="completed") == (1, 0.5)


def test_use_span_of_another_library_works_with_it(progress: Capture) -> None:
    """It records the exception and sets the status, both before and after the level was shown."""
    with operation("job"):
        span = trace.get_current_span()
        progress.tick(2.0)
        progress.runtime.flush(10.0)
        with (
            pytest.raises(ValueError, match="x"),
            trace.use_span(span, record_exception=True, set_status_on_exception=True),
        ):
            raise ValueError("x")
    completion = only(records(progress, "completion"))
    assert [event.name for event in completion.events] == ["exception"]
    assert completion.status.description == "ValueError: x"


def test_what_is_kept_for_the_completion_record_is_bounded(progress: Capture) -> None:
    """As on any span: the oldest events go, attributes and links beyond the limit are not taken; all are counted."""
    linked = SpanContext(7, 8, is_remote=True, trace_flags=TraceFlags(1))
    with operation("job"):
        progress.tick(2.0)
        progress.runtime.flush(10.0)
        span = trace.get_current_span()
        for n in range(LATE_LIMIT + 3):
            span.add_event(f"event {n}")
            span.add_link(linked)
            span.set_attribute(f"key {n}", n)
        assert isinstance(span, LevelSpan)
        assert span.late is not None
        assert len(span.late.attributes) == LATE_LIMIT
    completion = only(records(progress, "completion"))
    assert [completion.events[0].name, completion.events[-1].name] == ["event 3", f"event {LATE_LIMIT + 2}"]
    assert len(completion.links) == LATE_LIMIT
    # 128 attributes in all, of which 10 say what and whose it is, and how it went.
    assert progress.runtime.tally.dropped == {"span_events": 3, "span_links": 3, "span_attributes": 3 + 10}
    assert len(completion.attributes or {}) == LATE_LIMIT


def test_failed_items_before_and_after_it_was_shown_are_noted(progress: Capture) -> None:
    """On the record of their time."""
    with operation("job") as job:
        job.item_failed(ValueError("first"))
        progress.tick(2.0)
        progress.runtime.flush(10.0)
        job.item_failed(ValueError("second"))
    noted = [[(event.attributes or {})["exception.message"] for event in span.events] for span in progress.spans()]
    assert noted == [["first"], ["second"]]


def test_writers_in_many_threads_lose_nothing_while_it_is_shown(progress: Capture) -> None:
    """Each of 8 threads sets a hundred attributes while the open record goes out; none is lost, nobody complains."""
    with operation("job"):
        span = trace.get_current_span()
        started = threading.Barrier(9)

        def write(thread: int) -> None:
            started.wait(10.0)
            for n in range(100):
                span.set_attribute(f"thread {thread}", n)

        threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        started.wait(10.0)
        progress.tick(2.0)
        for thread in threads:
            thread.join(10.0)
    completion = only(records(progress, "completion"))
    assert [attribute(completion, f"thread {n}") for n in range(8)] == [99] * 8


def test_an_exception_whose_text_fails_stays_ours(progress: Capture) -> None:
    """Recording it is contained and counted."""

    class Hostile(Exception):
        """Cannot be told."""

        def __str__(self) -> str:
            """Raise."""
            raise RuntimeError("no text")

    with operation("job"):
        progress.tick(2.0)
        progress.runtime.flush(10.0)
        trace.get_current_span().record_exception(Hostile())
    assert health().contained == {"span_write": 1}


# --- other people's parts ---------------------------------------------------------------------------------------------


class Seen(SpanProcessor):
    """Notes what the processors of others are told of the parent at each start."""

    def __init__(self) -> None:
        self.parents: list[tuple[str, int, str, object]] = []

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Note the span, its parent as the context has it, and the baggage."""
        parent: Any = trace.get_current_span(parent_context)
        name = getattr(parent, "name", "none")
        tenant = baggage.get_baggage("tenant", parent_context)
        self.parents.append((span.name, parent.get_span_context().span_id, name, tenant))


def test_processors_see_the_right_parent_and_the_baggage_at_every_record(progress: Capture) -> None:
    """Even the completion record, which another thread starts, has the context of the level's start."""
    seen = Seen()
    progress.tracer_provider.add_span_processor(seen)
    tracer = progress.tracer_provider.get_tracer("library")
    token = context.attach(baggage.set_baggage("tenant", "north"))
    with operation("job"):
        progress.tick(2.0)
        progress.runtime.flush(10.0)
        with tracer.start_as_current_span("query", links=[Link(SpanContext(7, 8, is_remote=True))]):
            pass
    context.detach(token)
    opened = span_id(only(records(progress, "open", "job")))
    assert seen.parents == [
        ("job", 0, "none", "north"),
        ("query", opened, "job", "north"),
        ("job", opened, "job", "north"),
    ]
    assert len(only(progress.spans("query")).links) == 1


class Forgetful(Sampler):
    """Not parent-based: drops every completion record, and keeps the rest."""

    def should_sample(self, *args: Any, **kwargs: Any) -> SamplingResult:  # noqa: ANN401  # most are not looked at
        """Look at what the span stands for."""
        attributes = kwargs.get("attributes") or args[4]
        drop = attributes[names.RECORD] == "completion"
        return SamplingResult(Decision.DROP if drop else Decision.RECORD_AND_SAMPLE, attributes)

    def get_description(self) -> str:
        """Say what it is."""
        return "Forgetful"


def test_a_completion_that_is_not_sampled_is_counted_and_its_event_is_sent() -> None:
    """A sampler that does not ask its parent may decide differently at the end."""
    with capture_progress(sampler=Forgetful()) as progress:
        with operation("job"):
            progress.tick(2.0)
        assert [attribute(span, names.RECORD) for span in progress.spans()] == ["open"]
        assert progress.runtime.tally.dropped == {"completion_unsampled": 1}
        assert len(progress.events("progress.completed")) == 1


@pytest.mark.parametrize("sampler", [ALWAYS_OFF, TraceIdRatioBased(0.0)], ids=["always_off", "ratio"])
def test_a_trace_that_is_not_sampled_has_no_span_of_ours_and_all_numbers(sampler: Sampler) -> None:
    """The current span is the SDK's own; metrics, events and checkpoints do not depend on the sampler."""
    with capture_progress(sampler=sampler) as progress:
        with operation("job", total=4) as job:
            assert not isinstance(trace.get_current_span(), LevelSpan)
            assert not trace.get_current_span().is_recording()
            job.advance(1)
            for _ in range(63):
                progress.tick(1.0)
            assert progress.value("progress.level.fraction", operation="job") == 0.25
        assert progress.spans() == []
        assert [event.event_name for event in progress.events()] == [
            "progress.started",
            "progress.checkpoint",
            "progress.completed",
        ]


# --- checkpoints ------------------------------------------------------------------------------------------------------


def run(progress: Capture, seconds: int, step: int = 10) -> list[int]:
    """Let time pass; return at which second each checkpoint of ``job`` came."""
    start = progress.clock.wall_ns()
    for _ in range(seconds // step):
        progress.tick(step)
    return [((span.end_time or 0) - start) // SECOND for span in records(progress, "checkpoint", "job")]


def test_a_checkpoint_comes_once_a_minute_and_says_how_far_it_is(progress: Capture) -> None:
    """A short span below the open record, and an event with the same numbers, at the same time."""
    with operation("job", total=1_000, unit="{file}") as job:
        job.advance(250)
        job.update(metadata={"host": "db1"})
        assert run(progress, 190) == [70, 130, 190]  # the level is shown at 10 s, and 60 s later
        opened = only(records(progress, "open"))
        for span in records(progress, "checkpoint"):
            assert parent_id(span) == span_id(opened)
            assert (span.end_time or 0) - (span.start_time or 0) == 1_000_000
            assert attribute(span, names.DONE) == 250
            assert attribute(span, names.FRACTION) == 0.25
            assert attribute(span, names.OPEN_SPAN_ID) == f"{span_id(opened):016x}"
            assert attribute(span, names.METADATA_PREFIX + "host") is None
        events = progress.events("progress.checkpoint")
        assert [event.body for event in events] == ["job is at 25%"] * 3
        assert {event.span_id for event in events} == {span_id(opened)}
        assert all(event.attributes[names.DONE] == 250 for event in events)


def test_checkpoints_back_off_and_stay_within_every_last_hour(progress: Capture) -> None:
    """An eight-hour run: never more than 30 minutes apart, and far fewer than a hundred."""
    with operation("job"):
        moments = run(progress, 8 * 3_600, step=60)
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    assert gaps == sorted(gaps)
    assert 60 <= gaps[0] <= 120
    assert gaps[-1] <= 1_860
    assert 40 <= len(moments) <= 60


def test_checkpoints_have_settings() -> None:
    """How often, how many, and none."""
    for options, expected in (
        ({"checkpoint_seconds": 20}, [30, 50, 70, 90]),
        ({"checkpoint_seconds": "off"}, []),
        ({"checkpoints_limit": 0}, []),
    ):
        with capture_progress(**options) as progress, operation("job"):
            assert run(progress, 100) == expected


def test_a_crowd_of_levels_does_not_fill_the_trace(progress: Capture) -> None:
    """A hundred live levels wait for a thousand seconds each; the operation goes on once a minute."""
    with operation("job") as job:
        parts = [job.level("part").__enter__() for _ in range(99)]
        assert len(run(progress, 600)) >= 8
        assert len(records(progress, "checkpoint", "part")) == 99  # one each, and then no more for a while
        for part in parts:
            part.__exit__(None, None, None)


# --- long traces ------------------------------------------------------------------------------------------------------


def traces(progress: Capture) -> list[int]:
    """Return the trace ids in the order of their first span."""
    ids: dict[int, None] = {}
    for span in sorted(progress.spans(), key=lambda span: span.start_time or 0):
        assert span.context is not None
        ids.setdefault(span.context.trace_id)
    return list(ids)


def test_a_run_that_outgrows_its_trace_goes_on_in_a_linked_one() -> None:
    """Continuations stand for the levels that have something below them; completions stay where the levels began."""
    with capture_progress(trace_bytes_limit=100_000) as progress:
        with operation("job"), level("phase"):
            for _ in range(400):
                with level("part"):
                    progress.clock.advance(0.001)
            progress.tick(3.0)
        first, second, third = traces(progress)
        assert [span.name for span in records(progress, "continuation")] == ["job", "phase"] * 2
        job, phase = records(progress, "continuation")[:2]
        assert job.context is not None
        assert job.context.trace_id == second
        assert parent_id(job) is None
        assert parent_id(phase) == span_id(job)
        assert [(link.context.trace_id, link.context.span_id) for link in job.links] == [
            (first, span_id(only(records(progress, "open", "job"))))
        ]
        assert [link.context.trace_id for link in phase.links] == [first]
        parts = progress.spans("part")
        assert len(parts) == 400
        by_trace = [sum(span.context.trace_id == each for span in parts if span.context) for each in traces(progress)]
        # At 700 bytes each, 143 spans (operation and phase included) are more than 100,000: the next says so. In the
        # second trace that one counts already, and the two continuations: 140 parts fill it, and one more says so.
        assert by_trace == [142, 141, 117]
        assert {parent_id(span) for span in parts if span.context and span.context.trace_id == second} == {
            span_id(phase)
        }
        assert [span.context.trace_id for span in records(progress, "completion") if span.context] == [first] * 2
        assert third != second
        assert_sound(progress)


def test_checkpoints_of_a_long_run_are_in_its_latest_trace() -> None:
    """So that a search of the last hour finds the part that is being written."""
    with capture_progress(trace_bytes_limit=100_000) as progress, operation("job"):
        progress.tick(3.0)
        for _ in range(200):
            with level("part"):
                pass
        progress.tick(60.0)
        progress.tick(60.0)
        latest = traces(progress)[-1]
        checkpoints = records(progress, "checkpoint")
        assert [span.context.trace_id for span in checkpoints if span.context] == [latest] * 2
        assert {parent_id(span) for span in checkpoints} == {span_id(only(records(progress, "continuation")))}


def test_a_run_that_has_used_up_its_checkpoints_goes_on_in_a_linked_trace() -> None:
    """Otherwise it would drop out of recent searches."""
    with capture_progress(checkpoints_limit=3, checkpoint_seconds=10) as progress, operation("job"):
        moments = run(progress, 100)
        assert len(moments) >= 5
        by_trace = dict.fromkeys(traces(progress), 0)
        for span in records(progress, "checkpoint"):
            assert span.context is not None
            by_trace[span.context.trace_id] += 1
        assert max(by_trace.values()) == 3
        assert len(by_trace) == len(records(progress, "continuation")) + 1 >= 2
        assert_sound(progress)


def test_trace_bytes_limit_can_be_off() -> None:
    """One trace, however large."""
    with capture_progress(trace_bytes_limit="off") as progress:
        with operation("job"):
            for _ in range(300):
                with level("part"):
                    pass
        assert len(traces(progress)) == 1


def test_large_texts_count_towards_the_size_of_a_trace() -> None:
    """Sixty levels with ten kilobytes of metadata each are more than 100,000 bytes."""
    wide = {f"key {n}": "x" * 256 for n in range(32)}
    with capture_progress(trace_bytes_limit=100_000) as progress:
        with operation("job"):
            for _ in range(60):
                with level("part", metadata=wide):
                    pass
                progress.runtime.flush(10.0)
        assert len(traces(progress)) > 3
