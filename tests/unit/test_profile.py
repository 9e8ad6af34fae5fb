"""Profiles: the curve of a run, and its text, which is read by other processes and other versions."""

from __future__ import annotations

import json
import math
import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_progress import Profile

FULL = Profile(
    seconds=12.5,
    total=40,
    curve=((0.0, 0.0), (0.25, 0.5), (1.0, 1.0)),
    outcome="failed",
    phases=(("parse", 0.2), ("load", 1.0)),
    ended_at=1_700_000_000.125,
    longest_pause=2.5,
    failed=3,
    peak_rss=1_048_576,
    cpu_seconds=11.25,
    quality=0.0,
    waited_seconds=0.5,
    items=(("5f", 1.5), ("a0", 0.25)),
)


def test_the_curve_is_in_shares_of_the_run() -> None:
    """Ten items in 4 s, thirty in the next 1 s."""
    profile = Profile.from_samples([(0.0, 0), (4.0, 10), (5.0, 40)], 99)
    assert profile.curve == ((0.0, 0.0), (0.8, 0.25), (1.0, 1.0))
    # It completed with 40 items, whatever was promised; the longest silence is the 4 s before the first advance.
    assert (profile.seconds, profile.total, profile.longest_pause) == (5.0, 40, 4.0)


def test_a_silent_start_and_end_are_part_of_the_curve() -> None:
    """Setting up took 2 s of 8 s, tidying up 2 s."""
    profile = Profile.from_samples([(0.0, 0), (2.0, 0), (4.0, 5), (6.0, 10), (8.0, 10)])
    assert profile.curve == ((0.0, 0.0), (0.25, 0.0), (0.5, 0.5), (0.75, 1.0), (1.0, 1.0))
    assert profile.longest_pause == 4.0  # from the start to the first advance


def test_items_of_an_earlier_run_are_not_counted() -> None:
    """A run that is resumed at 500 did 100 items."""
    profile = Profile.from_samples([(0.0, 500), (10.0, 600)], 600)
    assert (profile.total, profile.curve) == (100, ((0.0, 0.0), (1.0, 1.0)))


def test_work_done_twice_is_time_without_progress() -> None:
    """Back from 10 to 5 and up to 20."""
    profile = Profile.from_samples([(0.0, 0), (1.0, 10), (2.0, 5), (3.0, 10), (4.0, 20)])
    assert profile.curve == ((0.0, 0.0), (0.25, 0.5), (0.5, 0.5), (0.75, 0.5), (1.0, 1.0))


def test_without_counts_there_is_a_length_only() -> None:
    """No curve, no total, no silence."""
    profile = Profile.from_samples([(0.0, 0), (7.0, 0)], 10)
    assert (profile.seconds, profile.total, profile.curve, profile.longest_pause) == (7.0, None, (), None)
    assert Profile.from_samples([]).seconds == 0.0


def test_the_total_of_a_run_that_failed_is_the_one_it_had() -> None:
    """It did 10 of 50."""
    assert Profile.from_samples([(0.0, 0), (1.0, 10)], 50, outcome="failed").total == 50


def test_a_long_run_is_thinned_to_what_bends() -> None:
    """Three straight lines need their four ends, whatever the points on them; 64 points describe a bend well."""
    lines = [(i * 0.001, i if i < 4_000 else 4_000 if i < 6_000 else i - 2_000) for i in range(10_001)]
    assert Profile.from_samples(lines).curve == ((0.0, 0.0), (0.4, 0.5), (0.6, 0.5), (1.0, 1.0))
    bend = Profile.from_samples([(i * 0.001, (i / 10_000) ** 2) for i in range(10_001)]).curve
    assert len(bend) <= 64
    middles = [((x0 + x1) / 2, (y0 + y1) / 2) for (x0, y0), (x1, y1) in pairwise(bend)]
    assert max(abs(y - x * x) for x, y in middles) < 0.001


def test_text_and_back() -> None:
    """Every field; a zero is not an unknown."""
    assert Profile.decode(FULL.encode()) == FULL
    bare = Profile(seconds=3.0, total=None, curve=())
    assert Profile.decode(bare.encode()) == bare
    assert json.loads(bare.encode()) == {"v": 1, "seconds": 3}


