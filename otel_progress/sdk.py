"""
`configure`: sets OpenTelemetry up for an application that has not done so.

One of the few files that import ``opentelemetry.sdk``, and only when something that needs it is asked for.
"""

from __future__ import annotations

import atexit
import os
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import metrics, trace

from otel_progress import _read, _runtime
from otel_progress._config import Config
from otel_progress._contain import Tally
from otel_progress._quiet import Seldom
from otel_progress.errors import ConfigError

if TYPE_CHECKING:
    from typing import Self

    from opentelemetry.sdk.metrics.export import MetricReader
    from opentelemetry.sdk.resources import Resource

    from otel_progress._keeping import KeepingLogExporter, KeepingSpanExporter
    from otel_progress.terminal import TerminalView

    Keeping = KeepingSpanExporter | KeepingLogExporter

SHUTDOWN_SECONDS: Final = 5.0
"""How long an end may wait for a backend that does not answer."""

_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
_EXPORTERS: Final = {
    "traces": ("trace_exporter", "OTLPSpanExporter"),
    "metrics": ("metric_exporter", "OTLPMetricExporter"),
    "logs": ("_log_exporter", "OTLPLogExporter"),
}
"""Signal -> module and class of its OTLP exporter, the same for both protocols."""

_lock = threading.Lock()  # covers the handle in use
_handle: Handle | None = None


