"""The monitor: what it remembers, whose rules it asks, and that no course of a run makes it raise or talk nonsense."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_progress import Estimate, Profile, Sample
from otel_progress.deviation import (
    DEFAULT_RULES,
    OK,
    UNDECIDED,
    Answer,
    DeviationKind,
    Found,
    Monitor,
    Rule,
    Run,
    Severity,
    Stalled,
)

EARLIER = Profile(
    seconds=100.0,
    total=100.0,
    curve=((0.0, 0.0), (1.0, 1.0)),
    longest_pause=2.0,
    failed=1.0,
    peak_rss=1e8,
    cpu_seconds=90.0,
    quality=0.9,
)


@dataclass
class Backlog:
    """A rule of a user: not even hashable."""

    limit: float
    kind: DeviationKind = DeviationKind.CUSTOM
    severity: Severity = Severity.ERROR

    def check(self, run: Run, *, held: bool) -> Answer:
        """More than the limit is left."""
        if run.total is None:
            return UNDECIDED
        left = run.total - run.done
        if left <= (self.limit / 2 if held else self.limit):
            return OK
        return Found(f"{run.name} has {left:.0f} left", Severity.WARN if left < 100 else None)


def kinds(monitor: Monitor, now: float) -> list[str]:
    """Return the kinds that hold."""
    return [deviation.kind.value for deviation in monitor.check(now)]


def test_there_is_one_rule_of_each_kind() -> None:
    """All but the kind for rules of users."""
    assert [rule.kind for rule in DEFAULT_RULES] == [kind for kind in DeviationKind if kind is not DeviationKind.CUSTOM]


def test_a_healthy_run_has_no_deviations() -> None:
    """With history and without, with the monitor's own estimates."""
    for history in ((), (EARLIER,)):
        monitor = Monitor(100.0, history)
        for now in range(101):
            monitor.record(float(now), float(now))
            assert monitor.check(now + 0.5) == ()


def test_a_rule_of_a_user_is_asked_like_the_others() -> None:
    """With its own severity, onset and recovery."""
    monitor = Monitor(1_000.0, rules=(Backlog(200.0),), name="queue")
    monitor.record(0.0, 0.0)
    (before,) = monitor.check(1.0)
    monitor.record(899.0, 2.0)
    (after,) = monitor.check(2.0)
    assert (before.severity, after.severity) == (Severity.ERROR, Severity.ERROR)
    assert (after.since, after.sentence) == (1.0, "queue has 101 left")
    monitor.record(900.0, 3.0)
    assert monitor.check(3.0) == ()


def test_undecided_begins_nothing_and_ends_nothing() -> None:
    """A total that is lost leaves what was found."""
    monitor = Monitor(None, rules=(Backlog(200.0),))
    monitor.record(0.0, 0.0)
    assert monitor.check(0.0) == ()
    monitor.set_total(1_000.0, 1.0)
    assert kinds(monitor, 1.0) == ["custom"]
    monitor.set_total(None, 2.0)
    assert kinds(monitor, 2.0) == ["custom"]


def test_a_rule_that_raises_is_asked_no_more_and_the_others_are() -> None:
    """What it raised can be read."""

    class Broken(Backlog):
        asked = 0

        def check(self, run: Run, *, held: bool) -> Answer:  # noqa: ARG002  # as the protocol has it
            self.asked += 1
            raise ValueError("oops")

    broken = Broken(1.0)
    monitor = Monitor(1_000.0, rules=(broken, Backlog(200.0)))
    assert [kinds(monitor, 1.0), kinds(monitor, 2.0)] == [["custom"], ["custom"]]
    assert broken.asked == 1
    ((rule, error),) = monitor.broken
    assert (rule, str(error)) == (broken, "oops")


