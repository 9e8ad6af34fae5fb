"""
A level in its trace while it runs: the span that user code sees, and the records it turns into.

Backends show a span once it has ended, and keep the first copy of an id (Tempo) or show both (Jaeger). So a level that
has run for ``open_after`` is shown by ending its span, the open record, whose id its children point to; what is said of
the level later goes to a second span below it, the completion record, which carries the true start and end.
"""

from __future__ import annotations

import time
import traceback
from collections import deque
from collections.abc import Mapping
from math import inf
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace
from opentelemetry.trace import Link, SpanContext, Status, StatusCode, Tracer

from otel_progress import _spans, names
from otel_progress.names import Record

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.util.types import Attributes, AttributeValue

    from otel_progress._state import LevelState

SHORTEST_RECORD_NS: Final = 1_000_000
"""Length of records that stand for a moment: Jaeger warns of spans without any."""

LATE_LIMIT: Final = 128
"""Attributes, events and links kept for a completion record; the SDK's own limits are these."""

SPAN_BYTES: Final = 700
"""What a record of ours takes in a trace backend, as OTLP, texts of usual lengths included."""

WRITERS_SECONDS: Final = 0.05
"""How long to wait for threads that are just writing to a span that is about to end; each takes microseconds."""


class LevelSpan(trace.Span):
    """
    The current span inside a level: writes go to the level's first span, after it was shown to its completion record.

    Thread-safe. What the SDK's span lets others read (attributes, parent, start time...) can be read here, up to date.
    It records until the level ends; `end` ends the level.
    """

    __slots__ = ("_context", "_late", "_level", "_target", "_writers", "anchor")

    def __init__(self, anchor: trace.Span, context: SpanContext, level: LevelState) -> None:
        self.anchor = anchor
        self._context = context
        self._level = level
        self._late: Late | None = None
        self._target: Any = anchor
        self._writers: list[None] = []
        """One entry for each write in hand: one step each way, so no lock is held while the SDK writes."""

    def get_span_context(self) -> SpanContext:
        """Return what children point to, before and after the level was shown."""
        return self._context

    def is_recording(self) -> bool:
        """Return whether the level lives: there is no such span where the first one does not record."""
        return self._level.ending is None

    def end(self, end_time: int | None = None) -> None:
        """End the level as completed; the end of its block changes nothing then."""
        self._level.runtime.end_by_span(self._level, end_time)

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        """Set an attribute of the level's span."""
        self._write("set_attribute", key, value)

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Set attributes of the level's span."""
        self._write("set_attributes", attributes)

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        """Add an event to the level's span."""
        self._write("add_event", name, attributes, timestamp)

    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        """Add a link to the level's span."""
        self._write("add_link", context, attributes)

    def update_name(self, name: str) -> None:
        """Rename the level's span; the level and its metrics keep their name."""
        self._write("update_name", name)

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Set the status of the level's span; a failure of the level makes it an error all the same."""
        self._write("set_status", status, description)

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,  # noqa: FBT001, FBT002  # as the API has it
    ) -> None:
        """Add an exception to the level's span; the level does not fail by that."""
        self._write("record_exception", exception, attributes, timestamp, escaped)

    def _write(self, method: str, *args: object) -> None:
        self._writers.append(None)
        try:
            if self._level.ending is None:
                getattr(self._target, method)(*args)
            else:
                self._level.ignore("after_end")
        except Exception as error:  # noqa: BLE001  # span implementations are not ours, nor is an exception's __str__
            self._level.runtime.tally.contain("span_write", error)
        finally:
            self._writers.pop()

    # --- reading --------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The span's name."""
        late = self._late
        return (
            late.name if late is not None and late.name is not None else getattr(self.anchor, "name", self._level.name)
        )

    @property
    def attributes(self) -> Mapping[str, AttributeValue]:
        """All attributes set so far."""
        late = self._late
        return {**(getattr(self.anchor, "attributes", None) or {}), **({} if late is None else late.attributes)}

    @property
    def status(self) -> Status:
        """The status set last."""
        late = self._late
        if late is not None and late.status is not None:
            return late.status
        status: Status | None = getattr(self.anchor, "status", None)
        return status or Status()

    @property
    def end_time(self) -> int | None:
        """When the level ended, in nanoseconds; not when it was shown."""
        ending = self._level.ending
        return None if ending is None else ending.at_ns

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  # whatever else the span of this SDK lets others read
        """Return what the first span has."""
        if name.startswith("_") or name == "anchor":  # private to the SDK, or asked for before there is one
            raise AttributeError(name)
        return getattr(self.anchor, name)

    # --- for the outbox -------------------------------------------------------------------------------------------

    @property
    def late(self) -> Late | None:
        """What was said since the level was shown; ``None`` before."""
        return self._late

    @property
    def target(self) -> object:
        """What is written to now: the first span, or what is kept for the completion record."""
        return self._target

    def part(self) -> None:
        """Keep what is said from now on for the completion record."""
        self._late = self._target = Late(self._level)
        self.settle()

    def settle(self) -> None:
        """Wait for threads that are just writing, so that none writes to a span that has ended: the SDK would warn."""
        if not self._writers:
            return
        until = time.monotonic() + WRITERS_SECONDS
        while self._writers and time.monotonic() < until:
            time.sleep(0.0001)


