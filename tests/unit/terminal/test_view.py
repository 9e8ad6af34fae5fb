from __future__ import annotations

import io
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from otel_progress._contain import Tally
from otel_progress._model import Snapshot
from otel_progress.errors import ConfigError
from otel_progress.names import State
from otel_progress.terminal import TerminalView
from tests.unit.terminal.trees import level


class Clock:
    """A clock that stands still."""

    def wall_ns(self) -> int:
        """Return unix time."""
        return 1_750_000_000_000_000_000

    def monotonic(self) -> float:
        """Return seconds."""
        return 1000.0


def view(read: Callable[[], tuple[Snapshot, ...]], stream: Any, **options: Any) -> TerminalView:  # noqa: ANN401
    """Return a view whose surroundings are the test's alone."""
    return TerminalView(read, clock=Clock(), stream=stream, environ={}, refresh_seconds=0.01, **options)


def wait_for(seen: Callable[[], bool]) -> None:
    """Wait until ``seen`` holds, ten seconds at most."""
    deadline = time.monotonic() + 10
    while not seen():
        assert time.monotonic() < deadline, "not seen in time"
        time.sleep(0.005)


DONE = level("import", state=State.COMPLETED, done=3, elapsed_seconds=2.0)


def test_what_ended_is_told_even_if_stopped_at_once() -> None:
    """A program of a millisecond still says what it did, once, on the stream it was given."""
    stream = io.StringIO()
    shown = view(lambda: (DONE,), stream)
    shown.start()
    shown.stop()
    shown.stop()
    assert stream.getvalue() == "import: completed in 2 s, 3 items\n"


def test_starting_and_stopping_in_any_order_is_harmless() -> None:
    """Stopped before it began it never begins; a second start changes nothing."""
    stream = io.StringIO()
    never = view(lambda: (DONE,), stream)
    never.stop()
    assert stream.getvalue() == ""
    twice = view(lambda: (DONE,), stream)
    twice.start()
    twice.start()
    assert sum(thread.name == "otel_progress-terminal" for thread in threading.enumerate()) == 1
    twice.stop()
    twice.start()
    assert stream.getvalue().count("completed") == 1


def test_the_thread_ends_with_the_view() -> None:
    """Nothing of ours stays behind."""
    shown = view(lambda: (DONE,), io.StringIO())
    shown.start()
    shown.stop()
    assert all(thread.name != "otel_progress-terminal" for thread in threading.enumerate())


def test_an_unknown_mode_is_refused_with_the_modes_there_are() -> None:
    """While configuring, and nowhere else."""
    with pytest.raises(ConfigError, match="terminal must be one of auto, live, lines, got 'fancy'"):
        TerminalView(tuple, mode="fancy")


def test_an_error_while_reading_is_logged_once_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    """The view ends; starting and stopping go on being harmless."""
    tally = Tally()

    def fail() -> tuple[Snapshot, ...]:
        msg = "cannot read"
        raise RuntimeError(msg)

    shown = view(fail, io.StringIO(), tally=tally)
    with caplog.at_level(logging.WARNING, "otel_progress"):
        shown.start()
        wait_for(lambda: bool(tally.contained))
        shown.stop()
    assert [record.getMessage() for record in caplog.records] == [
        "otel_progress: terminal view failed; your program is unaffected"
    ]
    assert tally.contained == {"terminal view": 1}


