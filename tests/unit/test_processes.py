"""Several processes: no level lost, none exported twice, and sums over all processes that are the truth."""

from __future__ import annotations

import inspect
import multiprocessing
import os
import pickle
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

from otel_progress import _drain, _exporters, _workers, current, in_worker, level, names, operation
from otel_progress.testing import Capture

from .kit import in_thread
from .sink import Sink, run_file

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")

PRELUDE = """
import asyncio, multiprocessing, os, signal, subprocess, sys, threading, time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from opentelemetry import metrics, trace
from otel_progress import advance, configure, continue_from, current, flush, in_worker, level, operation, track

def crunch(number):
    with level("chunk", id=str(number)) as chunk:
        for _ in track(range(number), "row"): pass
        chunk.advance(number)
    return os.getpid()
"""


def assert_complete(sink: Sink, chunks: list[int], *, instances: int | None = None) -> None:
    """Every chunk is there once, below the job; items and durations, summed over all processes, are the truth."""
    spans = sink.spans()
    ids = [span.id for span in spans]
    assert len(set(ids)) == len(ids), "a span was exported twice"
    (job,) = (span for span in spans if span.name == "job")
    assert {span.trace for span in spans} == {job.trace}
    assert {span.attributes[names.RUN_ID] for span in spans} == {job.attributes[names.RUN_ID]}
    assert {span.attributes[names.OPERATION] for span in spans} == {"job"}
    found = sorted(int(span.attributes[names.LEVEL_ID]) for span in spans if span.name == "chunk")
    assert found == sorted(chunks)
    assert {span.parent for span in spans if span.name == "chunk"} == {job.id}
    assert {span.outcome for span in spans} == {"completed"}
    rows = sum(chunks)
    items = sink.total("progress.items", names.LEVEL)
    assert items == {"chunk": rows, "row": rows, "-": 1}  # the job itself has advanced by one
    durations = sink.total("progress.level.duration", names.LEVEL)
    assert durations == {"chunk": len(chunks), "row": len(chunks), "-": 1}
    seen = {instance for instance, _ in sink.series("progress.level.duration")}
    assert instances is None or len(seen) == instances, "each process is a series of its own"


JOB = """
def main(run):
    configure()
    with operation("job") as job:
        job.advance()
        run(job)

if __name__ == "__main__":
    main(run)
"""


# --- processes and pools ----------------------------------------------------------------------------------------------


@needs_fork
def test_forked_processes_lose_and_double_nothing(sink: Sink, tmp_path: Path) -> None:
    """`multiprocessing` ends its children without `atexit`; nothing is asked of the program."""
    body = """
def run(job):
    crunch(1)
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=crunch, args=(number,)) for number in (2, 3)]
    for worker in workers: worker.start()
    for worker in workers: worker.join()
    print(*[worker.exitcode for worker in workers])
"""
    assert run_file(sink, tmp_path, PRELUDE + body + JOB) == ["0 0"]
    assert_complete(sink, [1, 2, 3], instances=3)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_pool_that_is_terminated_has_lost_nothing(sink: Sink, tmp_path: Path, method: str) -> None:
    """Leaving the block of a `Pool` sends its workers SIGTERM."""
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    body = f"""
def run(job):
    with multiprocessing.get_context("{method}").Pool(2) as pool:
        pool.map(in_worker(crunch), [1, 2, 3, 4], chunksize=1)
"""
    assert run_file(sink, tmp_path, PRELUDE + body + JOB) == []
    assert_complete(sink, [1, 2, 3, 4])


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_process_pool_executor(sink: Sink, tmp_path: Path, method: str) -> None:
    """Workers leave by themselves."""
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    body = f"""
def run(job):
    with ProcessPoolExecutor(2, multiprocessing.get_context("{method}")) as pool:
        print(len(set(pool.map(in_worker(crunch), [1, 2, 3, 4]))) <= 2)
"""
    assert run_file(sink, tmp_path, PRELUDE + body + JOB) == ["True"]
    assert_complete(sink, [1, 2, 3, 4])


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_process_of_its_own(sink: Sink, tmp_path: Path, method: str) -> None:
    """As the target of a `Process`, with the exit status of the function."""
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    body = f"""
def fails(number):
    crunch(number)
    sys.exit(4)

def run(job):
    worker = multiprocessing.get_context("{method}").Process(target=in_worker(fails), args=(2,))
    worker.start()
    worker.join()
    print(worker.exitcode)
"""
    assert run_file(sink, tmp_path, PRELUDE + body + JOB) == ["4"]
    assert_complete(sink, [2], instances=2)


