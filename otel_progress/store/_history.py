"""What is known of earlier runs, at once; what is not yet known is looked up by a thread of its own."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import Final

from otel_progress._contain import Tally
from otel_progress._model import Clock, HistorySource, Profile
from otel_progress._wakeup import Wakeup

PROFILES: Final = 10
"""Runs that an estimate hears of."""
LEVELS_LIMIT: Final = 1_000
"""Levels whose history is remembered; those asked for last stay."""
FRESH_SECONDS: Final = 300.0
"""Age from which what is known is looked up again, and told as it is meanwhile."""

Key = tuple[str, str | None]
Profiles = tuple[Profile, ...]
Told = Callable[[Profiles], object]


class History:
    """
    The runs of each level, from the first of the ``sources`` that knows any. Thread-safe.

    `known` and `learn` return at once. Sources are asked by a daemon thread, one after the other, which begins with the
    first question; what they raise is contained. After a fork call `after_fork` in the child.
    """

    def __init__(self, sources: Sequence[HistorySource], *, clock: Clock, tally: Tally) -> None:
        self._sources = tuple(sources)
        self._clock = clock
        self._tally = tally
        self._begin()

    def _begin(self) -> None:
        # Covers what follows; reentrant, for signal handlers and destructors with levels. No source is asked under it.
        self._lock = threading.RLock()
        self._known: OrderedDict[Key, tuple[float, Profiles]] = OrderedDict()
        self._asked: dict[Key, list[Told]] = {}
        self._queue: deque[Key] = deque()
        self._wake = Wakeup()
        self._thread: threading.Thread | None = None
        self._closed = False

    def known(self, operation: str, level: str | None = None, then: Told | None = None) -> Profiles | None:
        """
        Return the last runs of a level (``None``: the operation itself), newest first; ``None`` where nobody asked yet.

        In that case they are looked up, and ``then`` is called with them, by the thread that did; it may be called with
        none, and is never called where they are returned at once.
        """
        key = (operation, level)
        with self._lock:
            found = self._known.get(key)
            if found is None or self._clock.monotonic() - found[0] >= FRESH_SECONDS:
                self._look_up(key, then if found is None else None)
            if found is None:
                return None
            self._known.move_to_end(key)
            return found[1]

    def learn(self, operation: str, level: str | None, profile: Profile) -> None:
        """Take in a run of this process, which has just completed."""
        key = (operation, level)
        with self._lock:
            found = self._known.get(key)
            if found is not None:  # otherwise the store will tell, with the others
                self._known[key] = (found[0], (profile, *found[1])[:PROFILES])

    def close(self) -> None:
        """Ask no more sources; whoever waits for an answer gets none."""
        with self._lock:
            self._closed = True
            self._queue.clear()
            self._asked.clear()
        self._wake.set()

    def after_fork(self) -> None:
        """Begin anew, keeping what is known: the thread is the parent's, and it may have held the lock."""
        known = self._known.copy()
        closed = self._closed
        self._begin()
        self._known, self._closed = known, closed

    def _look_up(self, key: Key, then: Told | None) -> None:
        if self._closed:
            return
        if key not in self._asked:
            if len(self._asked) >= LEVELS_LIMIT:
                self._tally.drop("history_full")
                return
            self._asked[key] = []
            self._queue.append(key)
        if then is not None:
            self._asked[key].append(then)
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="otel_progress-history", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # no threads at interpreter exit
                return
            self._thread = thread
        self._wake.set()

    def _run(self) -> None:
        while not self._closed:
            try:
                key = self._queue.popleft()
            except IndexError:
                self._wake.wait()
                continue
            profiles = self._ask(*key)
            with self._lock:
                waiting = self._asked.pop(key, [])
                self._known[key] = (self._clock.monotonic(), profiles)
                self._known.move_to_end(key)
                while len(self._known) > LEVELS_LIMIT:
                    self._known.popitem(last=False)
            for then in waiting:
                with self._tally.containing("history"):
                    then(profiles)

    def _ask(self, operation: str, level: str | None) -> Profiles:
        for source in self._sources:
            with self._tally.containing("history"):
                found = tuple(source.profiles(operation, level, PROFILES))
                if found:
                    return found[:PROFILES]
        return ()
