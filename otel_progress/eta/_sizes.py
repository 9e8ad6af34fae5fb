"""Sizes of items, where they explain the time better than their number: seconds = a x items + b x size."""

from __future__ import annotations

from array import array
from itertools import pairwise
from typing import Final

from otel_progress.eta._series import Series

_BLOCKS: Final = 16
_LEAST_POINTS: Final = 8
_BETTER: Final = 0.5
"""The fit with sizes is used where it leaves less than this part of the squares that the count alone leaves."""


class Sizes:
    """Size done, and of all items together where that is known."""

    __slots__ = ("done", "total")

    def __init__(self) -> None:
        self.done = 0.0
        self.total: float | None = None


def fit(series: Series) -> tuple[float, float] | None:
    """
    Return the price of an item and of a unit of size, both from 0 on; ``None`` where sizes explain no more.

    Least squares over sixteen parts of the run; a set-up of each item beside its size is what makes neither unit right
    alone (LZMA: off by 11 % in files, 21 % in bytes).
    """
    if len(series) < _LEAST_POINTS or not series.work[-1] > series.work[0]:
        return None
    begin, end = series.units[0], series.units[-1]
    marks = [series.time_at(begin + (end - begin) * part / _BLOCKS) for part in range(_BLOCKS + 1)]
    units = (end - begin) / _BLOCKS
    tt = tw = ww = t_sum = w_sum = 0.0
    for before, after in pairwise(marks):
        seconds, size = after - before, series.work_at(after) - series.work_at(before)
        tt += seconds * seconds
        tw += seconds * size
        ww += size * size
        t_sum += seconds
        w_sum += size
    uu, tu, uw = _BLOCKS * units * units, t_sum * units, w_sum * units
    determinant = uu * ww - uw * uw
    if not determinant > 0:
        return None
    per_item, per_size = (tu * ww - tw * uw) / determinant, (tw * uu - tu * uw) / determinant
    if per_item < 0:
        per_item, per_size = 0.0, tw / ww
    if not per_size > 0:
        return None
    with_size = (
        tt
        - 2 * (per_item * tu + per_size * tw)
        + per_item * per_item * uu
        + 2 * per_item * per_size * uw
        + per_size * per_size * ww
    )
    count_alone = tt - tu * tu / uu
    return (per_item, per_size) if with_size < _BETTER * count_alone else None


def weighted(series: Series, prices: tuple[float, float]) -> Series:
    """Return the series with its units replaced by what they are worth at these prices."""
    per_item, per_size = prices
    copy = Series.__new__(Series)
    copy.times = series.times
    copy.units = array("d", [per_item * u + per_size * w for u, w in zip(series.units, series.work, strict=True)])
    copy.work = series.work
    return copy
