"""What all backends have in common as sources of history: they may be slow, gone or odd, and nobody suffers from it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar, Final

from otel_progress._contain import Tally
from otel_progress._model import Clock, Profile

PAUSE_SECONDS: Final = 60.0
"""How long a backend that failed is left alone: a hundred levels must not wait for it one after the other."""


class Remote(ABC):
    """
    A backend at ``url`` that remembers runs. Thread-safe; `profiles` never raises, and takes seconds at worst.

    Trouble is logged once and counted as dropped.
    """

    kind: ClassVar[str]

    def __init__(self, url: str, *, clock: Clock, tally: Tally, service: str | None = None) -> None:
        self._url = url
        self._clock = clock
        self._tally = tally
        self._service = service
        self._resume_at = 0.0

    def profiles(self, operation: str, level: str | None = None, limit: int = 10) -> tuple[Profile, ...]:
        """Return how the last completed runs of a level went (``None``: the operation itself), newest first."""
        if self._clock.monotonic() < self._resume_at or limit <= 0:
            return ()
        try:
            found = list(self._ask(operation, level, limit))
        except Exception as error:  # noqa: BLE001  # it is somebody else's program that answers
            self._resume_at = self._clock.monotonic() + PAUSE_SECONDS
            message = "otel_progress: no history from %s at %s: %s: %s; your program is unaffected"
            reason = f"history_{self.kind}"
            self._tally.log_once(reason, message, self.kind, self._url, type(error).__name__, error)
            self._tally.drop(reason)
            return ()
        found.sort(key=lambda profile: profile.ended_at or 0.0, reverse=True)
        return tuple(found[:limit])

    @abstractmethod
    def _ask(self, operation: str, level: str | None, limit: int) -> Iterable[Profile]:
        """Return completed runs in any order; raise anything."""


def profile_of(text: object, ended_at: float) -> Profile | None:
    """Return the profile that a record carried; it ended when its span did, unless it knows better."""
    profile = Profile.decode(text) if isinstance(text, str) else None
    if profile is None or profile.outcome != "completed":
        return None
    return profile if profile.ended_at is not None else replace(profile, ended_at=ended_at)
