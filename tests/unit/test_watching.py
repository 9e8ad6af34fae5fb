"""Deviations of live levels: in metrics, events, snapshots and callbacks at once, and on the span at the end."""

from __future__ import annotations

from otel_progress import Change, Level, Severity, flush, level, names, on_change, operation
from otel_progress._watching import WATCHED_AFTER_SECONDS
from otel_progress.deviation import Monitor
from otel_progress.testing import Capture
from tests.unit.kit import attribute, the_span

SENTENCE = "parse has not advanced for 7.0 s; its longest earlier pause was 2.0 s"
STALLED = {"deviation_kind": "stalled", "severity": "warn"}


def steady(progress: Capture, lvl: Level, seconds: int) -> None:
    """Do one item a second."""
    for _ in range(seconds):
        lvl.advance()
        progress.tick(1.0)


def silence(progress: Capture, seconds: int) -> None:
    """Let time pass."""
    for _ in range(seconds):
        progress.tick(1.0)


def test_a_stall_reaches_metrics_events_and_snapshots_at_once(progress: Capture) -> None:
    """And its end does as well."""
    with operation("import"), level("parse", id="a.csv", total=1_000) as parse:
        steady(progress, parse, 30)
        # 15 % of 30 s are 4.5 s; three times the longest pause are 6 s: the first two seconds were not looked at.
        silence(progress, 6)
        assert progress.points("progress.deviation") == {}
        assert parse.snapshot().deviations == ()
        silence(progress, 1)
        (stall,) = parse.snapshot().deviations
        assert (stall.kind.value, stall.severity, stall.sentence) == ("stalled", Severity.WARN, SENTENCE)
        labels = {"operation": "import", "level": "parse", **STALLED}
        assert progress.value("progress.deviation", **labels) == 1
        assert progress.value("progress.deviations", **labels) == 1
        (event,) = progress.events("progress.deviation")
        assert (event.body, event.severity_text) == (SENTENCE, "WARN")
        assert event.attributes[names.DEVIATION_KIND] == "stalled"
        assert event.attributes[names.SEVERITY] == "warn"
        assert event.attributes[names.LEVEL_ID] == "a.csv"
        assert progress.events("progress.recovered") == []
        steady(progress, parse, 1)
        assert progress.value("progress.deviation", **labels) == 0
        assert progress.value("progress.deviations", **labels) == 1
        (over,) = progress.events("progress.recovered")
        assert (over.body, over.severity_text) == (f"over: {SENTENCE}", "INFO")
        assert parse.snapshot().deviations == ()
    assert attribute(the_span(progress, "parse"), names.DEVIATION_KINDS) == ("stalled",)
    assert attribute(the_span(progress, "import"), names.DEVIATION_KINDS) is None
    assert progress.value("progress.deviations", **labels) == 1


def test_a_stall_that_lasts_becomes_an_error_once(progress: Capture) -> None:
    """From four times the limit of 6 s on; it counts there, and there is an event for it."""
    with operation("import", total=1_000) as job:
        steady(progress, job, 30)
        silence(progress, 30)
        severities = [event.severity_text for event in progress.events("progress.deviation")]
        assert severities == ["WARN", "ERROR"]
        counts = {
            severity: progress.value(
                "progress.deviations", operation="import", deviation_kind="stalled", severity=severity
            )
            for severity in ("warn", "error")
        }
        assert counts == {"warn": 1, "error": 1}
        assert progress.value("progress.deviation", operation="import", **STALLED) == 0
        assert progress.value("progress.deviation", operation="import", deviation_kind="stalled", severity="error") == 1


def test_callbacks_hear_of_deviations(progress: Capture) -> None:
    """With the deviation that began, or is over."""
    heard: list[Change] = []
    with on_change(heard.append), operation("import", total=1_000) as job:
        steady(progress, job, 30)
        silence(progress, 7)
        steady(progress, job, 1)
        assert flush(10)
    told = [change for change in heard if change.deviation is not None]
    assert [change.kind for change in told] == ["deviation", "recovered"]
    assert [change.deviation and change.deviation.kind.value for change in told] == ["stalled", "stalled"]
    assert [len(change.level.deviations) for change in told] == [1, 0]


def test_a_pause_is_no_deviation(progress: Capture) -> None:
    """However long."""
    with operation("import", total=1_000) as job:
        steady(progress, job, 30)
        job.pause("for lunch")
        silence(progress, 100)
        job.resume()
        silence(progress, 6)
        assert progress.points("progress.deviations") == {}
        silence(progress, 2)
        assert len(progress.points("progress.deviations")) == 1


def test_waiting_for_rate_limits_is_read_from_the_standard_counter(progress: Capture) -> None:
    """Seconds, as `count` was told."""
    with operation("crawl", total=1_000) as job:
        for _ in range(20):
            job.count("rate_limit_wait_seconds", 0.9)
            steady(progress, job, 1)
        (limited,) = job.snapshot().deviations
        assert limited.sentence == "crawl waits for rate limits 90 % of the time"


def test_a_short_level_has_no_monitor(progress: Capture) -> None:
    """It takes memory, and there is nothing to say of it yet."""
    with operation("import", total=1_000) as job:
        state = progress.runtime.registry.live()[0]
        steady(progress, job, int(WATCHED_AFTER_SECONDS) - 1)
        assert state.outlook.monitor is None
        steady(progress, job, 1)
        assert isinstance(state.outlook.monitor, Monitor)
    assert state.outlook.monitor is None


def test_what_fails_in_watching_is_contained(progress: Capture) -> None:
    """The job goes on, and it is counted."""

    class Broken(Monitor):
        def check(self, *_: object) -> tuple[()]:  # type: ignore[override]
            raise RuntimeError("oops")

    with operation("import", total=1_000) as job:
        steady(progress, job, 1)
        progress.runtime.registry.live()[0].outlook.monitor = Broken(1_000.0)
        steady(progress, job, 5)
    assert progress.value("progress.telemetry.contained", reason="deviation") == 5
    assert attribute(the_span(progress, "import"), names.OUTCOME) == "completed"
