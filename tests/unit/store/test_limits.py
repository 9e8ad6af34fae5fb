"""The store stays small: by number, by age and by size, whatever is written."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from otel_progress import Profile
from otel_progress.names import State
from otel_progress.store import Run, _prune, _store
from otel_progress.store._store import PRUNE_SECONDS
from tests.unit.store.kit import NOW, kept, level, rows, run

DAY = 86_400.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store that is not there yet."""
    return tmp_path / "store.db"


LARGE = Profile.from_samples([(float(n), float(n * n)) for n in range(500)], None)


def large(name: str) -> Run:
    """Return a run whose profile has as many points as it may."""
    return replace(run(name), profile=LARGE)


def test_the_newest_runs_of_a_level_are_kept(path: Path) -> None:
    """50 of a level below an operation; failed runs do not push out completed ones."""
    with kept(path) as here:
        for n in range(3):
            here.keep(*(run("read", "import", seconds=100.0 * n + i) for i in range(1, 31)))
            here.keep(*(run("read", "import", state=State.FAILED) for _ in range(30)))
        found = [profile.seconds for profile in here.store.profiles("import", "read", limit=1000)]
        assert found == [*(200.0 + i for i in range(30, 0, -1)), *(100.0 + i for i in range(30, 10, -1))]
        assert len(here.store.runs(level="read", limit=1000)) == 100


def test_the_newest_runs_of_an_operation_are_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """1,000 of them, as they are what people list."""
    assert _prune.RUNS_KEPT == 1_000
    monkeypatch.setattr(_prune, "RUNS_KEPT", 20)
    with kept(path) as here:
        here.keep(*(run(ended_at=NOW + n) for n in range(25)), run("other"))
        assert [each.level.ended_at for each in here.store.runs("import")] == [NOW + n for n in range(24, 4, -1)]
        assert len(here.store.runs("other")) == 1


def test_old_runs_are_deleted(path: Path) -> None:
    """After 90 days, but for the last three of each level; one a day short of it stays."""
    with kept(path) as here:
        old = NOW - 91 * DAY
        here.keep(*(run(ended_at=old + n) for n in range(5)), run(ended_at=NOW - 89 * DAY))
        here.keep(*(run("once a year", ended_at=old) for _ in range(2)))
        here.store.prune()
        assert [each.level.ended_at for each in here.store.runs("import")] == [NOW - 89 * DAY, old + 4, old + 3]
        assert len(here.store.runs("once a year")) == 2


def test_pruning_happens_by_itself(path: Path) -> None:
    """At the first write of a process, and every ten minutes."""
    with kept(path) as here:
        here.keep(*(run(ended_at=NOW - 100 * DAY) for _ in range(5)))
        assert len(here.store.runs()) == 5
        here.later(PRUNE_SECONDS - 3).show(level())
        assert len(here.store.runs()) == 5
        here.later(1).show(level())
        assert len(here.store.runs()) == 3
    with kept(path) as here:
        here.show(level())
        here.keep(*(run(ended_at=NOW - 100 * DAY) for _ in range(2)))
        assert len(here.store.runs()) == 5
    with kept(path) as here:
        here.show(level())
        assert len(here.store.runs()) == 3


@pytest.mark.once
def test_the_file_never_passes_its_size(path: Path) -> None:
    """1 MiB, and 3 MB of runs: the oldest go, the newest stay, and the file is given back what they took."""
    limit = 1024 * 1024
    biggest = 0
    with kept(path, bytes_limit=limit) as here:
        for n in range(12):
            for i in range(250):
                here.store.finish(large(f"job {n}.{i}"))
            for _ in range(4):
                here.later(PRUNE_SECONDS).store.write_live([level()])
            biggest = max(biggest, path.stat().st_size)
        assert here.store.waiting == 0
        assert here.trouble.keys() <= {"store_full"}
        names = [each.level.name for each in here.store.runs(limit=1000)]
        assert names[:100] == [f"job 11.{i}" for i in range(249, 149, -1)]
        assert biggest <= limit
        here.store.close()
        assert path.stat().st_size <= _prune.FULL * limit + 64 * 1024
        assert here.show(level())


