from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from opentelemetry import trace
from opentelemetry.context import attach, detach, get_value, set_value
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from otel_progress import _keeper, health, names, operation
from otel_progress._contain import Tally
from otel_progress._keeping import KeepingSpanExporter, KeepingSpanProcessor, keep
from otel_progress.testing import capture_progress

from .kit import python, wait_until

LONG_SECONDS = 600.0
"""A pause that no test waits for."""


class Backend(SpanExporter):
    """Takes spans, or does not, as it is told; ``asked`` has the names of each attempt, ``taken`` what passed."""

    def __init__(self, *, up: bool = True) -> None:
        self.up = up
        self.refuses: set[str] = set()
        self.raises: BaseException | None = None
        self.answers = threading.Event()
        self.answers.set()
        self.asked: list[list[str]] = []
        self.taken: list[str] = []
        self.context: list[object] = []
        self.closed = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Answer as told."""
        mine = [span.name for span in spans]
        self.asked.append(mine)
        self.context.append(get_value("mark"))
        self.answers.wait(20)
        if self.raises is not None:
            raise self.raises
        if not self.up or self.refuses.intersection(mine):
            return SpanExportResult.FAILURE
        self.taken += mine
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Let go of who waits."""
        self.closed += 1
        self.answers.set()


def span(name: str, record: str | None = "span", text: str = "") -> ReadableSpan:
    """Return an ended span."""
    attributes = {} if record is None else {names.RECORD: record}
    return ReadableSpan(name, attributes={**attributes, "text": text})


@contextmanager
def keeping(
    backend: Backend,
    *,
    pause_seconds: float = LONG_SECONDS,
    patience_seconds: float = 20.0,
    records_limit: int = 100,
    bytes_limit: int = 10**9,
) -> Iterator[tuple[KeepingSpanExporter, Tally]]:
    """Put the exporter around a backend."""
    tally = Tally()
    exporter = keep(
        backend,
        tally,
        records_limit=records_limit,
        bytes_limit=bytes_limit,
        pause_seconds=pause_seconds,
        patience_seconds=patience_seconds,
    )
    assert isinstance(exporter, KeepingSpanExporter)
    try:
        yield exporter, tally
    finally:
        backend.answers.set()
        exporter.shutdown(timeout_millis=0)


def queued(processor: BatchSpanProcessor) -> tuple[TracerProvider, trace.Tracer]:
    """Return a provider whose spans go through the queue of a processor, and a tracer of it."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    return provider, provider.get_tracer("test")


def test_an_export_returns_when_the_backend_has_the_spans() -> None:
    """A flush of the provider means what it says while all is well."""
    backend = Backend()
    with keeping(backend) as (exporter, tally):
        assert exporter.export([span("a"), span("b")]) is SpanExportResult.SUCCESS
        assert backend.taken == ["a", "b"]
        assert exporter.force_flush()
    assert backend.closed == 1
    assert not tally.dropped
    assert tally.kept == {"traces": 0}


def test_what_failed_follows_oldest_first_when_the_backend_is_back() -> None:
    """Nothing is lost, and the processor never hears of it."""
    backend = Backend(up=False)
    with keeping(backend) as (exporter, tally):
        for name in "abc":
            assert exporter.export([span(name)]) is SpanExportResult.SUCCESS
        assert backend.asked == [["a"]], "while it is down, nothing is tried before the pause is over"
        assert tally.kept == {"traces": 3}
        backend.up = True
        assert exporter.force_flush()
        # "a" failed, so the one behind it goes first: it may be "a" that is not wanted. Small batches are joined.
        assert backend.taken == ["b", "c", "a"]
        assert tally.kept == {"traces": 0}
    assert not tally.dropped


def test_the_probe_needs_nobody_to_call() -> None:
    """The thread tries on its own, after a pause."""
    backend = Backend(up=False)
    with keeping(backend, pause_seconds=0.01) as (exporter, _):
        exporter.export([span("a")])
        wait_until(lambda: len(backend.asked) > 2, "probes")
        backend.up = True
        wait_until(lambda: backend.taken == ["a"], "the span")


def test_an_export_does_not_wait_for_a_backend_that_hangs() -> None:
    """The first one waits for a moment, those behind it not at all."""
    backend = Backend()
    backend.answers.clear()
    with keeping(backend, patience_seconds=0.01) as (exporter, tally):
        started = time.monotonic()
        for number in range(50):
            exporter.export([span(str(number))])
        assert time.monotonic() - started < 5, "one patience, and not 50 times that of the backend"
        assert tally.kept == {"traces": 50}
        assert backend.asked == [["0"]]
        backend.answers.set()
        assert exporter.force_flush()
        assert backend.taken == [str(number) for number in range(50)]
        assert len(backend.asked) == 2, "the 49 behind it go in one request"


def test_the_queue_of_the_processor_stays_free(caplog: pytest.LogCaptureFixture) -> None:
    """20,000 spans in a burst while the backend hangs: the SDK's queue of 2,048 drops none of them, we keep them."""
    backend = Backend()
    backend.answers.clear()
    with keeping(backend, patience_seconds=0.01, records_limit=30_000) as (exporter, tally):
        provider, tracer = queued(BatchSpanProcessor(exporter))
        for number in range(20_000):
            tracer.start_span(str(number)).end()
            if number % 1000 == 999:
                provider.force_flush()  # a busy machine must not decide
        backend.answers.set()
        assert exporter.force_flush()
        provider.shutdown()
    assert len(backend.taken) == 20_000
    assert not tally.dropped
    assert "Queue full" not in caplog.text


