"""Tracks: every kind of iterable, its items untouched, its counts exact and never going back."""

from __future__ import annotations

import asyncio
import gc
import io
import itertools
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

import pytest

from otel_progress import Track, active, level, names, operation, track
from otel_progress.testing import Capture, capture_progress

from .kit import attribute, ignored, outcomes, the_span, together

ITEMS = [object(), object(), object(), object()]
"""Four distinct items, so that identity and order can be seen."""


class Sized:
    """Iterable by its own iterator, with a length."""

    def __iter__(self) -> Iterator[object]:
        return iter(ITEMS)

    def __len__(self) -> int:
        return len(ITEMS)


class ByIndex:
    """Iterable by the old protocol: `__getitem__` until IndexError."""

    def __getitem__(self, index: int) -> object:
        return ITEMS[index]


class WithoutReduce:
    """An iterator that says how much is left only by `__length_hint__`, which is no promise."""

    def __init__(self) -> None:
        self._rest = iter(ITEMS)

    def __iter__(self) -> Iterator[object]:
        return self

    def __next__(self) -> object:
        return next(self._rest)

    def __length_hint__(self) -> int:
        return 77


class ListOfTheUser(list[object]):
    """A subclass may iterate as it likes, so it is counted like any iterable."""

    def __iter__(self) -> Iterator[object]:
        return reversed(ITEMS)


def generator() -> Iterator[object]:
    """Yield the items."""
    yield from ITEMS


SOURCES: dict[str, tuple[Callable[[], Iterable[Any]], int | None]] = {
    "list": (lambda: list(ITEMS), 4),
    "tuple": (lambda: tuple(ITEMS), 4),
    "range": (lambda: range(10, 40, 7), 5),
    "empty range": (lambda: range(0), 0),
    "dict": (lambda: {"a": 1, "b": 2, "c": 3}, 3),
    "dict.keys": ({"a": 1, "b": 2, "c": 3}.keys, 3),
    "dict.values": ({"a": 1, "b": 2, "c": 3}.values, 3),
    "dict.items": ({"a": 1, "b": 2, "c": 3}.items, 3),
    "set": (lambda: {3, 1, 2}, 3),
    "frozenset": (lambda: frozenset({3, 1, 2, 5}), 4),
    "str": (lambda: "naïve", 5),
    "bytes": (lambda: b"abc", 3),
    "bytearray": (lambda: bytearray(b"abcd"), 4),
    "memoryview": (lambda: memoryview(b"ab"), 2),
    "deque": (lambda: deque(ITEMS), 4),
    "sized": (Sized, 4),
    "by index": (ByIndex, None),
    "subclass of list": (lambda: ListOfTheUser(ITEMS), 4),
    "generator": (generator, None),
    "iterator of a list": (lambda: iter(ITEMS), None),
    "iterator with a hint": (WithoutReduce, None),
    "file": (lambda: io.StringIO("one\ntwo\nthree"), None),
    "enumerate": (lambda: enumerate(ITEMS, 3), None),
    "zip": (lambda: zip(ITEMS, range(9), strict=False), None),
    "map": (lambda: map(id, ITEMS), None),
    "reversed": (lambda: reversed(ITEMS), None),
    "chain": (lambda: itertools.chain(ITEMS, "ab"), None),
}


@pytest.mark.parametrize("name", SOURCES)
def test_a_loop_gets_the_very_items_and_the_level_counts_them(progress: Capture, name: str) -> None:
    """Same objects, same order; done and total are exact at the end, and every step in between is one behind."""
    make, total = SOURCES[name]
    expected = list(make())
    got = []
    with operation("job"):
        items = track(make(), "items")
        for item in items:
            assert items.snapshot().done == len(got)
            assert items.snapshot().total == total
            got.append(item)
    assert len(got) == len(expected)
    assert all(a is b or a == b for a, b in zip(got, expected, strict=True))
    if name in {"list", "tuple", "deque", "generator", "sized", "by index", "subclass of list", "reversed"}:
        assert list(map(id, got)) == list(map(id, expected))
    span = the_span(progress, "items")
    assert attribute(span, names.OUTCOME) == "completed"
    assert attribute(span, names.DONE) == len(expected)
    assert attribute(span, names.LIMIT) == total
    assert progress.value(names.ITEMS.name, operation="job", level="items", item_outcome="ok") == len(expected)


