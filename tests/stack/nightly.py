"""The truth about ``jobs/nightly_import.py``, and a run of it that is watched."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final

from otel_progress import names

from .job import LIVELY, ONE_SPAN, job
from .prometheus import Key, Picture, durations, items, series
from .rig import Stack
from .traces import Trace

OPERATION: Final = "nightly-import"
SPANS: Final = 9
"""The operation, read, load, copy, two tables, verify, audit, sample."""
SLACK_SECONDS: Final = 0.5
"""What a level may last longer than the code in it, by the job's own watch, on a busy machine."""
LIVE: Final = {metric.prometheus for metric in names.METRICS if metric.kind == "observable gauge"}

TRUE_TOTALS: Final[dict[Key, float]] = {
    items(OPERATION, "read", "ok"): 7,
    items(OPERATION, "load", "ok"): 35,  # 4 + 31
    items(OPERATION, "load", "skipped"): 2,
    items(OPERATION, "load", "failed"): 3,
    items(OPERATION, "copy", "ok"): 2,
    items(OPERATION, "table", "ok"): 16,  # 2 tables of 3 + 5
    items(OPERATION, "verify", "ok"): 2,
    items(OPERATION, "audit", "ok"): 1,
    items(OPERATION, "sample", "ok"): 2,  # 3 handed out; the third was in the loop's hands when it was left
    series(names.BYTES_DONE, OPERATION, "read"): 7007,
    series(names.BYTES_DONE, OPERATION, "load"): 5000,
    series(names.COUNTER, OPERATION, "load", progress_counter_name="tokens", progress_counter_unit="{token}"): 812,
    series(names.COUNTER, OPERATION, "load", progress_counter_name="rejects", progress_counter_unit="{row}"): 6,
    durations(OPERATION, None, "completed"): 1,
    durations(OPERATION, "read", "completed"): 1,
    durations(OPERATION, "load", "completed"): 1,
    durations(OPERATION, "copy", "completed"): 1,
    durations(OPERATION, "table", "completed"): 2,
    durations(OPERATION, "verify", "failed"): 1,
    durations(OPERATION, "audit", "cancelled"): 1,
    durations(OPERATION, "sample", "abandoned"): 1,
}
"""Everything the job counted, worked out by hand from its code."""


@dataclass
class Watched:
    """A run of the job that was looked at while it stood still."""

    service: str
    started_at: float
    load: Picture
    load_looked_at: float
    copy: Picture
    copy_paused_at: float
    copy_looked_at: float
    ended: Picture
    facts: dict[str, Any]
    trace: Trace


def watch(stack: Stack) -> Watched:
    """Run the job once, looking at it at each of its pauses."""
    service = "watched-import"
    started_at = time.time()
    prometheus = stack.prometheus
    with job(stack, "nightly_import.py", service, **LIVELY, **ONE_SPAN) as running:
        load = prometheus.picture(service, running.until("load")["at"])
        load_looked_at = time.time()
        running.go()
        paused = running.until("copy")
        copy = prometheus.picture(service, paused["at"])
        looked_at = time.time()
        running.go()
        ended = prometheus.picture(service, running.until("ended")["at"])
        running.go()
        facts = running.finish()
    trace = stack.jaeger.whole_trace(service, SPANS)
    assert trace.trace_id == running.said[0]["trace_id"]
    return Watched(service, started_at, load, load_looked_at, copy, paused["at"], looked_at, ended, facts, trace)
