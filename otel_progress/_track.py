"""Track: an iterable as a level. Nothing of ours runs per item; C iterators count, the ticker reads them."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from itertools import chain, compress, count
from operator import length_hint
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

from otel_progress._context import Place
from otel_progress._ending import outcome_of, owner
from otel_progress._keyed import Notes
from otel_progress._level import Level, column_of, given
from otel_progress._opening import Kind
from otel_progress.names import State

if TYPE_CHECKING:
    from typing import Self

    from otel_progress._state import LevelState

T = TypeVar("T")

_GROWING: Final = frozenset({list, bytearray})
_HASHED: Final = frozenset({dict, set, frozenset, type({}.keys()), type({}.values()), type({}.items())})
_SIZED: Final = _GROWING | _HASHED | {tuple, range, str, bytes, deque}
"""Exact types whose iterators know how much is left: reading that costs the loop nothing."""
_LISTED: Final = _SIZED - {str, bytes, bytearray}
"""Those whose items have keys and sizes that can be asked for ahead."""

_DEFAULT_NAME: Final = "items"


class Track(Level, Generic[T]):
    """
    An iterable whose iteration is a level: its items are the level's items.

    In a plain ``for`` the level starts with the loop and ends with it: ``completed`` at exhaustion, ``abandoned`` if
    the loop is left early (``failed`` if the exception that left it also leaves the enclosing level). The loop's body
    is not inside the level. ``with track(...) as t`` is exact: the block is inside, and its end is the level's.

    The item handed out last counts once the next is asked for. On a track `advance` counts bytes only; `skip` and
    `item_failed` say what became of the item in hand.
    """

    __slots__ = (
        "_cost",
        "_exhausted",
        "_iterable",
        "_iterator",
        "_key",
        "_passed_before",
        "_runs",
        "_total_follows",
    )

    def __init__(  # noqa: PLR0917  # as `Level`, by position
        self,
        kind: Kind,
        options: dict[str, Any],
        parent: LevelState | None,
        iterable: Iterable[T] | AsyncIterable[T],
        key: Callable[[T], object] | None = None,
        cost: Callable[[T], float] | None = None,
    ) -> None:
        super().__init__(kind, options, parent)
        self._iterable = iterable
        self._key = key
        self._cost = cost
        self._iterator: Iterator[T] | AsyncIterator[T] | None = None
        self._exhausted = self._total_follows = False
        self._passed_before: float = 0
        self._runs: list[_Run] = []

    def _fresh(self) -> Self:
        return type(self)(self._kind, self._options, self._parent, self._iterable, self._key, self._cost)

    def _finish_block(self, error: BaseException | None) -> None:
        outcome = outcome_of(error)
        if outcome is State.COMPLETED and not self._exhausted:
            outcome = State.ABANDONED  # left without an exception, but before exhaustion
        self._finish(outcome, error)

    def __len__(self) -> int:
        """Length of the iterable; raises as it does."""
        return len(self._iterable)  # type: ignore[arg-type]  # raises TypeError like the iterable itself

    def __bool__(self) -> bool:
        """Return what the iterable says: a generator has no length, and is true all the same."""
        return bool(self._iterable)

    def __iter__(self) -> Iterator[T]:
        """
        Start the level, unless a ``with`` has, and return an iterator over the very items.

        Outside a ``with``, each iteration is a level of its own.
        """
        # What cannot be iterated raises here, as it would without us.
        iterator = iter(cast("Iterable[T]", self._iterable))
        if self._iterator is not None and iterator is self._iterable:
            return cast("Iterator[T]", self._iterator)  # ``next(track)`` has begun it: ``for`` goes on with the rest
        track = self._running()
        if track is None:
            return iterator
        counted: Iterator[T]
        notes = track._taking_notes()
        if notes is not None:
            counter = count(1)
            counted = compress(notes.over(iterator), counter)
            handed_out = _by_counter(counter)
        elif type(self._iterable) in _SIZED:
            counted, handed_out = iterator, _by_length(track, iterator)
        else:
            counter = count(1)
            counted = compress(iterator, counter)
            handed_out = _by_counter(counter)
        return chain(counted, _Finisher(_Run(track, handed_out)))

    def __next__(self) -> T:
        """Return the next item, for ``next(track(...))``."""
        if self._iterator is None:
            self._iterator = iter(self)
        return next(cast("Iterator[T]", self._iterator))

    def __aiter__(self) -> AsyncIterator[T]:
        """Start the level, unless a ``with`` has, and return an async iterator over the very items."""
        iterator = aiter(cast("AsyncIterable[T]", self._iterable))
        if self._iterator is not None and iterator is self._iterable:
            return cast("AsyncIterator[T]", self._iterator)
        track = self._running()
        if track is None:
            return iterator
        notes = track._taking_notes()
        return _AsyncIterator(track, iterator if notes is None else notes.over_async(iterator))

    def _taking_notes(self) -> Notes | None:
        """Return where the items of this iteration are noted, if they have keys or sizes."""
        level = self._state
        if level is None or (self._key is None and self._cost is None):
            return None
        notes = level.notes = Notes(self._key, self._cost, level.runtime.clock.monotonic, level.runtime.tally)
        if type(self._iterable) in _LISTED:
            notes.look_ahead(cast("Iterable[T]", self._iterable), len(self))
        return notes

    async def __anext__(self) -> T:
        """Return the next item, for ``anext(track(...))``."""
        if self._iterator is None:
            self._iterator = aiter(self)
        return await anext(cast("AsyncIterator[T]", self._iterator))

    def _advance(self, n: object, size: object, outcome: object) -> None:
        if column_of(outcome) == 0 and (n is not None or size is None):
            self._ignore("advance_on_track")
            n = None
            if size is None:
                return
        super()._advance(n, size, outcome)

    def advance(self, n: float | None = None, *, bytes: float | None = None, outcome: str = "ok") -> None:  # noqa: A002
        """Count ``bytes``; the items are the iterator's, so ``n`` is ignored and counted as such."""
        self._advance(n, bytes, outcome)

    def set_done(self, done: float) -> None:
        """Ignored and counted as such: how far it is, is the iterator's to say."""
        del done
        self._ignore("advance_on_track")

    def set_total(self, total: float | None) -> None:
        """Set how many items there will be; from then on the total no longer follows a list that grows."""
        self._total_follows = False
        super().set_total(total)

    def _running(self) -> Track[T] | None:
        """Return the track that this iteration belongs to, started; ``None`` when switched off."""
        track = self._entered_here() if self._again else self
        if track._place is not None:
            return None if track._state is None or track._state.ending is not None else track
        track = self
        if not track._claim():
            track = self._fresh()
            track._claim()
        return None if track._start(current=False) is None else track

    def _start(self, *, current: bool) -> Place | None:
        self._exhausted = False
        self._passed_before = 0
        self._runs = []
        place = super()._start(current=current)
        if place is None:
            return None
        level = place.level
        size = None if self._options.get("total") is not None else _length(self._iterable)
        self._total_follows = size is not None
        if size is not None:
            level.total = size
        if not current:
            level.run_by = owner()
            if level.parent is not None:
                with level.lock:
                    level.parent.iterators = {**(level.parent.iterators or {}), level.key: level}
        return place

    def _count_by(self, run: _Run) -> None:
        level = self._state
        if level is None or level.ending is not None:
            return
        self._exhausted = False
        for other in [other for other in self._runs if other.is_over]:
            self._runs.remove(other)
            self._passed_before += other.passed()
        self._runs = [*self._runs, run]
        level.passed = run.passed if len(self._runs) == 1 and not self._passed_before else self._passed

    def _passed(self) -> float:
        return self._passed_before + sum(run.passed() for run in self._runs)


