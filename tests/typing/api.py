"""The public API as type checkers see it. Checked by mypy and pyright, never run."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping
from typing import Any, assert_type

from otel_progress import (
    Change,
    ChildView,
    ConfigError,
    CounterValue,
    Deviation,
    DeviationKind,
    Estimate,
    Handle,
    Health,
    HistorySource,
    Level,
    Profile,
    ProgressCancelled,
    ProgressError,
    ProgressSpanProcessor,
    Sample,
    Severity,
    Snapshot,
    State,
    Subscription,
    Track,
    Watch,
    active,
    advance,
    configure,
    continue_from,
    current,
    find,
    flush,
    health,
    history,
    in_worker,
    level,
    on_change,
    operation,
    track,
    watch,
)
from otel_progress.deviation import DEFAULT_RULES, LowThroughput, Monitor, Rule
from otel_progress.eta import Estimator, Promises, Verdict, recalibrated
from otel_progress.testing import Capture, FakeClock, capture_progress

# --- decorators keep the signature ------------------------------------------------------------------------------------


@operation
def bare(day: int, *, dry: bool = False) -> str:
    """Decorate without arguments."""
    return f"{day} {dry}"


@operation("nightly-import", phases={"copy": 6, "verify": 1})
def function(day: int, *, dry: bool = False) -> str:
    """Decorate a function."""
    return f"{day} {dry}"


@level("fetch", unit="{row}")
async def coroutine(day: int) -> bytes:
    """Decorate a coroutine."""
    return bytes(day)


@level("rows")
def iterator(day: int) -> Iterator[str]:
    """Decorate a generator that says it is an iterator."""
    yield str(day)


@level
def generator(day: int) -> Generator[str, int, bool]:
    """Decorate a generator."""
    return (yield str(day)) > day


@level
async def async_iterator(day: int) -> AsyncIterator[float]:
    """Decorate an async generator that says it is an async iterator."""
    yield float(day)


@operation()
async def async_generator(day: int) -> AsyncGenerator[float, str]:
    """Decorate an async generator."""
    yield len((yield float(day)))


class Importer:
    """Decorated methods."""

    @operation
    def method(self, day: int) -> str:
        """Decorate a method."""
        return str(day)

    @staticmethod
    @level
    def static(day: int) -> str:
        """Decorate a static method."""
        return str(day)

    @classmethod
    @level("of-class")
    def of_class(cls, day: int) -> str:
        """Decorate a class method."""
        return str(day)

    @property
    @level
    def size(self) -> int:
        """Decorate a property."""
        return 17


assert_type(bare(1, dry=True), str)
assert_type(function(1, dry=True), str)
as_awaitable: Callable[[int], Awaitable[bytes]] = coroutine
assert_type(iterator(1), Iterator[str])
assert_type(generator(1), Generator[str, int, bool])
assert_type(async_iterator(1), AsyncIterator[float])
assert_type(async_generator(1), AsyncGenerator[float, str])
assert_type(Importer().method(1), str)
assert_type(Importer.static(1), str)
assert_type(Importer.of_class(1), str)
assert_type(Importer().size, int)
bare("1")  # type: ignore[arg-type]  # the decorated function is as strict as the bare one
function(1, wet=True)  # type: ignore[call-arg]  # as above
iterator()  # type: ignore[call-arg]  # as above


async def awaited() -> None:
    """Await what was decorated."""
    assert_type(await coroutine(1), bytes)
    async for number in async_iterator(1):
        assert_type(number, float)


# --- levels -----------------------------------------------------------------------------------------------------------


def levels() -> None:
    """Use everything a level has."""
    with operation("migrate", id="2026", title="Migration", total=3, phases=["copy", "verify"]) as job:
        assert_type(job, Level)
        job.plan("copy", weight=6, total=10)
        with job.level("copy", id="1", title="Copy", total=10, unit="{table}", weight=2, metadata={"a": 1}) as copy:
            assert_type(copy, Level)
            copy.advance()
            copy.advance(500, bytes=64_000)
            copy.advance(0.5, outcome="failed")
            copy.skip()
            copy.skip(2)
            copy.item_failed()
            copy.item_failed(ValueError("no such table"))
            copy.item_failed("no such table", n=2)
            copy.set_done(7)
            copy.set_total(12)
            copy.set_total(None)
            copy.update(message="copying", metadata={"table": "orders"}, title="Copy")
            copy.count("tokens")
            copy.count("tokens", 812, unit="{token}")
            copy.set_quality(0.97)
            copy.pause()
            copy.pause("lunch")
            copy.resume()
            copy.retrying("connection lost")
            copy.cancel("by hand")
            copy.check_cancelled()
            assert_type(copy.cancel_requested, bool)
            assert_type(copy.name, str)
            assert_type(copy.id, str | None)
            assert_type(copy.operation, str)
            assert_type(copy.state, State)
            assert_type(copy.snapshot(), Snapshot)
            assert_type(copy.carrier(), dict[str, str])
            copy.fail()
            copy.fail(ValueError("gave up"))
            copy.fail("gave up")
        assert_type(job.environment(), dict[str, str])
        assert_type(in_worker(bare)(1, dry=True), str)
        with continue_from(job.carrier()), continue_from():
            advance()
            advance(2, bytes=1, outcome="skipped")
    with level("alone", weight=2, metadata={"host": "db1"}) as alone:
        assert_type(alone, Level)
    assert_type(current(), Level | None)


def tracks() -> None:
    """Iterate with the item's type kept."""
    for letter in track("abc", "letters", total=3, unit="{letter}", id="1", title="Letters"):
        assert_type(letter, str)
    for key, value in track({"a": 1}.items()):
        assert_type(key, str)
        assert_type(value, int)
    with track([1, 2], "numbers") as numbers:
        assert_type(numbers, Track[int])
        assert_type(len(numbers), int)
        assert_type(next(numbers), int)
        for number in numbers:
            assert_type(number, int)
            numbers.item_failed()
    with operation("job") as job:
        for number in job.track(range(3), "numbers"):
            assert_type(number, int)
    assert_type([text.upper() for text in track(iterator(1), "rows")], list[str])


