"""
A test kit: a clock to turn by hand, and everything that is recorded in memory. Needs the extra ``sdk``.

Use it as ``with capture_progress() as progress:`` around the code under test; then move ``progress.clock``, call
``progress.tick()`` for what the ticker would do, and read ``spans()``, ``points(name)`` and ``events()``.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk import _logs as sdk_logs
from opentelemetry.sdk._logs import export as logs_export
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_progress import _runtime
from otel_progress._config import Config
from otel_progress.processors import ProgressSpanProcessor

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.sampling import Sampler

__all__ = ["Capture", "FakeClock", "capture_progress"]

Labels = frozenset[tuple[str, Any]]
"""The attributes of one data point."""

FLUSH_SECONDS = 10.0


class FakeClock:
    """A clock that moves when told to; wall and monotonic time go together. Not thread-safe."""

    def __init__(self, wall_seconds: float = 1_700_000_000.0) -> None:
        self._wall_ns = int(wall_seconds * 1e9)
        self._monotonic = 1_000.0

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        self._wall_ns += round(seconds * 1e9)
        self._monotonic += seconds

    def wall_ns(self) -> int:
        """Return nanoseconds since the unix epoch."""
        return self._wall_ns

    def monotonic(self) -> float:
        """Return seconds since some moment."""
        return self._monotonic


class Capture:
    """
    What was recorded. Every reader first waits for what has ended to reach the providers.

    Attributes:
        clock: The clock that levels see.
        runtime: The runtime in use.
        tracer_provider: For spans of other instrumentations in the same traces; it has a `ProgressSpanProcessor`.
    """

    def __init__(self, config: Config, clock: FakeClock, sampler: Sampler | None) -> None:
        self.clock = clock
        self._spans = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        # Renamed in 1.39.
        renamed = (
            "InMemoryLogRecordExporter" if hasattr(logs_export, "InMemoryLogRecordExporter") else "InMemoryLogExporter"
        )
        self._logs: Any = getattr(logs_export, renamed)()
        self.tracer_provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        self.tracer_provider.add_span_processor(ProgressSpanProcessor())
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._spans))
        self._meter_provider = MeterProvider([self._reader], shutdown_on_exit=False)
        self._logger_provider = sdk_logs.LoggerProvider(shutdown_on_exit=False)
        self._logger_provider.add_log_record_processor(logs_export.SimpleLogRecordProcessor(self._logs))
        self.runtime = _runtime.Runtime(
            config,
            clock=clock,
            tracer_provider=self.tracer_provider,
            meter_provider=self._meter_provider,
            logger_provider=self._logger_provider,
            ticker=False,
        )

    def tick(self, seconds: float = 0.0) -> None:
        """Let ``seconds`` pass, then do what the ticker does once a second."""
        self.clock.advance(seconds)
        self.runtime.rounds.tick()

    def spans(self, name: str | None = None) -> list[ReadableSpan]:
        """Return the spans that ended, in the order of their ends; only those called ``name`` if it is given."""
        self.runtime.flush(FLUSH_SECONDS)
        return [span for span in self._spans.get_finished_spans() if name in {None, span.name}]

    def events(self, name: str | None = None) -> list[Any]:
        """Return the log events (``event_name``, ``attributes``, ``body``...), only those called ``name`` if given."""
        self.runtime.flush(FLUSH_SECONDS)
        records = [log.log_record for log in self._logs.get_finished_logs()]
        return [record for record in records if name in {None, record.event_name}]

    def points(self, name: str) -> dict[Labels, Any]:
        """Collect; return the values of one metric by their attributes; of a histogram, count and sum."""
        self.runtime.flush(FLUSH_SECONDS)
        data = self._reader.get_metrics_data()
        points: dict[Labels, Any] = {}
        for resource in data.resource_metrics if data is not None else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.data.data_points if metric.name == name else ():
                        value = point.value if isinstance(point, NumberDataPoint) else (point.count, point.sum)
                        points[frozenset((point.attributes or {}).items())] = value
        return points

    def value(self, name: str, **attributes: str) -> Any:  # noqa: ANN401  # int, float or (count, sum)
        """
        Collect; return the one value of a metric with just these attributes, ``None`` if there is no such point.

        Dots in attribute keys are written as underscores, and ``progress_`` is left out: ``operation="job"``.
        """
        for labels, value in self.points(name).items():
            if {key.removeprefix("progress.").replace(".", "_"): item for key, item in labels} == attributes:
                return value
        return None

    def close(self) -> None:
        """Stop the threads and the providers."""
        self.runtime.shutdown(FLUSH_SECONDS)
        self.tracer_provider.shutdown()
        self._meter_provider.shutdown()
        self._logger_provider.shutdown()


@contextmanager
def capture_progress(
    *,
    clock: FakeClock | None = None,
    sampler: Sampler | None = None,
    **options: Any,  # noqa: ANN401  # of Config
) -> Generator[Capture]:
    """
    Record every level started inside with providers and a clock of its own; no global provider is touched.

    Args:
        clock: The clock levels see; a new `FakeClock` by default.
        sampler: Sampler of the tracer provider.
        options: Settings, as for `configure`; the environment is not read.
    """
    capture = Capture(Config.make({}, **options), clock or FakeClock(), sampler)
    previous = _runtime.replace(capture.runtime)
    try:
        yield capture
    finally:
        _runtime.replace(previous)
        capture.close()
