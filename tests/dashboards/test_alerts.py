"""Every alert: quiet just before, firing at its time, over after recovery; quiet where nothing can be said."""

from __future__ import annotations

from pathlib import Path

import pytest

from dashboards.alerts import ALERTS
from tests.dashboards.promtool import Scene, urls

LOAD = 'job="etl",progress_operation="nightly",progress_level="load"'
LABELS = {"job": "etl", "progress_operation": "nightly", "progress_level": "load"}
Fired = tuple[dict[str, str], dict[str, str]]

TESTED_ELSEWHERE = {"ProgressDead"}
"""In test_runs.py."""
DEVIATIONS = {
    # alert: kind, how long it must last, severity, when that is after the onset at 10m, summary, description
    "ProgressStalled": (
        *("stalled", "critical", "10m30s", "11m"),
        "Level load of nightly (etl) is alive and does not advance",
        # The slower of two processes last advanced at 5m: 6 minutes before 11m.
        "Level load of nightly (etl) has not advanced for 6m 0s, which is long for its own pace.",
    ),
    "ProgressOverdue": (
        *("overdue", "critical", "11m30s", "12m"),
        "Level load of nightly (etl) will end later than it promised",
        (
            "Level load of nightly (etl) has been running for 12m 0s, "
            "and its expected end has moved past what it promised."
        ),
    ),
    "ProgressErrorRate": (
        *("error_rate", "critical", "10m30s", "11m"),
        "Level load of nightly (etl): too many items fail",
        # Process a: 3 of 10 items a step fail; b: 1 of 10. Together 4 of 20.
        "Level load of nightly (etl): 20% of the items failed lately, over all its processes.",
    ),
    "ProgressQuality": (
        *("quality", "critical", "11m30s", "12m"),
        "Level load of nightly (etl): the quality is too low",
        # The lower of 0.62 and 0.97.
        "Level load of nightly (etl): the quality it reports is down to 62%.",
    ),
    "ProgressSlow": (
        *("slow", "warning", "14m30s", "15m"),
        "Level load of nightly (etl) is slower than its earlier runs",
        "Level load of nightly (etl) is slower than its earlier runs were at this point, in 2 process(es).",
    ),
    "ProgressLowThroughput": (
        *("low_throughput", "warning", "14m30s", "15m"),
        "Level load of nightly (etl) does fewer items a second than it should",
        "Level load of nightly (etl): the rate is below what it should be, in 2 process(es).",
    ),
    "ProgressRateLimited": (
        *("rate_limited", "warning", "14m30s", "15m"),
        "Level load of nightly (etl) waits for somebody else's rate limit",
        "Level load of nightly (etl) spends much of its time waiting for a rate limit, in 2 process(es).",
    ),
    "ProgressDeviates": (
        *("resources", "warning", "14m30s", "15m"),
        "Level load of nightly (etl) departs from what its rules allow",
        "Level load of nightly (etl) departs from a rule on resources, or from one of your own, in 2 process(es).",
    ),
}


def scene_of(kind: str) -> Scene:
    """Two processes run until 30m, a and b; both deviate from 10m to 20m, and a again when it ends at 30m."""
    scene = Scene()
    for process, failed, quality in (("a", 3, 0.62), ("b", 1, 0.97)):
        scene.run(process, "0s", "29m30s", level="load")
        labels = f'{LOAD},instance="{process}"'
        for series in scene.series:
            if series["series"].startswith("progress_level_active") and f'"{process}"' in series["series"]:
                series["values"] += " 0x60"
        scene.add(f'progress_items_total{{{labels},progress_item_outcome="ok"}}', "0s", "30m", 0, 10 - failed)
        scene.add(f'progress_items_total{{{labels},progress_item_outcome="failed"}}', "0s", "30m", 0, failed)
        scene.add(f"progress_quality{{{labels}}}", "0s", "29m30s", quality)
        deviation = f'progress_deviation{{{labels},progress_deviation_kind="{kind}",progress_severity="warn"}}'
        again = "1x9" if process == "a" else "0x9"
        scene.add(deviation, "10m", "19m30s", 1, 0, "0x9", again)
    scene.add(f'progress_level_last_advance_timestamp_seconds{{{LOAD},instance="a"}}', "0s", "29m30s", 300)
    scene.clock(f'progress_level_last_advance_timestamp_seconds{{{LOAD},instance="b"}}', "0s", "29m30s")
    return scene