async def async_tracks(rows: AsyncIterator[bytes]) -> None:
    """Iterate over what is async."""
    async for row in track(rows, "rows"):
        assert_type(row, bytes)
    with track(rows, "rows", total=5) as tracked:
        assert_type(await anext(tracked), bytes)
        async for row in tracked:
            assert_type(row, bytes)


# --- reading ----------------------------------------------------------------------------------------------------------


def reading() -> None:
    """Read what there is."""
    assert_type(active("nightly-import", id="1", state=State.RUNNING, since=0.0, limit=3), tuple[Snapshot, ...])
    assert_type(history(state="failed"), tuple[Snapshot, ...])
    assert_type(find(), tuple[Snapshot, ...])
    assert_type(flush(), bool)
    assert_type(flush(timeout_seconds=1.0), bool)
    assert_type(current_health(health()), tuple[bool, int, float | None, float])
    for snapshot in active():
        a_snapshot(snapshot)


class Archive:
    """A source of history of a user's own."""

    def profiles(self, operation: str, level: str | None = None, limit: int = 10) -> tuple[Profile, ...]:
        """Return earlier runs."""
        print(operation, level)
        return tuple(Profile(seconds=60.0, total=None, curve=()) for _ in range(limit))


archive: HistorySource = Archive()


def current_health(health: Health) -> tuple[bool, int, float | None, float]:
    """Read how the package is doing."""
    assert_type(health.dropped, Mapping[str, int])
    assert_type(health.ignored, Mapping[str, int])
    assert_type(health.contained, Mapping[str, int])
    assert_type(health.export_kept, Mapping[str, int])
    counts = health.live_levels + health.finished_operations + health.outbox_length
    return health.enabled, counts, health.heartbeat_at, health.outbox_busy_seconds


