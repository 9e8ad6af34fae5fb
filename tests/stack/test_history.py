"""Earlier runs are found in the real Tempo, Jaeger and Prometheus, as a fresh container would find them."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass

import pytest
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from otel_progress import Profile, names
from otel_progress._clock import SYSTEM_CLOCK
from otel_progress._contain import Tally
from otel_progress.names import Record, State
from otel_progress.store._jaeger import Jaeger
from otel_progress.store._prometheus import Prometheus
from otel_progress.store._remote import Remote
from otel_progress.store._tempo import Tempo

from .programs import wait_for
from .rig import Stack

SERVICE = "history"
OPERATION = 'say "hi" \\ nightly'
"""What queries must quote."""
FOUND_SECONDS = 40.0
"""How long a record may take until a search finds it."""


@dataclass(frozen=True)
class Told:
    """When the first run ended, in unix seconds; the others ended a second after each other."""

    at: float


def run_of(seconds: float) -> Profile:
    """Return the profile of a run of ten items, whose first half took a quarter of the time."""
    return Profile.from_samples([(0.0, 0.0), (seconds / 4, 5.0), (seconds, 10.0)], 10.0)


def resource() -> Resource:
    """Return a process of its own."""
    return Resource.create({"service.name": SERVICE, "service.instance.id": uuid.uuid4().hex})


@pytest.fixture(scope="module")
def told(traced: Stack) -> Told:
    """Records of five runs of a job with a level `read`, as levels that end send them: the fourth of them failed."""
    provider = TracerProvider(resource=resource())
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{traced.collector.otlp_url}/v1/traces")))
    tracer = provider.get_tracer("test")
    first = time.time() - 60
    for number in range(5):
        outcome = State.FAILED if number == 3 else State.COMPLETED
        ended_at = first + number
        for level, seconds, record in ((None, 100.0 + number, Record.COMPLETION), ("read", 10.0 + number, Record.SPAN)):
            attributes = {
                names.OPERATION: OPERATION,
                names.RECORD: record.value,
                names.OUTCOME: outcome.value,
                names.PROFILE: run_of(seconds).encode(),
                **({} if level is None else {names.LEVEL: level}),
            }
            span = tracer.start_span(level or "job", start_time=int((ended_at - 5) * 1e9), attributes=attributes)
            span.end(int(ended_at * 1e9))
        # What is still running, and levels of others, are no history.
        tracer.start_span("job", attributes={names.OPERATION: OPERATION, names.RECORD: Record.OPEN.value}).end()
        tracer.start_span("read", attributes={names.OPERATION: "other", names.OUTCOME: "completed"}).end()
    provider.shutdown()
    return Told(first)


@pytest.mark.parametrize(("level", "base"), [(None, 100.0), ("read", 10.0)])
@pytest.mark.parametrize("backend", ["tempo", "jaeger"])
def test_profiles_are_read_back_from_records(
    traced: Stack, told: Told, backend: str, level: str | None, base: float
) -> None:
    """Of completed runs, newest first, whole; of the operation and of its level apart; as many as are wanted."""
    tally = Tally()
    source: Remote
    if backend == "tempo":
        source = Tempo(traced.tempo.url, clock=SYSTEM_CLOCK, tally=tally)
    else:
        source = Jaeger(traced.jaeger.url, clock=SYSTEM_CLOCK, tally=tally, service=SERVICE)

    def look() -> tuple[Profile, ...] | None:
        assert tally.dropped == {}
        found = source.profiles(OPERATION, level)
        return found if len(found) == 4 else None

    found = wait_for(look, FOUND_SECONDS, f"the four runs in {backend}")
    assert [profile.seconds for profile in found] == [base + number for number in (4, 2, 1, 0)]
    assert [profile.ended_at for profile in found] == pytest.approx([told.at + number for number in (4, 2, 1, 0)])
    expected = Profile.decode(run_of(base + 4).encode())
    assert expected is not None
    assert (found[0].curve, found[0].total) == (expected.curve, 10.0)
    assert len(found[0].curve) == 3
    assert [profile.seconds for profile in source.profiles(OPERATION, level, 2)] == [base + 4, base + 2]
    assert source.profiles("nobody's", level) == ()
    assert tally.dropped == {}


@pytest.fixture(scope="module")
def measured(traced: Stack) -> None:
    """Durations of three processes: 30 and 32 s in the first, 60 s in the second, a failure in the third."""
    for runs, outcome in (((30.0, 32.0), State.COMPLETED), ((60.0,), State.COMPLETED), ((5.0,), State.FAILED)):
        exporter = OTLPMetricExporter(f"{traced.collector.otlp_url}/v1/metrics")
        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=500)
        provider = MeterProvider([reader], resource=resource())
        histogram = provider.get_meter(names.SCOPE).create_histogram(
            names.LEVEL_DURATION.name, names.LEVEL_DURATION.unit, explicit_bucket_boundaries_advisory=[60.0]
        )
        for seconds in runs:
            for level in (None, "read"):
                histogram.record(
                    seconds / (1 if level is None else 10),
                    {
                        names.OPERATION: OPERATION,
                        names.OUTCOME: outcome.value,
                        **({} if level is None else {names.LEVEL: level}),
                    },
                )
        provider.shutdown()


@pytest.mark.usefixtures("measured")
@pytest.mark.parametrize(("level", "expected"), [(None, {31.0, 60.0}), ("read", {3.1, 6.0})])
def test_prometheus_knows_how_long_runs_took(traced: Stack, level: str | None, expected: set[float]) -> None:
    """A process is a run, or the mean of its runs; without a curve, and without those that failed."""
    tally = Tally()
    source = Prometheus(traced.prometheus.url, clock=SYSTEM_CLOCK, tally=tally)

    def look() -> tuple[Profile, ...] | None:
        assert tally.dropped == {}
        found = source.profiles(OPERATION, level)
        return found if len(found) == 2 else None

    found = wait_for(look, FOUND_SECONDS, "the two processes in Prometheus")
    assert {round(profile.seconds, 6) for profile in found} == expected
    assert {(profile.total, profile.curve) for profile in found} == {(None, ())}
    assert all(abs(time.time() - (profile.ended_at or 0.0)) < 900 for profile in found)
    assert len(source.profiles(OPERATION, level, 1)) == 1
    assert source.profiles("nobody's", level) == ()
    assert tally.dropped == {}
