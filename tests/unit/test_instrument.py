"""``opentelemetry-instrument python job.py``: a job with no code of ours, told of while it runs and at its end."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider

from otel_progress import active, names
from otel_progress.testing import capture_progress
from tests.unit.kit import LONGEST_SECONDS, REPOSITORY, wait_until

pytestmark = pytest.mark.skipif(
    find_spec("opentelemetry.instrumentation") is None or find_spec("opentelemetry.distro") is None,
    reason="needs opentelemetry-instrumentation and opentelemetry-distro",
)

JOB = """
import sys
from opentelemetry import trace

tracer = trace.get_tracer("job")
with tracer.start_as_current_span("import", attributes={"progress.total": 10}) as span:
    span.set_attribute("progress.done", 4)
    sys.stdin.readline()
    with tracer.start_as_current_span("short", attributes={"progress.done": 3}):
        pass
    span.set_attribute("progress.done", 9)
"""

CONFIGURED = "import otel_progress\notel_progress.configure(terminal='off')\n" + JOB

AGAIN = """
import otel_progress
from opentelemetry import trace

otel_progress.configure(terminal="off").shutdown()
tracer = trace.get_tracer("job")
with tracer.start_as_current_span("import", attributes={"progress.total": 1}):
    assert otel_progress.active() == ()
with otel_progress.configure(terminal="off"), tracer.start_as_current_span("import", attributes={"progress.total": 1}):
    (seen,) = otel_progress.active()
