"""Lifecycle events: which there are, in which order, what they carry."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk import _logs as sdk_logs
from opentelemetry.sdk.trace import TracerProvider

from otel_progress import _runtime, flush, health, level, names, operation, track
from otel_progress._config import Config
from otel_progress.names import State
from otel_progress.testing import Capture, capture_progress
from tests.unit.kit import LONGEST_SECONDS, python, the_span
from tests.unit.kit import records as records_of

SECOND = 1_000_000_000

GLOBAL_LOGS = """
from opentelemetry import _logs
from opentelemetry.sdk import _logs as sdk
from opentelemetry.sdk._logs import export
exporter = (getattr(export, "InMemoryLogRecordExporter", None) or export.InMemoryLogExporter)()
def set_logger_provider():
    provider = sdk.LoggerProvider()
    provider.add_log_record_processor(export.SimpleLogRecordProcessor(exporter))
    _logs.set_logger_provider(provider)
"""
"""Start of a script whose global logger provider keeps what it is given."""


def told(progress: Capture) -> list[tuple[str, str | None]]:
    """Return which events there were, and the level of each (`None`: the operation)."""
    return [(record.event_name, record.attributes.get(names.LEVEL)) for record in progress.events()]


# --- exactly ----------------------------------------------------------------------------------------------------------


def test_the_events_of_an_operation_exactly(progress: Capture) -> None:
    """Names, times, severities, bodies, attributes and span contexts, in the order in which it happened."""
    start = progress.clock.wall_ns()
    with operation("import", id="2024-05", title="May", total=4, unit="{file}") as job:
        progress.clock.advance(1.0)
        job.advance(1, bytes=50)
        job.pause("waiting for token=abc")
        progress.clock.advance(1.0)
        job.resume()
        job.retrying("timeout")
        progress.clock.advance(1.0)
    span = the_span(progress, "import")
    assert span.context is not None
    records = progress.events()

    assert {(record.trace_id, record.span_id) for record in records} == {(span.context.trace_id, span.context.span_id)}
    assert [
        (record.event_name, (record.timestamp - start) // SECOND, record.severity_text, record.severity_number.value)
        for record in records
    ] == [
        ("progress.started", 0, "INFO", 9),
        ("progress.state_changed", 1, "INFO", 9),
        ("progress.state_changed", 2, "INFO", 9),
        ("progress.state_changed", 2, "INFO", 9),
        ("progress.completed", 3, "INFO", 9),
    ]
    assert [record.body for record in records] == [
        "import started",
        "import is paused: waiting for token=***",
        "import is running",
        "import is retrying: timeout",
        "import completed after 3.0 s",
    ]
    identity = {
        "progress.operation": "import",
        "progress.path": ("import",),
        "progress.run.id": (span.attributes or {})["progress.run.id"],
        "progress.level.id": "2024-05",
        "progress.level.title": "May",
    }
    changed = [
        {
            "progress.state": "paused",
            "progress.state.previous": "running",
            "progress.reason": "waiting for token=***",
        },
        {"progress.state": "running", "progress.state.previous": "paused"},
        {"progress.state": "retrying", "progress.state.previous": "running", "progress.reason": "timeout"},
    ]
    ended = {
        "progress.state": "completed",
        "progress.outcome": "completed",
        "progress.done": 1.0,
        "progress.limit": 4.0,
        "progress.fraction": 0.25,
        "progress.bytes": 50.0,
        "progress.unit": "{file}",
        "progress.duration": 3.0,
        "progress.reason": "timeout",
    }
    assert [dict(record.attributes) for record in records] == [identity | more for more in ({}, *changed, ended)]
    declared = {attribute.name for attribute in names.ATTRIBUTES}
    assert {key for record in records for key in record.attributes} <= declared


def test_a_level_that_outlives_open_after_starts_with_its_estimate(progress: Capture) -> None:
    """It is announced when it is two seconds old, at that moment, with what is known by then."""
    start = progress.clock.wall_ns()
    with operation("job"), level("copy", total=10) as copy:
        progress.tick(1.0)
        copy.advance(1)
        progress.tick(1.0)
        estimate = copy.snapshot().eta
        assert estimate is not None
    _, record = progress.events("progress.started")
    assert (record.timestamp, record.body) == (start + 2 * SECOND, "copy started")
    assert record.attributes["progress.level"] == "copy"
    assert record.attributes["progress.path"] == ("job", "copy")
    assert (
        record.attributes["progress.eta.seconds"],
        record.attributes["progress.eta.low"],
        record.attributes["progress.eta.high"],
    ) == (estimate.expected, estimate.low, estimate.high)
    (shown,) = records_of(progress, "open", "copy")
    span = shown.context
    assert span is not None
    assert (record.trace_id, record.span_id) == (span.trace_id, span.span_id)


@pytest.mark.parametrize(
    ("error", "event", "severity", "body"),
    [
        (ValueError("secret=1"), "progress.failed", "ERROR", "job failed after 4.0 s: ValueError"),
        (KeyboardInterrupt(), "progress.completed", "WARN", "job interrupted after 4.0 s"),
        (GeneratorExit(), "progress.completed", "WARN", "job abandoned after 4.0 s"),
        (SystemExit(), "progress.completed", "INFO", "job completed after 4.0 s"),
    ],
)
def test_every_end_has_its_severity(
    progress: Capture, error: BaseException, event: str, severity: str, body: str
) -> None:
    """What failed is an error, what did not complete a warning; the message of an error is not in the body."""
    with pytest.raises(type(error)), operation("job"):
        progress.clock.advance(4.0)
        raise error
    record = progress.events()[-1]
    assert (record.event_name, record.severity_text, record.body) == (event, severity, body)
    assert record.severity_number.value == {"INFO": 9, "WARN": 13, "ERROR": 17}[severity]
    assert record.attributes[names.OUTCOME] == record.attributes[names.STATE]
    assert record.attributes.get(names.ERROR_TYPE) == (
        "ValueError"
        if event == "progress.failed"
        else "KeyboardInterrupt"
        if isinstance(error, KeyboardInterrupt)
        else "GeneratorExit"
        if isinstance(error, GeneratorExit)
        else None
    )


# --- which there are --------------------------------------------------------------------------------------------------


def test_short_levels_have_no_events(progress: Capture) -> None:
    """Their span says it all; also not when they pause, and not when they fail."""
    with operation("job"):
        with level("short") as short:
            progress.tick(1.9)
            short.pause()
            short.resume()
        with pytest.raises(ValueError, match="x"), level("broken"):
            raise ValueError("x")
        for _ in track(range(3), "rows"):
            pass
    assert told(progress) == [("progress.started", None), ("progress.completed", None)]


def test_levels_that_outlive_open_after_have_all_of_them(progress: Capture) -> None:
    """From the moment they are old enough."""
    with operation("job"), level("copy") as copy:
        copy.pause()  # too young to be told of
        copy.resume()
        progress.tick(2.0)
        copy.retrying()
        copy.advance()
        progress.tick(1.0)  # an advance ends a retry
    assert told(progress) == [
        ("progress.started", None),
        ("progress.started", "copy"),
        ("progress.state_changed", "copy"),
        ("progress.state_changed", "copy"),
        ("progress.completed", "copy"),
        ("progress.completed", None),
    ]
    states = [
        (record.attributes[names.PREVIOUS_STATE], record.attributes[names.STATE])
        for record in progress.events("progress.state_changed")
    ]
    assert states == [(State.RUNNING, State.RETRYING), (State.RETRYING, State.RUNNING)]


def test_a_level_that_ends_old_enough_before_the_ticker_saw_it_is_told_of(progress: Capture) -> None:
    """Every end has its start."""
    with operation("job"), level("copy"):
        progress.clock.advance(2.0)
    assert told(progress)[1:3] == [("progress.started", "copy"), ("progress.completed", "copy")]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"open_after_seconds": 0.5}, [("progress.started", "copy"), ("progress.completed", "copy")]),
        ({"open_after_seconds": "off"}, []),
        ({"short_level_events": True}, [("progress.started", "copy"), ("progress.completed", "copy")]),
        ({}, []),
    ],
)
def test_the_settings_decide(options: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    """Earlier, never, for all; the operation always has its own."""
    with capture_progress(**options) as progress:
        with operation("job"), level("copy"):
            progress.tick(1.0)
        assert told(progress) == [("progress.started", None), *expected, ("progress.completed", None)]


def test_an_abandoned_operation_tells_what_it_became(progress: Capture) -> None:
    """The end is told once, after it is sure."""
    with pytest.raises(ValueError, match="bad"), operation("job"):
        for _ in track([1, 2], "rows"):
            progress.clock.advance(3.0)
            raise ValueError("bad")
    ends = [(record.event_name, record.attributes.get(names.LEVEL)) for record in progress.events()][-2:]
    assert sorted(ends, key=str) == [("progress.failed", "rows"), ("progress.failed", None)]


# --- SDKs that are absent or misbehave --------------------------------------------------------------------------------


def test_without_a_logger_provider_there_are_spans_and_no_complaint() -> None:
    """Nothing is built for nobody."""
    tracers = TracerProvider(shutdown_on_exit=False)
    runtime = _runtime.Runtime(Config.make({}), tracer_provider=tracers, ticker=False)
    previous = _runtime.replace(runtime)
    try:
        assert runtime.events.listening is False
        with operation("job") as job:
            job.pause()
        assert flush(LONGEST_SECONDS)
        assert health().contained == {}
    finally:
        _runtime.replace(previous)
        runtime.shutdown()
        tracers.shutdown()


class Raises(sdk_logs.LogRecordProcessor):
    """A processor of log records that raises."""

    def on_emit(self, log_record: Any) -> None:  # noqa: ANN401  # renamed between releases
        """Raise."""
        raise RuntimeError(log_record)

    def shutdown(self) -> None:
        """Nothing."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing."""
        return timeout_millis > 0


