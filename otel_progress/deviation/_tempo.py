"""How fast this run is beside the earlier ones, on the whole: the speed of the machine of today."""

from __future__ import annotations

from bisect import insort
from typing import Final

BLOCK: Final = 1 / 32
"""Share of an earlier run's time whose tempo is one vote."""

PRIOR_VOTES: Final = 2
"""Votes for the tempo of the earlier runs, before there are others."""

VOTES_KEPT: Final = 256
"""Votes of a run: more than 32 only where work is taken back or the total grows."""

FASTEST: Final = 1e-3
"""The least a vote can be: the tempo is divided by."""


class Tempo:
    """
    The median tempo of the parts of the run: how many times longer than earlier ones it takes for the same work.

    The median, because neither a stall nor a slow stretch changes what is usual today.
    """

    __slots__ = ("_expected", "_seconds", "_votes", "usual")

    def __init__(self) -> None:
        self.usual = 1.0
        self._votes = [1.0] * PRIOR_VOTES
        self._seconds = self._expected = 0.0

    def take(self, seconds: float, expected: float, reference: float) -> None:
        """Take in active seconds in which work was done that took earlier runs the expected ones."""
        self._expected += expected
        self._seconds += seconds
        if self._expected < BLOCK * reference or not self._expected > 0:
            return
        if len(self._votes) < VOTES_KEPT:
            insort(self._votes, max(self._seconds / self._expected, FASTEST))
            self.usual = self._votes[len(self._votes) // 2]
        self._seconds = self._expected = 0.0
