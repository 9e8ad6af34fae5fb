"""The local store: what is live on this machine and how earlier runs went, in one SQLite file for all processes."""

from __future__ import annotations

import json
import sqlite3
import threading
import uuid
from collections import deque
from collections.abc import Iterable
from math import isfinite
from pathlib import Path
from typing import Final

from otel_progress._contain import Tally
from otel_progress._model import Clock, Profile, Snapshot
from otel_progress.names import State
from otel_progress.store import _codec, _database, _processes, _prune
from otel_progress.store._data import LiveProcess, Run
from otel_progress.store._file import StoreFile
from otel_progress.store._trouble import PAUSE_SECONDS, Reason, Trouble

WRITE_SECONDS: Final = 1.0
"""Least time between two transactions of one process."""
BYTES_LIMIT: Final = 64 * 1024 * 1024
"""Size that the file never passes: some 50,000 runs."""
AGE_SECONDS: Final = 90 * 86_400.0
"""Age from which runs are deleted, but for the newest of each level."""
WAL_BYTES_LIMIT: Final = 16 * 1024 * 1024
"""Size of the write-ahead log from which nothing is written: a reader that never ends keeps it from shrinking."""
PRUNE_SECONDS: Final = 600.0
CLOSE_BUSY_SECONDS: Final = 1.0
"""How long the last transaction waits for other processes; there is no later one."""
PENDING_LIMIT: Final = 1_000
"""Runs that wait to be written; beyond it they are dropped and counted."""
BATCH: Final = 200
"""Runs in one transaction: about 10 ms."""

_Row = tuple[str, str, bool, float, str, str | None, str, float | None]


