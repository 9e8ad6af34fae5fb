"""Each rule: a case that fires, one just short, one undecidable, one recovering; numbers worked out by hand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from otel_progress import Estimate, Profile, Sample
from otel_progress.deviation import (
    Deviation,
    DeviationKind,
    ErrorRate,
    LowThroughput,
    Monitor,
    Overdue,
    Quality,
    RateLimited,
    Resources,
    Rule,
    Severity,
    Slow,
    Stalled,
)

EARLIER = Profile(seconds=1000.0, total=100.0, curve=((0.0, 0.0), (1.0, 1.0)), longest_pause=20.0)
"""An earlier run of 100 items, one every 10 s."""


def watch(
    rule: Rule, *, history: Iterable[Profile] = (EARLIER,), total: float | None = 100.0, unit: str = "{item}"
) -> Monitor:
    """Return a monitor with one rule, at time 0."""
    monitor = Monitor(total, history, (rule,), name="parse", unit=unit)
    monitor.record(0.0, 0.0)
    return monitor


def steady(monitor: Monitor, done: Iterable[int], *, start: float, every: float) -> float:
    """Record one item after the other; return the time of the last."""
    now = start
    for each in done:
        now += every
        monitor.record(float(each), now)
        monitor.check(now)
    return now


def said(deviations: tuple[Deviation, ...]) -> list[str]:
    """Return the sentences."""
    return [deviation.sentence for deviation in deviations]


def estimate(expected: float, low: float, high: float) -> Estimate:
    """Return an estimate."""
    return Estimate(expected=expected, low=low, high=high, confidence=0.5, method="linear")


# --- stalled ----------------------------------------------------------------------------------------------------------

STALLED = Stalled(here_factor=2.0, elsewhere_factor=1.25, least_share=0.02, most_share=0.1, least_tempo=0.7)


def test_silence_longer_than_in_earlier_runs_is_a_stall() -> None:
    """By the earlier run, at this place and at all."""
    monitor = watch(STALLED)
    steady(monitor, range(1, 41), start=0.0, every=10.0)
    # Around 40 %, an item and 1/512 of the work either side took the earlier run 0.01 + 2/512 = 1.390625 % of 1000 s;
    # twice that is 27.8125 s. Its longest pause times 1.25 is 25 s, 2 % of it are 20 s: the largest counts.
    assert monitor.check(427.8) == ()
    (stall,) = monitor.check(427.9)
    assert stall == Deviation(
        DeviationKind.STALLED,
        Severity.WARN,
        427.9,
        "parse has not advanced for 27 s; its longest earlier pause was 20 s",
    )


def test_a_stall_keeps_its_beginning_and_becomes_an_error() -> None:
    """From nine times the limit on: 9 * 27.8125 s = 250.3 s."""
    monitor = watch(replace(STALLED, error_factor=9.0))
    steady(monitor, range(1, 41), start=0.0, every=10.0)
    monitor.check(430.0)
    (warning,) = monitor.check(650.0)
    (error,) = monitor.check(650.5)
    assert (warning.severity, error.severity, error.since) == (Severity.WARN, Severity.ERROR, 430.0)
    assert error.sentence == "parse has not advanced for 4 min 10 s; its longest earlier pause was 20 s"


def test_a_stall_ends_with_the_next_advance() -> None:
    """One item is enough."""
    monitor = watch(STALLED)
    now = steady(monitor, range(1, 41), start=0.0, every=10.0)
    assert monitor.check(now + 200.0)
    monitor.record(41.0, now + 201.0)
    assert monitor.check(now + 201.0) == ()


def test_a_pause_that_earlier_runs_had_here_is_no_stall() -> None:
    """And elsewhere it is."""
    paused_at_40 = replace(EARLIER, curve=((0.0, 0.0), (0.4, 0.4), (0.6, 0.4), (1.0, 1.0)), longest_pause=200.0)
    # There it needed from 39.80 % (0.39805 of its time) to 41.20 % (0.6 + 0.01195 * 0.4 / 0.6 = 0.60797): 209.9 s, and
    # twice that is 419.8 s. At 20 % an item and its surroundings took 14 s; of the pause elsewhere, 100 s (10 % of the
    # run) excuse 125 s.
    here, elsewhere = watch(STALLED, history=[paused_at_40]), watch(STALLED, history=[paused_at_40])
    steady(here, range(1, 41), start=0.0, every=10.0)
    assert here.check(400.0 + 419.0) == ()
    assert here.check(400.0 + 420.0)
    steady(elsewhere, range(1, 21), start=0.0, every=10.0)
    assert elsewhere.check(200.0 + 124.0) == ()
    assert elsewhere.check(200.0 + 126.0)


def test_without_history_a_run_is_judged_by_its_own_pauses() -> None:
    """Four times the longest, once there were ten advances."""
    monitor = watch(Stalled(own_factor=4.0, own_share=0.15, least_advances=10), history=())
    steady(monitor, range(1, 11), start=0.0, every=3.0)
    # 4 * 3 s = 12 s; 15 % of the 30 s before are less.
    assert monitor.check(42.0) == ()
    assert said(monitor.check(42.1)) == ["parse has not advanced for 12 s; its longest earlier pause was 3.0 s"]


def test_after_too_few_advances_nobody_can_tell_a_stall() -> None:
    """Nine are too few."""
    monitor = watch(Stalled(least_advances=10), history=())
    steady(monitor, range(1, 10), start=0.0, every=3.0)
    assert monitor.check(1e6) == ()


def test_after_the_last_item_silence_is_no_stall_without_history() -> None:
    """Nobody knows how long the level tidies up."""
    monitor = watch(Stalled(), history=(), total=20.0)
    steady(monitor, range(1, 21), start=0.0, every=3.0)
    assert monitor.check(1e6) == ()


def test_a_machine_that_is_slow_today_may_be_silent_longer() -> None:
    """The limit follows the tempo of the run: 1.3 times 27.8125 s are 36.2 s, 0.7 times 19.5 s, and no less."""
    slow, fast = watch(STALLED), watch(STALLED)
    now = steady(slow, range(1, 41), start=0.0, every=13.0)
    assert slow.check(now + 36.1) == ()
    assert slow.check(now + 36.2)
    now = steady(fast, range(1, 41), start=0.0, every=3.0)
    assert fast.check(now + 19.4) == ()
    assert fast.check(now + 19.5)


# --- slow -------------------------------------------------------------------------------------------------------------

SLOW = Slow(factor=1.5, share=0.03, fastest=0.6, slowest=2.0)


def test_work_that_takes_longer_than_in_the_earlier_run_is_slow() -> None:
    """As soon as 3 % of that run are lost."""
    monitor = watch(SLOW)
    now = steady(monitor, range(1, 41), start=0.0, every=10.0)
    # Each item takes 26 s and may take 15: 11 s, 1.1 % of the run, are lost with each, 2.2 % with two, 3.3 % with 3.
    now = steady(monitor, (41, 42), start=now, every=26.0)
    assert monitor.check(now) == ()
    now = steady(monitor, (43,), start=now, every=26.0)
    (slow,) = monitor.check(now)
    assert (slow.kind, slow.severity, slow.since) == (DeviationKind.SLOW, Severity.WARN, 478.0)
    assert slow.sentence == (
        "parse has been 2.6 times slower than usual for 1 min 18 s: 2.3 items/min instead of 6 items/min"
    )


def test_slowness_ends_when_the_lost_time_is_gained_back() -> None:
    """Down to a quarter of the limit: 0.75 %."""
    monitor = watch(SLOW)
    now = steady(monitor, range(1, 41), start=0.0, every=10.0)
    now = steady(monitor, (41, 42, 43), start=now, every=26.0)
    # Items of 10 s give back 0.5 % each: of 3.3 %, 0.8 % are left after five, 0.3 % after six.
    now = steady(monitor, range(44, 49), start=now, every=10.0)
    assert monitor.check(now)
    now = steady(monitor, (49,), start=now, every=10.0)
    assert monitor.check(now) == ()


def test_a_run_that_is_not_quite_so_much_slower_is_not_slow() -> None:
    """At 1.49 times nothing adds up."""
    monitor = watch(SLOW)
    now = steady(monitor, range(1, 41), start=0.0, every=10.0)
    now = steady(monitor, range(41, 100), start=now, every=14.9)
    assert monitor.check(now) == ()


def test_dear_items_are_not_slow_where_they_were_dear_before() -> None:
    """The second half took nine times as long as the first in the earlier run, too."""
    monitor = watch(SLOW, history=[replace(EARLIER, curve=((0.0, 0.0), (0.1, 0.5), (1.0, 1.0)))])
    now = steady(monitor, range(1, 51), start=0.0, every=2.0)
    now = steady(monitor, range(51, 101), start=now, every=18.0)
    assert monitor.check(now) == ()


def test_a_slower_machine_is_not_a_run_that_slows_down() -> None:
    """1.6 times as long for every item, from the first on."""
    monitor = watch(SLOW)
    now = steady(monitor, range(1, 101), start=0.0, every=16.0)
    assert monitor.check(now) == ()


@pytest.mark.parametrize(("every", "slow"), [(4.9, True), (7.4, False)])
def test_by_its_defaults_a_run_twice_as_fast_as_before_is_slow_at_the_earlier_speed(
    every: float, *, slow: bool
) -> None:
    """
    The tempo of earlier runs is followed down to half, and 2.5 % of a run must be lost.

    Items of 10 s in the earlier run take `every` for the first half. An item may then take 1.5 times 5 s, or 7.4 s; one
    of 10.5 s loses 3 s of 500 s, 0.6 %, and five of them are 3 % where it is 5 s; at 7.4 s none is lost.
    """
    monitor = watch(Slow())
    now = steady(monitor, range(1, 51), start=0.0, every=every)
    now = steady(monitor, range(51, 55), start=now, every=10.5)
    assert monitor.check(now) == ()
    now = steady(monitor, (55,), start=now, every=10.5)
    assert bool(monitor.check(now)) is slow


def test_without_a_total_nobody_can_tell_slowness() -> None:
    """There is `LowThroughput` for that."""
    monitor = watch(SLOW, total=None)
    now = steady(monitor, range(1, 41), start=0.0, every=10.0)
    now = steady(monitor, range(41, 100), start=now, every=40.0)
    assert monitor.check(now) == ()


def test_one_stall_is_not_slowness() -> None:
    """It accounts for no more than 60 % of what must be lost."""
    monitor = watch(SLOW)
    now = steady(monitor, range(1, 41), start=0.0, every=10.0)
    now = steady(monitor, (41,), start=now, every=500.0)
    assert monitor.check(now) == ()


def test_without_history_slow_is_slower_than_ever_before() -> None:
    """And the sentence says that it is judged by this run alone."""
    monitor = watch(Slow(window=0.2, own_factor=2.0), history=(), total=1000.0)
    now = steady(monitor, range(1, 401), start=0.0, every=1.0)
    assert monitor.check(now) == ()
    # With d seconds at 0.4 items/s, a fifth of the time so far, w = (400 + d) / 5, has (w - d + 0.4 d) / w items/s.
    # Below half of 1 item/s from d = 80 s on; the kept points are 12.5 s apart at most.
    for done in range(401, 450):
        now += 2.5
        monitor.record(float(done), now)
        if monitor.check(now):
            break
    assert 480.0 <= now <= 480.0 + 2 * 12.5
    (sentence,) = said(monitor.check(now))
    assert sentence.startswith("parse has slowed down to 2")
    assert sentence.endswith("items/min; it was never below 60 items/min before (judged by this run alone)")


@pytest.mark.parametrize(("every", "slow"), [(0.04, False), (0.1, True)])
def test_without_history_nobody_is_slow_in_the_first_half_minute(every: float, slow: bool) -> None:  # noqa: FBT001
    """The same course, once within 26 seconds and once within 65: who started the one is still looking."""
    monitor = watch(Slow(window=0.2, own_factor=2.0), history=(), total=1000.0)
    now = steady(monitor, range(1, 401), start=0.0, every=every)
    now = steady(monitor, range(401, 500), start=now, every=2.5 * every)
    assert bool(monitor.check(now)) is slow


def test_without_history_a_little_slower_is_not_slow() -> None:
    """1.9 times is not two."""
    monitor = watch(Slow(window=0.2, own_factor=2.0), history=(), total=1000.0)
    now = steady(monitor, range(1, 401), start=0.0, every=1.0)
    now = steady(monitor, range(401, 1000), start=now, every=1.9)
    assert monitor.check(now) == ()


def test_without_history_slow_items_at_the_end_break_no_promise() -> None:
    """Its end is promised for later than that."""
    monitor = watch(Slow(window=0.2, own_factor=2.0), history=(), total=1000.0)
    for done in range(1, 401):
        monitor.observe(Sample(float(done), float(done), 1000.0))
        monitor.check(float(done), estimate(600.0, 10.0, 1e5))
    now = 400.0
    for done in range(401, 600):
        now += 2.5
        monitor.observe(Sample(now, float(done), 1000.0))
        assert monitor.check(now, estimate(600.0, 10.0, 1e5)) == ()


# --- overdue ----------------------------------------------------------------------------------------------------------


def test_a_run_that_will_miss_its_usual_end_is_overdue_before_it_does() -> None:
    """The lateness is foreseen."""
    monitor = watch(Overdue(margin=0.2, margin_of_one=0.3, after=0.1))
    # 16 s an item: votes on the tempo fall due every 31.25 s of the earlier run, so with items 4 and 8. From item 8 on
    # the median of (1, 1, 1.6, 1.6) is 1.6: 8 * 16 s + 92 * 16 s = 1600 s, beyond 1000 s * 1.5.
    now = steady(monitor, range(1, 8), start=0.0, every=16.0)
    assert monitor.check(now) == ()
    now = steady(monitor, (8,), start=now, every=16.0)
    (overdue,) = monitor.check(now)
    assert (overdue.kind, overdue.severity) == (DeviationKind.OVERDUE, Severity.WARN)
    assert overdue.sentence == "parse is expected to take 26 min 40 s in all; its last run took 16 min 40 s"


def test_a_run_within_the_margin_is_not_overdue() -> None:
    """1.49 times as long."""
    monitor = watch(Overdue(margin=0.2, margin_of_one=0.3))
    now = steady(monitor, range(1, 101), start=0.0, every=14.9)
    assert monitor.check(now) == ()


def test_a_run_that_has_missed_its_usual_end_is_an_error() -> None:
    """Even if it never counted anything."""
    monitor = watch(Overdue(), history=[Profile(seconds=60.0, total=None, curve=())], total=None)
    assert monitor.check(90.0) == ()
    (overdue,) = monitor.check(91.0)
    assert overdue.severity is Severity.ERROR
    assert overdue.sentence == "parse has been running for 1 min 31 s; its last run took 1 min"


def test_more_earlier_runs_make_the_margin_smaller() -> None:
    """The longest of three and 20 % + 30 % / 3."""
    lengths = [Profile(seconds=seconds, total=None, curve=()) for seconds in (50.0, 60.0, 40.0)]
    monitor = watch(Overdue(margin=0.2, margin_of_one=0.3), history=lengths, total=None)
    assert monitor.check(78.0) == ()
    assert said(monitor.check(79.0)) == [
        "parse has been running for 1 min 19 s; the longest of its 3 earlier runs took 1 min"
    ]


def test_a_run_that_catches_up_is_overdue_no_more() -> None:
    """When its expected end is 5 % within the limit again."""
    monitor = watch(Overdue(after=0.1))
    now = steady(monitor, range(1, 9), start=0.0, every=16.0)
    assert monitor.check(now)
    # With item 12 there are the votes 0.5, 1, 1, 1.6, 1.6: 128 s + 4 * 5 s + 88 * 10 s = 1028 s.
    now = steady(monitor, (9, 10, 11), start=now, every=5.0)
    assert monitor.check(now)
    now = steady(monitor, (12,), start=now, every=5.0)
    assert monitor.check(now) == ()


def test_early_in_a_run_nobody_can_foresee_its_end() -> None:
    """Before a tenth of the earlier run's time has passed."""
    monitor = watch(Overdue(after=0.1))
    now = steady(monitor, range(1, 4), start=0.0, every=33.0)
    assert monitor.check(now) == ()


