"""Rules about the source that no linter knows."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from otel_progress import names

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / "otel_progress"
SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "names.py")
_OURS = re.compile(r"(?<![\w.])progress\.[a-z]")
"""The start of a telemetry name of ours, wherever it stands in a text."""
_DECLARED = {each.name for each in (*names.ATTRIBUTES, *names.METRICS, *names.EVENTS)}

_LOGS = {"_logs", "_log_exporter"}
"""OpenTelemetry's names for logs: stable to use, named as private until the logs signal is declared stable."""


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_telemetry_names_are_written_in_names_py_only(path: Path) -> None:
    """A quoted name elsewhere would not follow when the name changes, and be missing in the reference."""
    assert list(_literal_names(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('span.set_attribute("progress.done", 1)', [(1, "progress.done")]),
        ('key = f"progress.counter.{name}"', [(1, "progress.counter.")]),
        ('span.set_attribute("error.type", kind)', [(1, "error.type")]),
        ('"""Sets progress.done."""', []),
        ("def f():\n    '''Sets progress.done.'''", []),
        ('module = "rich.progress.Bar"; log = "otel_progress.sdk"', []),
    ],
)
def test_the_search_for_literal_names_can_find_one(source: str, found: list[tuple[int, str]]) -> None:
    """The search itself: strings and f-strings count, docstrings and other people's modules do not."""
    assert list(_literal_names(source)) == found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_public_names_of_opentelemetry_are_imported(path: Path) -> None:
    """Private ones change in any release; logs have no others."""
    assert list(_private_imports(path.read_text(encoding="utf-8"))) == []


def test_the_search_for_private_imports_can_find_one() -> None:
    """The search itself."""
    source = (
        "import opentelemetry.sdk.util._x, os._y\n"
        "from opentelemetry import _logs, trace\n"
        "from opentelemetry.trace import _default, Span\n"
        "from opentelemetry.sdk._logs.export import Any"
    )
    assert list(_private_imports(source)) == ["opentelemetry.sdk.util._x", "opentelemetry.trace._default"]


def test_importing_the_package_loads_nothing_heavy() -> None:
    """No SDK, no terminal, no database, no event loop, no HTTP beyond what OpenTelemetry's API loads itself."""
    heavy = {"opentelemetry.sdk", "opentelemetry.exporter", "prometheus_client", "rich", "sqlite3", "asyncio"}
    heavy |= {"argparse", "http.client", "otel_progress.sdk", "otel_progress.cli", "otel_progress.terminal"}
    heavy |= {"otel_progress.processors", "otel_progress.integrations", "opentelemetry.instrumentation"}
    heavy |= {"otel_progress.store", "otel_progress.eta", "otel_progress.deviation", "statistics", "hashlib"}
    program = (
        "import sys; from opentelemetry import _logs, context, metrics, propagate, trace; before = set(sys.modules)\n"
        "import otel_progress; print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "otel_progress" in loaded
    assert loaded & heavy == set()


def test_what_the_ticker_needs_is_there_before_its_thread() -> None:
    """A child that was forked while a thread imports waits for ever when it imports the same."""
    program = (
        "import sys\n"
        "from otel_progress import on_change, operation\n"
        "watching = on_change(lambda change: None)\n"
        "with operation('job'): print({'otel_progress.eta', 'otel_progress.deviation'} <= set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_workflows_test_every_python_that_the_package_claims() -> None:
    """The classifiers are the claim."""
    pyproject = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    claimed = re.findall(r":: Python :: (3\.\d+)", "\n".join(pyproject["project"]["classifiers"]))
    workflow = (REPOSITORY / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    (matrix,) = re.findall(r"python: \[(.+)\]", workflow)
    assert re.findall(r'"(.+?)"', matrix) == claimed


def _literal_names(source: str) -> Iterator[tuple[int, str]]:
    tree = ast.parse(source)
    # A string that is a statement of its own documents what it stands under or above.
    documents = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or id(node) in documents:
            continue
        if node.value in _DECLARED or _OURS.search(node.value):
            yield node.lineno, node.value


def _private_imports(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported = [f"{node.module}.{each.name}" for each in node.names]
        else:
            continue
        yield from (
            name
            for name in imported
            if name.startswith("opentelemetry.")
            and [part for part in name.split(".") if part.startswith("_") and part not in _LOGS]
        )
