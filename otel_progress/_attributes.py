"""What the attributes of a span of somebody else's say of the level that it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from otel_progress import _bounds, names
from otel_progress._state import LevelState

Attributes = Mapping[str, Any]


def plain(attributes: Attributes | None) -> Attributes:
    """Return a copy of one moment. The SDK's mapping has a method for it; two look-ups through it cost more."""
    try:
        return attributes.copy()  # type: ignore[union-attr, no-any-return]  # it is not promised
    except AttributeError:
        return dict(attributes or {})


def carries(attributes: Attributes) -> bool:
    """Return whether these attributes make a span a level."""
    return names.TOTAL in attributes or names.DONE in attributes


def take_in(level: LevelState, seen: dict[str, object], attributes: Attributes, *, at_start: bool = False) -> None:
    """
    Write to the level what is new since ``seen``, which is brought up to date. Takes the lock.

    What makes no sense is ignored, and counted once each time that it is set.
    """
    with level.lock:
        if level.ending is not None:
            return
        for key, read in _READERS:
            value = attributes.get(key)
            if value is not None and value is not seen.get(key):
                seen[key] = value
                read(level, value, at_start)


def _total(level: LevelState, value: object, _: bool) -> None:  # noqa: FBT001  # readers are called by position
    number = _bounds.number(value)
    if number is None:
        level.ignore("bad_total")
    else:
        level.total = number


def _done(level: LevelState, value: object, at_start: bool) -> None:  # noqa: FBT001  # as above
    number = _bounds.number(value)
    if number is None:
        level.ignore("bad_done")
    else:
        # What it has done at its very start is where a resumed run goes on, not a speed.
        _cell(level)[0] += level.rewind(number, level.started if at_start else None)


def _bytes(level: LevelState, value: object, _: bool) -> None:  # noqa: FBT001  # as above
    number = _bounds.number(value)
    cell = _cell(level)
    if number is None or number < cell[3]:
        level.ignore("bad_bytes")
    else:
        cell[3] = number


def _text(field: str, clean: Callable[[object], str] = _bounds.text) -> Callable[[LevelState, object, bool], None]:
    return lambda level, value, _: setattr(level, field, clean(value))


def _cell(level: LevelState) -> list[float]:
    # Of no thread's number: an adopted span has one cell, written under the lock.
    return level.cells.setdefault(0, [0, 0, 0, 0])


_READERS: Final[tuple[tuple[str, Callable[[LevelState, object, bool], None]], ...]] = (
    (names.TOTAL, _total),
    (names.DONE, _done),
    (names.BYTES, _bytes),
    (names.UNIT, _text("unit", _bounds.name)),
    (names.MESSAGE, _text("message")),
    (names.LEVEL_ID, _text("id")),
    (names.LEVEL_TITLE, _text("title")),
)