def test_without_history_overdue_is_later_than_promised() -> None:
    """The new interval lies beyond the one promised earlier, both widened."""
    monitor = watch(Overdue(promise_after=0.1), history=())
    monitor.record(10.0, 10.0)
    # Promised: 10 s + 100 s * (120 / 100)^2 = 154 s, so the limit is 169.4 s.
    assert monitor.check(10.0, estimate(100.0, 80.0, 120.0)) == ()
    # 50 s + 150 s * (120 / 150)^1.6 = 50 s + 105 s = 155 s.
    assert monitor.check(50.0, estimate(150.0, 120.0, 180.0)) == ()
    # 50 s + 200 s * (180 / 200)^1.6 = 50 s + 169 s = 219 s.
    (overdue,) = monitor.check(50.0, estimate(200.0, 180.0, 220.0))
    assert overdue.severity is Severity.WARN
    assert overdue.sentence == (
        "parse is expected to take 4 min 10 s in all; earlier it was expected to take 2 min 34 s at most "
        "(judged by this run alone)"
    )
    # What is expected now must lie before the limit for it to end: 60 s + 110 s does not, 60 s + 109 s does.
    assert monitor.check(60.0, estimate(110.0, 90.0, 130.0))
    assert monitor.check(60.0, estimate(109.0, 90.0, 130.0)) == ()