@needs_fork
def test_a_pool_older_than_the_job_belongs_to_whoever_calls(sink: Sink, tmp_path: Path) -> None:
    """Workers that were forked inside one operation and work for another one are the other one's."""
    body = """
def run(job):
    crunch(5)

if __name__ == "__main__":
    configure()
    with operation("old"):
        pool = multiprocessing.get_context("fork").Pool(1)
        pool.map(in_worker(crunch), [9])
    with operation("job"):
        pool.map(in_worker(crunch), [1, 2])
    pool.close()
    pool.join()
"""
    assert run_file(sink, tmp_path, PRELUDE + body) == []
    by_chunk = {
        span.attributes[names.LEVEL_ID]: (span.attributes[names.OPERATION], span.parent)
        for span in sink.spans()
        if span.name == "chunk"
    }
    roots = {span.name: span.id for span in sink.spans() if span.name in {"old", "job"}}
    assert by_chunk == {"9": ("old", roots["old"]), "1": ("job", roots["job"]), "2": ("job", roots["job"])}


@needs_fork
def test_a_worker_that_gets_sigterm_tells_what_it_was_doing(sink: Sink, tmp_path: Path) -> None:
    """The handler is inherited, and speaks of the child's levels only."""
    body = """
def stuck(pipe):
    with level("chunk", id="1"):
        pipe.send("inside")
        time.sleep(60)

def run(job):
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    worker = context.Process(target=stuck, args=(there,))
    worker.start()
    here.recv()
    worker.terminate()
    worker.join()
    print(worker.exitcode)
"""
    assert run_file(sink, tmp_path, PRELUDE + body + JOB) == ["-15"]
    assert sink.outcomes() == {"chunk": "interrupted", "job": "completed"}
    assert next(span for span in sink.spans() if span.name == "chunk").attributes[names.REASON] == "SIGTERM"


@needs_fork
def test_a_failing_process_and_its_threads(sink: Sink, tmp_path: Path) -> None:
    """Threads that the process waits for complete; what an exception left has failed; the rest is interrupted."""
    body = """
def child():
    def slow():
        time.sleep(0.3)
        with level("in a thread"): pass
    inside = threading.Event()
    def forgotten():
        with level("forgotten"):
            inside.set()
            time.sleep(60)
    threading.Thread(target=slow).start()
    threading.Thread(target=forgotten, daemon=True).start()
    inside.wait()
    sys.stderr = open(os.devnull, "w")
    for _ in track([1, 2], "loop"):
        raise ValueError("bad row")

def run(job):
    worker = multiprocessing.get_context("fork").Process(target=child)
    worker.start()
    worker.join()
    print(worker.exitcode)
"""
    assert run_file(sink, tmp_path, PRELUDE + body + JOB) == ["1"]
    assert sink.outcomes() == {
        "in a thread": "completed",
        "forgotten": "interrupted",
        "loop": "failed" if sys.version_info < (3, 13) else "abandoned",  # since 3.13 nobody sees the exception
        "job": "completed",
    }


