"""What the demo sets up around its job, with whatever extras are installed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

import otel_progress
from otel_progress._config import PROMETHEUS_PORT
from otel_progress.errors import ConfigError

if TYPE_CHECKING:
    from otel_progress.sdk import Handle

_EXTRAS: Final = {
    "cli": "rich",
    "otlp": "opentelemetry.exporter.otlp.proto.http",
    "prometheus": "opentelemetry.exporter.prometheus",
}
"""Extra -> what it brings."""

_PROTOCOLS: Final = ("OTEL_PROGRESS_OTLP", "OTEL_EXPORTER_OTLP_PROTOCOL")
"""Variables by which somebody asks for more than that an endpoint is set on the machine."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where the job can be seen; ``missing_extras`` would have shown it in more places."""

    prometheus_url: str | None
    otlp_endpoint: str | None
    missing_extras: tuple[str, ...]


def set_up(prometheus: int | str | None, **options: Any) -> tuple[Handle, Surroundings]:  # noqa: ANN401  # of configure
    """
    Configure what is installed; without a word about ``prometheus`` its usual port, or any if that is taken.

    Raises:
        ConfigError: A setting is wrong, or what was asked for by name cannot be had.
    """
    missing = tuple(extra for extra, module in _EXTRAS.items() if not _is_installed(module))
    if "otlp" in missing and not any(os.environ.get(name) for name in _PROTOCOLS):
        options["otlp"] = "off"
    if prometheus is not None or os.environ.get("OTEL_PROGRESS_PROMETHEUS"):
        handle = otel_progress.configure(prometheus=prometheus, **options)
    elif "prometheus" in missing:
        handle = otel_progress.configure(prometheus="off", **options)
    else:
        handle = _configure_with_any_port(options)
    return handle, Surroundings(handle.prometheus_url, handle.otlp_endpoint, missing)


def _configure_with_any_port(options: dict[str, Any]) -> Handle:
    for port in (PROMETHEUS_PORT, 0):
        try:
            return otel_progress.configure(prometheus=port, **options)
        except ConfigError as error:
            if not isinstance(error.__cause__, OSError):  # it is not the port
                raise
    return otel_progress.configure(prometheus="off", **options)


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even a package above it
        return False
