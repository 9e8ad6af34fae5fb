"""The two ways into Prometheus, pushed over OTLP and scraped from a job's own endpoint, tell the same story."""

from __future__ import annotations

import json
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from otel_progress import names

from .job import LIVELY, job
from .programs import get
from .prometheus import Picture
from .rig import Stack

SERVICE = "every-metric"
TARGET = "every-metric-scraped"
EXPECTED = {
    name
    for metric in names.METRICS
    for name in (
        [f"{metric.prometheus}_{part}" for part in ("bucket", "count", "sum")]
        if metric.kind == "histogram"
        else [metric.prometheus]
    )
}
"""What `names.py`, and so every rule and dashboard, believes."""


def of_our_rule(picture: Picture) -> Picture:
    """Leave out deviations that the standing still itself may bring between the two looks; the job's own rule stays."""
    return {
        (name, labels): value
        for (name, labels), value in picture.items()
        if dict(labels).get("progress_deviation_kind", "custom") == "custom"
    }


@dataclass
class Both:
    """What both paths showed while the job stood still, and the job's endpoint before and after the level's end."""

    pushed: Picture
    scraped: Picture
    page: str
    page_after: str


@pytest.fixture(scope="module")
def both(stack: Stack) -> Both:
    """Run the job, have Prometheus scrape it too, and look."""
    target_file = stack.prometheus.targets / "every-metric.json"
    with job(stack, "every_metric.py", SERVICE, **LIVELY) as running:
        paused = running.until("everything is there")
        labels = {"instance": TARGET, "__scrape_interval__": "1s", "__scrape_timeout__": "1s"}
        target_file.write_text(json.dumps([{"targets": [urlsplit(paused["url"]).netloc], "labels": labels}]))
        try:
            scraped = stack.prometheus.picture(TARGET, paused["at"], label="instance")
            pushed = stack.prometheus.picture(SERVICE, paused["at"])
        finally:
            target_file.unlink()
        page = get(paused["url"])
        running.go()
        running.until("the step has ended")
        page_after = get(paused["url"])
        running.go()
        running.finish()
    return Both(of_our_rule(pushed), of_our_rule(scraped), page, page_after)


@pytest.mark.parametrize("path", ["pushed", "scraped"])
def test_every_metric_has_the_name_that_names_py_says(both: Both, path: str) -> None:
    """All of them, and nothing else."""
    picture: Picture = getattr(both, path)
    assert {name for name, _ in picture} == EXPECTED


def test_both_paths_have_the_same_series_with_the_same_labels(both: Both) -> None:
    """Whatever a dashboard selects by, it selects on both; `le` is no label of ours."""
    assert both.pushed.keys() == both.scraped.keys()


def test_both_paths_have_the_same_counts(both: Both) -> None:
    """What does not move while the job stands still is equal."""
    parts = ("_total", "_count", "_done", "_limit", "_fraction", "_quality")
    pushed = {key: value for key, value in both.pushed.items() if key[0].endswith(parts)}
    assert len(pushed) > len(parts)
    assert pushed == {key: both.scraped[key] for key in pushed}


def test_the_endpoint_drops_live_series_as_soon_as_a_level_ends(both: Both) -> None:
    """The next scrape has nothing of the step's but what stays: its counts, its durations and `active` at 0."""

    def series_of_step(page: str) -> set[str]:
        return {line.split("{")[0] for line in page.splitlines() if 'progress_level="step"' in line}

    live = {metric.prometheus for metric in names.METRICS if metric.kind == "observable gauge"}
    live.remove(names.DEVIATION.prometheus)  # it goes to 0 and stays, as `active` does
    assert len(series_of_step(both.page) & live) > 5
    assert series_of_step(both.page_after) & live == set()
    assert names.ACTIVE.prometheus in series_of_step(both.page_after)