def test_an_early_estimate_is_no_promise() -> None:
    """Before 10 % are done."""
    monitor = watch(Overdue(promise_after=0.1), history=())
    monitor.record(9.0, 9.0)
    monitor.check(9.0, estimate(10.0, 9.0, 11.0))
    assert monitor.check(10.0, estimate(1e6, 1e6, 1e6)) == ()


# --- error rate -------------------------------------------------------------------------------------------------------


def failing(history: Iterable[Profile] = (), rule: Rule | None = None) -> Monitor:
    """Return a monitor for failed items."""
    return watch(rule or ErrorRate(limit=0.05, least=0.02, factor=3.0, sigmas=3.0), history=history, unit="{row}")


def test_more_failed_items_than_chance_allows_are_a_deviation() -> None:
    """Three of ten, with 5 % allowed."""
    # Wilson, 3 sigma: 2 of 10 are 3.2 % at least, (0.2 + 0.45 - 3 sqrt(0.016 + 0.0225)) / 1.9; 3 of 10 are 6.5 %,
    # (0.3 + 0.45 - 3 sqrt(0.021 + 0.0225)) / 1.9.
    monitor = failing()
    monitor.observe(Sample(10.0, 10.0, 100.0, failed=2.0))
    assert monitor.check(10.0) == ()
    monitor.observe(Sample(10.5, 10.0, 100.0, failed=3.0))
    (errors,) = monitor.check(10.5)
    assert (errors.kind, errors.severity) == (DeviationKind.ERROR_RATE, Severity.WARN)
    assert errors.sentence == "parse: 30 % of 10 rows failed; up to 5 % is usual"


