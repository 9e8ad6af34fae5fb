"""A backend for tests: takes OTLP over HTTP on a free port, and tells what each process has sent."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_progress import names

from .kit import LONGEST_SECONDS, REPOSITORY

Labels = tuple[tuple[str, str], ...]

_KINDS: dict[str, Any] = {
    "/v1/traces": ExportTraceServiceRequest,
    "/v1/metrics": ExportMetricsServiceRequest,
    "/v1/logs": ExportLogsServiceRequest,
}


class SinkSpan(NamedTuple):
    """A span as it arrived."""

    name: str
    id: str
    parent: str
    trace: str
    instance: str
    attributes: dict[str, Any]

    @property
    def outcome(self) -> str:
        """How the level ended."""
        return str(self.attributes.get(names.OUTCOME))


class Sink:
    """
    What has arrived. Thread-safe enough for tests: read it when the senders have ended.

    Attributes:
        url: For ``OTEL_EXPORTER_OTLP_ENDPOINT``.
        hang: While set, requests are taken and not answered.
        status: What requests are answered with.
    """

    def __init__(self) -> None:
        self.hang = threading.Event()
        self.released = threading.Event()
        self.status = 200
        self.requests: list[tuple[str, Any]] = []
        self.refused = 0
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                if sink.hang.is_set():
                    sink.released.wait(30)
                    return
                if sink.status == 200:
                    sink.requests.append((self.path, _KINDS[self.path].FromString(body)))
                else:
                    sink.refused += 1
                self.send_response(sink.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 100

            def handle_error(self, *_: object) -> None:
                """A client that was killed is the point of some tests."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def spans(self) -> list[SinkSpan]:
        """Return the spans in the order of their arrival."""
        return [
            SinkSpan(
                span.name,
                span.span_id.hex(),
                span.parent_span_id.hex(),
                span.trace_id.hex(),
                _plain(resource.resource.attributes).get("service.instance.id", ""),
                _plain(span.attributes),
            )
            for path, request in list(self.requests)
            if path == "/v1/traces"
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def outcomes(self) -> dict[str, str]:
        """Return how each level ended, by name; a name that comes twice and an id that comes twice are errors."""
        spans = self.spans()
        ids = [span.id for span in spans]
        assert len(set(ids)) == len(ids), "a span was exported twice"
        found = {span.name: span.outcome for span in spans}
        assert len(found) == len(spans), f"names come twice: {sorted(span.name for span in spans)}"
        return found

    def series(self, metric: str) -> dict[tuple[str, Labels], float]:
        """Return the last value of each series (of a histogram its count), by instance and labels."""
        last: dict[tuple[str, Labels], float] = {}
        began: dict[tuple[str, Labels], int] = {}
        for path, request in list(self.requests):
            for resource in request.resource_metrics if path == "/v1/metrics" else ():
                instance = _plain(resource.resource.attributes).get("service.instance.id", "")
                for found in (metric for scope in resource.scope_metrics for metric in scope.metrics):
                    if found.name == metric:
                        data = getattr(found, found.WhichOneof("data"))
                        for point in data.data_points:
                            labels = tuple(sorted((k, str(v)) for k, v in _plain(point.attributes).items()))
                            value = point.count if hasattr(point, "count") else point.as_double + point.as_int
                            last[instance, labels] = value
                            start = began.setdefault((instance, labels), point.start_time_unix_nano)
                            assert start == point.start_time_unix_nano, "two senders under one name"
        return last

    def total(self, metric: str, by: str) -> dict[str, float]:
        """Return the sums over all processes, by one label; series that are 0 are left out."""
        sums: defaultdict[str, float] = defaultdict(float)
        for (_, labels), value in self.series(metric).items():
            sums[dict(labels).get(by, "-")] += value
        return {label: value for label, value in sums.items() if value}

    def events(self) -> list[tuple[str, dict[str, Any]]]:
        """Return name and attributes of each event."""
        return [
            (record.event_name, _plain(record.attributes))
            for path, request in list(self.requests)
            if path == "/v1/logs"
            for resource in request.resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]


def run_file(
    sink: Sink,
    tmp_path: Path,
    body: str,
    *,
    environment: Mapping[str, str] | None = None,
    status: int = 0,
    stderr: str | None = "",
) -> list[str]:
    """Run a program from a file, as ``spawn`` needs it; return the lines it says. On stderr it says nothing."""
    program = tmp_path / "program.py"
    program.write_text(body)
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "TRACEPARENT"))}
    inherited["OTEL_PROGRESS_STORE"] = "off"
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", str(program)],
        env={
            **inherited,
            "PYTHONPATH": str(REPOSITORY),
            "OTEL_PROGRESS_TERMINAL": "off",
            "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url,
            "OTEL_PROGRESS_OPEN_AFTER_SECONDS": "off",  # one span a level, however slow the machine
            "OTEL_BSP_SCHEDULE_DELAY": "600000",  # nothing leaves but by a flush
            "OTEL_METRIC_EXPORT_INTERVAL": "600000",
            **(environment or {}),
        },
        capture_output=True,
        text=True,
        timeout=LONGEST_SECONDS * 3,
        check=False,
    )
    assert done.returncode == status, done.stderr
    assert stderr is None or done.stderr == stderr
    return done.stdout.splitlines()


@contextmanager
def listening() -> Iterator[Sink]:
    """Run a sink for the block."""
    sink = Sink()
    try:
        yield sink
    finally:
        sink.close()


def _plain(attributes: Any) -> dict[str, Any]:  # noqa: ANN401  # repeated KeyValue
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}
