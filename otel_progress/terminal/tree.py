"""
The live tree as rows of styled text. Pure: snapshots, size and time in, rows out.

A frame carries a memory to the next one, so that nothing jumps. Everything is drawn in Unicode, one cell a sign;
`otel_progress.terminal.paint` puts ASCII in its place where that is all there is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from rich.text import Text

from otel_progress._model import Snapshot
from otel_progress.names import State
from otel_progress.terminal import words
from otel_progress.terminal.columns import Layout, Left, Width, clipped, kept, texts, time_left, widest
from otel_progress.terminal.lines import Fold
from otel_progress.terminal.select import Identity, Node, identity, select, walk

ICONS: Final = {
    State.PENDING: ("○", "dim"),
    State.RUNNING: ("●", "cyan"),
    State.PAUSED: ("‖", "yellow"),
    State.RETRYING: ("↻", "yellow"),
    State.COMPLETED: ("✓", "green"),
    State.FAILED: ("✗", "red"),
    State.CANCELLED: ("⊘", "yellow"),
    State.INTERRUPTED: ("⊘", "yellow"),
    State.ABANDONED: ("⊘", "yellow"),
}
SEPARATOR: Final = " · "

ROWS_MOST: Final = 40
"""A taller tree is no longer read, however tall the terminal."""

APPEAR_SECONDS: Final = 0.3
"""Shorter operations are told when they end, and never drawn: a busy service would flicker."""

_INDENT_MOST: Final = 16
"""Deeper levels are not moved further to the right: their names need the room."""

_ENDED_SHOWN: Final = 5
"""Rows that say where an operation stood when it failed or was stopped."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What the last frame looked like: its width, how wide its columns were, which levels and times left it showed."""

    width: int = 0
    columns: Mapping[str, Width] = field(default_factory=dict[str, Width])
    left: Mapping[Identity, Left] = field(default_factory=dict[Identity, Left])


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture: at most ``height`` rows below ``width`` cells, and the memory for the next one."""

    rows: tuple[Text, ...]
    memory: Memory


def frame(snapshots: Iterable[Snapshot], *, width: int, height: int, now: float, memory: Memory | None = None) -> Frame:
    """
    Return the picture of the live operations among ``snapshots``; no rows if there are none.

    Rows stay a cell below ``width``, for terminals that wrap as soon as a line is full. ``now`` is unix seconds.
    """
    width = max(width, 2)
    operations = [level for level in snapshots if level.parent_key is None and level.is_live]
    live = [level for level in operations if level.elapsed_seconds >= APPEAR_SECONDS]
    if not live:
        return Frame((), Memory())
    if memory is None or memory.width != width:
        memory = Memory(width)
    height = min(height, ROWS_MOST)
    root = select(live, rows=height, now=now, kept=memory.left)
    shown = {identity(node.level): node.level for node in walk(root) if node.level}
    left = {key: time_left(level, now, memory.left.get(key)) for key, level in shown.items()}
    cells = {key: texts(level, left[key]) for key, level in shown.items()}
    needed = widest(list(cells.values()))
    labels = [(_indent(node) + _label(node.level)).cell_len for node in walk(root) if node.level]
    needed["label"] = max(labels, default=0)
    columns = {name: kept(cells, now, memory.columns.get(name)) for name, cells in needed.items()}
    layout = Layout.fit({name: column.cells for name, column in columns.items()}, width - 1)
    rows = tuple(clipped(row, width - 1) for row in _rows(root, layout, cells, now))
    return Frame(rows[:height], Memory(width, columns, left))


def ended(level: Snapshot | Fold, width: int) -> list[Text]:
    """
    Return how a finished operation ended: one row, and where it stood below that unless it completed.

    For the scrollback: printed once, above the live tree.
    """
    if isinstance(level, Fold):
        return [clipped(Text.assemble(("✓ ", "green"), str(level)), width - 1)]
    rows = [_ended(level, 0)]
    if level.state is not State.COMPLETED:
        stack = [(child, 1) for child in reversed(level.children)]
        while stack and len(rows) <= _ENDED_SHOWN:
            child, depth = stack.pop()
            if child.state not in (State.COMPLETED, State.PENDING):
                rows.append(_ended(child, depth))
                stack.extend((grandchild, depth + 1) for grandchild in reversed(child.children))
    return [clipped(row, width - 1) for row in rows]


def _rows(root: Node, layout: Layout, cells: Mapping[Identity, Mapping[str, str]], now: float) -> Iterator[Text]:
    stack: list[Node | Text] = _below(root)
    while stack:
        node = stack.pop()
        if isinstance(node, Text):
            yield node
            continue
        level = node.level
        if level is None:
            continue
        label = _indent(node) + _label(level)
        if level.state is State.FAILED:
            label.pad_right(max(layout.bar_at - label.cell_len, 1))
            yield label.append(SEPARATOR.join([words.ending(level), *words.results(level)]), style="red")
        else:
            yield layout.row(label, level, cells[identity(level)], now)
        if node.detail:
            yield _guides(node, own="│ " if node.shown or node.rest else "  ") + _detail(node, level)
        stack.extend(_below(node))


def _below(node: Node) -> list[Node | Text]:
    """Return what stands below a node, last first: its shown children, then the rest in words."""
    below: list[Node | Text] = list(node.shown)
    if node.rest:
        below.append(_guides(node, own="└ " if node.level else "").append(node.rest, style="dim"))
    return below[::-1]


def _indent(node: Node) -> Text:
    """Return the lines that lead from a row to its parent."""
    parent = node.parent
    if parent is None or parent.level is None:
        return Text()
    is_last = node is parent.shown[-1] and not parent.rest
    return _guides(parent, own="└ " if is_last else "├ ")


def _guides(node: Node, own: str) -> Text:
    """Return the lines that pass by the rows below ``node``, and ``own`` at the end."""
    lines = [own]
    while node.parent is not None and node.parent.level is not None:
        is_last = node is node.parent.shown[-1] and not node.parent.rest
        lines.append("  " if is_last else "│ ")
        node = node.parent
    return Text.assemble(("".join(reversed(lines))[-_INDENT_MOST:], "dim"))


def _label(level: Snapshot) -> Text:
    icon, style = ICONS[level.state]
    name, instance = words.heading(level)
    label = Text.assemble((f"{icon} ", style), (name, "bold" if level.parent_key is None else ""))
    return label.append(f" {instance}", style="dim") if instance else label


def _detail(node: Node, level: Snapshot) -> Text:
    first, *others = node.detail
    return Text.assemble((first, "red" if level.failed else "dim"), (SEPARATOR.join(["", *others]), "dim"))


def _ended(level: Snapshot, depth: int) -> Text:
    row = Text("  " * depth) + _label(level)
    row.append(f"  {words.ending(level)}", style=ICONS[level.state][1])
    results = words.results(level)
    return row.append(SEPARATOR + SEPARATOR.join(results)) if results else row
