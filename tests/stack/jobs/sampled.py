"""Short and long operations that fail or do not, each a trace of its own: what tail sampling has to tell apart."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from talk import lost, pause, say

from otel_progress import configure, flush, operation


class Broken(Exception):
    """What the failing ones fail with."""


def fail(name: str, after: threading.Event | None = None) -> None:
    """Run an operation that fails, at once or after something."""
    with suppress(Broken), operation(name):
        if after is not None:
            after.wait()
        raise Broken


def succeed(name: str, after: threading.Event | None = None) -> None:
    """Run an operation that is completed, at once or after something."""
    with operation(name):
        if after is not None:
            after.wait()


def main() -> None:
    """Run them; the two long ones stand still until they are told to end."""
    handle = configure(terminal="off")
    first, second = threading.Event(), threading.Event()
    with ThreadPoolExecutor() as pool:
        long = [pool.submit(succeed, "long", first), pool.submit(fail, "long-failed", second)]
        succeed("short")
        fail("short-failed")
        pause("decided")
        first.set()
        long[0].result()
        fail("failed-at-the-stop")
        flush(5)
        pause("stopped")
        second.set()
        long[1].result()
        facts = lost()
    handle.shutdown()
    say(**facts)


if __name__ == "__main__":
    main()
