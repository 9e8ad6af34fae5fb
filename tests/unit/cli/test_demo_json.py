from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import pytest

from otel_progress import Change, Estimate, Snapshot, State, operation
from otel_progress._model import ChangeKind
from otel_progress.cli import _demo_json
from otel_progress.cli._demo_job import Job
from otel_progress.cli._demo_json import Lines
from otel_progress.cli._demo_setup import Surroundings
from tests.unit.cli.conftest import Tree


def level(key: int = 1, *, done: float = 0, state: State = State.RUNNING, **fields: Any) -> Snapshot:  # noqa: ANN401
    """A level as it may be seen."""
    with operation("demo") as made:
        seen = made.snapshot()
    ended_at = None if state is State.RUNNING else 1_700_000_009.0
    given = {"key": key, "done": done, "state": state, "started_at": 1_700_000_000.0, "ended_at": ended_at, **fields}
    return Snapshot(**{name: getattr(seen, name) for name in Snapshot.__slots__} | given)


def written(*changes: tuple[ChangeKind, Snapshot]) -> list[dict[str, Any]]:
    """The lines that these changes make."""
    stream = io.StringIO()
    lines = Lines(stream, give_up=lambda: None)
    for kind, snapshot in changes:
        lines.change(Change(kind, snapshot))
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def told(*changes: tuple[ChangeKind, Snapshot]) -> list[tuple[str, int, float]]:
    """The event, level and count of each line."""
    return [(line["event"], line["key"], line["done"]) for line in written(*changes)]


def test_a_level_starts_goes_on_and_ends() -> None:
    """Two levels do so each for itself; a change of state is progress as well."""
    assert told(
        ("started", level(1)),
        ("started", level(2)),
        ("advanced", level(1, done=3)),
        ("ended", level(2, done=2, state=State.FAILED)),
        ("state_changed", level(1, done=3, state=State.PAUSED)),
        ("ended", level(1, done=5, state=State.COMPLETED)),
    ) == [
        ("start", 1, 0),
        ("start", 2, 0),
        ("progress", 1, 3),
        ("end", 2, 2),
        ("progress", 1, 3),
        ("end", 1, 5),
    ]


def test_what_was_seen_before_the_end_is_not_told_after_it() -> None:
    """Two threads tell of the same moment in either order; a reader need not care."""
    end: tuple[ChangeKind, Snapshot] = ("ended", level(1, done=5, state=State.COMPLETED))
    assert told(("started", level(1)), end, ("advanced", level(1, done=4)), end) == [("start", 1, 0), ("end", 1, 5)]


def test_done_does_not_go_back() -> None:
    """An older look at the level that comes late is left out."""
    assert told(("started", level(1)), ("advanced", level(1, done=4)), ("advanced", level(1, done=3))) == [
        ("start", 1, 0),
        ("progress", 1, 4),
    ]


def test_a_start_that_comes_late_is_told_once() -> None:
    """The first that is heard of a level is its start."""
    assert told(("advanced", level(1, done=2)), ("started", level(1, done=2)), ("advanced", level(1, done=3))) == [
        ("start", 1, 2),
        ("progress", 1, 3),
    ]


def test_a_line_says_what_is_known_and_null_for_the_rest() -> None:
    """Times are unix seconds: of the end, or of the look while it runs."""
    eta = Estimate(expected=8.0, low=5.0, high=13.0, confidence=0.5, method="linear")
    running, ended = written(
        ("advanced", level(7, done=3, total=4, elapsed_seconds=2.5, eta=eta, message="copying")),
        ("ended", level(7, done=3, state=State.FAILED, error_type="OSError")),
    )
    assert {name: running[name] for name in ("time", "done", "total", "message", "state", "path")} == {
        "time": 1_700_000_002.5,
        "done": 3,
        "total": 4,
        "message": "copying",
        "state": "running",
        "path": ["demo"],
    }
    assert (running["eta_low_seconds"], running["eta_seconds"], running["eta_high_seconds"]) == (5.0, 8.0, 13.0)
    assert (ended["time"], ended["error_type"], ended["total"], ended["eta_seconds"]) == (
        1_700_000_009.0,
        "OSError",
        None,
        None,
    )


def test_the_help_names_every_field(tree: Tree) -> None:
    """And the summary's."""
    stream = io.StringIO()
    lines = Lines(stream, give_up=lambda: None)
    lines.setup(tree.root, Surroundings(None, None, ()))
    lines.change(Change("started", level()))
    lines.summary(Job(tree.root, quick=True).run(), State.COMPLETED)
    fields = {name for line in stream.getvalue().splitlines() for name in json.loads(line)}
    words = set(_demo_json.SCHEMA.replace(",", " ").replace(":", " ").replace('"', " ").split())
    assert fields - words == set()


def test_nobody_reading_stops_the_job() -> None:
    """A pipe that is closed is no error; whoever writes is asked to give up, and nothing more is written."""

    class Closed(io.StringIO):
        writes = 0

        def write(self, _: str) -> int:
            self.writes += 1
            raise BrokenPipeError

    asked: list[str] = []
    closed = Closed()
    lines = Lines(closed, give_up=lambda: asked.append("stop"))
    lines.setup(Path(), Surroundings(None, None, ()))
    lines.change(Change("started", level()))
    assert lines.is_broken
    assert asked == ["stop"]
    assert closed.writes == 1


def test_a_number_that_json_does_not_know_never_gets_out() -> None:
    """Readers in other languages stop at NaN: better a level that is not told than a line that cannot be read."""
    stream = io.StringIO()
    lines = Lines(stream, give_up=lambda: None)
    with pytest.raises(ValueError, match="not JSON compliant"):
        lines.change(Change("started", level(quality=math.nan)))
    assert stream.getvalue() == ""
