"""How well runs are watched: false alarms first, then what is found and how soon."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

from otel_progress import Profile
from tests.bench.deviation.cases import Case, silenced, slowed
from tests.bench.deviation.watch import Watcher

SLOW = frozenset({"slow", "overdue", "low_throughput"})
STALL = frozenset({"stalled"})

LONGER = 1.4
"""A run that took so many times longer than its history is no healthy one: that it is slow is true, and is news."""


@dataclass(slots=True)
class Score:
    """What was seen in some runs."""

    alarms: list[int] = field(default_factory=list)
    true_alarms: list[int] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    slow_delays: list[float | None] = field(default_factory=list)
    stall_delays: list[float | None] = field(default_factory=list)
    details: list[str] = field(default_factory=list)

    @property
    def alarms_per_run(self) -> float:
        """False alarms of a healthy run, on average."""
        return sum(self.alarms) / max(len(self.alarms), 1)

    @property
    def silent_share(self) -> float:
        """Share of the healthy runs without any."""
        return sum(not count for count in self.alarms) / max(len(self.alarms), 1)


def share(delays: Sequence[float | None], within: float = 1.0) -> float:
    """Return the share that was found within this share of the run."""
    return sum(delay is not None and delay <= within for delay in delays) / max(len(delays), 1)


def middle(delays: Iterable[float | None]) -> float | None:
    """Return the median delay of what was found."""
    found = [delay for delay in delays if delay is not None]
    return median(found) if found else None


def score(watcher: Watcher, runs: Iterable[tuple[Case, tuple[Profile, ...]]]) -> Score:
    """Watch runs, each with its history: as they were, slowed down, and silenced."""
    result = Score()
    for healthy, history in runs:
        onsets = watcher(healthy, history)
        alarms = " ".join(f"{kind}@{at / healthy.seconds:.2f}" for at, kind in onsets)
        if history and healthy.seconds > LONGER * _usual_seconds(healthy, history):
            result.true_alarms.append(len(onsets))
            result.details.append(f"{healthy.name}: slow machine [{alarms}]")
            continue
        result.alarms.append(len(onsets))
        result.kinds.update(kind for _, kind in onsets)
        result.slow_delays.append(_delay(watcher, slowed(healthy), history, SLOW))
        stalls = [_delay(watcher, each, history, STALL) for each in silenced(healthy)]
        result.stall_delays += stalls
        result.details.append(f"{healthy.name}: {result.slow_delays[-1]} {stalls} [{alarms}]")
    return result


def _delay(watcher: Watcher, wrong: Case, history: tuple[Profile, ...], kinds: frozenset[str]) -> float | None:
    """Return the share of the run between the beginning of what is wrong and its discovery, if that came in time."""
    assert wrong.wrong is not None
    begin, end = wrong.wrong
    for at, kind in watcher(wrong, history):
        if kind in kinds and begin < at <= end:
            return round((at - begin) / wrong.seconds, 4)
    return None


def _usual_seconds(healthy: Case, history: tuple[Profile, ...]) -> float:
    """Return how long the earlier runs took, at the most, for as many items."""
    done = healthy.rows[-1][1]
    return max(each.seconds * done / (each.total or done) for each in history)
