"""What a level can say and what can be asked: states, counts, plans, snapshots, carriers, lists and subscriptions."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from opentelemetry import baggage, trace
from opentelemetry import context as otel_context

from otel_progress import (
    Change,
    CounterValue,
    Estimate,
    Level,
    ProgressCancelled,
    Snapshot,
    State,
    active,
    advance,
    continue_from,
    current,
    find,
    flush,
    health,
    history,
    level,
    names,
    on_change,
    operation,
    track,
    watch,
)
from otel_progress.testing import Capture, capture_progress

from .kit import LONGEST_SECONDS, attribute, ignored, in_thread, outcomes, parents, python, the_span, wait_until

START = 1_700_000_000.0
"""Unix time of a fake clock that has not moved."""


def children(running: Level) -> dict[str, Snapshot]:
    """Return the snapshots of a level's children by name."""
    return {child.name: child for child in running.snapshot().children}


# --- states -----------------------------------------------------------------------------------------------------------

CALLS: dict[str, Callable[[Level], object]] = {
    "pause": lambda running: running.pause("lunch"),
    "resume": lambda running: running.resume(),
    "retrying": lambda running: running.retrying("timeout"),
    "fail": lambda running: running.fail("no luck"),
    "cancel": lambda running: running.cancel("enough"),
    "advance": lambda running: running.advance(2),
    "skip": lambda running: running.skip(),
    "item_failed": lambda running: running.item_failed(ValueError("row")),
    "set_done": lambda running: running.set_done(3),
    "set_total": lambda running: running.set_total(9),
    "plan": lambda running: running.plan("phase"),
    "update": lambda running: running.update(message="working"),
    "count": lambda running: running.count("tokens", 5),
    "set_quality": lambda running: running.set_quality(0.5),
}

PATHS: dict[State, list[str]] = {
    State.RUNNING: [],
    State.PAUSED: ["pause"],
    State.RETRYING: ["retrying"],
    State.FAILED: ["fail"],
}

MOVES: dict[tuple[State, str], State] = {
    (State.RUNNING, "pause"): State.PAUSED,
    (State.RUNNING, "retrying"): State.RETRYING,
    (State.PAUSED, "resume"): State.RUNNING,
    (State.RETRYING, "resume"): State.RUNNING,
    **{(state, "fail"): State.FAILED for state in (State.RUNNING, State.PAUSED, State.RETRYING)},
}
"""The table of states: every other call leaves the state as it is."""


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("state", PATHS, ids=lambda state: state.value)
def test_the_table_of_states(progress: Capture, state: State, call: str) -> None:
    """Each call in each state: it moves as the table says, or is ignored and counted, and never raises."""
    with level("step") as step:
        for way in PATHS[state]:
            CALLS[way](step)
        assert step.state is state
        CALLS[call](step)
        assert step.state is MOVES.get((state, call), state)
        expected = {}
        if state is State.FAILED:
            expected = {"after_end": 1}
        elif call in {"pause", "resume", "retrying"} and (state, call) not in MOVES:
            expected = {"bad_transition": 1}
        assert ignored(progress) == expected
    final = State.FAILED if state is State.FAILED or call == "fail" else State.COMPLETED
    assert outcomes(progress) == {"step": final.value}


@pytest.mark.parametrize("call", CALLS)
def test_a_level_that_has_not_started_ignores_what_is_said(progress: Capture, call: str) -> None:
    """It is pending: the call is counted, and the level starts fresh."""
    step = level("step")
    CALLS[call](step)
    assert step.state is State.PENDING
    assert ignored(progress) == {"before_start": 1}
    with step:
        assert step.snapshot().done == 0
    assert outcomes(progress) == {"step": "completed"}


@pytest.mark.parametrize("call", CALLS)
def test_a_level_that_has_ended_ignores_what_is_said(progress: Capture, call: str) -> None:
    """Its numbers are final."""
    with level("step", total=5) as step:
        step.advance()
    before = step.snapshot()
    CALLS[call](step)
    assert step.snapshot() == before
    assert ignored(progress) == {"after_end": 1}
    assert progress.value(names.ITEMS.name, operation="step", item_outcome="ok") == 1


def test_a_change_of_state_is_told(progress: Capture) -> None:
    """By events with both states and the reason, by the reason in the snapshot, by the series of live levels."""
    with operation("job") as job:
        job.pause("lunch")
        assert (job.snapshot().state, job.snapshot().reason) == ("paused", "lunch")
        assert progress.value(names.ACTIVE.name, operation="job", state="paused") == 1
        assert progress.value(names.ACTIVE.name, operation="job", state="running") == 0
        job.resume()
        assert job.snapshot().reason is None
        assert progress.value(names.ACTIVE.name, operation="job", state="paused") == 0
        job.retrying("timeout")
        job.resume()
    told = [
        (event.attributes[names.PREVIOUS_STATE], event.attributes[names.STATE], event.attributes.get(names.REASON))
        for event in progress.events(names.STATE_CHANGED.name)
    ]
    assert told == [
        ("running", "paused", "lunch"),
        ("paused", "running", None),
        ("running", "retrying", "timeout"),
        ("retrying", "running", None),
    ]


def test_an_advance_ends_a_retry(progress: Capture) -> None:
    """Seen at the next look, and told like any change."""
    with operation("job") as job:
        job.retrying("timeout")
        progress.tick(1)
        assert job.state is State.RETRYING
        job.advance()
        progress.tick(1)
        assert job.state is State.RUNNING
    states = [event.attributes[names.STATE] for event in progress.events(names.STATE_CHANGED.name)]
    assert states == ["retrying", "running"]


@pytest.mark.parametrize("way", ["pause", "retrying"])
def test_a_level_may_end_from_any_live_state(progress: Capture, way: str) -> None:
    """Leaving the block is the end, paused or not."""
    with level("step") as step:
        CALLS[way](step)
    assert outcomes(progress) == {"step": "completed"}
    assert progress.value(names.ACTIVE.name, operation="step", state="running") == 0


# --- time -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def linear() -> Iterator[Capture]:
    """A capture whose estimates are the mean of the whole run, to be worked out by hand."""
    with capture_progress(eta_method="linear") as progress:
        yield progress


def left(running: Level) -> float:
    """Return the expected seconds left."""
    estimate = running.snapshot().eta
    assert isinstance(estimate, Estimate)
    return estimate.expected


