"""The store's connection: opened when it is needed, closed before a fork, given up while there is trouble."""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Final, TypeVar

from otel_progress._contain import Tally
from otel_progress._model import Clock
from otel_progress.store import _database, _trouble
from otel_progress.store._trouble import Reason, Trouble

T = TypeVar("T")

FORK_SECONDS: Final = 0.1
"""How long a fork waits for work of ours on the file."""


class StoreFile:
    """
    One file, and work on it that never raises. Thread-safe; a child that was forked opens it anew.

    What is wrong is logged once and counted. A busy file is tried again by the next work, a full or failing disk a
    minute later, a file that must not be used never; a damaged one is moved aside, and the work done on a new one.
    """

    def __init__(self, path: Path, *, bytes_limit: int, clock: Clock, tally: Tally) -> None:
        self.path = path
        # Covers the connection, and work on it. A fork takes it too: SQLite must not be forked in the middle of its
        # work, nor with a file open, whose locks the child would believe to hold (sqlite.org/howtocorrupt.html, 2.6).
        self._lock = threading.RLock()
        self._bytes_limit = bytes_limit
        self._clock = clock
        self._tally = tally
        self._connection: sqlite3.Connection | None = None
        self._inode: int | None = None
        self._resume_at = 0.0
        self._trouble: Reason | None = None
        self._held = False
        self._after_fork: weakref.WeakMethod[Callable[[], None]] | None = None
        _files.add(self)

    def on_fork(self, method: Callable[[], None]) -> None:
        """Have the child of a fork call this method of whoever uses the file."""
        self._after_fork = weakref.WeakMethod(method)

    def read(self, query: str, values: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
        """Return the rows of a query; none where there is no file, and none is made."""
        if self._connection is None and not self.path.exists():
            return []
        return self.use(lambda connection: connection.execute(query, values).fetchall(), otherwise=[])

    def use(self, work: Callable[[sqlite3.Connection], T], *, otherwise: T) -> T:
        """Return what the work returns, ``otherwise`` where the file cannot be used."""
        with self._lock:
            if self._clock.monotonic() < self._resume_at:
                return otherwise
            try:
                try:
                    return work(self._connected())
                except sqlite3.DatabaseError as error:
                    if _trouble.of(error).reason != Reason.CORRUPT:
                        raise
                    self._begin_anew(error)
                    return work(self._connected())
            except Exception as error:  # noqa: BLE001  # whatever it is, the job goes on
                self._suffer(_trouble.of(error))
                return otherwise

    @property
    def is_full(self) -> bool:
        """Whether the last trouble was a want of room."""
        return self._trouble is Reason.FULL

    def wal_bytes(self) -> int:
        """Return the size of the write-ahead log."""
        with suppress(OSError):
            return os.stat(f"{self.path}-wal").st_size  # noqa: PTH116  # a text with a suffix
        return 0

    @staticmethod
    def shrink_wal(connection: sqlite3.Connection) -> bool:
        """
        Empty the write-ahead log, unless others are at work for longer than a write may wait.

        By itself it begins anew only when a write finds no reader in it, which many busy processes never allow
        (sqlite.org/wal.html, "Avoiding Excessively Large WAL Files").
        """
        ((busy, *_),) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return not busy

    def close(self) -> None:
        """Close the file, if it is open, and leave it tidy."""
        with self._lock:
            if self._connection is not None:
                with suppress(sqlite3.Error):  # another process is at work, and will do it
                    self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            self._disconnect()

    def _connected(self) -> sqlite3.Connection:
        if self._connection is not None and self._inode != self._found():  # deleted, or moved aside by another process
            self._disconnect()
        if self._connection is None:
            self._inode = (
                self._found()
            )  # before: if it turns out to be damaged, another process may replace it meanwhile
            self._connection = _database.connect(self.path, bytes_limit=self._bytes_limit)
            self._inode = self._found()
        return self._connection

    def _found(self) -> int | None:
        with suppress(OSError):
            return self.path.stat().st_ino
        return None

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _begin_anew(self, error: sqlite3.DatabaseError) -> None:
        self._disconnect()
        aside = _database.move_aside(self.path, self._inode)
        if aside is not None:
            self._tell(Trouble(Reason.CORRUPT, f"it was damaged ({error}), is now {aside}, and a new one was begun"))

    def _suffer(self, trouble: Trouble) -> None:
        if trouble.pause_seconds:
            self._disconnect()
            self._resume_at = self._clock.monotonic() + trouble.pause_seconds
        self._trouble = trouble.reason
        self._tell(trouble)

    def _tell(self, trouble: Trouble) -> None:
        message = "otel_progress: the store %s: %s; your program is unaffected"
        self._tally.log_once(trouble.reason.value, message, self.path, trouble.words)
        self._tally.drop(trouble.reason.value)

    # --- forks --------------------------------------------------------------------------------------------------------

    def before_fork(self, deadline: float) -> None:
        """Close the file, if whoever works on it lets go in time."""
        self._held = self._lock.acquire(timeout=max(deadline - monotonic(), 0.0))
        if self._held:
            self._disconnect()

    def in_parent(self) -> None:
        """Go on."""
        if self._held:
            self._held = False
            self._lock.release()

    def in_child(self) -> None:
        """Begin anew; not at all if SQLite was forked in the middle of its work, whose locks nobody would release."""
        if not self._held:
            _forked.append(self._connection)  # neither used nor closed
            self._connection = None
            self._resume_at = _trouble.NEVER
        self._held = False
        self._lock = threading.RLock()
        method = self._after_fork and self._after_fork()
        if method is not None:
            method()


_files: weakref.WeakSet[StoreFile] = weakref.WeakSet()
_forked: list[object] = []


def _before_fork() -> None:
    deadline = monotonic() + FORK_SECONDS
    for file in list(_files):
        file.before_fork(deadline)


def _in_parent() -> None:
    for file in list(_files):
        file.in_parent()


def _in_child() -> None:
    for file in list(_files):
        file.in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)