class Handle:
    """
    What `configure` set up. Usable as a context manager; `shutdown` undoes it, and exit does so on its own.

    Attributes:
        config: The settings that hold.
        prometheus_url: Where the Prometheus endpoint answers, ``None`` without one.
        otlp_endpoint: Where telemetry is sent, ``None`` if it is not.
    """

    def __init__(self, config: Config, runtime: _runtime.Runtime) -> None:
        self.config = config
        self.prometheus_url: str | None = None
        self.otlp_endpoint: str | None = None
        self._runtime = runtime
        self._previous: _runtime.Runtime | None = None
        self._providers: list[Any] = []
        self._keepers: list[Keeping] = []
        self._undo: list[Callable[[], object]] = []
        self._view: TerminalView | None = None
        self._shut = False

    def flush(self, timeout_seconds: float = SHUTDOWN_SECONDS) -> bool:
        """Export everything that has ended; ``False`` if that takes longer. Nothing of it raises."""
        deadline = time.monotonic() + timeout_seconds
        flushed = self._runtime.flush(timeout_seconds)
        return self._each_provider(lambda provider: provider.force_flush(), deadline) and flushed

    def _each_provider(self, call: Callable[[Any], object], deadline: float) -> bool:
        """
        Call all providers at once, and wait for them until the deadline.

        One after the other, each waiting for the timeout of its exporter, took 27 s with a Collector that hangs.
        """
        finished: list[Any] = []

        def run(provider: Any) -> None:  # noqa: ANN401  # three kinds without a common base
            with self._runtime.tally.containing("shutdown"):
                if call(provider) is not False:
                    finished.append(provider)

        threads = [threading.Thread(target=run, args=(provider,), daemon=True) for provider in self._providers]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(max(deadline - time.monotonic(), 0.0))
        except RuntimeError:  # no threads at interpreter exit
            for provider in self._providers:
                run(provider)
        return len(finished) == len(self._providers)

    def shutdown(self, timeout_seconds: float = SHUTDOWN_SECONDS) -> bool:
        """
        End what is live as interrupted, export, and stop all that `configure` started; ``False`` if it took too long.

        Twice is harmless. Providers that were there before are left running. Levels started later are not recorded, and
        `health` is that of what comes after: read it before.
        """
        global _handle  # noqa: PLW0603  # one application, one configuration
        with _lock:
            if self._shut:
                return True
            self._shut = True
            if _handle is self:
                _handle = None
        atexit.unregister(self.shutdown)
        deadline = time.monotonic() + timeout_seconds
        tally = self._runtime.tally
        for keeper in self._keepers:
            keeper.keeper.end_by(deadline)
        flushed = self._runtime.shutdown(timeout_seconds)
        if self._view is not None:
            with tally.containing("terminal"):
                self._view.stop()
        flushed = self._each_provider(lambda provider: provider.shutdown(), deadline) and flushed
        _shut_down.extend(self._providers)
        for undo in reversed(self._undo):
            with tally.containing("shutdown"):
                undo()
        if _runtime.get() is self._runtime:
            _runtime.replace(self._previous)
        return flushed

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Shut down."""
        self.shutdown()


def configure(
    *,
    enabled: bool | None = None,
    service_name: str | None = None,
    resource_attributes: Mapping[str, str] | None = None,
    otlp: str | None = None,
    prometheus: int | str | bool | None = None,
    prometheus_host: str | None = None,
    terminal: str | bool | None = None,
    export_interval_seconds: float | None = None,
    open_after_seconds: float | str | None = None,
    checkpoint_seconds: float | str | None = None,
    checkpoints_limit: int | None = None,
    trace_bytes_limit: float | str | None = None,
    adopt: Iterable[str] | None = None,
    signals: bool | None = None,
    short_level_events: bool | None = None,
    eta_method: str | None = None,
    history_limit: int | None = None,
    live_levels_limit: int | None = None,
    label_sets_limit: int | None = None,
    redact: Callable[[str], str] | None = None,
) -> Handle:
    """
    Set an application up, where nobody has: SDK, OTLP, Prometheus endpoint, terminal view.

    Call it once, in the program's entry point, not in a library. What is not given comes from ``OTEL_PROGRESS_<NAME>``,
    then from the defaults of `Config`; standard ``OTEL_*`` variables hold throughout. Providers that are already set
    are used and left as they are. OTLP is sent when ``OTEL_EXPORTER_OTLP_ENDPOINT`` is set (or ``otlp="http"``); the
    Prometheus endpoint listens on loopback only, when asked for.

    Returns:
        A handle with ``shutdown()``; the interpreter's exit calls it as well.

    Raises:
        ConfigError: A value is wrong, an extra is not installed, a port is taken, or it was called before and its
            handle has not been shut down.
    """
    global _handle  # noqa: PLW0603  # one application, one configuration
    given = {name: value for name, value in locals().items() if value is not None and name != "resource_attributes"}
    config = Config.make(**given)
    with _lock:
        if _handle is not None:
            msg = "configure() was called before; call shutdown() on the handle it returned first"
            raise ConfigError(msg)
        handle = _make(config, dict(resource_attributes or {}))
        _handle = handle
    return handle


def _make(config: Config, attributes: dict[str, str]) -> Handle:
    undo: list[Callable[[], object]] = []
    try:
        handle = _handle_of(config, attributes, undo)
    except BaseException:
        for step in reversed(undo):
            step()
        raise
    atexit.register(handle.shutdown)
    return handle


def _handle_of(config: Config, attributes: dict[str, str], undo: list[Callable[[], object]]) -> Handle:
    _check(config)
    built: dict[str, Any] = {}
    keepers: list[Keeping] = []
    tally = Tally()
    url = endpoint = None
    if config.enabled and os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() != "true":
        unset = [signal for signal, provider in _global_providers().items() if not _is_set(provider)]
        readers: list[MetricReader] = []
        if config.prometheus is not None and "metrics" in unset:
            reader, url = _prometheus_endpoint(config, config.prometheus, undo)
            readers.append(reader)
        exporters, endpoint = _otlp_exporters(config, unset)
        keepers = _keep(exporters, tally, undo)
        if "metrics" in exporters:
            readers.append(_periodic_reader(config, exporters["metrics"]))
        if exporters or readers:
            built = _providers(_resource(config, attributes), exporters, readers)
    given = {f"{kind}_provider": provider for kind, provider in built.items()}
    runtime = _runtime.Runtime(config, tally=tally, **given)
    if config.enabled and config.prometheus is not None and url is None:
        runtime.tally.log_once(
            "prometheus", "otel_progress: a MeterProvider is set already; add a PrometheusMetricReader to it yourself"
        )
    if config.enabled:
        undo += _adopt_spans(built.get("tracer"), trace.get_tracer_provider())
    handle = Handle(config, runtime)
    handle.prometheus_url, handle.otlp_endpoint = url, endpoint
    handle._providers = list(built.values())
    handle._keepers = keepers
    handle._undo = undo
    if config.enabled and config.terminal != "off":
        handle._view = _terminal(config, runtime)
    handle._previous = _runtime.replace(runtime)
    return handle


def _adopt_spans(*providers: object) -> list[Callable[[], object]]:
    """Install the span processor on the SDK's providers among these; return what takes it back."""
    if not any(hasattr(provider, "add_span_processor") for provider in providers):
        return []
    from otel_progress.processors import install  # noqa: PLC0415  # there is an SDK

    return [install(provider, "configure") for provider in providers]


