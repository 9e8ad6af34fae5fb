"""Levels as spans: what is on them, when, whose children they are, and what happens when others fail."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, Decision, Sampler, SamplingResult
from opentelemetry.trace import SpanKind, StatusCode

from otel_progress import Level, State, _rounds, _runtime, flush, health, level, names, operation, track
from otel_progress._config import Config
from otel_progress._contain import Tally
from otel_progress._outbox import Outbox
from otel_progress.testing import Capture, FakeClock, capture_progress
from tests.unit.kit import LONGEST_SECONDS, attribute, in_thread, python, the_span, wait_until


@contextmanager
def recording(tracers: TracerProvider, **options: Any) -> Iterator[tuple[_runtime.Runtime, InMemoryMetricReader]]:  # noqa: ANN401
    """Run with this tracer provider, and metrics to read; the ticker has a budget but does not run."""
    reader = InMemoryMetricReader()
    meters = MeterProvider([reader], shutdown_on_exit=False)
    runtime = _runtime.Runtime(Config.make({}, **options), tracer_provider=tracers, meter_provider=meters, ticker=False)
    previous = _runtime.replace(runtime)
    try:
        yield runtime, reader
    finally:
        _runtime.replace(previous)
        runtime.shutdown()
        meters.shutdown()
        tracers.shutdown()


def provider(*exporters: SpanExporter, **options: Any) -> TracerProvider:  # noqa: ANN401  # of TracerProvider
    """Return a tracer provider that exports each span where it ends."""
    tracers = TracerProvider(shutdown_on_exit=False, **options)
    for exporter in exporters:
        tracers.add_span_processor(SimpleSpanProcessor(exporter))
    return tracers


def durations(reader: InMemoryMetricReader) -> int:
    """Return how many durations were recorded."""
    data = reader.get_metrics_data()
    points = [
        point
        for resource in (data.resource_metrics if data is not None else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == names.LEVEL_DURATION.name
        for point in metric.data.data_points
    ]
    return sum(point.count for point in points if isinstance(point, HistogramDataPoint))


def span_id(span: ReadableSpan) -> int:
    """Return the id of a span."""
    assert span.context is not None
    return span.context.span_id


# --- a whole trace ----------------------------------------------------------------------------------------------------


def test_a_trace_exactly(progress: Capture) -> None:
    """Every span, attribute, value type, time, status, parent and event of one operation."""
    start = progress.clock.wall_ns()
    with operation("import", id="2024-05", title="May", total=4, unit="{file}", metadata={"day": 3}) as job:
        progress.clock.advance(1.0)
        with level("copy", id="a.csv", total=8) as copy:
            progress.clock.advance(0.5)
            copy.advance(2, bytes=300)
            copy.skip()
            copy.update(message="half way", metadata={"size": 1.5, "gz": True, "tags": ["x", 1]})
            copy.count("tokens", 7)
            copy.set_quality(0.25)
            job.advance(2)
        progress.clock.advance(2.0)
    imported, copied = progress.spans()  # a parent is sent first

    seconds = 1_000_000_000
    assert (copied.name, copied.start_time, copied.end_time) == ("copy", start + seconds, start + 3 * seconds // 2)
    assert (imported.name, imported.start_time, imported.end_time) == ("import", start, start + 7 * seconds // 2)
    assert copied.context is not None
    assert imported.context is not None
    assert copied.context.trace_id == imported.context.trace_id
    assert copied.parent is not None
    assert copied.parent.span_id == imported.context.span_id
    assert imported.parent is None
    run_id = attribute(imported, names.RUN_ID)
    assert isinstance(run_id, str)
    assert len(run_id) == 32
    assert copied.attributes == {
        "progress.operation": "import",
        "progress.level": "copy",
        "progress.level.id": "a.csv",
        "progress.path": ("import", "copy"),
        "progress.record": "span",
        "progress.run.id": run_id,
        "progress.state": "completed",
        "progress.outcome": "completed",
        "progress.done": 3.0,
        "progress.limit": 8.0,
        "progress.fraction": 0.375,
        "progress.skipped": 1.0,
        "progress.bytes": 300.0,
        "progress.unit": "{item}",
        "progress.quality": 0.25,
        "progress.message": "half way",
        "progress.metadata.size": 1.5,
        "progress.metadata.gz": True,
        "progress.metadata.tags": "['x', 1]",
        "progress.counter.tokens": 7.0,
    }
    assert imported.attributes == {
        "progress.operation": "import",
        "progress.level.id": "2024-05",
        "progress.level.title": "May",
        "progress.path": ("import",),
        "progress.record": "span",
        "progress.run.id": run_id,
        "progress.state": "completed",
        "progress.outcome": "completed",
        "progress.done": 2.0,
        "progress.limit": 4.0,
        "progress.fraction": 0.5,
        "progress.unit": "{file}",
        "progress.metadata.day": 3,
        # Two items in three and a half seconds, all of them at the end as far as anybody looked.
        "progress.profile": (
            '{"v":1,"seconds":3.5,"total":2,"ended_at":1700000003.5,"longest_pause":3.5,"curve":[[10000],[10000]]}'
        ),
    }
    declared = {declared.name for declared in names.ATTRIBUTES}
    free = (names.METADATA_PREFIX, names.COUNTER_PREFIX)
    for span in (copied, imported):
        assert {key for key in span.attributes or {} if not key.startswith(free)} <= declared
        assert {key: type(value) for key, value in (span.attributes or {}).items()}[names.DONE] is float
        assert (span.kind, span.status.status_code, span.events, span.links) == (
            SpanKind.INTERNAL,
            StatusCode.UNSET,
            (),
            (),
        )
        assert span.instrumentation_scope is not None
        assert span.instrumentation_scope.name == "otel_progress"


def test_a_failure_exactly(progress: Capture) -> None:
    """Status, error type, and OTel's exception event with the stack, secrets masked, at the moment of the end."""
    with pytest.raises(LookupError), operation("job"):
        progress.clock.advance(1.5)
        raise LookupError("no table; password=hunter2")
    span = the_span(progress, "job")
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "LookupError: no table; password=***"
    assert attribute(span, "error.type") == "LookupError"
    assert attribute(span, "progress.state") == attribute(span, "progress.outcome") == "failed"
    (event,) = span.events
    assert (event.name, event.timestamp) == ("exception", span.end_time)
    attributes = dict(event.attributes or {})
    stack = attributes.pop("exception.stacktrace")
    assert attributes == {"exception.type": "LookupError", "exception.message": "no table; password=***"}
    assert isinstance(stack, str)
    assert stack.startswith("Traceback (most recent call last):")
    assert "test_a_failure_exactly" in stack
    assert stack.endswith("LookupError: no table; password=***\n")


