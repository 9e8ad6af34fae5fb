"""Reading: what is live, what has finished, how we are doing, and what changes."""

from __future__ import annotations

import queue
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Final

from otel_progress import _bounds, _runtime
from otel_progress._model import Change, Health, Snapshot
from otel_progress._snapshot import snapshot
from otel_progress.names import State

if TYPE_CHECKING:
    import asyncio
    from typing import Self

    from otel_progress._state import LevelState

WATCH_LIMIT: Final = 10_000
"""Changes that wait for a watcher; beyond it the oldest are dropped and counted."""


def active(
    operation: str | None = None,
    *,
    id: str | None = None,  # noqa: A002  # the API's word
    state: State | str | None = None,
    since: float | None = None,
    limit: int | None = None,
) -> tuple[Snapshot, ...]:
    """
    Return the live operations of this process with their children, oldest first.

    Args:
        operation: Only those with this name.
        id: Only those of this instance.
        state: Only those in this state.
        since: Only those started at this unix time or later.
        limit: At most so many.
    """
    runtime = _runtime.get()
    runtime.reap()
    matches = _matching(runtime, operation, id, state, since)
    return _snapshots(runtime, (level for level in runtime.registry.roots() if matches(level)), limit)


def history(
    operation: str | None = None,
    *,
    id: str | None = None,  # noqa: A002  # the API's word
    state: State | str | None = None,
    since: float | None = None,
    limit: int | None = None,
) -> tuple[Snapshot, ...]:
    """
    Return the finished operations that are remembered (the last 100 by default), newest first.

    The filters are those of `active`, but ``since`` asks when they ended.
    """
    runtime = _runtime.get()
    runtime.reap()
    matches = _matching(runtime, operation, id, state, since)
    return _snapshots(runtime, (level for level in runtime.registry.finished() if matches(level)), limit)


def find(
    operation: str | None = None,
    *,
    id: str | None = None,  # noqa: A002  # the API's word
    state: State | str | None = None,
    since: float | None = None,
    limit: int | None = None,
) -> tuple[Snapshot, ...]:
    """
    Return levels at any depth, live ones first, then what is remembered of finished ones, newest first.

    The filters are those of `active`; ``since`` asks for the start of live levels and the end of finished ones.
    """
    runtime = _runtime.get()
    runtime.reap()
    matches = _matching(runtime, operation, id, state, since)
    live = runtime.registry.live()
    finished = [level for root in (*live, *runtime.registry.finished()) for level in _finished_below(root)]
    finished.sort(key=lambda level: level.ending.at if level.ending else 0.0, reverse=True)
    return _snapshots(runtime, (level for level in (*live, *finished) if matches(level)), limit)


def _finished_below(root: LevelState) -> Iterator[LevelState]:
    levels = [root]
    while levels:
        level = levels.pop()
        if level.ending is not None:
            yield level
        levels.extend(list(level.finished or ()))


def _matching(
    runtime: _runtime.Runtime,
    operation: str | None,
    id: str | None,  # noqa: A002  # the API's word
    state: State | str | None,
    since: float | None,
) -> Callable[[LevelState], bool]:
    # As levels themselves are written down, so that what was given to them finds them.
    wanted_operation = None if operation is None else _bounds.name(operation)
    wanted_id = None if id is None else _bounds.text(id)
    wanted_state = None if state is None else _bounds.text(state)
    from_seconds = _number(runtime, since)

    def matches(level: LevelState) -> bool:
        at_ns = level.ending.at_ns if level.ending is not None else level.started_ns
        return (
            (wanted_operation is None or level.operation == wanted_operation)
            and (wanted_id is None or level.id == wanted_id)
            and (wanted_state is None or level.state == wanted_state)
            and (from_seconds is None or at_ns / 1e9 >= from_seconds)
        )

    return matches


def _number(runtime: _runtime.Runtime, value: float | None) -> float | None:
    """Return the number of a filter; one that makes no sense is ignored and counted."""
    number = None if value is None else _bounds.number(value)
    if number is None and value is not None:
        runtime.tally.ignore("bad_filter")
    return number


def _snapshots(runtime: _runtime.Runtime, levels: Iterator[LevelState], limit: int | None) -> tuple[Snapshot, ...]:
    taken: list[Snapshot] = []
    most = _number(runtime, limit)
    for level in levels:
        if most is not None and len(taken) >= most:
            break
        runtime.rounds.freshen(level)
        taken.append(snapshot(level, runtime.clock.monotonic(), runtime.clock.wall_ns()))
    return tuple(taken)


def health() -> Health:
    """Return how this package itself is doing: what it dropped, ignored and contained, and whether it keeps up."""
    return _runtime.get().health()


