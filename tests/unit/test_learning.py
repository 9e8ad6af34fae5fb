"""What a level hears of its earlier runs, and what it leaves to the next ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from otel_progress import Profile, level, names, operation, track
from otel_progress.deviation import OK, Found, Verdict
from otel_progress.eta import hashed
from otel_progress.names import DeviationKind, Severity
from otel_progress.store import History, open_store
from otel_progress.store._store import Store
from otel_progress.testing import Capture, capture_progress
from tests.unit.kit import attribute, python, the_span

LONG_FIRST = [90.0, *[1.0] * 10]
"""A job whose first item takes ninety seconds, and ten more that take one each."""


class Known:
    """A source of history in memory."""

    def __init__(self, runs: dict[tuple[str, str | None], tuple[Profile, ...]]) -> None:
        self.runs = runs

    def profiles(self, operation: str, level: str | None = None, limit: int = 10) -> tuple[Profile, ...]:
        """Return the runs that were given."""
        return self.runs.get((operation, level), ())[:limit]


def learn_from(progress: Capture, *sources: Any, store: Store | None = None) -> None:  # noqa: ANN401  # sources
    """Use these sources, and wait for none of them."""
    history = History(
        [*([] if store is None else [store]), *sources], clock=progress.clock, tally=progress.runtime.tally
    )
    progress.runtime.learning.open(store, history)


def run(progress: Capture, costs: Iterable[float], *, total: int | None = None, watch: Any = None) -> None:  # noqa: ANN401
    """Run a job whose items take so many seconds, with a look every second."""
    with operation("job", total=total) as job:
        progress.tick(0.0)
        for cost in costs:
            for _ in range(round(cost)):
                progress.tick(1.0)
                if watch is not None:
                    watch(job)
            job.advance()
    progress.runtime.flush(10.0)  # what it leaves is kept by the outbox's thread


def told(progress: Capture, key: tuple[str, str | None]) -> None:
    """Wait until the history has been looked up."""
    known: list[Any] = []
    history = progress.runtime.learning.history
    assert history is not None
    while history.known(*key, then=known.append) is None and not known:
        pass


def test_the_second_run_knows_what_the_first_one_took() -> None:
    """After ten of a hundred seconds nothing is done yet; the second run knows all the same."""
    with capture_progress() as progress:
        learn_from(progress, Known({}))
        told(progress, ("job", None))
        run(progress, LONG_FIRST, total=11)
        seen: list[float | None] = []
        run(
            progress,
            LONG_FIRST,
            total=11,
            watch=lambda job: seen.append(job.snapshot().eta and job.snapshot().eta.expected),
        )
        assert seen[9] == pytest.approx(90.0, rel=0.1)
        assert seen[49] == pytest.approx(50.0, rel=0.1)


def test_history_that_is_found_while_the_level_runs_counts_from_then_on() -> None:
    """It is looked up by a thread of its own, which may take its time."""
    earlier = Profile.from_samples([(0, 0), (100, 10)])
    with capture_progress() as progress, operation("job", total=10) as job:
        progress.tick(10.0)
        assert job.snapshot().eta is None  # nothing is done, and nothing known
        job._state.hear((earlier,), 0.0, "adaptive")  # type: ignore[union-attr]
        progress.tick(1.0)
        eta = job.snapshot().eta
        assert eta is not None
        assert eta.expected == pytest.approx(89.0, rel=0.1)


def test_a_finished_run_has_a_profile_and_scores_its_promises() -> None:
    """An even job promises well: errors near nothing at a quarter, half and three quarters; the curve is a line."""
    with capture_progress() as progress:
        run(progress, [1.0] * 100, total=100)
        count, total = progress.value("progress.eta.error", operation="job")
        assert count == 3
        assert total < 0.2
        profile = Profile.decode(str(attribute(the_span(progress, "job"), names.PROFILE)))
        assert profile is not None
        assert (profile.seconds, profile.total, profile.outcome) == (100.0, 100, "completed")
        middle = [done for time, done in profile.curve if abs(time - 0.5) < 0.02]
        assert middle == pytest.approx([0.5] * len(middle), abs=0.03)


def test_a_run_that_failed_scores_nothing() -> None:
    """Nobody promised that it would fail; its profile says that it did."""
    with capture_progress() as progress:
        with pytest.raises(ValueError, match="x"), operation("job", total=100) as job:
            for _ in range(50):
                job.advance()
                progress.tick(1.0)
            raise ValueError("x")
        assert progress.value("progress.eta.error", operation="job") is None
        profile = Profile.decode(str(attribute(the_span(progress, "job"), names.PROFILE)))
        assert profile is not None
        assert profile.outcome == "failed"


def test_a_short_level_leaves_no_profile_but_a_short_operation_does(progress: Capture) -> None:
    """There may be millions of the one; the other is a job that somebody asks about tomorrow."""
    with operation("job") as job, level("step"):
        job.advance(3)
        progress.clock.advance(0.5)
    assert attribute(the_span(progress, "step"), names.PROFILE) is None
    profile = Profile.decode(str(attribute(the_span(progress, "job"), names.PROFILE)))
    assert profile is not None
    assert (profile.seconds, profile.total) == (0.5, 3)


@pytest.fixture
def store_of(tmp_path: Path) -> Callable[[Capture], Store]:
    """Open a store in a folder of the test's."""

    def open_for(progress: Capture) -> Store:
        from otel_progress._config import Config  # noqa: PLC0415  # here only

        config = Config.make({}, store=str(tmp_path / "state" / "store.db"))
        store = open_store(config, progress.runtime.tally, progress.clock)
        assert store is not None
        return store

    return open_for


