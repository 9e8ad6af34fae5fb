"""A fork in the middle of everything: the child is a process of its own, and tells of nothing that is the parent's."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import pytest

from .kit import python

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")

SCRIPT = """
import contextvars, faulthandler, multiprocessing, os, signal, sys, threading, time, warnings
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
from otel_progress import _runtime, active, advance, current, find, flush, health, history, level, on_change
from otel_progress import operation, track, watch

faulthandler.register(signal.SIGALRM, chain=True)  # a deadlock says where, and ends
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)  # that is the case tried
signal.alarm(30)
PARENT = os.getpid()
OUT = os.dup(1)

def tell(kind, *words):
    who = "parent" if os.getpid() == PARENT else "child"
    os.write(OUT, (" ".join([kind, who, *(str(word).replace(" ", "_") for word in words)]) + "\\n").encode())

class Told(ConsoleSpanExporter):
    def export(self, spans):
        for span in spans:
            own = span.attributes
            parent = format(span.parent.span_id, "x") if span.parent else "-"
            tell("span", span.name, own["progress.outcome"], own["progress.operation"], own["progress.run.id"],
                 own["progress.done"], format(span.context.span_id, "x"), parent)

provider = TracerProvider(shutdown_on_exit=False)
provider.add_span_processor(SimpleSpanProcessor(Told()))
trace.set_tracer_provider(provider)

def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)

def fork(child=None):
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)  # it does not inherit the parent's
        if child is not None:
            code = 1
            try:
                child()
                tell("say", "flushed", flush(10.0))
                code = 0
            finally:
                os._exit(code)
    return pid

def wait(pid):
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    tell("say", "status", status)
"""


class Span(NamedTuple):
    """A span as it was exported."""

    outcome: str
    operation: str
    run: str
    done: float
    id: str
    parent: str


class Run:
    """What a script told: spans and words, of the parent and of the child."""

    def __init__(self, body: str) -> None:
        # One span a level, however slow the machine.
        done = python(SCRIPT + body, environment={"OTEL_PROGRESS_OPEN_AFTER_SECONDS": "off"})
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        self.spans: dict[str, dict[str, Span]] = {"parent": {}, "child": {}}
        self.said: dict[str, dict[str, Any]] = {"parent": {}, "child": {}}
        for line in done.stdout.splitlines():
            kind, who, name, *words = line.split()
            if kind == "say":
                self.said[who][name] = words[0]
            else:
                assert name not in self.spans[who], f"{name} is exported twice by the {who}"
                outcome, operation, run, count, own, parent = words
                self.spans[who][name] = Span(outcome, operation, run, float(count), own, parent)

    def outcomes(self, who: str) -> dict[str, str]:
        """Return how the levels that this process exported ended."""
        return {name: span.outcome for name, span in self.spans[who].items()}


def test_the_child_neither_ends_nor_exports_the_parents_levels() -> None:
    """The child leaves the inherited blocks and exits as Python does; each level is exported once, by the parent."""
    run = Run("""
with operation("job"), level("step") as step:
    step.advance(3)
    loop = iter(track(range(5), "rows"))
    next(loop)
    pid = fork()
    if pid == 0:
        for _ in loop: advance()
        step.fail("not mine to end")
    else:
        wait(pid)
        list(loop)
        step.advance(2)
if pid == 0:
    tell("say", "current", current())
    tell("say", "span", trace.get_current_span().get_span_context().is_valid)
    tell("say", "history", len(history()))
    sys.exit(0)
""")
    assert run.spans["child"] == {}
    assert run.said["child"] == {"current": "None", "span": "False", "history": "0"}
    assert run.said["parent"] == {"status": "0"}
    assert run.outcomes("parent") == {"rows": "completed", "step": "completed", "job": "completed"}
    assert (run.spans["parent"]["rows"].done, run.spans["parent"]["step"].done) == (5, 5)


def test_an_exception_that_leaves_the_inherited_blocks_in_the_child_is_the_childs_own() -> None:
    """It passes unchanged, and the parent's levels do not fail of it."""
    run = Run("""
try:
    with operation("job"), level("step"):
        pid = fork()
        if pid == 0:
            raise ValueError("in the child")
        wait(pid)
except ValueError as error:
    tell("say", "caught", error)
    flush(10.0)
    os._exit(0)
""")
    assert run.said == {"child": {"caught": "in_the_child"}, "parent": {"status": "0"}}
    assert (run.spans["child"], run.outcomes("parent")) == ({}, {"step": "completed", "job": "completed"})


