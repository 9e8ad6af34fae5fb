"""The arithmetic and the text form of a profile: the curve of a run in at most 64 points, and JSON of at most 1 KB."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from otel_progress._model import Profile

Point = tuple[float, float]

VERSION: Final = 1
"""Of the text form; a reader gives up on newer ones."""
CURVE_POINTS: Final = 64
ITEMS_KEPT: Final = 500
"""Items a profile remembers: the dearest. Those of this run and of earlier ones are part of a level's 24 KiB."""
TEXT_LIMIT: Final = 1_024
"""Bytes of the text form without items."""

_DECODED_LIMIT: Final = TEXT_LIMIT + 64 * ITEMS_KEPT
_STEPS: Final = 10_000
"""Shares are written as whole ten-thousandths."""
_NUMBERS: Final = ("ended_at", "longest_pause", "peak_rss", "cpu_seconds", "quality")
_COUNTS: Final = ("failed", "waited_seconds")
"""Zero unless said otherwise; all the others are unknown unless said otherwise."""
_SHAPE_POINTS: Final = 16
"""Points that are enough for the shape of a curve."""
_NEXT_TO_NOTHING: Final = 1e-9


def curve_of(samples: Iterable[Point]) -> tuple[float, float, tuple[Point, ...], float | None]:
    """Return (seconds, items, curve, longest silence) of a run seen at these moments: (seconds since start, done)."""
    points: list[Point] = []
    first = reached = last = changed = 0.0
    silence: float | None = None
    for seconds, done in samples:
        if not (isfinite(seconds) and isfinite(done)):
            continue
        if not points:
            first, points = done, [(0.0, 0.0)]
        last = max(seconds, last)
        if done - first > reached:
            reached = done - first
            silence = max(last - changed, silence or 0.0)
            changed = last
        if points[-1] != (last, reached):
            points.append((last, reached))
    if not (last > 0 and reached > 0):
        return last, 0.0, (), None
    silence = max(last - changed, silence or 0.0)
    kept = thinned([(x / last, y / reached) for x, y in points], CURVE_POINTS)
    kept[0], kept[-1] = (0.0, 0.0), (1.0, 1.0)
    return last, reached, tuple(kept), silence


def thinned(points: Sequence[Point], limit: int) -> list[Point]:
    """Return at most ``limit`` of the points, both ends included: each time the one farthest from the line so far."""
    if len(points) <= limit:
        return list(points)
    kept = {0, len(points) - 1}
    parts = [_farthest(points, 0, len(points) - 1)]
    while len(kept) < limit and parts:
        distance, index, left, right = heapq.heappop(parts)
        if distance > -_NEXT_TO_NOTHING:
            break  # what is left lies on the lines
        kept.add(index)
        for start, end in ((left, index), (index, right)):
            if end - start > 1:
                heapq.heappush(parts, _farthest(points, start, end))
    return [points[index] for index in sorted(kept)]


def _farthest(points: Sequence[Point], left: int, right: int) -> tuple[float, int, int, int]:
    """Return (minus the distance, index, left, right) of the point between two that is farthest from their line."""
    (x0, y0), (x1, y1) = points[left], points[right]
    width, height = x1 - x0, y1 - y0
    farthest, at = 0.0, left + 1
    for index in range(left + 1, right):
        x, y = points[index]
        distance = abs((x - x0) * height - (y - y0) * width)
        if distance > farthest:
            farthest, at = distance, index
    length = (width * width + height * height) ** 0.5
    return -(farthest / length if length else 0.0), at, left, right


def dearest(items: Iterable[tuple[str, float]]) -> tuple[tuple[str, float], ...]:
    """Return the items to keep."""
    return tuple(heapq.nlargest(ITEMS_KEPT, items, key=lambda item: item[1]))


def encode(profile: Profile) -> str:
    """Return compact JSON of `TEXT_LIMIT` at most and the items; points of the curve, then phases, go first."""
    values: dict[str, Any] = {"v": VERSION, "seconds": _short(profile.seconds)}
    for name in ("total", *_NUMBERS, *_COUNTS):
        value = getattr(profile, name)
        if value is not None and (value or name not in _COUNTS):
            values[name] = round(value, 3) if name == "ended_at" else _short(value)
    if profile.outcome != "completed":
        values["outcome"] = profile.outcome
    if profile.phases:
        values["phases"] = [[name, round(share, 4)] for name, share in profile.phases]
    curve: Sequence[Point] = profile.curve
    while True:
        if curve:
            values["curve"] = [_steps([x for x, _ in curve]), _steps([y for _, y in curve])]
        text = _dump(values)
        if len(text) <= TEXT_LIMIT or (len(curve) <= _SHAPE_POINTS and "phases" not in values):
            break
        if len(curve) > _SHAPE_POINTS:
            curve = thinned(curve, len(curve) // 2)
        else:
            del values["phases"]
    if profile.items:
        text = _dump({**values, "items": [[key, _short(seconds)] for key, seconds in profile.items]})
    return text


def decode(text: str) -> dict[str, Any] | None:
    """Return the fields of the profile, or ``None`` for what `encode` did not write."""
    try:
        if len(text) > _DECODED_LIMIT:
            return None
        values = json.loads(text)
        return _fields(values) if values["v"] == VERSION else None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        return None


def _fields(values: Mapping[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "seconds": _number(values["seconds"]),
        "total": _number(values["total"]) if "total" in values else None,
        "outcome": _text(values.get("outcome", "completed")),
        "phases": tuple((_text(name), _number(share)) for name, share in values.get("phases", ())),
        "items": tuple((_text(key), _number(seconds)) for key, seconds in values.get("items", ())),
        "curve": (),
    }
    for name in (*_NUMBERS, *_COUNTS):
        if name in values:
            fields[name] = _number(values[name])
    if "curve" in values:
        times, shares = values["curve"]
        curve = tuple(zip(_shares(times), _shares(shares), strict=True))
        if not 1 < len(curve) <= CURVE_POINTS:
            raise ValueError
        fields["curve"] = curve
    return fields


def _steps(shares: Sequence[float]) -> list[int]:
    """Return how far each is from the one before it."""
    whole = [round(share * _STEPS) for share in shares]
    return [after - before for before, after in pairwise(whole)]


def _shares(steps: list[int]) -> list[float]:
    shares = [0]
    for step in steps:
        if type(step) is not int or step < 0:
            raise ValueError
        shares.append(shares[-1] + step)
    if shares[-1] != _STEPS:
        raise ValueError
    return [share / _STEPS for share in shares]


def _number(value: object) -> float:
    if type(value) not in {int, float} or not 0 <= cast("float", value) < float("inf"):
        raise ValueError
    return cast("float", value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _short(value: float) -> float:
    """Return the number with six digits, as those after it are noise; whole numbers as they are."""
    return int(value) if value == int(value) and abs(value) < 1e15 else float(f"{value:.6g}")  # noqa: PLR2004  # exact


def _dump(values: Mapping[str, Any]) -> str:
    return json.dumps(values, separators=(",", ":"), ensure_ascii=True)
