"""
Sends records from a thread of its own, and keeps what cannot be delivered until it can be.

The SDK's OTLP exporters give a batch up after ten seconds, and while they try, the batch processor's queue of 2,048
records overflows. With a thread in between, the processor never waits long for a backend.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from math import inf
from typing import Any, Final, Generic

from opentelemetry.context import attach, detach, get_current

from otel_progress._contain import Tally
from otel_progress._kept import Batch, Kept, R
from otel_progress._quiet import TEXT_LIMIT, Quiet

PATIENCE_SECONDS: Final = 1.0
"""
How long an export waits for its delivery, so that a flush of the provider means what it says while all is well.

The processor's queue holds what a job makes in that time: up to 1,500 records a second, which then wait here instead.
"""

PAUSE_SECONDS: Final = 2.0
"""Between two attempts while they fail; doubled each time."""

LONGEST_PAUSE_SECONDS: Final = 30.0

FLUSH_ATTEMPTS: Final = 3
"""Attempts that may fail before a flush is over: one may be a batch that the backend does not want."""

LAST_WORD_SECONDS: Final = 0.25
"""Left of an end's deadline for counting what is lost, and saying so."""

SAY_AGAIN_SECONDS: Final = 300.0
"""A backend that comes and goes is told of no more often."""

_logger = logging.getLogger("otel_progress")


