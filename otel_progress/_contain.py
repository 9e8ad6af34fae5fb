"""Keep our errors out of the program: log once per site, count, go on."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

_logger = logging.getLogger("otel_progress")


class Tally:
    """
    Counts, by reason, of what was dropped, ignored and contained. Reasons are a closed set of words in this package.

    Adding is not locked: a lost increment under a race costs an exact self-diagnostic, a lock would cost every caller.
    """

    __slots__ = ("_logged", "contained", "dropped", "ignored")

    def __init__(self) -> None:
        self.dropped: Counter[str] = Counter()
        self.ignored: Counter[str] = Counter()
        self.contained: Counter[str] = Counter()
        self._logged: set[str] = set()

    def drop(self, reason: str, count: int = 1) -> None:
        """Count records that a bound kept out, and say so once."""
        self.dropped[reason] += count
        self.log_once(reason, "otel_progress: dropped telemetry (%s); your program is unaffected", reason)

    def ignore(self, reason: str) -> None:
        """Count a call that made no sense."""
        self.ignored[reason] += 1

    def contain(self, site: str, error: BaseException) -> None:
        """Count an error of ours (or of a callback), and log the first one of each site with its stack."""
        self.contained[site] += 1
        self.log_once(site, "otel_progress: %s failed; your program is unaffected", site, exc_info=error)

    def log_once(self, key: str, message: str, *args: object, exc_info: BaseException | None = None) -> None:
        """Log a warning the first time ``key`` is seen."""
        if key not in self._logged:
            self._logged.add(key)
            _logger.warning(message, *args, exc_info=exc_info)

    @contextmanager
    def containing(self, site: str) -> Generator[None]:
        """Contain every ``Exception`` raised in the block."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  # containment is the purpose
            self.contain(site, error)

    def as_mappings(self) -> tuple[Mapping[str, int], Mapping[str, int], Mapping[str, int]]:
        """Return read-only copies of dropped, ignored and contained."""
        return (
            MappingProxyType(dict(self.dropped)),
            MappingProxyType(dict(self.ignored)),
            MappingProxyType(dict(self.contained)),
        )
