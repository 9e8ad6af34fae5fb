"""The numbers of one level and of the tree below it: what is done, of how much, and that neither is ever nonsense."""

from __future__ import annotations

import contextvars
import threading
from itertools import pairwise

import pytest

from otel_progress import Level, State, health, level, names, operation, track
from otel_progress._state import PHASES_LIMIT
from otel_progress.testing import Capture
from tests.unit.kit import attribute, ignored, the_span, together


def fraction(lvl: Level) -> float:
    """Return the share done of a level that knows it."""
    share = lvl.snapshot().fraction
    assert share is not None
    return share


# --- totals -----------------------------------------------------------------------------------------------------------


def test_a_total_that_shrinks_below_what_is_done(progress: Capture) -> None:
    """Done stays as it is; the share is all of it, the time left unknown; a total that grows again mends it."""
    with operation("job", total=10) as job:
        job.advance(6)
        progress.tick(6.0)
        job.set_total(4)
        progress.tick(1.0)
        snapshot = job.snapshot()
        assert (snapshot.done, snapshot.total, snapshot.fraction, snapshot.eta) == (6, 4, 1.0, None)
        job.set_total(12)
        progress.tick(1.0)
        assert fraction(job) == 0.5
        assert job.snapshot().eta is not None
    span = the_span(progress, "job")
    assert (attribute(span, names.DONE), attribute(span, names.LIMIT)) == (6.0, 12.0)


def test_a_total_of_nothing(progress: Capture) -> None:
    """Nothing to do is done; one item more than nothing does not divide by zero."""
    with operation("job", total=0) as job:
        progress.tick(1.0)
        assert fraction(job) == 1.0
        job.advance()
        progress.tick(1.0)
        assert fraction(job) == 1.0
        assert job.snapshot().eta is None
    assert attribute(the_span(progress, "job"), names.FRACTION) == 1.0


def test_a_total_that_is_lost(progress: Capture) -> None:
    """`None` is unknown again."""
    with operation("job", total=10) as job:
        job.advance(5)
        progress.tick(1.0)
        job.set_total(None)
        progress.tick(1.0)
        snapshot = job.snapshot()
        assert (snapshot.total, snapshot.fraction, snapshot.eta) == (None, None, None)
    assert attribute(the_span(progress, "job"), names.LIMIT) is None


# --- set_done ---------------------------------------------------------------------------------------------------------


def test_a_display_that_is_set_back_is_what_spans_and_events_say(progress: Capture) -> None:
    """The counter has counted what was done twice; the level shows where it stands."""
    with operation("job", total=10) as job:
        job.advance(8)
        job.set_done(3)
        assert (job.snapshot().done, fraction(job)) == (3, 0.3)
        job.advance(2)
    span = the_span(progress, "job")
    assert (attribute(span, names.DONE), attribute(span, names.FRACTION)) == (5.0, 0.5)
    assert progress.events("progress.completed")[0].attributes[names.DONE] == 5.0
    assert progress.value("progress.items", operation="job", item_outcome="ok") == 10
    assert job.snapshot().done == 5


def test_set_done_back_to_nothing(progress: Capture) -> None:
    """A retry from the start."""
    with operation("job", total=4) as job:
        for _ in range(3):
            job.advance(2)
            job.set_done(0)
            assert (job.snapshot().done, fraction(job)) == (0, 0.0)
    assert progress.value("progress.items", operation="job", item_outcome="ok") == 6


def test_items_that_failed_or_were_skipped_are_done(progress: Capture) -> None:
    """Setting the position counts only what is missing."""
    with operation("job", total=10) as job:
        job.item_failed(n=2)
        job.skip(3)
        job.set_done(6)
        snapshot = job.snapshot()
        assert (snapshot.done, snapshot.failed, snapshot.skipped) == (6, 2, 3)
    assert progress.value("progress.items", operation="job", item_outcome="ok") == 1


# --- children ---------------------------------------------------------------------------------------------------------