@pytest.mark.parametrize(
    ("error", "outcome", "status", "events"),
    [
        (KeyboardInterrupt(), "interrupted", StatusCode.ERROR, 0),
        (SystemExit(3), "interrupted", StatusCode.ERROR, 0),
        (SystemExit(0), "completed", StatusCode.UNSET, 0),
        (GeneratorExit(), "abandoned", StatusCode.UNSET, 0),
        (OSError("disk"), "failed", StatusCode.ERROR, 1),
    ],
)
def test_the_status_of_every_end(
    progress: Capture, error: BaseException, outcome: str, status: StatusCode, events: int
) -> None:
    """Errors are errors to a trace backend; being left or asked to stop is not."""
    with pytest.raises(type(error)), operation("job"):
        raise error
    span = the_span(progress, "job")
    assert (attribute(span, names.OUTCOME), span.status.status_code, len(span.events)) == (outcome, status, events)


def test_a_failure_that_is_told_has_no_stack(progress: Capture) -> None:
    """`fail("why")` is a message; there is no exception to show."""
    with operation("job") as job:
        job.fail("quota exceeded, token=abc")
    span = the_span(progress, "job")
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "quota exceeded, token=***")
    assert span.events == ()
    assert attribute(span, names.ERROR_TYPE) is None


def test_failed_items_are_noted_up_to_a_bound(progress: Capture) -> None:
    """Ten events, each when it happened; all are counted. A failure without an error is only counted."""
    start = progress.clock.wall_ns()
    with operation("job") as job:
        job.item_failed()
        for n in range(15):
            progress.clock.advance(1.0)
            job.item_failed(ValueError(f"row {n}"))
    span = the_span(progress, "job")
    assert [event.timestamp - start for event in span.events] == [(n + 1) * 1_000_000_000 for n in range(10)]
    assert dict(span.events[3].attributes or {}) == {"exception.type": "ValueError", "exception.message": "row 3"}
    assert span.status.status_code is StatusCode.UNSET
    assert attribute(span, names.FAILED) == 16.0


