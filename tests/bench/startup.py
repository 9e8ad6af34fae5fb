"""import otel_progress: what it adds to a program that has imported ``opentelemetry.trace``, in fresh interpreters."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from tests.bench.harness import Row, beside, duration

ROUNDS = 12
BUDGET = 30e-3

_PROGRAM = """
import sys, time
import opentelemetry.trace
before = time.perf_counter()
import {module}
print(time.perf_counter() - before)
print(*sorted({{"opentelemetry.sdk", "rich", "sqlite3"}} & set(sys.modules)))
"""


def rows() -> Iterator[Row]:
    """Measure the import beside the peers' own."""
    best: dict[str, float] = {}
    loaded = ""
    with tempfile.TemporaryDirectory() as cache:  # compiled once, as an installed package is
        for _ in range(ROUNDS):
            for module in ("otel_progress", "tqdm", "rich.progress"):
                seconds, heavy = _import(module, cache)
                best[module] = min(best.get(module, seconds), seconds)
                if module == "otel_progress":
                    loaded = heavy
    ours = best.pop("otel_progress")
    peers, ratios = beside(ours, best)
    yield Row(
        what="`import otel_progress`, beyond `opentelemetry.trace`",
        ours=duration(ours) + (f", loads {loaded}" if loaded else ", no SDK, rich or sqlite3"),
        peers=peers,
        ratio=ratios,
        budget=f"≤ {duration(BUDGET)}",
        ok=ours <= BUDGET and not loaded,
    )


def _import(module: str, cache: str) -> tuple[float, str]:
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": cache, "PYTHONDONTWRITEBYTECODE": ""}
    command = [sys.executable, "-c", _PROGRAM.format(module=module)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, env=environment)
    seconds, loaded = done.stdout.split("\n")[:2]
    return float(seconds), loaded