@pytest.mark.parametrize("name", SOURCES)
def test_a_block_is_exact(progress: Capture, name: str) -> None:
    """`with track(...)`: the same numbers, and the last item is done as soon as the loop is over."""
    make, total = SOURCES[name]
    count = len(list(make()))
    with track(make(), "items") as items:
        for number, _ in enumerate(items):
            assert items.snapshot().done == number
        assert items.snapshot().done == count
        progress.clock.advance(5)
        assert items.state == "running"
    span = the_span(progress, "items")
    assert (attribute(span, names.OUTCOME), attribute(span, names.DONE)) == ("completed", count)
    assert attribute(span, names.LIMIT) == total
    assert progress.value(names.LEVEL_DURATION.name, operation="items", outcome="completed") == (1, 5.0)


def test_a_loop_is_timed_from_its_start_to_its_exhaustion(progress: Capture) -> None:
    """Making a track starts nothing; what follows the loop is not its time."""
    items = track([1, 2, 3], "items")
    progress.clock.advance(100)
    for _ in items:
        progress.clock.advance(2)
    progress.clock.advance(50)
    assert progress.value(names.LEVEL_DURATION.name, operation="items", outcome="completed") == (1, 6.0)


def test_a_track_that_is_never_iterated_has_no_level(progress: Capture) -> None:
    """Nothing ran, so nothing is told."""
    items = track([1, 2], "items")
    assert (items.state, items.name, items.snapshot().total) == ("pending", "items", None)
    assert len(items) == 2
    del items
    assert progress.spans() == []


@pytest.mark.parametrize("what", [17, None, object()], ids=["int", "None", "object"])
def test_what_cannot_be_iterated_raises_as_without_us(progress: Capture, what: Any) -> None:  # noqa: ANN401
    """The same TypeError, when the loop begins; no level is started."""
    with pytest.raises(TypeError) as bare:
        iter(what)
    items = track(what)
    with pytest.raises(TypeError) as tracked:
        iter(items)
    assert str(tracked.value) == str(bare.value)
    assert progress.spans() == []


# --- totals -----------------------------------------------------------------------------------------------------------


def test_a_given_total_goes_before_the_length(progress: Capture) -> None:
    """The caller knows better, also when the list grows."""
    rows = [1, 2]
    with track(rows, "items", total=30, unit="{row}") as items:
        for row in items:
            if row == 1:
                rows.append(3)
            assert items.snapshot().total == 30
        assert items.snapshot().fraction == pytest.approx(3 / 30)
        assert items.snapshot().unit == "{row}"
    assert attribute(the_span(progress, "items"), names.LIMIT) == 30.0


def test_a_total_can_be_set_while_it_runs(progress: Capture) -> None:
    """First unknown, then known, then known better."""
    items = track(generator(), "items")
    totals: list[float | None] = []
    for number, _ in enumerate(items):
        totals.append(items.snapshot().total)
        items.set_total([8, 9, 4, None][number])
    assert totals == [None, 8, 9, 4]
    assert attribute(the_span(progress, "items"), names.LIMIT) is None


def test_the_total_of_a_list_that_grows_under_the_loop_follows(progress: Capture) -> None:
    """A work list that is added to: the total is its length, at every moment and at the end."""
    work = [3, 1]
    items = track(work, "items")
    seen = []
    for number in items:
        seen.append((items.snapshot().done, items.snapshot().total))
        work.extend([0] * number)
    # 3 adds three, 1 adds one, the zeros add nothing: 6 in all.
    assert seen == [(0, 2), (1, 5), (2, 6), (3, 6), (4, 6), (5, 6)]
    assert attribute(the_span(progress, "items"), names.DONE) == 6.0
    assert attribute(the_span(progress, "items"), names.LIMIT) == 6.0


