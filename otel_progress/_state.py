"""LevelState: counts, total, states and children of one level. Knows no OpenTelemetry."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from itertools import count
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from otel_progress._model import ChildView, CounterValue, Estimate, Sample, Snapshot
from otel_progress.eta import Estimator
from otel_progress.names import LIVE_STATES, State

if TYPE_CHECKING:
    from otel_progress._bounds import Metadata

FINISHED_CHILDREN_KEPT: Final = 8
"""Finished children a level remembers for display; the rest is a number."""

LIVE_CHILDREN_SHOWN: Final = 100
"""Live children a snapshot lists; the rest is a number."""

PHASES_LIMIT: Final = 100
"""Children a level can announce."""

_keys = count(1)

_NEXT: Final[dict[State, frozenset[State]]] = {
    State.PENDING: frozenset({State.RUNNING}),
    State.RUNNING: frozenset({State.PAUSED, State.RETRYING}),
    State.PAUSED: frozenset({State.RUNNING}),
    State.RETRYING: frozenset({State.RUNNING}),
}


class Counts(NamedTuple):
    """Items by outcome, and bytes."""

    ok: float
    failed: float
    skipped: float
    bytes: float

    @property
    def done(self) -> float:
        """Items done, whatever became of them."""
        return self.ok + self.failed + self.skipped


class Ending(NamedTuple):
    """How a level ended; texts are redacted already."""

    outcome: State
    at: float
    at_ns: int
    error_type: str | None = None
    error_message: str | None = None
    error_stack: str | None = None


class Phase:
    """A child announced ahead: its weight and total, and how far its levels have come."""

    __slots__ = ("finished", "name", "reached", "started", "total", "weight")

    def __init__(self, name: str, weight: float, total: float | None) -> None:
        self.name = name
        self.weight = weight
        self.total = total
        self.started = self.finished = 0
        self.reached = 0.0
        """Largest share seen; a second level of the same name must not take back what the first reached."""


class LevelState:
    """
    One level's numbers.

    Advances go to one cell per thread (a list only that thread writes), so they are exact without a lock. Everything
    else changes under ``lock``, one for all levels of an operation. Fields that most levels never touch are defaults
    of the class until they are set: making a level is on the caller's clock.
    """

    id: str | None = None
    title: str | None = None
    total: float | None = None
    weight: float = 1.0
    message: str | None = None
    metadata: Metadata | None = None
    quality: float | None = None
    reason: str | None = None
    cancel_requested = False
    cancel_reason: str | None = None
    ending: Ending | None = None
    span: Any = None
    context: Any = None
    runtime: Any = None
    handle: Any = None
    """Span, context, runtime and the user's `Level`: kept for whoever ends the level, opaque to this module."""
    abandoned: list[LevelState] | None = None
    """Children that were left without a word and are not exported yet: they failed if this level does."""
    exported = False
    inherited = False
    """Whether it belongs to the process this one was forked from."""
    announced = False
    """Whether its lifecycle events are sent: operations, and levels that outlived ``open_after``."""
    unit_conflict_counted = False
    reported: tuple[float, str | None] = (0.0, None)
    """Done and message when subscribers were told last."""

    iterators: dict[int, tuple[LevelState, tuple[int, int]]] | None = None
    """Children that are bare iterators, and who runs them: they end with this level."""
    counters: dict[tuple[str, str], float] | None = None
    phases: dict[str, Phase] | None = None
    children: dict[int, LevelState] | None = None
    finished: deque[LevelState] | None = None
    children_finished = 0

    handed_out: Callable[[], float] | None = None
    """On a track level: items its iterator has handed out."""
    _ok_reached: float = 0.0
    _rewound: float = 0.0

    estimator: Estimator | None = None
    estimate: Estimate | None = None
    rate: float | None = None
    sampled_at: float | None = None
    last_done: float = 0.0
    last_advance: float
    _finished_at_advance = 0

    def __init__(  # noqa: PLR0917  # by position: keywords would cost every level 0.2 us
        self,
        name: str,
        operation: str,
        parent: LevelState | None,
        now: float,
        now_ns: int,
        unit: str,
        *,
        is_operation: bool,
    ) -> None:
        self.key = next(_keys)
        self.name = name
        self.operation = operation
        self.parent = parent
        self.unit = unit
        self.is_operation = is_operation
        self.state = State.RUNNING
        self.started = self.last_advance = now
        self.started_ns = now_ns
        self.cells: dict[int, list[float]] = {}
        if parent is None:
            self.root = self
            self.lock = threading.RLock()
        else:
            self.root = parent.root
            self.lock = parent.lock

    # --- counts ---------------------------------------------------------------------------------------------------

    def counts(self) -> Counts:
        """Return the counts; exact for what every thread did before the call, never going back."""
        if self.ending is not None:
            return self.final
        ok = failed = skipped = size = 0.0
        handed_out = self.handed_out
        for cell in list(self.cells.values()):
            ok += cell[0]
            failed += cell[1]
            skipped += cell[2]
            size += cell[3]
        if handed_out is not None:
            # The item handed out last is still in the loop's hands. One that is marked failed there already counts
            # as done, so what was called ok before must not be taken back.
            ok = self._ok_reached = max(self._ok_reached, handed_out() - 1 - failed - skipped)
        if self.ending is not None:  # it ended meanwhile, and the cells may have been emptied under us
            return self.final
        return Counts(_whole(ok), _whole(failed), _whole(skipped), _whole(size))

    final: Counts = Counts(0, 0, 0, 0)
    """The counts at the end."""

    @property
    def done(self) -> float:
        """Items done as the level shows it; `set_done` can take it back."""
        return max(self.counts().done - self._rewound, 0)

    def rewind(self, done: float) -> float:
        """Set the shown number; return what must be added to a cell to get there (never negative)."""
        missing = done - (self.counts().done - self._rewound)
        if missing >= 0:
            return missing
        self._rewound -= missing
        return 0

    # --- states ---------------------------------------------------------------------------------------------------

    def move(self, state: State, now: float) -> bool:
        """Go to a live state, if the table allows it; the caller has the lock."""
        if state not in _NEXT.get(self.state, ()):
            return False
        if self.estimator is not None:
            if state is State.PAUSED:
                self.estimator.pause(now)
            elif self.state is State.PAUSED:
                self.estimator.resume(now)
        if self.state is State.PAUSED:
            self.last_advance = now  # a pause is not a stall
        self.state = state
        return True

    def end(self, ending: Ending, *, handed_out: float | None = None) -> bool:
        """End the level and freeze its numbers; ``False`` if it has ended before. Takes the lock."""
        with self.lock:
            if self.ending is not None:
                return False
            counts = self.counts()
            if handed_out is not None:
                counts = counts._replace(ok=_whole(max(counts.ok, handed_out - counts.failed - counts.skipped)))
            if counts.done != self.last_done:
                self.last_done, self.last_advance = counts.done, ending.at
            self.final = counts
            self.final_fraction = self.fraction_of(counts.done - self._rewound)
            self.state = ending.outcome
            self.ending = ending  # after the numbers: who sees it may read them without the lock
            self.cells = {}
            self.handed_out = None
            self.estimator = self.estimate = self.rate = None
            if self.parent is not None:
                self.parent.lost(self)
            if ending.outcome is State.FAILED:
                for child in self.abandoned or ():
                    child.fail_after_all(ending)
            self.abandoned = None
            return True

    def lost(self, child: LevelState) -> None:
        """Take in that a child has ended; the caller has the lock."""
        if self.children is not None:
            self.children.pop(child.key, None)
        if self.iterators is not None:
            self.iterators.pop(child.key, None)
        self.children_finished += 1
        if self.finished is None:
            self.finished = deque(maxlen=FINISHED_CHILDREN_KEPT)
        self.finished.append(child)
        if child.state is State.ABANDONED:
            self.abandoned = [*(self.abandoned or ()), child]
        phase = self.phases.get(child.name) if self.phases else None
        if phase is not None:
            phase.finished += 1
            phase.reached = max(phase.reached, phase.finished / max(phase.started, 1))

    def fail_after_all(self, ending: Ending) -> None:
        """Turn an abandoned end that nobody has seen outside into the failure that caused it. Takes the lock."""
        with self.lock:
            if self.ending is not None and self.ending.outcome is State.ABANDONED and not self.exported:
                self.ending = self.ending._replace(outcome=State.FAILED, error_type=ending.error_type)
                self.state = State.FAILED

    def export(self) -> None:
        """Make the end final: from here on it is seen outside. Takes the lock."""
        with self.lock:
            self.exported = True
            if self.parent is not None and self.parent.abandoned:
                self.parent.abandoned = [child for child in self.parent.abandoned if child is not self]

    final_fraction: float | None = None

    def adopt(self, child: LevelState) -> None:
        """Take a child in, and give it the weight and total announced for it. Takes the lock."""
        with self.lock:
            if self.children is None:
                self.children = {}
            self.children[child.key] = child
            phase = self.phases.get(child.name) if self.phases else None
            if phase is not None:
                phase.started += 1
                child.weight = phase.weight
                if child.total is None and phase.started == 1:
                    child.total = phase.total

    def plan(self, name: str, weight: float, total: float | None) -> None:
        """Announce a child. Takes the lock."""
        with self.lock:
            if self.phases is None:
                self.phases = {}
            if name in self.phases:
                self.phases[name].weight, self.phases[name].total = weight, total
            elif len(self.phases) < PHASES_LIMIT:
                self.phases[name] = Phase(name, weight, total)
            else:
                self.runtime.tally.drop("phases")

    def ignore(self, reason: str) -> None:
        """Count a call that made no sense."""
        self.runtime.tally.ignore(reason)

    # --- how far, how long ----------------------------------------------------------------------------------------

    def fraction_of(self, done: float) -> float | None:
        """Return the share done for ``done`` items of our own, without live children; ``None`` while unknown."""
        if self.total is not None:
            return min(done / self.total, 1.0) if self.total > 0 else 1.0
        if self.phases:
            weights = sum(phase.weight for phase in self.phases.values())
            return sum(phase.weight * phase.reached for phase in self.phases.values()) / weights if weights else None
        return None

    def progress(self) -> tuple[float, float | None]:
        """
        Return (units done, units in all), children included; the second is ``None`` while unknown.

        With a total, live children are the inside of the current item: their shares count over the number of children
        an item has had so far. Without one, announced phases are the units, by weight.
        """
        done = self.done
        if self.total is not None:
            if self.children and done < self.total:
                done = min(done + self._inside(done), self.total)
            return done, self.total
        if self.phases:
            for child in list((self.children or {}).values()):
                phase = self.phases.get(child.name)
                share = child.fraction()
                if phase is not None and share is not None:
                    phase.reached = max(phase.reached, (phase.finished + share) / phase.started)
            weights = sum(phase.weight for phase in self.phases.values())
            return sum(phase.weight * phase.reached for phase in self.phases.values()), weights or None
        return done, None

    def fraction(self) -> float | None:
        """Return the share done, 0..1, children included; ``None`` while unknown."""
        if self.ending is not None:
            return self.final_fraction
        done, total = self.progress()
        if total is None:
            return None
        return min(done / total, 1.0) if total > 0 else 1.0

    def _inside(self, done: float) -> float:
        shares = sum(child.fraction() or 0.0 for child in list((self.children or {}).values()))
        since = self.children_finished - self._finished_at_advance
        per_item = self._finished_at_advance / done if done else since + 1 if since else 1
        return (since + shares) / max(per_item, 1.0)

    def sample(self, now: float, method: str) -> bool:
        """Look at the counts, feed the estimator, renew the estimate; return whether it advanced. Takes the lock."""
        with self.lock:
            if self.ending is not None:
                return False
            if self.estimator is None:
                self.estimator = Estimator(self.total, method=method)
                self.estimator.record(0.0, self.started)
                if self.state is State.PAUSED:
                    self.estimator.pause(now)
            done = self.done
            advanced = done != self.last_done
            if advanced:
                self.last_done = done
                self.last_advance = now
                self._finished_at_advance = self.children_finished
                if self.state is State.RETRYING:
                    self.state = State.RUNNING
            units, total = self.progress()
            counts = self.counts()
            self.estimator.observe(
                Sample(now, units, total, counts.failed, counts.skipped, counts.bytes, quality=self.quality)
            )
            children = [
                ChildView(child.fraction(), child.weight, child.estimate)
                for child in list((self.children or {}).values())
            ]
            self.estimate = self.estimator.estimate(now, children)
            self.rate = self.estimator.rate(now) if self.total is not None or not self.phases else None
            self.sampled_at = now
            return advanced

    # --- reading --------------------------------------------------------------------------------------------------

    @property
    def path(self) -> tuple[str, ...]:
        """Names from the operation down to here."""
        names = [level.name for level in self.lineage()]
        if not self.root.is_operation:
            names.append(self.operation)
        return tuple(reversed(names))

    def lineage(self) -> Iterator[LevelState]:
        """Yield the level and its ancestors, innermost first."""
        level: LevelState | None = self
        while level is not None:
            yield level
            level = level.parent

    run_id: str = ""
    trace_ids: tuple[int, int] | None = None
    """Trace and span id, once known."""

    def snapshot(self, now: float, now_ns: int, *, children: bool = True) -> Snapshot:
        """Return how the level stands at ``now``, with its children if asked for."""
        counts = self.counts()
        ending = self.ending
        age = 0.0 if self.sampled_at is None else max(now - self.sampled_at, 0.0)
        estimate = None if ending else self.estimate
        live = list((self.children or {}).values())
        listed = live[-LIVE_CHILDREN_SHOWN:] if children else []
        finished = list(self.finished) if children and self.finished else []
        shown = tuple(
            child.snapshot(now, now_ns) for child in sorted((*finished, *listed), key=lambda child: child.key)
        )
        if children and self.phases and ending is None:
            shown += tuple(self._announced(phase) for phase in self.phases.values() if not phase.started)
        return Snapshot(
            key=self.key,
            parent_key=self.parent.key if self.parent else None,
            is_operation=self.is_operation,
            operation=self.operation,
            name=self.name,
            id=self.id,
            title=self.title,
            path=self.path,
            run_id=self.root.run_id,
            state=self.state,
            started_at=self.started_ns / 1e9,
            ended_at=ending.at_ns / 1e9 if ending else None,
            elapsed_seconds=max((ending.at if ending else now) - self.started, 0.0),
            done=max(_whole(counts.done - self._rewound), 0),
            total=self.total,
            failed=counts.failed,
            skipped=counts.skipped,
            bytes=counts.bytes,
            unit=self.unit,
            fraction=self.fraction(),
            rate_per_second=self.rate,
            eta=estimate,
            expected_end_at=None if estimate is None else now_ns / 1e9 - age + estimate.expected,
            last_advance_at=now_ns / 1e9 - max(now - self.last_advance, 0.0),
            message=self.message,
            metadata=MappingProxyType(dict(self.metadata or {})),
            counters=self.counter_values(),
            quality=self.quality,
            error_type=ending.error_type if ending else None,
            error_message=ending.error_message if ending else None,
            reason=self.reason,
            cancel_requested=any(level.cancel_requested for level in self.lineage()),
            trace_id=f"{self.trace_ids[0]:032x}" if self.trace_ids else None,
            span_id=f"{self.trace_ids[1]:016x}" if self.trace_ids else None,
            children=shown,
            children_live=len(live),
            children_finished=self.children_finished,
        )

    def counter_values(self) -> MappingProxyType[str, CounterValue]:
        """Return the named counters."""
        return MappingProxyType(
            {name: CounterValue(_whole(value), unit) for (name, unit), value in list((self.counters or {}).items())}
        )

    def _announced(self, phase: Phase) -> Snapshot:
        return Snapshot(
            key=0,
            parent_key=self.key,
            is_operation=False,
            operation=self.operation,
            name=phase.name,
            id=None,
            title=None,
            path=(*self.path, phase.name),
            run_id=self.root.run_id,
            state=State.PENDING,
            started_at=None,
            ended_at=None,
            elapsed_seconds=0.0,
            done=0,
            total=phase.total,
            failed=0,
            skipped=0,
            bytes=0,
            unit="{item}",
            fraction=None,
            rate_per_second=None,
            eta=None,
            expected_end_at=None,
            last_advance_at=None,
            message=None,
        )

    @property
    def is_live(self) -> bool:
        """Whether it has not ended."""
        return self.state in LIVE_STATES


def _whole(value: float) -> float:
    """Return whole numbers as ``int``, so that 3 items are shown as 3."""
    return int(value) if value == int(value) else value
