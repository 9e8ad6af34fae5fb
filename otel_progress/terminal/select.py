"""
Which levels to show when not all of them fit. Pure, and free of rich.

The deepest and latest levels say most, and a few places are kept for those that failed or do not get on. What was on
the screen a moment ago stays there as long as it runs, so that the eye can follow it. Ancestors of what is shown are
shown too. The rest is counted in one row per parent, together with the children that finished.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from otel_progress._model import Snapshot
from otel_progress.names import State
from otel_progress.terminal import format as fmt
from otel_progress.terminal import words

Identity = tuple[int | None, int, str]
"""What stays the same about a row from frame to frame: parent, key (0 while only announced) and name."""

LINGER_SECONDS: Final = 1.0
"""A lone child stays this long after its end: a loop over short levels would make its row blink otherwise."""

FAILED_SHOWN: Final = 2
"""Failed children that keep their row; the others are in the count."""

_ATTENTION: Final = (State.FAILED, State.PAUSED, State.RETRYING)


@dataclass(slots=True, eq=False)
class Node:
    """A level on the screen, or a candidate for it; the root stands for the process and has no level."""

    level: Snapshot | None
    parent: Node | None = None
    depth: int = -1
    running: int = 0
    """Live children that are not shown."""
    waiting: int = 0
    """Announced children that are not shown."""
    ended: int = 0
    """Ended children that are shown."""
    is_shown: bool = False
    shown: list[Node] = field(default_factory=list["Node"])
    """The children that are shown, in their order."""
    detail: list[str] = field(default_factory=list[str])

    @property
    def rest(self) -> str:
        """What is not shown of the children: ``... and 37 more running, 12 finished, 1 failed``; empty if nothing."""
        finished = words.children(self.level) if self.level and self._has_ended_more else ""
        more = f"{fmt.number(self.running)} more running" if self.running else ""
        waiting = f"{fmt.number(self.waiting)} waiting" if self.waiting else ""
        return ", ".join(text for text in (more and f"... and {more}", waiting, finished) if text)

    @property
    def rest_rows(self) -> int:
        """Rows that the rest takes: 0 or 1."""
        return int(bool(self.running or self.waiting or self._has_ended_more))

    @property
    def _has_ended_more(self) -> bool:
        """Whether children ended that have no row of their own."""
        return self.level is not None and self.level.children_finished > self.ended


def identity(level: Snapshot) -> Identity:
    """Return what tells this level's row from others."""
    return level.parent_key, level.key, level.name


def select(operations: Sequence[Snapshot], *, rows: int, now: float, kept: Collection[Identity] = frozenset()) -> Node:
    """
    Return the tree of live levels with the nodes marked that fit into ``rows``.

    ``now`` is unix seconds, ``kept`` is what was shown in the last frame.
    """
    root = Node(None, is_shown=True)
    nodes = _build(root, operations, now)
    ranked = _ranked(nodes, rows, kept)
    reserved = min(2, rows // 6)  # for messages and failures, where all rows would go to a crowd of levels
    left = rows - reserved - root.rest_rows
    for node in ranked:
        if left <= 0:
            break
        left -= _show(node, left)
    for node in nodes:
        if node.is_shown and node.parent is not None:
            node.parent.shown.append(node)
    left += reserved
    for node in ranked:
        if left > 0 and node.is_shown and node.level is not None and node.level.is_live:
            node.detail = [*words.deviations(node.level), *words.troubles(node.level), *words.remarks(node.level)]
            left -= bool(node.detail)
    return root


def walk(root: Node) -> Iterator[Node]:
    """Yield the shown nodes from top to bottom."""
    stack = list(reversed(root.shown))
    while stack:
        node = stack.pop()
        yield node
        stack.extend(reversed(node.shown))


def _build(root: Node, operations: Sequence[Snapshot], now: float) -> list[Node]:
    nodes: list[Node] = []
    stack = [(root, operations)]
    while stack:
        parent, levels = stack.pop()
        listed = 0
        for level in _visible(levels, now):
            node = Node(level, parent, parent.depth + 1)
            nodes.append(node)
            if level.is_live:
                stack.append((node, level.children))
                parent.waiting += level.state is State.PENDING
                listed += level.state is not State.PENDING
        parent.running = max(parent.level.children_live if parent.level else 0, listed)
    return nodes


def _visible(levels: Sequence[Snapshot], now: float) -> list[Snapshot]:
    live = [level for level in levels if level.is_live]
    ended = [level for level in levels if not level.is_live and level.parent_key is not None]
    failed = [level for level in ended if level.state is State.FAILED][-FAILED_SHOWN:]
    if not any(level.state is not State.PENDING for level in live) and ended and ended[-1] not in failed:
        latest = max(ended, key=lambda level: level.ended_at or 0.0)
        if abs(now - (latest.ended_at or 0.0)) < LINGER_SECONDS:
            return [*failed, latest, *live]
    return [*failed, *live]


def _ranked(nodes: Sequence[Node], rows: int, kept: Collection[Identity]) -> list[Node]:
    """Return the most relevant nodes first."""

    def relevance(node: Node) -> tuple[bool, bool, int, float]:
        level = node.level
        if level is None:
            return False, False, 0, 0.0
        return level.state is not State.PENDING, identity(level) in kept, node.depth, level.started_at or 0.0

    ranked = sorted(nodes, key=relevance, reverse=True)
    attention = [node for node in ranked if node.level is not None and node.level.state in _ATTENTION]
    first = attention[: max(rows // 4, 1)]
    chosen = set(map(id, first))
    return [*first, *(node for node in ranked if id(node) not in chosen)]


def _show(node: Node, left: int) -> int:
    """Show a node and its ancestors if they fit into ``left`` rows; return how many rows that took."""
    chain: list[Node] = []
    above: Node | None = node
    while above is not None and not above.is_shown:
        chain.append(above)
        above = above.parent
    if above is None or len(chain) > left:
        return 0
    before = above.rest_rows
    _mark(chain, shown=True)
    cost = len(chain) + sum(link.rest_rows for link in chain) + above.rest_rows - before
    if cost > left:
        _mark(chain, shown=False)
        return 0
    return cost


def _mark(chain: list[Node], *, shown: bool) -> None:
    for node in chain:
        node.is_shown = shown
        level, parent = node.level, node.parent
        if level is None or parent is None:
            continue
        change = -1 if shown else 1
        if not level.is_live:
            parent.ended -= change
        elif level.state is State.PENDING:
            parent.waiting += change
        else:
            parent.running += change