def test_a_total_set_by_hand_does_not_follow_the_list(progress: Capture) -> None:
    """The last word is the caller's."""
    rows = [1, 2, 3]
    items = track(rows, "items")
    for row in items:
        if row == 1:
            items.set_total(50)
        if row == 2:
            rows.append(4)
            assert items.snapshot().total == 50
    assert attribute(the_span(progress, "items"), names.LIMIT) == 50.0
    assert attribute(the_span(progress, "items"), names.DONE) == 4.0


def test_the_total_of_a_list_that_shrinks_under_the_loop_follows(progress: Capture) -> None:
    """Taken from its end, a list of six has two items fewer; four are done."""
    rows = [1, 2, 3, 4, 5, 6]
    items = track(rows, "items")
    done = []
    for row in items:
        done.append(items.snapshot().done)
        if row == 2:
            del rows[4:]
            assert items.snapshot().total == 4
    assert done == [0, 1, 2, 3]
    assert attribute(the_span(progress, "items"), names.DONE) == 4.0
    assert attribute(the_span(progress, "items"), names.LIMIT) == 4.0


def test_a_list_emptied_after_the_loop_changes_nothing(progress: Capture) -> None:
    """The loop is over, its numbers stand; growing it afterwards adds nothing either."""
    emptied, grown = [1, 2, 3], [1, 2]
    with track(emptied, "emptied") as items:
        for _ in items:
            pass
        emptied.clear()
        assert items.snapshot().done == 3
    with track(grown, "grown") as items:
        for _ in items:
            pass
        grown.extend([3, 4, 5])
    assert attribute(the_span(progress, "emptied"), names.DONE) == 3.0
    assert attribute(the_span(progress, "grown"), names.DONE) == 2.0


@pytest.mark.parametrize("name", ["dict", "set"])
def test_a_container_changed_before_the_loop_is_left(progress: Capture, name: str) -> None:
    """Its iterator knows nothing any more; what was done before stands, and nothing is invented."""
    container: Any = {1: "a", 2: "b", 3: "c", 4: "d"} if name == "dict" else {1, 2, 3, 4}
    items = track(container, "items")
    with operation("job"):
        for number, key in enumerate(items):
            assert items.snapshot().done == number
            if number == 2:
                container.pop(key) if name == "dict" else container.remove(key)
                break
    assert attribute(the_span(progress, "items"), names.DONE) == 2.0


def test_a_container_changed_under_the_loop_raises_as_without_us(progress: Capture) -> None:
    """The RuntimeError is Python's."""
    container = {1: "a", 2: "b"}
    with operation("job"), pytest.raises(RuntimeError, match="changed size during iteration"):
        for key in track(container, "items"):
            container[key + 10] = "more"
    assert outcomes(progress) == {"items": "abandoned", "job": "completed"}


# --- iterating more than once -----------------------------------------------------------------------------------------


def test_each_iteration_of_a_track_is_a_level_of_its_own(progress: Capture) -> None:
    """One after the other; the object speaks of the one that runs."""
    items = track([1, 2, 3], "items")
    assert sum(items) == 6
    for item in items:
        if item == 2:
            items.item_failed()
    assert [attribute(span, names.DONE) for span in progress.spans("items")] == [3.0, 3.0]
    assert [attribute(span, names.FAILED) for span in progress.spans("items")] == [None, 1.0]


def test_a_track_iterated_inside_itself(progress: Capture) -> None:
    """The inner loops have levels of their own; the outer one counts to its end."""
    items = track([1, 2, 3], "items")
    pairs = []
    for a in items:
        for b in items:
            pairs.append((a, b))
            assert items.snapshot().done == a - 1
    assert pairs == list(itertools.product([1, 2, 3], repeat=2))
    assert [attribute(span, names.DONE) for span in progress.spans("items")] == [3.0] * 4
    assert {attribute(span, names.OUTCOME) for span in progress.spans("items")} == {"completed"}


