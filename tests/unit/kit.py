"""What the unit tests share: reading a capture, driving coroutines by hand, threads and processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from opentelemetry.sdk.trace import ReadableSpan

from otel_progress import names
from otel_progress.testing import Capture

T = TypeVar("T")

REPOSITORY: Final = Path(__file__).resolve().parents[2]
LONGEST_SECONDS: Final = 20.0
"""How long a thread or process of a test may take; all are done in a fraction of it on an idle machine."""


def wholes(progress: Capture, name: str | None = None) -> list[ReadableSpan]:
    """Return the spans that tell of whole levels: those of short ones, and the completion records of shown ones."""
    return [span for span in progress.spans(name) if attribute(span, names.RECORD) in {"span", "completion"}]


def records(progress: Capture, kind: str, name: str | None = None) -> list[ReadableSpan]:
    """Return the records of a kind, in the order they were sent."""
    return [span for span in progress.spans(name) if attribute(span, names.RECORD) == kind]


def outcomes(progress: Capture) -> dict[str, Any]:
    """Return how each level ended, by name; two levels of one name are an error."""
    spans = wholes(progress)
    found = {span.name: span.attributes[names.OUTCOME] for span in spans if span.attributes}
    assert len(found) == len(spans), f"names come twice: {[span.name for span in spans]}"
    return found


def the_span(progress: Capture, name: str) -> ReadableSpan:
    """Return the one span of this name that tells of a whole level."""
    spans = wholes(progress, name)
    assert len(spans) == 1, f"{len(spans)} spans called {name!r}"
    return spans[0]


def attribute(span: ReadableSpan, key: str) -> Any:  # noqa: ANN401  # whatever was set
    """Return an attribute, ``None`` if it is not there."""
    return (span.attributes or {}).get(key)


def parents(progress: Capture) -> dict[str, str | None]:
    """Return the name of each span's parent, by name; two spans of one name are an error."""
    spans = progress.spans()
    by_id = {span.context.span_id: span.name for span in spans if span.context}
    found = {span.name: by_id[span.parent.span_id] if span.parent else None for span in spans}
    assert len(found) == len(spans), f"names come twice: {[span.name for span in spans]}"
    return found


def ignored(progress: Capture) -> dict[str, int]:
    """Return the calls that were ignored, by reason."""
    return dict(progress.runtime.tally.ignored)


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that awaits nothing, without a loop: what leaves it arrives here unchanged."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    raise AssertionError("it awaited something")


def in_thread(function: Callable[[], T]) -> T:
    """Return what the function returns in a thread of its own, or raise what it raises there."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(function())
        except BaseException as error:  # noqa: BLE001  # raised again below
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(LONGEST_SECONDS)
    assert not thread.is_alive(), "the thread hangs"
    if errors:
        raise errors[0]
    return results[0]


def together(*functions: Callable[[], object]) -> None:
    """Run functions at once, each in its thread, and raise the first error."""
    errors: list[BaseException] = []
    barrier = threading.Barrier(len(functions))

    def run(function: Callable[[], object]) -> None:
        try:
            barrier.wait(LONGEST_SECONDS)
            function()
        except BaseException as error:  # noqa: BLE001  # raised again below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONGEST_SECONDS)
        assert not thread.is_alive(), "a thread hangs"
    if errors:
        raise errors[0]


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Wait for something that another thread does."""
    deadline = time.monotonic() + LONGEST_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.005)


def python(
    script: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a script in a Python of its own; nothing of OpenTelemetry's environment is inherited."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "TRACEPARENT"))}
    inherited["OTEL_PROGRESS_STORE"] = "off"
    path = os.pathsep.join(filter(None, [str(REPOSITORY), inherited.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env={**inherited, "PYTHONPATH": path, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LONGEST_SECONDS * 3,
        check=False,
    )
