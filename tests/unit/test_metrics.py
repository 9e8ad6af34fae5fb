"""The metrics, exactly: each instrument, its series, and what does not move them."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    Gauge,
    Histogram,
    HistogramDataPoint,
    InMemoryMetricReader,
    Metric,
    NumberDataPoint,
    Sum,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler

from otel_progress import Level, _runtime, advance, health, level, names, operation, track
from otel_progress._config import Config
from otel_progress._registry import COUNTER_NAMES_LIMIT, OVERFLOW
from otel_progress._ticker import Ticker
from otel_progress.testing import Capture, FakeClock, capture_progress
from tests.unit.kit import together, wait_until

Values = dict[frozenset[tuple[str, Any]], Any]

LIVE_GAUGES = tuple(
    metric.name for metric in names.METRICS if metric.kind == "observable gauge" and metric is not names.DEVIATION
)
"""All but that of deviations, which is there once there was one, and goes to 0."""


def metrics_of(reader: InMemoryMetricReader) -> dict[str, Metric]:
    """Collect; return what was collected by name, ours only."""
    data = reader.get_metrics_data()
    return {
        metric.name: metric
        for resource in (data.resource_metrics if data is not None else ())
        for scope in resource.scope_metrics
        if scope.scope.name == names.SCOPE
        for metric in scope.metrics
    }


def values_of(metric: Metric | None) -> Values:
    """Return the values of a metric that is no histogram, by their attributes."""
    points = metric.data.data_points if metric is not None else ()
    return {frozenset((p.attributes or {}).items()): p.value for p in points if isinstance(p, NumberDataPoint)}


@contextmanager
def readers(count: int, sampler: Sampler = ALWAYS_ON, **options: Any) -> Iterator[tuple[InMemoryMetricReader, ...]]:  # noqa: ANN401
    """Run with a meter provider of so many readers and a clock that stands still."""
    made = tuple(InMemoryMetricReader() for _ in range(count))
    meters, tracers = MeterProvider(made, shutdown_on_exit=False), TracerProvider(sampler, shutdown_on_exit=False)
    runtime = _runtime.Runtime(
        Config.make({}, **options), clock=FakeClock(), meter_provider=meters, tracer_provider=tracers, ticker=False
    )
    previous = _runtime.replace(runtime)
    try:
        yield made
    finally:
        _runtime.replace(previous)
        runtime.shutdown()
        meters.shutdown()
        tracers.shutdown()


def of(operation_name: str, level_name: str | None = None, **more: str) -> frozenset[tuple[str, str]]:
    """Return a label set; ``state`` and the like stand for the keys they are in `names`."""
    labels = {names.OPERATION: operation_name}
    if level_name is not None:
        labels[names.LEVEL] = level_name
    keys = {"state": names.STATE, "outcome": names.ITEM_OUTCOME, "end": names.OUTCOME, "counter": names.COUNTER_NAME}
    keys["unit"] = names.COUNTER_UNIT
    return frozenset({**labels, **{keys[key]: value for key, value in more.items()}}.items())


# --- everything, once -------------------------------------------------------------------------------------------------

KINDS = {
    "observable counter": (Sum, True),
    "observable up-down counter": (Sum, False),
    "observable gauge": (Gauge, None),
    "histogram": (Histogram, None),
}


def test_every_instrument_as_declared_and_every_series_of_one_operation() -> None:
    """Names, kinds, units, descriptions, attributes, values and value types; nothing more and nothing less."""
    with readers(1) as (reader,):
        clock = _runtime.get().clock
        assert isinstance(clock, FakeClock)
        started = clock.wall_ns() / 1e9
        with operation("import", total=10, unit="{file}") as job, level("read", total=4, unit="{row}") as read:
            clock.advance(8.0)
            read.advance(2, bytes=300)
            read.item_failed()
            read.count("tokens", 7)
            read.set_quality(0.75)
            job.advance(4)
            job.skip()
            read.advance(-1)
            read.pause()
            _runtime.get().rounds.tick()
            clock.advance(2.0)
            collected = metrics_of(reader)
        _runtime.get().flush(5.0)
        ended = metrics_of(reader)

    collected[names.LEVEL_DURATION.name] = ended[names.LEVEL_DURATION.name]
    declared = {metric.name: metric for metric in names.METRICS}
    # Nothing was dropped, and nothing deviated.
    unused = {
        each.name for each in (names.TELEMETRY_DROPPED, names.TELEMETRY_CONTAINED, names.DEVIATION, names.DEVIATIONS)
    }
    unused.add(names.ETA_ERROR.name)  # it was too short to promise anything
    unused.add(names.TELEMETRY_KEPT.name)  # by exporters of `configure` only
    assert set(collected) == set(declared) - unused
    for name, metric in collected.items():
        assert (metric.unit, metric.description) == (declared[name].unit, declared[name].brief)
        kind, monotonic = KINDS[declared[name].kind]
        assert type(metric.data) is kind
        if isinstance(metric.data, Sum):
            assert metric.data.is_monotonic is monotonic
        for point in metric.data.data_points:
            assert set(point.attributes or {}) <= set(declared[name].attributes)

    values = {name: values_of(metric) for name, metric in collected.items()}
    op, lvl = of("import"), of("import", "read")
    # The operation: 5 of 10 in 8 s, its child 3 of 4 done: (5 + 3/4) of 10 units in 8 s; 4.25 left.
    eta = 4.25 * 8 / 5.75
    assert values == {
        names.ITEMS.name: {
            of("import", outcome="ok"): 4,
            of("import", outcome="failed"): 0,
            of("import", outcome="skipped"): 1,
            of("import", "read", outcome="ok"): 2,
            of("import", "read", outcome="failed"): 1,
            of("import", "read", outcome="skipped"): 0,
        },
        names.BYTES_DONE.name: {lvl: 300},
        names.ACTIVE.name: {
            of("import", state="running"): 1,
            of("import", "read", state="running"): 0,
            of("import", "read", state="paused"): 1,
        },
        names.LEVEL_DONE.name: {op: 5, lvl: 3},
        names.LEVEL_LIMIT.name: {op: 10, lvl: 4},
        names.LEVEL_FRACTION.name: {op: pytest.approx(0.575), lvl: 0.75},
        names.LEVEL_RATE.name: {op: pytest.approx(5.75 / 8), lvl: pytest.approx(3 / 8)},
        names.LEVEL_ELAPSED.name: {op: 10.0, lvl: 10.0},
        names.LEVEL_ETA.name: {op: pytest.approx(eta - 2), lvl: pytest.approx(8 / 3 - 2)},
        names.LEVEL_ETA_LOW.name: values[names.LEVEL_ETA_LOW.name],
        names.LEVEL_ETA_HIGH.name: values[names.LEVEL_ETA_HIGH.name],
        names.LEVEL_EXPECTED_END.name: {
            op: pytest.approx(started + 8 + eta, abs=1e-3),
            lvl: pytest.approx(started + 8 + 8 / 3, abs=1e-3),
        },
        names.LEVEL_LAST_ADVANCE.name: {op: started + 8, lvl: started + 8},
        names.LEVEL_HEARTBEAT.name: {op: started + 8, lvl: started + 8},
        names.COUNTER.name: {of("import", "read", counter="tokens", unit="{token}"): 7},
        names.QUALITY_GAUGE.name: {lvl: 0.75},
        names.TELEMETRY_IGNORED.name: {frozenset({(names.REASON, "bad_advance")}): 1},
        names.LEVEL_DURATION.name: {},
    }
    for labels in (op, lvl):
        low, high = values[names.LEVEL_ETA_LOW.name][labels], values[names.LEVEL_ETA_HIGH.name][labels]
        assert 0 <= low <= values[names.LEVEL_ETA.name][labels] <= high
    for name in (names.ITEMS.name, names.ACTIVE.name, names.BYTES_DONE.name, names.LEVEL_DONE.name):
        assert {type(value) for value in values[name].values()} == {int}

    durations = {
        frozenset((point.attributes or {}).items()): (point.count, point.sum, tuple(point.explicit_bounds))
        for point in ended[names.LEVEL_DURATION.name].data.data_points
        if isinstance(point, HistogramDataPoint)
    }
    assert durations == {
        of("import", end="completed"): (1, 10.0, names.DURATION_BOUNDARIES),
        of("import", "read", end="completed"): (1, 10.0, names.DURATION_BOUNDARIES),
    }


# --- whose series -----------------------------------------------------------------------------------------------------


def test_the_operations_own_series_carry_no_level(progress: Capture) -> None:
    """A level of the operation's name is another series; a level outside any operation is its own operation."""
    with operation("job") as job, level("job") as inner:
        job.advance(3)
        inner.advance(5)
    with level("alone") as alone:
        alone.advance(7)
    assert progress.points(names.ITEMS.name)[of("job", outcome="ok")] == 3
    assert progress.points(names.ITEMS.name)[of("job", "job", outcome="ok")] == 5
    assert progress.points(names.ITEMS.name)[of("alone", outcome="ok")] == 7


