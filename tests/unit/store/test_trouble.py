"""What goes wrong with files costs history, is said once and counted, and never reaches the job."""

from __future__ import annotations

import logging
import os
import resource
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from otel_progress._config import Config
from otel_progress._contain import Tally
from otel_progress.store import _database, _processes, open_store
from otel_progress.store._trouble import PAUSE_SECONDS, Trouble
from tests.unit.kit import python
from tests.unit.store.kit import NOW, Kept, done, kept, level, process, rows, run


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store that is not there yet."""
    return tmp_path / "store.db"


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What we logged, as it grows."""
    caplog.set_level(logging.WARNING, "otel_progress")

    class Texts(list[str]):
        def __eq__(self, other: object) -> bool:
            return [record.getMessage() for record in caplog.records] == other

        def __iter__(self) -> Iterator[str]:
            return iter([record.getMessage() for record in caplog.records])

        __hash__ = None  # type: ignore[assignment]  # a list has none either

    return Texts()


def the_one(logged: list[str]) -> str:
    """Return the one line that was logged."""
    (line,) = logged
    assert line.endswith("your program is unaffected")
    return line


# --- damaged files ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"not a database, but long enough to look at " * 100, b"SQLite format 3\0" * 300])
def test_a_file_that_is_no_database_is_moved_aside_and_a_new_one_begun(
    path: Path, logged: list[str], content: bytes
) -> None:
    """Nothing is deleted: whoever wants to can look at it."""
    path.write_bytes(content)
    with kept(path) as here:
        here.keep(run())
        assert len(here.store.runs()) == 1
        assert here.trouble == {"store_corrupt": 1}
    assert path.with_name("store.db.corrupt").read_bytes() == content
    assert "store.db.corrupt, and a new one was begun" in the_one(logged)


def test_a_store_that_is_damaged_while_it_is_open_is_moved_aside(path: Path, logged: list[str]) -> None:
    """The pages of the tables are overwritten by noise; the first page still says that it is a database."""
    with kept(path) as here:
        for _ in range(5):
            here.keep(*(run(f"job {n}") for n in range(100)))
        here.store._file.close()
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(os.urandom(path.stat().st_size - 4096))
        here.keep(run("after"))
        assert [each.level.name for each in here.store.runs()] == ["after"]
    assert path.with_name("store.db.corrupt").exists()
    assert "damaged" in the_one(logged)


def test_a_second_damaged_file_is_left_alone_as_the_first_was(path: Path, logged: list[str]) -> None:
    """Only one is kept aside: a disk that damages files must not fill up with them. The store is off then."""
    aside = path.with_name("store.db.corrupt")
    aside.write_bytes(b"first" * 1000)
    path.write_bytes(b"second" * 1000)
    with kept(path) as here:
        assert not here.show(level())
        assert not here.later(10 * PAUSE_SECONDS).store.finish(run())
    assert (aside.read_bytes(), path.read_bytes()) == (b"first" * 1000, b"second" * 1000)
    assert "look at both" in the_one(logged)


@pytest.mark.once
def test_processes_that_find_the_damage_together_move_it_once(path: Path) -> None:
    """The new file of the fastest is not mistaken for the damaged one by the others."""
    path.write_bytes(b"noise" * 10_000)
    script = """
print("ready", flush=True); sys.stdin.readline()
store.finish(run(sys.argv[2]))
for _ in range(20):
    if not store.waiting: break
    time.sleep(1.1); store.write_live(())
store.close()
"""
    them = [process(script, path, f"job {n}") for n in range(6)]
    for each in them:
        assert each.stdout is not None
        each.stdout.readline()
    for each in them:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    for each in them:
        done(each)
    assert path.with_name("store.db.corrupt").read_bytes() == b"noise" * 10_000
    assert sorted(name for (name,) in rows(path, "SELECT operation FROM run")) == [f"job {n}" for n in range(6)]


