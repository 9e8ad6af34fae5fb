"""Parents estimate from their children: phases that earlier runs went through, and children side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pytest

from otel_progress import ChildView, Estimate, Profile
from otel_progress.eta import Estimator

Phase = tuple[str, int, float]
"""Name, items, seconds an item."""
PHASES: Sequence[Phase] = (("parse", 50, 1.0), ("load", 20, 40.0), ("verify", 200, 0.25))
"""50, 800 and 50 s."""


def sure(estimate: Estimate | None) -> Estimate:
    """Return an estimate that must be there."""
    assert estimate is not None
    return estimate


def run(
    phases: Sequence[Phase],
    parent: Sequence[Profile] = (),
    children: Mapping[str, Sequence[Profile]] | None = None,
    *,
    slowness: float = 1.0,
    announced: bool = False,
) -> tuple[list[tuple[float, Estimate | None]], Profile, dict[str, list[Profile]]]:
    """Return what an operation with these phases promised each 5 s, and the profiles of it and of its children."""
    operation = Estimator(float(len(phases)) if announced else None, parent)
    operation.record(0.0, 0.0)
    promised: list[tuple[float, Estimate | None]] = []
    learned: dict[str, list[Profile]] = {}
    now, look = 0.0, 0.0
    for index, (name, items, seconds) in enumerate(phases):
        child = Estimator(float(items), (children or {}).get(name, ()))
        child.record(0.0, now)
        begin, end = now, now + items * seconds * slowness
        done = 0
        while now < end - 1e-9:
            now = min(look, end) if look > now else now
            while done < items and begin + (done + 1) * seconds * slowness <= now + 1e-9:
                done += 1
                child.record(float(done), begin + done * seconds * slowness)
            if now >= end - 1e-9:
                break
            fraction = done / items
            if announced:
                operation.record(index + fraction, now)
            promised.append((now, operation.estimate(now, [ChildView(fraction, eta=child.estimate(now), name=name)])))
            look += 5.0
            now = min(look, end)
        now = end
        learned[name] = [child.profile(end)]
        if announced:
            operation.record(index + 1.0, now)
    return promised, operation.profile(now), learned


@pytest.mark.parametrize("announced", [False, True])
@pytest.mark.parametrize("slowness", [0.6, 1.0, 1.8])
def test_an_operation_of_unequal_phases_is_right_while_still_in_the_first(slowness: float, *, announced: bool) -> None:
    """Phases of 50, 800 and 50 s, announced as equal or not at all: one earlier run says which takes which share."""
    _, profile, children = run(PHASES, announced=announced)
    assert [name for name, _ in profile.phases] == ["parse", "load", "verify"]
    # They ended after 50, 850 and 900 s of 900 s; it was looked at each 5 s.
    assert [share for _, share in profile.phases] == pytest.approx([50 / 900, 850 / 900, 1.0], abs=5 / 900)
    promised, _, _ = run(PHASES, [profile], children, slowness=slowness, announced=announced)
    end = 900.0 * slowness
    # From two fifths of the first phase on.
    for now, estimate in promised:
        if 20.0 * slowness <= now <= 0.95 * end:
            left = sure(estimate)
            assert left.expected == pytest.approx(end - now, rel=0.08 if slowness == 1.0 else 0.15, abs=7.0)
    if announced:
        alone, _, _ = run(PHASES, announced=True)
        assert abs(math.log(sure(alone[6][1]).expected / (900 - alone[6][0]))) > 1.0  # a third of 900 s, it thinks


def test_between_two_phases_what_is_left_is_known() -> None:
    """The first is over, the second not seen yet: 850 of 900 s are left."""
    _, profile, _ = run(PHASES)
    operation = Estimator(None, [profile])
    operation.record(0.0, 0.0)
    for now in range(0, 50, 5):
        operation.estimate(float(now), [ChildView(now / 50, name="parse")])
    assert sure(operation.estimate(50.0)).expected == pytest.approx(850.0, rel=0.05)


def test_a_phase_without_a_total_goes_by_its_own_length() -> None:
    """Half of the 800 s of the second phase have passed: 400 s, and 50 s for the third."""
    _, profile, _ = run(PHASES)
    operation = Estimator(None, [profile])
    operation.record(0.0, 0.0)
    for now in range(0, 50, 5):
        operation.estimate(float(now), [ChildView(None, name="parse")])
    for now in range(50, 450, 5):
        operation.estimate(float(now), [ChildView(None, name="load")])
    assert sure(operation.estimate(450.0, [ChildView(None, name="load")])).expected == pytest.approx(450.0, rel=0.05)


def test_children_that_are_no_phases_of_the_earlier_run_are_not_taken_for_some() -> None:
    """Another name: only the length of the earlier run is left to go by."""
    _, profile, _ = run(PHASES)
    operation = Estimator(None, [profile])
    operation.record(0.0, 0.0)
    estimate = sure(operation.estimate(100.0, [ChildView(0.5, name="compress")]))
    assert estimate.factors == ("by the length of earlier runs",)


def test_children_of_items_are_no_phases() -> None:
    """Read and write take turns a hundred times: nothing is learned from which was last."""
    operation = Estimator(100.0)
    operation.record(0.0, 0.0)
    for n in range(100):
        operation.estimate(2.0 * n + 0.5, [ChildView(0.5, name="read")])
        operation.estimate(2.0 * n + 1.5, [ChildView(0.5, name="write")])
        operation.record(n + 1.0, 2.0 * n + 2.0)
    assert operation.profile(200.0).phases == ()


def test_children_of_very_many_names_are_no_phases() -> None:
    """A name for each file is a mistake, but not one that costs memory."""
    operation = Estimator(100.0)
    operation.record(0.0, 0.0)
    for n in range(100):
        operation.estimate(n + 0.5, [ChildView(0.5, name=f"file {n}")])
        operation.record(n + 1.0, n + 1.0)
    assert operation.profile(100.0).phases == ()


# --- side by side -----------------------------------------------------------------------------------------------------


def worker(fraction: float, expected: float, *, parallel: bool = True) -> ChildView:
    """Return a child with so many seconds left."""
    eta = Estimate(expected=expected, low=expected / 2, high=expected * 2, confidence=0.5, method="linear")
    return ChildView(fraction, eta=eta, parallel=parallel)


def steady(total: float) -> Estimator:
    """Return an estimator that saw ten units, one each 10 s."""
    estimator = Estimator(total)
    for n in range(11):
        estimator.record(n, 10.0 * n)
    return estimator


def test_the_last_of_parallel_children_ends_a_parent_that_has_nothing_else_left() -> None:
    """Three are at work on the last three units: 30, 50 and 200 s from now, so 200 s, not their sum, nor 3 x 10 s."""
    estimate = sure(steady(13.0).estimate(100.0, [worker(0.0, 30.0), worker(0.0, 50.0), worker(0.0, 200.0)]))
    assert (estimate.low, estimate.expected, estimate.high) == (100.0, 200.0, 400.0)


def test_parallel_children_with_work_behind_them_are_a_floor_only() -> None:
    """Ninety units at 10 s are left; that one of those in hand takes 200 s is no news."""
    children = [worker(0.0, 30.0), worker(0.0, 50.0), worker(0.0, 200.0)]
    assert sure(steady(100.0).estimate(100.0, children)).expected == sure(steady(100.0).estimate(100.0)).expected


def test_children_in_turn_are_no_critical_path() -> None:
    """Not marked as parallel: the parent's own pace, and the early end of each as a floor."""
    children = [worker(0.0, 15.0, parallel=False), worker(0.0, 20.0, parallel=False)]
    assert sure(steady(12.0).estimate(100.0, children)).expected == pytest.approx(20.0)
