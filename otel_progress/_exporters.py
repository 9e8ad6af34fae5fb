"""OTLP exporters: which signals are sent, where to, and that each belongs to the process that made it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib import import_module
from typing import Any, Final

from otel_progress.errors import ConfigError

_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
_EXPORTERS: Final = {
    "traces": ("trace_exporter", "OTLPSpanExporter"),
    "metrics": ("metric_exporter", "OTLPMetricExporter"),
    "logs": ("_log_exporter", "OTLPLogExporter"),
}
"""Signal -> module and class of its OTLP exporter, the same for both protocols."""

SIGNALS: Final = tuple(_EXPORTERS)


def otlp_exporters(otlp: str, unset: Iterable[str]) -> tuple[dict[str, Any], str | None]:
    """
    Return the exporters that are wanted for the signals nobody has a provider for, and where they send.

    Raises:
        ConfigError: A package is missing, or a variable of OpenTelemetry wrong.
    """
    wanted = [signal for signal in unset if is_wanted(signal, otlp)]
    protocol = otlp
    if protocol == "auto":
        protocol = "grpc" if os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "").strip() == "grpc" else "http"
    exporters: dict[str, Any] = {}
    for signal in wanted:
        try:
            exporters[signal] = otlp_exporter(protocol, signal)
        except ImportError as error:
            if protocol == "http":
                raise missing(error, extra="otlp") from error
            msg = "OTLP over gRPC needs: pip install opentelemetry-exporter-otlp-proto-grpc; or use otlp='http'"
            raise ConfigError(msg) from error
        except ValueError as error:
            msg = f"OTLP: {error}; see the OTEL_EXPORTER_OTLP_* variables"
            raise ConfigError(msg) from error
    if not exporters:
        return {}, None
    own = (variable(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT") for signal in exporters)
    port = 4317 if protocol == "grpc" else 4318
    return exporters, variable(_ENDPOINT) or next(filter(None, own), f"http://localhost:{port}")


def otlp_exporter(protocol: str, signal: str) -> Any:  # noqa: ANN401  # http and grpc share no base
    """Return the exporter of one signal, for this process only."""
    module, name = _EXPORTERS[signal]
    exporter: type[Any] = getattr(import_module(f"opentelemetry.exporter.otlp.proto.{protocol}.{module}"), name)
    fence = _NothingAfterFork if signal == "metrics" else _AnewAfterFork
    own: type[Any] = type(name, (fence, exporter), {})
    return own()


class _AnewAfterFork:
    """
    An exporter of spans or logs that a forked child makes anew.

    The parent's has open connections and locks, which the child would share: two processes writing into one connection
    garble each other's requests. The processors' queues are emptied by the SDK, so nothing is exported twice.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # as the exporter
        super().__init__(*args, **kwargs)
        self._made_in = os.getpid()
        self._anew: Any = None

    def export(self, batch: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  # as the exporter
        if os.getpid() == self._made_in:
            return super().export(batch, *args, **kwargs)  # type: ignore[misc]  # the exporter is mixed in
        if self._anew is None or os.getpid() != self._anew._made_in:
            self._anew = type(self)()
        return self._anew.export(batch, *args, **kwargs)


class _NothingAfterFork:
    """
    An exporter of metrics that exports nothing in a forked child.

    The child inherits what the parent has counted, and cannot take it out of the SDK again: exported, it would be
    counted twice. A provider of the child's own starts at 0.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # as the exporter
        super().__init__(*args, **kwargs)
        self._made_in = os.getpid()

    def export(self, batch: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  # as the exporter
        if os.getpid() == self._made_in:
            return super().export(batch, *args, **kwargs)  # type: ignore[misc]  # the exporter is mixed in
        from opentelemetry.sdk.metrics.export import MetricExportResult  # noqa: PLC0415

        return MetricExportResult.SUCCESS


def is_wanted(signal: str, otlp: str) -> bool:
    """Return whether a signal is to be sent by OTLP, as the setting and OpenTelemetry's variables say."""
    signal = signal.upper()
    if otlp == "off" or variable(f"OTEL_{signal}_EXPORTER") == "none":
        return False
    return otlp != "auto" or bool(variable(_ENDPOINT) or variable(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT"))


def variable(name: str) -> str:
    """Return an environment variable; an empty one is an unset one (OpenTelemetry specification)."""
    return os.environ.get(name, "").strip()


def missing(error: ImportError, *, extra: str) -> ConfigError:
    """Return the error that says what to install."""
    msg = f"{error.name} is not installed; run: pip install 'otel-progress[{extra}]'"
    return ConfigError(msg)
