"""How a level starts: its parent, its operation, its span, its place in the context."""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from opentelemetry import trace

from otel_progress import _bounds, _context, _records
from otel_progress._propagation import environment_parent
from otel_progress._state import DEFAULT_UNIT, PHASES_LIMIT, LevelState

if TYPE_CHECKING:
    from opentelemetry.context import Context

    from otel_progress._runtime import Runtime

Kind = Literal["operation", "level"]


def open_level(runtime: Runtime, kind: Kind, options: Mapping[str, Any], named: LevelState | None) -> _context.Place:
    """
    Start a level now; return the place it takes in this context, which the caller may enter.

    Its parent is the level named, else the one current here, the nearest live ancestor standing in for one that has
    ended. An operation has none, but its span nests all the same.
    """
    if runtime.dropped:
        runtime.reap()
    outer = _context.standing_place()
    here = _here(runtime, outer)
    above = here if named is None else _context.nearest_live(named) or here
    if above is None or kind == "operation":
        runtime.look()
    remote = _remote(runtime, named) if above is None and kind == "level" else None
    level = _make(runtime, kind, options, above, remote)
    previous: Context | None = None
    context: Context | None = None
    if runtime.tracer is not None:
        previous = base = _context.base_context()
        if above is None:
            if (
                named is not None
                and named.inherited
                and named.context is not None
                and not (outer and outer.level is named)
            ):
                base = named.context  # we were forked away from it: its span is a parent all the same
            base = environment_parent(base)
        elif above.context is not None and above is not here:
            base = above.context  # a parent named from elsewhere, another thread perhaps: its span and its baggage
        elif level.parent is not None and level.parent.part != level.part:
            with runtime.tally.containing("continuation"):
                base = _records.further_context(runtime.tracer, level.parent, base)
        context = _with_span(runtime, runtime.tracer, level, base)
    elif runtime.busy:
        context = previous = _context.base_context()
    place = _context.Place(level, outer, previous, context)
    level.context = place.attached
    if level.parent is not None:
        level.parent.adopt(level)
    return place


def _here(runtime: Runtime, outer: _context.Place | None) -> LevelState | None:
    here = _context.carried_level() if outer is None or outer.level.inherited else outer.level
    # A span of others that is a level may be inside of it.
    return runtime.adoption.level_here(here) if runtime.adoption.watched else here


def _remote(runtime: Runtime, named: LevelState | None) -> _context.Remote | None:
    return _context.remote(named) or runtime.adoption.remote_here()


def _with_span(runtime: Runtime, tracer: trace.Tracer, level: LevelState, base: Context) -> Context:
    """Start the level's span; return the context its body runs in. Without a span the level still counts."""
    try:
        span = _records.start(tracer, level, base)
        return trace.set_span_in_context(span, base)
    except Exception as error:  # noqa: BLE001  # samplers, processors and id generators are not ours
        runtime.tally.contain("span_start", error)
        return base


def _make(
    runtime: Runtime, kind: Kind, options: Mapping[str, Any], above: LevelState | None, remote: _context.Remote | None
) -> LevelState:
    name = _bounds.name(options["name"])
    parent = None if kind == "operation" else above
    is_operation = parent is None and remote is None  # a level outside any operation is its own
    operation = parent.operation if parent is not None else remote.operation if remote is not None else name
    now, now_ns = runtime.clock.monotonic(), runtime.clock.wall_ns()
    unit = DEFAULT_UNIT if options.get("unit") is None else _bounds.name(options["unit"])
    level = LevelState(name, operation, parent, now, now_ns, unit, is_operation)
    level.runtime = runtime
    if parent is None:
        level.run_id = (remote and remote.run_id) or os.urandom(16).hex()
    if len(options) > 1:
        describe(level, options)
    return level


def describe(level: LevelState, options: Mapping[str, Any]) -> None:
    """Write the options of a level that starts to its state; what makes no sense is left out and counted."""
    if (given := options.get("id")) is not None:
        level.id = _bounds.text(given)
    if (given := options.get("title")) is not None:
        level.title = _bounds.text(given)
    if (given := options.get("total")) is not None:
        level.total = _bounds.number(given)
        if level.total is None:
            level.ignore("bad_total")
    if (given := options.get("weight")) is not None:
        level.weight = _bounds.number(given) or 1.0
    if (given := options.get("metadata")) is not None:
        level.metadata = _bounds.metadata(given)
        if level.metadata is None:
            level.ignore("bad_metadata")
    if (given := options.get("phases")) is not None:
        _announce(level, _phases(given))


def _announce(level: LevelState, phases: list[tuple[object, object]]) -> None:
    for name, weight in phases:
        share = _bounds.number(weight)
        if share is None:
            level.ignore("bad_plan")
        else:
            level.plan(_bounds.name(name), share, None)


def _phases(given: Any) -> list[tuple[object, object]]:  # noqa: ANN401  # whatever was handed in
    try:
        if isinstance(given, str):
            return [(given, None)]  # its letters are not meant
        pairs = given.items() if isinstance(given, Mapping) else ((name, 1.0) for name in given)
        return [(name, weight) for name, weight in islice(pairs, PHASES_LIMIT + 1)]
    except Exception:  # noqa: BLE001  # not iterable, or somebody else's iterable
        return [("", None)]