def test_half_of_the_items_failing_is_an_error() -> None:
    """From 50 % on."""
    monitor = failing()
    monitor.observe(Sample(10.0, 10.0, 100.0, failed=5.0))
    assert [deviation.severity for deviation in monitor.check(10.0)] == [Severity.ERROR]


def test_a_job_whose_items_fail_is_judged_by_its_earlier_runs() -> None:
    """A tenth failed there, so 30 % may fail here: 30 of 50 may not, 20 of 50 may."""
    # 0.6: (0.6 + 0.09 - 3 sqrt(0.24 / 50 + 0.0009)) / 1.18 = 39 %; 0.4: (0.49 - 3 sqrt(0.0048 + 0.0009)) / 1.18 = 22 %.
    few, many = failing([replace(EARLIER, failed=10.0)]), failing([replace(EARLIER, failed=10.0)])
    few.observe(Sample(50.0, 50.0, 100.0, failed=20.0))
    assert few.check(50.0) == ()
    many.observe(Sample(50.0, 50.0, 100.0, failed=30.0))
    assert said(many.check(50.0)) == ["parse: 60 % of 50 rows failed; in its last run it was 10 %"]


def test_nine_failed_items_of_nine_are_too_few_to_tell() -> None:
    """Ten are asked for."""
    monitor = failing()
    monitor.observe(Sample(9.0, 9.0, 100.0, failed=9.0))
    assert monitor.check(9.0) == ()