def test_a_pause_stops_the_clock_of_the_estimate_only(linear: Capture) -> None:
    """2 of 10 in 10 s: 8 left at 5 s each. A pause of 100 s changes elapsed, and nothing else."""
    with operation("job", total=10) as job:
        linear.clock.advance(10)
        job.advance(2)
        linear.tick()
        assert left(job) == pytest.approx(40)
        job.pause()
        linear.tick(100)
        assert left(job) == pytest.approx(40)
        assert job.snapshot().elapsed_seconds == 110
        job.resume()
        # A pause is not a stall: the level counts as having advanced when it was resumed.
        assert job.snapshot().last_advance_at == START + 110
        linear.clock.advance(10)
        job.advance(2)
        linear.tick()
        # 4 of 10 in 20 s worked: 6 left at 5 s each.
        assert left(job) == pytest.approx(30)
        assert job.snapshot().rate_per_second == pytest.approx(0.2)
        assert job.snapshot().elapsed_seconds == 120


def test_a_pause_before_the_first_look_is_no_work_either(linear: Capture) -> None:
    """Nobody had looked when it was paused and resumed: 100 s of pause, 10 s of work, 2 of 10 done."""
    with operation("job", total=10) as job:
        job.pause()
        linear.clock.advance(100)
        job.resume()
        linear.clock.advance(10)
        job.advance(2)
        linear.tick()
        assert left(job) == pytest.approx(40)


def test_a_retry_is_time_worked(linear: Capture) -> None:
    """It costs what it takes: 2 of 10 in 10 s and 20 s of retrying, then 1 more: 3 in 30 s, 7 left at 10 s each."""
    with operation("job", total=10) as job:
        linear.clock.advance(10)
        job.advance(2)
        linear.tick()
        job.retrying()
        linear.clock.advance(20)
        job.advance(1)
        linear.tick()
        assert job.state is State.RUNNING
        assert left(job) == pytest.approx(70)


def test_unknown_is_none(progress: Capture) -> None:
    """Without a total there is no fraction and no estimate; before the first advance no rate."""
    with operation("job") as job:
        progress.tick(1)
        snapshot = job.snapshot()
        assert (snapshot.total, snapshot.fraction, snapshot.eta, snapshot.expected_end_at) == (None,) * 4
        assert snapshot.rate_per_second is None
        job.set_total(4)
        progress.tick(1)
        assert (job.snapshot().fraction, job.snapshot().eta) == (0.0, None)


# --- counts -----------------------------------------------------------------------------------------------------------


def test_advance_counts_items_bytes_and_outcomes(progress: Capture) -> None:
    """One item unless only bytes are given; done is whatever became of them."""
    with level("step", total=100, unit="{row}") as step:
        step.advance()
        step.advance(10)
        step.advance(bytes=64_000)
        step.advance(20, bytes=500)
        step.advance(3, outcome="failed")
        step.item_failed(n=2)
        step.advance(4, outcome="skipped")
        step.skip()
        step.skip(5)
        step.advance(0)
        snapshot = step.snapshot()
    assert (snapshot.done, snapshot.failed, snapshot.skipped, snapshot.bytes) == (46, 5, 10, 64_500)
    assert (snapshot.fraction, snapshot.unit) == (0.46, "{row}")
    assert ignored(progress) == {}
    for outcome, value in (("ok", 31), ("failed", 5), ("skipped", 10)):
        assert progress.value(names.ITEMS.name, operation="step", item_outcome=outcome) == value
    assert progress.value(names.BYTES_DONE.name, operation="step") == 64_500


def test_the_first_item_errors_are_noted_and_all_are_counted(progress: Capture) -> None:
    """Ten of twelve become events on the span, in order, redacted and with the time they happened."""
    with level("step") as step:
        for number in range(12):
            progress.clock.advance(1)
            step.item_failed(KeyError(f"row {number}, password=hunter2"))
        step.item_failed("no reason")
        step.item_failed()
    span = the_span(progress, "step")
    assert attribute(span, names.FAILED) == 14.0
    told = [dict(event.attributes or {}) for event in span.events]
    assert [event[names.EXCEPTION_MESSAGE] for event in told] == [
        f"'row {number}, password=***" for number in range(10)
    ]
    assert {event[names.EXCEPTION_TYPE] for event in told} == {"KeyError"}
    assert [event.timestamp for event in span.events] == [int((START + number + 1) * 1e9) for number in range(10)]


def test_items_may_be_fractional(progress: Capture) -> None:
    """Half an item is half an item; whole numbers stay whole."""
    with level("step", total=2.5) as step:
        step.advance(0.5)
        assert step.snapshot().done == 0.5
        step.advance(0.5)
        assert (step.snapshot().done, type(step.snapshot().done)) == (1, int)
        assert step.snapshot().fraction == pytest.approx(0.4)


def test_set_done_goes_forward_and_back(progress: Capture) -> None:
    """What is shown goes back, what was ever done does not: 7, back to 4, on to 9 makes 7 + 5 = 12 ever."""
    with level("step", total=10) as step:
        step.set_done(7)
        assert step.snapshot().done == 7
        step.set_done(4)
        assert (step.snapshot().done, step.snapshot().fraction) == (4, 0.4)
        assert progress.value(names.ITEMS.name, operation="step", item_outcome="ok") == 7
        assert progress.value(names.LEVEL_DONE.name, operation="step") == 4
        step.set_done(9)
        step.advance()
        assert step.snapshot().done == 10
    assert progress.value(names.ITEMS.name, operation="step", item_outcome="ok") == 13


def test_set_done_from_several_threads_is_the_last_word(progress: Capture) -> None:
    """Each thread has a cell of its own; the number is the level's."""
    with level("step") as step:
        step.set_done(5)
        in_thread(lambda: step.set_done(20))
        step.set_done(8)
        in_thread(lambda: step.set_done(9))
        assert step.snapshot().done == 9


def test_more_done_than_the_total_is_all_of_it(progress: Capture) -> None:
    """The numbers stay as they are, the fraction does not exceed one."""
    with level("step", total=4) as step:
        step.advance(6)
        assert (step.snapshot().done, step.snapshot().total, step.snapshot().fraction) == (6, 4, 1.0)
    assert attribute(the_span(progress, "step"), names.FRACTION) == 1.0