@pytest.mark.parametrize("name", DEVIATIONS)
def test_a_deviation_fires_when_it_lasts_and_is_over_with_it(tmp_path: Path, name: str) -> None:
    """From the onset at 10m: quiet just before its time, then one alert for both processes, over when it recovered."""
    kind, severity, before, at, summary, description = DEVIATIONS[name]
    texts = {"summary": summary, "description": description}
    links = urls(name, "progress-operation", service="etl", operation="nightly")
    scene = scene_of(kind)
    scene.expect(name, "9m30s").expect(name, before).expect(name, at, (LABELS | {"severity": severity}, texts | links))
    scene.expect(name, "20m")
    scene.check(tmp_path)


@pytest.mark.parametrize("name", DEVIATIONS)
def test_a_deviation_is_over_when_its_level_ends(tmp_path: Path, name: str) -> None:
    """The gauge lingers for five minutes after its last sample at 29m30s; the level is over at 30m."""
    scene = scene_of(DEVIATIONS[name][0])
    for at in ("30m", "31m", "34m", "1h"):
        scene.expect(name, at)
    scene.check(tmp_path)


@pytest.mark.parametrize("name", DEVIATIONS)
def test_a_deviation_of_another_kind_is_another_alert(tmp_path: Path, name: str) -> None:
    """One kind, one alert."""
    kind = DEVIATIONS[name][0]
    scene = scene_of(kind)
    for other in DEVIATIONS.keys() - {name}:
        scene.expect(other, "19m30s")
    scene.check(tmp_path)


def failed(times: str) -> Fired:
    """The alert for the job."""
    return (
        {"severity": "critical", "job": "etl", "progress_operation": "nightly"},
        {
            "summary": "nightly (etl) failed and has not succeeded since",
            "description": f"nightly (etl) failed {times} time(s) in the last day, "
            "and no run completed after the last failure.",
            **urls("ProgressFailed", "progress-operation", service="etl", operation="nightly"),
        },
    )


def test_a_failure_lasts_until_a_run_completes(tmp_path: Path) -> None:
    """Ended at 5m well, at 20m and, after two seconds, at 40m badly, at 2h cancelled, at 3h well."""
    scene = Scene()
    for process, start, end, outcome in (
        ("a", "0s", "5m", "completed"),
        ("b", "10m", "20m", "failed"),
        ("c", "40m", "40m", "failed"),
        ("d", "1h50m", "2h", "cancelled"),
        ("e", "2h50m", "3h", "completed"),
    ):
        scene.finished_run(process, start, end, outcome)
    name = "ProgressFailed"
    scene.expect(name, "5m").expect(name, "19m30s").expect(name, "20m", failed("1")).expect(name, "39m30s", failed("1"))
    scene.expect(name, "40m", failed("2")).expect(name, "1h30m", failed("2")).expect(name, "2h59m30s", failed("2"))
    scene.expect(name, "3h").expect(name, "4h")
    scene.check(tmp_path)


def test_a_failure_is_forgotten_after_a_day(tmp_path: Path) -> None:
    """Nobody runs the job again: there at 23 hours, gone after a day."""
    scene = Scene(step=300).finished_run("a", "0s", "10m", "failed")
    scene.expect("ProgressFailed", "23h", failed("1")).expect("ProgressFailed", "1d15m")
    scene.check(tmp_path)


def test_a_job_that_usually_runs_by_now_is_missed(tmp_path: Path) -> None:
    """
    Three jobs in steps of half an hour, as their recorded starts: each is remembered for a day.

    `nightly` starts at 02:00 on days 0 to 13 and on day 14 at 04:00 only: with half an hour of grace it is missed from
    02:30 on, and said so, the rule's five minutes later, at 03:00, one hour late. `weekday` rests on days 5, 6, 12,
    13, 19.
    `young` started on days 10 to 13 and not on day 14: with one week of history nobody can tell.
    """
    scene = Scene(step=1800)
    day = 48  # steps

    def starts(job: str, days: dict[int, int]) -> None:
        """Give the job starts, as step of the day by day."""
        values: list[str] = ["_"] * (21 * day)
        for number, step in days.items():
            at = number * day + step
            values[at : at + day] = [str(at * 1800)] * day
        name = "job_operation:progress_start_timestamp_seconds:max"
        scene.series.append({"series": f'{name}{{job="etl",progress_operation="{job}"}}', "values": " ".join(values)})

    starts("nightly", {**dict.fromkeys(range(14), 4), 14: 8, **dict.fromkeys(range(15, 21), 4)})
    starts("weekday", dict.fromkeys((each for each in range(20) if each % 7 not in {5, 6}), 4))
    starts("young", dict.fromkeys(range(10, 14), 4))
    name = "ProgressNeverStarted"
    missed = (
        {"severity": "critical", "job": "etl", "progress_operation": "nightly"},
        {
            "summary": "nightly (etl) usually runs by now and has not started",
            "description": "nightly (etl) started at this time in each of the last weeks; today it is 1h 0m 0s late.",
            **urls(name, "progress-operation", service="etl", operation="nightly"),
        },
    )
    for quiet in ("7d3h", "13d3h", "14d2h", "14d2h30m", "14d4h", "14d5h", "19d3h"):
        scene.expect(name, quiet)
    scene.expect(name, "14d3h", missed)
    scene.check(tmp_path)


