"""The checks of this folder can fail: what is wrong with a trace or a series is seen."""

from __future__ import annotations

import json
import time
import urllib.request

from .programs import wait_for
from .rig import Stack

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


def push(stack: Stack, signal: str, body: dict[str, object]) -> None:
    """Push OTLP as JSON, as a job without any SDK would."""
    request = urllib.request.Request(
        f"{stack.collector.otlp_url}/v1/{signal}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request, timeout=5).close()


def resource(service: str) -> dict[str, object]:
    """Return an OTLP resource."""
    return {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}


def test_an_orphan_and_a_span_id_that_comes_twice_are_seen(stack: Stack) -> None:
    """Two spans of one id, below a parent that never came."""
    now = time.time_ns()
    span = {
        "traceId": TRACE_ID,
        "spanId": "00f067aa0ba902b7",
        "parentSpanId": "00f067aa0ba902b8",
        "startTimeUnixNano": str(now),
        "endTimeUnixNano": str(now + 1_000_000),
    }
    spans = [{**span, "name": "first"}, {**span, "name": "second"}]
    push(stack, "traces", {"resourceSpans": [{"resource": resource("broken"), "scopeSpans": [{"spans": spans}]}]})
    problems = "\n".join(stack.jaeger.whole_trace("broken", 2).problems())
    assert "comes 2 times" in problems
    assert "no parent 00f067aa0ba902b8" in problems
    assert "duplicate span IDs" in problems, "Jaeger's own warning"


def test_a_picture_leaves_out_what_is_no_longer_reported(stack: Stack) -> None:
    """A plain query still shows an ended gauge; a picture shows the samples since a moment, and nothing else."""

    def gauge(name: str, value: float, at: float) -> dict[str, object]:
        points = [{"timeUnixNano": str(int(at * 1e9)), "asDouble": value}]
        return {"name": name, "gauge": {"dataPoints": points}}

    now = time.time()
    metrics = [gauge("progress.old", 1, now - 20), gauge("progress.new", 2, now)]
    scope = {"metrics": metrics}
    push(stack, "metrics", {"resourceMetrics": [{"resource": resource("fading"), "scopeMetrics": [scope]}]})
    wait_for(
        lambda: len(stack.prometheus.promql('{__name__=~"progress_.+",service_name="fading"}')) == 2, what="both gauges"
    )
    assert stack.prometheus.picture("fading", now - 10) == {("progress_new", frozenset()): 2}
