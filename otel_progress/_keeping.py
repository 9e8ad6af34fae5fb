"""Exporters and processors for a backend in trouble, around those of the SDK; `configure` uses them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.sdk._logs import export as _logs
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.environment_variables import OTEL_BLRP_MAX_QUEUE_SIZE, OTEL_BSP_MAX_QUEUE_SIZE
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from otel_progress import names
from otel_progress._contain import Tally
from otel_progress._keeper import PATIENCE_SECONDS, PAUSE_SECONDS, Keeper
from otel_progress._kept import BYTES_LIMIT, RECORD_BYTES, RECORDS_LIMIT, Kept
from otel_progress._quiet import Quiet

if TYPE_CHECKING:
    from opentelemetry.sdk._logs import ReadableLogRecord, ReadWriteLogRecord
    from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
else:  # before 1.39 they had other names
    LogRecordExporter = getattr(_logs, "LogRecordExporter", None) or _logs.LogExporter
    LogRecordExportResult = getattr(_logs, "LogRecordExportResult", None) or _logs.LogExportResult

FLUSH_MILLISECONDS: Final = 30_000
"""As in the exporters of the SDK."""

_EVENTS: Final = {event.name for event in names.EVENTS}


class KeepingSpanExporter(SpanExporter):
    """
    Answers for an exporter of spans: all is well. What could not be delivered is kept, and delivered later.

    While the backend answers, `export` returns when the spans are there. In trouble it returns at once, and plain
    spans are the first to go when the memory for them is full. Delivery is at least once: a batch whose answer got
    lost is sent again. Thread-safe; in a forked child nothing of the parent's is left.
    """

    def __init__(self, keeper: Keeper[ReadableSpan]) -> None:
        self.keeper = keeper

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Take spans over; never longer than a second."""
        self.keeper.put(spans)
        return SpanExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = FLUSH_MILLISECONDS) -> bool:
        """Try to deliver what is kept, now; ``False`` if something is left."""
        return self.keeper.flush(timeout_millis / 1000)

    def shutdown(self, timeout_millis: float = FLUSH_MILLISECONDS) -> None:
        """Flush, count what is lost, and shut the exporter down."""
        self.keeper.shutdown(timeout_millis / 1000)


class KeepingLogExporter(LogRecordExporter):
    """As `KeepingSpanExporter`, for log records; ordinary ones go before the events of levels."""

    def __init__(self, keeper: Keeper[ReadableLogRecord]) -> None:
        self.keeper = keeper

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Take records over; never longer than a second."""
        self.keeper.put(batch)
        return LogRecordExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = FLUSH_MILLISECONDS) -> bool:
        """Try to deliver what is kept, now; ``False`` if something is left."""
        return self.keeper.flush(timeout_millis / 1000)

    def shutdown(self, timeout_millis: float = FLUSH_MILLISECONDS) -> None:
        """Flush, count what is lost, and shut the exporter down."""
        self.keeper.shutdown(timeout_millis / 1000)


class KeepingSpanProcessor(BatchSpanProcessor):
    """
    The SDK's batch processor; a flush includes what the exporter keeps, and says whether all was delivered.

    Its queue is as long as what is kept, unless ``OTEL_BSP_MAX_QUEUE_SIZE`` says how long: on a machine that is busy, a
    burst of short levels overtakes the SDK's thread by more than the usual 2,048. What the SDK drops is counted.
    """

    def __init__(self, exporter: KeepingSpanExporter) -> None:
        self._queue_size = _queue_size(OTEL_BSP_MAX_QUEUE_SIZE)
        super().__init__(exporter, max_queue_size=self._queue_size)
        self._keeping = exporter

    def on_end(self, span: ReadableSpan) -> None:
        """Queue a span."""
        if span.context is not None and span.context.trace_flags.sampled:
            self._keeping.keeper.expect(self._queue_size)
        super().on_end(span)

    def force_flush(self, timeout_millis: int | None = None) -> bool:
        """Export everything that has ended."""
        flushed = super().force_flush(timeout_millis)
        return self._keeping.force_flush(FLUSH_MILLISECONDS if timeout_millis is None else timeout_millis) and flushed


class KeepingLogProcessor(BatchLogRecordProcessor):
    """As `KeepingSpanProcessor`, for log records and ``OTEL_BLRP_MAX_QUEUE_SIZE``."""

    def __init__(self, exporter: KeepingLogExporter) -> None:
        self._queue_size = _queue_size(OTEL_BLRP_MAX_QUEUE_SIZE)
        super().__init__(exporter, max_queue_size=self._queue_size)
        self._keeping = exporter

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Queue a log record."""
        self._keeping.keeper.expect(self._queue_size)
        super().on_emit(log_record)

    def force_flush(self, timeout_millis: int = FLUSH_MILLISECONDS) -> bool:
        """Export everything that was emitted."""
        flushed = super().force_flush(timeout_millis)
        return self._keeping.force_flush(timeout_millis) and flushed


