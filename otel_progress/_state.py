"""LevelState: counts, total, states and children of one level. Knows no OpenTelemetry."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count, islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from otel_progress._bounds import LARGEST
from otel_progress._model import ChildView, Profile, Sample
from otel_progress._outlook import NOTHING_SPENT, Outlook, Spent
from otel_progress.names import RATE_LIMIT_WAIT, STANDARD_COUNTERS, State

if TYPE_CHECKING:
    from otel_progress._bounds import Metadata
    from otel_progress._keyed import Notes
    from otel_progress._usage import Usage

DEFAULT_UNIT: Final = "{item}"

LIVE_CHILDREN_WEIGHED: Final = 1_000
"""Live children an estimate looks at one by one."""

RESUMED_SECONDS: Final = 1.0
"""Age up to which `set_done` says where a resumed run goes on: what was done before is not done that fast."""

PHASES_LIMIT: Final = 100
"""Children a level can announce."""

ABANDONED_CHILDREN_KEPT: Final = 1_000
"""Abandoned children that wait for a failure of their parent, which may have been the cause."""

FINISHED_CHILDREN_KEPT: Final = 8
"""Finished children a level remembers for display; the rest is a number."""


_keys = count(1)

# Python 3.11 finds a member through its class in 60 ns, a name of the module in 5; every level passes here.
_RUNNING: Final = State.RUNNING
_FAILED: Final = State.FAILED
_ABANDONED: Final = State.ABANDONED
_WAITED: Final = (RATE_LIMIT_WAIT, STANDARD_COUNTERS[RATE_LIMIT_WAIT])

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


NO_COUNTS: Final = Counts(0, 0, 0, 0)
_NOTHING_REPORTED: Final = (0.0, None, None)


@dataclass(slots=True)
class Ending:
    """How a level ended; texts are redacted already. Never changed, but frozen it would take three times as long."""

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


@dataclass(slots=True, init=False, eq=False, repr=False)  # for the slots
class LevelState:
    """
    One level's numbers.

    Advances go to one cell per thread (a list only that thread writes), so they are exact without a lock. Everything
    else changes under ``lock``, one for all levels of an operation; storing to a dict is one step and needs none.
    """

    key: int
    name: str
    operation: str
    parent: LevelState | None
    root: LevelState
    lock: threading.RLock
    started: float
    started_ns: int
    unit: str
    is_operation: bool
    run_id: str
    """On the root: the id of this run of the operation."""
    state: State
    ending: Ending | None

    cells: dict[int, list[float]]
    passed: Callable[[], float] | None
    """On a track level: items its iterator is done with."""
    sealed: bool
    """Set before the final counts are read, so that nobody has seen more than those."""
    final: Counts
    """The counts at the end."""
    final_fraction: float | None
    share: float | None
    """The share done when it was last looked at: what the parent counts, without looking at every descendant."""
    _ok_reached: float
    _rewound: float

    id: str | None
    title: str | None
    total: float | None
    weight: float
    message: str | None
    metadata: Metadata | None
    quality: float | None
    reason: str | None
    counters: dict[tuple[str, str], float] | None
    cancel_requested: bool
    cancel_reason: str | None

    phases: dict[str, Phase] | None
    children: dict[int, LevelState] | None
    children_finished: int
    children_failed: int
    finished: deque[LevelState] | None
    iterators: dict[int, LevelState] | None
    """Children that are bare iterators: those that the same thread and task run end with this level."""
    run_by: tuple[int, int] | None
    """On a bare iterator: the thread and task that run it."""
    abandoned: dict[int, LevelState] | None
    """Children that were left without a word and are not exported yet: they failed if this level does."""

    outlook: Outlook | None
    """Time left and what it rests on, from the first look on."""
    notes: Notes | None
    """What a `track` with ``key`` or ``cost`` notes of its items."""
    profile: Profile | None
    """Of a level that has ended: what the next run is to know of it."""
    last_done: float
    last_advance: float
    resumed: tuple[float, float] | None
    """Done, and when, if `set_done` said right after the start where the work goes on: no speed of ours."""
    _reached: float
    _finished_at_advance: int

    runtime: Any
    handle: Any
    span: Any
    context: Any
    """Runtime, the user's `Level`, span and context: kept for whoever ends the level, opaque to this module."""
    trace_ids: tuple[int, int] | None
    """Trace and span id, once known; zeros if they are invalid."""
    exported: bool
    inherited: bool
    """Whether it belongs to the process this one was forked from."""
    announced: bool
    """Whether its lifecycle events are sent: operations, and levels that outlived ``open_after``."""
    shown: bool
    """Whether it is, or is about to be, shown in its trace while it runs: it has outlived ``open_after``."""
    held: list[LevelState] | None
    """Short children that have ended, whose spans wait until this one's is sent: see `_report`."""
    checkpoint_due: float
    checkpoints: int
    """When the next checkpoint is due, and how many there were in the present part of the trace."""
    part: int
    """Which part of the run's trace it started in: a long run has several, linked."""
    trace_part: int
    trace_bytes: float
    """On the root: the present part, and its estimated size."""
    stand_in: Any
    """Which part, and the span that stands for this level there, where that is not the part it started in."""
    unit_conflict_counted: bool
    reported: tuple[float, str | None, float | None]
    """Done, message and share when subscribers were told last."""

    def __init__(  # noqa: PLR0917  # by position: keywords would cost every level 0.2 us
        self,
        name: str,
        operation: str,
        parent: LevelState | None,
        now: float,
        now_ns: int,
        unit: str,
        is_operation: bool,  # noqa: FBT001  # as above
    ) -> None:
        # In slots and in chains, for its speed: defaults of the class took twice as long, a dataclass a third longer.
        self.key = next(_keys)
        self.name = name
        self.operation = operation
        self.parent = parent
        self.started = self.last_advance = now
        self.started_ns = now_ns
        self.unit = unit
        self.is_operation = is_operation
        self.run_id = ""
        self.state = _RUNNING
        self.cells = {}
        self.final = NO_COUNTS
        self.weight = 1.0
        self.reported = _NOTHING_REPORTED
        self._ok_reached = self._rewound = self._reached = self.last_done = 0
        self.children_finished = self.children_failed = self._finished_at_advance = 0
        self.sealed = self.cancel_requested = False
        self.exported = self.inherited = self.announced = self.unit_conflict_counted = self.shown = False
        self.checkpoint_due = self.trace_bytes = 0.0
        self.checkpoints = self.part = self.trace_part = 0
        self.stand_in = self.held = None
        self.ending = self.passed = self.final_fraction = self.share = None
        self.id = self.title = self.total = self.message = self.metadata = self.quality = self.reason = None
        self.counters = self.cancel_reason = None
        self.phases = self.children = self.finished = self.iterators = self.run_by = self.abandoned = None
        self.outlook = self.resumed = self.notes = self.profile = None
        self.runtime = self.handle = self.span = self.context = self.trace_ids = None
        if parent is None:
            self.root = self
            self.lock = threading.RLock()
        else:
            self.root = parent.root
            self.lock = parent.lock
            self.part = self.root.trace_part

    # --- counts ---------------------------------------------------------------------------------------------------

    def counts(self) -> Counts:
        """Return the counts; exact for what every thread did before the call, never going back."""
        if self.ending is not None:
            return self.final
        counts = self._sum()
        if self.sealed:  # it is ending or has ended meanwhile: only what it ended with can be told
            with self.lock:
                return counts if self.ending is None else self.final
        return counts

    def _sum(self) -> Counts:
        passed = self.passed
        if not self.cells and passed is None:
            return NO_COUNTS
        cells = list(self.cells.values())
        if len(cells) == 1 and passed is None and type(total := sum(cells[0])) is int and total < LARGEST:
            return Counts(*cells[0])  # one thread, whole items: as it mostly is
        ok = failed = skipped = size = 0.0
        for cell in cells:
            ok += cell[0]
            failed += cell[1]
            skipped += cell[2]
            size += cell[3]
        if passed is not None:
            # An item that is marked failed while the loop has it in hand counts as done already, so what was called ok
            # before must not be taken back.
            ok = self._ok_reached = max(self._ok_reached, passed() - failed - skipped)
        return Counts(whole(ok), whole(failed), whole(skipped), whole(size))

    @property
    def done(self) -> float:
        """Items done as the level shows it; `set_done` can take it back."""
        return max(self.counts().done - self._rewound, 0)

    def rewind(self, done: float, now: float | None) -> float:
        """
        Set the shown number; return what must be added to a cell to get there (never negative).

        ``now`` is ``None`` where it cannot be where a resumed run goes on.
        """
        if now is not None and self.outlook is None and now - self.started <= RESUMED_SECONDS:
            self.resumed = done, now
        missing = done - (self.counts().done - self._rewound)
        if missing >= 0:
            return missing
        self._rewound -= missing
        return 0

    # --- states ---------------------------------------------------------------------------------------------------

    def move(self, state: State, now: float, method: str) -> bool:
        """Go to a live state, if the table allows it; the caller has the lock."""
        if state not in _NEXT.get(self.state, ()):
            return False
        if state is State.PAUSED:
            self._looking(method).pause(now)
        elif self.state is State.PAUSED:
            self._looking(method).resume(now)
            self.last_advance = now  # a pause is not a stall
        self.state = state
        return True

    def end(self, ending: Ending) -> bool:
        """End the level and freeze its numbers; ``False`` if it has ended before. Takes the lock."""
        self.lock.acquire()  # `with` takes twice as long, and every level passes here
        try:
            if self.ending is not None:
                return False
            self.sealed = True
            counts = self._sum()
            done = counts.done
            if self._rewound:
                done = max(done - self._rewound, 0)
            self.final_fraction = self._fraction_at_end(done, ending.outcome)
            if done != self.last_done:
                self.last_done, self.last_advance = done, ending.at
            self.final = counts
            self.state = ending.outcome
            self.ending = ending  # after the numbers: who sees it may read them without the lock
            self.cells.clear()  # whoever still advances finds no cell, and is told
            self.passed = None
            if self.outlook is not None:
                self.outlook.end(self._reached_at_end())
            if self.parent is not None:
                self.parent.lost(self)
            if self.abandoned is not None and ending.outcome is _FAILED:
                for child in self.abandoned.values():
                    child.fail_after_all(ending)
            self.abandoned = None
            return True
        finally:
            self.lock.release()

    def _reached_at_end(self) -> float:
        """Return the units done at the end, as `sample` counts them."""
        done = max(self.final.done - self._rewound, 0)
        if self.total is not None:
            return max(done, (self.final_fraction or 0.0) * self.total)
        if self.phases:
            return (self.final_fraction or 0.0) * sum(phase.weight for phase in self.phases.values())
        return done

    def take_spent(self) -> Spent:
        """Return what was learned of this level, now that it has ended, and let go of it."""
        return NOTHING_SPENT if self.outlook is None else self.outlook.take_spent()

    def hear(self, profiles: tuple[Profile, ...], calibration: float, method: str) -> None:
        """Take in how earlier runs of this level went. Takes the lock."""
        with self.lock:
            if self.ending is None:
                self._looking(method).hear(profiles, calibration, self.notes)

    def lost(self, child: LevelState) -> None:
        """Take in that a child has ended; the caller has the lock."""
        if self.children is not None:
            self.children.pop(child.key, None)
        if self.iterators is not None:
            self.iterators.pop(child.key, None)
        self.children_finished += 1
        self.children_failed += child.state is _FAILED
        if self.finished is None:
            self.finished = deque(maxlen=FINISHED_CHILDREN_KEPT)
        self.finished.append(child)
        for grandchild in child.finished or ():
            grandchild.finished = None  # two generations are remembered: their number grows with each by a factor
        if child.state is _ABANDONED:
            if self.abandoned is None:
                self.abandoned = {}
            self.abandoned[child.key] = child
            if len(self.abandoned) > ABANDONED_CHILDREN_KEPT:
                del self.abandoned[next(iter(self.abandoned))]
        phase = self.phases.get(child.name) if self.phases else None
        if phase is not None:
            share = 1.0 if child.state is State.COMPLETED else child.final_fraction or 0.0
            phase.reached = max(phase.reached, (phase.finished + share) / max(phase.started, 1))
            phase.finished += 1

    def fail_after_all(self, ending: Ending) -> None:
        """Turn an abandoned end that nobody has seen outside into the failure that caused it. Takes the lock."""
        with self.lock:
            if self.ending is not None and self.ending.outcome is State.ABANDONED and not self.exported:
                if self.parent is not None:
                    self.parent.children_failed += 1
                self.ending = replace(self.ending, outcome=State.FAILED, error_type=ending.error_type)
                self.state = State.FAILED

    def export(self) -> None:
        """Make the end final: from here on it is seen outside. Takes the lock where it could still change."""
        if self.state is not _ABANDONED:
            self.exported = True
            return
        with self.lock:
            self.exported = True
            if self.parent is not None and self.parent.abandoned:
                self.parent.abandoned.pop(self.key, None)

    def adopt(self, child: LevelState) -> None:
        """Take a child in, and give it the weight and total announced for it. Takes the lock where it must."""
        if self.children is not None and self.phases is None:
            self.children[child.key] = child
            return
        with self.lock:
            self.children = self.children or {}
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
                phase = self.phases[name] = Phase(name, weight, total)
                phase.started = sum(child.name == name for child in (self.children or {}).values())
            else:
                self.runtime.tally.drop("phases")

    def ignore(self, reason: str) -> None:
        """Count a call that made no sense."""
        self.runtime.tally.ignore(reason)

    # --- how far, how long ----------------------------------------------------------------------------------------

    def progress(self) -> tuple[float, float | None]:
        """
        Return (units done, units in all), children included; the second is ``None`` while unknown.

        With a total, children are the inside of the item in hand (see `_inside`). Without one, announced phases are
        the units, by weight.
        """
        return self._units(self.done)

    def _units(self, done: float) -> tuple[float, float | None]:
        if self.total is not None:
            if done < self.total and (self.children or self.children_finished):
                done = min(done + self._inside(done), self.total)
            return done, self.total
        if self.phases:
            for child in list((self.children or {}).values()):
                phase = self.phases.get(child.name)
                if phase is not None and child.share is not None:
                    phase.reached = max(phase.reached, (phase.finished + child.share) / max(phase.started, 1))
            phases = list(self.phases.values())
            return sum(phase.weight * phase.reached for phase in phases), sum(phase.weight for phase in phases) or None
        return done, None

    def fraction(self) -> float | None:
        """Return the share done, 0..1, children included; ``None`` while unknown."""
        return self.final_fraction if self.ending is not None else _share(*self.progress())

    def _fraction_at_end(self, done: float, outcome: State) -> float | None:
        if self.total is not None:
            if done:
                return _share(done, self.total)
        elif self.phases is None:
            return None
        # Nobody called `advance`: its children, or its phases, were its items.
        return _share(*self._units(done)) if outcome is State.COMPLETED or self.total is None else self.share or 0.0

    def _inside(self, done: float) -> float:
        """
        Items that children have done beyond ``done``: their shares, over the number of children an item has.

        That number is what earlier items had. Before the first is done it is a guess: children of one item have
        different names (read, write), children of one name are items themselves, as where nobody calls `advance`.
        """
        live = list((self.children or {}).values())
        shares = sum(child.share or 0.0 for child in live)
        per_item = self._finished_at_advance / done if done else 0.0
        if not per_item:
            per_item = len({child.name for child in (*live, *(self.finished or ()))}) or 1
        if not done:
            return (self.children_finished + shares) / per_item
        # Which children belong to an item that was done since the last look, nobody knows.
        since = self.children_finished - self._finished_at_advance if done == self.last_done else 0
        return min((since + shares) / max(per_item, 1.0), max(len(live) / max(per_item, 1.0), 1.0))

    def _looking(self, method: str) -> Outlook:
        """Return the outlook, made when it is first needed."""
        if self.outlook is None:
            from otel_progress.eta import Estimator  # noqa: PLC0415  # see `rounds.prepare`

            estimator = Estimator(self.total, method=method)
            estimator.record(*(self.resumed or (0.0, self.started)))
            self.outlook = Outlook(estimator, self.notes)
        return self.outlook

    def sample(self, now: float, method: str, usage: Usage | None = None) -> bool:
        """
        Look at the counts, feed the estimator, renew the estimate; return whether it advanced. Takes the lock.

        ``usage`` is what the process uses, where the level stands for it.
        """
        with self.lock:
            if self.ending is not None:
                return False
            outlook = self._looking(method)
            done = self.done
            advanced, taken_back = done != self.last_done, done < self.last_done
            if advanced:
                self.last_done = done
                self.last_advance = now
                self._finished_at_advance = self.children_finished
                if self.state is State.RETRYING:
                    self.state = State.RUNNING
            units, total = self.progress()
            self.share = _share(units, total)
            # Children may fall back, when their total grows for one: the work done on them is still done.
            if self.total is not None and not taken_back:
                units = max(units, self._reached)
            self._reached = 0.0 if self.total is None else units
            counts = self.counts()
            waited = self.counters.get(_WAITED, 0.0) if self.counters else 0.0
            children = list(islice(list((self.children or {}).values()), LIVE_CHILDREN_WEIGHED))
            outlook.take(
                Sample(
                    now,
                    units,
                    total,
                    counts.failed,
                    counts.skipped,
                    counts.bytes,
                    waited,
                    self.quality,
                    *outlook.used(usage),
                ),
                self.notes,
                [
                    ChildView(
                        child.share,
                        child.weight,
                        None if child.outlook is None else child.outlook.estimate,
                        len(children) > 1,
                        child.name,
                    )
                    for child in children
                ],
                has_rate=self.total is not None or not self.phases,
            )
            return advanced

    # --- reading --------------------------------------------------------------------------------------------------

    @property
    def path(self) -> tuple[str, ...]:
        """Names from the operation down to here."""
        names = []
        level: LevelState | None = self
        while level is not None:
            names.append(level.name)
            level = level.parent
        if not self.root.is_operation:
            names.append(self.operation)
        return tuple(reversed(names))

    def lineage(self) -> Iterator[LevelState]:
        """Yield the level and its ancestors, innermost first."""
        level: LevelState | None = self
        while level is not None:
            yield level
            level = level.parent


def whole(value: float) -> float:
    """Return whole numbers as ``int``, so that 3 items are shown as 3; but no integer that a metric cannot carry."""
    if not value:
        return 0
    return int(value) if abs(value) < LARGEST and value == int(value) else value


def _share(done: float, total: float | None) -> float | None:
    if total is None:
        return None
    return min(done / total, 1.0) if total > 0 else 1.0
