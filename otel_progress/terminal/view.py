"""The terminal view: a thread that reads snapshots and shows them, whatever there is to show them on."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol, TextIO, get_args

from otel_progress._clock import SYSTEM_CLOCK
from otel_progress._contain import Tally
from otel_progress._model import Clock, Snapshot
from otel_progress.errors import ConfigError
from otel_progress.terminal.detect import Mode, detect, in_notebook
from otel_progress.terminal.lines import LineReporter

REFRESH_SECONDS: Final = 0.2
"""Time between two pictures: fast enough to look alive, slow enough to be read."""

_REST: Final = 20
"""The view rests this many times as long as a picture took: at most a twentieth of a core, however many levels run."""

_SITE: Final = "terminal view"
_logger: Final = logging.getLogger("otel_progress")

_STOP_SECONDS: Final = 2.0
"""How long `stop` waits for a thread that hangs in a stopped terminal."""


class Output(Protocol):
    """Where snapshots are shown, and how long it takes at least from one time to the next."""

    least_seconds: float

    def show(self, snapshots: Sequence[Snapshot], *, now: float, wall: float, last: bool = False) -> None:
        """Show how things stand. ``now`` is monotonic, ``wall`` unix seconds; ``last`` says that nothing follows."""
        ...

    def close(self) -> None:
        """Give everything back."""
        ...


class LinesOutput:
    """Writes plain lines."""

    least_seconds = 1.0

    def __init__(self, stream: TextIO, *, color: bool) -> None:
        self._stream = stream
        self._reporter = LineReporter(color=color)

    def show(self, snapshots: Sequence[Snapshot], *, now: float, wall: float, last: bool = False) -> None:  # noqa: ARG002
        """Write the lines that are due, in one write."""
        text = "".join(f"{line}\n" for line in self._reporter.lines(snapshots, now, last=last))
        if text:
            encoding = getattr(self._stream, "encoding", None) or "utf-8"
            self._stream.write(text.encode(encoding, "replace").decode(encoding))
            self._stream.flush()

    def close(self) -> None:
        """Nothing to give back."""


class TerminalView:
    """
    Shows running operations on standard error until stopped: as a live tree, in a notebook, or as plain lines.

    ``read`` returns the live operations and those finished lately, as trees; it is called from the view's own thread.
    ``mode`` is ``auto`` (what the stream and the environment allow), ``live`` or ``lines``. ``stream`` is
    ``sys.stderr`` by default. An error while reading or drawing ends the view, is logged once, and never reaches the
    program; with a ``tally`` it is counted there as well.

    Raises `ConfigError` for an unknown mode.
    """

    def __init__(
        self,
        read: Callable[[], tuple[Snapshot, ...]],
        *,
        clock: Clock = SYSTEM_CLOCK,
        stream: TextIO | None = None,
        refresh_seconds: float = REFRESH_SECONDS,
        mode: str = "auto",
        environ: Mapping[str, str] | None = None,
        tally: Tally | None = None,
    ) -> None:
        modes: tuple[Mode, ...] = get_args(Mode)
        if mode not in modes:
            msg = f"terminal must be one of {', '.join(modes)}, got {mode!r}"
            raise ConfigError(msg)
        self._read = read
        self._clock = clock
        self._stream = stream
        self._refresh_seconds = refresh_seconds
        self._mode: Mode = modes[modes.index(mode)]
        self._environ = os.environ if environ is None else environ
        self._tally = Tally() if tally is None else tally
        self._lock = threading.Lock()  # covers starting and stopping; never held while drawing
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._output: Output | None = None
        self._pid = 0

    def start(self) -> None:
        """Begin to show. Does nothing the second time, after `stop`, and where there is no standard error."""
        with self._lock:
            stream = sys.stderr if self._stream is None else self._stream
            if self._thread is not None or self._stopping.is_set() or stream is None:
                return
            self._pid = os.getpid()
            try:
                output = self._output = self._open(stream)
                self._thread = threading.Thread(
                    target=self._run, args=(output,), name="otel_progress-terminal", daemon=True
                )
                self._thread.start()
                atexit.register(self.stop)
            except Exception as error:  # noqa: BLE001  # containment: the program runs on without a view
                failure = error
            else:
                return
        self._give_up(failure)

    def stop(self) -> None:
        """
        Show the end of what has ended, leave the last picture of what has not, and give the terminal back.

        Does nothing the second time, before `start`, and in a forked child. Waits two seconds at most.
        """
        if os.getpid() != self._pid:
            return  # the lock may be held by a thread that does not exist in this child
        with self._lock:
            self._stopping.set()
            output, self._output = self._output, None
            thread = self._thread
        if output is None:
            return
        atexit.unregister(self.stop)
        try:
            if thread is not None and thread is not threading.current_thread():
                thread.join(_STOP_SECONDS)
            if thread is None or not thread.is_alive():
                self._show(output, last=True)
        except Exception as error:  # noqa: BLE001  # containment
            self._tally.contain(_SITE, error)
        finally:
            output.close()

    def _open(self, stream: TextIO) -> Output:
        terminal = detect(stream, self._environ, mode=self._mode, notebook=in_notebook())
        try:
            if terminal.display == "live":
                from otel_progress.terminal.live import LiveOutput  # noqa: PLC0415  # rich is optional

                return LiveOutput(stream, terminal, self._environ)
            if terminal.display == "notebook":
                from otel_progress.terminal.notebook import NotebookOutput  # noqa: PLC0415  # rich and IPython are optional

                return NotebookOutput()
        except Exception as error:  # noqa: BLE001  # no rich, or a stream that cannot be followed: lines work anywhere
            _logger.debug("otel_progress: plain lines instead of the live view: %s", error)
        return LinesOutput(stream, color=terminal.color)

    def _run(self, output: Output) -> None:
        wait = 0.0
        while not self._stopping.wait(wait):
            began = self._clock.monotonic()
            try:
                self._show(output)
            except Exception as error:  # noqa: BLE001  # containment
                self._give_up(error)
                return
            spent = self._clock.monotonic() - began
            wait = max(self._refresh_seconds, output.least_seconds, _REST * spent)

    def _show(self, output: Output, *, last: bool = False) -> None:
        snapshots = self._read()
        # What ends while it is read may come twice: still live, and in the history. The end is true.
        ended = {level.key for level in snapshots if not level.is_live}
        current = [level for level in snapshots if not level.is_live or level.key not in ended]
        output.show(current, now=self._clock.monotonic(), wall=self._clock.wall_ns() / 1e9, last=last)

    def _give_up(self, error: Exception) -> None:
        """End the view after an error of ours. The streams are given back first: the log may go to one of them."""
        with self._lock:
            self._stopping.set()
            output, self._output = self._output, None
        atexit.unregister(self.stop)
        if output is not None:
            output.close()
        self._tally.contain(_SITE, error)
