"""What each item of a `track` took: noted as the loop asks for the next one, taken in by the ticker."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar

from otel_progress import _bounds

if TYPE_CHECKING:
    from otel_progress._contain import Tally

T = TypeVar("T")
Key = Callable[[T], object]
Cost = Callable[[T], float]

NOTED_LIMIT: Final = 10_000
"""Items that wait for the ticker; of a loop that is faster, the last ones of each second are enough."""

AHEAD_LIMIT: Final = 10_000
"""Items of a list whose keys and sizes are asked for before the loop begins."""

Note = tuple[str | None, float, float | None]
"""Key, seconds and size of one item."""


class Notes:
    """
    The items of one level: what they are called, how large they are, what each took.

    Written by the loop, read by the ticker. A ``key`` or ``cost`` that raises is not asked again: that is ours to
    contain, and the loop goes on.
    """

    __slots__ = ("_ahead", "_cost", "_key", "_noted", "_now", "_tally", "all_cost", "all_keys")

    def __init__(self, key: Key[Any] | None, cost: Cost[Any] | None, now: Callable[[], float], tally: Tally) -> None:
        self._key = key
        self._cost = cost
        self._now = now
        self._tally = tally
        self._noted: deque[Note] = deque(maxlen=NOTED_LIMIT)
        self._ahead: Iterator[tuple[str | None, float | None]] = iter(())
        self.all_keys: tuple[str, ...] | None = None
        """The keys of all items, where they are known ahead."""
        self.all_cost: float | None = None
        """The size of all items together, where it is known ahead."""

    def look_ahead(self, items: Iterable[Any], length: int) -> None:
        """Ask for the keys and sizes of all items of a list, if they are not too many."""
        if length > AHEAD_LIMIT:
            return
        told = [self.told(item) for item in islice(items, length)]
        keys = tuple(key for key, _ in told if key is not None)
        costs = [cost for _, cost in told if cost is not None]
        self.all_keys = keys if len(keys) == length else None
        self.all_cost = sum(costs) if costs and len(costs) == length else None
        self._ahead = iter(told)

    def told(self, item: object) -> tuple[str | None, float | None]:
        """Return the key and size of an item; ``None`` for what it has none of."""
        key_of, cost_of = self._key, self._cost
        try:
            key: Any = None if key_of is None else key_of(item)
            if key is not None and type(key) is not str:
                key = str(key)
            return key, None if cost_of is None else _bounds.number(cost_of(item))
        except Exception as error:  # noqa: BLE001  # a user's function
            self._key = self._cost = None
            self._tally.contain("item_key", error)
            return None, None

    def drain(self) -> Iterator[Note]:
        """Yield what has been noted since the last time."""
        for _ in range(len(self._noted)):
            yield self._noted.popleft()

    def over(self, iterator: Iterator[T]) -> Iterator[T]:
        """Hand out the items of an iterator, and note what each took: getting it, and the body of the loop."""
        note, told, now = self._noted.append, self.told, self._now
        asked = now()
        for key, cost in self._ahead:
            try:
                item = next(iterator)
            except StopIteration:
                return
            yield item
            done = now()
            note((key, done - asked, cost))
            asked = done
        for item in iterator:
            key, cost = told(item)
            yield item
            done = now()
            note((key, done - asked, cost))
            asked = done

    async def over_async(self, iterator: AsyncIterator[T]) -> AsyncIterator[T]:
        """As `over`, for an async iterator."""
        note, told, now = self._noted.append, self.told, self._now
        asked = now()
        async for item in iterator:
            key, cost = told(item)
            yield item
            done = now()
            note((key, done - asked, cost))
            asked = done
