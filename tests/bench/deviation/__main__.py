"""
``python -m tests.bench.deviation``: watch all recorded runs, print the table, renew it in docs/deviation.md.

With ``--development`` only what the constants were fixed on, run by run, and nothing is written.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Final

from otel_progress import Profile
from tests.bench.deviation import synthetic
from tests.bench.deviation.cases import STRETCH, Case, Watched, alone, case, profile, with_history
from tests.bench.deviation.cost import costs
from tests.bench.deviation.score import Score, middle, score, share
from tests.bench.deviation.watch import Watcher, fixed, ours
from tests.bench.eta.plan import DEVELOPMENT, DEVELOPMENT_PAIRS, HELD_OUT, HELD_OUT_PAIRS, TREE_PAIRS, Pairs

DOCS: Final = Path(__file__).resolve().parents[3] / "docs" / "deviation.md"
BEGIN: Final = "<!-- deviation:begin -->"
END: Final = "<!-- deviation:end -->"

SOON: Final = 0.08
"""Share of the run within which a slowdown is to be found."""

HEAD: Final = (
    "",
    "healthy runs",
    "alarms a run",
    "silent",
    "slowdown found",
    "within 8 %",
    "delay",
    "stall found",
    "delay",
)
cached_case = cache(case)


def main(arguments: Sequence[str]) -> None:
    """Score everything."""
    start = time.perf_counter()
    development = (DEVELOPMENT_PAIRS, TREE_PAIRS["tree-archive"])
    if "--development" in arguments:
        print(table(rows(development, alone(DEVELOPMENT), made_up=True, details=True)))
        return
    held_out = (HELD_OUT_PAIRS, TREE_PAIRS["tree-index"])
    held = table(rows(held_out, alone(HELD_OUT)))
    known = table(rows(development, alone(DEVELOPMENT), made_up=True))
    renew(f"Jobs held out:\n\n{held}\n\nJobs the constants were fixed on:\n\n{known}\n\n{costs()}")
    print(f"{time.perf_counter() - start:.0f} s", file=sys.stderr)


def rows(
    pairs: Sequence[Pairs], single: list[Watched], *, made_up: bool = False, details: bool = False
) -> list[list[str]]:
    """Return the rows of one table."""
    same = with_history(pairs, "same")
    told = [
        ("one earlier run, same machine", ours, runs(same)),
        ("one earlier run, on a slower machine", ours, runs(with_history(pairs, "faster"))),
        ("one earlier run, on a faster machine", ours, runs(with_history(pairs, "slower"))),
        ("one earlier run, other order or items", ours, runs(with_history(pairs, "changed"))),
        ("one earlier run, machine in use by others", ours, runs(with_history(pairs, "loaded"))),
        ("no history", ours, runs(single)),
        ("fixed: 30 s, half of the mean speed", fixed, runs(single)),
        ("... on the runs that have a history", fixed, runs(same)),
    ]
    if made_up:
        made = [(each, (profile(before),)) for before, each in synthetic.pairs()]
        told += [("made-up runs, one earlier run", ours, made), ("made-up runs, no history", ours, bare(made))]
    return [row(name, watcher, each, details=details) for name, watcher, each in told]


def runs(watched: Iterable[Watched], stretch: float = STRETCH) -> list[tuple[Case, tuple[Profile, ...]]]:
    """Return recorded runs with their histories."""
    return [
        (cached_case(name, stretch), tuple(profile(cached_case(each, stretch)) for each in before))
        for name, before in watched
    ]


def bare(made: Iterable[tuple[Case, tuple[Profile, ...]]]) -> list[tuple[Case, tuple[Profile, ...]]]:
    """Return the runs without their histories."""
    return [(each, ()) for each, _ in made]


def row(
    name: str, watcher: Watcher, watched: Iterable[tuple[Case, tuple[Profile, ...]]], *, details: bool
) -> list[str]:
    """Return one row of the table."""
    result = score(watcher, watched)
    print(f"| {' | '.join(cells(name, result))} |", flush=True)
    if details:
        print(f"{name}: {dict(result.kinds)}", *result.details, sep="\n    ")
    return cells(name, result)


def cells(name: str, result: Score) -> list[str]:
    """Return a score as cells."""
    late = len(result.true_alarms)
    if not result.alarms:
        return [name, f"0, {late} late", *["-"] * 7]
    return [
        name,
        f"{len(result.alarms)}" + (f", {late} late" if late else ""),
        f"{result.alarms_per_run:.2f}",
        f"{result.silent_share:.0%}",
        f"{share(result.slow_delays):.0%}",
        f"{share(result.slow_delays, SOON):.0%}",
        _delay(middle(result.slow_delays)),
        f"{share(result.stall_delays):.0%}",
        _delay(middle(result.stall_delays)),
    ]


def _delay(delay: float | None) -> str:
    return "-" if delay is None else f"{delay:.3f}"


def table(body: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [f"| {' | '.join(HEAD)} |", f"|{' --- |' * len(HEAD)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in body)])


def renew(text: str) -> None:
    """Put the table into the document."""
    before, rest = DOCS.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    DOCS.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
