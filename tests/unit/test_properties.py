"""Whatever is called, in whatever order, from however many threads: the numbers stay right and nothing is left over."""

from __future__ import annotations

import gc
import math
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_progress import Level, State, active, current, health, level, operation, track
from otel_progress.names import LIVE_STATES, OUTCOMES
from otel_progress.testing import Capture, capture_progress
from tests.unit.kit import wholes

NAMES = st.sampled_from(["copy", "load", "verify"])
AMOUNTS = st.integers(0, 50)
NONSENSE = st.one_of(
    st.floats(max_value=-0.001), st.just(math.nan), st.just(math.inf), st.text(max_size=3), st.none(), st.binary()
)
CALLS: dict[str, st.SearchStrategy[Any]] = {
    "advance": AMOUNTS,
    "skip": AMOUNTS,
    "item_failed": AMOUNTS,
    "bytes": AMOUNTS,
    "set_total": st.one_of(st.none(), AMOUNTS),
    "set_done": AMOUNTS,
    "count": AMOUNTS,
    "set_quality": st.floats(0, 1),
    "update": st.text(max_size=20),
    "plan": NAMES,
    "pause": st.none(),
    "resume": st.none(),
    "retrying": st.none(),
    "cancel": st.none(),
    "fail": st.none(),
    "nonsense": NONSENSE,
    "tick": st.floats(0, 100),
    "collect": st.none(),
}
CALL = st.one_of(*(st.tuples(st.just(name), values) for name, values in CALLS.items()))
"""One call on the level in hand."""

BRANCH = st.deferred(
    lambda: st.one_of(
        st.tuples(st.just("level"), NAMES, TREE),
        st.tuples(st.just("track"), NAMES, st.integers(0, 6), st.integers(0, 6)),
    )
)
TREE = st.lists(st.one_of(CALL, BRANCH), max_size=7)
"""What happens inside a level, in order."""

FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module", autouse=True)
def small_heap() -> Iterator[None]:
    """Keep what was there before out of the collections of each example: they take a third of a second otherwise."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


class Player:
    """Plays random programs, and keeps its own count of what they did."""

    def __init__(self, progress: Capture) -> None:
        self.progress = progress
        self.lock = threading.Lock()
        self.items = {"ok": 0, "failed": 0, "skipped": 0}
        self.bytes = 0
        self.counted = 0
        self.started = 0
        self.seen: dict[str, dict[Any, float]] = {}

    def play(self, level_in_hand: Level, tree: list[Any]) -> None:
        """Run a list of steps inside a level."""
        for kind, *rest in tree:
            if kind == "level":
                name, inside = rest
                with level_in_hand.level(name) as child:
                    self.note(started=1)
                    self.play(child, inside)
            elif kind == "track":
                name, length, taken = rest
                self.loop(level_in_hand, name, length, taken)
            else:
                self.call(level_in_hand, kind, rest[0])

    def loop(self, parent: Level, name: str, length: int, taken: int) -> None:
        """Iterate ``taken`` of ``length`` items: an item counts when the next is asked for."""
        self.note(started=1)
        for index, _ in enumerate(parent.track(range(length), name), 1):
            if index > taken:
                break
        self.note(ok=min(taken, length))

    def call(self, target: Level, name: str, value: Any) -> None:  # noqa: ANN401  # what the strategy drew
        """Make one call, and count what it should do."""
        is_live = target.state in LIVE_STATES
        plain: dict[str, Callable[[Any], object]] = {
            "set_total": target.set_total,
            "set_quality": target.set_quality,
            "update": lambda text: target.update(message=text, metadata={text: value}),
            "plan": target.plan,
            "pause": target.pause,
            "retrying": target.retrying,
            "resume": lambda _: target.resume(),
            "cancel": target.cancel,
            "fail": target.fail,
            "tick": self.tick,
            "collect": lambda _: self.check_points(),
            "nonsense": lambda nonsense: (target.advance(nonsense or -1), target.count("n", nonsense or math.nan)),
        }
        if name in plain:
            plain[name](value)
        elif name == "advance":
            target.advance(value)
            self.note(ok=value * is_live)
        elif name == "skip":
            target.skip(value)
            self.note(skipped=value * is_live)
        elif name == "item_failed":
            target.item_failed("broken", value)
            self.note(failed=value * is_live)
        elif name == "bytes":
            target.advance(bytes=value)
            self.note(size=value * is_live)
        elif name == "count":
            target.count("tokens", value)
            self.note(counted=value * is_live)
        elif name == "set_done":
            before = target.snapshot().done
            target.set_done(value)
            self.note(ok=max(value - before, 0) * is_live)

    def tick(self, seconds: float) -> None:
        """Let time pass; the fake clock is not thread-safe."""
        with self.lock:
            self.progress.tick(seconds)

    def note(self, *, ok: float = 0, failed: float = 0, skipped: float = 0, **others: float) -> None:
        """Add to the own count."""
        with self.lock:
            self.items["ok"] += int(ok)
            self.items["failed"] += int(failed)
            self.items["skipped"] += int(skipped)
            self.bytes += int(others.get("size", 0))
            self.counted += int(others.get("counted", 0))
            self.started += int(others.get("started", 0))

    def check_points(self) -> None:
        """Counters never go back; fractions are shares; nothing is NaN."""
        with self.lock:
            for name in ("progress.items", "progress.bytes", "progress.counter"):
                points = self.progress.points(name)
                for labels, value in self.seen.get(name, {}).items():
                    assert points[labels] >= value
                self.seen[name] = points
            for value in self.progress.points("progress.level.fraction").values():
                assert 0 <= value <= 1
            for value in self.progress.points("progress.level.eta").values():
                assert value >= 0
                assert math.isfinite(value)

    def total(self, name: str, **attributes: str) -> float:
        """Sum of a counter's points that have these attributes."""
        wanted = {(f"progress.{key.replace('__', '.')}", value) for key, value in attributes.items()}
        return sum(value for labels, value in self.progress.points(name).items() if wanted <= labels)


