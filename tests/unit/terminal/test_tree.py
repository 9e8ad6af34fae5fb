from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from rich.cells import cell_len

from otel_progress._model import CounterValue, Snapshot
from otel_progress.names import State
from otel_progress.terminal import tree
from otel_progress.terminal.lines import Fold
from tests.unit.terminal.trees import EPOCH, announced, estimate, level


def picture(
    *operations: Snapshot, width: int = 120, height: int = 24, now: float = EPOCH, memory: tree.Memory | None = None
) -> list[str]:
    """Return the rows of a frame as plain text."""
    return text(tree.frame(operations, width=width, height=height, now=now, memory=memory))


def text(frame: tree.Frame) -> list[str]:
    """Return the rows as plain text."""
    return [row.plain for row in frame.rows]


def names(rows: Sequence[str]) -> list[str]:
    """Return what stands before the first gap of each row."""
    return [re.split(r"(?<=\w)  ", row)[0] for row in rows]


NIGHTLY = """\
● nightly             ━━━━━────────  40 %       12/31 files  12 file/min  1 min 05 s  ~3 min (2 to 5 min) left
├ ✗ orders april.csv  failed after 12 s · ValueError
├ ● orders may.csv    ━━━━━╸───────  44 %  1,204/2,700 rows  1.2 k row/s        12 s  ~1.5 min (50 s to 2 min) left
│ │ 3 failed · 2 skipped · copying customers · tokens 812
│ └ ● chunk 17        ━╸───────────  12 %    120/1,000 rows     88 row/s         1 s
├ ● download big.tar  ━━━╸─────────  27 %    340 MB/1.24 GB      34 MB/s        10 s
├ ↻ watch             ─────────────                                              1 s  retrying
│   HTTP 503
├ ● index             ━━━──────────             4,120 items                     33 s
├ ‖ upload            ━━━━━━╸──────  50 %        5/10 items               1 min 40 s  paused
├ ○ verify            ─────────────                                                   waiting
└ 12 finished, 1 failed
"""


def nightly() -> Snapshot:
    """Return a job with something of everything."""
    orders = level(
        "orders",
        level("chunk", id="17", done=120, total=1000, unit="{row}", rate_per_second=88.0, elapsed_seconds=1.3),
        id="may.csv",
        done=1204,
        total=2700,
        unit="{row}",
        rate_per_second=1234.5,
        elapsed_seconds=12,
        eta=estimate(75, 50, 120),
        failed=3,
        skipped=2,
        message="copying customers",
        counters={"tokens": CounterValue(812, "{token}")},
    )
    return level(
        "nightly",
        level("orders", id="april.csv", state=State.FAILED, elapsed_seconds=12.7, error_type="ValueError"),
        orders,
        level("download", id="big.tar", done=34e7, total=1.24e9, unit="By", rate_per_second=34e6, elapsed_seconds=10),
        level("watch", state=State.RETRYING, reason="HTTP 503", elapsed_seconds=1),
        level("index", done=4120, elapsed_seconds=33),
        level("upload", state=State.PAUSED, done=5, total=10, elapsed_seconds=100),
        announced("verify"),
        done=12,
        total=31,
        unit="{file}",
        fraction=0.4012,
        elapsed_seconds=65,
        eta=estimate(180, 120, 300),
        rate_per_second=0.2,
        children_finished=12,
    )


def test_a_wide_terminal_shows_everything() -> None:
    """Name, bar, share, count, speed, time, time left; message, failures and counters below; the rest in one row."""
    assert picture(nightly(), width=116) == NIGHTLY.splitlines()


@pytest.mark.parametrize(
    ("width", "bar", "columns"),
    [
        (200, "━" * 12 + "─" * 18, "     12/31 files  12 file/min  1 min 05 s  ~3 min (2 to 5 min) left"),
        (120, "━━━━━━╸──────────", "     12/31 files  12 file/min  1 min 05 s  ~3 min (2 to 5 min) left"),
        (110, "━━━━╸───────", "     12/31 files  12 file/min  1 min 05 s  ~3 min (2 to 5 min)"),
        (100, "━━━━━────────", "     12/31 files  12 file/min  1 min 05 s  ~3 min left"),
        (90, "━━━━━━─────────", "     12/31 files  12 file/min  ~3 min left"),
        (80, "━━━━━━━───────────", "     12/31 files  ~3 min left"),
        (60, "━━━━━━──────────", "~3 min left"),
    ],
)
def test_a_narrow_terminal_shows_what_matters_most(width: int, bar: str, columns: str) -> None:
    """The interval goes first, then time passed, speed, the count; what is left and the share stay."""
    assert picture(nightly(), width=width)[0] == f"● nightly             {bar}  40 %  {columns}"