def test_levels_alive_at_once_under_one_name_are_summed_and_the_worst_taken(progress: Capture) -> None:
    """Done, limit and rate are sums; time left, elapsed and last advance are those of the slowest."""
    with operation("job") as job:
        slow = job.level("copy", total=100)
        slow.__enter__()
        progress.tick(10.0)
        fast = job.level("copy", total=20)
        with fast:
            slow.advance(10)
            progress.tick(10.0)  # at 20 s
            fast.advance(10)
            progress.tick(10.0)  # at 30 s
            now = progress.clock.wall_ns() / 1e9
            alone = {lvl.snapshot().total: lvl.snapshot() for lvl in (slow, fast)}
            assert progress.value("progress.level.done", operation="job", level="copy") == 20
            assert progress.value("progress.level.limit", operation="job", level="copy") == 120
            assert progress.value("progress.level.fraction", operation="job", level="copy") == pytest.approx(20 / 120)
            assert progress.value("progress.level.elapsed", operation="job", level="copy") == 30.0
            assert progress.value("progress.level.last_advance.timestamp", operation="job", level="copy") == now - 10
            for part in ("expected", "low", "high"):
                name = "progress.level.eta" if part == "expected" else f"progress.level.eta.{part}"
                worst = max(getattr(snapshot.eta, part) for snapshot in alone.values())
                assert progress.value(name, operation="job", level="copy") == pytest.approx(worst)
            rates = [snapshot.rate_per_second for snapshot in alone.values()]
            assert progress.value("progress.level.rate", operation="job", level="copy") == pytest.approx(
                sum(rate for rate in rates if rate is not None)
            )
        assert progress.value("progress.level.limit", operation="job", level="copy") == 100
        slow.__exit__(None, None, None)


