"""What single items cost: remembered by key, so that a changed order or set of items keeps the accuracy."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable
from contextlib import suppress
from hashlib import blake2b
from heapq import nlargest
from typing import Final

from otel_progress._model import Profile
from otel_progress._profile import ITEMS_KEPT

_ROOM: Final = 550
"""Items taken down before the cheapest are dropped again, for `ITEMS_KEPT` to stay."""
_DIGITS: Final = 8
_MASK: Final = 16**_DIGITS - 1
"""Of what a profile holds, which may be of another version or maker."""


def hashed(key: str) -> str:
    """
    Return what stands for a key in a profile: 32 bits of a hash, as keys are paths and names that stay private.

    Of 500 keys, two have the same once in 34,000 runs; then they share a cost.
    """
    return blake2b(key.encode("utf-8", "surrogatepass"), digest_size=_DIGITS // 2).hexdigest()


class ItemLog:
    """What the items of this run cost: the dearest of them."""

    __slots__ = ("_keys", "_seconds")

    def __init__(self) -> None:
        self._keys = array("I")
        self._seconds = array("f")

    def add(self, key: str, seconds: float) -> None:
        """Take one down; the same key again is another item, or another try."""
        self._keys.append(int(hashed(key), 16))
        self._seconds.append(seconds)
        if len(self._keys) >= _ROOM:
            kept = nlargest(ITEMS_KEPT, range(len(self._keys)), key=self._seconds.__getitem__)
            self._keys = array("I", [self._keys[index] for index in kept])
            self._seconds = array("f", [self._seconds[index] for index in kept])

    def costs(self) -> list[tuple[str, float]]:
        """Return (hash of the key, seconds) as profiles keep them; of a key that came more than once, the mean."""
        sums: dict[int, tuple[float, int]] = {}
        for key, seconds in zip(self._keys, self._seconds, strict=True):
            whole, times = sums.get(key, (0.0, 0))
            sums[key] = (whole + seconds, times + 1)
        return [(f"{key:0{_DIGITS}x}", whole / times) for key, (whole, times) in sums.items()]


class KnownItems:
    """
    What items cost earlier runs, in seconds of a whole run.

    Seconds are those of the run's clock: where workers shared the items, an item's own time counts for less.
    """

    __slots__ = ("_costs", "_keys", "_open", "_open_cost", "_other", "_seen", "_told", "done", "matched", "met")

    def __init__(self, runs: Iterable[Profile]) -> None:
        costs: dict[int, float] = {}
        self._other = 0.0
        for run in runs:  # the newest first: it has the last word
            whole = sum(seconds for _, seconds in run.items)
            if not whole > 0:
                continue
            others = max((run.total or 0) - len(run.items), 0)
            # A cheap item costs no more than the cheapest that was kept; without those, all was kept.
            floor = min(seconds for _, seconds in run.items)
            share = run.seconds / (whole + others * floor / 2)
            if not costs and others:
                self._other = floor * share / 2
            for key, seconds in run.items[: ITEMS_KEPT - len(costs)]:
                with suppress(ValueError):
                    costs.setdefault(int(key, 16) & _MASK, seconds * share)
        self._keys = array("I", sorted(costs))
        self._costs = array("f", [costs[key] for key in self._keys])
        if not self._other and costs:
            self._other = sum(costs.values()) / len(costs)
        self._seen = bytearray(len(costs))
        self._open = len(costs)
        self._open_cost = sum(self._costs)
        self._told: tuple[int, float] | None = None
        self.done = 0.0
        """Cost of the items done, as the earlier runs knew it."""
        self.met = self.matched = 0
        """Items done with a key, and those of them whose cost was known."""

    def __bool__(self) -> bool:
        return bool(self._keys)

    def _find(self, key: str) -> int | None:
        number = int(hashed(key), 16)
        index = bisect_left(self._keys, number)
        return index if index < len(self._keys) and self._keys[index] == number else None

    def tell(self, keys: Iterable[str]) -> None:
        """Take in the keys of all items of this run."""
        count, cost = 0, 0.0
        for key in keys:
            index = self._find(key)
            count += 1
            cost += self._other if index is None else self._costs[index]
        self._told = count, cost

    def add(self, key: str) -> None:
        """Take in that this item is done."""
        self.met += 1
        index = self._find(key)
        if index is None:
            self.done += self._other
            return
        self.matched += 1
        self.done += self._costs[index]
        if not self._seen[index]:
            self._seen[index] = 1
            self._open -= 1
            self._open_cost -= self._costs[index]

    def ahead(self, items: float) -> float:
        """
        Return the cost of so many items more.

        Of all items whose keys were told, it is what is not done yet. Else they are taken from the items of earlier
        runs that were not met yet, in the mean, and from unknown ones as often as those were met so far.
        """
        if self._told is not None and self._told[0] > self.met:
            return max(self._told[1] - self.done, 0.0) * items / (self._told[0] - self.met)
        unknown = 1 - self.matched / self.met if self.met else 0.0
        known = min(items * (1 - unknown), self._open)
        mean = max(self._open_cost, 0.0) / self._open if self._open else 0.0
        return known * mean + (items - known) * self._other
