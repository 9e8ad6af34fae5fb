"""Deviations of a run from what was to be expected of it: no clock, no I/O, no OpenTelemetry inside."""

from otel_progress._model import Deviation
from otel_progress.deviation._defaults import DEFAULT_RULES
from otel_progress.deviation._measures import Quality, Resources
from otel_progress.deviation._monitor import Monitor
from otel_progress.deviation._overdue import Overdue
from otel_progress.deviation._past import Past
from otel_progress.deviation._rates import ErrorRate, LowThroughput, RateLimited
from otel_progress.deviation._rule import OK, UNDECIDED, Answer, Found, Rule, Verdict
from otel_progress.deviation._run import Run, Stretch
from otel_progress.deviation._slow import Slow
from otel_progress.deviation._stalled import Stalled
from otel_progress.names import DeviationKind, Severity

__all__ = [
    "DEFAULT_RULES",
    "OK",
    "UNDECIDED",
    "Answer",
    "Deviation",
    "DeviationKind",
    "ErrorRate",
    "Found",
    "LowThroughput",
    "Monitor",
    "Overdue",
    "Past",
    "Quality",
    "RateLimited",
    "Resources",
    "Rule",
    "Run",
    "Severity",
    "Slow",
    "Stalled",
    "Stretch",
    "Verdict",
]
