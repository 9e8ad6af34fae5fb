"""The time left, by hand-derived numbers: pure arithmetic on the times that are passed in."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from otel_progress import ChildView, ConfigError, Estimate, Profile, Sample, operation
from otel_progress.eta import METHODS, Estimator
from otel_progress.testing import Capture

EVERY_METHOD = pytest.mark.parametrize("method", sorted(METHODS))


def run(
    method: str, advances: Iterable[tuple[float, float]], *, total: float | None = 100.0, start: float = 0.0
) -> Estimator:
    """Return an estimator that was told of (done, now) pairs, after a start at nothing."""
    estimator = Estimator(total, method=method)
    estimator.record(0.0, start)
    for done, now in advances:
        estimator.record(done, now)
    return estimator


def steady(method: str, *, until: int = 20, every: float = 3.0, total: float | None = 100.0) -> Estimator:
    """Return an estimator that saw one unit each ``every`` seconds."""
    return run(method, [(n, n * every) for n in range(1, until + 1)], total=total)


def sure(estimate: Estimate | None) -> Estimate:
    """Return an estimate that must be there."""
    assert estimate is not None
    return estimate


def expected_end(estimator: Estimator, now: float) -> float:
    """Return when it is expected to end."""
    return now + sure(estimator.estimate(now)).expected


# --- numbers ----------------------------------------------------------------------------------------------------------


@EVERY_METHOD
def test_a_steady_run_is_extrapolated_exactly(method: str) -> None:
    """Where speed never changes, every method agrees with a ruler."""
    # 20 of 100 in 60 s: 3 s a unit, 80 left.
    estimate = sure(steady(method).estimate(60.0))
    assert estimate.expected == pytest.approx(240.0)
    assert steady(method).rate(60.0) == pytest.approx(1 / 3)


def test_linear_is_the_mean_of_the_whole_run() -> None:
    """Ten units in 10 s and twenty in the next 10 s are thirty in 20 s."""
    # 20 s / 30 units = 2/3 s a unit; 70 left.
    estimate = sure(run("linear", [(10, 10), (30, 20)]).estimate(20.0))
    assert estimate.expected == pytest.approx(70 * 2 / 3)
    assert estimate.method == "linear"


def test_exponential_follows_the_recent_speed() -> None:
    """The same run: the last fifth of it counts fifty times as much as the whole."""
    # At 10 s, 10 units in 10 s, with a time constant of 0.2 * 10 = 2 s: x = 5, a mean weight of (1 - e^-5) / 5
    # = 0.198652, so 1.98652 units and seconds are remembered.
    # At 20 s, 20 units in 10 s, constant 4 s: x = 2.5, kept e^-2.5 = 0.082085, weight (1 - 0.082085) / 2.5 = 0.367166:
    # units 1.98652 * 0.082085 + 20 * 0.367166 = 7.506383, seconds 1.98652 * 0.082085 + 10 * 0.367166 = 3.834723.
    # Pace (50 * 3.834723 + 20) / (50 * 7.506383 + 30) = 211.736 / 405.319 = 0.522393 s a unit; 70 left.
    estimate = sure(run("exponential", [(10, 10), (30, 20)]).estimate(20.0))
    assert estimate.expected == pytest.approx(70 * 0.522393, rel=1e-5)
    assert estimate.method == "exponential"


def test_exponential_forgets_a_slow_beginning() -> None:
    """A first unit that took 100 s does not weigh on the next hundred, of 1 s each, for long."""
    slow_start = [(1.0, 100.0), *((1.0 + n, 100.0 + n) for n in range(1, 101))]
    by_mean = sure(run("linear", slow_start, total=1101.0).estimate(200.0))
    by_recent = sure(run("exponential", slow_start, total=1101.0).estimate(200.0))
    # The mean says 200 s / 101 units = 1.98 s a unit; in truth it is 1 s.
    assert by_mean.expected == pytest.approx(1000 * 200 / 101)
    assert 1000 < by_recent.expected < 1100


@EVERY_METHOD
def test_a_run_that_doubles_its_speed_is_noticed_sooner_or_later(method: str) -> None:
    """After as long again at the new speed the estimate lies between the old and the new one."""
    advances = [*((n, 2.0 * n) for n in range(1, 51)), *((50 + n, 100.0 + n) for n in range(1, 101))]
    estimate = sure(run(method, advances, total=250.0).estimate(200.0))
    assert 100 * 0.99 < estimate.expected < 100 * 1.4  # 100 left at 1 s, or at the mean of 200 s / 150


# --- unknown ----------------------------------------------------------------------------------------------------------


@EVERY_METHOD
def test_unknown_is_none(method: str) -> None:
    """No start, no advance, no total, or more done than the total: no estimate; never zero, never infinity."""
    assert Estimator(100.0, method=method).estimate(5.0) is None
    assert Estimator(100.0, method=method).rate(5.0) is None
    silent = run(method, [])
    assert silent.estimate(500.0) is None
    assert silent.rate(500.0) is None
    assert steady(method, total=None).estimate(60.0) is None
    assert steady(method, total=None).rate(60.0) == pytest.approx(1 / 3)
    assert steady(method, total=19.0).estimate(60.0) is None


@EVERY_METHOD
def test_a_total_that_comes_late_is_used_from_then_on(method: str) -> None:
    """Speed was measured all along; losing the total loses the estimate, and a new one brings it back."""
    estimator = steady(method, total=None)
    estimator.set_total(100.0, 60.0)
    assert sure(estimator.estimate(60.0)).expected == pytest.approx(240.0)
    estimator.set_total(None, 61.0)
    assert estimator.estimate(61.0) is None
    estimator.set_total(40.0, 60.0)
    assert sure(estimator.estimate(60.0)).expected == pytest.approx(60.0)


@EVERY_METHOD
def test_all_done_is_nothing_left(method: str) -> None:
    """Also where there was nothing to do at all."""
    for estimator in (steady(method, total=20.0), Estimator(0.0, method=method)):
        estimator.record(estimator._pace.done, 0.0)
        estimate = sure(estimator.estimate(60.0))
        assert (estimate.low, estimate.expected, estimate.high, estimate.confidence) == (0.0, 0.0, 0.0, 1.0)


def test_an_unknown_method_is_an_error_that_names_the_others() -> None:
    """It is raised while configuring, so it may raise."""
    with pytest.raises(ConfigError, match="adaptive, exponential, history, linear, got 'magic'"):
        Estimator(method="magic")


# --- ageing -----------------------------------------------------------------------------------------------------------


@EVERY_METHOD
def test_inside_the_usual_gap_the_estimate_counts_down(method: str) -> None:
    """The next advance is under way: the promised end stands still."""
    estimator = steady(method)  # one advance each 3 s, the last at 60 s
    ends = [expected_end(estimator, 60.0 + silent) for silent in (0.0, 0.7, 1.5, 2.2)]
    assert ends == pytest.approx([300.0] * 4)


@EVERY_METHOD
def test_beyond_the_usual_gap_the_end_moves_out_and_never_back(method: str) -> None:
    """Silence is evidence: a level that stopped must not keep promising the same end."""
    estimator = steady(method)
    ends = [expected_end(estimator, 60.0 + silent) for silent in (3.0, 6.0, 12.0, 60.0, 600.0, 6_000.0)]
    assert all(later > sooner + 1 for sooner, later in pairwise(ends))
    lefts = [end - 60.0 - silent for end, silent in zip(ends, (3.0, 6.0, 12.0, 60.0, 600.0, 6_000.0), strict=True)]
    assert all(later > sooner for sooner, later in pairwise(lefts[1:]))


def test_silence_is_charged_as_cost() -> None:
    """The mean of a run that stopped for 100 s includes these 100 s."""
    # 20 units in 60 s, then silence: 97 s beyond the gap of 3 s. Pace (60 + 97) / 20 = 7.85 s a unit for 79 units; the
    # one in hand is late by 97 s = 32.33 gaps, and is given as much again: 97 s.
    estimate = sure(steady("linear").estimate(160.0))
    assert estimate.expected == pytest.approx(79 * 7.85 + 97)


@EVERY_METHOD
def test_the_last_unit_is_never_promised_for_this_very_moment(method: str) -> None:
    """One unit left and long overdue: it is given time, and more the longer it takes."""
    estimator = steady(method, until=99)  # at 297 s
    lefts = [sure(estimator.estimate(297.0 + silent)).expected for silent in (0.0, 2.0, 3.0, 6.0, 30.0, 300.0)]
    # 3 s, one less 2 s; then a quarter of the gap; late by one gap, 3 s more; by nine gaps, 27 s; by 99 gaps, 297 s.
    assert lefts == pytest.approx([3.0, 1.0, 0.75, 3.0, 27.0, 297.0])


@EVERY_METHOD
def test_a_long_stall_does_not_ruin_the_estimate_when_work_goes_on(method: str) -> None:
    """Good news does not make it much worse, and a while later the stall is behind."""
    estimator = run(method, [(n, 0.5 * n) for n in range(1, 101)], total=400.0)  # 100 in 50 s
    before = sure(estimator.estimate(350.0)).expected  # silent for 300 s
    estimator.record(101, 350.0)
    assert sure(estimator.estimate(350.0)).expected < 2.5 * before
    for n in range(1, 200):
        estimator.record(101 + n, 350.0 + 0.5 * n)
    assert sure(estimator.estimate(449.5)).expected < 3 * 100 * 0.5 * (1 if method == "exponential" else 2)


@EVERY_METHOD
def test_batches_are_not_stalls(method: str) -> None:
    """Fifty rows each 10 s, looked at each second: the end does not move between two batches."""
    estimator = Estimator(1000.0, method=method)
    estimator.record(0.0, 0.0)
    ends = []
    for now in range(1, 101):
        estimator.record(now // 10 * 50, float(now))
        if now > 50 and now % 10 < 7:
            ends.append(expected_end(estimator, float(now)))
    assert ends == pytest.approx([200.0] * len(ends))


# --- pauses, rewinds, resumed runs ------------------------------------------------------------------------------------


@EVERY_METHOD
def test_a_pause_is_not_counted(method: str) -> None:
    """Not as time worked, not as silence, however long."""
    estimator = steady(method)
    estimator.pause(61.0)
    estimator.pause(70.0)  # twice is once
    assert sure(estimator.estimate(5_000.0)).expected == pytest.approx(239.0)
    assert sure(estimator.estimate(5_000.0)).factors == ("paused",)
    estimator.resume(10_061.0)
    estimator.resume(10_070.0)
    assert sure(estimator.estimate(10_061.0)).expected == pytest.approx(239.0)
    estimator.record(21.0, 10_063.0)
    assert sure(estimator.estimate(10_063.0)).expected == pytest.approx(237.0)


@EVERY_METHOD
def test_a_pause_before_the_start_costs_nothing(method: str) -> None:
    """The clock starts with the first record."""
    estimator = Estimator(100.0, method=method)
    estimator.pause(0.0)
    estimator.record(0.0, 50.0)
    estimator.resume(60.0)
    estimator.record(20.0, 120.0)  # 60 s of work
    assert sure(estimator.estimate(120.0)).expected == pytest.approx(240.0)


@EVERY_METHOD
def test_a_rewind_measures_anew_from_there(method: str) -> None:
    """What was done twice says nothing about the speed to come; until the next advance it is unknown."""
    estimator = steady(method)  # 20 in 60 s
    estimator.record(5.0, 61.0)
    assert estimator.estimate(61.0) is None
    assert estimator.rate(61.0) is None
    for n in range(1, 11):
        estimator.record(5.0 + n, 61.0 + 2 * n)  # 2 s a unit from here
    estimate = sure(estimator.estimate(81.0))
    assert estimate.expected == pytest.approx(170.0)  # 85 left
    assert estimate.high / estimate.low < 6  # nor does the old speed widen the interval


def test_a_level_that_is_resumed_does_not_take_its_past_for_speed(progress: Capture) -> None:
    """`set_done(5000)` right after the start is no speed of 5000 a second; what follows is."""
    with operation("migrate", total=10_000) as job:
        job.set_done(5_000)
        progress.tick(1.0)
        assert job.snapshot().eta is None
        for _ in range(10):
            job.advance(2)
            progress.tick(1.0)
        # 5020 done, 20 of them in the last 10 s: 4980 left at half a second each; a mean also counts the first second.
        assert sure(job.snapshot().eta).expected == pytest.approx(2_490.0, rel=0.05)
        assert job.snapshot().done == 5_020


@EVERY_METHOD
def test_clocks_that_go_back_are_harmless(method: str) -> None:
    """Time passed in out of order counts as no time."""
    estimator = steady(method)
    estimator.record(21.0, 30.0)
    estimate = sure(estimator.estimate(10.0))
    assert 0 < estimate.expected < 240


# --- totals that move -------------------------------------------------------------------------------------------------


@EVERY_METHOD
def test_a_total_that_shrinks_shortens_the_estimate(method: str) -> None:
    """At once, and by its share."""
    estimator = steady(method)
    estimator.set_total(60.0, 60.0)
    assert sure(estimator.estimate(60.0)).expected == pytest.approx(120.0)


@EVERY_METHOD
def test_a_growing_total_lengthens_and_widens(method: str) -> None:
    """Each unit done brought half a unit more: the rest will grow as well."""
    # Left: 110 - 20 = 90 units of 3 s = 270 s, times 1 + 0.5 / 2.
    still, growing = steady(method, total=110.0), Estimator(100.0, method=method)
    growing.record(0.0, 0.0)
    for n in range(1, 21):
        growing.record(n, 3.0 * n)
        growing.set_total(100.0 + n / 2, 3.0 * n)
    one, other = sure(still.estimate(60.0)), sure(growing.estimate(60.0))
    assert one.expected == pytest.approx(270.0)
    assert other.expected == pytest.approx(270.0 * 1.25, rel=0.03)
    assert other.high / other.expected > 1.3 * one.high / one.expected
    assert other.confidence < one.confidence
    assert other.factors == ("growing total",)


@EVERY_METHOD
def test_a_total_set_before_the_first_advance_has_not_grown(method: str) -> None:
    """Setting up is not growth."""
    estimator = Estimator(1.0, method=method)
    estimator.record(0.0, 0.0)
    estimator.set_total(100.0, 1.0)
    for n in range(1, 21):
        estimator.record(n, 3.0 * n)
    assert sure(estimator.estimate(60.0)).expected == pytest.approx(240.0)


@EVERY_METHOD
def test_a_total_that_explodes_is_not_extrapolated_to_infinity(method: str) -> None:
    """A crawler finds ten links a page; the answer is long and wide, but an answer."""
    estimator = Estimator(10.0, method=method)
    estimator.record(0.0, 0.0)
    for n in range(1, 101):
        estimator.record(n, float(n))
        estimator.set_total(10.0 + 10 * n, float(n))
    estimate = sure(estimator.estimate(100.0))
    assert 910 <= estimate.expected <= 1.5 * 910 + 1  # 910 left at 1 s
    assert estimate.high > 2 * estimate.expected


# --- intervals --------------------------------------------------------------------------------------------------------


@EVERY_METHOD
def test_the_interval_narrows_with_evidence_and_widens_with_silence(method: str) -> None:
    """Relative to the estimate; the confidence goes the other way."""

    def width(estimate: Estimate) -> float:
        assert 0 < estimate.low < estimate.expected < estimate.high
        assert 0 < estimate.confidence < 1
        return math.log(estimate.high / estimate.low)

    little, much = sure(steady(method, until=2).estimate(6.0)), sure(steady(method, until=50).estimate(150.0))
    assert width(much) < width(little)
    assert much.confidence > little.confidence
    estimator = steady(method, until=50)
    silent = [sure(estimator.estimate(150.0 + seconds)) for seconds in (0.0, 9.0, 60.0, 600.0)]
    assert all(width(later) > width(sooner) for sooner, later in pairwise(silent))
    assert all(later.confidence < sooner.confidence for sooner, later in pairwise(silent))
    if method in {"adaptive", "history"}:
        return
    # Fifty advances: 0.25 + 0.6 / sqrt(50) = 0.334853 scales of 1.28 + 1.9; 199 gaps late: at least ln(200) / 4 more.
    assert width(silent[0]) == pytest.approx(3.18 * 0.334853, rel=1e-5)
    assert width(silent[3]) > 3.18 * (0.334853 + math.log(200) / 4)


@EVERY_METHOD
def test_a_speed_that_drifts_widens_the_interval(method: str) -> None:
    """The recent speed and the mean disagree, so one of them is wrong."""
    drifting = run(method, [(n, 0.05 * n * n) for n in range(1, 61)])
    even = run(method, [(n, 3.0 * n) for n in range(1, 61)])
    one, other = sure(even.estimate(180.0)), sure(drifting.estimate(180.0))
    assert other.high / other.low > 1.2 * one.high / one.low


@EVERY_METHOD
def test_most_of_the_true_ends_lie_in_the_interval(method: str) -> None:
    """Of items whose costs vary by a factor e: an 80 % interval holds the truth in 60 to 99 % of the moments."""
    held = asked = 0
    for seed in range(20):
        costs = [math.exp(math.sin(12.9898 * (seed * 199 + n) ** 1.1) * 1.4) for n in range(200)]
        end, now = sum(costs), 0.0
        estimator = Estimator(200.0, method=method)
        estimator.record(0.0, 0.0)
        for n, cost in enumerate(costs[:-1], 1):
            now += cost
            estimator.record(float(n), now)
            estimate = sure(estimator.estimate(now))
            held += estimate.low <= end - now <= estimate.high
            asked += 1
    assert 0.6 < held / asked < 0.99


def test_what_moved_it_is_said_in_words() -> None:
    """Warm-up, silence; nothing where all is well."""
    assert sure(steady("linear").estimate(60.0)).factors == ()
    assert sure(steady("linear", until=4).estimate(12.0)).factors == ("warm-up",)
    assert sure(steady("linear").estimate(65.0)).factors == ()  # late, but not by a whole gap
    assert sure(steady("linear").estimate(90.0)).factors == ("no advance for 30 s",)


# --- scale ------------------------------------------------------------------------------------------------------------


@EVERY_METHOD
@pytest.mark.parametrize("scale", [1e-9, 1e-3, 30.0, 1e6, 1e12])
def test_a_job_of_another_length_gets_the_same_relative_answer(method: str, scale: float) -> None:
    """No constant of the arithmetic is in seconds."""
    irregular = [(n, 0.7 * n + 3 * math.sin(n)) for n in range(5, 60)]
    one = sure(run(method, irregular).estimate(47.0))
    other = sure(run(method, [(done, now * scale) for done, now in irregular]).estimate(47.0 * scale))
    assert (other.low, other.expected, other.high) == pytest.approx(
        (one.low * scale, one.expected * scale, one.high * scale), rel=1e-6
    )
    assert other.confidence == pytest.approx(one.confidence)


@EVERY_METHOD
@pytest.mark.parametrize("rate", [1e-9, 1e-3, 1.0, 1e6, 1e15])
def test_rates_of_every_size(method: str, rate: float) -> None:
    """From one unit in thirty years to a petabyte a second."""
    estimator = Estimator(100 * rate, method=method)
    for second in range(51):
        estimator.record(rate * second, float(second))
    assert sure(estimator.estimate(50.0)).expected == pytest.approx(50.0)
    assert estimator.rate(50.0) == pytest.approx(rate)


# --- children ---------------------------------------------------------------------------------------------------------


def child(low: float, expected: float, high: float) -> ChildView:
    """Return a child with these seconds left."""
    return ChildView(0.5, eta=Estimate(expected=expected, low=low, high=high, confidence=0.5, method="linear"))


@EVERY_METHOD
def test_no_parent_ends_before_the_early_end_of_its_children(method: str) -> None:
    """Children that share workers speed up when one ends, so only their early ends bind."""
    estimator = steady(method)  # 240 s left
    alone = sure(estimator.estimate(60.0))
    assert estimator.estimate(60.0, [child(1.0, 2.0, 3.0), ChildView(None), ChildView(0.1)]) == alone
    slow = sure(estimator.estimate(60.0, [child(1.0, 2.0, 3.0), child(1_000.0, 2_000.0, 9_000.0)]))
    assert (slow.low, slow.expected) == (1_000.0, 1_000.0)
    assert slow.high == max(alone.high, 1_000.0)


@EVERY_METHOD
def test_a_parent_that_is_done_waits_for_its_children(method: str) -> None:
    """All items are counted, but somebody is still at work."""
    estimate = sure(steady(method, total=20.0).estimate(60.0, [child(5.0, 8.0, 13.0)]))
    assert estimate.expected == 5.0


def test_the_slower_of_two_levels_side_by_side_ends_the_operation(progress: Capture) -> None:
    """Both at one unit a second, five done of 10 and of 100: 95 s, not the mean pace of two items."""
    with operation("pair", total=2) as job, job.level("part", total=10) as fast, job.level("part", total=100) as slow:
        for _ in range(5):
            fast.advance()
            slow.advance()
            progress.tick(1.0)
        assert sure(job.snapshot().eta).expected == pytest.approx(95.0, abs=2.0)


# --- properties -------------------------------------------------------------------------------------------------------

Step = tuple[str, float, float]

_numbers = st.floats(min_value=0, max_value=1e18) | st.sampled_from([0.0, 1.0, 1e-300, 1e-9, 1e15, math.inf, math.nan])
_seconds = st.floats(min_value=0, max_value=1e9) | st.sampled_from([0.0, 1e-300, 1e-12, 1.0, -5.0])
_steps = st.lists(
    st.tuples(st.sampled_from(["record", "total", "lost", "pause", "resume", "rewind"]), _numbers, _seconds),
    max_size=40,
)


def finite(*values: float | None) -> bool:
    """Whether all are real numbers from zero on."""
    return all(value is None or (math.isfinite(value) and value >= 0) for value in values)


HISTORIES = (
    (),
    (
        Profile.from_samples(
            [(0.0, 0), (2.0, 0), (3.0, 5), (3.0, 6), (9.0, 7), (10.0, 7)], items=[("0a", 1.0), ("0b", 0.0)]
        ),
    ),
    (
        Profile(seconds=1e-9, total=None, curve=(), phases=(("a", 0.5), ("b", 1.0))),
        Profile(seconds=1e9, total=1e15, curve=((0.0, 0.0), (0.0, 1.0), (1.0, 1.0))),
    ),
)


@EVERY_METHOD
@pytest.mark.parametrize("history", HISTORIES)
@settings(max_examples=60, deadline=None)
@given(steps=_steps, later=st.floats(min_value=0, max_value=1e12))
@example(steps=[("record", 1.0, 5e-324)], later=0.0)  # found once: shares of the smallest numbers are nothing
@example(steps=[("record", math.inf, 0.0), ("total", 0.0, 0.0), ("total", 5e-324, 0.0)], later=0.0)
def test_whatever_happens_an_estimate_is_a_number_or_none(
    method: str, history: tuple[Profile, ...], steps: list[Step], later: float
) -> None:
    """Never NaN, never negative, never infinite, and low, expected and high in this order; with any history."""
    estimator = Estimator(None, history, method)
    now = done = 0.0
    estimator.record(done, now)
    actions: dict[str, Callable[[float], object]] = {
        "record": lambda number: (
            estimator.observe_item("key", number, number),
            estimator.observe(Sample(now, done, total)),
        ),
        "total": lambda number: estimator.set_total(number, now),
        "lost": lambda _: estimator.set_total(None, now),
        "pause": lambda _: estimator.pause(now),
        "resume": lambda _: estimator.resume(now),
        "rewind": lambda number: estimator.record(number, now),
    }
    total: float | None = None
    for action, number, seconds in steps:
        now += seconds
        if action == "record" and number < 1e300:
            done += number
        total = number if action == "total" else None if action == "lost" else total
        actions[action](number)
        for moment in (now, now + later):
            estimate, rate = estimator.estimate(moment), estimator.rate(moment)
            assert finite(rate)
            estimator.estimate(moment, [ChildView(0.5, eta=estimate, name="b")])
            Profile.decode(estimator.profile(moment).encode())
            if estimate is not None:
                assert finite(estimate.low, estimate.expected, estimate.high)
                assert estimate.low <= estimate.expected <= estimate.high
                assert 0 <= estimate.confidence <= 1


@EVERY_METHOD
@settings(max_examples=60, deadline=None)
@given(
    gaps=st.lists(st.floats(min_value=0.01, max_value=100), min_size=3, max_size=60),
    silence=st.lists(st.floats(min_value=0, max_value=1_000), min_size=2, max_size=6),
)
def test_without_an_advance_the_promised_end_never_comes_nearer(
    method: str, gaps: list[float], silence: list[float]
) -> None:
    """Whatever the run was like: waiting is no progress."""
    estimator = Estimator(200.0, method=method)
    now = 0.0
    estimator.record(0.0, now)
    for n, gap in enumerate(gaps, 1):
        now += gap
        estimator.record(n, now)
    ends = []
    for seconds in [0.0, *silence]:
        now += seconds
        ends.append(expected_end(estimator, now))
    assert all(later >= sooner - 1e-6 * abs(sooner) for sooner, later in pairwise(ends))
