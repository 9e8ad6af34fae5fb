"""A job whose collector is down from start to end, beside the same job without telemetry, in fresh interpreters."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

from otel_progress import configure, level, operation
from tests.bench.harness import Row, duration, ratio

ROUNDS = 6
BUDGET = 1.02
LEVELS, ITEMS = 200, 90
OFF = "off"
_CHUNK = bytes(200_000)


def rows() -> Iterator[Row]:
    """Measure the job, and once what its exit waits: that has a deadline of its own."""
    with socket.socket() as closed:  # bound and not listening: connections are refused, and nobody else gets the port
        closed.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{closed.getsockname()[1]}"
        times: dict[str, list[float]] = {OFF: [], endpoint: []}
        for _ in range(ROUNDS):
            for where, measured in times.items():
                measured.append(_run(where)[0])
        _, shutdown = _run(endpoint, "shutdown")
    off, down = (min(measured) for measured in times.values())
    yield Row(
        what="a job with the collector down",
        ours=f"{duration(down)}; {duration(shutdown)} more at exit, for a last attempt",
        peers=f"without telemetry {duration(off)}",
        ratio=ratio(down, off),
        budget=f"≤ {BUDGET}x",
        ok=down <= off * BUDGET,
    )


def _run(*arguments: str) -> tuple[float, float]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    environment |= {"OTEL_EXPORTER_OTLP_ENDPOINT": arguments[0], "OTEL_BSP_SCHEDULE_DELAY": "500"}
    command = [sys.executable, "-m", __name__, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, env=environment)
    job, shutdown = json.loads(done.stdout)
    return job, shutdown


def main(where: str, *, shutdown: bool) -> None:
    """Run the job; print how long it and, if asked for, the end of telemetry took."""
    handle = configure(enabled=where != OFF, otlp="http", terminal="off", export_interval_seconds=0.5)
    start = time.perf_counter()
    _job()
    done = time.perf_counter()
    if shutdown:
        handle.shutdown()
    print(json.dumps([done - start, time.perf_counter() - done]), flush=True)
    os._exit(0)


def _job() -> None:
    with operation("job", total=LEVELS) as job:
        for _ in range(LEVELS):
            with level("file", total=ITEMS) as file:
                for _ in range(ITEMS):
                    hashlib.sha256(_CHUNK)
                    file.advance(bytes=len(_CHUNK))
            job.advance()


if __name__ == "__main__":
    main(sys.argv[1], shutdown="shutdown" in sys.argv)
