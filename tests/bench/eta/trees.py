"""Replays a tree of phases as the runtime does: children estimate themselves, the parent estimates from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import log
from statistics import fmean, median

from otel_progress import ChildView, Profile
from otel_progress.eta import Estimator
from tests.bench.eta.peers import Ninja
from tests.bench.eta.score import MARKS, WORST
from tests.bench.eta.tape import Trace


@dataclass(slots=True)
class Memory:
    """What is remembered of an earlier run: of the parent, and of each child by name."""

    parent: list[Profile] = field(default_factory=list)
    children: dict[str, list[Profile]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeScore:
    """Median error over time, in the first phase alone, share within a factor 1.25, and of truths inside."""

    p50: float
    first: float
    in25: float
    inside: float


def foretold(earlier: Trace, trace: Trace) -> TreeScore:
    """Return the score of an oracle: the earlier run's way through its phases at this run's true length."""
    end = max(phase[2] for phase in trace.phases)
    oracle = Ninja(Profile.from_samples(_way(earlier)), end)
    way = _way(trace)
    errors: list[tuple[float, float]] = []
    for now in (end * mark for mark in MARKS):
        oracle.record(max((done for at, done in way if at <= now), default=0.0), now)
        oracle.set_total(float(len(trace.phases)), now)
        errors.append((now, min(abs(log(max(oracle.left(now) or 0.0, 1e-9) / (end - now))), WORST)))
    return TreeScore(
        p50=median(error for _, error in errors),
        first=median(error for now, error in errors if now < trace.phases[0][2]),
        in25=fmean(error <= log(1.25) for _, error in errors),
        inside=0.0,
    )


def _way(trace: Trace) -> list[tuple[float, float]]:
    """Return (when, phases done) of phases one after another."""
    steps = [
        (at, index + done / items)
        for index, (_, _, _, items, rows) in enumerate(trace.phases)
        for at, done in ((0.0, 0.0), *rows)
        if at or not index
    ]
    return [*steps, (max(phase[2] for phase in trace.phases), float(len(trace.phases)))]


def replay_tree(trace: Trace, memory: Memory, *, looks: int = 200) -> tuple[TreeScore, Memory]:
    """Return the score of a run with what is remembered of an earlier one, and what is to be remembered of it."""
    end = max(phase[2] for phase in trace.phases)
    parent = Estimator(history=memory.parent)
    parent.record(0.0, 0.0)
    estimators: dict[str, Estimator] = {}
    learned: dict[str, list[Profile]] = {}
    errors: list[float] = []
    first: list[float] = []
    inside: list[bool] = []
    rows = {name: iter(each) for name, _, _, _, each in trace.phases}
    pending: dict[str, tuple[float, float] | None] = {name: next(each, None) for name, each in rows.items()}
    done = dict.fromkeys(rows, 0.0)
    moments = sorted({*(end * look / looks for look in range(1, looks)), *(end * mark for mark in MARKS)})
    for now in moments:
        views = []
        for name, begin, finish, total, _ in trace.phases:
            if begin > now:
                continue
            if name not in estimators:
                estimators[name] = Estimator(total, memory.children.get(name, ()))
                estimators[name].record(0.0, begin)
            while (row := pending[name]) is not None and row[0] <= now:
                done[name] = row[1]
                estimators[name].record(row[1], row[0])
                pending[name] = next(rows[name], None)
            if finish <= now:
                if name not in learned:
                    learned[name] = [estimators[name].profile(finish)]
                continue
            views.append(ChildView(done[name] / total, eta=estimators[name].estimate(now), name=name))
        estimate = parent.estimate(now, views)
        if now not in {end * mark for mark in MARKS}:
            continue
        true = end - now
        error = WORST if estimate is None else min(abs(log(max(estimate.expected, 1e-9) / true)), WORST)
        errors.append(error)
        if now < trace.phases[0][2]:
            first.append(error)
        if estimate is not None:
            inside.append(estimate.low <= true <= estimate.high)
    score = TreeScore(
        p50=median(errors),
        first=median(first),
        in25=fmean(error <= log(1.25) for error in errors),
        inside=fmean(inside) if inside else 0.0,
    )
    for name, estimator in estimators.items():
        learned.setdefault(name, [estimator.profile(end)])
    return score, Memory([parent.profile(end)], learned)
