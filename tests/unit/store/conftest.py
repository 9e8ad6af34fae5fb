"""No process outlives the test that started it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.store.kit import started


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    """End what a failed test left running."""
    yield
    while started:
        process = started.pop()
        process.kill()
        process.communicate()