def test_a_pause_is_neither_a_stall_nor_time_worked() -> None:
    """Silence begins anew after it."""
    monitor = Monitor(100.0, [EARLIER], (Stalled(),))
    for now in range(41):
        monitor.record(float(now), float(now))
    monitor.pause(41.0)
    assert monitor.check(1_000.0) == ()
    monitor.resume(1_000.0)
    assert monitor.check(1_006.0) == ()
    assert kinds(monitor, 1_010.0) == ["stalled"]


def test_a_pause_ends_a_stall() -> None:
    """Who pauses a level knows that it does not advance."""
    monitor = Monitor(100.0, [EARLIER], (Stalled(),))
    for now in range(41):
        monitor.record(float(now), float(now))
    assert kinds(monitor, 60.0) == ["stalled"]
    monitor.pause(61.0)
    assert kinds(monitor, 62.0) == []


def test_a_resumed_run_has_less_to_do() -> None:
    """It began at 90 %: 10 s are usual for the rest, 15 s the limit."""
    monitor = Monitor(100.0, [EARLIER])
    monitor.record(90.0, 0.0)
    assert "overdue" not in kinds(monitor, 14.9)
    assert "overdue" in kinds(monitor, 15.1)


def test_a_run_with_more_items_may_take_longer() -> None:
    """Twice as many: 200 s are usual."""
    monitor = Monitor(200.0, [EARLIER])
    for now in range(201):
        monitor.record(float(now), float(now))
        assert monitor.check(float(now)) == ()


def test_failed_runs_are_no_history() -> None:
    """They ended early."""
    failed = Profile(seconds=1.0, total=100.0, curve=((0.0, 0.0), (1.0, 1.0)), outcome="failed")
    monitor = Monitor(100.0, [failed])
    for now in range(101):
        monitor.record(float(now), float(now))
        assert monitor.check(float(now)) == ()


def test_a_clock_that_goes_back_stands_still() -> None:
    """And a jump of it is silence."""
    monitor = Monitor(100.0, [EARLIER], (Stalled(),))
    for now in range(41):
        monitor.record(float(now), float(now))
    assert monitor.check(-1e9) == ()
    assert monitor.check(41.0) == ()
    assert kinds(monitor, 1e9) == ["stalled"]


def test_estimates_of_the_caller_are_used_instead_of_own_ones() -> None:
    """The caller's promise counts."""
    monitor = Monitor(100.0)
    monitor.record(0.0, 0.0)
    monitor.record(40.0, 40.0)
    monitor.check(40.0, Estimate(expected=80.0, low=79.0, high=81.0, confidence=1.0, method="x"))
    late = Estimate(expected=500.0, low=490.0, high=510.0, confidence=1.0, method="x")
    assert kinds(monitor, 41.0) == []
    assert [deviation.kind for deviation in monitor.check(41.0, late)] == [DeviationKind.OVERDUE]


def test_what_is_kept_does_not_grow_with_the_run() -> None:
    """At most 64 points, evenly over the time so far."""
    monitor = Monitor(1e6, [EARLIER])
    for now in range(20_000):
        monitor.record(float(now), float(now))
    course = monitor._run.course()
    assert 32 <= len(course) <= 64
    gaps = [after.seconds - before.seconds for before, after in pairwise(course)]
    assert max(gaps) <= 20_000 / 16
    assert (course[0].done, monitor._run.last(1e9).done) == (0.0, 19_999.0)


# --- whatever comes ---------------------------------------------------------------------------------------------------