def test_children_of_one_name_are_the_items_where_nobody_advances(progress: Capture) -> None:
    """`level("copy", total=3)` around three `level("table")`: two tables and a half are 2.5 of 3."""
    with operation("migrate"), level("copy", total=3) as copy:
        seen = []
        for rows in (10, 20, 40):
            with level("table", total=rows) as table:
                table.advance(rows / 2)
                progress.tick(1.0)
                seen.append(fraction(copy))
        seen.append(fraction(copy))
        assert seen == pytest.approx([0.5 / 3, 1.5 / 3, 2.5 / 3, 1.0])
        assert copy.snapshot().done == 0  # nobody counted any
    assert attribute(the_span(progress, "copy"), names.FRACTION) == 1.0


def test_a_failure_does_not_complete_the_share(progress: Capture) -> None:
    """Two of three tables and half of the third when it broke: that, and not all, is the last word."""
    with pytest.raises(OSError, match="disk"), operation("migrate", total=3):
        for n in range(3):
            with level("table", total=10) as table:
                table.advance(5)
                progress.tick(1.0)
                if n == 2:
                    raise OSError("disk")
    assert attribute(the_span(progress, "migrate"), names.FRACTION) == pytest.approx(2.5 / 3)


def test_a_phase_that_failed_is_not_done(progress: Capture) -> None:
    """A quarter of the copying, and no verification: 6 / 4 of 7."""
    phases = {"copy": 6, "verify": 1}
    with pytest.raises(OSError, match="disk"), operation("migrate", phases=phases), level("copy", total=4) as copy:
        copy.advance(1)
        raise OSError("disk")
    assert attribute(the_span(progress, "migrate"), names.FRACTION) == pytest.approx(1.5 / 7)


def test_parallel_children_are_several_items_in_hand(progress: Capture) -> None:
    """Four workers, each half through its file, after four files are done: six of eight."""

    def start(lvl: Level) -> Level:
        contextvars.copy_context().run(lvl.__enter__)
        return lvl

    with operation("job", total=8) as job:
        for _ in range(4):
            with level("file"):
                pass
            job.advance()
        progress.tick(1.0)
        workers = [start(job.level("file", total=10)) for _ in range(4)]
        for worker in workers:
            worker.advance(5)
        progress.tick(1.0)
        assert fraction(job) == pytest.approx(6 / 8)
        for worker in workers:
            worker.fail()


def test_items_that_end_between_two_looks_are_not_counted_twice(progress: Capture) -> None:
    """Their children have ended as well, and belong to items that count already."""
    with operation("job", total=100) as job:
        for n in range(1, 31):
            with level("part"):
                pass
            job.advance()
            if n % 10 == 0:
                progress.tick(1.0)
            assert progress.value("progress.level.fraction", operation="job") == pytest.approx(n / 100)


def test_a_child_whose_total_grows_does_not_start_its_parents_estimate_anew(progress: Capture) -> None:
    """Its share falls back, the parent's with it; the work done is still done."""
    with operation("job", total=4) as job, level("crawl", total=10) as crawl:
        for _ in range(8):
            crawl.advance()
            progress.tick(1.0)
        assert job.snapshot().eta is not None
        crawl.set_total(1_000)
        for _ in range(3):
            crawl.advance()
            progress.tick(1.0)
            assert job.snapshot().eta is not None
        assert fraction(job) < 0.01


def test_a_plan_for_a_child_that_runs_already(progress: Capture) -> None:
    """It counts as started; nothing divides by zero, and no other level's numbers are lost."""
    with operation("job") as job, level("copy", total=10) as copy:
        copy.advance(5)
        job.plan("copy", weight=3)
        job.plan("verify", weight=1)
        progress.tick(1.0)
        assert fraction(job) == pytest.approx(0.375)
        assert progress.value("progress.level.fraction", operation="job") == pytest.approx(0.375)
        assert [child.name for child in job.snapshot().children] == ["copy", "verify"]
    assert health().contained == {}


def test_plans_are_bounded(progress: Capture) -> None:
    """A hundred; planning one of them again only changes it."""
    with operation("job") as job:
        for n in range(PHASES_LIMIT + 5):
            job.plan(f"phase-{n}")
        job.plan("phase-0", weight=7)
        assert len(job.snapshot().children) == PHASES_LIMIT
    assert health().dropped == {"phases": 5}


