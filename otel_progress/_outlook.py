"""What is made of a level's counts while it lives: time left, the promises made, what they were made of, deviations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from otel_progress._keyed import Notes
    from otel_progress._model import ChildView, Deviation, Estimate, Profile, Sample
    from otel_progress._usage import Usage
    from otel_progress.deviation import Monitor
    from otel_progress.eta import Estimator, Promises
    from otel_progress.names import DeviationKind, Severity

Spent = tuple["Estimator | None", "Promises | None", float]
"""What was learned of a level that has ended, and the units that it reached: for its profile."""

NOTHING_SPENT: Final[Spent] = (None, None, 0.0)


class Outlook:
    """
    Made when a level is first looked at; most levels are over before.

    Changes under the level's lock, but for the monitor and what it found, which the ticker alone writes.

    Attributes:
        estimate: The newest; ``None`` while unknown, and after the end.
        rate: Recent units a second, likewise.
        sampled_at: Monotonic seconds of the newest sample.
        newest: What the estimator was told last; the monitor is told the same.
        earlier: Earlier runs of this level, as far as they are known.
        peak_rss: Of the process meanwhile, in bytes, where the level stands for it.
        cpu_seconds: Likewise, processor time.
        monitor: Looks for deviations, on a level old enough.
        deviations: Those that hold.
        onsets: How often each has begun.
    """

    __slots__ = (
        "_estimator",
        "_promises",
        "_spent",
        "_usage",
        "cpu_seconds",
        "deviations",
        "earlier",
        "estimate",
        "monitor",
        "newest",
        "onsets",
        "peak_rss",
        "rate",
        "sampled_at",
    )

    def __init__(self, estimator: Estimator, notes: Notes | None) -> None:
        self._estimator: Estimator | None = estimator
        self._promises: Promises | None = None
        self._spent = NOTHING_SPENT
        self._usage: Usage | None = None
        self.earlier: tuple[Profile, ...] = ()
        self.estimate: Estimate | None = None
        self.rate: float | None = None
        self.sampled_at: float | None = None
        self.newest: Sample | None = None
        self.peak_rss: float | None = None
        self.cpu_seconds: float | None = None
        self.monitor: Monitor | None = None
        self.deviations: tuple[Deviation, ...] = ()
        self.onsets: dict[tuple[DeviationKind, Severity], int] | None = None
        self._tell_ahead(notes)

    def hear(self, profiles: tuple[Profile, ...], calibration: float, notes: Notes | None) -> None:
        """Take in, once, how earlier runs of this level went, and the log of the scale their intervals needed."""
        if self._estimator is None or self.earlier:
            return
        self.earlier = profiles
        self._estimator.set_history(profiles, calibration)
        self._tell_ahead(notes)

    def _tell_ahead(self, notes: Notes | None) -> None:
        if self._estimator is not None and notes is not None:
            if notes.all_keys is not None:
                self._estimator.set_items(notes.all_keys)
            if notes.all_cost is not None:
                self._estimator.set_cost(notes.all_cost)

    def pause(self, now: float) -> None:
        """Stop the clock of the estimate."""
        if self._estimator is not None:
            self._estimator.pause(now)

    def resume(self, now: float) -> None:
        """Let it go on."""
        if self._estimator is not None:
            self._estimator.resume(now)

    def used(self, usage: Usage | None) -> tuple[float | None, float | None]:
        """Return the processor seconds since the first time this was asked, and the resident bytes."""
        if usage is None:
            return None, None
        if self._usage is None:
            self._usage = usage
        self.cpu_seconds = usage.cpu_seconds - self._usage.cpu_seconds
        if usage.rss_bytes is not None:
            self.peak_rss = max(self.peak_rss or 0.0, usage.rss_bytes)
        return self.cpu_seconds, usage.rss_bytes

    def take(self, sample: Sample, notes: Notes | None, children: Sequence[ChildView], *, has_rate: bool) -> None:
        """Take a sample in, with what the level's loop noted and how its children stand, and renew the estimate."""
        estimator = self._estimator
        if estimator is None:
            return
        self.newest = sample
        if notes is not None:
            for key, seconds, cost in notes.drain():
                estimator.observe_item(key, seconds, cost)
        estimator.observe(sample)
        self.estimate = estimator.estimate(sample.now, children)
        if self.estimate is not None:
            if self._promises is None:
                from otel_progress.eta import Promises  # noqa: PLC0415  # see `rounds.prepare`

                self._promises = Promises()
            self._promises.add(estimator.active_seconds(sample.now), self.estimate)
        self.rate = estimator.rate(sample.now) if has_rate else None
        self.sampled_at = sample.now

    def estimated(self, now: float) -> tuple[Estimate, float] | None:
        """Return the newest estimate, and how many seconds ago it was made; each is read once, as it may be gone."""
        estimate, sampled_at = self.estimate, self.sampled_at
        return None if estimate is None or sampled_at is None else (estimate, max(now - sampled_at, 0.0))

    def end(self, reached: float) -> None:
        """The level has ended with so many units done: nothing is promised any more."""
        self._spent = (self._estimator, self._promises, reached)
        self._estimator = self._promises = self.estimate = self.rate = self.newest = self.monitor = None
        self.deviations = self.earlier = ()

    def take_spent(self) -> Spent:
        """Return what was learned of the level, now that it has ended, and let go of it."""
        spent, self._spent = self._spent, NOTHING_SPENT
        return spent
