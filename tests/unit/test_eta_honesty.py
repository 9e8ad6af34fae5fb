"""A finished run scores its promises, and intervals are recalibrated from what came of them."""

from __future__ import annotations

import math
import random

import pytest

from otel_progress import Estimate
from otel_progress.eta import Estimator, Promises, Verdict, recalibrated


def promise(expected: float, low: float, high: float) -> Estimate:
    """Return an estimate."""
    return Estimate(expected=expected, low=low, high=high, confidence=0.5, method="linear")


def test_promises_are_scored_at_the_quarter_the_half_and_three_quarters() -> None:
    """A run of 100 s that promised its end at 150 s all along, with an interval of 30 s to either side."""
    promises = Promises()
    for second in range(100):
        left = 150.0 - second
        promises.add(float(second), promise(left, left - 30, left + 30))
    verdicts = promises.verdicts(100.0)
    assert [verdict.mark for verdict in verdicts] == [0.25, 0.5, 0.75]
    # Left: 75, 50 and 25 s; promised 125, 100 and 75 s.
    assert [verdict.error for verdict in verdicts] == pytest.approx(
        [math.log(125 / 75), math.log(100 / 50), math.log(75 / 25)], rel=0.03
    )
    assert [verdict.inside for verdict in verdicts] == [False, False, False]


def test_what_was_not_promised_is_not_scored() -> None:
    """It had an answer only from 60 s on; and a promise of long ago is none of now."""
    promises = Promises()
    promises.add(10.0, promise(5.0, 1.0, 9.0))
    promises.add(30.0, None)
    promises.add(60.0, promise(40.0, 30.0, 50.0))
    promises.add(74.0, promise(25.0, 20.0, 30.0))
    assert promises.verdicts(100.0) == (Verdict(mark=0.75, error=pytest.approx(abs(math.log(25 / 26))), inside=True),)
    assert Promises().verdicts(100.0) == ()
    assert promises.verdicts(0.0) == ()


def test_a_promise_of_the_last_look_counts_in_a_short_run() -> None:
    """Looks are a second apart: of 4.4 s, the marks are at 1.1, 2.2 and 3.3 s, the looks at 1, 2 and 3 s."""
    promises = Promises()
    promises.add(2.0, promise(6.0, 1.0, 9.0))
    promises.add(3.0, promise(1.4, 1.0, 2.0))
    assert promises.verdicts(4.4) == (
        Verdict(mark=0.5, error=pytest.approx(math.log(6.0 / 2.4)), inside=True),
        Verdict(mark=0.75, error=pytest.approx(0.0), inside=True),
    )
    assert promises.verdicts(20.0) == ()  # the first mark is at 5 s, two seconds after the last promise


def test_a_promise_of_nothing_left_is_as_wrong_as_can_be() -> None:
    """Not infinitely: 5 in log time."""
    promises = Promises()
    promises.add(50.0, promise(0.0, 0.0, 0.0))
    assert promises.verdicts(100.0) == (Verdict(mark=0.5, error=5.0, inside=False),)


def test_promises_of_a_long_run_are_thinned() -> None:
    """A hundred thousand of them take a hundred places, and the marks are still found."""
    promises = Promises()
    for second in range(1, 100_000):
        promises.add(float(second), promise(100_000.0 - second, 0.0, 1e9))
    assert len(promises._times) <= 97
    assert [verdict.error for verdict in promises.verdicts(100_000.0)] == [0.0, 0.0, 0.0]


def test_truths_outside_widen_the_next_intervals_and_truths_inside_narrow_them() -> None:
    """A step of 0.15 times what is missing to 80 %."""
    outside, inside = Verdict(mark=0.5, error=1.0, inside=False), Verdict(mark=0.5, error=0.1, inside=True)
    assert recalibrated(0.0, [outside] * 3) == pytest.approx(0.15 * 0.8)
    assert recalibrated(0.0, [inside] * 3) == pytest.approx(-0.15 * 0.2)
    assert recalibrated(0.5, [inside] * 4 + [outside]) == pytest.approx(0.5)
    assert recalibrated(0.3, []) == 0.3
    assert recalibrated(1.49, [outside]) == 1.5
    assert recalibrated(-1.49, [inside] * 3) == -1.5


@pytest.mark.parametrize("noise", [0.1, 0.5, 1.2])
def test_coverage_comes_to_eighty_percent_whatever_the_runs_are_like(noise: float) -> None:
    """Intervals of a fixed half width of 0.5 are too wide for some and too narrow for others, before."""
    numbers = random.Random(1)
    calibration, held = 0.0, 0
    for turn in range(3_000):
        error = numbers.gauss(0, noise)
        inside = abs(error) <= 0.5 * math.exp(calibration)
        held += inside and turn >= 1_000
        calibration = recalibrated(calibration, [Verdict(mark=0.5, error=abs(error), inside=inside)])
    assert held / 2_000 == pytest.approx(0.8, abs=0.05)


def test_an_estimator_takes_the_calibration_over() -> None:
    """By ln 2: each side twice as wide in log time; the expected end stays."""
    answers = []
    for calibration in (0.0, math.log(2.0)):
        estimator = Estimator(100.0, calibration=calibration)
        for n in range(21):
            estimator.record(n, 3.0 * n)
        answers.append(estimator.estimate(60.0))
    one, other = answers
    assert one is not None
    assert other is not None
    assert other.expected == one.expected
    assert math.log(other.high / other.low) == pytest.approx(2 * math.log(one.high / one.low))