def test_the_new_file_of_another_process_is_not_moved_aside(path: Path) -> None:
    """Between our noticing the damage and our moving the file, another process has done it and begun a new one."""
    aside = path.with_name("store.db.corrupt")
    path.write_bytes(b"damaged")
    inode = path.stat().st_ino
    path.rename(path.with_name("elsewhere"))
    path.write_bytes(b"new")
    assert _database.move_aside(path, inode) is None
    assert (path.read_bytes(), aside.exists()) == (b"new", False)
    path.with_name("elsewhere").rename(aside)
    assert _database.move_aside(path, inode) is None
    assert (path.read_bytes(), aside.read_bytes()) == (b"new", b"damaged")
    aside.unlink()
    path.unlink()
    assert _database.move_aside(path, inode) is None


def test_a_move_that_was_cut_short_is_finished_when_its_process_is_surely_dead(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the two steps of the move, it left the file under both names."""
    aside = path.with_name("store.db.corrupt")
    path.write_bytes(b"damaged")
    aside.hardlink_to(path)
    with pytest.raises(Trouble) as raised:
        _database.move_aside(path, path.stat().st_ino)
    assert raised.value.pause_seconds == 0
    monkeypatch.setattr(_database, "MOVING_SECONDS", 0.0)
    assert _database.move_aside(path, path.stat().st_ino) == aside
    assert (path.exists(), aside.read_bytes()) == (False, b"damaged")


def test_a_row_that_makes_no_sense_is_left_out(path: Path, logged: list[str]) -> None:
    """Of an earlier bug, or another hand."""
    with kept(path) as here:
        here.keep(run("a"), run("b"))
        here.show(level())
        connection = sqlite3.connect(path)
        connection.execute("UPDATE run SET level = '[{\"state\": 7}]', profile = '?' WHERE operation = 'a'")
        connection.execute("INSERT INTO process SELECT 99, 'x', place, host, pid, started, 0, '{' FROM process")
        connection.execute("INSERT INTO calibration (operation, name, state) VALUES ('a', '', '[1, NaN]')")
        connection.execute("INSERT INTO calibration (operation, name, state) VALUES ('b', '', 'x')")
        connection.commit()
        connection.close()
        assert [each.level.name for each in here.store.runs()] == ["b"]
        assert here.store.profiles("a") == ()
        assert len(here.store.live()) == 1
        assert here.store.calibration("a") == here.store.calibration("b") == ()
        assert here.trouble == {"store_row": 3}


def test_a_deleted_file_is_made_again(path: Path) -> None:
    """SQLite would go on writing to the file that has no name any more."""
    with kept(path) as here:
        here.keep(run("before"))
        for suffix in ("", "-wal", "-shm"):
            Path(f"{path}{suffix}").unlink()
        here.keep(run("after"))
        assert rows(path, "SELECT operation FROM run") == [("after",)]
        assert here.trouble == {}


# --- files of others --------------------------------------------------------------------------------------------------


def test_a_schema_of_a_newer_release_is_not_touched(path: Path, logged: list[str]) -> None:
    """Not a byte; and the store is off."""
    with kept(path) as here:
        here.keep(run())
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 2")
    connection.close()
    before = path.read_bytes()
    with kept(path) as here:
        assert not here.show(level())
        assert not here.later(10 * PAUSE_SECONDS).store.finish(run())
        assert here.store.runs() == ()
        assert here.trouble == {"store_newer": 1}
    assert path.read_bytes() == before
    assert "a newer release wrote it (version 2, here 1)" in the_one(logged)


def test_a_database_of_something_else_is_not_touched(path: Path, logged: list[str]) -> None:
    """A wrong path in the setting must not cost anybody's data."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE customers (name)")
    connection.close()
    before = path.read_bytes()
    with kept(path) as here:
        assert not here.show(level())
        assert here.trouble == {"store_refused": 1}
    assert path.read_bytes() == before
    assert "database of something else" in the_one(logged)


def refuse(path: Path, logged: list[str], why: str) -> None:
    """See that the store is refused."""
    with kept(path) as here:
        assert not here.show(level())
        assert not here.show(level())
        assert here.trouble == {"store_refused": 1}
    assert why in the_one(logged)


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770])
def test_a_folder_that_others_can_write_to_is_refused(path: Path, logged: list[str], mode: int) -> None:
    """They could put another file in its place; the sticky bit does not help against a file that is new."""
    path.parent.chmod(mode)
    refuse(path, logged, "others can write to the folder")
    assert not path.exists()


