"""
Virtual environments for the packaging tests, and the Pythons to make them with.

They stay in ``.venvs`` between runs, and are made anew when the interpreter or the dependencies change.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
OLDEST = 11
"""Minor version of the oldest Python 3 that the package supports."""

_ABOUT = "import json, sys; print(json.dumps([*sys.version_info[:2], sys.version, sys.version_info.releaselevel]))"


def run(*command: str | Path, cwd: Path = REPOSITORY, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a program away from this process's environment; output and errors come back as one text."""
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "VIRTUAL_ENV", "OTEL_", "COVERAGE_", "PYTEST_"))
    }
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=900,
    )
    assert not check or done.returncode == 0, f"{command} exited with {done.returncode}:\n{done.stdout}"
    return done


def pip(python: Path, *arguments: str | Path) -> None:
    """Run this environment's pip on another environment, which needs none of its own."""
    run(sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python, *arguments)


def environment(name: str, interpreter: Path, *install: str | Path) -> Path:
    """Return the Python of an environment that holds what the ``pip install`` arguments say."""
    folder = REPOSITORY / ".venvs" / name
    python = folder / "bin" / "python"
    stamp = folder / ".stamp"
    fingerprint = _fingerprint(interpreter, *map(str, install))
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != fingerprint:
        run(interpreter, "-m", "venv", "--clear", "--without-pip", folder)
        if install:
            pip(python, "install", "--quiet", "--no-compile", *install)
        stamp.write_text(fingerprint, encoding="utf-8")
    return python


def _fingerprint(interpreter: Path, *install: str) -> str:
    pyproject = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    tables = [pyproject[table] for table in ("build-system", "project", "dependency-groups")]
    parts = [*tables, _about(interpreter), install]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@functools.cache
def interpreters() -> dict[str, Path]:
    """Return every released Python here that is new enough and really runs, one for each minor version."""
    found: dict[str, Path] = {}
    for candidate in _candidates():
        major, minor, _, level = _about(candidate) or (0, 0, "", "")
        if major == 3 and minor >= OLDEST and level == "final":
            found.setdefault(f"{major}.{minor}", candidate)
    return found


def _candidates() -> Iterator[Path]:
    yield Path(sys.executable)
    names = [f"python3.{minor}" for minor in range(OLDEST, OLDEST + 10)]
    yield from (Path(path) for name in names if (path := shutil.which(name)))
    if pyenv := shutil.which("pyenv"):
        root = Path(run(pyenv, "root").stdout.strip())
        yield from sorted((root / "versions").glob("3.*/bin/python"))


@functools.cache
def _about(interpreter: Path) -> tuple[int, int, str, str] | None:
    # A shim on the PATH may name a version that is not there, and fail.
    try:
        done = run(interpreter, "-I", "-c", _ABOUT, check=False)
    except OSError:
        return None
    return tuple(json.loads(done.stdout)) if done.returncode == 0 else None
