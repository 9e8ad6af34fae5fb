"""
Programs that show progress on a real terminal: ``python -m tests.unit.terminal.scenes NAME``.

Each writes ``READY`` into the terminal's title when there is something to look at, and ends by itself unless it is
meant to be stopped.
"""

from __future__ import annotations

import fcntl
import logging
import os
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from contextlib import suppress
from unittest import mock

from otel_progress._model import Snapshot
from otel_progress.names import State
from otel_progress.terminal import TerminalView, lines
from tests.unit.terminal.trees import level

SCENES: dict[str, Callable[[], None]] = {}


class Job:
    """An operation with one level, as a program would drive it."""

    def __init__(self) -> None:
        self.state = State.RUNNING
        self.done = 0
        self.began = time.time() - 60
        self.key, self.child_key = 1, 2

    def read(self) -> tuple[Snapshot, ...]:
        """Return it as it stands."""
        now = time.time()
        elapsed = now - self.began
        times = {"started_at": self.began, "elapsed_seconds": elapsed, "ended_at": now, "state": self.state}
        copy = level("copy", key=self.child_key, done=self.done, total=100, **times)
        return (level("import", copy, key=self.key, **times),)


def scene(run: Callable[[Job], None]) -> Callable[[Job], None]:
    """Register a scene: the job ends as its function does; nobody stops the view but the interpreter's end."""

    def play() -> None:
        job = Job()
        TerminalView(job.read, refresh_seconds=0.02).start()
        try:
            run(job)
            job.state = State.COMPLETED
        except KeyboardInterrupt:
            job.state = State.INTERRUPTED
            raise
        except Exception:
            job.state = State.FAILED
            raise

    SCENES[run.__name__] = play
    return run


def ready(seconds: float = 0.2) -> None:
    """Let the view draw, then tell the test."""
    time.sleep(seconds)
    os.write(2, b"\x1b]2;READY\x07")


@scene
def endless(job: Job) -> None:
    """Run until it is stopped."""
    job.done = 30
    ready()
    while True:
        time.sleep(0.05)


@scene
def echoes(job: Job) -> None:
    """Run until it is stopped, and end without a word."""
    with suppress(KeyboardInterrupt):
        endless(job)


@scene
def prints(job: Job) -> None:
    """Write in every way a program writes, while the tree is up."""
    handler = logging.StreamHandler()  # holds on to the real stderr, as most programs' handlers do
    logging.basicConfig(level=logging.INFO, handlers=[handler], format="log %(message)s")
    log = logging.getLogger("scene")
    for index in range(10):
        print(f"out {index}")
        print(f"err {index}", file=sys.stderr)
        log.info("%d", index)
        sys.stdout.writelines([f"lines {index}\n"])
        job.done += 10
        time.sleep(0.03)
    ready()
    time.sleep(0.3)


@scene
def half_line(job: Job) -> None:
    """Leave a line open, and end it later."""
    time.sleep(0.1)
    print("Loading... ", end="", flush=True)
    job.done = 40
    ready()
    sys.stdin.readline()
    print("done")


@scene
def question(job: Job) -> None:
    """Ask, with a prompt that Python writes past ``sys.stdout``."""
    job.done = 40
    answer = input("Go on? ")
    print(f"answer {answer}")


@scene
def children(job: Job) -> None:
    """Let other processes write on the terminal."""
    for index in range(3):
        job.done += 10
        time.sleep(0.1)
        subprocess.run(["echo", f"child {index}"], check=True)
        time.sleep(0.1)
    ready()
    time.sleep(0.3)


@scene
def forks(job: Job) -> None:
    """Fork while the tree is up; the child prints and exits through the interpreter's end."""
    for index in range(3):
        job.done += 10
        time.sleep(0.1)
        child = os.fork()
        if not child:
            print(f"child {index} {'write' in vars(sys.stderr)}")
            sys.exit(0)
        os.waitpid(child, 0)
        time.sleep(0.1)


@scene
def crash(job: Job) -> None:
    """Fail."""
    job.done = 30
    time.sleep(0.1)
    msg = "bad row 17"
    raise ValueError(msg)


@scene
def tqdm_bar(job: Job) -> None:
    """Iterate under a tqdm bar in the middle of the job."""
    from tqdm import tqdm  # noqa: PLC0415  # as in a program that does this only sometimes

    job.done = 10
    time.sleep(0.2)
    for index in tqdm(range(20), desc="theirs", mininterval=0.01):
        if index == 10:
            job.done = 60
            time.sleep(1.2)
            ready()
            sys.stdin.readline()
        time.sleep(0.01)
    time.sleep(0.2)


@scene
def tqdm_nested(job: Job) -> None:
    """Two tqdm bars, one inside the other."""
    from tqdm import tqdm  # noqa: PLC0415  # as above

    time.sleep(0.1)
    for index in tqdm(range(3), desc="outer", mininterval=0):
        for step in tqdm(range(5), desc="inner", mininterval=0, leave=False):
            if (index, step) == (1, 2):
                job.done = 60
                ready()
                sys.stdin.readline()


@scene
def rich_bar(job: Job) -> None:
    """Show a progress display of rich's own in the middle of the job."""
    from rich.progress import track  # noqa: PLC0415  # as above

    job.done = 10
    time.sleep(0.2)
    for index in track(range(20), description="theirs"):
        if index == 10:
            job.done = 60
            time.sleep(1.2)
            ready()
            sys.stdin.readline()
        time.sleep(0.01)
    print("after theirs")
    ready()
    sys.stdin.readline()


def unfinished() -> None:
    """End while the operation is live."""
    job = Job()
    job.done = 30
    TerminalView(job.read, refresh_seconds=0.02).start()
    time.sleep(0.2)


def broken() -> None:
    """Read from something that fails after a while."""
    logging.basicConfig(format="log %(message)s")
    job = Job()

    def read() -> tuple[Snapshot, ...]:
        if job.done:
            msg = "cannot read"
            raise OSError(msg)
        return job.read()

    TerminalView(read, refresh_seconds=0.02).start()
    time.sleep(0.2)
    job.done = 1
    time.sleep(0.2)
    print("still printing", "write" in vars(sys.stderr))


SCENES["unfinished"] = unfinished
SCENES["broken"] = broken


if __name__ == "__main__":
    # Make the terminal the controlling one, so that Ctrl-C arrives.
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    if sys.argv[1] not in ("question", "echoes"):
        settings = termios.tcgetattr(0)
        settings[3] &= ~termios.ECHO  # a key that the test presses must not write on the screen
        termios.tcsetattr(0, termios.TCSANOW, settings)
    with mock.patch.object(lines, "SHORTEST_SECONDS", 0.5):  # scenes are short
        SCENES[sys.argv[1]]()