@pytest.mark.parametrize("mode", ["lines", "live"])
def test_a_stream_that_cannot_be_written_ends_the_view(mode: str) -> None:
    """A pipe whose reader has gone is no reason to bother the program."""

    class Broken(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    tally = Tally()
    stream = Broken()
    shown = view(lambda: (level(),), stream, mode=mode, tally=tally)
    shown.start()
    wait_for(lambda: bool(tally.contained))
    shown.stop()
    assert "write" not in vars(stream)


def test_without_standard_error_there_is_no_view(monkeypatch: pytest.MonkeyPatch) -> None:
    """As under pythonw."""
    monkeypatch.setattr(sys, "stderr", None)
    shown = TerminalView(lambda: (DONE,), clock=Clock())
    shown.start()
    shown.stop()


def test_stopping_does_not_wait_for_a_read_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of a program is not ours to delay."""
    monkeypatch.setattr("otel_progress.terminal.view._STOP_SECONDS", 0.05)
    hanging, release = threading.Event(), threading.Event()

    def read() -> tuple[Snapshot, ...]:
        hanging.set()
        release.wait(10)
        return ()

    shown = view(read, io.StringIO())
    shown.start()
    assert hanging.wait(10)
    began = time.monotonic()
    shown.stop()
    assert time.monotonic() - began < 5
    release.set()


def test_an_operation_read_twice_has_ended() -> None:
    """It ended between the reading of what lives and of what has finished: the end is true."""
    stream = io.StringIO()
    live = level("import", key=DONE.key)
    shown = view(lambda: (live, DONE), stream)
    shown.start()
    shown.stop()
    assert stream.getvalue() == "import: completed in 2 s, 3 items\n"


def test_live_mode_can_be_forced_on_any_stream() -> None:
    """For terminals that do not say that they are: the picture is drawn, and the end stays."""
    stream = io.StringIO()
    running = level("import", done=1, total=2)
    operations = [running]
    shown = view(lambda: tuple(operations), stream, mode="live")
    shown.start()
    wait_for(lambda: "50 %" in stream.getvalue())
    operations[:] = [level("import", key=running.key, state=State.COMPLETED, done=2, total=2)]
    shown.stop()
    assert "  completed in 1 min 00 s · 2 items\x1b[K\r\n" in stream.getvalue()


def test_lines_that_the_stream_cannot_encode_are_written_anyway() -> None:
    """With a question mark where a sign is missing."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    ended = level("夜間 import", state=State.COMPLETED)
    shown = view(lambda: (ended,), stream)
    shown.start()
    shown.stop()
    assert raw.getvalue() == b"?? import: completed in 1 min 00 s\n"


def test_importing_the_package_loads_no_rich() -> None:
    """Plain lines need none."""
    program = "import sys, otel_progress.terminal; print('rich' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_without_rich_there_are_plain_lines() -> None:
    """Even where the live tree was asked for."""
    program = """
import sys
sys.modules["rich"] = None
from otel_progress.terminal import TerminalView
from tests.unit.terminal.test_view import DONE
view = TerminalView(lambda: (DONE,), mode="live")
view.start()
view.stop()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == "import: completed in 2 s, 3 items\n"


class Notebook(ModuleType):
    """What a notebook shows: IPython's display functions, as far as we use them."""

    def __init__(self) -> None:
        super().__init__("IPython.display")
        self.shown: list[dict[str, str]] = []
        self.displays = 0

    def display(self, bundle: dict[str, str], *, raw: bool, display_id: bool) -> SimpleNamespace:
        """Show something new that can be updated."""
        assert raw
        assert display_id
        self.displays += 1
        self.shown.append(bundle)
        return SimpleNamespace(update=lambda bundle, *, raw: self.shown.append(bundle) if raw else None)


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Notebook:
    """Pretend that a kernel runs the tests."""
    module = Notebook()
    shell = type("ZMQInteractiveShell", (), {})()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    monkeypatch.delitem(sys.modules, "otel_progress.terminal.notebook", raising=False)
    return module


def test_a_notebook_shows_a_display_that_updates_itself(notebook: Notebook) -> None:
    """Text for those who read text, HTML for the others; nothing on the stream."""
    stream = io.StringIO()
    operations = [level("im<port", done=1, total=2)]
    shown = view(lambda: tuple(operations), stream)
    shown.start()
    wait_for(lambda: bool(notebook.shown))
    operations[:] = [level("im<port", key=operations[0].key, state=State.COMPLETED, done=2, total=2)]
    shown.stop()
    assert notebook.displays == 1
    assert notebook.shown[0]["text/plain"].startswith("● im<port  ━")
    assert "im&lt;port" in notebook.shown[0]["text/html"]
    assert notebook.shown[-1]["text/plain"] == "✓ im<port  completed in 1 min 00 s · 2 items"
    assert stream.getvalue() == ""


def test_a_kernel_without_display_gets_lines(notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something that looks like a notebook, but is not all there."""
    del notebook
    monkeypatch.setitem(sys.modules, "IPython.display", None)
    stream = io.StringIO()
    shown = view(lambda: (DONE,), stream)
    shown.start()
    shown.stop()
    assert stream.getvalue() == "import: completed in 2 s, 3 items\n"
