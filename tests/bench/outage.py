"""A job whose collector is down from start to end, beside one that answers and beside no telemetry at all."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from otel_progress import configure, level, operation
from tests.bench.harness import Row, beside, duration

ROUNDS = 6
BUDGET = 1.02
LEVELS, ITEMS = 200, 90
OFF = "off"
_CHUNK = bytes(200_000)


def rows() -> Iterator[Row]:
    """Measure the job in fresh interpreters, and once what its exit waits: that has a deadline of its own."""
    with _collector() as up, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and not listening: connections are refused, and nobody else gets the port
        down = f"http://127.0.0.1:{closed.getsockname()[1]}"
        times: dict[str, list[float]] = {OFF: [], up: [], down: []}
        for _ in range(ROUNDS):
            for where, measured in times.items():
                measured.append(_run(where)[0])
        _, shutdown = _run(down, "shutdown")
    best = {where: min(measured) for where, measured in times.items()}
    peers, ratios = beside(best[down], {"with a collector": best[up], "without telemetry": best[OFF]})
    yield Row(
        what="a job with the collector down",
        ours=f"{duration(best[down])}; {duration(shutdown)} more at exit, for a last attempt",
        peers=peers,
        ratio=ratios,
        budget=f"≤ {BUDGET}x that with a collector",
        ok=best[down] <= best[up] * BUDGET,
    )


@contextmanager
def _collector() -> Iterator[str]:
    """Answer OTLP over HTTP, here and on loopback, as a collector that takes everything."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Taking)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


class _Taking(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


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
