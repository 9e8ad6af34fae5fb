"""Jaeger, started with the repository's file, and asked for traces through its version 3 API."""

from __future__ import annotations

import json
import urllib.error
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path

from .programs import CONFIGS, Program, get, tool, wait_for
from .traces import Trace, parse


class Jaeger(Program):
    """A running Jaeger."""

    def __init__(self, folder: Path, http: int, grpc: int, otlp: int, health: int, *, page: str = "") -> None:
        self.url = f"http://127.0.0.1:{http}"
        self.otlp_url = f"http://127.0.0.1:{otlp}"
        env = {
            "JAEGER_HTTP": f"127.0.0.1:{http}",
            "JAEGER_GRPC": f"127.0.0.1:{grpc}",
            "JAEGER_OTLP_HTTP": f"127.0.0.1:{otlp}",
            "JAEGER_HEALTH": f"127.0.0.1:{health}",
        }
        command: list[str | Path] = [tool("jaeger"), "--config", CONFIGS / "jaeger.yaml"]
        if page:
            command.append(f"--set=extensions.jaeger_query.ui.assets_path={page}")
        super().__init__(command, env, folder / "jaeger.log", f"http://127.0.0.1:{health}/status")

    def trace(self, trace_id: str) -> Trace | None:
        """Return a trace by its id, or ``None`` where Jaeger has none."""
        try:
            answer = json.loads(get(f"{self.url}/api/v3/traces/{trace_id}"))
        except urllib.error.HTTPError as error:
            if error.code == HTTPStatus.NOT_FOUND:
                return None
            raise
        return parse(trace_id, answer["result"])

    def traces(self, service: str, at: datetime | None = None) -> dict[str, int]:
        """Return what a search over the last hour, now or at a moment, finds: trace ids with their numbers of spans."""
        now = at or datetime.now(UTC)
        query = {
            "query.service_name": service,
            "query.start_time_min": (now - timedelta(hours=1)).isoformat().replace("+00:00", "Z"),
            "query.start_time_max": (now + timedelta(minutes=0 if at else 1)).isoformat().replace("+00:00", "Z"),
        }
        found = json.loads(get(f"{self.url}/api/v3/trace-summaries", **query)).get("summaries", [])
        return {each["traceId"]: each["spanCount"] for each in found}

    def whole_trace(self, service: str, spans: int) -> Trace:
        """Return the one trace of a service when it has this many spans."""
        # By its summary: Jaeger warns of parents that have not arrived, and a warning once made may stay.
        wait_for(lambda: spans in self.traces(service).values(), what=f"a trace of {service} with {spans} spans")
        (trace_id,) = self.traces(service)
        trace = self.trace(trace_id)
        assert trace is not None
        return trace
