"""Fixtures of the unit tests: a capture of one's own, and a look at what a test leaves behind."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from opentelemetry import trace

from otel_progress import _runtime, current
from otel_progress.testing import Capture, capture_progress

from .sink import Sink, listening


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker of tests that end with a level alive on purpose."""
    config.addinivalue_line("markers", "leaves_levels: levels that are still live at the end of the test are its point")


class _Complaints(logging.Handler):
    """Keeps what a library logs as a warning or worse."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.seen.append(f"{record.name}: {record.getMessage()}")


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Give each test a default runtime of its own; fail it if OTel or asyncio complained or a context leaked."""
    complaints = _Complaints()
    loggers = [logging.getLogger(name) for name in ("opentelemetry", "asyncio")]
    for logger in loggers:
        logger.addHandler(complaints)
    before = _runtime.replace(None)
    span = trace.get_current_span()
    try:
        yield
    finally:
        used = _runtime.replace(before)
        if used is not None:
            used.shutdown()
        for logger in loggers:
            logger.removeHandler(complaints)
    assert complaints.seen == []
    assert current() is None
    assert trace.get_current_span() is span


@pytest.fixture
def progress(request: pytest.FixtureRequest) -> Iterator[Capture]:
    """Everything recorded by the test, which must end every level it starts."""
    with capture_progress() as captured:
        yield captured
        captured.runtime.reap()
        left = [level.name for level in captured.runtime.registry.live()]
        assert left == [] or request.node.get_closest_marker("leaves_levels")


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A backend of the test's own."""
    with listening() as found:
        yield found
