"""Whoever wants to hear of each change of a level: callbacks, called by the outbox's thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from otel_progress._model import Change, ChangeKind
from otel_progress._snapshot import snapshot

if TYPE_CHECKING:
    from otel_progress._model import Deviation
    from otel_progress._runtime import Runtime
    from otel_progress._state import LevelState

Callback = Callable[[Change], object]


class Subscribers:
    """The callbacks of one runtime; false while there are none. Thread-safe."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._callbacks: tuple[Callback, ...] = ()
        self._lock = threading.RLock()  # covers changes of the tuple; readers take it as it is

    def __bool__(self) -> bool:
        """Whether anybody listens."""
        return bool(self._callbacks)

    def add(self, callback: Callback) -> None:
        """Add a callback."""
        with self._lock:
            self._callbacks = (*self._callbacks, callback)
        ticker = self._runtime.ticker
        if ticker is not None and len(self._runtime.registry):
            ticker.wake()

    def remove(self, callback: Callback) -> None:
        """Remove a callback; one that is not there is no error."""
        with self._lock:
            self._callbacks = tuple(other for other in self._callbacks if other is not callback)

    def notify(self, kind: ChangeKind, level: LevelState, deviation: Deviation | None = None) -> None:
        """Have the callbacks told of a level as it is now."""
        runtime = self._runtime
        if runtime.outbox.is_half_full:  # a callback that is too slow must not crowd out the spans
            runtime.tally.drop("changes_full")
            return
        now, wall_ns = runtime.clock.monotonic(), runtime.clock.wall_ns()
        runtime.outbox.put(self._call, Change(kind, snapshot(level, now, wall_ns, depth=0), deviation))

    def after_fork(self) -> None:
        """In the child: another thread of the parent may have held the lock."""
        self._lock = threading.RLock()

    def _call(self, change: Change) -> None:
        for callback in self._callbacks:
            try:
                callback(change)
            except BaseException as error:  # noqa: BLE001  # dropped: one that failed once fails at every change
                self.remove(callback)
                self._runtime.tally.contain("callback", error)
