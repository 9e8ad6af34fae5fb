"""Which level is current: our variable and OpenTelemetry's context, entered and left by identity."""

from __future__ import annotations

from contextlib import nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, NamedTuple

from opentelemetry import context as otel_context
from opentelemetry import trace

from otel_progress._state import LevelState

if TYPE_CHECKING:
    from opentelemetry.context import Context


class Remote(NamedTuple):
    """The level of another process that ours are children of."""

    operation: str
    run_id: str | None


class Place:
    """
    One level's place in the context it was entered in: what was current before, what it attached.

    Tokens are not used: OpenTelemetry's ``detach`` logs an error when it is called from another context than
    ``attach``, and that is where generators are closed and tasks end. Instead the last value is set again, if ours is
    the one on top; otherwise the level is just ended, and whoever looks next skips it.
    """

    __slots__ = ("attached", "level", "outer", "previous", "span")

    def __init__(self, level: LevelState, outer: Place | None, previous: Context | None) -> None:
        self.level = level
        self.outer = outer
        self.previous = previous
        self.attached: Context | None = level.context
        self.span = level.span

    def enter(self) -> None:
        """Make the level current."""
        _current.set(self)
        if self.attached is not None:
            otel_context.attach(self.attached)

    def leave(self) -> None:
        """Make current what was before, if the level is."""
        if _current.get() is not self:
            return
        outer, previous = self.outer, self.previous
        while outer is not None and outer.level.ending is not None:
            previous = outer.previous if previous is outer.attached else previous
            outer = outer.outer
        _current.set(outer)
        if self.attached is None or previous is None:
            return
        now = otel_context.get_current()
        if now is self.attached:
            otel_context.attach(previous)
        elif self.span is not None and trace.get_current_span(now) is self.span:
            # The program attached something of its own, such as baggage, and left it there: only our span goes.
            otel_context.attach(trace.set_span_in_context(trace.get_current_span(previous), now))


_current: Final[ContextVar[Place | None]] = ContextVar("otel_progress_current", default=None)
_remote: Final[ContextVar[Remote | None]] = ContextVar("otel_progress_remote", default=None)


_LEVEL_KEY: Final = otel_context.create_key("otel_progress_level")


def current_level() -> LevelState | None:
    """Return the innermost live level of this context."""
    place = live_place()
    return carried_level() if place is None else place.level


def with_level(level: LevelState, context: Context) -> Context:
    """Return ``context`` with the level in it, for whoever carries contexts to other threads."""
    return otel_context.set_value(_LEVEL_KEY, level, context)


def carried_level() -> LevelState | None:
    """Return the live level that came to this thread in OpenTelemetry's context alone."""
    level = otel_context.get_value(_LEVEL_KEY)
    while isinstance(level, LevelState) and level.ending is not None:
        level = level.parent
    return level if isinstance(level, LevelState) else None


def live_place() -> Place | None:
    """Return the innermost place whose level has not ended."""
    place = _current.get()
    while place is not None and place.level.ending is not None:
        place = place.outer
    return place


def base_context() -> Context:
    """Return OpenTelemetry's current context, with levels that have ended taken off its top."""
    now = otel_context.get_current()
    place = _current.get()
    while place is not None and place.level.ending is not None:
        if place.previous is None or place.level.inherited:  # the span of the process we were forked from is a parent
            return now
        if now is place.attached:
            now = place.previous
        elif place.span is not None and trace.get_current_span(now) is place.span:
            now = trace.set_span_in_context(trace.get_current_span(place.previous), now)
        place = place.outer
    return now


class Body:
    """
    The context of a decorated generator's body: entered at each resume, left at each suspend.

    In between nothing but the body runs, so the values can be set as they were, whatever levels the body has open
    across its ``yield``. The consumer never sees them.
    """

    __slots__ = ("_context", "_place")

    def __init__(self, level: LevelState) -> None:
        self._place: Place | None = Place(level, live_place(), base_context() if level.context is not None else None)
        self._context: Context | None = level.context

    def __enter__(self) -> None:
        self._swap()

    def __exit__(self, *_: object) -> None:
        self._swap()

    def _swap(self) -> None:
        place = _current.get()
        _current.set(self._place)
        self._place = place
        if self._context is not None:
            context = otel_context.get_current()
            otel_context.attach(self._context)
            self._context = context


NOTHING: Final = nullcontext()
"""The body of a generator whose level is switched off."""


def remote() -> Remote | None:
    """Return the other process's level that this context continues, through a carrier or a fork."""
    place = _current.get()
    if place is not None and place.level.inherited:
        return Remote(place.level.operation, place.level.root.run_id)
    return _remote.get()


def set_remote(value: Remote | None) -> None:
    """Continue another process's level in this context."""
    _remote.set(value)
