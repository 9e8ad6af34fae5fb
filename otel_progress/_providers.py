"""Providers for an application that has none: resource, OTLP, Prometheus endpoint; and what a fork makes of them."""

from __future__ import annotations

import socket
import sys
import uuid
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import metrics, trace

from otel_progress._config import Config
from otel_progress._contain import Tally
from otel_progress._exporters import SIGNALS, is_wanted, missing, otlp_exporters, variable
from otel_progress._quiet import Seldom
from otel_progress.errors import ConfigError

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import MetricReader
    from opentelemetry.sdk.resources import Resource

    from otel_progress._keeping import KeepingLogExporter, KeepingSpanExporter

INSTANCE: Final = "service.instance.id"


class Providers:
    """
    The providers built for one `configure`, and their ends. Made and closed by one thread.

    Attributes:
        built: Those built, by kind: ``tracer``, ``meter``, ``logger``.
        prometheus_url: Where the Prometheus endpoint answers, ``None`` without one.
        otlp_endpoint: Where telemetry is sent, ``None`` if it is not.
        tally: Counts what is dropped on the way.
        keepers: The exporters that keep what a backend in trouble does not take.
    """

    def __init__(self, config: Config, attributes: dict[str, str]) -> None:
        self.built: dict[str, Any] = {}
        self.prometheus_url: str | None = None
        self.otlp_endpoint: str | None = None
        self.tally = Tally()
        self.keepers: list[KeepingSpanExporter | KeepingLogExporter] = []
        self._calm: Seldom | None = None
        self._config = config
        self._attributes = attributes
        self._left_behind: list[object] = []
        self._resource: Resource | None = None
        self._server: Any = None
        self._close_server: Callable[[], None] | None = None
        self._pushes_metrics = False

    def build(self) -> None:
        """
        Build what is wanted for the signals that nobody has a provider for, and make it global.

        Raises:
            ConfigError: An extra is not installed, or a port taken; whatever was opened is closed again.
        """
        config = self._config
        unset = [signal for signal, provider in global_providers().items() if not _is_set(provider)]
        readers: list[MetricReader] = []
        try:
            if config.prometheus is not None and "metrics" in unset:
                readers.append(self._open_endpoint(config.prometheus))
            exporters, self.otlp_endpoint = otlp_exporters(config.otlp, unset)
            self._keep(exporters)
            if "metrics" in exporters:
                self._pushes_metrics = True
                readers.append(_periodic_reader(config, exporters["metrics"]))
            if exporters or readers:
                self._resource = _resource(config, self._attributes)
                self.built = _build(self._resource, exporters, readers)
        except BaseException:
            self.close()
            raise

    def _keep(self, exporters: dict[str, Any]) -> None:
        """Put exporters that keep what they cannot deliver around those of spans and logs; metrics are cumulative."""
        if not exporters:
            return
        from otel_progress._keeping import keep  # noqa: PLC0415  # it needs the SDK

        for signal in ("traces", "logs"):
            if signal in exporters:
                exporters[signal] = keep(exporters[signal], self.tally)
                self.keepers.append(exporters[signal])
        if "metrics" in exporters:
            self._calm = Seldom(exporters["metrics"])

    def all(self) -> list[Any]:
        """Return the providers whose data is this process's: those built, and the global ones of others."""
        others = [provider for provider in global_providers().values() if hasattr(provider, "force_flush")]
        own = list(self.built.values())
        known = [*own, *self._left_behind, *_shut_down]
        return own + [provider for provider in others if not any(provider is each for each in known)]

    def close(self) -> None:
        """Close the endpoint, and remember that the providers are spent: nobody may replace global ones."""
        _shut_down.extend(self.built.values())
        self.built = {}
        if self._calm is not None:
            self._calm.remove()
            self._calm = None
        if self._close_server is not None:
            self._close_server()
            self._close_server = None

    def _open_endpoint(self, port: int) -> MetricReader:
        """Return a reader whose metrics an HTTP server of its own serves."""
        host = self._config.prometheus_host
        try:
            import prometheus_client  # noqa: PLC0415
            from opentelemetry.exporter.prometheus import PrometheusMetricReader  # noqa: PLC0415
        except ImportError as error:
            raise missing(error, extra="prometheus") from error
        try:
            server, thread = prometheus_client.start_http_server(port, host)
        except OSError as error:
            msg = (
                f"prometheus: cannot listen on {host}:{port} ({error.strerror}); "
                "choose another port with prometheus= or OTEL_PROGRESS_PROMETHEUS, or 0 for any free one"
            )
            raise ConfigError(msg) from error

        def close() -> None:
            server.shutdown()
            server.server_close()
            thread.join(1.0)

        self._server, self._close_server = server, close
        self.prometheus_url = f"http://{f'[{host}]' if ':' in host else host}:{server.server_port}/metrics"
        return PrometheusMetricReader()

    # --- in a forked child --------------------------------------------------------------------------------------------

    def after_fork(self) -> bool:
        """
        Leave to the parent what is the parent's: its endpoint and its metrics.

        Tracer and logger provider go on: the SDK empties their queues, and their exporters are made anew.

        Returns:
            Whether the child needs a meter provider of its own, from `meters_of_child`.
        """
        self.prometheus_url, self._close_server = None, None
        if self._server is not None:
            # Only our copy of the socket: the parent goes on listening. A shutdown would wait for the parent's thread.
            self._server.socket.close()
            self._server = None
        if "meter" in self.built:
            self._left_behind.append(self.built.pop("meter"))
        return self._pushes_metrics

    def meters_of_child(self) -> MeterProvider:
        """
        Return a meter provider that starts at 0, as a series of its own.

        Its instance id is the one that the SDK (since 1.44) gives the other providers after a fork, else a new one.
        """
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415

        before = self._resource or Resource({})
        # Not Resource.create: it would look for detectors again, which takes longer than all the rest.
        resource = Resource({**before.attributes, INSTANCE: self._instance_of_child(before)}, before.schema_url)
        readers = [_periodic_reader(self._config, otlp_exporters(self._config.otlp, ["metrics"])[0]["metrics"])]
        self.built["meter"] = made = _meter_provider(resource, readers)
        return made

    def _instance_of_child(self, before: Resource) -> str:
        for kind in ("tracer", "logger"):
            now = self.built[kind].resource.attributes.get(INSTANCE) if kind in self.built else None
            if now is not None and now != before.attributes.get(INSTANCE):
                return str(now)
        return str(uuid.uuid4())