def test_a_different_unit_under_the_same_name_is_left_out_and_counted(progress: Capture) -> None:
    """Rows and files do not add up; each level that is left out counts once, however often it is collected."""
    with (
        operation("job") as job,
        job.level("copy", total=10, unit="{row}") as rows,
        job.level("copy", total=1_000, unit="{file}") as files,
    ):
        rows.advance(1)
        files.advance(500)
        for _ in range(3):
            assert progress.value("progress.level.done", operation="job", level="copy") == 1
            assert progress.value("progress.level.limit", operation="job", level="copy") == 10
        assert progress.value("progress.level.active", operation="job", level="copy", state="running") == 2
        assert health().dropped == {"unit_conflict": 1}


def test_names_are_never_summed_with_other_names(progress: Capture) -> None:
    """A parent's numbers are its own, not its children's."""
    with operation("job", total=2) as job, job.level("a", total=3) as a, a.level("b", total=5) as b:
        b.advance(4)
        assert progress.points("progress.level.done") == {of("job"): 0, of("job", "a"): 0, of("job", "b"): 4}
        assert progress.points("progress.level.limit") == {of("job"): 2, of("job", "a"): 3, of("job", "b"): 5}


# --- life and death of a series ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [None, ValueError("broken"), KeyboardInterrupt()])
def test_live_series_disappear_at_the_next_collection_and_active_goes_to_zero(
    progress: Capture, error: BaseException | None
) -> None:
    """However the level ended; what was counted remains."""
    try:
        with operation("job", total=10) as job:
            job.advance(2, bytes=10)
            job.set_quality(0.5)
            job.pause()
            job.resume()
            job.retrying()
            progress.tick(1.0)
            assert {name for name in LIVE_GAUGES if progress.points(name)} == set(LIVE_GAUGES)
            if error is not None:
                raise error
    except (ValueError, KeyboardInterrupt):
        pass
    assert [name for name in LIVE_GAUGES if progress.points(name)] == []
    assert progress.points("progress.level.active") == {
        of("job", state="running"): 0,
        of("job", state="paused"): 0,
        of("job", state="retrying"): 0,
    }
    assert progress.value("progress.items", operation="job", item_outcome="ok") == 2
    assert progress.value("progress.bytes", operation="job") == 10


