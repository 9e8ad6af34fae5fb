"""The public API as type checkers see it. Checked by mypy and pyright, never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import assert_type

from otel_progress import (
    Change,
    Estimate,
    Health,
    Level,
    Snapshot,
    State,
    Track,
    active,
    advance,
    configure,
    continue_from,
    current,
    find,
    flush,
    health,
    history,
    level,
    on_change,
    operation,
    track,
    watch,
)

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
def generator(day: int) -> Iterator[str]:
    """Decorate a generator."""
    yield str(day)


@level
async def async_generator(day: int) -> AsyncIterator[float]:
    """Decorate an async generator."""
    yield float(day)


assert_type(bare(1, dry=True), str)
assert_type(function(1, dry=True), str)
as_awaitable: Callable[[int], Awaitable[bytes]] = coroutine
assert_type(generator(1), Iterator[str])
assert_type(async_generator(1), AsyncIterator[float])

# --- levels -----------------------------------------------------------------------------------------------------------


def levels() -> None:
    """Use everything a level has."""
    with operation("migrate", id="2026", title="Migration", total=3, phases=["copy", "verify"]) as job:
        assert_type(job, Level)
        job.plan("copy", weight=6, total=10)
        with job.level("copy", total=10, unit="{table}", weight=2) as copy:
            assert_type(copy, Level)
            copy.advance()
            copy.advance(500, bytes=64_000)
            copy.advance(outcome="failed")
            copy.skip(2)
            copy.item_failed(ValueError("no such table"))
            copy.set_done(7)
            copy.set_total(None)
            copy.update(message="copying", metadata={"table": "orders"}, title="Copy")
            copy.count("tokens", 812, unit="{token}")
            copy.set_quality(0.97)
            copy.pause()
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
            copy.fail("gave up")
        with continue_from(job.carrier()):
            advance(2, bytes=1)
    assert_type(current(), Level | None)


def tracks() -> None:
    """Iterate with the item's type kept."""
    for letter in track("abc", "letters", total=3, unit="{letter}", id="1", title="Letters"):
        assert_type(letter, str)
    with track([1, 2], "numbers") as numbers:
        assert_type(numbers, Track[int])
        for number in numbers:
            assert_type(number, int)
    with operation("job") as job:
        for number in job.track(range(3), "numbers"):
            assert_type(number, int)


async def async_tracks(rows: AsyncIterator[bytes]) -> None:
    """Iterate over what is async."""
    async for row in track(rows, "rows"):
        assert_type(row, bytes)


# --- reading ----------------------------------------------------------------------------------------------------------


def reading() -> None:
    """Read what there is."""
    assert_type(active("nightly-import", id="1", state=State.RUNNING, since=0.0, limit=3), tuple[Snapshot, ...])
    assert_type(history(state="failed"), tuple[Snapshot, ...])
    assert_type(find(), tuple[Snapshot, ...])
    assert_type(health(), Health)
    assert_type(flush(timeout_seconds=1.0), bool)
    for snapshot in active():
        assert_type(snapshot.children, tuple[Snapshot, ...])
        assert_type(snapshot.eta, Estimate | None)
    subscription = on_change(print)
    subscription.unsubscribe()
    with watch() as changes:
        for change in changes:
            assert_type(change, Change)


async def async_reading() -> None:
    """Follow what changes."""
    async for change in watch("nightly-import"):
        assert_type(change.level, Snapshot)


def configuring() -> None:
    """Set an application up."""
    handle = configure(service_name="jobs", otlp="http", prometheus=9464, terminal="off", export_interval_seconds=5)
    assert_type(handle.prometheus_url, str | None)
    handle.flush()
    handle.shutdown(timeout_seconds=3.0)
