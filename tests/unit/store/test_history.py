"""What is known of earlier runs is told at once; looking it up takes a thread's time, and nobody else's."""

from __future__ import annotations

import os
import threading
import time

import pytest

from otel_progress import Profile
from otel_progress._config import Config
from otel_progress._contain import Tally
from otel_progress.store import History, _history, open_history
from otel_progress.testing import FakeClock
from tests.unit.kit import wait_until
from tests.unit.store.test_processes import in_child

pytestmark = pytest.mark.filterwarnings("error")


def profile(seconds: float) -> Profile:
    """Return a run of this length."""
    return Profile(seconds=seconds, total=None, curve=())


class Source:
    """Answers what it is told, and remembers what it was asked."""

    def __init__(self, **runs: list[float]) -> None:
        self.runs = runs
        self.asked: list[tuple[str, str | None]] = []
        self.go = threading.Event()
        self.go.set()

    def profiles(self, operation: str, level: str | None = None, limit: int = 10) -> tuple[Profile, ...]:
        """Answer when it may."""
        self.asked.append((operation, level))
        self.go.wait(20)
        if operation == "broken":
            raise RuntimeError("out of order")
        return tuple(profile(seconds) for seconds in self.runs.get(level or operation, []))[:limit]


class Asked:
    """A history, its clock and tally, and what it told."""

    def __init__(self, *sources: Source) -> None:
        self.clock = FakeClock()
        self.tally = Tally()
        self.history = History(sources, clock=self.clock, tally=self.tally)
        self.told: list[list[float]] = []

    def ask(self, operation: str, level: str | None = None) -> list[float] | None:
        """Return what is known at once."""
        found = self.history.known(operation, level, lambda runs: self.told.append([run.seconds for run in runs]))
        return None if found is None else [run.seconds for run in found]

    def wait(self, count: int) -> list[list[float]]:
        """Wait until so many answers have come."""
        wait_until(lambda: len(self.told) >= count, "the answers")
        return self.told


def test_history_is_looked_up_once_and_then_known_at_once() -> None:
    """Whoever asked is told by the thread that looked."""
    source = Source(nightly=[3.0, 2.0], read=[1.0])
    asked = Asked(source)
    assert asked.ask("nightly") is None
    assert asked.wait(1) == [[3.0, 2.0]]
    assert asked.ask("nightly") == [3.0, 2.0]
    assert asked.ask("nightly", "read") is None
    assert asked.wait(2)[1] == [1.0]
    assert source.asked == [("nightly", None), ("nightly", "read")]
    asked.history.close()


def test_the_first_source_that_knows_any_run_counts() -> None:
    """The store before the backends: they know the same runs."""
    first, second = Source(a=[1.0]), Source(a=[2.0], b=[3.0])
    asked = Asked(first, second)
    asked.ask("a")
    asked.wait(1)
    asked.ask("b")
    asked.wait(2)
    asked.ask("c")
    assert asked.wait(3) == [[1.0], [3.0], []]
    assert asked.ask("c") == []
    assert second.asked == [("b", None), ("c", None)]
    asked.history.close()


def test_asking_never_waits() -> None:
    """A source that hangs holds up its thread alone; all who ask meanwhile are told afterwards, by one look."""
    source = Source(nightly=[1.0])
    source.go.clear()
    asked = Asked(source)
    before = time.perf_counter()
    for _ in range(100):
        assert asked.ask("nightly") is None
    assert time.perf_counter() - before < 1.0
    source.go.set()
    assert asked.wait(100) == [[1.0]] * 100
    assert source.asked == [("nightly", None)]
    asked.history.close()


def test_a_source_that_fails_is_passed_over() -> None:
    """And counted; so is whoever raises when told."""
    asked = Asked(Source(), Source())
    asked.ask("broken")
    assert asked.wait(1) == [[]]
    assert asked.tally.contained == {"history": 2}
    asked.history.known("fine", None, lambda _: 1 / 0)
    asked.ask("after")
    assert asked.wait(2) == [[], []]
    assert asked.tally.contained == {"history": 3}
    asked.history.close()


