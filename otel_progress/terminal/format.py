"""
Numbers, sizes, rates and times as people read them.

Pure: knows nothing of levels or terminals. Every function takes finite numbers and returns one line without control
characters, rounded so that it changes no faster than a reader can follow.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, floor, log10
from typing import Final

BYTES: Final = "By"
"""UCUM's byte: quantities in it are written as sizes."""

EXACT_BELOW: Final = 100_000
"""Counts below this are written out; from here on three digits and a prefix say as much in less room."""

_PREFIXES: Final = ("", "k", "M", "G", "T", "P", "E")
_THOUSAND: Final = 1_000

_MINUTE: Final = 60
_HOUR: Final = 3_600
_DAY: Final = 86_400

_ABOUT: Final = ((10, 1), (60, 5), (300, 30), (1_800, 60), (7_200, 300), (36_000, 600), (172_800, 3_600))
"""Below how many seconds an estimate is rounded to how many: about a tenth, so that it moves in calm steps."""

_ENDPOINTS: Final = ((60, 1, "s"), (5_400, _MINUTE, "min"), (172_800, _HOUR, "h"))
"""Below how many seconds the end of an interval is given in which unit; days after that."""

_TIGHT: Final = 0.1
"""An interval narrower than this share of the estimate says nothing that the rounding does not."""

_EPSILON: Final = 1e-9
"""Keeps 0.29 * 100 from being rounded down to 28."""


def number(value: float) -> str:
    """Return a count: ``1,204``, ``12.5``, ``1.24 M``."""
    if abs(value) >= EXACT_BELOW:
        return _prefixed(value, 3)
    return f"{value:,.0f}" if value == int(value) else _digits(value, 3).rstrip("0").rstrip(".")


def rough(value: float) -> str:
    """Return a number to two digits, for what keeps changing: ``1.2 k``, ``34``, ``0.5``."""
    return _prefixed(value, 2)


def size(count: float) -> str:
    """Return a number of bytes: ``512 B``, ``34.1 MB``, ``1.24 GB`` (decimal prefixes)."""
    return _bytes(count, 3)


def unit_word(unit: str) -> str:
    """Return the word in a UCUM annotation, ``row`` for ``{row}``; empty for the bare number ``1``."""
    word = unit.strip("{}")
    return "" if word == "1" else word


def quantity(value: float, unit: str) -> str:
    """Return a value with its unit: ``3 items``, ``1.24 M rows``, ``34.1 MB``, ``2 min 05 s``."""
    if unit == BYTES:
        return size(value)
    if unit == "s":
        return duration(value)
    return f"{number(value)} {_plural(unit, value)}".rstrip()


def count(done: float, total: float | None, unit: str) -> str:
    """Return how far a count is: ``3/5 items``, ``34.1 MB/1.24 GB``, ``3 items`` while the total is unknown."""
    if total is None:
        return quantity(done, unit)
    if unit == BYTES:
        return f"{size(done)}/{size(total)}"
    return f"{number(done)}/{number(total)} {_plural(unit, total)}".rstrip()


def rate(per_second: float, unit: str) -> str:
    """Return a speed: ``1.2 k item/s``, ``34 MB/s``; slow ones per minute or per hour."""
    if unit == BYTES:
        return f"{_bytes(per_second, 2)}/s"
    if per_second >= 1 or per_second <= 0:
        value, per = per_second, "s"
    elif per_second * _MINUTE >= 1:
        value, per = per_second * _MINUTE, "min"
    else:
        value, per = per_second * _HOUR, "h"
    return f"{rough(value)} {unit_word(unit)}".rstrip() + f"/{per}"


def percent(fraction: float) -> str:
    """Return a share as whole percent, rounded down: 100 % means all of it."""
    return f"{floor(min(max(fraction, 0.0), 1.0) * 100 + _EPSILON)} %"


def duration(seconds: float) -> str:
    """Return a time that has passed, rounded down: ``0.4 s``, ``42 s``, ``1 min 05 s``, ``3 d 04 h``."""
    if seconds < 1:
        return f"{floor(max(seconds, 0.0) * 10 + _EPSILON) / 10:.1f} s"
    whole = int(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE:02} s"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE:02} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR:02} h"


def about(seconds: float) -> str:
    """Return a time left: ``~3 min``, ``~1.5 min``."""
    return f"~{_spelled(_rounded(seconds))}"


def eta(expected: float, low: float, high: float) -> str:
    """Return a time left with its interval, ``~3 min (2 to 5 min)``; an interval that adds nothing is left out."""
    if high - low <= _TIGHT * expected:
        return about(expected)
    # Rounded outwards, around the estimate as shown: "~30 min (31 to 35 min)" would look like a fault.
    shown = _rounded(expected)
    low_number, low_unit = _endpoint(min(low, shown), floor)
    high_number, high_unit = _endpoint(max(high, shown), ceil)
    low_text = low_number if low_unit == high_unit or low_number == "0" else f"{low_number} {low_unit}"
    return f"{about(expected)} ({low_text} to {high_number} {high_unit})"


def _rounded(seconds: float) -> int:
    step = next((step for below, step in _ABOUT if seconds < below), _DAY // 4)
    return max(floor(seconds / step + 0.5) * step, 1)


def _spelled(seconds: int) -> str:
    """Return a rounded time without its zero part, and half minutes as such: ``3 min``, ``1.5 min``."""
    if _MINUTE < seconds < _ABOUT[2][0]:
        return f"{seconds / _MINUTE:g} min"
    return duration(seconds).removesuffix(" 00 s").removesuffix(" 00 min").removesuffix(" 00 h")


def _endpoint(seconds: float, to_whole: Callable[[float], int]) -> tuple[str, str]:
    """Return number and unit: seconds in steps of 1, then 5; larger units in halves below 10, then whole."""
    nudge = _EPSILON if to_whole is floor else -_EPSILON
    for below, unit_seconds, unit in _ENDPOINTS:
        value = max(seconds, 0.0) / unit_seconds
        few = value < 10  # noqa: PLR2004
        step = (1.0 if few else 5.0) if unit == "s" else (0.5 if few else 1.0)
        value = to_whole(value / step + nudge) * step
        if value * unit_seconds < below:
            return f"{value:g}", unit
    days = to_whole(seconds / _DAY * 2 + nudge) / 2
    return f"{days:g}", "d"


def _prefixed(value: float, digits: int) -> str:
    """Return ``value`` with an SI prefix from 1000 on, to so many digits."""
    if abs(value) < _THOUSAND - 0.5:
        return f"{value:.0f}" if value == int(value) else _digits(value, digits)
    value = float(f"{value:.{digits - 1}e}")  # rounded first: 999,999 is 1.00 M, not 1000 k
    prefix = min(floor(log10(abs(value)) + _EPSILON) // 3, len(_PREFIXES) - 1)
    return f"{_digits(value / _THOUSAND**prefix, digits)} {_PREFIXES[prefix]}"


def _digits(value: float, digits: int) -> str:
    """Return ``value`` to so many digits, but with no more decimals than that."""
    magnitude = floor(log10(abs(value)) + _EPSILON) if value else 0
    return f"{value:,.{min(max(digits - 1 - magnitude, 0), digits)}f}"


def _bytes(count: float, digits: int) -> str:
    text = _prefixed(int(count), digits)
    return f"{text}B" if text[-1].isalpha() else f"{text} B"


def _plural(unit: str, value: float) -> str:
    # An s only where it is surely right: "3 batch" reads better than "3 batchs".
    word = unit_word(unit)
    return f"{word}s" if value != 1 and word.isalpha() and word.islower() and word[-1] not in "hsxyz" else word
