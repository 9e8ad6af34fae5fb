"""What docs/series.md says of the number of series is counted here; its configuration is one that Prometheus takes."""

from __future__ import annotations

import re
from pathlib import Path

from otel_progress import level, names, operation
from otel_progress.testing import Capture, capture_progress
from tests.dashboards.promtool import Scene
from tests.stack.programs import run, tool

REPOSITORY = Path(__file__).resolve().parents[2]
DOCUMENT = REPOSITORY / "docs" / "series.md"
BUCKETS = {
    names.LEVEL_DURATION.name: len(names.DURATION_BOUNDARIES) + 1,
    names.ETA_ERROR.name: len(names.ETA_ERROR_BOUNDARIES) + 1,
}
"""One more for infinity."""
LEVELS = 20


def series(capture: Capture) -> set[tuple[object, ...]]:
    """What Prometheus has of a collection: a histogram is its buckets, its sum and its count."""
    found: set[tuple[object, ...]] = set()
    for metric in names.METRICS:
        for labels in capture.points(metric.name):
            parts = range(BUCKETS.get(metric.name, -1) + 2)
            found |= {(metric.name, labels, part) for part in parts}
    return found


def test_a_process_makes_as_many_series_as_the_document_says() -> None:
    """
    20 levels with totals and bytes, each seen before its end, and the operation.

    21 pairs of names have 23 of the durations, 15 of the errors of promises, 3 of items, 1 active, 9 gauges; 20 levels
    also limit, rate and bytes: 21 x 51 + 20 x 3 = 1,131. Those of the two seconds: 23 + 3 + 1.
    """
    seen: set[tuple[object, ...]] = set()
    with capture_progress() as capture:
        with operation("job", phases=dict.fromkeys((f"level-{number}" for number in range(LEVELS)), 1)):
            for number in range(LEVELS):
                with level(f"level-{number}", total=100) as lvl:
                    for _ in range(50):
                        lvl.advance(2, bytes=10)
                        capture.tick(1)
                    seen |= series(capture)
        capture.tick(1)
        seen |= series(capture)
    with capture_progress() as capture:
        with operation("short"):
            capture.clock.advance(2)
        short = series(capture)
    text = DOCUMENT.read_text(encoding="utf-8")
    assert (len(seen), len(short)) == (1_131, 27)
    assert f"| {len(seen):,} |" in text
    assert f"| {len(short)} |" in text
    assert f"{1000 * len(seen):,} new series a day" in text


def test_totals_are_as_many_for_ten_processes_as_for_one(tmp_path: Path) -> None:
    """
    One operation with one level, in one process and in ten: the same series without the process.

    Of each of the two names: items by 3 outcomes, bytes, 21 buckets, sum and count, 4 gauges and active: 32. The
    operation
    has no rate: 63 with the level's 32. For 20 levels: 31 + 20 x 32 = 671.
    """
    for processes in (1, 10):
        scene = Scene(step=60)
        for process in range(processes):
            whole = f'job="etl",instance="{process}",progress_operation="nightly"'
            for labels in (whole, f'{whole},progress_level="load"'):
                for outcome in names.ItemOutcome:
                    scene.add(f'progress_items_total{{{labels},progress_item_outcome="{outcome}"}}', "0s", "12m", 1)
                scene.add(f"progress_bytes_total{{{labels}}}", "0s", "12m", 1)
                scene.add(f'progress_level_active{{{labels},progress_state="running"}}', "0s", "12m", 1)
                gauges = [names.LEVEL_FRACTION, names.LEVEL_ETA, names.LEVEL_EXPECTED_END]
                for metric in [*gauges, *([names.LEVEL_RATE] if labels != whole else [])]:
                    scene.add(f"{metric.prometheus}{{{labels}}}", "0s", "12m", 1)
                ended = f'{labels},progress_outcome="completed"'
                for part in ("sum", "count"):
                    scene.add(f"progress_level_duration_seconds_{part}{{{ended}}}", "0s", "12m", 1)
                for edge in (*names.DURATION_BOUNDARIES, "+Inf"):
                    scene.add(f'progress_level_duration_seconds_bucket{{{ended},le="{edge}"}}', "0s", "12m", 1)
        kept = 'count({__name__=~"job_operation_level.*:progress_.*"})'
        scene.value(kept, "12m", ("{}", 31.0 + 32.0))
        scene.check(tmp_path)
    assert f"{31 + LEVELS * 32} series for each operation" in DOCUMENT.read_text(encoding="utf-8")
    assert f"{50 * (31 + LEVELS * 32):,}" in DOCUMENT.read_text(encoding="utf-8")


def test_prometheus_takes_the_configuration_for_long_term_storage(tmp_path: Path) -> None:
    """The block of the document, as it stands."""
    (block,) = re.findall(r"^```yaml\n(.*?)^```", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    config = tmp_path / "prometheus.yaml"
    config.write_text(block, encoding="utf-8")
    run(tool("promtool"), "check", "config", config)
    kept = re.search(r"regex: (.+)", block)
    assert kept
    for name, wanted in (
        ("job_operation_level_item_outcome:progress_items:total5m", True),
        ("job_operation:progress_start_timestamp_seconds:max", True),
        ("job_instance_operation:progress_present:sum", False),
        ("progress_items_total", False),
    ):
        assert bool(re.fullmatch(kept[1], name)) is wanted
