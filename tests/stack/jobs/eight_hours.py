"""
The records of an operation that ran for the last eight hours and had 10,000 levels, made in seconds.

Its clock is turned by hand; everything else is what a job has: the SDK's batch processor, and OTLP over the network.
"""

from __future__ import annotations

import time

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from talk import lost, say

from otel_progress import _runtime, level, operation
from otel_progress._config import Config
from otel_progress.testing import FakeClock

TABLES = 100
CHUNKS = 100
SHORT_SECONDS, LONG_SECONDS = 1.2, 4.56
"""Half of the chunks are short, and half are shown while they run: 100 * 50 * (1.2 + 4.56) s are eight hours."""
SECONDS = TABLES * CHUNKS / 2 * (SHORT_SECONDS + LONG_SECONDS)
LOOK_SECONDS = 2.5
QUEUE = 20_000
FLUSH_EVERY = 10
"""Tables after which the queues are emptied: no network takes eight hours of records at once."""


def main() -> None:
    """Work through it."""
    clock = FakeClock(time.time() - SECONDS)
    started_at = clock.wall_ns() / 1e9
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), max_queue_size=QUEUE))
    runtime = _runtime.Runtime(Config.make({}), clock=clock, tracer_provider=provider, ticker=False)
    _runtime.replace(runtime)

    def work(seconds: float) -> None:
        # The look of the ticker that finds a level old enough; its others change nothing, and take most of the time.
        clock.advance(min(seconds, LOOK_SECONDS))
        if seconds > LOOK_SECONDS:
            runtime.rounds.tick()
            clock.advance(seconds - LOOK_SECONDS)

    with operation("eight-hours", id="2026-11-27", total=TABLES) as job:
        for number in range(TABLES):
            with level("table", id=f"public.orders_{number:03}", total=CHUNKS, unit="{chunk}") as table:
                for chunk in range(CHUNKS):
                    with level("chunk", id=f"{number}-{chunk}", total=5_000, unit="{row}") as rows:
                        rows.advance(2_500, bytes=320_000)
                        work(LONG_SECONDS if chunk % 2 else SHORT_SECONDS)
                        rows.advance(2_500, bytes=320_000)
                    table.advance()
            job.advance()
            if number % FLUSH_EVERY == FLUSH_EVERY - 1:
                say(tables=number + 1)
                runtime.flush(30)
                provider.force_flush()
    facts = lost()
    runtime.shutdown(30)
    provider.shutdown()
    say(started_at=started_at, seconds=SECONDS, levels=1 + TABLES + TABLES * CHUNKS, **facts)


if __name__ == "__main__":
    main()
