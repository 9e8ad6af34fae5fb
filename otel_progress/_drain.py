"""Have providers export what they hold: all at once, and never longer than there is time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from opentelemetry import metrics, trace

from otel_progress._contain import Tally
from otel_progress._events import global_logger_provider


def standing() -> list[Any]:
    """Return the global providers that can be flushed: those of an SDK."""
    found = (trace.get_tracer_provider(), metrics.get_meter_provider(), global_logger_provider())
    return [provider for provider in found if hasattr(provider, "force_flush")]


def flush(provider: Any) -> object:  # noqa: ANN401  # three kinds without a common base
    """Have one provider export."""
    return provider.force_flush()


def shutdown(provider: Any) -> object:  # noqa: ANN401  # as above
    """Have one provider export, and end."""
    return provider.shutdown()


def each(call: Callable[[Any], object], providers: Iterable[Any], deadline: float, tally: Tally) -> bool:
    """
    Call all providers at once, and wait until the deadline, in monotonic seconds; ``False`` if one took longer.

    One after the other, each waiting for the timeout of its exporter, took 27 s with a Collector that hangs.
    """
    providers = list(providers)
    finished: list[Any] = []

    def run(provider: Any) -> None:  # noqa: ANN401  # as above
        with tally.containing("shutdown"):
            if call(provider) is not False:
                finished.append(provider)

    threads = [threading.Thread(target=run, args=(provider,), daemon=True) for provider in providers]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(deadline - time.monotonic(), 0.0))
    except RuntimeError:  # no threads at interpreter exit
        for provider in providers:
            run(provider)
    return len(finished) == len(providers)
