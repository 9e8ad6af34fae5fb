"""The columns of the live tree: what each level has to say in them, and which of them fit. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor
from typing import Final

from rich.cells import cell_len
from rich.text import Text

from otel_progress._model import Snapshot
from otel_progress.names import State
from otel_progress.terminal import format as fmt
from otel_progress.terminal import words

GAP: Final = "  "

_LABEL_LEAST: Final = 14
_BAR_LEAST: Final = 10
_BAR_MOST: Final = 30

_WIDE_SECONDS: Final = 10.0
"""A column stays as wide as it was for this long after it last needed to be."""

_PULSE_CELLS_PER_SECOND: Final = 5

_LEFT_HELD_SECONDS: Final = 3.0
"""A time left keeps its text this long..."""
_LEFT_HELD_NEAR_SECONDS: Final = 1.0
"""...and this long when no more than `_NEAR_SECONDS` are left."""
_NEAR_SECONDS: Final = 20.0

_LAYOUTS: Final[tuple[tuple[str, ...], ...]] = (
    ("bar", "percent", "count", "rate", "elapsed", "left"),
    ("bar", "percent", "count", "rate", "elapsed", "interval"),
    ("bar", "percent", "count", "rate", "elapsed", "short_left"),
    ("bar", "percent", "count", "rate", "short_time"),
    ("bar", "percent", "count", "time"),
    ("bar", "percent", "count", "short_time"),
    ("bar", "percent", "short_time"),
    ("percent", "short_time"),
    ("percent",),
)
"""From wide to narrow: the first that leaves the names enough room is taken."""

_ALIGNED_LEFT: Final = ("left", "interval", "short_left", "time", "short_time")
_STYLES: Final = {"rate": "dim", "elapsed": "dim"}


@dataclass(frozen=True, slots=True)
class Left:
    """A time left as shown: since when (unix seconds), in full and in short."""

    since: float
    full: str
    short: str


def time_left(level: Snapshot, now: float, before: Left | None) -> Left:
    """Return the time left to show now: what was shown ``before`` for a moment longer, then the new one."""
    full = words.time_left(level)
    if before is not None and full and before.full and level.eta is not None:
        near = level.eta.expected <= _NEAR_SECONDS
        if 0 <= now - before.since < (_LEFT_HELD_NEAR_SECONDS if near else _LEFT_HELD_SECONDS):
            return before
    return Left(now, full, words.time_left(level, interval=False))


def texts(level: Snapshot, left: Left) -> dict[str, str]:
    """Return the text of every column; empty where there is nothing to say. ``*time`` is what is left, else elapsed."""
    state = words.waiting(level) if level.is_live else "done"
    elapsed = "" if level.started_at is None else fmt.duration(level.elapsed_seconds)
    so_far = f"{elapsed} so far" if elapsed else ""
    short = f"{left.short} left" if left.short else ""
    return {
        "percent": "" if level.fraction is None else fmt.percent(level.fraction),
        "count": words.progress(level),
        "rate": words.speed(level),
        "elapsed": elapsed,
        "left": state or (f"{left.full} left" if left.full else ""),
        "interval": state or left.full,
        "short_left": state or short,
        "time": state or left.full or so_far,
        "short_time": state or short or so_far,
    }


@dataclass(frozen=True, slots=True)
class Layout:
    """How wide the name, the bar and each column are; a bar of 0 is left out."""

    label: int
    bar: int
    columns: tuple[tuple[str, int], ...]

    @classmethod
    def fit(cls, widths: Mapping[str, int], width: int) -> Layout:
        """
        Return the layout that says most in ``width`` cells; ``widths`` are what columns and ``label`` ask for.

        A long name takes room from the bar, but no more than half of what the bar can spare.
        """
        label = widths["label"]
        least = min(label, max(_LABEL_LEAST, width // 4))
        columns: tuple[tuple[str, int], ...] = ()
        room, has_bar = width, False
        for layout in _LAYOUTS:
            has_bar = "bar" in layout
            columns = tuple((name, widths[name]) for name in layout if widths.get(name))
            room = width - sum(cells + len(GAP) for _, cells in columns)
            if room >= least + (_BAR_LEAST + len(GAP) if has_bar else 0):
                break
        if not has_bar:
            return cls(max(min(label, room), 1), 0, columns)
        room -= len(GAP)
        spare = room - least - _BAR_LEAST
        label = min(label, max(least + spare // 2, room - _BAR_MOST))
        return cls(label, min(room - label, _BAR_MOST), columns)

    def row(self, label: Text, level: Snapshot, texts: Mapping[str, str], now: float) -> Text:
        """Return one row: the name, the bar, the columns."""
        row = padded(label, self.label)
        if self.bar:
            row.append(GAP).append_text(bar(level, self.bar, now))
        for name, cells in self.columns:
            fill = "" if name in _ALIGNED_LEFT else " " * (cells - cell_len(texts[name]))
            row.append(GAP).append(fill + texts[name], style=_STYLES.get(name))
        row.rstrip()
        return row

    @property
    def bar_at(self) -> int:
        """The cell at which the bar starts."""
        return self.label + len(GAP)


def bar(level: Snapshot, cells: int, now: float) -> Text:
    """Return a bar: filled up to the share done; without a known share, a piece that wanders while the level runs."""
    style = _bar_style(level)
    if level.fraction is not None:
        halves = floor(min(max(level.fraction, 0.0), 1.0) * cells * 2 + 1e-9)
        full, half = divmod(halves, 2)
        return Text.assemble(("━" * full + "╸" * half, style), ("─" * (cells - full - half), "dim"))
    if level.state is not State.RUNNING:
        return Text("─" * cells, style="dim")
    piece = max(cells // 4, 2)
    turn = cells - piece
    at = int(now * _PULSE_CELLS_PER_SECOND) % (2 * turn)
    at = min(at, 2 * turn - at)
    return Text.assemble(("─" * at, "dim"), ("━" * piece, style), ("─" * (turn - at), "dim"))


def _bar_style(level: Snapshot) -> str:
    if level.state is State.COMPLETED:
        return "green"
    return "cyan" if level.state is State.RUNNING else "yellow"


def padded(text: Text, cells: int) -> Text:
    """Return ``text`` in exactly so many cells: cut with an ellipsis, or filled up."""
    text = text.copy()
    text.truncate(cells, overflow="ellipsis", pad=True)
    return text


def clipped(text: Text, cells: int) -> Text:
    """Return ``text`` in at most so many cells, cut with an ellipsis."""
    text = text.copy()
    text.truncate(cells, overflow="ellipsis")
    return text


@dataclass(frozen=True, slots=True)
class Width:
    """How wide a column is: ``cells``, needed last ``at`` (unix seconds), and the most that was ``needed`` since."""

    cells: int
    at: float
    needed: int


def kept(needed: int, now: float, before: Width | None) -> Width:
    """Return a column's width: at once what is ``needed`` if that is more than ``before``, less only after a while."""
    if before is None or needed >= before.cells:
        return Width(needed, now, 0)
    most = max(needed, before.needed)
    if 0 <= now - before.at < _WIDE_SECONDS:
        return Width(before.cells, before.at, most)
    return Width(most, now, 0)


def widest(rows: Sequence[Mapping[str, str]]) -> dict[str, int]:
    """Return the width of the widest text of every column."""
    names = {name for row in rows for name in row}
    return {name: max(cell_len(row[name]) for row in rows) for name in names}
