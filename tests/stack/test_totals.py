"""What is left of the nightly import in Prometheus after its end: totals and durations, by PromQL."""

from __future__ import annotations

import time

import pytest

from otel_progress import names

from .job import ONE_SPAN, job
from .nightly import OPERATION, SLACK_SECONDS, SPANS, TRUE_TOTALS, Watched
from .programs import wait_for
from .prometheus import Picture, durations, items
from .rig import Stack


def but_promises(totals: Picture) -> Picture:
    """Leave out how many promises were scored: that depends on when the ticker looked."""
    return {each: value for each, value in totals.items() if not each[0].startswith(names.ETA_ERROR.prometheus)}


def test_the_totals_of_a_watched_job_are_its_true_ones(stack: Stack, watched: Watched) -> None:
    """By the totals expression, over a window that holds all of the job."""
    assert but_promises(stack.prometheus.totals(watched.service, watched.started_at)) == TRUE_TOTALS


def test_the_totals_over_a_window_are_what_happened_in_it(stack: Stack, watched: Watched) -> None:
    """From within `load` on: 31 rows of it, and nothing of what was done before."""
    before = watched.load
    after = {each: value - before.get(each, 0) for each, value in TRUE_TOTALS.items()}
    assert after[items(OPERATION, "load", "ok")] == 31
    in_window = but_promises(stack.prometheus.totals(watched.service, watched.load_looked_at))
    assert in_window == {each: value for each, value in after.items() if value}


@pytest.mark.parametrize("way", ["http", "grpc", "unsampled"])
def test_the_totals_of_a_job_of_two_seconds_are_its_true_ones(stack: Stack, way: str) -> None:
    """With default settings each series has one sample or two. Sampling every trace away changes none of them."""
    settings = {
        "http": {},
        "grpc": {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_ENDPOINT": stack.collector.otlp_grpc_url},
        "unsampled": {"OTEL_TRACES_SAMPLER": "always_off"},
    }
    if way == "grpc":
        exporter = "opentelemetry.exporter.otlp.proto.grpc"
        pytest.importorskip(exporter, reason="needs opentelemetry-exporter-otlp-proto-grpc")
    service = f"short-import-{way}"
    started_at = time.time()
    with job(stack, "nightly_import.py", service, "--no-pause", **settings[way], **ONE_SPAN) as running:
        facts = running.finish()
    assert facts["seconds"][OPERATION] < 10, "the job was meant to be over before the first export"
    wait_for(
        lambda: but_promises(stack.prometheus.totals(service, started_at)) == TRUE_TOTALS,
        what=f"the true totals of {service}",
    )
    if way == "unsampled":
        assert stack.jaeger.traces(service) == {}
    else:
        assert stack.jaeger.whole_trace(service, SPANS).problems() == []


def test_durations_are_the_true_ones(watched: Watched) -> None:
    """The histogram's sum is the time the job's own watch showed."""
    for level, outcome, true in (
        (None, "completed", watched.facts["seconds"][OPERATION]),
        ("read", "completed", watched.facts["seconds"]["read"]),
        ("copy", "completed", watched.facts["seconds"]["copy"]),
        ("verify", "failed", watched.facts["seconds"]["verify"]),
    ):
        found = watched.ended[durations(OPERATION, level, outcome, part="sum")]
        assert found == pytest.approx(true, abs=SLACK_SECONDS), level


def test_a_duration_leads_to_its_trace(stack: Stack, watched: Watched) -> None:
    """The histogram has an exemplar with the trace id of the job."""
    selector = f'{names.LEVEL_DURATION.prometheus}_bucket{{service_name="{watched.service}"}}'
    ids = {each["trace_id"] for each in stack.prometheus.exemplars(selector)}
    assert ids == {watched.trace.trace_id}