def global_providers() -> dict[str, object]:
    """Return the global provider of each signal."""
    from opentelemetry._logs import get_logger_provider  # noqa: PLC0415  # not public yet

    return {
        "traces": trace.get_tracer_provider(),
        "metrics": metrics.get_meter_provider(),
        "logs": get_logger_provider(),
    }


_shut_down: list[object] = []
"""Providers of earlier calls that are global still, because OpenTelemetry lets nobody replace them."""


def _is_set(provider: object) -> bool:
    is_proxy = type(provider).__name__.lstrip("_").startswith("Proxy")
    return not is_proxy and not any(provider is other for other in _shut_down)


def check(config: Config) -> None:
    """
    Refuse what cannot work because something is not installed, before anything is set up.

    Raises:
        ConfigError: There is no SDK, and nothing that would do without.
    """
    # A provider without the SDK is somebody else's; it is used. The endpoint and OTLP say themselves what they need.
    if (
        config.enabled
        and config.terminal == "off"
        and config.prometheus is None
        and not any(is_wanted(signal, config.otlp) for signal in SIGNALS)
        and not any(_is_set(provider) for provider in global_providers().values())
        and not _installed("opentelemetry.sdk")
    ):
        msg = "there is nothing to set up: no OpenTelemetry SDK is installed; run: pip install 'otel-progress[sdk]'"
        raise ConfigError(msg)


def _installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ImportError:  # not even its parent
        return False


def _build(resource: Resource, exporters: dict[str, Any], readers: list[MetricReader]) -> dict[str, Any]:
    """Build the providers that something feeds; make them the global ones, unless earlier ones of ours still are."""
    built: dict[str, Any] = {}
    if "traces" in exporters:
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415

        from otel_progress._keeping import KeepingSpanProcessor  # noqa: PLC0415

        built["tracer"] = TracerProvider(resource=resource, shutdown_on_exit=False)
        built["tracer"].add_span_processor(KeepingSpanProcessor(exporters["traces"]))
        if trace.get_tracer_provider() not in _shut_down:
            trace.set_tracer_provider(built["tracer"])
    if readers:
        built["meter"] = _meter_provider(resource, readers)
        if metrics.get_meter_provider() not in _shut_down:
            metrics.set_meter_provider(built["meter"])
    if "logs" in exporters:
        from opentelemetry._logs import get_logger_provider, set_logger_provider  # noqa: PLC0415
        from opentelemetry.sdk._logs import LoggerProvider  # noqa: PLC0415

        from otel_progress._keeping import KeepingLogProcessor  # noqa: PLC0415

        built["logger"] = LoggerProvider(resource=resource, shutdown_on_exit=False)
        built["logger"].add_log_record_processor(KeepingLogProcessor(exporters["logs"]))
        if get_logger_provider() not in _shut_down:
            set_logger_provider(built["logger"])
    return built


def _meter_provider(resource: Resource, readers: list[MetricReader]) -> MeterProvider:
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415

    return MeterProvider(readers, resource=resource, shutdown_on_exit=False)


def _periodic_reader(config: Config, exporter: Any) -> MetricReader:  # noqa: ANN401  # http and grpc share no base
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader  # noqa: PLC0415

    if variable("OTEL_METRIC_EXPORT_INTERVAL"):
        return PeriodicExportingMetricReader(exporter)
    return PeriodicExportingMetricReader(exporter, export_interval_millis=config.export_interval_seconds * 1000)


def _resource(config: Config, attributes: dict[str, str]) -> Resource:
    """Return the resource: program, host, and an instance id of its own, so that each process is its own series."""
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415

    fixed = {pair.partition("=")[0].strip() for pair in variable("OTEL_RESOURCE_ATTRIBUTES").split(",")}
    own: dict[str, str] = {
        "host.name": socket.gethostname(),
        INSTANCE: str(uuid.uuid4()),
        "service.name": Path(sys.argv[0]).stem if sys.argv and sys.argv[0] not in {"", "-c", "-m"} else "python",
    }
    if INSTANCE in fixed and INSTANCE not in attributes:
        Tally().log_once(
            "instance",
            "otel_progress: OTEL_RESOURCE_ATTRIBUTES fixes service.instance.id; processes sharing it mix their counts",
        )
    if variable("OTEL_SERVICE_NAME"):
        fixed.add("service.name")
    # What is passed to create() would win over the environment.
    own = {key: value for key, value in own.items() if key not in fixed}
    if config.service_name is not None:
        own["service.name"] = config.service_name
    return Resource.create({**own, **attributes})
