"""One daemon thread that looks at the live levels once a second. It never calls foreign code, so it never stops."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from otel_progress._contain import Tally
from otel_progress._wakeup import Wakeup

TICK_SECONDS: Final = 1.0


class Ticker:
    """
    Call ``tick`` every second while there is something to look at.

    ``prepare`` is called before the thread starts, by whoever has it start. The thread starts with the first `wake` and
    rests while ``tick`` returns ``False``, until the next `wake`.
    """

    def __init__(
        self,
        tick: Callable[[], bool],
        tally: Tally,
        *,
        prepare: Callable[[], object] = lambda: None,
        interval_seconds: float = TICK_SECONDS,
    ) -> None:
        self._tick = tick
        self._prepare = prepare
        self._tally = tally
        self._interval = interval_seconds
        self._awake = False
        self._stopped = False
        self._wake = Wakeup()
        self._stop = Wakeup()
        self._thread: threading.Thread | None = None
        self._start_lock = threading.Lock()  # covers the creation of the thread

    def wake(self) -> None:
        """Make sure the thread looks; costs one comparison when it does already."""
        if self._awake:
            return
        self._awake = True
        if self._thread is None and not self._stopped:
            with self._tally.containing("ticker"):
                self._prepare()
            with self._start_lock:
                if self._thread is None:
                    thread = threading.Thread(target=self._run, name="otel_progress-ticker", daemon=True)
                    try:
                        thread.start()
                    except RuntimeError:  # no threads at interpreter exit: what is still to come is counted at its end
                        self._stopped = True
                        return
                    self._thread = thread
        self._wake.set()

    def stop(self) -> None:
        """Let the thread end."""
        self._stopped = True
        self._stop.set()
        self._wake.set()

    def _run(self) -> None:
        while not self._stopped:
            self._wake.wait()
            next_at = time.monotonic()
            while not self._stopped:
                next_at = max(next_at + self._interval, time.monotonic())
                if self._stop.wait(max(next_at - time.monotonic(), 0.0)):
                    return
                if not self._look():
                    # A level that started after that look saw us awake and did not wake us: look again.
                    self._awake = False
                    if not self._look():
                        break
                    self._awake = True

    def _look(self) -> bool:
        try:
            return self._tick()
        except Exception as error:  # noqa: BLE001  # the heartbeat must go on
            self._tally.contain("ticker", error)
            return True