def _check(config: Config) -> None:
    """Refuse what cannot work because something is not installed, before anything is set up."""
    # A provider without the SDK is somebody else's; it is used. The endpoint and OTLP say themselves what they need.
    if (
        config.enabled
        and config.terminal == "off"
        and config.prometheus is None
        and not any(_is_wanted(signal, config.otlp) for signal in _EXPORTERS)
        and not any(_is_set(provider) for provider in _global_providers().values())
        and not _installed("opentelemetry.sdk")
    ):
        msg = "there is nothing to set up: no OpenTelemetry SDK is installed; run: pip install 'otel-progress[sdk]'"
        raise ConfigError(msg)


def _installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ImportError:  # not even its parent
        return False


_shut_down: list[object] = []
"""Providers of earlier calls that are global still, because OpenTelemetry lets nobody replace them."""


def _global_providers() -> dict[str, object]:
    from opentelemetry._logs import get_logger_provider  # noqa: PLC0415  # not public yet

    return {
        "traces": trace.get_tracer_provider(),
        "metrics": metrics.get_meter_provider(),
        "logs": get_logger_provider(),
    }


def _is_set(provider: object) -> bool:
    is_proxy = type(provider).__name__.lstrip("_").startswith("Proxy")
    return not is_proxy and not any(provider is other for other in _shut_down)


def _missing(error: ImportError, *, extra: str) -> ConfigError:
    msg = f"{error.name} is not installed; run: pip install 'otel-progress[{extra}]'"
    return ConfigError(msg)


