"""What goes into the store comes out of it, for every process of the user and for the next run."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from otel_progress import CounterValue, Estimate, Profile, active, history, operation
from otel_progress import level as level_
from otel_progress._config import Config
from otel_progress._contain import Tally
from otel_progress.names import State
from otel_progress.store import Run, open_store
from otel_progress.store._store import PENDING_LIMIT, WAL_BYTES_LIMIT, Store
from otel_progress.testing import capture_progress
from tests.unit.kit import python
from tests.unit.store.kit import NOW, kept, level, rows, run

FULL = level(
    "table",
    "migrate",
    id="orders",
    title="Orders",
    message="copying",
    metadata={"ticket": "DB-112", "dry": True},
    counters={"tokens": CounterValue(812, "{token}")},
    quality=0.97,
    eta=Estimate(expected=9.0, low=7.0, high=12.0, confidence=0.4, method="adaptive", factors=("warm-up",)),
    expected_end_at=NOW + 9,
    trace_id="0af7651916cd43dd8448eb211c80319c",
    span_id="b7ad6b7169203331",
    children=(level("part", "migrate", key=2, parent_key=1, done=1), level("part", "migrate", key=3, parent_key=1)),
    children_live=2,
    children_finished=5,
    children_failed=1,
)
"""A live level with everything set."""

ENDED = level(
    state=State.FAILED,
    ended_at=NOW,
    id="eu",
    title="Night",
    message="row 3",
    metadata={"ticket": "DB-112"},
    error_type="ValueError",
    error_message="no such customer: Ada",
    reason="by Ada",
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store that is not there yet, in a folder that is not there either."""
    return tmp_path / "state" / "otel_progress" / "store.db"


# --- live levels ------------------------------------------------------------------------------------------------------


def test_a_live_level_can_be_read_as_it_was_written(path: Path) -> None:
    """With everything it says, where details are asked for."""
    with kept(path, details=True) as here:
        assert here.show(FULL)
        (found,) = here.store.live()
        assert found.levels == (FULL,)
        assert (found.pid, found.status, found.heartbeat_at) == (os.getpid(), "live", here.clock.wall_ns() / 1e9)


def test_what_a_program_really_does_can_be_kept(path: Path) -> None:
    """Snapshots of real levels come back equal: with children, phases, counters and time left; ended ones too."""
    with capture_progress() as progress, kept(path, details=True) as here:
        with operation("migrate", id="2026-11", phases={"copy": 6, "verify": 1}), level_("copy", total=4) as copy:
            copy.advance(1, bytes=5)
            copy.count("tokens", 812)
            copy.update(message="orders", metadata={"ticket": "DB-112", "parts": [1, 2]})
            progress.tick(10)
            progress.tick(10)
            shown = active()
            here.show(*shown)
            assert here.store.live()[0].levels == shown
            assert shown[0].children[0].eta is not None
        (ended,) = history()
        here.keep(Run(level=ended))
        assert here.store.runs()[0].level == replace(ended, children=())
        assert here.trouble == {}


def test_at_most_one_transaction_a_second(path: Path) -> None:
    """What comes in between waits, and the newest picture counts."""
    with kept(path) as here:
        assert here.show(level(done=1))
        assert not here.later(0.9).store.write_live([level(done=2)])
        assert here.store.live()[0].levels[0].done == 1
        assert not here.store.finish(run())
        assert here.later(0.1).store.write_live([level(done=3)])
        assert here.store.live()[0].levels[0].done == 3
        assert len(here.store.runs()) == 1


def test_a_process_with_nothing_live_is_not_listed(path: Path) -> None:
    """Neither after its last level nor after it was closed."""
    with kept(path) as here, kept(path, clock=here.clock) as other:
        here.show(level())
        other.show(level())
        assert len(here.store.live()) == 2
        here.show()
        assert len(here.store.live()) == 1
        other.store.close()
        assert here.store.live() == ()


def test_a_crowd_of_levels_is_cut_to_those_near_the_root(path: Path) -> None:
    """1 root, 3 children and 300 grandchildren: 4 levels and the newest 196 grandchildren are kept."""
    children = tuple(
        level("step", "job", key=n, children=tuple(level("part", "job", key=1_000 * n + m) for m in range(100)))
        for n in (1, 2, 3)
    )
    with kept(path) as here:
        here.show(level("job", children=children))
        ((root,),) = (process.levels for process in here.store.live())
        assert [len(child.children) for child in root.children] == [0, 96, 100]


