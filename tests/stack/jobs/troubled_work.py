"""
Even work beside a backend in trouble: work, pause, more work, end.

Arguments: steps before and after the pause, and seconds of sleep in each. With ``--hanging-names``, the resolution of
host names hangs until the job goes on after its pause: what a resolver that does not answer looks like to Python.
"""

from __future__ import annotations

import resource
import socket
import sys
import threading
import time
from typing import Any

from talk import pause, say

from otel_progress import configure, health, level, operation


def hang_names() -> threading.Event:
    """Have names resolve to this machine, once the event is set."""
    resolving = threading.Event()
    resolve = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  # as the original
        resolving.wait()
        return resolve("127.0.0.1", *args, **kwargs)

    socket.getaddrinfo = getaddrinfo
    return resolving


def main(before: int, after: int, sleep_seconds: float) -> None:
    """Work, and say how it went."""
    names = hang_names() if "--hanging-names" in sys.argv else None
    handle = configure(terminal="off")
    slowest = worked = 0.0

    def work(numbers: range) -> None:
        nonlocal slowest, worked
        for number in numbers:
            started = time.perf_counter()
            with level("step", id=str(number)) as step:
                step.advance(bytes=10)
            job.advance()
            took = time.perf_counter() - started
            slowest, worked = max(slowest, took), worked + took
            time.sleep(sleep_seconds)

    with operation("troubled-work", total=before + after) as job:
        pause("started")
        work(range(before))
        handle.flush(2)
        pause("worked", kept=dict(health().export_kept))
        if names is not None:
            names.set()
        work(range(before, before + after))
        pause("ending", kept=dict(health().export_kept))
    runtime_seconds = time.perf_counter()
    handle.flush(2)
    flushed = time.perf_counter()
    seen = health()
    say(
        slowest=slowest,
        mean=worked / (before + after),
        kept=dict(seen.export_kept),
        dropped=dict(seen.dropped),
        contained=dict(seen.contained),
        megabytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        flush=flushed - runtime_seconds,
    )
    handle.shutdown()
    say(shutdown=time.perf_counter() - flushed, gone=dict(handle._runtime.tally.dropped))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
