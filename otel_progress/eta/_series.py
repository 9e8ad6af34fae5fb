"""Where a run stood when: a bounded list of (active seconds, units done), thinned by shares of the run."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from typing import Final

POINTS: Final = 384
"""Points kept at most: three arrays of them take 9 KiB."""
_SPACING: Final = 160
"""After thinning, two points are at least this part of the run apart, in seconds or in units."""


class Series:
    """
    Points of a run, the last always exact; between two points it is taken to have gone straight.

    ``work`` is a third coordinate that rises with the others: what the items done were known to cost, or their size.
    """

    __slots__ = ("_seconds_apart", "_units_apart", "times", "units", "work")

    def __init__(self, seconds: float, units: float, work: float = 0.0) -> None:
        self.times = array("d", (seconds,))
        self.units = array("d", (units,))
        self.work = array("d", (work,))
        self._seconds_apart = self._units_apart = 0.0

    def __len__(self) -> int:
        return len(self.times)

    def add(self, seconds: float, units: float, work: float) -> None:
        """Take in where the run stands now, above where it stood before."""
        times = self.times
        apart = self._seconds_apart
        if apart and seconds - times[-2] < apart:
            done = self.units
            if units - done[-2] < self._units_apart and len(times) > 2:  # noqa: PLR2004  # the first advance stays
                times[-1], done[-1], self.work[-1] = seconds, units, work
                return
        times.append(seconds)
        self.units.append(units)
        self.work.append(work)
        if len(times) > POINTS:
            self._thin()

    def _thin(self) -> None:
        times, units, work = self.times, self.units, self.work
        self._seconds_apart = (times[-1] - times[0]) / _SPACING
        self._units_apart = (units[-1] - units[0]) / _SPACING
        kept = [0, 1]
        for index in range(2, len(times) - 1):
            last = kept[-1]
            if times[index] - times[last] >= self._seconds_apart or units[index] - units[last] >= self._units_apart:
                kept.append(index)
        kept.append(len(times) - 1)
        self.times, self.units, self.work = (array("d", [each[i] for i in kept]) for each in (times, units, work))

    def time_at(self, units: float) -> float:
        """Return when so many units were done; what `between` does, written out, as estimates live on it."""
        xs = self.units
        index = bisect_left(xs, units)
        if index == 0:
            return self.times[0]
        if index == len(xs):
            return self.times[-1]
        x0, y0 = xs[index - 1], self.times[index - 1]
        return y0 + (self.times[index] - y0) * ((units - x0) / (xs[index] - x0))

    def units_at(self, seconds: float) -> float:
        """Return how many units were done at that time."""
        return between(self.times, self.units, bisect_right(self.times, seconds), seconds)

    def time_at_work(self, work: float) -> float:
        """Return when so much of the third coordinate was done."""
        return between(self.work, self.times, bisect_left(self.work, work), work)

    def work_at(self, seconds: float) -> float:
        """Return how much of the third coordinate was done at that time."""
        return between(self.times, self.work, bisect_right(self.times, seconds), seconds)


def between(xs: array[float], ys: array[float], index: int, x: float) -> float:
    """Return y at ``x``, which lies between the points before ``index`` and at it."""
    if index == 0:
        return ys[0]
    if index == len(xs):
        return ys[-1]
    x0, y0 = xs[index - 1], ys[index - 1]
    width = xs[index] - x0
    return y0 + (ys[index] - y0) * ((x - x0) / width) if width > 0 else ys[index]
