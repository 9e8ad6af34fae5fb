"""What callers hand in, made finite: names, texts, numbers, metadata, secrets. Nothing here raises."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping
from math import inf
from typing import Final

NAME_LIMIT: Final = 120
"""Characters of a name; Prometheus and trace backends index names, so they stay short."""
TEXT_LIMIT: Final = 1_000
"""Characters of an id, title, message or error message."""
INTEGER_BITS: Final = 1_000
"""Size of an integer that a float still holds."""
STACK_LIMIT: Final = 16_000
"""Characters of a stack; the innermost end is kept."""
Metadata = dict[str, str | int | float | bool]
"""Metadata as kept: plain values, ready to be span attributes."""
METADATA_ENTRIES: Final = 32
METADATA_KEY_LIMIT: Final = 60
METADATA_VALUE_LIMIT: Final = 256

_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+")
"""Control characters, line separators, text direction overrides and lone surrogates (they cannot be encoded)."""

_GIVEAWAYS: Final = r"password|passwd|pwd|secret|token|api[-_]?key|access[-_]?key|authorization|credential"
_SECRETS: Final = (
    re.compile(rf"(?i)([\w-]*(?:{_GIVEAWAYS})[\w-]*[\"']?\s*[=:]\s*)(?:bearer\s+)?(\"[^\"]*\"|'[^']*'|[^\s,;&)\]}}]+)"),
    re.compile(r"(?i)(bearer\s+)([\w.~+/=-]+)"),
    re.compile(r"(://[^\s/:@]+:)([^\s/@]+)(?=@)"),
)

_names: dict[str, str] = {}
_NAMES_CACHED: Final = 4_096

_repr: Final = reprlib.Repr()
_repr.maxstring = _repr.maxother = _repr.maxlong = METADATA_VALUE_LIMIT


def name(value: object) -> str:
    """Return ``value`` as a name: one line of printable text, at most `NAME_LIMIT` characters, never empty."""
    try:
        return _names[value]  # type: ignore[index]  # anything but a known str misses or raises
    except (KeyError, TypeError):
        cleaned = text(value, NAME_LIMIT).strip() or "unnamed"
        if type(value) is str and len(value) <= TEXT_LIMIT and len(_names) < _NAMES_CACHED:
            _names[value] = cleaned
        return cleaned


def text(value: object, limit: int = TEXT_LIMIT) -> str:
    """Return ``value`` as one line of printable text of at most ``limit`` characters."""
    try:
        whole = value if type(value) is str else str(value)
    except Exception:  # noqa: BLE001  # somebody else's __str__
        return f"<{type(value).__name__}>"[:limit]
    clean = _UNPRINTABLE.sub(" ", whole[: limit * 2])
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def number(value: object) -> float | None:
    """Return a finite ``value >= 0`` as an int or float, anything else as ``None``."""
    if type(value) is int:
        return value if value >= 0 and value.bit_length() <= INTEGER_BITS else None
    try:
        result = float(value)  # type: ignore[arg-type]  # that it may not be a number is the point
    except Exception:  # noqa: BLE001  # somebody else's __float__
        return None
    return result if 0 <= result < inf else None


def metadata(value: object) -> Metadata | None:
    """Return a mapping as a small flat one of plain values, anything else as ``None``."""
    if not isinstance(value, Mapping):
        return None
    kept: Metadata = {}
    try:
        for key, item in value.items():
            if len(kept) == METADATA_ENTRIES:
                break
            kept[text(key, METADATA_KEY_LIMIT)] = _plain(item)
    except Exception:  # noqa: BLE001  # somebody else's mapping
        return kept or None
    return kept


def _plain(item: object) -> str | int | float | bool:
    # 64 bits: an int that OTLP cannot carry would drop the whole batch it travels in.
    if type(item) is bool or type(item) is float or (type(item) is int and item.bit_length() < 64):  # noqa: PLR2004
        return item
    if isinstance(item, str):
        return text(item, METADATA_VALUE_LIMIT)
    try:
        return text(_repr.repr(item), METADATA_VALUE_LIMIT)
    except Exception:  # noqa: BLE001  # somebody else's __repr__
        return f"<{type(item).__name__}>"


def redact(value: str) -> str:
    """Return ``value`` with what looks like a password, key or token masked; the default redactor."""
    for pattern in _SECRETS:
        value = pattern.sub(r"\1***", value)
    return value
