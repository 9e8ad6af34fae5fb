from __future__ import annotations

from dataclasses import replace

import pytest

from otel_progress._model import Deviation, Snapshot
from otel_progress.names import DeviationKind, Severity, State
from otel_progress.terminal.lines import LineReporter
from tests.unit.terminal.trees import announced, estimate, level


def job(done: float = 0, total: float | None = 100, *, key: int = 1, **changes: object) -> Snapshot:
    """Return the operation that most tests follow."""
    return level("import", key=key, done=done, total=total, **changes)


def test_an_operation_is_reported_when_it_starts_and_when_it_ends() -> None:
    """Each once, however often it is looked at."""
    reporter = LineReporter()
    assert reporter.lines([job()], 0) == ["import: started"]
    assert reporter.lines([job()], 0.5) == []
    ended = job(100, state=State.COMPLETED, elapsed_seconds=125.0, failed=3)
    assert reporter.lines([ended], 1) == ["import: completed in 2 min 05 s, 100 items, 3 failed"]
    assert reporter.lines([ended], 2) == []


def test_a_line_says_all_there_is_to_know() -> None:
    """Share, count, speed, time, time left with its interval, failures, children, message."""
    child = level(
        "orders",
        level("chunk", state=State.COMPLETED),
        id="7",
        done=1204,
        total=2700,
        unit="{row}",
        rate_per_second=120.0,
        elapsed_seconds=65.0,
        eta=estimate(180, 120, 300),
        failed=3,
        message="copying",
    )
    operation = level("import", child)
    reporter = LineReporter()
    reporter.lines([operation], 0)
    assert reporter.lines([operation], 30)[1] == (
        "import > orders [7]: 44 %, 1,204/2,700 rows, 120 row/s, 1 min 05 s so far, ~3 min (2 to 5 min) left, "
        "3 failed, chunk finished, copying"
    )


def test_a_deviation_is_reported_at_once() -> None:
    """And again when there is one more; not again while it only lasts."""
    stalled = Deviation(DeviationKind.STALLED, Severity.WARN, 5.0, "import has not advanced for 7.0 s")
    limited = Deviation(DeviationKind.RATE_LIMITED, Severity.WARN, 9.0, "import waits for rate limits 60 % of the time")
    reporter = LineReporter()
    reporter.lines([job(1)], 0)
    (line,) = reporter.lines([job(1, deviations=(stalled,))], 1)
    assert ", import has not advanced for 7.0 s" in line
    assert reporter.lines([job(1, deviations=(stalled,))], 2) == []
    (line,) = reporter.lines([job(1, deviations=(stalled, limited))], 3)
    assert line.endswith("import has not advanced for 7.0 s, import waits for rate limits 60 % of the time")
    assert reporter.lines([job(1)], 4) == []
    assert len(reporter.lines([job(1, deviations=(stalled,))], 5)) == 1


def test_a_slow_level_is_reported_every_thirty_seconds() -> None:
    """Not at 29.9 s, at 30 s, and not again before 60 s."""
    reporter = LineReporter()
    reporter.lines([job(1)], 100)
    assert reporter.lines([job(1)], 129.9) == []
    assert len(reporter.lines([job(2)], 130)) == 1
    assert reporter.lines([job(2)], 159.9) == []
    assert len(reporter.lines([job(2)], 160)) == 1


def test_a_level_without_a_total_is_reported_every_thirty_seconds() -> None:
    """There are no tenths of the unknown."""
    reporter = LineReporter()
    reporter.lines([job(1, total=None)], 0)
    assert reporter.lines([job(10_000, total=None)], 29) == []
    assert reporter.lines([job(10_000, total=None)], 30) == ["import: 10,000 items, 1 min 00 s so far"]


def test_a_fast_level_is_reported_at_each_tenth() -> None:
    """At 9 % nothing, at 10 % a line, then nothing up to 19 %; a jump over several tenths is one line."""
    reporter = LineReporter()
    reporter.lines([job(0)], 0)
    told = {done: len(reporter.lines([job(done)], 2 + done)) for done in (9, 10, 19, 20, 59, 62)}
    assert told == {9: 0, 10: 1, 19: 0, 20: 1, 59: 1, 62: 1}


def test_tenths_that_come_within_three_seconds_are_one_line() -> None:
    """A job of five seconds does not print ten lines."""
    reporter = LineReporter()
    reporter.lines([job(0)], 0)
    told = [line for step in range(1, 20) for line in reporter.lines([job(5 * step)], step / 4)]
    assert len(told) == 1  # at 3.0 s; the next could come at 6.0 s


def test_a_level_is_not_reported_before_it_has_run_for_five_seconds() -> None:
    """What is over sooner is in the last line of its operation; an operation is told in any case."""
    reporter = LineReporter()

    def told(elapsed: float, done: float) -> list[str]:
        load = level("load", key=2, done=done, total=100, elapsed_seconds=elapsed)
        lines = reporter.lines([level("import", load, key=1, done=done, total=100)], elapsed)
        return [line.split(":")[0] for line in lines]

    assert told(0, 0) == ["import"]
    assert told(4.9, 50) == ["import"]
    assert told(5, 55) == ["import > load"]


def test_a_job_of_ten_seconds_is_ten_lines_at_most() -> None:
    """Two levels below it included: a log is not a live display."""
    reporter = LineReporter()
    lines: list[str] = []
    for second in range(11):
        state = State.COMPLETED if second == 10 else State.RUNNING
        now = {"done": 10 * second, "total": 100, "elapsed_seconds": second, "state": state}
        folder = level("folder", key=3, **now)
        operation = level("import", level("process", folder, key=2, **now), key=1, **now)
        lines += reporter.lines([operation], second, last=second == 10)
    assert 5 <= len(lines) <= 10


