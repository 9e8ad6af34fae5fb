from __future__ import annotations

import pytest

from otel_progress._model import CounterValue, Snapshot
from otel_progress.names import State
from otel_progress.terminal import words
from tests.unit.terminal.trees import estimate, level


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("plain", "plain"),
        ("two\nlines\tand\r more", "two lines and more"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("clear\x1b[2J\x1b[H me", "clear me"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b31mred", "red"),
        ("bell\x07 null\x00", "bell null"),
        ("left \u202eright\u202c to left", "left right to left"),
        ("lone \udcff surrogate", "lone surrogate"),
        ("[red]markup[/red]", "[red]markup[/red]"),
        ("日本語 🚀", "日本語 🚀"),
        ("\x1b", ""),
    ],
)
def test_user_text_becomes_one_printable_line(given: str, shown: str) -> None:
    """Nothing that a name or message holds can move the cursor, colour the screen or break the line."""
    assert words.plain(given) == shown


def test_endless_text_is_cut() -> None:
    """A name of ten thousand characters costs no more than one of five hundred."""
    assert len(words.plain("x" * 10_000)) == 500


@pytest.mark.parametrize(
    ("snapshot", "heading"),
    [
        (level("orders"), ("orders", "")),
        (level("orders", id="2026-05-01.csv"), ("orders", "2026-05-01.csv")),
        (level("orders", title="Orders of May"), ("Orders of May", "")),
        (level("orders", title="Orders of May", id="7"), ("Orders of May", "7")),
    ],
)
def test_title_stands_in_for_the_name(snapshot: Snapshot, heading: tuple[str, str]) -> None:
    """People read titles; the instance follows in any case."""
    assert words.heading(snapshot) == heading


def test_path_leads_from_the_operation_to_the_instance() -> None:
    """A plain line has to say by itself where it belongs."""
    child = level("import", level("orders", id="7")).children[0]
    assert words.path(child) == "import > orders [7]"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, ""),
        ({"done": 4}, "4 items"),
        ({"done": 4, "total": 9}, "4/9 items"),
        ({"total": 9}, "0/9 items"),
        ({"bytes": 5_000_000}, "5.00 MB"),
        ({"done": 4, "bytes": 5_000_000}, "4 items"),
    ],
)
def test_progress_is_items_else_bytes_else_nothing(changes: dict[str, float], text: str) -> None:
    """Unknown is unknown: no total is no total, and nothing counted is not shown as 0."""
    assert words.progress(level(**changes)) == text


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({}, ""),
        ({"state": State.PENDING}, "waiting"),
        ({"state": State.PAUSED}, "paused"),
        ({"state": State.RETRYING}, "retrying"),
        ({"cancel_requested": True}, "cancelling"),
        ({"state": State.CANCELLED, "cancel_requested": True}, ""),
    ],
)
def test_a_level_that_does_not_simply_run_says_why(changes: dict[str, object], word: str) -> None:
    """One word, not only a sign or a colour."""
    assert words.waiting(level(**changes)) == word


def test_nothing_is_promised_while_a_level_does_not_run() -> None:
    """A paused level has neither a speed nor an end."""
    paused = level(state=State.PAUSED, eta=estimate(180, 120, 300), rate_per_second=4.0)
    assert (words.time_left(paused), words.speed(paused)) == ("", "")


def test_an_end_that_cannot_be_foreseen_is_not_promised() -> None:
    """Infinity is no time; an interval without an upper end is no interval."""
    assert words.time_left(level(eta=estimate(float("inf"), 10, float("inf")))) == ""
    assert words.time_left(level(eta=estimate(180, 120, float("inf")))) == "~3 min"


def test_remarks_are_message_bytes_counters_and_quality() -> None:
    """In this order; a unit that the counter's name says already is not said twice."""
    snapshot = level(
        done=3,
        bytes=1_500_000,
        message="copying",
        counters={
            "tokens": CounterValue(812, "{token}"),
            "cost": CounterValue(1.24, "{USD}"),
            "rate_limit_wait_seconds": CounterValue(65, "s"),
        },
        quality=0.974,
    )
    assert words.remarks(snapshot) == [
        "copying",
        "1.50 MB",
        "tokens 812",
        "cost 1.24 USD",
        "rate_limit_wait_seconds 1 min 05 s",
        "quality 0.97",
    ]


