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
    One level's place in the context it was started in: what was current before, what it attaches.

    It travels in our variable and in OpenTelemetry's context, which some carry to other threads without the variable.

    Tokens are not used: OpenTelemetry's ``detach`` logs an error when it is called from another context than
    ``attach``, and that is where generators are closed and tasks end. Instead, whoever looks takes the places of levels
    that have ended off the top: the end of a level around it, a new level, `current`.
    """

    __slots__ = ("attached", "level", "outer", "previous", "span")

    def __init__(
        self, level: LevelState, outer: Place | None, previous: Context | None, context: Context | None
    ) -> None:
        self.level = level
        self.outer = outer
        self.previous = previous
        self.span = level.span
        self.attached = None if context is None else otel_context.set_value(_PLACE_KEY, self, context)

    def enter(self) -> None:
        """Make the level current."""
        _current.set(self)
        if self.attached is not None:
            otel_context.attach(self.attached)

    def leave(self) -> None:
        """Make current what was before, now that the level has ended; what is live and on top of it stays."""
        self.level.inherited = False  # its block has been left in this process too
        top, standing = _current.get(), standing_place()
        if top is not standing:
            _current.set(standing)
        if self.attached is None:
            return
        now = otel_context.get_current()
        base = _without_ended(now)
        if base is not now:
            otel_context.attach(base)
            self.attached = None  # it holds us: a cycle that need not wait for the garbage collector

    def taken_off(self, context: Context) -> Context:
        """Return ``context``, which has this place on top, without it."""
        if self.previous is None:
            return context
        # The program attached something of its own, such as baggage or a span: only what is ours goes.
        if trace.get_current_span(context) is self.span:
            context = trace.set_span_in_context(trace.get_current_span(self.previous), context)
        return otel_context.set_value(_PLACE_KEY, otel_context.get_value(_PLACE_KEY, self.previous), context)


_current: Final[ContextVar[Place | None]] = ContextVar("otel_progress_current", default=None)
_remote: Final[ContextVar[Remote | None]] = ContextVar("otel_progress_remote", default=None)
_PLACE_KEY: Final = otel_context.create_key("otel_progress_place")


def current_level() -> LevelState | None:
    """Return the innermost live level of this context."""
    place = _current.get()
    if place is not None and place.level.ending is not None:
        place = live_place()
    return carried_level() if place is None else place.level


def carried_level(context: Context | None = None) -> LevelState | None:
    """Return the live level in OpenTelemetry's context, by default the one that came to this thread in it alone."""
    place = otel_context.get_value(_PLACE_KEY, context)
    return nearest_live(place.level) if isinstance(place, Place) else None


def nearest_live(level: LevelState | None) -> LevelState | None:
    """Return the level, or the nearest of its ancestors that has not ended."""
    while level is not None and level.ending is not None:
        level = level.parent
    return level


def top_place() -> Place | None:
    """Return the innermost place of this context, whether its level has ended or not."""
    return _current.get()


def standing_place() -> Place | None:
    """Return the innermost place whose level has not ended, or is that of the process we were forked from."""
    place = _current.get()
    while place is not None and place.level.ending is not None and not place.level.inherited:
        place = place.outer
    return place


def live_place() -> Place | None:
    """Return the innermost place whose level has not ended."""
    place = standing_place()
    return None if place is None or place.level.inherited else place


def base_context() -> Context:
    """Return OpenTelemetry's current context, with levels that have ended taken off its top."""
    return _without_ended(otel_context.get_current())


def _without_ended(context: Context) -> Context:
    while True:
        place = context.get(_PLACE_KEY)
        if not isinstance(place, Place) or place.level.ending is None or place.previous is None:
            return context
        if place.level.inherited:  # the span of the process we were forked from is a parent
            return context
        context = place.previous if context is place.attached else place.taken_off(context)


class Body:
    """
    The context of a decorated generator's body: entered at each resume, left at each suspend.

    In between nothing but the body runs, so the values can be set as they were, whatever levels the body has open
    across its ``yield``. The consumer never sees them.
    """

    __slots__ = ("_context", "_place")

    def __init__(self, place: Place) -> None:
        self._place: Place | None = place
        self._context = place.attached

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


def remote(named: LevelState | None = None) -> Remote | None:
    """Return the other process's level that this context, or a parent named, continues through a carrier or a fork."""
    place = standing_place()
    for level in (named, place.level if place is not None else None):
        if level is not None and level.inherited:
            return Remote(level.operation, level.root.run_id)
    return _remote.get()


given_remote: Final = _remote.get
"""Returns the other process's level that `continue_from` was given in this context."""


def continued(context: Context) -> Remote | None:
    """Return the level of the process we were forked from that what starts in this context continues."""
    place = context.get(_PLACE_KEY)
    level = place.level if isinstance(place, Place) else None
    while level is not None and level.ending is not None and not level.inherited:
        level = level.parent
    return None if level is None or not level.inherited else Remote(level.operation, level.root.run_id)


def step_out() -> Place | None:
    """Forget a place of the process we were forked from, and return it: a carrier says more exactly where we belong."""
    place = standing_place()
    if place is None or not place.level.inherited:
        return None
    _current.set(None)
    return place


def step_back(place: Place | None) -> None:
    """Take up a place that was stepped out of, unless another one was taken meanwhile."""
    if place is not None and standing_place() is None:
        _current.set(place)


def set_remote(value: Remote | None) -> None:
    """Continue another process's level in this context."""
    _remote.set(value)
