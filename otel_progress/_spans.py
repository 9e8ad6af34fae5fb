"""A level as a span: what is set at its start, what at its end."""

from __future__ import annotations

from typing import Final

from opentelemetry.context import Context
from opentelemetry.trace import Span, Status, StatusCode, Tracer

from otel_progress import names
from otel_progress._state import LevelState
from otel_progress.names import State

_ERRORS: Final = (State.FAILED, State.INTERRUPTED)
_PLAIN_SPAN: Final = names.Record.SPAN.value


def start(tracer: Tracer, level: LevelState, context: Context) -> Span:
    """Start the span of a level in the given context; what samplers may ask for is set here, the rest off its clock."""
    attributes = {
        names.OPERATION: level.operation,
        names.RECORD: _PLAIN_SPAN,
        names.RUN_ID: level.root.run_id,
    }
    if not level.is_operation:
        attributes[names.LEVEL] = level.name
    if level.id is not None:
        attributes[names.LEVEL_ID] = level.id
    if level.title is not None:
        attributes[names.LEVEL_TITLE] = level.title
    return tracer.start_span(
        level.name,
        context,
        attributes=attributes,
        start_time=level.started_ns,
        record_exception=False,
        set_status_on_exception=False,
    )


def finish(span: Span, level: LevelState) -> None:
    """Write a level's last values to its span and end it; called by the outbox, after the level has ended."""
    ending = level.ending
    if ending is None or not span.is_recording():  # not sampled, or ended by the program: OTel would log a warning
        return
    span.set_attributes(final_attributes(level))
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
    span.end(ending.at_ns)


def item_failed(span: Span, error_type: str, message: str, at_ns: int) -> None:
    """Note a failed item on the span of its level."""
    if span.is_recording():
        span.add_event(
            names.EXCEPTION_EVENT, {names.EXCEPTION_TYPE: error_type, names.EXCEPTION_MESSAGE: message}, at_ns
        )


def final_attributes(level: LevelState) -> dict[str, str | bool | int | float | tuple[str, ...]]:
    """Return the attributes of an ended level; what is unknown or zero by nature is left out."""
    counts = level.counts()
    attributes: dict[str, str | bool | int | float | tuple[str, ...]] = {
        names.PATH: level.path,
        names.STATE: level.state._value_,  # as `value`, which Python 3.11 takes 0.1 us to find
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
    if level.counters is not None:
        for (name, _), total in list(level.counters.items()):
            attributes[names.COUNTER_PREFIX + name] = float(total)
    if level.metadata is not None:
        for key, entry in level.metadata.items():
            attributes[names.METADATA_PREFIX + key] = entry
    return attributes
