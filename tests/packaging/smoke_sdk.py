"""With the SDK, levels reach providers of the user's own; `configure` asks for the extra it lacks."""

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_progress import ConfigError, configure, flush, names, operation, track

for options, extra in (({"otlp": "http"}, "otlp"), ({"prometheus": 0}, "prometheus")):
    try:
        configure(**options)
    except ConfigError as error:
        assert f"otel-progress[{extra}]" in str(error), error
    else:
        raise AssertionError(f"configure({options}) without the extra {extra} raised nothing")

spans = InMemorySpanExporter()
tracer_provider = TracerProvider()
tracer_provider.add_span_processor(SimpleSpanProcessor(spans))
trace.set_tracer_provider(tracer_provider)
reader = InMemoryMetricReader()
metrics.set_meter_provider(MeterProvider([reader]))

with operation("nightly-import"):
    for _ in track(range(5), "orders"):
        pass
assert flush()

assert {span.name for span in spans.get_finished_spans()} == {"nightly-import", "orders"}
data = reader.get_metrics_data()
assert data is not None
found = {metric.name for each in data.resource_metrics for scope in each.scope_metrics for metric in scope.metrics}
assert {names.ITEMS.name, names.ACTIVE.name} <= found, found
print("ok")