def test_the_childs_levels_nest_under_the_parents_span_and_belong_to_its_run() -> None:
    """One after the other, inside each other, by a parent named, in a thread, and after each inherited block left."""
    run = Run("""
with operation("job") as job:
    with level("step"):
        pid = fork()
        if pid == 0:
            with level("first"): advance(2)
            with level("second"):
                with level("inner"): advance(4)
            for _ in track([1, 2], "rows"): pass
            with job.level("named"): pass
            def work():
                with job.level("threaded"): pass
            thread = threading.Thread(target=work); thread.start(); thread.join()
            with operation("other job"): pass
        else:
            wait(pid)
    if pid == 0:
        with level("in job"): pass
if pid == 0:
    with level("outside"): pass
    tell("say", "flushed", flush(10.0))
    os._exit(0)
""")
    parent, child = run.spans["parent"], run.spans["child"]
    step, job = parent["step"].id, parent["job"].id
    assert {name: span.parent for name, span in child.items()} == {
        "first": step,
        "second": step,
        "inner": child["second"].id,
        "rows": step,
        "named": job,
        "threaded": job,
        "other_job": step,
        "in_job": job,
        "outside": "-",
    }
    own = {"other_job": "other_job", "outside": "outside"}
    assert {name: span.operation for name, span in child.items()} == {name: own.get(name, "job") for name in child}
    assert {name for name, span in child.items() if span.run == parent["job"].run} == set(child) - set(own)
    assert (child["first"].done, child["inner"].done, child["rows"].done) == (2, 4, 2)
    assert set(run.outcomes("child").values()) == {"completed"}


def test_nesting_survives_a_second_fork() -> None:
    """The grandchild's levels belong to the same run, under the child's span."""
    run = Run("""
def grandchild():
    with level("grandchild"): pass
def child():
    with level("child"):
        pid = fork(grandchild)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
with operation("job"):
    wait(fork(child))
""")
    child, job = run.spans["child"], run.spans["parent"]["job"]
    assert (child["child"].parent, child["grandchild"].parent) == (job.id, child["child"].id)
    assert {span.run for span in child.values()} == {job.run}
    assert {span.operation for span in child.values()} == {"job"}


def test_calls_on_the_parents_levels_in_the_child_are_ignored_and_counted() -> None:
    """Whatever thread had counted before; the parent's numbers are the parent's."""
    run = Run("""
with operation("job", total=10) as job:
    advance(3)
    def child():
        job.advance(); job.advance(2, bytes=3); job.skip(); job.set_done(7); job.update(message="m"); job.pause()
        advance(5)
        tell("say", "ignored", dict(health().ignored))
        tell("say", "current", current())
        tell("say", "active", len(active()) + len(find()) + len(history()))
        job.snapshot(); job.carrier(); job.check_cancelled(); repr(job)
    wait(fork(child))
    tell("say", "done", job.snapshot().done)
    tell("say", "state", job.state)
""")
    assert run.said["child"] == {"ignored": "{'after_end':_6}", "current": "None", "active": "0", "flushed": "True"}
    assert run.said["parent"] == {"status": "0", "done": "3", "state": "running"}
    assert run.outcomes("parent") == {"job": "completed"}


