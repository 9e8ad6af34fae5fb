"""Every query there is: of each panel, variable and annotation of each dashboard, and of each rule."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dashboards.alerts import ALERTS
from dashboards.boards import BOARDS
from dashboards.rules import GROUPS


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """
    One query and where it stands.

    ``kind`` is ``instant``, ``range``, ``variable`` or ``annotation`` for what a dashboard asks, ``recording`` or
    ``alert`` for a rule. ``language`` is ``promql``, ``logql`` or ``traceql``; a variable's query is
    ``label_values(...)``. ``series`` is the name of what comes back: of a column, a line, a recorded condition.
    """

    where: str
    title: str
    kind: str
    query: str
    language: str = "promql"
    series: str = ""


_LANGUAGES = {"prometheus": "promql", "loki": "logql", "tempo": "traceql"}


def entries() -> Iterator[Entry]:
    """Return all of them, dashboards first, in the order they are shown."""
    for board in BOARDS:
        yield from _of_dashboard(board.uid, board.content())
    for group in GROUPS:
        for rule in group.rules:
            labels = ", ".join(value for _, value in rule.labels)
            yield Entry(where=group.name, title=rule.name, kind="recording", query=rule.expression, series=labels)
    for alert in ALERTS:
        yield Entry(where="progress-alerts", title=alert.name, kind="alert", query=alert.expression)


def panels(content: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Return the panels of a dashboard, those of closed rows included, without the rows."""
    for panel in content["panels"]:
        if panel["type"] != "row":
            yield panel
        yield from panel.get("panels") or ()


def _of_dashboard(uid: str, content: dict[str, Any]) -> Iterator[Entry]:
    for variable in content["templating"]["list"]:
        if variable["type"] == "query":
            yield Entry(where=uid, title=variable["name"], kind="variable", query=variable["query"])
    for annotation in content["annotations"].get("list", []):
        if annotation.get("expr"):
            yield Entry(where=uid, title=annotation["name"], kind="annotation", query=annotation["expr"])
    for panel in panels(content):
        language = _LANGUAGES[panel["datasource"]["type"]]
        for target in panel["targets"]:
            kind = "range" if target.get("range") else "instant"
            query = target.get("expr") or target["query"]
            name = target.get("legendFormat", "")
            yield Entry(where=uid, title=panel["title"], kind=kind, query=query, language=language, series=name)
