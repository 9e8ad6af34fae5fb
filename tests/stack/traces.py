"""Traces as the backends show them, parsed from the OTLP in JSON that each of them answers with."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

WARNINGS: Final = "@jaeger@warnings"
STATUS_ERROR: Final = {2, "STATUS_CODE_ERROR"}
"""As Jaeger and as Tempo write it."""
HEX_ID: Final = 16
"""Length of a span id in hexadecimal, as Jaeger writes it; Tempo writes base64."""


@dataclass(frozen=True)
class Event:
    """One span event."""

    name: str
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Span:
    """One span as a backend shows it; times are unix seconds."""

    name: str
    span_id: str
    parent_id: str | None
    started_at: float
    seconds: float
    is_error: bool
    attributes: Mapping[str, Any]
    events: tuple[Event, ...] = ()
    warnings: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = field(default=())
    """Trace and span id of each."""


@dataclass(frozen=True)
class Trace:
    """One trace as a backend shows it."""

    trace_id: str
    spans: tuple[Span, ...]

    def problems(self) -> list[str]:
        """Return every warning of the backend's, span id that comes twice, and parent that is not there."""
        ids = Counter(span.span_id for span in self.spans)
        return [
            *(f"{span.name}: {warning}" for span in self.spans for warning in span.warnings),
            *(f"span id {span_id} comes {count} times" for span_id, count in ids.items() if count > 1),
            *(f"{s.name}: no parent {s.parent_id}" for s in self.spans if s.parent_id and s.parent_id not in ids),
        ]

    def only(self, name: str) -> Span:
        """Return the one span of a name."""
        (found,) = self.named(name)
        return found

    def named(self, name: str) -> list[Span]:
        """Return all spans of a name, in the order they started."""
        return sorted((span for span in self.spans if span.name == name), key=lambda span: span.started_at)

    def tree(self) -> set[tuple[str, str]]:
        """Return the name of every span, with the name of its parent."""
        name = {span.span_id: span.name for span in self.spans}
        return {(span.name, name[span.parent_id] if span.parent_id else "") for span in self.spans}


def parse(trace_id: str, data: Mapping[str, Any]) -> Trace:
    """Return the trace in the ``resourceSpans`` of an answer."""
    scopes = (scope for resource in data["resourceSpans"] for scope in resource["scopeSpans"])
    # Of a batch that came twice Jaeger shows one copy, and an empty scope where the other was.
    return Trace(trace_id, tuple(_span(each) for scope in scopes for each in scope.get("spans", ())))


def _span(data: Mapping[str, Any]) -> Span:
    started, ended = int(data["startTimeUnixNano"]), int(data["endTimeUnixNano"])
    found = attributes(data.get("attributes", ()))
    return Span(
        name=data["name"],
        span_id=_id(data["spanId"]),
        parent_id=_id(data.get("parentSpanId", "")) or None,
        started_at=started / 1e9,
        seconds=(ended - started) / 1e9,
        is_error=data.get("status", {}).get("code") in STATUS_ERROR,
        warnings=tuple(found.pop(WARNINGS, ())),
        attributes=found,
        events=tuple(Event(each["name"], attributes(each.get("attributes", ()))) for each in data.get("events", ())),
        links=tuple((_id(each["traceId"]), _id(each["spanId"])) for each in data.get("links", ())),
    )


def _id(text: str) -> str:
    return text if len(text) % HEX_ID == 0 else base64.b64decode(text).hex()


def attributes(data: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return OTLP attributes as a plain dict."""
    return {each["key"]: _plain(each["value"]) for each in data}


def _plain(value: Mapping[str, Any]) -> object:
    """Return the value of an OTLP ``AnyValue`` in JSON, whose 64 bit integers are texts."""
    ((kind, inner),) = value.items()
    if kind == "arrayValue":
        return [_plain(each) for each in inner.get("values", ())]
    return int(inner) if kind == "intValue" else inner
