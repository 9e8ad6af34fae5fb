"""Frozen data that passes between the parts, and the protocols they meet at. Re-exported publicly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, Protocol

from otel_progress.names import LIVE_STATES, State

_EMPTY: Mapping[str, object] = MappingProxyType({})


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
    """What a parent's estimate needs of a live child: its share done, its weight, its time left."""

    fraction: float | None
    weight: float = 1.0
    eta: Estimate | None = None
    parallel: bool = False


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
    count them all.
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

    @property
    def is_live(self) -> bool:
        """Whether the level has not ended."""
        return self.state in LIVE_STATES


ChangeKind = Literal["snapshot", "started", "advanced", "state_changed", "ended"]


@dataclass(frozen=True, slots=True)
class Change:
    """
    Something happened to a level: ``kind`` says what, ``level`` is how it stands now (without its children).

    ``snapshot`` opens a `watch`, ``advanced`` comes at most once a second and level.
    """

    kind: ChangeKind
    level: Snapshot


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


class Clock(Protocol):
    """Where time comes from."""

    def wall_ns(self) -> int:
        """Return nanoseconds since the unix epoch, for timestamps."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back, for durations and rates."""
        ...