@pytest.mark.parametrize(("width", "label", "bar"), [(200, 125, 30), (120, 47, 28), (80, 22, 13), (60, 15, 12)])
def test_a_long_name_leaves_room_for_the_bar(width: int, label: int, bar: int) -> None:
    """It is cut where there is not enough room for both."""
    row = picture(level("name" * 50, done=1, total=2, eta=estimate(180)), width=width)[0]
    assert (row.index("…") + 1, len(re.findall("[━╸─]", row))) == (label, bar)


def test_names_matter_more_than_bars() -> None:
    """Forty cells: names, shares and times left."""
    assert picture(nightly(), width=40)[:3] == [
        "● nightly           40 %  ~3 min left",
        "├ ✗ orders april.csv failed after 12 s…",
        "├ ● orders may.csv  44 %  ~1.5 min left",
    ]


@pytest.mark.parametrize("height", [1, 2, 3, 5, 8, 24, 100])
@pytest.mark.parametrize("width", [1, 2, 5, 10, 20, 40, 80, 120, 200])
def test_a_picture_never_exceeds_its_size(width: int, height: int) -> None:
    """Rows stay one cell below the width: some terminals wrap a full line."""
    crowd = level("crowd", *(level("worker", nightly(), id="日本語 🚀" * index) for index in range(30)))
    rows = picture(nightly(), crowd, width=width, height=height)
    assert 0 < len(rows) <= height
    assert all(cell_len(row) < max(width, 2) for row in rows)


def test_columns_are_aligned_whatever_the_names_are() -> None:
    """Wide signs take two cells; the bars still begin in one column."""
    names = ["plain", "夜間インポート", "emoji 🚀 name", "é combined"]
    rows = picture(level("job", *(level(name, done=1, total=2) for name in names)), width=80)
    starts = {cell_len(re.split("[━─]", row)[0]) for row in rows}
    assert len(starts) == 1


def test_names_of_users_are_plain_text() -> None:
    """Neither rich's markup nor escape sequences have an effect, and a row stays a row."""
    rows = tree.frame([level("[red]x[/red]\x1b[2J\n", id="[/]")], width=80, height=5, now=EPOCH).rows
    assert rows[0].plain.startswith("● [red]x[/red] [/]  ")
    assert {str(span.style) for span in rows[0].spans} - {""} == {"bold", "cyan", "dim"}


@pytest.mark.parametrize(
    ("state", "row"),
    [
        (State.PENDING, "○ job  ──────────────────────────────    0 %   0/8 items  1 min 00 s  waiting"),
        (State.RUNNING, "● job  ━━━━━━━━━━━━━━━───────────────   50 %   4/8 items  1 min 00 s"),
        (State.PAUSED, "‖ job  ━━━━━━━━━━━━━━━───────────────   50 %   4/8 items  1 min 00 s  paused"),
        (State.RETRYING, "↻ job  ━━━━━━━━━━━━━━━───────────────   50 %   4/8 items  1 min 00 s  retrying"),
    ],
)
def test_every_live_state_has_its_sign_and_word(state: State, row: str) -> None:
    """Nobody has to know the signs, or see the colours."""
    shown = picture(level("job", state=state, done=0 if state is State.PENDING else 4, total=8))[0]
    assert shown.split() == row.split()


@pytest.mark.parametrize(
    ("state", "row"),
    [
        (State.COMPLETED, "✓ job 7  completed in 1 min 00 s · 4/8 items"),
        (State.FAILED, "✗ job 7  failed after 1 min 00 s · 4/8 items"),
        (State.CANCELLED, "⊘ job 7  cancelled after 1 min 00 s · 4/8 items"),
        (State.INTERRUPTED, "⊘ job 7  interrupted after 1 min 00 s · 4/8 items"),
        (State.ABANDONED, "⊘ job 7  abandoned after 1 min 00 s · 4/8 items"),
    ],
)
def test_every_end_has_its_row(state: State, row: str) -> None:
    """For the scrollback, where it has to speak for itself."""
    assert [row.plain for row in tree.ended(level("job", id="7", state=state, done=4, total=8), 80)] == [row]


def test_an_unhappy_end_says_where_it_stood() -> None:
    """What did not complete below the operation, outermost first, five rows at most; completed levels are left out."""
    chunk = level("chunk", id="3", state=State.FAILED, error_type="ValueError", error_message="bad row 17")
    failed = level("orders", chunk, state=State.FAILED, error_type="ValueError", error_message="bad row 17", done=2)
    operation = level(
        "import", level("load", state=State.COMPLETED), failed, state=State.FAILED, error_type="ValueError"
    )
    assert [row.plain for row in tree.ended(operation, 100)] == [
        "✗ import  failed after 1 min 00 s · ValueError · orders 2 items (failed)",
        "  ✗ orders  failed after 1 min 00 s · ValueError: bad row 17 · 2 items",
        "    ✗ chunk 3  failed after 1 min 00 s · ValueError: bad row 17",
    ]
    crowd = level("import", *(level("step", state=State.FAILED) for _ in range(9)), state=State.FAILED)
    assert len(tree.ended(crowd, 100)) == 6


