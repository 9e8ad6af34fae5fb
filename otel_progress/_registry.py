"""The table of live levels, the totals of ended ones, and the ring of finished operations: all bounded."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from otel_progress._contain import Tally
from otel_progress._state import Counts, LevelState
from otel_progress.names import DeviationKind, Severity, State

OVERFLOW: Final = "(other)"
"""Operation, level or counter name of everything beyond the bounds on label sets."""

COUNTER_NAMES_LIMIT: Final = 50
"""Distinct counter names in a process."""
COUNTER_SERIES_LIMIT: Final = 1_500
"""Series of `progress.counter`; the SDK drops what exceeds 2,000 per instrument."""

Labels = tuple[str, str | None]
"""(operation, level); the level is ``None`` on the operation's own series."""

_OTHER: Final[Labels] = (OVERFLOW, OVERFLOW)


@dataclass(slots=True)
class Totals:
    """What ended levels of one label set have done, ever."""

    ok: float = 0
    failed: float = 0
    skipped: float = 0
    bytes: float = 0
    counters: dict[tuple[str, str], float] = field(default_factory=dict)
    onsets: dict[tuple[DeviationKind, Severity], int] = field(default_factory=dict)
    states: set[State] = field(default_factory=lambda: {State.RUNNING})
    """Live states seen: their `active` series stay, and go to 0."""

    def add(
        self,
        counts: Counts,
        counters: dict[tuple[str, str], float] | None,
        onsets: dict[tuple[DeviationKind, Severity], int] | None,
    ) -> None:
        """Add one level's numbers."""
        self.ok += counts.ok
        self.failed += counts.failed
        self.skipped += counts.skipped
        self.bytes += counts.bytes
        if counters:
            for key, value in list(counters.items()):
                self.counters[key] = self.counters.get(key, 0) + value
        if onsets:
            for began, count in list(onsets.items()):
                self.onsets[began] = self.onsets.get(began, 0) + count

    def merge(self, other: Totals) -> None:
        """Add what other levels have done."""
        self.add(Counts(other.ok, other.failed, other.skipped, other.bytes), other.counters, other.onsets)
        self.states |= other.states


class Registry:
    """
    Live levels, totals and history of one runtime. Thread-safe.

    The lock covers the table, the totals and the ring, so that a reader sees a level either live or in the totals,
    never in both or neither: counters never go back. It is reentrant because the garbage collector may run a user's
    ``__del__``, which may call us, in any line.
    """

    def __init__(self, tally: Tally, *, history_limit: int, live_limit: int, label_sets_limit: int) -> None:
        self._tally = tally
        self._live_limit = live_limit
        self._label_sets_limit = label_sets_limit
        self._lock = threading.RLock()
        self._live: dict[int, LevelState] = {}
        self._totals: dict[Labels, Totals] = {}
        self._counter_names: set[str] = set()
        self._counter_series = 0
        self._finished: deque[LevelState] = deque(maxlen=history_limit)

    def __len__(self) -> int:
        """Levels alive."""
        return len(self.live())

    @property
    def size(self) -> int:
        """Levels in the table: the live ones, and those that have just ended. Costs nothing."""
        return len(self._live)

    def add(self, level: LevelState) -> None:
        """Register a level that starts."""
        if len(self._live) < self._live_limit:
            self._live[level.key] = level  # one step, so it needs no lock
        else:
            self._tally.drop("live_levels")

    def remove(self, level: LevelState) -> None:
        """Move an ended level's numbers to the totals; until then it is read as it ended."""
        self._lock.acquire()  # `with` takes twice as long, and every level passes here
        try:
            self._live.pop(level.key, None)
            totals = self._of(level)
            totals.add(level.final, level.counters, None if level.outlook is None else level.outlook.onsets)
        finally:
            self._lock.release()
        if totals is self._totals.get(_OTHER):
            self._tally.drop("label_sets")

    def remember(self, level: LevelState) -> None:
        """Keep an ended level that has nothing above it in the history."""
        with self._lock:
            self._finished.append(level)

    def saw(self, level: LevelState) -> None:
        """Remember that a level was in its present live state."""
        with self._lock:
            self._of(level).states.add(level.state)

    def live(self) -> list[LevelState]:
        """Return the live levels, oldest first."""
        return [level for level in list(self._live.values()) if level.ending is None]

    def roots(self) -> Iterator[LevelState]:
        """Yield the live levels with nothing above them, oldest first."""
        return (level for level in self.live() if level.parent is None)

    def finished(self) -> list[LevelState]:
        """Return the finished operations that are remembered, newest first."""
        with self._lock:
            return list(reversed(self._finished))

    def read(self) -> tuple[list[LevelState], dict[Labels, Totals]]:
        """Return the levels in the table and a copy of the totals of those no longer there, of one moment."""
        with self._lock:
            levels = list(self._live.values())
            for level in levels:
                self._of(level)
            totals: dict[Labels, Totals] = {}
            for labels, ended in self._totals.items():
                totals[labels] = Totals()
                totals[labels].merge(ended)
            return levels, totals

    def labels(self, level: LevelState) -> Labels:
        """Return the label set of a level; one for all beyond the limit."""
        own = (level.operation, None if level.is_operation else level.name)
        return own if own in self._totals else _OTHER

    def counter_key(self, name: str, unit: str, level: LevelState) -> tuple[str, str]:
        """Return the name and unit a counter is kept under; one for all beyond the limits."""
        key = (name, unit)
        with self._lock:
            known = self._of(level).counters
            if key in known:
                return key
            new_name = name not in self._counter_names
            full = (new_name and len(self._counter_names) >= COUNTER_NAMES_LIMIT) or (
                self._counter_series >= COUNTER_SERIES_LIMIT
            )
            if full:
                key = (OVERFLOW, "")
            else:
                self._counter_names.add(name)
                self._counter_series += 1
            known.setdefault(key, 0)
        if full:
            self._tally.drop("counter_names")
        return key

    def forget(self) -> None:
        """Drop everything: after a fork it is the parent's."""
        self._lock = threading.RLock()
        self._live = {}
        self._totals = {}
        self._counter_names = set()
        self._counter_series = 0
        self._finished.clear()

    def _of(self, level: LevelState) -> Totals:
        # The caller has the lock.
        own = (level.operation, None if level.is_operation else level.name)
        totals = self._totals.get(own)
        if totals is None:
            full = len(self._totals) - (_OTHER in self._totals) >= self._label_sets_limit
            totals = self._totals.setdefault(_OTHER if full else own, Totals())
        return totals
