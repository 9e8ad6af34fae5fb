"""The unit tests on every Python that is found here, and with the oldest OpenTelemetry that is allowed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.packaging.environments import environment, interpreters, run
from tests.packaging.lowest import lowest

PACKAGE = ("--editable", ".[all]", "--group", "test")
# This very run covers the Python it runs on.
OTHERS = sorted(set(interpreters()) - {f"{sys.version_info.major}.{sys.version_info.minor}"})


@pytest.mark.parametrize("version", OTHERS)
def test_unit_tests_pass_on_every_python_found_here(version: str) -> None:
    """The newest OpenTelemetry, on each other Python."""
    _run_unit_tests(environment(f"python{version}", interpreters()[version], *PACKAGE))


def test_unit_tests_pass_with_the_lowest_versions_allowed() -> None:
    """Every dependency at its lower bound, on the oldest Python found here."""
    _, oldest = min(interpreters().items())
    _run_unit_tests(environment("lowest", oldest, *PACKAGE, *lowest()))


def _run_unit_tests(python: Path) -> None:
    run(python, "-m", "pytest", "tests/unit", "--quiet", "-p", "no:cacheprovider", "-o", "faulthandler_timeout=120")
