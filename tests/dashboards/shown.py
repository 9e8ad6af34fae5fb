"""
A Prometheus that has the fleet of `scene.py`, to look at dashboards with.

`python -m tests.dashboards.shown FOLDER` loads it, which takes minutes, and prints its address and the time it ends.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from dashboards.alerts import ALERTS
from dashboards.build import GENERATED
from dashboards.config import SLOT
from tests.dashboards.scene import DAY, HOUR, SHOWN_HOURS, Samples, fleet, pipeline, remembered_starts
from tests.stack.programs import Program, free_ports, get, run, tool


class Shown(Program):
    """A Prometheus that has the scene, and what the rules made of it."""

    def __init__(self, folder: Path, end: int) -> None:
        self.end = end
        self.folder = folder
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        config = folder / "prometheus.yaml"
        config.write_text("global: {scrape_interval: 30s}\n", encoding="utf-8")
        super().__init__(
            [
                tool("prometheus"),
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--storage.tsdb.retention.time=60d",
                # promtool's blocks have no mark where a recorded series ends: they would linger, and what uses them,
                # too.
                "--query.lookback-delta=65s",
            ],
            {},
            folder / "prometheus.log",
            f"{self.url}/-/ready",
        )

    def load(self) -> None:
        """
        Make blocks of the scene, then of the rules.

        Those of the rules several times: they use each other, and promtool evaluates each by itself.
        """
        samples = Samples(self.end)
        for each in fleet(self.end):
            each.tell(samples)
        pipeline(samples)
        remembered_starts(samples)
        for path in samples.write(self.folder):
            run(tool("promtool"), "tsdb", "create-blocks-from", "openmetrics", path, self.folder / "tsdb", timeout=300)
        self.start()
        groups: list[dict[str, Any]] = yaml.safe_load((GENERATED / "prometheus/recording_rules.yaml").read_text())[
            "groups"
        ]
        slots = [rule for group in groups if group["interval"] == SLOT for rule in group["rules"]]
        state = [rule for group in groups if group["interval"] != SLOT for rule in group["rules"]]
        firing = [
            {
                "record": "ALERTS",
                "expr": f"({alert.expression}) * 0 + 1",
                "labels": {"alertname": alert.name, "alertstate": "firing", "severity": alert.severity},
            }
            for alert in ALERTS
        ]
        weeks = [*slots, *(rule for rule in state if "rate_per_second" in rule["record"])]
        self._backfill([{"name": "slots", "rules": weeks}], 9 * DAY, "5m")
        chain = {
            "progress_start_timestamp_seconds:max": 0,
            "job_operation:progress_start": 1,
            "progress_present": 2,
            "progress_silent": 3,
            "progress_condition": 4,
        }
        passes: list[list[dict[str, Any]]] = [[], [], [], [], []]
        for rule in state:
            passes[max((level for part, level in chain.items() if part in rule["record"]), default=0)].append(rule)
        for rules in [*passes, firing]:
            self._backfill([{"name": "state", "rules": rules}], SHOWN_HOURS * HOUR, "60s")

    def _backfill(self, groups: list[dict[str, Any]], seconds: int, interval: str) -> None:
        path = self.folder / "backfill.yaml"
        path.write_text(json.dumps({"groups": groups}), encoding="utf-8")
        run(
            tool("promtool"),
            "tsdb",
            "create-blocks-from",
            "rules",
            f"--start={self.end - seconds}",
            f"--end={self.end}",
            f"--url={self.url}",
            f"--eval-interval={interval}",
            f"--output-dir={self.folder / 'tsdb'}",
            path,
            timeout=300,
        )
        self.stop()  # Prometheus looks for new blocks at its start
        self.start()

    def query(self, query: str, at: float | None = None) -> list[dict[str, Any]]:
        """Return the series of an instant query."""
        answer = get(f"{self.url}/api/v1/query", query=query, time=self.end if at is None else at)
        result: list[dict[str, Any]] = json.loads(answer)["data"]["result"]
        return result


def main() -> None:
    """Load the scene, and keep Prometheus running until somebody presses Ctrl-C."""
    folder = Path(sys.argv[1])
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stops Prometheus, too
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shown = Shown(folder, int(time.time()) // 60 * 60)
    try:
        shown.load()
        print(json.dumps({"url": shown.url, "end": shown.end}), flush=True)
        while True:
            time.sleep(3600)
    except (KeyboardInterrupt, subprocess.CalledProcessError):
        pass
    finally:
        shown.stop()


if __name__ == "__main__":
    main()
