"""
Every name this package writes into telemetry: declared once, with unit, kind and meaning.

Spans, metrics, events, dashboards, rules and the table in ``docs/telemetry.md`` are made from here;
``python -m otel_progress.names`` prints that table. A name written anywhere else fails a test.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

SCOPE: Final = "otel_progress"
"""Name of the instrumentation scope of every tracer, meter and logger of ours."""


class State(StrEnum):
    """Where a level stands. The last five are ends: nothing follows them."""

    PENDING = "pending"
    RUNNING = "running"
    PAUSED = "paused"
    RETRYING = "retrying"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    ABANDONED = "abandoned"


LIVE_STATES: Final = (State.PENDING, State.RUNNING, State.PAUSED, State.RETRYING)
"""The states a level can be in before it ends; the values of ``progress.state`` on metrics."""

OUTCOMES: Final = (State.COMPLETED, State.FAILED, State.CANCELLED, State.INTERRUPTED, State.ABANDONED)
"""The five ends; the values of ``progress.outcome``."""


class ItemOutcome(StrEnum):
    """What became of one item."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"


class Record(StrEnum):
    """What a span of ours stands for; the value of ``progress.record``."""

    SPAN = "span"
    OPEN = "open"
    CHECKPOINT = "checkpoint"
    COMPLETION = "completion"
    CONTINUATION = "continuation"


class DeviationKind(StrEnum):
    """In which way a run departs from what was to be expected; the value of ``progress.deviation.kind``."""

    STALLED = "stalled"
    SLOW = "slow"
    OVERDUE = "overdue"
    ERROR_RATE = "error_rate"
    LOW_THROUGHPUT = "low_throughput"
    QUALITY = "quality"
    RATE_LIMITED = "rate_limited"
    RESOURCES = "resources"
    CUSTOM = "custom"


