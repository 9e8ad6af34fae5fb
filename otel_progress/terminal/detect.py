"""What the terminal can do, from the environment and the stream alone: both are passed in."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TextIO

Mode = Literal["auto", "live", "lines"]
Display = Literal["live", "lines", "notebook"]

_OFF: Final = ("", "0", "false")
_DUMB: Final = ("dumb", "unknown")
_DEFAULT_SIZE: Final = os.terminal_size((80, 24))


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """
    How to show progress on a stream.

    ``display`` is what to draw, ``color`` whether with colours, ``unicode`` whether the stream carries more than ASCII.
    """

    display: Display
    color: bool
    unicode: bool


def detect(stream: TextIO, environ: Mapping[str, str], *, mode: Mode = "auto", notebook: bool = False) -> Terminal:
    """
    Return how to show progress on ``stream``.

    An explicit ``mode`` wins. Otherwise the live tree needs a terminal that can move its cursor, and somebody who
    watches it: ``TTY_INTERACTIVE`` (0 or 1) decides alone, ``TTY_COMPATIBLE`` (0 or 1) whether it is a terminal;
    ``CI`` and ``TERM=dumb`` mean lines. Colour follows ``NO_COLOR``, then ``FORCE_COLOR``, then the terminal; forcing
    colour makes nothing live.
    """
    compatible = environ.get("TTY_COMPATIBLE")
    terminal = compatible == "1" or (compatible != "0" and is_terminal(stream))
    dumb = environ.get("TERM", "").lower() in _DUMB
    if environ.get("NO_COLOR"):
        color = False
    elif environ.get("FORCE_COLOR"):
        color = environ["FORCE_COLOR"] not in _OFF
    else:
        color = terminal and not dumb
    encoding = (getattr(stream, "encoding", None) or "utf-8").lower()  # without one, it takes any text
    return Terminal(
        display=_display(environ, mode, terminal=terminal and not dumb, notebook=notebook),
        color=color,
        unicode=encoding.startswith("utf"),
    )


def _display(environ: Mapping[str, str], mode: Mode, *, terminal: bool, notebook: bool) -> Display:
    if mode != "auto":
        return mode
    if notebook:
        return "notebook"
    interactive = environ.get("TTY_INTERACTIVE")
    if interactive in ("0", "1"):
        return "live" if interactive == "1" else "lines"
    watched = environ.get("CI", "").lower() in _OFF
    return "live" if terminal and watched else "lines"


def is_terminal(stream: object) -> bool:
    """Whether ``stream`` says that it is a terminal; never raises."""
    try:
        return bool(stream.isatty())  # type: ignore[attr-defined]  # anything may stand in for a stream
    except Exception:  # noqa: BLE001  # closed, or no stream at all
        return False


def terminal_size(stream: TextIO, environ: Mapping[str, str]) -> os.terminal_size:
    """Return columns and rows: ``COLUMNS`` and ``LINES`` first, then the terminal, then 80 by 24."""
    try:
        actual = os.get_terminal_size(stream.fileno())
    except (AttributeError, ValueError, OSError):
        actual = _DEFAULT_SIZE
    columns, rows = (
        int(text) if (text := environ.get(name, "")).isdecimal() and int(text) > 0 else size or default
        for name, size, default in zip(("COLUMNS", "LINES"), actual, _DEFAULT_SIZE, strict=True)
    )
    return os.terminal_size((columns, rows))


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs this program; never imports IPython."""
    get_ipython = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = get_ipython() if callable(get_ipython) else None
    return shell is not None and (
        type(shell).__name__ == "ZMQInteractiveShell" or "google.colab" in type(shell).__module__
    )
