"""What a command reports to the shell."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit statuses; the last two are what shells report for a program ended by Ctrl-C and by a broken pipe."""

    DONE = 0
    WRONG = 1
    USAGE = 2
    INTERRUPTED = 130
    NOBODY_READS = 141