def test_a_share_that_falls_back_is_not_reported_twice() -> None:
    """A total that grows takes tenths back; coming over them again is no news."""
    reporter = LineReporter()
    reporter.lines([job(0)], 0)
    assert len(reporter.lines([job(50)], 3)) == 1
    assert reporter.lines([job(50, total=200)], 6) == []
    assert reporter.lines([job(110, total=200)], 9) == []
    assert len(reporter.lines([job(120, total=200)], 12)) == 1


def test_never_a_line_per_item() -> None:
    """Ten minutes are twenty lines: one each half minute or tenth, whichever comes first."""
    reporter = LineReporter()
    told = sum(len(reporter.lines([job(second, total=600)], second)) for second in range(600))
    assert told == 1 + 19  # the start; 600 s / 30 s, the tenths fall on every second of them


def test_many_levels_are_summarised() -> None:
    """Twenty lines at most in thirty seconds; the rest is counted."""
    reporter = LineReporter()
    operation = level("import", *(level("worker", id=str(index), elapsed_seconds=5 + index) for index in range(57)))
    reporter.lines([operation], 0)
    told = reporter.lines([operation], 30)
    assert len(told) == 21
    assert told[0].startswith("import: ")
    assert "import > worker [54]: 59 s so far" in told  # the longest ones: that is where the time goes
    assert told[-1] == "... and 38 more running"  # 58 levels less 20 lines


def test_a_failed_child_is_reported_although_the_operation_goes_on() -> None:
    """Once; a completed child is only counted."""
    failed = level("orders", id="7", state=State.FAILED, error_type="ValueError", error_message="bad row")
    operation = level("import", failed, level("orders", state=State.COMPLETED))
    reporter = LineReporter()
    assert reporter.lines([operation], 0)[1:] == ["import > orders [7]: failed after 1 min 00 s, ValueError: bad row"]
    assert reporter.lines([operation], 1) == []


def test_what_only_waits_to_begin_is_not_reported() -> None:
    """An announced phase has nothing to say, for however long."""
    reporter = LineReporter()
    operation = level("import", announced("copy"), announced("verify"))
    reporter.lines([operation], 0)
    assert reporter.lines([operation], 1000) == ["import: 1 min 00 s so far"]


@pytest.mark.parametrize("state", [State.PAUSED, State.RETRYING])
def test_why_a_level_does_not_get_on_comes_first(state: State) -> None:
    """Paused and retrying are what a reader of a log looks for."""
    reporter = LineReporter()
    waiting = job(5, state=state, reason="HTTP 503")
    reporter.lines([waiting], 0)
    assert reporter.lines([waiting], 30) == [f"import: {state}, 5 %, 5/100 items, 1 min 00 s so far, HTTP 503"]


def test_a_flood_of_operations_is_folded() -> None:
    """A service handles 500 requests a second: twenty are told, the others are counted by how they ended."""
    reporter = LineReporter()
    ends = [State.FAILED if index % 100 == 99 else State.COMPLETED for index in range(500)]
    done = [level("request", key=10_000 + index, state=state) for index, state in enumerate(ends)]
    assert len(reporter.lines(done, 0)) == 20
    assert reporter.lines(done, 1) == []
    # Half a minute later; a new one would be told at once again.
    assert reporter.lines(done, 30) == ["request: 480 more finished, 5 failed"]


def test_the_last_call_hands_out_what_is_still_folded() -> None:
    """Nothing is lost at the end of the program."""
    reporter = LineReporter()
    done = [level("request", key=20_000 + index, state=State.COMPLETED) for index in range(23)]
    told = reporter.lines(done, 0, last=True)
    assert told[-1] == "request: 3 more finished"


def test_memory_stays_as_small_as_what_is_read() -> None:
    """Levels that are gone are forgotten, and a level that is read again later is a new one."""
    reporter = LineReporter()
    for index in range(1000):
        reporter.lines([job(key=1000 + index)], index)
    assert len(reporter._said) == 1


def test_a_stack_of_a_thousand_levels_is_no_problem() -> None:
    """Recursive programs have deep trees; Python's recursion limit is theirs, not ours."""
    innermost = level("recurse")
    for _ in range(1500):
        innermost = replace(level("recurse"), children=(replace(innermost, parent_key=1),))
    assert LineReporter().lines([innermost], 0) == ["recurse: started"]


def test_colour_marks_ends_only() -> None:
    """Red for failed, green for completed, nothing for the rest."""
    reporter = LineReporter(color=True)
    assert reporter.lines([job(1)], 0) == ["import: started"]
    assert reporter.lines([job(2)], 30) == ["import: 2 %, 2/100 items, 1 min 00 s so far"]
    failed = job(3, state=State.FAILED)
    assert reporter.lines([failed], 31) == ["\x1b[31mimport: failed after 1 min 00 s, 3/100 items\x1b[0m"]


def test_hostile_names_stay_on_their_line() -> None:
    """No carriage return, no escape sequence, no second line."""
    reporter = LineReporter()
    operation = level("im\nport", level("a\rb\x1b[2J", id="\x1b]0;x\x07y\n"), message="\x1b[31mred\n")
    told = reporter.lines([operation], 0) + reporter.lines([operation], 30)
    assert told[0] == "im port: started"
    assert told[1] == "im port: 1 min 00 s so far, red"
    assert told[2] == "im port > a b [y]: 1 min 00 s so far"
