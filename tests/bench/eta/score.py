"""Replays a trace into an estimator and scores what it promised."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log
from statistics import fmean, median, quantiles
from typing import Final, Protocol

from otel_progress import Estimate
from otel_progress.eta import Estimator
from tests.bench.eta.peers import Peer
from tests.bench.eta.tape import Trace

WORST: Final = 3.0
"""The largest error counted, in log time; no answer counts as much."""
MARKS: Final = [mark / 100 for mark in range(2, 99)]


class Contender(Protocol):
    """What is replayed into: seconds left as (low, expected, high), or ``None``."""

    def take(self, trace: Trace, row: int, done: float, now: float) -> None:
        """Take in one row."""
        ...

    def total(self, total: float, now: float) -> None:
        """Take in a total."""
        ...

    def ask(self, now: float) -> tuple[float | None, float, float | None] | None:
        """Return the answer at ``now``."""
        ...


class Ours:
    """One of our estimators; keys and sizes are told where asked for."""

    def __init__(self, estimator: Estimator, *, keys: bool = False) -> None:
        self.estimator = estimator
        self._keys = keys
        self._last = 0.0
        self.estimator.record(0.0, 0.0)
        self.asked: list[Estimate | None] = []

    def take(self, trace: Trace, row: int, done: float, now: float) -> None:
        if self._keys:
            size = trace.sizes[row] - (trace.sizes[row - 1] if row else 0.0) if trace.sizes else None
            key = str(trace.keys[row]) if trace.keys else str(row)
            self.estimator.observe_item(key, now - self._last, size)
        self._last = now
        self.estimator.record(done, now)

    def total(self, total: float, now: float) -> None:
        self.estimator.set_total(total, now)

    def ask(self, now: float) -> tuple[float | None, float, float | None] | None:
        estimate = self.estimator.estimate(now)
        return None if estimate is None else (estimate.low, estimate.expected, estimate.high)


class Theirs:
    """One of the other tools."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def take(self, trace: Trace, row: int, done: float, now: float) -> None:
        self._peer.record(done, now)

    def total(self, total: float, now: float) -> None:
        self._peer.set_total(total, now)

    def ask(self, now: float) -> tuple[float | None, float, float | None] | None:
        left = self._peer.left(now)
        return None if left is None else (None, left, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """
    How good the answers on one trace were; errors are abs(ln(promised / true)).

    Attributes:
        p50: Median error over 2 to 98 % of the work.
        p90: Ninth decile of the same.
        t50: Median error over 2 to 98 % of the time.
        in25: Share of the work during which it was within a factor of 1.25.
        jitter: Travel of the promised end, in lengths of the run.
        inside: Share of the time in which the truth was in the interval; ``None`` without intervals.
        width: ln(high / low), the median over time.
    """

    p50: float
    p90: float
    t50: float
    in25: float
    jitter: float
    inside: float | None
    width: float | None


def replay(trace: Trace, contender: Contender, *, stretch: float = 1.0) -> Score:
    """Return the score of a contender on a trace, made ``stretch`` times as long."""
    whole = trace.rows[-1][1]
    shares = [done / whole for _, done in trace.rows]
    by_work = [trace.rows[min(bisect_left(shares, mark), len(shares) - 1)][0] for mark in MARKS]
    by_time = [mark * trace.end for mark in MARKS]
    answers = dict(_answers(trace, contender, sorted({*by_work, *by_time}), stretch))
    end = trace.end * stretch

    def error(now: float) -> float:
        answer = answers[now]
        true = end - now * stretch
        if answer is None or true <= 0:
            return WORST if answer is None else 0.0
        return min(abs(log(max(answer[1], 1e-9) / true)), WORST)

    work, times = [error(now) for now in by_work], [error(now) for now in by_time]
    ends = [now * stretch + answer[1] for now in by_time if (answer := answers[now]) is not None]
    held: list[float] = []
    widths: list[float] = []
    for now in by_time:
        answer = answers[now]
        if answer is not None and answer[0] is not None and answer[2] is not None:
            held.append(answer[0] <= end - now * stretch <= answer[2])
            widths.append(log(max(answer[2], 1e-9) / max(answer[0], 1e-9)))
    return Score(
        p50=median(work),
        p90=quantiles(work, n=10)[8],
        t50=median(times),
        in25=fmean(each <= log(1.25) for each in work),
        jitter=sum(abs(after - before) for before, after in pairwise(ends)) / end,
        inside=fmean(held) if held else None,
        width=median(widths) if widths else None,
    )


def _answers(
    trace: Trace, contender: Contender, moments: Sequence[float], stretch: float
) -> Iterable[tuple[float, tuple[float | None, float, float | None] | None]]:
    events: list[tuple[float, int, float]] = [(now, -1, total) for now, total in trace.totals]
    events += [(now, row, done) for row, (now, done) in enumerate(trace.rows)]
    events.sort(key=lambda event: event[:2])
    place = 0
    for moment in moments:
        while place < len(events) and events[place][0] <= moment:
            now, row, value = events[place]
            if row < 0:
                contender.total(value, now * stretch)
            else:
                contender.take(trace, row, value, now * stretch)
            place += 1
        yield moment, contender.ask(moment * stretch)


def average(scores: Sequence[Score]) -> Score:
    """Return the mean over traces."""

    def mean(of: Callable[[Score], float | None]) -> float | None:
        values = [value for score in scores if (value := of(score)) is not None]
        return fmean(values) if values else None

    return Score(**{name: mean(lambda score, name=name: getattr(score, name)) for name in Score.__slots__})  # type: ignore[misc, arg-type]
