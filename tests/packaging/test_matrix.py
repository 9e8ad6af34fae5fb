"""
The unit tests on the newest Python that is found here, and with the oldest OpenTelemetry that is allowed.

These are the ends of what is supported; .github/workflows/ci.yml runs every Python with either OpenTelemetry.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.packaging.environments import environment, interpreters, run
from tests.packaging.lowest import lowest

PACKAGE = ("--editable", ".[all]", "--group", "test")


def _by_version() -> list[tuple[tuple[int, ...], Path]]:
    return sorted((tuple(map(int, version.split("."))), path) for version, path in interpreters().items())


def test_unit_tests_pass_on_the_newest_python_found_here() -> None:
    """With the newest OpenTelemetry."""
    version, newest = _by_version()[-1]
    if version == sys.version_info[:2]:
        pytest.skip("this very run covers it")
    _run_unit_tests(environment("newest", newest, *PACKAGE))


def test_unit_tests_pass_with_the_lowest_versions_allowed() -> None:
    """Every dependency at its lower bound, on the oldest Python found here."""
    _, oldest = _by_version()[0]
    _run_unit_tests(environment("lowest", oldest, *PACKAGE, *lowest()))


def _run_unit_tests(python: Path) -> None:
    quiet = ("--quiet", "-p", "no:cacheprovider", "-o", "faulthandler_timeout=120")
    run(python, "-m", "pytest", "tests/unit", "-m", "not once", *quiet)
