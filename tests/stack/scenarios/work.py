"""
The programs of the scenarios: `python work.py NAME`, one process each, set up by the environment.

Each is what a user would write, in seconds instead of hours. ``hold`` goes on with what it is given until the test says
go on stdin; then the program ends as it would have.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from otel_progress import Level, ProgressCancelled, configure, level, on_change, operation
from otel_progress.deviation import OK, UNDECIDED, Answer, DeviationKind, Found, LowThroughput, Run, Severity

EARLIER: Final = "--earlier" in sys.argv
"""An earlier run of the same program, which went as such runs go."""
_told = threading.Event()


def hold(interval_seconds: float, step: Callable[[], object] = lambda: None) -> None:
    """Take a step every so often, until told to go on."""
    while not _told.wait(interval_seconds):
        step()


def steps(count: int, interval_seconds: float) -> Iterator[int]:
    """Yield numbers at this pace, and the rest as fast as can be once told to go on."""
    for number in range(count):
        _told.wait(interval_seconds)
        yield number


def tell_much(of: Level) -> None:
    """One item more, with everything a program can tell of it."""
    of.count("api_calls")
    of.count("tokens", 250)
    of.count("cost", 0.002)
    of.count("rate_limit_wait_seconds", 0.001)
    of.set_quality(0.97)
    of.advance(1, bytes=4_096)


def healthy() -> None:
    """An import with everything a program can tell: bytes, counters, quality, levels within levels."""
    with operation("import", phases={"read": 9, "verify": 1}), level("read", total=2_000, unit="{order}") as read:
        for number in steps(2_000, 0.05):
            if number % 200 == 0:
                with level("batch", id=str(number), total=10) as batch:
                    batch.advance(10)
            tell_much(read)


def stalled() -> None:
    """A copy that advances for 24 seconds, which is long enough to know its pace, and then waits for a lock."""
    with operation("copy-tables", phases=["rows"]), level("rows", total=2_400, unit="{row}") as rows:
        for number in steps(2_400, 0.05):
            if number == 480:
                hold(0.2)
            rows.advance()


def killed() -> None:
    """A resize that somebody kills; started again, it has little left to do."""
    total = 30 if "--again" in sys.argv else 10_000
    with operation("resize", phases=["pictures"]), level("pictures", total=total) as pictures:
        for _ in steps(total, 0.05):
            pictures.advance()


def slow() -> None:
    """A transcoding of four times as many frames as before, that becomes four times slower after six seconds."""
    total = 100 if EARLIER else 400
    with operation("transcode", phases=["frames"]), level("frames", total=total, unit="{frame}") as frames:
        for number in steps(total, 0.1):
            if number > 60 and not EARLIER:
                _told.wait(0.3)
            tell_much(frames)


def overdue() -> None:
    """A report of eight times as many pages as before, which nobody told the operation."""
    total = 100 if EARLIER else 800
    with operation("report"), level("pages", total=total, unit="{page}") as pages:
        for _ in steps(total, 0.1):
            pages.advance()


def failing() -> None:
    """A migration that meets a broken row."""
    with operation("migrate", phases=["tables"]), level("tables", total=100) as tables:
        for number in steps(100, 0.1):
            if number == 60:
                msg = "column `price` of row 31 is not a number"
                raise ValueError(msg)
            tables.advance()


def errors() -> None:
    """A download of which one in three fails."""
    with operation("download", phases=["files"]), level("files", total=2_000, unit="{file}") as files:
        for number in steps(2_000, 0.05):
            if number % 3:
                files.advance(1, bytes=1_000)
            else:
                files.item_failed(TimeoutError("no answer"))


def quality() -> None:
    """A training whose model gets worse after five seconds."""
    with operation("train", phases=["batches"]), level("batches", total=2_000, unit="{batch}") as batches:
        for number in steps(2_000, 0.05):
            batches.set_quality(0.94 if number < 100 else 0.61)
            batches.advance()


def throughput() -> None:
    """A consumer without an end that shall do 100 messages a second, and does 20."""
    with operation("consume"), level("messages", unit="{message}") as messages:
        hold(0.05, messages.advance)


def limited() -> None:
    """A summary of documents that waits for the model's rate limit most of the time."""

    def call(documents: Level) -> None:
        documents.count("api_calls")
        documents.count("rate_limit_hits")
        documents.count("rate_limit_wait_seconds", 0.16)
        documents.advance()

    with operation("summarise"), level("documents", unit="{document}") as documents:
        hold(0.2, lambda: call(documents))


