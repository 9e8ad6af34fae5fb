"""SIGTERM and SIGINT in real processes: what was live is exported as interrupted, and the exit status is true."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping

import pytest

from otel_progress import names
from otel_progress.sdk import SHUTDOWN_SECONDS

from .kit import LONGEST_SECONDS, REPOSITORY
from .sink import Sink

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")

PRELUDE = """
import asyncio, faulthandler, os, signal, sys, threading, time
import otel_progress.sdk
from otel_progress import configure, current, level, operation, track

faulthandler.register(signal.SIGUSR1, chain=False)  # what it does where it hangs
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for what it runs in the background

def ready():
    print("ready", flush=True)

def work():
    ready()
    while True:
        time.sleep(0.01)
"""

SHORT = "otel_progress.sdk.SHUTDOWN_SECONDS = 2.0\n"


class Program:
    """A program that runs; ended by `ended`, or killed."""

    def __init__(self, sink: Sink, body: str, environment: Mapping[str, str] | None = None) -> None:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "TRACEPARENT"))}
        inherited["OTEL_PROGRESS_STORE"] = "off"
        self.process = subprocess.Popen(
            [sys.executable, "-c", PRELUDE + body],
            env={
                **inherited,
                "PYTHONPATH": str(REPOSITORY),
                "OTEL_PROGRESS_TERMINAL": "off",
                "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url,
                "OTEL_PROGRESS_OPEN_AFTER_SECONDS": "off",  # one span a level, however slow the machine
                **(environment or {}),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_ready(self) -> None:
        """Wait until it says so."""
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n", self.process.communicate(timeout=5)[1]

    def ended(self) -> tuple[int, str, str]:
        """Wait for its end; return exit status (minus the signal, if one ended it), output and errors."""
        try:
            out, err = self.process.communicate(timeout=LONGEST_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGUSR1)
            time.sleep(0.5)
            self.process.kill()
            raise AssertionError(f"it hangs:\n{self.process.communicate()[1]}") from None
        return self.process.returncode, out, err


def run(sink: Sink, body: str, *signals: int, environment: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """Run a program, send it signals as soon as it is ready, and return how it ended."""
    program = Program(sink, body, environment)
    program.wait_ready()
    for signum in signals:
        program.process.send_signal(signum)
    return program.ended()


# --- SIGTERM that would kill ------------------------------------------------------------------------------------------


def test_sigterm_interrupts_what_is_live_and_the_process_dies_of_it(sink: Sink) -> None:
    """Spans, numbers and events are exported; whoever waits for the process sees that SIGTERM ended it."""
    body = """
configure()
with operation("job"), level("step", total=10) as step:
    step.advance(4)
    with level("done"): pass
    loop = iter(track([1, 2], "loop")); next(loop)
    work()
"""
    assert run(sink, body, signal.SIGTERM) == (-signal.SIGTERM, "", "")
    assert sink.outcomes() == {"done": "completed", "loop": "interrupted", "step": "interrupted", "job": "interrupted"}
    step = next(span for span in sink.spans() if span.name == "step")
    assert (step.attributes[names.DONE], step.attributes[names.REASON]) == (4.0, "SIGTERM")
    assert names.ERROR_TYPE not in step.attributes
    assert sink.total("progress.level.duration", names.OUTCOME) == {"interrupted": 3, "completed": 1}
    assert [attributes[names.OUTCOME] for name, attributes in sink.events() if name != "progress.started"] == [
        "interrupted"
    ]


def test_a_level_that_is_shown_already_is_completed_as_interrupted(sink: Sink) -> None:
    """Open record and completion record: nothing is left that looks as if it were running."""
    body = """
configure(open_after_seconds=0)
with operation("job"), level("step"):
    deadline = time.monotonic() + 15
    while current()._state.span.late is None and time.monotonic() < deadline:
        time.sleep(0.01)
    work()
"""
    assert run(sink, body, signal.SIGTERM) == (-signal.SIGTERM, "", "")
    records = sorted((span.name, span.attributes[names.RECORD], span.outcome) for span in sink.spans())
    assert records == [
        ("job", "completion", "interrupted"),
        ("job", "open", "None"),
        ("step", "completion", "interrupted"),
        ("step", "open", "None"),
    ]


def test_without_configure_sigterm_kills_as_ever(sink: Sink) -> None:
    """The test above can fail: libraries install no handler."""
    body = """
