"""
A picture below the line the program writes on, redrawn in place while the program goes on writing.

The cursor always rests where the program left it, and the picture is drawn below that line. So nothing of others is
lost, even where we cannot see it coming: a half-written line, the prompt of ``input()``, what a child process or a C
library prints. The cursor is hidden within a single write only: however the process dies, the terminal is usable.

What this process prints must not run into the picture. Rich's `Live` swaps ``sys.stdout`` and ``sys.stderr`` for
proxies; logging handlers and bars made before that hold on to the real streams and write into its picture
(Textualize/rich#3286), and what passes the proxies is wrapped and styled anew. Here the ``write`` of the stream objects
themselves is shadowed: whoever holds them, each write first takes the picture away, then goes out as it is.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from time import monotonic
from typing import Final, TextIO
from weakref import WeakSet

from otel_progress.terminal import neighbours
from otel_progress.terminal.detect import is_terminal

_HIDE_CURSOR: Final = "\x1b[?25l"
_SHOW_CURSOR: Final = "\x1b[?25h"
_CUT: Final = "\x1b[?7l"
"""Cut long lines instead of wrapping them: a wrong guess at a sign's width then costs nothing."""
_WRAP: Final = "\x1b[?7h"
_SAVE: Final = "\x1b7"
_RESTORE: Final = "\x1b8"
_DOWN: Final = "\x1bD"
"""One line down in the same column; makes room at the bottom of the screen."""
_ERASE_LINE: Final = "\x1b[K"
_ERASE_BELOW: Final = "\x1b[J"
_NEWLINE: Final = "\r\n"

_REDRAW_SECONDS: Final = 0.03
"""After a print the picture returns at once, but no more often than this: printing must not become slow."""
_LOCK_SECONDS: Final = 1.0
"""How long closing waits for a drawing that hangs in a stopped terminal."""

_FORK_SECONDS: Final = 0.1
"""How long a fork waits for a picture that is being sent."""

_screens: WeakSet[Screen] = WeakSet()


