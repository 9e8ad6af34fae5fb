"""Many processes, processes that are killed, and forks."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from otel_progress.store._store import Store
from tests.unit.kit import wait_until
from tests.unit.store.kit import Kept, done, kept, level, process, rows, run

pytestmark = [pytest.mark.once, pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and kill")]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store that is not there yet."""
    return tmp_path / "store.db"


def test_processes_that_write_at_once_lose_nothing(path: Path) -> None:
    """Eight, each as fast as it can for 100 runs; who does not get in waits and comes again."""
    script = """
name = sys.argv[2]
for n in range(100):
    store.finish(run(name))
    store._next_write = 0
    store.write_live([level(name, done=n)])
deadline = time.monotonic() + 100  # a log that cannot shrink makes a store pause for a minute
while store.waiting and time.monotonic() < deadline:
    store._next_write = 0
    store.write_live([level(name, done=100)])
lost = set(tally.dropped) - {"store_busy", "store_full"}
print(store.waiting, len(store.profiles(name, limit=1000)), lost, dict(tally.contained))
sys.stdout.flush()
sys.stdin.readline()
store.close()
"""
    them = [process(script, path, f"job {n}") for n in range(8)]
    assert [each.stdout.readline() for each in them if each.stdout] == ["0 100 set() {}\n"] * 8
    for each in them:
        done(each)
    found = rows(path, "SELECT operation, count(*) FROM run GROUP BY operation ORDER BY operation")
    assert found == [(f"job {n}", 100) for n in range(8)]
    assert rows(path, "SELECT count(*) FROM process") == [(0,)]
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]


def test_a_write_waits_for_others_a_few_milliseconds_only(path: Path) -> None:
    """While four processes do nothing but write: the median of ours stays far below the limit of 50 ms."""
    script = """
print("ready", flush=True)
while True:
    store._next_write = 0
    store.write_live([level()])
"""
    them = [process(script, path) for _ in range(4)]
    try:
        for each in them:
            assert each.stdout is not None
            each.stdout.readline()
        with kept(path) as here:
            taken: list[float] = []
            for _ in range(40):
                before = time.perf_counter()
                here.show(level())
                taken.append(time.perf_counter() - before)
            assert here.trouble.keys() <= {"store_busy"}
        assert sorted(taken)[20] < 0.25  # on a machine with two cores that six processes use
    finally:
        for each in them:
            each.kill()
            each.communicate()


WRITER = """
n = 0
print("ready", flush=True)
while True:
    n += 1
    store.finish(run("job", bytes=n))
    store._next_write = 0
    store.write_live([level("job", bytes=n, done=n)])
    if not store.waiting: os.write(1, b"%d\\n" % n)
"""


def test_kill_9_in_the_middle_of_a_write_costs_that_write_alone(path: Path) -> None:
    """Ten times: the file stays whole, all that was said to be written is there, and the others go on."""
    for attempt in range(10):
        before = rows(path, "SELECT count(*) FROM run WHERE operation = 'job'")[0][0] if path.exists() else 0
        killed = process(WRITER, path)
        assert killed.stdout is not None
        assert killed.stdout.readline() == "ready\n"
        killed.stdout.readline()
        time.sleep(0.003 * attempt)
        killed.kill()
        said = [int(line) for line in killed.communicate()[0].splitlines() if line]
        with kept(path) as here:
            written = rows(path, "SELECT count(*) FROM run WHERE operation = 'job'")[0][0] - before
            assert written >= max(said, default=1)
            assert rows(path, "PRAGMA integrity_check") == [("ok",)]
            here.keep(run("mine"))
            assert here.trouble == {}
    assert not path.with_name("store.db.corrupt").exists()


def test_a_killed_process_is_shown_as_dead_with_what_it_was_doing(path: Path) -> None:
    """Also as long as nobody has waited for it; and until it is a week old."""
    killed = process('store.write_live([level("nightly", done=7)])\nprint("shown", flush=True)\nsignal.pause()', path)
    assert killed.stdout is not None
    assert killed.stdout.readline() == "shown\n"
    here = Kept(path)
    here.clock._wall_ns = time.time_ns()
    (alive,) = here.store.live()
    assert (alive.pid, alive.status) == (killed.pid, "live")
    os.kill(killed.pid, signal.SIGKILL)
    wait_until(lambda: here.store.live()[0].status == "dead", "the process is seen to be dead")  # a zombie until here
    killed.communicate()
    (dead,) = here.store.live()
    assert (dead.pid, dead.status, dead.levels[0].name, dead.levels[0].done) == (killed.pid, "dead", "nightly", 7)
    here.later(6 * 86_400).store.prune()
    assert len(here.store.live()) == 1
    here.later(2 * 86_400).store.prune()
    assert here.store.live() == ()
    here.store.close()