# --- parents and contexts ---------------------------------------------------------------------------------------------


def test_what_samplers_see_at_the_start() -> None:
    """Operation, level, id, title, record and run: a sampler cannot decide on what comes later."""
    seen: list[tuple[str, dict[str, Any], int | None]] = []

    class Curious(Sampler):
        """Keeps what it is asked about."""

        def should_sample(
            self,
            parent_context: Context | None,
            trace_id: int,
            name: str,
            kind: SpanKind | None = None,
            attributes: Mapping[str, Any] | None = None,
            *_: Any,  # noqa: ANN401
            **__: Any,  # noqa: ANN401
        ) -> SamplingResult:
            """Take all."""
            del trace_id, kind
            parent = trace.get_current_span(parent_context).get_span_context()
            told = {key: value for key, value in (attributes or {}).items() if key != names.PATH}
            seen.append((name, told, parent.span_id if parent.is_valid else None))
            return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes)

        def get_description(self) -> str:
            """Return its name."""
            return "curious"

    with capture_progress(sampler=Curious()) as progress:
        with operation("job", id="7"), level("copy", title="Copy"):
            pass
        run_id = attribute(the_span(progress, "job"), names.RUN_ID)
        assert seen == [
            (
                "job",
                {
                    "progress.operation": "job",
                    "progress.record": "span",
                    "progress.run.id": run_id,
                    "progress.level.id": "7",
                },
                None,
            ),
            (
                "copy",
                {
                    "progress.operation": "job",
                    "progress.level": "copy",
                    "progress.record": "span",
                    "progress.run.id": run_id,
                    "progress.level.title": "Copy",
                },
                span_id(the_span(progress, "job")),
            ),
        ]


def test_an_operation_nests_under_whatever_span_is_current(progress: Capture) -> None:
    """And spans of others nest under our levels."""
    tracer = progress.tracer_provider.get_tracer("theirs")
    with tracer.start_as_current_span("request"), operation("job"), level("copy"):
        with tracer.start_as_current_span("query"):
            pass
        with operation("nested"):
            pass
    by_name = {span.name: span for span in progress.spans()}
    above = {name: span.parent.span_id if span.parent else None for name, span in by_name.items()}
    ids = {name: span_id(span) for name, span in by_name.items()}
    assert above == {
        "request": None,
        "job": ids["request"],
        "copy": ids["job"],
        "query": ids["copy"],
        "nested": ids["copy"],
    }
    assert attribute(by_name["nested"], names.OPERATION) == "nested"
    assert attribute(by_name["nested"], names.PATH) == ("nested",)


def test_ids_in_snapshots_are_those_of_the_span(progress: Capture) -> None:
    """So that a person can find the trace of what is running."""
    with operation("job") as job:
        snapshot = job.snapshot()
    context = the_span(progress, "job").context
    assert context is not None
    assert (snapshot.trace_id, snapshot.span_id) == (f"{context.trace_id:032x}", f"{context.span_id:016x}")


