"""The scenarios, played once for all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stack.conftest import _running

from .play import Played, play
from .stage import Stage


@pytest.fixture(scope="package")
def played(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """All scenarios, on a stack of their own that goes on until the last of these tests."""
    with _running(request, Stage(tmp_path_factory.mktemp("stage"))) as stage:
        assert isinstance(stage, Stage)
        yield play(stage)
