"""Slow: the work takes longer than the same work took in earlier runs, or than this run has ever been slow."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, sqrt
from typing import Final

from otel_progress.deviation._rule import OK, UNDECIDED, Answer, Found
from otel_progress.deviation._run import Run
from otel_progress.deviation._words import lasting, rates, times
from otel_progress.names import DeviationKind, Severity

_RECOVERIES_COUNTED: Final = 4
_MOST_LOST: Final = 1.5
"""Limits that are counted as lost at most, so that a recovery is seen soon."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Slow:
    """
    The level works slower than it should, at once with history, later and with less confidence without.

    With history the time since the last check is compared with what earlier runs needed for the same part of the work,
    times how fast this run is on the whole: dear items are not mistaken for a slow machine, nor a slower machine for a
    run that slows down. What is beyond ``factor`` times adds up (CUSUM: Page, "Continuous inspection schemes", 1954)
    until it is ``share`` of a run. A run that is as much faster than expected at times is unsteady, and ``share`` grows
    with that. Without history the last ``window`` of the run must be slower by ``own_factor`` than any before it, and
    the estimate of its end must have moved beyond an earlier one.

    Attributes:
        factor: Times slower than expected from which on time adds up.
        share: Share of an earlier run that must have been lost.
        unsteady: Times what was gained at most, at other times, that must have been lost.
        fastest: The least that the tempo of a whole run, beside the earlier ones, is taken to be.
        slowest: The most: whoever is slower than that from the first on is slow.
        again: Times as much must be lost for each time that it was over by itself: such a run is unsteady as well.
        gap: Share of ``share`` that one silence can account for: a stall is another deviation.
        window: Share of the active time that is compared with earlier ones, without history.
        own_factor: Times slower it must be, without history.
        promise_after: Share that must be done before an estimate counts as a promise.
        least_items: Items that the slowest such window must have had.
        least_seconds: Active seconds before a run is judged by itself: whoever started it may still be looking.
    """

    factor: float = 1.5
    share: float = 0.025
    unsteady: float = 1.5
    fastest: float = 0.5
    slowest: float = 2.0
    again: float = 1.5
    gap: float = 0.6
    window: float = 0.2
    own_factor: float = 2.5
    promise_after: float = 0.05
    least_items: float = 10
    least_seconds: float = 30.0
    severity: Severity = Severity.WARN

    @property
    def kind(self) -> DeviationKind:
        """What it finds."""
        return DeviationKind.SLOW

    def check(self, run: Run, *, held: bool) -> Answer:
        """Compare the speed with the expected one."""
        if run.total is None or run.is_paused:
            return UNDECIDED
        if run.past.has_axis:
            return self._by_past(run, held=held)
        return self._by_itself(run, held=held)

    def _by_past(self, run: Run, *, held: bool) -> Answer:
        pace: _Pace | None = run.notes.get(self)
        if pace is None:
            pace = run.notes[self] = _Pace(run)
        if run.changed_at != pace.at:
            pace.move(run, self)
        limit = pace.limit(self)
        scale = pace.usual * run.reference
        if not scale > 0:
            return UNDECIDED
        # The step in hand counts as well, once it takes longer than it may.
        in_hand = (run.place_of(run.done + run.step) - run.place) * scale if run.silent > 0 else 0.0
        lost = pace.lost + max(self.excess(run.silent, in_hand, scale), 0.0)
        if lost < (limit / 4 if held else limit):
            pace.recoveries += held
            return OK
        return self._found(run, pace, in_hand)

    def _found(self, run: Run, pace: _Pace, in_hand: float) -> Answer:
        begin = (pace.since, pace.since_done, pace.expected) if pace.lost > 0 else (pace.at, pace.done, 0.0)
        seconds, done = run.active - begin[0], run.done - begin[1]
        expected = begin[2] + min(in_hand, run.silent)
        if not seconds > expected > 0:
            return UNDECIDED
        now, usual = rates(done / seconds, done / expected, run.unit)
        speeds = f": {now} instead of {usual}" if done > 0 else ""
        return Found(
            f"{run.name} has been {times(seconds / expected)} slower than usual for {lasting(seconds)}{speeds}"
        )

    def excess(self, seconds: float, expected: float, scale: float) -> float:
        """Return the time lost in one step, as a share of a run; a stall counts in part, unless the step is dear."""
        excess = (seconds - self.factor * expected) / scale
        cap = self.gap * self.share
        return excess if excess <= cap else max(cap, min(excess, self.factor * expected / scale))

    def _by_itself(self, run: Run, *, held: bool) -> Answer:
        if run.active < self.least_seconds:
            return UNDECIDED
        course = run.course()
        trend: _Trend | None = run.notes.get(self)
        if trend is None:
            trend = run.notes[self] = _Trend()
        if trend.points != (key := (len(course), course[-1].seconds if course else 0.0)):
            trend.points = key
            trend.look(run, self, held=held)
        broken = trend.promise_is_broken(run, self)
        if trend.slowest is None or trend.recent is None:
            return UNDECIDED
        if trend.recent * (self.own_factor**0.5 if held else self.own_factor) >= trend.slowest:
            return OK
        if not (broken or held):
            return UNDECIDED
        now, before = rates(trend.recent, trend.slowest, run.unit)
        return Found(
            f"{run.name} has slowed down to {now}; it was never below {before} before (judged by this run alone)"
        )