def test_the_users_own_attributes_status_and_events_stay(progress: Capture) -> None:
    """The current span is the level's; what the program writes to it is on it."""
    with operation("job"):
        span = trace.get_current_span()
        span.set_attribute("tenant", "blue")
        span.add_event("cache miss")
        span.set_status(StatusCode.OK)
        span.update_name("job blue")
    found = the_span(progress, "job blue")
    assert attribute(found, "tenant") == "blue"
    assert [event.name for event in found.events] == ["cache miss"]
    assert found.status.status_code is StatusCode.OK


def test_a_span_that_the_program_ends_ends_its_level_once(progress: Capture) -> None:
    """What comes after it is too late; OTel has nothing to complain about."""
    with operation("job") as job:
        job.advance(2)
        trace.get_current_span().end()
        assert job.state is State.COMPLETED
        assert not trace.get_current_span().is_recording()
        trace.get_current_span().end()
        job.advance(3)
        job.item_failed(ValueError("late"))
    assert attribute(the_span(progress, "job"), names.OUTCOME) == "completed"
    assert progress.value("progress.items", operation="job", item_outcome="ok") == 2
    assert health().contained == {}


def test_a_dropped_trace_keeps_its_ids_and_costs_no_complaint() -> None:
    """Children of a span that is not sampled are not sampled either, and everything still counts."""
    with capture_progress(sampler=ALWAYS_OFF) as progress:
        with operation("job") as job, level("copy") as copy:
            assert copy.snapshot().trace_id == job.snapshot().trace_id
            assert copy.snapshot().trace_id is not None
            copy.item_failed(ValueError("x"))
        assert progress.spans() == []
        assert len(progress.events()) == 2  # started and completed, of the operation


def test_a_wall_clock_that_is_set_back_does_not_turn_a_span_around(progress: Capture) -> None:
    """Unsigned arithmetic of backends makes 584 years of a negative duration; monotonic time is right all along."""
    with operation("job"):
        progress.clock.advance(2.0)
        progress.clock._wall_ns -= 3_600_000_000_000
    span = the_span(progress, "job")
    assert span.start_time is not None
    assert span.end_time == span.start_time + 1  # Jaeger warns of a span without length
    assert progress.value("progress.level.duration", operation="job", outcome="completed") == (1, 2.0)


# --- SDKs that misbehave ----------------------------------------------------------------------------------------------


class Hangs(InMemorySpanExporter):
    """An exporter that waits until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.released = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Wait, then keep them."""
        self.entered.set()
        assert self.released.wait(LONGEST_SECONDS)
        return super().export(spans)


def test_an_exporter_that_hangs_stops_neither_the_program_nor_the_heartbeat() -> None:
    """Levels go on; flush says that it did not make it; afterwards nothing is missing."""
    exporter = Hangs()
    # Plain spans: a short level would wait for the one above it, and not reach the exporter.
    with recording(provider(exporter), open_after_seconds="off") as (runtime, reader):
        try:
            with operation("job") as job:
                with level("first"):
                    pass
                assert exporter.entered.wait(LONGEST_SECONDS)
                for _ in range(100):
                    with level("copy"):
                        job.advance()
                assert flush(0.01) is False
                assert health().outbox_busy_seconds > 0
                assert health().outbox_length >= 100
                assert runtime.rounds.tick() is True
                assert job.snapshot().done == 100
        finally:
            exporter.released.set()
        assert flush(LONGEST_SECONDS) is True
        assert len(exporter.get_finished_spans()) == 102
        assert durations(reader) == 102
        assert health().outbox_length == 0


