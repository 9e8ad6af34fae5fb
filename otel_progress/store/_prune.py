"""What bounds the store: rows of each level, their age, the size of the file. The newest runs of each level stay."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final

from otel_progress.store import _database

RUNS_KEPT: Final = 1_000
"""Runs of one operation."""
LEVEL_RUNS_KEPT: Final = 50
"""Completed runs of one level below it, and as many that did not complete."""
ALWAYS_KEPT: Final = 3
"""
Runs of a level that no age takes away, so that neither a job that runs once a year nor a clock that jumps ahead loses
what estimates live on.
"""
DEAD_SECONDS: Final = 7 * 86_400.0
"""How long it can be seen what a dead process was doing."""
DEAD_KEPT: Final = 100
"""Processes whose last words are kept."""
CALIBRATIONS_KEPT: Final = 2_000
FULL: Final = 0.8
"""Share of the limit above which the oldest runs go."""
STEP: Final = 500
"""Rows that one transaction deletes: about 5 ms."""
STEPS: Final = 20
"""Transactions of one round; the next round goes on."""


def of_levels(connection: sqlite3.Connection, levels: Iterable[tuple[str, str, bool]]) -> None:
    """Delete the oldest runs of each of these (operation, name, completed) beyond their number, in a transaction."""
    for operation, name, completed in levels:
        kept = LEVEL_RUNS_KEPT if name else RUNS_KEPT
        key = (operation, name, completed)
        connection.execute(
            "DELETE FROM run WHERE operation = ? AND name = ? AND completed = ? AND id <= (SELECT id FROM run "
            "WHERE operation = ? AND name = ? AND completed = ? ORDER BY id DESC LIMIT 1 OFFSET ?)",
            (*key, *key, kept),
        )


def by_age(connection: sqlite3.Connection, now: float, age_seconds: float) -> None:
    """Delete runs and last words that are too old, as far as one round goes."""
    for _ in range(STEPS):
        with _database.transaction(connection):
            deleted = connection.execute(
                "DELETE FROM run WHERE id IN (SELECT id FROM run AS old WHERE ended_at < ? AND ? <= (SELECT count(*) "
                "FROM (SELECT 1 FROM run WHERE operation = old.operation AND name = old.name "
                "AND completed = old.completed AND id > old.id LIMIT ?)) LIMIT ?)",
                (now - age_seconds, ALWAYS_KEPT, ALWAYS_KEPT, STEP),
            ).rowcount
        if deleted < STEP:
            break
    with _database.transaction(connection):
        connection.execute("DELETE FROM process WHERE heartbeat_at < ?", (now - DEAD_SECONDS,))
        _newest("process", connection, DEAD_KEPT)
        _newest("calibration", connection, CALIBRATIONS_KEPT)


def _newest(table: str, connection: sqlite3.Connection, kept: int) -> None:
    connection.execute(
        f"DELETE FROM {table} WHERE id <= (SELECT id FROM {table} ORDER BY id DESC LIMIT 1 OFFSET ?)",  # noqa: S608  # ours
        (kept,),
    )


def by_size(connection: sqlite3.Connection, bytes_limit: int) -> None:
    """Delete the oldest runs where the file is nearly full, and give freed pages back, as far as one round goes."""
    for _ in range(STEPS):
        if _database.used_bytes(connection) <= FULL * bytes_limit:
            break
        with _database.transaction(connection):
            deleted = connection.execute(
                "DELETE FROM run WHERE id IN (SELECT id FROM run ORDER BY id LIMIT "
                "(SELECT min(?, count(*) / 10 + 1) FROM run))",  # a tenth at a time, so as not to go too far
                (STEP,),
            ).rowcount
        if not deleted:
            break
    for _ in range(STEPS):
        # As a script: `execute` ends after the first page, because the pragma has steps and no columns.
        connection.executescript(f"PRAGMA incremental_vacuum({STEP})")
        if not _database.free_pages(connection):
            break