class Severity(StrEnum):
    """How much a deviation matters; the value of ``progress.severity``."""

    WARN = "warn"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute key: its value type, where it appears and what it means."""

    name: str
    type: str
    on: str
    brief: str

    @property
    def label(self) -> str:
        """The key as a Prometheus label."""
        return self.name.replace(".", "_")


@dataclass(frozen=True, slots=True)
class Metric:
    """One instrument, and the series name Prometheus shows for it on both paths (OTLP and scrape)."""

    name: str
    kind: str
    unit: str
    brief: str
    attributes: tuple[str, ...] = ()

    @property
    def prometheus(self) -> str:
        """
        The series name in Prometheus with its default translation (suffixes for unit and counters).

        Source: the OpenTelemetry specification, "Prometheus and OpenMetrics Compatibility", metric metadata.
        """
        series = self.name.replace(".", "_")
        suffix = _PROMETHEUS_UNITS[self.unit]
        if suffix and suffix not in series.split("_"):
            series += f"_{suffix}"
        return f"{series}_total" if "counter" in self.kind and "up-down" not in self.kind else series


@dataclass(frozen=True, slots=True)
class Event:
    """One log event (``event_name``)."""

    name: str
    severity: str
    brief: str


_PROMETHEUS_UNITS: Final = {
    "": "",
    "{item}": "",
    "{level}": "",
    "{deviation}": "",
    "{record}": "",
    "{error}": "",
    "By": "bytes",
    "s": "seconds",
    "{item}/s": "per_second",
}

# --- attributes -------------------------------------------------------------------------------------------------------

OPERATION: Final = "progress.operation"
LEVEL: Final = "progress.level"
LEVEL_ID: Final = "progress.level.id"
LEVEL_TITLE: Final = "progress.level.title"
PATH: Final = "progress.path"
STATE: Final = "progress.state"
RECORD: Final = "progress.record"
RUN_ID: Final = "progress.run.id"
DONE: Final = "progress.done"
LIMIT: Final = "progress.limit"
FAILED: Final = "progress.failed"
SKIPPED: Final = "progress.skipped"
BYTES: Final = "progress.bytes"
UNIT: Final = "progress.unit"
FRACTION: Final = "progress.fraction"
MESSAGE: Final = "progress.message"
METADATA_PREFIX: Final = "progress.metadata."
ETA_SECONDS: Final = "progress.eta.seconds"
ETA_LOW: Final = "progress.eta.low"
ETA_HIGH: Final = "progress.eta.high"
EXPECTED_END: Final = "progress.expected_end"
OUTCOME: Final = "progress.outcome"
OPEN_SPAN_ID: Final = "progress.open.span_id"
TOTAL: Final = "progress.total"
QUALITY: Final = "progress.quality"
COUNTER_PREFIX: Final = "progress.counter."
ITEM_OUTCOME: Final = "progress.item.outcome"
COUNTER_NAME: Final = "progress.counter.name"
COUNTER_UNIT: Final = "progress.counter.unit"
DEVIATION_KIND: Final = "progress.deviation.kind"
DEVIATION_KINDS: Final = "progress.deviation.kinds"
SEVERITY: Final = "progress.severity"
REASON: Final = "progress.reason"
SIGNAL: Final = "progress.signal"
PREVIOUS_STATE: Final = "progress.state.previous"
DURATION: Final = "progress.duration"
ERROR_TYPE: Final = "error.type"
PROFILE: Final = "progress.profile"
EXCEPTION_EVENT: Final = "exception"
EXCEPTION_TYPE: Final = "exception.type"
EXCEPTION_MESSAGE: Final = "exception.message"
EXCEPTION_STACKTRACE: Final = "exception.stacktrace"
EXCEPTION_ESCAPED: Final = "exception.escaped"

ATTRIBUTES: Final = (
    Attribute(
        OPERATION, "string", "spans, metrics, events", "Name of the operation: the job at the root of a progress tree."
    ),
    Attribute(LEVEL, "string", "spans, metrics, events", "Name of the level; absent on the operation itself."),
    Attribute(LEVEL_ID, "string", "spans, events", "The instance: which file, table or order (`id=`)."),
    Attribute(LEVEL_TITLE, "string", "spans, events", "A title for people (`title=`)."),
    Attribute(PATH, "string[]", "spans, events", "Names from the operation down to the level."),
    Attribute(
        STATE, "string", "spans, metrics, events", "State of the level: " + ", ".join(f"`{s}`" for s in State) + "."
    ),
    Attribute(
        RECORD,
        "string",
        "spans",
        "What the span stands for. `span` is a whole level. A level that outlives `open_after` has an `open` record, sent "
        "while it runs, `checkpoint` records, and at its end a `completion` record with its true times and outcome. "
        "`continuation` stands in a further trace of a long run for a level of the one before.",
    ),
    Attribute(RUN_ID, "string", "spans, events", "One run of one operation; levels in other processes carry the same."),
    Attribute(DONE, "double", "spans, events", "Items done, whatever became of them."),
    Attribute(LIMIT, "double", "spans, events", "Items in all; absent while unknown."),
    Attribute(FAILED, "double", "spans, events", "Items that failed; they are part of done."),
    Attribute(SKIPPED, "double", "spans, events", "Items that were skipped; they are part of done."),
    Attribute(BYTES, "double", "spans, events", "Bytes done."),
    Attribute(UNIT, "string", "spans, events", "What an item is, as a UCUM annotation such as `{row}`."),
    Attribute(FRACTION, "double", "spans, events", "Share done, 0 to 1; absent while unknown."),
    Attribute(MESSAGE, "string", "spans, events", "The last message of `update(message=)`."),
    Attribute(METADATA_PREFIX + "<key>", "string", "spans", "One entry of `update(metadata=)`, shortened."),
    Attribute(ETA_SECONDS, "double", "spans, events", "Seconds left, as estimated."),
    Attribute(ETA_LOW, "double", "spans, events", "Lower end of the 80 % interval of the seconds left."),
    Attribute(ETA_HIGH, "double", "spans, events", "Upper end of the 80 % interval of the seconds left."),
    Attribute(EXPECTED_END, "string", "spans, events", "Expected end as an ISO 8601 time in UTC."),
    Attribute(
        OPEN_SPAN_ID, "string", "spans", "On checkpoint and completion records: span id of the level's open record."
    ),
    Attribute(
        TOTAL,
        "double",
        "spans of others",
        "Items in all, set by a program that knows only OpenTelemetry, with `progress.done`: the span is a level then.",
    ),
    Attribute(
        OUTCOME,
        "string",
        "spans, metrics, events",
        "How the level ended: " + ", ".join(f"`{s}`" for s in OUTCOMES) + ".",
    ),
    Attribute(
        PROFILE,
        "string",
        "spans",
        "On records of levels that ended: how the run went, as JSON of at most 1 KB (`Profile.encode()`); read back as "
        "the history of the next run.",
    ),
    Attribute(DURATION, "double", "events", "Seconds from start to end."),
    Attribute(QUALITY, "double", "spans, events", "The last `set_quality`, 0 to 1."),
    Attribute(COUNTER_PREFIX + "<name>", "double", "spans, events", "Final value of one named counter."),
    Attribute(PREVIOUS_STATE, "string", "events", "State before the change."),
    Attribute(ITEM_OUTCOME, "string", "metrics", "What became of the items: `ok`, `failed`, `skipped`."),
    Attribute(COUNTER_NAME, "string", "metrics", "Name of a named counter."),
    Attribute(COUNTER_UNIT, "string", "metrics", "Unit of a named counter."),
    Attribute(
        DEVIATION_KIND,
        "string",
        "metrics, events",
        "How the level departs from what was expected: " + ", ".join(f"`{kind}`" for kind in DeviationKind) + ".",
    ),
    Attribute(DEVIATION_KINDS, "string[]", "spans, events", "The kinds of deviation that the level has had so far."),
    Attribute(
        SEVERITY, "string", "metrics, events", "How much a deviation matters: `warn` or `error`; it can rise meanwhile."
    ),
    Attribute(REASON, "string", "metrics", "Why something of ours was dropped, ignored or contained."),
    Attribute(SIGNAL, "string", "metrics", "What waits for its backend: `traces`, `logs`."),
    Attribute(ERROR_TYPE, "string", "spans, events", "Class of the exception that ended the level."),
)

# --- metrics ----------------------------------------------------------------------------------------------------------

_LABELS: Final = (OPERATION, LEVEL)

ITEMS: Final = Metric(
    "progress.items", "observable counter", "{item}", "Items done in this process, ever.", (*_LABELS, ITEM_OUTCOME)
)
BYTES_DONE: Final = Metric("progress.bytes", "observable counter", "By", "Bytes done in this process, ever.", _LABELS)
ACTIVE: Final = Metric(
    "progress.level.active",
    "observable up-down counter",
    "{level}",
    "Levels alive now, by state; stays, and goes to 0.",
    (*_LABELS, STATE),
)
LEVEL_DONE: Final = Metric(
    "progress.level.done", "observable gauge", "{item}", "Items done by the live levels.", _LABELS
)
LEVEL_LIMIT: Final = Metric(
    "progress.level.limit", "observable gauge", "{item}", "Items the live levels have in all, where known.", _LABELS
)
LEVEL_FRACTION: Final = Metric(
    "progress.level.fraction", "observable gauge", "", "Share done, 0 to 1, children included.", _LABELS
)
LEVEL_RATE: Final = Metric("progress.level.rate", "observable gauge", "{item}/s", "Recent speed.", _LABELS)
LEVEL_ELAPSED: Final = Metric(
    "progress.level.elapsed", "observable gauge", "s", "Time since the start of the oldest live level.", _LABELS
)
LEVEL_ETA: Final = Metric(
    "progress.level.eta", "observable gauge", "s", "Time left, the worst of the live levels.", _LABELS
)
LEVEL_ETA_LOW: Final = Metric(
    "progress.level.eta.low", "observable gauge", "s", "Lower end of the 80 % interval of the time left.", _LABELS
)
LEVEL_ETA_HIGH: Final = Metric(
    "progress.level.eta.high", "observable gauge", "s", "Upper end of the 80 % interval of the time left.", _LABELS
)
LEVEL_EXPECTED_END: Final = Metric(
    "progress.level.expected_end.timestamp", "observable gauge", "s", "Expected end as unix time.", _LABELS
)
LEVEL_LAST_ADVANCE: Final = Metric(
    "progress.level.last_advance.timestamp",
    "observable gauge",
    "s",
    "Unix time of the last advance of the live level that waits longest.",
    _LABELS,
)
LEVEL_HEARTBEAT: Final = Metric(
    "progress.level.heartbeat.timestamp",
    "observable gauge",
    "s",
    "Unix time at which this process last looked at the level: it is alive.",
    _LABELS,
)
LEVEL_DURATION: Final = Metric(
    "progress.level.duration", "histogram", "s", "Time from start to end of finished levels.", (*_LABELS, OUTCOME)
)
COUNTER: Final = Metric(
    "progress.counter",
    "observable counter",
    "",
    "Named counters of the levels of this process, ever; never sum across names.",
    (*_LABELS, COUNTER_NAME, COUNTER_UNIT),
)
QUALITY_GAUGE: Final = Metric(
    "progress.quality", "observable gauge", "", "Lowest quality of the live levels, 0 to 1.", _LABELS
)
ETA_ERROR: Final = Metric(
    "progress.eta.error",
    "histogram",
    "",
    "How wrong the promised time left was, |ln(promised / true)|, at a quarter, half and three quarters of the time.",
    _LABELS,
)
DEVIATION: Final = Metric(
    "progress.deviation",
    "observable gauge",
    "{deviation}",
    "1 while a live level deviates from what was expected of it, 0 once that is over.",
    (*_LABELS, DEVIATION_KIND, SEVERITY),
)
DEVIATIONS: Final = Metric(
    "progress.deviations",
    "observable counter",
    "{deviation}",
    "Deviations that began in this process, ever; one that becomes an error counts there as well.",
    (*_LABELS, DEVIATION_KIND, SEVERITY),
)
TELEMETRY_DROPPED: Final = Metric(
    "progress.telemetry.dropped",
    "observable counter",
    "{record}",
    "Records and label sets of ours that were dropped because a bound was reached.",
    (REASON,),
)
TELEMETRY_IGNORED: Final = Metric(
    "progress.telemetry.ignored",
    "observable counter",
    "{record}",
    "Calls that made no sense (a negative advance, a change after the end) and were ignored.",
    (REASON,),
)
TELEMETRY_CONTAINED: Final = Metric(
    "progress.telemetry.contained",
    "observable counter",
    "{error}",
    "Errors inside our own hooks that were kept away from the program.",
    (REASON,),
)
TELEMETRY_KEPT: Final = Metric(
    "progress.telemetry.kept",
    "observable up-down counter",
    "{record}",
    "Records that wait because their backend is in trouble; with `configure()` only.",
    (SIGNAL,),
)

METRICS: Final = (
    ITEMS,
    BYTES_DONE,
    ACTIVE,
    LEVEL_DONE,
    LEVEL_LIMIT,
    LEVEL_FRACTION,
    LEVEL_RATE,
    LEVEL_ELAPSED,
    LEVEL_ETA,
    LEVEL_ETA_LOW,
    LEVEL_ETA_HIGH,
    LEVEL_EXPECTED_END,
    LEVEL_LAST_ADVANCE,
    LEVEL_HEARTBEAT,
    LEVEL_DURATION,
    COUNTER,
    QUALITY_GAUGE,
    ETA_ERROR,
    DEVIATION,
    DEVIATIONS,
    TELEMETRY_DROPPED,
    TELEMETRY_IGNORED,
    TELEMETRY_CONTAINED,
    TELEMETRY_KEPT,
)

DURATION_BOUNDARIES: Final = (
    *(0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0),
    *(3600.0, 7200.0, 14400.0, 28800.0, 86400.0, 259200.0),
)
"""Advisory bucket boundaries of the duration histogram in seconds: from service calls to jobs of three days."""

ETA_ERROR_BOUNDARIES: Final = (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.4, 0.7, 1.0, 1.5, 2.0, 3.0)
"""Advisory bucket boundaries of the error of promises: 0.05 is 5 %, 0.22 a factor of 1.25, 0.7 a factor of 2."""

# --- events -----------------------------------------------------------------------------------------------------------

STARTED: Final = Event("progress.started", "INFO", "An operation started, or a level outlived `open_after`.")
CHECKPOINT: Final = Event(
    "progress.checkpoint", "INFO", "How far a long level is: with its checkpoint record, at most once a minute."
)
STATE_CHANGED: Final = Event("progress.state_changed", "INFO", "A level was paused, resumed or is retrying.")
COMPLETED: Final = Event(
    "progress.completed", "INFO", "An operation or long level ended; WARN when not as `completed`."
)
FAILED_EVENT: Final = Event("progress.failed", "ERROR", "An operation or long level failed.")
DEVIATION_EVENT: Final = Event(
    "progress.deviation",
    "WARN",
    "A level departs from what was expected of it, as the body says; ERROR for grave ones.",
)
RECOVERED: Final = Event("progress.recovered", "INFO", "A deviation is over.")

EVENTS: Final = (STARTED, CHECKPOINT, STATE_CHANGED, COMPLETED, FAILED_EVENT, DEVIATION_EVENT, RECOVERED)

# --- named counters ---------------------------------------------------------------------------------------------------

RATE_LIMIT_WAIT: Final = "rate_limit_wait_seconds"

STANDARD_COUNTERS: Final = {
    "tokens": "{token}",
    "cost": "{USD}",
    "retries": "{retry}",
    "api_calls": "{call}",
    "api_failures": "{call}",
    "rate_limit_hits": "{hit}",
    RATE_LIMIT_WAIT: "s",
}
"""Counters with a fixed meaning, and their units; `count()` takes any other name as well."""


def reference() -> str:
    """Return the telemetry reference as Markdown: the text of ``docs/telemetry.md``."""
    lines = [
        "# Telemetry reference",
        "",
        "Made from `otel_progress/names.py` by `python -m otel_progress.names`; do not edit.",
        "Names follow SemVer: they change in a major release only.",
        "",
        "## Metrics",
        "",
        "| instrument | in Prometheus | kind | unit | attributes | meaning |",
        "| --- | --- | --- | --- | --- | --- |",
        *(
            f"| `{m.name}` | `{m.prometheus}` | {m.kind} | {f'`{m.unit}`' if m.unit else ''} "
            f"| {', '.join(f'`{a}`' for a in m.attributes)} | {m.brief} |"
            for m in METRICS
        ),
        "",
        "Series of an operation itself have no `progress.level`. Unknown values have no data point.",
        "",
        "## Attributes",
        "",
        "| attribute | type | on | meaning |",
        "| --- | --- | --- | --- |",
        *(f"| `{a.name}` | {a.type} | {a.on} | {a.brief} |" for a in ATTRIBUTES),
        "",
        "A failed level also has the standard `exception` span event, its message and stack redacted.",
        "",
        "## Events",
        "",
        "| event | severity | meaning |",
        "| --- | --- | --- |",
        *(f"| `{e.name}` | {e.severity} | {e.brief} |" for e in EVENTS),
        "",
        "## Standard counters",
        "",
        "| name | unit |",
        "| --- | --- |",
        *(f"| `{name}` | `{unit}` |" for name, unit in STANDARD_COUNTERS.items()),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(reference(), end="")
