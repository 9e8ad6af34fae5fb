"""Earlier runs from Tempo: the profiles on the records of levels that ended, by a TraceQL search."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final

from otel_progress import names
from otel_progress._model import Profile
from otel_progress.names import Record, State
from otel_progress.store import _http
from otel_progress.store._remote import Remote, profile_of

WINDOW_SECONDS: Final = 7 * 86_400
"""What one search covers: by default Tempo refuses more (``max_duration``, 168 h)."""
WINDOWS: Final = 5
"""How many of these are asked, back from now, until something is found: enough for a monthly job."""
AHEAD_SECONDS: Final = 60
"""Clocks differ; without an explicit end recent data is not searched."""


class Tempo(Remote):
    """Tempo's HTTP API."""

    kind: ClassVar[str] = "tempo"

    def _ask(self, operation: str, level: str | None, limit: int) -> Iterable[Profile]:
        end = self._clock.wall_ns() // 1_000_000_000 + AHEAD_SECONDS
        query = traceql(operation, level)
        for _ in range(WINDOWS):
            start = end - WINDOW_SECONDS
            asked = {"q": query, "start": start, "end": end, "limit": limit, "spss": limit}
            found = list(_profiles(_http.get_json(f"{self._url}/api/search", asked)))
            if found:
                return found
            end = start
        return ()


def traceql(operation: str, level: str | None) -> str:
    """Return the query for the records of completed runs of a level."""
    conditions = [
        f"span.{names.OPERATION} = {_quoted(operation)}",
        f"span.{names.LEVEL} = {'nil' if level is None else _quoted(level)}",
        f'span.{names.OUTCOME} = "{State.COMPLETED}"',
        f'(span.{names.RECORD} = "{Record.COMPLETION}" || span.{names.RECORD} = "{Record.SPAN}")',
        f"span.{names.PROFILE} != nil",
    ]
    return f"{{ {' && '.join(conditions)} }} | select(span.{names.PROFILE}) with (most_recent=true)"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _profiles(answer: Mapping[str, Any]) -> Iterable[Profile]:
    for trace in answer.get("traces") or ():
        for spans in trace.get("spanSets") or ():
            for span in spans.get("spans") or ():
                ended_at = (int(span["startTimeUnixNano"]) + int(span.get("durationNanos", 0))) / 1e9
                for attribute in span.get("attributes") or ():
                    if attribute["key"] == names.PROFILE:
                        profile = profile_of(attribute["value"].get("stringValue"), ended_at)
                        if profile is not None:
                            yield profile
