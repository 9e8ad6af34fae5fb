"""A small HTTP proxy before the Collector that is slow or refuses, as it is told."""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

FORWARDED: Final = ("Content-Type", "Content-Encoding")
FORWARD_SECONDS: Final = 5.0


class Proxy:
    """
    What stands between a job and its Collector.

    Attributes:
        url: Where it listens.
        delay_seconds: How long an export takes.
        delayed: Start of the paths that are slow.
        refusal: Status and headers answered instead of handing an export on; ``None`` hands it on.
        asked: Exports so far.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.delay_seconds = 0.0
        self.delayed = "/"
        self.refusal: tuple[int, Mapping[str, str]] | None = None
        self.asked = 0
        self.woken = threading.Event()
        """Ends all delays."""


@contextmanager
def proxy(upstream: str) -> Iterator[Proxy]:
    """Run a proxy before a Collector's OTLP over HTTP; delays are over when it ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            between.asked += 1
            if self.path.startswith(between.delayed):
                between.woken.wait(between.delay_seconds)
            if between.refusal is not None:
                self.answer(*between.refusal)
                return
            headers = {name: self.headers[name] for name in FORWARDED if name in self.headers}
            request = urllib.request.Request(upstream + self.path, body, headers)
            try:
                with urllib.request.urlopen(request, timeout=FORWARD_SECONDS) as answer:
                    self.answer(answer.status, {})
            except OSError:
                self.answer(502, {})

        def answer(self, status: int, headers: Mapping[str, str]) -> None:
            try:
                self.send_response(status)
                for name, value in {"Content-Length": "0", **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
            except OSError:  # the job waited long enough
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    between = Proxy(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield between
    finally:
        between.woken.set()
        server.shutdown()
        server.server_close()
        thread.join()
