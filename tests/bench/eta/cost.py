"""What an estimator costs: time of a record and of an estimate, bytes of a level."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable

from otel_progress import Profile
from otel_progress._rounds import BUDGET_SECONDS
from otel_progress.eta import Estimator

RECORDS = 2_000
ROUNDS = 400
LEVELS = 10_000
ADVANCES = 50
TICKS = 100


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
                estimator._blend._fits_at = (0.0, 0.0, 0.0)
                estimator.estimate(RECORDS + n * 0.01)

        anew = _best(cold, 10)
        lines.append(f"| {label} | {record:.2f} µs | {warm:.0f} µs | {anew:.0f} µs | {_bytes(history):,} |")
    return "\n".join(lines) + "\n\n" + in_turn(profile)


def in_turn(profile: Profile) -> str:
    """
    Return what a tick is like that goes on where the last one stopped, until its time is spent.

    As the runtime's does, with estimates alone. Each level has a history and advances before it is looked at, so that
    no answer can be taken from the last look.
    """
    levels = [Estimator(1_000.0, [profile]) for _ in range(LEVELS)]
    for level in levels:
        for n in range(ADVANCES):
            level.record(float(n), float(n))
        level.estimate(ADVANCES)
    seen, place, ticks = 0, 0, []
    for tick in range(TICKS):
        start = time.perf_counter()
        while time.perf_counter() - start < BUDGET_SECONDS:
            level = levels[place]
            level.record(ADVANCES + tick, ADVANCES + tick)
            level.estimate(ADVANCES + tick + 0.5)
            seen, place = seen + 1, (place + 1) % LEVELS
        ticks.append(time.perf_counter() - start)
    each = sum(ticks) / seen
    return (
        f"{LEVELS:,} levels with an earlier run in turn, advanced before each look: {each * 1e6:.0f} µs each; a tick "
        f"looks at {seen / TICKS:.0f} of them and takes {sorted(ticks)[TICKS // 2] * 1e3:.1f} ms, "
        f"{max(ticks) * 1e3:.1f} ms at most."
    )


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
