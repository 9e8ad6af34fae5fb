"""Timing side by side: every contender runs in every round, in turn, so that a busy machine disturbs all alike."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

ROUNDS: Final = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table; ``ok`` says whether the budget holds, ``None`` where there is none."""

    what: str
    ours: str
    peers: str
    ratio: str
    budget: str
    ok: bool | None


@dataclass(frozen=True, slots=True)
class Contender:
    """What is timed, and what is waited for afterwards: work it has left to other threads."""

    run: Callable[[], object]
    settle: Callable[[], object] = lambda: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """
    Seconds per operation.

    Attributes:
        wall: On the clock, until the contender returned: the best round, the least disturbed one.
        wall_median: The same in the median round.
        caller: Processor time of the calling thread alone, best round.
        process: Processor time of all threads, until what was left to them is done, best round.
    """

    wall: float
    wall_median: float
    caller: float
    process: float


def compare(
    contenders: Mapping[str, Contender | Callable[[], object]], *, operations: int, rounds: int = ROUNDS
) -> dict[str, Cost]:
    """Run every contender, which does ``operations`` operations, once a round; return what one operation costs."""
    entries = {name: entry if isinstance(entry, Contender) else Contender(entry) for name, entry in contenders.items()}
    for entry in entries.values():  # caches, threads, first-time imports
        _measure(entry)
    gc.freeze()  # what is there already is nobody's cost
    times: dict[str, list[tuple[float, float, float]]] = {name: [] for name in entries}
    order = list(entries)
    for _ in range(rounds):
        for name in order:
            times[name].append(_measure(entries[name]))
        order.reverse()  # nobody always runs after the same neighbour
    gc.unfreeze()
    return {name: _cost(measured, operations) for name, measured in times.items()}


def _measure(entry: Contender) -> tuple[float, float, float]:
    gc.collect()
    process, caller, wall = time.process_time(), time.thread_time(), time.perf_counter()
    entry.run()
    wall, caller = time.perf_counter() - wall, time.thread_time() - caller
    entry.settle()
    return wall, caller, time.process_time() - process


def _cost(measured: list[tuple[float, float, float]], operations: int) -> Cost:
    wall, caller, process = zip(*measured, strict=True)
    return Cost(
        wall=min(wall) / operations,
        wall_median=statistics.median(wall) / operations,
        caller=min(caller) / operations,
        process=min(process) / operations,
    )


def duration(seconds: float) -> str:
    """Return seconds in the unit people read best, with two digits or so."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if abs(seconds) >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.{0 if abs(seconds) >= 10e-9 else 1}f} ns"


def ratio(ours: float, peer: float) -> str:
    """Return how many times the peer's cost ours is."""
    return f"{max(ours, 0.0) / peer:.3g}x" if peer > 0 else "-"


def beside(ours: float, peers: Mapping[str, float]) -> tuple[str, str]:
    """Return the peers' costs and our ratios to them, as two cells."""
    return (
        ", ".join(f"{name} {duration(cost)}" for name, cost in peers.items()),
        ", ".join(ratio(ours, cost) for cost in peers.values()),
    )
