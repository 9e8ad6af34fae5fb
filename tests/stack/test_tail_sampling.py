"""Tail sampling keeps what ran long and what failed, although a decision is made long before either is known."""

from __future__ import annotations

from collections import Counter

from otel_progress import names

from .job import LIVELY, job
from .programs import wait_for
from .rig import Stack

SERVICE = "sampled"
SHOWN_EARLY = {"OTEL_PROGRESS_OPEN_AFTER_SECONDS": "0.5"}
"""Open records are too short to be kept for their length: what is asked for is that they are there."""
KEPT_FIRST = {"long", "long-failed", "short-failed"}
DECISION_SECONDS = 30.0
"""The wait for a decision is 10 s; the rest is for a busy machine."""
Records = dict[str, Counter[str]]


def kept(stack: Stack) -> Records:
    """Return the records in Jaeger by operation."""
    found: Records = {}
    for trace_id in stack.jaeger.traces(SERVICE):
        trace = stack.jaeger.trace(trace_id)
        assert trace is not None
        (name,) = {span.name for span in trace.spans}
        found[name] = Counter(str(span.attributes[names.RECORD]) for span in trace.spans)
    return found


def test_what_ran_long_or_failed_is_kept_whole_and_short_success_is_not(sampling: Stack) -> None:
    """Also what ends long after the decision, after a restart that forgot it, and what a stop found undecided."""
    shown = {"open": 1}
    with job(sampling, "sampled.py", SERVICE, **LIVELY, **SHOWN_EARLY) as running:
        running.until("decided")
        wait_for(lambda: set(kept(sampling)) >= KEPT_FIRST, DECISION_SECONDS, "the decisions")
        assert kept(sampling) == {"long": shown, "long-failed": shown, "short-failed": {"span": 1}}
        running.go()
        running.until("stopped")
        wait_for(
            lambda: kept(sampling)["long"]["completion"], what="the completion record, by the decision made before"
        )
        sampling.collector.stop()
        sampling.collector.start()
        running.go()
        running.finish()
    whole = {"open": 1, "completion": 1}
    expected = {
        "long": whole,
        "long-failed": whole,
        "short-failed": {"span": 1},
        "failed-at-the-stop": {"span": 1},
    }
    assert wait_for(lambda: kept(sampling) if kept(sampling) == expected else None, DECISION_SECONDS) == expected


def test_metrics_and_events_are_not_sampled(sampling: Stack) -> None:
    """The short operation that has no trace is counted, and has its events."""
    query = f'{names.LEVEL_DURATION.prometheus}_count{{service_name="{SERVICE}"}}'
    ended = {each.labels["progress_operation"] for each in sampling.prometheus.promql(query)}
    assert ended == {"long", "long-failed", "short", "short-failed", "failed-at-the-stop"}