"""

RAN_ON = "import otel_progress\nwith otel_progress.configure(terminal='off'): pass\n" + JOB

Series = tuple[str, frozenset[tuple[str, str]]]


class Sink:
    """Receives OTLP over HTTP: the last value of each series, the spans, the events."""

    def __init__(self) -> None:
        self.values: dict[Series, Any] = {}
        self.spans: list[str] = []
        self.events: list[str] = []
        self._lock = threading.Lock()  # covers what was received
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sink.receive(self.path, self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def receive(self, path: str, body: bytes) -> None:
        """Take one request in."""
        with self._lock:
            if path.endswith("metrics"):
                for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                    for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
                        self._metric(metric)
            elif path.endswith("traces"):
                for spans in ExportTraceServiceRequest.FromString(body).resource_spans:
                    self.spans += [span.name for scope in spans.scope_spans for span in scope.spans]
            else:
                for logs in ExportLogsServiceRequest.FromString(body).resource_logs:
                    self.events += [
                        f"{record.event_name} {path[0] if (path := self._path(record)) else ''}"
                        for scope in logs.scope_logs
                        for record in scope.log_records
                        if record.event_name
                    ]

    @staticmethod
    def _path(record: Any) -> list[str]:  # noqa: ANN401  # a generated class
        return [each.value.array_value.values[-1].string_value for each in record.attributes if each.key == names.PATH]

    def _metric(self, metric: Any) -> None:  # noqa: ANN401  # as above
        kind = metric.WhichOneof("data")
        for point in getattr(metric, kind).data_points:
            labels = frozenset((each.key, each.value.string_value) for each in point.attributes)
            value = point.count if kind == "histogram" else getattr(point, point.WhichOneof("value"))
            self.values[metric.name, labels] = value

    def value(self, metric: names.Metric, **labels: str) -> Any:  # noqa: ANN401  # int, float or None
        """Return the last value of one series; labels without ``progress.``, with underscores."""
        wanted = {f"progress.{key.replace('_', '.')}": value for key, value in labels.items()}
        with self._lock:
            return self.values.get((metric.name, frozenset(wanted.items())))


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A sink that is listening."""
    sink = Sink()
    thread = threading.Thread(target=sink.server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield sink
    finally:
        sink.server.shutdown()
        sink.server.server_close()
        thread.join(LONGEST_SECONDS)


@contextmanager
def instrumented(
    script: str, sink: Sink, folder: Path, *, command: bool = True, **environment: str
) -> Iterator[subprocess.Popen[str]]:
    """Run a script as the documents say; without the command it is just run."""
    (folder / "job.py").write_text(script, encoding="utf-8")
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "TRACEPARENT"))}
    inherited["OTEL_PROGRESS_STORE"] = "off"
    program = subprocess.Popen(
        [*([Path(sys.executable).with_name("opentelemetry-instrument")] if command else []), sys.executable, "job.py"],
        cwd=folder,
        env={
            **inherited,
            "PYTHONPATH": os.pathsep.join(filter(None, [str(REPOSITORY), inherited.get("PYTHONPATH")])),
            "NO_PROXY": "127.0.0.1",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{sink.server.server_port}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_LOGS_EXPORTER": "otlp",
            "OTEL_METRIC_EXPORT_INTERVAL": "200",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            **environment,
        },
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield program
    finally:
        program.kill()
        program.communicate()


def finish(program: subprocess.Popen[str]) -> None:
    """Let the job go on to its end."""
    _, errors = program.communicate("\n", timeout=3 * LONGEST_SECONDS)
    assert (program.returncode, errors) == (0, "")


@pytest.mark.parametrize(
    ("script", "command"),
    [(JOB, True), (CONFIGURED, True), (RAN_ON, True), (CONFIGURED, False)],
    ids=["instrument", "instrument_and_configure", "instrument_and_shut_down", "configure"],
)
def test_job_is_told_of_while_it_runs_and_at_its_end_each_thing_once(
    script: str, *, command: bool, sink: Sink, tmp_path: Path
) -> None:
    """By the command, by `configure`, and by both: then that finds the providers and the processor in place."""
    with instrumented(script, sink, tmp_path, command=command) as program:
        wait_until(lambda: sink.value(names.LEVEL_DONE, operation="import") == 4, "it is at 4 of 10")
        wait_until(lambda: sink.value(names.LEVEL_HEARTBEAT, operation="import") is not None, "it beats")
        assert sink.value(names.LEVEL_LIMIT, operation="import") == 10
        assert sink.value(names.LEVEL_FRACTION, operation="import") == 0.4
        assert sink.value(names.ACTIVE, operation="import", state="running") == 1
        assert sink.value(names.LEVEL_DURATION, operation="import", outcome="completed") is None
        wait_until(lambda: sink.events, "its start is told")
        assert sink.spans == []
        finish(program)
    assert sink.value(names.ITEMS, operation="import", item_outcome="ok") == 9
    assert sink.value(names.ITEMS, operation="import", level="short", item_outcome="ok") == 3
    assert sink.value(names.ACTIVE, operation="import", state="running") == 0
    assert sink.value(names.LEVEL_DURATION, operation="import", outcome="completed") == 1
    assert sink.value(names.LEVEL_DURATION, operation="import", level="short", outcome="completed") == 1
    assert sink.spans == ["short", "import"]
    # It waits for us in the middle, which on a slow machine is a deviation.
    watched = (names.DEVIATION_EVENT.name, names.RECOVERED.name)
    lifecycle = [event for event in sink.events if not event.startswith(watched)]
    assert lifecycle == [f"{names.STARTED.name} import", f"{names.COMPLETED.name} import"]


def test_configure_adopts_what_comes_from_an_earlier_provider_of_its_own(sink: Sink, tmp_path: Path) -> None:
    """It stays the global one, as OpenTelemetry has it, when it has been shut down."""
    with instrumented(AGAIN, sink, tmp_path, command=False) as program:
        _, errors = program.communicate(timeout=3 * LONGEST_SECONDS)
        assert program.returncode == 0, errors


def test_disabled_by_its_name_it_does_nothing(sink: Sink, tmp_path: Path) -> None:
    """The spans are exported as without us."""
    with instrumented(JOB, sink, tmp_path, OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="other, otel_progress") as program:
        finish(program)
    assert sink.spans == ["short", "import"]
    assert [metric for metric, _ in sink.values if metric.startswith("progress.")] == []
    assert sink.events == []


def test_the_entry_point_has_the_name_that_the_documents_give() -> None:
    """And no distro or configurator is registered: the first one found would be used, ours instead of the user's."""
    ours = {
        group: [each.name for each in entry_points(group=group) if each.value.startswith("otel_progress")]
        for group in ("opentelemetry_instrumentor", "opentelemetry_distro", "opentelemetry_configurator")
    }
    assert ours == {
        "opentelemetry_instrumentor": ["otel_progress"],
        "opentelemetry_distro": [],
        "opentelemetry_configurator": [],
    }


def test_uninstrument_stops_adopting_and_instrument_goes_on() -> None:
    """What is adopted already goes on to its end."""
    from otel_progress.integrations.instrumentor import ProgressInstrumentor  # noqa: PLC0415  # where it is installed

    provider = TracerProvider(shutdown_on_exit=False)
    tracer = provider.get_tracer("job")
    instrumentor = ProgressInstrumentor()

    def adopted() -> list[str]:
        with tracer.start_as_current_span("import", attributes={names.TOTAL: 1}):
            return [seen.name for seen in active()]

    with capture_progress() as progress:
        assert adopted() == []
        for _ in range(2):
            instrumentor.instrument(tracer_provider=provider)
            assert adopted() == ["import"]
            live = tracer.start_span("live", attributes={names.DONE: 5})
            instrumentor.uninstrument()
            assert adopted() == ["live"]
            live.end()
        assert progress.value(names.ITEMS.name, operation="live", item_outcome="ok") == 10
