"""Progress as JSON lines, for programs that read it: `SCHEMA` says what is in them."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Final, TextIO

from otel_progress import Change, Snapshot
from otel_progress.cli._demo_job import Summary
from otel_progress.cli._demo_setup import Surroundings
from otel_progress.names import State

SCHEMA: Final = """\
with --json, one object a line on stdout; what is unknown is null:
  {"event": "setup", ...}     first: path, prometheus_url, otlp_endpoint,
                              missing_extras
  {"event": "start", ...}     a level starts
  {"event": "progress", ...}  it went on: at most once a second and level
  {"event": "end", ...}       it ended; nothing follows about it
  {"event": "summary", ...}   last: state (completed, interrupted or
                              cancelled), and what the job did by its own
                              count: folders, unreadable_folders, files,
                              compressed, not_text, unreadable, large_files,
                              bytes_read, text_bytes, compressed_bytes, lines,
                              verified, damaged, settings_tried,
                              phase_seconds, trace_id

all have "time" (unix seconds); start, progress and end have as well:
  key, parent_key             which level it is, and the one above it
  path, id                    its names from the operation down; its instance
  state                       running, completed, failed, interrupted ...
  done, total, unit           items; done includes failed and skipped
  failed, skipped, bytes
  fraction                    share done, 0 to 1, children included
  rate_per_second, elapsed_seconds
  eta_seconds, eta_low_seconds, eta_high_seconds
                              time left, and its 80 % interval
  message, counters, quality, error_type, error_message
"""

_ENDED_REMEMBERED: Final = 1_000
"""Ended levels whose late news is dropped; it comes within a second or never."""


class Lines:
    """
    Writes the lines. Thread-safe.

    For each level they come as start, progress, end, and ``done`` does not go back, although two threads may tell of
    the same moment in either order. ``give_up`` is called when nobody reads the lines any more.
    """

    def __init__(self, stream: TextIO, *, give_up: Callable[[], object]) -> None:
        self._stream = stream
        self._give_up = give_up
        self._lock = threading.Lock()  # covers the stream and what was written about which level
        self._live: dict[int, float] = {}
        self._ended: deque[int] = deque(maxlen=_ENDED_REMEMBERED)
        self.is_broken = False

    def setup(self, path: Path, surroundings: Surroundings) -> None:
        """Write what was set up."""
        with self._lock:
            self._write({"event": "setup", "time": time.time(), "path": str(path), **asdict(surroundings)})

    def change(self, change: Change) -> None:
        """Write what happened to a level; a callback for `otel_progress.on_change`."""
        with self._lock:
            event = self._event(change)
            if event is not None:
                self._write({"event": event, "time": _at(change.level), **_described(change.level)})
        if self.is_broken:
            self._give_up()

    def summary(self, summary: Summary, state: State) -> None:
        """Write what was done in all."""
        with self._lock:
            self._write({"event": "summary", "time": time.time(), "state": state, **asdict(summary)})

    def _event(self, change: Change) -> str | None:
        """Return what the change is to a reader; nothing if it is old news. The caller has the lock."""
        level = change.level
        if level.key in self._ended or level.done < self._live.get(level.key, 0.0):
            return None
        if not level.is_live:
            self._live.pop(level.key, None)
            self._ended.append(level.key)
            return "end"
        is_known = level.key in self._live
        self._live[level.key] = level.done
        if is_known:
            return None if change.kind == "started" else "progress"
        return "start"

    def _write(self, line: dict[str, object]) -> None:
        if self.is_broken:
            return
        try:
            self._stream.write(json.dumps(line, allow_nan=False) + "\n")
            self._stream.flush()
        except OSError:
            self.is_broken = True


def _at(level: Snapshot) -> float | None:
    if level.ended_at is not None or level.started_at is None:
        return level.ended_at
    return level.started_at + level.elapsed_seconds


def _described(level: Snapshot) -> dict[str, object]:
    eta = level.eta
    return {
        "key": level.key,
        "parent_key": level.parent_key,
        "path": level.path,
        "id": level.id,
        "state": level.state,
        "done": level.done,
        "total": level.total,
        "unit": level.unit,
        "failed": level.failed,
        "skipped": level.skipped,
        "bytes": level.bytes,
        "fraction": level.fraction,
        "rate_per_second": level.rate_per_second,
        "elapsed_seconds": level.elapsed_seconds,
        "eta_seconds": eta and eta.expected,
        "eta_low_seconds": eta and eta.low,
        "eta_high_seconds": eta and eta.high,
        "message": level.message,
        "counters": {name: counter.value for name, counter in level.counters.items()},
        "quality": level.quality,
        "error_type": level.error_type,
        "error_message": level.error_message,
    }
