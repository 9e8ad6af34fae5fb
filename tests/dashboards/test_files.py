"""The generated files: up to date, complete, and about telemetry that `names.py` declares."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from dashboards import board, build, config
from dashboards.alerts import ALERTS, Alert
from dashboards.boards import BOARDS
from dashboards.catalogue import Entry, entries, panels
from dashboards.rules import GROUPS
from otel_progress import names
from tests.dashboards.promtool import RULES
from tests.stack.programs import run, tool

REPOSITORY = Path(__file__).resolve().parents[2]
RUNBOOKS = REPOSITORY / "docs" / "runbooks"
ENTRIES = list(entries())
PROMQL = [each for each in ENTRIES if each.language == "promql"]
PLACES = sorted({(each.where, each.title) for each in PROMQL})
COLLECTOR = re.compile(r"otelcol_(exporter|receiver)_\w+|up")
"""Series of the Collector and of Prometheus itself; the scenario on real backends shows that they are there."""
OTHERS = {"ALERTS", "target_info"}
OTHER_LABELS = {
    *("job", "instance", "le", "__name__"),
    *("exporter", "data_type", "alertname", "alertstate", "severity", "condition"),
    *("host_name", "service_name", "service_version", "telemetry_sdk_version"),
}
"""Labels that Prometheus, the Collector, our rules and the resource bring."""


def declared() -> set[str]:
    """Names of the series that there can be."""
    found: set[str] = set()
    histograms: set[str] = set()
    for metric in names.METRICS:
        (histograms if metric.kind == "histogram" else found).add(metric.prometheus)
    parts = {f"{name}_{part}" for name in histograms for part in ("bucket", "sum", "count")}
    return found | parts | {rule.name for group in GROUPS for rule in group.rules}


def parsed(query: str) -> promql_parser.Expr:
    """The query, parsed, with durations and values in the place of Grafana's variables."""
    query = re.sub(r"\$__(rate_interval|interval|range)\b", "5m", query)
    return promql_parser.parse(re.sub(r"\$\w+", "x", query))


def selectors(query: str) -> list[Any]:
    """The vector selectors of a query."""
    found: list[Any] = []

    def visit(node: object) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)
        elif isinstance(node, promql_parser.MatrixSelector):
            found.append(node.vector_selector)

    promql_parser.walk(parsed(query), visit)
    return found


def series_and_labels(entry: Entry) -> tuple[set[str], set[str]]:
    """Names and labels that an entry's query speaks of."""
    query = entry.query
    labels: set[str] = set()
    if entry.kind == "variable":
        inner = re.fullmatch(r"label_values\((.+), (\w+)\)", query)
        assert inner, query
        query, label = inner.groups()
        labels.add(label)
    found = selectors(query)
    labels |= {matcher.name for selector in found for matcher in selector.matchers.matchers}
    for words in re.findall(r"\b(?:by|on|group_left|group_right|without|ignoring) \(([\w, ]*)\)", query):
        labels |= {word.strip() for word in words.split(",") if word.strip()}
    return {selector.name for selector in found}, labels - {""}


def assert_declared(entry: Entry) -> None:
    """Every name in the query is one that somebody emits."""
    series, labels = series_and_labels(entry)
    assert {name for name in series if not COLLECTOR.fullmatch(name)} <= declared() | OTHERS, entry.query
    assert labels <= {each.label for each in names.ATTRIBUTES} | OTHER_LABELS, entry.query
    assert series or entry.query == "vector(1)"


def test_generated_files_are_up_to_date() -> None:
    """`make dashboards` renews them."""
    assert build.differences() == []


def test_the_check_sees_what_is_missing_changed_and_strange(tmp_path: Path) -> None:
    """One file of each kind."""
    build.write(tmp_path)
    assert build.differences(tmp_path) == []
    names_of = sorted(build.outputs())
    (tmp_path / names_of[0]).unlink()
    (tmp_path / names_of[1]).write_text("{}", encoding="utf-8")
    (tmp_path / "stray.json").write_text("{}", encoding="utf-8")
    assert build.differences(tmp_path) == [
        f"{names_of[0]} is missing",
        "stray.json does not belong here",
        f"{names_of[1]} is out of date",
    ]
    build.write(tmp_path)
    assert build.differences(tmp_path) == []


@pytest.mark.parametrize("place", PLACES, ids=": ".join)
def test_queries_use_series_and_labels_that_are_declared(place: tuple[str, str]) -> None:
    """A name that nobody emits makes a panel that is empty for ever."""
    for entry in PROMQL:
        if (entry.where, entry.title) == place:
            assert_declared(entry)


