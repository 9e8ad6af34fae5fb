"""Time left from earlier runs: rescaled to today's speed, dropped where they mislead, by item where keys are known."""

from __future__ import annotations

import math
import random
import sys
import tracemalloc
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import pytest

from otel_progress import Estimate, Profile, Sample
from otel_progress.eta import Estimator


def sure(estimate: Estimate | None) -> Estimate:
    """Return an estimate that must be there."""
    assert estimate is not None
    return estimate


def curve(costs: Sequence[float], slowness: float = 1.0) -> list[tuple[float, float]]:
    """Return (now, done) of a run whose items cost this, one after another."""
    rows, now = [(0.0, 0.0)], 0.0
    for n, cost in enumerate(costs, 1):
        now += cost * slowness
        rows.append((now, float(n)))
    return rows


def feed(estimator: Estimator, rows: Iterable[tuple[float, float]], until: float) -> None:
    """Record what happened up to a moment."""
    for now, done in rows:
        if now <= until:
            estimator.record(done, now)


RAMP = [1.0 + n / 10 + 0.3 * math.sin(n) for n in range(100)]
"""Each item dearer than the last: 1 to 11 s, about 595 s in all."""
END = sum(RAMP)


@pytest.mark.parametrize("slowness", [0.4, 0.7, 1.0, 1.6, 3.0])
def test_a_curve_of_an_earlier_run_is_followed_at_todays_speed(slowness: float) -> None:
    """A job that slows down by a factor of ten is right within 6 % once a fifteenth of its time has passed."""
    rows = curve(RAMP, slowness)
    end = END * slowness
    estimator = Estimator(100.0, [Profile.from_samples(curve(RAMP))])
    alone = Estimator(100.0)
    for now, done in rows[:-1]:
        estimator.record(done, now)
        alone.record(done, now)
        if 20 <= done <= 95:
            estimate = sure(estimator.estimate(now))
            assert estimate.expected == pytest.approx(end - now, rel=0.06)
            assert estimate.low <= end - now <= estimate.high
            if done <= 40:
                assert abs(math.log(sure(alone.estimate(now)).expected / (end - now))) > 0.1


def test_history_answers_before_the_first_advance() -> None:
    """At the start the length of the last run; as time passes, less; when the first item is late, more again."""
    estimator = Estimator(100.0, [Profile.from_samples(curve([3.0] * 100))])
    estimator.record(0.0, 0.0)
    lefts = [sure(estimator.estimate(now)).expected for now in (0.0, 1.0, 2.0)]
    assert lefts == pytest.approx([300.0, 299.0, 298.0])
    late = [now + sure(estimator.estimate(now)).expected for now in (30.0, 60.0, 120.0, 1_000.0)]
    assert all(after > before > 300 for before, after in pairwise(late))


def test_the_words_say_how_today_compares() -> None:
    """By a factor that a person would notice, and not below it."""
    history = [Profile.from_samples(curve(RAMP))]
    said = []
    for slowness in (1.0, 1.05, 1.6, 0.5):
        estimator = Estimator(100.0, history)
        feed(estimator, curve(RAMP, slowness), END * slowness / 2)
        said.append(sure(estimator.estimate(END * slowness / 2)).factors)
    assert said == [(), (), ("slower than last time by 1.6x",), ("faster than last time by 2.0x",)]


def test_twice_the_items_take_twice_as_long() -> None:
    """Before anything is done, history is scaled by the total of today."""
    estimator = Estimator(200.0, [Profile.from_samples(curve([3.0] * 100))])
    estimator.record(0.0, 0.0)
    assert sure(estimator.estimate(0.0)).expected == pytest.approx(600.0)


def test_runs_that_did_not_complete_are_not_used() -> None:
    """A failed run says how long it took to fail."""
    failed = Profile.from_samples(curve([3.0] * 10), 100, outcome="failed")
    estimator = Estimator(100.0, [failed, Profile(seconds=0.0, total=None, curve=())])
    estimator.record(0.0, 0.0)
    assert estimator.estimate(0.0) is None