def test_errors_are_over_when_recent_items_succeed() -> None:
    """The last fifth of the time counts."""
    monitor = failing()
    for done in range(1, 101):
        monitor.observe(Sample(float(done), float(done), 100.0, failed=float(min(done, 10))))
        held = bool(monitor.check(float(done)))
        if done == 10:
            assert held
    assert not held


# --- low throughput ---------------------------------------------------------------------------------------------------


def test_an_endless_level_is_slow_by_the_speed_of_earlier_runs() -> None:
    """They did 100 items in 1000 s, 6 a minute; 40 % of that are 2.4."""
    monitor = watch(LowThroughput(past_share=0.4, least_seconds=30.0), total=None)
    now = steady(monitor, range(1, 31), start=0.0, every=24.9)
    assert monitor.check(now) == ()  # 2.41 a minute
    monitor = watch(LowThroughput(past_share=0.4, least_seconds=30.0), total=None)
    now = steady(monitor, range(1, 31), start=0.0, every=25.1)
    (low,) = monitor.check(now)
    assert low.kind is DeviationKind.LOW_THROUGHPUT
    # A fifth of the 753 s are 150.6 s: six items.
    assert low.sentence == "parse did 2.4 items/min in the last 2 min 30 s; in its last run it did 6 items/min"
    # It ends at 1.5 times the limit, 3.6 a minute: when the last fifth is fast enough.
    now = steady(monitor, range(31, 100), start=now, every=10.0)
    assert monitor.check(now) == ()