def test_counters_of_the_child_start_at_zero() -> None:
    """What the parent did, dropped and ignored is in the parent's series; the child's own work is counted."""
    run = Run("""
reader = InMemoryMetricReader()
metrics.set_meter_provider(MeterProvider([reader], shutdown_on_exit=False))
def points():
    found = {}
    data = reader.get_metrics_data()
    for metric in (metric for scope in data.resource_metrics[0].scope_metrics for metric in scope.metrics):
        for point in metric.data.data_points:
            own = point.attributes
            if metric.name in {"progress.items", "progress.counter", "progress.telemetry.ignored"} and point.value:
                found[own.get("progress.level") or own.get("progress.operation") or metric.name] = point.value
            if metric.name == "progress.level.active" and point.value:
                found["active " + str(own.get("progress.level"))] = point.value
    return found
with operation("job"):
    with level("ended"): advance(3)
    with level("step") as step:
        step.advance(4)
        step.advance(-1)
        flush(10.0)
        def child():
            tell("say", "before", sorted(points().items()))
            tell("say", "health", [dict(health().ignored), health().live_levels, health().heartbeat_at])
            with level("own"):
                advance(5)
                tell("say", "during", sorted(points().items()))
        wait(fork(child))
        tell("say", "points", sorted(points().items()))
""")
    child = run.said["child"]
    assert (child["before"], child["health"]) == ("[]", "[{},_0,_None]")
    assert child["during"] == "[('active_own',_1),_('own',_5)]"
    assert "('ended',_3)" in run.said["parent"]["points"]
    assert "('step',_4)" in run.said["parent"]["points"]
    assert run.outcomes("child") == {"own": "completed"}


def test_the_threads_start_again() -> None:
    """Heartbeat, exports and callbacks of the child run in the child, whatever ran in the parent."""
    run = Run("""
_runtime.get().ticker._interval = 0.02
heard = []
on_change(lambda change: heard.append((os.getpid(), change.level.name, change.kind)))
with operation("job"):
    until(lambda: health().heartbeat_at)
    flush(10.0)
    def child():
        _runtime.get().ticker._interval = 0.02
        heard.clear()
        tell("say", "threads", threading.active_count())
        with level("own"):
            until(lambda: health().heartbeat_at)
        flush(10.0)
        tell("say", "heard", [kind for pid, name, kind in heard if (pid, name) == (os.getpid(), "own")])
    wait(fork(child))
""")
    assert run.said["child"] == {"threads": "1", "heard": "['started',_'ended']", "flushed": "True"}
    assert run.said["parent"] == {"status": "0"}
    assert run.outcomes("child") == {"own": "completed"}


LOCKS = {
    "the level": "job._state.lock",
    "the registry": "_runtime.get().registry._lock",
    "the tally": "_runtime.get().tally._lock",
    "the start of the outbox": "_runtime.get().outbox._start_lock",
    "the flush of the outbox": "_runtime.get().outbox._done",
    "the start of the ticker": "_runtime.get().ticker._start_lock",
    "the instruments": "_runtime.get().instruments._lock",
    "the search for providers": "_runtime.get()._look_lock",
    "the callbacks": "_runtime.get().subscribers._lock",
    "the runtime": "_runtime._runtime_lock",
    "all instruments": "_runtime._instruments._shared_lock",
}


@pytest.mark.parametrize("lock", LOCKS.values(), ids=LOCKS)
def test_a_lock_that_another_thread_held_does_not_matter(lock: str) -> None:
    """That thread is not in the child, and would never let go."""
    run = Run(f"""
reader = InMemoryMetricReader()
metrics.set_meter_provider(MeterProvider([reader], shutdown_on_exit=False))
watching = watch()
with operation("job") as job:
    with level("before"): pass
    flush(10.0)
    held, go = threading.Event(), threading.Event()
    def hold():
        with {lock}:
            held.set()
            go.wait()
    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    def child():
        job.advance(); job.advance(-1); job.set_done(2); job.pause(); job.fail()
        with operation("other") as other:
            other.count("tokens"); other.pause(); other.resume(); other.plan("copy"); other.set_done(4)
            with level("own"): advance(1)
            list(track([1], "rows"))
        active(); history(); find()
        on_change(print).unsubscribe()
        reader.get_metrics_data()
        flush(10.0)
        _runtime.replace(None)
        with operation("of another runtime"): pass
    pid = fork(child)
    wait(pid)
    go.set()
    thread.join()
""")
    assert run.said["parent"] == {"status": "0"}
    assert run.outcomes("child").items() >= {"other": "completed", "own": "completed", "rows": "completed"}.items()
    assert run.outcomes("parent") == {"before": "completed", "job": "completed"}


