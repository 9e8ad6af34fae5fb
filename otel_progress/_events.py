"""Lifecycle events through the Logs API: the one place that imports ``opentelemetry._logs``."""

from __future__ import annotations

import logging
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.util.types import AnyValue

from otel_progress import names
from otel_progress._model import Estimate
from otel_progress._spans import final_attributes
from otel_progress._state import LevelState
from otel_progress.names import Event, State

try:
    from opentelemetry import _logs
except ImportError:  # the Logs API is not public yet and may move: then events become ordinary log lines
    _logs = None  # type: ignore[assignment]

_fallback = logging.getLogger("otel_progress.events")

_SEVERITIES: Final = {"INFO": (9, logging.INFO), "WARN": (13, logging.WARNING), "ERROR": (17, logging.ERROR)}


class Events:
    """Emit lifecycle events with a level's span context. Called by the outbox only."""

    def __init__(self, provider: Any | None = None) -> None:  # noqa: ANN401  # the type is not public
        self._provider = provider
        self._logger: Any | None = None
        if provider is not None and _logs is not None:
            self._logger = provider.get_logger(names.SCOPE)

    @property
    def listening(self) -> bool:
        """Whether anybody would receive an event; checked before one is built."""
        if _logs is None or self._logger is not None:
            return True
        provider = _logs.get_logger_provider()
        # Without a provider there is a proxy; it turns into the real one when that is set, and costs nothing until then.
        if type(provider).__name__.startswith(("Proxy", "NoOp")):
            return False
        self._logger = provider.get_logger(names.SCOPE)
        return True

    def started(self, level: LevelState, at_ns: int, estimate: Estimate | None) -> None:
        """Say that an operation started, or that a level has outlived ``open_after``."""
        attributes: dict[str, AnyValue] = dict(_identity(level))
        if estimate is not None:
            attributes[names.ETA_SECONDS] = estimate.expected
            attributes[names.ETA_LOW] = estimate.low
            attributes[names.ETA_HIGH] = estimate.high
        self._emit(names.STARTED, level.context, at_ns, f"{level.name} started", attributes)

    def state_changed(
        self, level: LevelState, at_ns: int, states: tuple[State, State], reason: str | None
    ) -> None:
        """Say that a level was paused, resumed or is retrying."""
        previous, state = states
        attributes = _identity(level) | {names.STATE: state.value, names.PREVIOUS_STATE: previous.value}
        if reason is not None:
            attributes[names.REASON] = reason
        body = f"{level.name} is {state.value}" + (f": {reason}" if reason else "")
        self._emit(names.STATE_CHANGED, level.context, at_ns, body, attributes)

    def ended(self, level: LevelState) -> None:
        """Say how a level ended."""
        ending = level.ending
        if ending is None:
            return
        duration = max(ending.at - level.started, 0.0)
        attributes: dict[str, AnyValue] = _identity(level) | final_attributes(level) | {names.DURATION: duration}
        if ending.outcome is State.FAILED:
            event, body = names.FAILED_EVENT, f"{level.name} failed after {duration:.1f} s"
            if ending.error_type:
                body += f": {ending.error_type}"
        else:
            event, body = names.COMPLETED, f"{level.name} {ending.outcome.value} after {duration:.1f} s"
        severity = "WARN" if event is names.COMPLETED and ending.outcome is not State.COMPLETED else event.severity
        self._emit(event, level.context, ending.at_ns, body, attributes, severity)

    def _emit(
        self,
        event: Event,
        context: Context | None,
        at_ns: int,
        body: str,
        attributes: dict[str, AnyValue],
        severity: str | None = None,
    ) -> None:
        text = severity or event.severity
        number, level = _SEVERITIES[text]
        if _logs is None:
            _fallback.log(level, "%s: %s", event.name, body)
            return
        if not self.listening or self._logger is None:
            return
        self._logger.emit(
            _logs.LogRecord(
                timestamp=at_ns,
                observed_timestamp=at_ns,
                context=context,
                severity_text=text,
                severity_number=_logs.SeverityNumber(number),
                body=body,
                attributes=attributes,
                event_name=event.name,
            )
        )


def _identity(level: LevelState) -> dict[str, AnyValue]:
    identity: dict[str, AnyValue] = {
        names.OPERATION: level.operation,
        names.PATH: level.path,
        names.RUN_ID: level.root.run_id,
    }
    for key, value in (
        (names.LEVEL, None if level.is_operation else level.name),
        (names.LEVEL_ID, level.id),
        (names.LEVEL_TITLE, level.title),
    ):
        if value is not None:
            identity[key] = value
    return identity