def test_an_endless_level_without_history_is_slow_by_its_own_speed() -> None:
    """Below a quarter of it."""
    monitor = watch(LowThroughput(own_share=0.25, least_seconds=30.0), history=(), total=None)
    now = steady(monitor, range(1, 401), start=0.0, every=1.0)
    assert monitor.check(now) == ()
    now = steady(monitor, range(401, 430), start=now, every=5.0)
    (sentence,) = said(monitor.check(now))
    assert sentence.endswith("(judged by this run alone)")


def test_a_speed_the_user_asks_for_holds_with_a_total_too() -> None:
    """At least one item a second."""
    monitor = watch(LowThroughput(at_least=1.0, least_seconds=30.0), history=())
    now = steady(monitor, range(1, 31), start=0.0, every=2.0)
    assert said(monitor.check(now)) == [
        "parse did 30 items/min in the last 30 s; at least 60 items/min is expected",
    ]


def test_with_a_total_or_in_half_a_minute_nobody_asks_for_throughput() -> None:
    """Slow and overdue say it better."""
    counted, short = watch(LowThroughput()), watch(LowThroughput(), total=None)
    assert counted.check(steady(counted, range(1, 31), start=0.0, every=99.0)) == ()
    assert short.check(steady(short, (1,), start=0.0, every=29.0)) == ()


# --- quality ----------------------------------------------------------------------------------------------------------


def test_quality_that_falls_below_its_best_is_a_deviation() -> None:
    """By more than 0.2; over when it is within half of that."""
    monitor = watch(Quality(drop=0.2), history=())
    for done, quality, deviates in (
        (1, 0.9, False),
        (2, 0.71, False),
        (3, 0.69, True),
        (4, 0.79, True),
        (5, 0.81, False),
    ):
        monitor.observe(Sample(float(done), float(done), 100.0, quality=quality))
        assert bool(monitor.check(float(done))) is deviates, done
    monitor.observe(Sample(6.0, 6.0, 100.0, quality=0.5))
    (low,) = monitor.check(6.0)
    assert (low.kind, low.sentence) == (
        DeviationKind.QUALITY,
        "the quality of parse fell to 0.50; it was 0.90 in this run",
    )


