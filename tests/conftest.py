"""What holds for every test: nothing is written to the state folder of whoever runs them."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

_STATE = tempfile.mkdtemp(prefix="otel-progress-state-")
atexit.register(shutil.rmtree, _STATE, ignore_errors=True)
os.environ["XDG_STATE_HOME"] = _STATE
# The tests of the store switch it on, with files of their own: a run must not depend on those before it.
os.environ["OTEL_PROGRESS_STORE"] = "off"
