"""The whole stack: what the Collector's stack layer makes of a job, in Loki, in Tempo and as span metrics."""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import dataclass

import pytest

from otel_progress import names

from .job import LIVELY, job
from .nightly import OPERATION
from .programs import CONFIGS, get, wait_for
from .rig import Stack
from .test_rig import push, resource
from .traces import Trace

SHOWN_EARLY = {"OTEL_PROGRESS_OPEN_AFTER_SECONDS": "0.2"}
"""Most levels of the nightly import are shown while they run."""
CALLS = "traces_span_metrics_calls_total"
SECONDS = "traces_span_metrics_duration_seconds_sum"


@dataclass(frozen=True)
class Seen:
    """A run of the nightly import whose levels were shown while they ran."""

    service: str
    started_at: float
    trace: Trace


@pytest.fixture(scope="module")
def seen(traced: Stack) -> Seen:
    """Run it to its end, standing still at its pauses for long enough to be shown."""
    service = "whole-stack"
    started_at = time.time()
    with job(traced, "nightly_import.py", service, **LIVELY, **SHOWN_EARLY) as running:
        for pause in ("load", "copy", "ended"):
            running.until(pause)
            time.sleep(1.0)  # levels that stand still grow older than SHOWN_EARLY
            running.go()
        running.finish()
    trace_id = running.said[0]["trace_id"]
    last = f'{{ trace:id = "{trace_id}" && span.{names.RECORD} = "completion" && name = "{OPERATION}" }}'
    wait_for(lambda: traced.tempo.search(last, started_at), 30, "the operation's completion record in Tempo")
    trace = traced.tempo.trace(trace_id)
    assert trace is not None
    return Seen(service, started_at, trace)


def test_span_metrics_count_one_call_per_level(traced: Stack, seen: Seen) -> None:
    """A level that was shown is two spans and more, and one call; so is one that was not."""
    records = Counter(span.attributes[names.RECORD] for span in seen.trace.spans)
    assert records["open"] >= 2
    assert records["completion"] == records["open"]
    levels = Counter(span.name for span in seen.trace.spans if span.attributes[names.RECORD] in {"span", "completion"})
    query = f'sum by (span_name) ({CALLS}{{service_name="{seen.service}"}})'

    def counted() -> Counter[str]:
        return Counter({each.labels["span_name"]: int(each.value) for each in traced.prometheus.promql(query)})

    assert wait_for(lambda: counted() if counted().total() >= levels.total() else None, 40) == levels


def test_span_metrics_have_true_durations_and_outcomes_and_no_process(traced: Stack, seen: Seen) -> None:
    """A level that was shown lasted as long as its completion record says, not as its open record; `verify` failed."""
    selector = f'{{service_name="{seen.service}"}}'
    found = {each.labels["span_name"]: each for each in traced.prometheus.promql(f"{SECONDS}{selector}")}
    (whole,) = [
        span.seconds for span in seen.trace.named(OPERATION) if span.attributes[names.RECORD] == names.Record.COMPLETION
    ]
    assert whole > 3, "it stood still three times, for a second each"
    assert found[OPERATION].value == pytest.approx(whole)
    verify = found["verify"].labels
    assert (verify["status_code"], verify["progress_outcome"]) == ("STATUS_CODE_ERROR", "failed")
    assert set(verify) == {
        *("__name__", "job", "service_name", "collector_instance_id"),
        *("span_name", "span_kind", "status_code", "progress_operation", "progress_outcome"),
    }


def test_loki_has_the_events_of_a_job_by_service_and_operation(traced: Stack, seen: Seen) -> None:
    """As the dashboard asks, and with the trace they lead to; of the resource, the service is the only label."""
    query = f"{{service_name=`{seen.service}`}} | progress_operation=`{OPERATION}`"
    ended = f"{query} | event_name=`{names.COMPLETED.name}`"
    wait_for(lambda: traced.loki.lines(f'{ended} | progress_level=""', seen.started_at), 20, "the operation's end")
    lines = traced.loki.lines(query, seen.started_at)
    found = Counter(line.labels["event_name"] for line in lines)
    written = Counter(event.name for event in traced.collector.events(seen.trace.trace_id))
    assert found == written
    assert found[names.STARTED.name] >= 3, "the operation, and what was shown of it"
    assert {line.labels["trace_id"] for line in lines} == {seen.trace.trace_id}
    spans = {span.span_id for span in seen.trace.spans}
    assert {line.labels["span_id"] for line in lines} <= spans
    assert traced.loki.lines(query.replace(OPERATION, "another"), seen.started_at) == []
    assert traced.loki.labels(seen.started_at) == {"service_name"}
    (example,) = re.findall(r"^  (\{service_name=.*)$", (CONFIGS / "README.md").read_text(), re.MULTILINE)
    example = example.replace("shop", seen.service).replace(names.FAILED_EVENT.name, names.COMPLETED.name)
    assert {line.labels["event_name"] for line in traced.loki.lines(example, seen.started_at)} == {names.COMPLETED.name}


def test_the_collector_says_that_it_is_well(traced: Stack) -> None:
    """Its health check answers, and Prometheus finds its metrics under the name that rules use."""
    assert "Server available" in get(traced.collector.health_url)
    wait_for(lambda: traced.prometheus.value('up{job="collector"}') == 1, 30, "the Collector's metrics")


def test_an_event_that_waited_out_an_outage_is_welcome_among_newer_ones(traced: Stack) -> None:
    """Eleven hours older than the latest of its service, of another process; Loki's default refuses after one."""
    service, now = "late", time.time()
    ages = {"new": 0, "old": 11 * 3600}
    for text, age in ages.items():
        record = {"timeUnixNano": str(int((now - age) * 1e9)), "body": {"stringValue": text}}
        push(
            traced, "logs", {"resourceLogs": [{"resource": resource(service), "scopeLogs": [{"logRecords": [record]}]}]}
        )
        query = f'{{service_name="{service}"}} |= "{text}"'
        (line,) = wait_for(
            lambda query=query: traced.loki.lines(query, now - 12 * 3600), 20, f"the {text} event in Loki"
        )
        assert line.at == pytest.approx(now - age)
