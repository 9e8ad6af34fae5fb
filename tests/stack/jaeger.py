"""Jaeger, started with the repository's file, and asked for traces through its version 3 API."""

from __future__ import annotations

import json
import urllib.error
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from .programs import CONFIGS, Program, get, tool, wait_for

WARNINGS: Final = "@jaeger@warnings"
STATUS_ERROR: Final = 2


@dataclass(frozen=True)
class Event:
    """One span event."""

    name: str
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Span:
    """One span as Jaeger shows it; times are unix seconds."""

    name: str
    span_id: str
    parent_id: str | None
    started_at: float
    seconds: float
    is_error: bool
    attributes: Mapping[str, Any]
    events: tuple[Event, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Trace:
    """One trace as Jaeger shows it."""

    trace_id: str
    spans: tuple[Span, ...]

    def problems(self) -> list[str]:
        """Return every warning of Jaeger's, span id that comes twice, and parent that is not there."""
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


class Jaeger(Program):
    """A running Jaeger."""

    def __init__(self, folder: Path, http: int, grpc: int, otlp: int, health: int) -> None:
        self.url = f"http://127.0.0.1:{http}"
        self.otlp_url = f"http://127.0.0.1:{otlp}"
        env = {
            "JAEGER_HTTP": f"127.0.0.1:{http}",
            "JAEGER_GRPC": f"127.0.0.1:{grpc}",
            "JAEGER_OTLP_HTTP": f"127.0.0.1:{otlp}",
            "JAEGER_HEALTH": f"127.0.0.1:{health}",
        }
        command: list[str | Path] = [tool("jaeger"), "--config", CONFIGS / "jaeger.yaml"]
        super().__init__(command, env, folder / "jaeger.log", f"http://127.0.0.1:{health}/status")

    def trace(self, trace_id: str) -> Trace | None:
        """Return a trace by its id, or ``None`` where Jaeger has none."""
        try:
            answer = json.loads(get(f"{self.url}/api/v3/traces/{trace_id}"))
        except urllib.error.HTTPError as error:
            if error.code == HTTPStatus.NOT_FOUND:
                return None
            raise
        # Of a batch that came twice Jaeger shows one copy, and an empty scope where the other was.
        scopes = (scope for resource in answer["result"]["resourceSpans"] for scope in resource["scopeSpans"])
        return Trace(trace_id, tuple(_span(each) for scope in scopes for each in scope.get("spans", ())))

    def traces(self, service: str) -> dict[str, int]:
        """Return the trace ids of a service within the last hour, each with its number of spans."""
        now = datetime.now(UTC)
        query = {
            "query.service_name": service,
            "query.start_time_min": (now - timedelta(hours=1)).isoformat().replace("+00:00", "Z"),
            "query.start_time_max": (now + timedelta(minutes=1)).isoformat().replace("+00:00", "Z"),
        }
        found = json.loads(get(f"{self.url}/api/v3/trace-summaries", **query)).get("summaries", [])
        return {each["traceId"]: each["spanCount"] for each in found}

    def whole_trace(self, service: str, spans: int) -> Trace:
        """Return the one trace of a service when it has this many spans."""
        # By its summary: Jaeger warns of parents that have not arrived, and a warning once made may stay.
        wait_for(lambda: spans in self.traces(service).values(), what=f"a trace of {service} with {spans} spans")
        (trace_id,) = self.traces(service)
        trace = self.trace(trace_id)
        assert trace is not None
        return trace


def _span(data: Mapping[str, Any]) -> Span:
    started, ended = int(data["startTimeUnixNano"]), int(data["endTimeUnixNano"])
    attributes = _attributes(data)
    return Span(
        name=data["name"],
        span_id=data["spanId"],
        parent_id=data.get("parentSpanId") or None,
        started_at=started / 1e9,
        seconds=(ended - started) / 1e9,
        is_error=data.get("status", {}).get("code") == STATUS_ERROR,
        warnings=tuple(attributes.pop(WARNINGS, ())),
        attributes=attributes,
        events=tuple(Event(each["name"], _attributes(each)) for each in data.get("events", ())),
    )


def _attributes(data: Mapping[str, Any]) -> dict[str, Any]:
    return {each["key"]: _plain(each["value"]) for each in data.get("attributes", ())}


def _plain(value: Mapping[str, Any]) -> object:
    """Return the value of an OTLP ``AnyValue`` in JSON, whose 64 bit integers are texts."""
    ((kind, inner),) = value.items()
    if kind == "arrayValue":
        return [_plain(each) for each in inner.get("values", ())]
    return int(inner) if kind == "intValue" else inner