class Store:
    """
    The file at ``path``. Thread-safe, and safe with any number of processes and across forks.

    Nothing here raises, and a transaction waits for other processes no longer than `_database.BUSY_SECONDS`; still it
    is file work, for a thread that may wait. What is wrong is logged once and counted in the tally; answers are
    empty then, and what was to be written waits for a later chance or is dropped. The file is made when there is
    something to write.

    Args:
        path: The file; its folder is made where it is missing.
        details: Whether to keep ids, titles, messages, metadata, reasons and error messages.
        clock: Wall time stamps rows, monotonic time spaces transactions.
        tally: Where trouble is counted.
        bytes_limit: Size that the file never passes.
        age_seconds: Age from which runs are deleted.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock,
        tally: Tally,
        details: bool = False,
        bytes_limit: int = BYTES_LIMIT,
        age_seconds: float = AGE_SECONDS,
    ) -> None:
        self._clock = clock
        self._tally = tally
        self._details = details
        self._bytes_limit = bytes_limit
        self._age_seconds = age_seconds
        self._file = StoreFile(path, bytes_limit=bytes_limit, clock=clock, tally=tally)
        self._file.on_fork(self._begin)
        self._begin()

    def _begin(self) -> None:
        """Begin as a process of its own: what waits to be written after a fork is the parent's."""
        self._lock = threading.RLock()  # covers what follows
        self._token = uuid.uuid4().hex
        self._live: tuple[Snapshot, ...] = ()
        self._is_listed = False
        self._pending: deque[_Row] = deque()
        self._next_write = -1.0
        self._next_prune = -1.0

    @property
    def path(self) -> Path:
        """Where the file is."""
        return self._file.path

    @property
    def waiting(self) -> int:
        """Number of runs that are not in the file yet."""
        return len(self._pending)

    # --- writing ------------------------------------------------------------------------------------------------------

    def write_live(self, levels: Iterable[Snapshot]) -> bool:
        """
        Show these roots and their children as what this process does now; none at all takes it off the list.

        Returns:
            Whether it was written, with the runs that waited: at most once a second it is. Call this every second
            while anything is live or `waiting`, and once more with nothing.
        """
        with self._lock:
            self._live = tuple(levels)
            return self._write_in_time()

    def finish(self, run: Run) -> bool:
        """Keep a finished run. Returns whether it is in the file; if not, it goes with the next `write_live`."""
        with self._lock:
            if len(self._pending) >= PENDING_LIMIT:
                self._tally.drop("store_pending")
                return False
            with self._tally.containing("store_row"):
                self._pending.append(self._row(run))
            return self._write_in_time()

    def keep(
        self, level: Snapshot, profile: Profile | None, eta_errors: tuple[float, ...], eta_coverage: float | None
    ) -> bool:
        """As `finish`, of the parts of a `Run`."""
        return self.finish(Run(level=level, profile=profile, eta_errors=eta_errors, eta_coverage=eta_coverage))

    def calibrate(self, operation: str, level: str | None, state: Iterable[float]) -> bool:
        """Keep a few floats for a level (``None``: the operation itself) in place of earlier ones; whether it did."""
        row = (operation, level or "", json.dumps([float(value) for value in state]))

        def write(connection: sqlite3.Connection) -> bool:
            with _database.transaction(connection):
                connection.execute("INSERT OR REPLACE INTO calibration (operation, name, state) VALUES (?, ?, ?)", row)
            return True

        return self._file.use(write, otherwise=False)

    def prune(self) -> None:
        """Delete what is too old, and the oldest where the file is nearly full; done by itself every ten minutes."""

        def work(connection: sqlite3.Connection) -> None:
            _prune.by_age(connection, self._clock.wall_ns() / 1e9, self._age_seconds)
            _prune.by_size(connection, self._bytes_limit)

        self._file.use(work, otherwise=None)

    def close(self) -> None:
        """Write what waits, take this process off the list, and close the file; writing later opens it again."""
        with self._lock:
            self._live = ()
            if self._pending or self._is_listed:
                self._file.use(self._write_rest, otherwise=False)
            self._file.close()

    def _write_in_time(self) -> bool:
        now = self._clock.monotonic()
        if now < self._next_write or not (self._live or self._pending or self._is_listed):
            return False
        self._next_write = now + WRITE_SECONDS
        if now >= self._next_prune:
            self._next_prune = now + PRUNE_SECONDS
            self.prune()
        written = self._file.use(self._write, otherwise=False)
        if not written and self._file.is_full:
            self._next_prune = now
        return written

    def _write(self, connection: sqlite3.Connection) -> bool:
        """Write the live levels and the runs that wait, in one transaction."""
        if self._file.wal_bytes() > WAL_BYTES_LIMIT and not self._file.shrink_wal(connection):
            raise Trouble(Reason.FULL, "a reader that does not end keeps its log from shrinking", PAUSE_SECONDS)
        levels = _codec.encode(self._live, details=self._details)  # before the transaction: others wait for its end
        rows = list(self._pending)[:BATCH]
        with _database.transaction(connection):
            self._list(connection, levels)
            connection.executemany(
                "INSERT INTO run (operation, name, completed, ended_at, level, profile, eta_errors, eta_coverage) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
            _prune.of_levels(connection, {row[:3] for row in rows})
        for _ in rows:
            self._pending.popleft()
        self._is_listed = bool(self._live)
        return True

    def _write_rest(self, connection: sqlite3.Connection) -> bool:
        connection.execute(f"PRAGMA busy_timeout = {round(CLOSE_BUSY_SECONDS * 1000)}").fetchall()
        while self._pending or self._is_listed:
            self._write(connection)
        return True

    def _list(self, connection: sqlite3.Connection, levels: str) -> None:
        if not self._live:
            connection.execute("DELETE FROM process WHERE token = ?", (self._token,))
            return
        own = _processes.own()
        connection.execute(
            "INSERT INTO process (token, place, host, pid, started, heartbeat_at, levels) VALUES (?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (token) DO UPDATE SET heartbeat_at = excluded.heartbeat_at, levels = excluded.levels",
            (self._token, own.place, own.host, own.pid, own.started, self._clock.wall_ns() / 1e9, levels),
        )

    def _row(self, run: Run) -> _Row:
        level, ended_at = run.level, run.level.ended_at
        return (
            level.operation,
            "" if level.is_operation else level.name,
            level.state == State.COMPLETED,
            self._clock.wall_ns() / 1e9 if ended_at is None else ended_at,
            _codec.without_children(level, details=self._details),
            None if run.profile is None else run.profile.encode(),
            json.dumps(run.eta_errors),
            run.eta_coverage,
        )

    # --- reading ------------------------------------------------------------------------------------------------------

    def profiles(self, operation: str, level: str | None = None, limit: int = 10) -> tuple[Profile, ...]:
        """Return how the last completed runs of a level went (``None``: the operation itself), newest first."""
        rows = self._file.read(
            "SELECT profile FROM run WHERE operation = ? AND name = ? AND completed AND profile IS NOT NULL "
            "ORDER BY id DESC LIMIT ?",
            (operation, level or "", limit),
        )
        found = (Profile.decode(str(text)) for (text,) in rows)
        return tuple(profile for profile in found if profile is not None)

    def live(self) -> tuple[LiveProcess, ...]:
        """Return what every process is doing, or was doing when it died, in the order they came."""
        now = self._clock.wall_ns() / 1e9
        found: list[LiveProcess] = []
        for row in self._file.read("SELECT place, host, pid, started, heartbeat_at, levels FROM process ORDER BY id"):
            with self._tally.containing("store_row"):
                found.append(_live_process(row, now))
        return tuple(found)

    def runs(
        self, operation: str | None = None, *, level: str | None = None, since: float | None = None, limit: int = 100
    ) -> tuple[Run, ...]:
        """
        Return finished runs, newest first.

        Args:
            operation: Only of this one.
            level: Of this level; without it, of operations themselves.
            since: Only those that ended at this unix time or later.
            limit: At most so many.
        """
        found: list[Run] = []
        for row in self._file.read(
            "SELECT level, profile, eta_errors, eta_coverage FROM run WHERE name = ? AND (? IS NULL OR operation = ?) "
            "AND (? IS NULL OR ended_at >= ?) ORDER BY id DESC LIMIT ?",
            (level or "", operation, operation, since, since, limit),
        ):
            with self._tally.containing("store_row"):
                found.append(_run(row))
        return tuple(found)

    def calibration(self, operation: str, level: str | None = None) -> tuple[float, ...]:
        """Return what `calibrate` kept, nothing where it kept nothing."""
        rows = self._file.read(
            "SELECT state FROM calibration WHERE operation = ? AND name = ?", (operation, level or "")
        )
        with self._tally.containing("store_row"):
            values = tuple(float(value) for (text,) in rows for value in json.loads(str(text)))
            return values if all(map(isfinite, values)) else ()
        return ()


def _live_process(row: tuple[object, ...], now: float) -> LiveProcess:
    place, host, pid, started, heartbeat, levels = (str(value) for value in row)
    heartbeat_at = float(heartbeat)
    return LiveProcess(
        pid=int(pid),
        host=host,
        heartbeat_at=heartbeat_at,
        status=_processes.status(_processes.Identity(place, host, int(pid), started), now - heartbeat_at),
        levels=_codec.decode(levels),
    )


def _run(row: tuple[object, ...]) -> Run:
    level, profile, errors, coverage = row
    (snapshot,) = _codec.decode(str(level))
    return Run(
        level=snapshot,
        profile=None if profile is None else Profile.decode(str(profile)),
        eta_errors=tuple(float(error) for error in json.loads(str(errors))),
        eta_coverage=None if coverage is None else float(str(coverage)),
    )