def test_the_newest_run_has_most_to_say() -> None:
    """Whatever the order they come in: 300 s last time and 100 s before weigh 2 : 1, so 233 s."""
    runs = [
        Profile.from_samples(curve([3.0] * 100), ended_at=2_000.0),
        Profile.from_samples(curve([1.0] * 100), ended_at=1_000.0),
    ]
    for history in (runs, runs[::-1]):
        estimator = Estimator(100.0, history)
        estimator.record(0.0, 0.0)
        assert sure(estimator.estimate(0.0)).expected == pytest.approx((2 * 300 + 100) / 3)


def test_history_that_misleads_is_dropped_by_its_own_backtest() -> None:
    """The last run was dear at its beginning, today is even: from the middle on the mixture has the word."""
    misleading = [Profile.from_samples(curve([20.0] * 20 + [0.1] * 80))]
    even = curve([3.0] * 100)
    adaptive, trusting = Estimator(100.0, misleading), Estimator(100.0, misleading, method="history")
    for estimator in (adaptive, trusting):
        feed(estimator, even, 150.0)
    assert sure(adaptive.estimate(150.0)).expected == pytest.approx(150.0, rel=0.15)
    # `history` believes the 40 remaining cheap items: next to nothing left.
    assert sure(trusting.estimate(150.0)).expected < 50.0


def test_an_unknown_total_is_answered_from_the_last_run() -> None:
    """As many items as last time; beyond them, by the length alone; a total that comes is used."""
    history = [Profile.from_samples(curve([3.0] * 100))]
    estimator = Estimator(None, history)
    feed(estimator, curve([3.0] * 150), 60.0)
    estimate = sure(estimator.estimate(60.0))
    assert estimate.expected == pytest.approx(240.0, rel=0.01)
    assert estimate.factors == ("total of the last run: 100",)
    estimator.set_total(40.0, 60.0)
    assert sure(estimator.estimate(60.0)).expected == pytest.approx(60.0, rel=0.05)
    estimator.set_total(None, 60.0)
    feed(estimator, curve([3.0] * 150), 330.0)  # 110 done
    late = sure(estimator.estimate(330.0))
    assert late.factors == ("by the length of earlier runs",)
    assert 0 < late.expected < 150


def test_a_level_that_counts_nothing_is_estimated_by_the_length_of_earlier_runs() -> None:
    """It counts down, and never promises the very moment; the interval holds the lengths that were."""
    lengths = [Profile(seconds=seconds, total=None, curve=()) for seconds in (90.0, 100.0, 110.0)]
    estimator = Estimator(None, lengths)
    estimator.record(0.0, 0.0)
    start = sure(estimator.estimate(0.0))
    assert start.expected == pytest.approx(100.0)  # the median
    assert start.low < 90.0
    assert start.high > 110.0
    lefts = [sure(estimator.estimate(now)) for now in (50.0, 90.0, 120.0, 400.0)]
    assert 45.0 < lefts[0].expected < 55.0
    assert lefts[1].expected < lefts[0].expected
    assert 0 < lefts[2].expected < 30.0
    assert lefts[3].expected > lefts[2].expected  # far beyond all that was: nobody knows, and it says so
    assert lefts[3].high > 299.0


def test_history_may_come_while_the_level_runs() -> None:
    """Loading it delays nobody."""
    estimator = Estimator(100.0)
    feed(estimator, curve(RAMP), 100.0)
    without = sure(estimator.estimate(100.0)).expected
    estimator.set_history([Profile.from_samples(curve(RAMP))])
    assert abs(math.log(sure(estimator.estimate(100.0)).expected / (END - 100.0))) < 0.03
    assert abs(math.log(without / (END - 100.0))) > 0.1


def test_silence_that_the_last_run_had_too_is_none() -> None:
    """Between items 50 and 51 lie 200 s each time: half way through, half of it is left; beyond it, it is late."""
    costs = [1.0] * 50 + [200.0] + [1.0] * 49
    estimator = Estimator(100.0, [Profile.from_samples(curve(costs))])
    feed(estimator, curve(costs), 50.0)
    assert sure(estimator.estimate(50.0)).expected == pytest.approx(249.0, rel=0.05)
    assert sure(estimator.estimate(150.0)).expected == pytest.approx(149.0, rel=0.08)
    assert sure(estimator.estimate(550.0)).expected > 300.0
    blind = Estimator(100.0)
    feed(blind, curve(costs), 50.0)
    assert sure(blind.estimate(50.0)).expected < 60.0