def test_unknown_is_no_point(progress: Capture) -> None:
    """No total: no limit, fraction or time left. No advance: no rate. No tick yet: no heartbeat. Never 0, never NaN."""
    known = {"progress.level.done", "progress.level.elapsed", "progress.level.last_advance.timestamp"}
    with operation("job") as job:
        assert {name for name in LIVE_GAUGES if progress.points(name)} == known
        progress.tick(1.0)
        known |= {"progress.level.heartbeat.timestamp"}
        assert {name for name in LIVE_GAUGES if progress.points(name)} == known
        job.set_total(10)
        progress.tick(1.0)
        known |= {"progress.level.limit", "progress.level.fraction"}
        assert {name for name in LIVE_GAUGES if progress.points(name)} == known
        job.advance()
        progress.tick(1.0)
        assert {name for name in LIVE_GAUGES if progress.points(name)} == set(LIVE_GAUGES) - {"progress.quality"}
        job.set_total(None)
        progress.tick(1.0)
        assert progress.points("progress.level.limit") == {}
        assert progress.points("progress.level.fraction") == {}
        assert progress.points("progress.level.eta") == {}
        assert progress.value("progress.level.rate", operation="job") > 0


def test_a_total_that_one_of_several_does_not_know_is_no_limit(progress: Capture) -> None:
    """Half a sum would be a wrong number."""
    with operation("job") as job, job.level("copy", total=10), job.level("copy") as unknown:
        assert progress.points("progress.level.limit") == {}
        assert progress.points("progress.level.fraction") == {}
        unknown.set_total(30)
        assert progress.value("progress.level.limit", operation="job", level="copy") == 40


def test_more_done_than_the_total_is_a_fraction_of_one_and_no_time_left(progress: Capture) -> None:
    """Done is shown as it is; a share has an upper end, and the time left is unknown."""
    with operation("job", total=4) as job:
        progress.tick(1.0)
        job.advance(6)
        progress.tick(1.0)
        assert progress.value("progress.level.done", operation="job") == 6
        assert progress.value("progress.level.limit", operation="job") == 4
        assert progress.value("progress.level.fraction", operation="job") == 1.0
        assert progress.points("progress.level.eta") == {}


def test_an_empty_total_is_all_done(progress: Capture) -> None:
    """Nothing to do: fraction 1, nothing left."""
    with operation("job", total=0):
        progress.tick(1.0)
        assert progress.value("progress.level.fraction", operation="job") == 1.0
        assert progress.value("progress.level.eta", operation="job") == 0.0


def test_the_expected_end_stands_still_between_ticks_and_the_time_left_counts_down(progress: Capture) -> None:
    """A collection between two ticks shows the promise as it was made."""
    with operation("job", total=10) as job:
        job.advance(5)
        progress.tick(10.0)
        end = progress.value("progress.level.expected_end.timestamp", operation="job")
        left = progress.value("progress.level.eta", operation="job")
        progress.clock.advance(0.75)
        assert progress.value("progress.level.expected_end.timestamp", operation="job") == pytest.approx(end)
        assert progress.value("progress.level.eta", operation="job") == pytest.approx(left - 0.75)
        progress.clock.advance(100.0)  # the ticker hangs: overdue, but never negative
        assert progress.value("progress.level.eta", operation="job") == 0.0


# --- counters never go back -------------------------------------------------------------------------------------------