def test_iterations_inside_one_block_add_up(progress: Capture) -> None:
    """Two rounds and a half: 3 + 3 + 1 done, the second of the last round still in hand when it is left."""
    with track([1, 2, 3], "items", total=9) as items:
        for _ in items:
            pass
        for number, _ in enumerate(items):
            assert items.snapshot().done == 3 + number
        assert items.snapshot().done == 6
        for item in items:
            if item == 2:
                break
        assert items.snapshot().done == 7
    span = the_span(progress, "items")
    assert (attribute(span, names.DONE), attribute(span, names.OUTCOME)) == (7.0, "abandoned")


def test_iterations_nested_inside_one_block_add_up(progress: Capture) -> None:
    """Outer and inner loop at once: 2 outer items and 2 x 2 inner ones."""
    with track("ab", "items", total=6) as items:
        for _ in items:
            for _ in items:
                pass
        assert items.snapshot().done == 6
    assert attribute(the_span(progress, "items"), names.DONE) == 6.0


def test_many_rounds_inside_one_block_stay_cheap(progress: Capture) -> None:
    """Rounds that are over are a number, not a list."""
    with track("abc", "items") as items:
        for number in range(2_000):
            for _ in items:
                if number % 2:
                    break
        assert len(items._runs) <= 2
        assert items.snapshot().done == 3_000
    assert attribute(the_span(progress, "items"), names.OUTCOME) == "abandoned"


def test_a_track_entered_twice_has_two_levels(progress: Capture) -> None:
    """By the same name both times."""
    items = track([1, 2], "items")
    for skipped in (0, 1):
        with items:
            for item in items:
                if item == skipped:
                    items.skip()
    assert [attribute(span, names.DONE) for span in progress.spans("items")] == [2.0, 2.0]
    assert [attribute(span, names.SKIPPED) for span in progress.spans("items")] == [None, 1.0]


def test_next_takes_one_item_at_a_time(progress: Capture) -> None:
    """`next(track)` starts the level and goes on; after the end it stays at the end."""
    items = track(["a", "b"], "items")
    assert next(items) == "a"
    assert items.snapshot().done == 0
    assert next(items) == "b"
    assert items.snapshot().done == 1
    for _ in range(2):
        assert next(items, "none") == "none"
    assert outcomes(progress) == {"items": "completed"}
    assert attribute(the_span(progress, "items"), names.DONE) == 2.0


def test_a_header_taken_by_next_belongs_to_the_loop(progress: Capture) -> None:
    """A file: the first line by `next`, the others by ``for``; one level, all lines."""
    lines = track(io.StringIO("header\none\ntwo\n"), "lines")
    assert next(lines) == "header\n"
    assert list(lines) == ["one\n", "two\n"]
    span = the_span(progress, "lines")
    assert (attribute(span, names.DONE), attribute(span, names.OUTCOME)) == (3.0, "completed")


def test_the_length_is_the_iterables(progress: Capture) -> None:
    """Or its TypeError; and a track is as true as what it tracks."""
    assert len(track("abc")) == 3
    with pytest.raises(TypeError, match="has no len"):
        len(track(generator()))
    assert [bool(track(what)) for what in ([], [0], generator(), 0)] == [False, True, True, False]
    assert list(track(generator())) == ITEMS, "list() asks for a length hint first"
    assert progress.runtime.tally.contained == {}


def test_a_length_that_raises_is_no_length(progress: Capture) -> None:
    """A `__len__` of the user's that is broken leaves the total unknown."""

    class Broken(Sized):
        def __len__(self) -> int:
            raise RuntimeError("ask me later")

    assert [item for item in track(Broken(), "items")] == ITEMS  # noqa: C416  # list() would ask for the length
    assert attribute(the_span(progress, "items"), names.LIMIT) is None