def test_a_full_queue_costs_spans_and_never_a_number() -> None:
    """What does not fit is dropped and counted; every duration is recorded, every item counted."""
    exporter = Hangs()
    with recording(provider(exporter), open_after_seconds="off") as (runtime, reader):  # as above
        runtime.outbox._limit = 3
        try:
            with operation("job") as job:
                with job.level("first"):
                    pass
                assert exporter.entered.wait(LONGEST_SECONDS)
                for _ in range(10):
                    with job.level("copy") as copy:
                        copy.advance()
                assert health().dropped == {"outbox_full": 7}
                assert durations(reader) == 1 + 7  # those dropped are recorded at once
                exporter.released.set()
                assert flush(LONGEST_SECONDS)
        finally:
            exporter.released.set()
        assert flush(LONGEST_SECONDS)
        assert [span.name for span in exporter.get_finished_spans()] == ["first", "copy", "copy", "copy", "job"]
        assert durations(reader) == 12
        assert health().live_levels == 0


def test_a_loop_that_is_left_with_a_full_queue_keeps_its_duration() -> None:
    """Abandoned ends wait in a queue of their own, which is bounded as well."""
    exporter = InMemorySpanExporter()
    with recording(provider(exporter)) as (runtime, reader):
        runtime.outbox._limit = 0
        for _ in track(range(3), "rows"):
            break
        assert durations(reader) == 1
        assert exporter.get_finished_spans() == ()
        assert health().dropped == {"outbox_full": 1}


class Broken(SpanProcessor):
    """A processor that raises at one of its hooks."""

    def __init__(self, hook: str) -> None:
        self.hook = hook

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Raise, maybe."""
        del span, parent_context
        if self.hook == "on_start":
            raise RuntimeError("on_start")

    def on_end(self, span: ReadableSpan) -> None:
        """Raise, maybe."""
        del span
        if self.hook == "on_end":
            raise RuntimeError("on_end")


class NoSampler(Sampler):
    """A sampler that raises."""

    def should_sample(self, *_: Any, **__: Any) -> SamplingResult:  # noqa: ANN401
        """Raise."""
        raise RuntimeError("sampler")

    def get_description(self) -> str:
        """Return its name."""
        return "broken"


class NoIds(IdGenerator):
    """An id generator that raises."""

    def generate_span_id(self) -> int:
        """Raise."""
        raise RuntimeError("ids")

    def generate_trace_id(self) -> int:
        """Raise."""
        raise RuntimeError("ids")


def with_processor(hook: str) -> TracerProvider:
    """Return a provider with a broken processor."""
    tracers = provider()
    tracers.add_span_processor(Broken(hook))
    return tracers


@pytest.mark.parametrize(
    ("make", "site"),
    [
        (lambda: with_processor("on_start"), "span_start"),
        (lambda: with_processor("on_end"), "span"),
        (lambda: provider(sampler=NoSampler()), "span_start"),
        (lambda: provider(id_generator=NoIds()), "span_start"),
    ],
    ids=["on_start", "on_end", "sampler", "id_generator"],
)
def test_an_sdk_that_raises_costs_spans_and_never_a_number(make: Callable[[], TracerProvider], site: str) -> None:
    """It is contained and counted for each level; the levels live, nest, count and end."""
    with recording(make()) as (runtime, reader):
        with operation("job", total=3) as job:
            with level("copy") as copy:
                copy.advance(5)
                copy.item_failed(ValueError("x"))
            for _ in track(range(3), "rows"):
                job.advance()
            assert job.snapshot().children_finished == 2
        assert flush(LONGEST_SECONDS)
        assert health().contained == {site: 3}
        assert durations(reader) == 3
        assert len(runtime.registry) == 0
        (finished,) = runtime.registry.finished()
        assert {(child.name, child.final.ok) for child in finished.finished or ()} == {("copy", 5), ("rows", 3)}


def test_an_exporter_that_raises_costs_its_span() -> None:
    """The SDK keeps it to itself (and logs); the next one is exported."""

    class Raises(InMemorySpanExporter):
        """Raises at the first export."""

        calls = 0

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            """Raise once."""
            self.calls += 1
            if self.calls == 1:
                raise BaseExceptionGroup("two", [ValueError("x"), SystemExit(1)])
            return super().export(spans)

    exporter = Raises()
    with recording(provider(exporter)) as (_, reader):
        with operation("job"), level("copy"):
            pass
        assert flush(LONGEST_SECONDS)
        assert [span.name for span in exporter.get_finished_spans()] == ["copy"]
        assert durations(reader) == 2
        assert health().contained == {"end": 1}


def test_a_provider_that_is_set_later_counts_from_the_next_operation_on() -> None:
    """Levels before it were not recorded; what they counted is."""
    done = python("""
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from otel_progress import flush, level, operation

