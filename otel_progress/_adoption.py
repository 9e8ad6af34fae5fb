"""Spans of others as levels: watched from their start, adopted once they carry a count, read while they live."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable, Container
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import StatusCode

from otel_progress import _attributes, _bounds, _context, names
from otel_progress._attributes import Attributes
from otel_progress._state import DEFAULT_UNIT, Ending, LevelState
from otel_progress.names import State

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, Span
    from opentelemetry.trace import SpanContext

    from otel_progress._runtime import Runtime

WATCHED_LIMIT: Final = 10_000
"""Live spans of others that are watched; those beyond it are never adopted, and counted."""

NAMES_LIMIT: Final = 1_000
"""Names of adopted spans that are remembered: later spans of these names are levels from their start."""

POLL_BUDGET_SECONDS: Final = 0.005
"""Time one tick may take to look at spans that carry nothing yet; the rest is looked at in the next."""

Key = tuple[int, int]
"""Trace and span id."""


class _Watched(weakref.ref["Span"]):
    """One live span of somebody else's: a weak reference, so that a span dropped without an end can be missed."""

    __slots__ = ("above", "at", "at_ns", "by", "context", "key", "last", "level", "own", "remote", "seen")

    key: Key
    own: SpanContext
    by: object
    """Who has us watch it: the processor."""
    context: Context
    """What it was started in."""
    above: _Watched | None
    """The watched span around it."""
    remote: _context.Remote | None
    """What ``continue_from`` said where it was started."""
    at: float
    at_ns: int
    """When we were told of its start."""
    level: LevelState | None
    last: ReadableSpan | None
    """The span as it ended."""
    seen: dict[str, object]
    """Attributes as taken in last."""


