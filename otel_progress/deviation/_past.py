"""What earlier runs of a level say about this one."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Final

from otel_progress._model import Profile
from otel_progress.names import State

RUNS_USED: Final = 8
"""Earlier runs that are looked at, the newest ones: what is older says little about the program of today."""

GRID: Final = 64
"""Parts into which the work is cut where the curves of several runs are averaged: as many as a profile has points."""

AROUND: Final = 1 / 512
"""Share of the work by which a pause may be earlier or later than it was."""


class Past:
    """
    The completed earlier runs, put together. Immutable.

    Attributes:
        runs: How many there are.
        seconds: Active seconds of a run, the median.
        longest: Active seconds of the longest run.
        total: Items of a run, the median; ``None`` where none counted any.
        longest_pause: Longest silence in active seconds, the longest of all runs.
        failed_share: Failed items over all items, of all runs together.
        peak_rss: Bytes, the largest of all runs.
        cpu_seconds: CPU seconds, the largest of all runs.
        quality: Last quality, the lowest of all runs.
        waited_share: Share of the active time spent waiting for rate limits, the largest of all runs.
        has_axis: Whether it is known how the time of a run is spread over its work: then `time_at` may be called.
    """

    __slots__ = (
        "_shares",
        "_times",
        "cpu_seconds",
        "failed_share",
        "has_axis",
        "longest",
        "longest_pause",
        "peak_rss",
        "quality",
        "runs",
        "seconds",
        "total",
        "waited_share",
    )

    def __init__(self, history: Iterable[Profile] = ()) -> None:
        usable = [each for each in history if each.outcome == State.COMPLETED and each.seconds > 0]
        usable.sort(key=lambda each: each.ended_at or 0.0)  # stable: undated ones stay as given, newest last
        usable = usable[-RUNS_USED:]
        counted = [each for each in usable if each.total]
        self.runs = len(usable)
        self.seconds = median(each.seconds for each in usable) if usable else 0.0
        self.longest = max((each.seconds for each in usable), default=0.0)
        self.total: float | None = median(each.total or 0.0 for each in counted) if counted else None
        self.longest_pause = _most(each.longest_pause for each in usable)
        items = sum(each.total or 0.0 for each in counted)
        self.failed_share: float | None = sum(each.failed for each in counted) / items if items else None
        self.peak_rss = _most(each.peak_rss for each in usable)
        self.cpu_seconds = _most(each.cpu_seconds for each in usable)
        self.quality = min((each.quality for each in usable if each.quality is not None), default=None)
        self.waited_share: float | None = max((each.waited_seconds / each.seconds for each in usable), default=None)
        curves = [each.curve for each in usable if len(each.curve) > 1]
        self.has_axis = bool(curves)
        self._shares, self._times = _axis(curves) if curves else ((0.0, 1.0), (0.0, 1.0))

    def time_at(self, share: float) -> float:
        """Return the share of its time that a run had needed when this share of its items was done."""
        return _interpolate(self._shares, self._times, share)

    def pause_around(self, share: float, step: float) -> float:
        """Return the share of its time that a run needed here: for one ``step`` (a share) and a little either side."""
        return self.time_at(share + step + AROUND) - self.time_at(share - AROUND)


def _most(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _axis(curves: Sequence[Sequence[tuple[float, float]]]) -> tuple[Sequence[float], Sequence[float]]:
    """Shares of the items and of the time, both rising: of the one run, or the mean of several."""
    columns = [([items for _, items in curve], [time for time, _ in curve]) for curve in curves]
    if len(columns) == 1:
        return columns[0]
    grid = [part / GRID for part in range(GRID + 1)]
    means = [sum(_interpolate(*column, share) for column in columns) / len(columns) for share in grid]
    return grid, means


def _interpolate(shares: Sequence[float], times: Sequence[float], share: float) -> float:
    """Return the time at a share. Where a pause makes it a range, its beginning: the silence is still to come."""
    right = bisect_left(shares, share)
    if right == len(shares):
        return 1.0
    if right == 0:
        return 0.0
    span = shares[right] - shares[right - 1]
    return times[right - 1] + (times[right] - times[right - 1]) * (share - shares[right - 1]) / span
