"""Prometheus, started with the repository's file, and asked what it knows."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from otel_progress import names
from otel_progress.names import Metric

from .programs import CONFIGS, REPOSITORY, Program, get, tool, wait_for

SETTLE_SECONDS: Final = 1.5
"""Time for a lively job to sample (once a second at least) and export (every half second) what just happened."""
COLLECTOR_TELEMETRY: Final = "127.0.0.1:8888"
"""What `collector-target.yaml` says, and what is replaced: Prometheus reads no environment variables."""
RULES: Final = Path("dashboards/generated/prometheus")

Key = tuple[str, frozenset[tuple[str, str]]]
"""Name of a series with its labels about progress; those of the process are left out."""
Picture = dict[Key, float]
"""What one process reported at one moment."""


def key(labels: Mapping[str, str], name: str | None = None) -> Key:
    """Return the key of a series."""
    ours = {label: value for label, value in labels.items() if label.startswith("progress_")}
    return name or labels["__name__"], frozenset(ours.items())


def series(metric: Metric | str, operation: str, level: str | None = None, **labels: str) -> Key:
    """Return the key of a series of a level, or of the operation itself."""
    name = metric if isinstance(metric, str) else metric.prometheus
    ours = {"progress_operation": operation, **({} if level is None else {"progress_level": level}), **labels}
    return key(ours, name)


def items(operation: str, level: str, outcome: str) -> Key:
    """Return the key of the items of a level with an outcome."""
    return series(names.ITEMS, operation, level, progress_item_outcome=outcome)


def durations(operation: str, level: str | None, outcome: str, part: str = "count") -> Key:
    """Return the key of the number of levels that ended with an outcome, or with ``part="sum"`` of their seconds."""
    return series(f"{names.LEVEL_DURATION.prometheus}_{part}", operation, level, progress_outcome=outcome)


@dataclass(frozen=True)
class Series:
    """One series of a PromQL answer."""

    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True)
class Samples:
    """The raw samples of one series: (unix time, value), oldest first."""

    labels: Mapping[str, str]
    values: tuple[tuple[float, float], ...]

    @property
    def key(self) -> Key:
        """What identifies the series, whichever process it is of."""
        return key(self.labels)


class Prometheus(Program):
    """A running Prometheus, with the repository's rules; its files lie as they do in the repository."""

    def __init__(self, folder: Path, port: int, collector_telemetry_port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        files = folder / "prometheus"
        shutil.copytree(REPOSITORY / RULES, files / RULES)
        configs = files / CONFIGS.name
        self.targets = configs / "targets"
        """Jobs to scrape, one file each."""
        self.targets.mkdir(parents=True)
        mine = configs / "prometheus.yaml"
        shutil.copy(CONFIGS / mine.name, mine)
        target = (CONFIGS / "collector-target.yaml").read_text()
        assert COLLECTOR_TELEMETRY in target
        (configs / "collector-target.yaml").write_text(
            target.replace(COLLECTOR_TELEMETRY, f"127.0.0.1:{collector_telemetry_port}")
        )
        command: list[str | Path] = [
            tool("prometheus"),
            f"--config.file={mine}",
            f"--storage.tsdb.path={folder / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--web.enable-otlp-receiver",
            "--enable-feature=exemplar-storage",
        ]
        super().__init__(command, {}, folder / "prometheus.log", f"{self.url}/-/ready")

    def promql(self, query: str, at: float | None = None) -> list[Series]:
        """Return the instant vector of a query, now or at a unix time."""
        answer = get(f"{self.url}/api/v1/query", query=query, time=time.time() if at is None else at)
        return [Series(each["metric"], float(each["value"][1])) for each in json.loads(answer)["data"]["result"]]

    def value(self, query: str, at: float | None = None) -> float | None:
        """Return the value of a query that has one series, or ``None`` where it has none."""
        found = self.promql(query, at)
        assert len(found) <= 1, f"{query} has {len(found)} series: {found}"
        return found[0].value if found else None

    def samples(self, selector: str, seconds: float = 3600.0) -> list[Samples]:
        """Return the raw samples of each series of a selector, as far back as ``seconds``."""
        answer = get(f"{self.url}/api/v1/query", query=f"{selector}[{seconds:g}s]", time=time.time())
        return [
            Samples(each["metric"], tuple((float(at), float(value)) for at, value in each["values"]))
            for each in json.loads(answer)["data"]["result"]
        ]

    def picture(self, service: str, since: float, label: str = "service_name") -> Picture:
        """
        Return what a lively job reports after it had time to notice everything that happened before ``since``.

        The job is found by its service name, or by the value of another label.
        Only samples newer than that: a plain query also shows, for five minutes, what is no longer reported.
        """
        settled = since + SETTLE_SECONDS

        def look() -> Picture | None:
            found = self.samples(f'{{__name__=~"progress_.+",{label}="{service}"}}')
            return {each.key: each.values[-1][1] for each in found if each.values[-1][0] >= settled}

        return wait_for(look, what=f"a sample of {service} newer than {settled}")

    def totals(self, service: str, since: float) -> Picture:
        """Return what the totals expression makes of every counter of a service, from then to now, without zeros."""
        at = time.time()
        window = f"{(at - since) * 1000:.0f}ms"
        found: Picture = {}
        for metric in names.METRICS:
            if metric.kind not in {"histogram", "observable counter"}:
                continue
            name = f"{metric.prometheus}_count" if metric.kind == "histogram" else metric.prometheus
            x = f'{name}{{service_name="{service}"}}'
            now, before = f"last_over_time({x}[{window}])", f"last_over_time({x}[{window}] offset {window})"
            answer = self.promql(f"{now} - ({before} or {now} * 0)", at)
            found |= {key(each.labels, name): each.value for each in answer if each.value}
        return found

    def metric_names(self, matcher: str) -> set[str]:
        """Return the names of all series that a matcher selects."""
        answer = get(f"{self.url}/api/v1/label/__name__/values", **{"match[]": matcher})
        return set(json.loads(answer)["data"])

    def exemplars(self, selector: str, seconds: float = 3600.0) -> list[Mapping[str, str]]:
        """Return the labels of the exemplars of a selector's series."""
        now = time.time()
        answer = get(f"{self.url}/api/v1/query_exemplars", query=selector, start=now - seconds, end=now)
        return [exemplar["labels"] for each in json.loads(answer)["data"] for exemplar in each["exemplars"]]
