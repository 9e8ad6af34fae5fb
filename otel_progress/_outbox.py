"""One daemon thread that does what may be slow: ends spans, emits events, records histograms, runs callbacks."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from otel_progress._contain import Tally
from otel_progress._wakeup import Wakeup

BATCH_SECONDS: Final = 0.02
"""How long the thread gathers before it works: waking it for each level would cost the caller more than the level."""

QUEUE_LIMIT: Final = 20_000

Call = tuple[Callable[..., object], tuple[Any, ...]]


class Outbox:
    """
    A bounded queue of calls, and the thread that makes them in order. Thread-safe.

    `put` never blocks: what does not fit is dropped and counted. Exceptions are contained. The thread starts with the
    first call, so a process that never records anything has none.
    """

    def __init__(self, tally: Tally, *, limit: int = QUEUE_LIMIT) -> None:
        self._tally = tally
        self._limit = limit
        self._queue: deque[Call] = deque()
        self._deferred: deque[tuple[float, Call]] = deque()
        self._wake = Wakeup()
        self._hurry = Wakeup()
        self._done = threading.Condition()  # covers _waiting and the notification that the queue ran empty
        self._waiting = 0
        self._idle = True
        self._stopped = False
        self._thread: threading.Thread | None = None
        # Covers the creation of the thread; reentrant, for signal handlers and destructors that flush.
        self._start_lock = threading.RLock()
        self._busy_since: float | None = None

    def __len__(self) -> int:
        """Calls that wait."""
        return len(self._queue) + len(self._deferred)

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing is in hand."""
        return self._idle

    @property
    def is_half_full(self) -> bool:
        """Whether what can be missed should not be put any more."""
        return len(self._queue) >= self._limit // 2

    @property
    def busy_seconds(self) -> float:
        """How long the call in hand has been running."""
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    def put(self, call: Callable[..., object], *args: Any) -> bool:  # noqa: ANN401  # whatever the call takes
        """Have ``call(*args)`` made by the thread; ``False`` if the queue is full."""
        if len(self._queue) >= self._limit:
            self._tally.drop("outbox_full")
            return False
        self._queue.append((call, args))
        if self._idle:
            self._idle = False
            self._awaken()
        return True

    def put_later(self, seconds: float, call: Callable[..., object], *args: Any) -> bool:  # noqa: ANN401
        """Have the call made after ``seconds``, or at the next flush if that is sooner."""
        if len(self._deferred) >= self._limit:
            self._tally.drop("outbox_full")
            return False
        self._deferred.append((time.monotonic() + seconds, (call, args)))
        if self._idle:
            self._idle = False
            self._awaken()
        return True

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until everything put so far is done, deferred calls included; ``False`` on timeout."""
        if threading.current_thread() is self._thread:
            return False  # a callback of ours asks: waiting for itself would never end
        deadline = time.monotonic() + timeout_seconds
        with self._done:
            self._waiting += 1
            try:
                while len(self) or not self._idle:
                    self._idle = False
                    self._hurry.set()
                    self._awaken()
                    if self._thread is None:
                        self._work()
                        self._idle = True
                        continue
                    left = deadline - time.monotonic()
                    if left <= 0 or self._stopped:
                        return False
                    self._done.wait(min(left, 0.5))
            finally:
                self._waiting -= 1
        return True

    def stop(self) -> None:
        """Let the thread end after the call in hand; what is queued is dropped."""
        self._stopped = True
        self._hurry.set()
        self._wake.set()

    def _awaken(self) -> None:
        if self._thread is None and not self._stopped:
            with self._start_lock:
                if self._thread is None:
                    thread = threading.Thread(target=self._run, name="otel_progress-outbox", daemon=True)
                    self._thread = thread
                    try:
                        thread.start()
                    except RuntimeError:  # no threads at interpreter exit: `flush` does the work itself
                        self._thread = None
                        return
        self._wake.set()

    def _run(self) -> None:
        while not self._stopped:
            self._wake.wait()
            self._hurry.wait(BATCH_SECONDS)
            while not self._stopped:
                self._work()
                self._idle = True
                # A put between the last look and the flag saw us busy and did not wake us: look again.
                if self._queue:
                    self._idle = False
                    continue
                if self._deferred:
                    self._idle = False
                    self._hurry.wait(max(0.001, min(BATCH_SECONDS * 5, self._deferred[0][0] - time.monotonic())))
                    continue
                with self._done:
                    self._done.notify_all()
                break

    def _work(self) -> None:
        """Make the calls that are due; only the one in hand once we are stopped."""
        while self._queue or self._is_due():
            # What was put before a deferred call is made before it: the end of a level must not overtake its start. So
            # the call is looked for first: what was put before it is in the queue then.
            is_due = self._is_due()
            for _ in range(len(self._queue)):
                self._make(*self._queue.popleft())
                if self._stopped:
                    return
            if is_due:
                self._make(*self._deferred.popleft()[1])
                if self._stopped:
                    return

    def _is_due(self) -> bool:
        return bool(self._deferred) and (self._waiting > 0 or self._deferred[0][0] <= time.monotonic())

    def _make(self, call: Callable[..., object], args: tuple[Any, ...]) -> None:
        self._busy_since = time.monotonic()
        try:
            call(*args)
        except BaseException as error:  # noqa: BLE001  # exporters and callbacks are not ours, nor is their sys.exit()
            self._tally.contain(getattr(call, "__name__", "outbox"), error)
        finally:
            self._busy_since = None
