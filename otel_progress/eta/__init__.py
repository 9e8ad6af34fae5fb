"""Time left, from counts and times alone: no clock, no I/O, no OpenTelemetry inside."""

from otel_progress._model import ChildView, Estimate, Sample
from otel_progress.eta._estimator import DEFAULT_METHOD, METHODS, Estimator

__all__ = ["DEFAULT_METHOD", "METHODS", "ChildView", "Estimate", "Estimator", "Sample"]