def test_the_store_keeps_runs_and_what_is_live(store_of: Callable[[Capture], Store]) -> None:
    """While the job runs it is listed; afterwards it is a run with its profile, scores and calibration."""
    with capture_progress() as progress:
        store = store_of(progress)
        learn_from(progress, store=store)
        with operation("job", total=60) as job:
            for _ in range(60):
                job.advance()
                progress.tick(1.0)
            progress.runtime.flush(10.0)
            (process,) = store.live()
            assert process.status == "live"
            assert [each.operation for each in process.levels] == ["job"]
        progress.runtime.flush(10.0)
        progress.tick(2.0)
        progress.runtime.flush(10.0)
        assert store.live() == ()
        assert progress.runtime.rounds.tick() is False  # nothing is left to write, so the ticker may rest
        (kept,) = store.runs("job")
        assert kept.level.done == 60
        assert kept.profile is not None
        assert kept.profile.total == 60
        assert len(kept.eta_errors) == 3
        assert kept.eta_coverage is not None
        assert len(store.calibration("job")) == 1
        assert dict(progress.runtime.tally.contained) == {}


def test_a_store_alone_is_enough_to_watch_a_program(store_of: Callable[[Capture], Store]) -> None:
    """Without any SDK levels are sampled, and finished runs kept."""
    with capture_progress() as progress:
        runtime = progress.runtime
        runtime._recording = False
        learn_from(progress, store=store_of(progress))
        assert runtime.busy


def test_intervals_are_recalibrated_from_run_to_run(store_of: Callable[[Capture], Store]) -> None:
    """Whoever promises the moon widens what is promised next time."""
    with capture_progress() as progress:
        store = store_of(progress)
        learn_from(progress, store=store)
        for _ in range(2):
            run(progress, [*[1.0] * 50, *[9.0] * 20], total=70)  # far slower at the end
            progress.runtime.flush(10.0)
            progress.clock.advance(5.0)
        assert store.calibration("job")[0] != 0.0