with operation("job"): work()
"""
    assert run(sink, body, signal.SIGTERM) == (-signal.SIGTERM, "", "")
    assert sink.spans() == []


def test_signals_can_be_left_alone(sink: Sink) -> None:
    """The setting `signals` is off."""
    body = """
configure()
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
with operation("job"): work()
"""
    done = run(sink, body, signal.SIGTERM, environment={"OTEL_PROGRESS_SIGNALS": "off"})
    assert done == (-signal.SIGTERM, "", "")
    assert sink.spans() == []


def test_levels_of_all_threads_are_interrupted(sink: Sink) -> None:
    """The handler runs in the main thread, which waits for the others in the middle of a join."""
    body = """
configure()
inside = threading.Barrier(3)
def part(name):
    with level(name):
        inside.wait()
        time.sleep(60)
threads = [threading.Thread(target=part, args=(name,)) for name in ("one", "two")]
for thread in threads: thread.start()
inside.wait()
ready()
threads[0].join()
"""
    assert run(sink, body, signal.SIGTERM) == (-signal.SIGTERM, "", "")
    assert sink.outcomes() == {"one": "interrupted", "two": "interrupted"}


def test_a_backend_that_hangs_delays_the_end_by_the_deadline_only(sink: Sink) -> None:
    """Five seconds for everything together; here two, of which nine tenths are spent waiting."""
    sink.hang.set()
    program = Program(sink, SHORT + "configure()\nwith operation('job'): work()\n")
    program.wait_ready()
    began = time.monotonic()
    program.process.send_signal(signal.SIGTERM)
    assert program.ended()[0] == -signal.SIGTERM
    assert 1.0 < time.monotonic() - began < 4.0
    assert SHUTDOWN_SECONDS == 5.0


def test_a_second_sigterm_kills_at_once(sink: Sink) -> None:
    """Whoever is in a hurry need not wait for the deadline."""
    sink.hang.set()
    program = Program(sink, "configure()\nwith operation('job'): work()\n")
    program.wait_ready()
    program.process.send_signal(signal.SIGTERM)
    time.sleep(0.7)
    assert program.process.poll() is None, "the first one is being handled"
    began = time.monotonic()
    program.process.send_signal(signal.SIGTERM)
    assert program.ended()[0] == -signal.SIGTERM
    assert time.monotonic() - began < 1.5


LOCKS = {
    "configure": "sdk._lock",
    "the registry": "handle._runtime.registry._lock",
    "the tally": "handle._runtime.tally._lock",
    "the flush of the outbox": "handle._runtime.outbox._done",
    "the start of a thread": "threading._active_limbo_lock",
    "the export of spans": "handle._providers.built['tracer']._active_span_processor._span_processors[0]"
    "._batch_processor._export_lock",
}


@pytest.mark.parametrize("lock", LOCKS.values(), ids=LOCKS)
def test_a_lock_held_by_the_line_interrupted_never_keeps_the_process_alive(sink: Sink, lock: str) -> None:
    """Ours are reentrant; where one of Python or the SDK blocks the way, the deadline ends it."""
    body = f"""
from otel_progress import flush, sdk
handle = configure()
job = operation("job"); job.__enter__()
with level("done"): pass
flush()
with {lock}: work()
"""
    began = time.monotonic()
    status, out, err = run(sink, SHORT + body, signal.SIGTERM)
    assert (status, out) == (-signal.SIGTERM, ""), err
    assert time.monotonic() - began < 10
    if lock == LOCKS["the registry"]:  # the outbox waits for it; what it has handed over before is exported
        assert sink.outcomes() == {"done": "completed"}
    elif lock.startswith(("sdk", "handle._runtime")):
        assert sink.outcomes() == {"done": "completed", "job": "interrupted"}


def test_the_first_process_of_a_container_goes_on_as_ever(sink: Sink) -> None:
    """The kernel would not have let the signal kill it: what has ended is exported, and the job may complete."""
    body = """
from types import SimpleNamespace
from otel_progress import _signals
_signals.os = SimpleNamespace(getpid=lambda: 1)
configure()
with operation("job"):
    ready()
    time.sleep(0.5)