def test_a_run_of_this_process_is_known_at_once() -> None:
    """Before those that were looked up; of a level that nobody asked about the store will tell."""
    asked = Asked(Source(nightly=[float(n) for n in range(10)]))
    asked.history.learn("nightly", None, profile(99.0))
    asked.ask("nightly")
    asked.wait(1)
    asked.history.learn("nightly", None, profile(77.0))
    assert asked.ask("nightly") == [77.0, *(float(n) for n in range(9))]
    asked.history.close()


def test_what_is_old_is_told_and_looked_up_again() -> None:
    """After five minutes; a service lives for weeks."""
    source = Source(nightly=[1.0])
    asked = Asked(source)
    asked.ask("nightly")
    asked.wait(1)
    source.runs["nightly"] = [2.0]
    asked.clock.advance(_history.FRESH_SECONDS - 1)
    assert asked.ask("nightly") == [1.0]
    assert len(source.asked) == 1
    asked.clock.advance(1)
    assert asked.ask("nightly") == [1.0]
    wait_until(lambda: asked.ask("nightly") == [2.0], "the new answer")
    assert len(source.asked) == 2
    asked.history.close()


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The levels asked for last stay; questions that wait are bounded as well, and counted."""
    monkeypatch.setattr(_history, "LEVELS_LIMIT", 3)
    source = Source()
    asked = Asked(source)
    for count, name in enumerate(("a", "b", "c", "a", "d"), 1):
        asked.ask(name)
        wait_until(lambda name=name: asked.history.known(name) is not None, "an answer")  # type: ignore[misc]  # a lambda
        assert count
    assert list(asked.history._known) == [("c", None), ("a", None), ("d", None)]
    source.go.clear()
    for name in ("w", "x", "y", "z"):
        asked.ask(name)
    assert asked.tally.dropped == {"history_full": 1}
    source.go.set()
    asked.history.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_asks_for_itself() -> None:
    """What the parent knew it knows; the thread that looks things up is not there, and begins anew."""
    source = Source(nightly=[1.0], read=[2.0])
    asked = Asked(source)
    asked.ask("nightly")
    asked.wait(1)
    with asked.history._lock:  # as if another thread held it

        def child() -> object:
            asked.history.after_fork()
            known = asked.ask("nightly")
            asked.ask("read")
            return known, asked.wait(2)[1]

        assert in_child(child) == [[1.0], [2.0]]
    asked.history.close()


def test_a_closed_history_asks_nobody() -> None:
    """Its thread ends."""
    source = Source(nightly=[1.0])
    asked = Asked(source)
    asked.ask("a")
    asked.wait(1)
    thread = asked.history._thread
    assert thread is not None
    asked.history.close()
    thread.join(20)
    assert not thread.is_alive()
    assert asked.ask("nightly") is None
    assert source.asked == [("a", None)]


def test_the_setting_names_the_backends() -> None:
    """In their order, after the store; without either there is no history."""
    config = Config.make({}, history="prometheus, tempo=http://t:1/base, jaeger", service_name="nightly")
    store = Source()
    history = open_history(config, Tally(), store=store)
    assert history is not None
    assert history._sources[0] is store
    assert [(type(each).__name__, each._url) for each in history._sources[1:]] == [  # type: ignore[attr-defined]  # ours
        ("Prometheus", "http://127.0.0.1:9090"),
        ("Tempo", "http://t:1/base"),
        ("Jaeger", "http://127.0.0.1:16686"),
    ]
    assert history._sources[3]._service == "nightly"  # type: ignore[attr-defined]  # as above
    assert open_history(Config.make({}), Tally(), store=None) is None
    assert open_history(Config.make({}, enabled=False, history="tempo"), Tally(), store=None) is None