def a_snapshot(snapshot: Snapshot) -> None:
    """Read every field."""
    assert_type((snapshot.key, snapshot.parent_key), tuple[int, int | None])
    assert_type((snapshot.operation, snapshot.name), tuple[str, str])
    assert_type((snapshot.id, snapshot.title, snapshot.message), tuple[str | None, str | None, str | None])
    assert_type(snapshot.path, tuple[str, ...])
    assert_type((snapshot.run_id, snapshot.unit), tuple[str, str])
    assert_type(snapshot.state, State)
    assert_type((snapshot.is_operation, snapshot.is_live, snapshot.cancel_requested), tuple[bool, bool, bool])
    assert_type((snapshot.started_at, snapshot.ended_at), tuple[float | None, float | None])
    assert_type((snapshot.elapsed_seconds, snapshot.done, snapshot.bytes), tuple[float, float, float])
    assert_type((snapshot.failed, snapshot.skipped), tuple[float, float])
    assert_type((snapshot.total, snapshot.fraction), tuple[float | None, float | None])
    assert_type(snapshot.rate_per_second, float | None)
    assert_type((snapshot.expected_end_at, snapshot.last_advance_at), tuple[float | None, float | None])
    assert_type(snapshot.metadata, Mapping[str, object])
    assert_type(snapshot.counters, Mapping[str, CounterValue])
    assert_type(snapshot.quality, float | None)
    assert_type((snapshot.error_type, snapshot.error_message), tuple[str | None, str | None])
    assert_type(snapshot.reason, str | None)
    assert_type((snapshot.trace_id, snapshot.span_id), tuple[str | None, str | None])
    assert_type(snapshot.children, tuple[Snapshot, ...])
    assert_type((snapshot.children_live, snapshot.children_finished), tuple[int, int])
    for counter in snapshot.counters.values():
        assert_type((counter.value, counter.unit), tuple[float, str])
    assert_type(snapshot.eta, Estimate | None)
    if snapshot.eta is not None:
        eta = snapshot.eta
        assert_type((eta.expected, eta.low, eta.high, eta.confidence), tuple[float, float, float, float])
        assert_type((eta.method, eta.factors), tuple[str, tuple[str, ...]])
    snapshot.done = 3  # type: ignore[misc]  # frozen


def following() -> None:
    """Be told of changes."""
    subscription = on_change(print)
    assert_type(subscription, Subscription)
    subscription.unsubscribe()
    subscription()
    with on_change(lambda change: change.level):
        pass
    with watch() as changes:
        assert_type(changes, Watch)
        for change in changes:
            assert_type(change, Change)
            assert_type(change.level, Snapshot)
            changes.close()


async def async_following() -> None:
    """Follow what changes."""
    async for change in watch("nightly-import"):
        assert_type(change.level, Snapshot)


# --- setting up, testing, arithmetic ----------------------------------------------------------------------------------


def configuring() -> None:
    """Set an application up."""
    try:
        handle = configure(service_name="jobs", otlp="http", prometheus=9464, terminal="off", export_interval_seconds=5)
    except ConfigError as error:
        assert_type(error, ConfigError)
        raise
    assert_type(handle, Handle)
    assert_type(handle.prometheus_url, str | None)
    handle.flush()
    handle.shutdown(timeout_seconds=3.0)
    assert_type(ProgressSpanProcessor(names=["nightly"]).force_flush(1_000), bool)


def catching() -> None:
    """Tell a cancellation from other errors."""
    try:
        levels()
    except ProgressCancelled as cancelled:
        base: ProgressError = cancelled
        assert_type(base.args, tuple[Any, ...])


def testing() -> None:
    """Look at what code under test recorded."""
    with capture_progress(clock=FakeClock(), history_limit=5) as progress:
        assert_type(progress, Capture)
        progress.clock.advance(5)
        progress.tick(1)
        assert_type([span.name for span in progress.spans("job")], list[str])
        progress.events("progress.started")
        progress.points("progress.items")
        progress.value("progress.items", operation="job", item_outcome="ok")


assert_type(Sample(1.0, 2).done, float)
assert_type(ChildView(0.5).eta, Estimate | None)
assert_type(Estimator(10.0, [], "history", calibration=0.1).estimate(0.0, [ChildView(0.5)]), Estimate | None)
assert_type(Estimator().profile(1.0, outcome="failed", ended_at=2.0), Profile)
assert_type(Promises().verdicts(10.0), tuple[Verdict, ...])
assert_type(recalibrated(0.0, Promises().verdicts(10.0)), float)
assert_type(Profile.decode(Profile.from_samples([(0.0, 0), (1.0, 5)]).encode()), Profile | None)


monitor = Monitor(
    100, [Profile(seconds=1.0, total=5, curve=())], (*DEFAULT_RULES, LowThroughput(at_least=5.0)), name="a"
)
monitor.observe(Sample(1.0, 2))
monitor.record(3, 2.0)
monitor.pause(3.0)
assert_type(monitor.check(4.0), tuple[Deviation, ...])
assert_type([(each.kind, each.severity) for each in monitor.check(5.0)], list[tuple[DeviationKind, Severity]])
assert_type(monitor.broken, tuple[tuple[Rule, Exception], ...])