def test_a_file_that_is_full_before_it_is_pruned_grows_no_further(path: Path) -> None:
    """SQLite keeps the limit: 3 MB within a minute. A minute later the oldest have gone, and what waited is written."""
    limit = 1024 * 1024
    with kept(path, bytes_limit=limit) as here:
        for n in range(3):
            for i in range(900):
                here.store.finish(large(f"job {n}.{i}"))
            for _ in range(10):
                here.show(level())
            assert path.stat().st_size <= limit
        assert here.trouble["store_full"] == 1
        waited = here.store.waiting
        assert waited > 0
        for _ in range(10):  # each batch is as large as what pruning leaves free, with a limit as small as this
            here.later(60).show(level())
        assert here.store.waiting == 0
        assert path.stat().st_size <= limit


def test_a_limit_that_was_lowered_shrinks_the_file(path: Path) -> None:
    """At the next round of pruning."""
    with kept(path) as here:
        for n in range(10):
            here.keep(*(large(f"job {n}.{i}") for i in range(200)))
        here.store.close()
    before = path.stat().st_size
    with kept(path, bytes_limit=before // 4) as here:
        here.show(level())
        here.later(PRUNE_SECONDS).show(level())
        assert here.store.runs(limit=1)[0].level.name == "job 9.199"
    assert path.stat().st_size <= before // 4


def test_a_reader_that_never_ends_does_not_make_the_log_grow_for_ever(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its picture must be kept, so the log cannot shrink: nothing is written then, which is counted."""
    monkeypatch.setattr(_store, "WAL_BYTES_LIMIT", 2 * 1024 * 1024)
    log = path.with_name("store.db-wal")
    with kept(path) as here:
        here.show(level())
        reader = sqlite3.connect(path, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM process").fetchall()
        for n in range(200):
            here.show(level(children=tuple(level("step", "import", key=m, done=n) for m in range(150))))
        assert here.trouble.keys() == {"store_full"}
        assert here.trouble["store_full"] <= 4  # a look each minute, of 200 s
        assert log.stat().st_size < 3 * 1024 * 1024
        reader.close()
        here.later(60)
        here.show(level(done=1))
        here.show(level(done=2))
        assert here.store.live()[0].levels[0].done == 2


def test_a_long_log_shrinks_as_soon_as_its_reader_is_gone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a write is given up, it is tried."""
    monkeypatch.setattr(_store, "WAL_BYTES_LIMIT", 256 * 1024)
    log = path.with_name("store.db-wal")
    with kept(path) as here:
        here.show(level())
        reader = sqlite3.connect(path, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM process").fetchall()
        while log.stat().st_size <= 256 * 1024:
            assert here.show(level(children=tuple(level("step", "import", key=m) for m in range(150))))
        reader.close()
        assert here.show(level())
        assert not here.trouble
        assert log.stat().st_size < 128 * 1024


def test_last_words_are_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that is killed and started again all day leaves the last hundred."""
    assert _prune.DEAD_KEPT == 100
    with kept(path) as here:
        here.show(level())
        connection = sqlite3.connect(path)
        connection.executemany(
            "INSERT INTO process (token, place, host, pid, started, heartbeat_at, levels) "
            "VALUES (?, 'x', 'y', 1, '', ?, '[]')",
            [(str(n), NOW + 1e9) for n in range(300)],  # by clocks of the future, whom age would never reach
        )
        connection.commit()
        connection.close()
        here.store.prune()
        assert len(rows(path, "SELECT id FROM process")) == 100


def test_calibrations_are_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that were renewed last stay."""
    monkeypatch.setattr(_prune, "CALIBRATIONS_KEPT", 3)
    with kept(path) as here:
        for name in ("a", "b", "c", "d", "a"):
            here.store.calibrate(name, None, [1.0])
        here.store.prune()
        assert [len(here.store.calibration(name)) for name in ("a", "b", "c", "d")] == [1, 0, 1, 1]
