"""What the tests of the store share: a store with a clock to turn, levels to put in, and processes of their own."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from otel_progress import Profile, Snapshot
from otel_progress._contain import Tally
from otel_progress.names import State
from otel_progress.store import Run
from otel_progress.store._store import Store
from otel_progress.testing import FakeClock
from tests.unit.kit import REPOSITORY

NOW: Final = 1_700_000_000.0
"""Where the clock of a test begins, in unix seconds."""


class Kept:
    """A store, its clock and its tally."""

    def __init__(self, path: Path, *, clock: FakeClock | None = None, **settings: Any) -> None:  # noqa: ANN401  # as Store takes
        self.path = path
        self.clock = clock or FakeClock(NOW)
        self.tally = Tally()
        self.store = Store(path, clock=self.clock, tally=self.tally, **settings)

    @property
    def trouble(self) -> dict[str, int]:
        """What was counted."""
        return {**self.tally.dropped, **self.tally.contained}

    def later(self, seconds: float = 1.0) -> Kept:
        """Let time pass."""
        self.clock.advance(seconds)
        return self

    def show(self, *levels: Snapshot) -> bool:
        """Write what is live, a second after the last time."""
        return self.later().store.write_live(levels)

    def keep(self, *runs: Run) -> None:
        """Keep runs, all in one transaction."""
        for run in runs:
            self.store.finish(run)
        self.later().store.write_live(())
        assert self.store.waiting == 0


@contextmanager
def kept(path: Path, **settings: Any) -> Iterator[Kept]:  # noqa: ANN401  # as Store takes
    """Open a store, and close it."""
    made = Kept(path, **settings)
    try:
        yield made
    finally:
        made.store.close()


def level(name: str = "import", operation: str | None = None, **values: Any) -> Snapshot:  # noqa: ANN401  # as Snapshot
    """Return how a level stands; an operation unless one is named."""
    plain: dict[str, Any] = {
        "key": 1,
        "parent_key": None,
        "is_operation": operation is None,
        "operation": operation or name,
        "name": name,
        "id": None,
        "title": None,
        "path": (name,) if operation is None else (operation, name),
        "run_id": "0b4c",
        "state": State.RUNNING,
        "started_at": NOW - 60,
        "ended_at": None,
        "elapsed_seconds": 60.0,
        "done": 3,
        "total": 10.0,
        "failed": 1,
        "skipped": 0,
        "bytes": 64,
        "unit": "{row}",
        "fraction": 0.3,
        "rate_per_second": 0.05,
        "eta": None,
        "expected_end_at": None,
        "last_advance_at": NOW - 2,
        "message": None,
    }
    return Snapshot(**{**plain, **values})


def run(name: str = "import", operation: str | None = None, *, seconds: float = 60.0, **values: Any) -> Run:  # noqa: ANN401  # as Snapshot
    """Return a finished run with a profile of two points."""
    ended_at = values.pop("ended_at", NOW)
    ended = level(name, operation, **{"state": State.COMPLETED, "ended_at": ended_at, **values})
    return Run(level=ended, profile=Profile.from_samples([(0.0, 0.0), (seconds, 10.0)], 10.0, ended_at=ended_at))


def rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    """Return what a query finds in the file, by a connection of its own."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


PRELUDE: Final = """
import os, pathlib, signal, sys, threading, time
from otel_progress._clock import SYSTEM_CLOCK
from otel_progress._contain import Tally
from otel_progress.store._store import Store
from tests.unit.store import kit
from tests.unit.store.kit import level
def run(name="import", **values): return kit.run(name, ended_at=time.time(), **values)
path = pathlib.Path(sys.argv[1])
tally = Tally()
store = Store(path, clock=SYSTEM_CLOCK, tally=tally)
"""


started: Final[list[subprocess.Popen[str]]] = []
"""What a test has started; whatever becomes of it, it is ended after it."""


def process(script: str, path: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start a Python that has a store on this path as ``store``."""
    made = subprocess.Popen(
        [sys.executable, "-c", PRELUDE + script, str(path), *arguments],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    started.append(made)
    return made


def done(process: subprocess.Popen[str]) -> str:
    """Return what a process said, when it has ended well."""
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out
