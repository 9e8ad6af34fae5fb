"""Keep our errors out of the program: log once per site, count, go on."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from types import MappingProxyType

_logger = logging.getLogger("otel_progress")


class Tally:
    """
    Counts, by reason, of what was dropped, ignored and contained. Reasons are a closed set of words in this package.

    ``kept`` is, by signal, how many records wait for a backend in trouble now; 0 for one that could keep some.

    Thread-safe. The lock covers the additions: a lost one could make a counter go back. It is reentrant because the
    garbage collector may run a user's ``__del__``, which may call us, in any line. Nothing is logged under it.
    """

    __slots__ = ("_lock", "_logged", "contained", "dropped", "ignored", "kept")

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.dropped: Counter[str] = Counter()
        self.ignored: Counter[str] = Counter()
        self.contained: Counter[str] = Counter()
        self.kept: Counter[str] = Counter()
        self._logged: set[str] = set()

    def drop(self, reason: str, count: int = 1) -> None:
        """Count records that a bound kept out, and say so once."""
        with self._lock:
            self.dropped[reason] += count
        self.log_once(reason, "otel_progress: dropped telemetry (%s); your program is unaffected", reason)

    def ignore(self, reason: str) -> None:
        """Count a call that made no sense."""
        with self._lock:
            self.ignored[reason] += 1

    def contain(self, site: str, error: BaseException) -> None:
        """Count an error of ours (or of a callback), and log the first one of each site with its stack."""
        with self._lock:
            self.contained[site] += 1
        with suppress(RecursionError):  # logging needs more stack than may be left
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

    def after_fork(self) -> None:
        """In the child: another thread of the parent may have held the lock, and what was counted is the parent's."""
        self._lock = threading.RLock()
        for counts in (self.dropped, self.ignored, self.contained):
            counts.clear()
        self.kept = Counter(dict.fromkeys(self.kept, 0))

    def as_mappings(self) -> tuple[Mapping[str, int], Mapping[str, int], Mapping[str, int]]:
        """Return read-only copies of dropped, ignored and contained."""
        return (
            MappingProxyType(dict(self.dropped)),
            MappingProxyType(dict(self.ignored)),
            MappingProxyType(dict(self.contained)),
        )
