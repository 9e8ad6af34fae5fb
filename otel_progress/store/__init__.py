"""
The local store and the other sources of history.

The store is one SQLite file for all processes of a user: what they are doing now, and how their earlier runs went.
SQLite and HTTP are loaded by `open_store` and `open_history`, not by importing this.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_progress._clock import SYSTEM_CLOCK
from otel_progress._config import Config
from otel_progress._contain import Tally
from otel_progress._model import Clock, HistorySource
from otel_progress.store._data import LiveProcess, Run
from otel_progress.store._history import History

if TYPE_CHECKING:
    from otel_progress.store._store import Store

__all__ = ["History", "LiveProcess", "Run", "open_history", "open_store"]

_REMOTES: Final = {"tempo": "Tempo", "jaeger": "Jaeger", "prometheus": "Prometheus"}
"""Kind of backend -> its class, in the module of that name."""


def open_store(config: Config, tally: Tally, clock: Clock = SYSTEM_CLOCK) -> Store | None:
    """Return the store that the settings ask for, ``None`` where they want none or there can be none; never raises."""
    if not config.enabled or config.store == "off":
        return None
    try:
        from otel_progress.store import _place  # noqa: PLC0415  # loads SQLite, which some Pythons are built without
        from otel_progress.store._store import Store  # noqa: PLC0415  # as above

        path = _place.default_path() if config.store == "on" else Path(config.store)
        return Store(path, clock=clock, tally=tally, details=config.store_details)
    except Exception as error:  # noqa: BLE001  # a home that is missing costs history, not the job
        tally.log_once("store_refused", "otel_progress: there is no store: %s; your program is unaffected", error)
        tally.drop("store_refused")
        return None


def open_history(
    config: Config,
    tally: Tally,
    *,
    store: HistorySource | None,
    clock: Clock = SYSTEM_CLOCK,
    service: str | None = None,
) -> History | None:
    """
    Return what tells of earlier runs: the store first, then the backends in the order of the setting; never raises.

    Args:
        config: Its ``history`` names the backends.
        tally: Where trouble is counted.
        store: What `open_store` returned.
        clock: Wall time says how far back to look.
        service: This program's ``service.name``; Jaeger's storages need it, but for the one in memory.
    """
    sources: list[HistorySource] = [] if store is None else [store]
    for text in config.history if config.enabled else ():
        kind, _, url = text.partition("=")
        with tally.containing("history"):  # a Python without HTTP, perhaps
            remote = getattr(import_module(f"otel_progress.store._{kind}"), _REMOTES[kind])
            sources.append(remote(url, clock=clock, tally=tally, service=service or config.service_name))
    return History(sources, clock=clock, tally=tally) if sources else None
