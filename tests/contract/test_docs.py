"""The documents say what the code does."""

from __future__ import annotations

from pathlib import Path

from otel_progress import names

REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_telemetry_reference_is_what_names_py_says() -> None:
    """`make docs` renews it."""
    written = (REPOSITORY / "docs" / "telemetry.md").read_text(encoding="utf-8")
    assert written.rstrip("\n") == names.reference().rstrip("\n"), "docs/telemetry.md is out of date: make docs"
