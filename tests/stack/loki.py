"""Loki, started with the repository's file, and asked for lines by LogQL."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .programs import CONFIGS, Program, free_ports, get, tool

ALL: Final = 5000


@dataclass(frozen=True)
class Line:
    """One line of a log, with what it is found by; ``at`` is unix seconds."""

    at: float
    text: str
    labels: Mapping[str, str]
    """Labels of the stream and structured metadata alike, as LogQL has them."""


class Loki(Program):
    """A running Loki."""

    def __init__(self, folder: Path) -> None:
        http, grpc = free_ports(2)
        self.url = f"http://127.0.0.1:{http}"
        self.otlp_url = f"{self.url}/otlp"
        self.data = folder / "loki"
        env = {"LOKI_HTTP_PORT": str(http), "LOKI_GRPC_PORT": str(grpc), "LOKI_FOLDER": str(self.data)}
        command: list[str | Path] = [
            tool("loki"),
            f"-config.file={CONFIGS / 'loki.yaml'}",
            "-config.expand-env=true",
        ]
        super().__init__(command, env, folder / "loki.log", f"{self.url}/ready")

    def lines(self, query: str, since: float) -> list[Line]:
        """Return the lines that a LogQL query finds from a unix time to now, oldest first."""
        window = {"start": int(since * 1e9), "end": int((time.time() + 60) * 1e9)}
        answer = get(f"{self.url}/loki/api/v1/query_range", query=query, limit=ALL, direction="forward", **window)
        found = [
            Line(int(at) / 1e9, text, each["stream"])
            for each in json.loads(answer)["data"]["result"]
            for at, text, *_ in each["values"]
        ]
        return sorted(found, key=lambda line: line.at)

    def labels(self, since: float) -> set[str]:
        """Return the names of the labels that streams have, from a unix time to now."""
        answer = get(f"{self.url}/loki/api/v1/labels", start=int(since * 1e9), end=int((time.time() + 60) * 1e9))
        return set(json.loads(answer).get("data") or ())