class _Run:
    """One iteration over a track: how many items are through, and what its end means."""

    __slots__ = ("_bare", "_handed_out", "_passed", "_track")

    def __init__(self, track: Track[Any], handed_out: Callable[[], float]) -> None:
        self._track: Track[Any] | None = track
        self._bare = track._place is None
        self._handed_out: Callable[[], float] | None = handed_out
        self._passed = 0.0
        track._count_by(self)

    @property
    def is_over(self) -> bool:
        """Whether it has run out or been left."""
        return self._handed_out is None

    def passed(self) -> float:
        """Return the items done with: while it lives, the one handed out last is still in the loop's hands."""
        handed_out = self._handed_out
        return self._passed if handed_out is None else max(handed_out() - 1, 0)

    def ran_out(self) -> None:
        """Take in that there are no more items."""
        handed_out, track, self._track = self._handed_out, self._track, None
        if handed_out is None or track is None:
            return
        self._passed = handed_out()
        self._handed_out = None  # after the number: whoever sees it reads that
        track._exhausted = True
        if self._bare:
            track._finish(State.COMPLETED)
            track._release()

    def left(self) -> None:
        """Note that the iterator vanished; runs in a destructor, perhaps under a lock of ours, so it does no more."""
        track, self._track = self._track, None
        if track is None:
            return
        self._passed = self.passed()
        self._handed_out = None
        level = track._state
        if self._bare and level is not None and level.ending is None:
            level.handle = None  # it would hold the iterable, and a generator is to be closed now
            clock = level.runtime.clock
            level.runtime.dropped.append((level, (clock.monotonic(), clock.wall_ns())))
            track._release()