with operation("before") as before:
    before.advance(2)
    with level("early"):
        pass
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    trace.set_tracer_provider(TracerProvider())
    trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(exporter))
    with level("still early"):
        pass
with operation("after") as after:
    after.advance(3)
    metrics.set_meter_provider(MeterProvider([reader]))
    with level("inside"):
        pass
with operation("later") as later:
    later.advance(5)
assert flush(10)
print([span.name for span in exporter.get_finished_spans()])
data = reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics
print(sorted(
    (point.attributes["progress.operation"], point.value)
    for metric in data if metric.name == "progress.items" for point in metric.data.data_points if point.value
))
""")
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "['after', 'inside', 'later']",
        "[('after', 3), ('before', 2), ('later', 5)]",
    ]


# --- the outbox -------------------------------------------------------------------------------------------------------


@pytest.fixture
def outbox() -> Iterator[Outbox]:
    """Return an outbox of its own."""
    made = Outbox(Tally(), limit=5)
    yield made
    made.stop()


def test_calls_are_made_in_order_and_flush_waits_for_them(outbox: Outbox) -> None:
    """By one thread that is not the caller's."""
    made: list[tuple[int, int]] = []
    for n in range(5):
        assert outbox.put(lambda n: made.append((n, threading.get_ident())), n)
    assert outbox.flush(LONGEST_SECONDS)
    assert [n for n, _ in made] == [0, 1, 2, 3, 4]
    assert len({thread for _, thread in made} - {threading.get_ident()}) == 1
    assert len(outbox) == 0


def test_deferred_calls_wait_and_a_flush_makes_them_at_once(outbox: Outbox) -> None:
    """An abandoned end waits for the exception that may explain it, but not beyond a flush."""
    made: list[str] = []
    assert outbox.put_later(3_600.0, made.append, "later")
    assert outbox.put(made.append, "now")
    wait_until(lambda: made == ["now"], "the call that was not deferred")
    assert len(outbox) == 1
    assert outbox.flush(LONGEST_SECONDS)
    assert made == ["now", "later"]
    assert outbox.put_later(0.001, made.append, "soon")
    wait_until(lambda: made[-1] == "soon", "the call that was deferred a little")


def test_both_queues_are_bounded(outbox: Outbox) -> None:
    """What does not fit is refused and counted, and nobody waits."""
    started, go_on = threading.Event(), threading.Event()

    def hang() -> None:
        started.set()
        assert go_on.wait(LONGEST_SECONDS)

    outbox.put(hang)
    assert started.wait(LONGEST_SECONDS)
    assert [outbox.put(int) for _ in range(7)] == [True] * 5 + [False] * 2
    assert [outbox.put_later(9.0, int) for _ in range(7)] == [True] * 5 + [False] * 2
    assert outbox._tally.dropped == {"outbox_full": 4}
    assert outbox.flush(0.01) is False
    go_on.set()
    assert outbox.flush(LONGEST_SECONDS)


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(1), KeyboardInterrupt(), RecursionError()])
def test_a_call_that_raises_does_not_end_the_thread(outbox: Outbox, error: BaseException) -> None:
    """Whatever it raises: somebody else's `sys.exit()` is not ours to obey."""

    def fails() -> None:
        raise error

    made: list[int] = []
    outbox.put(fails)
    outbox.put(made.append, 1)
    assert outbox.flush(LONGEST_SECONDS)
    assert made == [1]
    assert outbox._tally.contained == {"fails": 1}