# --- what the source does ---------------------------------------------------------------------------------------------


def test_an_exception_of_the_source_passes(progress: Capture) -> None:
    """The same object; two items were done, the third was being made."""
    error = OSError("network")

    def source() -> Iterator[int]:
        yield 1
        yield 2
        raise error

    got = []
    with pytest.raises(OSError, match="network") as caught, operation("job"):
        for item in track(source(), "items"):
            got += [item]
    assert caught.value is error
    assert got == [1, 2]
    span = the_span(progress, "items")
    assert (attribute(span, names.DONE), attribute(span, names.OUTCOME)) == (1.0, "failed")


def test_a_source_that_raises_and_goes_on_is_asked_again(progress: Capture) -> None:
    """An iterator may recover; through us as well."""

    class Flaky:
        def __init__(self) -> None:
            self.asked = 0

        def __iter__(self) -> Iterator[int]:
            return self

        def __next__(self) -> int:
            self.asked += 1
            if self.asked == 2:
                raise ValueError("once")
            if self.asked == 4:
                raise StopIteration
            return self.asked

    items = iter(track(Flaky(), "items"))
    assert next(items) == 1
    with pytest.raises(ValueError, match="once"):
        next(items)
    assert list(items) == [3]
    assert attribute(the_span(progress, "items"), names.DONE) == 2.0


def test_a_generator_is_closed_when_its_loop_is_left(progress: Capture) -> None:
    """As without us: at once, not when somebody looks."""
    closed = []

    def source() -> Iterator[int]:
        try:
            yield 1
            yield 2
        finally:
            closed.append("closed")

    with operation("job"):
        for _ in track(source(), "items"):
            break
        assert closed == ["closed"]


def test_items_are_free_as_soon_as_the_loop_lets_go(progress: Capture) -> None:
    """We keep neither the last item nor, after the end, the iterable."""

    class Item:
        pass

    class Items(list[Item]):
        pass

    def use(items: Iterable[Item]) -> list[weakref.ref[Item]]:
        return [weakref.ref(item) for item in items]

    with operation("job"):
        seen = use(track((Item() for _ in range(3)), "generated"))
        assert [ref() for ref in seen] == [None] * 3
        listed = Items([Item(), Item()])
        kept = weakref.ref(listed)
        for _ in track(listed, "exhausted"):
            pass
        for _ in track(listed, "left"):
            break
        with track(listed, "block") as block:
            next(iter(block))
        del listed, block, _
        assert kept() is None
        assert [child.name for child in active()[0].children] == ["generated", "exhausted", "left", "block"]


def test_iterables_are_free_after_a_loop_over_exact_builtins(progress: Capture) -> None:
    """Those are read through their iterators, which hold them; after the end nothing does."""

    class Item:
        pass

    item = Item()
    kept = weakref.ref(item)
    with operation("job"):
        rows: Any
        for rows in ([item], (item,), {item}, {item: 1}, deque([item])):
            for _ in track(rows, "items"):
                pass
            for _ in track(rows, "left"):
                break
        del rows, item, _
        assert kept() is None
    assert progress.value(names.ITEMS.name, operation="job", level="items", item_outcome="ok") == 5


# --- outcomes and bytes -----------------------------------------------------------------------------------------------


def test_items_can_be_marked_failed_or_skipped_in_hand(progress: Capture) -> None:
    """Of five, the second failed and the fourth was skipped: three are ok, five are done."""
    items = track(range(1, 6), "items")
    for item in items:
        if item == 2:
            items.item_failed(ValueError("row 2"))
        if item == 4:
            items.skip()
        assert item - 1 <= items.snapshot().done <= item, "the one in hand may count once it is marked"
    span = the_span(progress, "items")
    assert [attribute(span, key) for key in (names.DONE, names.FAILED, names.SKIPPED)] == [5.0, 1.0, 1.0]
    for outcome, value in (("ok", 3), ("failed", 1), ("skipped", 1)):
        assert progress.value(names.ITEMS.name, operation="items", item_outcome=outcome) == value
    assert [event.attributes[names.EXCEPTION_MESSAGE] for event in span.events if event.attributes] == ["row 2"]


