"""Jobs as processes of their own, as in production: set up by environment variables, spoken to in lines of JSON."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from .programs import REPOSITORY, STOP_SECONDS
from .rig import Stack

JOBS: Final = Path(__file__).parent / "jobs"
STEP_SECONDS: Final = 40.0
"""How long a job may take to its next pause, and say nothing until its end."""

LIVELY: Final = {"OTEL_METRIC_EXPORT_INTERVAL": "500", "OTEL_BSP_SCHEDULE_DELAY": "200"}
"""Settings of jobs that are watched while they run; without them a test waits 10 s for each look."""

ONE_SPAN: Final = {"OTEL_PROGRESS_OPEN_AFTER_SECONDS": "off"}
"""A setting of jobs whose levels shall be a span each, however long they take."""


def environment(otlp_url: str, service: str, settings: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a job that pushes to ``otlp_url``; nothing of OTel's is inherited."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    inherited["OTEL_PROGRESS_STORE"] = "off"
    return {
        **inherited,
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONUNBUFFERED": "1",
        "OTEL_EXPORTER_OTLP_ENDPOINT": otlp_url,
        "OTEL_SERVICE_NAME": service,
        **settings,
    }


class Job:
    """A running job. It prints one JSON object a line; one with ``pause`` waits until told to go on."""

    def __init__(self, process: subprocess.Popen[str], errors: Path) -> None:
        self.said: list[dict[str, Any]] = []
        self.exit_seconds = 0.0
        """From the job's last word until its process was gone."""
        self._process = process
        self._errors = errors
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def end(self) -> None:
        """Kill the process if it still runs, and let go of it."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._reader.join(STOP_SECONDS)
        self._process.__exit__(None, None, None)  # closes the pipes, waits

    def _next(self, deadline: float) -> dict[str, Any] | None:
        try:
            line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            msg = f"the job said nothing for {STEP_SECONDS:g} s; it said {self.said}\n{self.errors}"
            raise AssertionError(msg) from None
        if line is None:
            return None
        fact: dict[str, Any] = json.loads(line)
        self.said.append(fact)
        return fact

    def until(self, pause: str) -> dict[str, Any]:
        """Return what the job says at its next pause, which must be this one."""
        deadline = time.monotonic() + STEP_SECONDS
        while (fact := self._next(deadline)) is not None:
            if "pause" in fact:
                assert fact["pause"] == pause
                return fact
        msg = f"the job ended before its pause {pause!r}; it said {self.said}\n{self.errors}"
        raise AssertionError(msg)

    def go(self, word: str = "go") -> None:
        """Let the job go on after a pause."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the job and to every process it started, as a container's end does."""
        os.killpg(self._process.pid, number)

    def send_to(self, worker: int, number: signal.Signals) -> None:
        """Send a signal to one process that the job started, by its id."""
        assert os.getpgid(worker) == self._process.pid
        os.kill(worker, number)

    def gone(self) -> int:
        """Return the exit status, negative for a signal, when the process is gone."""
        return self._process.wait(STEP_SECONDS)

    def finish(self) -> dict[str, Any]:
        """Return the last thing the job said, after it ended well and lost no telemetry."""
        last_word_at = time.monotonic()
        while self._next(last_word_at + STEP_SECONDS) is not None:
            last_word_at = time.monotonic()
        status = self._process.wait(STEP_SECONDS)
        self.exit_seconds = time.monotonic() - last_word_at
        assert status == 0, f"the job exited with {status}; it said {self.said}\n{self.errors}"
        facts = self.said[-1]
        assert not facts.get("lost"), f"the job lost telemetry: {facts['lost']}\n{self.errors}"
        return facts

    @property
    def errors(self) -> str:
        """What the job wrote to stderr."""
        return self._errors.read_text(errors="replace")


@contextmanager
def command(arguments: list[str], env: Mapping[str, str], folder: Path) -> Iterator[Job]:
    """Run a Python command line as a job; it is gone afterwards, whatever happens."""
    errors = folder / f"job-{time.time_ns()}.stderr"
    with errors.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            env=dict(env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,
        )
    running = Job(process, errors)
    try:
        yield running
    finally:
        running.end()


@contextmanager
def job(stack: Stack, script: str, service: str, *arguments: str, **settings: str) -> Iterator[Job]:
    """Run a script of ``jobs/`` that pushes to the stack's Collector; ``settings`` are environment variables."""
    env = environment(stack.collector.otlp_url, service, settings)
    with command([str(JOBS / script), *arguments], env, stack.folder) as running:
        yield running
