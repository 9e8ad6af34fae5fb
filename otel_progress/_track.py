"""Track: an iterable as a level. Nothing of ours runs per item; C iterators count, the ticker reads them."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from itertools import chain, compress, count
from operator import length_hint
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

from otel_progress._ending import outcome_of, owner
from otel_progress._level import Level, given
from otel_progress._opening import Kind
from otel_progress.names import State

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from otel_progress._state import LevelState

T = TypeVar("T")

_SIZED: Final = frozenset(
    {list, tuple, range, dict, set, frozenset, str, bytes, bytearray, deque}
    | {type({}.keys()), type({}.values()), type({}.items())}
)
"""Exact types whose iterators know how much is left: reading that costs the loop nothing."""

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

    __slots__ = ("_exhausted", "_handed_before", "_iterable", "_iterator", "_total_follows")

    def __init__(
        self,
        kind: Kind,
        options: dict[str, Any],
        parent: LevelState | None,
        iterable: Iterable[T] | AsyncIterable[T],
    ) -> None:
        super().__init__(kind, options, parent)
        self._iterable = iterable
        self._iterator: Iterator[T] | AsyncIterator[T] | None = None
        self._exhausted = False
        self._handed_before: float = 0

    def _fresh(self) -> Self:
        return type(self)(self._kind, self._options, self._parent, self._iterable)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        """End the level: a block left without an exception but before exhaustion has abandoned it."""
        if self._again:
            super().__exit__(kind, error, stack)
            return
        outcome = outcome_of(error)
        if outcome is State.COMPLETED and not self._exhausted:
            outcome = State.ABANDONED
        level = self._state
        handed_out = level.handed_out() if self._exhausted and level is not None and level.handed_out else None
        self._finish(outcome, error, handed_out=handed_out)
        if self._place is not None:
            self._place.leave()

    def __len__(self) -> int:
        """Length of the iterable; raises as it does."""
        return len(self._iterable)  # type: ignore[arg-type]  # raises TypeError like the iterable itself

    def __iter__(self) -> Iterator[T]:
        """Start the level, unless a ``with`` has, and return an iterator over the very items."""
        iterator = iter(
            cast("Iterable[T]", self._iterable)
        )  # what cannot be iterated raises here, as it would without us
        track = self._running()
        if track is None:
            return iterator
        bare = track._place is None
        counted: Iterator[T]
        if type(self._iterable) in _SIZED:
            counted, handed_out = iterator, _by_length(track, iterator)
        else:
            counter = count(1)
            counted = compress(iterator, counter)
            handed_out = _by_counter(counter)
        track._count_by(handed_out)
        return chain(counted, _Finisher(track, handed_out, bare=bare))

    def __next__(self) -> T:
        """Return the next item, for ``next(track(...))``."""
        if self._iterator is None:
            self._iterator = iter(self)
        return next(cast("Iterator[T]", self._iterator))

    def __aiter__(self) -> AsyncIterator[T]:
        """Start the level, unless a ``with`` has, and return an async iterator over the very items."""
        iterator = aiter(cast("AsyncIterable[T]", self._iterable))
        track = self._running()
        if track is None:
            return iterator
        return _AsyncIterator(track, iterator, bare=track._place is None)

    async def __anext__(self) -> T:
        """Return the next item, for ``anext(track(...))``."""
        if self._iterator is None:
            self._iterator = aiter(self)
        return await anext(cast("AsyncIterator[T]", self._iterator))

    def _advance(self, n: object, size: object, outcome: object) -> None:
        if outcome == "ok" and (n is not None or size is None):
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

    def _running(self) -> Track[T] | None:
        """Return the track that this iteration belongs to, started; ``None`` when switched off."""
        if self._state is None:
            self._start(current=False)
        elif self._state.ending is not None:
            fresh = self._fresh()
            fresh._start(current=False)
            return None if fresh._state is None else fresh
        return None if self._state is None else self

    def _start(self, *, current: bool) -> None:
        super()._start(current=current)
        level = self._state
        if level is None:
            return
        size = None if "total" in self._options else _length(self._iterable)
        self._total_follows = size is not None
        if size is not None:
            level.total = size
        if not current and level.parent is not None:
            with level.lock:
                level.parent.iterators = {**(level.parent.iterators or {}), level.key: (level, owner())}

    def _count_by(self, handed_out: Callable[[], float]) -> None:
        level = self._state
        if level is None:
            return
        if level.handed_out is not None:  # iterated again inside one block: go on from there
            self._handed_before = level.handed_out()
        before = self._handed_before
        self._exhausted = False
        level.handed_out = (lambda: before + handed_out()) if before else handed_out

    def _ran_out(self, handed_out: float, *, bare: bool) -> None:
        self._exhausted = True
        if bare:
            self._finish(State.COMPLETED, handed_out=self._handed_before + handed_out)

    def _left(self) -> None:
        """Note that the iterator vanished; runs in a destructor, perhaps under a lock of ours, so it does no more."""
        level = self._state
        if level is not None and level.ending is None:
            level.runtime.dropped.append(level)


class _Finisher:
    """The last link of the chain: asked only when the items have run out, and destroyed with the loop's iterator."""

    __slots__ = ("_bare", "_handed_out", "_track")

    def __init__(self, track: Track[Any], handed_out: Callable[[], float], *, bare: bool) -> None:
        self._track: Track[Any] | None = track
        self._handed_out = handed_out
        self._bare = bare

    def __iter__(self) -> _Finisher:
        return self

    def __next__(self) -> Any:  # noqa: ANN401  # never returns
        track, self._track = self._track, None
        if track is not None:
            track._ran_out(self._handed_out(), bare=self._bare)
        raise StopIteration

    def __del__(self) -> None:
        if self._track is not None and self._bare:
            self._track._left()


class _AsyncIterator(AsyncIterator[T]):
    """An async iterator that counts what it hands out. The level reads the count, so it must not hold the iterator."""

    __slots__ = ("_bare", "_handed_out", "_iterator", "_track")

    def __init__(self, track: Track[T], iterator: AsyncIterator[T], *, bare: bool) -> None:
        self._track: Track[T] | None = track
        self._iterator = iterator
        self._bare = bare
        handed_out = self._handed_out = [0]
        track._count_by(lambda: handed_out[0])

    async def __anext__(self) -> T:
        try:
            item = await anext(self._iterator)
        except StopAsyncIteration:
            track, self._track = self._track, None
            if track is not None:
                track._ran_out(self._handed_out[0], bare=self._bare)
            raise
        self._handed_out[0] += 1
        return item

    def __del__(self) -> None:
        if self._track is not None and self._bare:
            self._track._left()


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
    if type(items) is not list:
        return lambda: size - length_hint(iterator)
    follows = track._total_follows

    def handed_out() -> float:
        left = length_hint(iterator)
        if follows and level is not None:
            level.total = len(items)
        return len(items) - left

    return handed_out


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
) -> Track[T]:
    """
    Return ``iterable`` with its iteration as a level below the current one; see `Track`.

    Takes iterables, iterators, generators and async iterables. The total comes from ``len()`` where there is one, may
    be given, may be set later, and is unknown otherwise. A list that grows under the loop grows its total.
    """
    options = given(name=name or _DEFAULT_NAME, total=total, id=id, title=title, unit=unit)
    return Track("level", options, None, iterable)