def test_a_collector_that_does_not_answer_is_said_once(tmp_path: Path) -> None:
    """Two Collectors, both down from 10m to 20m: at 12m, two minutes later, one alert with both."""
    scene = Scene()
    for instance in ("c1", "c2"):
        scene.add(f'up{{job="collector",instance="{instance}"}}', "0s", "9m30s", 1, 0, "0x19", "1x20")
    name = "ProgressTelemetryDown"
    down = (
        {"severity": "critical", "job": "collector"},
        {
            "summary": "The Collector cannot be reached: what jobs send does not arrive",
            "description": "2 Collector(s) of the scrape job collector do not answer. "
            "Running jobs go on; nothing is seen of them.",
            **urls(name, "progress-reliability"),
        },
    )
    scene.expect(name, "9m30s").expect(name, "11m30s").expect(name, "12m", down).expect(name, "20m")
    scene.check(tmp_path)


def test_a_queue_that_fills_up_is_said_before_it_is_full(tmp_path: Path) -> None:
    """More than 80 % from 10m to 20m, after a slow rise: five minutes later, at 15m, with the value, 90 %."""
    labels = 'job="collector",instance="c",exporter="otlp_http/traces",data_type="traces"'
    scene = Scene().add(f"otelcol_exporter_queue_capacity{{{labels}}}", "0s", "30m", 200)
    scene.add(f"otelcol_exporter_queue_size{{{labels}}}", "0s", "9m30s", 160 - 19, 1, "180x19", "160x20")
    name = "ProgressTelemetryStuck"
    stuck = (
        {"severity": "warning", "exporter": "otlp_http/traces", "data_type": "traces"},
        {
            "summary": "The Collector's queue for otlp_http/traces is filling up",
            "description": "The queue of otlp_http/traces (traces) is 90% full: its backend is down or too slow. "
            "When it is full, jobs are told to keep their telemetry.",
            **urls(name, "progress-reliability"),
        },
    )
    scene.expect(name, "9m30s").expect(name, "14m30s").expect(name, "15m", stuck).expect(name, "20m")
    scene.check(tmp_path)


def test_dropped_telemetry_is_said_for_an_hour(tmp_path: Path) -> None:
    """Two processes drop 3 and 4 records at 10m; one sample each. An hour later nothing is said."""
    scene = Scene()
    for process, records in (("a", 3), ("b", 4)):
        labels = f'job="etl",instance="{process}",progress_reason="queue_full"'
        scene.add(f"progress_telemetry_dropped_total{{{labels}}}", "10m", "12m", records)
    scene.add('progress_telemetry_dropped_total{job="etl",instance="c",progress_reason="queue_full"}', "0s", "2h", 0)
    name = "ProgressTelemetryLost"
    lost = (
        {"severity": "warning", "job": "etl", "progress_reason": "queue_full"},
        {
            "summary": "etl drops telemetry of its own: queue_full",
            "description": "etl dropped 7 record(s) in the last hour because of queue_full.",
            **urls(name, "progress-reliability"),
        },
    )
    scene.expect(name, "9m30s").expect(name, "10m", lost).expect(name, "1h9m30s", lost).expect(name, "1h10m30s")
    scene.check(tmp_path)


def test_every_alert_has_a_case() -> None:
    """Named in a scene of this file, or of the one for runs."""
    source = Path(__file__).read_text(encoding="utf-8")
    assert [each.name for each in ALERTS if each.name not in TESTED_ELSEWHERE and f'"{each.name}"' not in source] == []