@needs_fork
def test_grandchildren(sink: Sink, tmp_path: Path) -> None:
    """Each generation counts from 0."""
    body = """
def child():
    crunch(2)
    worker = multiprocessing.get_context("fork").Process(target=crunch, args=(4,))
    worker.start()
    worker.join()

def run(job):
    crunch(1)
    worker = multiprocessing.get_context("fork").Process(target=child)
    worker.start()
    worker.join()
"""
    assert run_file(sink, tmp_path, PRELUDE + body + JOB) == []
    assert_complete(sink, [1, 2, 4], instances=3)


@needs_fork
def test_a_bare_fork_that_exits_as_python_does(sink: Sink, tmp_path: Path) -> None:
    """`sys.exit` runs the exit of the handle in the child too; `os._exit` keeps what was flushed."""
    body = """
def run(job):
    crunch(1)
    for leave in (sys.exit, os._exit):
        pid = os.fork()
        if pid == 0:
            crunch(3)
            if leave is os._exit:
                handle.flush()
            leave(0)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

if __name__ == "__main__":
    handle = configure(prometheus=0)
    with operation("job") as job:
        job.advance()
        run(job)
"""
    assert run_file(sink, tmp_path, PRELUDE + body) == ["0", "0"]
    assert_complete(sink, [1, 3, 3], instances=3)