def test_folded_ends_are_one_row() -> None:
    """As plain lines have it."""
    assert tree.ended(Fold("request", Counter({State.COMPLETED: 479, State.FAILED: 1})), 80)[0].plain == (
        "✓ request: 480 more finished, 1 failed"
    )


def test_finished_children_fold_into_one_row() -> None:
    """Only what failed keeps a row of its own, and of that the last two."""
    ends = [State.COMPLETED] * 3 + [State.FAILED] * 3
    children = [level("step", id=str(index), state=state) for index, state in enumerate(ends)]
    rows = picture(level("job", *children, level("step", id="6"), children_finished=12))
    assert names(rows) == [
        *("● job", "├ ✗ step 4", "├ ✗ step 5", "├ ● step 6"),
        "└ 12 finished, 3 failed",
    ]


def test_children_that_have_a_row_are_not_counted_in_another() -> None:
    """One more row would say nothing."""
    failed = level("load", state=State.FAILED)
    assert names(picture(level("job", failed, level("copy")))) == ["● job", "├ ✗ load", "└ ● copy"]


def test_many_levels_are_counted_not_scrolled() -> None:
    """Forty run, ten rows: the operation, eight of them, and how many more there are."""
    workers = [level("worker", id=str(index), started_at=EPOCH - 100 + index) for index in range(40)]
    rows = picture(level("job", *workers), height=10)
    assert len(rows) == 9  # one row is kept for messages, which nobody has here
    assert rows[0].startswith("● job")
    assert names(rows[1:-1]) == [f"├ ● worker {index}" for index in range(33, 40)]
    assert rows[-1] == "└ ... and 33 more running"


def test_levels_that_a_snapshot_does_not_list_are_counted_too() -> None:
    """A snapshot lists so many live children; ``children_live`` counts them all."""
    rows = picture(level("job", level("worker"), level("worker"), children_live=5000, children_finished=3))
    assert rows[-1] == "└ ... and 4,998 more running, 3 finished"


def test_many_operations_are_counted_as_well() -> None:
    """A service has hundreds of them."""
    rows = picture(*(level("request", id=str(index)) for index in range(100)), height=6)
    assert len(rows) == 5
    assert rows[-1] == "... and 96 more running"


def test_the_deepest_level_is_shown_with_all_above_it() -> None:
    """Where the work is, and how it got there."""
    deep = level("a", level("b", level("c", level("d"))))
    crowd = [level("idle", started_at=EPOCH - 1) for _ in range(20)]
    rows = picture(level("job", *crowd, deep), height=8)
    assert names(rows)[-5:-1] == ["├ ● a", "│ └ ● b", "│   └ ● c", "│     └ ● d"]


def test_what_failed_or_waits_has_a_place_in_a_crowd() -> None:
    """A quarter of the rows, and no more: trouble must not hide the work."""
    stuck = [level("stuck", state=State.RETRYING, started_at=EPOCH - 1000) for _ in range(20)]
    busy = [level("busy", started_at=EPOCH - index) for index in range(20)]
    shown = " ".join(picture(level("job", *stuck, *busy), height=12))
    assert (shown.count("stuck"), shown.count("busy")) == (3, 5)  # 12 less 2 kept free, less the job, less the rest


def test_what_is_shown_stays_shown_while_it_runs() -> None:
    """Newer levels do not push it off the screen: the eye follows a row."""
    old = [level("old", id=str(index), started_at=EPOCH - 100) for index in range(5)]
    job = level("job", *old)
    first = tree.frame([job], width=80, height=5, now=EPOCH)
    new = [level("new", id=str(index), started_at=EPOCH - 1) for index in range(5)]
    job = replace(job, children=(*job.children, *(replace(child, parent_key=job.key) for child in new)))
    later = tree.frame([job], width=80, height=5, now=EPOCH, memory=first.memory)
    assert names(text(later))[1:-1] == names(text(first))[1:-1]


def test_columns_grow_at_once_and_shrink_after_a_while() -> None:
    """Ten seconds after the last long text, to the longest since then: nothing jumps, and nothing is lost for good."""
    memory: tree.Memory | None = None

    def share_at(seconds: float, done: int) -> int:
        nonlocal memory
        job = level("job", done=done, fraction=0.5)
        frame = tree.frame([job], width=60, height=5, now=EPOCH + seconds, memory=memory)
        memory = frame.memory
        return text(frame)[0].index("%")

    middle, wide = share_at(0, 1000), share_at(1, 10_000)
    assert wide == middle - 1
    assert share_at(5, 10_000) == share_at(6, 1) == share_at(7, 1000) == share_at(14.9, 1) == wide
    assert share_at(15, 1) == share_at(24.9, 1) == middle
    assert share_at(25, 1) == middle + 5


