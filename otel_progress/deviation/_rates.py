"""Rules about a share or speed of late: failed items, items of an endless level, time spent waiting."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Final

from otel_progress.deviation._rule import OK, UNDECIDED, Answer, Found
from otel_progress.deviation._run import Run
from otel_progress.deviation._words import items, lasting, rates, runs, share
from otel_progress.names import DeviationKind, Severity

RECENT: Final = 0.2
"""The recent part of a run: this share of its active time."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ErrorRate:
    """
    More items fail than should.

    Of the recent items or of all, surely more than the limit fail: the lower end of the Wilson score interval (Wilson
    1927) lies above it. The limit is ``factor`` times the share that failed in earlier runs, at least ``least``, and
    ``limit`` without history. Ends when fewer than half the limit of the recent items fail. An error from
    ``error_share`` on.

    Attributes:
        limit: Share of the items that may fail, without history.
        least: Share that may always fail, with history.
        factor: Times the share of earlier runs.
        least_items: Fewer items say nothing.
        sigmas: How sure it must be, in standard deviations.
        error_share: Share of failed items that is an error.
    """

    limit: float = 0.05
    least: float = 0.02
    factor: float = 3.0
    least_items: float = 10
    sigmas: float = 3.0
    error_share: float = 0.5
    severity: Severity = Severity.WARN

    @property
    def kind(self) -> DeviationKind:
        """What it finds."""
        return DeviationKind.ERROR_RATE

    def check(self, run: Run, *, held: bool) -> Answer:
        """Compare the share of failed items with its limit."""
        done = run.done - run.origin
        if done < self.least_items:
            return UNDECIDED
        failed = min(run.failed, done)
        if failed <= 0:
            return OK
        before = run.past.failed_share
        limit = self.limit if before is None else max(self.least, self.factor * before)
        recent = run.last(RECENT * run.changed_at)
        recent_failed = min(recent.failed, recent.done)
        if recent.done < self.least_items:
            recent_done, recent_failed = done, failed
        else:
            recent_done = recent.done
        now = recent_failed / recent_done
        if now < limit / 2:
            return OK
        sure = max(_at_least(failed, done, self.sigmas), _at_least(recent_failed, recent_done, self.sigmas)) > limit
        if not (sure or held):
            return OK
        if before is None:
            usual = f"up to {share(limit)} is usual"
        else:
            usual = f"in {runs(run.past.runs)} it was {share(before)}"
        part = "" if recent_done == done else "the last "
        return Found(
            f"{run.name}: {share(now)} of {part}{items(recent_done, run.unit)} failed; {usual}",
            Severity.ERROR if now >= self.error_share else None,
        )


def _at_least(failed: float, done: float, sigmas: float) -> float:
    """Return the lower end of the Wilson score interval of a share."""
    part, square = failed / done, sigmas * sigmas
    middle = part + square / (2 * done)
    half = sigmas * sqrt(part * (1 - part) / done + square / (4 * done * done))
    return (middle - half) / (1 + square / done)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LowThroughput:
    """
    A level without a total does less per second than it should: there `Slow` and `Overdue` have nothing to go by.

    The recent speed is below ``past_share`` of the mean speed of earlier runs, or, with less confidence, below
    ``own_share`` of this run's own before. Where ``at_least`` is given, it is the limit, with or without a total.

    Attributes:
        at_least: Items per second that are expected, if the user says so.
        past_share: Share of the mean speed of earlier runs.
        own_share: Share of this run's own speed, where there is no history.
        least_seconds: Nothing is said of a shorter run, or of a shorter part of one.
        recovery: Times the limit at which it ends.
    """

    at_least: float | None = None
    past_share: float = 0.4
    own_share: float = 0.25
    least_seconds: float = 30.0
    recovery: float = 1.5
    severity: Severity = Severity.WARN

    @property
    def kind(self) -> DeviationKind:
        """What it finds."""
        return DeviationKind.LOW_THROUGHPUT

    def check(self, run: Run, *, held: bool) -> Answer:
        """Compare the recent speed with its limit."""
        if (run.total is not None and self.at_least is None) or run.changed_at < self.least_seconds:
            return UNDECIDED
        recent = run.last(max(RECENT * run.changed_at, self.least_seconds))
        if not recent.seconds >= self.least_seconds:
            return UNDECIDED
        speed = recent.done / recent.seconds
        past = run.past
        before: float
        if self.at_least is not None:
            before = limit = self.at_least
            usual = "at least {} is expected"
        elif past.total:
            before = past.total / past.seconds
            limit = self.past_share * before
            usual = f"in {runs(past.runs)} it did {{}}"
        else:
            if not held:
                seconds = run.changed_at - recent.seconds
                if seconds < self.least_seconds:
                    return UNDECIDED
                run.notes[self] = (run.done - run.origin - recent.done) / seconds
            before = run.notes[self]
            limit = self.own_share * before
            usual = "before, it did {} (judged by this run alone)"
        if speed >= (limit * self.recovery if held else limit):
            return OK
        now, then = rates(speed, before, run.unit)
        return Found(f"{run.name} did {now} in the last {lasting(recent.seconds)}; {usual.format(then)}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RateLimited:
    """
    Much of the recent time went into waiting for rate limits.

    Attributes:
        limit: Share of the time that may be spent waiting, without history.
        beyond: With history: share beyond the largest of earlier runs.
        recovery: Share of the limit at which it ends.
        least_seconds: Nothing is said of a shorter run.
    """

    limit: float = 0.5
    beyond: float = 0.25
    recovery: float = 0.7
    least_seconds: float = 10.0
    severity: Severity = Severity.WARN

    @property
    def kind(self) -> DeviationKind:
        """What it finds."""
        return DeviationKind.RATE_LIMITED

    def check(self, run: Run, *, held: bool) -> Answer:
        """Compare the share of the time spent waiting with its limit."""
        if run.active < self.least_seconds:
            return UNDECIDED
        if run.waited <= 0:
            return OK
        recent = run.last(max(RECENT * run.active, self.least_seconds))
        seconds = recent.seconds + run.silent
        waiting = min(recent.waited / seconds, 1.0) if seconds > 0 else 0.0
        before = run.past.waited_share
        limit = self.limit if before is None else min(before + self.beyond, (1 + before) / 2)
        if waiting <= (limit * self.recovery if held else limit):
            return OK
        usual = "" if before is None else f"; in {runs(run.past.runs)} it was {share(before)}"
        return Found(f"{run.name} waits for rate limits {share(waiting)} of the time{usual}")
