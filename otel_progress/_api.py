"""The functions users start with: operation, level, current, advance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, overload

from otel_progress import _context
from otel_progress._level import Level, given

F = TypeVar("F", bound=Callable[..., Any])


@overload
def operation(name: F, /) -> F: ...


@overload
def operation(
    name: str | None = None,
    *,
    id: str | None = None,
    title: str | None = None,
    total: float | None = None,
    unit: str | None = None,
    phases: Mapping[str, float] | Iterable[str] | None = None,
    metadata: Mapping[str, object] | None = None,
) -> Level: ...


def operation(
    name: str | F | None = None,
    *,
    id: str | None = None,  # noqa: A002  # the API's word
    title: str | None = None,
    total: float | None = None,
    unit: str | None = None,
    phases: Mapping[str, float] | Iterable[str] | None = None,
    metadata: Mapping[str, object] | None = None,
) -> Level | F:
    """
    Return an operation, the root of a progress tree: a decorator or a context manager.

    Its span nests under whatever span is current. As a decorator it takes functions, coroutines, generators and async
    generators, and each call is an operation of its own.

    Args:
        name: What kind of job it is, with low cardinality; the function's name by default.
        id: Which instance it is; spans, events and the terminal only, as is the title.
        title: A title for people.
        total: Items in all, if known.
        unit: What an item is, as a UCUM annotation such as ``{row}``.
        phases: Levels announced ahead, with their weights, or just their names.
        metadata: Whatever else is worth a look; shortened.
    """
    if callable(name) or issubclass(type(name), classmethod):
        function: Any = name  # a classmethod is not callable yet
        decorated: F = Level("operation", {"name": None})(function)
        return decorated
    return Level(
        "operation",
        given(name, id, title, total, unit, metadata, phases=phases),
    )


@overload
def level(name: F, /) -> F: ...


@overload
def level(
    name: str | None = None,
    *,
    id: str | None = None,
    title: str | None = None,
    total: float | None = None,
    unit: str | None = None,
    weight: float | None = None,
    metadata: Mapping[str, object] | None = None,
) -> Level: ...


def level(
    name: str | F | None = None,
    *,
    id: str | None = None,  # noqa: A002  # the API's word
    title: str | None = None,
    total: float | None = None,
    unit: str | None = None,
    weight: float | None = None,
    metadata: Mapping[str, object] | None = None,
) -> Level | F:
    """
    Return a step below the current level: a decorator or a context manager, as `operation`.

    Outside any operation it is its own. ``weight`` is its share of the parent where the parent announced none.
    """
    if callable(name) or issubclass(type(name), classmethod):
        function: Any = name  # a classmethod is not callable yet
        decorated: F = Level("level", {"name": None})(function)
        return decorated
    return Level("level", given(name, id, title, total, unit, metadata, weight))


def current() -> Level | None:
    """Return the innermost live level of this context; ``None`` outside any."""
    state = _context.current_level()
    return None if state is None else state.handle


def advance(n: float | None = None, *, bytes: float | None = None, outcome: str = "ok") -> None:  # noqa: A002
    """Advance the innermost live level of this context as `Level.advance` does; nothing happens outside any."""
    state = _context.current_level()
    handle: Level | None = None if state is None else state.handle  # taken once: it is gone when the level has ended
    if handle is not None:
        handle.advance(n, bytes=bytes, outcome=outcome)
