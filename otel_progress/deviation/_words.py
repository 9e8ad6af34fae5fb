"""Numbers as a sentence for a person gives them: rounded, with their unit, one and many told apart."""

from __future__ import annotations

from typing import Final

_MINUTE: Final = 60
_HOUR: Final = 3_600
_DAY: Final = 86_400
_TEN: Final = 10
_PREFIXES: Final = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_PLURALS: Final = {"entry": "entries", "query": "queries", "batch": "batches", "box": "boxes", "index": "indexes"}


def lasting(seconds: float) -> str:
    """Return a time that has passed: ``0.4 s``, ``42 s``, ``4 min 10 s``, ``2 h 5 min``, ``3 d 4 h``."""
    if seconds < _TEN:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    for large, small, names in ((_DAY, _HOUR, "d h"), (_HOUR, _MINUTE, "h min"), (_MINUTE, 1, "min s")):
        if whole >= large:
            first, second = names.split()
            rest = whole % large // small
            return f"{whole // large} {first}" + (f" {rest} {second}" if rest else "")
    return f"{whole} s"


def times(factor: float) -> str:
    """Return how many times: ``2.5 times``, ``12 times``."""
    return f"{factor:.1f} times" if factor < _TEN else f"{factor:,.0f} times"


def share(part: float) -> str:
    """Return a share in percent: ``0.4 %``, ``12 %``."""
    percent = 100 * part
    return "0 %" if percent == 0 else f"{percent:.1f} %" if percent < 1 else f"{percent:.0f} %"


def size(count: float) -> str:
    """Return a number of bytes with a decimal prefix: ``512 B``, ``1.2 GB``."""
    for prefix in _PREFIXES:
        if count < 1_000 or prefix == _PREFIXES[-1]:  # noqa: PLR2004  # decimal prefixes
            return f"{count:.1f} {prefix}" if prefix != "B" and count < _TEN else f"{count:,.0f} {prefix}"
        count /= 1_000
    raise AssertionError  # the last prefix takes all


def items(count: float, unit: str) -> str:
    """Return a count with its unit (UCUM, such as ``{row}``): ``1 item``, ``3 rows``, ``1.2 MB``."""
    if unit == "By":
        return size(count)
    word = unit.strip("{}")
    number = f"{count:,.0f}" if count >= _TEN else f"{count:.1f}".removesuffix(".0")
    if not word or number == "1":
        return f"{number} {word}".rstrip()
    return f"{number} {_PLURALS.get(word) or (word if word.endswith('s') else word + 's')}"


def rates(first: float, second: float, unit: str) -> tuple[str, str]:
    """Return two speeds by the same stretch of time, so that they can be compared: by the second, minute or hour."""
    least = min((speed for speed in (first, second) if speed > 0), default=0.0)
    seconds, name = (1, "s") if least >= 1 else (_MINUTE, "min") if least * _MINUTE >= 1 else (_HOUR, "h")
    return f"{items(first * seconds, unit)}/{name}", f"{items(second * seconds, unit)}/{name}"


def runs(count: int) -> str:
    """Return earlier runs: ``its last run``, ``its 3 earlier runs``."""
    return "its last run" if count == 1 else f"its {count} earlier runs"
