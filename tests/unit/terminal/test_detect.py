from __future__ import annotations

import io
import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Literal

import pytest

from otel_progress.terminal.detect import Mode, Terminal, detect, in_notebook, terminal_size


class Stream(io.StringIO):
    """A stream that is a terminal, or not."""

    encoding = "utf-8"

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        """Whether it is one."""
        return self._terminal


@pytest.mark.parametrize(
    ("terminal", "environ", "display", "color"),
    [
        (True, {}, "live", True),
        (False, {}, "lines", False),
        (True, {"NO_COLOR": "1"}, "live", False),
        (True, {"NO_COLOR": ""}, "live", True),  # only a value that is not empty counts, says no-color.org
        (False, {"FORCE_COLOR": "1"}, "lines", True),  # colour is forced, cursor movements are not
        (True, {"FORCE_COLOR": "1", "NO_COLOR": "1"}, "live", False),
        (True, {"FORCE_COLOR": "0"}, "live", False),
        (True, {"TERM": "dumb"}, "lines", False),
        (True, {"TERM": "unknown"}, "lines", False),
        (True, {"TERM": "dumb", "FORCE_COLOR": "1"}, "lines", True),
        (True, {"TERM": "xterm-256color"}, "live", True),
        (True, {"CI": "true"}, "lines", True),
        (True, {"CI": "1"}, "lines", True),
        (True, {"CI": "false"}, "live", True),
        (True, {"CI": ""}, "live", True),
        (False, {"CI": "true", "FORCE_COLOR": "1"}, "lines", True),
        (False, {"TTY_COMPATIBLE": "1"}, "live", True),
        (True, {"TTY_COMPATIBLE": "0"}, "lines", False),
        (False, {"TTY_COMPATIBLE": "1", "TTY_INTERACTIVE": "0"}, "lines", True),  # as GitHub's runners may have it
        (False, {"TTY_COMPATIBLE": "1", "CI": "true"}, "lines", True),
        (True, {"TTY_INTERACTIVE": "0"}, "lines", True),
        (False, {"TTY_INTERACTIVE": "1"}, "live", False),
        (True, {"TTY_INTERACTIVE": "1", "CI": "true", "TERM": "dumb"}, "live", False),
    ],
)
def test_environment_and_stream_decide(*, terminal: bool, environ: dict[str, str], display: str, color: bool) -> None:
    """Every variable we honour, alone and where two of them meet."""
    found = detect(Stream(terminal=terminal), environ)
    assert found == Terminal(display=display, color=color, unicode=True)  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["live", "lines"])
def test_explicit_mode_wins(mode: Literal["live", "lines"]) -> None:
    """Who asks for a mode gets it, against stream, environment and notebook."""
    asked: Mode = mode
    assert detect(Stream(terminal=mode == "lines"), {"CI": "1"}, mode=asked, notebook=True).display == mode


def test_notebook_gets_its_own_display() -> None:
    """A kernel's stderr is no terminal, but there is something better than lines."""
    assert detect(Stream(terminal=False), {}, notebook=True).display == "notebook"


def test_signs_beyond_ascii_need_a_stream_that_carries_them() -> None:
    """LANG=C is still met in containers."""
    ascii_only = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    assert not detect(ascii_only, {}).unicode
    assert detect(io.TextIOWrapper(io.BytesIO(), encoding="UTF-8"), {}).unicode


def test_a_closed_stream_is_no_terminal() -> None:
    """``isatty`` of a closed file raises."""
    stream = io.TextIOWrapper(io.BytesIO())
    stream.close()
    assert detect(stream, {}).display == "lines"


@pytest.mark.parametrize(
    ("environ", "size"),
    [
        ({}, (80, 24)),
        ({"COLUMNS": "132"}, (132, 24)),
        ({"COLUMNS": "132", "LINES": "50"}, (132, 50)),
        ({"COLUMNS": "0", "LINES": "-3"}, (80, 24)),
        ({"COLUMNS": "wide"}, (80, 24)),
    ],
)
def test_columns_and_lines_override_the_size(environ: dict[str, str], size: tuple[int, int]) -> None:
    """A stream that is no terminal has 80 columns and 24 rows."""
    assert terminal_size(io.StringIO(), environ) == os.terminal_size(size)


@pytest.mark.parametrize(
    ("shell", "is_notebook"), [("ZMQInteractiveShell", True), ("TerminalInteractiveShell", False), (None, False)]
)
def test_only_a_kernel_is_a_notebook(monkeypatch: pytest.MonkeyPatch, shell: str | None, *, is_notebook: bool) -> None:
    """IPython on a terminal is a terminal."""
    instance = type(shell, (), {})() if shell else None
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: instance))
    assert in_notebook() is is_notebook


def test_without_ipython_there_is_no_notebook() -> None:
    """And IPython is not imported to find out."""
    program = (
        "import sys; from otel_progress.terminal.detect import in_notebook; "
        "print(in_notebook(), 'IPython' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