def keep(
    exporter: Any,  # noqa: ANN401  # http and grpc, spans and logs share no base
    tally: Tally,
    *,
    records_limit: int = RECORDS_LIMIT,
    bytes_limit: int = BYTES_LIMIT,
    pause_seconds: float = PAUSE_SECONDS,
    patience_seconds: float = PATIENCE_SECONDS,
) -> KeepingSpanExporter | KeepingLogExporter:
    """
    Return an exporter around one of spans or of log records that keeps what could not be delivered.

    Its lines in the log are held back until the shutdown; one says when the trouble begins, one when it is over.

    Args:
        exporter: What delivers; it is shut down with the one around it.
        tally: Counts what was given up: ``export_queue_full`` (dropped by the SDK's queue), ``export_kept_full``,
            ``export_refused`` (a batch that fails while others pass), ``export_lost`` (undelivered at the end).
        records_limit: Records that are kept.
        bytes_limit: Estimated bytes that are kept.
        pause_seconds: Between two attempts in trouble, at first.
        patience_seconds: How long `export` waits for the delivery.
    """
    limits = {"records_limit": records_limit, "bytes_limit": bytes_limit}
    times = {"pause_seconds": pause_seconds, "patience_seconds": patience_seconds}
    quiet, close = Quiet(exporter), exporter.shutdown
    if isinstance(exporter, SpanExporter):

        def send_spans(spans: Sequence[ReadableSpan]) -> bool:
            return exporter.export(spans) is SpanExportResult.SUCCESS

        spans = Kept(_is_plain_span, _weigh_span, **limits)
        return KeepingSpanExporter(
            Keeper(send_spans, close, signal="traces", kept=spans, tally=tally, quiet=quiet, **times)
        )

    def send_logs(batch: Sequence[ReadableLogRecord]) -> bool:
        return exporter.export(batch) is LogRecordExportResult.SUCCESS

    logs = Kept(_is_plain_log, _weigh_log, **limits)
    return KeepingLogExporter(Keeper(send_logs, close, signal="logs", kept=logs, tally=tally, quiet=quiet, **times))


def _queue_size(variable: str) -> int:
    with suppress(KeyError, ValueError):
        return int(os.environ[variable])
    return RECORDS_LIMIT


def _is_plain_span(span: ReadableSpan) -> bool:
    """Whether nothing else refers to the span, as far as is known: not one that stands for a long level."""
    return (span.attributes or {}).get(names.RECORD, names.Record.SPAN) == names.Record.SPAN


def _is_plain_log(record: ReadableLogRecord) -> bool:
    return record.log_record.event_name not in _EVENTS


def _weigh_span(span: ReadableSpan) -> int:
    return RECORD_BYTES + _texts(span.attributes) + sum(_texts(event.attributes) for event in span.events)


def _weigh_log(record: ReadableLogRecord) -> int:
    body = record.log_record.body
    return RECORD_BYTES + _texts(record.log_record.attributes) + (len(body) if isinstance(body, str) else 0)


def _texts(attributes: Mapping[str, Any] | None) -> int:
    return sum(len(value) for value in (attributes or {}).values() if isinstance(value, str))
