"""
What there is to say about a level, in words. Pure, and free of rich: the live tree and the plain lines share it.

Names, messages and titles come from users: `plain` makes any of them safe to print before it is used anywhere.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import islice
from math import isfinite
from typing import Final

from otel_progress._model import Snapshot
from otel_progress.names import State
from otel_progress.terminal import format as fmt

_TEXT_LIMIT: Final = 500
"""Characters of one user text that are looked at; no screen shows more."""

_ESCAPES: Final = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor movement
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?"  # OSC and other strings: titles, links
    r"|\x1b[ -/]*[0-~]?"
    r"|\x9b[0-?]*[ -/]*[@-~]"
)
_UNPRINTABLE: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f"
    r"\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff"  # zero width, and what turns the reading direction
    r"\ud800-\udfff]+"  # lone surrogates cannot be encoded
)
_SPACES: Final = re.compile(r"\s+")

COUNTERS_MOST: Final = 3
"""Counters on a plain line."""

_CHILDREN_TOLD: Final = 4
"""So many children or fewer are told one by one when their parent has ended."""

ENDINGS: Final = {
    State.COMPLETED: "completed in",
    State.FAILED: "failed after",
    State.CANCELLED: "cancelled after",
    State.INTERRUPTED: "interrupted after",
    State.ABANDONED: "abandoned after",
}

_WAITING: Final = {State.PENDING: "waiting", State.PAUSED: "paused", State.RETRYING: "retrying"}


def plain(text: object) -> str:
    """Return ``text`` as one printable line: no escape sequences, control characters or runs of spaces."""
    whole = str(text)[:_TEXT_LIMIT]
    return _SPACES.sub(" ", _UNPRINTABLE.sub(" ", _ESCAPES.sub("", whole))).strip()


def heading(level: Snapshot) -> tuple[str, str]:
    """Return what a level is called: its title or name, and the instance it works on (may be empty)."""
    return plain(level.title or level.name), plain(level.id or "")


def names(level: Snapshot) -> str:
    """Return the names from the operation down: ``nightly-import > orders``."""
    return " > ".join(plain(name) for name in level.path or (level.name,))


def path(level: Snapshot) -> str:
    """Return the names from the operation down, and the instance: ``nightly-import > orders [2026-05-01]``."""
    return f"{names(level)} [{plain(level.id)}]" if level.id else names(level)


def progress(level: Snapshot) -> str:
    """Return how far the level is: items, or bytes where only those are counted; empty when there is nothing."""
    if level.total is None and not level.done:
        return fmt.size(level.bytes) if level.bytes else ""
    return fmt.count(level.done, level.total, level.unit)


def speed(level: Snapshot) -> str:
    """Return how fast the level is; empty while unknown or not running."""
    if level.rate_per_second is None or level.state is not State.RUNNING:
        return ""
    return fmt.rate(level.rate_per_second, level.unit)


def waiting(level: Snapshot) -> str:
    """Return why the level is not simply running, in one word; empty if it is."""
    if level.is_live and level.cancel_requested:
        return "cancelling"
    return _WAITING.get(level.state, "")


def time_left(level: Snapshot, *, interval: bool = True) -> str:
    """Return the time left, with its interval if wanted; empty while unknown or not running."""
    estimate = level.eta
    if estimate is None or waiting(level) or not isfinite(estimate.expected):
        return ""
    if not interval or not isfinite(estimate.high):
        return fmt.about(estimate.expected)
    return fmt.eta(estimate.expected, estimate.low, estimate.high)


def deviations(level: Snapshot) -> list[str]:
    """Return what departs from expectation, in sentences."""
    return [plain(deviation.sentence) for deviation in level.deviations]


def troubles(level: Snapshot) -> list[str]:
    """Return the items that did not go well: ``3 failed``, ``2 skipped``."""
    write = fmt.size if level.unit == fmt.BYTES else fmt.number  # another unit stands beside done and total already
    counts = ((level.failed, "failed"), (level.skipped, "skipped"))
    return [f"{write(value)} {word}" for value, word in counts if value]


def remarks(level: Snapshot, *, counters: int | None = None) -> list[str]:
    """Return the rest worth knowing: message, why it waits, bytes beside items, the first ``counters``, quality."""
    said = [plain(text) for text in (level.reason if waiting(level) else None, level.message) if text]
    if level.bytes and progress(level) != fmt.size(level.bytes) and level.unit != fmt.BYTES:
        said.append(fmt.size(level.bytes))
    for name, counter in islice(level.counters.items(), counters):
        word = fmt.unit_word(counter.unit)
        named = len(word) != 1 and word in name  # "tokens 812", not "tokens 812 tokens"; a single letter is in any name
        value = fmt.number(counter.value) if named else fmt.quantity(counter.value, counter.unit)
        said.append(f"{plain(name)} {value}")
    if level.quality is not None:
        said.append(f"quality {level.quality:.2f}")
    return [text for text in said if text]


def children(level: Snapshot) -> str:
    """Return what became of the children that ended: ``12 finished, 1 failed``, or ``scan finished`` of only one."""
    if not level.children_finished:
        return ""
    ended = [child for child in level.children if not child.is_live]
    if level.children_finished == len(ended) == 1:
        end = "finished" if ended[0].state is State.COMPLETED else ended[0].state
        return f"{_called(ended[0])} {end}"
    return _tally(level, "finished")


def ending(level: Snapshot) -> str:
    """Return how an ended level ended: ``completed in 2 min 05 s``."""
    return f"{ENDINGS.get(level.state, level.state)} {fmt.duration(level.elapsed_seconds)}"


def results(level: Snapshot) -> list[str]:
    """Return what an ended level leaves behind: its error, counts or those of its children, bytes, counters."""
    is_failed = level.state is State.FAILED
    # How else a level ended says its state: "interrupted, KeyboardInterrupt" tells nothing more.
    error = ": ".join(plain(text) for text in (level.error_type, level.error_message) if text) if is_failed else ""
    reason = plain(level.reason or "")
    counts = [_done(level)] if _done(level) else _work(level)
    rest = [*troubles(level), *remarks(level, counters=COUNTERS_MOST)]
    return [text for text in (error, reason, *counts, *rest) if text]


def _work(level: Snapshot) -> list[str]:
    """Return what the children did if they are few enough to be told one by one, else how many there were."""
    if not level.children_finished:
        return []
    ended = [child for child in level.children if not child.is_live]
    if level.children_finished == len(ended) <= _CHILDREN_TOLD and any(_done(child) for child in ended):
        return [_outcome(child) for child in ended if _done(child) or child.state is not State.COMPLETED]
    return [_tally(level, "level" if level.children_finished == 1 else "levels")]


def _outcome(level: Snapshot) -> str:
    """Return what one of few children did: ``load 1,204 rows (3 failed)``."""
    details = [*([] if level.state is State.COMPLETED else [str(level.state)]), *troubles(level)]
    return " ".join(
        text for text in (_called(level), _done(level), f"({', '.join(details)})" if details else "") if text
    )


def _called(level: Snapshot) -> str:
    return " ".join(text for text in heading(level) if text)


def _tally(level: Snapshot, noun: str) -> str:
    ends = Counter(child.state for child in level.children if not child.is_live)
    ends[State.FAILED] = max(level.children_failed, ends[State.FAILED])  # the list is bounded, this number is not
    unhappy = [f"{ends[state]} {state}" for state in ENDINGS if ends[state] and state is not State.COMPLETED]
    return ", ".join([f"{fmt.number(level.children_finished)} {noun}", *unhappy])


def _done(level: Snapshot) -> str:
    """Return how far it came; of a completed level the count alone: the total says no more, unless it was missed."""
    if level.state is not State.COMPLETED or (level.total is not None and level.done < level.total):
        return progress(level)
    if not level.done:
        return fmt.size(level.bytes) if level.bytes else ""
    return fmt.quantity(level.done, level.unit)
