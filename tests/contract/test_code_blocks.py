"""Every code block in the documents works."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    REPOSITORY / "README.md",
    *sorted(REPOSITORY.glob("docs/**/*.md")),
    *sorted(REPOSITORY.glob("collector/*.md")),
]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHOWN_ONLY = {"text", "promql", "traceql", "yaml", "json", ""}
"""Blocks that are output, or input for other programs; tests/stack/test_docs_queries.py runs the queries."""


def blocks(document: Path) -> list[tuple[str, str]]:
    """Kind and text of each fenced block."""
    return BLOCK.findall(document.read_text(encoding="utf-8"))


def identity(document: Path) -> str:
    """Its name in the test's name."""
    return document.relative_to(REPOSITORY).as_posix()


@pytest.mark.parametrize("document", [d for d in DOCUMENTS if any(k == "python" for k, _ in blocks(d))], ids=identity)
def test_python_blocks_run_one_after_the_other(document: Path, tmp_path: Path) -> None:
    """In a fresh interpreter, warnings being errors, as one program."""
    source = "\n".join(code for kind, code in blocks(document) if kind == "python")
    program = tmp_path / "blocks.py"
    program.write_text(source, encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "-W", "error", str(program)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("document", DOCUMENTS, ids=identity)
def test_shell_blocks_name_targets_extras_and_commands_that_exist(document: Path) -> None:
    """They are not run: they install, serve, or take a minute."""
    with (REPOSITORY / "pyproject.toml").open("rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    for kind, code in blocks(document):
        assert kind in {"python", "console", *SHOWN_ONLY}, f"a block of a kind that nobody checks: {kind}"
        for line in code.splitlines() if kind == "console" else ():
            if not line.startswith("$ "):
                continue  # output
            words = shlex.split(line.removeprefix("$ "), comments=True)
            words = [word for word in words if not re.fullmatch(r"\w+=\S*", word)] or words
            match words:
                case ["make", target, *_]:
                    assert f"\n{target}:" in makefile, line
                case ["pip", "install", *packages]:
                    for package in packages:
                        for extra in re.findall(r"otel-progress\[(.*)\]", package):
                            assert set(extra.split(",")) <= set(extras), line
                case ["otel-progress", *arguments]:
                    assert_parses(arguments)
                case [
                    "git"
                    | "cd"
                    | "curl"
                    | "docker"
                    | "otelcol"
                    | "prometheus"
                    | "jaeger"
                    | "python"
                    | "export"
                    | "opentelemetry-instrument",
                    *_,
                ]:
                    pass
                case _:
                    pytest.fail(f"nobody checks this command: {line}")


def assert_parses(arguments: list[str]) -> None:
    """The command line takes these arguments."""
    ran = subprocess.run(
        [sys.executable, "-m", "otel_progress.cli", *arguments, "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=REPOSITORY,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


def test_no_document_is_missing() -> None:
    """The list above finds what there is."""
    assert {"README.md", "docs/guide.md", "docs/telemetry.md"} <= {identity(document) for document in DOCUMENTS}
