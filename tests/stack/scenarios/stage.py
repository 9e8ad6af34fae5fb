"""
The stack that the scenarios play on: what `rig.py` starts, with the rules of this repository and a second Collector.

`shortened.py` says which times are shorter than users have them. The second Collector has backends that do not answer,
and room for 64 KiB; it is killed for a Collector that is down.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from dashboards import rules
from tests.stack.programs import Program, free_ports, run, tool
from tests.stack.rig import Collector, Stack

from . import shortened

REPORT: Final = f"{10_000 // shortened.FACTOR}ms"
"""How often jobs report, and Prometheus scrapes."""
NOBODY_URL: Final = "http://127.0.0.1:9"
"""Where nobody listens: a port that is none of those that programs are given."""
DAY, WEEK = 86_400, 7 * 86_400

MISSED: Final = {"job": "missing", "progress_operation": "nightly"}
"""What ran at this time in each of the last weeks, and does not today."""
USUAL: Final = {"job": "slow", "progress_operation": "transcode", "progress_level": "frames"}
USUAL_RATE: Final = 10.0
"""What the slow job did a second in the days before."""
SMALL_QUEUE: Final = """\
exporters:
  otlp_http/metrics:
    sending_queue:
      queue_size: 65536
      batch: {min_size: 8192, max_size: 32768}
"""


class Stage(Stack):
    """The stack of the scenarios."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, whole=True)
        edge = folder / "edge"
        edge.mkdir()
        (telemetry,) = free_ports(1)
        layer = edge / "small-queue.yaml"
        layer.write_text(SMALL_QUEUE, encoding="utf-8")
        self.edge = Collector(edge, telemetry, self.jaeger, self.prometheus, layers=[layer])
        """A Collector whose backends do not answer."""
        self.edge._env |= dict.fromkeys(("COLLECTOR_TRACES_URL", "COLLECTOR_METRICS_URL"), NOBODY_URL)
        self._hasten(f"127.0.0.1:{telemetry}")

    @property
    def programs(self) -> tuple[Program, ...]:
        """All processes, the edge included."""
        return (*super().programs, self.edge)

    def _hasten(self, edge: str) -> None:
        """Have Prometheus scrape both Collectors, as often as jobs report, and evaluate faster rules."""
        files = self.prometheus.targets.parents[1]
        shortened.write(files / "dashboards/generated/prometheus")
        target = files / "collector/collector-target.yaml"
        target.write_text(target.read_text(encoding="utf-8") + f'- targets: ["{edge}"]\n', encoding="utf-8")
        path = files / "collector/prometheus.yaml"
        config = path.read_text(encoding="utf-8")
        assert "\n  scrape_interval: 10s\n" in config
        path.write_text(config.replace("scrape_interval: 10s", f"scrape_interval: {REPORT}"), encoding="utf-8")

    def start(self) -> None:
        """Start everything, with two weeks behind it."""
        self._remember()
        super().start()

    def _remember(self) -> None:
        """Give Prometheus two weeks of what its rules would have recorded."""
        path = self.folder / "before.om"
        path.write_text("\n".join([*_before(int(time.time())), "# EOF", ""]), encoding="utf-8")
        run(tool("promtool"), "tsdb", "create-blocks-from", "openmetrics", path, self.folder / "tsdb")


def _before(now: int) -> Iterator[str]:
    started = f"{rules.START.name}{{{_labels(MISSED)}}}"
    for weeks in (2, 1):
        start = now - weeks * WEEK - 3600
        for at in range(start, start + 2 * 3600, 60):
            yield f"{started} {start} {at}"
    rate = f"{rules.RATE.name}{{{_labels(USUAL)}}}"
    for at in range(now - 6 * DAY, now - DAY + 600, 600):
        yield f"{rate} {USUAL_RATE} {at}"


def _labels(labels: dict[str, str]) -> str:
    return ",".join(f'{name}="{value}"' for name, value in labels.items())