def test_nothing_is_written_where_there_is_nothing_to_say(path: Path) -> None:
    """Neither reading nor closing makes a file."""
    with kept(path) as here:
        assert here.store.live() == here.store.runs() == here.store.profiles("import") == ()
        assert here.store.calibration("import") == ()
        assert not here.show()
    assert not path.parent.exists()


# --- finished runs ----------------------------------------------------------------------------------------------------


def test_profiles_come_newest_first_and_only_of_completed_runs(path: Path) -> None:
    """Of the operation itself and of each level below it apart."""
    with kept(path) as here:
        here.keep(run(seconds=1.0), run(seconds=2.0), run(seconds=9.0, state=State.FAILED), run(seconds=3.0))
        here.keep(run("import", "import", seconds=4.0), run("read", "import", seconds=5.0))
        assert [profile.seconds for profile in here.store.profiles("import")] == [3.0, 2.0, 1.0]
        assert [profile.seconds for profile in here.store.profiles("import", limit=2)] == [3.0, 2.0]
        assert [profile.seconds for profile in here.store.profiles("import", "import")] == [4.0]
        assert [profile.seconds for profile in here.store.profiles("import", "read")] == [5.0]
        assert here.store.profiles("export") == ()


def test_a_profile_comes_back_as_it_was(path: Path) -> None:
    """As far as its text form goes."""
    profile = Profile.from_samples([(0.0, 0.0), (30.0, 2.0), (60.0, 10.0)], 10.0, phases=[("read", 0.25)], ended_at=NOW)
    with kept(path) as here:
        here.keep(replace(run(), profile=profile))
        assert here.store.profiles("import") == (Profile.decode(profile.encode()),)


def test_runs_are_listed_newest_first(path: Path) -> None:
    """By operation, by level and since a time."""
    with kept(path) as here:
        here.keep(run("a", ended_at=NOW - 9), run("b", ended_at=NOW - 5), run("read", "a"), run("a", ended_at=NOW))
        assert [each.level.operation for each in here.store.runs()] == ["a", "b", "a"]
        assert [each.level.ended_at for each in here.store.runs("a")] == [NOW, NOW - 9]
        assert [each.level.ended_at for each in here.store.runs(since=NOW - 5)] == [NOW, NOW - 5]
        assert [each.level.name for each in here.store.runs("a", level="read")] == ["read"]
        assert len(here.store.runs(limit=1)) == 1


def test_the_scores_of_a_run_come_back(path: Path) -> None:
    """A run without promises has none."""
    with kept(path) as here:
        here.keep(run("a"), replace(run("b"), eta_errors=(0.5, 0.25, 0.125), eta_coverage=0.75))
        scored, plain = here.store.runs()
        assert (scored.eta_errors, scored.eta_coverage) == ((0.5, 0.25, 0.125), 0.75)
        assert (plain.eta_errors, plain.eta_coverage) == ((), None)


def test_a_calibration_is_kept_for_each_level(path: Path) -> None:
    """The newest one."""
    with kept(path) as here:
        here.store.calibrate("import", None, [1.0, 0.5])
        here.store.calibrate("import", "read", [2.0])
        here.store.calibrate("import", None, [3.0, 0.25])
        assert here.store.calibration("import") == (3.0, 0.25)
        assert here.store.calibration("import", "read") == (2.0,)
        assert here.store.calibration("import", "write") == ()


def test_what_waits_is_written_by_closing(path: Path) -> None:
    """Runs end within the last second of a program, too; and writing opens the store again."""
    with kept(path) as here:
        here.show(level())
        assert not here.store.finish(run())
        here.store.close()
        assert rows(path, "SELECT operation FROM run") == [("import",)]
        assert here.show(level())


def test_a_crowd_of_finished_runs_is_bounded(path: Path) -> None:
    """What does not fit is dropped and counted."""
    with kept(path) as here:
        here.show(level())
        for _ in range(PENDING_LIMIT + 3):
            here.store.finish(run("read", "import"))
        assert here.store.waiting == PENDING_LIMIT
        assert here.trouble == {"store_pending": 3}


def test_a_run_that_cannot_be_written_does_not_stop_the_others(path: Path) -> None:
    """It is left out and counted."""
    with kept(path, details=True) as here:
        here.store.finish(run("odd", metadata={"x": object()}))
        here.keep(run("import"))
        assert [each.level.name for each in here.store.runs()] == ["import"]
        assert here.trouble == {"store_row": 1}