def test_counters_never_go_back(progress: Capture) -> None:
    """Not with a display that is set back, not at an end, not when the next level of the name starts."""
    seen: list[int] = []

    def look() -> None:
        seen.append(progress.value("progress.items", operation="job", level="copy", item_outcome="ok"))

    with operation("job") as job:
        for _ in range(2):
            with job.level("copy") as copy:
                copy.advance(5)
                look()
                copy.set_done(2)
                look()
                assert progress.value("progress.level.done", operation="job", level="copy") == 2
                copy.set_done(4)
                look()
            look()
    # 5, still 5 while set back to 2, two more to get to 4; then the same again.
    assert seen == [5, 5, 7, 7, 12, 12, 14, 14]


def test_a_track_that_counts_its_last_item_late_never_goes_back(progress: Capture) -> None:
    """Done is what was handed out but for the last; an item that fails in the loop's hands takes that place."""
    with operation("job") as job:
        seen = []
        rows = job.track(list(range(6)), "rows")
        for row in rows:
            if row % 2:
                rows.item_failed()
            points = progress.points("progress.items")
            seen.append(tuple(points[of("job", "rows", outcome=outcome)] for outcome in ("ok", "failed")))
    assert seen == [(0, 0), (0, 1), (1, 1), (1, 2), (2, 2), (2, 3)]
    assert progress.value("progress.items", operation="job", level="rows", item_outcome="ok") == 3


def test_counters_never_go_back_while_threads_count_and_levels_end(progress: Capture) -> None:
    """Collected as fast as possible: sums only grow, and the last is exact."""
    stop = threading.Event()
    seen: list[tuple[int, int]] = []
    rounds, workers = 120, 4

    def collect() -> None:
        while not stop.is_set():
            points = progress.points("progress.items")
            tokens = progress.points("progress.counter").get(of("job", "copy", counter="tokens", unit="{token}"), 0)
            seen.append((points.get(of("job", "copy", outcome="ok"), 0), tokens))

    def work(job: Level) -> Callable[[], None]:
        def run() -> None:
            for _ in range(rounds):
                with job.level("copy") as copy:
                    other = threading.Thread(target=lambda: [copy.advance() for _ in range(20)])
                    other.start()
                    for _ in range(20):
                        copy.advance()
                        copy.count("tokens")
                    other.join()

        return run

    collector = threading.Thread(target=collect)
    collector.start()
    try:
        with operation("job") as job:
            together(*(work(job) for _ in range(workers)))
    finally:
        stop.set()
        collector.join()
    assert seen == sorted(seen)
    assert [tokens for _, tokens in seen] == sorted(tokens for _, tokens in seen)
    assert progress.value("progress.items", operation="job", level="copy", item_outcome="ok") == rounds * workers * 40
    assert (
        progress.value("progress.counter", operation="job", level="copy", counter_name="tokens", counter_unit="{token}")
        == rounds * workers * 20
    )


def test_an_advance_that_races_with_the_end_is_not_counted_and_taken_back(progress: Capture) -> None:
    """A collector that has just summed up a level which is ending tells what it ended with, or less."""
    with operation("job") as job:
        state = progress.runtime.registry.live()[0]
        job.advance(3)
        locked, go_on = threading.Event(), threading.Event()

        class Late(dict[int, list[float]]):
            """Cells that change between the final sum and the end."""

            def values(self) -> Any:  # noqa: ANN401  # as dict
                copies = [list(cell) for cell in dict.values(self)]
                locked.set()
                assert go_on.wait(10.0)
                return copies

        state.cells = Late(state.cells)
        ending = threading.Thread(target=lambda: job.fail("over"))
        ending.start()
        assert locked.wait(10.0)
        state.cells[next(iter(state.cells))][0] += 4  # after the end has taken its sum
        seen: list[float] = []
        reading = threading.Thread(target=lambda: seen.append(state.counts().ok))
        reading.start()
        go_on.set()
        ending.join()
        reading.join()
    assert seen == [3]
    assert progress.value("progress.items", operation="job", item_outcome="ok") == 3


