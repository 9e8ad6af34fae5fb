"""A level as a span: what is set at its start, what at its end."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from opentelemetry.context import Context
from opentelemetry.trace import Span, Status, StatusCode, Tracer

from otel_progress import names
from otel_progress._state import Ending, LevelState
from otel_progress.names import Record, State

Values = dict[str, str | bool | int | float | tuple[str, ...]]
"""Attributes of a span or event."""

ETA_KEYS: Final = (names.ETA_SECONDS, names.ETA_LOW, names.ETA_HIGH, names.EXPECTED_END)
"""What is said of a live level only."""

_ERRORS: Final = (State.FAILED, State.INTERRUPTED)


def start(tracer: Tracer, level: LevelState, context: Context) -> Span:
    """Start the span of a level in the given context; what samplers may ask for is set here, the rest off its clock."""
    return tracer.start_span(
        level.name,
        context,
        attributes=identity(level, Record.SPAN),
        start_time=level.started_ns,
        record_exception=False,
        set_status_on_exception=False,
    )


def identity(level: LevelState, record: Record) -> Values:
    """Return the attributes that say which level a record is of, and what record it is."""
    attributes: Values = {
        names.OPERATION: level.operation,
        names.RECORD: record._value_,  # as `value`, which Python 3.11 takes 0.1 us to find
        names.RUN_ID: level.root.run_id,
    }
    if not level.is_operation:
        attributes[names.LEVEL] = level.name
    if level.id is not None:
        attributes[names.LEVEL_ID] = level.id
    if level.title is not None:
        attributes[names.LEVEL_TITLE] = level.title
    return attributes


def finish(span: Span, level: LevelState) -> None:
    """Write a level's last values to its one span and end it; called by the outbox, after the level has ended."""
    ending = level.ending
    if ending is None or not span.is_recording():  # not sampled, or ended by the program: OTel would log a warning
        return
    span.set_attributes(final_attributes(level))
    tell_ending(span, ending)
    span.end(max(ending.at_ns, level.started_ns + 1))  # Jaeger warns of a span without length


def tell_ending(span: Span, ending: Ending) -> None:
    """Write how a level ended to the span that says so: status and exception."""
    if ending.outcome in _ERRORS:
        described = ": ".join(part for part in (ending.error_type, ending.error_message) if part)
        span.set_status(Status(StatusCode.ERROR, described or ending.outcome.value))
    if ending.error_type is not None and ending.error_stack is not None:
        exception = {
            names.EXCEPTION_TYPE: ending.error_type,
            names.EXCEPTION_MESSAGE: ending.error_message or "",
            names.EXCEPTION_STACKTRACE: ending.error_stack,
        }
        span.add_event(names.EXCEPTION_EVENT, exception, ending.at_ns)


def progress_attributes(level: LevelState, *, metadata: bool = True) -> Values:
    """Return how far a level is, or was at its end; what is unknown or zero by nature is left out."""
    counts = level.counts()
    attributes: Values = {
        names.PATH: level.path,
        names.STATE: level.state._value_,  # as above
        names.DONE: float(level.done),
        names.UNIT: level.unit,
    }
    if level.ending is not None:
        attributes[names.OUTCOME] = level.ending.outcome._value_
    for key, value in (
        (names.LIMIT, level.total),
        (names.FRACTION, level.fraction()),
        (names.FAILED, counts.failed or None),
        (names.SKIPPED, counts.skipped or None),
        (names.BYTES, counts.bytes or None),
        (names.QUALITY, level.quality),
    ):
        if value is not None:
            attributes[key] = float(value)
    texts = {
        names.LEVEL_TITLE: level.title,
        names.MESSAGE: level.message,
        names.REASON: level.reason,
        names.ERROR_TYPE: None if level.ending is None else level.ending.error_type,
    }
    attributes |= {key: text for key, text in texts.items() if text is not None}
    if level.outlook is not None and level.outlook.onsets:
        attributes[names.DEVIATION_KINDS] = tuple(sorted({kind._value_ for kind, _ in list(level.outlook.onsets)}))
    if level.counters is not None:
        for (name, _), total in list(level.counters.items()):
            attributes[names.COUNTER_PREFIX + name] = float(total)
    if level.metadata is not None and metadata:
        for key, entry in level.metadata.items():
            attributes[names.METADATA_PREFIX + key] = entry
    return attributes


def final_attributes(level: LevelState) -> Values:
    """Return what an ended level came to, and its profile, for whoever looks for earlier runs in the trace backend."""
    attributes = progress_attributes(level)
    if level.profile is not None:
        attributes[names.PROFILE] = replace(level.profile, items=()).encode()  # backends cut long texts
    return attributes


def live_attributes(level: LevelState, *, metadata: bool = True) -> Values:
    """Return how far a live level is, and its time left."""
    return {**progress_attributes(level, metadata=metadata), **eta_attributes(level)}


def eta_attributes(level: LevelState) -> Values:
    """Return a live level's time left, as it was estimated last and has gone by since; nothing where it is unknown."""
    clock = level.runtime.clock
    made = None if level.outlook is None else level.outlook.estimated(clock.monotonic())
    if made is None:
        return {}
    estimate, age = made
    expected = max(estimate.expected - age, 0.0)
    try:
        end = datetime.fromtimestamp(clock.wall_ns() / 1e9 + expected, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):  # beyond the year 9999
        end = None
    attributes: Values = {
        names.ETA_SECONDS: expected,
        names.ETA_LOW: max(estimate.low - age, 0.0),
        names.ETA_HIGH: max(estimate.high - age, 0.0),
    }
    return attributes if end is None else {**attributes, names.EXPECTED_END: end}