def test_what_the_queue_of_the_processor_drops_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK's thread is busy with 512 spans and 512 fit into the queue: three more cost three."""
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "512")
    monkeypatch.setattr(logging.getLogger("opentelemetry.sdk._shared_internal"), "disabled", True)
    backend = Backend()
    backend.answers.clear()
    with keeping(backend, records_limit=30_000) as (exporter, tally):
        provider, tracer = queued(KeepingSpanProcessor(exporter))
        for number in range(512):
            tracer.start_span(str(number)).end()
        wait_until(lambda: bool(backend.asked), "the first batch")
        for number in range(512):
            tracer.start_span(f"queued {number}").end()
        assert not tally.dropped
        for number in range(3):
            tracer.start_span(f"one too many {number}").end()
        assert tally.dropped == {"export_queue_full": 3}
        backend.answers.set()
        assert provider.force_flush()
        for number in range(3):
            tracer.start_span(f"fits again {number}").end()
        provider.shutdown()
    assert len(backend.taken) == 512 + 512 + 3
    assert tally.dropped == {"export_queue_full": 3}


def test_the_queue_of_the_processor_is_long_unless_told_otherwise() -> None:
    """A burst of 9,000 while its thread is busy: all fit, though the SDK's own default is 2,048."""
    backend = Backend()
    backend.answers.clear()
    with keeping(backend, records_limit=30_000) as (exporter, tally):
        provider, tracer = queued(KeepingSpanProcessor(exporter))
        for number in range(9_000):
            tracer.start_span(str(number)).end()
        backend.answers.set()
        provider.shutdown()
    assert len(backend.taken) == 9_000
    assert not tally.dropped


def test_when_full_plain_spans_go_before_the_records_of_long_levels() -> None:
    """Four fit: one too many costs the plain ones of the oldest batch."""
    backend = Backend(up=False)
    with keeping(backend, records_limit=4) as (exporter, tally):
        exporter.export([span("open", names.Record.OPEN), span("short"), span("foreign", None)])
        exporter.export([span("checkpoint", names.Record.CHECKPOINT), span("late")])  # 5: the two plain ones go
        assert tally.dropped == {"export_kept_full": 2}
        exporter.export([span("completion", names.Record.COMPLETION)])  # 4: just what fits
        assert tally.dropped == {"export_kept_full": 2}
        backend.up = True
        assert exporter.force_flush()
    assert sorted(backend.taken) == ["checkpoint", "completion", "late", "open"]


def test_when_full_of_records_of_long_levels_the_oldest_go() -> None:
    """Two fit, and none is plain."""
    backend = Backend(up=False)
    with keeping(backend, records_limit=2) as (exporter, tally):
        exporter.export([span("1", names.Record.OPEN), span("2", names.Record.OPEN)])
        exporter.export([span("3", names.Record.COMPLETION)])
        backend.up = True
        assert exporter.force_flush()
    assert backend.taken == ["3"]
    assert tally.dropped == {"export_kept_full": 2}