def test_a_level_that_ends_while_it_is_read_costs_no_series(progress: Capture) -> None:
    """Its estimate and rate are gone between two looks at them; the others are collected all the same."""
    with operation("job", total=10) as job:
        job.advance(2)
        progress.tick(4.0)
        state = progress.runtime.registry.live()[0]

        class Ending:
            """Answers as the level does, but forgets what has been asked once."""

            def __init__(self) -> None:
                self.asked: set[str] = set()

            def __getattr__(self, name: str) -> Any:  # noqa: ANN401
                if name in {"estimate", "rate"} and name in self.asked:
                    return None
                self.asked.add(name)
                return getattr(state, name)

        assert progress.points("progress.level.eta")  # collecting makes the instruments
        instruments = progress.runtime.instruments
        assert instruments is not None
        now, now_ns = progress.clock.monotonic(), progress.clock.wall_ns()
        dying: Any = Ending()
        found = {metric.name for metric, value in instruments._gauges([dying], now, now_ns) if value is not None}
        assert {"progress.level.eta", "progress.level.rate", "progress.level.done"} <= found


# --- bounds -----------------------------------------------------------------------------------------------------------


def test_label_sets_are_bounded_and_the_overflow_is_counted() -> None:
    """Beyond the limit there is one series for all; nothing that was counted is lost."""
    with capture_progress(label_sets_limit=3) as progress:
        with operation("job") as job:
            for n in range(6):
                with job.level(f"table-{n}") as table:
                    table.advance(10 + n)
                    assert len(progress.points("progress.level.done")) == 2
        points = progress.points("progress.items")
        assert {labels for labels in points if points[labels]} == {
            of("job", "table-0", outcome="ok"),
            of("job", "table-1", outcome="ok"),
            of(OVERFLOW, OVERFLOW, outcome="ok"),
        }
        assert points[of(OVERFLOW, OVERFLOW, outcome="ok")] == 12 + 13 + 14 + 15
        assert health().dropped == {"label_sets": 4}
        assert progress.points("progress.telemetry.dropped") == {frozenset({(names.REASON, "label_sets")}): 4}
        assert progress.value("progress.level.duration", operation=OVERFLOW, level=OVERFLOW, outcome="completed") == (
            4,
            0.0,
        )


def test_counter_names_are_bounded_and_the_overflow_is_counted(progress: Capture) -> None:
    """Fifty names in a process; what comes under others is counted together."""
    with operation("job") as job:
        for n in range(COUNTER_NAMES_LIMIT + 3):
            job.count(f"counter-{n}", 2)
        job.count("counter-0", 5)
    points = progress.points("progress.counter")
    assert len(points) == COUNTER_NAMES_LIMIT + 1
    assert points[of("job", counter="counter-0", unit="")] == 7
    assert points[of("job", counter=OVERFLOW, unit="")] == 6
    assert health().dropped == {"counter_names": 3}


def test_one_name_with_two_units_is_two_counters(progress: Capture) -> None:
    """Seconds and bytes do not add up; a standard name has its unit without being told."""
    with operation("job") as job:
        job.count("waited", 2, unit="s")
        job.count("waited", 300, unit="By")
        job.count("cost", 0.25)
        job.count("pages", 0)
    assert progress.points("progress.counter") == {
        of("job", counter="waited", unit="s"): 2,
        of("job", counter="waited", unit="By"): 300,
        of("job", counter="cost", unit="{USD}"): 0.25,
        of("job", counter="pages", unit=""): 0,
    }


def test_levels_beyond_the_limit_are_counted_when_they_end() -> None:
    """They have no live series; their numbers are not lost."""
    with capture_progress(live_levels_limit=2) as progress:
        with operation("job") as job, job.level("a") as a:
            with job.level("b") as b:
                a.advance(1)
                b.advance(2)
                assert set(progress.points("progress.level.done")) == {of("job"), of("job", "a")}
                assert health().dropped == {"live_levels": 1}
            assert progress.value("progress.items", operation="job", level="b", item_outcome="ok") == 2
        assert health().live_levels == 0


def test_numbers_too_large_for_the_wire_are_floats(progress: Capture) -> None:
    """An integer of 64 bits cannot be carried, and would cost the whole batch it travels in."""
    with operation("job", total=2**63 - 1) as job, job.level("a", total=2**63 - 1) as a, job.level("a", total=7):
        job.advance(2**63 - 1)
        job.advance(2**63 - 1)
        job.count("tokens", 2**63 - 1)
        job.count("tokens", 2**63 - 1)
        a.advance(1)
        for name in ("progress.items", "progress.level.done", "progress.level.limit", "progress.counter"):
            for value in progress.points(name).values():
                assert isinstance(value, float) or value < 2**63


