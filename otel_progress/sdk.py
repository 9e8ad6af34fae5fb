"""`configure`: sets OpenTelemetry up for an application that has not done so, and undoes it."""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final

from opentelemetry import trace

from otel_progress import _drain, _read, _runtime
from otel_progress._config import Config
from otel_progress._exits import is_worker
from otel_progress._providers import Providers, check
from otel_progress._signals import Signals
from otel_progress.errors import ConfigError

if TYPE_CHECKING:
    from typing import Self

    from otel_progress.deviation import Rule
    from otel_progress.terminal import TerminalView

SHUTDOWN_SECONDS: Final = 5.0
"""How long an end may wait for a backend that does not answer."""

WORKER_SECONDS: Final = 1.0
"""As above, for a worker of multiprocessing that gets SIGTERM: its pool waits for it."""

_lock = threading.RLock()  # covers the handle in use; reentrant, for a signal that comes meanwhile
_handle: Handle | None = None


class Handle:
    """
    What `configure` set up. Usable as a context manager; `shutdown` undoes it, and exit does so on its own.

    Attributes:
        config: The settings that hold.
        prometheus_url: Where the Prometheus endpoint answers, ``None`` without one.
        otlp_endpoint: Where telemetry is sent, ``None`` if it is not.
    """

    def __init__(self, config: Config, attributes: Mapping[str, str], providers: Providers) -> None:
        self.config = config
        self.resource_attributes = dict(attributes)
        self.prometheus_url = providers.prometheus_url
        self.otlp_endpoint = providers.otlp_endpoint
        self._providers = providers
        built = {f"{kind}_provider": provider for kind, provider in providers.built.items()}
        self._runtime = _runtime.Runtime(config, tally=providers.tally, **built)
        self._runtime.setup = self
        self._previous: _runtime.Runtime | None = None
        self._view: TerminalView | None = None
        self._undo: list[Callable[[], object]] = []
        self._signals = Signals(self._end, self.flush, lambda: self._shut and not self._ended, self._limit_seconds)
        # Covers a flush: an exporter that is shut down in the middle of one complains in the user's log.
        self._exporting = threading.RLock()
        self._shut = False
        self._ended = False

    def _start(self) -> None:
        config, runtime = self.config, self._runtime
        if config.enabled and config.prometheus is not None and self.prometheus_url is None:
            runtime.tally.log_once(
                "prometheus",
                "otel_progress: a MeterProvider is set already; add a PrometheusMetricReader to it yourself",
            )
        if config.enabled:
            _open_store(config, runtime)
        if config.enabled and config.terminal != "off":
            self._view = _terminal(config, runtime)
        if config.enabled:
            self._undo = _adopt_spans(self._providers.built.get("tracer"), trace.get_tracer_provider())
        self._previous = _runtime.replace(runtime)
        if config.enabled and config.signals:
            self._signals.install()
        atexit.register(self.shutdown)

    def flush(self, timeout_seconds: float = SHUTDOWN_SECONDS) -> bool:
        """
        Export everything that has ended, through providers of others as well; ``False`` if that takes longer.

        Nothing of it raises.
        """
        deadline = time.monotonic() + timeout_seconds
        if not self._exporting.acquire(timeout=timeout_seconds):
            return False
        try:
            flushed = self._runtime.flush(max(deadline - time.monotonic(), 0.0))
            return _drain.each(_drain.flush, self._providers.all(), deadline, self._runtime.tally) and flushed
        finally:
            self._exporting.release()

    def shutdown(self, timeout_seconds: float = SHUTDOWN_SECONDS) -> bool:
        """
        End what is live as interrupted, export, and stop all that `configure` started; ``False`` if it took too long.

        Twice is harmless. Providers that were there before are left running. Levels started later are not recorded, and
        `health` is that of what comes after: read it before. In a forked child it ends what is the child's.
        """
        return self._end(None, timeout_seconds)

    def _end(self, reason: str | None, timeout_seconds: float) -> bool:
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
        for each in self._providers.keepers:
            each.keeper.end_by(deadline)
        # Half of the time at most: a callback that hangs must not keep the providers from exporting what they hold.
        flushed = self._runtime.shutdown(timeout_seconds / 2, reason)
        if reason is not None and self._previous is not None:  # levels older than `configure`
            self._previous.shutdown(timeout_seconds / 4, reason)
        if self._view is not None:
            with tally.containing("terminal"):
                self._view.stop()
        alone = self._exporting.acquire(timeout=max(deadline - time.monotonic(), 0.0))
        # Those of others are shut down by their owners, unless nobody gets the chance to.
        built = list(self._providers.built.values())
        others = [] if reason is None else [each for each in self._providers.all() if each not in built]
        calls = [*((_drain.shutdown, each) for each in built), *((_drain.flush, each) for each in others)]
        flushed = _drain.each(lambda call: call[0](call[1]), calls, deadline, tally) and flushed
        if alone:
            self._exporting.release()
        for undo in (self._providers.close, *reversed(self._undo)):
            with tally.containing("shutdown"):
                undo()
        if _runtime.get() is self._runtime:
            _runtime.replace(self._previous)
        self._ended = True
        self._signals.restore()
        return flushed

    def _limit_seconds(self) -> float:
        return WORKER_SECONDS if is_worker() else SHUTDOWN_SECONDS

    def _after_fork(self) -> None:
        """In the child: the terminal, the endpoint and the metrics so far are the parent's."""
        self._exporting = threading.RLock()
        self._view = None
        self.prometheus_url = None
        if self._providers.after_fork():
            self._runtime.own_meters(self._providers.meters_of_child)

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
    store: str | os.PathLike[str] | bool | None = None,
    store_details: bool | None = None,
    history: str | Iterable[str] | None = None,
    rules: Iterable[Rule] | None = None,
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
        _handle = _make(config, dict(resource_attributes or {}))
        return _handle


def _make(config: Config, attributes: dict[str, str]) -> Handle:
    check(config)
    providers = Providers(config, attributes)
    if config.enabled and os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() != "true":
        providers.build()
    try:
        handle = Handle(config, attributes, providers)
        handle._start()
    except BaseException:
        providers.close()
        raise
    return handle


def _adopt_spans(*providers: object) -> list[Callable[[], object]]:
    """Install the span processor on the SDK's providers among these; return what takes it back."""
    if not any(hasattr(provider, "add_span_processor") for provider in providers):
        return []
    from otel_progress.processors import install  # noqa: PLC0415  # there is an SDK

    return [install(provider, "configure") for provider in providers]


def _open_store(config: Config, runtime: _runtime.Runtime) -> None:
    """Keep what happens for later runs, and learn from earlier ones, as the settings say."""
    from otel_progress.store import open_history, open_store  # noqa: PLC0415  # SQLite is loaded by programs only

    store = open_store(config, runtime.tally)
    runtime.learning.open(store, open_history(config, runtime.tally, store=store, service=config.service_name))


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


def _after_fork() -> None:
    global _lock  # noqa: PLW0603  # another thread of the parent may have held it
    _lock = threading.RLock()
    if _handle is not None:
        with _handle._runtime.tally.containing("fork"):
            _handle._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
