"""Every series and label that a query names was really emitted by a program, a Collector or a rule."""

from __future__ import annotations

import json
import time
from collections import defaultdict

import pytest

from otel_progress import names
from tests.dashboards.test_files import series_and_labels
from tests.stack.programs import get

from .ask import questions
from .play import Played

NOT_HERE = {
    # A backend refuses for good what the Collector sends; spans and events find no room in its queue.
    *(f"otelcol_exporter_send_failed_{kind}" for kind in ("spans", "metric_points", "log_records")),
    *(f"otelcol_exporter_enqueue_failed_{kind}" for kind in ("spans", "log_records")),
}
"""Series that only a disaster brings."""


@pytest.fixture(scope="module")
def emitted(played: Played) -> dict[str, set[str]]:
    """All series there are, with their labels."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    window = {"start": played.began_at - 60, "end": time.time()}
    answer = get(f"{played.stage.prometheus.url}/api/v1/series", **{"match[]": '{__name__!=""}'}, **window)
    for each in json.loads(answer)["data"]:
        found[each["__name__"]] |= each.keys()
    return dict(found)


def test_every_series_that_a_query_names_was_emitted(emitted: dict[str, set[str]]) -> None:
    """Apart from those of a disaster."""
    named = {
        name for each in questions() if each.entry.language == "promql" for name in series_and_labels(each.entry)[0]
    }
    assert named - {""} - set(emitted) == NOT_HERE


def test_every_label_that_a_query_names_was_emitted(emitted: dict[str, set[str]]) -> None:
    """On at least one of the series that the query is about."""
    for each in questions():
        if each.entry.language == "promql":
            series, labels = series_and_labels(each.entry)
            there = set().union(*(emitted.get(name, set()) for name in series))
            assert not series & set(emitted) or labels - {"le"} <= there, each.key


def test_every_metric_that_is_declared_was_emitted(emitted: dict[str, set[str]]) -> None:
    """Under its Prometheus name, with its attributes as labels."""
    for metric in names.METRICS:
        series = f"{metric.prometheus}_count" if metric.kind == "histogram" else metric.prometheus
        assert {each.replace(".", "_") for each in metric.attributes} <= emitted[series], metric.name


def test_nothing_was_emitted_that_is_not_declared(emitted: dict[str, set[str]]) -> None:
    """Of ours: whose names begin with `progress_`, and their labels that do."""
    parts = ("", "_bucket", "_sum", "_count")
    declared = {f"{metric.prometheus}{part}" for metric in names.METRICS for part in parts}
    mine = {name for name in emitted if name.startswith("progress_")}
    assert mine <= declared
    labels = {label for name in mine for label in emitted[name] if label.startswith("progress_")}
    assert labels <= {attribute.label for attribute in names.ATTRIBUTES}
