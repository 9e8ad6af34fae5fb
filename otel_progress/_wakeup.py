"""A wake-up call for a thread of ours."""

from __future__ import annotations

import threading


class Wakeup:
    """
    An event that one thread waits for, and that is over once it has been waited for.

    A signal handler and a destructor may set it in any line of the program, one that is just setting it too: unlike
    ``threading.Event``, which takes a lock to do so, and then waits for itself for ever.
    """

    __slots__ = ("_unset",)

    def __init__(self) -> None:
        self._unset = threading.Lock()  # held while nobody has called; covers nothing
        self._unset.acquire()

    def set(self) -> None:
        """Wake the thread; twice is once."""
        try:
            self._unset.release()
        except RuntimeError:  # set already
            return

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Wait for the call; ``False`` on timeout."""
        return self._unset.acquire(timeout=-1 if timeout_seconds is None else timeout_seconds)
