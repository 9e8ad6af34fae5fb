"""What the ticker does: look at the live levels in turn, within a budget of time."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Final

from otel_progress import _report, _spans, _watching
from otel_progress._snapshot import DEPTH_SHOWN
from otel_progress._usage import Usage, usage
from otel_progress.names import State

if TYPE_CHECKING:
    from otel_progress._model import ChangeKind, Deviation
    from otel_progress._runtime import Runtime
    from otel_progress._state import LevelState

BUDGET_SECONDS: Final = 0.02
"""Time one tick may take; levels that do not fit are looked at in the next."""

FRESH_SECONDS: Final = 0.5
"""Age up to which a sample serves a reader; only then is the level looked at outside the ticker."""

_RETRYING: Final = State.RETRYING  # looked up once: see _state


def prepare() -> None:
    """
    Load what is first needed by the ticker: before its thread starts, as a fork amid an import hangs in the child.

    Programs that only import a library which has levels do without: it is half of the time of the import.
    """
    import_module("otel_progress.eta")
    import_module("otel_progress.deviation")


class Rounds:
    """
    Samples, estimates, heartbeat, and what follows from them: records of live levels, changes, deviations.

    It never calls foreign code. The ticker's thread alone calls `tick`; any thread may call `freshen`.

    Attributes:
        heartbeat_ns: Wall time of the last tick; ``None`` before the first.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._next_key = 0
        self._usage: Usage | None = None
        self.heartbeat_ns: int | None = None

    def tick(self) -> bool:
        """
        Look at the live levels: sample, estimate, beat. Return whether there are any.

        Levels are taken in turn until the budget is spent, the newest first, so that children come before their
        parents, which count their shares. The next tick goes on below where this one stopped: by key, because levels
        come and go meanwhile.
        """
        runtime = self._runtime
        self.heartbeat_ns = runtime.clock.wall_ns()
        if runtime.instruments is not None:
            runtime.instruments.heartbeat_ns = self.heartbeat_ns
        runtime.reap()
        if runtime.adoption.waiting:
            with runtime.tally.containing("adoption"):
                runtime.adoption.poll()
        levels = runtime.registry.live()
        if levels:
            self._usage = usage()
        if levels or runtime.learning.unwritten:
            runtime.learning.write_live()
        first = bisect_left(levels, self._next_key, key=lambda level: level.key) or len(levels)
        # Time as the process has it: a budget counts what the thread really takes from the program.
        until = time.perf_counter() + BUDGET_SECONDS
        self._next_key = 0
        for level in (*reversed(levels[:first]), *reversed(levels[first:])):
            now = runtime.clock.monotonic()
            self._look_at(level, now)
            if runtime.busy:
                self._watch(level, now)
            if time.perf_counter() > until and runtime.ticker is not None:
                self._next_key = level.key
                break
        return bool(levels or runtime.adoption.waiting or runtime.learning.unwritten)

    def freshen(self, level: LevelState, depth: int = DEPTH_SHOWN) -> None:
        """Sample a level and its children for a reader, where the last sample is old."""
        now = self._runtime.clock.monotonic()
        for child in list((level.children or {}).values())[:100] if depth else ():
            self.freshen(child, depth - 1)
        outlook = level.outlook
        sampled_at = None if outlook is None else outlook.sampled_at
        if level.ending is None and (sampled_at is None or now - sampled_at >= FRESH_SECONDS):
            self._look_at(level, now)

    def _look_at(self, level: LevelState, now: float) -> None:
        runtime, state = self._runtime, level.state
        try:
            if runtime.adoption.levels:
                runtime.adoption.refresh(level)
            if level.outlook is None:
                runtime.learning.recall(level)
            level.sample(now, runtime.config.eta_method, self._usage if level.is_operation else None)
        except Exception as error:  # noqa: BLE001  # one level's odd numbers must not stop the others
            runtime.tally.contain("sample", error)
        if not runtime.busy:
            return
        if state is _RETRYING and level.state is State.RUNNING:
            runtime.changed(level, state, None)
        if now - level.started >= runtime.config.open_after_seconds:
            self._show(level, now)
        if runtime.subscribers and level.reported != (reported := (level.last_done, level.message, level.share)):
            level.reported = reported
            runtime.subscribers.notify("advanced", level)

    def _show(self, level: LevelState, now: float) -> None:
        """Have a level that is old enough shown in its trace, and say from time to time how far it is."""
        runtime = self._runtime
        if not level.shown:
            attributes = _spans.live_attributes(level)
            level.shown = runtime.outbox.put(_report.show, level, runtime.clock.wall_ns(), attributes)
            level.checkpoint_due = now + runtime.config.checkpoint_seconds
            if not level.announced:
                runtime.announce(level)
        elif now >= level.checkpoint_due and not runtime.outbox.is_half_full:
            level.checkpoint_due = now + _report.checkpoint_interval(level, now, runtime.registry.size)
            attributes = _spans.live_attributes(level, metadata=False)
            runtime.outbox.put(_report.checkpoint, level, runtime.clock.wall_ns(), attributes)

    def _watch(self, level: LevelState, now: float) -> None:
        """Check a level for deviations, and tell of those that began or are over."""
        runtime = self._runtime
        try:
            began, over = _watching.look(level, now, runtime.config.rules)
        except Exception as error:  # noqa: BLE001  # as above
            runtime.tally.contain("deviation", error)
            return
        told: tuple[tuple[ChangeKind, list[Deviation], Callable[..., None]], ...] = (
            ("deviation", began, runtime.events.deviates),
            ("recovered", over, runtime.events.recovered),
        )
        for kind, deviations, tell_of in told:
            for deviation in deviations:
                if runtime.events.listening:
                    runtime.outbox.put(tell_of, level, runtime.clock.wall_ns(), deviation)
                if runtime.subscribers:
                    runtime.subscribers.notify(kind, level, deviation)