def test_a_logs_sdk_that_raises_costs_its_events_only() -> None:
    """Spans and numbers are as they were; each is contained and counted."""
    loggers = sdk_logs.LoggerProvider(shutdown_on_exit=False)
    loggers.add_log_record_processor(Raises())
    with capture_progress() as progress:
        runtime = _runtime.Runtime(
            Config.make({}), tracer_provider=progress.tracer_provider, logger_provider=loggers, ticker=False
        )
        previous = _runtime.replace(runtime)
        try:
            with operation("job") as job:
                job.pause()
                job.resume()
            assert flush(LONGEST_SECONDS)
            assert health().contained == {"started": 1, "state_changed": 2, "event": 1}
            assert [span.name for span in progress.spans()] == ["job"]
        finally:
            _runtime.replace(previous)
            runtime.shutdown()


def test_events_are_sent_although_the_trace_is_dropped() -> None:
    """Sampling decides on traces; the event still names the trace it would have been in."""
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF  # noqa: PLC0415

    with capture_progress(sampler=ALWAYS_OFF) as progress:
        with operation("job") as job:
            trace_id = job.snapshot().trace_id
        assert [f"{record.trace_id:032x}" for record in progress.events()] == [trace_id, trace_id]


def test_a_logger_provider_alone_is_enough_for_events() -> None:
    """Global or given, without a tracer or a meter provider; there is no span context then."""
    done = python(
        GLOBAL_LOGS
        + """
from otel_progress import flush, operation
set_logger_provider()
with operation("alone"):
    pass
assert flush(10)
print([(log.log_record.event_name, log.log_record.trace_id) for log in exporter.get_finished_logs()])
"""
    )
    assert done.stderr == ""
    assert done.stdout.strip() == "[('progress.started', 0), ('progress.completed', 0)]"


def test_the_global_logger_provider_is_used_from_when_it_is_set() -> None:
    """In a process of its own, because there is one."""
    done = python(
        GLOBAL_LOGS
        + """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from otel_progress import flush, operation
trace.set_tracer_provider(TracerProvider())
with operation("first"):
    pass
assert flush(10)
set_logger_provider()
with operation("second"):
    pass
assert flush(10)
print([(log.log_record.event_name, log.log_record.body) for log in exporter.get_finished_logs()])
"""
    )
    assert done.stderr == ""
    assert done.stdout.strip() == (
        "[('progress.started', 'second started'), ('progress.completed', 'second completed after 0.0 s')]"
    )