def test_an_exporter_is_made_anew_in_another_process(
    sink: Sink, progress: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it shares no connection, lock or state: here the parent's has been shut down already."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", sink.url)
    exporter = _exporters.otlp_exporter("http", "traces")
    assert isinstance(exporter, OTLPSpanExporter)
    with operation("first"), level("second"):
        pass
    first, second = progress.spans()
    assert exporter.export([first]).name == "SUCCESS"
    exporter.shutdown()
    monkeypatch.setattr(_exporters, "os", SimpleNamespace(getpid=lambda: -1, environ=os.environ))
    assert exporter.export([second]).name == "SUCCESS"
    assert [span.name for span in sink.spans()] == [first.name, second.name]


@needs_fork
def test_a_child_that_lives_for_several_exports(sink: Sink, tmp_path: Path) -> None:
    """What the parent had counted is not sent once more, however often the child exports."""
    body = """
def child():
    crunch(2)
    time.sleep(0.5)
    crunch(3)

def run(job):
    crunch(1)
    worker = multiprocessing.get_context("fork").Process(target=child)
    worker.start()
    worker.join()
"""
    run_file(sink, tmp_path, PRELUDE + body + JOB, environment={"OTEL_METRIC_EXPORT_INTERVAL": "100"})
    assert_complete(sink, [1, 2, 3], instances=2)


@needs_fork
def test_the_endpoint_stays_the_parents(sink: Sink, tmp_path: Path) -> None:
    """A child that ends, or shuts down, neither answers for the parent nor closes its port."""
    body = """
import urllib.request
def child():
    with level("chunk", id="7") as chunk: chunk.advance(7)
    print(handle.prometheus_url, flush=True)
    handle.shutdown()

def run(job):
    worker = multiprocessing.get_context("fork").Process(target=child)
    worker.start()
    worker.join()
    with urllib.request.urlopen(handle.prometheus_url, timeout=10) as answer:
        text = answer.read().decode()
    print("progress_items_total" in text, 'progress_level="chunk"' in text)
    handle.shutdown()
    try:
        urllib.request.urlopen(url, timeout=1)
    except OSError as error:
        print("closed")

if __name__ == "__main__":
    handle = configure(prometheus=0)
    url = handle.prometheus_url
    with operation("job") as job:
        job.advance()
        run(job)
"""
    assert run_file(sink, tmp_path, PRELUDE + body) == ["None", "True False", "closed"]
    assert sink.total("progress.items", names.LEVEL) == {"chunk": 7, "-": 1}


@needs_fork
def test_spans_of_others_in_the_child_are_exported_too(sink: Sink, tmp_path: Path) -> None:
    """The global tracer provider goes on in the child."""
    body = """
def child():
    with trace.get_tracer("theirs").start_as_current_span("query"): pass

def run(job):
    worker = multiprocessing.get_context("fork").Process(target=child_with_level)
    worker.start()
    worker.join()

def child_with_level():
    with level("chunk", id="1"):
        child()
"""
    assert run_file(sink, tmp_path, PRELUDE + body + JOB) == []
    spans = {span.name: span for span in sink.spans()}
    assert spans["query"].parent == spans["chunk"].id
    assert spans["chunk"].parent == spans["job"].id


# --- in_worker, the function ------------------------------------------------------------------------------------------


def add(first: int, second: int = 2, *more: int) -> int:
    """Sum of its arguments."""
    return first + second + sum(more)


def test_the_function_stays_what_it_was() -> None:
    """Result, name, signature, exception; it can be pickled, and is small then."""
    wrapped = in_worker(add)
    assert wrapped(1, 3, 5) == 9
    assert (wrapped.__name__, wrapped.__doc__) == ("add", "Sum of its arguments.")
    assert inspect.signature(wrapped) == inspect.signature(add)
    error = KeyError("mine")

    def fails() -> None:
        raise error

    with pytest.raises(KeyError) as caught:
        in_worker(fails)()
    assert caught.value is error
    with pytest.raises(StopIteration):
        in_worker(next)(iter(()))
    copied = pickle.loads(pickle.dumps(wrapped))
    assert copied(1) == 3
    assert len(pickle.dumps(wrapped)) < 300


def test_in_a_thread_of_this_process_it_continues_the_level(progress: Capture) -> None:
    """Then there is nothing to set up and nothing to wait for."""

    def work() -> str:
        with level("part") as part:
            return part.operation

    with operation("job"):
        wrapped = in_worker(work)
        assert in_thread(wrapped) == "job"
    by_name = {span.name: span for span in progress.spans()}
    parent, job = by_name["part"].parent, by_name["job"].context
    assert parent is not None
    assert job is not None
    assert parent.span_id == job.span_id


def test_outside_any_level_it_is_just_the_function(progress: Capture) -> None:
    """Levels inside are their own operations."""

    def work() -> Any:  # noqa: ANN401  # a name
        with level("alone") as alone:
            return alone.operation

    assert in_worker(work)() == "alone"
    assert current() is None


def test_options_travel_but_what_belongs_to_one_process(sink: Sink, tmp_path: Path) -> None:
    """Names, limits and redactor, if it can be pickled; neither terminal nor endpoint."""
    body = """
from otel_progress import _runtime
def upper(text):
    return text.upper()

def look(_):
    setup = _runtime.get().setup
    config = setup.config
    return [config.service_name, config.history_limit, config.terminal, config.prometheus,
            config.open_after_seconds, config.redact("password=x"), setup.resource_attributes]

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    for redact in (upper, lambda text: "-"):
        options = dict(history_limit=7, open_after_seconds="off", redact=redact, resource_attributes={"team": "a"})
        with configure(service_name="nightly", prometheus=0, terminal="lines", **options):
            with context.Pool(1) as pool:
                for each in pool.map(in_worker(look), [1])[0]: print(each)
"""
    said = run_file(sink, tmp_path, PRELUDE + body, environment={"OTEL_PROGRESS_PROMETHEUS": "0"})
    common = ["nightly", "7", "off", "None", "inf"]
    team = ["{'team': 'a'}"]
    assert said == [*common, "PASSWORD=X", *team, *common, "password=***", *team]


def test_a_worker_that_sets_itself_up_is_left_alone(sink: Sink, tmp_path: Path) -> None:
    """By a pool's initializer, or at the import of the main module."""
    body = """
from otel_progress import _runtime
def own():
    configure(service_name="own")

def look(_):
    return _runtime.get().setup.config.service_name

if __name__ == "__main__":
    configure(service_name="parent")
    with multiprocessing.get_context("spawn").Pool(1, own) as pool:
        print(pool.map(in_worker(look), [1])[0])
"""
    assert run_file(sink, tmp_path, PRELUDE + body) == ["own"]


def test_a_dead_backend_does_not_slow_a_pool_down(sink: Sink, tmp_path: Path) -> None:
    """The first task waits for a second, the next ones do not."""
    sink.hang.set()
    body = """
if __name__ == "__main__":
    handle = configure()
    with operation("job"), multiprocessing.get_context("spawn").Pool(1) as pool:
        for _ in range(2):
            began = time.monotonic()
            pool.map(in_worker(crunch), [1] * 20, chunksize=1)
            print(time.monotonic() - began)
        began = time.monotonic()
    print(time.monotonic() - began)
    handle.shutdown(0.1)
"""
    first, second, end = map(float, run_file(sink, tmp_path, PRELUDE + body, stderr=None))  # it says that it keeps
    assert first < 8.0  # start of the worker and import of the SDK, 1 s for its first flush; the others would take 19 s
    assert second < 1.0
    assert end < 3.0  # SIGTERM waits for a second as well


def test_providers_of_the_program_are_flushed_at_the_end_of_a_task(sink: Sink, tmp_path: Path) -> None:
    """Nobody called `configure`; a worker that is killed afterwards has lost nothing."""
    body = """
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

def own():
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)

def last(task):
    own()
    task(2)
    os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    own()
    with operation("job"):
        worker = multiprocessing.get_context("spawn").Process(target=last, args=(in_worker(crunch),))
        worker.start()
        worker.join()
        print(worker.exitcode)
"""
    assert run_file(sink, tmp_path, PRELUDE + body) == ["-9"]
    assert sink.outcomes() == {"row": "completed", "chunk": "completed", "job": "completed"}


@needs_fork
def test_a_flush_that_failed_gives_the_next_ones_a_rest(monkeypatch: pytest.MonkeyPatch, progress: Capture) -> None:
    """For half a minute; then it is tried again."""

    class Provider:
        calls = 0
        answer = False

        def force_flush(self) -> bool:
            self.calls += 1
            return self.answer

    now = 1_000.0
    provider = Provider()
    monkeypatch.setattr(_drain, "standing", lambda: [provider])
    monkeypatch.setattr(_workers, "_rest_until", 0.0)
    monkeypatch.setattr(_workers.time, "monotonic", lambda: now)
    calls = []
    for seconds, answer in ((0.0, False), (29.0, False), (1.5, True), (0.0, True), (0.1, True)):
        now += seconds
        provider.answer = answer
        _workers._flush()
        calls.append(provider.calls)
    assert calls == [1, 1, 2, 3, 4]  # failed at 1000; 1029 is within the rest, 1030.5 is not


# --- programs started as programs -------------------------------------------------------------------------------------


def test_a_subprocess_continues_by_its_environment(sink: Sink, tmp_path: Path) -> None:
    """As a Kubernetes job would: the carrier as variables."""
    child = tmp_path / "child.py"
    child.write_text(PRELUDE + "configure()\nwith continue_from():\n    crunch(3)\n")
    body = f"""
def run(job):
    done = subprocess.run([sys.executable, {str(child)!r}], env={{**os.environ, **job.environment()}})
    print(done.returncode)
"""
    assert run_file(sink, tmp_path, PRELUDE + body + JOB) == ["0"]
    assert_complete(sink, [3], instances=2)


def test_the_environment_of_a_level(progress: Capture) -> None:
    """The carrier under the names that `continue_from` reads; nothing before the level has started."""
    assert operation("job").environment() == {}
    with operation("nightly import") as job:
        found = job.environment()
        assert found["PROGRESS_OPERATION"] == "nightly%20import"
        assert found["TRACEPARENT"] == job.carrier()["traceparent"]
        assert len(found) == len(job.carrier())
