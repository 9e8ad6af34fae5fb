"""
Which recorded runs are watched with which history, and what is done to them.

The traces and their split are those of `tests.bench.eta`: constants were fixed on the development families alone.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from otel_progress.eta import Profile
from tests.bench.eta.plan import Pairs, Run, single
from tests.bench.eta.tape import Trace, read

STRETCH: Final = 30.0
"""Recorded jobs take seconds; they are watched as jobs that take thirty times as long, and as they are."""

SLOWDOWN: Final = 2.5
SLOW_UNITS: Final = (0.4, 0.8)
SILENCE: Final = 0.15
SILENT_AT: Final = (0.25, 0.5, 0.75)


Watched = tuple[str, tuple[str, ...]]
"""A run, and the earlier runs that are its history."""

UNHEALTHY: Final = ("-pause", "-loaded", "-slow")
"""Runs that were held up while they were recorded: what is found in them is no false alarm."""


def with_history(pairs: Sequence[Pairs], *kinds: str) -> list[Watched]:
    """Return the runs whose earlier run differs in one of these ways."""
    return [(run, (before,)) for each in pairs for kind in kinds for before, run in each.get(kind, ())]


def alone(runs: Mapping[str, Run]) -> list[Watched]:
    """Return the healthy runs, without history."""
    quiet = [name for name in runs if name.startswith("quiet-") and not name.endswith(("-again", "-shuffled"))]
    return [(name, ()) for name in (*single(runs), *quiet) if not name.endswith(UNHEALTHY)]


@dataclass(frozen=True, slots=True)
class Case:
    """A run to watch: (seconds, items done), (seconds, items in all), and from when to when something is wrong."""

    name: str
    rows: tuple[tuple[float, float], ...]
    totals: tuple[tuple[float, float], ...]
    seconds: float
    wrong: tuple[float, float] | None = None


def case(name: str, stretch: float) -> Case:
    """Return a recorded run, stretched."""
    trace = read(name)
    rows, totals, seconds = _flat(trace)
    return Case(
        name,
        tuple((at * stretch, done) for at, done in rows),
        tuple((at * stretch, total) for at, total in totals),
        seconds * stretch,
    )


def _flat(trace: Trace) -> tuple[Sequence[tuple[float, float]], Sequence[tuple[float, float]], float]:
    """
    Return rows, totals and length from the moment on at which a level would have begun: when a total is known.

    Of a tree the phases count equally, as its level counts their shares.
    """
    rows, totals, begin = trace.rows, trace.totals, trace.totals[0][0] if trace.totals else 0.0
    if trace.phases:
        begin = trace.phases[0][1]
        totals = ((begin, float(len(trace.phases))),)
        rows = tuple(
            (at, index + done / items) for index, (_, _, _, items, part) in enumerate(trace.phases) for at, done in part
        )
    return (
        [(at - begin, done) for at, done in rows],
        [(at - begin, items) for at, items in totals],
        trace.seconds - begin,
    )


def profile(each: Case) -> Profile:
    """Return a run as history."""
    return Profile.from_samples([(0.0, 0.0), *each.rows, (each.seconds, each.rows[-1][1])])


def slowed(healthy: Case) -> Case:
    """Return the run with its middle part slowed down."""
    whole = healthy.rows[-1][1]
    begin, end = (_reached(healthy, part * whole) for part in SLOW_UNITS)
    longer = (SLOWDOWN - 1) * (end - begin)

    def moved(at: float) -> float:
        return at + (SLOWDOWN - 1) * min(max(at - begin, 0.0), end - begin)

    return replace(
        healthy,
        rows=tuple((moved(at), done) for at, done in healthy.rows),
        totals=tuple((moved(at), total) for at, total in healthy.totals),
        seconds=healthy.seconds + longer,
        wrong=(begin, moved(end)),
    )


def silenced(healthy: Case) -> Iterator[Case]:
    """Yield the run with a silence put in at several places."""
    whole = healthy.rows[-1][1]
    longer = SILENCE * healthy.seconds
    for part in SILENT_AT:
        begin = _reached(healthy, part * whole)
        yield replace(
            healthy,
            rows=tuple((at + longer * (at > begin), done) for at, done in healthy.rows),
            totals=tuple((at + longer * (at > begin), total) for at, total in healthy.totals),
            seconds=healthy.seconds + longer,
            wrong=(begin, begin + longer),
        )


def _reached(each: Case, done: float) -> float:
    index = bisect_left(each.rows, done, key=lambda row: row[1])
    return each.rows[min(index, len(each.rows) - 1)][0]