class Late:
    """What is said of a level after it was shown: kept here, bounded as a span is, until its completion record."""

    __slots__ = ("_level", "attributes", "events", "links", "name", "status")

    def __init__(self, level: LevelState) -> None:
        self._level = level
        self.name: str | None = None
        self.attributes: dict[str, AttributeValue] = {}
        self.events: deque[tuple[str, Attributes, int]] = deque()
        self.links: list[Link] = []
        self.status: Status | None = None

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        """Keep an attribute."""
        if key in self.attributes or len(self.attributes) < LATE_LIMIT:
            # A list may be changed by its owner afterwards.
            self.attributes[key] = tuple(value) if isinstance(value, list) else value
        else:
            self._level.runtime.tally.drop("span_attributes")

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Keep attributes."""
        for key, value in attributes.items():
            self.set_attribute(key, value)

    def add_event(self, name: str, attributes: Attributes, timestamp: int | None) -> None:
        """Keep an event; the oldest goes when there are too many, as on any span."""
        if len(self.events) >= LATE_LIMIT:
            self.events.popleft()
            self._level.runtime.tally.drop("span_events")
        at_ns = self._level.runtime.clock.wall_ns() if timestamp is None else timestamp
        self.events.append((name, dict(attributes or {}), at_ns))

    def add_link(self, context: SpanContext, attributes: Attributes) -> None:
        """Keep a link."""
        if len(self.links) < LATE_LIMIT:
            self.links.append(Link(context, dict(attributes or {})))
        else:
            self._level.runtime.tally.drop("span_links")

    def update_name(self, name: str) -> None:
        """Keep a name."""
        self.name = name

    def set_status(self, status: Status | StatusCode, description: str | None) -> None:
        """Keep a status by the rules of the API: OK is final, and unset changes nothing."""
        new = status if isinstance(status, Status) else Status(status, description)
        if new.status_code is not StatusCode.UNSET and (self.status is None or self.status.status_code is not _OK):
            self.status = new

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes,
        timestamp: int | None,
        escaped: bool,  # noqa: FBT001  # as the API has it
    ) -> None:
        """Keep an exception as the event that the specification makes of it."""
        kind = type(exception)
        module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
        told: dict[str, AttributeValue] = {
            names.EXCEPTION_TYPE: module + kind.__qualname__,
            names.EXCEPTION_MESSAGE: str(exception),
            names.EXCEPTION_STACKTRACE: "".join(traceback.format_exception(exception)),
            names.EXCEPTION_ESCAPED: str(escaped),
        }
        self.add_event(names.EXCEPTION_EVENT, {**told, **(attributes or {})}, timestamp)


_OK: Final = StatusCode.OK

# --- the records ------------------------------------------------------------------------------------------------------


def start(tracer: Tracer, level: LevelState, context: Context) -> trace.Span:
    """Start a level's span in the given context; return what its children and the program shall see of it."""
    span = level.span = _spans.start(tracer, level, context)
    own = span.get_span_context()
    level.trace_ids = own[:2]
    if span.is_recording():
        config, root = level.runtime.config, level.root
        if root.trace_bytes > config.trace_bytes_limit:
            root.trace_part += 1
            root.trace_bytes = 0.0
        root.trace_bytes += SPAN_BYTES
        if config.open_after_seconds != inf:
            span = level.span = LevelSpan(span, own, level)
    return span


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
