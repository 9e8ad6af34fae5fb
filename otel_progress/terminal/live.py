"""The live tree on a terminal: puts snapshots, tree, paint and screen together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TextIO

from rich.console import detect_legacy_windows

from otel_progress._model import Snapshot
from otel_progress.terminal import neighbours, tree
from otel_progress.terminal.detect import Terminal, terminal_size
from otel_progress.terminal.lines import Endings, Fold, LineReporter, summary
from otel_progress.terminal.paint import Painter
from otel_progress.terminal.screen import Screen

_ROWS_KEPT_FREE: Final = 2
"""One for the cursor, one for what was printed last."""


class LiveOutput:
    """
    Draws the tree; writes plain lines while somebody else's bars are on the screen.

    Raises where the terminal cannot be drawn on; then lines are the better choice.
    """

    least_seconds = 0.0

    def __init__(self, stream: TextIO, terminal: Terminal, environ: Mapping[str, str]) -> None:
        if detect_legacy_windows():
            msg = "this Windows console does not understand escape sequences"
            raise OSError(msg)
        self._stream = stream
        self._environ = environ
        self._painter = Painter(
            environ,
            color=terminal.color,
            unicode=terminal.unicode,
            encoding=getattr(stream, "encoding", None) or "utf-8",
        )
        self._screen = Screen(stream)
        self._memory: tree.Memory | None = None
        self._endings = Endings()
        self._untold: list[Snapshot | Fold] = []
        self._reporter = LineReporter()
        self._screen.open()

    def show(self, snapshots: Sequence[Snapshot], *, now: float, wall: float, last: bool = False) -> None:
        """Draw how things stand. ``now`` is monotonic, ``wall`` unix seconds; ``last`` says that nothing follows."""
        if self._screen.error is not None:
            raise self._screen.error
        # Asked even while drawing, so that it knows what was seen on the screen when its turn comes.
        lines = self._reporter.lines(snapshots, now, last=last)
        ended = self._endings.take((level for level in snapshots if level.parent_key is None), now, last=last)
        if neighbours.is_drawing():
            self._screen.hide()
            told = [str(level) if isinstance(level, Fold) else summary(level) for level in self._untold]
            self._untold = []
            neighbours.write_above([*told, *lines], self._stream)
            return
        self._untold += ended
        size = terminal_size(self._stream, self._environ)
        height = max(size.lines - _ROWS_KEPT_FREE, 1)
        frame = tree.frame(snapshots, width=size.columns, height=height, now=wall, memory=self._memory)
        self._memory = frame.memory
        rows = [self._painter.ansi(row) for row in frame.rows]
        above = [self._painter.ansi(row) for level in self._untold for row in tree.ended(level, size.columns)]
        if last:
            self._screen.finish(rows, above)
        elif self._screen.draw(rows, above):
            self._untold = []

    def close(self) -> None:
        """Leave the last picture where it is, and the streams as they were."""
        self._screen.close()
