"""A terminal for tests: a real pseudo terminal, with an emulator that shows what a person would see."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

import pyte

ROOT = Path(__file__).parents[3]
DEADLINE_SECONDS = 20.0


class PseudoTerminal:
    """Runs a scene on a terminal of so many columns and rows. Use as a context manager."""

    def __init__(
        self, scene: str, *, columns: int = 80, rows: int = 30, environ: Mapping[str, str] | None = None
    ) -> None:
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self.sent = b""
        """Every byte the program sent."""
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        inherited = {name: value for name, value in os.environ.items() if name not in HONOURED}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.unit.terminal.scenes", scene],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            cwd=ROOT,
            env={
                **inherited,
                "TERM": "xterm-256color",
                "PYTHONUTF8": "1",
                "PYTHONWARNINGS": "ignore",
                **(environ or {}),
            },
        )
        os.close(theirs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)

    @property
    def lines(self) -> list[str]:
        """What is on the screen, without empty rows at the end."""
        lines = [line.rstrip() for line in self.screen.display]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    @property
    def text(self) -> str:
        """What is on the screen."""
        return "\n".join(self.lines)

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._ours, text.encode())

    def wait_for(self, seen: Callable[[PseudoTerminal], bool]) -> None:
        """Let the program go on until ``seen`` holds; fail after the deadline."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not seen(self):
            assert time.monotonic() < deadline, f"not seen in time; on the screen:\n{self.text}"
            assert self._receive(), f"ended before it was seen; on the screen:\n{self.text}"

    def wait_until_ready(self) -> None:
        """Wait for the scene to say that there is something to look at."""
        self.wait_for(lambda terminal: terminal.screen.title == "READY")
        self.screen.title = ""

    def wait_for_end(self) -> int:
        """Let the program run to its end; return its exit status."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while self._receive():
            assert time.monotonic() < deadline, f"does not end; on the screen:\n{self.text}"
        return self.process.wait(DEADLINE_SECONDS)

    @property
    def has_cursor(self) -> bool:
        """Whether the cursor is shown."""
        return not self.screen.cursor.hidden

    @property
    def wraps(self) -> bool:
        """Whether long lines are wrapped, as a shell needs it."""
        return pyte.modes.DECAWM in self.screen.mode

    def _receive(self) -> bool:
        if select.select([self._ours], [], [], 0.1)[0]:
            try:
                sent = os.read(self._ours, 65_536)
            except OSError:  # the other end is closed: how Linux says so
                return False
            self.sent += sent
            self._stream.feed(sent)
            return bool(sent)
        return True


HONOURED = (
    *("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "CI", "TTY_COMPATIBLE", "TTY_INTERACTIVE"),
    *("TQDM_DISABLE", "COLORTERM"),
)
"""Variables that change what is shown; those of the machine that runs the tests are left out."""
