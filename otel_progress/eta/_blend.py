"""The time left by a level's own counts: the method's pace, the mixture, and history as far as it deserves."""

from __future__ import annotations

from math import exp, log
from typing import Final, NamedTuple

from otel_progress.eta._history import ByItem, ByShare, Evidence, History, fits, today
from otel_progress.eta._items import KnownItems
from otel_progress.eta._mixture import EVEN, Outlook, Weights, mix, weigh
from otel_progress.eta._pace import RECENT_SHARE, Pace
from otel_progress.eta._series import Series
from otel_progress.eta._sizes import Sizes, fit, weighted

_LEAST_RESIDUAL: Final = 0.25
"""Share of the usual time: the least that the step in hand is taken to need, as nobody knows when it is done."""
_LOW_SCALES: Final = 1.28
_HIGH_SCALES: Final = 1.9
"""Ends of the 80 % interval in scales of log time. The upper is wider: runs slow down further than they speed up."""
_STALE: Final = 1.02
"""The look back is done anew when the run has grown by this factor."""
_TRUST: Final = 5.0
_SWITCH: Final = 14.0
"""Log odds for the earlier runs beforehand, and against them for each unit of error in log time beyond our own."""
_UNKNOWN_ERROR: Final = 0.5
_TINY: Final = 1e-9


class Answer(NamedTuple):
    """
    Seconds left, and how far down and up in log time the ends of the interval are.

    Attributes:
        slowness: Today's seconds for one second of the earlier runs, where those were asked.
        say: What share of the answer is the earlier runs'.
    """

    expected: float
    down: float
    up: float
    slowness: float | None = None
    say: float = 0.0


class Blend:
    """
    Answers for one level since its measurement began; keeps the looks back until the run has moved on.

    There are two, one for the mixture and one for the earlier runs. They are made anew in turn, not in one estimate,
    which they would make twice as dear.
    """

    __slots__ = ("_at", "_fits", "_fits_at", "_fits_due", "_prices", "_weighed", "_weights")

    def __init__(self) -> None:
        self._weighed = self._fits_due = False
        self._weights = EVEN
        self._prices: tuple[float, float] | None = None
        self._fits = Evidence(0.0, None)
        self._fits_at: tuple[float, float, float] | None = None
        self._at = (0.0, 0.0, 0.0)

    def by_pace(self, pace: Pace, left: float, active: float, recent_share: float) -> Answer | None:
        """Return the answer of one pace for everything."""
        overdue = pace.overdue(active)
        seconds = pace.seconds_per_unit(recent_share, overdue)
        if seconds is None or not pace.known:
            return None
        in_hand, step_seconds = _in_hand(pace, left, active, recent_share)
        scale = pace.scale(overdue)
        return Answer(step_seconds + (left - in_hand) * seconds, _LOW_SCALES * scale, _HIGH_SCALES * scale)

    def adaptive(self, pace: Pace, series: Series, left: float, active: float, sizes: Sizes | None) -> Answer | None:
        """Return the answer of the mixture; of sizes, where they are known ahead and explain the time better."""
        its_turn, self._fits_due, self._weighed = not self._fits_due, False, False
        if not pace.known or pace.seconds_per_unit(RECENT_SHARE, 0.0) is None:
            return None
        size_left = None if sizes is None or sizes.total is None else sizes.total - sizes.done
        stale = self._weighed = its_turn and self._is_stale(pace, left)
        if stale:
            self._prices = fit(series) if size_left is not None else None
        worth = left
        if self._prices is not None and size_left is not None:
            series = weighted(series, self._prices)
            worth = self._prices[0] * left + self._prices[1] * max(size_left, 0.0)
        if stale:
            self._weights = weigh(series, worth)
            self._at = (pace.done - pace.origin[0], pace.changed_at - pace.origin[1], left)
        overdue = pace.overdue(active)
        in_hand, step_seconds = _in_hand(pace, left, active, RECENT_SHARE)
        outlook = mix(series, self._weights, worth * max(1 - in_hand / left, _TINY), overdue)
        if outlook is None:
            return None
        rest = outlook.seconds if left > in_hand else 0.0
        done = pace.done - pace.origin[0]
        down, up = _half_widths(outlook, self._weights, done / (done + left))
        silence = pace.silence(overdue)
        return Answer(step_seconds + rest, down + silence, up + silence)

    def _is_stale(self, pace: Pace, left: float) -> bool:
        """Whether the run has moved on since the last look back."""
        done, seconds, then_left = self._at
        return (
            pace.done - pace.origin[0] > _STALE * done
            or pace.changed_at - pace.origin[1] > _STALE * seconds
            or not left <= _STALE * then_left <= _STALE * _STALE * left
        )

    def with_history(
        self, own: Answer | None, road: ByItem | ByShare, pace: Pace, active: float, *, trusted: bool
    ) -> Answer:
        """
        Return the earlier runs' answer, mixed with our own as far as that would have done better in this run.

        Beforehand the earlier runs have nearly all the say; the more of their way has passed, the more a look back
        counts that shows them wrong.
        """
        moved = (pace.done, pace.changed_at, road.whole)
        if self._fits_at is None or not _close(moved, self._fits_at):
            self._fits_due = self._weighed and self._fits_at is not None
            if not self._fits_due:
                self._fits, self._fits_at = fits(road), moved
        evidence = self._fits
        told = today(road, evidence, pace.changed_at, active - pace.changed_at)
        down = up = 1.28 * told.scale
        if own is None or trusted or evidence.error is None:
            return Answer(told.seconds, down, up, told.slowness, 1.0)
        error = _UNKNOWN_ERROR if self._weights.error is None else self._weights.error
        passed = min(road.here / road.whole / 0.3, 1.0)
        say = 1 / (1 + exp(min(_SWITCH * (evidence.error - error) * passed - _TRUST, 50.0)))
        apart = abs(log(max(told.seconds, _TINY) / max(own.expected, _TINY)))
        return Answer(
            exp(say * log(max(told.seconds, _TINY)) + (1 - say) * log(max(own.expected, _TINY))),
            say * down + (1 - say) * (own.down + say * apart),
            say * up + (1 - say) * (own.up + say * apart),
            told.slowness,
            say,
        )


