"""Settings: one frozen object, made from defaults, ``OTEL_PROGRESS_*`` variables and arguments, in that order."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from math import inf
from typing import Any, Final, cast
from urllib.parse import urlsplit

from otel_progress import _bounds
from otel_progress._model import DEFAULT_ETA_METHOD, ETA_METHODS
from otel_progress.errors import ConfigError

PREFIX: Final = "OTEL_PROGRESS_"
PROMETHEUS_PORT: Final = 9464
"""Default port of an OpenTelemetry Prometheus endpoint (specification, environment variables)."""

HISTORY_PORTS: Final = {"tempo": 3200, "jaeger": 16686, "prometheus": 9090}
"""Backends that earlier runs can be read from, and the port each answers on unless told otherwise."""

_WORDS: Final = {
    "on": True,
    "true": True,
    "yes": True,
    "1": True,
    "off": False,
    "false": False,
    "no": False,
    "0": False,
}


def _boolean(value: object) -> bool:
    return value if isinstance(value, bool) else _WORDS[str(value).strip().lower()]


def _choice(*allowed: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if isinstance(value, bool):
            value = allowed[0] if value else "off"
        word = str(value).strip().lower()
        if word not in allowed:
            raise ValueError(word)
        return word

    return parse


def _within(low: float, high: float, kind: type[float]) -> Callable[[object], Any]:
    def parse(value: object) -> Any:  # noqa: ANN401  # int or float, as the kind says
        number = kind(value)  # type: ignore[arg-type]  # a wrong type raises, which is the point
        if isinstance(value, bool) or not low <= number <= high or (isinstance(value, float) and number != value):
            raise ValueError(value)
        return number

    return parse


def _or_off(parse: Callable[[object], float]) -> Callable[[object], float]:
    return lambda value: inf if value is None or str(value).strip().lower() == "off" else parse(value)


def _names(value: object) -> tuple[str, ...]:
    given = value.split(",") if isinstance(value, str) else value
    names: list[str] = list(given)  # type: ignore[call-overload]  # a wrong type raises, which is the point
    return tuple(_bounds.name(name.strip()) for name in names if name.strip())


def _port(value: object) -> int | None:
    if value is None or (isinstance(value, str) and value.strip().lower() == "off") or value is False:
        return None
    if value is True or (isinstance(value, str) and value.strip().lower() == "on"):
        return PROMETHEUS_PORT
    port = int(str(value))
    if not 0 <= port <= 65_535:  # noqa: PLR2004  # the last port
        raise ValueError(value)
    return port


def _store(value: object) -> str:
    if value is None or isinstance(value, bool) or str(value).strip().lower() in _WORDS:
        return "on" if value is not None and _boolean(value) else "off"
    path = os.path.expanduser(os.fspath(cast("str", value)).strip())  # noqa: PTH111  # a text stays a text
    if not os.path.isabs(path) or path.endswith("/"):  # noqa: PTH117  # as above
        raise ValueError(value)
    return path


def _sources(value: object) -> tuple[str, ...]:
    given = value.split(",") if isinstance(value, str) else value
    texts: list[str] = list(given)  # type: ignore[call-overload]  # a wrong type raises, which is the point
    return tuple(_source(text.strip()) for text in texts if text.strip())


def _source(text: str) -> str:
    kind, equals, url = text.partition("=")
    if not equals and "://" in text:
        kind, url = "", text
    parts = urlsplit(url or f"http://127.0.0.1:{HISTORY_PORTS[kind]}")
    port = parts.port  # raises where it is none
    if not kind:  # the port tells
        kind = {port: kind for kind, port in HISTORY_PORTS.items()}[port or 0]
    if kind not in HISTORY_PORTS or parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
        raise ValueError(kind)
    return f"{kind}={parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def _service_name(value: object) -> str | None:
    return None if value is None else _bounds.text(value, _bounds.NAME_LIMIT)


def _method(value: object) -> str:
    return _choice(*ETA_METHODS)(str(value))


def _host(value: object) -> str:
    host = str(value).strip()
    if not host:
        raise ValueError(value)
    return host


def _rules(value: object) -> tuple[Any, ...]:
    rules = tuple(cast("Iterable[Any]", value))
    for rule in rules:
        if not (callable(rule.check) and rule.kind and rule.severity):
            raise TypeError(value)
    return rules


def _redactor(value: object) -> Callable[[str], str]:
    if not callable(value):
        raise TypeError(value)
    return cast("Callable[[str], str]", value)


def _option(default: Any, parse: Callable[[object], Any], allowed: str) -> Any:  # noqa: ANN401  # as field() itself
    return field(default=default, metadata={"parse": parse, "allowed": allowed})


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """
    Every setting: an argument of `configure` and a variable ``OTEL_PROGRESS_<NAME>``.

    Functions and objects (``rules`` and ``redact``) are arguments only.

    Attributes:
        enabled: Off turns every call of this package into nothing.
        service_name: Name of the program; ``OTEL_SERVICE_NAME`` and the resource count if it is not given.
        otlp: ``auto`` sends to ``OTEL_EXPORTER_OTLP_ENDPOINT`` if that is set; ``http`` and ``grpc`` send always.
        prometheus: Port of a Prometheus endpoint, ``on`` for 9464, 0 for any free one, ``off`` for none.
        prometheus_host: Address the endpoint listens on.
        terminal: The view on stderr; ``auto`` is a live tree on a terminal and plain lines elsewhere.
        export_interval_seconds: Between two exports of metrics, where ``OTEL_METRIC_EXPORT_INTERVAL`` says nothing.
        open_after_seconds: Age at which a level is shown in its trace while it runs, and from which it has lifecycle
            events of its own; ``off`` for never.
        checkpoint_seconds: Least time between two checkpoints of a level; ``off`` for none.
        checkpoints_limit: Checkpoints of one level in one trace.
        trace_bytes_limit: Estimated size at which a long run goes on in a further, linked trace; ``off`` for never.
        adopt: Names of spans of others that are levels even without ``progress.total``.
        signals: Whether `configure` ends live levels and flushes when SIGTERM comes.
        short_level_events: Lifecycle events for every level, however short.
        eta_method: How the time left is estimated.
        history_limit: Finished operations remembered in memory.
        live_levels_limit: Levels alive at once that have live metrics.
        label_sets_limit: Different (operation, level) pairs on metrics; the rest is one series named ``(other)``.
        store: The file of live levels and finished runs on this machine: ``on`` is ``otel_progress/store.db`` in the
            state folder. `configure` and the command line use it; a library alone does not.
        store_details: Whether the store also keeps ids, titles, messages, metadata and error messages.
        history: Backends that earlier runs are read from where the store has none: ``tempo=URL``, ``jaeger=URL``,
            ``prometheus=URL``, or the word alone for its usual port on this machine. The first that knows any counts.
        rules: Deviation rules of the program's own, beside ours; they run on our ticker's thread, and must be quick.
        redact: Function that masks secrets in error messages and stacks.
    """

    # ruff: noqa: RUF009  # _option is a field()
    enabled: bool = _option(True, _boolean, "on, off")  # noqa: FBT003  # not a call of ours
    service_name: str | None = _option(None, _service_name, "any text")
    otlp: str = _option("auto", _choice("auto", "off", "http", "grpc"), "auto, off, http, grpc")
    prometheus: int | None = _option(None, _port, "off, on, or a port from 0 to 65535")
    prometheus_host: str = _option("127.0.0.1", _host, "an address or host name")
    terminal: str = _option("auto", _choice("auto", "off", "live", "lines"), "auto, off, live, lines")
    export_interval_seconds: float = _option(10.0, _within(0.1, 3600.0, float), "seconds from 0.1 to 3600")
    open_after_seconds: float = _option(2.0, _or_off(_within(0.0, inf, float)), "seconds from 0, or off")
    checkpoint_seconds: float = _option(60.0, _or_off(_within(1.0, inf, float)), "seconds from 1, or off")
    checkpoints_limit: int = _option(100, _within(0, 1_000, int), "a number from 0 to 1000")
    trace_bytes_limit: float = _option(4e6, _or_off(_within(1e5, inf, float)), "bytes from 100000, or off")
    adopt: tuple[str, ...] = _option((), _names, "names, as a list or separated by commas")
    signals: bool = _option(True, _boolean, "on, off")  # noqa: FBT003  # not a call of ours
    short_level_events: bool = _option(False, _boolean, "on, off")  # noqa: FBT003  # not a call of ours
    eta_method: str = _option(DEFAULT_ETA_METHOD, _method, ", ".join(ETA_METHODS))
    history_limit: int = _option(100, _within(0, 100_000, int), "a number from 0 to 100000")
    live_levels_limit: int = _option(50_000, _within(1, 1_000_000, int), "a number from 1 to 1000000")
    label_sets_limit: int = _option(300, _within(1, 400, int), "a number from 1 to 400")
    store: str = _option("on", _store, "off, on, or the absolute path of a file")
    store_details: bool = _option(False, _boolean, "on, off")  # noqa: FBT003  # not a call of ours
    history: tuple[str, ...] = _option(
        (), _sources, "tempo=URL, jaeger=URL, prometheus=URL or these words alone, separated by commas; no passwords"
    )
    rules: tuple[Any, ...] = _option((), _rules, "rules: objects with kind, severity and check(run, held=)")
    redact: Callable[[str], str] = _option(_bounds.redact, _redactor, "a function from str to str")

    @classmethod
    def make(cls, environ: Mapping[str, str] = os.environ, **given: Any) -> Config:  # noqa: ANN401  # each is parsed
        """
        Return the settings from ``environ``, overridden by what is given.

        Raises:
            ConfigError: A value is wrong or a name unknown; the message says what is allowed.
        """
        values: dict[str, Any] = {}
        known = {option.name: option for option in fields(cls)}
        for name in given:
            if name not in known:
                msg = f"configure() has no option {name!r}; there are {', '.join(sorted(known))}"
                raise ConfigError(msg)
        for name, option in known.items():
            variable = PREFIX + name.upper()
            if name in given:
                values[name] = _parse(name, given[name], option.metadata)
            elif name not in {"redact", "rules"} and environ.get(variable, "").strip():
                values[name] = _parse(variable, environ[variable], option.metadata)
        return cls(**values)


def _parse(label: str, value: object, option: Mapping[str, Any]) -> Any:  # noqa: ANN401  # as the option says
    try:
        return option["parse"](value)
    except (ValueError, TypeError, KeyError, OverflowError, AttributeError):
        msg = f"{label} must be {option['allowed']}; got {_bounds.redact(repr(value))}"
        raise ConfigError(msg) from None
