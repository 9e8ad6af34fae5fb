"""
A nightly import for the pictures of the documents, up to some second of it: ``picture.py SECONDS stay|kill``.

Its clock is turned by hand, so that minutes are made in a second. Then it stands still, as a running one, or is killed.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from talk import pause

from otel_progress import _runtime, level, operation
from otel_progress._config import Config
from otel_progress.testing import FakeClock

STOP_AT, ENDING = float(sys.argv[1]), sys.argv[2]
FILES = {"customers.csv": 14, "orders.csv": 25}
TABLES = {"customers": (182_000, 71), "orders": (1_240_000, 900)}
"""Rows and seconds."""

clock = FakeClock(time.time() - STOP_AT)
provider = TracerProvider(resource=Resource.create({"host.name": "batch-7"}))
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
runtime = _runtime.Runtime(Config.make({}), clock=clock, tracer_provider=provider, ticker=False)
tracer = provider.get_tracer("requests")
passed = 0


def second() -> None:
    """Let a second pass; at the last one it is over."""
    global passed  # noqa: PLW0603  # the whole job is one story
    clock.advance(1.0)
    runtime.rounds.tick()
    passed += 1
    if passed >= STOP_AT:
        runtime.flush(10)
        provider.force_flush()
        if ENDING == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        pause("running")
        os._exit(0)


@contextmanager
def bare(name: str) -> Iterator[None]:
    """Make a span as another instrumentation does, with this job's clock."""
    span = tracer.start_span(name, start_time=clock.wall_ns())
    with trace.use_span(span):
        yield
    span.end(clock.wall_ns())


def main() -> None:
    """Import the day."""
    _runtime.replace(runtime)
    with operation("nightly-import", id="2026-11-27", phases={"download": 1, "load": 8, "verify": 1}):
        with level("download", total=len(FILES), unit="{file}") as download:
            for seconds in FILES.values():
                with bare("GET"):
                    for _ in range(seconds):
                        second()
                download.advance()
        with level("load", total=len(TABLES), unit="{table}") as load:
            for table, (rows, seconds) in TABLES.items():
                with level("table", id=table, total=rows, unit="{row}") as part:
                    with bare("TRUNCATE"):
                        second()
                    for _ in range(seconds):
                        second()
                        part.advance(rows // seconds, bytes=rows // seconds * 220)
                load.advance()


main()