def test_linear_and_exponential_use_no_history() -> None:
    """They are what their names say."""
    for method in ("linear", "exponential"):
        estimator = Estimator(100.0, [Profile.from_samples(curve(RAMP))], method)
        estimator.record(0.0, 0.0)
        assert estimator.estimate(0.0) is None


@pytest.mark.parametrize("scale", [1e-3, 30.0, 1e6])
def test_a_job_thirty_times_longer_gets_the_same_relative_answer_from_history(scale: float) -> None:
    """No constant is in seconds."""
    answers = []
    for factor in (1.0, scale):
        estimator = Estimator(100.0, [Profile.from_samples(curve(RAMP, factor))])
        feed(estimator, curve(RAMP, 1.3 * factor), 200.0 * factor)
        estimate = sure(estimator.estimate(200.0 * factor))
        answers.append([value / factor for value in (estimate.low, estimate.expected, estimate.high)])
    assert answers[1] == pytest.approx(answers[0], rel=1e-6)


# --- items ------------------------------------------------------------------------------------------------------------


def lognormal(seed: int, count: int) -> dict[str, float]:
    """Return costs of named items with a heavy tail."""
    numbers = random.Random(seed)
    return {f"file {n}": numbers.lognormvariate(0, 1.2) for n in range(count)}


def keyed(
    costs: dict[str, float], order: Sequence[str], history: Iterable[Profile] = (), *, told: bool = False
) -> list[tuple[float, float]]:
    """Return (abs of the log error, done) of a run over the items in this order, with keys."""
    estimator = Estimator(float(len(order)), history)
    if told:
        estimator.set_items(order)
    estimator.record(0.0, 0.0)
    now, end, errors = 0.0, sum(costs[key] for key in order), []
    for done, key in enumerate(order[:-1], 1):
        now += costs[key]
        estimator.observe_item(key, costs[key])
        estimator.record(float(done), now)
        if 0.05 * len(order) < done < 0.95 * len(order):
            errors.append((abs(math.log(sure(estimator.estimate(now)).expected / (end - now))), done))
    return errors


def profile_of(costs: dict[str, float], order: Sequence[str]) -> Profile:
    """Return the profile of a run with keys."""
    estimator = Estimator(float(len(order)))
    estimator.record(0.0, 0.0)
    now = 0.0
    for done, key in enumerate(order, 1):
        now += costs[key]
        estimator.observe_item(key, costs[key])
        estimator.record(float(done), now)
    return estimator.profile(now)