def test_a_flush_from_inside_does_not_wait_for_itself(outbox: Outbox) -> None:
    """A callback that flushes gets its answer at once."""
    answers: list[bool] = []
    outbox.put(lambda: answers.append(outbox.flush(LONGEST_SECONDS)))
    assert outbox.flush(LONGEST_SECONDS)
    assert answers == [False]


def test_a_stopped_outbox_takes_no_time(outbox: Outbox) -> None:
    """A flush after the stop does not hang, whatever is queued."""
    outbox.put(int)
    assert outbox.flush(LONGEST_SECONDS)
    outbox.stop()
    outbox.put(int)
    assert in_thread(lambda: outbox.flush(1.0)) in {True, False}


# --- thousands of levels ----------------------------------------------------------------------------------------------


def start_elsewhere(made: Level) -> Level:
    """Start a level in a context of its own, so that it is current nowhere."""
    contextvars.copy_context().run(made.__enter__)
    return made


def test_a_tick_keeps_to_its_budget_and_takes_the_levels_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """With time for one level a tick, newest first, each gets its turn, also when levels come and go meanwhile."""
    monkeypatch.setattr(_rounds, "BUDGET_SECONDS", -1.0)
    runtime = _runtime.Runtime(Config.make({}), clock=FakeClock())  # nothing records, so the ticker never starts
    previous = _runtime.replace(runtime)
    try:
        with operation("job") as job:
            levels = [start_elsewhere(job.level(f"level-{n}")) for n in range(5)]
            looked: list[str] = []
            look_at = runtime.rounds._look_at

            def note(state: Any, now: float) -> None:  # noqa: ANN401
                looked.append(state.name)
                look_at(state, now)

            monkeypatch.setattr(runtime.rounds, "_look_at", note)
            for _ in range(7):
                assert runtime.rounds.tick()
            assert looked == ["level-4", "level-3", "level-2", "level-1", "level-0", "job", "level-4"]
            looked.clear()
            for n in range(5):
                levels.append(start_elsewhere(job.level(f"new-{n}")))
                levels.pop(0).fail()
                runtime.rounds.tick()
            # On from level-4, which has ended meanwhile; the operation has its turn although levels keep coming.
            assert "job" in looked
    finally:
        _runtime.replace(previous)
        runtime.shutdown()


def test_a_tick_over_thousands_of_levels_is_bounded_by_its_budget() -> None:
    """It stops early, later ticks go on, and after a few rounds all have been looked at."""
    runtime = _runtime.Runtime(Config.make({}), clock=FakeClock())
    previous = _runtime.replace(runtime)
    try:
        with operation("job", total=100) as job:
            for n in range(3_000):
                start_elsewhere(job.level("copy", total=10)).advance(n % 10)
            states = runtime.registry.live()
            rounds = 0
            while any(state.outlook is None for state in states):
                runtime.rounds.tick()
                rounds += 1
                assert rounds < 3_000
            assert job.snapshot().children_live == 3_000
            assert len(job.snapshot().children) == 100
    finally:
        _runtime.replace(previous)
        runtime.shutdown()


def test_many_children_do_not_make_their_parent_slow_to_look_at(progress: Capture) -> None:
    """A parent reads what its children were last seen at; it does not look at each descendant again."""
    with operation("job", total=4) as job:
        above = job
        chain = []
        for _ in range(60):
            above = start_elsewhere(above.level("deep", total=2))
            chain.append(above)
        calls = 0
        state = progress.runtime.registry.live()[0]
        kind = type(state)
        progress_of = kind.progress

        def counted(self: Any) -> Any:  # noqa: ANN401
            nonlocal calls
            calls += 1
            return progress_of(self)

        try:
            kind.progress = counted  # type: ignore[method-assign]
            progress.tick(1.0)
        finally:
            kind.progress = progress_of  # type: ignore[method-assign]
        assert calls <= 61
        for lvl in reversed(chain):
            lvl.fail()
