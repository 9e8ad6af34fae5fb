"""Fixtures of the stack tests: one real stack for the session, its logs shown with every failure."""

from __future__ import annotations

import signal
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from .nightly import Watched, watch
from .rig import Stack

_STACK = pytest.StashKey[Stack]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything in this folder."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.stack)


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running stack. Without its programs: a skip that says what to install, and a failure in CI."""
    running = Stack(tmp_path_factory.mktemp("stack"))
    # A CI runner that gives up sends SIGTERM; as KeyboardInterrupt it stops the backends like Ctrl-C does.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        running.start()
        request.config.stash[_STACK] = running
        yield running
    finally:
        running.stop()
        signal.signal(signal.SIGTERM, before)


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
    running = item.config.stash.get(_STACK, None)
    if report.failed and running is not None:
        report.sections.append(("the stack's logs", running.logs()))
    return report