def test_a_stopped_process_is_silent_and_not_dead(path: Path) -> None:
    """It is there, and writes nothing."""
    stopped = process('store.write_live([level()])\nprint("shown", flush=True)\nsignal.pause()', path)
    assert stopped.stdout is not None
    stopped.stdout.readline()
    with kept(path) as here:
        here.clock._wall_ns = time.time_ns()
        assert here.store.live()[0].status == "live"
        here.later(60)
        assert here.store.live()[0].status == "silent"
    stopped.kill()
    stopped.communicate()


# --- forks ------------------------------------------------------------------------------------------------------------


def in_child(work: Callable[[], object]) -> object:
    """Return what a function returns in a forked child."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(write, json.dumps(work()).encode())
        finally:
            os._exit(0)
    os.close(write)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    with os.fdopen(read) as answer:
        return json.loads(answer.read())


def opened_by(path: Path) -> list[str]:
    """Return which files of the store this process has open."""
    found: list[str] = []
    for fd in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # that of the listing itself
            found.append(str(fd.readlink()))
    return sorted(Path(each).name for each in found if each.startswith(str(path)))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc to see open files")
def test_a_child_inherits_no_open_file_and_opens_its_own(path: Path) -> None:
    """Both go on writing; each is a process of its own, and what waits in the parent is the parent's to write."""
    with kept(path) as here:
        here.show(level("parent's"))
        here.store.finish(run("waiting"))
        assert opened_by(path) != []

        def child() -> object:
            before = opened_by(path), here.store.waiting
            here.show(level("child's"))
            seen = [(each.pid == os.getpid(), each.levels[0].name) for each in here.store.live()]
            here.store.close()
            return before, seen, here.trouble

        before, seen, trouble = in_child(child)  # type: ignore[misc]  # a list of three
        assert (before, trouble) == ([[], 0], {})
        assert seen == [[False, "parent's"], [True, "child's"]]
        here.show(level("parent's"))
        assert [each.levels[0].name for each in here.store.live()] == ["parent's"]
        assert len(here.store.runs()) == 1
        assert here.trouble == {}


def test_a_fork_in_the_middle_of_a_write_waits_for_it(path: Path) -> None:
    """SQLite's own locks would stay locked in the child for ever: 20 forks while a thread writes all the time."""
    script = """
stop = False
def write():
    n = 0
    while not stop:
        n += 1
        store._next_write = 0
        store.finish(run("parent", bytes=n))
thread = threading.Thread(target=write); thread.start()
for n in range(20):
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        store.finish(run("child"))
        store.close()
        os._exit(store.waiting + len(tally.contained))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
stop = True
thread.join()
store.close()
print(set(tally.dropped) - {"store_busy"}, dict(tally.contained))
"""
    assert done(process(script, path)) == "set() {}\n"
    assert rows(path, "SELECT count(*) FROM run WHERE operation = 'child'") == [(20,)]
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]


def test_a_fork_does_not_wait_for_a_write_that_hangs(path: Path) -> None:
    """A disk that does not answer: the child has no store, and both go on."""
    script = """
import otel_progress.store._file as files
inside, go = threading.Event(), threading.Event()
store.write_live([level()])
def hang(connection): inside.set(); go.wait(20)
thread = threading.Thread(target=store._file.use, args=(hang,), kwargs={"otherwise": None}); thread.start()
inside.wait()
before = time.monotonic()
pid = os.fork()
if pid == 0:
    signal.alarm(20)
    os._exit(int(store.write_live([level()])) + len(store.runs()))
assert time.monotonic() - before < 5
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
go.set(); thread.join()
time.sleep(1.1)
print(store.finish(run()))
store.close()
"""
    assert done(process(script, path)) == "True\n"


def test_programs_started_by_subprocess_do_not_close_the_file(path: Path) -> None:
    """They run no code of ours, and there is nothing to wait for."""
    with kept(path) as here:
        here.show(level())
        connection = here.store._file._connection
        assert isinstance(connection, sqlite3.Connection)
        subprocess.run(["true"], check=True)
        assert here.store._file._connection is connection


def test_a_store_is_forgotten_with_its_last_user(path: Path) -> None:
    """Forks look at those alone that are in use."""
    from otel_progress.store import _file  # noqa: PLC0415  # the list of all

    before = len(_file._files)
    here = Kept(path)
    assert len(_file._files) == before + 1
    assert isinstance(here.store, Store)
    del here
    assert len(_file._files) == before
