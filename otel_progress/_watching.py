"""A live level watched for deviations: its monitor, and what began and what is over since the last look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from otel_progress.names import Severity, State

if TYPE_CHECKING:
    from otel_progress._model import Deviation
    from otel_progress._state import LevelState
    from otel_progress.deviation import Rule

WATCHED_AFTER_SECONDS: Final = 2.0
"""Age at which a level gets a monitor: most are over before, and a monitor takes some 10 KiB."""

WATCHED_LIMIT: Final = 2_000
"""Levels alive at once beyond which no more monitors are made."""

_ERROR: Final = Severity.ERROR


def look(level: LevelState, now: float, rules: Sequence[Rule] = ()) -> tuple[list[Deviation], list[Deviation]]:
    """
    Return the deviations that began since the last look, or became errors, and those that are over.

    Called by one thread only, after the level was sampled. ``rules`` are the program's own, beside ours; the history of
    the level is read once, when the monitor is made.
    """
    outlook = level.outlook
    if outlook is None or (sample := outlook.newest) is None:
        return [], []
    monitor = outlook.monitor
    if monitor is None:
        if now - level.started < WATCHED_AFTER_SECONDS or level.runtime.registry.size > WATCHED_LIMIT:
            return [], []
        from otel_progress.deviation import DEFAULT_RULES, Monitor  # noqa: PLC0415  # most programs are over before

        monitor = Monitor(
            level.total,
            outlook.earlier,
            (*DEFAULT_RULES, *rules),
            name=level.name,
            unit=level.unit,
            own_estimates=False,
        )
        monitor.record(*(level.resumed or (0.0, level.started)))
        outlook.monitor = monitor
    # At the grain of looks: a pause between two of them is silence of a second at most.
    (monitor.pause if level.state is State.PAUSED else monitor.resume)(now)
    monitor.observe(sample)
    before = {(each.kind, each.since): each for each in outlook.deviations}
    held = monitor.check(now, outlook.estimate)
    for _, error in monitor.broken:
        level.runtime.tally.log_once("rule", "otel_progress: a deviation rule failed and is left out", exc_info=error)
    if level.ending is not None:
        return [], []
    outlook.deviations = held
    began = [each for each in held if _is_news(each, before.pop((each.kind, each.since), None))]
    for each in began:
        if outlook.onsets is None:
            outlook.onsets = {}
        how = (each.kind, each.severity)
        outlook.onsets[how] = outlook.onsets.get(how, 0) + 1
    return began, list(before.values())


def _is_news(deviation: Deviation, before: Deviation | None) -> bool:
    return before is None or (deviation.severity is _ERROR and before.severity is not _ERROR)
