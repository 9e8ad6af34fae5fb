"""What is known of the run that rules look at: its newest sample, its silence, and a bounded record of its course."""

from __future__ import annotations

from bisect import bisect_right
from math import inf, isfinite
from typing import Any, Final, NamedTuple

from otel_progress._model import Estimate, Sample
from otel_progress.deviation._past import Past
from otel_progress.deviation._tempo import Tempo
from otel_progress.eta import Estimator

POINTS_KEPT: Final = 64
"""Points of the course that are kept: between 32 and 64 of them over the active time so far, evenly."""

RENEWED_AFTER: Final = 0.01
"""Share of the active time after which an estimate of our own is made anew: one costs ten checks."""

SETTLED: Final = 0.8
"""Share of the active time within which the total must have changed last, to be taken for final."""


class Stretch(NamedTuple):
    """A stretch of the run: its active seconds and what was done in it."""

    seconds: float
    done: float
    failed: float
    bytes: float
    waited: float


class Run:
    """
    The run so far, in active seconds: pauses are taken out, and a clock that goes back stands still.

    Rules read it; a `Monitor` writes it. What is unknown is ``None``.

    Attributes:
        name: The level's name, as a sentence begins with it.
        unit: What an item is, in UCUM, such as ``{row}``.
        past: What earlier runs say.
        total: Items in all.
        total_since: Active seconds when it was last another.
        done: Items done; at the start of this run it was ``origin``.
        failed: Failed items, part of done.
        bytes: Bytes done.
        waited: Seconds spent waiting for rate limits.
        quality: Quality as last set, 0..1; its highest value was ``best_quality``.
        rss: Memory in bytes.
        cpu: CPU seconds since the first sample.
        active: Active seconds since the start.
        changed_at: Active seconds at the last advance, or at the end of the last pause if that was later.
        advances: How often ``done`` was seen to grow.
        longest_pause: Longest silence between two advances so far, in active seconds.
        reference: Seconds that earlier runs would have needed for as many items as this one has; 0 without any.
        estimator: What makes the estimates, unless who checks does.
        notes: For rules that must remember something of a run: under the rule itself as the key.
    """

    __slots__ = (
        "_cpu_before",
        "_estimate",
        "_estimated_at",
        "_marks",
        "_paused_at",
        "_place",
        "_points",
        "_seen",
        "_skipped",
        "_started",
        "_step",
        "_tempo",
        "active",
        "advances",
        "best_quality",
        "bytes",
        "changed_at",
        "cpu",
        "done",
        "estimator",
        "failed",
        "longest_pause",
        "name",
        "notes",
        "origin",
        "past",
        "quality",
        "reference",
        "rss",
        "total",
        "total_since",
        "unit",
        "waited",
    )

    def __init__(self, name: str, unit: str, past: Past, total: float | None) -> None:
        self.name = name
        self.unit = unit
        self.past = past
        self.done = self.origin = self.failed = self.bytes = self.waited = 0.0
        self.quality: float | None = None
        self.best_quality: float | None = None
        self.rss: float | None = None
        self.cpu: float | None = None
        self.active = self.changed_at = self.longest_pause = 0.0
        self.advances = 0
        self.estimator: Estimator | None = None
        self._estimate: Estimate | None = None
        self._estimated_at = 0.0
        self.notes: dict[object, Any] = {}
        self._started: float | None = None
        self._seen = 0.0  # newest moment, monotonic
        self._skipped = 0.0  # seconds in pauses
        self._paused_at: float | None = None
        self._points: list[Stretch] = []
        self._marks: list[float] = []  # their seconds
        self._step = 0.0
        self._tempo = Tempo() if past.has_axis else None
        self._place = 0.0
        self.total: float | None = None
        self.total_since = 0.0
        self.reference = past.seconds
        if total is not None:
            self.limit_to(total)
        self._cpu_before = 0.0  # cpu seconds of the first sample

    # --- written by the monitor ---------------------------------------------------------------------------------------

    def at(self, now: float) -> None:
        """Move the clock on."""
        if self._started is None:
            self._started = self._seen = now
            if self._paused_at is not None:
                self._paused_at = now
        if now > self._seen:
            self._seen = now
            if self._paused_at is None:
                self.active = now - self._started - self._skipped

    def take(self, sample: Sample) -> None:
        """Take a sample in; numbers that are not finite are passed over."""
        if not (isfinite(sample.now) and isfinite(sample.done)):
            return
        self.at(sample.now)
        if sample.total != self.total:
            self.limit_to(sample.total)
        self.failed = _finite(sample.failed, self.failed)
        self.bytes = _finite(sample.bytes, self.bytes)
        self.waited = _finite(sample.waited, self.waited)
        if sample.quality is not None and isfinite(sample.quality):
            self.quality = min(max(0.0, sample.quality), 1.0)
            self.best_quality = max(self.quality, self.best_quality or 0.0)
        if sample.rss is not None and isfinite(sample.rss):
            self.rss = sample.rss
        if sample.cpu is not None and isfinite(sample.cpu):
            if self.cpu is None:
                self._cpu_before = sample.cpu
            self.cpu = max(sample.cpu - self._cpu_before, 0.0)
        self._count(sample.done)

    def limit_to(self, total: float | None) -> None:
        """Take in a total that is new, grown, shrunk or lost."""
        if total is not None and not 0 <= total < inf:
            return
        if total != self.total:
            self.total_since = self.active
        self.total = total
        past = self.past
        reference = past.seconds * (total / past.total) if total and past.total else past.seconds
        self.reference = reference if 0 < reference < inf else past.seconds
        self._place = self.place_of(self.done)

    def count(self, done: float, now: float) -> None:
        """Take in how much is done, and nothing else."""
        if isfinite(done) and isfinite(now):
            self.at(now)
            self._count(done)

    def _count(self, done: float) -> None:
        if not self._points:  # the first there is: what was done before is not of this run
            self.origin = self.done = done
            self._place = self.place_of(done)
            self._keep()
        elif done > self.done:
            if self._tempo is not None:
                before, self._place = self._place, self.place_of(done)
                self._tempo.take(self.active - self.changed_at, (self._place - before) * self.reference, self.reference)
            self.done = done
            self.advances += 1
            self.longest_pause = max(self.longest_pause, self.active - self.changed_at)
            self.changed_at = self.active
            if self.active - self._points[-1].seconds >= self._step:
                self._keep()
        elif done < self.done:  # taken back: what comes now is measured from here
            self.done = done
            self._place = self.place_of(done)
            self.origin = min(self.origin, done)
            self.changed_at = self.active
            self._points, self._marks = [], []
            self._keep()

    def _keep(self) -> None:
        points = self._points
        points.append(Stretch(self.active, self.done, self.failed, self.bytes, self.waited))
        self._marks.append(self.active)
        if len(points) >= POINTS_KEPT:
            del points[1::2], self._marks[1::2]
            self._step = (points[-1].seconds - points[0].seconds) / len(points)

    def pause(self, now: float) -> None:
        """Stop the clock."""
        if self._paused_at is None and isfinite(now):
            if self._started is not None:
                self.at(now)
            self._paused_at = self._seen if self._started is not None else now
            self.changed_at = self.active

    def resume(self, now: float) -> None:
        """Start the clock again; the silence begins anew."""
        if self._paused_at is not None and isfinite(now):
            if self._started is not None:
                self.at(now)
                self._skipped += max(self._seen - self._paused_at, 0.0)
            self._paused_at = None
            self.changed_at = self.active

    # --- read by rules ------------------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """The moment, in the monotonic seconds of the samples."""
        return self._seen

    @property
    def is_paused(self) -> bool:
        """Whether the level is paused."""
        return self._paused_at is not None

    @property
    def estimate(self) -> Estimate | None:
        """The time left as it was last estimated: by who checks, or here and now if the last one is old."""
        if self.estimator is not None and self.active > self._estimated_at * (1 + RENEWED_AFTER):
            self._estimated_at = self.active
            self._estimate = self.estimator.estimate(self._seen)
        return self._estimate

    @estimate.setter
    def estimate(self, estimate: Estimate | None) -> None:
        self._estimate = estimate

    @property
    def silent(self) -> float:
        """Active seconds since the last advance."""
        return self.active - self.changed_at

    @property
    def step(self) -> float:
        """Items of one advance, usually."""
        return (self.done - self.origin) / self.advances if self.advances else 1.0

    @property
    def is_settled(self) -> bool:
        """Whether the total has been the same for some time: no end can be promised while it grows."""
        return self.total is not None and self.total_since <= SETTLED * self.active

    @property
    def fraction(self) -> float | None:
        """Share done, 0..1; by the total of earlier runs where this one has none."""
        total = self.total if self.total is not None else self.past.total
        if not total or total < self.done:
            return 1.0 if self.total is not None and self.total > 0 else None
        return max(self.done / total, 0.0)

    def place_of(self, done: float) -> float:
        """Return the share of their time that earlier runs had needed for so many items; 0 while unknown."""
        total = self.total if self.total is not None else self.past.total
        return self.past.time_at(done / total) if total and self.past.has_axis else 0.0

    @property
    def place(self) -> float:
        """The share of their time that earlier runs had needed to get here; 0 while unknown."""
        return self._place

    @property
    def to_do(self) -> float:
        """Seconds that earlier runs would have needed for what this run began with: a resumed one has less to do."""
        return self.reference * (1.0 - self.place_of(self.origin)) if self.origin else self.reference

    @property
    def tempo(self) -> float:
        """How many times longer than earlier runs this one takes for the same work, usually; 1 while unknown."""
        return 1.0 if self._tempo is None else self._tempo.usual

    def last(self, seconds: float) -> Stretch:
        """Return what was done in the last active seconds up to the last advance, or in a little more than that."""
        points = self._points
        if not points:
            return Stretch(0.0, 0.0, 0.0, 0.0, 0.0)
        until = self.changed_at
        point = points[max(bisect_right(self._marks, until - seconds) - 1, 0)]
        return Stretch(
            until - point.seconds,
            self.done - point.done,
            self.failed - point.failed,
            self.bytes - point.bytes,
            self.waited - point.waited,
        )

    def course(self) -> list[Stretch]:
        """Return the points that are kept: active seconds, and the counts there."""
        return self._points


def _finite(value: float, otherwise: float) -> float:
    return value if isfinite(value) else otherwise
