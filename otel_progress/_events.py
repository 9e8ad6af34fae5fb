"""Lifecycle events through the Logs API: the one place that imports ``opentelemetry._logs``."""

from __future__ import annotations

import logging
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.util.types import AnyValue

from otel_progress import names
from otel_progress._spans import Values, progress_attributes
from otel_progress._state import LevelState
from otel_progress.names import Event, State

if TYPE_CHECKING:
    from otel_progress._model import Deviation

try:
    from opentelemetry import _logs as _logs_module
except ImportError:  # the Logs API is not public yet and may move: then events become ordinary log lines
    _logs: ModuleType | None = None
else:
    _logs = _logs_module

Attributes = dict[str, AnyValue]

_fallback = logging.getLogger("otel_progress.events")

_SEVERITIES: Final = {"INFO": (9, logging.INFO), "WARN": (13, logging.WARNING), "ERROR": (17, logging.ERROR)}


class Events:
    """Emit lifecycle events with a level's span context. Called by the outbox only."""

    def __init__(self, provider: Any | None = None) -> None:  # noqa: ANN401  # the type is not public
        self._logger: Any | None = None
        if provider is not None and _logs is not None:
            self._logger = provider.get_logger(names.SCOPE)

    @property
    def listening(self) -> bool:
        """Whether anybody would receive an event; checked before one is built."""
        if _logs is None or self._logger is not None:
            return True
        provider = _logs.get_logger_provider()
        # Until a provider is set there is a proxy.
        if type(provider).__name__.startswith(("Proxy", "NoOp")):
            return False
        self._logger = provider.get_logger(names.SCOPE)
        return True

    def started(self, level: LevelState, at_ns: int, time_left: Values) -> None:
        """Say that an operation started, or that a level has outlived ``open_after``."""
        attributes = {**_identity(level), **time_left}
        self._emit(names.STARTED, level, f"{level.name} started", attributes, at_ns=at_ns)

    def checkpoint(self, level: LevelState, at_ns: int, reached: Values) -> None:
        """Say how far a level is."""
        fraction, done = reached.get(names.FRACTION), reached.get(names.DONE)
        where = f"{fraction:.0%}" if isinstance(fraction, float) else f"{done:g} {level.unit.strip('{}')}"
        self._emit(names.CHECKPOINT, level, f"{level.name} is at {where}", {**_identity(level), **reached}, at_ns=at_ns)

    def state_changed(self, level: LevelState, at_ns: int, states: tuple[State, State], reason: str | None) -> None:
        """Say that a level was paused, resumed or is retrying."""
        previous, state = states
        attributes = _identity(level) | {names.STATE: state.value, names.PREVIOUS_STATE: previous.value}
        if reason is not None:
            attributes[names.REASON] = reason
        body = f"{level.name} is {state.value}" + (f": {reason}" if reason else "")
        self._emit(names.STATE_CHANGED, level, body, attributes, at_ns=at_ns)

    def deviates(self, level: LevelState, at_ns: int, deviation: Deviation) -> None:
        """Say that a level departs from what was expected of it, in the sentence for a person."""
        severity = deviation.severity.name
        self._emit(
            names.DEVIATION_EVENT,
            level,
            deviation.sentence,
            _deviation(level, deviation),
            at_ns=at_ns,
            severity=severity,
        )

    def recovered(self, level: LevelState, at_ns: int, deviation: Deviation) -> None:
        """Say that a deviation is over."""
        body = f"over: {deviation.sentence}"
        self._emit(names.RECOVERED, level, body, _deviation(level, deviation), at_ns=at_ns)

    def ended(self, level: LevelState) -> None:
        """Say how a level ended."""
        ending = level.ending
        if ending is None:
            return
        duration = max(ending.at - level.started, 0.0)
        attributes = _identity(level) | progress_attributes(level) | {names.DURATION: duration}
        body = f"{level.name} {ending.outcome.value} after {duration:.1f} s"
        if ending.outcome is State.FAILED:
            body += f": {ending.error_type}" if ending.error_type else ""
            self._emit(names.FAILED_EVENT, level, body, attributes, at_ns=ending.at_ns)
        else:
            severity = names.COMPLETED.severity if ending.outcome is State.COMPLETED else "WARN"
            self._emit(names.COMPLETED, level, body, attributes, at_ns=ending.at_ns, severity=severity)

    def _emit(
        self,
        event: Event,
        level: LevelState,
        body: str,
        attributes: Attributes,
        *,
        at_ns: int,
        severity: str | None = None,
    ) -> None:
        severity = severity or event.severity
        number, logging_level = _SEVERITIES[severity]
        if _logs is None:
            _fallback.log(logging_level, "%s: %s", event.name, body)
        elif self.listening and self._logger is not None:
            self._logger.emit(
                _logs.LogRecord(
                    timestamp=at_ns,
                    observed_timestamp=at_ns,
                    context=level.context,
                    severity_text=severity,
                    severity_number=_logs.SeverityNumber(number),
                    body=body,
                    attributes=attributes,
                    event_name=event.name,
                )
            )


def global_logger_provider() -> Any | None:  # noqa: ANN401  # the type is not public
    """Return the global logger provider, ``None`` where the Logs API has moved."""
    return None if _logs is None else _logs.get_logger_provider()


def _deviation(level: LevelState, deviation: Deviation) -> Attributes:
    kind, severity = deviation.kind.value, deviation.severity.value
    return _identity(level) | {names.DEVIATION_KIND: kind, names.SEVERITY: severity}


def _identity(level: LevelState) -> Attributes:
    identity: Attributes = {
        names.OPERATION: level.operation,
        names.PATH: level.path,
        names.RUN_ID: level.root.run_id,
    }
    optional = {
        names.LEVEL: None if level.is_operation else level.name,
        names.LEVEL_ID: level.id,
        names.LEVEL_TITLE: level.title,
    }
    return identity | {key: value for key, value in optional.items() if value is not None}
