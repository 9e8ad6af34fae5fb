"""What Prometheus shows of the nightly import while it runs, and what it stops showing when a level has ended."""

from __future__ import annotations

import pytest

from otel_progress import names

from .nightly import LIVE, OPERATION, SLACK_SECONDS, TRUE_TOTALS, Watched
from .prometheus import items, series
from .rig import Stack

# --- while it runs ----------------------------------------------------------------------------------------------------


def test_a_running_level_shows_its_counts_and_its_total(watched: Watched) -> None:
    """Standing within `load`: 9 of 40 rows, of which 2 were skipped and 3 failed."""
    load = watched.load
    assert load[series(names.LEVEL_DONE, OPERATION, "load")] == 9
    assert load[series(names.LEVEL_LIMIT, OPERATION, "load")] == 40
    assert load[series(names.LEVEL_FRACTION, OPERATION, "load")] == pytest.approx(9 / 40)
    assert load[items(OPERATION, "load", "ok")] == 4
    assert load[items(OPERATION, "load", "skipped")] == 2
    assert load[items(OPERATION, "load", "failed")] == 3
    assert load[series(names.BYTES_DONE, OPERATION, "load")] == 5000


def test_running_levels_are_counted_by_state(watched: Watched) -> None:
    """Standing within the second table: the operation, `copy` and one table run; `read` and `load` do not any more."""
    running = {
        level: watched.copy[series(names.ACTIVE, OPERATION, level, progress_state="running")]
        for level in (None, "read", "load", "copy", "table")
    }
    assert running == {None: 1, "read": 0, "load": 0, "copy": 1, "table": 1}


def test_a_parents_fraction_counts_what_its_child_has_done(watched: Watched) -> None:
    """A table stands at 3/8, so `copy` at (1 + 3/8)/2, and by its phases' weights the operation at (1 + 3 * that)/4."""
    fraction = {
        level: watched.copy[series(names.LEVEL_FRACTION, OPERATION, level)] for level in (None, "copy", "table")
    }
    assert fraction == pytest.approx({None: 0.765625, "copy": 0.6875, "table": 0.375})


def test_an_unknown_total_has_no_limit(watched: Watched) -> None:
    """The operation counts phases, not items: no limit is reported for it, rather than 0."""
    assert series(names.LEVEL_LIMIT, OPERATION) not in watched.copy


def test_a_running_level_has_speed_and_time_left(watched: Watched) -> None:
    """The interval holds the expected value, which agrees with the expected end and the time that passed."""
    elapsed, rate, eta, low, high, end = (
        watched.copy[series(metric, OPERATION, "table")]
        for metric in (
            names.LEVEL_ELAPSED,
            names.LEVEL_RATE,
            names.LEVEL_ETA,
            names.LEVEL_ETA_LOW,
            names.LEVEL_ETA_HIGH,
            names.LEVEL_EXPECTED_END,
        )
    )
    paused_for = watched.copy_looked_at - watched.copy_paused_at
    assert 0.3 <= elapsed <= 0.3 + paused_for + SLACK_SECONDS
    assert 0 <= low <= eta <= high
    assert 0 <= rate <= 3 / 0.3  # 3 rows in the first 0.3 s, none since
    assert watched.copy_paused_at < end - eta <= watched.copy_looked_at + SLACK_SECONDS


def test_stuck_and_dead_can_be_told_apart(watched: Watched) -> None:
    """While the job stands still its last advance stays where it was, and its heartbeat goes on."""
    advanced = watched.copy[series(names.LEVEL_LAST_ADVANCE, OPERATION, "table")]
    heartbeat = watched.copy[series(names.LEVEL_HEARTBEAT, OPERATION, "table")]
    assert advanced <= watched.copy_paused_at + 1  # as the sampling once a second sees it
    assert heartbeat > watched.copy_paused_at


def test_quality_is_reported_while_the_level_lives(watched: Watched) -> None:
    """The table set 0.97."""
    assert watched.copy[series(names.QUALITY_GAUGE, OPERATION, "table")] == pytest.approx(0.97)


# --- after a level ended ----------------------------------------------------------------------------------------------


def test_live_series_disappear_at_the_next_collection_after_a_level_ended(stack: Stack, watched: Watched) -> None:
    """No sample of a live gauge is younger than the end of its level."""
    seen: set[str] = set()
    labels = f'service_name="{watched.service}",progress_level="load"'
    for each in stack.prometheus.samples(f'{{__name__=~"progress_level_.+",{labels}}}'):
        if each.labels["__name__"] in LIVE:
            seen.add(each.labels["__name__"])
            assert each.values[-1][0] <= watched.facts["ended_at"]["load"] + SLACK_SECONDS, each.labels
    assert {names.LEVEL_DONE.prometheus, names.LEVEL_ETA.prometheus, names.LEVEL_HEARTBEAT.prometheus} <= seen


def test_nothing_live_is_left_after_the_operation(watched: Watched) -> None:
    """The process still exports, but no gauge of any level."""
    assert {name for name, _ in watched.ended} & LIVE == set()


def test_active_goes_to_zero_and_stays(watched: Watched) -> None:
    """A pushed series lingers for five minutes, so that nothing is alive must be said, as 0."""
    active = [each for each in watched.ended if each[0] == names.ACTIVE.prometheus]
    levels = {dict(labels).get("progress_level") for _, labels in active}
    assert levels == {None, "read", "load", "copy", "table", "verify", "audit", "sample"}
    assert {watched.ended[each] for each in active} == {0}


def test_counters_never_go_back(stack: Stack, watched: Watched) -> None:
    """From the first sample to the last, whichever levels ended in between."""
    counters = stack.prometheus.samples(f'{{__name__=~"progress_.+_(total|count)",service_name="{watched.service}"}}')
    assert len(counters) >= len(TRUE_TOTALS)
    for each in counters:
        values = [value for _, value in each.values]
        assert values == sorted(values), each.labels
