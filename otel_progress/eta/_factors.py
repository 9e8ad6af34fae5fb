"""What moved an estimate, in words a person understands."""

from __future__ import annotations

from typing import Final

FEW_CHANGES: Final = 5
"""Advances below which a run is warming up."""
_NOTABLE_SLOWNESS: Final = 1.15
_NOTABLE_WAIT: Final = 0.1
_MINUTE: Final = 60
_HOUR: Final = 3_600
_TENTHS_BELOW: Final = 10


def duration(seconds: float) -> str:
    """Return seconds as people say them: ``30 s``, ``4 min 10 s``, ``2 h 5 min``."""
    if seconds < _TENTHS_BELOW:
        return f"{seconds:.2g} s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"


def factors(
    *,
    paused: bool,
    silent: float | None,
    growing: bool,
    changes: int,
    waited: float,
    active: float,
    slowness: float | None,
    assumed_total: float | None,
    length_only: bool,
) -> tuple[str, ...]:
    """Return what is worth a word; ``silent`` is the seconds of a stall, ``waited`` those for rate limits."""
    words: list[str] = []
    if paused:
        words.append("paused")
    if silent is not None:
        words.append(f"no advance for {duration(silent)}")
    if active > 0 and waited > _NOTABLE_WAIT * active:
        words.append(f"waited {duration(waited)} for rate limits")
    if growing:
        words.append("growing total")
    if slowness is not None and slowness >= _NOTABLE_SLOWNESS:
        words.append(f"slower than last time by {slowness:.1f}x")
    elif slowness is not None and 0 < slowness <= 1 / _NOTABLE_SLOWNESS:
        words.append(f"faster than last time by {1 / slowness:.1f}x")
    if length_only:
        words.append("by the length of earlier runs")
    elif assumed_total is not None:
        words.append(f"total of the last run: {assumed_total:.6g}")
    if changes < FEW_CHANGES and slowness is None and not length_only:
        words.append("warm-up")
    return tuple(words)
