"""What a level hears of its earlier runs, and what it leaves to the next ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_progress._model import Profile
from otel_progress._snapshot import snapshot
from otel_progress.names import State

if TYPE_CHECKING:
    from otel_progress._runtime import Runtime
    from otel_progress._state import LevelState
    from otel_progress.eta import Verdict
    from otel_progress.store import History
    from otel_progress.store._store import Store

NAMES_LIMIT: Final = 1_000
"""Earlier runs whose names are looked up when the store is opened."""

Key = tuple[str, str | None]
"""Operation and level; the level is ``None`` for the operation itself."""


class Learning:
    """
    The store and the other sources of history, as one runtime uses them.

    `recall` is for the ticker and for callers, and returns at once; the rest is file work, for the outbox's thread.
    Without a store and a history nothing is kept, and every level still has a profile and scores its promises.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.store: Store | None = None
        self.history: History | None = None
        self._calibrations: dict[Key, float] = {}
        self._names: frozenset[str] = frozenset()
        """Operations that have run before: spans of others that have such a name are levels."""
        self._writing = False
        self._listed = False

    def open(self, store: Store | None, history: History | None) -> None:
        """Use these from now on."""
        self.store, self.history = store, history
        if store is not None:
            self._runtime.outbox.put(self._read_names, store)
            self._runtime.adoption.has_history = self._has_run

    def _read_names(self, store: Store) -> None:
        self._names = frozenset(run.level.operation for run in store.runs(limit=NAMES_LIMIT))

    def _has_run(self, name: str) -> bool:
        return name in self._names

    # --- before: what earlier runs say --------------------------------------------------------------------------------

    def prefetch(self, level: LevelState) -> None:
        """Have the history of an operation looked up, so that it is there when the ticker first looks."""
        if self.history is not None:
            key = _key(level)
            self.history.known(*key, then=lambda _: self._calibration_of(key))

    def recall(self, level: LevelState) -> None:
        """Tell a level of its earlier runs; later, from another thread, where they must be looked up first."""
        if self.history is None:
            return
        key, method = _key(level), self._runtime.config.eta_method

        def tell(profiles: tuple[Profile, ...]) -> None:
            level.hear(profiles, self._calibration_of(key), method)

        known = self.history.known(*key, then=tell)
        if known is not None:
            level.hear(known, self._calibrations.get(key, 0.0), method)

    def _calibration_of(self, key: Key) -> float:
        """Return the log of the scale of intervals, from the store if it is not known yet; may wait for the file."""
        if key not in self._calibrations and self.store is not None:
            state = self.store.calibration(*key)
            self._calibrations[key] = state[0] if state else 0.0
        return self._calibrations.get(key, 0.0)

    # --- after: what this run leaves ----------------------------------------------------------------------------------

    def conclude(self, level: LevelState) -> tuple[Verdict, ...]:
        """Give an ended level its profile, and return what its promises were worth."""
        ending = level.ending
        if ending is None or not self._is_kept(level):
            return ()
        outlook = level.outlook
        estimator, promises, reached = level.take_spent()
        if estimator is None:  # it ended before anybody looked
            from otel_progress.eta import Estimator  # noqa: PLC0415  # see `rounds.prepare`

            estimator, reached = Estimator(level.total, method="linear"), level.final.done
            estimator.record(0.0, level.started)
        for note in level.notes.drain() if level.notes is not None else ():
            estimator.observe_item(*note)
        estimator.finish(reached, ending.at)
        level.profile = estimator.profile(
            ending.at,
            outcome=ending.outcome.value,
            ended_at=ending.at_ns / 1e9,
            failed=level.final.failed,
            quality=level.quality,
            peak_rss=outlook and outlook.peak_rss,
            cpu_seconds=outlook and outlook.cpu_seconds,
        )
        if promises is None or ending.outcome is not State.COMPLETED:
            return ()
        return promises.verdicts(level.profile.seconds)

    def keep(self, level: LevelState, profile: Profile | None, verdicts: tuple[Verdict, ...]) -> None:
        """Keep a finished run for the next ones, in this process and in the store."""
        ending = level.ending
        if profile is None or ending is None:
            return
        key = _key(level)
        if self.history is not None and ending.outcome is State.COMPLETED:
            self.history.learn(*key, profile)
        if self.store is None:
            return
        inside = [verdict.inside for verdict in verdicts]
        self.store.keep(
            snapshot(level, ending.at, ending.at_ns, depth=0),
            profile,
            tuple(verdict.error for verdict in verdicts),
            sum(inside) / len(inside) if inside else None,
        )
        if inside:
            from otel_progress.eta import recalibrated  # noqa: PLC0415  # see `rounds.prepare`

            self._calibrations[key] = recalibrated(self._calibration_of(key), verdicts)
            self.store.calibrate(*key, [self._calibrations[key]])

    def _is_kept(self, level: LevelState) -> bool:
        """Whether a run is worth keeping: an operation, or a level old enough to be shown in its trace."""
        ending = level.ending
        if ending is None:
            return False
        return level.is_operation or ending.at - level.started >= self._runtime.config.open_after_seconds

    # --- meanwhile: what is live --------------------------------------------------------------------------------------

    @property
    def unwritten(self) -> bool:
        """Whether the store lacks a finished run, or still lists this process although nothing is live."""
        return self.store is not None and (self._listed or self.store.waiting > 0)

    def write_live(self) -> None:
        """Have what is live, and the runs that wait, written to the store; for the ticker, once a second."""
        if self.store is not None and not self._writing:
            self._writing = self._runtime.outbox.put(self._write)

    def _write(self) -> None:
        self._writing = False
        if self.store is None:
            return
        clock = self._runtime.clock
        now, now_ns = clock.monotonic(), clock.wall_ns()
        live = [snapshot(level, now, now_ns) for level in self._runtime.registry.roots()]
        if self.store.write_live(live):
            self._listed = bool(live)

    def close(self) -> None:
        """Ask no more sources, and have what waits written before the outbox's next flush is over."""
        if self.history is not None:
            self.history.close()
        if self.store is not None:
            self._runtime.outbox.put(self.store.close)

    def after_fork(self) -> None:
        """In the child: the store begins anew by itself, and what was asked is the parent's."""
        self._writing = self._listed = False
        if self.history is not None:
            self.history.after_fork()


def _key(level: LevelState) -> Key:
    return level.operation, None if level.is_operation else level.name
