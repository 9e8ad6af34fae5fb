"""``otel-progress demo --quick`` through the real stack: what it counted itself is what the backends say."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import pytest

from otel_progress import names

from .job import LIVELY, ONE_SPAN, command, environment
from .nightly import SLACK_SECONDS
from .programs import wait_for
from .prometheus import Picture, durations, items, series
from .rig import Stack
from .traces import Span, Trace

SERVICE = "demo-quick"
COMMAND = "import sys; from otel_progress.cli import main; sys.exit(main(sys.argv[1:]))"
"""What the console script does; it works without one being installed, too."""


@dataclass
class Demo:
    """What a run of the demo said about itself, and what the backends say about it."""

    summary: dict[str, Any]
    ends: list[dict[str, Any]]
    totals: Picture
    trace: Trace


@pytest.fixture(scope="module")
def demo(stack: Stack) -> Demo:
    """Run the demo, pushing to the Collector; wait until all of it has arrived."""
    env = environment(stack.collector.otlp_url, SERVICE, {**LIVELY, **ONE_SPAN})
    started_at = time.time()
    with command(["-c", COMMAND, "demo", "--quick", "--json", "--prometheus", "0"], env, stack.folder) as running:
        summary = running.finish()
    assert summary["event"] == "summary"
    ends = [each for each in running.said if each["event"] == "end"]
    trace = stack.jaeger.whole_trace(SERVICE, len(ends))
    ended = durations("demo", None, "completed")
    wait_for(lambda: stack.prometheus.totals(SERVICE, started_at).get(ended), what="the demo's end in Prometheus")
    return Demo(summary, ends, stack.prometheus.totals(SERVICE, started_at), trace)


def path(span: Span) -> list[str]:
    """Return the names from the operation down; an operation's span is its own path."""
    names_down: list[str] = span.attributes.get(names.PATH, [span.name])
    return names_down


def test_the_totals_are_what_the_demo_counted_itself(demo: Demo) -> None:
    """Folders, files, bytes and lines, each with its outcome; the demo counts them with plain integers of its own."""
    own, telemetry = demo.summary, demo.totals
    expected = {
        items("demo", "scan", "ok"): own["folders"],
        items("demo", "scan", "failed"): own["unreadable_folders"],
        items("demo", "process", "ok"): own["text_bytes"],
        items("demo", "folder", "ok"): own["compressed"],
        items("demo", "folder", "skipped"): own["not_text"],
        items("demo", "folder", "failed"): own["unreadable"],
        items("demo", "verify", "ok"): own["verified"],
        items("demo", "verify", "failed"): own["damaged"],
        series(names.BYTES_DONE, "demo", "folder"): own["bytes_read"],
        series(names.COUNTER, "demo", progress_counter_name="lines"): own["lines"],
        series(names.COUNTER, "demo", progress_counter_name="compressed_bytes", progress_counter_unit="By"): own[
            "compressed_bytes"
        ],
    }
    assert {each: telemetry.get(each, 0) for each in expected} == expected
    assert own["compressed"] > 100, "the demo was meant to do something"


def test_every_level_that_ended_is_in_the_histogram_once(demo: Demo) -> None:
    """As many durations as end lines, by level and outcome."""
    expected: Picture = {}
    for end in demo.ends:
        level = end["path"][-1] if len(end["path"]) > 1 else None
        each = durations("demo", level, end["state"])
        expected[each] = expected.get(each, 0) + 1
    name = f"{names.LEVEL_DURATION.prometheus}_count"
    counted = {each: value for each, value in demo.totals.items() if each[0] == name}
    assert counted == expected


def test_the_trace_is_whole(demo: Demo) -> None:
    """One span a level, below the operation whose trace id the summary names; Jaeger has nothing to warn of."""
    assert demo.trace.trace_id == demo.summary["trace_id"]
    assert len(demo.trace.spans) == len(demo.ends)
    assert demo.trace.problems() == []


def test_each_span_says_what_the_end_line_says(demo: Demo) -> None:
    """Path, instance, state, counts and duration of every single level; two files may have one name."""
    spans = sorted(
        (
            *(path(span), str(span.attributes.get(names.LEVEL_ID)), span.attributes[names.OUTCOME]),
            *(span.attributes.get(name, 0) for name in (names.DONE, names.FAILED, names.SKIPPED, names.BYTES)),
            *(span.attributes.get(names.LIMIT, -1), span.seconds),
        )
        for span in demo.trace.spans
    )
    ends = sorted(
        (
            *(end["path"], str(end["id"]), end["state"]),
            *(end[name] for name in ("done", "failed", "skipped", "bytes")),
            *(-1 if end["total"] is None else end["total"], end["elapsed_seconds"]),
        )
        for end in demo.ends
    )
    assert [span[:-1] for span in spans] == [end[:-1] for end in ends]
    assert [span[-1] for span in spans] == pytest.approx([end[-1] for end in ends], abs=SLACK_SECONDS)


def test_parents_are_the_levels_around(demo: Demo) -> None:
    """By the paths of the levels: also for those that ran in threads of a pool."""
    paths = {span.span_id: path(span) for span in demo.trace.spans}
    for span in demo.trace.spans:
        assert (paths[span.parent_id] if span.parent_id else []) == path(span)[:-1]


def test_phases_took_as_long_as_the_demo_measured(demo: Demo) -> None:
    """Scan, process and verify, by the demo's own watch."""
    found = {phase: demo.trace.only(phase).seconds for phase in demo.summary["phase_seconds"]}
    assert found == pytest.approx(demo.summary["phase_seconds"], abs=SLACK_SECONDS)


def test_the_fraction_never_went_back(stack: Stack, demo: Demo) -> None:  # it must have run
    """As Prometheus has seen it, twice a second while the demo ran."""
    selector = f'{names.LEVEL_FRACTION.prometheus}{{service_name="{SERVICE}",progress_level=""}}'
    (fraction,) = stack.prometheus.samples(selector)
    values = [value for _, value in fraction.values]
    assert len(values) >= 4
    assert values == sorted(values)
    assert 0 <= values[0] < values[-1] <= 1
