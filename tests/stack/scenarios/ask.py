"""
Every query of every panel, variable, annotation and rule, asked of its real backend, service by service.

Grafana's variables are filled in as Grafana does when somebody has chosen that service and its operation. An answer
that says nothing happened (no series, or only zeros) is no data.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from dashboards.catalogue import Entry, entries
from dashboards.rules import GROUPS
from tests.stack.programs import get

from . import shortened
from .play import OPERATIONS, Played

COLLECTOR: Final = "collector"
"""Stands for what is not about one service."""
INTERVALS: Final = {"$__rate_interval": "15s", "$__interval": "1m", "$__range": "1h"}
STEP_SECONDS: Final = 2
Found = Mapping[str, int]
"""How many series with data, or traces, or lines, by service; those without are not in it."""


Key = tuple[str, str, int]
"""Where a query stands, its title, and which of that title it is."""


@dataclass(frozen=True)
class Question:
    """One query, as it is asked; of a recording rule that is the series it records."""

    key: Key
    entry: Entry
    query: str

    @property
    def is_over_time(self) -> bool:
        """Whether it is asked of all the time, and not of moments."""
        return self.entry.kind not in {"instant", "alert"} or self.entry.language != "promql"


def questions() -> Iterator[Question]:
    """Return all of them."""
    seen: Counter[tuple[str, str]] = Counter()
    recorded = (rule for group in GROUPS for rule in group.rules)
    for entry in entries():
        query, where = entry.query, entry.where
        if entry.kind == "recording":
            rule = next(recorded)
            where = "rules"
            query = rule.name + "".join(f'{{{name}="{value}"}}' for name, value in rule.labels)
        elif entry.kind == "alert":
            where, query = "alerts", shortened.expression(query)
        place = (where, entry.title)
        yield Question((*place, seen[place]), entry, query)
        seen[place] += 1


def filled(query: str, service: str) -> str:
    """Return a query as Grafana sends it."""
    chosen = {
        "$traced_service": service,
        "$service": service,
        "$operation": OPERATIONS.get(service, ".*"),
        "$level": ".*",
    }
    for name, value in {**INTERVALS, **chosen}.items():
        query = query.replace(name, value)
    assert "$" not in query, query
    return query


def answers(played: Played, question: Question) -> list[Found]:
    """Return what a question finds of each service: over all the time, or while all are held and after their end."""
    if question.entry.kind == "recording":
        return [_answer(played, question, time.time())]
    if question.is_over_time:
        return [_answer(played, question, played.ended_at)]
    held_at = played.stuck_at if "Stuck" in question.entry.title else played.held_at
    return [_answer(played, question, at) for at in (held_at, played.ended_at)]


def _answer(played: Played, question: Question, at: float) -> Found:
    if not re.search(r"\$(service|operation|traced_service)\b", question.query):
        return _by_service(_ask(played, question, filled(question.query, COLLECTOR), at))
    found: dict[str, int] = {}
    for service in OPERATIONS:
        mine = _ask(played, question, filled(question.query, service), at)
        # A panel that does not ask for the service alone shows others', too.
        found[service] = _by_service(mine, service)[service]
    if "alertstate" in question.query:
        found[COLLECTOR] = _by_service(_ask(played, question, filled(question.query, "nobody"), at))[COLLECTOR]
    return {service: count for service, count in found.items() if count}


def all_answers(played: Played) -> dict[Key, list[Found]]:
    """Return the answers to all questions."""
    with ThreadPoolExecutor(4) as pool:
        asked = {each.key: pool.submit(answers, played, each) for each in questions()}
        return {key: each.result() for key, each in asked.items()}


def _by_service(labels: Iterable[Mapping[str, str]], otherwise: str = COLLECTOR) -> Counter[str]:
    found: Counter[str] = Counter()
    for each in labels:
        job = each.get("job", each.get("service_name", otherwise))
        found[job if job in OPERATIONS else COLLECTOR] += 1
    return found


def _ask(played: Played, question: Question, query: str, at: float) -> list[Mapping[str, str]]:
    """Return the labels of every series, trace or line that has data."""
    if question.entry.language == "traceql":
        found = played.stage.tempo.search(query, played.began_at)
        return [{} for _ in found]
    if question.entry.language == "logql":
        return [line.labels for line in played.stage.loki.lines(query, played.began_at)]
    if question.entry.kind == "variable":
        return _label_values(played, query, at)
    url = f"{played.stage.prometheus.url}/api/v1/query"
    if question.is_over_time:
        answer = get(f"{url}_range", query=query, start=played.began_at, end=at, step=STEP_SECONDS)
    else:
        answer = get(url, query=query, time=at)
    return [each["metric"] for each in json.loads(answer)["data"]["result"] if _says_something(each)]


def _says_something(series: Mapping[str, Any]) -> bool:
    values = series["values"] if "values" in series else [series["value"]]
    return any(float(value) and not math.isnan(float(value)) for _, value in values)


def _label_values(played: Played, query: str, at: float) -> list[Mapping[str, str]]:
    """Return the choices of a variable; a service is a choice of itself."""
    inner = re.fullmatch(r"label_values\((.+), (\w+)\)", query)
    assert inner, query
    selector, label = inner.groups()
    window: defaultdict[str, object] = defaultdict(str, start=played.began_at, end=at)
    url = f"{played.stage.prometheus.url}/api/v1/label/{label}/values"
    answer = get(url, **{"match[]": selector, **window})
    return [{"job": value} if label in {"job", "service_name"} else {} for value in json.loads(answer)["data"]]
