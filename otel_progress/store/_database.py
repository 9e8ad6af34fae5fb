"""One file of SQLite: opened with care, its tables made, a damaged one moved aside."""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

from otel_progress.store import _place
from otel_progress.store._trouble import Reason, Trouble

VERSION: Final = 1
"""Of the tables; kept in ``user_version``. A file with a higher one belongs to a newer release and is left alone."""

APPLICATION_ID: Final = 0x6F747072
"""``otpr``: tells our files from other people's databases."""

BUSY_SECONDS: Final = 0.025
"""
How long a transaction waits for another process. Processes write once a second, each for about a millisecond: who does
not get in meanwhile meets something else, and tries again a second later.
"""

WAL_PAGES: Final = 256
"""Pages (1 MiB) in the write-ahead log before they are moved into the file."""

PAGE_BYTES: Final = 4_096

MOVING_SECONDS: Final = 10.0
"""How long another process may take to move a damaged file aside before it is taken for dead."""

_TABLES: Final = """
CREATE TABLE process (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    token TEXT NOT NULL UNIQUE,
    place TEXT NOT NULL,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    started TEXT NOT NULL,
    heartbeat_at REAL NOT NULL,
    levels TEXT NOT NULL
);
CREATE TABLE run (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    operation TEXT NOT NULL,
    name TEXT NOT NULL,
    completed INTEGER NOT NULL,
    ended_at REAL NOT NULL,
    level TEXT NOT NULL,
    profile TEXT,
    eta_errors TEXT NOT NULL,
    eta_coverage REAL
);
CREATE INDEX run_of_level ON run (operation, name, completed, id);
CREATE INDEX run_by_end ON run (ended_at);
CREATE TABLE calibration (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    operation TEXT NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    UNIQUE (operation, name)
);
"""
"""
``name`` is the level's, and empty for the operation itself. Order is that of ``id``, which clocks that jump cannot
change; times are for people and for the limit of age.
"""


def connect(path: Path, *, bytes_limit: int) -> sqlite3.Connection:
    """
    Return a connection to the store, made where there is none.

    Raises:
        Trouble: It must not be used.
        sqlite3.Error, OSError: It cannot be used now; a damaged one has been noticed by nobody yet, perhaps.
    """
    _place.prepare(path)
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode=rw",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,  # transactions begin where we say so
        check_same_thread=False,  # the store's lock sees to it
    )
    try:
        _set_up(connection, bytes_limit)
    except BaseException:
        connection.close()
        raise
    return connection


def _set_up(connection: sqlite3.Connection, bytes_limit: int) -> None:
    is_new = not _check_version(connection)
    if is_new:
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before anything is written
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
    connection.execute("PRAGMA synchronous = NORMAL")  # a power cut may cost the last seconds, never the file
    connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}").fetchall()
    connection.execute(f"PRAGMA journal_size_limit = {WAL_PAGES * PAGE_BYTES}").fetchall()
    connection.execute(f"PRAGMA max_page_count = {max(bytes_limit // PAGE_BYTES, 1)}").fetchall()
    if sys.version_info >= (3, 12):
        # Closing must be quick where a fork waits for it; `close` of the store tidies up.
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, True)  # noqa: FBT003  # its own signature
    if is_new:
        with transaction(connection):
            if not _check_version(connection):  # another process may have been faster
                for statement in _TABLES.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {VERSION}")


def _check_version(connection: sqlite3.Connection) -> bool:
    """Return whether the file is a store, ``False`` for an empty one; what is neither is refused."""
    version = _number(connection, "PRAGMA user_version")
    if _number(connection, "SELECT count(*) FROM sqlite_master") == 0 and version == 0:
        return False
    if _number(connection, "PRAGMA application_id") != APPLICATION_ID:
        raise Trouble.off(Reason.REFUSED, "it is a database of something else")
    if version > VERSION:
        raise Trouble.off(Reason.NEWER, f"a newer release wrote it (version {version}, here {VERSION})")
    return True


def _number(connection: sqlite3.Connection, query: str) -> int:
    (number,) = connection.execute(query).fetchone()
    return int(number)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Generator[None]:
    """Make what is written in the block happen as a whole, or not at all."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # some errors have rolled back already
            connection.execute("ROLLBACK")
        raise


def used_bytes(connection: sqlite3.Connection) -> int:
    """Return what the rows take in the file."""
    return (_number(connection, "PRAGMA page_count") - free_pages(connection)) * PAGE_BYTES


def free_pages(connection: sqlite3.Connection) -> int:
    """Return the number of pages in the file that hold nothing."""
    return _number(connection, "PRAGMA freelist_count")


def move_aside(path: Path, inode: int | None) -> Path | None:
    """
    Move a damaged store out of the way, for whoever wants to look at it; return where to, ``None`` if it was gone.

    Once: where one was moved before, both are left as they are. Safe with other processes that do the same: the link
    is made by one of them alone, and only if the damaged file is still the one in place.

    Raises:
        Trouble: One was moved aside before.
        OSError: It cannot be moved.
    """
    aside = Path(f"{path}.corrupt")
    try:
        os.link(path, aside, follow_symlinks=False)
    except FileNotFoundError:
        return None
    except FileExistsError:
        with suppress(FileNotFoundError):
            if aside.stat().st_ino == path.stat().st_ino:
                if time.time() - aside.stat().st_ctime < MOVING_SECONDS:
                    raise Trouble(Reason.CORRUPT, f"it is damaged, and being moved to {aside}") from None
                return _finish_moving(path, aside)  # whoever began was killed
            if inode not in {None, path.stat().st_ino}:  # somebody has just moved it
                return None
        words = f"it is damaged, and {aside} is there already: look at both, and delete what you do not need"
        raise Trouble.off(Reason.CORRUPT, words) from None
    if inode not in {None, aside.stat().st_ino}:
        aside.unlink()
        return None
    return _finish_moving(path, aside)


def _finish_moving(path: Path, aside: Path) -> Path:
    for suffix in _place.COMPANIONS[1:]:
        with suppress(FileNotFoundError):
            os.replace(f"{path}{suffix}", f"{aside}{suffix}")  # noqa: PTH105  # texts with a suffix
    with suppress(FileNotFoundError):
        path.unlink()
    return aside