class _Pace:
    """Time lost and gained of late against the earlier runs, as shares of one."""

    __slots__ = (
        "_place",
        "_total",
        "at",
        "done",
        "expected",
        "lost",
        "most_spare",
        "recoveries",
        "since",
        "since_done",
        "spare",
        "usual",
    )

    def __init__(self, run: Run) -> None:
        self.at = self._place = 0.0
        self._total: float | None = None
        self.done = run.origin
        self.lost = self.spare = self.most_spare = 0.0
        self.recoveries = 0
        self.usual = 1.0
        self.since, self.since_done, self.expected = 0.0, run.origin, 0.0

    def move(self, run: Run, rule: Slow) -> None:
        """Take in what was done since the last call."""
        seconds, before = run.changed_at - self.at, self.done
        place = self._place if run.total == self._total else run.place_of(before)
        self.at, self.done, self._place, self._total = run.changed_at, run.done, run.place, run.total
        if not run.reference > 0 or run.done <= before:
            return
        if self.lost < rule.share / 2:  # while it slows down, what was usual before counts
            self.usual = min(max(run.tempo, rule.fastest), rule.slowest)
        scale = self.usual * run.reference
        expected = (run.place - place) * scale
        if self.lost <= 0:
            self.since, self.since_done, self.expected = self.at - seconds, before, 0.0
        self.expected += expected
        excess = rule.excess(seconds, expected, scale)
        self.lost = min(max(self.lost + excess, 0.0), _MOST_LOST * self.limit(rule))
        self.spare = max(self.spare + min((expected / rule.factor - seconds) / scale, rule.gap * rule.share), 0.0)
        self.most_spare = max(self.most_spare, self.spare)

    def limit(self, rule: Slow) -> float:
        """Return the share of a run that must be lost: more where the run was unsteady so far."""
        return max(rule.share, rule.unsteady * self.most_spare) * rule.again ** min(
            self.recoveries, _RECOVERIES_COUNTED
        )


class _Trend:
    """The newest window of a run, and the slowest before it."""

    __slots__ = ("_promised", "points", "recent", "slowest")

    def __init__(self) -> None:
        self._promised = inf
        self.points: tuple[int, float] = (0, 0.0)
        self.recent: float | None = None
        self.slowest: float | None = None

    def look(self, run: Run, rule: Slow, *, held: bool) -> None:
        """Compare all windows of the run; one that is slow already is compared with what was before."""
        course, end = run.course(), run.changed_at
        width = rule.window * end
        recent = run.last(width)
        self.recent = recent.done / recent.seconds if recent.seconds > 0 else None
        if held:
            return
        slowest: float | None = None
        first = 0
        for point in course:
            if point.seconds > end - recent.seconds:
                break
            while first + 1 < len(course) and point.seconds - course[first + 1].seconds >= width:
                first += 1
            begin = course[first]
            seconds, done = point.seconds - begin.seconds, point.done - begin.done
            if not seconds >= width or not seconds > 0:
                continue
            if slowest is None or done < slowest * seconds:
                slowest = done / seconds
        self.slowest = slowest if slowest is not None and slowest * width >= rule.least_items else None

    def promise_is_broken(self, run: Run, rule: Slow) -> bool:
        """Say whether the estimate of the end lies beyond an earlier one, with half of either interval."""
        estimate = run.estimate
        if estimate is None or not run.is_settled or not estimate.expected > 0:
            return False
        early = run.active + sqrt(estimate.expected * estimate.low)
        late = run.active + sqrt(estimate.expected * estimate.high)
        broken = early > self._promised
        if (run.fraction or 0.0) >= rule.promise_after:
            self._promised = min(self._promised, late)
        return broken
