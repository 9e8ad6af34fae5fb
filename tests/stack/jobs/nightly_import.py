"""
A small import with one of everything; about two seconds long when it does not pause.

Its numbers are all different, so that a mix-up cannot pass; the tests repeat them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from opentelemetry import trace
from talk import lost, pause, say

from otel_progress import ProgressCancelled, advance, configure, level, operation, track

FILES = [f"orders-{number}.csv" for number in range(7)]
seconds: dict[str, float] = {}
"""How long each level really took, by the job's own watch."""
ended_at: dict[str, float] = {}
"""When each level ended, in unix seconds."""


@contextmanager
def timed(name: str) -> Iterator[None]:
    """Watch a block."""
    start = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - start
    ended_at[name] = time.time()


def read() -> None:
    """7 files of 1,001 bytes."""
    with track(FILES, "read", unit="{file}") as files:
        for _ in files:
            time.sleep(0.1)
            advance(bytes=1001)


def load() -> None:
    """40 rows: 35 loaded, 2 skipped, 3 failed."""
    with level("load", total=40, unit="{row}") as rows:
        rows.advance(4, bytes=5000)
        rows.skip(2)
        rows.item_failed(ValueError("not a row"), n=3)
        rows.count("tokens", 812)
        rows.count("rejects", 6, unit="{row}")
        time.sleep(0.3)
        pause("load")
        rows.advance(31)


def copy() -> None:
    """2 tables of 8 rows; the job stands still within the second."""
    with level("copy", total=2, unit="{table}") as tables:
        for table in ("customers", "orders"):
            with timed(table), level("table", id=table, total=8, unit="{row}") as part:
                part.advance(3)
                part.set_quality(0.97)
                time.sleep(0.3)
                if table == "orders":
                    part.update(message="half way")
                    pause("copy")
                part.advance(5)
            tables.advance()


def verify() -> None:
    """Fails after 2 of 5."""
    with level("verify", total=5) as check:
        check.advance(2)
        time.sleep(0.2)
        raise LookupError("order 3 is not there")


def audit() -> None:
    """Is cancelled after 1 of 4."""
    with level("audit", total=4) as check:
        check.advance()
        check.cancel("nobody looks at it")
        check.check_cancelled()


def sample() -> None:
    """Is left early: 3 of 10 handed out, 2 done."""
    for number in track(range(10), "sample"):
        if number == 2:
            break


def main() -> None:
    """Run the import, and say how long each level took."""
    handle = configure(terminal="off")
    with timed("nightly-import"), operation("nightly-import", id="2026-11-22", phases={"read": 1, "copy": 3}):
        say(trace_id=f"{trace.get_current_span().get_span_context().trace_id:032x}")
        with timed("read"):
            read()
        with timed("load"):
            load()
        with timed("copy"):
            copy()
        with timed("verify"), suppress(LookupError):
            verify()
        with suppress(ProgressCancelled):
            audit()
        sample()
    pause("ended")
    facts = lost()
    handle.shutdown()
    say(seconds=seconds, ended_at=ended_at, **facts)


if __name__ == "__main__":
    main()