# --- readers, samplers, providers -------------------------------------------------------------------------------------


def test_two_readers_see_the_same_and_neither_takes_from_the_other() -> None:
    """Each collects when it likes; done and limit of one collection belong together."""
    with readers(2) as (one, other), operation("job", total=5) as job:
        job.advance(2)
        assert values_of(metrics_of(one)["progress.level.done"]) == {of("job"): 2}
        job.advance(1)
        job.set_total(9)
        for reader in (other, one, one, other):
            collected = metrics_of(reader)
            assert values_of(collected["progress.level.done"]) == {of("job"): 3}
            assert values_of(collected["progress.level.limit"]) == {of("job"): 9}
            assert values_of(collected["progress.items"])[of("job", outcome="ok")] == 3


def test_readers_that_collect_at_the_same_time_do_not_disturb_each_other() -> None:
    """Two threads collect while a third counts: each sees numbers that grow."""
    with readers(2) as made, operation("job", total=50_000) as job:
        seen: dict[InMemoryMetricReader, list[float]] = {reader: [] for reader in made}

        def collect(reader: InMemoryMetricReader) -> Callable[[], None]:
            def run() -> None:
                for _ in range(25):
                    collected = metrics_of(reader)
                    done = values_of(collected["progress.level.done"])[of("job")]
                    assert values_of(collected["progress.level.limit"]) == {of("job"): 50_000}
                    seen[reader].append(done)

            return run

        together(*(collect(reader) for reader in made), lambda: [job.advance() for _ in range(20_000)])
        for numbers in seen.values():
            assert numbers == sorted(numbers)


def a_small_job(clock: FakeClock) -> None:
    """Do a bit of everything that counts."""
    try:
        with operation("job", total=3) as job:
            for _ in track(range(4), "rows"):
                clock.advance(0.5)
            with level("copy") as copy:
                copy.advance(2, bytes=7)
                copy.count("tokens", 3)
                job.skip(2)
                clock.advance(1.0)
                int("no number")
    except ValueError:
        pass


def test_sampling_changes_no_metric() -> None:
    """With every trace dropped the numbers, durations and series are those of one that keeps them all."""
    seen: list[dict[str, Any]] = []
    for sampler in (ALWAYS_ON, ALWAYS_OFF):
        with capture_progress(sampler=sampler) as progress:
            a_small_job(progress.clock)
            assert len(progress.spans()) == (3 if sampler is ALWAYS_ON else 0)
            seen.append({metric.name: progress.points(metric.name) for metric in names.METRICS})
    assert seen[0] == seen[1]
    assert seen[0]["progress.items"][of("job", "rows", outcome="ok")] == 4


def test_without_a_tracer_provider_there_are_metrics_all_the_same() -> None:
    """And events and spans are nobody's concern."""
    reader = InMemoryMetricReader()
    meters = MeterProvider([reader], shutdown_on_exit=False)
    runtime = _runtime.Runtime(Config.make({}), meter_provider=meters, ticker=False)
    previous = _runtime.replace(runtime)
    try:
        with operation("job") as job:
            job.advance(4)
        assert runtime.flush(5.0)
        collected = metrics_of(reader)
    finally:
        _runtime.replace(previous)
        runtime.shutdown()
        meters.shutdown()
    assert values_of(collected["progress.items"])[of("job", outcome="ok")] == 4
    assert collected["progress.level.duration"].data.data_points[0].count == 1  # type: ignore[union-attr]


# --- durations --------------------------------------------------------------------------------------------------------


def test_durations_are_recorded_by_outcome(progress: Capture) -> None:
    """One for each end, of the level's own length."""
    with operation("job") as job:
        for n, error in enumerate([None, ValueError(), KeyboardInterrupt()], 1):
            try:
                with job.level("copy"):
                    progress.clock.advance(n * 1.5)
                    if error is not None:
                        raise error
            except (ValueError, KeyboardInterrupt):
                pass
    assert progress.points("progress.level.duration") == {
        of("job", "copy", end="completed"): (1, 1.5),
        of("job", "copy", end="failed"): (1, 3.0),
        of("job", "copy", end="interrupted"): (1, 4.5),
        of("job", end="completed"): (1, 9.0),
    }


