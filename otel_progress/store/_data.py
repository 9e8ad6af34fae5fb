"""What goes into the store and comes out of it, besides profiles."""

from __future__ import annotations

from dataclasses import dataclass

from otel_progress._model import Profile, Snapshot
from otel_progress.store._processes import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """
    One finished level.

    Attributes:
        level: How it ended; its children are not kept.
        profile: How it went, as history for the next run; ``None`` where it cannot be told.
        eta_errors: abs(ln(promised/true seconds left)) at a quarter, half and three quarters of its time.
        eta_coverage: Share of its promises whose interval held the truth, 0..1; ``None`` if it made none.
    """

    level: Snapshot
    profile: Profile | None = None
    eta_errors: tuple[float, ...] = ()
    eta_coverage: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveProcess:
    """
    What one process was doing when it last wrote, at most about a second before its end.

    Attributes:
        pid: Number of the process, on ``host`` and in its PID namespace.
        host: Name of the machine or container.
        heartbeat_at: Unix seconds of the last write, by that process's clock.
        status: ``live``; ``dead`` if it is gone, or of another machine and silent for half a minute; ``silent`` if it
            is there and has not written for as long.
        levels: Roots of the levels that were live, with their children.
    """

    pid: int
    host: str
    heartbeat_at: float
    status: Status
    levels: tuple[Snapshot, ...]
