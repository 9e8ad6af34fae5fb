"""Even work for a few seconds that watches its own slowest step: what a backend in trouble must not change."""

from __future__ import annotations

import time

from talk import lost, pause, say

from otel_progress import configure, level, operation

STEPS = 300


def main() -> None:
    """Work, and say how it went."""
    handle = configure(terminal="off")
    slowest = 0.0
    with operation("steady-work", total=STEPS) as job:
        pause("started")
        for number in range(STEPS):
            before = time.perf_counter()
            with level("step", id=str(number)) as step:
                step.advance(bytes=10)
            job.advance()
            slowest = max(slowest, time.perf_counter() - before)
            time.sleep(0.01)
    stopping_at = time.perf_counter()
    facts = lost()  # flushes, for 2 seconds at most
    flushed_at = time.perf_counter()
    handle.shutdown(timeout_seconds=2)
    say(slowest=slowest, flush=flushed_at - stopping_at, shutdown=time.perf_counter() - flushed_at, **facts)


if __name__ == "__main__":
    main()
