"""A fork in the middle of a level: the child lets the parent's levels alone, has its own, and hangs nowhere."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import pytest

from tests.unit.kit import python

pytestmark = pytest.mark.skipif(
    not hasattr(os, "fork") or sys.platform == "darwin", reason="needs forks that are safe beside threads"
)

PRELUDE = """
import json, os, sys, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of forks of processes with threads
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter
from otel_progress import active, advance, current, find, flush, health, history, level, operation, track

class Keeps(SpanExporter):  # without a lock, which might be held when we fork
    spans = []
    def export(self, spans):
        self.spans.extend(spans)
    def shutdown(self):
        pass

spans, reader = Keeps.spans, InMemoryMetricReader()
trace.set_tracer_provider(TracerProvider())
trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(Keeps()))
if os.environ["METRICS"] == "on":  # the SDK's aggregations have locks as well
    metrics.set_meter_provider(MeterProvider([reader]))

def tell():
    assert flush(10)
    data = reader.get_metrics_data()
    return {
        "spans": [
            [span.name, span.attributes["progress.outcome"], span.parent and f"{span.parent.span_id:016x}"]
            for span in spans
        ],
        "items": sorted(
            [point.attributes.get("progress.level", ""), point.value]
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == "progress.items" for point in metric.data.data_points if point.value
        ),
        "contained": dict(health().contained),
        "live": [snapshot.name for snapshot in active()],
    }

def in_child(work):
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reading)
            spans.clear()
            told = work()
            with open(writing, "w") as pipe:
                json.dump(told, pipe)
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading) as pipe:
        told = json.load(pipe)
    assert os.waitpid(pid, 0)[1] == 0
    return told
"""


def told(script: str, *, metrics: str = "on") -> dict[str, Any]:
    """Run a script that prints what parent and child have to tell."""
    done = python(PRELUDE + script, environment={"METRICS": metrics})
    assert done.stderr == ""
    assert done.returncode == 0
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_child_leaves_the_parents_levels_alone_and_has_its_own() -> None:
    """It neither ends nor exports them; its own nest under the span it was forked in and count for themselves."""
    found = told("""
job = operation("job", total=10)
with job:
    with level("copy") as copy:
        copy.advance(4)
        ids = copy.snapshot()
        def work():
            inherited = current() is None
            copy.advance(100)
            copy.fail("not mine to end")
            with level("child") as child:
                child.advance(3)
                path, run_id = child.snapshot().path, child.snapshot().run_id
            copy.__exit__(None, None, None)
            job.__exit__(None, None, None)
            return {**tell(), "path": path, "same_run": run_id == ids.run_id, "nobody": inherited}
        child = in_child(work)
    job.advance(1)
print(json.dumps({"child": child, "parent": tell(), "copy": ids.span_id}))
""")
    child, parent = found["child"], found["parent"]
    assert [span[:2] for span in child["spans"]] == [["child", "completed"]]
    assert child["spans"][0][2] == found["copy"]
    assert child["contained"] == {}
    assert child["live"] == []
    assert child["nobody"] is True
    assert child["same_run"] is True
    assert [value for _, value in child["items"]] == [3]
    assert [span[:2] for span in parent["spans"]] == [["copy", "completed"], ["job", "completed"]]
    assert parent["items"] == [["", 1], ["copy", 4]]
    assert parent["contained"] == {}


def test_a_fork_while_other_threads_hold_every_lock_does_not_hang() -> None:
    """Threads start, count, end and collect all the time; each of many children works through, and is done."""
    found = told(
        """
stop = threading.Event()
def busy():
    while not stop.is_set():
        with level("busy") as lvl:
            lvl.advance()
            lvl.count("tokens")
            lvl.set_done(3)
            lvl.advance(-1)
def read():
    while not stop.is_set():
        active(); find(limit=3); health()
with operation("job") as job:
    threads = [threading.Thread(target=target) for target in (busy, busy, read)]
    for thread in threads:
        thread.start()
    def work():
        with operation("child") as own:
            own.advance(2)
            own.count("tokens", 5)
            for _ in track(range(3), "rows"):
                advance()
            job.advance()
            job.fail("not mine")
        flushed = flush(10)
        return [flushed, len(spans), [snapshot.name for snapshot in history()]]
    children = [in_child(work) for _ in range(25)]
    stop.set()
    for thread in threads:
        thread.join()
print(json.dumps({"children": children, "live": [snapshot.name for snapshot in active()]}))
""",
        metrics="off",
    )
    assert found == {"children": [[True, 2, ["child"]]] * 25, "live": []}


def test_a_loop_that_was_forked_goes_on_in_both() -> None:
    """Parent and child iterate on; the parent counts its items, the child none of them."""
    done = python(
        PRELUDE
        + """
rows = []
with operation("job"):
    for n in track(list(range(6)), "rows"):
        rows.append(n)
        if n == 2:
            pid = os.fork()
            if pid == 0:
                spans.clear()
if pid:
    os.waitpid(pid, 0)
os.write(1, (json.dumps({"rows": rows, **tell()}) + "\\n").encode())
os._exit(0)
""",
        environment={"METRICS": "on"},
    )
    assert done.stderr == ""
    child, parent = (json.loads(line) for line in done.stdout.splitlines())
    assert child["rows"] == parent["rows"] == [0, 1, 2, 3, 4, 5]
    assert child["spans"] == []
    assert child["items"] == []
    assert [span[:2] for span in parent["spans"]] == [["rows", "completed"], ["job", "completed"]]
    assert parent["items"] == [["rows", 6]]


def test_workers_of_a_forking_pool_have_levels_of_the_operation_they_were_forked_in() -> None:
    """As `multiprocessing` does it, with a flush at the end of each task."""
    found = told("""
import multiprocessing
def task(n):
    with level("part", id=str(n)) as part:
        part.advance(n)
    assert flush(10)
    (span,) = spans
    spans.clear()
    return [span.name, span.attributes["progress.operation"], span.attributes["progress.done"],
            f"{span.parent.span_id:016x}", f"{span.context.trace_id:032x}"]
with operation("job") as job:
    snapshot = job.snapshot()
    spans.clear()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        parts = pool.map(task, range(1, 7), chunksize=1)
print(json.dumps({"parts": parts, "span": snapshot.span_id, "trace": snapshot.trace_id}))
""")
    assert found["parts"] == [["part", "job", float(n), found["span"], found["trace"]] for n in range(1, 7)]


def test_the_heartbeat_beats_on_in_the_child() -> None:
    """Its ticker is its own."""
    found = told("""
def work():
    import time
    deadline = time.monotonic() + 15
    with operation("child"):
        while health().heartbeat_at is None and time.monotonic() < deadline:
            time.sleep(0.01)
        return health().heartbeat_at is not None
with operation("job"):
    print(json.dumps({"beats": in_child(work)}))
""")
    assert found == {"beats": True}
