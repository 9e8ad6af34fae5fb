"""Time left, from counts and times alone: no clock, no I/O, no OpenTelemetry inside."""

from otel_progress._model import ChildView, Estimate, Profile, Sample
from otel_progress.eta._estimator import DEFAULT_METHOD, METHODS, Estimator
from otel_progress.eta._honesty import Promises, Verdict, recalibrated
from otel_progress.eta._items import hashed

__all__ = [
    "DEFAULT_METHOD",
    "METHODS",
    "ChildView",
    "Estimate",
    "Estimator",
    "Profile",
    "Promises",
    "Sample",
    "Verdict",
    "hashed",
    "recalibrated",
]