@pytest.mark.parametrize("mode", [0o606, 0o660])
def test_a_file_that_others_can_write_to_is_refused(path: Path, logged: list[str], mode: int) -> None:
    """What they write would be shown as progress."""
    path.touch()
    path.chmod(mode)
    refuse(path, logged, "others can write to")
    assert path.read_bytes() == b""


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
def test_a_link_in_place_of_the_file_is_refused(path: Path, tmp_path: Path, logged: list[str], suffix: str) -> None:
    """It would have us write elsewhere, where it leads to nothing as well."""
    target = tmp_path / "elsewhere"
    Path(f"{path}{suffix}").symlink_to(target)
    refuse(path, logged, "is a link, or no file")
    assert not target.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give files away")
@pytest.mark.parametrize("what", ["file", "folder", "link to the folder"])
def test_what_belongs_to_another_user_is_refused(tmp_path: Path, logged: list[str], what: str) -> None:
    """Whoever owns it can change it at any time."""
    folder = tmp_path / "folder"
    folder.mkdir(0o700)
    (folder / "store.db").touch(0o600)
    if what == "file":
        os.chown(folder / "store.db", 12345, 12345)
    elif what == "folder":
        os.chown(folder, 12345, 12345)
    else:
        folder.rename(tmp_path / "real")
        folder.symlink_to(tmp_path / "real")
        os.chown(folder, 12345, 12345, follow_symlinks=False)
    refuse(folder / "store.db", logged, "belongs to another user")


def test_a_link_of_ones_own_to_the_folder_is_followed(tmp_path: Path) -> None:
    """State folders are moved to other disks that way."""
    (tmp_path / "big disk").mkdir(0o700)
    (tmp_path / "state").symlink_to(tmp_path / "big disk")
    with kept(tmp_path / "state" / "store.db") as here:
        assert here.show(level())
    assert (tmp_path / "big disk" / "store.db").exists()


def test_a_file_that_others_can_read_is_closed_to_them(path: Path) -> None:
    """It is ours, so that is ours to mend."""
    path.touch()
    path.chmod(0o644)
    with kept(path) as here:
        assert here.show(level())
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_folder_in_place_of_the_file_is_refused(path: Path, logged: list[str]) -> None:
    """A setting that names a folder."""
    path.mkdir()
    refuse(path, logged, "is a link, or no file")


# --- disks ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if os.geteuid() or mount is None:
        pytest.skip("needs root and mount, to make a small file system")
    made = subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=1m,mode=0700", "otel-progress-test", str(folder)], check=False
    )
    if made.returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Fill a small file system to its last byte; return the file that does."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            pass
    return ballast


def test_a_full_disk_costs_history_until_there_is_room_again(disk: Path, logged: list[str]) -> None:
    """It is looked at once a minute; what waits is written then, and what was written before is all there."""
    with kept(disk / "store.db") as here:
        here.keep(run("before"))
        ballast = fill(disk)
        for n in range(20):
            here.store.finish(run(f"meanwhile {n}"))
            here.show(level(message="x" * 900))
        assert here.trouble.keys() <= {"store_full", "store_failed"}
        assert sum(here.trouble.values()) == 1
        ballast.unlink()
        assert not here.show(level())
        here.later(PAUSE_SECONDS)
        assert here.show(level())
        assert len(here.store.runs()) == 21
    the_one(logged)
    assert rows(disk / "store.db", "PRAGMA integrity_check") == [("ok",)]


