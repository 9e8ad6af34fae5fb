"""advance(): what one call costs, from one thread and, counted exactly, from many."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import rich.console
import rich.progress
import tqdm

from otel_progress import Level, advance, operation
from tests.bench.harness import Row, beside, compare, duration
from tests.bench.setups import devnull, recording

CALLS = 20_000
THREADS = 8


def rows() -> Iterator[Row]:
    """Measure one thread beside the peers, then many beside a lock."""
    with recording(), operation("bench") as op, op.level("step") as level:
        yield from _one_thread(level)
        yield _many_threads(level)


def _one_thread(level: Level) -> Iterator[Row]:
    locked = Locked()
    with devnull() as nowhere:
        console = rich.console.Console(file=nowhere, force_terminal=True)  # type: ignore[arg-type]  # a text file
        with (
            tqdm.tqdm(total=None, file=nowhere) as bar,
            rich.progress.Progress(console=console) as progress,
        ):
            task = progress.add_task("step", total=None)
            costs = compare(
                {
                    "bare": lambda: _call(CALLS),
                    "level": lambda: _call_method(level, CALLS),
                    "module": lambda: _call_function(CALLS),
                    "tqdm.update": lambda: _call_update(bar, CALLS),
                    "rich.advance": lambda: _call_rich(progress, task, CALLS),
                    "a lock": lambda: locked.add(CALLS),
                },
                operations=CALLS,
            )
    bare = costs.pop("bare").wall
    added = {name: cost.wall - bare for name, cost in costs.items()}
    peers = {name: added[name] for name in ("tqdm.update", "rich.advance", "a lock")}
    for what, name, budget in (("`Level.advance()`", "level", 150e-9), ("module `advance()`", "module", 250e-9)):
        others, ratios = beside(added[name], peers)
        yield Row(
            what=what,
            ours=duration(added[name]),
            peers=others,
            ratio=ratios,
            budget=f"≤ {duration(budget)}",
            ok=added[name] <= budget,
        )


def _many_threads(level: Level) -> Row:
    locked = Locked()
    before = level.snapshot().done
    rounds = 5
    costs = compare(
        {
            "ours": lambda: _in_threads(lambda: _call_method(level, CALLS)),
            "a lock": lambda: _in_threads(lambda: locked.add(CALLS)),
        },
        operations=CALLS * THREADS,
        rounds=rounds,
    )
    true = CALLS * THREADS * (rounds + 1)  # one round warms up
    counted = level.snapshot().done - before
    peers, ratios = beside(costs["ours"].wall, {"a lock": costs["a lock"].wall})
    return Row(
        what=f"`Level.advance()` from {THREADS} threads",
        ours=f"{duration(costs['ours'].wall)}, counted {counted:,} of {true:,}",
        peers=peers,
        ratio=ratios,
        budget="exact",
        ok=counted == true,
    )


class Locked:
    """The plain way to count exactly."""

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()

    def add(self, calls: int) -> None:
        """Count as often as that."""
        for _ in range(calls):
            self._add()

    def _add(self) -> None:
        with self._lock:
            self.count += 1


def _call(calls: int) -> None:
    for _ in range(calls):
        pass


def _call_method(level: Level, calls: int) -> None:
    for _ in range(calls):
        level.advance()


def _call_function(calls: int) -> None:
    for _ in range(calls):
        advance()


def _call_update(bar: tqdm.tqdm[None], calls: int) -> None:
    for _ in range(calls):
        bar.update()


def _call_rich(progress: rich.progress.Progress, task: rich.progress.TaskID, calls: int) -> None:
    for _ in range(calls):
        progress.advance(task)


def _in_threads(call: Callable[[], None]) -> None:
    threads = [threading.Thread(target=call) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
