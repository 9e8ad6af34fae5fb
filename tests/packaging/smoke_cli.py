"""The command line without an SDK: it answers, and the demo says what to install if it cannot run."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

PROGRAM = Path(sys.executable).with_name("otel-progress")


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line."""
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, check=False, timeout=120)


answer = call("--version")
assert answer.returncode == 0, answer
assert version("otel-progress") in answer.stdout, answer

answer = call("demo", "--quick")
assert answer.returncode == 0 or "otel-progress[all]" in answer.stderr, answer
assert "Traceback" not in answer.stderr, answer
print("ok")
