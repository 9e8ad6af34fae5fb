"""The ticker: its share of a core, and what thousands of live levels do to a tick and to advance()."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import rich.console
import rich.progress

from otel_progress import Level, operation
from otel_progress._rounds import BUDGET_SECONDS
from tests.bench.harness import Row, duration, ratio
from tests.bench.setups import devnull, recording

FEW, MANY = 10, 10_000
WATCHED_SECONDS = 5.0
SHARE_BUDGET = 0.002
TICKS = 30
LOADED_SECONDS = 2.2  # two ticks in each
LOADED_ROUNDS = 4
SLOWDOWN_BUDGET = 1.05


def rows() -> Iterator[Row]:
    """Measure few levels beside rich's refresh thread, then many."""
    yield _share_of_a_core()
    yield _long_tick()
    yield _slowdown()


def _share_of_a_core() -> Row:
    with recording(), ExitStack() as stack:
        levels = _open(stack, FEW)
        ours = _thread_share("otel_progress-ticker", levels)
    with devnull() as nowhere:
        console = rich.console.Console(file=nowhere, force_terminal=True)  # type: ignore[arg-type]  # a text file
        with rich.progress.Progress(console=console) as progress:
            for _ in range(FEW):
                progress.add_task("step", total=1_000_000)
            peer = _thread_share(None, [])
    return Row(
        what=f"ticker, {FEW} live levels",
        ours=f"{ours:.2%} of a core",
        peers=f"rich's refresh of {FEW} tasks {peer:.2%}",
        ratio=ratio(ours, peer),
        budget=f"≤ {SHARE_BUDGET:.1%}",
        ok=ours <= SHARE_BUDGET,
    )


def _thread_share(name: str | None, levels: list[Level]) -> float:
    """Return the share of a core that a thread takes (the newest one if it has no name) while levels advance."""
    threads = [thread for thread in threading.enumerate() if name in {None, thread.name}]
    clock = time.pthread_getcpuclockid(threads[-1].ident or 0)
    cpu, wall = time.clock_gettime(clock), time.perf_counter()
    while time.perf_counter() - wall < WATCHED_SECONDS:
        for level in levels:
            level.advance()
        time.sleep(0.05)
    return (time.clock_gettime(clock) - cpu) / (time.perf_counter() - wall)


def _long_tick() -> Row:
    with recording() as setup, ExitStack() as stack:
        if setup.runtime.ticker is not None:
            setup.runtime.ticker.stop()  # the ticks are made here, one after the other
        levels = _open(stack, MANY)
        ticks = []
        for _ in range(TICKS):
            for level in levels:
                level.advance()
            start = time.perf_counter()
            setup.runtime.rounds.tick()
            ticks.append(time.perf_counter() - start)
    # The last level looked at may overrun, as may the garbage collector.
    budget = BUDGET_SECONDS * 1.25
    median = statistics.median(ticks)
    return Row(
        what=f"one tick, {MANY:,} live levels",
        ours=f"{duration(median)}, longest {duration(max(ticks))}",
        peers="",
        ratio="",
        budget=f"≤ {duration(BUDGET_SECONDS)} and the level in hand",
        ok=median <= budget,
    )


def _slowdown() -> Row:
    few, many = [], []
    for _ in range(LOADED_ROUNDS):
        few.append(_seconds_per_advance(0))
        many.append(_seconds_per_advance(MANY))
    ours, alone = min(many), min(few)
    return Row(
        what=f"`Level.advance()` beside {MANY:,} live levels",
        ours=duration(ours),
        peers=f"alone {duration(alone)}",
        ratio=ratio(ours, alone),
        budget=f"≤ {SLOWDOWN_BUDGET}x",
        ok=ours <= alone * SLOWDOWN_BUDGET,
    )


def _seconds_per_advance(others: int) -> float:
    """Return the mean over whole ticks, not the best moment between two of them."""
    with recording(), ExitStack() as stack:
        level, *_ = _open(stack, 1 + others)
        calls, start = 0, time.perf_counter()
        while time.perf_counter() - start < LOADED_SECONDS:
            for _ in range(1_000):
                level.advance()
            calls += 1_000
        return (time.perf_counter() - start) / calls


def _open(stack: ExitStack, count: int) -> list[Level]:
    """Start an operation with that many levels side by side."""
    op = stack.enter_context(operation("bench"))
    return [stack.enter_context(op.level("step", total=1_000_000)) for _ in range(count)]
