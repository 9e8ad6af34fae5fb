"""History: earlier runs as a measure of the work, and today's speed against it."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import exp, log, sqrt
from statistics import NormalDist, fmean, median
from typing import Final, NamedTuple, Protocol

from otel_progress._model import Profile
from otel_progress.eta._series import Series, between

RUNS_USED: Final = 4
"""Earlier runs that the axis is made of, the newest first, each with half the say of the one after it."""
_PRIOR_SHARE: Final = 0.02
"""Evidence for the speed of the earlier runs, as a share of a run: today's speed takes over from there."""
_LOOK_BACK: Final = 3.0
"""Today's speed is measured over this many times what is left."""
_LIKE: Final = 0.03
_OTHER: Final = 1.0
"""Standard deviations of the log of today's speed against the last time's: on a day like that, and on another."""
_LIKE_SAY: Final = 0.4
"""How often it is a day like that."""
_LEAST_DOUBT: Final = 0.02
_PASSED_DOUBT: Final = 0.0005
"""
Doubt about a measured speed: where all blocks agree, and the variance for a run of which one run has passed.

Blocks of one part of a run agree with each other more than with the rest: recorded runs wander by a tenth and more.
"""
_SLOWEST_LOG: Final = 600.0
_SLOWEST: Final = exp(_SLOWEST_LOG)
"""Where numbers end."""
_BLOCKS: Final = 8
_STARTS: Final = 4
_STEP_BACK: Final = 0.7
_UNKNOWN_ERROR: Final = 0.3
_LENGTHS_APART: Final = 0.35
"""Standard deviation of the log of a run's length where one earlier run is all that is known."""
_NORMAL: Final = NormalDist()


class Axis:
    """Seconds that earlier runs needed, in the mean, up to each share of their items."""

    __slots__ = ("seconds", "shares")

    def __init__(self, runs: Sequence[tuple[Profile, float]]) -> None:
        curves = [(array("d", [y for _, y in run.curve]), array("d", [x for x, _ in run.curve])) for run, _ in runs]
        says = [0.5**age for age in range(len(runs))]
        lengths = [scale * run.seconds * say / sum(says) for (run, scale), say in zip(runs, says, strict=True)]
        if len(runs) == 1:
            self.shares, times = curves[0]
            self.seconds = array("d", [lengths[0] * x for x in times])
            return
        self.shares = array("d", sorted({y for shares, _ in curves for y in shares}))
        self.seconds = array("d", bytes(8 * len(self.shares)))
        for (shares, times), length in zip(curves, lengths, strict=True):
            for index, share in enumerate(self.shares):
                self.seconds[index] += length * between(shares, times, bisect_left(shares, share), share)

    def at(self, share: float) -> float:
        """Return the seconds up to this share."""
        return between(self.shares, self.seconds, bisect_left(self.shares, share), share)

    def share_at(self, seconds: float) -> float:
        """Return the share reached after so many seconds."""
        return between(self.seconds, self.shares, bisect_left(self.seconds, seconds), seconds)


class Road(Protocol):
    """A run on its way along an axis: positions are seconds of the earlier runs, times are today's."""

    whole: float
    here: float
    """Where the run stands."""
    next: float
    """Where it will stand after the advance in hand."""
    begin: float
    """Where today's measurement began."""

    def time_of(self, position: float) -> float:
        """Return when the run passed there."""
        ...


class ByShare:
    """A road by the share of the items done."""

    __slots__ = ("_axis", "_series", "_total", "begin", "here", "next", "whole")

    def __init__(self, axis: Axis, series: Series, total: float, step: float) -> None:
        self._axis, self._series, self._total = axis, series, total
        done = series.units[-1]
        self.whole = axis.at(1.0)
        self.here = axis.at(done / total)
        self.next = axis.at(min((done + step) / total, 1.0))
        self.begin = axis.at(series.units[0] / total)

    def time_of(self, position: float) -> float:
        """Return when the run passed there."""
        return self._series.time_at(self._axis.share_at(position) * self._total)


