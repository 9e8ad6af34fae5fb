"""`configure` sends spans, metrics and events by OTLP over HTTP."""

import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from otel_progress import configure, operation, track

received: dict[str, bytes] = {}


class Sink(BaseHTTPRequestHandler):
    """Keeps what is posted."""

    def do_POST(self) -> None:
        """Take the body in, whatever it is."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        received[self.path] = received.get(self.path, b"") + body
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


server = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
threading.Thread(target=server.serve_forever, daemon=True).start()

os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{server.server_port}"
os.environ["OTEL_EXPORTER_OTLP_COMPRESSION"] = "none"
handle = configure(service_name="smoke", terminal="off")
with operation("nightly-import"):
    for _ in track(range(5), "orders"):
        pass
handle.shutdown(timeout_seconds=10)
server.shutdown()

assert set(received) == {"/v1/traces", "/v1/metrics", "/v1/logs"}, set(received)
assert all(b"nightly-import" in body for body in received.values()), received
print("ok")