def test_quality_is_compared_with_the_end_of_earlier_runs_at_the_end_only() -> None:
    """Training starts low."""
    monitor = watch(
        Quality(below=0.1, end=0.9), history=[replace(EARLIER, quality=0.95), replace(EARLIER, quality=0.9)]
    )
    monitor.observe(Sample(1.0, 89.0, 100.0, quality=0.3))
    assert monitor.check(1.0) == ()
    monitor.observe(Sample(2.0, 90.0, 100.0, quality=0.81))
    assert monitor.check(2.0) == ()
    monitor.observe(Sample(3.0, 91.0, 100.0, quality=0.79))
    assert said(monitor.check(3.0)) == ["the quality of parse is 0.79; in its 2 earlier runs it ended at 0.90"]


def test_without_a_quality_nobody_can_tell() -> None:
    """None was set."""
    monitor = watch(Quality(at_least=0.99), history=[replace(EARLIER, quality=1.0)])
    monitor.observe(Sample(1.0, 99.0, 100.0))
    assert monitor.check(1.0) == ()


def test_a_quality_the_user_asks_for_holds_all_the_time() -> None:
    """From the first value on."""
    monitor = watch(Quality(at_least=0.5), history=())
    monitor.observe(Sample(1.0, 1.0, 100.0, quality=0.4))
    assert said(monitor.check(1.0)) == ["the quality of parse is 0.40; at least 0.50 is expected"]


# --- rate limited -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("waited", "deviates"), [(9.9, False), (10.1, True)])
def test_waiting_more_than_half_of_the_time_is_a_deviation(waited: float, *, deviates: bool) -> None:
    """10 s of 20 s."""
    monitor = watch(RateLimited(limit=0.5), history=())
    monitor.observe(Sample(20.0, 10.0, 100.0, waited=waited))
    found = monitor.check(20.0)
    assert bool(found) is deviates
    if found:
        assert said(found) == ["parse waits for rate limits 50 % of the time"]


def test_waiting_as_much_as_in_earlier_runs_is_usual() -> None:
    """They waited 60 % of the time: up to 80 %, half of the rest, is no news."""
    history = [replace(EARLIER, waited_seconds=600.0)]
    usual, much = watch(RateLimited(beyond=0.25), history=history), watch(RateLimited(beyond=0.25), history=history)
    usual.observe(Sample(20.0, 10.0, 100.0, waited=15.9))
    assert usual.check(20.0) == ()
    much.observe(Sample(20.0, 10.0, 100.0, waited=16.1))
    assert said(much.check(20.0)) == ["parse waits for rate limits 80 % of the time; in its last run it was 60 %"]


def test_waiting_is_over_when_the_recent_part_has_little_of_it() -> None:
    """A fifth of the time; the limit to end is 70 % of that to begin."""
    monitor = watch(RateLimited(limit=0.5, recovery=0.7), history=())
    monitor.observe(Sample(20.0, 10.0, 100.0, waited=15.0))
    assert monitor.check(20.0)
    for done in range(11, 40):
        monitor.observe(Sample(10.0 + done, float(done), 100.0, waited=15.0))
    assert monitor.check(49.0) == ()


def test_in_the_first_seconds_nobody_can_tell_waiting() -> None:
    """Ten are asked for."""
    monitor = watch(RateLimited(least_seconds=10.0), history=())
    monitor.observe(Sample(9.0, 1.0, 100.0, waited=9.0))
    assert monitor.check(9.0) == ()


# --- resources --------------------------------------------------------------------------------------------------------


