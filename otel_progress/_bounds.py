"""What callers hand in, made finite: names, texts, numbers, metadata, secrets. Nothing here raises."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping
from typing import Final

NAME_LIMIT: Final = 120
"""Characters of a name; Prometheus and trace backends index names, so they stay short."""
TEXT_LIMIT: Final = 1_000
"""Characters of an id, title, message or error message."""
LARGEST: Final = 2**63 - 1
"""Largest number taken: what a metric can carry, and far enough from infinity that sums never reach it."""
STACK_LIMIT: Final = 16_000
"""Characters of a stack; the innermost end is kept."""
Metadata = dict[str, str | int | float | bool]
"""Metadata as kept: plain values, ready to be span attributes."""
METADATA_ENTRIES: Final = 32
METADATA_KEY_LIMIT: Final = 60
METADATA_VALUE_LIMIT: Final = 256

_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+")
"""Control characters, line separators, text direction overrides and lone surrogates (they cannot be encoded)."""

_GIVEAWAYS: Final = (
    r"passw(?:or)?d|passphrase|pwd|secret|token(?!s|iz|[-_]?(?:count|limit))|api[-_]?key|access[-_]?key|private[-_]?key"
    r"|authorization|credential|cookie|signature"
)
_KEY: Final = rf"(?<![\w-])(?!\w*(?:error|exception|warning)\b)(?=[\w-]*?(?:{_GIVEAWAYS}))[\w-]++"
_SECRETS: Final = (
    # password=..., "api_key": "...", Authorization: Basic ...; but "InvalidTokenError: why" is a message
    re.compile(
        rf"(?i)({_KEY}[\"']?\s*+[=:]\s*+)"
        r"(?:(?:bearer|basic|digest|token)\s++)?(?:\"[^\"]*\"|'[^']*'|[^\s,;&)\]}]++)"
    ),
    # --password ..., as a command line and as its list of arguments
    re.compile(rf"(?i)((?=--){_KEY}[\"']?,?[ ]++)(?:\"[^\"]*\"|'[^']*'|[^-\s\"',\]][^\s\"',\]]*+)"),
    # Bearer ..., but not "bearer of bad news"
    re.compile(r"(?i)(\bbearer\s++)(?=\S*(?:\d|[._]\w)|\S{16})[\w.~+/=-]{8,}+"),
    # scheme://user:password@host
    re.compile(r"(://[^\s/:@]*+:)[^\s/?#]+(?=@)"),
    # tokens known by their looks: GitHub, GitLab, Slack, sk-..., AWS, JWT
    re.compile(
        r"()(?<![\w-])(?:gh[a-z]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[a-z]-[\w-]{10,}"
        r"|sk-(?=[\w-]*\d)[\w-]{20,}|AKIA[0-9A-Z]{16}|eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?)"
    ),
)
"""What looks like a secret; the group is kept. Possessive and anchored: time grows with the length of the text only."""

_names: dict[str, str] = {}
_NAMES_CACHED: Final = 4_096

_repr: Final = reprlib.Repr()
_repr.maxstring = _repr.maxother = _repr.maxlong = METADATA_VALUE_LIMIT


def name(value: object) -> str:
    """Return ``value`` as a name: one line of printable text, at most `NAME_LIMIT` characters, never empty."""
    try:
        return _names[value]  # type: ignore[index]  # anything but a known str misses or raises
    except Exception:  # noqa: BLE001  # not seen yet, or somebody else's __hash__
        cleaned = "unnamed" if value is None else text(value, NAME_LIMIT).strip() or "unnamed"
        if type(value) is str and len(value) <= TEXT_LIMIT and len(_names) < _NAMES_CACHED:
            _names[value] = cleaned
        return cleaned


def text(value: object, limit: int = TEXT_LIMIT) -> str:
    """Return ``value`` as one line of printable text of at most ``limit`` characters."""
    try:
        clean = _UNPRINTABLE.sub(" ", (value if type(value) is str else str(value))[: limit * 2])
    except Exception:  # noqa: BLE001  # somebody else's __str__
        clean = f"<{type(value).__name__}>"
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def number(value: object) -> float | None:
    """Return a ``value`` from 0 to `LARGEST` as an int or float, anything else, texts too, as ``None``."""
    if type(value) is int:
        return value if 0 <= value <= LARGEST else None
    try:
        if isinstance(value, str | bytes | bytearray):
            return None
        result = float(value)  # type: ignore[arg-type]  # that it may not be a number is the point
    except Exception:  # noqa: BLE001  # somebody else's __float__
        return None
    return result if 0 <= result <= LARGEST else None


def metadata(value: object) -> Metadata | None:
    """Return a mapping as a small flat one of plain values, anything else as ``None``."""
    kept: Metadata = {}
    try:
        if not isinstance(value, Mapping):
            return None
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
