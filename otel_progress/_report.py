"""What OpenTelemetry is told of a level while it lives and at its end. All of it runs on the outbox's thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_progress import _records, _spans
from otel_progress._level_span import LevelSpan
from otel_progress._records import SPAN_BYTES

if TYPE_CHECKING:
    from otel_progress._runtime import Runtime
    from otel_progress._state import LevelState
    from otel_progress.eta import Verdict

CHECKPOINT_SHARE: Final = 0.1
"""Checkpoints come further and further apart, by this share of a level's age..."""
CHECKPOINT_LONGEST_SECONDS: Final = 1_800.0
"""...up to this, so that a trace stays within "last hour" searches. A hundred of them last for 33 hours."""
CHECKPOINT_CROWD_SECONDS: Final = 10.0
"""Levels below an operation wait this long for each other live level: a crowd of them must not fill the trace."""


HELD_LIMIT: Final = 1_000
"""Spans of short levels that wait for the one above them; what comes then is sent at once."""


def checkpoint_interval(level: LevelState, now: float, live_levels: int) -> float:
    """Return the seconds from one checkpoint of a level to the next."""
    least: float = level.runtime.config.checkpoint_seconds
    backed_off = max(least, min(CHECKPOINT_SHARE * (now - level.started), CHECKPOINT_LONGEST_SECONDS))
    return backed_off if level.is_operation else max(backed_off, CHECKPOINT_CROWD_SECONDS * live_levels)


def show(level: LevelState, at_ns: int, reached: _spans.Values) -> None:
    """Show a level in its trace, those above it first: what is shown must have its parents."""
    above = [each for each in level.lineage() if _is_unsent(each)]
    for each in reversed(above):
        if _records.open_record(each, at_ns, reached if each is level else _spans.live_attributes(each)):
            level.root.trace_bytes += _size(each)
        _release(each)


def checkpoint(level: LevelState, at_ns: int, reached: _spans.Values) -> None:
    """Say how far a level is: in its trace, if it is shown there, and as an event."""
    runtime: Runtime = level.runtime
    if isinstance(level.span, LevelSpan) and level.span.late is not None and runtime.tracer is not None:
        with runtime.tally.containing("checkpoint"):
            root = level.root
            if level.checkpoints >= runtime.config.checkpoints_limit and level.is_operation:
                _records.turn_over(root)
            part = level.stand_in[0] if level.stand_in else level.part
            if part != root.trace_part:
                level.checkpoints = 0
            if level.checkpoints < runtime.config.checkpoints_limit:
                level.checkpoints += 1
                context = _records.further_context(runtime.tracer, level, level.context)
                _records.checkpoint_record(runtime.tracer, level, context, at_ns, reached)
                root.trace_bytes += SPAN_BYTES
    if level.announced and runtime.events.listening:
        runtime.events.checkpoint(level, at_ns, reached)


def end(level: LevelState) -> None:
    """Tell how a level ended: duration, span or completion record, event. From here on nothing of it changes."""
    runtime: Runtime = level.runtime
    level.export()
    runtime.registry.remove(level)
    record_duration(level)
    verdicts: tuple[Verdict, ...] = ()
    with runtime.tally.containing("profile"):
        verdicts = runtime.learning.conclude(level)
        if verdicts and runtime.instruments is not None:
            runtime.instruments.record_eta_errors(level, [verdict.error for verdict in verdicts])
    profile = level.profile
    if level.announced and runtime.events.listening:
        with runtime.tally.containing("event"):
            runtime.events.ended(level)
    above = level.parent
    if above is not None and len(runtime.holding) < HELD_LIMIT and _must_wait(level, above):
        if above.held is None:
            above.held = []
        above.held.append(level)
        runtime.holding[level.key] = level
    else:
        _send(level)
    with runtime.tally.containing("store"):
        runtime.learning.keep(level, profile, verdicts)


def _must_wait(level: LevelState, above: LevelState) -> bool:
    """
    Return whether the span of a short level that has ended has to wait: the one above it is not in its trace yet.

    Backends show what has no parent as broken. That one is sent when it is two seconds old or when it ends.
    """
    return _is_unsent(level) and _is_unsent(above)


def _is_unsent(level: LevelState) -> bool:
    return isinstance(level.span, LevelSpan) and level.span.late is None


def release_all(runtime: Runtime) -> None:
    """Send what waits: somebody flushes, and the process may end."""
    for level in list(runtime.holding.values()):
        if level.key in runtime.holding:
            _send(level)


def _release(level: LevelState) -> None:
    """Send what waited for this level."""
    held, level.held = level.held, None
    for child in held or ():
        if child.key in level.runtime.holding:
            _send(child)


def _send(level: LevelState) -> None:
    """End the span of a level, or send its completion record; then what waited for it."""
    runtime: Runtime = level.runtime
    runtime.holding.pop(level.key, None)
    try:
        if level.span is not None:
            _end_span(runtime, level)
    except Exception as error:  # noqa: BLE001  # span processors are not ours
        runtime.tally.contain("span", error)
    finally:
        forget(level)
        _release(level)


def _end_span(runtime: Runtime, level: LevelState) -> None:
    above, ending = level.parent, level.ending
    if above is not None and not above.shown and above.ending is None and ending is not None:
        old_enough: bool = ending.at - above.started >= runtime.config.open_after_seconds
        if old_enough:  # the ticker has not come to it yet, but its child must not arrive without it
            show(above, ending.at_ns, _spans.live_attributes(above))
    span = level.span
    if not isinstance(span, LevelSpan):
        _spans.finish(span, level)
    elif span.late is None:
        span.settle()
        _spans.finish(span.anchor, level)
    elif runtime.tracer is not None:
        _records.completion_record(runtime.tracer, level, span)
    level.root.trace_bytes += _size(level) - SPAN_BYTES


def forget(level: LevelState) -> None:
    """Let go of what an ended level was sent with: what is remembered of it must not keep it."""
    level.span = level.context = level.stand_in = level.profile = level.notes = None


def record_duration(level: LevelState) -> None:
    """Record how long an ended level took."""
    instruments = level.runtime.instruments
    if instruments is not None:
        try:
            instruments.record_duration(level)
        except Exception as error:  # noqa: BLE001  # views and exemplar filters are not ours
            level.runtime.tally.contain("duration", error)


def _size(level: LevelState) -> float:
    """Return the estimated bytes of a record of a level in a trace backend."""
    size = SPAN_BYTES + len(level.message or "") + len(level.id or "") + len(level.title or "")
    if level.metadata:
        size += sum(len(key) + len(str(entry)) + 40 for key, entry in level.metadata.items())
    if level.ending is not None and level.ending.error_stack:
        size += 2 * len(level.ending.error_message or "") + len(level.ending.error_stack)
    return size
