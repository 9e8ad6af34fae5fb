"""``python -m tests.bench.eta``: replay all traces, print the tables, renew them in docs/eta.md; runs no jobs."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from statistics import fmean
from typing import Final

from otel_progress import Profile
from otel_progress.eta import Estimator
from tests.bench.eta.cost import costs
from tests.bench.eta.peers import PEERS, LastTime, Mean, Ninja, Tqdm
from tests.bench.eta.plan import (
    DEVELOPMENT,
    DEVELOPMENT_PAIRS,
    HELD_OUT,
    HELD_OUT_PAIRS,
    LONG_PAIRS,
    TREE_PAIRS,
    Pairs,
    single,
)
from tests.bench.eta.score import Contender, Ours, Score, Theirs, average, replay
from tests.bench.eta.tape import Trace, read
from tests.bench.eta.trees import Memory, TreeScore, foretold, replay_tree

DOCS: Final = Path(__file__).resolve().parents[3] / "docs" / "eta.md"
BEGIN: Final = "<!-- eta:begin -->"
END: Final = "<!-- eta:end -->"
OURS: Final = ("adaptive", "exponential", "linear")
LONG: Final = 30.0
CLOCKS: Final = (1.6, 0.7)
QUIET: Final = ("same", "slower", "faster")
RESAMPLES: Final = 1_000
trace = cache(read)


def main() -> None:
    """Score everything."""
    start = time.perf_counter()
    parts = [
        "### Without history, jobs held out",
        alone(single(HELD_OUT)),
        "### Job by job: T50 without history, held out",
        one_by_one(single(HELD_OUT)),
        "### Without history, jobs the constants were fixed on",
        alone(single(DEVELOPMENT)),
        "### With one earlier run, held out",
        with_history(HELD_OUT_PAIRS),
        "### The same, quiet runs of more rounds",
        with_history({kind: HELD_OUT_PAIRS[kind] for kind in QUIET}, more_rounds=True),
        "### The same, longer runs",
        with_history(LONG_PAIRS),
        "### With one earlier run, jobs the constants were fixed on",
        with_history(DEVELOPMENT_PAIRS),
        "### The same, quiet runs of more rounds (development)",
        with_history({kind: DEVELOPMENT_PAIRS[kind] for kind in QUIET}, more_rounds=True),
        "### Sizes and keys, held out",
        hints(),
        "### Trees of three unequal phases, with one earlier run",
        trees(),
        "### Cost",
        costs(),
    ]
    text = "\n\n".join(parts) + "\n"
    print(text)
    renew(text)
    print(f"{time.perf_counter() - start:.0f} s", file=sys.stderr)


def alone(names: Sequence[str]) -> str:
    """Return the table of methods and tools without history."""
    makers: dict[str, Callable[[], Contender]] = {
        **{f"**{method}**": (lambda method=method: Ours(Estimator(method=method))) for method in OURS},
        **{name: (lambda peer=peer: Theirs(peer())) for name, peer in PEERS.items()},
    }
    rows = []
    ours: list[list[float]] = []
    for name, make in makers.items():
        short = [replay(trace(each), make()) for each in names]
        long = [replay(trace(each), make(), stretch=LONG) for each in names]
        t50 = [[score.t50 for score in scores] for scores in (short, long)]
        ours = ours or t50
        less = [difference(names, *pair) for pair in zip(ours, t50, strict=True)] if name in PEERS else []
        means = average(long)
        rows.append([name, *cells(average(short)), f"{means.p50:.2f}", f"{means.t50:.2f}", *(less or ["", ""])])
    head = ["", "P50", "P90", "T50", "in25", "jitter", "inside", "ln width", "P50 x30", "T50 x30"]
    head += ["T50, ours less it", "... x30"]
    return f"{len(names)} jobs: {', '.join(names)}.\n\n{table(head, rows)}"


def difference(names: Sequence[str], ours: Sequence[float], theirs: Sequence[float]) -> str:
    """Return the mean difference and where 95 % of its resamples lie; families are drawn, as their jobs are alike."""
    families: dict[str, list[float]] = {}
    for name, mine, other in zip(names, ours, theirs, strict=True):
        families.setdefault(name.partition("-")[0], []).append(mine - other)
    chance, groups = random.Random(0), list(families.values())
    means = sorted(fmean(chain(*chance.choices(groups, k=len(groups)))) for _ in range(RESAMPLES))
    low, high = (means[int(part * RESAMPLES)] for part in (0.025, 0.975))
    return f"{fmean(chain(*groups)):+.2f} ({low:+.2f} to {high:+.2f})"


def one_by_one(names: Sequence[str]) -> str:
    """Return the table that shows where we are no better than a mean."""
    rows = []
    for name in names:
        ours = replay(trace(name), Ours(Estimator())).t50
        theirs = {peer: replay(trace(name), Theirs(make())).t50 for peer, make in PEERS.items()}
        best = min(theirs, key=theirs.__getitem__)
        mean = theirs["mean (wget, ninja)"]
        verdict = "better" if ours < 0.9 * mean else "worse" if ours > 1.1 * mean else "like it"
        seconds = f"{trace(name).end:.0f} s"
        rows.append([name, seconds, f"{ours:.2f}", f"{mean:.2f}", f"{theirs[best]:.2f} ({best})", verdict])
    return table(["job", "length", "ours", "mean", "best of the tools, in hindsight", "beside a mean"], rows)


def with_history(groups: Pairs, *, more_rounds: bool = False) -> str:
    """
    Return the table of what one earlier run is worth.

    The pairs at the same speed are scored three times: as they are, and with the second run's clock made slower and
    faster, which is how the aims of this benchmark were set.
    """
    makers: dict[str, Callable[[Profile, float], Contender]] = {
        "**adaptive**, one earlier run": lambda profile, _: Ours(Estimator(history=[profile])),
        "*its curve at the true length*": lambda profile, seconds: Theirs(Ninja(profile, seconds)),
        "**adaptive**, none": lambda *_: Ours(Estimator()),
        "ninja's rule": lambda profile, _: Theirs(Ninja(profile)),
        "last length less elapsed": lambda profile, _: Theirs(LastTime(profile)),
        "mean": lambda *_: Theirs(Mean()),
        "tqdm": lambda *_: Theirs(Tqdm()),
    }
    rows = []
    ends = {
        name: trace(name, more_rounds=more_rounds).end for pairs in groups.values() for pair in pairs for name in pair
    }
    kinds = [(kind, pairs, 1.0) for kind, pairs in groups.items()]
    kinds[1:1] = [(f"same, clock x{stretch}", groups["same"], stretch) for stretch in CLOCKS]
    for kind, pairs, stretch in kinds:
        factors = sorted(stretch * ends[now] / ends[then] for then, now in pairs)
        label = f"{kind}: {len(pairs)} pairs, x{factors[0]:.2f} to x{factors[-1]:.2f}"
        for name, make in makers.items():
            scores = [
                replay(
                    trace(now, more_rounds=more_rounds),
                    make(profile_of(then, more_rounds=more_rounds), stretch * ends[now]),
                    stretch=stretch,
                )
                for then, now in pairs
            ]
            rows.append([label, name, *cells(average(scores))])
            label = ""
    head = ["the second run", "", "P50", "P90", "T50", "in25", "jitter", "inside", "ln width"]
    return table(head, rows)


@cache
def profile_of(name: str, *, keyed: bool = False, more_rounds: bool = False) -> Profile:
    """Return a recorded run as history."""
    tape = trace(name, more_rounds=more_rounds)
    if not keyed:
        return Profile.from_samples([(0.0, 0.0), *tape.rows])
    run = Ours(Estimator(), keys=True)
    run.total(tape.totals[-1][1], 0.0)
    for row, (now, done) in enumerate(tape.rows):
        run.take(tape, row, done, now)
    return run.estimator.profile(tape.end)


def hints() -> str:
    """Return the table of what keys and sizes of items are worth."""
    rows = []
    for then, now in HELD_OUT_PAIRS["changed"]:
        tape = trace(now)
        for label, contender in (
            ("no history", Ours(Estimator())),
            ("earlier run, by share", Ours(Estimator(history=[profile_of(then)]))),
            ("earlier run, by key", Ours(Estimator(history=[profile_of(then, keyed=True)]), keys=True)),
            ("earlier run, by key, all keys told ahead", told(tape, profile_of(then, keyed=True))),
            ("ninja's rule by share", Theirs(Ninja(profile_of(then)))),
        ):
            rows.append([f"{then}, then {now}", label, *cells(replay(tape, contender))])
    for name in ("parse-path", "parse-size", "parse-random"):
        tape = trace(name)
        sized = Estimator()
        sized.set_cost(tape.sizes[-1])
        rows.append([name, "counted in files", *cells(replay(tape, Ours(Estimator())))])
        rows.append([name, "sizes told ahead", *cells(replay(tape, Ours(sized, keys=True)))])
    return table(["job", "", "P50", "P90", "T50", "in25", "jitter", "inside", "ln width"], rows)


def told(tape: Trace, profile: Profile) -> Contender:
    """Return a contender that was told the keys of all items."""
    estimator = Estimator(history=[profile])
    estimator.set_items(str(key) for key in tape.keys)
    return Ours(estimator, keys=True)


def trees() -> str:
    """Return the table of the trees."""
    rows = []
    for name, groups in TREE_PAIRS.items():
        for kind, pairs in groups.items():
            scores = []
            for then, now in pairs:
                _, memory = replay_tree(trace(then), Memory())
                scores.append(replay_tree(trace(now), memory)[0])
            floors = [foretold(trace(then), trace(now)) for then, now in pairs]
            split = "development" if name in DEVELOPMENT else "held out"
            rows.append([f"{name} ({split})", kind, *tree_cells(scores), *tree_cells(floors)[:2]])
    head = ["P50", "in the first phase", "in25", "inside", "*P50 at the true length*", "*in the first phase*"]
    return table(["tree", "the second run", *head], rows)


def tree_cells(scores: Sequence[TreeScore]) -> list[str]:
    """Return the means."""
    return [
        f"{sum(getattr(score, name) for score in scores) / len(scores):.2f}"
        for name in ("p50", "first", "in25", "inside")
    ]


def cells(score: Score) -> list[str]:
    """Return a score as cells."""

    def digits(value: float | None) -> str:
        return "" if value is None else f"{value:.3f}" if value < 0.1 else f"{value:.2f}" if value < 100 else "> 100"

    return [
        digits(score.p50),
        digits(score.p90),
        digits(score.t50),
        f"{score.in25:.0%}",
        digits(score.jitter),
        "" if score.inside is None else f"{score.inside:.2f}",
        digits(score.width),
    ]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def renew(text: str, docs: Path = DOCS) -> None:
    """Replace what stands between the markers."""
    before, begin, rest = docs.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if begin and end:
        docs.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