def flush(timeout_seconds: float = 5.0) -> bool:
    """
    Wait until everything that has ended is handed to OpenTelemetry; ``False`` if that takes too long.

    Call it before a ``force_flush`` of your own providers, and at the end of a task in a process pool.
    """
    runtime = _runtime.get()
    try:
        seconds = max(0.0, float(timeout_seconds))  # 0 for NaN too
    except Exception:  # noqa: BLE001  # somebody else's __float__
        runtime.tally.ignore("bad_timeout")
        seconds = 0.0
    return runtime.flush(seconds)


class Subscription:
    """A callback that is being told; `unsubscribe` ends that. Also a context manager."""

    __slots__ = ("_callback", "_runtime")

    def __init__(self, runtime: _runtime.Runtime, callback: Callable[[Change], object]) -> None:
        self._runtime = runtime
        self._callback = callback

    def unsubscribe(self) -> None:
        """Stop telling; twice is harmless."""
        self._runtime.subscribers.remove(self._callback)

    def __call__(self) -> None:
        """Stop telling, so that the handle itself serves as a clean-up function."""
        self.unsubscribe()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop telling."""
        self.unsubscribe()


def on_change(callback: Callable[[Change], object]) -> Subscription:
    """
    Have ``callback`` told of every start, end and change of state, and of progress once a second and level.

    It runs in a thread of ours, never in the code that made the change. One that raises is logged once and dropped;
    one that blocks delays spans and events (see `Health.outbox_busy_seconds`), but not the program or the heartbeat.
    """
    runtime = _runtime.get()
    runtime.subscribers.add(callback)
    return Subscription(runtime, callback)


class Watch:
    """Changes as they come, for ``for`` and ``async for``; `close` (or leaving its ``with``) ends the iteration."""

    def __init__(self, runtime: _runtime.Runtime, operation: str | None) -> None:
        self._tally = runtime.tally
        self._operation = None if operation is None else _bounds.name(operation)
        self._changes: queue.SimpleQueue[Change | None] = queue.SimpleQueue()
        self._closed = False
        self._wakeups: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()
        self._opening: deque[Change] = deque()
        """The snapshots it opens with. Apart from the changes: a lock that keeps the order could be held at a fork."""
        itself = weakref.ref(self)

        def take(change: Change) -> None:
            watch = itself()
            if watch is None:  # nobody iterates any more, and nobody said so
                runtime.subscribers.remove(take)
            else:
                watch._take(change)

        self._subscription = Subscription(runtime, take)
        runtime.subscribers.add(take)
        for level in runtime.registry.live():
            now, now_ns = runtime.clock.monotonic(), runtime.clock.wall_ns()
            if self._operation in {None, level.operation}:
                self._opening.append(Change("snapshot", snapshot(level, now, now_ns, depth=0)))

    def _take(self, change: Change) -> None:
        if self._operation is not None and change.level.operation != self._operation:
            return
        if self._changes.qsize() >= WATCH_LIMIT:
            self._tally.drop("watch_full")
            self._get_nowait()
        self._changes.put(change)
        self._wake()

    def _wake(self) -> None:
        for loop, event in list(self._wakeups):
            try:
                loop.call_soon_threadsafe(event.set)
            except RuntimeError:  # the loop was closed under a watcher that never said good-bye
                self._wakeups.discard((loop, event))

    def _get_opening(self) -> Change | None:
        try:
            return self._opening.popleft()
        except IndexError:
            return None

    def _get_nowait(self) -> Change | None:
        try:
            return self._changes.get_nowait()
        except queue.Empty:
            return None

    def close(self) -> None:
        """End the iteration after what is queued."""
        self._closed = True
        self._subscription.unsubscribe()
        self._changes.put(None)
        self._wake()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def __iter__(self) -> Iterator[Change]:
        """Yield changes, waiting for them; ends when closed."""
        while True:
            change = self._get_opening() or self._changes.get()
            if change is None:
                self._changes.put(None)  # for the next who iterates
                return
            yield change

    async def __aiter__(self) -> AsyncIterator[Change]:
        """Yield changes, waiting for them without blocking the loop; ends when closed."""
        import asyncio  # noqa: PLC0415  # only who awaits has it anyway

        event = asyncio.Event()
        wakeup = (asyncio.get_running_loop(), event)
        self._wakeups.add(wakeup)
        try:
            while True:
                event.clear()
                while (change := self._get_opening() or self._get_nowait()) is not None:
                    yield change
                if self._closed:
                    return
                await event.wait()
        finally:
            self._wakeups.discard(wakeup)


def watch(operation: str | None = None) -> Watch:
    """
    Return changes as an iterator, sync or async, opening with one ``snapshot`` for each level that is live now.

    Watching starts with the call. Changes that nobody takes are bounded; the oldest go first.
    """
    return Watch(_runtime.get(), operation)