def greedy() -> None:
    """A merge that needs 300 MB more than its owner allows."""
    kept = bytearray(300_000_000)
    with operation("merge", phases=["parts"]), level("parts", total=2_000) as parts:
        for _ in steps(2_000, 0.05):
            parts.advance()
    del kept


def custom() -> None:
    """A queue that is longer than its owner allows, by a rule of the owner's."""
    with operation("queue", phases=["letters"]), level("letters", total=5_000, unit="{letter}") as letters:
        for _ in steps(5_000, 0.05):
            letters.advance()


def paused() -> None:
    """A backup that waits for the night."""
    with operation("backup") as backup:
        backup.pause()
        hold(0.2)
        backup.resume()


def retrying() -> None:
    """An upload that tries again."""
    with operation("upload") as upload:
        upload.retrying()
        hold(0.2)


def untold() -> None:
    """
    A program that uses us badly.

    It puts an id into the name, 350 of them where 300 are kept; takes back more than it did; and its callback fails.
    """
    on_change(lambda _: 1 / 0)
    with operation("crawl", total=350) as crawl:
        crawl.advance(-1)
        for number in range(350):
            with level(f"page-{number}"):
                crawl.advance()
        time.sleep(1)  # an export of its own


def endings() -> None:
    """A synchronisation that ends in each way that is no success and no failure."""

    @operation("sync")
    def halves() -> Iterator[int]:
        yield from range(2)

    with suppress(ProgressCancelled), operation("sync"):
        raise ProgressCancelled
    with suppress(KeyboardInterrupt), operation("sync"):
        raise KeyboardInterrupt
    left = halves()
    next(left)
    left.close()


def short() -> None:
    """A job of two seconds: one export, at its end, is all that is heard of it."""
    with operation("thumbnails", phases=["pictures"]), level("pictures", total=7) as pictures:
        for _ in steps(7, 0.28):
            pictures.advance(1, bytes=1_000)


@dataclass(frozen=True)
class Backlog:
    """An owner's rule: no more than so many may be left."""

    limit: float
    kind: DeviationKind = DeviationKind.CUSTOM
    severity: Severity = Severity.WARN

    def check(self, run: Run, *, held: bool) -> Answer:  # noqa: ARG002  # as the protocol has it
        """Count what is left."""
        if run.total is None:
            return UNDECIDED
        left = run.total - run.done
        return Found(f"{run.name} has {left:,.0f} left") if left > self.limit else OK


@dataclass(frozen=True)
class Memory:
    """An owner's rule: no more bytes than these."""

    limit: float
    kind: DeviationKind = DeviationKind.RESOURCES
    severity: Severity = Severity.WARN

    def check(self, run: Run, *, held: bool) -> Answer:  # noqa: ARG002  # as the protocol has it
        """Look at the process."""
        if run.rss is None:
            return UNDECIDED
        return Found(f"{run.name} uses {run.rss / 1e6:.0f} MB") if run.rss > self.limit else OK


RULES: Final = {
    "greedy": [Memory(250e6)],
    "custom": [Backlog(1_000)],
    # What its owner expects. Seconds instead of half a minute, as everything here is shorter.
    "throughput": [LowThroughput(at_least=100.0, least_seconds=5.0)],
}


def main(name: str) -> None:
    """Run one of them, and end when told to."""
    programs: dict[str, Callable[[], None]] = {
        each.__name__: each
        for each in (
            *(healthy, stalled, killed, slow, overdue, failing, errors, quality, throughput, limited, greedy, custom),
            *(paused, retrying, untold, endings, short),
        )
    }
    configure(terminal="off", rules=RULES.get(name, []))

    def listen() -> None:
        sys.stdin.readline()
        _told.set()

    threading.Thread(target=listen, daemon=True).start()
    programs[name]()


if __name__ == "__main__":
    main(sys.argv[1])
