"""What Jaeger shows of the nightly import: the tree, the true times, the counts, the endings."""

from __future__ import annotations

import pytest

from otel_progress import names

from .nightly import OPERATION, SLACK_SECONDS, SPANS, Watched


def test_jaeger_finds_nothing_wrong_with_the_trace(watched: Watched) -> None:
    """No warning, no span id twice, no parent missing, nothing but the job's own levels."""
    assert watched.trace.problems() == []
    assert len(watched.trace.spans) == SPANS


def test_parents_are_the_levels_around(watched: Watched) -> None:
    """The tree of spans is the tree of levels."""
    name = {span.span_id: span.name for span in watched.trace.spans}
    parents = [(span.name, name[span.parent_id] if span.parent_id else "") for span in watched.trace.spans]
    assert sorted(parents) == [
        ("audit", OPERATION),
        ("copy", OPERATION),
        ("load", OPERATION),
        (OPERATION, ""),
        ("read", OPERATION),
        ("sample", OPERATION),
        ("table", "copy"),
        ("table", "copy"),
        ("verify", OPERATION),
    ]


def test_spans_last_as_long_as_their_levels(watched: Watched) -> None:
    """By the job's own watch."""
    seconds = watched.facts["seconds"]
    customers, orders = watched.trace.named("table")
    found = {span.name: span.seconds for span in watched.trace.spans if span.name in seconds}
    found |= {"customers": customers.seconds, "orders": orders.seconds}
    assert found == pytest.approx(seconds, abs=SLACK_SECONDS)


def test_a_span_says_what_its_level_counted(watched: Watched) -> None:
    """Counts, total, bytes, counters and unit of `load`, as attributes."""
    attributes = watched.trace.only("load").attributes
    expected = {
        names.OPERATION: OPERATION,
        names.LEVEL: "load",
        names.STATE: "completed",
        names.OUTCOME: "completed",
        names.RECORD: "span",
        names.DONE: 40,
        names.LIMIT: 40,
        names.FAILED: 3,
        names.SKIPPED: 2,
        names.BYTES: 5000,
        names.UNIT: "{row}",
        names.FRACTION: 1,
        f"{names.COUNTER_PREFIX}tokens": 812,
        f"{names.COUNTER_PREFIX}rejects": 6,
    }
    assert {name: attributes.get(name) for name in expected} == expected


def test_instances_are_told_apart_by_id(watched: Watched) -> None:
    """Both tables have one name and their own id; the second has the message it was left with."""
    customers, orders = watched.trace.named("table")
    assert (customers.attributes[names.LEVEL_ID], orders.attributes[names.LEVEL_ID]) == ("customers", "orders")
    assert orders.attributes[names.MESSAGE] == "half way"


def test_endings_are_what_left_the_levels(watched: Watched) -> None:
    """Only the level an exception left is an error, with its type."""
    outcomes = {span.name: span.attributes[names.OUTCOME] for span in watched.trace.spans}
    assert outcomes == {
        OPERATION: "completed",
        **dict.fromkeys(("read", "load", "copy", "table"), "completed"),
        "verify": "failed",
        "audit": "cancelled",
        "sample": "abandoned",
    }
    errors = {span.name: span.attributes.get(names.ERROR_TYPE) for span in watched.trace.spans if span.is_error}
    assert errors == {"verify": "LookupError"}
