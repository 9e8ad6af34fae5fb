"""The tree as one display of a Jupyter notebook that updates itself, in the cell that is running."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from IPython.display import display  # type: ignore[import-not-found,unused-ignore]  # there in a notebook only
from rich.text import Text

from otel_progress._model import Snapshot
from otel_progress.terminal import tree
from otel_progress.terminal.lines import Endings
from otel_progress.terminal.paint import html

_WIDTH: Final = 110
_HEIGHT: Final = 30
_ENDED_KEPT: Final = 10
"""Finished operations that stay listed above the live ones."""


class NotebookOutput:
    """Shows the tree as text and HTML. A display starts with the first operation and ends when none is live."""

    least_seconds = 0.5

    def __init__(self) -> None:
        self._display: Any = None
        self._memory: tree.Memory | None = None
        self._endings = Endings()
        self._ended: list[Text] = []
        self._shown: list[Text] = []

    def show(self, snapshots: Sequence[Snapshot], *, now: float, wall: float, last: bool = False) -> None:
        """Draw how things stand; arguments as in `LiveOutput.show`."""
        ended = self._endings.take((level for level in snapshots if level.parent_key is None), now, last=last)
        self._ended += [row for level in ended for row in tree.ended(level, _WIDTH)]
        del self._ended[:-_ENDED_KEPT]
        frame = tree.frame(snapshots, width=_WIDTH, height=_HEIGHT, now=wall, memory=self._memory)
        self._memory = frame.memory
        rows = [*self._ended, *frame.rows]
        if rows and rows != self._shown:
            self._update(rows)
        if not frame.rows:
            self._display, self._ended, self._shown = None, [], []

    def _update(self, rows: list[Text]) -> None:
        bundle = {"text/plain": "\n".join(row.plain.rstrip() for row in rows), "text/html": html(rows)}
        if self._display is None:
            # Without IPython mypy knows nothing of it, with it that it has no types.
            self._display = display(bundle, raw=True, display_id=True)  # type: ignore[no-untyped-call,unused-ignore]
        else:
            self._display.update(bundle, raw=True)
        self._shown = rows

    def close(self) -> None:
        """Nothing to give back: the last display stays."""
