"""Memory of a live level, its span included: young, and once it has a history of samples."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack

from otel_progress import Level, operation
from tests.bench.harness import Row, ratio
from tests.bench.setups import Recording, recording

LEVELS = 1_000
TICKS = 60
YOUNG_BUDGET, OLD_BUDGET = 6 * 1024, 24 * 1024


def rows() -> Iterator[Row]:
    """Measure levels side by side below one operation."""
    with recording(ticker=False) as setup:
        span = _bytes_each(lambda: [setup.tracer.start_span("step") for _ in range(LEVELS)])
        with ExitStack() as stack:
            op = stack.enter_context(operation("bench"))
            levels: list[Level] = []
            young = _bytes_each(lambda: levels.extend(_open(stack, op)))
            old = young + _bytes_each(lambda: _grow_old(setup, levels))
    for what, size, budget in (
        ("memory of a young level", young, YOUNG_BUDGET),
        (f"memory of a level after {TICKS} samples", old, OLD_BUDGET),
    ):
        yield Row(
            what=what,
            ours=f"{size / 1024:.1f} KiB, its span included",
            peers=f"bare span {span / 1024:.1f} KiB",
            ratio=ratio(size, span),
            budget=f"≤ {budget // 1024} KiB",
            ok=size <= budget,
        )


def _open(stack: ExitStack, op: Level) -> list[Level]:
    levels = [stack.enter_context(op.level("step", total=1_000_000)) for _ in range(LEVELS)]
    for level in levels:
        level.advance()
    return levels


def _grow_old(setup: Recording, levels: list[Level]) -> None:
    for _ in range(TICKS):
        for level in levels:
            level.advance()
        setup.runtime.rounds.tick()


def _bytes_each(make: Callable[[], object]) -> float:
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        kept = make()
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        del kept
    finally:
        tracemalloc.stop()
    return (after - before) / LEVELS
