"""``python -m tests.bench.eta``: replay all traces, print the tables, renew them in docs/eta.md; runs no jobs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
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
    TREE_PAIRS,
    Pairs,
    single,
)
from tests.bench.eta.score import Contender, Ours, Score, Theirs, average, replay
from tests.bench.eta.tape import Trace, read
from tests.bench.eta.trees import Memory, TreeScore, replay_tree

DOCS: Final = Path(__file__).resolve().parents[3] / "docs" / "eta.md"
BEGIN: Final = "<!-- eta:begin -->"
END: Final = "<!-- eta:end -->"
OURS: Final = ("adaptive", "exponential", "linear")
LONG: Final = 30.0
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
        "### With one earlier run, jobs the constants were fixed on",
        with_history(DEVELOPMENT_PAIRS),
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
    for name, make in makers.items():
        short = average([replay(trace(each), make()) for each in names])
        long = average([replay(trace(each), make(), stretch=LONG) for each in names])
        rows.append([name, *cells(short), f"{long.p50:.2f}", f"{long.t50:.2f}"])
    head = ["", "P50", "P90", "T50", "in25", "jitter", "inside", "ln width", "P50 x30", "T50 x30"]
    return f"{len(names)} jobs: {', '.join(names)}.\n\n{table(head, rows)}"


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


def with_history(groups: Pairs) -> str:
    """Return the table of what one earlier run is worth."""
    makers: dict[str, Callable[[Profile], Contender]] = {
        "**adaptive**, one earlier run": lambda profile: Ours(Estimator(history=[profile])),
        "**adaptive**, none": lambda _: Ours(Estimator()),
        "ninja's rule": lambda profile: Theirs(Ninja(profile)),
        "last length less elapsed": lambda profile: Theirs(LastTime(profile)),
        "mean": lambda _: Theirs(Mean()),
        "tqdm": lambda _: Theirs(Tqdm()),
    }
    rows = []
    for kind, pairs in groups.items():
        factors = sorted(trace(now).end / trace(then).end for then, now in pairs)
        label = f"{kind}: {len(pairs)} pairs, x{factors[0]:.2f} to x{factors[-1]:.2f}"
        for name, make in makers.items():
            scores = [replay(trace(now), make(profile_of(then))) for then, now in pairs]
            rows.append([label, name, *cells(average(scores))])
            label = ""
    head = ["the second run", "", "P50", "P90", "T50", "in25", "jitter", "inside", "ln width"]
    return table(head, rows)


@cache
def profile_of(name: str, *, keyed: bool = False) -> Profile:
    """Return a recorded run as history."""
    tape = trace(name)
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
            split = "development" if name in DEVELOPMENT else "held out"
            rows.append([f"{name} ({split})", kind, *tree_cells(scores)])
    return table(["tree", "the second run", "P50", "in the first phase", "in25", "inside"], rows)


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
