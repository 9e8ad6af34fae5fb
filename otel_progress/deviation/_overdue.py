"""Overdue: it will end, or should have ended, later than it always did or than was promised."""

from __future__ import annotations

from dataclasses import dataclass

from otel_progress.deviation._rule import OK, UNDECIDED, Answer, Found
from otel_progress.deviation._run import Run
from otel_progress.deviation._words import lasting, runs
from otel_progress.names import DeviationKind, Severity


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Overdue:
    """
    The level misses its usual end, or what was promised of it: said as soon as it is foreseen.

    With history: it has been running longer than the longest earlier run and a margin, or the lower end of its
    estimate lies beyond that. Without: the lower end lies beyond the upper end of an earlier estimate of this run, both
    widened. An error once it has happened, a warning while it is foreseen.

    Attributes:
        margin: Share of the longest earlier run that one may take longer, in any case.
        margin_of_one: The same on top, divided by the number of earlier runs: one says little about the next.
        after: Share of an earlier run after which the end is foreseen.
        recovery: Share of the limit by which the expected end must come nearer again.
        widen_low: Power by which the estimate's lower side is widened: from an 80 % interval to a safer one.
        widen_high: The same of the upper side.
        promise_margin: Share of the promised length that the end must lie beyond the promise.
        promise_after: Share that must be done before an estimate counts as a promise.
    """

    margin: float = 0.2
    margin_of_one: float = 0.3
    after: float = 0.2
    recovery: float = 0.05
    widen_low: float = 1.6
    widen_high: float = 2.0
    promise_margin: float = 0.1
    promise_after: float = 0.3
    severity: Severity = Severity.WARN

    @property
    def kind(self) -> DeviationKind:
        """What it finds."""
        return DeviationKind.OVERDUE

    def check(self, run: Run, *, held: bool) -> Answer:
        """Compare the expected end with the usual or promised one."""
        if run.past.runs:
            return self._by_past(run, held=held)
        return self._by_promise(run, held=held)

    def _by_past(self, run: Run, *, held: bool) -> Answer:
        past, active, to_do = run.past, run.active, run.to_do
        limit = to_do * past.longest / past.seconds * (1 + self.margin + self.margin_of_one / past.runs)
        if active > limit:
            return Found(f"{run.name} has been running for {lasting(active)}; {_took(run)}", Severity.ERROR)
        if not run.place or run.changed_at < self.after * to_do:
            return UNDECIDED
        expected = active + (1.0 - run.place) * run.reference * run.tempo
        if expected <= (limit * (1 - self.recovery) if held else limit):
            return OK
        return Found(f"{run.name} is expected to take {lasting(expected)} in all; {_took(run)}")

    def _by_promise(self, run: Run, *, held: bool) -> Answer:
        estimate, fraction = run.estimate, run.fraction
        if estimate is None or not run.is_settled or fraction is None or not estimate.expected > 0:
            return UNDECIDED
        expected = estimate.expected
        promised, total = run.notes.get(self, (None, None))
        if promised is not None and (held or total == run.total):  # nothing was promised of items that came later
            limit = promised * (1 + self.promise_margin)
            low = expected * (estimate.low / expected) ** self.widen_low
            if run.active + (expected if held else low) > limit:
                return Found(
                    f"{run.name} is expected to take {lasting(run.active + expected)} in all; earlier it was "
                    f"expected to take {lasting(promised)} at most (judged by this run alone)",
                    Severity.ERROR if run.active > limit else None,
                )
        elif fraction < self.promise_after:
            return UNDECIDED
        else:
            promised = None
        if not held:
            end = run.active + expected * (estimate.high / expected) ** self.widen_high
            run.notes[self] = end if promised is None else min(end, promised), run.total
        return OK


def _took(run: Run) -> str:
    which = runs(run.past.runs) if run.past.runs == 1 else f"the longest of {runs(run.past.runs)}"
    return f"{which} took {lasting(run.past.longest)}"