def test_a_total_changes_as_often_as_it_likes(progress: Capture) -> None:
    """Up, down, unknown and nothing at all."""
    with level("step", total=10) as step:
        step.advance(3)
        seen = []
        for total in (30, 4, None, 0):
            step.set_total(total)
            seen.append((step.snapshot().total, step.snapshot().fraction))
    assert seen == [(30, 0.1), (4, 0.75), (None, None), (0, 1.0)]


def test_named_counters(progress: Capture) -> None:
    """Standard names have their unit, others what they are given; never summed across names."""
    with operation("job") as job, level("step") as step:
        step.count("tokens", 812)
        step.count("tokens", 188)
        step.count("cost", 0.25)
        step.count("pages", 3, unit="{page}")
        step.count("retries")
        job.count("tokens", 7)
        assert dict(step.snapshot().counters) == {
            "tokens": CounterValue(1000, "{token}"),
            "cost": CounterValue(0.25, "{USD}"),
            "pages": CounterValue(3, "{page}"),
            "retries": CounterValue(1, "{retry}"),
        }
    counter = names.COUNTER.name
    told = {"counter_name": "tokens", "counter_unit": "{token}"}
    assert progress.value(counter, operation="job", level="step", **told) == 1000
    assert progress.value(counter, operation="job", **told) == 7
    assert attribute(the_span(progress, "step"), names.COUNTER_PREFIX + "cost") == 0.25


def test_quality_is_the_last_one_set(progress: Capture) -> None:
    """Between 0 and 1; what is not is ignored."""
    with level("step") as step:
        assert step.snapshot().quality is None
        step.set_quality(0.97)
        step.set_quality(1.5)
        assert step.snapshot().quality == 0.97
        assert progress.value(names.QUALITY_GAUGE.name, operation="step") == 0.97
        step.set_quality(0)
    assert attribute(the_span(progress, "step"), names.QUALITY) == 0.0
    assert ignored(progress) == {"bad_quality": 1}


def test_messages_titles_and_metadata(progress: Capture) -> None:
    """The last message and title; metadata adds up, and reaches the span."""
    with level("step", title="Copy", metadata={"table": "orders", "rows": 7}) as step:
        step.update(message="reading")
        step.update(message="writing", metadata={"rows": 8, "host": "db1"})
        step.update(title="Copy orders")
        snapshot = step.snapshot()
    assert (snapshot.message, snapshot.title) == ("writing", "Copy orders")
    assert dict(snapshot.metadata) == {"table": "orders", "rows": 8, "host": "db1"}
    span = the_span(progress, "step")
    assert attribute(span, names.MESSAGE) == "writing"
    assert attribute(span, names.LEVEL_TITLE) == "Copy orders"
    assert attribute(span, names.METADATA_PREFIX + "rows") == 8


def test_ids_and_titles_are_no_labels(progress: Capture) -> None:
    """They are on spans, events and snapshots; no metric has them."""
    with operation("job", id="2026-01-31", title="January") as job:
        assert (job.id, job.snapshot().id, job.snapshot().title) == ("2026-01-31", "2026-01-31", "January")
        job.advance()
        progress.tick(1)
    span = the_span(progress, "job")
    assert (attribute(span, names.LEVEL_ID), attribute(span, names.LEVEL_TITLE)) == ("2026-01-31", "January")
    [started] = progress.events(names.STARTED.name)
    assert started.attributes[names.LEVEL_ID] == "2026-01-31"
    for metric in names.METRICS:
        for labels in progress.points(metric.name):
            assert not {names.LEVEL_ID, names.LEVEL_TITLE} & {key for key, _ in labels}


def test_an_id_may_be_anything_with_a_text(progress: Capture) -> None:
    """Known before the start as after."""
    job = operation("job", id=17)  # type: ignore[arg-type]  # people do
    assert (job.id, job.name, job.operation) == ("17", "job", "job")
    with job:
        assert job.id == "17"


# --- plans and fractions ----------------------------------------------------------------------------------------------


def test_announced_phases_are_shown_and_weighed(progress: Capture) -> None:
    """Copy weighs six, verify one: half of copy is 3/7, all of it 6/7."""
    with operation("migrate", phases={"copy": 6, "verify": 1}) as job:
        assert job.snapshot().fraction == 0.0
        announced = children(job)
        assert {name: child.state for name, child in announced.items()} == {"copy": "pending", "verify": "pending"}
        assert {child.key for child in announced.values()} == {0}
        with level("copy", total=10) as copy:
            copy.advance(5)
            progress.tick(1)
            assert job.snapshot().fraction == pytest.approx(3 / 7)
            assert {name: child.state for name, child in children(job).items()} == {
                "copy": "running",
                "verify": "pending",
            }
            copy.advance(5)
        progress.tick(1)
        assert job.snapshot().fraction == pytest.approx(6 / 7)
        with level("verify"):
            progress.tick(1)
            assert job.snapshot().fraction == pytest.approx(6 / 7), "without a total nothing is known of verify"
    assert attribute(the_span(progress, "migrate"), names.FRACTION) == 1.0
    assert [snapshot.fraction for snapshot in history()] == [1.0]


def test_phases_may_be_names_only(progress: Capture) -> None:
    """Each weighs one."""
    with operation("job", phases=["read", "sort", "write"]) as job:
        with level("read"):
            pass
        assert job.snapshot().fraction == pytest.approx(1 / 3)
    assert [child.name for child in history()[0].children] == ["read"], "what never came is not shown after the end"


def test_a_plan_gives_its_child_total_and_weight(progress: Capture) -> None:
    """The child's own total goes first; a second plan of the same name replaces the first."""
    with operation("job") as job:
        job.plan("copy", weight=1, total=5)
        job.plan("copy", weight=3, total=8)
        job.plan("verify", weight=1, total=9)
        assert {name: child.total for name, child in children(job).items()} == {"copy": 8, "verify": 9}
        with level("copy") as copy:
            assert copy.snapshot().total == 8
            copy.advance(4)
            progress.tick(1)
            assert job.snapshot().fraction == pytest.approx(3 / 4 * 0.5)
        with level("verify", total=2) as verify:
            assert verify.snapshot().total == 2


def test_a_second_level_of_a_phase_takes_nothing_back(progress: Capture) -> None:
    """Two levels for one phase: the share reached stays reached."""
    with operation("job", phases={"copy": 1, "verify": 1}) as job:
        seen = []
        for _ in range(2):
            with level("copy", total=2) as copy:
                copy.advance()
                progress.tick(1)
                seen.append(job.snapshot().fraction)
            seen.append(job.snapshot().fraction)
    assert seen == sorted(seen)
    # Half of the only copy: 1/4. All of it: 1/2. Then one and a half of two, which is not less than before; and all.
    assert seen == [0.25, 0.5, 0.5, 0.5]


