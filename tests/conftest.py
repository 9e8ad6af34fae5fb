"""What holds for every test: no file in the state folder of whoever runs them, and Ctrl-C that interrupts."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import tempfile

_STATE = tempfile.mkdtemp(prefix="otel-progress-state-")
atexit.register(shutil.rmtree, _STATE, ignore_errors=True)
os.environ["XDG_STATE_HOME"] = _STATE
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell has it for what runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)
# The tests of the store switch it on, with files of their own: a run must not depend on those before it.
os.environ["OTEL_PROGRESS_STORE"] = "off"