class Adoption:
    """
    The spans of others in one runtime.

    Thread-safe without a lock: a span is adopted by whoever takes it from the table of those that wait, and its level
    ended by whoever comes last, the one who adopts it or the one who saw its end. Spans are never changed, wrapped or
    kept alive. The specification lets a processor keep the span it got at its start and read it from another thread
    (trace SDK, OnStart).
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.has_history: Callable[[str], bool] | None = None
        """Whether runs of this name are on record; asked in the program's own code, so it must only look up."""
        self.watched: dict[Key, _Watched] = {}
        """All live spans that are known."""
        self.waiting: dict[Key, _Watched] = {}
        """Those of them that are no levels."""
        self.levels: dict[int, _Watched] = {}
        """Those that are, by the level's key."""
        self._known = set(runtime.config.adopt)
        self._monotonic, self._wall_ns = runtime.clock.monotonic, runtime.clock.wall_ns
        self._next = 0
        self._on_vanish = self._vanished

    # --- what the processor calls, in the program's own code ----------------------------------------------------------

    def started(self, span: Span, parent_context: Context | None, wanted: Container[str], by: object) -> None:
        """Watch a span that starts; adopt it if its name or its attributes say so."""
        own = span.get_span_context()
        key = own[:2]
        if key in self.watched:  # another processor of ours has it
            self._adopt_if(self.watched[key], span, wanted)
            return
        runtime = self._runtime
        if len(self.watched) >= WATCHED_LIMIT:
            runtime.tally.drop("watched_spans")
            return
        watched = _Watched(span, self._on_vanish)
        watched.key, watched.own, watched.by = key, own, by
        watched.context = otel_context.get_current() if parent_context is None else parent_context
        parent = span.parent
        watched.above = None if parent is None else self.watched.get(parent[:2])
        watched.remote = _context.given_remote()
        watched.at, watched.at_ns = self._monotonic(), self._wall_ns()
        watched.level = watched.last = None
        self.waiting[key] = self.watched[key] = watched
        if watched.above is None and runtime.instruments is None:
            runtime.look()
        if runtime.ticker is not None:
            runtime.ticker.wake()
        self._adopt_if(watched, span, wanted)

    def ended(self, span: ReadableSpan) -> bool:
        """Take in that a span has ended, with its last values; ``False`` if it is not watched here."""
        own = span.context
        watched = None if own is None else self.watched.pop(own[:2], None)
        if watched is None:
            return False
        waited = self.waiting.pop(watched.key, None) is not None
        while watched.above is not None and watched.above.key not in self.watched:
            watched.above = watched.above.above  # what has ended is not kept by what outlives it
        if not waited:
            watched.last = span
            if watched.level is not None:  # otherwise somebody is adopting it just now, and will see that it ended
                self._finish(watched, watched.level, span)
        elif _attributes.carries(attributes := _attributes.plain(span.attributes)):
            watched.last = span
            self._make_level(watched, span, attributes)
        return True

    def let_go(self, by: object) -> None:
        """End what this processor had us adopt as interrupted, and forget what else it had us watch."""
        for watched in list(self.watched.values()):
            if watched.by is by:
                self.watched.pop(watched.key, None)
                self.waiting.pop(watched.key, None)
                if watched.level is not None:
                    self.levels.pop(watched.level.key, None)
                    self._runtime.end(watched.level, State.INTERRUPTED)

    # --- what the runtime calls ---------------------------------------------------------------------------------------

    def poll(self) -> None:
        """Adopt the spans that carry a count by now; in turn, as far as the budget goes."""
        waiting = list(self.waiting.values())
        first = self._next if self._next < len(waiting) else 0
        self._next = 0
        until = time.perf_counter() + POLL_BUDGET_SECONDS
        for number, watched in enumerate(waiting[first:], first + 1):
            span = watched()
            if span is not None and _attributes.carries(attributes := _attributes.plain(span.attributes)):
                self._adopt(watched, span, attributes)
            if time.perf_counter() > until:
                self._next = number
                break

    def refresh(self, level: LevelState) -> None:
        """Read the attributes of an adopted span again."""
        watched = self.levels.get(level.key)
        span = None if watched is None else watched()
        if watched is not None and span is not None:
            _attributes.take_in(level, watched.seen, _attributes.plain(span.attributes))

    def level_here(self, here: LevelState | None) -> LevelState | None:
        """Return what a new level of ours is below: the adopted span that is current, if that is inside ``here``."""
        watched = self._current()
        return here if watched is None else _innermost(self._nearest(watched), here)

    def remote_here(self) -> _context.Remote | None:
        """Return the level that the current span is in the process we were forked from."""
        return _inherited(self._current())

    def forget(self) -> None:
        """Watch nothing any more."""
        self.watched = {}
        self.waiting = {}
        self.levels = {}

    def after_fork(self) -> None:
        """In the child: live spans are the parent's to tell of. They still say which operation new ones belong to."""
        self.waiting = {}
        self.levels = {}

    # --- inside -------------------------------------------------------------------------------------------------------

    def _adopt_if(self, watched: _Watched, span: Span, wanted: Container[str]) -> None:
        """Adopt a span that starts, if its attributes or its name say so."""
        name = span.name
        attributes = _attributes.plain(span.attributes)
        if (
            _attributes.carries(attributes)
            or name in self._known
            or name in wanted
            or (self.has_history is not None and self.has_history(name))
        ):
            self._adopt(watched, span, attributes, at_start=True)

    def _adopt(self, watched: _Watched, span: ReadableSpan, attributes: Attributes, *, at_start: bool = False) -> None:
        if self.waiting.pop(watched.key, None) is not None:  # otherwise somebody else is at it
            self._make_level(watched, span, attributes, at_start=at_start)

    def _make_level(
        self, watched: _Watched, span: ReadableSpan, attributes: Attributes, *, at_start: bool = False
    ) -> None:
        runtime = self._runtime
        above = _innermost(self._nearest(watched.above), _context.carried_level(watched.context))
        remote = None if above is not None else self._remote(watched)
        if above is None and (at_start or watched.last is not None):  # not on the ticker's thread
            runtime.look()
        name = _bounds.name(span.name)
        operation = above.operation if above is not None else remote.operation if remote is not None else name
        is_operation = above is None and remote is None
        start_ns = span.start_time or watched.at_ns
        # Some spans are told of after the fact; none starts in the future.
        late_ns = max(watched.at_ns - start_ns, 0)
        at, at_ns = watched.at - late_ns / 1e9, watched.at_ns - late_ns
        level = LevelState(name, operation, above, at, at_ns, DEFAULT_UNIT, is_operation)
        level.runtime = runtime
        if above is None:
            level.run_id = (remote and remote.run_id) or os.urandom(16).hex()
        level.trace_ids = watched.key
        level.context = trace.set_span_in_context(trace.NonRecordingSpan(watched.own), watched.context)
        watched.seen = {}
        _attributes.take_in(level, watched.seen, attributes, at_start=at_start)
        if len(self._known) < NAMES_LIMIT + len(runtime.config.adopt):
            self._known.add(span.name)
        if above is not None:
            above.adopt(level)
        self.levels[level.key] = watched
        try:
            runtime.started(level)
        except Exception:
            self._give_up(level)
            raise
        watched.level = level  # only now: what has not started must not be ended
        if watched.last is not None:  # it ended before, or meanwhile
            self._finish(watched, level, watched.last)
        elif watched() is None:
            self._vanished(watched)

    def _remote(self, watched: _Watched) -> _context.Remote | None:
        return _inherited(watched.above) or _context.continued(watched.context) or watched.remote

    def _finish(self, watched: _Watched, level: LevelState, span: ReadableSpan) -> None:
        try:
            _attributes.take_in(level, watched.seen, _attributes.plain(span.attributes))
            self._runtime.finish(level, self._ending(level, span))
        except Exception:
            self._give_up(level)
            raise
        self.levels.pop(level.key, None)

    def _give_up(self, level: LevelState) -> None:
        """Have a level ended by whoever comes next: it must not look alive for ever."""
        self.levels.pop(level.key, None)
        self._runtime.dropped.append((level, None))

    def _ending(self, level: LevelState, span: ReadableSpan) -> Ending:
        clock = self._runtime.clock
        at, at_ns = clock.monotonic(), clock.wall_ns()
        if span.end_time is not None and level.started_ns <= span.end_time < at_ns:
            at, at_ns = max(at - (at_ns - span.end_time) / 1e9, level.started), span.end_time
        at_ns = max(at_ns, level.started_ns)
        if span.status.status_code is not StatusCode.ERROR:
            return Ending(State.COMPLETED, at, at_ns)
        error: Attributes = next(
            (event.attributes or {} for event in reversed(span.events) if event.name == names.EXCEPTION_EVENT), {}
        )
        kind = _attributes.plain(span.attributes).get(names.ERROR_TYPE) or error.get(names.EXCEPTION_TYPE)
        message = error.get(names.EXCEPTION_MESSAGE) or span.status.description
        told = None if message is None else self._runtime.tell(str(message), stack=False)[1]
        return Ending(State.FAILED, at, at_ns, None if kind is None else _bounds.name(kind), told)

    def _vanished(self, watched: Any) -> None:  # noqa: ANN401  # as weakref has it: the reference
        """Note that a span was dropped without an end; runs in a destructor, so it does no more."""
        self.watched.pop(watched.key, None)
        self.waiting.pop(watched.key, None)
        level = watched.level
        if level is not None and level.ending is None:
            self.levels.pop(level.key, None)
            clock = self._runtime.clock
            self._runtime.dropped.append((level, (clock.monotonic(), clock.wall_ns())))

    def _current(self) -> _Watched | None:
        return self.watched.get(trace.get_current_span().get_span_context()[:2]) if self.watched else None

    def _nearest(self, watched: _Watched | None) -> LevelState | None:
        """Return the innermost live adopted span from here outwards; those that carry a count by now are adopted."""
        around: list[_Watched] = []
        while watched is not None:
            around.append(watched)
            if watched.level is not None and watched.level.ending is None:
                break
            watched = watched.above
        for each in reversed(around):  # the outermost first, to be the parents of the inner ones
            span = each()
            if (
                each.key in self.waiting
                and span is not None
                and _attributes.carries(attributes := _attributes.plain(span.attributes))
            ):
                self._adopt(each, span, attributes)
        return next((each.level for each in around if each.level is not None and each.level.ending is None), None)


def _innermost(adopted: LevelState | None, placed: LevelState | None) -> LevelState | None:
    """Return the inner one of an adopted span and a level of ours that are around the same code."""
    if adopted is None or (placed is not None and adopted in placed.lineage()):
        return placed
    return adopted


def _inherited(watched: _Watched | None) -> _context.Remote | None:
    """Return the nearest level from here outwards that is of the process we were forked from."""
    while watched is not None:
        level = watched.level
        if level is not None and level.inherited:
            return _context.Remote(level.operation, level.root.run_id)
        watched = watched.above
    return None
