"""Filters that keep the exporters of the SDK from filling the program's log while a backend is in trouble."""

from __future__ import annotations

import logging
from math import inf
from typing import Final

SELDOM_SECONDS: Final = 300.0
"""Between two lines of an exporter that fails all the time."""

TEXT_LIMIT: Final = 300


class _Filter(logging.Filter):
    """On the loggers of an exporter until `remove`: each module that its class is made of logs under its own name."""

    def __init__(self, exporter: object) -> None:
        super().__init__()
        modules = {each.__module__ for each in type(exporter).__mro__}
        self._loggers = [logging.getLogger(name) for name in modules if name.startswith("opentelemetry.exporter.")]
        for logger in self._loggers:
            logger.addFilter(self)

    def remove(self) -> None:
        """Take the filter off; twice is harmless."""
        for logger in self._loggers:
            logger.removeFilter(self)


class Quiet(_Filter):
    """
    Holds back what an exporter logs in one thread: with a Collector that is down, four lines for each batch.

    Attributes:
        thread: Identity of the thread; ``None`` holds nothing back.
        heard: The first line held back since it was emptied: it names the cause, while the last one gives up.
    """

    thread: int | None = None
    heard = ""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let through what other threads log."""
        if self.thread is None or record.thread != self.thread:
            return True
        self.heard = self.heard or record.getMessage()[:TEXT_LIMIT]
        return False


class Seldom(_Filter):
    """Lets one line of an exporter through in five minutes."""

    _passed_at = -inf

    def filter(self, record: logging.LogRecord) -> bool:
        """Let the first line through, and the next one when that is long ago."""
        if abs(record.created - self._passed_at) < SELDOM_SECONDS:
            return False
        self._passed_at = record.created
        return True
