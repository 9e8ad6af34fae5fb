"""The situations levels are measured in: with an SDK that exports to nowhere, with the API alone, switched off."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from otel_progress import _runtime, names
from otel_progress._config import Config

FLUSH_SECONDS = 30.0


class Nowhere(SpanExporter):
    """An exporter that counts, so that nobody is fast by losing spans."""

    def __init__(self) -> None:
        self.spans = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Count the spans."""
        self.spans += len(spans)
        return SpanExportResult.SUCCESS


@dataclass(frozen=True, slots=True)
class Recording:
    """A runtime with an SDK: batch processor for spans, histograms and observable metrics in memory."""

    runtime: _runtime.Runtime
    tracer: trace.Tracer
    processor: BatchSpanProcessor
    exporter: Nowhere
    histogram: metrics.Histogram
    """As the one that levels record their duration in."""

    def settle(self) -> None:
        """Have everything that ended exported."""
        self.runtime.flush(FLUSH_SECONDS)
        self.processor.force_flush()


@contextmanager
def recording(*, ticker: bool = True) -> Iterator[Recording]:
    """Use a runtime with an SDK of its own; the global providers stay unset."""
    exporter = Nowhere()
    processor = BatchSpanProcessor(exporter)
    tracers = TracerProvider(shutdown_on_exit=False)
    tracers.add_span_processor(processor)
    meters = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)
    runtime = _runtime.Runtime(Config.make({}), tracer_provider=tracers, meter_provider=meters, ticker=ticker)
    with _in_use(runtime):
        histogram = meters.get_meter("bench").create_histogram(
            "bench.duration", "s", explicit_bucket_boundaries_advisory=names.DURATION_BOUNDARIES
        )
        yield Recording(runtime, tracers.get_tracer("bench"), processor, exporter, histogram)
    tracers.shutdown()
    meters.shutdown()


@contextmanager
def api_only() -> Iterator[None]:
    """Use a runtime as a program has it that never set a provider."""
    providers = trace.get_tracer_provider(), metrics.get_meter_provider()
    if not all("Proxy" in type(provider).__name__ for provider in providers):
        raise RuntimeError("a global provider is set; unset OTEL_PYTHON_TRACER_PROVIDER and OTEL_PYTHON_METER_PROVIDER")
    with _in_use(_runtime.Runtime(Config.make({}))):
        yield


@contextmanager
def disabled() -> Iterator[None]:
    """Use a runtime that is switched off."""
    with _in_use(_runtime.Runtime(Config.make({}, enabled=False))):
        yield


@contextmanager
def _in_use(runtime: _runtime.Runtime) -> Iterator[None]:
    previous = _runtime.replace(runtime)
    try:
        yield
    finally:
        runtime.shutdown(FLUSH_SECONDS)
        _runtime.replace(previous)


@contextmanager
def devnull() -> Iterator[object]:
    """Open the null device for the bars of the peers."""
    with open(os.devnull, "w", encoding="utf-8") as file:  # noqa: PTH123  # a device, not a path
        yield file
