"""Time left, from counts and times alone: no clock, no I/O, no OpenTelemetry inside."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from otel_progress._model import ChildView, Estimate, Profile, Sample
from otel_progress.eta._methods import DEFAULT_METHOD, METHODS

if TYPE_CHECKING:
    from otel_progress.eta._estimator import Estimator
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

_LAZY: Final = {
    "Estimator": "_estimator",
    "Promises": "_honesty",
    "Verdict": "_honesty",
    "recalibrated": "_honesty",
    "hashed": "_items",
}
"""Loaded when they are asked for: a third of what the whole package would take, and most programs are over before."""


def __getattr__(name: str) -> Any:  # noqa: ANN401  # as the attribute
    """Load what makes estimates."""
    if name in _LAZY:
        return getattr(import_module(f"otel_progress.eta.{_LAZY[name]}"), name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    """List the public names, lazy ones too."""
    return sorted({*globals(), *__all__})