def test_children_are_the_inside_of_the_item_in_hand(progress: Capture) -> None:
    """One child for each of four items: half of the second child is 1.5 of 4."""
    with operation("job", total=4) as job:
        with level("table", total=10) as table:
            table.advance(5)
            progress.tick(1)
            assert job.snapshot().fraction == pytest.approx(0.5 / 4)
            table.advance(5)
        job.advance()
        progress.tick(1)
        assert job.snapshot().fraction == pytest.approx(1 / 4)
        with level("table", total=10) as table:
            table.advance(5)
            progress.tick(1)
            assert job.snapshot().fraction == pytest.approx(1.5 / 4)
        job.advance()
        progress.tick(1)
        assert job.snapshot().fraction == pytest.approx(2 / 4)


def test_an_item_of_several_children_is_done_when_all_are(progress: Capture) -> None:
    """Read and write for each of four items: after the first item it is known that there are two."""
    with operation("job", total=4) as job:
        for name in ("read", "write"):
            with level(name):
                pass
        job.advance()
        progress.tick(1)
        assert job.snapshot().fraction == pytest.approx(1 / 4)
        with level("read", total=10) as read:
            read.advance(5)
            progress.tick(1)
            assert job.snapshot().fraction == pytest.approx(1.25 / 4)
        with level("write", total=10) as write:
            write.advance(8)
            progress.tick(1)
            assert job.snapshot().fraction == pytest.approx(1.9 / 4)


def test_grandchildren_count_through_their_parents(progress: Capture) -> None:
    """Half a row group of the first of two tables of the first of two schemas: 1/8 and so on up."""
    with operation("job", total=2) as job, level("schema", total=2) as schema, level("table", total=4) as table:
        table.advance(2)
        progress.tick(1)
        progress.tick(1)
        progress.tick(1)
        assert table.snapshot().fraction == 0.5
        assert schema.snapshot().fraction == pytest.approx(0.25)
        assert job.snapshot().fraction == pytest.approx(0.125)


def test_a_fraction_between_two_looks_stays_in_its_item(progress: Capture) -> None:
    """Many items with a child each, finished since the last look: nothing is counted twice."""
    with operation("job", total=100) as job:
        for done in range(1, 31):
            with level("table"):
                pass
            job.advance()
            fraction = job.snapshot().fraction
            assert fraction is not None
            assert done / 100 <= fraction <= (done + 1) / 100


# --- snapshots --------------------------------------------------------------------------------------------------------


def test_a_snapshot_tells_everything(progress: Capture) -> None:
    """Every field of a running step, worked out by hand."""
    progress.clock.advance(5)
    with operation("job", id="j1") as job:
        progress.clock.advance(7)
        with level("copy", id="c1", title="Copy", total=20, unit="{row}", metadata={"host": "db1"}) as copy:
            progress.clock.advance(10)
            copy.advance(3, bytes=600)
            copy.advance(outcome="failed")
            copy.skip()
            copy.set_quality(0.75)
            copy.count("pages", 2, unit="{page}")
            copy.update(message="copying")
            copy.cancel("by hand")
            progress.tick()
            progress.clock.advance(0.25)
            snapshot = copy.snapshot()
            context = trace.get_current_span().get_span_context()
            parent_key = job.snapshot().key
    assert snapshot.key != parent_key
    assert (snapshot.parent_key, snapshot.is_operation) == (parent_key, False)
    assert (snapshot.operation, snapshot.name, snapshot.id, snapshot.title) == ("job", "copy", "c1", "Copy")
    assert snapshot.path == ("job", "copy")
    assert len(snapshot.run_id) == 32
    assert (snapshot.state, snapshot.is_live) == ("running", True)
    assert (snapshot.started_at, snapshot.ended_at, snapshot.elapsed_seconds) == (START + 12, None, 10.25)
    assert (snapshot.done, snapshot.total, snapshot.failed, snapshot.skipped) == (5, 20, 1, 1)
    assert (snapshot.bytes, snapshot.unit, snapshot.fraction) == (600, "{row}", 0.25)
    assert snapshot.rate_per_second == pytest.approx(0.5)
    assert snapshot.eta is not None
    assert snapshot.eta.low < snapshot.eta.expected < snapshot.eta.high
    # Looked at a quarter of a second ago: 15 left at 2 s each then, and the end it promised stands.
    assert snapshot.eta.expected == pytest.approx(30)
    assert snapshot.expected_end_at == pytest.approx(START + 22 + 30)
    assert snapshot.last_advance_at == pytest.approx(START + 22)
    assert (snapshot.message, dict(snapshot.metadata)) == ("copying", {"host": "db1"})
    assert dict(snapshot.counters) == {"pages": CounterValue(2, "{page}")}
    assert (snapshot.quality, snapshot.error_type, snapshot.error_message) == (0.75, None, None)
    assert (snapshot.reason, snapshot.cancel_requested) == (None, True)
    assert snapshot.trace_id == f"{context.trace_id:032x}"
    assert snapshot.span_id == f"{context.span_id:016x}"
    assert (snapshot.children, snapshot.children_live, snapshot.children_finished) == ((), 0, 0)


def test_a_snapshot_of_an_ended_level_stands_still(progress: Capture) -> None:
    """It ended after 4 s; later it is the same."""
    with pytest.raises(ValueError, match="row 3"), operation("job", total=8) as job:
        job.advance(2)
        progress.clock.advance(4)
        raise ValueError("row 3")
    ended = job.snapshot()
    assert (ended.state, ended.ended_at, ended.elapsed_seconds) == ("failed", START + 4, 4.0)
    assert (ended.done, ended.fraction, ended.eta, ended.rate_per_second) == (2, 0.25, None, None)
    assert (ended.error_type, ended.error_message) == ("ValueError", "row 3")
    progress.tick(100)
    assert job.snapshot() == ended


def test_a_snapshot_before_the_start_is_pending(progress: Capture) -> None:
    """With what it was given."""
    snapshot = level("step", id="s", total=5).snapshot()
    assert (snapshot.state, snapshot.name, snapshot.id, snapshot.total) == ("pending", "step", "s", 5)
    assert snapshot.is_live
    assert progress.spans() == []


