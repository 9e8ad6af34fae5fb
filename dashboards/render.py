"""Rules as files: for Prometheus, and for Grafana in both shapes it takes."""

from __future__ import annotations

import hashlib
import json
from typing import Final

import promql_parser
import yaml

from dashboards import config
from dashboards.alerts import ALERTS, Alert
from dashboards.promql import JOB, LEVEL, OPERATION
from dashboards.rules import GROUPS, Recording

HEADER: Final = "# Made by `make dashboards`; do not edit. What it says is written in dashboards/*.py.\n"
ALERT_GROUP: Final = "progress-alerts"


class _Dumper(yaml.SafeDumper):
    """Plain YAML, with texts of several lines as blocks."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def to_yaml(content: object) -> str:
    """Return YAML that people can read."""
    return HEADER + yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True)


def _pretty(expression: str) -> str:
    return promql_parser.parse(expression).prettify()


# --- texts ------------------------------------------------------------------------------------------------------------


def _fill(text: str, alert: Alert, value: str) -> str:
    """Put templates in the place of names in braces."""
    short = {each.removeprefix("progress_"): each for each in alert.labels}
    fields = {name: f"{{{{ $labels.{name_in_full} }}}}" for name, name_in_full in short.items()}
    if LEVEL in alert.labels:  # the series of the operation itself have none
        level = f"{{{{ if $labels.{LEVEL} }}}}Level {fields['level']} of {{{{ end }}}}"
        fields["place"] = f"{level}{fields['operation']} ({fields['job']})"
    return text.format(value=value, **fields)


def runbook(alert: Alert) -> str:
    """Return the address of an alert's runbook."""
    return f"{config.RUNBOOKS_URL}/{alert.name}.md"


def dashboard(alert: Alert) -> str:
    """Return the path of an alert's dashboard, on the series it is about, around the time it fired."""
    variables = {JOB: "service", OPERATION: "operation", LEVEL: "level"}
    chosen = [
        f"var-{variables[each]}={{{{ $labels.{each} | urlquery }}}}"
        for each in alert.labels
        if each in variables and each != LEVEL and alert.dashboard != config.RELIABILITY_UID
    ]
    return f"/d/{alert.dashboard}?" + "&".join(["from=now-3h", "to=now", *chosen])


# --- Prometheus -------------------------------------------------------------------------------------------------------


def recording_rules() -> dict[str, object]:
    """Return the recording rules as a Prometheus rule file."""
    groups = []
    for group in GROUPS:
        head = {"name": group.name, "interval": group.interval}
        if group.query_offset:
            head["query_offset"] = group.query_offset
        groups.append({**head, "rules": [_recording(each) for each in group.rules]})
    return {"groups": groups}


def _recording(rule: Recording) -> dict[str, object]:
    written: dict[str, object] = {"record": rule.name, "expr": _pretty(rule.expression)}
    return {**written, "labels": dict(rule.labels)} if rule.labels else written


def alert_rules() -> dict[str, object]:
    """Return the alerts as a Prometheus rule file."""
    rules = [
        {
            "alert": alert.name,
            "expr": _pretty(alert.expression),
            **({} if alert.lasting == "0s" else {"for": alert.lasting}),
            "labels": {"severity": alert.severity},
            "annotations": {
                "summary": _fill(alert.summary, alert, ""),
                "description": _fill(alert.description, alert, f"{{{{ $value | {alert.shown_as} }}}}"),
                "dashboard_url": config.GRAFANA_URL + dashboard(alert),
                "runbook_url": runbook(alert),
            },
        }
        for alert in ALERTS
    ]
    return {"groups": [{"name": ALERT_GROUP, "interval": config.STATE_INTERVAL, "rules": rules}]}


# --- Grafana ----------------------------------------------------------------------------------------------------------


def _data(alert: Alert) -> list[dict[str, object]]:
    """Return the query, and the condition that holds for each series it returns: what is well returns none."""
    expression = {"type": "__expr__", "uid": "__expr__"}
    return [
        {
            "refId": "A",
            "relativeTimeRange": {"from": 600, "to": 0},
            "datasourceUid": config.PROMETHEUS_UID,
            "model": {"refId": "A", "expr": _pretty(alert.expression), "instant": True, "range": False},
        },
        {
            "refId": "B",
            "relativeTimeRange": {"from": 0, "to": 0},
            "datasourceUid": "__expr__",
            "model": {
                "refId": "B",
                "type": "threshold",
                "datasource": expression,
                "expression": "A",
                "conditions": [{"evaluator": {"type": "gt", "params": [-1]}}],
            },
        },
    ]


def _uid(alert: Alert) -> str:
    return f"progress-{hashlib.sha256(alert.name.encode()).hexdigest()[:12]}"


def _common(alert: Alert) -> dict[str, object]:
    return {
        "uid": _uid(alert),
        "title": alert.name,
        "condition": "B",
        "data": _data(alert),
        # No series is what is well; Grafana's defaults would send NoData for it.
        "noDataState": "OK",
        "execErrState": "Error",
        "for": alert.lasting,
        "labels": {"severity": alert.severity},
        "annotations": {
            "summary": _fill(alert.summary, alert, ""),
            "description": _fill(alert.description, alert, f"{{{{ $values.A.Value | {alert.shown_as} }}}}"),
            "dashboard_url": dashboard(alert),
            "runbook_url": runbook(alert),
        },
    }


def grafana_file() -> dict[str, object]:
    """Return the alerts as a file for Grafana's ``provisioning/alerting`` folder."""
    rules = [_common(alert) | {"missing_series_evals_to_resolve": 1} for alert in ALERTS]
    group = {
        "orgId": 1,
        "name": ALERT_GROUP,
        "folder": config.FOLDER,
        "interval": config.STATE_INTERVAL,
        "rules": rules,
    }
    return {"apiVersion": 1, "groups": [group]}


def grafana_api() -> dict[str, object]:
    """
    Return the alerts as the body of ``PUT /api/v1/provisioning/folder/FOLDER/rule-groups/GROUP``.

    ``folderUid`` is the uid of the folder they go to, which must exist.
    """
    folder = "progress"
    rules = [
        _common(alert) | {"folderUID": folder, "ruleGroup": ALERT_GROUP, "missingSeriesEvalsToResolve": 1}
        for alert in ALERTS
    ]
    seconds = int(config.STATE_INTERVAL.removesuffix("s"))
    return {"title": ALERT_GROUP, "folderUid": folder, "interval": seconds, "rules": rules}


def to_json(content: object) -> str:
    """Return JSON as it is committed."""
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