def test_more_memory_than_any_earlier_run_is_a_deviation() -> None:
    """1.5 times the largest peak; over at 90 % of that."""
    history = [replace(EARLIER, peak_rss=1e9), replace(EARLIER, peak_rss=0.8e9)]
    monitor = watch(Resources(memory_factor=1.5, memory_bytes=100e6), history=history)
    for now, rss, deviates in ((1.0, 1.49e9, False), (2.0, 1.51e9, True), (3.0, 1.36e9, True), (4.0, 1.34e9, False)):
        monitor.observe(Sample(now, now, 100.0, rss=rss))
        assert bool(monitor.check(now)) is deviates, rss
    monitor.observe(Sample(5.0, 5.0, 100.0, rss=3.1e9))
    (much,) = monitor.check(5.0)
    assert (much.kind, much.severity) == (DeviationKind.RESOURCES, Severity.ERROR)
    assert much.sentence == "parse uses 3.1 GB of memory; its 2 earlier runs needed 1.0 GB at most"


def test_more_processor_time_than_earlier_runs_needed_to_get_here_is_a_deviation() -> None:
    """They needed 500 s for all: 100 s for the first fifth, so 200 s may be used."""
    monitor = watch(Resources(cpu_factor=2.0), history=[replace(EARLIER, cpu_seconds=500.0)])
    monitor.observe(Sample(0.0, 0.0, 100.0, cpu=7.0))  # of the process, before the level began
    monitor.observe(Sample(200.0, 20.0, 100.0, cpu=7.0 + 199.0))
    assert monitor.check(200.0) == ()
    monitor.observe(Sample(200.0, 20.0, 100.0, cpu=7.0 + 201.0))
    assert said(monitor.check(200.0)) == [
        "parse has used 3 min 21 s of processor time; its last run needed 1 min 40 s to get here"
    ]


def test_without_earlier_measurements_nobody_can_tell_resources() -> None:
    """Nothing is too much by itself."""
    monitor = watch(Resources())
    monitor.observe(Sample(200.0, 20.0, 100.0, cpu=1e6, rss=1e12))
    assert monitor.check(200.0) == ()


def test_an_end_is_not_promised_while_the_total_grows() -> None:
    """A total that changed in the last fifth of the time is not final."""
    monitor = watch(Overdue(promise_after=0.1), history=(), total=None)
    for now in range(1, 100):
        total = 100.0 + now
        monitor.observe(Sample(float(now), now / 2, total))
        assert monitor.check(float(now), estimate(100.0 * now, 99.0 * now, 101.0 * now)) == ()


def test_a_dear_step_counts_while_it_is_in_hand() -> None:
    """Ten items of 10 % of the run each: nobody waits for the end of the second to see that it is slow."""
    earlier = Profile(seconds=1000.0, total=10.0, curve=((0.0, 0.0), (1.0, 1.0)), longest_pause=100.0)
    monitor = watch(SLOW, history=[earlier], total=10.0)
    now = steady(monitor, (1, 2, 3, 4), start=0.0, every=100.0)
    # It may take 150 s; with 30 s more, 3 % of the run are lost.
    assert monitor.check(now + 179.0) == ()
    (slow,) = monitor.check(now + 181.0)
    assert slow.sentence == "parse has been 1.8 times slower than usual for 3 min 1 s"
    monitor.record(5.0, now + 250.0)
    assert said(monitor.check(now + 250.0)) == [
        "parse has been 2.5 times slower than usual for 4 min 10 s: 14 items/h instead of 36 items/h"
    ]


def test_a_run_that_was_slow_at_times_must_lose_more_to_be_slow_again() -> None:
    """Half as much again, so that unsteady runs do not raise one alarm after the other."""
    monitor = watch(replace(SLOW, again=1.5))
    now = steady(monitor, range(1, 21), start=0.0, every=10.0)
    now = steady(monitor, (21, 22, 23), start=now, every=26.0)
    assert monitor.check(now)  # 3.3 %
    now = steady(monitor, range(24, 34), start=now, every=10.0)
    assert monitor.check(now) == ()
    # 4.5 % now: 4.4 % are lost with four, 5.5 % with five.
    now = steady(monitor, (34, 35, 36, 37), start=now, every=26.0)
    assert monitor.check(now) == ()
    now = steady(monitor, (38,), start=now, every=26.0)
    assert monitor.check(now)