def test_a_span_of_others_is_adopted_by_the_name_of_an_earlier_run(store_of: Callable[[Capture], Store]) -> None:
    """Nobody has to say again that it is a level."""
    with capture_progress() as progress:
        store = store_of(progress)
        learn_from(progress, store=store)
        with operation("nightly"):
            progress.tick(3.0)
        progress.runtime.flush(10.0)
        progress.tick(2.0)
        progress.runtime.flush(10.0)
        progress.runtime.learning.open(store, progress.runtime.learning.history)  # the next program
        progress.runtime.flush(10.0)
        tracer = progress.tracer_provider.get_tracer("library")
        with tracer.start_as_current_span("nightly"), tracer.start_as_current_span("query"):
            progress.tick(1.0)
            assert progress.value("progress.level.active", operation="nightly", state="running") == 1
            assert progress.value("progress.level.active", operation="query", state="running") is None


def test_an_operation_knows_the_memory_and_the_processor_time_of_its_process(progress: Capture) -> None:
    """For the next run to compare with; a level inside does not stand for the process."""
    with operation("job") as job, level("step") as step:
        progress.tick(3.0)
        assert job._state is not None
        assert step._state is not None
        assert (job._state.outlook.peak_rss or 0) > 1e6
        assert (job._state.outlook.cpu_seconds or 0) >= 0
        assert step._state.outlook.peak_rss is None


class TooMany:
    """A rule of a program's own: more than three items are too many."""

    kind = DeviationKind.CUSTOM
    severity = Severity.ERROR

    def check(self, run: Any, *, held: bool) -> Found | Verdict:  # noqa: ANN401, ARG002  # of the package
        """Look at the count."""
        return Found(f"{run.name} has done {run.done:g} items, and three are enough") if run.done > 3 else OK


class Broken(TooMany):
    """A rule that cannot."""

    def check(self, run: Any, *, held: bool) -> Found | Verdict:  # noqa: ANN401, ARG002  # as above
        """Raise."""
        raise RuntimeError("no rule")


def test_rules_of_the_program_are_asked_beside_ours() -> None:
    """They reach metrics and events like ours; one that raises is left out, and said once."""
    with capture_progress(rules=[Broken(), TooMany()]) as progress, operation("job") as job:
        job.advance(3)
        for _ in range(4):
            progress.tick(1.0)
        assert progress.events("progress.deviation") == []
        job.advance()
        progress.tick(1.0)
        (event,) = progress.events("progress.deviation")
        assert event.body == "job has done 4 items, and three are enough"
        labels = {"operation": "job", "deviation_kind": "custom", "severity": "error"}
        assert progress.value("progress.deviation", **labels) == 1


# --- items with keys and sizes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "least", "most"), [(str, 6.0, 10.0), (None, 50.0, 10_000.0)], ids=["keys", "no keys"])
def test_items_are_known_again_in_another_order(key: Callable[[str], str] | None, least: float, most: float) -> None:
    """A large file comes last in one run and first in the next: after it, eight seconds are left, not those of ten."""
    seconds = {**{f"small {n}": 1.0 for n in range(9)}, "large": 91.0}
    with capture_progress() as progress:
        learn_from(progress, Known({}))
        told(progress, ("job", "files"))
        left: list[float] = []
        for order in (list(seconds), list(reversed(seconds))):
            left = []
            with operation("job"):
                for name in track(order, "files", key=key):
                    for _ in range(round(seconds[name])):
                        progress.tick(1.0)
                    now = progress.runtime.registry.live()[-1].outlook.estimate
                    left.append(-1.0 if now is None else now.expected)
            progress.runtime.flush(10.0)
        assert least < left[2] < most  # of ten, the large one and one small one are done, and the third is in hand


def test_each_item_is_noted_with_its_key_its_time_and_its_size(progress: Capture) -> None:
    """Time is what getting it and the loop's body took; items of a list are asked ahead, others one by one."""
    for items in (["a", "bb"], iter(["a", "bb"])):
        with operation("job"):
            asked: list[str] = []

            def key(item: str) -> str:
                asked.append(item)  # noqa: B023  # of this round
                return item

            for item in track(items, "files", key=key, cost=len):
                notes = progress.runtime.registry.live()[-1].notes
                assert notes is not None
                assert asked == (["a", "bb"] if isinstance(items, list) else ["a", "bb"][: len(item)])
            assert [(key, cost) for key, _, cost in notes.drain()] == [("a", 1), ("bb", 2)]
            assert notes.all_cost == (3 if isinstance(items, list) else None)


