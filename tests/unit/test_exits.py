"""Ways out of a program set up by `configure`: each level ends by the table, exported where Python still runs."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from .sink import Sink, run_file

PRELUDE = """
import asyncio, gc, os, signal, sys, threading, time
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from otel_progress import advance, configure, flush, level, operation, track

def own_provider():
    provider = TracerProvider()  # with its own exit hook
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)

def enter(name):
    entered = level(name)
    entered.__enter__()
    return entered
"""


def outcomes(sink: Sink, tmp_path: Path, body: str, *, status: int = 0, stderr: str | None = "") -> dict[str, str]:
    """Run a program to its exit; return how its levels ended."""
    run_file(sink, tmp_path, PRELUDE + body, status=status, stderr=stderr)
    return sink.outcomes()


# --- the interpreter's exit, and who set OpenTelemetry up -------------------------------------------------------------

SETUPS = {
    "configure": "configure()\nleft = enter('left')",
    "own provider": "own_provider()\nleft = enter('left')",
    "own provider before configure": "own_provider(); configure()\nleft = enter('left')",
    "own provider after configure": "configure(otlp='off'); own_provider()\nleft = enter('left')",
    "own provider after a level": "with level('unseen'): pass\nown_provider()\nleft = enter('left')",
    "configure after a level": "with level('unseen'): pass\nconfigure()\nleft = enter('left')",
    "a handle that was shut down": "configure().shutdown(); configure()\nleft = enter('left')",
}


@pytest.mark.parametrize("setup", SETUPS.values(), ids=SETUPS)
def test_what_is_alive_at_the_exit_is_interrupted(sink: Sink, tmp_path: Path, setup: str) -> None:
    """Before the providers' own exit hooks, in whatever order all was set up."""
    assert outcomes(sink, tmp_path, setup) == {"left": "interrupted"}


def test_os_exit_keeps_what_was_exported_and_nothing_else(sink: Sink, tmp_path: Path) -> None:
    """Nothing of Python runs then."""
    body = """
handle = configure()
with level("flushed"): pass
handle.flush()
with level("lost"): pass
os._exit(5)
"""
    assert outcomes(sink, tmp_path, body, status=5) == {"flushed": "completed"}


# --- sys.exit and exceptions ------------------------------------------------------------------------------------------


def test_sys_exit_in_the_main_thread(sink: Sink, tmp_path: Path) -> None:
    """Status and message are the program's own."""
    body = """
configure()
with operation("job"):
    try:
        with level("fine"): sys.exit(0)
    except SystemExit: pass
    with level("bad"): sys.exit(3)
"""
    assert outcomes(sink, tmp_path, body, status=3) == {
        "fine": "completed",
        "bad": "interrupted",
        "job": "interrupted",
    }


def test_sys_exit_and_exceptions_in_threads(sink: Sink, tmp_path: Path) -> None:
    """They end the thread and its levels, not the program."""
    body = """
configure()
threading.excepthook = lambda args: None
def leave(name, error):
    with level(name):
        raise error
def loop():
    for _ in track([1, 2], "loop"):
        raise ValueError("bad row")
threads = [
    threading.Thread(target=leave, args=("exit 0", SystemExit(0))),
    threading.Thread(target=leave, args=("exit 1", SystemExit(1))),
    threading.Thread(target=leave, args=("error", ValueError("no"))),
    threading.Thread(target=leave, args=("interrupt", KeyboardInterrupt())),
    threading.Thread(target=loop),
]
with level("warm up"): pass  # the program's own hook is set before ours
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
    assert outcomes(sink, tmp_path, body) == {
        "exit 0": "completed",
        "exit 1": "interrupted",
        "error": "failed",
        "interrupt": "interrupted",
        "loop": "failed",
        "warm up": "completed",
    }


def test_daemon_threads_are_cut_off_and_their_levels_interrupted(sink: Sink, tmp_path: Path) -> None:
    """Also one that goes on starting levels while the interpreter leaves."""
    body = """
configure()
inside = threading.Barrier(3)
def sleeps():
    with level("sleeps"):
        inside.wait()
        time.sleep(60)
def works():
    with level("works"):
        inside.wait()
        while True: advance()
for target in (sleeps, works):
    threading.Thread(target=target, daemon=True).start()
inside.wait()
"""
    assert outcomes(sink, tmp_path, body) == {"sleeps": "interrupted", "works": "interrupted"}


# --- asyncio ----------------------------------------------------------------------------------------------------------


def test_tasks_that_are_pending_when_asyncio_run_ends_are_cancelled(sink: Sink, tmp_path: Path) -> None:
    """It cancels them; so do the levels end."""
    body = """
async def background():
    with level("background"):
        await asyncio.sleep(60)
async def main():
    with operation("main"):
        task = asyncio.create_task(background())
        cancelled = asyncio.create_task(background_2())
        await asyncio.sleep(0.01)
        cancelled.cancel()
        await asyncio.sleep(0.01)
async def background_2():
    with level("cancelled"):
        await asyncio.sleep(60)
configure()
asyncio.run(main())
"""
    assert outcomes(sink, tmp_path, body) == {
        "background": "cancelled",
        "cancelled": "cancelled",
        "main": "completed",
    }


def test_a_loop_that_is_closed_under_its_tasks(sink: Sink, tmp_path: Path) -> None:
    """A task that is destroyed while it is pending was abandoned; one that is still referred to is interrupted."""
    body = """
async def pending(name):
    with level(name):
        await asyncio.Event().wait()
async def main():
    global kept
    kept = asyncio.create_task(pending("kept"))
    asyncio.create_task(pending("destroyed"))
    await asyncio.sleep(0.01)
import logging; logging.disable()  # asyncio complains of a task destroyed while it is pending
configure()
loop = asyncio.new_event_loop()
loop.run_until_complete(main())
loop.close()
del loop
gc.collect()
"""
    assert outcomes(sink, tmp_path, body) == {"kept": "interrupted", "destroyed": "abandoned"}


def test_an_executor_of_asyncio_is_waited_for(sink: Sink, tmp_path: Path) -> None:
    """Levels in its threads complete, below the level that called."""
    body = """
def work():
    with level("in a thread"):
        time.sleep(0.05)
async def main():
    with operation("main"):
        await asyncio.to_thread(work)
configure()
asyncio.run(main())
"""
    assert outcomes(sink, tmp_path, body) == {"in a thread": "completed", "main": "completed"}
    spans = {span.name: span for span in sink.spans()}
    assert spans["in a thread"].parent == spans["main"].id


def test_kill_leaves_what_was_exported(sink: Sink, tmp_path: Path) -> None:
    """The open record of what was running stands; nothing else can be promised."""
    body = """
handle = configure(open_after_seconds=0)
with operation("job") as job:
    with level("done"): pass
    deadline = time.monotonic() + 15
    while job._state.span.late is None and time.monotonic() < deadline:
        time.sleep(0.01)
    handle.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    run_file(sink, tmp_path, PRELUDE + body, status=-signal.SIGKILL)
    assert [span.attributes["progress.record"] for span in sink.spans() if span.name == "job"] == ["open"]