def test_the_search_for_names_can_find_one() -> None:
    """The search itself: in functions, ranges, offsets, matchers and groupings."""
    query = (
        'sum by (a) (rate(x_total{b="1"}[$__rate_interval])) / on (c) group_left (d) '
        'last_over_time(y{e=~"$v"}[1d] offset $__range)'
    )
    found = series_and_labels(Entry(where="", title="", kind="range", query=query))
    assert found == ({"x_total", "y"}, {"a", "b", "c", "d", "e"})


@pytest.mark.parametrize("made", BOARDS, ids=lambda made: made.uid)
def test_dashboards_are_what_grafana_takes(made: board.Board) -> None:
    """Schema version 42, one uid, numbered panels, variables before they are used, nothing outside the grid."""
    content = made.content()
    assert (content["schemaVersion"], content["uid"], content["title"]) == (42, made.uid, made.title)
    ids = Counter(panel["id"] for panel in panels(content))
    assert set(ids.values()) == {1}
    known: list[str] = []
    for variable in content["templating"]["list"]:
        used = re.findall(
            r"\$\{?(\w+)", json.dumps(variable.get("query", "")) + json.dumps(variable.get("datasource", ""))
        )
        assert set(used) <= set(known), variable["name"]
        known.append(variable["name"])
    everywhere = set(re.findall(r"\$\{?(\w+)", json.dumps(content["panels"])))
    assert {name for name in everywhere if not name.startswith("__")} <= set(known)
    for panel in content["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= board.COLUMNS, panel["title"]


@pytest.mark.parametrize("made", BOARDS, ids=lambda made: made.uid)
def test_every_panel_asks_a_question_has_a_unit_and_says_what_to_do(made: board.Board) -> None:
    """And queries a data source that people choose."""
    titles = Counter(panel["title"] for panel in panels(made.content()))
    assert [title for title, count in titles.items() if count > 1] == []
    for panel in panels(made.content()):
        assert panel["title"].endswith("?"), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert "**When it is red:** " in panel["description"], panel["title"]
        assert panel["datasource"]["uid"] in {"${datasource}", "${loki}", "${tempo}"}
        assert panel["targets"], panel["title"]


@pytest.mark.parametrize("made", BOARDS, ids=lambda made: made.uid)
def test_panels_avoid_what_makes_grafana_show_something_else(made: board.Board) -> None:
    """Thresholds are set (or 80 is red), legends are shown, names of series are written."""
    for panel in panels(made.content()):
        if panel["type"] == "logs" or panel["datasource"]["type"] == "tempo":
            continue
        assert panel["fieldConfig"]["defaults"]["thresholds"]["steps"], panel["title"]
        if panel["type"] in {"timeseries", "state-timeline"}:
            assert panel["options"]["legend"]["showLegend"] is True, panel["title"]
            assert all("legendFormat" in target for target in panel["targets"]), panel["title"]
        for override in panel["fieldConfig"].get("overrides", []):
            for each in override["properties"]:
                if each["id"] == "custom.fillBelowTo":
                    assert each["value"] in {target["legendFormat"] for target in panel["targets"]}


def literal_names(source: str) -> list[tuple[int, str]]:
    """Strings, other than docstrings, in which a declared series or label stands as a word of its own."""
    tree = ast.parse(source)
    documents = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    labels = {each.label for each in names.ATTRIBUTES if each.label.startswith("progress_")}
    words = labels | {metric.prometheus for metric in names.METRICS} | {each.name for each in names.ATTRIBUTES}
    word = re.compile(rf"(?<![\w:./])({'|'.join(sorted(map(re.escape, words), key=len, reverse=True))})(?![\w:.-])")
    return [
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documents
        if word.search(node.value)
    ]


@pytest.mark.parametrize("path", sorted((REPOSITORY / "dashboards").glob("*.py")), ids=lambda path: path.name)
def test_telemetry_names_come_from_names_py(path: Path) -> None:
    """A name written here would not follow when it changes."""
    assert literal_names(path.read_text(encoding="utf-8")) == []


def test_the_search_for_literal_names_can_find_one() -> None:
    """The search itself: matchers and whole series, not recorded ones, docstrings and prose."""
    source = '''
"""Of progress_level."""
a = 'x{progress_level=""}'
b = "progress_items_total"
c = "job_operation:progress_level_active:sum"
d = "progress"
'''
    assert literal_names(source) == [(3, 'x{progress_level=""}'), (4, "progress_items_total")]


def test_the_documented_configuration_loads_the_rules(tmp_path: Path) -> None:
    """The block of docs/dashboards.md, in a file at the top of the repository."""
    text = (REPOSITORY / "docs" / "dashboards.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    config_file = tmp_path / "prometheus.yaml"
    config_file.write_text(block.replace("dashboards/", f"{REPOSITORY}/dashboards/"), encoding="utf-8")
    assert "2 rule files found" in run(tool("promtool"), "check", "config", config_file).stdout


def test_no_total_is_made_by_increase_or_rate_of_what_may_have_one_sample() -> None:
    """`increase()` finds nothing in a run of two seconds; `rate()` is for what goes on, and never counts."""
    assert [each.title for each in PROMQL if "increase(" in each.query] == []
    for each in PROMQL:
        if each.kind in {"recording", "alert", "instant"}:
            assert "rate(" not in each.query, each.title


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_every_alert_has_a_runbook_that_helps(alert: Alert) -> None:
    """What it means, what to look at first, what is usually behind it, what to do, and when it is wrong."""
    text = (RUNBOOKS / f"{alert.name}.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {alert.name}\n")
    for heading in ("What it means", "Look first", "Usual causes", "What to do", "When it is wrong"):
        assert f"\n## {heading}\n" in text, heading
    assert "```promql\n" in text


def test_every_runbook_has_its_alert() -> None:
    """None is left behind when an alert goes."""
    assert {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"} == {alert.name for alert in ALERTS}


def test_runbook_queries_use_what_is_declared() -> None:
    """The same names as everything else."""
    for path in RUNBOOKS.glob("*.md"):
        for block in re.findall(r"^```promql\n(.*?)^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
            for query in block.strip().splitlines():
                assert_declared(Entry(where=path.stem, title="", kind="instant", query=query))


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_alerts_are_written_for_people(alert: Alert) -> None:
    """A severity of the two there are, a summary without numbers, a description with the value."""
    assert alert.severity in {config.PAGE, config.TICKET}
    assert not re.search(r"\d|\{value\}", alert.summary)
    assert "{value}" in alert.description
    assert alert.dashboard in {made.uid for made in BOARDS}


def test_both_shapes_of_grafana_have_every_alert() -> None:
    """The file has the keys of files, the body for the API those of the API."""
    from_file = yaml.safe_load((build.GENERATED / "grafana/alert_rules.yaml").read_text(encoding="utf-8"))
    (group,) = from_file["groups"]
    assert (from_file["apiVersion"], group["folder"], group["interval"]) == (1, config.FOLDER, "30s")
    body = json.loads((build.GENERATED / "grafana/alert_rules.api.json").read_text(encoding="utf-8"))
    assert (body["title"], body["interval"]) == (group["name"], 30)
    wanted = [alert.name for alert in ALERTS]
    for rules, mine, others in (
        (group["rules"], "missing_series_evals_to_resolve", "missingSeriesEvalsToResolve"),
        (body["rules"], "missingSeriesEvalsToResolve", "missing_series_evals_to_resolve"),
    ):
        assert [rule["title"] for rule in rules] == wanted
        assert len({rule["uid"] for rule in rules}) == len(wanted)
        for rule in rules:
            assert rule[mine] == 1
            assert others not in rule
            assert (rule["noDataState"], rule["execErrState"], rule["condition"]) == ("OK", "Error", "B")
            assert [part["refId"] for part in rule["data"]] == ["A", "B"]
            assert "$value " not in json.dumps(rule["annotations"])
            assert rule["labels"]["severity"] in {config.PAGE, config.TICKET}


def test_promtool_takes_every_query_of_every_panel(tmp_path: Path) -> None:
    """As rules of a file, with values in the place of Grafana's variables."""
    rules = [
        {"record": f"panel:{number}", "expr": re.sub(r"\$__(rate_interval|interval|range)\b", "5m", entry.query)}
        for number, entry in enumerate(PROMQL)
        if entry.kind != "variable"
    ]
    path = tmp_path / "panels.yaml"
    path.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}), encoding="utf-8")
    assert f"SUCCESS: {len(rules)} rules found" in run(tool("promtool"), "check", "rules", path).stdout


def test_promtool_takes_the_rules() -> None:
    """The real one, with its lint."""
    done = run(tool("promtool"), "check", "rules", *sorted(RULES.glob("*.yaml")))
    count = len(ALERTS) + sum(len(group.rules) for group in GROUPS)
    found = [int(number) for number in re.findall(r"SUCCESS: (\d+) rules found", done.stdout)]
    assert sum(found) == count