class ByItem:
    """A road by what the items done cost an earlier run."""

    __slots__ = ("_series", "begin", "here", "next", "whole")

    def __init__(self, series: Series, ahead: float, step: float) -> None:
        self._series = series
        self.here = series.work[-1]
        self.whole = self.here + ahead
        self.next = min(self.here + step, self.whole)
        self.begin = series.work[0]

    def time_of(self, position: float) -> float:
        """Return when the run passed there."""
        return self._series.time_at_work(position)


class Evidence(NamedTuple):
    """
    How well the axis fits today's run.

    Attributes:
        variation: How much today's speed on it varies: the standard deviation over the mean of eight blocks.
        error: What it would have been wrong by so far (in log time), or ``None``.
    """

    variation: float
    error: float | None


class Today(NamedTuple):
    """
    What the earlier runs say today.

    Attributes:
        seconds: Left.
        slowness: Today's seconds for one second of theirs.
        scale: Half width in log time.
    """

    seconds: float
    slowness: float
    scale: float


def fits(road: Road) -> Evidence:
    """Return how well the axis fits, by looking back at this run."""
    prior = _PRIOR_SHARE * road.whole
    return Evidence(_variation(road, _since(road)), _error(road, prior))


def today(road: Road, evidence: Evidence, now: float, silent: float) -> Today:
    """
    Return the seconds left: the rest of the axis at today's speed, with silence charged where theirs was shorter.

    ``now`` is when the run got to where it stands.
    """
    left = road.whole - road.here
    start = _since(road)
    travelled, seconds = road.here - start, now - road.time_of(start)
    in_hand = road.next - road.here
    slowness = slowness_of(travelled, seconds, road.whole, evidence.variation)
    overdue = max(silent - in_hand * slowness, 0.0)
    if overdue:  # the advance in hand has cost that much already
        slowness = max(slowness_of(travelled + in_hand, seconds + silent, road.whole, evidence.variation), slowness)
    usual = in_hand * slowness
    residual = max(usual - silent, 0.25 * usual, overdue)
    passed = road.here / road.whole if road.whole > 0 else 1.0
    return Today(
        seconds=residual + (left - in_hand) * slowness,
        slowness=slowness,
        scale=_scale(evidence, passed),
    )


def _scale(evidence: Evidence, passed: float) -> float:
    """Return the half width in log time; fitted to pairs of recorded runs by their interval score."""
    error = _UNKNOWN_ERROR if evidence.error is None else evidence.error
    return 0.1 + 0.35 * evidence.variation + 0.12 * error + 0.34 * exp(-passed / 0.03)


def _since(road: Road) -> float:
    """Return where today's speed is measured from."""
    return max(road.here - _LOOK_BACK * (road.whole - road.here), road.begin)


def slowness_of(travelled: float, seconds: float, whole: float, variation: float) -> float:
    """
    Return today's seconds for one second of the earlier runs: the posterior mean of its log.

    Either today is like the last time, give or take a little, or it is another machine, load or data: two normal
    distributions with equal say beforehand. What was measured so far is as sure as the blocks agree, and as a share of
    the run has passed.
    """
    if not (travelled > 0 and seconds > 0):
        prior = _PRIOR_SHARE * whole
        return min((seconds + prior) / (travelled + prior), _SLOWEST) if prior > 0 else 1.0
    measured = min(log(seconds) - log(travelled), _SLOWEST_LOG)
    doubt = _LEAST_DOUBT**2 + variation * variation / _BLOCKS + _PASSED_DOUBT * whole / travelled
    like, other = _LIKE**2, _OTHER**2
    says = [
        exp(-measured * measured / (2 * (spread + doubt))) / (spread + doubt) ** 0.5 * prior
        for spread, prior in ((like, _LIKE_SAY), (other, 1 - _LIKE_SAY))
    ]
    if not sum(says) > 0:
        return exp(measured)
    shrunk = (says[0] * like / (like + doubt) + says[1] * other / (other + doubt)) / sum(says)
    return exp(measured * shrunk)