# --- privacy ----------------------------------------------------------------------------------------------------------


def test_ids_titles_messages_and_metadata_stay_out_of_the_file(path: Path) -> None:
    """Unless they are asked for; names, numbers and error types are kept."""
    with kept(path) as here:
        here.show(FULL)
        here.keep(replace(run(), level=ENDED))
        here.show(FULL)
        here.store.close()
        here.show(FULL)
        content = b"".join(file.read_bytes() for file in path.parent.iterdir())
        for private in (b"orders", b"Orders", b"copying", b"DB-112", b"Night", b"row 3", b"Ada", b'"eu"'):
            assert private not in content, private
        (ended,) = here.store.runs()
        assert (ended.level.error_type, ended.level.done, ended.level.state) == ("ValueError", 3, "failed")


def test_details_are_kept_where_they_are_asked_for(path: Path) -> None:
    """Ids, titles, messages, metadata, reasons and error messages."""
    with kept(path, details=True) as here:
        here.keep(replace(run(), level=ENDED))
        assert here.store.runs()[0].level == ENDED


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o277])
def test_only_the_user_can_read_the_file(path: Path, umask: int) -> None:
    """Whatever the umask: 0600, the files that SQLite puts beside it too, in a folder with 0700."""
    before = os.umask(umask & 0o077)
    try:
        with kept(path) as here:
            here.show(level())
            here.show(level())
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert modes == {"store.db": 0o600, "store.db-wal": 0o600, "store.db-shm": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.parent.parent.stat().st_mode) == 0o700


# --- settings ---------------------------------------------------------------------------------------------------------


def test_the_store_is_in_the_state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As XDG says: a relative folder is none."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    store = open_store(Config.make({}), Tally())
    assert store is not None
    assert store.path == tmp_path / "xdg" / "otel_progress" / "store.db"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    store = open_store(Config.make({}), Tally())
    assert store is not None
    assert store.path == tmp_path / ".local" / "state" / "otel_progress" / "store.db"


def test_the_store_can_be_elsewhere_or_off(tmp_path: Path) -> None:
    """By its setting, or with everything else."""
    store = open_store(Config.make({"OTEL_PROGRESS_STORE": str(tmp_path / "jobs.db")}), Tally())
    assert store is not None
    assert store.path == tmp_path / "jobs.db"
    assert open_store(Config.make({"OTEL_PROGRESS_STORE": "off"}), Tally()) is None
    assert open_store(Config.make({"OTEL_PROGRESS_ENABLED": "off"}), Tally()) is None


def test_a_store_that_is_off_costs_nothing() -> None:
    """SQLite is loaded by whoever uses it."""
    answer = python(
        """
import sys
from otel_progress._config import Config
from otel_progress._contain import Tally
from otel_progress.store import open_history, open_store
print(open_store(Config.make(), Tally()), open_history(Config.make(), Tally(), store=None))
print({"sqlite3", "http.client", "urllib.request"} & set(sys.modules))
""",
        environment={"OTEL_PROGRESS_STORE": "off"},
    )
    assert answer.stdout.splitlines() == ["None None", "set()"], answer.stderr


@pytest.mark.once
def test_the_log_of_writes_stays_far_below_what_is_too_large(path: Path) -> None:
    """As long as nobody keeps reading: 200 writes of a large picture, 12 MB in all."""
    crowd = level("job", children=tuple(level("step", "job", key=n) for n in range(199)))
    with kept(path) as here:
        for n in range(200):
            here.show(replace(crowd, children=tuple(replace(each, done=n) for each in crowd.children)))
        assert path.with_name("store.db-wal").stat().st_size < WAL_BYTES_LIMIT / 4
        assert path.stat().st_size < 1_000_000


def test_deviations_of_live_levels_are_kept(tmp_path: Path) -> None:
    """Whoever looks from outside reads the same sentence."""
    with capture_progress() as progress:
        store = Store(tmp_path / "store.db", clock=progress.clock, tally=progress.runtime.tally)
        with operation("job", total=100) as job:
            for _ in range(60):
                job.advance()
                progress.tick(1.0)
            progress.tick(600.0)
            shown = job.snapshot()
            assert [each.kind for each in shown.deviations] != []
            assert store.write_live([shown])
            (process,) = store.live()
            assert process.levels[0].deviations == shown.deviations
        store.close()
        assert dict(progress.runtime.tally.contained) == {}
