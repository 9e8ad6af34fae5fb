"""With every extra, the demo runs as the README says."""

import json
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(sys.executable).with_name("otel-progress")
COMMAND = (PROGRAM, "demo", "--quick", "--json")

answer = subprocess.run(COMMAND, capture_output=True, text=True, check=False, timeout=120)
assert answer.returncode == 0, answer
lines = [json.loads(line) for line in answer.stdout.splitlines()]
assert len(lines) > 1, answer
print("ok")
