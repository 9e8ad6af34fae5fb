"""A level as a frozen snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from otel_progress._model import CounterValue, Snapshot
from otel_progress._state import LevelState, Phase, whole
from otel_progress.names import State

LIVE_CHILDREN_SHOWN: Final = 100
"""Live children a snapshot lists; the rest is a number."""

DEPTH_SHOWN: Final = 50
"""Levels of children in a snapshot: a recursive program must not overflow the stack of who looks at it."""


def snapshot(level: LevelState, now: float, now_ns: int, *, depth: int = DEPTH_SHOWN) -> Snapshot:
    """Return how the level stands at ``now``, with its children down to ``depth``."""
    counts = level.counts()
    ending = level.ending
    outlook = level.outlook
    estimate, age = (None if outlook is None else outlook.estimated(now)) or (None, 0.0)
    live = list((level.children or {}).values())
    listed = live[-LIVE_CHILDREN_SHOWN:] if depth else []
    finished = list(level.finished or ()) if depth else []
    shown = tuple(
        snapshot(child, now, now_ns, depth=depth - 1)
        for child in sorted((*finished, *listed), key=lambda child: child.key)
    )
    if depth and level.phases and ending is None:
        shown += tuple(_announced(level, phase) for phase in level.phases.values() if not phase.started)
    return Snapshot(
        key=level.key,
        parent_key=level.parent.key if level.parent else None,
        is_operation=level.is_operation,
        operation=level.operation,
        name=level.name,
        id=level.id,
        title=level.title,
        path=level.path,
        run_id=level.root.run_id,
        state=level.state,
        started_at=level.started_ns / 1e9,
        ended_at=ending.at_ns / 1e9 if ending else None,
        elapsed_seconds=max((ending.at if ending else now) - level.started, 0.0),
        done=max(whole(counts.done - level._rewound), 0),
        total=level.total,
        failed=counts.failed,
        skipped=counts.skipped,
        bytes=counts.bytes,
        unit=level.unit,
        fraction=level.fraction(),
        rate_per_second=None if outlook is None else outlook.rate,
        eta=estimate,
        expected_end_at=None if estimate is None else now_ns / 1e9 - age + estimate.expected,
        last_advance_at=now_ns / 1e9 - max(now - level.last_advance, 0.0),
        message=level.message,
        metadata=MappingProxyType(dict(level.metadata or {})),
        counters=_counters(level),
        quality=level.quality,
        error_type=ending.error_type if ending else None,
        error_message=ending.error_message if ending else None,
        reason=level.reason,
        cancel_requested=any(above.cancel_requested for above in level.lineage()),
        trace_id=f"{level.trace_ids[0]:032x}" if level.trace_ids and level.trace_ids[0] else None,
        span_id=f"{level.trace_ids[1]:016x}" if level.trace_ids and level.trace_ids[1] else None,
        children=shown,
        children_live=len(live),
        children_finished=level.children_finished,
        children_failed=level.children_failed,
        deviations=() if outlook is None else outlook.deviations,
    )


def _counters(level: LevelState) -> Mapping[str, CounterValue]:
    counters = list((level.counters or {}).items())
    return MappingProxyType({name: CounterValue(whole(value), unit) for (name, unit), value in counters})


def _announced(level: LevelState, phase: Phase) -> Snapshot:
    return Snapshot(
        key=0,
        parent_key=level.key,
        is_operation=False,
        operation=level.operation,
        name=phase.name,
        id=None,
        title=None,
        path=(*level.path, phase.name),
        run_id=level.root.run_id,
        state=State.PENDING,
        started_at=None,
        ended_at=None,
        elapsed_seconds=0.0,
        done=0,
        total=phase.total,
        failed=0,
        skipped=0,
        bytes=0,
        unit="{item}",
        fraction=None,
        rate_per_second=None,
        eta=None,
        expected_end_at=None,
        last_advance_at=None,
        message=None,
    )
