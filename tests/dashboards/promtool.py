"""Rule tests: series as they would be pushed, and what the real promtool says of our rule files at a time."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from dashboards.build import GENERATED
from tests.stack.programs import run, tool

RULES: Final = GENERATED / "prometheus"
STEP_SECONDS: Final = 30
"""Time between samples, and between evaluations."""
GROUPS: Final = (
    "progress-state",
    "progress-totals",
    "progress-fleet-gauges",
    "progress-fleet-totals",
    "progress-fleet-buckets",
    "progress-alerts",
)


def seconds(text: str) -> int:
    """Return the seconds of a time such as ``1d2h3m30s``."""
    total, number = 0, ""
    for character in text:
        if character.isdigit():
            number += character
        else:
            total += int(number) * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[character]
            number = ""
    return total


@dataclass
class Scene:
    """Series that begin and end at given times; times are counted from the beginning of the scene."""

    step: int = STEP_SECONDS
    series: list[dict[str, str]] = field(default_factory=list)
    alerts: list[dict[str, Any]] = field(default_factory=list)
    queries: list[dict[str, Any]] = field(default_factory=list)

    def add(self, selector: str, start: str, end: str, first: float, per_step: float = 0.0, *then: str) -> Scene:
        """
        Add a series with samples from start to end, both included.

        ``then`` are further pieces in promtool's notation.
        """
        begin, count = seconds(start) // self.step, (seconds(end) - seconds(start)) // self.step
        pieces = [f"_x{begin}"] if begin else []
        pieces.append(f"{first:g}{per_step:+g}x{count}")
        self.series.append({"series": selector, "values": " ".join([*pieces, *then])})
        return self

    def clock(self, selector: str, start: str, end: str, behind: float = 0.0) -> Scene:
        """Add a series whose value is the time of its sample."""
        return self.add(selector, start, end, seconds(start) - behind, self.step)

    def run(
        self, process: str, start: str, end: str, *, level: str = "", unheard: tuple[str, str] | None = None
    ) -> Scene:
        """
        Add a process that runs from start to end, and is killed there: its last words are that it runs.

        ``level`` is a level instead of the operation itself. Between the two times of ``unheard`` nothing arrives.
        """
        labels = f'job="etl",instance="{process}",progress_operation="nightly"'
        labels += f',progress_level="{level}"' if level else ""
        first, again = (seconds(each) for each in unheard or (end, end))
        for series, value, grows in (
            (f'progress_level_active{{{labels},progress_state="running"}}', 1, 0),
            (f"progress_level_heartbeat_timestamp_seconds{{{labels}}}", seconds(start), self.step),
            (f"progress_level_elapsed_seconds{{{labels}}}", 0, self.step),
        ):
            later: tuple[str, ...] = ()
            if unheard:
                resumed = value + (again - seconds(start)) // self.step * grows
                gap, rest = (again - first) // self.step - 1, (seconds(end) - again) // self.step
                later = (f"_x{gap}", f"{resumed}+{grows}x{rest}")
            self.add(series, start, f"{first}s", value, grows, *later)
        return self

    def finished_run(self, process: str, start: str, end: str, outcome: str = "completed", told: str = "") -> Scene:
        """Add a process that runs from start to end, says so, and with ``told`` lives on until then."""
        labels = f'job="etl",instance="{process}",progress_operation="nightly"'
        count = (seconds(end) - seconds(start)) // self.step
        begin = f"_x{seconds(start) // self.step} " if seconds(start) else ""
        silent = f"_x{seconds(end) // self.step}"
        more = (seconds(told) - seconds(end)) // self.step if told else 0
        if count:
            self.clock(f"progress_level_heartbeat_timestamp_seconds{{{labels}}}", start, end)
            self.add(f"progress_level_elapsed_seconds{{{labels}}}", start, end, 0, self.step)
        alive = f"1x{count - 1} " if count else ""
        name = f'progress_level_active{{{labels},progress_state="running"}}'
        self.series.append({"series": name, "values": f"{begin}{alive}0x{more}"})
        lasted = max(seconds(end) - seconds(start), 2)
        for part, value in (("count", 1), ("sum", lasted)):
            name = f'progress_level_duration_seconds_{part}{{{labels},progress_outcome="{outcome}"}}'
            self.series.append({"series": name, "values": f"{silent} {value}x{more}"})
        return self

    def expect(self, alert: str, at: str, *found: tuple[dict[str, str], dict[str, str]]) -> Scene:
        """Expect these alerts, as (labels, annotations), and no other of the name, to fire at a time."""
        expected = [{"exp_labels": labels, "exp_annotations": annotations} for labels, annotations in found]
        self.alerts.append({"eval_time": at, "alertname": alert, "exp_alerts": expected})
        return self

    def value(self, query: str, at: str, *found: tuple[str, float]) -> Scene:
        """Expect a query to have these series, as (labels, value), at a time."""
        expected = [{"labels": labels, "value": value} for labels, value in found]
        self.queries.append({"expr": query, "eval_time": at, "exp_samples": expected})
        return self

    def check(self, folder: Path) -> None:
        """Have promtool check what is expected."""
        test = {
            "rule_files": [str(path) for path in sorted(RULES.glob("*.yaml"))],
            "evaluation_interval": f"{self.step}s",
            "group_eval_order": list(GROUPS),
            "tests": [
                {
                    "interval": f"{self.step}s",
                    "input_series": self.series,
                    "alert_rule_test": self.alerts,
                    "promql_expr_test": self.queries,
                }
            ],
        }
        path = folder / "test.yaml"
        path.write_text(json.dumps(test), encoding="utf-8")  # JSON is YAML
        done = run(tool("promtool"), "test", "rules", path, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def urls(alert: str, dashboard: str, **variables: str) -> dict[str, str]:
    """Return the two links of an alert."""
    chosen = "".join(f"&var-{name}={value}" for name, value in variables.items())
    return {
        "dashboard_url": f"http://127.0.0.1:3000/d/{dashboard}?from=now-3h&to=now{chosen}",
        "runbook_url": f"https://github.com/otel-progress/otel-progress/blob/main/docs/runbooks/{alert}.md",
    }