"""
    assert run(sink, body, signal.SIGTERM) == (0, "", "")
    assert sink.outcomes() == {"job": "completed"}


def test_providers_of_others_are_flushed(sink: Sink) -> None:
    """Their own exit hooks do not run when a signal ends the process; levels older than `configure` end as well."""
    body = """
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
with operation("old"):
    configure()
    with operation("job"):
        with trace.get_tracer("theirs").start_as_current_span("theirs"): pass
        work()
"""
    assert run(sink, body, signal.SIGTERM) == (-signal.SIGTERM, "", "")
    assert sink.outcomes() == {"old": "interrupted", "job": "interrupted", "theirs": "None"}


def test_sigterm_during_a_shutdown_lets_it_finish(sink: Sink) -> None:
    """What `shutdown` is exporting is not cut off, and then the signal has its way."""
    body = """
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor
class Slow(SpanProcessor):
    def shutdown(self):
        ready()
        time.sleep(0.5)
handle = configure()
trace.get_tracer_provider().add_span_processor(Slow())
handle._providers.built["tracer"]._active_span_processor._span_processors = (
    handle._providers.built["tracer"]._active_span_processor._span_processors[::-1])
with operation("job"): pass
handle.shutdown()
print("not reached", flush=True)
"""
    assert run(sink, body, signal.SIGTERM) == (-signal.SIGTERM, "", "")
    assert sink.outcomes() == {"job": "completed"}


def test_the_view_gives_the_terminal_back(sink: Sink) -> None:
    """Plain lines here; the last one tells the end."""
    body = "configure()\nwith operation('job'): work()\n"
    status, _, err = run(sink, body, signal.SIGTERM, environment={"OTEL_PROGRESS_TERMINAL": "lines"})
    assert status == -signal.SIGTERM
    assert "job" in err
    assert "interrupted" in err


# --- SIGTERM that somebody handles ------------------------------------------------------------------------------------


def test_a_program_that_shuts_down_gracefully_completes_its_levels(sink: Sink) -> None:
    """Its own handler is called at once, and what it lets finish is completed."""
    body = """
stop = threading.Event()
def handler(signum, frame):
    stop.set()
signal.signal(signal.SIGTERM, handler)
configure()
with operation("before"): pass
with operation("job"):
    ready()
    while not stop.is_set():
        time.sleep(0.01)
sys.exit(0)
"""
    assert run(sink, body, signal.SIGTERM) == (0, "", "")
    assert sink.outcomes() == {"before": "completed", "job": "completed"}


def test_a_handler_that_raises_system_exit_unwinds_the_blocks(sink: Sink) -> None:
    """The table of endings holds, and the program's own status."""
    body = """
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
configure()
with operation("job"), level("step"): work()
"""
    assert run(sink, body, signal.SIGTERM) == (7, "", "")
    assert sink.outcomes() == {"step": "interrupted", "job": "interrupted"}


def test_a_flush_in_the_background_does_not_delay_the_programs_own_handler(sink: Sink) -> None:
    """Even when the backend hangs."""
    sink.hang.set()
    body = """
signal.signal(signal.SIGTERM, lambda *_: os._exit(3))
configure()
with operation("before"): pass
with operation("job"): work()
"""
    program = Program(sink, body)
    program.wait_ready()
    began = time.monotonic()
    program.process.send_signal(signal.SIGTERM)
    assert program.ended()[0] == 3
    assert time.monotonic() - began < 4


def test_what_has_ended_is_flushed_while_the_programs_handler_takes_its_time(sink: Sink) -> None:
    """A grace period that ends in SIGKILL has lost nothing that was done before."""
    body = """
signal.signal(signal.SIGTERM, lambda *_: os.write(1, b"handled\\n"))  # not print: `ready` may be within its own
configure()
with operation("before"): pass
with operation("job"): work()
"""
    program = Program(sink, body, {"OTEL_BSP_SCHEDULE_DELAY": "600000"})
    program.wait_ready()
    assert sink.spans() == []
    program.process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + LONGEST_SECONDS
    while not sink.spans() and time.monotonic() < deadline:
        time.sleep(0.01)
    program.process.kill()
    assert program.ended()[0] == -signal.SIGKILL
    assert sink.outcomes() == {"before": "completed"}


