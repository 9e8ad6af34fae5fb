"""
The real stack for tests: Collector, Prometheus and Jaeger, started with the repository's own files.

Only addresses and folders differ from what users run. Programs come from the folder in ``OTEL_PROGRESS_STACK``.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from .jaeger import Jaeger
from .programs import CONFIGS, Program, free_ports, tool
from .prometheus import Prometheus


class Collector(Program):
    """A running Collector that sends traces and metrics to these URLs."""

    def __init__(self, folder: Path, telemetry_port: int, traces_url: str, metrics_url: str) -> None:
        http, grpc, health = free_ports(3)
        self.otlp_url = f"http://127.0.0.1:{http}"
        self.otlp_grpc_url = f"http://127.0.0.1:{grpc}"
        env = {
            "COLLECTOR_OTLP_HTTP": f"127.0.0.1:{http}",
            "COLLECTOR_OTLP_GRPC": f"127.0.0.1:{grpc}",
            "COLLECTOR_HEALTH": f"127.0.0.1:{health}",
            "COLLECTOR_TELEMETRY_PORT": str(telemetry_port),
            "COLLECTOR_TRACES_URL": traces_url,
            "COLLECTOR_METRICS_URL": metrics_url,
            "COLLECTOR_QUEUE_FOLDER": str(folder / "queue"),
        }
        command: list[str | Path] = [tool("otelcol"), "--config", CONFIGS / "config.yaml"]
        super().__init__(command, env, folder / "otelcol.log", f"http://127.0.0.1:{health}/")


class Stack:
    """A Collector, a Prometheus and a Jaeger that belong together."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        http, grpc, otlp, health, prometheus, telemetry = free_ports(6)
        self.jaeger = Jaeger(folder, http, grpc, otlp, health)
        self.prometheus = Prometheus(folder, prometheus, telemetry)
        self.collector = Collector(folder, telemetry, self.jaeger.otlp_url, f"{self.prometheus.url}/api/v1/otlp")

    @property
    def programs(self) -> tuple[Program, ...]:
        """All processes, in the order they start."""
        return (self.jaeger, self.prometheus, self.collector)

    def start(self) -> None:
        """Start what does not run; what came up is stopped again if something does not."""
        try:
            for each in self.programs:
                each.start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop everything, and remove what it stored (the logs stay)."""
        for each in reversed(self.programs):
            each.stop()
        shutil.rmtree(self.folder / "tsdb", ignore_errors=True)
        shutil.rmtree(self.folder / "queue", ignore_errors=True)

    def logs(self) -> str:
        """Return the ends of all logs."""
        return "\n".join(f"--- {each.log}\n{each.tail()}" for each in self.programs)
