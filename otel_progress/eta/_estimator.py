"""The estimator: takes samples in, asks the method, and gives the answer an interval and words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import exp, inf, isfinite, log
from typing import Any, Final

from otel_progress._model import DEFAULT_ETA_METHOD, ETA_METHODS, ChildView, Estimate, Profile, Sample
from otel_progress.errors import ConfigError
from otel_progress.eta._blend import Answer, Blend, road_of
from otel_progress.eta._factors import factors
from otel_progress.eta._history import History
from otel_progress.eta._items import ItemLog, KnownItems
from otel_progress.eta._pace import RECENT_SHARE, Pace
from otel_progress.eta._series import Series
from otel_progress.eta._sizes import Sizes
from otel_progress.eta._tree import PhaseLog, Phases, side_by_side

METHODS: Final = ETA_METHODS
DEFAULT_METHOD: Final = DEFAULT_ETA_METHOD

_WIDEST: Final = 600.0
"""Half an interval in log time, beyond which numbers end."""


class Estimator:
    """
    Estimate the seconds left of one level.

    Feed it with `observe` (or `record`) and ask `estimate`; every ``now`` is monotonic seconds, passed in. Constants
    are shares of the run, never seconds: the same job thirty times longer gets the same relative answer. Silence is
    evidence: up to the usual gap between two advances the estimate counts down, beyond it the silence is charged as
    cost. Pauses are taken out. Not thread-safe: the caller has the lock.

    Args:
        total: Units in all, ``None`` while unknown.
        history: Profiles of earlier runs of the same level, in any order; those that completed are used.
        method: ``"adaptive"``, a mixture of predictors by how they would have done in this very run, and the earlier
            runs while they explain it; ``"history"``, the earlier runs whatever happens, else the mixture;
            ``"linear"``, the speed of the whole run; ``"exponential"``, mostly that of its last fifth.
        calibration: Log of the scale of intervals, as `recalibrated` returned it for the run before.

    Raises:
        ConfigError: There is no such method.
    """

    __slots__ = (
        "_blend",
        "_calibration",
        "_history",
        "_items",
        "_known",
        "_longest_silence",
        "_offset",
        "_pace",
        "_paused_at",
        "_phase_log",
        "_phases",
        "_series",
        "_sizes",
        "_total",
        "_waited",
        "_work",
        "method",
    )

    _pace: Pace
    _series: Series
    _blend: Blend

    def __init__(
        self,
        total: float | None = None,
        history: Iterable[Profile] = (),
        method: str = DEFAULT_METHOD,
        *,
        calibration: float = 0.0,
    ) -> None:
        if method not in METHODS:
            msg = f"method must be one of {', '.join(METHODS)}, got {method!r}"
            raise ConfigError(msg)
        self.method = method
        self._calibration = calibration
        self._history: History | None = None
        self._known: KnownItems | None = None
        self._phases: Phases | None = None
        self._items: ItemLog | None = None
        self._sizes: Sizes | None = None
        self._phase_log: PhaseLog | None = None
        self._total = total
        self._offset: float | None = None  # when it would have started, had there been no pauses
        self._paused_at: float | None = None
        self._waited = self._longest_silence = self._work = 0.0
        self._measure_from(0.0, 0.0)
        self.set_history(history)

    # --- what happens ---------------------------------------------------------------------------------------------

    def set_history(self, history: Iterable[Profile], calibration: float | None = None) -> None:
        """
        Take in the earlier runs, and the log of the scale of intervals; both may be loaded while the level runs.

        Once, before items are seen.
        """
        if calibration is not None:
            self._calibration = calibration
        profiles = tuple(history)
        if not profiles or self.method not in {"adaptive", "history"}:
            return
        found = History(profiles)
        if found.runs:
            self._history = found
            self._known = KnownItems(found.runs) or None
            self._phases = Phases(found.runs) or None

    def observe(self, sample: Sample) -> None:
        """Take one sample in; a ``done`` below the last one starts the measurement anew from there."""
        self.set_total(sample.total, sample.now)
        self.record(sample.done, sample.now)
        self._waited = sample.waited

    def record(self, done: float, now: float) -> None:
        """Take in that ``done`` units are done at ``now``."""
        pace = self._pace
        offset = self._offset
        if offset is None or self._paused_at is not None or not pace.done < done < inf or not now < inf:
            self._record_rare(done, now)
            return
        active = now - offset
        changed_at = pace.changed_at
        if active < changed_at:
            active = changed_at  # the clock went back
        elif active - changed_at > self._longest_silence:
            self._longest_silence = active - changed_at
        pace.take(done, active)
        self._series.add(active, done, self._work)

    def _record_rare(self, done: float, now: float) -> None:
        """Take in the start, a rewind, what comes during a pause, and what is no advance."""
        pace = self._pace
        if not (isfinite(done) and isfinite(now)):
            return
        if self._offset is None:
            self._offset = now
            if self._paused_at is not None:
                self._paused_at = now
            self._measure_from(done, 0.0)
        elif done < pace.done:
            self._measure_from(done, self._active(now))
        elif done > pace.done:
            active = self._active(now)
            pace.take(done, active)
            self._series.add(active, done, self._work)

    def _measure_from(self, done: float, active: float) -> None:
        """Start measuring at this point; earlier speeds say nothing about what follows."""
        self._pace = Pace(done, active)
        self._series = Series(active, done, self._work)
        self._blend = Blend()

    def set_total(self, total: float | None, now: float) -> None:  # noqa: ARG002  # part of the seam
        """Take in a total that is new, grown, shrunk or lost."""
        if total == self._total:
            return
        if total is not None and not isfinite(total):
            total = None
        if total is not None and self._total is not None:
            self._pace.grow(total - self._total)
        self._total = total

    def observe_item(self, key: str | None, seconds: float, cost: float | None = None) -> None:
        """
        Take in what one item took, before it is recorded as done.

        Args:
            key: What the item is called in every run; its cost is remembered, and known ones place this run exactly.
            seconds: How long it was worked on.
            cost: Its size in any unit that has to do with the time; used where `set_cost` told the size of all.
        """
        if key is not None and isfinite(seconds):
            if self._items is None:
                self._items = ItemLog()
            self._items.add(key, seconds)
            if self._known is not None:
                self._known.add(key)
                self._work = self._known.done
        if cost is not None and isfinite(cost) and cost > 0:
            if self._sizes is None:
                self._sizes = Sizes()
            self._sizes.done += cost
            if self._known is None:
                self._work = self._sizes.done

    def set_items(self, keys: Iterable[str]) -> None:
        """Take in the keys of all items, where they are known ahead: then what is left of them is known as well."""
        if self._known is not None:
            self._known.tell(keys)

    def set_cost(self, cost: float | None) -> None:
        """Take in the size of all items together, in the unit of their ``cost``, where it is known ahead."""
        if self._sizes is None:
            self._sizes = Sizes()
        self._sizes.total = cost if cost is not None and isfinite(cost) else None

    def pause(self, now: float) -> None:
        """Stop the clock: nothing until `resume` counts as time worked."""
        if self._paused_at is None:
            self._paused_at = now

    def resume(self, now: float) -> None:
        """Start the clock again."""
        if self._paused_at is not None:
            if self._offset is not None:
                self._offset += max(0.0, now - self._paused_at)
            self._paused_at = None

    # --- what is said ---------------------------------------------------------------------------------------------

    def active_seconds(self, now: float) -> float:
        """Return the seconds worked since the start, pauses taken out; 0 before it."""
        return 0.0 if self._offset is None else self._active(now)

    def _active(self, now: float) -> float:
        assert self._offset is not None  # noqa: S101  # callers checked
        until = now if self._paused_at is None else min(now, self._paused_at)
        return max(until - self._offset, self._pace.changed_at)  # it never goes back

    @property
    def _recent_share(self) -> float:
        return 0.0 if self.method == "linear" else RECENT_SHARE

    def rate(self, now: float) -> float | None:
        """Return units per second, aged by silence; ``None`` before the first advance."""
        if self._offset is None:
            return None
        seconds = self._pace.seconds_per_unit(self._recent_share, self._pace.overdue(self._active(now)))
        rate = 1 / seconds if seconds else None
        return rate if rate is not None and isfinite(rate) else None

    def estimate(self, now: float, children: Iterable[ChildView] = ()) -> Estimate | None:
        """
        Return the time left as seen at ``now``, or ``None`` while it cannot be known.

        Unknown means: no advance yet or no total, and no earlier run to go by; or more done than the total. Where the
        children at work are phases that an earlier run went through, they are asked; where parallel children have all
        that is left in hand, the last of them. No parent ends before its children, so the early ends of theirs are a
        floor. Only those: children that share workers speed up when a sibling ends, and our own pace knows that.
        """
        if self._offset is None:
            return None
        active = self._active(now)
        views = tuple(children)
        assumed = None
        total = self._total
        if total is None and self._history is not None and (self._history.total or 0.0) > self._pace.done:
            total = assumed = self._history.total
        slowness: float | None = None
        length_only = False
        floor = 0.0
        interval = self._by_phases(views, active)
        if interval is not None:
            *ends, slowness = interval  # which knows of the children what there is to know
        else:
            floor = max((child.eta.low for child in views if child.eta is not None), default=0.0)
            found = self._by_counts(total, active)
            ends = [] if found is None else _ends(found, self._pace.growing(), exp(self._calibration))
            slowness = None if found is None or found.say < 0.5 else found.slowness  # noqa: PLR2004  # half the say
            if total is not None and found is not None and (last := side_by_side(views, total - self._pace.done)):
                ends = list(last)
            if not ends and self._total is None and self._history is not None and self._history.length is not None:
                ends, length_only = list(self._history.length.left(active)), True
        if not ends or not isfinite(ends[2]):
            return None
        low, expected, high = (max(end, floor) for end in ends)
        pace = self._pace
        overdue = pace.overdue(active)
        return Estimate(
            expected=expected,
            low=low,
            high=high,
            # 1 for a point, 1/2 for an interval of a factor e.
            confidence=1.0 / (1.0 + log(high / low)) if low > 0 else float(high == 0),
            method=self.method,
            factors=factors(
                paused=self._paused_at is not None,
                silent=active - pace.changed_at if overdue > pace.gap() else None,
                growing=pace.growing() > 0,
                changes=pace.changes,
                waited=self._waited,
                active=active,
                slowness=slowness,
                assumed_total=assumed,
                length_only=length_only,
            ),
        )

    def _by_phases(self, children: Sequence[ChildView], active: float) -> tuple[float, float, float, float] | None:
        """Return low, expected and high seconds left and the slowness by the phases of an earlier run."""
        if any(child.name is not None for child in children):
            if self._phase_log is None:
                self._phase_log = PhaseLog()
            self._phase_log.look(children, active)
        if self._phases is None or self._phase_log is None:
            return None
        return self._phases.outlook(children, self._phase_log, active)

    def _by_counts(self, total: float | None, active: float) -> Answer | None:
        """Return the answer of the method by our own counts."""
        pace, series = self._pace, self._series
        if total is None or pace.done > total:
            return None
        left = total - pace.done
        if left == 0:
            return Answer(0.0, 0.0, 0.0)
        if self.method in {"linear", "exponential"}:
            return self._blend.by_pace(pace, left, active, self._recent_share)
        own = self._blend.adaptive(pace, series, left, active, self._sizes if self._known is None else None)
        road = None if self._history is None else road_of(self._history, self._known, pace, series, total)
        if road is None:
            return own
        return self._blend.with_history(own, road, pace, active, trusted=self.method == "history")

    def finish(self, done: float, now: float) -> None:
        """Take in how many units were done at the end, at ``now``; fewer than were seen are not believed."""
        self.record(max(done, self._pace.done), now)

    def profile(self, now: float, *, outcome: str = "completed", **more: Any) -> Profile:  # noqa: ANN401  # as Profile
        """Return this run as history for the next; ``more`` are the fields of a profile that counts do not tell."""
        active = self.active_seconds(now)
        rows = [*zip(self._series.times, self._series.units, strict=True), (active, self._pace.done)]
        return Profile.from_samples(
            [(0.0, rows[0][1]), *rows],
            self._total,
            outcome=outcome,
            phases=() if self._phase_log is None else self._phase_log.shares(active),
            longest_pause=max(self._longest_silence, active - self._pace.changed_at) if self._pace.changes else None,
            waited_seconds=self._waited,
            items=() if self._items is None else self._items.costs(),
            **more,
        )


def _ends(answer: Answer, growth: float, scale: float) -> list[float]:
    """
    Return low, expected and high seconds left.

    A total that grows by g for each unit done lengthens the rest by half of that, which is 2 to 5 times better than
    the geometric sum, and the upper side by all of it.
    """
    expected = answer.expected * (1.0 + growth / 2)
    low = expected * exp(-min(answer.down * scale, _WIDEST))
    return [low, expected, expected * exp(min(answer.up * scale, _WIDEST)) * (1.0 + growth)]
