"""The mixture: simple predictors, each with as much say as it would have deserved so far in this very run."""

from __future__ import annotations

from math import copysign, exp, inf, log
from operator import mul
from typing import Final, NamedTuple

from otel_progress.eta._series import Series

_SHARPNESS: Final = 5.0
"""How much a predictor's say falls with its error in the run so far; fitted to recorded jobs."""
_MIDDLE_BEGIN: Final = 0.4
_MIDDLE_END: Final = 0.8
_STARTS: Final = 8
_STEP_BACK: Final = 0.85
_FARTHEST: Final = 2.0
"""The run so far is asked for at most twice of what was known at each start."""
_LARGEST_ERROR: Final = 3.0
_NO_TIME: Final = 1e-9
"""Share of the run that is noise of rounding."""
_STEEPEST: Final = 2.5
_FLATTEST: Final = 0.4
_FARTHEST_OFF: Final = 4.0
"""Times the mean that the power law may say: two points bent by chance foretell thousands of times the work."""
_LOG_2: Final = log(2.0)
_PREDICTORS: Final = 4


class Weights(NamedTuple):
    """The say of each predictor, and the error that their mixture would have made so far (in log time)."""

    say: tuple[float, ...]
    error: float | None


EVEN: Final = Weights((1.0 / _PREDICTORS,) * _PREDICTORS, None)


class Outlook(NamedTuple):
    """Seconds for the units ahead, and how far apart the predictors are (in log time)."""

    seconds: float
    spread: float


def predictions(series: Series, units: float, ahead: float, overdue: float = 0.0) -> list[float]:
    """
    Return the seconds that each predictor gives ``ahead`` more units, standing at ``units``.

    What was known then is all that is used. ``overdue`` is silence since, charged as cost.
    """
    start, origin = series.times[0], series.units[0]
    first, begun = series.times[1], series.units[1]
    time_at = series.time_at
    now = time_at(units)
    done, elapsed = units - origin, now - start
    late = now + overdue
    mean = (elapsed + overdue) / done
    whole = mean * ahead
    # Looking back as far as there is nothing is the mean.
    half_back = (late - time_at(units - 0.5 * ahead)) * 2 if ahead < 2 * done else whole
    since_first = (late - first) / (units - begun) * ahead if units > begun and now > first else whole
    half = time_at(origin + 0.5 * done) - start
    slope = log(elapsed / half) / _LOG_2 if elapsed > half > 0 else 1.0
    slope = _FLATTEST if slope < _FLATTEST else min(slope, _STEEPEST)
    power = (elapsed + overdue) * ((1 + ahead / done) ** slope - 1)
    farthest = _FARTHEST_OFF * whole
    return [whole, since_first, half_back, min(farthest, power)]


def weigh(series: Series, ahead: float) -> Weights:
    """
    Return the say of each predictor by a self-similar look back.

    To predict r times the work done so far, it stands where the same was to be done of work that is known by now, and
    compares. A method that is right on this kind of run at this distance wins: no estimator is best on all, and
    choosing among them is worth more than any one of them (König et al., VLDB 2011).
    """
    origin, units = series.units[0], series.units[-1]
    ratio = min(ahead / (units - origin), _FARTHEST)
    shortest = _NO_TIME * (series.times[-1] - series.times[0])
    time_at = series.time_at
    losses = [0.0] * _PREDICTORS
    signed: list[list[float]] = []
    reach = units - origin
    for _ in range(_STARTS):
        stand = reach / (1 + ratio)
        truth = time_at(origin + reach) - time_at(origin + stand)
        if truth > shortest:
            log_truth = log(truth)
            errors = []
            for index, seconds in enumerate(predictions(series, origin + stand, reach - stand)):
                error = log(seconds) - log_truth if seconds > 0 else -_LARGEST_ERROR
                if not -_LARGEST_ERROR <= error <= _LARGEST_ERROR:
                    error = copysign(_LARGEST_ERROR, error)
                errors.append(error)
                losses[index] += abs(error)
            signed.append(errors)
        reach *= _STEP_BACK
    if not signed:
        return EVEN
    say = [exp(-_SHARPNESS * loss / len(signed)) for loss in losses]
    whole = sum(say)
    say = [each / whole for each in say]
    error = sum(abs(sum(map(mul, say, errors))) for errors in signed) / len(signed)
    return Weights(tuple(say), error)


def mix(series: Series, weights: Weights, ahead: float, overdue: float) -> Outlook | None:
    """
    Return what the middle of the predictors says, by weight, of ``ahead`` units from where the run stands.

    The middle is the geometric mean of those between two quantiles: one predictor far off must not pull. It lies above
    the median, as runs slow down further than they speed up.
    """
    rated: list[tuple[float, float]] = []
    centre = square = 0.0
    for weight, seconds in zip(weights.say, predictions(series, series.units[-1], ahead, overdue), strict=True):
        if not 0 < seconds < inf:
            return None
        value = log(seconds)
        rated.append((value, weight))
        centre += weight * value
        square += weight * value * value
    rated.sort()
    passed = total = said = 0.0
    for value, weight in rated:
        inside = min(passed + weight, _MIDDLE_END) - max(passed, _MIDDLE_BEGIN)
        if inside > 0:
            total += inside * value
            said += inside
        passed += weight
    spread = max(square - centre * centre, 0.0) ** 0.5
    return Outlook(exp(min(total / said, 700.0)), spread)
