"""
OpenTelemetry-native progress: say what a program is doing (levels) and how far it is (counts).

Levels are spans, counts are metrics, both by the OpenTelemetry API alone. Without an SDK everything still works and
costs next to nothing; `configure` sets one up for applications that have none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_progress._api import advance, current, level, operation
from otel_progress._level import Level
from otel_progress._model import (
    Change,
    ChildView,
    CounterValue,
    Deviation,
    Estimate,
    Health,
    HistorySource,
    Profile,
    Sample,
    Snapshot,
)
from otel_progress._propagation import continue_from
from otel_progress._read import Subscription, Watch, active, find, flush, health, history, on_change, watch
from otel_progress._track import Track, track
from otel_progress._workers import in_worker
from otel_progress.errors import ConfigError, ProgressCancelled, ProgressError
from otel_progress.names import DeviationKind, Severity, State

if TYPE_CHECKING:
    from otel_progress.processors import ProgressSpanProcessor
    from otel_progress.sdk import Handle, configure

__all__ = [
    "Change",
    "ChildView",
    "ConfigError",
    "CounterValue",
    "Deviation",
    "DeviationKind",
    "Estimate",
    "Handle",
    "Health",
    "HistorySource",
    "Level",
    "Profile",
    "ProgressCancelled",
    "ProgressError",
    "ProgressSpanProcessor",
    "Sample",
    "Severity",
    "Snapshot",
    "State",
    "Subscription",
    "Track",
    "Watch",
    "active",
    "advance",
    "configure",
    "continue_from",
    "current",
    "find",
    "flush",
    "health",
    "history",
    "in_worker",
    "level",
    "on_change",
    "operation",
    "track",
    "watch",
]

_LAZY = {
    "Handle": "otel_progress.sdk",
    "ProgressSpanProcessor": "otel_progress.processors",
    "configure": "otel_progress.sdk",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401  # as the attribute
    """Load what needs the SDK, and the version, when they are asked for."""
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415  # slow, and hardly anybody asks

        return version("otel-progress")
    if name in _LAZY:
        from importlib import import_module  # noqa: PLC0415  # only here

        return getattr(import_module(_LAZY[name]), name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    """List the public names, lazy ones too."""
    return sorted({*globals(), *__all__})