class Keeper(Generic[R]):
    """
    Sends records from a thread of its own, and keeps them until they are delivered. Thread-safe.

    Args:
        send: Delivers records; ``False`` or an exception says that it could not.
        close: Called once, at the end.
        signal: What the records are called: ``traces``, ``logs``.
        kept: Where they wait.
        tally: Counts what is given up, and shows what waits.
        quiet: Holds back what ``send`` logs in our thread.
        pause_seconds: Between two attempts while they fail, at first.
        patience_seconds: How long `put` waits for the delivery.
    """

    def __init__(
        self,
        send: Callable[[Sequence[R]], bool],
        close: Callable[[], object],
        *,
        signal: str,
        kept: Kept[R],
        tally: Tally,
        quiet: Quiet,
        pause_seconds: float = PAUSE_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._send = send
        self._close = close
        self._signal = signal
        self._tally = tally
        self._quiet = quiet
        self._first_pause = self._pause = pause_seconds
        self._patience = patience_seconds
        # Covers everything below; no exporter is called, nothing counted and nothing logged under it.
        self._changed = threading.Condition()
        self._kept = kept
        self._thread: threading.Thread | None = None
        self._expected = 0
        self._resume_at = 0.0
        self._hurried = False
        self._failures = 0
        self._deadline = inf
        self._closed = False
        self._in_trouble = False
        self._said = False
        self._said_at = -inf
        self._show()
        _keepers.add(self)

    def expect(self, queue_size: int) -> None:
        """A record goes into the processor's queue, which drops one without a word if it holds this many already."""
        with self._changed:
            is_full = self._expected >= queue_size
            self._expected += not is_full
        self._count(export_queue_full=is_full)

    def put(self, records: Sequence[R]) -> None:
        """Take records over; while nothing else waits, stay for a moment to see them delivered."""
        with self._changed:
            self._expected = max(0, self._expected - len(records))
            lost = len(records) if self._closed else 0
            alone = not self._kept
            full = 0 if lost else self._kept.add(records, get_current())
            self._show(late=not alone)
            self._changed.notify_all()
            if self._has_thread() and alone:
                self._changed.wait_for(lambda: not self._kept or self._in_trouble, self._within(self._patience))
                self._show(late=True)
        self._count(export_lost=lost, export_kept_full=full)
        if self._thread is None:
            self._send_here(self._patience)

    def flush(self, seconds: float) -> bool:
        """
        Try to deliver what waits, now; ``False`` if something is left.

        In trouble it gives the backend a moment to answer, not all the time there is: a task that flushes at its end
        is not to wait for a backend that is down.
        """
        return self._drain(seconds, min(seconds, self._patience))

    def _drain(self, seconds: float, seconds_in_trouble: float) -> bool:
        started = time.monotonic()
        with self._changed:
            for _ in range(FLUSH_ATTEMPTS if self._has_thread() else 0):
                failures = self._failures
                self._resume_at, self._hurried = 0.0, True
                self._changed.notify_all()
                left = inf
                while self._kept and self._failures == failures and left > 0:
                    limit = seconds_in_trouble if self._in_trouble else seconds
                    left = min(started + limit, self._deadline) - time.monotonic()
                    self._changed.wait(max(0.0, left))
                if not self._kept or left <= 0:
                    break
        if self._thread is None:
            self._send_here(seconds)
        return not self._kept

    def end_by(self, deadline: float) -> None:
        """Let nothing wait beyond this monotonic second."""
        with self._changed:
            self._deadline = deadline - LAST_WORD_SECONDS
            self._changed.notify_all()

    def shutdown(self, seconds: float) -> None:
        """Flush, count what is lost, and let go of exporter and thread. Twice is harmless."""
        if self._closed:
            return
        self._drain(seconds, seconds)
        with self._changed:
            self._closed = True
            lost = self._kept.clear()
            self._show()
            self._changed.notify_all()
        self._count(export_lost=lost)
        self._close()
        if self._thread is None:
            self._quiet.remove()

    def after_fork(self) -> None:
        """In the child: what is kept is the parent's to deliver, and the thread is gone."""
        self._changed = threading.Condition()
        self._kept.clear()
        self._thread = None
        self._quiet.thread = None
        self._expected = 0
        self._resume_at, self._pause, self._in_trouble = 0.0, self._first_pause, False

    # --- the thread ---------------------------------------------------------------------------------------------------

    def _has_thread(self) -> bool:
        if self._thread is None and not self._closed:
            thread = threading.Thread(target=self._run, name=f"otel_progress-{self._signal}", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # no threads at interpreter exit
                return False
            self._thread = thread
            self._quiet.thread = thread.ident
        return self._thread is not None

    def _run(self) -> None:
        while (batch := self._next()) is not None:
            self._settle(batch, passed=self._deliver(batch))
        self._quiet.remove()

    def _next(self) -> Batch[R] | None:
        with self._changed:
            while not self._closed:
                pause = self._resume_at - time.monotonic() if self._kept else None
                if pause is not None and pause <= 0:
                    return self._kept.take()
                self._changed.wait(pause)
        return None

    def _deliver(self, batch: Batch[R]) -> bool:
        # The context that the processor sets tells instrumentations of HTTP clients to leave exports alone.
        token = attach(batch.context)
        self._quiet.heard = ""
        try:
            return self._send(batch.records)
        except BaseException as error:  # noqa: BLE001  # whatever it is, it must not end the thread
            # Exporters before SDK 1.39 raise where a connection is refused: that is no error of ours.
            self._quiet.heard = self._quiet.heard or f"{type(error).__name__}: {error}"[:TEXT_LIMIT]
            return False
        finally:
            detach(token)

    def _settle(self, batch: Batch[R], *, passed: bool) -> None:
        refused = full = 0
        with self._changed:
            was_in_trouble, self._in_trouble = self._in_trouble, not passed
            if passed:
                refused = self._kept.passed(batch)
                self._resume_at, self._pause = 0.0, self._first_pause
            else:
                full = self._kept.put_back(batch)
                self._failures += 1
                self._resume_at = time.monotonic() + self._pause
                if not self._hurried:  # many flushes say nothing about how long the backend will be away
                    self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)
            self._hurried = False
            self._show()
            self._changed.notify_all()
        self._count(export_refused=refused, export_kept_full=full)
        if was_in_trouble is passed:
            self._say(passed=passed)

    def _send_here(self, seconds: float) -> None:
        """Deliver what waits in the caller's thread, until an attempt fails."""
        until = time.monotonic() + self._within(seconds)
        passed = True
        while passed and time.monotonic() < until:
            with self._changed:
                batch = self._kept.take()
            if batch is None:
                return
            passed = self._deliver(batch)
            self._settle(batch, passed=passed)

    def _say(self, *, passed: bool) -> None:
        """Tell of a change, in one line instead of the exporter's own lines for each attempt."""
        now = time.monotonic()
        if passed and self._said:
            self._said = False
            _logger.warning("otel_progress: %s are exported again", self._signal)
        elif not passed and now - self._said_at >= SAY_AGAIN_SECONDS:
            self._said, self._said_at = True, now
            why = f" ({self._quiet.heard})" if self._quiet.heard else ""
            _logger.warning("otel_progress: cannot export %s%s; they are kept until it works", self._signal, why)

    def _within(self, seconds: float) -> float:
        return max(0.0, min(seconds, self._deadline - time.monotonic()))

    def _show(self, *, late: bool = False) -> None:
        """Show what waits in trouble, not what is just on its way."""
        if late or self._in_trouble or not self._kept:
            self._tally.kept[self._signal] = len(self._kept)

    def _count(self, **given_up: int) -> None:
        for reason, count in given_up.items():
            if count:
                self._tally.drop(reason, count)


_keepers: weakref.WeakSet[Keeper[Any]] = weakref.WeakSet()


def _after_fork() -> None:
    for keeper in list(_keepers):
        keeper.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
