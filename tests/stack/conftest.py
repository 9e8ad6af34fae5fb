"""Fixtures of the stack tests: real stacks for the session, their logs shown with every failure."""

from __future__ import annotations

import signal
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .nightly import Watched, watch
from .programs import CONFIGS
from .rig import Stack

_STACKS = pytest.StashKey[list[Stack]]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything in this folder."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.stack)


@contextmanager
def _running(request: pytest.FixtureRequest, stack: Stack) -> Iterator[Stack]:
    """Start a stack; stop it whatever happens."""
    # A CI runner that gives up sends SIGTERM; as KeyboardInterrupt it stops the backends like Ctrl-C does.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        stack.start()
        request.config.stash.setdefault(_STACKS, []).append(stack)
        yield stack
    finally:
        stack.stop()
        signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running stack. Without its programs: a skip that says what to install, and a failure in CI."""
    with _running(request, Stack(tmp_path_factory.mktemp("stack"))) as running:
        yield running


@pytest.fixture(scope="session")
def traced(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running stack of its own with all backends: traces in Jaeger and in Tempo, events in Loki."""
    with _running(request, Stack(tmp_path_factory.mktemp("traced"), whole=True)) as running:
        yield running


@pytest.fixture(scope="module")
def sampling(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running stack of its own whose Collector samples traces, and keeps nothing of what it need not keep."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLLECTOR_SAMPLE_PERCENT", "0")
        stack = Stack(tmp_path_factory.mktemp("sampling"), layers=[CONFIGS / "tail-sampling-layer.yaml"])
    with _running(request, stack) as running:
        yield running


@pytest.fixture(scope="session")
def watched(stack: Stack) -> Watched:
    """One run of the nightly import, looked at while it stood still and after its end."""
    return watch(stack)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the ends of the backends' logs to a failed test's report."""
    report = yield
    if report.failed:
        for running in item.config.stash.get(_STACKS, []):
            report.sections.append((f"the logs of the stack in {running.folder.name}", running.logs()))
    return report
