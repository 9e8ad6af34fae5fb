"""Earlier runs from Prometheus: how long they took, from the histogram of durations. It knows no more about them."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from typing import Any, ClassVar, Final

from otel_progress import names
from otel_progress._model import Profile
from otel_progress.names import State
from otel_progress.store import _http
from otel_progress.store._remote import Remote

WINDOW: Final = "30d"
STEP: Final = "5m"
"""How exactly the end of a series is known: Prometheus shows one for five minutes after its last sample."""


class Prometheus(Remote):
    """
    Prometheus' HTTP API.

    Each process is one series, so a job of one run a process has one profile a run; a service that ran a level many
    times has one profile with their mean.
    """

    kind: ClassVar[str] = "prometheus"

    def _ask(self, operation: str, level: str | None, limit: int) -> Iterable[Profile]:
        total, count = promql("sum", operation, level), promql("count", operation, level)
        # The first half for what is newer than the last step of the second: steps lie on full five minutes.
        newest = f"topk({limit}, timestamp({count}) or max_over_time(timestamp({count})[{WINDOW}:{STEP}]))"
        mean = f"last_over_time({total}[{WINDOW}]) / last_over_time({count}[{WINDOW}])"
        ends = self._query(newest)
        return [
            Profile(seconds=seconds, total=None, curve=(), ended_at=ends[series])
            for series, seconds in self._query(mean).items()
            if series in ends and isfinite(seconds) and seconds > 0
        ]

    def _query(self, query: str) -> dict[frozenset[tuple[str, str]], float]:
        """Return the value of each series, by its labels."""
        asked = {"query": query, "time": f"{self._clock.wall_ns() / 1e9:.3f}", "timeout": "2s"}
        answer: Any = _http.get_json(f"{self._url}/api/v1/query", asked)
        found: dict[frozenset[tuple[str, str]], float] = {}
        for each in answer["data"]["result"]:
            labels = frozenset((name, value) for name, value in each["metric"].items() if name != "__name__")
            found[labels] = float(each["value"][1])
        return found


def promql(part: str, operation: str, level: str | None) -> str:
    """Return the selector of the sums or counts of completed runs of a level; an absent label is an empty one."""
    labels = {names.OPERATION: operation, names.LEVEL: level or "", names.OUTCOME: State.COMPLETED.value}
    matchers = ",".join(f"{name.replace('.', '_')}={_quoted(value)}" for name, value in labels.items())
    return f"{names.LEVEL_DURATION.prometheus}_{part}{{{matchers}}}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