def test_columns_keep_their_width_for_a_moment() -> None:
    """A count that becomes shorter moves nothing; a new width of the terminal starts afresh."""
    wide = tree.frame([level("job", done=99_999, total=99_999)], width=80, height=5, now=EPOCH)
    narrow = level("job", done=1, total=2)
    assert picture(narrow, width=80, memory=wide.memory)[0].index("%") == text(wide)[0].index("%")
    assert picture(narrow, width=90, memory=wide.memory) == picture(narrow, width=90)


def test_time_left_keeps_its_text_for_a_moment() -> None:
    """Three seconds long; one second when the end is near. A level that pauses says so at once."""
    job = level("job", total=10, done=1)

    def at(
        seconds: float, expected: float, memory: tree.Memory | None = None, state: State = State.RUNNING
    ) -> tree.Frame:
        snapshot = replace(job, eta=estimate(expected), state=state)
        return tree.frame([snapshot], width=80, height=5, now=EPOCH + seconds, memory=memory)

    def left(frame: tree.Frame) -> str:
        return frame.rows[0].plain.rpartition("  ")[2]

    first = at(0, 240)
    assert left(first) == "~4 min left"
    assert left(at(2.9, 180, first.memory)) == "~4 min left"
    assert left(at(3, 180, first.memory)) == "~3 min left"
    assert left(at(0.1, 180, first.memory, State.PAUSED)) == "paused"
    near = at(0, 15)
    assert left(at(0.9, 10, near.memory)) == "~15 s left"
    assert left(at(1, 10, near.memory)) == "~10 s left"


def test_a_lone_child_lingers_after_its_end() -> None:
    """A loop over short levels shows a steady row, not one that blinks; after a second it is gone."""
    step = level("step", state=State.COMPLETED, done=2, total=2, ended_at=EPOCH, elapsed_seconds=0.2)
    job = level("job", step)
    assert [row.split()[1] for row in picture(job, now=EPOCH + 0.9)[1:2]] == ["✓"]
    assert picture(job, now=EPOCH + 1.1)[1:] == ["└ step finished"]
    assert "✓" not in " ".join(picture(level("job", step, level("step")), now=EPOCH + 0.1))


def test_an_unknown_share_is_a_piece_that_wanders() -> None:
    """One cell every fifth of a second, to and fro, while the level runs; it stands still when paused."""
    job = level("job")
    bars = [picture(job, now=EPOCH + step / 5)[0] for step in range(3)]
    assert len(set(bars)) == 3
    assert all("━━━━━━━" in bar and "%" not in bar for bar in bars)
    paused = level("job", state=State.PAUSED)
    assert "━" not in picture(paused)[0]


def test_messages_give_way_to_levels() -> None:
    """In a low terminal a row for a level says more than one for a message, but two rows are kept for messages."""
    workers = [level("worker", id=str(index), message=f"says {index}") for index in range(30)]
    rows = picture(level("job", *workers), height=12)
    assert len(rows) == 12
    assert sum("says" in row for row in rows) == 2


def test_deep_trees_keep_room_for_names() -> None:
    """The indent ends at sixteen cells, and a thousand levels of recursion are no problem."""
    innermost = level("recurse", done=1)
    for _ in range(1200):
        parent = level("recurse", children_live=1)
        innermost = replace(parent, children=(replace(innermost, parent_key=parent.key, is_operation=False),))
    rows = picture(innermost, height=30)
    assert len(rows) <= 30
    assert all(row.index("recurse") <= 18 for row in rows if "recurse" in row)


def test_an_operation_appears_when_it_is_worth_looking_at() -> None:
    """A service handles hundreds of short requests a second: none of them flashes up."""
    assert picture(level("request", elapsed_seconds=0.29)) == []
    assert len(picture(level("request", elapsed_seconds=0.3))) == 1


def test_nothing_live_is_no_picture() -> None:
    """Finished operations are told once, not drawn."""
    assert picture() == []
    assert picture(level(state=State.COMPLETED)) == []


def test_operations_inside_operations_are_drawn_where_they_belong() -> None:
    """They may be read as trees of their own too; once is enough."""
    inner = level("inner")
    outer = level("outer", inner)
    rows = picture(outer, *outer.children)
    assert names(rows) == ["● outer", "└ ● inner"]


def test_styles_are_the_sixteen_of_every_terminal() -> None:
    """The user's theme decides what they look like; rows carry no fixed colours."""
    frame = tree.frame([nightly()], width=120, height=24, now=EPOCH)
    styles = {str(span.style) for row in frame.rows for span in row.spans} - {""}
    assert styles <= {"bold", "dim", "cyan", "green", "yellow", "red"}
