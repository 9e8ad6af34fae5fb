"""Trees of snapshots made by hand."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import Any

from otel_progress._model import Estimate, Snapshot
from otel_progress.names import LIVE_STATES, State

_keys = count(1)

EPOCH = 1_750_000_000.0
"""The unix time at which every picture is taken."""


def estimate(expected: float, low: float | None = None, high: float | None = None) -> Estimate:
    """Return an estimate; without an interval, one too narrow to be shown."""
    return Estimate(
        expected=expected,
        low=expected if low is None else low,
        high=expected if high is None else high,
        confidence=0.8,
        method="linear",
    )


def level(name: str = "job", *children: Snapshot, **changes: Any) -> Snapshot:  # noqa: ANN401  # any field
    """Return an operation over ``children`` that has been running for a minute, or what ``changes`` make of it."""
    values: dict[str, Any] = {
        "key": next(_keys),
        "parent_key": None,
        "is_operation": True,
        "operation": name,
        "name": name,
        "id": None,
        "title": None,
        "path": (name,),
        "run_id": "run",
        "state": State.RUNNING,
        "started_at": EPOCH - 60,
        "ended_at": None,
        "elapsed_seconds": 60.0,
        "done": 0,
        "total": None,
        "failed": 0,
        "skipped": 0,
        "bytes": 0,
        "unit": "{item}",
        "fraction": None,
        "rate_per_second": None,
        "eta": None,
        "expected_end_at": None,
        "last_advance_at": None,
        "message": None,
        "children_live": sum(child.is_live and child.state is not State.PENDING for child in children),
        "children_finished": sum(not child.is_live for child in children),
    }
    values.update(changes)
    if values["total"] and "fraction" not in changes:
        values["fraction"] = min(values["done"] / values["total"], 1.0)
    if values["state"] not in LIVE_STATES and "ended_at" not in changes:
        values["ended_at"] = EPOCH - 5
    return _over(Snapshot(**values), children)


def _over(parent: Snapshot, children: tuple[Snapshot, ...]) -> Snapshot:
    below = (
        replace(
            child,
            parent_key=parent.key,
            is_operation=False,
            operation=parent.operation,
            path=(*parent.path, child.name),
        )
        for child in children
    )
    return replace(parent, children=tuple(_over(child, child.children) for child in below))


def announced(name: str) -> Snapshot:
    """Return a phase that has not begun, as a parent lists it."""
    return level(name, key=0, state=State.PENDING, started_at=None, elapsed_seconds=0.0)