class _Finisher:
    """The last link of the chain: asked only when the items have run out, and destroyed with the loop's iterator."""

    __slots__ = ("_run",)

    def __init__(self, run: _Run) -> None:
        self._run = run

    def __iter__(self) -> _Finisher:
        return self

    def __next__(self) -> Any:  # noqa: ANN401  # never returns
        self._run.ran_out()
        raise StopIteration

    def __del__(self) -> None:
        self._run.left()


class _AsyncIterator(AsyncIterator[T]):
    """An async iterator that counts what it hands out. The level reads the count, so it must not hold the iterator."""

    __slots__ = ("_handed_out", "_iterator", "_run")

    def __init__(self, track: Track[T], iterator: AsyncIterator[T]) -> None:
        self._iterator = iterator
        handed_out = self._handed_out = [0]
        self._run = _Run(track, lambda: handed_out[0])

    async def __anext__(self) -> T:
        try:
            item = await anext(self._iterator)
        except StopAsyncIteration:
            self._run.ran_out()
            raise
        self._handed_out[0] += 1
        return item

    def __del__(self) -> None:
        self._run.left()


def _length(iterable: object) -> int | None:
    try:
        return len(iterable)  # type: ignore[arg-type]  # asking is the point
    except Exception:  # noqa: BLE001  # somebody else's __len__
        return None


def _by_length(track: Track[Any], iterator: Iterator[Any]) -> Callable[[], float]:
    """Read how many items an exact builtin has handed out; a list may grow meanwhile, and its total with it."""
    items: Any = track._iterable
    size = len(items)
    level = track._state
    if type(items) in _GROWING:

        def of_growing() -> float:
            left = length_hint(iterator)
            if track._total_follows and level is not None:
                level.total = len(items)
            return len(items) - left

        return of_growing
    if type(items) not in _HASHED:
        return lambda: size - length_hint(iterator)
    reached = 0

    def of_hashed() -> float:
        nonlocal reached
        left = length_hint(iterator)
        if left or len(items) == size:  # changed under the loop, its iterator says 0 and will raise when asked on
            reached = size - left
        return reached

    return of_hashed


def _by_counter(counter: Iterator[int]) -> Callable[[], float]:
    """Read an ``itertools.count`` without disturbing it; its ``repr`` stays when ``__reduce__`` goes (Python 3.14)."""
    return lambda: int(repr(counter)[6:-1]) - 1


def track(
    iterable: Iterable[T] | AsyncIterable[T],
    name: str | None = None,
    *,
    total: float | None = None,
    id: str | None = None,  # noqa: A002  # the API's word
    title: str | None = None,
    unit: str | None = None,
    key: Callable[[T], object] | None = None,
    cost: Callable[[T], float] | None = None,
) -> Track[T]:
    """
    Return ``iterable`` with its iteration as a level below the current one; see `Track`.

    Takes iterables, iterators, generators and async iterables. The total comes from ``len()`` where there is one, may
    be given, may be set later, and is unknown otherwise. A list that grows under the loop grows its total.

    Args:
        iterable: What to iterate over.
        name: What kind of items they are.
        total: How many there are, where ``len()`` does not know.
        id: Which instance it is.
        title: A title for people.
        unit: What an item is, such as ``{file}``.
        key: Returns what an item is called in every run, such as ``str`` of a path. What each took is remembered (as
            a hash), so that the time left stays right when the order or the set of items changes.
        cost: Returns the size of an item in any unit that has to do with the time it takes, such as its bytes.

    With ``key`` or ``cost``, each item costs some 0.2 us more, and both are asked once for each item: of lists and the
    like with up to 10,000 items ahead, when the loop begins. One that raises is not asked again.
    """
    options = given(_DEFAULT_NAME if name is None else name, id, title, total, unit)
    return Track("level", options, None, iterable, key, cost)
