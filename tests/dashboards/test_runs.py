"""What pushed metrics get wrong, put right: short runs count, ended runs are over, killed runs stay dead."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.dashboards.promtool import Scene, urls

NIGHTLY = 'job="etl",progress_operation="nightly"'
CONDITION = "max by (job, progress_operation) (job_operation_condition:progress_condition:code)"
RUNS = "job_operation_outcome:progress_runs:total1d"
DEAD = "job_instance_operation:progress_silent_seconds:max"
RUNNING, DEAD_CODE = 2.0, 14.0


def dead(process: str, silent: str) -> tuple[dict[str, str], dict[str, str]]:
    """The alert for a process of the job."""
    return (
        {"severity": "critical", "job": "etl", "instance": process, "progress_operation": "nightly"},
        {
            "summary": "A process of nightly (etl) ended without a word",
            "description": f"nightly (etl), process {process}, was running and has not been heard of for {silent}.",
            **urls("ProgressDead", "progress-operation", service="etl", operation="nightly"),
        },
    )


def test_a_run_of_two_seconds_counts_for_a_day(tmp_path: Path) -> None:
    """One sample after its end is all there is; it counts a moment, an hour and 23 hours later, and not after a day."""
    scene = Scene(step=300).finished_run("a", "10m", "10m")
    one = (f'{RUNS}{{{NIGHTLY},progress_outcome="completed"}}', 1.0)
    for at in ("10m", "20m", "1h10m", "23h"):
        scene.value(RUNS, at, one)
    scene.value(RUNS, "5m").value(RUNS, "1d15m")
    scene.check(tmp_path)


def test_every_total_has_the_short_run(tmp_path: Path) -> None:
    """Items and seconds of one sample are whole in their slot: 7 items, 2 s; three processes are one sum, 7 + 8 + 9."""
    scene = Scene()
    for process, items in (("a", 7), ("b", 8), ("c", 9)):
        labels = f'job="etl",instance="{process}",progress_operation="nightly",progress_level="load"'
        scene.add(f'progress_items_total{{{labels},progress_item_outcome="ok"}}', "11m", "11m", items)
    scene.finished_run("a", "11m", "11m")
    rule = "job_operation_level_item_outcome:progress_items:total5m"
    scene.value(rule, "15m", (f'{rule}{{{NIGHTLY},progress_level="load",progress_item_outcome="ok"}}', 24.0))
    rule = "job_operation_level_outcome:progress_level_duration_seconds_sum:total5m"
    scene.value(rule, "15m", (f'{rule}{{{NIGHTLY},progress_outcome="completed"}}', 2.0))
    scene.check(tmp_path)


def test_totals_of_slots_add_up_to_what_was_counted(tmp_path: Path) -> None:
    """
    A counter that goes 0, 10, 20 ... every 30 s until 1000 at 50m, has a hole from 60m to 80m, and lives on unchanged.

    The slots that begin at full five minutes sum to 1000; a window without the day of memory would count 1000 again
    after
    the hole.
    """
    labels = 'job="etl",instance="a",progress_operation="nightly",progress_level="load",progress_item_outcome="ok"'
    scene = Scene().add(f"progress_items_total{{{labels}}}", "0s", "50m", 0, 10, "1000x20", "_x40", "1000x80")
    rule = "job_operation_level_item_outcome:progress_items:total5m"
    scene.value(
        f"sum_over_time({rule}[2h:5m])",
        "2h",
        (f'{{{NIGHTLY},progress_level="load",progress_item_outcome="ok"}}', 1000.0),
    )
    scene.check(tmp_path)


def test_a_counter_that_starts_anew_under_the_same_labels_is_never_negative(tmp_path: Path) -> None:
    """A scraped process that was restarted: 5 runs, then 2 of its own; a day later the 2 are all there is."""
    labels = 'job="etl",instance="host:9464",progress_operation="nightly",progress_outcome="completed"'
    scene = Scene(step=300).add(
        f"progress_level_duration_seconds_count{{{labels}}}", "0s", "20h", 5, 0, "2x240"
    )  # 20h of 5, 20h of 2
    scene.value(RUNS, "1d10h", (f'{RUNS}{{{NIGHTLY},progress_outcome="completed"}}', 2.0))
    scene.check(tmp_path)


@pytest.mark.parametrize("told", ["", "1h40m"])
def test_a_run_that_ended_is_over_at_once(tmp_path: Path, told: str) -> None:
    """Whether its process ends or lives on: running at 39m30s, over at 40m, and nobody misses it an hour later."""
    scene = Scene().finished_run("a", "10m", "40m", told=told)
    scene.value(CONDITION, "39m30s", (f"{{{NIGHTLY}}}", RUNNING))
    for at in ("40m", "40m30s", "43m", "1h40m"):
        scene.value(CONDITION, at).value(DEAD, at).expect("ProgressDead", at)
    scene.check(tmp_path)


def test_a_killed_run_is_dead(tmp_path: Path) -> None:
    """
    Last heard of at 10m: more than 120 s ago at 12m30s; the alert fires a minute later, 210 s after.

    Prometheus' own look-back of five minutes does not heal it: it is there an hour later, and is not running as well.
    """
    scene = Scene().run("a", "0s", "10m")
    scene.value(CONDITION, "12m", (f"{{{NIGHTLY}}}", RUNNING))
    scene.value(CONDITION, "12m30s", (f"{{{NIGHTLY}}}", DEAD_CODE))
    scene.value('job_operation_condition:progress_condition:code{condition="running"}', "12m30s")
    scene.expect("ProgressDead", "13m").expect("ProgressDead", "13m30s", dead("a", "3m 30s"))
    scene.expect("ProgressDead", "1h10m", dead("a", "1h 0m 0s"))
    scene.check(tmp_path)


def test_a_killed_run_is_dead_until_the_window_ends(tmp_path: Path) -> None:
    """After 23 hours still, after a day no more."""
    scene = Scene(step=300).run("a", "0s", "10m")
    scene.expect("ProgressDead", "23h10m", dead("a", "23h 0m 0s"))
    scene.expect("ProgressDead", "1d15m").value(CONDITION, "1d15m")
    scene.check(tmp_path)


def test_a_killed_run_is_dead_until_a_later_start(tmp_path: Path) -> None:
    """The job is started again at 1h: no longer dead, but running, and nothing fires when that run ends well."""
    scene = Scene().run("a", "0s", "10m").finished_run("b", "1h", "1h20m")
    scene.expect("ProgressDead", "59m30s", dead("a", "49m 30s"))
    for at in ("1h", "1h10m", "1h20m", "2h"):
        scene.expect("ProgressDead", at)
    scene.value(CONDITION, "1h10m", (f"{{{NIGHTLY}}}", RUNNING)).value(CONDITION, "1h30m")
    scene.check(tmp_path)


def test_a_later_start_of_two_seconds_is_one(tmp_path: Path) -> None:
    """Started again at 1h, with nothing left to do: never seen running; its duration tells when it started."""
    scene = Scene().run("a", "0s", "10m").finished_run("b", "1h", "1h")
    scene.expect("ProgressDead", "59m30s", dead("a", "49m 30s")).expect("ProgressDead", "1h").expect(
        "ProgressDead", "3h"
    )
    scene.check(tmp_path)


def test_a_replica_that_goes_on_does_not_hide_one_that_died(tmp_path: Path) -> None:
    """Both started at 0; one is killed at 10m, the other works on for two hours and ends well: the death stays."""
    scene = Scene().run("a", "0s", "10m").finished_run("b", "0s", "2h")
    for at, silent in (("30m", "20m 0s"), ("2h", "1h 50m 0s"), ("3h", "2h 50m 0s")):
        scene.expect("ProgressDead", at, dead("a", silent))
    scene.check(tmp_path)


def test_nobody_is_called_dead_while_the_collector_is_down(tmp_path: Path) -> None:
    """It is down from 10m to 40m: one alert says so, and the job, which goes on, is not said to be dead."""
    scene = Scene().run("a", "0s", "1h10m", unheard=("10m", "40m"))
    scene.add('up{job="collector",instance="c"}', "0s", "10m", 1, 0, "0x59", "1x80")
    for at in ("14m30s", "20m", "39m30s", "40m", "41m", "1h"):
        scene.expect("ProgressDead", at)
    scene.check(tmp_path)


def test_a_worker_that_has_only_levels_can_die_too(tmp_path: Path) -> None:
    """Its operation is in another process; what was heard of it last is a level that runs."""
    scene = Scene().run("a", "0s", "10m", level="chunk")
    scene.expect("ProgressDead", "13m").expect("ProgressDead", "13m30s", dead("a", "3m 30s"))
    scene.check(tmp_path)


def test_the_start_of_a_run_is_remembered(tmp_path: Path) -> None:
    """Seen running from 10m on; told by a duration of 2 s at 1h, so 3598 s; the later one counts for the operation."""
    start = "job_operation:progress_start_timestamp_seconds:max"
    scene = Scene().finished_run("a", "10m", "30m").finished_run("b", "1h", "1h")
    scene.value(start, "9m30s").value(start, "15m", (f"{start}{{{NIGHTLY}}}", 600.0))
    scene.value(start, "50m", (f"{start}{{{NIGHTLY}}}", 600.0)).value(start, "2h", (f"{start}{{{NIGHTLY}}}", 3598.0))
    scene.check(tmp_path)