def test_reason_is_told_while_it_holds() -> None:
    """Why a level retries is worth knowing; why it once did is not."""
    assert words.remarks(level(state=State.RETRYING, reason="HTTP 503")) == ["HTTP 503"]
    assert words.remarks(level(reason="HTTP 503")) == []


def test_finished_children_are_counted_by_how_they_ended() -> None:
    """Twelve ended, eight are listed, of those one failed and two were cancelled."""
    ends = [State.COMPLETED] * 5 + [State.FAILED] + [State.CANCELLED] * 2
    parent = level("job", *(level("step", state=state) for state in ends), level("step"), children_finished=12)
    assert words.children(parent) == "12 finished, 1 failed, 2 cancelled"
    assert words.children(level()) == ""


def test_the_only_finished_child_is_named() -> None:
    """By its title or name and instance, and by how it ended; one that is not listed can only be counted."""
    assert words.children(level("job", level("scan", id="7", state=State.COMPLETED))) == "scan 7 finished"
    assert words.children(level("job", level("scan", state=State.FAILED))) == "scan failed"
    assert words.children(level("job", children_finished=1)) == "1 finished"


@pytest.mark.parametrize(("unit", "text"), [("{row}", "22,644 skipped"), ("By", "22.6 kB skipped")])
def test_what_did_not_go_well_is_counted_as_what_did(unit: str, text: str) -> None:
    """Bytes as sizes, here too."""
    assert words.troubles(level(skipped=22_644, unit=unit)) == [text]


def test_few_children_tell_what_an_operation_did() -> None:
    """If it has no count of its own; many children are counted."""
    scan = level("scan", done=174, total=174, unit="{folder}", state=State.COMPLETED)
    process = level("process", done=5e6, total=9e6, unit="By", skipped=2000, state=State.INTERRUPTED)
    idle, broken = level("idle", state=State.COMPLETED), level("broken", state=State.FAILED)
    job = level("job", scan, process, idle, broken, state=State.INTERRUPTED)
    assert words.results(job) == [
        "scan 174 folders",
        "process 5.00 MB/9.00 MB (interrupted, 2.00 kB skipped)",
        "broken (failed)",
    ]
    assert words.results(level("job", idle, state=State.COMPLETED)) == ["1 level"]
    assert words.results(level("job", *[scan] * 5, state=State.COMPLETED)) == ["5 levels"]
    assert words.results(level("job", scan, done=3, state=State.COMPLETED)) == ["3 items"]


def test_an_ended_level_tells_three_counters() -> None:
    """A line has to stay readable; all of them are in the telemetry."""
    counters = {name: CounterValue(1, "1") for name in "abcde"}
    assert words.results(level(counters=counters, state=State.COMPLETED)) == ["a 1", "b 1", "c 1"]
    assert len(words.remarks(level(counters=counters))) == 5


@pytest.mark.parametrize(
    ("changes", "results"),
    [
        ({"state": State.COMPLETED, "done": 5, "total": 5, "failed": 3, "skipped": 2}, "5 items, 3 failed, 2 skipped"),
        ({"state": State.COMPLETED, "done": 7, "total": 9}, "7/9 items"),
        ({"state": State.COMPLETED}, ""),
        ({"state": State.COMPLETED, "children_finished": 1}, "1 level"),
        ({"state": State.COMPLETED, "children_finished": 14}, "14 levels"),
        ({"state": State.COMPLETED, "done": 3, "children_finished": 14}, "3 items"),
        (
            {"state": State.FAILED, "done": 6, "total": 9, "error_type": "ValueError", "error_message": "bad\nrow"},
            "ValueError: bad row, 6/9 items",
        ),
        ({"state": State.INTERRUPTED, "done": 6, "error_type": "KeyboardInterrupt"}, "6 items"),
        ({"state": State.CANCELLED, "reason": "too late"}, "too late"),
    ],
)
def test_an_ended_level_says_what_it_leaves(changes: dict[str, object], results: str) -> None:
    """The error first: it must not be what is cut off."""
    assert ", ".join(words.results(level(**changes))) == results
