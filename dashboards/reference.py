"""The reference for people: every alert, panel and recorded series in three tables."""

from __future__ import annotations

from typing import Any

from dashboards import config
from dashboards.alerts import ALERTS
from dashboards.boards import BOARDS
from dashboards.catalogue import panels
from dashboards.rules import GROUPS


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _plain(text: str) -> str:
    """Return a summary with names where the alert has templates."""
    return text.format_map(_LABELS)


_LABELS = {
    "place": "LEVEL of OPERATION (SERVICE)",
    "operation": "OPERATION",
    "job": "SERVICE",
    "exporter": "EXPORTER",
    "reason": "REASON",
}


def _brief(panel: dict[str, Any]) -> tuple[str, str]:
    shown, red = panel["description"].split("\n\n**When it is red:** ")
    return shown, red


def reference() -> str:
    """Return the page."""
    lines = [
        "# Dashboards, alerts and recorded series",
        "",
        "Made by `make dashboards`; do not edit. How to load them: [docs/dashboards.md](../../docs/dashboards.md).",
        "",
        "## Alerts",
        "",
        "| alert | severity | after | says | runbook |",
        "| --- | --- | --- | --- | --- |",
        *(
            f"| `{alert.name}` | {alert.severity} | {alert.lasting} | {_cell(_plain(alert.summary))} "
            f"| [what to do](../../docs/runbooks/{alert.name}.md) |"
            for alert in ALERTS
        ),
        "",
    ]
    for board in BOARDS:
        lines += [f"## {board.title}", "", "| panel | shows | when it is red |", "| --- | --- | --- |"]
        for panel in panels(board.content()):
            shown, red = _brief(panel)
            lines.append(f"| {_cell(panel['title'])} | {_cell(shown)} | {_cell(red)} |")
        lines.append("")
    lines += ["## Recorded series", "", "| series | every | is |", "| --- | --- | --- |"]
    for group in GROUPS:
        for rule in group.rules:
            labels = "".join(f' `{name}="{value}"`' for name, value in rule.labels)
            lines.append(f"| `{rule.name}`{labels} | {group.interval} | {_cell(rule.brief)} |")
    silent, memory = config.DEAD_AFTER_SECONDS, config.MEMORY
    dead = f"A process counts as dead after {silent} s of silence, for {memory} or until a later start."
    return "\n".join([*lines, "", dead, ""])