def test_long_texts_count_as_memory() -> None:
    """Stacks of exceptions are long: fewer records fit."""
    backend = Backend(up=False)
    # 3,000 bytes a record, and its texts: "a" and "b" have 3,000 + 4 each ("span") and 5,000 of text in all.
    with keeping(backend, bytes_limit=11_008) as (exporter, tally):
        exporter.export([span("a", text="x" * 2_000)])
        exporter.export([span("b", text="x" * 3_000)])
        assert not tally.dropped, "11,008 bytes"
        exporter.export([span("c")])
        assert tally.dropped == {"export_kept_full": 1}, "the oldest went"
        backend.up = True
        assert exporter.force_flush()
    assert sorted(backend.taken) == ["b", "c"]


def test_a_batch_that_is_refused_while_others_pass_is_given_up() -> None:
    """What a backend calls invalid does not get better, and others wait behind it."""
    backend = Backend()
    backend.refuses = {"poison"}
    with keeping(backend, pause_seconds=0.001) as (exporter, tally):
        exporter.export([span("poison"), span("beside it")])
        sent = 0
        while not tally.dropped:
            assert sent < 100, "it is never given up"
            exporter.export([span(f"good {sent}")])
            sent += 1
            wait_until(lambda sent=sent: len(backend.taken) == sent, "the good ones, which it does not block")
        assert tally.dropped == {"export_refused": 2}
        tries = sum("poison" in batch for batch in backend.asked)
        assert tries >= 5
        exporter.export([span("last")])
        assert sum("poison" in batch for batch in backend.asked) == tries


def test_an_outage_is_tried_with_each_batch_in_turn() -> None:
    """One that the backend does not want must not hide that it takes the others."""
    backend = Backend(up=False)
    with keeping(backend) as (exporter, _):
        exporter.export([span("a")])
        exporter.export([span("b")])
        assert not exporter.force_flush()
        assert backend.asked == [["a"], ["b"], ["a"], ["b"]]


def test_an_outage_refuses_nothing() -> None:
    """Every kept batch fails many times; since none passes meanwhile, none is given up."""
    backend = Backend(up=False)
    with keeping(backend, pause_seconds=1e-7) as (exporter, tally):  # doubled 22 times: 0.4 s
        for number in range(4):
            exporter.export([span(str(number))])
            wait_until(lambda number=number: len(backend.asked) > number, "an attempt, so that they are not joined")
        wait_until(lambda: len(backend.asked) > 22, "five attempts for each")
        backend.up = True
        wait_until(lambda: len(backend.taken) == 4, "all")
        assert not tally.dropped


def test_what_is_undelivered_at_the_end_is_counted() -> None:
    """After a last attempt, and only once."""
    backend = Backend(up=False)
    with keeping(backend) as (exporter, tally):
        exporter.export([span("a"), span("b")])
        exporter.shutdown(timeout_millis=5_000)
        exporter.shutdown()
        assert len(backend.asked) == 1 + _keeper.FLUSH_ATTEMPTS, "it was tried once more before"
        assert backend.closed == 1
        exporter.export([span("c")])
        assert tally.dropped == {"export_lost": 3}
        assert tally.kept == {"traces": 0}


def test_a_shutdown_delivers_what_is_kept() -> None:
    """A backend that is back in time gets all."""
    backend = Backend(up=False)
    with keeping(backend) as (exporter, tally):
        exporter.export([span("a")])
        backend.up = True
        exporter.shutdown()
    assert backend.taken == ["a"]
    assert not tally.dropped


@pytest.mark.parametrize("call", ["force_flush", "shutdown"])
def test_an_end_waits_for_a_backend_that_hangs_until_its_deadline_only(call: str) -> None:
    """Whatever time the caller would give it."""
    backend = Backend()
    backend.answers.clear()
    with keeping(backend, patience_seconds=0.01) as (exporter, tally):
        exporter.export([span("a")])
        exporter.keeper.end_by(time.monotonic() + 0.3)
        started = time.monotonic()
        assert not getattr(exporter, call)(timeout_millis=60_000)
        assert time.monotonic() - started < 5
        assert tally.dropped == ({"export_lost": 1} if call == "shutdown" else {})