def test_a_disk_that_is_full_from_the_start(disk: Path, logged: list[str]) -> None:
    """Not even the tables can be made."""
    fill(disk)
    with kept(disk / "store.db") as here:
        assert not here.show(level())
        assert here.store.live() == ()
        assert sum(here.trouble.values()) == 1
    the_one(logged)


def test_a_quota_is_a_full_disk(path: Path) -> None:
    """A limit on the size of files; the program goes on, and the file stays whole."""
    script = """
import resource
store.finish(run("before")); store.close()
resource.setrlimit(resource.RLIMIT_FSIZE, (80_000, 80_000))
for _ in range(500): store._pending.append(store._row(run("job")))
store.write_live([level()])
time.sleep(1.1)
store.write_live([level()])
print(sum(tally.dropped.values()), sum(tally.contained.values()))
"""
    assert done(process(script, path)) == "1 0\n"
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]
    assert resource.RLIMIT_FSIZE  # the script's


def test_a_home_that_cannot_be_written(disk: Path, logged: list[str]) -> None:
    """As in many containers: one line, and a look once a minute, as it may be mounted anew."""
    (disk / "state").mkdir(0o700)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with kept(disk / "state" / "otel_progress" / "store.db") as here:
        for _ in range(5):
            assert not here.show(level())
        assert here.store.runs() == ()
        assert here.trouble == {"store_failed": 1}
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        here.later(PAUSE_SECONDS)
        assert here.show(level())
    assert "Read-only file system" in the_one(logged)


def test_a_store_that_has_become_read_only(disk: Path, logged: list[str]) -> None:
    """It was written before, and is open."""
    with kept(disk / "store.db") as here:
        here.keep(run())
        here.store._file.close()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        assert not here.show(level())
        assert here.trouble == {"store_failed": 1}
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    the_one(logged)


@pytest.mark.parametrize("home", ["", "/nonexistent/home"])
def test_a_user_without_a_home(home: str) -> None:
    """Daemons have none; none is made for them, as root either."""
    answer = python(
        """
import logging, os, pathlib, pwd, sys
logging.basicConfig(format="%(message)s")
from otel_progress._config import Config
from otel_progress._contain import Tally
from otel_progress.store import open_store
def nobody(uid): raise KeyError(uid)
if not os.environ["HOME"]:
    del os.environ["HOME"]
    pwd.getpwuid = nobody
tally = Tally()
print(open_store(Config.make({}), tally), dict(tally.dropped))
""",
        environment={"HOME": home, "XDG_STATE_HOME": ""},
    )
    assert answer.stdout == "None {'store_refused': 1}\n"
    (line,) = answer.stderr.splitlines()
    assert "home folder" in line
    assert not Path("/nonexistent").exists()


def test_a_python_without_sqlite_has_no_store(monkeypatch: pytest.MonkeyPatch, logged: list[str]) -> None:
    """Some are built without."""
    for module in ("sqlite3", "otel_progress.store._store", "otel_progress.store._place"):
        monkeypatch.setitem(__import__("sys").modules, module, None)
    assert open_store(Config.make({}), Tally()) is None
    the_one(logged)


# --- other processes --------------------------------------------------------------------------------------------------

