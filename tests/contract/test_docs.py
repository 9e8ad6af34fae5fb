"""The documents say what the code does."""

from __future__ import annotations

from pathlib import Path

from otel_progress import names
from tests.stack import fault_table

REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_telemetry_reference_is_what_names_py_says() -> None:
    """`make docs` renews it."""
    written = (REPOSITORY / "docs" / "telemetry.md").read_text(encoding="utf-8")
    assert written.rstrip("\n") == names.reference().rstrip("\n"), "docs/telemetry.md is out of date: make docs"


def test_the_table_of_faults_has_exactly_the_cases_that_are_tested() -> None:
    """The tests with a real stack compare the facts; `make faults` renews it."""
    text = fault_table.DOCUMENT.read_text(encoding="utf-8")
    assert text.startswith(fault_table.HEAD)
    assert tuple(fault_table.documented(text)) == fault_table.CASES
    assert len(text.removeprefix(fault_table.HEAD).splitlines()) == len(fault_table.CASES)
