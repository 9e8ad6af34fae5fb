"""The estimator: the work and time of the whole run and of its recent part, aged by silence."""

from __future__ import annotations

from collections.abc import Iterable
from math import exp, expm1, isfinite, log, log1p, sqrt
from typing import Final

from otel_progress._model import ChildView, Estimate, Sample
from otel_progress.errors import ConfigError

METHODS: Final = {"linear": 0.0, "exponential": 50.0}
"""
Method -> how many times the recent work and time count beside those of the whole run.

The whole run keeps a small say in ``exponential``: without it one long stall looks like the new speed, and the estimate
jumps up when work goes on at last (travel of the promised end 150 run lengths, with it 13, on a set of 45 traces).
"""

DEFAULT_METHOD: Final = "exponential"

_MEMORY: Final = 0.2
"""The recent part: evidence is forgotten with a time constant of this share of the active time so far."""

_LEAST_RESIDUAL: Final = 0.25
"""Share of the usual time: the least that the step in hand is taken to need, as nobody knows when it is done."""

_LOW_SCALES: Final = 1.28
_HIGH_SCALES: Final = 1.9
"""Ends of the 80 % interval in scales of log time. The upper is wider: runs slow down further than they speed up."""

_WIDEST_SCALE: Final = 30.0
_SHORTEST_GAP_SECONDS: Final = 1e-12
_FEW_CHANGES: Final = 5