def test_a_snapshot_cannot_be_changed(progress: Capture) -> None:
    """Frozen, its mappings too, and cut loose from the level."""
    with level("step", metadata={"a": 1}) as step:
        snapshot = step.snapshot()
        with pytest.raises(AttributeError):
            snapshot.done = 3  # type: ignore[misc]  # that is the point
        with pytest.raises(TypeError):
            snapshot.metadata["b"] = 2  # type: ignore[index]  # that is the point
        step.update(metadata={"a": 2})
        assert dict(snapshot.metadata) == {"a": 1}


def test_a_snapshot_shows_a_bounded_number_of_children(progress: Capture) -> None:
    """The last finished and the live ones; the counts tell of all."""
    with operation("job") as job:
        for number in range(20):
            with job.level(f"done-{number}"):
                pass
        live = [job.level(f"live-{number}").__enter__() for number in range(150)]
        snapshot = job.snapshot()
        assert (snapshot.children_live, snapshot.children_finished) == (150, 20)
        shown = [child.name for child in snapshot.children]
        assert shown[:8] == [f"done-{number}" for number in range(12, 20)]
        assert len(shown) == 108
        for each in reversed(live):
            each.__exit__(None, None, None)


def test_two_generations_of_finished_levels_are_remembered(progress: Capture) -> None:
    """With eight children each, five generations would be 37,449 levels for one finished operation."""
    with operation("job"):
        with level("child"), level("grandchild"), level("great-grandchild"), level("last"):
            pass
        assert [snapshot.name for snapshot in find("job")] == ["job", "child", "grandchild"]
    assert [snapshot.name for snapshot in find("job")] == ["job", "child", "grandchild"]
    [child] = history()[0].children
    [grandchild] = child.children
    assert (grandchild.children, grandchild.children_finished) == ((), 1)


def test_a_tree_of_any_depth_can_be_looked_at(progress: Capture) -> None:
    """Deeper than the stack of who looks: nothing raises, the top fifty are shown, and each can be found."""
    with ExitStack() as stack, operation("job") as job:
        for number in range(1_200):
            stack.enter_context(level("depth", id=str(number)))
        progress.tick(1)
        depth, snapshot = 0, job.snapshot()
        while snapshot.children:
            depth, snapshot = depth + 1, snapshot.children[0]
        assert (depth, snapshot.children_live) == (50, 1)
        assert active()[0].children_live == 1
        assert [snapshot.state for snapshot in find(id="1199")] == ["running"]
    assert dict(health().contained) == {}


# --- cancelling -------------------------------------------------------------------------------------------------------


def test_a_cancellation_reaches_everything_below_and_nothing_beside(progress: Capture) -> None:
    """It is a request: states stay, the flag is seen, the nearest reason is told."""
    with operation("job") as job:
        with level("left") as left_one, level("below") as below:
            left_one.cancel("not needed")
            assert [each.cancel_requested for each in (job, left_one, below)] == [False, True, True]
            assert below.snapshot().cancel_requested
            assert below.state is State.RUNNING
            with pytest.raises(ProgressCancelled, match="not needed"):
                below.check_cancelled()
        with level("right") as right:
            right.check_cancelled()
            assert not right.cancel_requested
    assert set(outcomes(progress).values()) == {"completed"}


def test_a_cancellation_without_a_reason_names_the_level(progress: Capture) -> None:
    """Requested from another thread."""
    with operation("job") as job:
        in_thread(job.cancel)
        with pytest.raises(ProgressCancelled, match="job was asked to stop"):
            job.check_cancelled()


# --- across processes -------------------------------------------------------------------------------------------------


def test_a_carrier_is_a_plain_dict_of_w3c_fields(progress: Capture) -> None:
    """Traceparent and baggage as the standards have them, the operation and its run beside them; JSON takes it."""
    token = otel_context.attach(baggage.set_baggage("tenant", "acme"))
    with operation("nächtlicher import") as job, job.level("copy") as copy:
        carrier = copy.carrier()
        context = trace.get_current_span().get_span_context()
        run_id = job.snapshot().run_id
    otel_context.detach(token)
    assert carrier == {
        "traceparent": f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}",
        "baggage": "tenant=acme",
        "progress-operation": "n%C3%A4chtlicher%20import",
        "progress-level": "copy",
        "progress-run": run_id,
    }
    assert json.loads(json.dumps(carrier)) == carrier


def test_a_level_that_has_not_started_has_nothing_to_carry(progress: Capture) -> None:
    """And an empty carrier continues nothing."""
    assert level("step").carrier() == {}
    with continue_from({}), level("alone") as alone:
        assert alone.operation == "alone"


def test_levels_continue_a_carrier_in_a_fresh_context(progress: Capture) -> None:
    """Children of the carrier's level by trace, of its operation and run by progress; afterwards all is as before."""
    token = otel_context.attach(baggage.set_baggage("tenant", "acme"))
    with operation("import") as job, level("copy") as copy:
        carrier = copy.carrier()
        run_id = job.snapshot().run_id

        def work() -> None:
            before = otel_context.get_current()
            with continue_from(carrier):
                assert baggage.get_baggage("tenant") == "acme"
                with level("shard", total=4) as shard:
                    shard.advance(3)
                    snapshot = shard.snapshot()
                    assert (snapshot.operation, snapshot.is_operation, snapshot.run_id) == ("import", False, run_id)
                    assert snapshot.path == ("import", "shard")
                    with level("part") as part:
                        assert part.snapshot().path == ("import", "shard", "part")
                with operation("other") as other:
                    assert (other.operation, other.snapshot().run_id == run_id) == ("other", False)
            assert otel_context.get_current() is before
            with level("after") as after:
                assert after.operation == "after"

        contextvars.Context().run(work)
    otel_context.detach(token)
    expected = {"import": None, "copy": "import", "shard": "copy", "part": "shard", "other": "copy", "after": None}
    assert parents(progress) == expected
    assert progress.value(names.ITEMS.name, operation="import", level="shard", item_outcome="ok") == 3


def test_a_carrier_without_a_trace_still_names_the_operation() -> None:
    """Without an SDK there is no span; the worker's levels are the operation's all the same."""
    with operation("import") as job:
        carrier = job.carrier()
        assert set(carrier) == {"progress-operation", "progress-level", "progress-run"}

        def work() -> tuple[str, str]:
            with continue_from(carrier), level("shard") as shard:
                return shard.operation, shard.snapshot().run_id

        assert in_thread(work) == ("import", job.snapshot().run_id)


