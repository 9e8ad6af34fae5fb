"""
The real stack for tests: Collector, Prometheus, Jaeger and, where wanted, Tempo, started with the repository's files.

Only addresses and folders differ from what users run. Programs come from the folder in ``OTEL_PROGRESS_STACK``.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from .jaeger import Jaeger
from .programs import CONFIGS, Program, free_ports, tool
from .prometheus import Prometheus
from .tempo import Tempo
from .traces import attributes

EVENTS_LAYER: Final = Path(__file__).with_name("events-layer.yaml")


@dataclass(frozen=True)
class LogEvent:
    """One log event as the Collector received it."""

    name: str
    trace_id: str
    span_id: str
    severity: str
    attributes: Mapping[str, Any]


class Collector(Program):
    """A running Collector that sends traces and metrics to these URLs, and writes the events it receives to a file."""

    def __init__(
        self, folder: Path, telemetry_port: int, traces_url: str, metrics_url: str, tempo_url: str | None = None
    ) -> None:
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
            "EVENTS_FILE": str(folder / "events.json"),
        }
        command: list[str | Path] = [tool("otelcol"), "--config", CONFIGS / "config.yaml", "--config", EVENTS_LAYER]
        if tempo_url is not None:
            env["COLLECTOR_TEMPO_URL"] = tempo_url
            command += ["--config", CONFIGS / "tempo-layer.yaml"]
        self._events = folder / "events.json"
        super().__init__(command, env, folder / "otelcol.log", f"http://127.0.0.1:{health}/")

    def events(self, trace_id: str) -> list[LogEvent]:
        """Return the log events of a trace that have arrived, in the order they did."""
        *lines, _ = self._events.read_text().split("\n")  # the last may be half written
        scopes = (s for line in lines for each in json.loads(line)["resourceLogs"] for s in each["scopeLogs"])
        return [
            LogEvent(
                record.get("eventName", ""),
                trace_id,
                record["spanId"],
                record["severityText"],
                attributes(record.get("attributes", ())),
            )
            for scope in scopes
            for record in scope["logRecords"]
            if record.get("traceId") == trace_id
        ]


class Stack:
    """A Collector, a Prometheus, a Jaeger and perhaps a Tempo that belong together."""

    def __init__(self, folder: Path, *, with_tempo: bool = False) -> None:
        self.folder = folder
        http, grpc, otlp, health, prometheus, telemetry = free_ports(6)
        self.jaeger = Jaeger(folder, http, grpc, otlp, health)
        self.prometheus = Prometheus(folder, prometheus, telemetry)
        self._tempo = Tempo(folder) if with_tempo else None
        self.collector = Collector(
            folder,
            telemetry,
            self.jaeger.otlp_url,
            f"{self.prometheus.url}/api/v1/otlp",
            self._tempo and self._tempo.otlp_url,
        )

    @property
    def tempo(self) -> Tempo:
        """The Tempo of a stack that has one."""
        assert self._tempo is not None
        return self._tempo

    @property
    def programs(self) -> tuple[Program, ...]:
        """All processes, in the order they start."""
        return (self.jaeger, self.prometheus, *([] if self._tempo is None else [self._tempo]), self.collector)

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
        for stored in ("tsdb", "queue", "tempo"):
            shutil.rmtree(self.folder / stored, ignore_errors=True)

    def logs(self) -> str:
        """Return the ends of all logs."""
        return "\n".join(f"--- {each.log}\n{each.tail()}" for each in self.programs)
