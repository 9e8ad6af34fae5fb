"""
The real stack for tests: Collector, Prometheus, Jaeger and, where wanted, Tempo and Loki.

They are started with the repository's files: only addresses and folders differ from what users run.
Programs come from the folder in ``OTEL_PROGRESS_STACK``.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from .jaeger import Jaeger
from .loki import Loki
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
    """A running Collector that sends to these backends, and writes the events it receives to a file as well."""

    def __init__(
        self,
        folder: Path,
        telemetry_port: int,
        jaeger: Jaeger,
        prometheus: Prometheus,
        *,
        more: tuple[Tempo, Loki] | None = None,
        layers: Iterable[Path] = (),
    ) -> None:
        http, grpc, health = free_ports(3)
        self.otlp_url = f"http://127.0.0.1:{http}"
        self.otlp_grpc_url = f"http://127.0.0.1:{grpc}"
        env = {
            "COLLECTOR_OTLP_HTTP": f"127.0.0.1:{http}",
            "COLLECTOR_OTLP_GRPC": f"127.0.0.1:{grpc}",
            "COLLECTOR_HEALTH": f"127.0.0.1:{health}",
            "COLLECTOR_TELEMETRY_PORT": str(telemetry_port),
            "COLLECTOR_TRACES_URL": jaeger.otlp_url,
            "COLLECTOR_METRICS_URL": f"{prometheus.url}/api/v1/otlp",
            "COLLECTOR_QUEUE_FOLDER": str(folder / "queue"),
            "EVENTS_FILE": str(folder / "events.json"),
        }
        configs = [CONFIGS / "config.yaml"]
        logs = "debug"
        if more:
            tempo, loki = more
            env |= {"COLLECTOR_TEMPO_URL": tempo.otlp_url, "COLLECTOR_LOGS_URL": loki.otlp_url}
            configs += [CONFIGS / "stack-layer.yaml", CONFIGS / "user-layer.yaml"]
            logs = "otlp_http/logs"
        command: list[str | Path] = [tool("otelcol")]
        for config in (*configs, *layers, EVENTS_LAYER):
            command += ["--config", config]
        command.append(f"--set=service.pipelines.logs.exporters=[{logs}, file/events]")
        self.health_url = f"http://127.0.0.1:{health}/"
        self._events = folder / "events.json"
        super().__init__(command, env, folder / "otelcol.log", self.health_url)

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
    """A Collector, a Prometheus, a Jaeger and, if it is the whole stack, a Tempo and a Loki that belong together."""

    def __init__(self, folder: Path, *, whole: bool = False, layers: Iterable[Path] = ()) -> None:
        self.folder = folder
        http, grpc, otlp, health, prometheus, telemetry = free_ports(6)
        self.jaeger = Jaeger(folder, http, grpc, otlp, health)
        self.prometheus = Prometheus(folder, prometheus, telemetry)
        self._more = (Tempo(folder), Loki(folder)) if whole else None
        self.collector = Collector(folder, telemetry, self.jaeger, self.prometheus, more=self._more, layers=layers)

    @property
    def tempo(self) -> Tempo:
        """The Tempo of a whole stack."""
        assert self._more is not None
        return self._more[0]

    @property
    def loki(self) -> Loki:
        """The Loki of a whole stack."""
        assert self._more is not None
        return self._more[1]

    @property
    def programs(self) -> tuple[Program, ...]:
        """All processes; the Collector is last."""
        return (self.jaeger, self.prometheus, *(self._more or ()), self.collector)

    def start(self) -> None:
        """Start what does not run; what came up is stopped again if something does not."""
        try:
            for each in [each for each in self.programs if each.launch()]:
                each.wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop everything, and remove what it stored (the logs stay)."""
        for each in reversed(self.programs):
            each.stop()
        for stored in ("tsdb", "queue", "tempo", "loki"):
            shutil.rmtree(self.folder / stored, ignore_errors=True)

    def logs(self) -> str:
        """Return the ends of all logs."""
        return "\n".join(f"--- {each.log}\n{each.tail()}" for each in self.programs)
