"""Tempo, started with the repository's file, and asked for traces by id and by TraceQL."""

from __future__ import annotations

import json
import time
import urllib.error
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from .programs import CONFIGS, Program, free_ports, get, get_bytes, tool
from .traces import Trace, attributes, parse

SEARCHED_AFTER_SECONDS: Final = 20.0
"""When a search surely finds a running trace: max_trace_live, the check that cuts the trace, and a busy machine."""
LIVE_STORE: Final = "live_store:\n"
SHORT_BLOCKS: Final = f"{LIVE_STORE}  max_block_duration: 2s\n  flush_check_period: 1s\n"
"""Blocks of 2 s, not 30 s: a trace of seconds lies in several, as in production one of minutes does."""
ALL: Final = 1000
NO_ROOT: Final = "<root span not yet received>"


@dataclass(frozen=True)
class Match:
    """One span that a search found, with the attributes it selected."""

    span_id: str
    name: str | None
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Found:
    """One trace that a search found."""

    trace_id: str
    root_name: str
    matches: tuple[Match, ...]


class Tempo(Program):
    """A running Tempo that cuts blocks early, and is what users run but for that, addresses and folders."""

    def __init__(self, folder: Path) -> None:
        http, grpc, members, otlp = free_ports(4)
        self.url = f"http://127.0.0.1:{http}"
        self.otlp_url = f"http://127.0.0.1:{otlp}"
        self.data = folder / "tempo"
        env = {
            "TEMPO_HTTP_PORT": str(http),
            "TEMPO_GRPC_PORT": str(grpc),
            "TEMPO_MEMBERLIST_PORT": str(members),
            "TEMPO_OTLP_HTTP": f"127.0.0.1:{otlp}",
            "TEMPO_FOLDER": str(self.data),
        }
        config = (CONFIGS / "tempo.yaml").read_text()
        assert LIVE_STORE in config
        mine = folder / "tempo.yaml"
        mine.write_text(config.replace(LIVE_STORE, SHORT_BLOCKS))
        command: list[str | Path] = [tool("tempo"), f"-config.file={mine}", "-config.expand-env=true"]
        super().__init__(command, env, folder / "tempo.log", f"{self.url}/ready")

    def stop(self) -> None:
        """Kill it: a gentle stop takes longer than everything else, and nobody reads what it would write."""
        self.kill()

    def trace(self, trace_id: str) -> Trace | None:
        """Return a trace by its id, from all blocks, or ``None`` where Tempo has none."""
        try:
            answer = get(f"{self.url}/api/v2/traces/{trace_id}")
        except urllib.error.HTTPError as error:
            if error.code == HTTPStatus.NOT_FOUND:
                return None
            raise
        return parse(trace_id, json.loads(answer)["trace"])

    def raw_trace(self, trace_id: str) -> bytes:
        """Return a trace in protobuf, whose size is what Tempo's limit is about."""
        return get_bytes(f"{self.url}/api/traces/{trace_id}", Accept="application/protobuf")

    def search(self, query: str, since: float) -> list[Found]:
        """Return the traces a TraceQL query finds from a unix time to now."""
        # Without start and end, recent data is not searched.
        window = {"start": int(since), "end": int(time.time()) + 60}
        answer = get(f"{self.url}/api/search", q=query, limit=ALL, spss=100, **window)
        return [
            Found(each["traceID"].rjust(32, "0"), each.get("rootTraceName", ""), _matches(each["spanSets"]))
            for each in json.loads(answer)["traces"]
        ]

    def blocks_with(self, trace_id: str) -> int:
        """Return how many finished blocks on disk have something of a trace: its id is in clear in them."""
        raw = bytes.fromhex(trace_id)
        return sum(raw in each.read_bytes() for each in self.data.glob("live-store/traces/blocks/*/*/data.parquet"))

    def unfinished_blocks(self) -> set[str]:
        """Return the names of the blocks that are still written to, as they are on disk."""
        every = {each for each in self.data.glob("live-store/traces/*+*") if not (each / "meta.deleted.json").exists()}
        return {each.name for each in every}

    def metric(self, name: str) -> float:
        """Return the sum of one of Tempo's own counters; 0 if it never counted."""
        lines = get(f"{self.url}/metrics").splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((f"{name}{{", f"{name} ")))


def _matches(span_sets: list[dict[str, Any]]) -> tuple[Match, ...]:
    spans = (each for spans in span_sets for each in spans["spans"])
    return tuple(Match(each["spanID"], each.get("name"), attributes(each.get("attributes", ()))) for each in spans)
