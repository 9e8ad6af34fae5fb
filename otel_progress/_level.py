"""Level: what users hold, as context manager, decorator and handle."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from otel_progress import _bounds, _context, _records, _runtime
from otel_progress._ending import outcome_of
from otel_progress._opening import Kind, describe, open_level
from otel_progress._propagation import carrier_of, variable_of
from otel_progress._snapshot import snapshot
from otel_progress._state import DEFAULT_UNIT, LevelState
from otel_progress._wrap import wrap
from otel_progress.errors import ProgressCancelled
from otel_progress.names import STANDARD_COUNTERS, ItemOutcome, State

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from otel_progress._model import Snapshot
    from otel_progress._track import Track

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

ITEM_ERRORS_NOTED: Final = 10
"""Failed items of one level that become span events; all are counted."""

_NO_CELLS: Final[dict[int, list[float]]] = {}
"""Cells of a level that is not running: never filled, so every advance takes the slow path that says why."""

_LARGEST: Final = _bounds.LARGEST
_OUTCOMES: Final = {ItemOutcome.OK.value: 0, ItemOutcome.FAILED.value: 1, ItemOutcome.SKIPPED.value: 2}
_BYTES: Final = 3


class Level:
    """
    One step of a program, live from `__enter__` to `__exit__` (or the run of the function it decorates).

    Made by `operation`, `level` and `track`. All methods are thread-safe, return at once, and never raise because of
    what they were given: a call that makes no sense is ignored and counted in `health`. Without an OpenTelemetry SDK
    they cost next to nothing.
    """

    __slots__ = (
        "__weakref__",
        "_again",
        "_cells",
        "_free",
        "_item_errors",
        "_kind",
        "_options",
        "_parent",
        "_place",
        "_state",
    )

    def __init__(self, kind: Kind, options: dict[str, Any], parent: LevelState | None = None) -> None:
        self._kind: Kind = kind
        self._options = options
        self._parent = parent
        self._state: LevelState | None = None
        self._cells = _NO_CELLS
        self._place: _context.Place | None = None
        self._free = [True]
        """Holds one thing while this object stands for no run: who takes it may start one, and puts it back after."""
        self._again: list[Self] = []
        """Objects that stand for runs entered through this one while it had its own."""
        self._item_errors = 0

    # --- start and end ------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        """
        Start the level and make it current.

        Entered again after its end, it starts the next level of its kind; while it is live (in itself, or by several
        threads), another one is started and returned.
        """
        if self._claim():
            self._start(current=True)
            return self
        again = self._fresh().__enter__()
        self._again.append(again)
        return again

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        """End the level by the table of endings; the exception goes on unchanged."""
        if self._again:
            again = self._entered_here()
            if again in self._again:
                self._again.remove(again)
                again.__exit__(kind, error, stack)
                return
        try:
            self._finish_block(error)
            place, self._place = self._place, None
            if place is not None:
                place.leave()
        except RecursionError:  # at the bottom of a stack there is no room for us: whoever comes next ends it
            if self._state is not None:
                self._state.runtime.dropped.append((self._state, None))
        self._release()

    def _claim(self) -> bool:
        """Take this object for one run; ``False`` if it stands for another that is not over. Safe from any thread."""
        try:
            return self._free.pop()
        except IndexError:
            return False

    def _release(self) -> None:
        if not self._free:
            self._free.append(True)

    def _entered_here(self) -> Self:
        """Return which of the levels entered through this object this context is in, innermost first."""
        entered = {other._place: other for other in (self, *self._again) if other._place is not None}
        place = _context.top_place()
        while place is not None:
            if place in entered:
                return entered[place]
            place = place.outer
        over = self._state is not None and self._state.ending is not None and self._place is not None
        return self if over or not self._again else self._again[-1]

    def _fresh(self) -> Self:
        return type(self)(self._kind, self._options, self._parent)

    def _finish_block(self, error: BaseException | None) -> None:
        self._finish(outcome_of(error), error)

    def _start(self, *, current: bool) -> _context.Place | None:
        runtime = _runtime.get()
        if not runtime.enabled:
            return None
        self._state, self._cells, self._item_errors = None, _NO_CELLS, 0
        try:
            place = open_level(runtime, self._kind, self._options, self._parent)
            level = self._state = place.level
            level.handle = self
            self._cells = level.cells
            runtime.started(level)
            if current:
                self._place = place
                place.enter()
        except Exception as error:  # noqa: BLE001  # a program must not fail because its progress cannot be told
            if self._state is not None:
                runtime.dropped.append((self._state, None))
                self._state, self._cells = None, _NO_CELLS
            runtime.tally.contain("start", error)
            return None
        return place

    def _finish(self, outcome: State, error: BaseException | str | None = None) -> None:
        level = self._state
        if level is None or level.ending is not None:
            return
        runtime: _runtime.Runtime = level.runtime
        runtime.end(level, outcome, error)

    # --- decorator ----------------------------------------------------------------------------------------------------

    def __call__(self, function: F) -> F:
        """Return ``function`` wrapped: each call, or run of the generator it makes, is a level of its own."""
        template = self
        if self._options["name"] is None:
            template = self._fresh()
            template._options = {**self._options, "name": getattr(function, "__name__", type(function).__name__)}
        return cast("F", wrap(template._fresh, function))

    def start_body(self) -> AbstractContextManager[object]:
        """Start the level of a decorated generator; return what makes it current while the body runs. Internal."""
        place = self._start(current=False)
        return _context.NOTHING if place is None else _context.Body(place)

    def finish_body(self, outcome: State, error: BaseException | None = None) -> None:
        """End the level of a decorated generator. Internal."""
        self._finish(outcome, error)

    # --- counting -----------------------------------------------------------------------------------------------------

    def advance(self, n: float | None = None, *, bytes: float | None = None, outcome: str = "ok") -> None:  # noqa: A002
        """
        Count ``n`` items (1 unless only ``bytes`` is given) as ``outcome``: ``ok``, ``failed`` or ``skipped``.

        Exact from any number of threads. ``n`` may be fractional; what is negative or not a number is ignored.
        """
        try:
            cell = self._cells[get_ident()]
            if bytes is None and outcome == "ok":
                if n is None:
                    cell[0] += 1
                    return
                if type(n) is int and 0 <= n <= _LARGEST:
                    cell[0] += n
                    return
        except Exception:  # noqa: BLE001, S110  # no cell yet, or an outcome that cannot be compared
            pass
        self._advance(n, bytes, outcome)

    def _advance(self, n: object, size: object, outcome: object) -> None:
        column = column_of(outcome)
        items = _bounds.number(n) if n is not None else 1 if size is None else 0
        length = _bounds.number(size) if size is not None else 0
        if column is None or items is None or length is None:
            self._ignore("bad_advance")
        cell = self._cell()
        if cell is not None and column is not None:
            cell[column] += items or 0
            cell[_BYTES] += length or 0

    def skip(self, n: float = 1) -> None:
        """Count ``n`` items as skipped: done, but nothing was to be done."""
        self._advance(n, None, ItemOutcome.SKIPPED.value)

    def item_failed(self, error: BaseException | str | None = None, n: float = 1) -> None:
        """Count ``n`` items as failed; the level goes on. The first few errors are noted on the span."""
        self._advance(n, None, ItemOutcome.FAILED.value)
        level = self._state
        if error is None or level is None or level.span is None or self._item_errors >= ITEM_ERRORS_NOTED:
            return
        self._item_errors += 1
        runtime: _runtime.Runtime = level.runtime
        kind, message, _ = runtime.tell(error, stack=False)
        runtime.outbox.put(_records.item_failed, level.span, kind or "error", message or "", runtime.clock.wall_ns())

    def _cell(self) -> list[float] | None:
        level = self._state
        if level is None or level.ending is not None:
            self._ignore("before_start" if level is None else "after_end")
            return None
        return level.cells.setdefault(get_ident(), [0, 0, 0, 0])

    def set_done(self, done: float) -> None:
        """
        Set the number of items done so far; going back is shown, but `progress.items` never goes back.

        In the first second it says where a resumed run goes on, which is not taken for speed.
        """
        number = _bounds.number(done)
        level = self._state
        cell = self._cell()
        if number is None:
            self._ignore("bad_done")
        elif cell is not None and level is not None:
            with level.lock:
                cell[0] += level.rewind(number, level.runtime.clock.monotonic())

    def set_total(self, total: float | None) -> None:
        """Set how many items there are in all, as often as it changes; ``None`` for unknown."""
        number = None if total is None else _bounds.number(total)
        if total is not None and number is None:
            self._ignore("bad_total")
        elif (level := self._live()) is not None:
            level.total = number

    def plan(self, name: str, *, weight: float = 1.0, total: float | None = None) -> None:
        """Announce a child: shown as pending, it counts ``weight`` in our progress and will have ``total`` items."""
        share, limit = _bounds.number(weight), None if total is None else _bounds.number(total)
        if share is None or (total is not None and limit is None):
            self._ignore("bad_plan")
        elif (level := self._live()) is not None:
            level.plan(_bounds.name(name), share, limit)

    def count(self, name: str, n: float = 1, *, unit: str | None = None) -> None:
        """Add ``n`` to a named counter, such as ``tokens``; see `names.STANDARD_COUNTERS` for names with a meaning."""
        number = _bounds.number(n)
        level = self._live()
        if number is None:
            self._ignore("bad_count")
        elif level is not None:
            label = _bounds.name(name)
            key = (label, STANDARD_COUNTERS.get(label, "") if unit is None else _bounds.text(unit, _bounds.NAME_LIMIT))
            runtime: _runtime.Runtime = level.runtime
            if level.counters is None or key not in level.counters:
                key = runtime.registry.counter_key(*key, level)
            with level.lock:
                if level.ending is None:  # what has ended is in the totals already
                    level.counters = level.counters or {}
                    level.counters[key] = level.counters.get(key, 0) + number

    def set_quality(self, quality: float) -> None:
        """Set how good the results are, 0 to 1."""
        number = _bounds.number(quality)
        if number is None or number > 1:
            self._ignore("bad_quality")
        elif (level := self._live()) is not None:
            level.quality = number

    def update(
        self, *, message: str | None = None, metadata: Mapping[str, object] | None = None, title: str | None = None
    ) -> None:
        """
        Say what is going on: ``message`` and ``title`` replace the last ones, ``metadata`` is added to.

        They are shortened to `TEXT_LIMIT` characters and 32 entries, and reach spans, events and the terminal only.
        """
        level = self._live()
        if level is None:
            return
        if message is not None:
            level.message = _bounds.text(message)
        if title is not None:
            level.title = _bounds.text(title)
        if metadata is not None:
            plain = _bounds.metadata(metadata)
            if plain is None:
                self._ignore("bad_metadata")
            else:
                merged = {**(level.metadata or {}), **plain}
                level.metadata = dict(list(merged.items())[-_bounds.METADATA_ENTRIES :])

    # --- states -------------------------------------------------------------------------------------------------------

    def pause(self, reason: str | None = None) -> None:
        """Stop the clock of the estimate until `resume`."""
        self._move(State.PAUSED, reason)

    def resume(self) -> None:
        """Go on after `pause` or `retrying`; an advance after `retrying` does it as well."""
        self._move(State.RUNNING, None)

    def retrying(self, reason: str | None = None) -> None:
        """Say that the work in hand is being tried again."""
        self._move(State.RETRYING, reason)

    def _move(self, state: State, reason: object) -> None:
        level = self._live()
        if level is None:
            return
        runtime: _runtime.Runtime = level.runtime
        told = None if reason is None else runtime.tell(_bounds.text(reason), stack=False)[1]
        with level.lock:
            previous = level.state
            moved = level.move(state, runtime.clock.monotonic(), runtime.config.eta_method)
            if moved:
                level.reason = told
        if moved:
            runtime.changed(level, previous, told)
        else:
            self._ignore("bad_transition")

    def fail(self, error: BaseException | str | None = None) -> None:
        """End the level as failed, now; leaving its block later changes nothing."""
        if self._live() is not None:
            self._finish(State.FAILED, error)

    def cancel(self, reason: str | None = None) -> None:
        """Ask the level and all below it to stop: sets `cancel_requested`; the code inside decides."""
        level = self._live()
        if level is not None:
            level.cancel_reason = None if reason is None else _bounds.text(reason)
            level.cancel_requested = True

    @property
    def cancel_requested(self) -> bool:
        """Whether this level or one above it was asked to stop."""
        return self._state is not None and any(level.cancel_requested for level in self._state.lineage())

    def check_cancelled(self) -> None:
        """
        Raise if this level or one above it was asked to stop.

        Raises:
            ProgressCancelled: It was; the level it leaves ends as ``cancelled``.
        """
        for level in self._state.lineage() if self._state is not None else ():
            if level.cancel_requested:
                raise ProgressCancelled(level.cancel_reason or f"{level.name} was asked to stop")

    # --- children and reading -----------------------------------------------------------------------------------------

    def level(
        self,
        name: str | None = None,
        *,
        id: str | None = None,  # noqa: A002  # the API's word
        title: str | None = None,
        total: float | None = None,
        unit: str | None = None,
        weight: float | None = None,
        metadata: Mapping[str, object] | None = None,
    ) -> Level:
        """Return a level below this one, from whatever thread it is started; see the function `level`."""
        options = given(name, id, title, total, unit, metadata, weight)
        return Level("level", options, self._state)

    def track(
        self,
        iterable: Iterable[T],
        name: str | None = None,
        *,
        total: float | None = None,
        id: str | None = None,  # noqa: A002  # the API's word
        title: str | None = None,
        unit: str | None = None,
        key: Callable[[T], object] | None = None,
        cost: Callable[[T], float] | None = None,
    ) -> Track[T]:
        """Return ``iterable`` tracked below this level; see the function `track`."""
        from otel_progress._track import Track  # noqa: PLC0415  # it is made of levels

        options = given("items" if name is None else name, id, title, total, unit)
        return Track("level", options, self._state, iterable, key, cost)

    def snapshot(self) -> Snapshot:
        """Return how the level and its children stand now."""
        level = self._state
        if level is None:
            runtime = _runtime.get()
            name = _bounds.name(self._options["name"])
            now, now_ns = runtime.clock.monotonic(), runtime.clock.wall_ns()
            level = LevelState(name, name, None, now, now_ns, DEFAULT_UNIT, self._kind == "operation")
            level.runtime = runtime
            describe(level, self._options)
            level.state = State.PENDING
            return snapshot(level, now, now_ns)
        runtime = level.runtime
        runtime.rounds.freshen(level)
        return snapshot(level, runtime.clock.monotonic(), runtime.clock.wall_ns())

    def carrier(self) -> dict[str, str]:
        """
        Return a plain dict that makes levels of another process children of this one, through `continue_from`.

        W3C ``traceparent``, ``tracestate`` and ``baggage``, plus the operation and its run id; safe as headers or JSON.
        """
        return {} if self._state is None else carrier_of(self._state)

    def environment(self) -> dict[str, str]:
        """
        Return the carrier as environment variables, for a program of its own where `continue_from` reads them.

        Add them to what the program needs: ``env={**os.environ, **level.environment()}``.
        """
        return {variable_of(key): value for key, value in self.carrier().items()}

    @property
    def name(self) -> str:
        """The level's name, as on spans and metrics."""
        return self._state.name if self._state is not None else _bounds.name(self._options["name"])

    @property
    def id(self) -> str | None:
        """Which instance it is."""
        given = self._options.get("id")
        return self._state.id if self._state is not None else None if given is None else _bounds.text(given)

    @property
    def operation(self) -> str:
        """Name of the operation it belongs to; its own name while it has not started."""
        return self.name if self._state is None else self._state.operation

    @property
    def state(self) -> State:
        """Where it stands."""
        return State.PENDING if self._state is None else self._state.state

    def _live(self) -> LevelState | None:
        level = self._state
        if level is None or level.ending is not None:
            self._ignore("before_start" if level is None else "after_end")
            return None
        return level

    def _ignore(self, reason: str) -> None:
        runtime: _runtime.Runtime = _runtime.get() if self._state is None else self._state.runtime
        if runtime.enabled:
            runtime.tally.ignore(reason)

    def __repr__(self) -> str:
        """Name and state."""
        return f"<Level {self.name!r} {self.state.value}>"


def column_of(outcome: object) -> int | None:
    """Return the cell's column for an outcome; ``None`` if there is none of that name."""
    try:
        return _OUTCOMES.get(outcome) if isinstance(outcome, str) else None
    except Exception:  # noqa: BLE001  # somebody else's __class__, __hash__ or __eq__
        return None


def given(  # noqa: PLR0917  # by position, and mostly none: this is done for every level
    name: object,
    id: object = None,  # noqa: A002  # the API's word
    title: object = None,
    total: object = None,
    unit: object = None,
    metadata: object = None,
    weight: object = None,
    phases: object = None,
) -> dict[str, Any]:
    """Return the options of a level; most have a name only."""
    if id is title is total is unit is metadata is weight is phases is None:
        return {"name": name}
    return {
        "name": name,
        "id": id,
        "title": title,
        "total": total,
        "unit": unit,
        "metadata": metadata,
        "weight": weight,
        "phases": phases,
    }