class Screen:
    """
    A picture on the terminal behind ``stream``. Thread-safe.

    It stays away while somebody else draws there. An error of ours while the program prints is kept in ``error``, and
    ends all drawing.
    """

    def __init__(self, stream: TextIO) -> None:
        self.error: Exception | None = None
        self._stream = _innermost(stream)
        self._write: Callable[[str], int] = self._stream.write
        # Covers everything below, and keeps a picture and a print from being mixed on their way to the terminal.
        self._lock = threading.RLock()
        self._shadows: list[tuple[TextIO, Callable[[str], int], Callable[[str], int] | None]] = []
        self._depth = 0
        self._forking: set[int] = set()
        """Threads that hold the lock over a fork."""
        self._picture: tuple[str, ...] = ()
        self._drawn: tuple[str, ...] = ()
        self._drawn_at = 0.0
        self._last = "\n"
        """The last character that the program wrote."""
        self._cursor = _SHOW_CURSOR
        """How the program wants the cursor."""

    def open(self) -> None:
        """Begin to step aside for what the program prints. Raises if a stream cannot be followed."""
        for stream in _same_terminal(self._stream):
            self._shadow(stream)
        _screens.add(self)

    def close(self) -> None:
        """Leave the screen as it is, and the streams as they were."""
        _screens.discard(self)
        locked = self._lock.acquire(timeout=_LOCK_SECONDS)
        for stream, shadow, before in self._shadows:
            if vars(stream).get("write") is not shadow:
                continue  # somebody shadowed us in turn; then ours stays, and only passes on
            if before is None:
                del stream.write
            else:
                stream.write = before  # type: ignore[method-assign]  # as it was
        self._shadows = []
        self._picture = self._drawn = ()
        if locked:
            self._lock.release()

    def draw(self, rows: Sequence[str], above: Sequence[str] = ()) -> bool:
        """
        Show ``rows`` in place of the last picture, and write ``above`` for good over it.

        Return whether ``above`` could be written: not while others draw, somebody's line is unfinished, or the process
        is in the background.
        """
        with self._lock:
            self._picture = tuple(rows)
            if not self._may_draw():
                self._erase()
                return False
            can_write = self._last in "\r\n"
            if above and can_write:
                self._send(self._new_line() + _lines(above) + _ERASE_BELOW)
                self._drawn = ()
            if self._picture != self._drawn:
                self._paint()
            return can_write

    def finish(self, rows: Sequence[str], above: Sequence[str] = ()) -> None:
        """Write ``above`` and the last picture for good, whatever line is unfinished; the program goes on below."""
        with self._lock:
            self._picture = ()
            if self._may_draw() and (rows or above or self._drawn):
                newline = self._new_line() if rows or above else ""
                self._drawn = ()
                self._send(newline + _lines([*above, *rows]) + _ERASE_BELOW)

    def hide(self) -> None:
        """Take the picture away."""
        with self._lock:
            self._picture = ()
            self._erase()

    def _shadow(self, stream: TextIO) -> None:
        before = vars(stream).get("write")
        original = stream.write

        def write(text: str, /) -> int:
            return self._pass_on(original, text)

        stream.write = write  # type: ignore[method-assign]  # see the module's docstring
        self._shadows.append((stream, write, before))

    def _pass_on(self, write: Callable[[str], int], text: str) -> int:
        """Let somebody's text out between two pictures; only errors of that write itself reach the writer."""
        if not self._shadows:
            return write(text)
        with self._lock:
            self._depth += 1  # a stream that wraps another comes by twice; a signal handler may print while we draw
            try:
                if self._depth == 1:
                    self._contain(self._erase)
                written = write(text)
                if self._depth == 1:
                    self._contain(self._wrote, text)
                return written
            finally:
                self._depth -= 1

    def _contain(self, step: Callable[..., None], *args: str) -> None:
        if self.error is not None:
            return
        try:
            step(*args)
        except Exception as error:  # noqa: BLE001  # this runs inside the program's own print
            self.error = error

    def _wrote(self, text: str) -> None:
        self._last = text[-1:] or self._last
        if _HIDE_CURSOR in text or _SHOW_CURSOR in text:
            is_hidden = text.rfind(_HIDE_CURSOR) > text.rfind(_SHOW_CURSOR)
            self._cursor = _HIDE_CURSOR if is_hidden else _SHOW_CURSOR
        if self._picture and monotonic() - self._drawn_at >= _REDRAW_SECONDS and self._may_draw():
            self._paint()

    def _may_draw(self) -> bool:
        return self.error is None and not neighbours.is_drawing() and _in_foreground(self._stream)

    def _paint(self) -> None:
        count = len(self._picture)
        # After a line end the cursor's line is empty, or a child process has come down to a row of the last picture.
        clean = _ERASE_LINE if self._last == "\n" else ""
        make_room = _DOWN * count + (f"\x1b[{count}A" if count else "")
        rows = "".join(f"{_NEWLINE}{row}{_ERASE_LINE}" for row in self._picture)
        self._send(f"{clean}{make_room}{_SAVE}{rows}{_ERASE_BELOW}{_RESTORE}")
        self._drawn = self._picture
        self._drawn_at = monotonic()

    def _new_line(self) -> str:
        """Return what ends the line the cursor is on, if there is something on it; an echoed ``^C`` for instance."""
        try:
            columns = os.get_terminal_size(self._stream.fileno()).columns
        except (AttributeError, ValueError, OSError):
            columns = 0
        if not columns:
            return _NEWLINE if self._last not in "\r\n" else ""
        # As many spaces as fit on a line: they end on this one if it was empty, and on the next if it was not.
        return f"{_WRAP}{' ' * columns}\r{_CUT}"

    def _erase(self) -> None:
        if self._drawn:
            self._drawn = ()
            if _in_foreground(self._stream):
                self._send(_ERASE_BELOW)

    def _send(self, text: str) -> None:
        for stream, _, _ in self._shadows:
            stream.flush()  # what was printed before must be on the screen before
        self._write(f"{_HIDE_CURSOR}{_CUT}{text}{_WRAP}{self._cursor}")
        self._stream.flush()

    def before_fork(self) -> None:
        """Let a picture that is on its way get out: the child would send the rest of it again."""
        if self._lock.acquire(timeout=_FORK_SECONDS):
            self._forking.add(threading.get_ident())

    def after_fork(self) -> None:
        """Go on, in the process that forked."""
        if threading.get_ident() in self._forking:
            self._forking.discard(threading.get_ident())
            self._lock.release()

    def release_in_child(self) -> None:
        """Give the streams back in a forked child. The lock may be held by a thread that does not exist here."""
        self._lock = threading.RLock()
        self.close()


def _lines(rows: Sequence[str]) -> str:
    return "".join(f"{row}{_ERASE_LINE}{_NEWLINE}" for row in rows)


def _for_each(step: Callable[[Screen], None]) -> Callable[[], None]:
    def run() -> None:
        for screen in list(_screens):
            step(screen)

    return run


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_for_each(Screen.before_fork),
        after_in_parent=_for_each(Screen.after_fork),
        after_in_child=_for_each(Screen.release_in_child),
    )


def _innermost(stream: TextIO) -> TextIO:
    """Return the real stream where ``stream`` is a wrapper that may copy to a file, or go away before we do."""
    if isinstance(stream, TextIOWrapper):
        return stream
    found = (real for real in (sys.__stderr__, sys.__stdout__) if real is not None and _is_same(real, stream))
    return next(found, stream)


def _same_terminal(stream: TextIO) -> list[TextIO]:
    """Return ``stream`` and the standard streams that lead to the same terminal; a redirected one is left alone."""
    found = [stream]
    for other in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        is_new = other is not None and all(other is not known for known in found)
        if other is not None and is_new and not neighbours.is_proxy(other) and _is_same(other, stream):
            found.append(other)
    return found


def _is_same(stream: TextIO, other: TextIO) -> bool:
    """Whether both lead to one terminal."""
    device = _device(stream)
    return device is not None and device == _device(other) and is_terminal(stream)


def _device(stream: TextIO) -> int | None:
    try:
        return os.fstat(stream.fileno()).st_rdev
    except (AttributeError, ValueError, OSError):
        return None


def _in_foreground(stream: TextIO) -> bool:
    """Whether the terminal is ours to draw on: not after the shell's ``bg`` or ``&``."""
    try:
        return os.tcgetpgrp(stream.fileno()) == os.getpgrp()
    except (AttributeError, ValueError, OSError):
        return True  # no job control here, or no terminal at all
