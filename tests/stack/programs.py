"""The programs of the stack as processes: found, started on free loopback ports, waited for, stopped."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

import pytest

T = TypeVar("T")

REPOSITORY: Final = Path(__file__).resolve().parents[2]
CONFIGS: Final = REPOSITORY / "collector"
STACK_VARIABLE: Final = "OTEL_PROGRESS_STACK"
PROGRAMS: Final = "otelcol (contrib, 0.159+), prometheus, promtool (3.0+), jaeger (2.0+), tempo (3.0+), loki (3.6.5+)"
START_SECONDS: Final = 60.0
"""How long a backend may take until it is ready: about one second on an idle machine, Tempo and Loki twelve."""
STOP_SECONDS: Final = 5.0
HTTP_SECONDS: Final = 15.0
POLL_SECONDS: Final = 0.1


def tool(name: str) -> Path:
    """Return the path of a program of the stack; a test that needs a missing one is skipped, or fails in CI."""
    folder = os.environ.get(STACK_VARIABLE)
    path = Path(folder or "") / name
    if not (folder and os.access(path, os.X_OK)):
        missing = pytest.fail if os.environ.get("CI") else pytest.skip
        missing(f"needs {name}: set {STACK_VARIABLE} to a folder with {PROGRAMS}")
    return path


def run(*command: str | Path, check: bool = True, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=timeout, check=False)
    assert not check or done.returncode == 0, f"{command} exited with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done


def free_ports(count: int) -> list[int]:
    """Return loopback ports nobody listens on, from below the range the kernel gives to outgoing connections."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found


def wait_for(look: Callable[[], T | None], timeout_seconds: float = 15.0, what: str = "the condition") -> T:
    """Return the first truthy result of ``look``, called until the deadline; errors in it count as "not yet"."""
    deadline = time.monotonic() + timeout_seconds
    last: object = None
    while True:
        try:
            last = look()
            if last:
                return last
        except (OSError, AssertionError, KeyError, IndexError, ValueError) as error:
            last = error
        if time.monotonic() > deadline:
            msg = f"{what} did not come true in {timeout_seconds:g} s; last seen: {last!r}"
            raise AssertionError(msg)
        time.sleep(POLL_SECONDS)


def get(url: str, **query: object) -> str:
    """Return the body of an HTTP GET."""
    return get_bytes(f"{url}?{urllib.parse.urlencode(query)}" if query else url).decode()


def get_bytes(url: str, **headers: str) -> bytes:
    """Return the body of an HTTP GET as it came."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=HTTP_SECONDS) as answer:
            body: bytes = answer.read()
            return body
    except urllib.error.HTTPError as error:
        error.close()  # it holds the connection
        raise


class Program:
    """One process of the stack in a process group of its own, its output in a file."""

    def __init__(self, command: Sequence[str | Path], env: Mapping[str, str], log: Path, ready_url: str) -> None:
        self.log = log
        self._command = [str(part) for part in command]
        self._env = {**os.environ, **env}
        self._ready_url = ready_url
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The id of the running process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the process, if it does not run, and wait until its health check answers."""
        if self.launch():
            self.wait_until_ready()

    def launch(self) -> bool:
        """Start the process without waiting, and return whether it did not run."""
        if self._process is not None and self._process.poll() is None:
            return False
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                env=self._env,
                cwd=self.log.parent,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C goes to pytest alone, which stops us in order
            )
        return True

    def wait_until_ready(self) -> None:
        """Wait until the health check answers."""
        wait_for(self._is_ready, START_SECONDS, f"{self.log.stem} being ready")

    def _is_ready(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            msg = f"{self.log.stem} exited with {self._process.returncode}:\n{self.tail()}"
            raise RuntimeError(msg)
        get(self._ready_url)
        return True

    def stop(self) -> None:
        """Stop the process gently, then hard."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the process, as the kernel does when memory runs out."""
        self._end(signal.SIGKILL)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        assert self._process is not None
        os.killpg(self._process.pid, number)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        os.killpg(process.pid, how)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def tail(self, lines: int = 40) -> str:
        """Return the end of what the process wrote."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""
