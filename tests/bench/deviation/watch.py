"""How a run is watched: looked at once a second, as the ticker does, by our monitor and by fixed thresholds."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Final

from otel_progress._model import Profile, Sample
from otel_progress.deviation import Monitor
from tests.bench.deviation.cases import Case

TICK_SECONDS: Final = 1.0
LEAST_TICKS: Final = 400
"""A run of less than this many seconds is looked at more often: its share of time between two looks must not grow."""

Onset = tuple[float, str]
"""When a deviation began, and its kind."""

Watcher = Callable[[Case, tuple[Profile, ...]], list[Onset]]


def samples(case: Case) -> Iterator[Sample]:
    """Yield what the ticker would see."""
    tick = min(TICK_SECONDS, case.seconds / LEAST_TICKS)
    for number in range(int(case.seconds / tick) + 1):
        now = number * tick
        row, total = (bisect_right(each, (now, float("inf"))) for each in (case.rows, case.totals))
        yield Sample(now, case.rows[row - 1][1] if row else 0.0, case.totals[total - 1][1] if total else None)


def ours(case: Case, history: tuple[Profile, ...]) -> list[Onset]:
    """Return the onsets that a monitor with the default rules sees."""
    monitor = Monitor(history=history)
    held: set[str] = set()
    onsets: list[Onset] = []
    for sample in samples(case):
        monitor.observe(sample)
        now = {deviation.kind.value for deviation in monitor.check(sample.now)}
        onsets += [(sample.now, kind) for kind in sorted(now - held)]
        held = now
    return onsets


def fixed(case: Case, history: tuple[Profile, ...]) -> list[Onset]:  # it knows none
    """Return the onsets that the usual alert rules see: nothing for 30 s; below half of the mean speed for a minute."""
    onsets: list[Onset] = []
    held: set[str] = set()
    course: list[Sample] = []
    changed_at = 0.0
    first = 0
    for sample in samples(case):
        if course and sample.done > course[-1].done:
            changed_at = sample.now
        course.append(sample)
        while course[first + 1 :] and sample.now - course[first + 1].now >= 60:
            first += 1
        now: set[str] = set()
        if sample.now - changed_at > 30:
            now.add("stalled")
        minute = course[first]
        if sample.now - minute.now >= 60 and sample.now >= 120:
            speed = (sample.done - minute.done) / (sample.now - minute.now)
            if speed < 0.5 * sample.done / sample.now:
                now.add("slow")
        onsets += [(sample.now, kind) for kind in sorted(now - held)]
        held = now
    return onsets