def test_a_fork_while_the_outbox_is_exporting() -> None:
    """What was in hand and what was queued is exported once, by the parent; the child's outbox is a new one."""
    run = Run("""
inside, go = threading.Event(), threading.Event()
class Slow(SimpleSpanProcessor):
    def on_end(self, span):
        if span.name == "slow":
            inside.set()
            go.wait(20)
provider.add_span_processor(Slow(Told()))
with operation("job"):
    with level("slow"): pass
    inside.wait()
    with level("queued"): pass
    with level("queued too"): pass
    def child():
        tell("say", "waiting", health().outbox_length)
        tell("say", "busy", health().outbox_busy_seconds)
        with level("own"): pass
    wait(fork(child))
    go.set()
""")
    assert run.said["child"] == {"waiting": "0", "busy": "0.0", "flushed": "True"}
    assert run.outcomes("child") == {"own": "completed"}
    assert set(run.outcomes("parent")) == {"slow", "queued", "queued_too", "job"}


def test_a_fork_inside_a_callback() -> None:
    """The child is the outbox's own thread, and does not go on with the parent's queue."""
    run = Run("""
def callback(change):
    if change.kind == "started" and change.level.name == "job" and os.getpid() == PARENT:
        callback.queued.wait(10)
        callback.pid = os.fork()
callback.queued = threading.Event()
subscription = on_change(callback)
with operation("job"):
    with level("step"): pass
callback.queued.set()
flush(10.0)
until(lambda: hasattr(callback, "pid"))
wait(callback.pid)
""")
    assert run.spans["child"] == {}
    assert run.said == {"child": {}, "parent": {"status": "0"}}
    assert run.outcomes("parent") == {"step": "completed", "job": "completed"}


def test_a_level_of_a_runtime_that_was_replaced_is_the_parents_too() -> None:
    """Levels stay with the runtime they started in; a fork makes every runtime let go."""
    run = Run("""
with operation("old") as old:
    first = _runtime.replace(None)
    with operation("new"):
        pid = fork()
        if pid == 0:
            with level("own"): pass
        else:
            wait(pid)
if pid == 0:
    old.advance()
    tell("say", "flushed", flush(10.0) and first.flush(10.0))
    sys.exit(0)
first.flush(10.0)
""")
    assert run.outcomes("child") == {"own": "completed"}
    assert run.said == {"child": {"flushed": "True"}, "parent": {"status": "0"}}
    assert run.outcomes("parent") == {"new": "completed", "old": "completed"}


def test_a_child_that_is_never_waited_for_exports_at_its_exit() -> None:
    """An ordinary exit of the child interrupts and flushes its own levels."""
    run = Run("""
with operation("job"):
    pid = fork()
    if pid == 0:
        left = level("left open"); left.__enter__()
        with level("done"): pass
        sys.exit(0)
    wait(pid)
""")
    assert run.outcomes("child") == {"done": "completed", "left_open": "interrupted"}
    assert run.outcomes("parent") == {"job": "completed"}


def test_a_pool_of_forked_processes() -> None:
    """Workers of multiprocessing nest under the job; a flush at the end of a task is all they need."""
    run = Run("""
def task(number):
    with level(f"task {number}"):
        advance(number)
    return flush(10.0)
with operation("job"):
    with multiprocessing.get_context("fork").Pool(2) as pool:
        tell("say", "flushed", all(pool.map(task, [1, 2, 3], chunksize=1)))
""")
    job, tasks = run.spans["parent"]["job"], run.spans["child"]
    assert run.said["parent"] == {"flushed": "True"}
    assert {name: (span.outcome, span.done) for name, span in tasks.items()} == {
        "task_1": ("completed", 1),
        "task_2": ("completed", 2),
        "task_3": ("completed", 3),
    }
    assert {(span.operation, span.run, span.parent) for span in tasks.values()} == {("job", job.run, job.id)}


def test_levels_nest_after_a_fork_without_any_sdk() -> None:
    """Names and run id are ours, not OpenTelemetry's."""
    done = python("""
import os
from otel_progress import current, health, level, operation
with operation("job") as job, level("step"):
    run_id = job.snapshot().run_id
    pid = os.fork()
    if pid == 0:
        for name in ("first", "second"):
            with level(name) as own:
                shot = own.snapshot()
                print(name, own.operation, shot.run_id == run_id, shot.path, health().live_levels, flush=True)
    else:
        os.waitpid(pid, 0)
if pid == 0:
    with level("outside") as own:
        print(own.operation, current() is own, flush=True)
    os._exit(0)
""")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "first job True ('job', 'first') 1",
        "second job True ('job', 'second') 1",
        "outside True",
    ]
