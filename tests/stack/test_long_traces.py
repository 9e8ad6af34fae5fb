"""Eight hours and 10,000 levels: no trace is more than Tempo takes, and each hour's search finds the run."""

from __future__ import annotations

import json
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from otel_progress import names

from .job import job
from .programs import wait_for
from .rig import Stack
from .traces import Trace

SERVICE: Final = "eight-hours"
TEMPO_LIMIT_BYTES: Final = 5_000_000
"""``max_bytes_per_trace`` as Tempo has it by default."""
REFUSED: Final = "tempo_discarded_spans_total"
HOURS: Final = 8


@dataclass(frozen=True)
class Long:
    """What became of the eight hours."""

    facts: dict[str, Any]
    refused: float
    by_hour: list[set[str]]
    """The traces that a search of the last hour would have found at the end of each hour."""
    traces: list[Trace]
    """As Jaeger has them, in the order they started."""
    in_tempo: dict[str, bytes]


@pytest.fixture(scope="module")
def long(traced: Stack) -> Long:
    """Run it, and wait until all of it has arrived."""
    refused = traced.tempo.metric(REFUSED)
    with job(traced, "eight_hours.py", SERVICE) as running:
        facts = running.finish()
    ends = [facts["started_at"] + hour * facts["seconds"] / HOURS for hour in range(1, HOURS + 1)]

    def arrived() -> list[set[str]] | None:
        by_hour = [traced.jaeger.traces(SERVICE, datetime.fromtimestamp(at, UTC)) for at in ends]
        every = {trace_id: spans for found in by_hour for trace_id, spans in found.items()}
        # Not by a search of Tempo, which takes spans for as old as their arrival.
        there = every and all(len(span_ids(traced.tempo.raw_trace(each))) == spans for each, spans in every.items())
        return [set(found) for found in by_hour] if there and sum(every.values()) > facts["levels"] else None

    by_hour = wait_for(arrived, 60, "all of it in Jaeger and in Tempo")
    traces = [trace for each in set().union(*by_hour) if (trace := traced.jaeger.trace(each)) is not None]
    traces.sort(key=lambda trace: min(span.started_at for span in trace.spans))
    in_tempo = {trace.trace_id: traced.tempo.raw_trace(trace.trace_id) for trace in traces}
    return Long(facts, traced.tempo.metric(REFUSED) - refused, by_hour, traces, in_tempo)


def span_ids(raw: bytes) -> Counter[str]:
    """Return how often each span id comes in a trace in protobuf; in JSON it takes seconds."""
    resources = TracesData.FromString(raw).resource_spans
    return Counter(span.span_id.hex() for each in resources for scope in each.scope_spans for span in scope.spans)


def test_no_trace_is_refused_or_near_the_limit(traced: Stack, long: Long) -> None:
    """By Tempo's own counter, and by the size of what it returns."""
    sizes = [len(raw) for raw in long.in_tempo.values()]
    assert long.refused == 0
    assert "TRACE_TOO_LARGE" not in traced.tempo.log.read_text()
    assert sum(sizes) > TEMPO_LIMIT_BYTES, "it would not have gone into one trace"
    assert max(sizes) < 0.9 * TEMPO_LIMIT_BYTES


def test_nothing_is_lost_and_nothing_is_wrong(long: Long) -> None:
    """Every level has ended once; no trace has an orphan, a double id or a warning; Tempo has the same spans."""
    kinds = Counter(span.attributes[names.RECORD] for trace in long.traces for span in trace.spans)
    assert kinds["span"] + kinds["completion"] == long.facts["levels"] == 10_101
    assert kinds["open"] == kinds["completion"] == 1 + 100 + 5_000
    assert [problem for trace in long.traces for problem in trace.problems()] == []
    for trace in long.traces:
        assert span_ids(long.in_tempo[trace.trace_id]) == Counter(span.span_id for span in trace.spans)


def test_the_traces_are_linked_to_the_operation(long: Long) -> None:
    """The first has the operation; each further one begins with a record that stands for it, and links to it."""
    first, *further = long.traces
    roots = [[span for span in trace.spans if span.parent_id is None] for trace in long.traces]
    assert [len(each) for each in roots] == [1] * len(long.traces)
    (operation,) = roots[0]
    assert operation.attributes[names.RECORD] == "open"
    assert further != []
    for (root,) in roots[1:]:
        assert (root.name, root.attributes[names.RECORD]) == (operation.name, "continuation")
        assert root.links == ((first.trace_id, operation.span_id),)


def test_a_search_of_the_last_hour_would_have_found_it_at_any_hour(long: Long) -> None:
    """Jaeger goes by the starts of spans."""
    assert all(long.by_hour)


def test_a_trace_that_is_too_large_is_seen_to_be_refused(traced: Stack) -> None:
    """The check above can fail: Tempo refuses what comes beyond its limit, and counts it."""
    before = traced.tempo.metric(REFUSED)
    now = time.time_ns()
    trace_id = f"{now:032x}"
    for batch in range(9):
        spans = [
            {
                "traceId": trace_id,
                "spanId": f"{now + batch * 1_000 + number:016x}",
                "name": "large",
                "startTimeUnixNano": str(now),
                "endTimeUnixNano": str(now + 1_000_000),
                # Tempo cuts a longer text.
                "attributes": [{"key": f"text{each}", "value": {"stringValue": "x" * 2_000}} for each in range(5)],
            }
            for number in range(100)
        ]
        body = {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}
        request = urllib.request.Request(
            f"{traced.collector.otlp_url}/v1/traces", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=5).close()
        time.sleep(0.3)  # one request to Tempo each: what does not fit is refused as a whole
    wait_for(lambda: traced.tempo.metric(REFUSED) > before, 20, "Tempo refusing a part of 9 MB")
