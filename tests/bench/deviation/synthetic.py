"""Made-up pairs of runs, for development only: the same items twice, on a machine that is never quite the same."""

from __future__ import annotations

import random
from itertools import accumulate
from typing import Final

from tests.bench.deviation.cases import Case

SEEDS: Final = 40
_COUNTS: Final = (30, 100, 400, 1_000)
_SPREADS: Final = (0.0, 0.5, 1.0, 1.5)
_SPEEDS: Final = (1.0, 1.0, 0.8, 1.25)
_SECONDS: Final = 600.0


def pairs() -> list[tuple[Case, Case]]:
    """Return (earlier run, run)."""
    return [_pair(seed) for seed in range(SEEDS)]


def _pair(seed: int) -> tuple[Case, Case]:
    chance = random.Random(seed)
    count, spread = _COUNTS[seed % 4], _SPREADS[seed // 4 % 4]
    costs = [chance.lognormvariate(0.0, spread) for _ in range(count)]
    if chance.random() < 0.3:
        costs.sort()
    scale = _SECONDS / sum(costs)
    noise = chance.choice((0.05, 0.15, 0.3))
    return (
        _run(f"made-up {seed}, before", costs, scale, noise, chance),
        _run(f"made-up {seed}", costs, scale * _SPEEDS[seed // 8 % 4], noise, chance),
    )


def _run(name: str, costs: list[float], scale: float, noise: float, chance: random.Random) -> Case:
    drift = 0.0
    seconds = []
    for cost in costs:
        # The machine's speed wanders by 10 % or so, with a memory of a tenth of the run.
        memory = 1 - 10 / len(costs)
        drift = memory * drift + chance.gauss(0.0, 0.1) * (1 - memory * memory) ** 0.5
        seconds.append(cost * scale * chance.lognormvariate(0.0, noise) * (1 + max(drift, -0.5)))
    ends = list(accumulate(seconds))
    return Case(name, tuple(zip(ends, range(1, len(ends) + 1), strict=True)), ((0.0, len(costs)),), ends[-1])
