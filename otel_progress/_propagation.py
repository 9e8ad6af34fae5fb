"""Crossing a process: a carrier is a plain dict of strings, in W3C formats; `continue_from` takes it up again."""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from otel_progress import _bounds, _context

if TYPE_CHECKING:
    from opentelemetry.context import Context

    from otel_progress._state import LevelState

OPERATION_KEY: Final = "progress-operation"
LEVEL_KEY: Final = "progress-level"
RUN_KEY: Final = "progress-run"
_KEYS: Final = ("traceparent", "tracestate", "baggage", OPERATION_KEY, LEVEL_KEY, RUN_KEY)

_LONGEST: Final = {"traceparent": 512, "tracestate": 512, "baggage": 8_192, RUN_KEY: 64}
"""Characters of a field; as W3C and OpenTelemetry have them."""

_WORD: Final = r"[!#-'*+.0-9A-Z^-z|~-]+"
_VALUE: Final = r"[!#-+./0-:<-\[\]-~-]*"
_MEMBERS: Final = {
    "baggage": (
        re.compile(rf"{_WORD}[ \t]*=[ \t]*{_VALUE}(?:[ \t]*;[ \t]*{_WORD}(?:[ \t]*=[ \t]*{_VALUE})?)*"),
        180,
    ),
    "tracestate": (re.compile(r"(?:[a-z0-9][a-z0-9_*/-]{0,240}@)?[a-z][a-z0-9_*/-]{0,13}=[!-+.-<>-~-]{1,256}"), 32),
}
"""Members of a list that OpenTelemetry takes without a warning, and how many; the others are left out."""

_trace_context: Final = TraceContextTextMapPropagator()
_baggage: Final = W3CBaggagePropagator()


def carrier_of(level: LevelState) -> dict[str, str]:
    """Return the carrier of a level."""
    carrier: dict[str, str] = {}
    if level.context is not None:
        _trace_context.inject(carrier, level.context)
        _baggage.inject(carrier, level.context)
    carrier[OPERATION_KEY] = quote(level.operation)
    carrier[LEVEL_KEY] = quote(level.name)
    carrier[RUN_KEY] = level.root.run_id
    return carrier


@contextmanager
def continue_from(carrier: Mapping[str, str] | None = None) -> Generator[None]:
    """
    Make levels started inside children of the level that `Level.carrier` was called on, in whatever process.

    Without a carrier the environment is read: ``TRACEPARENT``, ``TRACESTATE``, ``BAGGAGE``, ``PROGRESS_OPERATION``...
    What is malformed or missing is left out; with nothing usable the levels inside are their own operations.
    """
    previous_remote, previous = _context.remote(), otel_context.get_current()
    attached = previous
    fields = _from_environment() if carrier is None else _fields(carrier)
    extracted = _extract(fields, previous)
    if extracted is not previous:
        otel_context.attach(extracted)
        attached = extracted
    operation = fields.get(OPERATION_KEY)
    left = None
    if operation:
        left = _context.step_out()
        _context.set_remote(_context.Remote(_bounds.name(unquote(operation)), fields.get(RUN_KEY)))
    try:
        yield
    finally:
        _context.step_back(left)
        _context.set_remote(previous_remote)
        # By identity, as everywhere: a detach from another context would log an error.
        if attached is not previous and otel_context.get_current() is attached:
            otel_context.attach(previous)


def environment_parent(context: Context) -> Context:
    """Return ``context`` with the span named by ``TRACEPARENT``, if it has none of its own."""
    if "TRACEPARENT" not in os.environ or trace.get_current_span(context).get_span_context().is_valid:
        return context
    return _extract(_from_environment(), context)


def _extract(fields: Mapping[str, str], context: Context) -> Context:
    extracted = _trace_context.extract(fields, context) if "traceparent" in fields else context
    return _baggage.extract(fields, extracted) if "baggage" in fields else extracted


def _from_environment() -> dict[str, str]:
    return _fields({key: os.environ[name] for key in _KEYS if (name := variable_of(key)) in os.environ})


def variable_of(key: str) -> str:
    """Return the environment variable of a carrier's field (OpenTelemetry, environment variables as carriers)."""
    return key.upper().replace("-", "_")


def _fields(carrier: object) -> dict[str, str]:
    try:
        items = list(carrier.items()) if isinstance(carrier, Mapping) else []
        return {
            key.lower(): _sound(key.lower(), value)
            for key, value in items
            if isinstance(key, str) and isinstance(value, str) and key.lower() in _KEYS
        }
    except Exception:  # noqa: BLE001  # somebody else's mapping
        return {}


def _sound(key: str, value: str) -> str:
    """Return a field as OpenTelemetry takes it without a complaint in the user's log."""
    value = _bounds.text(value, _LONGEST.get(key, _bounds.TEXT_LIMIT))
    if key not in _MEMBERS:
        return value
    pattern, most = _MEMBERS[key]
    members = [member.strip() for member in value.split(",")]
    sound = {member.partition("=")[0]: member for member in members if pattern.fullmatch(member)}
    return ",".join(list(sound.values())[:most])
