"""
Recording rules: what became of each run, and totals that outlive the processes.

Named ``labels:metric:operation``: what comes before the first colon are the labels that are left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dashboards import config
from dashboards.promql import (
    BY_LEVEL,
    BY_OPERATION,
    BY_PROCESS,
    COUNTER_NAME,
    COUNTER_UNIT,
    EVERYTHING,
    ITEM_OUTCOME,
    OUTCOME,
    STATE,
    THE_OPERATION,
    alive,
    equals,
    fold,
    latest,
    total,
    where,
)
from otel_progress import names
from otel_progress.names import Metric, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One recording rule; ``brief`` says what its series are."""

    name: str
    expression: str
    brief: str
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Rules that are evaluated one after the other; a later one may use an earlier one."""

    name: str
    interval: str
    rules: tuple[Recording, ...]
    query_offset: str | None = None


# --- what became of each run ------------------------------------------------------------------------------------------


def _ended(part: str) -> str:
    """Return by how much the duration histogram of operations grew lately."""
    selector = EVERYTHING(names.LEVEL_DURATION, THE_OPERATION, part=part)
    return f"({selector} - ({selector} offset {config.ENDED_WITHIN} or {selector} * 0))"


def _ended_at(part: str) -> str:
    """Return when the histogram was reported that grew lately."""
    return f"timestamp({EVERYTHING(names.LEVEL_DURATION, THE_OPERATION, part=part)})"


_BEAT: Final = fold("max", BY_PROCESS, latest(EVERYTHING(names.LEVEL_HEARTBEAT)))

START_OF_PROCESS: Final = Recording(
    name="job_instance_operation:progress_start_timestamp_seconds:max",
    expression=(
        fold(
            "max",
            BY_PROCESS,
            f"{EVERYTHING(names.LEVEL_HEARTBEAT, THE_OPERATION)} - {EVERYTHING(names.LEVEL_ELAPSED, THE_OPERATION)}",
        )
        + " or "
        + fold("max", BY_PROCESS, f"({_ended_at('_sum')} - {_ended('_sum')}) and ({_ended('_count')} > 0)")
    ),
    brief="When a process last started the operation: seen while it ran, or told by the duration of one that was "
    "short.",
)
START: Final = Recording(
    name="job_operation:progress_start_timestamp_seconds:max",
    expression=fold("max", BY_OPERATION, latest(START_OF_PROCESS.name)),
    brief="When the operation last started, in any process; remembered for a day.",
)
PRESENT: Final = Recording(
    name="job_instance_operation:progress_present:sum",
    expression=where(
        fold("sum", BY_PROCESS, latest(EVERYTHING(names.ACTIVE))) + " > 0",
        BY_PROCESS,
        f"({_BEAT} < time() - {config.DEAD_AFTER_SECONDS}) < on ({', '.join(BY_OPERATION)}) group_left () {START.name}",
        word="unless",
    ),
    brief="Levels that a process has, or had when it fell silent; gone after a clean end, and after a later start "
    "elsewhere.",
)
DEAD: Final = Recording(
    name="job_instance_operation:progress_silent_seconds:max",
    expression=where(f"time() - {_BEAT} > {config.DEAD_AFTER_SECONDS}", BY_PROCESS, PRESENT.name),
    brief="Seconds since a process that ended without a word was last heard of.",
)
END: Final = Recording(
    name="job_operation_outcome:progress_end_timestamp_seconds:max",
    expression=fold("max", (*BY_OPERATION, OUTCOME), f"{_ended_at('_count')} and ({_ended('_count')} > 0)"),
    brief="When the operation last ended that way; there for a few minutes after each end.",
)
RUNS: Final = Recording(
    name="job_operation_outcome:progress_runs:total1d",
    expression=fold(
        "sum", (*BY_OPERATION, OUTCOME), total(EVERYTHING(names.LEVEL_DURATION, THE_OPERATION, part="_count"), "1d")
    ),
    brief="Runs that ended that way in the last day, however short they were.",
)


def deviating(kind: str) -> str:
    """Return the levels, per process, that are alive and deviate in this way."""
    return alive(EVERYTHING, EVERYTHING(names.DEVIATION, equals(config.KIND, kind)) + " == 1")


def _condition(condition: str) -> Recording:
    if condition == config.DEAD:
        found = DEAD.name
    elif condition in config.DEVIATION_KINDS:
        found = deviating(condition)
    else:
        found = EVERYTHING(names.ACTIVE, THE_OPERATION, equals(STATE, State(condition))) + " > 0"
    if condition != config.DEAD:
        # What a killed process said last lingers for five minutes; it is dead after two.
        found = where(found, BY_PROCESS, DEAD.name, word="unless")
    return Recording(
        name=CONDITION,
        expression=f"{fold('max', BY_OPERATION, found)} * 0 + {config.CODES[condition]}",
        brief=f"{config.CODES[condition]} while any process of the operation is {condition.replace('_', ' ')}.",
        labels=((CONDITION_LABEL, condition),),
    )


CONDITION: Final = "job_operation_condition:progress_condition:code"
"""What holds of an operation, one series for each condition; the worst has the greatest number."""
CONDITION_LABEL: Final = "condition"

# --- totals that outlive the processes --------------------------------------------------------------------------------


def _labels(labels: tuple[str, ...]) -> str:
    return "_".join(each.removeprefix("progress_").replace("deviation_kind", "kind") for each in labels)


def _slots(series: Metric | str, *more: str, part: str = "") -> Recording:
    name = (series if isinstance(series, str) else series.prometheus) + part
    labels = (*BY_LEVEL, *more)
    return Recording(
        name=f"{_labels(labels)}:{name.removesuffix('_total')}:total{config.SLOT}",
        expression=fold("sum", labels, total(EVERYTHING(name), config.SLOT)),
        brief=f"By how much `{name}` grew in these {config.SLOT}, over all processes.",
    )


def _gauge(metric: Metric, how: str, *more: str) -> Recording:
    labels = (*BY_LEVEL, *more)
    return Recording(
        name=f"{_labels(labels)}:{metric.prometheus}:{how}",
        expression=fold(how, labels, alive(EVERYTHING, EVERYTHING(metric))),
        brief=f"`{metric.prometheus}` of what is alive, over all processes ({how}).",
    )


RATE: Final = _gauge(names.LEVEL_RATE, "sum")
ITEMS: Final = _slots(names.ITEMS, ITEM_OUTCOME)
BYTES: Final = _slots(names.BYTES_DONE)
COUNTERS: Final = _slots(names.COUNTER, COUNTER_NAME, COUNTER_UNIT)
DURATION_SUM: Final = _slots(names.LEVEL_DURATION, OUTCOME, part="_sum")
DURATION_COUNT: Final = _slots(names.LEVEL_DURATION, OUTCOME, part="_count")
DURATION_BUCKET: Final = _slots(names.LEVEL_DURATION, "le", part="_bucket")
DEVIATIONS: Final = _slots(names.DEVIATIONS, config.KIND)
ETA_ERROR: Final = _slots(names.ETA_ERROR, "le", part="_bucket")

LOADED: Final = Recording(
    name="progress:rules:loaded",
    expression="vector(1)",
    brief="There where these rules are loaded: a dashboard can tell `nothing is wrong` from `nobody looks`.",
)

STATE_RULES: Final = Group(
    name="progress-state",
    interval=config.STATE_INTERVAL,
    rules=(LOADED, START_OF_PROCESS, START, PRESENT, DEAD, END, *map(_condition, config.CONDITIONS)),
)
TOTAL_RULES: Final = Group(name="progress-totals", interval=config.TOTALS_INTERVAL, rules=(RUNS,))
FLEET_GAUGES: Final = Group(
    name="progress-fleet-gauges",
    interval=config.TOTALS_INTERVAL,
    rules=(
        _gauge(names.ACTIVE, "sum", STATE),
        _gauge(names.LEVEL_FRACTION, "avg"),
        RATE,
        _gauge(names.LEVEL_ETA, "max"),
        _gauge(names.LEVEL_EXPECTED_END, "max"),
        _gauge(names.QUALITY_GAUGE, "min"),
    ),
)
FLEET_TOTALS: Final = Group(
    name="progress-fleet-totals",
    interval=config.SLOT,
    query_offset=config.LATE,
    rules=(ITEMS, BYTES, COUNTERS, DURATION_SUM, DURATION_COUNT, DEVIATIONS),
)
FLEET_BUCKETS: Final = Group(
    # By far the most series: a group that can be left out.
    name="progress-fleet-buckets",
    interval=config.SLOT,
    query_offset=config.LATE,
    rules=(DURATION_BUCKET, ETA_ERROR),
)
GROUPS: Final = (STATE_RULES, TOTAL_RULES, FLEET_GAUGES, FLEET_TOTALS, FLEET_BUCKETS)
