"""The real clock. Wall time stamps records, monotonic time measures; the two are never subtracted from each other."""

from __future__ import annotations

import time


class SystemClock:
    """The operating system's clocks."""

    wall_ns = staticmethod(time.time_ns)
    monotonic = staticmethod(time.monotonic)


SYSTEM_CLOCK = SystemClock()