def road_of(
    history: History, items: KnownItems | None, pace: Pace, series: Series, total: float
) -> ByItem | ByShare | None:
    """Return where this run is on the way of the earlier ones: by item where items are known, else by share."""
    left = total - pace.done
    step = pace.step() if pace.known else 1.0
    road: ByItem | ByShare
    if items is not None and items.met >= 0.5 * (pace.done - pace.origin[0]) and items.matched >= 0.3 * items.met:
        road = ByItem(series, items.ahead(left), items.ahead(min(step, left)))
    else:
        axis = history.axis(total)
        if axis is None:
            return None
        road = ByShare(axis, series, total, step)
    return road if road.whole > road.here else None


def _close(now: tuple[float, float, float], then: tuple[float, float, float]) -> bool:
    return all(a <= _STALE * b and b <= _STALE * a for a, b in zip(now, then, strict=True))


def _in_hand(pace: Pace, left: float, active: float, recent_share: float) -> tuple[float, float]:
    """
    Return the units of the step in hand and its seconds left.

    It counts down in real time, but never to nothing: one that is late is late by as much again.
    """
    step = pace.step()
    in_hand = min(step, left)
    silent = (active - pace.changed_at) * in_hand / step
    usual = in_hand * (pace.seconds_per_unit(recent_share, 0.0) or 0.0)
    return in_hand, max(usual - silent, _LEAST_RESIDUAL * usual, pace.overdue(active) * in_hand / step)


def _half_widths(outlook: Outlook, weights: Weights, passed: float) -> tuple[float, float]:
    """Return how far down and up the interval goes in log time: fitted to recorded jobs by quantiles of the error."""
    error = _UNKNOWN_ERROR if weights.error is None else weights.error
    left = max(1 - passed, _TINY)
    scale = exp(
        0.03
        + 0.84 * log(0.03 + outlook.spread)
        + 0.11 * log(0.03 + error)
        - 0.22 * log(max(passed, _TINY))
        + 0.05 * log(left)
    )
    return min(2.13 * scale, 20.0), min(3.14 * scale, 20.0)