def test_weights_of_nothing_are_no_share(progress: Capture) -> None:
    """Phases that weigh nothing say nothing."""
    with operation("job", phases={"a": 0, "b": 0}) as job, level("a", total=2) as a:
        a.advance()
        progress.tick(1.0)
        assert job.snapshot().fraction is None
        assert progress.points("progress.level.fraction") == {
            frozenset({(names.OPERATION, "job"), (names.LEVEL, "a")}): 0.5
        }


def test_the_share_of_a_tree_is_what_its_levels_have_done(progress: Capture) -> None:
    """Three deep, with totals at each: every step moves the top on, up to all of it."""
    seen = []
    with operation("job", total=2) as job:
        for _ in range(2):
            with level("schema", total=2) as schema:
                for _ in range(2):
                    with level("table", total=2) as table:
                        for _ in range(2):
                            table.advance()
                            progress.tick(1.0)
                            seen.append(fraction(job))
                    schema.advance()
                progress.tick(1.0)
            job.advance()
    assert seen == pytest.approx([n / 8 for n in range(1, 9)])
    assert all(later > sooner for sooner, later in pairwise(seen))


def test_parents_that_count_their_children_have_an_estimate(progress: Capture) -> None:
    """Ten seconds for a quarter of the first of two items: seventy for the rest."""
    with operation("job", total=2) as job, level("copy", total=8) as copy:
        for _ in range(2):
            copy.advance()
            progress.tick(5.0)
        estimate = job.snapshot().eta
        assert estimate is not None
        assert estimate.expected == pytest.approx(70.0)


def test_a_parent_ends_no_sooner_than_the_slowest_of_its_children_can(progress: Capture) -> None:
    """Its own items are almost done; the child it waits for is not."""
    with operation("job", total=1_000) as job:
        job.advance(999)
        progress.tick(10.0)
        with level("upload", total=1_000) as upload:
            upload.advance(1)
            progress.tick(10.0)
            slow, whole = upload.snapshot().eta, job.snapshot().eta
            assert slow is not None
            assert whole is not None
            assert whole.expected >= slow.low > 100


# --- threads ----------------------------------------------------------------------------------------------------------


def test_counts_of_many_threads_are_exact(progress: Capture) -> None:
    """Each thread has a cell of its own; none is lost when threads come and go."""
    with operation("job") as job:
        for _ in range(5):
            together(*(lambda: [job.advance(2, bytes=3) for _ in range(1_000)] for _ in range(6)))
        snapshot = job.snapshot()
    assert (snapshot.done, snapshot.bytes) == (60_000, 90_000)


def test_levels_started_and_ended_by_many_threads_below_one(progress: Capture) -> None:
    """The parent knows how many there were; none is left."""

    def work(job: Level) -> None:
        for _ in range(100):
            with job.level("copy", total=1) as copy:
                copy.advance()
            for _ in job.track(range(2), "rows"):
                pass

    with operation("job") as job:
        ticking = threading.Event()

        def tick() -> None:
            while not ticking.is_set():
                progress.tick()
                job.snapshot()

        ticker = threading.Thread(target=tick)
        ticker.start()
        try:
            together(*(lambda: work(job) for _ in range(4)))
        finally:
            ticking.set()
            ticker.join()
        snapshot = job.snapshot()
        assert (snapshot.children_finished, snapshot.children_live) == (800, 0)
    assert progress.value("progress.level.duration", operation="job", level="copy", outcome="completed") == (400, 0.0)
    assert progress.value("progress.items", operation="job", level="rows", item_outcome="ok") == 800
    assert ignored(progress) == {}
    assert health().contained == {}


def test_only_one_of_many_ends_counts(progress: Capture) -> None:
    """Eight threads fail the same level; it ends once."""
    with operation("job") as job:
        together(*(lambda n=n: job.fail(f"reason {n}") for n in range(8)))
        assert job.state is State.FAILED
    assert len(progress.spans("job")) == 1
    assert progress.value("progress.level.duration", operation="job", outcome="failed") == (1, 0.0)


def test_a_track_below_a_level_counts_with_it(progress: Capture) -> None:
    """The iterator's share is the inside of the item in hand, as any child's."""
    with operation("job", total=2) as job:
        for n, _ in enumerate(track(range(4), "rows")):
            progress.tick(1.0)
            assert fraction(job) == pytest.approx(n / 4 / 2)
