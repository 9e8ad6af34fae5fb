"""The pace of a run: seconds per unit over its whole and its recent part, usual gaps, growth of the total."""

from __future__ import annotations

from math import exp, isfinite, log, log1p, sqrt
from typing import Final

RECENT_SHARE: Final = 50.0
"""
How many times the recent work and time count beside those of the whole run, where the recent pace is asked for.

The whole run keeps a small say: without it one long stall looks like the new speed, and the estimate jumps up when work
goes on at last (travel of the promised end 150 run lengths, with it 13, on a set of 45 traces).
"""

_MEMORY: Final = 0.2
"""The recent part: evidence is forgotten with a time constant of this share of the active time so far."""
_SHORT: Final = 1e-4
"""Time constants below which an exponential is as good as a straight line."""
_WIDEST_SCALE: Final = 30.0
_SHORTEST_GAP_SECONDS: Final = 1e-12


class Pace:
    """
    Evidence since an origin (units done, active seconds), which is where speeds are measured from.

    Attributes:
        done: Units at the last change.
        changed_at: Active seconds at the last change.
        changes: Advances seen.
    """

    __slots__ = (
        "_begun",
        "_gaps",
        "_grown",
        "_growth",
        "_seconds",
        "_units",
        "changed_at",
        "changes",
        "done",
        "origin",
    )

    def __init__(self, done: float, active: float) -> None:
        self.origin = (done, active)
        self._begun = active
        self.done = done
        self.changed_at = active
        self.changes = 0
        # The recent part, forgotten bit by bit: units, seconds, gaps between changes, units the total grew by.
        self._units = self._seconds = self._gaps = self._growth = 0.0
        self._grown = 0.0  # since the last change

    def take(self, done: float, active: float) -> None:
        """Take in an advance to ``done``."""
        seconds = active - self.changed_at
        memory = _MEMORY * (active - self._begun)
        constants = seconds / memory if memory > 0 else 0.0
        if constants > _SHORT:
            kept = exp(-constants)
            # The gap is as long as it is: its older part is forgotten in part already. Mean of exp(-x) over the gap.
            weight = (1.0 - kept) / constants
        else:
            kept, weight = 1.0 - constants, 1.0 - constants / 2
        self._units = self._units * kept + (done - self.done) * weight
        self._seconds = self._seconds * kept + seconds * weight
        self._gaps = self._gaps * kept + weight
        if self._growth or self._grown:
            self._growth = self._growth * kept + self._grown * weight
            self._grown = 0.0
        self.changes += 1
        self.done = done
        self.changed_at = active

    def grow(self, units: float) -> None:
        """Take in that the total grew; before the first advance it is only being set up."""
        if self.changes:
            self._grown += units

    @property
    def known(self) -> bool:
        """Whether there was an advance that a speed can be told from."""
        return self._units > 0 and self._gaps > 0

    def gap(self) -> float:
        """Return the seconds between two changes, usually."""
        return max(self._seconds / self._gaps, _SHORTEST_GAP_SECONDS) if self._gaps > 0 else 0.0

    def step(self) -> float:
        """Return the units of one change, usually."""
        return self._units / self._gaps

    def overdue(self, active: float) -> float:
        """Return the seconds of silence beyond the usual gap."""
        return max(active - self.changed_at - self.gap(), 0.0) if self._gaps > 0 else 0.0

    def seconds_per_unit(self, recent_share: float, overdue: float) -> float | None:
        """Return the pace with the silence charged; ``None`` before the first advance."""
        done, active = self.origin
        seconds = recent_share * (self._seconds + overdue) + (self.changed_at - active + overdue)
        units = recent_share * self._units + (self.done - done)
        return seconds / units if units > 0 and seconds > 0 and isfinite(seconds / units) else None

    def growing(self) -> float:
        """Return the units the total gains for each unit done, 0..1: extrapolating more than that makes it worse."""
        return min(max(self._growth / self._units, 0.0), 1.0) if self._units > 0 else 0.0

    def scale(self, overdue: float) -> float:
        """Return the half width of an interval in log time: few advances, a drifting speed and silence widen it."""
        done, active = self.origin
        mean_pace = (self.changed_at - active + overdue) / (self.done - done)
        recent_pace = (self._seconds + overdue) / self._units
        drift = abs(log(mean_pace / recent_pace)) if mean_pace > 0 and recent_pace > 0 else 0.0
        scale = 0.25 + 0.6 / sqrt(self.changes) + 0.5 * drift + self.silence(overdue)
        return min(scale, _WIDEST_SCALE)

    def silence(self, overdue: float) -> float:
        """Return what silence adds to the half width."""
        gap = self.gap()
        return 0.25 * log1p(overdue / gap) if gap > 0 else 0.0
