"""
A fleet's last two weeks as OpenMetrics: what otel_progress and the Collector would have sent, ending at a given time.

`shown.py` loads it into a Prometheus.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from dashboards import config
from otel_progress import names

STEP: Final = 30
"""Seconds between samples."""
MINUTE, HOUR, DAY = 60, 3600, 86_400
SHOWN_HOURS: Final = 24
"""How much of the end is told sample by sample; of the time before, only runs and their totals."""


@dataclass
class Samples:
    """Lines of OpenMetrics, in two files: the last day, and the time before."""

    end: int
    recent: list[str] = field(default_factory=list)
    old: list[str] = field(default_factory=list)

    def add(self, at: float, name: str, value: float, **labels: str) -> None:
        """Add a sample."""
        inside = ",".join(f'{key}="{text}"' for key, text in labels.items() if text)
        line = f"{name}{{{inside}}} {value:.6g}" if abs(value) < 1e6 else f"{name}{{{inside}}} {value:.3f}"
        (self.recent if at > self.end - SHOWN_HOURS * HOUR else self.old).append(f"{line} {at:.0f}")

    def write(self, folder: Path) -> list[Path]:
        """Write the files."""
        paths = []
        for name, lines in (("old", self.old), ("recent", self.recent)):
            path = folder / f"{name}.om"
            path.write_text("\n".join([*lines, "# EOF", ""]), encoding="utf-8")
            paths.append(path)
        return paths


@dataclass
class Level:
    """A level of a run: how many items, how many a second, from when to when as shares of the run."""

    name: str
    total: float
    begins: float
    ends: float
    size: float = 0.0
    failing: float = 0.0
    counters: dict[str, tuple[str, float]] = field(default_factory=dict)
    quality: float | None = None
    stops_at: float | None = None


@dataclass
class Run:
    """One run of one operation in one process; ``now`` is when it is looked at, the end of the scene."""

    service: str
    operation: str
    process: str
    start: float
    lasts: float
    levels: tuple[Level, ...] = ()
    outcome: str = "completed"
    killed: float | None = None
    deviations: tuple[tuple[str, str, float, float], ...] = ()
    """(kind, level, from, to), in seconds since the start."""
    drift: float = 0.0
    """By which share the promised end was too early at the start."""

    def tell(self, to: Samples) -> None:
        """Write what the run reported."""
        last = min(self.start + self.lasts, self.killed or to.end, to.end)
        ends = last >= self.start + self.lasts
        step = STEP if last > to.end - SHOWN_HOURS * HOUR else 4 * STEP
        at = math.ceil(self.start / step) * step
        while at < last:
            self._report(to, at, done=False)
            at += step
        if ends:
            self._report(to, self.start + self.lasts, done=True)

    def _report(self, to: Samples, at: float, *, done: bool) -> None:
        process = {"job": self.service, "instance": self.process}
        mine = {**process, "progress_operation": self.operation}
        age = at - self.start
        share = age / self.lasts
        to.add(
            at,
            "target_info",
            1,
            **process,
            host_name=f"node-{len(self.service)}",
            service_version="1.4.2",
            telemetry_sdk_version="1.45.2",
        )
        self._level(to, at, mine, share, age, self.lasts, done=done, whole=True)
        for level in self.levels:
            if share >= level.begins:
                inner = (share - level.begins) / (level.ends - level.begins)
                labels = {**mine, "progress_level": level.name}
                age_of = (share - level.begins) * self.lasts
                self._counts(to, at, labels, level, min(inner, 1.0))
                over = done or inner >= 1
                self._level(
                    to, at, labels, inner, age_of, (level.ends - level.begins) * self.lasts, done=over, level=level
                )
        for kind, level, first, last in self.deviations:
            where = {**mine, "progress_level": level, config.KIND: kind, config.SEVERITY: "warn"}
            if not done:
                to.add(at, names.DEVIATION.prometheus, float(first <= age < last), **where)
            to.add(
                at,
                names.DEVIATIONS.prometheus,
                float(age >= first),
                **{key: text for key, text in where.items() if key != config.SEVERITY},
            )

    def _counts(self, to: Samples, at: float, labels: dict[str, str], level: Level, share: float) -> None:
        if level.stops_at is not None:
            share = min(share, level.stops_at)
        items = level.total * share
        failed = math.floor(items * level.failing)
        for outcome, count in (("ok", items - failed), ("failed", failed), ("skipped", 0)):
            to.add(at, names.ITEMS.prometheus, round(count), **labels, progress_item_outcome=outcome)
        if level.size:
            to.add(at, names.BYTES_DONE.prometheus, round(items * level.size), **labels)
        for name, (unit, each) in level.counters.items():
            to.add(
                at,
                names.COUNTER.prometheus,
                items * each,
                **labels,
                progress_counter_name=name,
                progress_counter_unit=unit,
            )

    def _level(  # noqa: PLR0917  # private
        self,
        to: Samples,
        at: float,
        labels: dict[str, str],
        share: float,
        age: float,
        lasts: float,
        *,
        done: bool,
        whole: bool = False,
        level: Level | None = None,
    ) -> None:
        to.add(at, names.ACTIVE.prometheus, float(not done), **labels, progress_state="running")
        if done:
            outcome = self.outcome if whole else "completed"
            self._ended(to, at, labels, lasts, outcome)
            return
        stopped = level.stops_at if level and level.stops_at is not None and level.stops_at < share else None
        shown = stopped or share
        to.add(at, names.LEVEL_HEARTBEAT.prometheus, at - 0.4, **labels)
        to.add(at, names.LEVEL_ELAPSED.prometheus, age, **labels)
        advanced = at - (share - stopped) * lasts if stopped else at - 0.7
        # The operation counts nothing itself.
        to.add(at, names.LEVEL_LAST_ADVANCE.prometheus, self.start if whole and self.levels else advanced, **labels)
        to.add(at, names.LEVEL_FRACTION.prometheus, min(shown, 1.0), **labels)
        # The promise: too early at first by `drift`, right at the end, with a band that narrows.
        left = (1 - share) * lasts * (1 - self.drift * (1 - share)) + (share - shown) * lasts
        width = 0.05 + 0.35 * (1 - share)
        to.add(at, names.LEVEL_ETA.prometheus, left, **labels)
        to.add(at, names.LEVEL_ETA_LOW.prometheus, left * (1 - width), **labels)
        to.add(at, names.LEVEL_ETA_HIGH.prometheus, left * (1 + 1.6 * width), **labels)
        to.add(at, names.LEVEL_EXPECTED_END.prometheus, at + left, **labels)
        if level:
            wobble = 1 + 0.15 * math.sin(age / 170) + 0.05 * math.sin(age / 23)
            to.add(at, names.LEVEL_DONE.prometheus, round(level.total * shown), **labels)
            to.add(at, names.LEVEL_LIMIT.prometheus, level.total, **labels)
            to.add(at, names.LEVEL_RATE.prometheus, 0.0 if stopped else level.total / lasts * wobble, **labels)
            if level.quality is not None:
                to.add(at, names.QUALITY_GAUGE.prometheus, level.quality - 0.03 * math.sin(age / 300), **labels)

    def _ended(self, to: Samples, at: float, labels: dict[str, str], lasts: float, outcome: str) -> None:
        name = names.LEVEL_DURATION.prometheus
        to.add(at, f"{name}_count", 1, **labels, progress_outcome=outcome)
        to.add(at, f"{name}_sum", lasts, **labels, progress_outcome=outcome)
        for edge in (*names.DURATION_BOUNDARIES, math.inf):
            le = "+Inf" if edge == math.inf else f"{edge:g}"
            to.add(at, f"{name}_bucket", float(lasts <= edge), **labels, progress_outcome=outcome, le=le)
        if "progress_level" not in labels and lasts > MINUTE:
            error = abs(self.drift) * 0.7 + 0.04
            edges = (0.05, 0.1, 0.2, 0.4, 0.7, 1.0, 2.0, math.inf)
            for edge in edges:
                le = "+Inf" if edge == math.inf else f"{edge:g}"
                count = sum(error * factor <= edge for factor in (1.6, 1.0, 0.4))
                to.add(at, f"{names.ETA_ERROR.prometheus}_bucket", count, **labels, le=le)
            to.add(at, f"{names.ETA_ERROR.prometheus}_count", 3, **labels)
            to.add(at, f"{names.ETA_ERROR.prometheus}_sum", 3 * error, **labels)


def fleet(end: int) -> Iterator[Run]:
    """Return the runs of the scene."""
    chance = random.Random(7)

    def load() -> tuple[Level, Level]:
        return Level("read", 1_200_000, 0.0, 0.35, 90), Level("load", 1_200_000, 0.30, 1.0, 640, 0.002)

    for day in range(1, 15):
        yield Run(
            "etl",
            "nightly-import",
            f"imp-{day}",
            end - 55 * MINUTE - day * DAY,
            66 * MINUTE + chance.uniform(-300, 300),
            load(),
            drift=0.1,
        )
        yield Run(
            "etl",
            "backup",
            f"bak-{day}",
            end - 100 * MINUTE - day * DAY,
            25 * MINUTE,
            (Level("files", 80_000, 0.0, 1.0, 2e5),),
            drift=0.05,
        )
        yield Run("reports", "daily-report", f"rep-{day}", end - 5 * HOUR - day * DAY, 12 * MINUTE, drift=0.6)
    # Running, overdue since ten minutes, and slow for a while before.
    yield Run(
        "etl",
        "nightly-import",
        "imp-0",
        end - 55 * MINUTE,
        81 * MINUTE,
        load(),
        drift=0.35,
        deviations=(("slow", "load", 24 * MINUTE, 38 * MINUTE), ("overdue", "", 45 * MINUTE, 2 * HOUR)),
    )
    # Stands still since 18 minutes.
    yield Run(
        "etl",
        "reindex",
        "idx-0",
        end - 50 * MINUTE,
        75 * MINUTE,
        (Level("shards", 64, 0.0, 1.0, stops_at=32 / 75),),
        deviations=(("stalled", "shards", 36 * MINUTE, 2 * HOUR),),
    )
    # Killed 40 minutes ago.
    yield Run(
        "billing",
        "invoices",
        "inv-0",
        end - 64 * MINUTE,
        65 * MINUTE,
        (Level("customers", 42_000, 0.0, 1.0),),
        killed=end - 40 * MINUTE,
    )
    # Long, healthy, in three processes.
    for process in range(3):
        yield Run(
            "ml",
            "train",
            f"train-{process}",
            end - 9 * HOUR,
            14 * HOUR,
            (Level("epoch", 60, 0.0, 1.0), Level("validate", 60, 0.02, 1.0, quality=0.91)),
        )
    calls = {
        "tokens": ("{token}", 812.0),
        "cost": ("{USD}", 0.0021),
        "api_calls": ("{call}", 1.1),
        "api_failures": ("{call}", 0.02),
        "retries": ("{retry}", 0.04),
        "rate_limit_hits": ("{hit}", 0.09),
        "rate_limit_wait_seconds": ("s", 0.55),
    }
    yield Run(
        "llm",
        "summarise",
        "sum-0",
        end - 2.4 * HOUR,
        3.1 * HOUR,
        (Level("documents", 9_000, 0.0, 1.0, 5_400, 0.015, calls, 0.93),),
        drift=-0.2,
        deviations=(("rate_limited", "documents", 80 * MINUTE, 9 * HOUR),),
    )
    for day, outcome in enumerate(("completed", "failed", "interrupted", "cancelled", "abandoned"), start=1):
        documents = Level("documents", 9_000, 0.0, 1.0, 5_400, 0.015, calls, 0.93)
        yield Run(
            "llm",
            "summarise",
            f"sum-{day}",
            end - 3 * HOUR - day * DAY,
            2.5 * HOUR,
            (documents,),
            outcome,
            drift=-0.1,
        )
    yield Run("reports", "export", "exp-3", end - 200 * MINUTE, 90.0, outcome="abandoned")
    # Two seconds long, all day; some fail.
    for number in range(0, SHOWN_HOURS * HOUR - 600, 420):
        outcome = "failed" if number % 8400 == 0 and number > 4 * HOUR else "completed"
        yield Run(
            "web",
            "thumbnails",
            f"thumb-{number}",
            end - SHOWN_HOURS * HOUR + number + 45,
            2.0,
            (Level("pictures", 30, 0.0, 1.0),),
            outcome,
        )
    yield Run("reports", "daily-report", "rep-0", end - 5 * HOUR, 12 * MINUTE, outcome="failed", drift=0.6)
    yield Run("reports", "export", "exp-0", end - 3 * HOUR, 31 * MINUTE, outcome="cancelled")
    yield Run("reports", "export", "exp-1", end - 2 * HOUR, 33 * MINUTE, outcome="interrupted")
    yield Run("reports", "export", "exp-2", end - 75 * MINUTE, 34 * MINUTE, outcome="completed")


def pipeline(to: Samples) -> None:
    """Write what the Collector tells of itself, and what jobs tell of their telemetry."""
    collector = {"job": "collector", "instance": "127.0.0.1:8888"}
    for at in range(to.end - SHOWN_HOURS * HOUR + STEP, to.end + 1, STEP):
        age = at - (to.end - SHOWN_HOURS * HOUR)
        slow = 6 * HOUR < age < 7 * HOUR  # the trace backend was slow for an hour
        to.add(at, "up", 1, **collector)
        for exporter, kind in (("otlp_http/traces", "traces"), ("otlp_http/metrics", "metrics")):
            queue = {**collector, "exporter": exporter, "data_type": kind}
            to.add(at, "otelcol_exporter_queue_capacity", 268_435_456, **queue)
            full = 0.62 * (age - 6 * HOUR) / HOUR if slow and kind == "traces" else 0.004 + 0.003 * math.sin(age / 900)
            to.add(at, "otelcol_exporter_queue_size", 268_435_456 * full, **queue)
        for kind, each in (("spans", 3.1), ("metric_points", 96.0), ("log_records", 0.7)):
            inside = {**collector, "receiver": "otlp", "transport": "http"}
            to.add(at, f"otelcol_receiver_accepted_{kind}", age * each, **inside)
            to.add(
                at, f"otelcol_receiver_refused_{kind}", 120.0 if age > 6.5 * HOUR and kind == "spans" else 0.0, **inside
            )
            to.add(
                at,
                f"otelcol_exporter_sent_{kind}",
                (age - (age - 6 * HOUR) / 2 * (slow and kind == "spans")) * each,
                **collector,
                exporter="otlp_http",
            )
        kept = 900.0 * (age - 6 * HOUR) / HOUR if slow else 0.0
        to.add(at, names.TELEMETRY_KEPT.prometheus, kept, job="llm", instance="sum-0", progress_signal="traces")
        for metric, reason, count in (
            (names.TELEMETRY_DROPPED, "queue_full", 40.0 if age > 6.6 * HOUR else 0.0),
            (names.TELEMETRY_CONTAINED, "events", 2.0 if age > 11 * HOUR else 0.0),
            (names.TELEMETRY_IGNORED, "negative_advance", float(age // (5 * HOUR))),
        ):
            to.add(at, metric.prometheus, count, job="llm", instance="sum-0", progress_reason=reason)


def remembered_starts(to: Samples) -> None:
    """Write what the recording rules would have recorded in the weeks before the day that is told in full."""
    name = "job_operation:progress_start_timestamp_seconds:max"
    for service, operation, ago in (
        ("etl", "nightly-import", 55),
        ("etl", "backup", 100),
        ("reports", "daily-report", 300),
    ):
        first = to.end - 15 * DAY - ago * MINUTE
        for at in range(to.end - 14 * DAY - 2 * HOUR, to.end - SHOWN_HOURS * HOUR, MINUTE):
            start = first + (at - first) // DAY * DAY
            to.add(at, name, start, job=service, progress_operation=operation)