@FEW
@given(st.lists(TREE, min_size=1, max_size=3))
def test_random_programs_in_several_threads_are_counted_exactly_and_leave_nothing(trees: list[list[Any]]) -> None:
    """Totals are what was done, every span ended once with a legal outcome, no level and no reference stays."""
    with capture_progress(open_after_seconds=1.0) as progress:
        player = Player(progress)
        with operation("job") as job:
            player.note(started=1)
            threads = [threading.Thread(target=player.play, args=(job, [("level", "part", tree)])) for tree in trees]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            player.check_points()
        player.check_points()
        everything = progress.spans()
        ids = {span.context.span_id for span in everything if span.context}
        assert len(ids) == len(everything)
        assert {span.parent.span_id for span in everything if span.parent} <= ids
        spans = wholes(progress)
        assert len(spans) == player.started
        outcomes = {str((span.attributes or {})["progress.outcome"]) for span in spans}
        assert outcomes <= {outcome.value for outcome in OUTCOMES}
        for outcome, number in player.items.items():
            assert player.total("progress.items", item__outcome=outcome) == number
        assert player.total("progress.bytes") == player.bytes
        assert player.total("progress.counter", counter__name="tokens") == player.counted
        assert sum(count for count, _ in progress.points("progress.level.duration").values()) == player.started
        assert set(progress.points("progress.level.active").values()) == {0}
        assert progress.points("progress.level.done") == {}
        assert active() == ()
        assert current() is None
        assert health().live_levels == 0
        assert dict(health().contained) == {}


@FEW
@given(st.lists(st.sampled_from(["pause", "resume", "retrying", "advance", "fail"]), max_size=12))
def test_states_follow_the_table(calls: list[str]) -> None:
    """Compared with the table, written down once more."""
    allowed = {
        (State.RUNNING, "pause"): State.PAUSED,
        (State.RUNNING, "retrying"): State.RETRYING,
        (State.PAUSED, "resume"): State.RUNNING,
        (State.RETRYING, "resume"): State.RUNNING,
        (State.RUNNING, "fail"): State.FAILED,
        (State.PAUSED, "fail"): State.FAILED,
        (State.RETRYING, "fail"): State.FAILED,
    }
    with capture_progress(), level("job") as job:
        expected = State.RUNNING
        for call in calls:
            getattr(job, call)()
            expected = allowed.get((expected, call), expected)
            assert job.state is expected


@FEW
@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=5), st.booleans())
def test_what_was_tracked_is_let_go(loops: list[tuple[int, bool]], fails: bool) -> None:  # noqa: FBT001  # drawn
    """Neither the items nor the levels of finished loops are kept alive, but for the bounded history."""

    class Item:
        """Something that can be referred to weakly."""

    references: list[weakref.ref[Item]] = []
    with capture_progress(history_limit=0):
        try:
            with operation("job"):
                for length, leaves_early in loops:
                    items = [Item() for _ in range(length)]
                    references += [weakref.ref(item) for item in items]
                    for _ in track(items, "items"):
                        if leaves_early:
                            break
                    del items
                    _ = None
                if fails:
                    raise ValueError  # noqa: TRY301  # leaving through every level is the point
        except ValueError:
            pass
        health()
        gc.collect()
        assert [reference for reference in references if reference() is not None] == []
