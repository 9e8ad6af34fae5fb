"""Stalled: nothing has advanced for longer than this level is ever silent."""

from __future__ import annotations

from dataclasses import dataclass

from otel_progress.deviation._rule import OK, UNDECIDED, Answer, Found
from otel_progress.deviation._run import Run
from otel_progress.deviation._words import lasting
from otel_progress.names import DeviationKind, Severity


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stalled:
    """
    The level is silent for longer than earlier runs were at this place, or than this run was before.

    With history the limit follows the earlier runs' silence around this share of the work, and their longest at all;
    without, it is a multiple of this run's longest, once there were some advances. Ends with the next advance.

    Attributes:
        least_seconds: Shorter silence is never a stall.
        least_share: Nor is silence below this share of an earlier run.
        here_factor: Times the silence of earlier runs around this share of the work.
        elsewhere_factor: Times the longest silence of earlier runs.
        most_share: A silence elsewhere in an earlier run excuses no more than this share of a run.
        least_tempo: A run that is faster than earlier ones is not expected to be this much less silent.
        own_factor: Times this run's own longest silence, where there is no history.
        own_share: Nor is silence, there, below this share of the active time before it.
        least_advances: Advances to have been seen before a run is judged by itself.
        error_factor: Times the limit from which on it is an error.
    """

    least_seconds: float = 2.0
    least_share: float = 0.06
    here_factor: float = 2.0
    elsewhere_factor: float = 1.25
    most_share: float = 0.1
    least_tempo: float = 0.7
    own_factor: float = 3.0
    own_share: float = 0.15
    least_advances: int = 20
    error_factor: float = 4.0
    severity: Severity = Severity.WARN

    @property
    def kind(self) -> DeviationKind:
        """What it finds."""
        return DeviationKind.STALLED

    def check(self, run: Run, *, held: bool) -> Answer:  # noqa: ARG002  # an advance ends it: there is no lower limit
        """Compare the silence with its limit."""
        silent = run.active - run.changed_at
        if silent < self.least_seconds or run.is_paused:
            return OK
        fraction = run.fraction
        by_past = run.past.has_axis and fraction is not None
        limit = self._past_limit(run, fraction or 0.0) if by_past else self._own_limit(run)
        if limit is None:
            return UNDECIDED
        if silent <= limit:
            return OK
        longest = max(run.longest_pause, run.past.longest_pause or 0.0)
        known = f"; its longest earlier pause was {lasting(longest)}" if longest else ""
        severity = Severity.ERROR if silent > self.error_factor * limit else self.severity
        return Found(f"{run.name} has not advanced for {lasting(silent)}{known}", severity)

    def _past_limit(self, run: Run, fraction: float) -> float | None:
        past, reference = run.past, run.reference
        here = self.here_factor * past.pause_around(fraction, run.step / (run.total or past.total or 1.0))
        elsewhere = self.elsewhere_factor * min((past.longest_pause or 0.0) / past.seconds, self.most_share)
        limit = max(here, elsewhere, self.least_share) * reference * max(run.tempo, self.least_tempo)
        return max(limit, self.least_seconds)

    def _own_limit(self, run: Run) -> float | None:
        if run.advances < self.least_advances or (run.total is not None and run.done >= run.total):
            return None
        return max(self.own_factor * run.longest_pause, self.own_share * run.changed_at, self.least_seconds)
