"""Earlier runs from Jaeger: the profiles on the records of levels that ended, by version 3 of its query API."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, ClassVar, Final

from otel_progress import names
from otel_progress._model import Profile
from otel_progress.names import State
from otel_progress.store import _http
from otel_progress.store._remote import Remote, profile_of

WINDOWS_SECONDS: Final = (3_600, 86_400, 35 * 86_400)
"""How far back is looked, one after the other until there is `ENOUGH`: Jaeger's answers are in no order of time."""
ENOUGH: Final = 3
TRACES: Final = 40
"""Traces in one answer."""
AHEAD_SECONDS: Final = 60


class Jaeger(Remote):
    """
    Jaeger's HTTP API.

    It answers with whole traces; where they are too large for us together, one is asked for.
    """

    kind: ClassVar[str] = "jaeger"

    def _ask(self, operation: str, level: str | None, limit: int) -> Iterable[Profile]:
        wanted = {names.OPERATION: operation, names.OUTCOME: State.COMPLETED.value}
        if level is not None:
            wanted[names.LEVEL] = level
        found: list[Profile] = []
        for window in WINDOWS_SECONDS:
            found = list(_profiles(self._traces(wanted, window), {names.LEVEL: level, **wanted}))
            if len(found) >= min(limit, ENOUGH):
                break
        return found

    def _traces(self, wanted: Mapping[str, str], window: int) -> Mapping[str, Any]:
        query = self._query(wanted, window)
        try:
            try:
                answer: Mapping[str, Any] = _http.get_json(f"{self._url}/api/v3/traces", query)
            except _http.TooLargeError:
                answer = _http.get_json(f"{self._url}/api/v3/traces", {**query, "query.search_depth": 1})
        except _http.AnswerError as error:
            if error.status != HTTPStatus.NOT_FOUND:  # its way to say that there is none
                raise
            return {"result": {}}
        return answer

    def _query(self, wanted: Mapping[str, str], window: int) -> dict[str, object]:
        now = self._clock.wall_ns() / 1e9
        query: dict[str, object] = {
            "query.attributes": json.dumps(wanted),
            "query.start_time_min": _iso(now - window),
            "query.start_time_max": _iso(now + AHEAD_SECONDS),
            "query.search_depth": TRACES,
        }
        return query if self._service is None else {"query.service_name": self._service, **query}


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _profiles(answer: Mapping[str, Any], wanted: Mapping[str, str | None]) -> Iterator[Profile]:
    """Return the profiles of the spans that have these attributes; ``None`` is one that must not be there."""
    for resource in answer["result"].get("resourceSpans") or ():
        for scope in resource.get("scopeSpans") or ():
            for span in scope.get("spans") or ():
                texts = {each["key"]: each["value"].get("stringValue") for each in span.get("attributes") or ()}
                if all(texts.get(key) == value for key, value in wanted.items()):
                    profile = profile_of(texts.get(names.PROFILE), int(span["endTimeUnixNano"]) / 1e9)
                    if profile is not None:
                        yield profile
