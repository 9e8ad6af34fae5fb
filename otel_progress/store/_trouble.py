"""What can be wrong with the store, and what follows: try again at once, later, or never."""

from __future__ import annotations

import sqlite3
from enum import StrEnum
from math import inf
from typing import Final

PAUSE_SECONDS: Final = 60.0
"""How long a full or failing disk is left alone."""
NEVER: Final = inf
"""When a file is tried again that must not be used."""


class Reason(StrEnum):
    """What is counted under ``progress.telemetry.dropped``."""

    BUSY = "store_busy"
    FULL = "store_full"
    CORRUPT = "store_corrupt"
    REFUSED = "store_refused"
    NEWER = "store_newer"
    FAILED = "store_failed"


class Trouble(Exception):  # noqa: N818  # seen inside this folder only
    """
    The store cannot be used now.

    Attributes:
        reason: What it is counted under.
        words: The same for people.
        pause_seconds: When to try again: 0 at the next chance, infinity never.
    """

    def __init__(self, reason: Reason, words: str, pause_seconds: float = 0.0) -> None:
        super().__init__(words)
        self.reason = reason
        self.words = words
        self.pause_seconds = pause_seconds

    @classmethod
    def off(cls, reason: Reason, words: str) -> Trouble:
        """Return trouble that does not pass while this program runs."""
        return cls(reason, words, NEVER)


def of(error: Exception) -> Trouble:
    """Return what an error of SQLite or of the operating system means."""
    if isinstance(error, Trouble):
        return error
    code = getattr(error, "sqlite_errorcode", None)
    match None if code is None else code & 0xFF:  # the rest of an extended code is detail
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return Trouble(Reason.BUSY, f"another process holds it ({error})")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return Trouble(Reason.CORRUPT, f"it is damaged ({error})")
        case sqlite3.SQLITE_FULL:
            return Trouble(Reason.FULL, f"it cannot grow ({error})", PAUSE_SECONDS)
        case _:
            return Trouble(Reason.FAILED, f"{type(error).__name__}: {error}", PAUSE_SECONDS)