def test_advance_on_a_track_counts_bytes_only(progress: Capture) -> None:
    """The items are the iterator's; everything else is ignored and counted."""
    items = track([1, 2, 3], "items")
    for item in items:
        items.advance(bytes=100 * item)
        items.advance()
        items.advance(7, bytes=1)
        items.set_done(99)
    span = the_span(progress, "items")
    assert (attribute(span, names.DONE), attribute(span, names.BYTES)) == (3.0, 603.0)
    assert ignored(progress) == {"advance_on_track": 9}


def test_outcomes_by_advance_are_marks(progress: Capture) -> None:
    """`advance(outcome=...)` is `item_failed` and `skip` by another name."""
    items = track([1, 2, 3], "items")
    for item in items:
        if item > 1:
            items.advance(outcome="failed" if item == 2 else "skipped")
    span = the_span(progress, "items")
    assert [attribute(span, key) for key in (names.DONE, names.FAILED, names.SKIPPED)] == [3.0, 1.0, 1.0]
    assert ignored(progress) == {}


def test_counters_never_go_back(progress: Capture) -> None:
    """Collected at every step of every kind of loop, marks and breaks included."""
    seen: dict[Any, float] = {}

    def look() -> None:
        for labels, value in progress.points(names.ITEMS.name).items():
            assert value >= seen.get(labels, 0), labels
            seen[labels] = value

    rows = [1, 2, 3, 4, 5, 6]
    with operation("job"):
        for items in (track(rows, "items"), track((row for row in rows), "items")):
            for row in items:
                look()
                if row == 2:
                    items.item_failed()
                look()
                if row == 3:
                    items.skip(2)
                if row == 4 and len(rows) == 6:
                    rows.pop()
                look()
            look()
        for row in track(rows, "items"):
            look()
            if row == 3:
                break
        look()
        with track(rows, "items") as block:
            for row in block:
                look()
                if row == 2:
                    rows.clear()
            look()
        look()
    look()
    assert seen[label("failed")] == 2
    assert seen[label("skipped")] == 4


def label(outcome: str) -> frozenset[tuple[str, Any]]:
    """Return the attributes of `progress.items` for the level above."""
    return frozenset({(names.OPERATION, "job"), (names.LEVEL, "items"), (names.ITEM_OUTCOME, outcome)})


def test_one_iterator_shared_by_threads(progress: Capture) -> None:
    """Workers that take from one iterator: every item once, all counted, one level."""
    with operation("job"):
        rest = iter(track(list(range(3_000)), "items"))
        taken: list[list[int]] = [[], [], []]
        together(*[lambda mine=mine: mine.extend(rest) for mine in taken])
    assert sorted(itertools.chain(*taken)) == list(range(3_000))
    span = the_span(progress, "items")
    assert (attribute(span, names.DONE), attribute(span, names.OUTCOME)) == (3_000.0, "completed")


# --- async ------------------------------------------------------------------------------------------------------------


async def async_generator() -> AsyncIterator[object]:
    """Yield the items."""
    for item in ITEMS:
        await asyncio.sleep(0)
        yield item


class AsyncSized:
    """An async iterable with a length."""

    def __len__(self) -> int:
        return len(ITEMS)

    def __aiter__(self) -> AsyncIterator[object]:
        return async_generator()


@pytest.mark.parametrize(("make", "total"), [(async_generator, None), (AsyncSized, 4)])
async def test_an_async_loop_gets_the_very_items(progress: Capture, make: Callable[[], Any], total: int | None) -> None:
    """As the plain one."""
    got: list[object] = []
    with operation("job"):
        items: Track[object] = track(make(), "items")
        async for item in items:
            assert (items.snapshot().done, items.snapshot().total) == (len(got), total)
            got.append(item)
    assert list(map(id, got)) == list(map(id, ITEMS))
    span = the_span(progress, "items")
    assert (attribute(span, names.DONE), attribute(span, names.OUTCOME)) == (4.0, "completed")