def test_a_key_that_raises_costs_the_keys_and_not_the_loop(progress: Capture) -> None:
    """It is contained, counted once, and not asked again."""

    def key(item: int) -> str:
        raise KeyError(item)

    with operation("job"):
        assert list(track(range(5), "files", key=key)) == [0, 1, 2, 3, 4]
    assert dict(progress.runtime.tally.contained) == {"item_key": 1}
    assert progress.value("progress.items", operation="job", level="files", item_outcome="ok") == 5


def test_a_list_that_changes_under_the_loop_is_iterated_as_without_us(progress: Capture) -> None:
    """Keys asked ahead are a guess; what the loop gets is the list's own business."""
    items = [1, 2, 3]
    seen = []
    with operation("job"):
        for item in track(items, "files", key=str):
            seen.append(item)
            if item == 1:
                items.append(4)
    assert seen == [1, 2, 3, 4]
    shorter = [1, 2, 3]
    with operation("job"):
        for item in track(shorter, "files", key=str):
            if item == 1:
                del shorter[1:]
    assert progress.value("progress.items", operation="job", level="files", item_outcome="ok") == 5


async def test_async_items_have_keys_too(progress: Capture) -> None:
    """And their hashes, not their names, are in the profile."""

    async def items() -> Any:  # noqa: ANN401  # an async generator
        for name in ("a", "b"):
            yield name

    known = Known({})
    learn_from(progress, known)
    told(progress, ("job", "files"))
    with operation("job"):
        async for _ in track(items(), "files", key=str):
            progress.tick(2.0)
    progress.runtime.flush(10.0)
    history = progress.runtime.learning.history
    assert history is not None
    (profile,) = history.known("job", "files") or ()
    assert {key for key, _ in profile.items} == {hashed("a"), hashed("b")}


def test_a_finished_level_keeps_none_of_what_it_learned(progress: Capture) -> None:
    """It is remembered for display, with hundreds of others."""
    with operation("job", total=100) as job:
        for _ in range(60):
            job.advance()
            progress.tick(1.0)
    progress.runtime.flush(10.0)
    (finished,) = progress.runtime.registry.finished()
    assert finished.take_spent() == (None, None, 0.0)
    assert finished.profile is finished.notes is None
    kept = finished.outlook
    assert kept is not None
    assert kept.monitor is kept.newest is kept.estimate is None
    assert not kept.earlier


# --- programs ---------------------------------------------------------------------------------------------------------

PROGRAM = """
import sys, time
from otel_progress import configure, operation
from otel_progress.testing import FakeClock

handle = configure(terminal="off")
runtime = handle._runtime
clock = runtime.clock = FakeClock()
runtime.ticker.stop()
with operation("job", total=11) as job:
    time.sleep(0.3)  # the history is looked up meanwhile
    promised = []
    for cost in [90, *[1] * 10]:
        for _ in range(cost):
            clock.advance(1.0)
            runtime.rounds.tick()
            promised.append(None if (eta := job.snapshot().eta) is None else round(eta.expected))
        job.advance()
print(promised[9])
handle.shutdown()
"""


def test_a_program_learns_from_its_last_run_through_the_store(tmp_path: Path) -> None:
    """Nothing but `configure`: the second run knows in its tenth second that ninety are left."""
    environment = {"OTEL_PROGRESS_STORE": str(tmp_path / "state" / "store.db"), "OTEL_PROGRESS_OTLP": "off"}
    said = []
    for _ in range(2):
        done = python(PROGRAM, environment=environment)
        assert done.returncode == 0, done.stderr
        said.append(json.loads(done.stdout.replace("None", "null")))
    assert said[0] is None
    assert said[1] == pytest.approx(90, rel=0.1)
    assert (tmp_path / "state" / "store.db").stat().st_mode & 0o777 == 0o600