class Estimator:
    """
    Estimate the seconds left of one level.

    Feed it with `observe` (or `record`) and ask `estimate`; every ``now`` is monotonic seconds, passed in. Constants
    are shares of the run, never seconds: the same job thirty times longer gets the same relative answer. Silence is
    evidence: up to the usual gap between two advances the estimate counts down, beyond it the silence is charged as
    cost. Pauses are taken out. Not thread-safe: the caller has the lock.

    Args:
        total: Units in all, ``None`` while unknown.
        history: Profiles of earlier runs; none of the methods here uses them.
        method: ``"linear"``, the speed of the whole run, or ``"exponential"``, mostly that of its last fifth.

    Raises:
        ConfigError: There is no such method.
    """

    __slots__ = (
        "_changed_at",
        "_changes",
        "_done",
        "_gaps",
        "_grown",
        "_growth",
        "_origin",
        "_paused_at",
        "_paused_seconds",
        "_recent_share",
        "_seconds",
        "_started_at",
        "_total",
        "_units",
        "method",
    )

    _done: float
    _changed_at: float
    _changes: int
    _units: float
    _seconds: float
    _gaps: float
    _growth: float
    _grown: float

    def __init__(
        self,
        total: float | None = None,
        history: Iterable[object] = (),  # noqa: ARG002  # part of the seam, for methods that learn
        method: str = DEFAULT_METHOD,
    ) -> None:
        if method not in METHODS:
            msg = f"method must be one of {', '.join(sorted(METHODS))}, got {method!r}"
            raise ConfigError(msg)
        self.method = method
        self._recent_share = METHODS[method]
        self._total = total
        self._started_at: float | None = None
        self._paused_at: float | None = None
        self._paused_seconds = 0.0
        self._measure_from(0.0, 0.0)

    def observe(self, sample: Sample) -> None:
        """Take one sample in; a ``done`` below the last one starts the measurement anew from there."""
        self.set_total(sample.total, sample.now)
        self.record(sample.done, sample.now)

    def record(self, done: float, now: float) -> None:
        """Take in that ``done`` units are done at ``now``."""
        if not (isfinite(done) and isfinite(now)):
            return
        if self._started_at is None:
            self._started_at = now
            if self._paused_at is not None:
                self._paused_at = now
            self._measure_from(done, 0.0)
            return
        active = self._active(now)
        if done < self._done:
            self._measure_from(done, active)
        elif done > self._done:
            self._take(done - self._done, active)
            self._done = done
            self._changed_at = active

    def _measure_from(self, done: float, active: float) -> None:
        """Start measuring at this point; earlier speeds say nothing about what follows."""
        self._origin = (done, active)
        self._done = done
        self._changed_at = active  # active seconds since the start, at the last change of done
        self._changes = 0
        # The recent part, forgotten bit by bit: units, seconds, gaps between changes, units the total grew by.
        self._units = self._seconds = self._gaps = self._growth = 0.0
        self._grown = 0.0  # since the last change

    def _take(self, units: float, active: float) -> None:
        seconds = active - self._changed_at
        memory = _MEMORY * (active - self._origin[1])
        constants = min(seconds / memory, 1 / _MEMORY) if memory > 0 else 0.0
        kept = exp(-constants)
        # The gap is as long as it is: its older part is forgotten in part already. Mean of exp(-x) over the gap.
        weight = -expm1(-constants) / constants if constants > 0 else 1.0
        self._units = self._units * kept + units * weight
        self._seconds = self._seconds * kept + seconds * weight
        self._gaps = self._gaps * kept + weight
        self._growth = self._growth * kept + self._grown * weight
        self._grown = 0.0
        self._changes += 1

    def set_total(self, total: float | None, now: float) -> None:  # noqa: ARG002  # part of the seam
        """Take in a total that is new, grown, shrunk or lost."""
        if total is not None and not isfinite(total):
            total = None
        if self._changes and total is not None and self._total is not None:  # before the first advance it is set up
            self._grown += total - self._total
        self._total = total

    def observe_item(self, key: str, seconds: float, cost: float | None = None) -> None:
        """Take in what one item cost; for methods that learn, ignored here."""

    def pause(self, now: float) -> None:
        """Stop the clock: nothing until `resume` counts as time worked."""
        if self._paused_at is None:
            self._paused_at = now

    def resume(self, now: float) -> None:
        """Start the clock again."""
        if self._paused_at is not None:
            if self._started_at is not None:
                self._paused_seconds += max(0.0, now - self._paused_at)
            self._paused_at = None

    def rate(self, now: float) -> float | None:
        """Return units per second, aged by silence; ``None`` before the first advance."""
        pace = self._pace(self._overdue(now))
        rate = 1 / pace if pace else None
        return rate if rate is not None and isfinite(rate) else None

    def estimate(self, now: float, children: Iterable[ChildView] = ()) -> Estimate | None:
        """
        Return the time left as seen at ``now``, or ``None`` while it cannot be known.

        Unknown means: no advance yet, no total, or more done than the total. No parent ends before its children, so
        the early ends of theirs are a floor. Only those: children that share workers speed up when a sibling ends, and
        our own pace knows that already.
        """
        interval = self._interval(now)
        if interval is None:
            return None
        floor = max((child.eta.low for child in children if child.eta is not None), default=0.0)
        low, expected, high = (max(end, floor) for end in interval)
        # 1 for a point, 1/2 for an interval of a factor e.
        confidence = 1.0 / (1.0 + log(high / low)) if low > 0 else float(high == 0)
        return Estimate(
            expected=expected,
            low=low,
            high=high,
            confidence=confidence,
            method=self.method,
            factors=self._factors(now),
        )

    def _interval(self, now: float) -> tuple[float, float, float] | None:
        """Low, expected and high seconds left by our own counts."""
        if self._total is None or self._started_at is None or self._done > self._total:
            return None
        left = self._total - self._done
        if left == 0:
            return 0.0, 0.0, 0.0
        overdue = self._overdue(now)
        pace, usual_pace = self._pace(overdue), self._pace(0.0)
        if not pace or not usual_pace or not self._units > 0:
            return None
        # The step in hand counts down in real time, but never to nothing: one that is late is late by as much again.
        step = self._units / self._gaps
        in_hand = min(step, left)
        silent = (self._active(now) - self._changed_at) * in_hand / step
        usual = in_hand * usual_pace
        in_hand_seconds = max(usual - silent, _LEAST_RESIDUAL * usual, overdue * in_hand / step)
        growth = self._growing()
        expected = (in_hand_seconds + (left - in_hand) * pace) * (1.0 + growth / 2)
        scale = self._scale(pace, overdue)
        low, high = expected * exp(-_LOW_SCALES * scale), expected * exp(_HIGH_SCALES * scale) * (1.0 + growth)
        return (low, expected, high) if isfinite(high) else None

    def _active(self, now: float) -> float:
        """Seconds worked since the start, pauses taken out, never going back."""
        assert self._started_at is not None  # noqa: S101  # callers checked
        until = now if self._paused_at is None else min(now, self._paused_at)
        return max(until - self._started_at - self._paused_seconds, self._changed_at)

    def _gap(self) -> float:
        """Seconds between two changes, usually."""
        return max(self._seconds / self._gaps, _SHORTEST_GAP_SECONDS) if self._gaps > 0 else 0.0

    def _overdue(self, now: float) -> float:
        """Seconds of silence beyond the usual gap."""
        if self._started_at is None or not self._gaps > 0:
            return 0.0
        return max(self._active(now) - self._changed_at - self._gap(), 0.0)

    def _pace(self, overdue: float) -> float | None:
        """Seconds per unit, with the silence charged; ``None`` before the first advance."""
        done, active = self._origin
        seconds = self._recent_share * (self._seconds + overdue) + (self._changed_at - active + overdue)
        units = self._recent_share * self._units + (self._done - done)
        return seconds / units if units > 0 and seconds > 0 and isfinite(seconds / units) else None

    def _growing(self) -> float:
        """Units the total gains for each unit done, 0..1: extrapolating more than that makes it worse."""
        return min(max(self._growth / self._units, 0.0), 1.0) if self._units > 0 else 0.0

    def _scale(self, pace: float, overdue: float) -> float:
        """Half width of the interval in log time: few advances, a speed that drifts, and silence widen it."""
        done, active = self._origin
        mean_pace = (self._changed_at - active + overdue) / (self._done - done)
        recent_pace = (self._seconds + overdue) / self._units if self._units > 0 else pace
        drift = abs(log(mean_pace / recent_pace)) if mean_pace > 0 and recent_pace > 0 else 0.0
        scale = 0.25 + 0.6 / sqrt(self._changes) + 0.5 * drift + 0.25 * log1p(overdue / self._gap())
        return min(scale, _WIDEST_SCALE)

    def _factors(self, now: float) -> tuple[str, ...]:
        factors: list[str] = []
        if self._paused_at is not None:
            factors.append("paused")
        overdue = self._overdue(now)
        if overdue > self._gap():
            factors.append(f"no advance for {self._active(now) - self._changed_at:.0f} s")
        if self._growing() > 0:
            factors.append("growing total")
        if self._changes < _FEW_CHANGES:
            factors.append("warm-up")
        return tuple(factors)
