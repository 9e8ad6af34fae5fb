"""What samplers that do not ask the parent, and exporters that sleep, do to the records of a running level."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, TraceIdRatioBased

from otel_progress import _runtime, level, names, operation
from otel_progress._config import Config
from otel_progress.testing import capture_progress

LONGEST_SECONDS = 10.0


def test_a_ratio_of_trace_ids_keeps_or_drops_all_records_of_a_trace() -> None:
    """Without asking the parent it comes to the same answer each time: no completion without its open record."""
    with capture_progress(sampler=TraceIdRatioBased(0.5)) as progress:
        for _ in range(40):
            with operation("job"), level("step"):
                progress.tick(2.0)
        traces: dict[int, Counter[str]] = {}
        for span in progress.spans():
            attributes = span.attributes or {}
            assert span.context is not None
            traces.setdefault(span.context.trace_id, Counter())[str(attributes[names.RECORD])] += 1
        # 40 fair coins: all alike once in 2 ** 39 runs.
        assert 0 < len(traces) < 40
        assert all(kinds == {"open": 2, "completion": 2} for kinds in traces.values())
        assert progress.runtime.tally.dropped == {}


def test_a_parent_that_is_not_sampled_drops_all_records() -> None:
    """By the usual, parent-based sampler; what the parent does not record has no span of ours and no complaint."""
    with capture_progress(sampler=ParentBased(ALWAYS_OFF)) as progress:
        tracer = progress.tracer_provider.get_tracer("other")
        with tracer.start_as_current_span("request"), operation("job", total=4) as job:
            job.advance()
            progress.tick(2.0)
            assert not trace.get_current_span().is_recording()
            assert progress.value("progress.level.fraction", operation="job") == 0.25
        assert progress.spans() == []
        assert progress.runtime.tally.dropped == {}


class Sleeps(InMemorySpanExporter):
    """An exporter that takes as long as the test wants for each span, on the thread that ends it."""

    def __init__(self) -> None:
        super().__init__()
        self.asleep = threading.Event()
        self.awake = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Sleep, then keep them."""
        self.asleep.set()
        assert self.awake.wait(LONGEST_SECONDS)
        return super().export(spans)


def test_an_exporter_that_sleeps_does_not_stop_the_heartbeat() -> None:
    """With the real threads: the open record is stuck in a `SimpleSpanProcessor`, the ticker goes on."""
    exporter = Sleeps()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    runtime = _runtime.Runtime(Config.make({}, open_after_seconds=0), tracer_provider=provider)
    previous = _runtime.replace(runtime)
    try:
        with operation("job") as job:
            assert exporter.asleep.wait(LONGEST_SECONDS), "the open record was to be exported"
            job.advance(3)
            stuck_at = time.time_ns()
            deadline = time.monotonic() + LONGEST_SECONDS
            while (runtime.rounds.heartbeat_ns or 0) < stuck_at and time.monotonic() < deadline:
                time.sleep(0.01)
            assert (runtime.rounds.heartbeat_ns or 0) >= stuck_at
            assert exporter.get_finished_spans() == (), "it was not stuck"
            exporter.awake.set()
        assert runtime.flush(LONGEST_SECONDS)
        assert [(span.attributes or {})[names.RECORD] for span in exporter.get_finished_spans()] == [
            "open",
            "completion",
        ]
    finally:
        exporter.awake.set()
        _runtime.replace(previous)
        runtime.shutdown(LONGEST_SECONDS)
        provider.shutdown()
