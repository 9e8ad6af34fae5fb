"""The services of docker-compose.yml find each other: started without Docker, in a network of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from otel_progress.cli import main

from .programs import REPOSITORY, run, tool
from .test_outages import STEPS

NAMESPACE = ("unshare", "--map-root-user", "--net", "--mount")


def test_what_stack_init_writes_works_with_the_addresses_of_the_compose_file(tmp_path: Path) -> None:
    """Each service with its command and settings; a job's data is found at the addresses that Grafana asks."""
    for name in ("otelcol", "prometheus", "promtool", "tempo", "jaeger", "loki"):
        tool(name)
    if not shutil.which("unshare") or run(*NAMESPACE, "true", check=False).returncode:
        pytest.skip("needs unshare, and the right to make a network namespace: Linux, and what it takes there")
    main(["stack", "init", str(tmp_path)])
    expected = {
        "bytes": STEPS * 10,
        "calls": STEPS + 1,  # the operation, its open and completion records being one call
        "collector is up": 1,
        "rules": 6,
        "in Tempo": 1,
        "in Jaeger": True,
        "in Loki": 2,  # the operation started, and was completed
    }
    done = subprocess.run(
        [*NAMESPACE, sys.executable, "-m", "tests.stack.compose_up", str(tmp_path), json.dumps(expected)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-5000:]