def median(errors: list[tuple[float, float]]) -> float:
    """Return the middle one."""
    return sorted(error for error, _ in errors)[len(errors) // 2]


def test_known_items_keep_the_accuracy_when_their_order_changes() -> None:
    """Cheap to dear the first time, dear to cheap the second: the curve of the first is worth less than nothing."""
    costs = lognormal(1, 300)
    up = sorted(costs, key=costs.__getitem__)
    profile = profile_of(costs, up)
    assert len(profile.items) == 300
    assert median(keyed(costs, up[::-1], [profile])) < 0.02
    without = Profile.from_samples(curve([costs[key] for key in up]))
    assert median(keyed(costs, up[::-1], [without])) > 0.1


def test_known_items_keep_the_accuracy_when_their_set_changes() -> None:
    """A fifth is gone, a fifth is new."""
    costs = lognormal(2, 300)
    names = list(costs)
    profile = profile_of(costs, names[:250])
    today = names[50:]
    random.Random(3).shuffle(today)
    with_keys = median(keyed(costs, today, [profile]))
    assert with_keys < 0.2
    assert with_keys < 0.85 * median(keyed(costs, today))


def test_told_which_items_there_are_it_knows_which_are_left() -> None:
    """A third of the items is gone, the dearest among them; nobody could know that, but the job does."""
    costs = lognormal(2, 300)
    names = sorted(costs, key=costs.__getitem__)
    profile = profile_of(costs, names)
    today = names[:200]
    random.Random(3).shuffle(today)
    assert median(keyed(costs, today, [profile], told=True)) < 0.01
    assert median(keyed(costs, today, [profile])) > 0.1


def test_of_many_items_the_dearest_are_remembered() -> None:
    """Of 1500, the five hundred that matter."""
    costs = lognormal(4, 1_500)
    names = list(costs)
    profile = profile_of(costs, names)
    assert len(profile.items) == 500
    assert min(seconds for _, seconds in profile.items) >= sorted(costs.values())[-551]
    random.Random(5).shuffle(names)
    assert median(keyed(costs, names, [profile])) < 0.06


def test_keys_are_not_kept_in_the_clear() -> None:
    """A path is private."""
    assert "secret" not in profile_of({"/home/secret": 1.0, "b": 2.0}, ["/home/secret", "b"]).encode()


def test_sizes_are_used_where_they_explain_the_time() -> None:
    """The small files come first, each costs 0.1 s and 1 s per megabyte: told all sizes, it knows what is coming."""
    sizes = [0.01 * 1.05**n for n in range(100)]
    costs = [0.1 + size for size in sizes]
    end = sum(costs)
    told, untold = Estimator(100.0), Estimator(100.0)
    told.set_cost(sum(sizes))
    for estimator in (told, untold):
        estimator.record(0.0, 0.0)
    now = 0.0
    for done in range(1, 61):
        now += costs[done - 1]
        for estimator in (told, untold):
            estimator.observe_item(None, costs[done - 1], sizes[done - 1])
            estimator.record(float(done), now)
    assert sure(told.estimate(now)).expected == pytest.approx(end - now, rel=0.03)
    assert sure(untold.estimate(now)).expected < 0.7 * (end - now)


def test_sizes_that_explain_nothing_change_nothing() -> None:
    """Every file takes as long, whatever its size."""
    numbers = random.Random(6)
    told, untold = Estimator(100.0), Estimator(100.0)
    told.set_cost(1_000.0)
    for estimator in (told, untold):
        estimator.record(0.0, 0.0)
    for done in range(1, 41):
        size = numbers.random() * 20
        for estimator in (told, untold):
            estimator.observe_item(None, 2.0, size)
            estimator.record(float(done), 2.0 * done)
    assert told.estimate(80.0) == untold.estimate(80.0)


# --- what it costs ----------------------------------------------------------------------------------------------------


def test_a_level_takes_24_kib_at_most() -> None:
    """With its samples and the costs of its items, in this run and in four earlier ones of which none had the same."""
    runs = [{f"{run} {key}": cost for key, cost in lognormal(run, 1_000).items()} for run in range(4)]
    profiles = [profile_of(costs, list(costs)) for costs in runs]
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    estimator = Estimator(50_000.0, profiles)
    estimator.record(0.0, 0.0)
    for n in range(1, 20_000):
        estimator.observe_item(f"file {n}", n % 7)
        estimator.record(float(n), n + 0.3 * math.sin(n))
    estimator.estimate(20_000.0)
    size = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert size < 24 * 1024


def calls(run: Callable[[], object]) -> int:
    """Return how many functions, in Python and C, something calls: work that no other program can change."""
    count = 0

    def called(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(called)
    try:
        run()
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize(("history", "most"), [((), 430), ((Profile.from_samples(curve(RAMP)),), 700)])
def test_an_estimate_is_as_much_work_however_long_the_run(history: tuple[Profile, ...], most: int) -> None:
    """Each of them with new looks back, the dearest case: 415 and 663 calls."""
    for items in (100, 20_000):
        estimator = Estimator(2.0 * items, history)
        estimator.record(0.0, 0.0)
        for n in range(1, items):
            estimator.record(float(n), n + n % 3 * 0.2)
            if n % (items // 50) == 0:
                assert calls(lambda estimator=estimator, n=n: estimator.estimate(n + 1.0)) < most  # type: ignore[misc]


def test_rate_limit_waits_are_named() -> None:
    """More than a tenth of the time."""
    said = []
    for waited in (5.0, 7.0):
        estimator = Estimator(100.0)
        for n in range(21):
            estimator.observe(Sample(3.0 * n, n, 100.0, waited=waited * n / 20))
        said.append(sure(estimator.estimate(60.0)).factors)
    assert said == [(), ("waited 7 s for rate limits",)]