ODD = st.one_of(st.floats(), st.integers(-5, 200).map(float))
TIMES = st.one_of(st.floats(0, 1e6), st.floats())
SAMPLES = st.builds(
    Sample,
    now=TIMES,
    done=ODD,
    total=st.none() | ODD,
    failed=ODD,
    bytes=ODD,
    waited=ODD,
    quality=st.none() | ODD,
    cpu=st.none() | ODD,
    rss=st.none() | ODD,
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("observe"), SAMPLES),
        st.tuples(st.just("record"), ODD, TIMES),
        st.tuples(st.just("set_total"), st.none() | ODD, TIMES),
        st.tuples(st.just("pause"), TIMES),
        st.tuples(st.just("resume"), TIMES),
        st.tuples(st.just("check"), TIMES),
    ),
    max_size=40,
)
SHARES = st.lists(st.floats(0, 1), min_size=1, max_size=20)
POSITIVE = st.floats(1e-6, 1e9)


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    """Return an earlier run, of any shape."""
    times, shares = sorted(draw(SHARES)), sorted(draw(SHARES))
    curve = ((0.0, 0.0), *zip(times, shares, strict=False), (1.0, 1.0))
    return Profile(
        seconds=draw(POSITIVE),
        total=draw(st.none() | st.floats(0, 1e6)),
        curve=draw(st.sampled_from((curve, ()))),
        longest_pause=draw(st.none() | st.floats(0, 1e9)),
        failed=draw(st.floats(0, 100)),
        peak_rss=draw(st.none() | st.floats(0, 1e12)),
        cpu_seconds=draw(st.none() | st.floats(0, 1e9)),
        quality=draw(st.none() | st.floats(0, 1)),
        waited_seconds=draw(st.floats(0, 1e9)),
    )


@settings(max_examples=100, deadline=None)
@given(st.lists(profiles(), max_size=3), st.none() | ODD, STEPS)
def test_nothing_raises_whatever_comes(
    history: list[Profile], total: float | None, steps: list[tuple[str, object]]
) -> None:
    """No rule either, and every sentence has finite numbers that are not negative."""
    monitor = Monitor(total, history)
    for name, *arguments in steps:
        found = getattr(monitor, name)(*arguments)
        for deviation in found or ():
            assert math.isfinite(deviation.since)
            assert not re.search(r"\bnan\b|\binf\b|-\d", deviation.sentence), deviation.sentence
    assert monitor.broken == ()


@settings(max_examples=30, deadline=None)
@given(
    gaps=st.lists(st.floats(0.85, 1.2), min_size=30, max_size=100),
    growing=st.booleans(),
    pauses=st.sets(st.integers(0, 99), max_size=3),
    start=st.floats(-1e6, 1e6),
)
@pytest.mark.parametrize("history", [(), (EARLIER,)])
def test_a_steady_run_is_healthy_whatever_its_pauses_and_totals(
    history: tuple[Profile, ...], gaps: list[float], *, growing: bool, pauses: set[int], start: float
) -> None:
    """Items of about a second each, as before; the total known at once, or a few items ahead."""
    total = float(len(gaps))
    now = start
    monitor = Monitor(total if not growing else min(10.0, total), history)
    monitor.record(0.0, now)
    for number, gap in enumerate(gaps):
        if number in pauses:
            monitor.pause(now)
            now += 1e5
            monitor.resume(now)
        now += gap
        monitor.observe(Sample(now, number + 1.0, min(number + 10.0, total) if growing else total))
        held = monitor.check(now)
        # Where the total grows an end is promised that is none.
        assert [each.kind.value for each in held if not (growing and each.kind is DeviationKind.OVERDUE)] == []


@settings(max_examples=50, deadline=None)
@given(scale=st.floats(1e-1, 1e4), start=st.floats(-1e6, 1e6))
def test_rules_are_of_the_same_mind_about_a_run_that_takes_longer(scale: float, start: float) -> None:
    """Thresholds are shares of the run; only very short silences are passed over."""
    profile = Profile(seconds=100 * scale, total=100.0, curve=EARLIER.curve, longest_pause=2 * scale)
    rules: tuple[Rule, ...] = (Stalled(least_seconds=0.0), *DEFAULT_RULES[1:3])
    monitor = Monitor(100.0, [profile], rules)
    for done in range(41):
        monitor.record(float(done), start + done * scale)
        assert monitor.check(start + done * scale) == ()
    assert kinds(monitor, start + 45.5 * scale) == []
    assert kinds(monitor, start + 46.5 * scale) == ["stalled"]
