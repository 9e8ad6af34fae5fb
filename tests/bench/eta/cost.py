"""What an estimator costs: time of a record and of an estimate, bytes of a level."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable

from otel_progress import Profile
from otel_progress.eta import Estimator

RECORDS = 2_000
ROUNDS = 40


def costs() -> str:
    """Return the table: the best of many rounds, the least disturbed one."""
    profile = Profile.from_samples([(n * 0.1, n + (n % 7) * 0.3) for n in range(1_000)])
    lines = [
        "| | record | estimate | estimate with a new look back | bytes a level |",
        "| --- | --- | --- | --- | --- |",
    ]
    for label, history in (("no history", []), ("one earlier run", [profile])):
        estimator = _run(history)
        record = _best(lambda history=history: _run(history), RECORDS)  # type: ignore[misc]
        warm = _best(lambda estimator=estimator: [estimator.estimate(RECORDS + n * 0.01) for n in range(20)], 20)  # type: ignore[misc]

        def cold(estimator: Estimator = estimator) -> None:
            for n in range(10):
                estimator._blend._at = (0.0, 0.0, 0.0)
                estimator._blend._fits_at = None
                estimator.estimate(RECORDS + n * 0.01)

        anew = _best(cold, 10)
        lines.append(f"| {label} | {record:.2f} µs | {warm:.0f} µs | {anew:.0f} µs | {_bytes(history):,} |")
    return "\n".join(lines)


def _run(history: list[Profile]) -> Estimator:
    estimator = Estimator(10_000.0, history)
    record = estimator.record
    record(0.0, 0.0)
    for n in range(1, RECORDS):
        record(n, n + (n % 3) * 0.2)
    return estimator


def _best(run: Callable[[], object], operations: int) -> float:
    """Return microseconds for one operation."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best / operations * 1e6


def _bytes(history: list[Profile]) -> int:
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    estimator = _run(history)
    estimator.estimate(RECORDS)
    size = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return size
