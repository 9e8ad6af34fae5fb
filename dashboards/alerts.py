"""The alerts: each once, rendered for Prometheus and for Grafana by `render`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dashboards import config, rules, signals
from dashboards.promql import (
    BY_LEVEL,
    BY_OPERATION,
    EVERYTHING,
    INSTANCE,
    ITEM_OUTCOME,
    JOB,
    OPERATION,
    OUTCOME,
    REASON,
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
from otel_progress.names import DeviationKind, ItemOutcome, State

DURATION: Final = "humanizeDuration"
SHARE: Final = "humanizePercentage"
NUMBER: Final = "humanize"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """
    One alert rule.

    The summary has no numbers, so that a notification's title stays the same; the description has the value, written
    ``{value}``. Labels are written ``{operation}`` for ``progress_operation``; ``{place}`` is level and operation.
    """

    name: str
    expression: str
    lasting: str
    severity: str
    summary: str
    description: str
    shown_as: str
    dashboard: str = config.OPERATION_UID
    labels: tuple[str, ...] = BY_LEVEL


_THE_LEVEL: Final = "{place}"


def _where_deviating(measure: str, kind: str) -> str:
    """Return a measure by level, where at least one process deviates in this way."""
    return where(measure, BY_LEVEL, fold("count", BY_LEVEL, rules.deviating(kind)))


def _processes_deviating(*kinds: str) -> str:
    return " or ".join(fold("count", BY_LEVEL, rules.deviating(kind)) for kind in kinds)


def _failed_so_far() -> str:
    items = alive(EVERYTHING, EVERYTHING(names.ITEMS))
    failed = alive(EVERYTHING, EVERYTHING(names.ITEMS, equals(ITEM_OUTCOME, ItemOutcome.FAILED)))
    return share(fold("sum", BY_LEVEL, failed), fold("sum", BY_LEVEL, items))


def _collectors_down() -> str:
    # Also for five minutes after: jobs are heard again only with their next export.
    return f'max(min_over_time(up{{job="{config.COLLECTOR_JOB}"}}[5m])) == 0'


def _last_end(outcome: str) -> str:
    return fold("max", BY_OPERATION, latest(f"{rules.END.name}{{{equals(OUTCOME, outcome)}}}"))


def missing(select: Selection = EVERYTHING) -> str:
    """
    Return, by operation, how many seconds late it is: it started at this time in each of the weeks before, and not now.

    Looks at whole weeks, so that jobs of weekdays are not missed on Saturdays.
    """
    grace, window = config.USUAL_GRACE_SECONDS, config.USUAL_WINDOW_SECONDS
    recent = window + grace + config.USUAL_EARLY_SECONDS
    start = select(rules.START.name)
    usual = []
    for weeks in config.USUAL_WEEKS:
        ago = weeks * 7 * 86_400 + grace
        usual.append(f"({start} offset {ago}s > time() - {ago + window})")
    labels = ", ".join(BY_OPERATION)
    ran = f" and on ({labels}) ".join(usual)
    # How late: measured from the start a week ago.
    late = f"time() - {7 * 86_400} - ({ran})"
    return f"({late}) unless on ({labels}) ({start} > time() - {recent})"


DEAD: Final = Alert(
    name="ProgressDead",
    # Without a Collector everybody looks dead; ProgressTelemetryDown says so once.
    expression=f"{rules.DEAD.name} unless on () ({_collectors_down()})",
    lasting="1m",
    severity=config.PAGE,
    summary="A process of {operation} ({job}) ended without a word",
    description="{operation} ({job}), process {instance}, was running and has not been heard of for {value}.",
    shown_as=DURATION,
    labels=(JOB, INSTANCE, OPERATION),
)
STALLED: Final = Alert(
    name="ProgressStalled",
    expression=_where_deviating(signals.SINCE_ADVANCE.history(EVERYTHING, BY_LEVEL), DeviationKind.STALLED.value),
    lasting="1m",
    severity=config.PAGE,
    summary=f"{_THE_LEVEL} is alive and does not advance",
    description=f"{_THE_LEVEL} has not advanced for {{value}}, which is long for its own pace.",
    shown_as=DURATION,
)
OVERDUE: Final = Alert(
    name="ProgressOverdue",
    expression=_where_deviating(signals.ELAPSED.history(EVERYTHING, BY_LEVEL), DeviationKind.OVERDUE.value),
    lasting="2m",
    severity=config.PAGE,
    summary=f"{_THE_LEVEL} will end later than it promised",
    description=f"{_THE_LEVEL} has been running for {{value}}, and its expected end has moved past what it promised.",
    shown_as=DURATION,
)
SLOW: Final = Alert(
    name="ProgressSlow",
    expression=_processes_deviating(DeviationKind.SLOW.value),
    lasting="5m",
    severity=config.TICKET,
    summary=f"{_THE_LEVEL} is slower than its earlier runs",
    description=f"{_THE_LEVEL} is slower than its earlier runs were at this point, in {{value}} process(es).",
    shown_as=NUMBER,
)
FAILED: Final = Alert(
    name="ProgressFailed",
    expression=where(
        fold("sum", BY_OPERATION, f"{rules.RUNS.name}{{{equals(OUTCOME, State.FAILED)}}}") + " > 0",
        BY_OPERATION,
        f"{_last_end(State.COMPLETED)} >= {_last_end(State.FAILED)}",
        word="unless",
    ),
    lasting="0s",
    severity=config.PAGE,
    summary="{operation} ({job}) failed and has not succeeded since",
    description="{operation} ({job}) failed {value} time(s) in the last day, and no run completed after the last "
    "failure.",
    shown_as=NUMBER,
    labels=BY_OPERATION,
)
ERROR_RATE: Final = Alert(
    name="ProgressErrorRate",
    expression=_where_deviating(
        f"{signals.failed_share(EVERYTHING, BY_LEVEL, '15m')} or {_failed_so_far()}", DeviationKind.ERROR_RATE.value
    ),
    lasting="1m",
    severity=config.PAGE,
    summary=f"{_THE_LEVEL}: too many items fail",
    description=f"{_THE_LEVEL}: {{value}} of the items failed lately, over all its processes.",
    shown_as=SHARE,
)
LOW_THROUGHPUT: Final = Alert(
    name="ProgressLowThroughput",
    expression=_processes_deviating(DeviationKind.LOW_THROUGHPUT.value),
    lasting="5m",
    severity=config.TICKET,
    summary=f"{_THE_LEVEL} does fewer items a second than it should",
    description=f"{_THE_LEVEL}: the rate is below what it should be, in {{value}} process(es).",
    shown_as=NUMBER,
)
QUALITY: Final = Alert(
    name="ProgressQuality",
    expression=_where_deviating(signals.QUALITY.history(EVERYTHING, BY_LEVEL), DeviationKind.QUALITY.value),
    lasting="2m",
    severity=config.PAGE,
    summary=f"{_THE_LEVEL}: the quality is too low",
    description=f"{_THE_LEVEL}: the quality it reports is down to {{value}}.",
    shown_as=SHARE,
)
RATE_LIMITED: Final = Alert(
    name="ProgressRateLimited",
    expression=_processes_deviating(DeviationKind.RATE_LIMITED.value),
    lasting="5m",
    severity=config.TICKET,
    summary=f"{_THE_LEVEL} waits for somebody else's rate limit",
    description=f"{_THE_LEVEL} spends much of its time waiting for a rate limit, in {{value}} process(es).",
    shown_as=NUMBER,
)
DEVIATES: Final = Alert(
    name="ProgressDeviates",
    expression=_processes_deviating(DeviationKind.RESOURCES.value, DeviationKind.CUSTOM.value),
    lasting="5m",
    severity=config.TICKET,
    summary=f"{_THE_LEVEL} departs from what its rules allow",
    description=f"{_THE_LEVEL} departs from a rule on resources, or from one of your own, in {{value}} process(es).",
    shown_as=NUMBER,
)
NEVER_STARTED: Final = Alert(
    name="ProgressNeverStarted",
    expression=missing(),
    lasting="5m",
    severity=config.PAGE,
    summary="{operation} ({job}) usually runs by now and has not started",
    description="{operation} ({job}) started at this time in each of the last weeks; today it is {value} late.",
    shown_as=DURATION,
    labels=BY_OPERATION,
)
TELEMETRY_DOWN: Final = Alert(
    name="ProgressTelemetryDown",
    expression=f'count by ({JOB}) (up{{job="{config.COLLECTOR_JOB}"}} == 0)',
    lasting="2m",
    severity=config.PAGE,
    summary="The Collector cannot be reached: what jobs send does not arrive",
    description="{value} Collector(s) of the scrape job {job} do not answer. Running jobs go on; nothing is seen of "
    "them.",
    shown_as=NUMBER,
    dashboard=config.RELIABILITY_UID,
    labels=(JOB,),
)
TELEMETRY_STUCK: Final = Alert(
    name="ProgressTelemetryStuck",
    expression=(
        "max by (exporter, data_type) (otelcol_exporter_queue_size / otelcol_exporter_queue_capacity) "
        f"> {config.QUEUE_SHARE}"
    ),
    lasting="5m",
    severity=config.TICKET,
    summary="The Collector's queue for {exporter} is filling up",
    description="The queue of {exporter} ({data_type}) is {value} full: its backend is down or too slow. When it is "
    "full, "
    "jobs are told to keep their telemetry.",
    shown_as=SHARE,
    dashboard=config.RELIABILITY_UID,
    labels=("exporter", "data_type"),
)
TELEMETRY_LOST: Final = Alert(
    name="ProgressTelemetryLost",
    expression=fold("sum", (JOB, REASON), total(EVERYTHING(names.TELEMETRY_DROPPED), "1h")) + " > 0",
    lasting="0s",
    severity=config.TICKET,
    summary="{job} drops telemetry of its own: {reason}",
    description="{job} dropped {value} record(s) in the last hour because of {reason}.",
    shown_as=NUMBER,
    dashboard=config.RELIABILITY_UID,
    labels=(JOB, REASON),
)

ALERTS: Final = (
    DEAD,
    STALLED,
    OVERDUE,
    FAILED,
    NEVER_STARTED,
    ERROR_RATE,
    QUALITY,
    SLOW,
    LOW_THROUGHPUT,
    RATE_LIMITED,
    DEVIATES,
    TELEMETRY_DOWN,
    TELEMETRY_STUCK,
    TELEMETRY_LOST,
)