HOLD = """
import sqlite3
connection = sqlite3.connect(path, isolation_level=None)
if sys.argv[2] == "readers too": connection.execute("PRAGMA locking_mode = EXCLUSIVE").fetchall()
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.readline()
connection.execute("COMMIT")
connection.close()
print("released", flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("who", ["writers", "readers too"])
def test_a_file_that_another_process_locks_is_given_up_for_now(path: Path, logged: list[str], who: str) -> None:
    """Each attempt is counted and takes a few milliseconds; afterwards all that waited is written."""
    with kept(path) as here:
        here.keep(run("before"))
        here.store._file.close()
        other = process(HOLD, path, who)
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        slowest = 0.0
        for n in range(5):
            before = time.perf_counter()
            assert not here.later().store.finish(run(f"meanwhile {n}"))
            slowest = max(slowest, time.perf_counter() - before)
        assert slowest < 0.5  # 25 ms are asked for; the rest is a busy machine's
        assert here.store.runs() == () or who == "writers"
        assert here.trouble == {"store_busy": 5 if who == "writers" else 6}
        other.stdin.write("\n")
        other.stdin.flush()
        assert other.stdout.readline() == "released\n"
        assert here.show(level())
        assert len(here.store.runs()) == 6
        other.communicate("\n", timeout=20)
    the_one(logged)


# --- clocks -----------------------------------------------------------------------------------------------------------


def ahead(here: Kept, seconds: float) -> None:
    """Set the wall clock alone."""
    here.clock._wall_ns += int(seconds * 1e9)


def test_order_is_that_of_writing_whatever_the_clock_said(path: Path) -> None:
    """A clock set back a year does not make the newest run the oldest."""
    with kept(path) as here:
        here.keep(run(seconds=1.0, ended_at=NOW), run(seconds=2.0, ended_at=NOW - 365 * 86_400))
        here.keep(run(seconds=3.0, ended_at=NOW - 1))
        assert [profile.seconds for profile in here.store.profiles("import")] == [3.0, 2.0, 1.0]


def test_a_clock_that_jumps_ahead_leaves_the_newest_runs_of_each_level(path: Path) -> None:
    """Ten years: all are too old, and yet the next run must have a history."""
    with kept(path) as here:
        here.keep(*(run(seconds=n + 1.0) for n in range(6)), *(run("read", "import") for _ in range(2)))
        ahead(here, 10 * 365 * 86_400)
        here.store.prune()
        assert [profile.seconds for profile in here.store.profiles("import")] == [6.0, 5.0, 4.0]
        assert len(here.store.profiles("import", "read")) == 2
        ahead(here, -10 * 365 * 86_400)
        here.keep(run(seconds=9.0))
        assert [profile.seconds for profile in here.store.profiles("import")] == [9.0, 6.0, 5.0, 4.0]


def test_a_clock_that_is_set_back_deletes_nothing(path: Path) -> None:
    """Runs of the future are not old."""
    with kept(path) as here:
        here.keep(*(run(ended_at=NOW) for _ in range(6)))
        ahead(here, -10 * 365 * 86_400)
        here.store.prune()
        here.keep(run())
        assert len(here.store.runs()) == 7
        assert here.show(level())
        assert here.store.live()[0].status == "live"


def test_a_process_whose_clock_jumps_is_not_taken_for_dead(path: Path) -> None:
    """Here its number tells more than its heartbeat: it is there, and silent until it writes again."""
    with kept(path) as here:
        here.show(level())
        ahead(here, 86_400)
        assert here.store.live()[0].status == "silent"
        here.show(level())
        assert here.store.live()[0].status == "live"


# --- who is dead ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "answer"), [(0.0, "live"), (29.0, "live"), (31.0, "dead"), (-31.0, "dead"), (-29.0, "live")]
)
def test_a_process_of_another_machine_is_judged_by_its_heartbeat(age: float, answer: str) -> None:
    """Its number says nothing here, though there is a process with it."""
    there = _processes.Identity("another place", "node-7", os.getpid(), "")
    assert _processes.status(there, age) == answer


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to know when a process started")
def test_a_number_that_is_used_again_is_another_process() -> None:
    """It started at another time."""
    own = _processes.own()
    assert _processes.status(own, 0.0) == "live"
    assert _processes.status(own, 3600.0) == "silent"
    again = _processes.Identity(own.place, own.host, own.pid, str(int(own.started) - 1))
    assert _processes.status(again, 0.0) == "dead"
