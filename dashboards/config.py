"""The knobs: windows, thresholds, times until an alert fires, names and addresses."""

from __future__ import annotations

from typing import Final

from otel_progress import names
from otel_progress.names import DeviationKind

# --- time -------------------------------------------------------------------------------------------------------------

MEMORY: Final = "1d"
"""How far back the last word of a silent process is looked for, and how long a dead one stays dead."""
DEAD_AFTER_SECONDS: Final = 120
"""A process beats once a second and reports every ten: twelve reports are missing."""
SLOT: Final = "5m"
"""Length of the pieces in which totals are kept for long-term storage; also the interval of those rules."""
LATE: Final = "1m"
"""How long those rules wait for what is still on its way."""
ENDED_WITHIN: Final = "2m"
"""How long after its report an ending is noticed: later than that, it came out of a queue, and its time is unknown."""
STATE_INTERVAL: Final = "30s"
TOTALS_INTERVAL: Final = "1m"

USUAL_WEEKS: Final = (1, 2)
"""A job is expected where it ran in each of these weeks. Prometheus keeps 15 days unless told otherwise."""
USUAL_GRACE_SECONDS: Final = 1800
"""How much later than in those weeks it may start."""
USUAL_WINDOW_SECONDS: Final = 6 * 3600
"""How long it is missed; a job that runs more often than this is missed when it did not run for as long."""
USUAL_EARLY_SECONDS: Final = 1800
"""How much earlier than in those weeks it may have started."""

QUEUE_SHARE: Final = 0.8
"""Share of the Collector's queue above which a backend is too slow."""

KIND: Final = names.DEVIATION_KIND.replace(".", "_")
SEVERITY: Final = names.SEVERITY.replace(".", "_")
"""Labels of deviations."""

# --- what a run can be in, the worst first ----------------------------------------------------------------------------

DEVIATION_KINDS: Final = (
    DeviationKind.STALLED.value,
    DeviationKind.OVERDUE.value,
    DeviationKind.ERROR_RATE.value,
    DeviationKind.QUALITY.value,
    DeviationKind.SLOW.value,
    DeviationKind.LOW_THROUGHPUT.value,
    DeviationKind.RATE_LIMITED.value,
    DeviationKind.RESOURCES.value,
    DeviationKind.CUSTOM.value,
)
DEAD: Final = "dead"
CALM_STATES: Final = ("retrying", "paused", "running", "pending")
CONDITIONS: Final = (DEAD, *DEVIATION_KINDS, *CALM_STATES)
"""What an operation can be in; it shows the first that holds in any of its processes."""
CODES: Final = {condition: len(CONDITIONS) - place for place, condition in enumerate(CONDITIONS)}
"""The numbers that stand for them: the worse, the greater."""
COLOURS: Final = {
    DEAD: "purple",
    DeviationKind.STALLED.value: "red",
    DeviationKind.OVERDUE.value: "red",
    DeviationKind.ERROR_RATE.value: "orange",
    DeviationKind.QUALITY.value: "orange",
    DeviationKind.SLOW.value: "orange",
    DeviationKind.LOW_THROUGHPUT.value: "orange",
    DeviationKind.RATE_LIMITED.value: "yellow",
    DeviationKind.RESOURCES.value: "yellow",
    DeviationKind.CUSTOM.value: "yellow",
    "retrying": "yellow",
    "paused": "blue",
    "running": "green",
    "pending": "text",
}

# --- names and addresses ----------------------------------------------------------------------------------------------

COLLECTOR_JOB: Final = "collector"
"""The scrape job of the Collector's own metrics, as in collector/prometheus.yaml."""
FOLDER: Final = "Progress"
"""Grafana's folder for dashboards and rules."""
OVERVIEW_UID: Final = "progress-overview"
OPERATION_UID: Final = "progress-operation"
RELIABILITY_UID: Final = "progress-reliability"
PROMETHEUS_UID: Final = "prometheus"
"""The data source that Grafana's rules query; dashboards let people choose."""
GRAFANA_URL: Final = "http://127.0.0.1:3000"
"""Where the links in Prometheus alerts lead; ``otel-progress rules export`` puts another address in its place."""
RUNBOOKS_URL: Final = "https://github.com/otel-progress/otel-progress/blob/main/docs/runbooks"

PAGE: Final = "critical"
TICKET: Final = "warning"