def test_exemplars_of_durations_link_to_the_levels_own_span() -> None:
    """Not to the span that happens to be current where it is recorded."""
    reader = InMemoryMetricReader()
    meters = MeterProvider([reader], shutdown_on_exit=False)
    tracers = TracerProvider(shutdown_on_exit=False)
    runtime = _runtime.Runtime(Config.make({}), meter_provider=meters, tracer_provider=tracers, ticker=False)
    previous = _runtime.replace(runtime)
    try:
        with operation("job") as job, job.level("copy") as copy:
            ids = {(snapshot := lvl.snapshot()).trace_id: snapshot.span_id for lvl in (job,)}
            ids_of_copy = copy.snapshot()
        assert runtime.flush(5.0)
        points = metrics_of(reader)["progress.level.duration"].data.data_points
    finally:
        _runtime.replace(previous)
        runtime.shutdown()
        meters.shutdown()
        tracers.shutdown()
    found = {
        (point.attributes or {}).get(names.LEVEL): (f"{exemplar.trace_id:032x}", f"{exemplar.span_id:016x}")
        for point in points
        for exemplar in point.exemplars
    }
    assert found == {None: next(iter(ids.items())), "copy": (ids_of_copy.trace_id, ids_of_copy.span_id)}


# --- heartbeat --------------------------------------------------------------------------------------------------------


def test_the_heartbeat_is_the_tickers_last_round(progress: Capture) -> None:
    """It stands still when the ticker does: the process is dead, or as good as dead."""
    with operation("job"):
        progress.tick(1.0)
        beat = progress.clock.wall_ns() / 1e9
        progress.clock.advance(60.0)
        assert progress.value("progress.level.heartbeat.timestamp", operation="job") == beat
        assert health().heartbeat_at == beat
        progress.tick()
        assert progress.value("progress.level.heartbeat.timestamp", operation="job") == beat + 60


def test_the_ticker_beats_on_its_own_while_a_level_lives_and_rests_afterwards() -> None:
    """Two runs with a rest between them: the second is looked at as well."""
    looked: list[int] = []
    live: list[str] = []
    tally = _runtime.Runtime(Config.make({}), ticker=False).tally

    def tick() -> bool:
        looked.append(len(live))
        return bool(live)

    ticker = Ticker(tick, tally, interval_seconds=0.002)
    try:
        for run in ("one", "two"):
            live.append(run)
            looked.clear()
            ticker.wake()
            wait_until(lambda: looked.count(1) > 3, "rounds with a level alive")
            live.clear()
            wait_until(lambda: not ticker._awake, "rest")
    finally:
        ticker.stop()


def test_a_level_that_starts_just_as_the_ticker_goes_to_rest_is_looked_at() -> None:
    """The start sees the ticker awake and does not wake it; the ticker looks once more before it sleeps."""
    live: list[str] = ["first"]
    looked: list[tuple[str, ...]] = []
    tally = _runtime.Runtime(Config.make({}), ticker=False).tally

    def tick() -> bool:
        looked.append(tuple(live))
        busy = bool(live)
        if live == ["first"]:
            live.clear()
        elif not live and len(looked) == 2:
            live.append("second")  # it starts after this look...
            ticker.wake()  # ...and sees a ticker that is awake
        return busy

    ticker = Ticker(tick, tally, interval_seconds=0.002)
    try:
        ticker.wake()
        wait_until(lambda: ("second",) in looked, "a look at the second level")
    finally:
        ticker.stop()


def test_nothing_is_kept_of_levels_that_ended(progress: Capture) -> None:
    """Not the span, not the context, not the user's handle; the registry is empty."""
    handles = []
    with operation("job") as job:
        handles.append(weakref.ref(job))
        for _ in range(50):
            with job.level("copy") as copy:
                handles.append(weakref.ref(copy))
                advance()
    progress.spans()
    registry = progress.runtime.registry
    assert len(registry) == 0
    kept = [*registry.finished(), *(registry.finished()[0].finished or ())]
    assert {(state.span, state.context, state.handle, state.outlook) for state in kept} == {(None, None, None, None)}
    del job, copy
    gc.collect()
    assert [handle for handle in handles if handle() is not None] == []