def test_a_loop_of_asyncio_with_its_own_handler_is_left_alone(sink: Sink) -> None:
    """`add_signal_handler` replaces ours; the program decides, and shutdown does not touch it."""
    body = """
async def main():
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    with operation("job"):
        ready()
        await stop.wait()
    handle.shutdown()
    theirs = signal.getsignal(signal.SIGTERM)
    print(theirs is not signal.SIG_DFL and not hasattr(theirs, "__self__"), flush=True)
handle = configure()
asyncio.run(main())
"""
    assert run(sink, body, signal.SIGTERM) == (0, "True\n", "")
    assert sink.outcomes() == {"job": "completed"}


# --- what is left as it is --------------------------------------------------------------------------------------------


def test_handlers_are_restored_and_only_ours(sink: Sink) -> None:
    """After `shutdown` everything is as before; what is ignored stays ignored, what others installed since stays."""
    body = """
def mine(*_): pass
def theirs(*_): pass
S = signal.SIGTERM
for before, expected in ((signal.SIG_DFL, True), (signal.SIG_IGN, False), (mine, True)):
    signal.signal(S, before)
    with configure():
        assert (signal.getsignal(S) is not before) == expected, before
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(S) is before
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
with configure():
    signal.signal(S, theirs)
assert signal.getsignal(S) is theirs
signal.signal(S, signal.SIG_DFL)
handles = []
thread = threading.Thread(target=lambda: handles.append(configure())); thread.start(); thread.join()
assert signal.getsignal(S) is signal.SIG_DFL
handles[0].shutdown()
handle = configure()
thread = threading.Thread(target=handle.shutdown); thread.start(); thread.join()
ready()
os.kill(os.getpid(), S)
time.sleep(5)
"""
    assert run(sink, body) == (-signal.SIGTERM, "", "")


def test_an_ignored_sigterm_stays_ignored(sink: Sink) -> None:
    """As under `nohup` and the like."""
    body = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
configure()
with operation("job"):
    ready()
    os.kill(os.getpid(), signal.SIGTERM)
"""
    assert run(sink, body) == (0, "", "")
    assert sink.outcomes() == {"job": "completed"}


# --- SIGINT -----------------------------------------------------------------------------------------------------------


def interrupted_status() -> int:
    """Return the exit status of a program that a KeyboardInterrupt leaves: Python's own, whatever its version."""
    bare = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\nraise KeyboardInterrupt"
    return subprocess.run([sys.executable, "-c", bare], capture_output=True, check=False).returncode


def test_ctrl_c_is_a_keyboard_interrupt_as_ever(sink: Sink) -> None:
    """The exception unwinds the blocks; the interpreter's exit exports; the status is Python's."""
    body = """
configure()
with operation("job"), level("step"): work()
"""
    status, _, err = run(sink, body, signal.SIGINT)
    assert status == interrupted_status()
    assert err.rstrip().endswith("KeyboardInterrupt")
    assert sink.outcomes() == {"step": "interrupted", "job": "interrupted"}


def test_ctrl_c_in_asyncio_cancels_the_main_task_gracefully(sink: Sink) -> None:
    """`asyncio.run` finds Python's own handler in place, and so installs its own: the task may clean up."""
    body = """
async def main():
    with operation("job"):
        try:
            with level("step"):
                ready()
                while True:  # CPython looks for signals before a sleep: one that comes just then ends none
                    await asyncio.sleep(0.01)
        finally:
            await asyncio.sleep(0)
            print("cleaned up", flush=True)
configure()
asyncio.run(main())
"""
    status, out, err = run(sink, body, signal.SIGINT)
    assert (status, out) == (interrupted_status(), "cleaned up\n")
    assert err.rstrip().endswith("KeyboardInterrupt")
    assert sink.outcomes() == {"step": "cancelled", "job": "cancelled"}


def test_sigint_that_would_kill_is_treated_as_sigterm(sink: Sink) -> None:
    """As with programs that put the system's default back, to die quietly."""
    body = """
signal.signal(signal.SIGINT, signal.SIG_DFL)
configure()
with operation("job"): work()
"""
    assert run(sink, body, signal.SIGINT) == (-signal.SIGINT, "", "")
    assert sink.outcomes() == {"job": "interrupted"}
    assert sink.spans()[0].attributes[names.REASON] == "SIGINT"
