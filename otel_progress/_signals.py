"""
SIGTERM and SIGINT: what is live ends as interrupted and is exported before the process dies of the signal.

Only what would end the process without a word is taken over. Python's own handler of SIGINT stays: it raises
``KeyboardInterrupt``, which ends levels by the table, and ``asyncio.run`` replaces it by a graceful one only where it
finds it in place. A handler in C, and a signal that is ignored, are left alone.
"""

from __future__ import annotations

import _thread
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any, Final

_SHARE_OF_TIME: Final = 0.9
"""Part of the time that an orderly end may take; the rest is for the way to it."""


class Signals:
    """
    The handlers of one `configure`.

    A handler runs in the main thread, in any line of the program, of ours or of the SDK, which may hold any lock. So
    the former disposition is put back first, and a thread started that lets the signal through when the time is up:
    whatever blocks, the process ends then, and a second signal ends it at once.

    Args:
        end: Ends what is live as interrupted by the signal named, exports and stops, within the seconds given.
        flush: Exports what has ended.
        is_ending: Whether an end is on its way already.
    """

    def __init__(
        self,
        end: Callable[[str, float], object],
        flush: Callable[[], object],
        is_ending: Callable[[], bool],
        limit_seconds: Callable[[], float],
    ) -> None:
        self._end = end
        self._flush = flush
        self._is_ending = is_ending
        self._limit_seconds = limit_seconds
        self._former: dict[int, Any] = {}
        self._pending: int | None = None

    def install(self) -> None:
        """Take the signals over; in another thread than the main one, which Python does not allow, do nothing."""
        with suppress(ValueError):
            for signum in (signal.SIGTERM, signal.SIGINT):
                former = signal.getsignal(signum)
                if former is signal.SIG_DFL or (callable(former) and signum == signal.SIGTERM):
                    signal.signal(signum, self._handle)
                    self._former[signum] = former

    def restore(self) -> None:
        """Put back what was there, unless somebody has replaced our handler; let through what came meanwhile."""
        with suppress(ValueError):
            for signum, former in self._former.items():
                if signal.getsignal(signum) == self._handle:
                    signal.signal(signum, former)
        if self._pending is not None:
            signal.raise_signal(self._pending)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        former = self._former.get(signum, signal.SIG_DFL)
        if callable(former):  # the program shuts down in its own way, and its levels may yet complete
            _in_background(self._flush)
            former(signum, frame)
            return
        if os.getpid() == 1:  # in a container: the kernel keeps the first process from dying of a signal
            _in_background(self._flush)
            return
        signal.signal(signum, former)
        limit = self._limit_seconds()

        def let_through() -> None:
            time.sleep(limit)
            signal.raise_signal(signum)

        if not _in_background(let_through):
            signal.raise_signal(signum)
        if self._is_ending():
            self._pending = signum
            return
        try:
            self._end(signal.Signals(signum).name, limit * _SHARE_OF_TIME)
        finally:
            signal.raise_signal(signum)


def _in_background(call: Callable[[], object]) -> bool:
    """Run ``call`` in a thread that nobody waits for; ``False`` if there are no threads any more."""
    try:
        # Not threading.Thread: the line interrupted may hold the lock that its start takes.
        _thread.start_new_thread(call, ())
    except RuntimeError:  # at interpreter exit
        return False
    return True