def _otlp_exporters(config: Config, unset: Iterable[str]) -> tuple[dict[str, Any], str | None]:
    """Return the exporters that are wanted for the signals nobody has a provider for, and where they send."""
    wanted = [signal for signal in unset if _is_wanted(signal, config.otlp)]
    protocol = config.otlp
    if protocol == "auto":
        protocol = "grpc" if os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "").strip() == "grpc" else "http"
    exporters: dict[str, Any] = {}
    for signal in wanted:
        module, exporter = _EXPORTERS[signal]
        try:
            exporters[signal] = getattr(
                import_module(f"opentelemetry.exporter.otlp.proto.{protocol}.{module}"), exporter
            )()
        except ImportError as error:
            if protocol == "http":
                raise _missing(error, extra="otlp") from error
            msg = "OTLP over gRPC needs: pip install opentelemetry-exporter-otlp-proto-grpc; or use otlp='http'"
            raise ConfigError(msg) from error
        except ValueError as error:
            msg = f"OTLP: {error}; see the OTEL_EXPORTER_OTLP_* variables"
            raise ConfigError(msg) from error
    if not exporters:
        return {}, None
    own = (_variable(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT") for signal in exporters)
    port = 4317 if protocol == "grpc" else 4318
    return exporters, _variable(_ENDPOINT) or next(filter(None, own), f"http://localhost:{port}")


def _keep(exporters: dict[str, Any], tally: Tally, undo: list[Callable[[], object]]) -> list[Keeping]:
    """Put exporters that keep what they cannot deliver around those of spans and logs; metrics are cumulative."""
    if not exporters:
        return []
    from otel_progress._keeping import keep  # noqa: PLC0415  # it needs the SDK

    keepers: dict[str, Any] = {
        signal: keep(exporters[signal], tally) for signal in ("traces", "logs") if signal in exporters
    }
    if "metrics" in exporters:
        undo.append(Seldom(exporters["metrics"]).remove)
    exporters.update(keepers)
    return list(keepers.values())


def _is_wanted(signal: str, otlp: str) -> bool:
    signal = signal.upper()
    if otlp == "off" or _variable(f"OTEL_{signal}_EXPORTER") == "none":
        return False
    return otlp != "auto" or bool(_variable(_ENDPOINT) or _variable(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT"))


def _variable(name: str) -> str:
    # An empty variable is an unset one (OpenTelemetry specification, environment variables).
    return os.environ.get(name, "").strip()


def _periodic_reader(config: Config, exporter: Any) -> MetricReader:  # noqa: ANN401  # http and grpc share no base
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader  # noqa: PLC0415

    if _variable("OTEL_METRIC_EXPORT_INTERVAL"):
        return PeriodicExportingMetricReader(exporter)
    return PeriodicExportingMetricReader(exporter, export_interval_millis=config.export_interval_seconds * 1000)


def _prometheus_endpoint(config: Config, port: int, undo: list[Callable[[], object]]) -> tuple[MetricReader, str]:
    """Return a reader whose metrics an HTTP server of its own serves, and the server's address."""
    try:
        import prometheus_client  # noqa: PLC0415
        from opentelemetry.exporter.prometheus import PrometheusMetricReader  # noqa: PLC0415
    except ImportError as error:
        raise _missing(error, extra="prometheus") from error
    try:
        server, thread = prometheus_client.start_http_server(port, config.prometheus_host)
    except OSError as error:
        msg = (
            f"prometheus: cannot listen on {config.prometheus_host}:{port} ({error.strerror}); "
            "choose another port with prometheus= or OTEL_PROGRESS_PROMETHEUS, or 0 for any free one"
        )
        raise ConfigError(msg) from error

    def close() -> None:
        server.shutdown()
        server.server_close()
        thread.join(1.0)

    undo.append(close)
    host = f"[{config.prometheus_host}]" if ":" in config.prometheus_host else config.prometheus_host
    return PrometheusMetricReader(), f"http://{host}:{server.server_port}/metrics"


def _providers(resource: Resource, exporters: dict[str, Any], readers: list[MetricReader]) -> dict[str, Any]:
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
        from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415

        built["meter"] = MeterProvider(readers, resource=resource, shutdown_on_exit=False)
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


def _resource(config: Config, attributes: dict[str, str]) -> Resource:
    """Return the resource: program, host, and an instance id of its own, so that each process is its own series."""
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415

    fixed = {pair.partition("=")[0].strip() for pair in _variable("OTEL_RESOURCE_ATTRIBUTES").split(",")}
    own: dict[str, str] = {
        "host.name": socket.gethostname(),
        "service.instance.id": str(uuid.uuid4()),
        "service.name": Path(sys.argv[0]).stem if sys.argv and sys.argv[0] not in {"", "-c", "-m"} else "python",
    }
    if "service.instance.id" in fixed:
        Tally().log_once(
            "instance",
            "otel_progress: OTEL_RESOURCE_ATTRIBUTES fixes service.instance.id; processes sharing it mix their counts",
        )
    if _variable("OTEL_SERVICE_NAME"):
        fixed.add("service.name")
    # What is passed to create() would win over the environment.
    own = {key: value for key, value in own.items() if key not in fixed}
    if config.service_name is not None:
        own["service.name"] = config.service_name
    return Resource.create({**own, **attributes})


def _terminal(config: Config, runtime: _runtime.Runtime) -> TerminalView:
    from otel_progress.terminal import TerminalView  # noqa: PLC0415  # not loaded where it is switched off

    since = runtime.clock.wall_ns() / 1e9
    view = TerminalView(
        lambda: (*_read.active(), *_read.history(since=since)),
        mode=config.terminal,
        clock=runtime.clock,
        tally=runtime.tally,
    )
    view.start()
    return view
