"""Records that wait for their backend, in a bounded memory: which go next, and which are given up when it is full."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

RECORDS_LIMIT: Final = 10_000
"""Records kept of each signal. A span of a level takes 3.2 KiB as the SDK holds it (tracemalloc): 32 MB in all."""

BYTES_LIMIT: Final = 40_000_000
"""Estimated bytes kept of each signal: fewer records than above when they carry long texts, such as stacks."""

RECORD_BYTES: Final = 3_000
"""What a record takes besides its texts."""

BATCH_LIMIT: Final = 512
"""Records sent at once, as the SDK does; smaller batches are joined, so that a slow backend is asked less often."""

REFUSALS_LIMIT: Final = 5
"""So often a batch may fail while others pass."""

R = TypeVar("R")


@dataclass(slots=True, eq=False)
class Batch(Generic[R]):
    """Records that are sent together, in the OpenTelemetry context in which they came."""

    records: list[R]
    context: Any  # handed on as it is
    bytes: int = 0
    """Estimated; 0 while nobody needed to know."""
    taken: bool = False
    failed: bool = False
    """Since another one passed last."""
    refusals: int = 0
    """How often it failed, and another one passed after that."""
    stripped: bool = False
    """Whether its plain records were given up."""


class Kept(Generic[R]):
    """
    Batches in the order in which they came. Not thread-safe; what returns a number returns the records given up.

    Args:
        is_plain: Whether a record is given up before others.
        weigh: Estimate of a record's bytes.
        records_limit: Records that are kept.
        bytes_limit: Estimated bytes that are kept.
    """

    def __init__(
        self,
        is_plain: Callable[[R], bool],
        weigh: Callable[[R], int],
        *,
        records_limit: int = RECORDS_LIMIT,
        bytes_limit: int = BYTES_LIMIT,
    ) -> None:
        self._is_plain = is_plain
        self._weigh = weigh
        self._records_limit = records_limit
        self._bytes_limit = bytes_limit
        self._batches: list[Batch[R]] = []
        self._records = 0
        self._bytes = 0

    def __len__(self) -> int:
        """Records that wait, the batch in hand included."""
        return self._records

    def add(self, records: Sequence[R], context: object) -> int:
        """Take records in."""
        last = self._batches[-1] if self._batches else None
        if last is None:  # nothing waits: weighing takes 10 us a record, and this batch will be gone in a moment
            self._batches.append(Batch(list(records), context))
            self._records += len(records)
            return 0
        if last.taken or last.failed or last.refusals or len(last.records) + len(records) > BATCH_LIMIT:
            last = Batch([], context)
            self._batches.append(last)
        last.records.extend(records)
        last.stripped = False
        self._records += len(records)
        last.bytes += (size := sum(map(self._weigh, records)))
        self._bytes += size
        return self._shed()

    def take(self) -> Batch[R] | None:
        """
        Return the batch to send next: the oldest, but after those that have not failed since another one passed.

        So one that the backend does not want blocks nothing, and an outage is tried with all of them in turn.
        """
        if not self._batches:
            return None
        batch = self._first()
        if batch.failed:
            for each in self._batches:
                each.failed = False
            batch = self._first()
        batch.taken = True
        return batch

    def _first(self) -> Batch[R]:
        # An outage makes one refusal at most of what it hit; only a second one costs the place in the order.
        return min(self._batches, key=lambda batch: (batch.failed, batch.refusals > 1))

    def passed(self, batch: Batch[R]) -> int:
        """Let go of a batch that was delivered, and of those that were refused too often while others passed."""
        self._remove(batch)
        for each in self._batches:
            each.refusals += each.failed
            each.failed = False
        refused = [each for each in self._batches if each.refusals >= REFUSALS_LIMIT]
        for each in refused:
            self._remove(each)
        return sum(len(each.records) for each in refused)

    def put_back(self, batch: Batch[R]) -> int:
        """Keep a batch that could not be delivered."""
        batch.taken = False
        batch.failed = True
        if not batch.bytes and batch in self._batches:
            batch.bytes = sum(map(self._weigh, batch.records))
            self._bytes += batch.bytes
        return self._shed()

    def clear(self) -> int:
        """Give everything up."""
        given_up = self._records
        self._batches, self._records, self._bytes = [], 0, 0
        return given_up

    def _shed(self) -> int:
        """Give up plain records, then any, the oldest first, until the limits hold."""
        before = self._records
        for batch in list(self._batches):
            if not self._is_over():
                return before - self._records
            if not batch.taken and not batch.stripped:
                self._strip(batch)
        for batch in list(self._batches):
            if self._is_over() and not batch.taken:
                self._remove(batch)
        return before - self._records

    def _is_over(self) -> bool:
        return self._records > self._records_limit or self._bytes > self._bytes_limit

    def _strip(self, batch: Batch[R]) -> None:
        batch.stripped = True
        left = [record for record in batch.records if not self._is_plain(record)]
        if not left:
            self._remove(batch)
        elif len(left) < len(batch.records):
            size = sum(map(self._weigh, left))
            self._records += len(left) - len(batch.records)
            self._bytes += size - batch.bytes
            batch.records, batch.bytes = left, size

    def _remove(self, batch: Batch[R]) -> None:
        if batch in self._batches:  # otherwise everything was given up while it was being sent
            self._batches.remove(batch)
            self._records -= len(batch.records)
            self._bytes -= batch.bytes
