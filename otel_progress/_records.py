"""
The records that a level turns into in its trace while it runs.

Backends show a span once it has ended, and keep the first copy of an id (Tempo) or show both (Jaeger). So a level that
has run for ``open_after`` is shown by ending its span, the open record, whose id its children point to; what is said of
the level later goes to a second span below it, the completion record, which carries the true start and end.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace
from opentelemetry.trace import Link, StatusCode, Tracer

from otel_progress import _spans, names
from otel_progress._level_span import LATE_LIMIT, Late, LevelSpan
from otel_progress.names import Record

if TYPE_CHECKING:
    from opentelemetry.context import Context

    from otel_progress._state import LevelState

SHORTEST_RECORD_NS: Final = 1_000_000
"""Length of records that stand for a moment: Jaeger warns of spans without any."""

SPAN_BYTES: Final = 700
"""What a record of ours takes in a trace backend, as OTLP, texts of usual lengths included."""


def start(tracer: Tracer, level: LevelState, context: Context) -> trace.Span:
    """Start a level's span in the given context; return what its children and the program shall see of it."""
    span = level.span = _spans.start(tracer, level, context)
    own = span.get_span_context()
    level.trace_ids = own[:2]
    if span.is_recording():
        config, root = level.runtime.config, level.root
        if root.trace_bytes > config.trace_bytes_limit:
            turn_over(root)
        root.trace_bytes += SPAN_BYTES
        if config.open_after_seconds != inf:
            span = level.span = LevelSpan(span, own, level)
    return span


def turn_over(root: LevelState) -> None:
    """Have what starts from now on go to a further part of a run's trace."""
    root.trace_part += 1
    root.trace_bytes = 0.0


def item_failed(span: trace.Span, error_type: str, message: str, at_ns: int) -> None:
    """Note a failed item on the span of its level, which may have ended meanwhile; called by the outbox."""
    target: Any = span.target if isinstance(span, LevelSpan) else span
    if isinstance(target, Late) or target.is_recording():
        told = {names.EXCEPTION_TYPE: error_type, names.EXCEPTION_MESSAGE: message}
        target.add_event(names.EXCEPTION_EVENT, told, at_ns)


def open_record(level: LevelState, at_ns: int, reached: _spans.Values) -> bool:
    """Show a level in its trace: end its first span, with how far it is. ``False`` if it is, or will not be."""
    span = level.span
    # Not recording: it was shown, has ended, or somebody who got hold of the first span has ended that.
    if not isinstance(span, LevelSpan) or not span.anchor.is_recording():
        return False
    span.part()
    span.anchor.set_attributes({**reached, names.RECORD: Record.OPEN.value})
    span.anchor.end(max(at_ns, level.started_ns + SHORTEST_RECORD_NS))
    return True


def further_context(tracer: Tracer, level: LevelState, base: Context) -> Context:
    """
    Return ``base`` with what stands for ``level`` in the present part of its trace, for records below it.

    A run that outgrows what a trace backend takes goes on in another trace, as Tempo advises ("long-running traces").
    In it a continuation record, linked to the level's own span, stands for each level that has something below it.
    """
    part = level.root.trace_part
    if level.part == part:
        return base if level.span is None else trace.set_span_in_context(level.span, base)
    made_for, stand_in = level.stand_in or (0, None)
    if stand_in is None or made_for != part:
        above = trace.set_span_in_context(trace.INVALID_SPAN, base)
        if level.parent is not None:
            above = further_context(tracer, level.parent, base)
        at_ns = level.runtime.clock.wall_ns()
        # From its context: an adopted span is not ours to keep.
        own = [] if level.context is None else [Link(trace.get_current_span(level.context).get_span_context())]
        record = tracer.start_span(
            level.name, above, attributes=_spans.identity(level, Record.CONTINUATION), links=own, start_time=at_ns
        )
        with level.lock:  # two threads may be here: what the second made is not used, and never ended
            made_for, other = level.stand_in or (0, None)
            if other is not None and made_for == part:
                return trace.set_span_in_context(other, base)
            stand_in = trace.NonRecordingSpan(record.get_span_context())
            level.stand_in = part, stand_in
        level.root.trace_bytes += SPAN_BYTES
        level.runtime.outbox.put(record.end, at_ns + SHORTEST_RECORD_NS)
    return trace.set_span_in_context(stand_in, base)


def checkpoint_record(tracer: Tracer, level: LevelState, context: Context, at_ns: int, reached: _spans.Values) -> None:
    """Say in the trace how far a level is: a short span below it, which also brings the trace into recent searches."""
    attributes = {**_spans.identity(level, Record.CHECKPOINT), **reached}
    if level.trace_ids is not None:
        attributes[names.OPEN_SPAN_ID] = f"{level.trace_ids[1]:016x}"
    start = max(at_ns - SHORTEST_RECORD_NS, level.started_ns)
    span = tracer.start_span(level.name, context, attributes=attributes, start_time=start)
    span.end(start + SHORTEST_RECORD_NS)


def completion_record(tracer: Tracer, level: LevelState, span: LevelSpan) -> None:
    """Send what a level that was shown came to: its true start and end, and all that was said of it since."""
    ending, late = level.ending, span.late
    if ending is None or late is None:
        return
    span.settle()
    own = {**_spans.identity(level, Record.COMPLETION), **_spans.final_attributes(level)}
    own[names.OPEN_SPAN_ID] = f"{span.get_span_context().span_id:016x}"
    said = {key: value for key, value in span.attributes.items() if key not in own and key not in _spans.ETA_KEYS}
    for key in list(said)[LATE_LIMIT - len(own) :]:  # the SDK would drop the oldest, among them what says whose it is
        del said[key]
        level.runtime.tally.drop("span_attributes")
    completion = tracer.start_span(
        span.name, level.context, attributes={**said, **own}, links=late.links, start_time=level.started_ns
    )
    if not completion.is_recording():  # a sampler that does not ask its parent; the event tells of the end all the same
        level.runtime.tally.drop("completion_unsampled")
        return
    for name, told, at_ns in late.events:
        completion.add_event(name, told, at_ns)
    if span.status.status_code is not StatusCode.UNSET:
        completion.set_status(span.status)
    _spans.tell_ending(completion, ending)
    completion.end(max(ending.at_ns, level.started_ns + SHORTEST_RECORD_NS))