@pytest.mark.parametrize(
    "carrier",
    [
        {"traceparent": "nonsense", "progress-operation": ""},
        {"traceparent": "00-0-0-00", "baggage": ";;;=,=", "tracestate": "\x00"},
        {"traceparent": 17, "progress-operation": None, 5: "x"},
        {"progress-run": "r" * 100_000, "baggage": "k=" + "v" * 100_000},
        ["traceparent"],
        "traceparent",
        17,
    ],
    ids=["nonsense", "half", "types", "huge", "list", "str", "int"],
)
def test_a_malformed_carrier_continues_nothing(progress: Capture, carrier: Any) -> None:  # noqa: ANN401
    """No exception, no complaint of OTel's: the levels inside are their own operations."""
    with continue_from(carrier), level("step") as step:
        assert step.operation == "step"
        assert len(step.snapshot().run_id) == 32
    assert the_span(progress, "step").parent is None
    assert outcomes(progress) == {"step": "completed"}


def test_what_is_sound_in_a_carrier_is_kept(progress: Capture) -> None:
    """Baggage and trace state are lists: a bad member costs itself, not the others."""
    carrier = {
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01",
        "tracestate": "congo=t61rcWkgMzE, =, BAD=1, tenant@vendor=a b,rojo=00f067aa0ba902b7, congo=2",
        "baggage": "tenant=acme;ttl=5;public, =, two words=1, path=a%20b%2Cc , ünï=1, empty=",
    }
    with continue_from(carrier), level("step"):
        assert dict(baggage.get_all()) == {"tenant": "acme;ttl=5;public", "path": "a b,c", "empty": ""}
        state = trace.get_current_span().get_span_context().trace_state
        assert dict(state) == {"congo": "2", "rojo": "00f067aa0ba902b7"}
    assert outcomes(progress) == {"step": "completed"}


def test_a_carriers_fields_are_bounded(progress: Capture) -> None:
    """It may come from anywhere: names are names, ids are short, keys may be headers in any case."""
    carrier = {"Progress-Operation": "x" * 5_000 + "%0A%0d", "PROGRESS-RUN": "r" * 5_000}
    with continue_from(carrier), level("step") as step:
        assert len(step.operation) == 120
        assert len(step.snapshot().run_id) <= 64


def test_an_exception_passes_through_a_continuation(progress: Capture) -> None:
    """And the context is restored."""
    before = otel_context.get_current()
    carrier = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01", "progress-operation": "job"}
    error = ValueError("row")
    with pytest.raises(ValueError, match="row") as caught, continue_from(carrier), level("step"):
        raise error
    assert caught.value is error
    assert otel_context.get_current() is before
    parent = the_span(progress, "step").parent
    assert parent is not None
    assert (f"{parent.trace_id:032x}", f"{parent.span_id:016x}", parent.is_remote) == (
        "0af7651916cd43dd8448eb211c80319c",
        "00f067aa0ba902b7",
        True,
    )


WORKER = """
import json, sys
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from otel_progress import continue_from, flush, level
exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
def work():
    with level("shard"):
        pass
if sys.argv[1] == "carrier":
    with continue_from(json.loads(sys.argv[2])):
        work()
elif sys.argv[1] == "environment":
    with continue_from():
        work()
else:
    work()
flush()
[span] = exporter.get_finished_spans()
print(json.dumps({
    "trace": f"{span.context.trace_id:032x}",
    "parent": span.parent and f"{span.parent.span_id:016x}",
    **{key: value for key, value in span.attributes.items() if isinstance(value, str)},
    "path": span.attributes.get("progress.path"),
}))
"""


@pytest.mark.parametrize("way", ["carrier", "environment", "by itself"])
def test_levels_continue_in_another_process(progress: Capture, way: str) -> None:
    """By a carrier handed over, by the environment asked for, and by ``TRACEPARENT`` alone without asking."""
    with operation("import") as job, level("copy") as copy:
        carrier = copy.carrier()
        environment = {key.upper().replace("-", "_"): value for key, value in carrier.items()}
        if way == "by itself":
            environment = {"TRACEPARENT": environment["TRACEPARENT"]}
        done = python(WORKER, way, json.dumps(carrier), environment={} if way == "carrier" else environment)
        assert (done.returncode, done.stderr) == (0, "")
        run_id = job.snapshot().run_id
    told = json.loads(done.stdout)
    context = the_span(progress, "copy").context
    assert context is not None
    assert (told["trace"], told["parent"]) == (f"{context.trace_id:032x}", f"{context.span_id:016x}")
    if way == "by itself":
        assert told[names.OPERATION] == "shard"
        assert told[names.RUN_ID] != run_id
    else:
        assert (told[names.OPERATION], told[names.LEVEL], told[names.RUN_ID]) == ("import", "shard", run_id)
        assert told["path"] == ["import", "shard"]