def _variation(road: Road, start: float) -> float:
    width = (road.here - start) / _BLOCKS
    if not width > 0:
        return 0.0
    times = [road.time_of(start + width * block) for block in range(_BLOCKS + 1)]
    blocks = [after - before for before, after in pairwise(times)]
    mean = fmean(blocks)
    if not mean > 0:
        return 0.0
    return sqrt(sum((block - mean) ** 2 for block in blocks) / _BLOCKS) / mean


def _error(road: Road, prior: float) -> float | None:
    """Return the mean error of looks back at this run, each as far ahead as now compared with what was known."""
    behind = road.here - road.begin
    if not behind > 0:
        return None
    ratio = min((road.whole - road.here) / behind, 2.0)
    origin = road.time_of(road.begin)
    errors = []
    for _ in range(_STARTS):
        stand = road.begin + behind / (1 + ratio)
        then, end = road.time_of(stand), road.time_of(road.begin + behind)
        if end > then:
            slowness = (then - origin + prior) / (stand - road.begin + prior)
            guess = slowness * (road.begin + behind - stand)
            errors.append(min(abs(log(guess) - log(end - then)), 3.0) if guess > 0 else 3.0)
        behind *= _STEP_BACK
    return fmean(errors) if errors else None


class Length:
    """How long a run takes, where nothing else is known: a log-normal around the earlier ones."""

    __slots__ = ("_centre", "_spread")

    def __init__(self, seconds: Sequence[float]) -> None:
        logs = [log(each) for each in seconds]
        self._centre = median(logs)
        apart = (sum((each - self._centre) ** 2 for each in logs) / len(logs)) ** 0.5
        self._spread = (_LENGTHS_APART + apart * (len(logs) - 1)) / len(logs)

    def left(self, elapsed: float) -> tuple[float, float, float]:
        """Return low, expected and high seconds left of a run that has lasted so long already: 10, 50 and 90 %."""
        over = _NORMAL.cdf((log(elapsed) - self._centre) / self._spread) if elapsed > 0 else 0.0
        low, middle, high = (
            exp(self._centre + self._spread * _NORMAL.inv_cdf(min(over + (1 - over) * part, _ALMOST_SURE)))
            for part in (0.1, 0.5, 0.9)
        )
        # Far beyond every earlier run there is no other measure than the time it is late by.
        late = max(elapsed - exp(self._centre), 0.0)
        return max(low - elapsed, 0.0), max(middle - elapsed, 0.1 * late), max(high - elapsed, late)


_ALMOST_SURE: Final = 1 - 1e-9


class History:
    """The earlier runs that completed, newest first."""

    __slots__ = ("_axis", "_axis_for", "length", "runs", "total")

    def __init__(self, profiles: Iterable[Profile]) -> None:
        usable = [run for run in profiles if run.outcome == "completed" and run.seconds > 0]
        order = sorted(enumerate(usable), key=lambda pair: (pair[1].ended_at or 0.0, pair[0]), reverse=True)
        self.runs = tuple(run for _, run in order[:RUNS_USED])
        self.total = next((run.total for run in self.runs if run.total), None)
        self.length = Length([run.seconds for run in self.runs]) if self.runs else None
        self._axis: Axis | None = None
        self._axis_for: float | None = None

    def axis(self, total: float) -> Axis | None:
        """Return what so many items would have taken; ``None`` without a curve. Twice the items take twice as long."""
        if self._axis is None or abs(total - (self._axis_for or 0.0)) > 0.01 * total:
            counted = [(run, total / run.total) for run in self.runs if run.curve and run.total]
            if not counted:
                return None
            self._axis, self._axis_for = Axis(counted), total
        return self._axis