def test_the_text_is_one_kilobyte_at_most() -> None:
    """The worst curve with every number; too many phases go rather than the limit."""
    random.seed(1)
    steps = [(random.random(), random.random()) for _ in range(5_000)]
    x = y = 0.0
    samples = [(0.0, 0.0), *((x := x + a, y := y + b) for a, b in steps)]
    numbers = {"peak_rss": 123_456_789.5, "cpu_seconds": 1234.5678, "quality": 0.123456, "waited_seconds": 99.12345}
    profile = Profile.from_samples(samples, ended_at=1_700_000_000.1234, failed=1234, **numbers)
    assert len(profile.curve) == 64
    assert len(profile.encode()) < 1_024
    back = Profile.decode(profile.encode())
    assert back is not None
    assert len(back.curve) == 64
    crowded = Profile.from_samples(samples, phases=[(f"a phase with a long name {n}", n / 100) for n in range(100)])
    assert len(crowded.encode()) <= 1_024
    some = Profile.from_samples(samples, phases=[(f"phase {n}", n / 10) for n in range(1, 11)])
    back = Profile.decode(some.encode())
    assert back is not None
    assert back.phases == some.phases


def test_the_dearest_items_are_kept() -> None:
    """Five hundred of them."""
    profile = Profile.from_samples([(0.0, 0), (1.0, 1)], items=[(f"{n:x}", float(n)) for n in range(2_500)])
    assert len(profile.items) == 500
    assert profile.items[0] == ("9c3", 2_499.0)
    assert profile.items[-1] == ("7d0", 2_000.0)
    assert Profile.decode(profile.encode()) == profile


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[1]",
        '"v"',
        "{}",
        '{"v":1}',
        '{"v":2,"seconds":3}',
        '{"v":1,"seconds":"3"}',
        '{"v":1,"seconds":-3}',
        '{"v":1,"seconds":NaN}',
        '{"v":1,"seconds":true}',
        '{"v":1,"seconds":3,"outcome":7}',
        '{"v":1,"seconds":3,"phases":[["a"]]}',
        '{"v":1,"seconds":3,"phases":[[1,0.5]]}',
        '{"v":1,"seconds":3,"items":5}',
        '{"v":1,"seconds":3,"curve":[[10000],[9999]]}',
        '{"v":1,"seconds":3,"curve":[[10000],[5000,5000]]}',
        '{"v":1,"seconds":3,"curve":[[-1,10001],[5000,5000]]}',
        '{"v":1,"seconds":3,"curve":[[],[]]}',
        '{"v":1,"seconds":1e999}',
        f'{{"v":1,"seconds":3,"curve":[{[0] * 64 + [10000]},{[0] * 64 + [10000]}]}}',
        '{"v":1,"seconds":3' + " " * 100_000 + "}",
        "[" * 100_000,
    ],
)
def test_what_is_no_profile_is_none(text: str) -> None:
    """Files of others, of newer versions, cut short, or tampered with."""
    assert Profile.decode(text) is None


def test_every_cut_of_a_text_is_none() -> None:
    """A write that was cut short."""
    text = FULL.encode()
    assert [n for n in range(len(text)) if Profile.decode(text[:n]) is not None] == []


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(min_value=0, max_value=1e9) | st.just(math.nan),
            st.floats(min_value=-1e9, max_value=1e9) | st.just(math.inf),
        ),
        max_size=100,
    )
)
def test_whatever_the_samples_the_curve_rises(samples: list[tuple[float, float]]) -> None:
    """From (0, 0) to (1, 1), and the text brings it back to a ten-thousandth."""
    profile = Profile.from_samples(samples)
    assert profile.seconds >= 0
    if not profile.curve:
        assert profile.total is None
        return
    assert (profile.curve[0], profile.curve[-1]) == ((0.0, 0.0), (1.0, 1.0))
    assert all(x0 <= x1 and y0 <= y1 for (x0, y0), (x1, y1) in pairwise(profile.curve))
    back = Profile.decode(profile.encode())
    assert back is not None
    assert [x for point in back.curve for x in point] == pytest.approx([x for p in profile.curve for x in p], abs=1e-4)