async def test_an_async_block_is_exact(progress: Capture) -> None:
    """Its body is inside."""
    with track(async_generator(), "items") as items:
        async for _ in items:
            with level("body"):
                pass
        assert items.snapshot().done == 4
    assert outcomes_of(progress, "items") == ["completed"]
    items_span = the_span(progress, "items").context
    assert items_span is not None
    assert {span.parent and span.parent.span_id for span in progress.spans("body")} == {items_span.span_id}


def outcomes_of(progress: Capture, name: str) -> list[Any]:
    """Return how the levels of one name ended."""
    return [attribute(span, names.OUTCOME) for span in progress.spans(name)]


async def test_an_async_loop_left_early(progress: Capture) -> None:
    """By break it is abandoned, by an exception that leaves the operation failed."""
    with operation("job"):
        async for _ in track(async_generator(), "left"):
            break
    with pytest.raises(KeyError), operation("job"):
        async for _ in track(async_generator(), "failed"):
            raise KeyError("row")
    gc.collect()
    for _ in range(5):
        await asyncio.sleep(0)
    assert outcomes_of(progress, "left") == ["abandoned"]
    assert outcomes_of(progress, "failed") == ["failed"]


async def test_anext_takes_one_item_at_a_time(progress: Capture) -> None:
    """And ``async for`` goes on with the rest."""
    items: Track[object] = track(async_generator(), "items")
    assert await anext(items) is ITEMS[0]
    assert [item async for item in items] == ITEMS[1:]
    assert attribute(the_span(progress, "items"), names.DONE) == 4.0
    assert outcomes(progress) == {"items": "completed"}


async def test_async_tracks_of_concurrent_tasks_are_siblings(progress: Capture) -> None:
    """Each counts its own."""

    async def consume(name: str, take: int) -> None:
        async for number, _ in aenumerate(track(async_generator(), name)):
            if number == take:
                break

    with operation("job"):
        await asyncio.gather(consume("left", 2), consume("right", 9))
    assert attribute(the_span(progress, "left"), names.DONE) == 2.0
    assert attribute(the_span(progress, "right"), names.DONE) == 4.0
    for _ in range(5):
        await asyncio.sleep(0)


async def aenumerate(items: Any) -> AsyncIterator[tuple[int, object]]:  # noqa: ANN401  # any async iterable
    """Count while iterating."""
    number = 0
    async for item in items:
        yield number, item
        number += 1


async def test_what_is_not_async_raises_as_without_us(progress: Capture) -> None:
    """And the other way round."""
    with pytest.raises(TypeError, match="async"):
        async for _ in track([1, 2], "items"):
            pass
    with pytest.raises(TypeError, match="not iterable"):
        list(track(async_generator(), "items"))
    assert progress.spans() == []


# --- switched off, and without OpenTelemetry --------------------------------------------------------------------------


def test_switched_off_the_iterator_is_the_users() -> None:
    """Not even a wrapper is left."""
    source = generator()
    with capture_progress(enabled=False) as progress:
        assert iter(track(source)) is source
        assert type(iter(track([1]))) is type(iter([1]))
        with track([1, 2]) as items:
            assert list(items) == [1, 2]
            items.item_failed()
        assert list(items) == [1, 2]
        assert progress.spans() == []
        assert ignored(progress) == {}


def test_without_an_sdk_a_track_counts_all_the_same() -> None:
    """Snapshots work without OpenTelemetry."""
    with operation("job") as job:
        for number, _ in enumerate(track(generator(), "items")):
            assert job.snapshot().children[0].done == number
        assert [(child.name, child.done) for child in job.snapshot().children] == [("items", 4)]
