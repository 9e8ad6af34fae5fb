"""
Each signal once: what it asks, how it is measured, its unit, and what to do when it is red.

A panel, a table column and an alert that show the same signal take it from here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from dashboards import rules
from dashboards.promql import (
    BY_PROCESS,
    BY_PROCESS_LEVEL,
    ITEM_OUTCOME,
    LEVEL,
    THE_OPERATION,
    Selection,
    alive,
    equals,
    fold,
    latest,
    share,
    total,
    where,
)
from otel_progress import names
from otel_progress.names import ItemOutcome, Metric

Pick = Callable[[Metric], str]
"""From a metric to the selector that reads it."""
Steps = tuple[tuple[float | None, str], ...]
"""Colours from a value upwards; ``None`` is the least."""

PLAIN: Final[Steps] = ((None, "text"),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """
    One quantity of what runs, from the gauges of the live levels.

    ``how`` brings processes and, within one, levels of a name together. ``outlives``: it is also shown of a process
    that
    died, as it was last reported.
    """

    title: str
    column: str
    brief: str
    red: str
    unit: str
    how: str
    measure: Callable[[Pick], str]
    within: str | None = None
    outlives: bool = True
    steps: Steps = PLAIN
    decimals: int | None = None

    def now(self, select: Selection, by: Sequence[str]) -> str:
        """Return the query of a table or a single value: what is, or was when its process died."""
        chosen = self._chosen(select, by)
        whole = Selection(tuple(each for each in select.matchers if not each.startswith(LEVEL)))
        if not self.outlives:
            # A dead process' last words linger for five minutes: it promises nothing any more.
            measured = alive(chosen, self.measure(chosen))
            return self._together(where(measured, BY_PROCESS, whole(rules.DEAD.name), word="unless"), by)
        measured = self.measure(lambda metric: latest(chosen(metric)))
        open_levels = fold("sum", BY_PROCESS_LEVEL, latest(chosen(names.ACTIVE))) + " > 0"
        present = where(where(measured, BY_PROCESS_LEVEL, open_levels), BY_PROCESS, whole(rules.PRESENT.name))
        return self._together(present, by)

    def history(self, select: Selection, by: Sequence[str]) -> str:
        """Return the query of a graph: of each moment, what was alive then."""
        chosen = self._chosen(select, by)
        return self._together(alive(chosen, self.measure(chosen)), by)

    def _chosen(self, select: Selection, by: Sequence[str]) -> Selection:
        return select if LEVEL in by or self.within else Selection((*select.matchers, THE_OPERATION))

    def _together(self, measured: str, by: Sequence[str]) -> str:
        if self.within and LEVEL not in by:
            measured = fold(self.within, BY_PROCESS, measured)
        return fold(self.how, by, measured)


def _plain(metric: Metric) -> Callable[[Pick], str]:
    return lambda pick: pick(metric)


FRACTION: Final = Signal(
    title="How far is it?",
    column="Done",
    brief="Share done, levels below included; the mean over processes.",
    red="Compare with the time that has gone by: a line that lies flat is a level that does not advance.",
    unit="percentunit",
    how="avg",
    measure=_plain(names.LEVEL_FRACTION),
    decimals=0,
)
ETA: Final = Signal(
    title="How much time is left?",
    column="Left",
    brief="Seconds until the end, as estimated; the slowest process counts.",
    red="Look whether the rate fell, or whether there is more to do than was announced.",
    unit="dtdhms",
    how="max",
    measure=_plain(names.LEVEL_ETA),
    outlives=False,
    decimals=0,
)
ETA_LOW: Final = Signal(
    title="How much time is left at best?",
    column="at best",
    brief="Lower end of the 80 % interval of the time left.",
    red=ETA.red,
    unit=ETA.unit,
    how="max",
    measure=_plain(names.LEVEL_ETA_LOW),
    outlives=False,
    decimals=0,
)
ETA_HIGH: Final = Signal(
    title="How much time is left at worst?",
    column="at worst",
    brief="Upper end of the 80 % interval of the time left.",
    red=ETA.red,
    unit=ETA.unit,
    how="max",
    measure=_plain(names.LEVEL_ETA_HIGH),
    outlives=False,
    decimals=0,
)
EXPECTED_END: Final = Signal(
    title="When will it end?",
    column="Ends at",
    brief="Expected end as a time of day; the latest of the processes.",
    red=ETA.red,
    unit="dateTimeAsIsoNoDateIfToday",
    how="max",
    measure=lambda pick: f"{pick(names.LEVEL_EXPECTED_END)} * 1000",
    outlives=False,
)
EARLIEST_END: Final = Signal(
    title="When will it end at best?",
    column="at the earliest",
    brief="Lower end of the 80 % interval of the end.",
    red=ETA.red,
    unit=EXPECTED_END.unit,
    how="max",
    measure=lambda pick: (
        f"({pick(names.LEVEL_EXPECTED_END)} - {pick(names.LEVEL_ETA)} + {pick(names.LEVEL_ETA_LOW)}) * 1000"
    ),
    outlives=False,
)
LATEST_END: Final = Signal(
    title="When will it end at worst?",
    column="at the latest",
    brief="Upper end of the 80 % interval of the end.",
    red=ETA.red,
    unit=EXPECTED_END.unit,
    how="max",
    measure=lambda pick: (
        f"({pick(names.LEVEL_EXPECTED_END)} - {pick(names.LEVEL_ETA)} + {pick(names.LEVEL_ETA_HIGH)}) * 1000"
    ),
    outlives=False,
)
ELAPSED: Final = Signal(
    title="For how long?",
    column="Running for",
    brief="Time since the start of the oldest of its live levels.",
    red="Compare with how long earlier runs took, below.",
    unit="dtdhms",
    how="max",
    measure=_plain(names.LEVEL_ELAPSED),
    decimals=0,
)
SINCE_ADVANCE: Final = Signal(
    title="How long has nothing advanced?",
    column="No advance for",
    brief="Time since anything in it advanced; the process that has waited longest counts.",
    red="Look at what it waits for: its last message in the trace, its logs, locks, the network.",
    unit="dtdhms",
    how="max",
    within="min",  # a level that only holds others does not advance itself
    measure=lambda pick: f"time() - {pick(names.LEVEL_LAST_ADVANCE)}",
    decimals=0,
)
DONE: Final = Signal(
    title="How many items are done?",
    column="Items done",
    brief="Items done by the live levels, over all processes.",
    red="It has no red of its own.",
    unit="locale",
    how="sum",
    measure=_plain(names.LEVEL_DONE),
)
LIMIT: Final = Signal(
    title="How many items are there?",
    column="of",
    brief="Items in all, where the total is known, over all processes.",
    red="It has no red of its own.",
    unit="locale",
    how="sum",
    measure=_plain(names.LEVEL_LIMIT),
)
RATE: Final = Signal(
    title="How fast is it?",
    column="Rate",
    brief="Items a second lately, over all processes.",
    red="Look at what the level waits for: a rate limit, a slow disk, a database.",
    unit="suffix: /s",
    how="sum",
    measure=_plain(names.LEVEL_RATE),
    outlives=False,
)
QUALITY: Final = Signal(
    title="Is what it makes any good?",
    column="Quality",
    brief="The quality the program reports, 0 to 1; the lowest of the processes.",
    red="Look at what the program put in lately: a new input, model or version. Stop it, if bad results do harm.",
    unit="percentunit",
    how="min",
    measure=_plain(names.QUALITY_GAUGE),
    outlives=False,
)
PROCESSES: Final = Signal(
    title="Processes?",
    column="Processes",
    brief="Processes in which it is alive, or died.",
    red="Fewer than you started: look for one that died.",
    unit="none",
    how="count",
    measure=_plain(names.LEVEL_HEARTBEAT),
)


def failed_share(select: Selection, by: Sequence[str], window: str) -> str:
    """Return which share of the items failed in a window, over all processes; one that lasted a second counts."""
    failed = total(select(names.ITEMS, equals(ITEM_OUTCOME, ItemOutcome.FAILED)), window)
    return share(fold("sum", by, failed), fold("sum", by, total(select(names.ITEMS), window)))


def usual_rate(select: Selection) -> str:
    """Return the mean rate of a week, by level, while it was alive, over all processes; the last day is left out."""
    return f"avg_over_time({select(rules.RATE.name)}[7d] offset 1d)"
