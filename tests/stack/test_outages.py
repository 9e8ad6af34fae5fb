"""Backends that are gone, hang or are killed: the job does not notice, and the Collector delivers what it took."""

from __future__ import annotations

import signal
import time

import pytest

from otel_progress import names

from .job import LIVELY, job
from .programs import get, wait_for
from .rig import Stack

LONGEST_STEP_SECONDS = 0.25
"""A step takes well under a millisecond; waiting for a backend would take seconds."""
LONGEST_WAIT_SECONDS = 2.0 + 2.0
"""The job gives its flush and its shutdown 2 seconds each; a busy machine may need more to notice."""
LONGEST_EXIT_SECONDS = 2.0
"""After the shutdown nothing is left that could wait for a backend."""
STEPS = 300


@pytest.mark.parametrize("trouble", ["stopped", "hanging"])
def test_a_collector_in_trouble_costs_the_job_nothing(stack: Stack, trouble: str) -> None:
    """It goes away, or stops answering, in the middle of a job: steps stay short, the job ends well and in time."""
    with job(stack, "steady_work.py", f"steady-{trouble}", **LIVELY) as running:
        running.until("started")
        if trouble == "stopped":
            stack.collector.stop()
        else:
            stack.collector.send(signal.SIGSTOP)
        try:
            running.go()
            facts = running.finish()
        finally:
            if trouble == "stopped":
                stack.collector.start()
            else:
                stack.collector.send(signal.SIGCONT)
    assert facts["slowest"] < LONGEST_STEP_SECONDS
    assert facts["flush"] < LONGEST_WAIT_SECONDS
    assert facts["shutdown"] < LONGEST_WAIT_SECONDS
    assert running.exit_seconds < LONGEST_EXIT_SECONDS


def test_what_the_collector_took_survives_dead_backends_and_its_own_death(stack: Stack) -> None:
    """Jaeger and Prometheus are down, the Collector takes a whole job and is killed: all arrives once they are back."""
    service = "survivor"
    stack.jaeger.stop()
    stack.prometheus.stop()
    try:
        with job(stack, "steady_work.py", service, "--no-pause", **LIVELY) as running:
            running.finish()
        stack.collector.kill()
    finally:
        for each in stack.programs:
            each.start()

    # The steps, and the operation's open and completion records.
    assert stack.jaeger.whole_trace(service, STEPS + 2).problems() == []
    query = f'{names.BYTES_DONE.prometheus}{{service_name="{service}"}}'
    wait_for(lambda: stack.prometheus.value(query) == STEPS * 10, 30, "the true number of bytes in Prometheus")


@pytest.mark.parametrize("ending", ["stopped", "killed"])
def test_events_and_traces_the_collector_took_survive_it_with_loki_and_tempo_down(traced: Stack, ending: str) -> None:
    """Both are down, the Collector takes a whole job and ends, gently or not: all arrives once they are back."""
    service = f"outlived-{ending}"
    since = time.time()
    traced.loki.stop()
    traced.tempo.stop()
    try:
        with job(traced, "steady_work.py", service, "--no-pause", **LIVELY) as running:
            running.finish()
        if ending == "stopped":
            traced.collector.stop()
        else:
            traced.collector.kill()
    finally:
        traced.start()

    (trace_id,) = traced.jaeger.traces(service)
    trace = wait_for(lambda: traced.tempo.trace(trace_id), 30, "the trace in Tempo")
    assert len({span.span_id for span in trace.spans}) == STEPS + 2
    assert trace.problems() == []
    query = f'{{service_name="{service}"}}'
    wait_for(lambda: len(traced.loki.lines(query, since)) >= 2, 30, "the events in Loki")
    found = {(line.labels["event_name"], line.labels["trace_id"]) for line in traced.loki.lines(query, since)}
    assert found == {(names.STARTED.name, trace_id), (names.COMPLETED.name, trace_id)}
    assert "Server available" in get(traced.collector.health_url)
