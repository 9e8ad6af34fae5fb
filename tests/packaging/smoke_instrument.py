"""With opentelemetry-instrumentation, the entry point loads and adopts the spans of a program that knows no more."""

from importlib.metadata import entry_points

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from otel_progress import active, names

trace.set_tracer_provider(TracerProvider())
(entry_point,) = entry_points(group="opentelemetry_instrumentor", name="otel_progress")
entry_point.load()().instrument()

with trace.get_tracer("job").start_as_current_span("nightly-import", attributes={names.TOTAL: 5, names.DONE: 2}):
    (seen,) = active()
    assert (seen.name, seen.done, seen.total) == ("nightly-import", 2, 5), seen
assert active() == ()
print("ok")