def test_an_exporter_that_raises_is_an_exporter_that_failed(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever it raises: the thread goes on, and the spans are kept."""
    backend = Backend()
    backend.raises = SystemExit("no")
    with keeping(backend) as (exporter, _):
        exporter.export([span("a")])
        wait_until(lambda: "cannot export traces (SystemExit: no)" in caplog.text, "the line in the log")
        backend.raises = None
        assert exporter.force_flush()
    assert backend.taken == ["a"]


def test_exports_run_in_the_context_of_the_processor() -> None:
    """It tells instrumentations of HTTP clients to leave exports alone."""
    backend = Backend()
    with keeping(backend) as (exporter, _):
        token = attach(set_value("mark", "suppressed"))
        exporter.export([span("a")])
        detach(token)
    assert backend.context == ["suppressed"]


class Chatty(Backend):
    """Logs each attempt as the exporters of the SDK do."""

    __module__ = "opentelemetry.exporter.test"

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Log, and answer as told."""
        logger = logging.getLogger("opentelemetry.exporter.test")
        if not self.up:
            logger.warning("Transient error %s, retrying", "refused")
            logger.error("Failed to export")
        return super().export(spans)


def test_one_line_when_it_goes_down_and_one_when_it_is_back(caplog: pytest.LogCaptureFixture) -> None:
    """In place of two lines of the exporter for each attempt."""
    caplog.set_level(logging.INFO)
    backend = Chatty(up=False)
    with keeping(backend, pause_seconds=0.001) as (exporter, _):
        for number in range(3):
            exporter.export([span(str(number))])
        wait_until(lambda: len(backend.asked) > 5, "attempts")
        logging.getLogger("opentelemetry.exporter.test").info("from another thread")
        backend.up = True
        wait_until(lambda: len(backend.taken) == 3, "all")
        backend.up = False
        exporter.export([span("again")])
    assert [record.getMessage() for record in caplog.records if "dropped" not in record.getMessage()] == [
        "otel_progress: cannot export traces (Transient error refused, retrying); they are kept until it works",
        "from another thread",
        "otel_progress: traces are exported again",
    ], "a second trouble within five minutes is not told of"
    caplog.clear()
    wait_until(lambda: not logging.getLogger("opentelemetry.exporter.test").filters, "the filter being taken off")


FORKED = """
import os, sys
from collections.abc import Sequence
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from otel_progress._contain import Tally
from otel_progress._keeping import keep
import warnings
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
up = False
class Backend(SpanExporter):
    def export(self, spans):
        if not up:
            return SpanExportResult.FAILURE
        os.write(1, f"{'parent' if os.getpid() == PARENT else 'child'} {spans[0].name}\\n".encode())
        return SpanExportResult.SUCCESS
PARENT = os.getpid()
tally = Tally()
exporter = keep(Backend(), tally, pause_seconds=600)
exporter.export([ReadableSpan("kept")])
up = True
pid = os.fork()
if pid == 0:
    tally.after_fork()
    exporter.export([ReadableSpan("own")])
    exporter.shutdown()
    os.write(1, f"lost {dict(tally.dropped)}\\n".encode())
    os._exit(0)
os.waitpid(pid, 0)
exporter.shutdown()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_sends_its_own_and_nothing_that_the_parent_kept() -> None:
    """The parent delivers what it kept, once."""
    done = python(FORKED)
    assert done.stdout.splitlines() == ["child own", "lost {}", "parent kept"], done.stderr


AT_EXIT = """
import atexit, threading
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from otel_progress._contain import Tally
from otel_progress._keeping import keep
class Backend(SpanExporter):
    def export(self, spans):
        print("sent", spans[0].name)
        return SpanExportResult.SUCCESS
exporter = keep(Backend(), Tally())
span = ReadableSpan("last")
def no_threads(self):
    raise RuntimeError("can't create new thread at interpreter shutdown")
def late():
    threading.Thread.start = no_threads  # as Python does from 3.12 on
    exporter.export([span])
    exporter.shutdown()
atexit.register(late)
"""


def test_a_first_export_at_interpreter_exit_is_made_without_a_thread() -> None:
    """No thread can be started there."""
    done = python(AT_EXIT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "sent last\n", "")


def test_what_waits_is_a_metric_and_part_of_health() -> None:
    """By signal; 0 and nothing when all is delivered."""
    backend = Backend(up=False)
    with capture_progress() as progress:
        tally = progress.runtime.tally
        exporter = keep(backend, tally, pause_seconds=LONG_SECONDS)
        with operation("any"):
            assert progress.value(names.TELEMETRY_KEPT.name, signal="traces") == 0
        assert health().export_kept == {}
        exporter.export([span("a"), span("b")])
        assert health().export_kept == {"traces": 2}
        assert progress.value(names.TELEMETRY_KEPT.name, signal="traces") == 2
        backend.up = True
        assert exporter.force_flush()
        assert health().export_kept == {}
        exporter.shutdown()