def test_a_malformed_environment_continues_nothing() -> None:
    """The job runs, on its own."""
    environment = {"TRACEPARENT": "garbage", "BAGGAGE": "=;", "PROGRESS_OPERATION": "%"}
    done = python(WORKER, "by itself", environment=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["parent"] is None


# --- lists ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def some_runs(progress: Capture) -> Capture:
    """Four operations that ended, each an hour after the last: two imports, one of them failed, and two exports."""
    for number, name in enumerate(("import", "export", "import", "export")):
        with operation(name, id=f"run-{number}") as job:
            with level("copy", id=f"copy-{number}"):
                pass
            if number == 2:
                job.fail("disk")
        progress.clock.advance(3600)
    return progress


def ids(snapshots: tuple[Snapshot, ...]) -> list[str | None]:
    """Return the ids of snapshots."""
    return [snapshot.id for snapshot in snapshots]


def test_history_is_newest_first_and_filtered(some_runs: Capture) -> None:
    """By operation, id, state, time of the end, and number; trees come along."""
    assert ids(history()) == ["run-3", "run-2", "run-1", "run-0"]
    assert ids(history("import")) == ["run-2", "run-0"]
    assert ids(history(id="run-1")) == ["run-1"]
    assert ids(history(state=State.FAILED)) == ids(history(state="failed")) == ["run-2"]
    assert ids(history(since=START + 3600)) == ["run-3", "run-2", "run-1"]
    assert ids(history("import", state="completed", limit=1)) == ["run-0"]
    assert ids(history(limit=2)) == ["run-3", "run-2"]
    assert (history(limit=0), history("nothing"), history(state="no such state")) == ((), (), ())
    assert ids(history()[0].children) == ["copy-3"]
    assert active() == ()


def test_active_lists_live_operations_oldest_first(progress: Capture) -> None:
    """As trees; the filters look at the operation."""
    with operation("import", id="a"):
        progress.clock.advance(60)
        with operation("export", id="b") as export, level("copy", id="c"):
            export.pause()
            assert ids(active()) == ["a", "b"]
            assert [ids(snapshot.children) for snapshot in active()] == [[], ["c"]]
            assert ids(active("export")) == ids(active(id="b")) == ids(active(state="paused")) == ["b"]
            assert ids(active(since=START + 1)) == ["b"]
            assert ids(active(limit=1)) == ["a"]
            assert ids(active("copy")) == ids(active(id="c")) == []
    assert active() == ()


def test_find_looks_at_any_depth_live_ones_first(some_runs: Capture) -> None:
    """Then what is remembered of finished ones, newest first."""
    with operation("import", id="run-4"), level("copy", id="copy-4"):
        with level("part", id="part-4"):
            pass
        assert ids(find("import")) == ["run-4", "copy-4", "part-4", "run-2", "copy-2", "run-0", "copy-0"]
        assert ids(find(id="copy-4")) == ["copy-4"]
        assert ids(find(id="copy-1")) == ["copy-1"]
        assert ids(find(state="running")) == ["run-4", "copy-4"]
        assert ids(find(state="failed")) == ["run-2"]
        assert ids(find("import", limit=3)) == ["run-4", "copy-4", "part-4"]
        assert ids(find(since=START + 4 * 3600)) == ["run-4", "copy-4", "part-4"]
    assert len(find()) == 4 * 2 + 3


def test_the_ring_of_finished_operations_is_bounded() -> None:
    """The oldest go first, and nothing is said to have been dropped: that is what a ring does."""
    with capture_progress(history_limit=3) as progress:
        for number in range(5):
            with operation("job", id=str(number)):
                pass
        assert ids(history()) == ["4", "3", "2"]
        assert health().finished_operations == 3
        assert dict(health().dropped) == {}
        assert progress.value(names.LEVEL_DURATION.name, operation="job", outcome="completed") == (5, 0.0)


def test_a_hundred_finished_operations_are_remembered(progress: Capture) -> None:
    """By default."""
    for _ in range(105):
        with operation("job"):
            pass
    assert len(history()) == 100


def test_lists_work_without_an_sdk() -> None:
    """They are the process's own."""
    with operation("job", id="live"):
        assert ids(active()) == ids(find()) == ["live"]
    assert ids(history()) == ["live"]
    assert flush(0.0)


def test_health_tells_how_we_are(progress: Capture) -> None:
    """Counts by reason, levels alive and remembered, the last heartbeat."""
    assert (health().enabled, health().live_levels, health().heartbeat_at) == (True, 0, None)
    with operation("job") as job, level("step") as step:
        progress.tick(3)
        job.set_quality(7)
        step.advance(-1)
        step.advance(-2)
        now = health()
        assert (now.live_levels, now.finished_operations, now.heartbeat_at) == (2, 0, START + 3)
        assert dict(now.ignored) == {"bad_quality": 1, "bad_advance": 2}
    flush()
    now = health()
    assert (now.live_levels, now.finished_operations, now.outbox_length, now.outbox_busy_seconds) == (0, 1, 0, 0.0)
    assert (dict(now.dropped), dict(now.contained)) == ({}, {})
    for reason, value in (("bad_quality", 1), ("bad_advance", 2)):
        assert progress.value(names.TELEMETRY_IGNORED.name, reason=reason) == value


def test_health_says_when_it_is_switched_off() -> None:
    """Nothing is counted then."""
    with capture_progress(enabled=False):
        with operation("job") as job:
            job.advance(-1)
            assert current() is None
            assert job.snapshot().state is State.PENDING
        assert not health().enabled
        assert (health().live_levels, dict(health().ignored)) == (0, {})


# --- subscriptions ----------------------------------------------------------------------------------------------------


def told(changes: list[Change]) -> list[tuple[str, str, str]]:
    """Return kind, name and state of changes."""
    return [(change.kind, change.level.name, change.level.state.value) for change in changes]


def test_a_subscriber_is_told_of_starts_changes_advances_and_ends(progress: Capture) -> None:
    """In order, in a thread of ours, until it unsubscribes; twice is harmless."""
    seen: list[Change] = []
    threads: set[str] = set()

    def callback(change: Change) -> None:
        seen.append(change)
        threads.add(threading.current_thread().name)

    subscription = on_change(callback)
    with operation("job") as job, level("step") as step:
        job.pause("lunch")
        step.advance(3)
        progress.tick(1)
        progress.tick(1)
        step.update(message="working")
        progress.tick(1)
    flush()
    assert told(seen) == [
        ("started", "job", "running"),
        ("started", "step", "running"),
        ("state_changed", "job", "paused"),
        ("advanced", "step", "running"),
        ("advanced", "step", "running"),
        ("ended", "step", "completed"),
        ("ended", "job", "completed"),
    ]
    assert [change.level.done for change in seen if change.kind == "advanced"] == [3, 3]
    assert seen[2].level.reason == "lunch"
    assert threads == {"otel_progress-outbox"}
    subscription.unsubscribe()
    subscription.unsubscribe()
    with operation("unseen"):
        pass
    flush()
    assert len(seen) == 7


def test_a_subscription_is_a_context_manager_and_a_clean_up_function(progress: Capture) -> None:
    """Whichever way it is ended."""
    seen: list[Change] = []
    with on_change(seen.append):
        with operation("first"):
            pass
        flush()
    unsubscribe = on_change(seen.append)
    with operation("second"):
        pass
    flush()
    unsubscribe()
    with operation("third"):
        pass
    flush()
    assert {change.level.name for change in seen} == {"first", "second"}


@pytest.mark.parametrize("error", [ValueError("callback"), SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_a_callback_that_raises_is_logged_once_and_dropped(
    progress: Capture, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    """Whatever it raises; the others are told, spans are exported, the program goes on."""
    calls: list[Change] = []
    seen: list[Change] = []

    def callback(change: Change) -> None:
        calls.append(change)
        raise error

    on_change(callback)
    with on_change(seen.append):
        for _ in range(3):
            with operation("job"):
                pass
        assert flush()
    assert len(calls) == 1
    assert len(seen) == 6
    assert len(progress.spans("job")) == 3
    assert [(record.name, record.levelname) for record in caplog.records] == [("otel_progress", "WARNING")]
    assert dict(health().contained) == {"callback": 1}


def test_a_callback_that_blocks_blocks_nobody_else(progress: Capture) -> None:
    """Neither levels nor the heartbeat; `health` shows it, and the rest arrives when it lets go."""
    let_go, called = threading.Event(), threading.Event()

    def callback(_: Change) -> None:
        called.set()
        let_go.wait(LONGEST_SECONDS)

    with on_change(callback):
        with operation("job"):
            assert called.wait(LONGEST_SECONDS)
        with operation("next"):
            progress.tick(1)
        assert health().heartbeat_at == START + 1
        assert health().outbox_length > 0
        wait_until(lambda: health().outbox_busy_seconds > 0, "the outbox is busy")
        assert not flush(0.01)
        let_go.set()
    assert flush()
    assert outcomes(progress) == {"job": "completed", "next": "completed"}
    assert health().outbox_busy_seconds == 0.0


def test_a_callback_may_use_levels_itself(progress: Capture) -> None:
    """It runs outside our locks: it may look, open levels and unsubscribe."""
    done: list[str] = []

    def callback(change: Change) -> None:
        if change.level.name == "job" and change.kind == "ended":
            subscription.unsubscribe()
            with level("report") as report:
                report.advance()
            assert not flush(0.01), "the outbox cannot wait for itself"
            done.extend(snapshot.name for snapshot in history())

    subscription = on_change(callback)
    with operation("job"):
        pass
    flush()
    assert done == ["report", "job"]
    assert outcomes(progress) == {"job": "completed", "report": "completed"}


def test_subscribers_are_told_without_an_sdk() -> None:
    """They are reason enough for the threads."""
    seen: list[Change] = []
    with on_change(seen.append):
        with operation("job"):
            pass
        assert flush()
    assert told(seen) == [("started", "job", "running"), ("ended", "job", "completed")]


# --- watching ---------------------------------------------------------------------------------------------------------


def test_watch_opens_with_a_snapshot_of_each_live_level(progress: Capture) -> None:
    """Then come the changes since; it ends when closed, after what is queued."""
    with operation("job") as job, level("step"):
        job.advance(2)
        with watch() as changes:
            job.pause()
            flush()
        assert told(list(changes)) == [
            ("snapshot", "job", "running"),
            ("snapshot", "step", "running"),
            ("state_changed", "job", "paused"),
        ]
        assert list(changes) == [], "closed, it stays closed"


def test_watch_follows_one_operation(progress: Capture) -> None:
    """By name."""
    with watch("import") as changes:
        for name in ("import", "export"):
            with operation(name), level("step"):
                pass
        flush()
    assert told(list(changes)) == [
        ("started", "import", "running"),
        ("started", "step", "running"),
        ("ended", "step", "completed"),
        ("ended", "import", "completed"),
    ]


def test_watch_waits_for_what_comes(progress: Capture) -> None:
    """In a thread of its own, which ends when the watch is closed."""
    changes = watch()
    seen: list[Change] = []
    watcher = threading.Thread(target=lambda: seen.extend(changes))
    watcher.start()
    with operation("job"):
        wait_until(lambda: seen or changes, "the watch is open")
    flush()
    changes.close()
    changes.close()
    watcher.join(LONGEST_SECONDS)
    assert not watcher.is_alive()
    assert told(seen) == [("started", "job", "running"), ("ended", "job", "completed")]


async def test_watch_async(progress: Capture) -> None:
    """The loop stays free while it waits; changes made in other threads arrive."""
    seen: list[Change] = []

    async def follow() -> None:
        async for change in watch("job"):
            seen.append(change)
            if change.kind == "ended":
                break

    def work() -> None:
        with operation("job"), level("step"):
            pass

    following = asyncio.create_task(follow())
    await asyncio.sleep(0)
    await asyncio.to_thread(work)
    await asyncio.wait_for(following, LONGEST_SECONDS)
    assert told(seen) == [
        ("started", "job", "running"),
        ("started", "step", "running"),
        ("ended", "step", "completed"),
    ]


async def test_watch_async_ends_when_closed(progress: Capture) -> None:
    """From wherever."""
    changes = watch()

    async def follow() -> list[Change]:
        return [change async for change in changes]

    following = asyncio.create_task(follow())
    await asyncio.sleep(0)
    with operation("job"):
        pass
    await asyncio.to_thread(flush)
    await asyncio.to_thread(changes.close)
    assert told(await asyncio.wait_for(following, LONGEST_SECONDS)) == [
        ("started", "job", "running"),
        ("ended", "job", "completed"),
    ]


def test_a_forgotten_watch_costs_nothing_any_more(progress: Capture) -> None:
    """Left by break and dropped, it is unsubscribed with the next change."""
    with operation("job"):
        for _ in watch():
            break
        gc.collect()
        with level("step"):
            pass
        flush()
        assert not progress.runtime.subscribers


@pytest.mark.once
def test_a_watch_nobody_reads_is_bounded(progress: Capture, caplog: pytest.LogCaptureFixture) -> None:
    """The oldest changes go, and are counted."""
    with watch() as changes:
        for number in range(5_100):
            with level("step"):
                pass
            if number % 1_000 == 0:
                flush()  # or the outbox would be full first
        flush()
    assert len(list(changes)) == 10_000
    assert dict(health().dropped) == {"watch_full": 200}
    assert len(caplog.records) == 1


# --- the names of things ----------------------------------------------------------------------------------------------


def test_a_level_says_what_it_is(progress: Capture) -> None:
    """Before, during and after."""
    step = level("step", id="7")
    assert (repr(step), step.state, step.operation) == ("<Level 'step' pending>", State.PENDING, "step")
    with operation("job"), step:
        assert (step.name, step.id, step.operation, step.state) == ("step", "7", "job", State.RUNNING)
    assert (repr(step), step.operation) == ("<Level 'step' completed>", "job")


def test_a_nameless_level_has_a_name(progress: Capture) -> None:
    """As a context manager there is no function to take it from."""
    with level() as nameless:
        assert nameless.name == "unnamed"
    with track([1]) as items:
        assert items.name == "items"
        advance(bytes=5)
        list(items)
    assert attribute(the_span(progress, "items"), names.BYTES) == 5.0
