"""Frozen data that passes between the parts, and the protocols they meet at. Re-exported publicly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal, Protocol

from otel_progress import _profile
from otel_progress.names import LIVE_STATES, DeviationKind, Severity, State

_EMPTY: Mapping[str, object] = MappingProxyType({})

ETA_METHODS: Final = ("adaptive", "exponential", "history", "linear")
DEFAULT_ETA_METHOD: Final = "adaptive"
"""How time left is estimated; `otel_progress.eta` has the methods."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """
    Time left, as it looked at one moment.

    ``expected``, ``low`` and ``high`` are seconds left; ``low`` to ``high`` should hold the truth in 80 % of cases.
    ``confidence`` is 0..1, ``method`` the estimator that answered, ``factors`` what moved it, in words.
    """

    expected: float
    low: float
    high: float
    confidence: float
    method: str
    factors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """
    What a level looked like at ``now`` (monotonic seconds): the one input of estimates and deviation rules.

    ``done`` counts items whatever became of them and may be fractional; ``total`` is ``None`` while unknown;
    ``waited`` is seconds spent waiting for a rate limit; ``cpu`` is seconds, ``rss`` bytes.
    """

    now: float
    done: float
    total: float | None = None
    failed: float = 0
    skipped: float = 0
    bytes: float = 0
    waited: float = 0.0
    quality: float | None = None
    cpu: float | None = None
    rss: float | None = None


@dataclass(frozen=True, slots=True)
class ChildView:
    """
    What a parent's estimate needs of a live child: its share done, its weight, its time left.

    ``parallel`` says that it works beside its siblings, not before or after them; ``name`` is its level's type, by
    which phases of earlier runs are known again.
    """

    fraction: float | None
    weight: float = 1.0
    eta: Estimate | None = None
    parallel: bool = False
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """
    One earlier run of one level: what the next run's estimate and deviation rules know of it.

    Times are active seconds: pauses are taken out. ``None`` means unknown.

    Attributes:
        seconds: How long the run took.
        total: Items in all, as they turned out; ``None`` where the level counted none, and only its length is known.
        curve: At most 64 points (share of the seconds, share of the items), both rising from (0, 0) to (1, 1); empty
            where unknown.
        outcome: How it ended. Estimates use ``completed`` runs only.
        phases: (Name of a child level, share of the seconds after which it was through), in the order of their ends.
        ended_at: Unix seconds.
        longest_pause: Seconds of the longest silence between two advances.
        failed: Failed items.
        peak_rss: Bytes.
        cpu_seconds: Processor time.
        quality: The last value set, 0..1.
        waited_seconds: Seconds spent waiting for rate limits.
        items: (Hash of an item's key, its seconds), the dearest first, where keys were given.
    """

    seconds: float
    total: float | None
    curve: tuple[tuple[float, float], ...]
    outcome: str = "completed"
    phases: tuple[tuple[str, float], ...] = ()
    ended_at: float | None = None
    longest_pause: float | None = None
    failed: float = 0
    peak_rss: float | None = None
    cpu_seconds: float | None = None
    quality: float | None = None
    waited_seconds: float = 0.0
    items: tuple[tuple[str, float], ...] = ()

    @classmethod
    def from_samples(
        cls,
        samples: Iterable[tuple[float, float]],
        total: float | None = None,
        *,
        outcome: str = "completed",
        phases: Iterable[tuple[str, float]] = (),
        ended_at: float | None = None,
        longest_pause: float | None = None,
        failed: float = 0,
        peak_rss: float | None = None,
        cpu_seconds: float | None = None,
        quality: float | None = None,
        waited_seconds: float = 0.0,
        items: Iterable[tuple[str, float]] = (),
    ) -> Profile:
        """
        Return the profile of a run that was seen at these moments: (active seconds since its start, items done).

        The last sample is the end of the run. Items done before the first sample are another run's. Work that was
        taken back and done again counts as time without progress. A run that completed had as many items as it did,
        whatever its ``total`` said. Where ``longest_pause`` is not given it is read off the samples. Of ``items`` the
        five hundred dearest are kept.
        """
        seconds, counted, curve, silence = _profile.curve_of(samples)
        return cls(
            seconds=seconds,
            total=(counted or None) if outcome == "completed" else total,
            curve=curve,
            outcome=outcome,
            phases=tuple(phases),
            ended_at=ended_at,
            longest_pause=silence if longest_pause is None else longest_pause,
            failed=failed,
            peak_rss=peak_rss,
            cpu_seconds=cpu_seconds,
            quality=quality,
            waited_seconds=waited_seconds,
            items=_profile.dearest(items),
        )

    def encode(self) -> str:
        """Return the profile as JSON of at most 1 KB, and 20 bytes or so for each item beside."""
        return _profile.encode(self)

    @classmethod
    def decode(cls, text: str) -> Profile | None:
        """Return the profile that `encode` wrote; ``None`` if it is malformed, too large or of a newer version."""
        values = _profile.decode(text)
        return None if values is None else cls(**values)


@dataclass(frozen=True, slots=True)
class Deviation:
    """
    A run departs from what was to be expected of it, and how.

    ``since`` is when that was first seen, in the monotonic seconds of the samples; ``sentence`` tells a person about
    this case.
    """

    kind: DeviationKind
    severity: Severity
    since: float
    sentence: str


@dataclass(frozen=True, slots=True)
class CounterValue:
    """Value and unit of one named counter."""

    value: float
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """
    One level as it stood at one moment, with its children.

    Times are unix seconds, durations seconds; ``None`` means unknown. ``name`` is the level's type, ``operation``
    the job it belongs to; both are the same on the operation itself (``is_operation``). ``key`` is unique within the
    process and 0 for a child that is only announced; ``parent_key`` is ``None`` at the root of this process. ``done``
    includes ``failed`` and ``skipped``. ``children`` are the last finished, the live and the announced ones, the list
    being bounded; ``children_live``, ``children_finished`` and ``children_failed`` (of the finished)
    count them all. ``deviations`` are those that hold.
    """

    key: int
    parent_key: int | None
    is_operation: bool
    operation: str
    name: str
    id: str | None
    title: str | None
    path: tuple[str, ...]
    run_id: str
    state: State
    started_at: float | None
    ended_at: float | None
    elapsed_seconds: float
    done: float
    total: float | None
    failed: float
    skipped: float
    bytes: float
    unit: str
    fraction: float | None
    rate_per_second: float | None
    eta: Estimate | None
    expected_end_at: float | None
    last_advance_at: float | None
    message: str | None
    metadata: Mapping[str, object] = field(default_factory=lambda: _EMPTY)
    counters: Mapping[str, CounterValue] = field(default_factory=dict)
    quality: float | None = None
    error_type: str | None = None
    error_message: str | None = None
    reason: str | None = None
    cancel_requested: bool = False
    trace_id: str | None = None
    span_id: str | None = None
    children: tuple[Snapshot, ...] = ()
    children_live: int = 0
    children_finished: int = 0
    children_failed: int = 0
    deviations: tuple[Deviation, ...] = ()

    @property
    def is_live(self) -> bool:
        """Whether the level has not ended."""
        return self.state in LIVE_STATES


ChangeKind = Literal["snapshot", "started", "advanced", "state_changed", "deviation", "recovered", "ended"]


@dataclass(frozen=True, slots=True)
class Change:
    """
    Something happened to a level: ``kind`` says what, ``level`` is how it stands now (without its children).

    ``snapshot`` opens a `watch`, ``advanced`` comes at most once a second and level. With ``deviation`` and
    ``recovered``, ``deviation`` is the one that began or is over.
    """

    kind: ChangeKind
    level: Snapshot
    deviation: Deviation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """
    How this package itself is doing in this process.

    Counts are totals since start, by reason. ``outbox_busy_seconds`` is how long the record in hand has been taking:
    large when an exporter or a callback blocks. ``export_kept`` is how many records wait now, by signal (``traces``,
    ``logs``), because their backend is in trouble. ``heartbeat_at`` is the unix time of the ticker's last round.
    """

    enabled: bool
    live_levels: int
    finished_operations: int
    heartbeat_at: float | None
    outbox_length: int
    outbox_busy_seconds: float
    export_kept: Mapping[str, int]
    dropped: Mapping[str, int]
    ignored: Mapping[str, int]
    contained: Mapping[str, int]


class HistorySource(Protocol):
    """Where earlier runs are found: the local store, a backend, or something of your own."""

    def profiles(self, operation: str, level: str | None = None, limit: int = ...) -> tuple[Profile, ...]:
        """
        Return how the last completed runs of a level went (``None``: of the operation itself), newest first.

        At most ``limit``. It may take seconds, and is called by a thread that may wait; it does not raise.
        """
        ...


class Clock(Protocol):
    """Where time comes from."""

    def wall_ns(self) -> int:
        """Return nanoseconds since the unix epoch, for timestamps."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back, for durations and rates."""
        ...
