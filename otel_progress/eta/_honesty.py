"""Honesty: a finished run scores what it was promised, and the intervals of the next are widened or narrowed by it."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable
from math import log
from typing import Final, NamedTuple

from otel_progress._model import Estimate

MARKS: Final = (0.25, 0.5, 0.75)
"""Shares of a run at which its promises are looked up."""
COVERAGE: Final = 0.8
"""Share of the truths that an interval should hold."""
STEP: Final = 0.15
"""How far one run moves the log of the scale at most: ten runs matter, one does not."""
WIDEST: Final = 1.5
"""The log of the scale stays within this; beyond a factor of 4.5, something else is wrong."""

_PROMISES: Final = 96
_SPACING: Final = 64
_LOOK_SECONDS: Final = 1.5
"""Looks are a second apart, or a little more: a promise that old is the newest there can be."""
_LARGEST_ERROR: Final = 5.0


class Verdict(NamedTuple):
    """
    What a promise was worth.

    Attributes:
        mark: Share of the run at which it was made.
        error: abs(ln(promised / true)), at most 5.
        inside: Whether the truth was in the interval.
    """

    mark: float
    error: float
    inside: bool


class Promises:
    """
    The promises of one run, thinned by shares of it.

    Times are active seconds since its start, rising. Not thread-safe: the caller has the lock.
    """

    __slots__ = ("_ends", "_highs", "_lows", "_times")

    def __init__(self) -> None:
        self._times, self._ends, self._lows, self._highs = (array("d") for _ in range(4))

    def add(self, active: float, estimate: Estimate | None) -> None:
        """Take down what is promised now; ``None`` promises nothing."""
        if estimate is None or (self._times and active - self._times[-1] < active / _SPACING):
            return
        self._times.append(active)
        self._ends.append(estimate.expected)
        self._lows.append(estimate.low)
        self._highs.append(estimate.high)
        if len(self._times) > _PROMISES:
            self._thin()

    def _thin(self) -> None:
        """Keep what is a 64th of the run apart: as it grows, early promises need not stand so close."""
        apart = self._times[-1] / _SPACING
        kept = [0]
        for index in range(1, len(self._times)):
            if self._times[index] - self._times[kept[-1]] >= apart:
                kept.append(index)
        self._times, self._ends, self._lows, self._highs = (
            array("d", [each[index] for index in kept]) for each in (self._times, self._ends, self._lows, self._highs)
        )

    def verdicts(self, seconds: float) -> tuple[Verdict, ...]:
        """Return what the promises at the marks were worth in a run of so many active seconds; none where none were."""
        found = []
        for mark in MARKS:
            index = bisect_right(self._times, mark * seconds) - 1
            # A promise of long before the mark is none at the mark.
            oldest = min((mark - 2 / _SPACING) * seconds * (1 - 2 / _SPACING), mark * seconds - _LOOK_SECONDS)
            if index < 0 or self._times[index] < oldest:
                continue
            true = seconds - self._times[index]
            if not true > 0:
                continue
            promised = self._ends[index]
            error = min(abs(log(promised / true)), _LARGEST_ERROR) if promised > 0 else _LARGEST_ERROR
            found.append(Verdict(mark, error, self._lows[index] <= true <= self._highs[index]))
        return tuple(found)


def recalibrated(calibration: float, verdicts: Iterable[Verdict]) -> float:
    """
    Return the log of the interval's scale after a run: wider if too few truths were inside, narrower if too many.

    Adaptive conformal inference (Gibbs & Candes, 2021): whatever the runs are like, the share inside comes to
    `COVERAGE` in the long run. The marks of one run are not independent, so it makes one step. The state is one number
    for each (operation, level), 0 at first.
    """
    inside = [verdict.inside for verdict in verdicts]
    if not inside:
        return calibration
    missed = 1 - sum(inside) / len(inside)
    return min(max(calibration + STEP * (missed - (1 - COVERAGE)), -WIDEST), WIDEST)
