"""The estimator: sums of work and time, forgotten at a pace the method chooses, aged by silence."""

from __future__ import annotations

from collections.abc import Iterable
from math import exp, isfinite, log, log1p, sqrt
from typing import Final

from otel_progress._model import ChildView, Estimate, Sample
from otel_progress.errors import ConfigError

METHODS: Final[dict[str, float | None]] = {"linear": None, "exponential": 0.2}
"""Method -> memory as a share of the active time; ``None`` never forgets: the mean of the whole run."""

DEFAULT_METHOD: Final = "exponential"

_LOW_SCALES: Final = 1.28
_HIGH_SCALES: Final = 1.9
"""Ends of the 80 % interval in scales of log time. The upper is wider: runs slow down further than they speed up."""


class Estimator:
    """
    Estimate the seconds left of one level.

    Feed it with `observe` (or `record`) and ask `estimate`; every ``now`` is monotonic seconds, passed in. Constants are
    shares of the run, never seconds, so the same job thirty times longer gets the same relative answer. Silence is
    evidence: up to the usual gap between two advances the estimate counts down, beyond it the silence is charged as
    cost. Pauses are taken out. Not thread-safe: the caller has the lock.

    Args:
        total: Units in all, ``None`` while unknown.
        history: Profiles of earlier runs; none of the methods here uses them.
        method: ``"linear"``, the mean of the whole run, or ``"exponential"``, which remembers the last fifth of it.

    Raises:
        ConfigError: There is no such method.
    """

    __slots__ = (
        "_changed_at",
        "_changes",
        "_done",
        "_gaps",
        "_memory",
        "_paused_at",
        "_paused_seconds",
        "_started_at",
        "_started_done",
        "_total",
        "_total_grew",
        "_weighted_seconds",
        "_weighted_units",
        "method",
    )

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
        self._memory = METHODS[method]
        self._total = total
        self._total_grew = False
        self._started_at: float | None = None
        self._started_done = 0.0
        self._done = 0.0
        self._changed_at = 0.0  # active seconds since the start
        self._changes = 0
        self._gaps = self._weighted_units = self._weighted_seconds = 0.0
        self._paused_at: float | None = None
        self._paused_seconds = 0.0

    def observe(self, sample: Sample) -> None:
        """Take one sample in; a ``done`` below the last one starts the measurement anew from there."""
        self.set_total(sample.total, sample.now)
        self.record(sample.done, sample.now)

    def record(self, done: float, now: float) -> None:
        """Take in that ``done`` units are done at ``now``."""
        if self._started_at is None:
            self._started_at = now
            self._started_done = self._done = done
            return
        if done == self._done:
            return
        active = self._active(now)
        if done < self._done:
            self._gaps = self._weighted_units = self._weighted_seconds = 0.0
        else:
            seconds = active - self._changed_at
            kept = self._kept(seconds, active)
            self._weighted_units = self._weighted_units * kept + (done - self._done)
            self._weighted_seconds = self._weighted_seconds * kept + seconds
            self._gaps = self._gaps * kept + 1.0
            self._changes += 1
        self._done = done
        self._changed_at = active

    def set_total(self, total: float | None, now: float) -> None:  # noqa: ARG002  # part of the seam
        """Take in a total that is new, grown, shrunk or lost."""
        self._total_grew = self._total_grew or (total is not None and self._total is not None and total > self._total)
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
            self._paused_seconds += max(0.0, now - self._paused_at)
            self._paused_at = None

    def rate(self, now: float) -> float | None:
        """Return units per second, aged by silence; ``None`` before the first advance."""
        if self._started_at is None or not self._weighted_seconds > 0:
            return None
        units, seconds, _ = self._aged(now)
        return units / seconds

    def estimate(self, now: float, children: Iterable[ChildView] = ()) -> Estimate | None:
        """
        Return the time left as seen at ``now``, or ``None`` while it cannot be known.

        Unknown means: no advance yet, no total, or more done than the total. No parent ends before its children, so
        their estimates are a floor.
        """
        if self._total is None or self._started_at is None or self._done > self._total:
            return None
        left = self._total - self._done
        if left == 0:
            floor = max((c.eta.expected for c in children if c.eta), default=0.0)
            return Estimate(expected=floor, low=0.0, high=floor, confidence=1.0, method=self.method)
        if not self._weighted_seconds > 0:
            return None
        units, seconds, overdue = self._aged(now)
        pace = seconds / units
        gap = self._weighted_seconds / self._gaps
        silent = self._active(now) - self._changed_at
        # Inside the usual gap the next advance is under way; its share counts down in real time.
        under_way = min(silent / gap, 1.0) * self._weighted_units / self._gaps
        expected = max(left - under_way, 0.0) * pace
        scale = self._scale(pace, overdue / gap, now)
        low, high = expected * exp(-_LOW_SCALES * scale), expected * exp(_HIGH_SCALES * scale)
        for child in children:
            if child.eta:
                low, expected, high = (
                    max(low, child.eta.low),
                    max(expected, child.eta.expected),
                    max(high, child.eta.high),
                )
        if not isfinite(high):
            return None
        return Estimate(
            expected=expected,
            low=low,
            high=high,
            confidence=1.0 / (1.0 + scale * (_LOW_SCALES + _HIGH_SCALES)),
            method=self.method,
            factors=self._factors(overdue),
        )

    def _active(self, now: float) -> float:
        """Seconds worked since the start, pauses taken out, never going back."""
        assert self._started_at is not None  # noqa: S101  # callers checked
        until = now if self._paused_at is None else min(now, self._paused_at)
        return max(until - self._started_at - self._paused_seconds, self._changed_at)

    def _kept(self, seconds: float, active: float) -> float:
        """Share of the old evidence that is still believed after ``seconds`` more."""
        if self._memory is None or not active > 0:
            return 1.0
        return exp(-seconds / (self._memory * active))

    def _aged(self, now: float) -> tuple[float, float, float]:
        """Units and seconds with the silence beyond the usual gap charged, and that silence."""
        active = self._active(now)
        overdue = max(active - self._changed_at - self._weighted_seconds / self._gaps, 0.0)
        kept = self._kept(overdue, active)
        return self._weighted_units * kept, self._weighted_seconds * kept + overdue, overdue

    def _scale(self, pace: float, overdue_gaps: float, now: float) -> float:
        """Half width of the interval in log time: few advances, drift from the mean and silence all widen it."""
        mean_pace = self._active(now) / (self._done - self._started_done) if self._done > self._started_done else pace
        drift = abs(log(mean_pace / pace)) if mean_pace > 0 else 0.0
        growth = 0.3 if self._total_grew else 0.0
        return 0.1 + 0.6 / sqrt(self._changes) + 0.5 * drift + 0.25 * log1p(overdue_gaps) + growth

    def _factors(self, overdue: float) -> tuple[str, ...]:
        factors = []
        if self._paused_at is not None:
            factors.append("paused")
        if overdue > 0 and overdue > self._weighted_seconds / self._gaps:
            factors.append(f"no advance for {overdue + self._weighted_seconds / self._gaps:.0f} s")
        if self._total_grew:
            factors.append("growing total")
        if self._changes < 5:  # noqa: PLR2004  # fewer tell nothing about the spread
            factors.append("warm-up")
        return tuple(factors)
