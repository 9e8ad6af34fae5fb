"""
Record the traces anew: ``python -m tests.bench.eta.record [name ...]``, a quarter of an hour for all.

Every job runs in a process of its own. A quota holds the process and its children back as a container's does: stopped
for its share of each tenth of a second. Of a quiet run that there is a trace of, a shorter one is kept beside it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from tests.bench.eta.plan import RUNS, Run
from tests.bench.eta.tape import MORE_ROUNDS, TRACES, Tape, read

PERIOD_SECONDS: Final = 0.1


def record(name: str) -> None:
    """Run the job in a process of its own and keep its trace."""
    run = RUNS[name]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "trace.json"
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.eta.record", "--here", name, str(out)],
            start_new_session=True,
            stdout=subprocess.DEVNULL,
        )
        try:
            _hold_back(child, run)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        if child.returncode:
            sys.exit(f"{name} failed with {child.returncode}")
        MORE_ROUNDS.mkdir(parents=True, exist_ok=True)
        kept = TRACES / f"{name}.json"
        text = out.read_text(encoding="utf-8")
        if run.quiet and kept.exists():  # as benchmarks do: the least disturbed of several rounds
            if json.loads(text)["seconds"] >= read(name, more_rounds=True).seconds:
                return
            kept = MORE_ROUNDS / kept.name
        kept.write_text(text, encoding="utf-8")


def _hold_back(child: subprocess.Popen[bytes], run: Run) -> None:
    start = time.monotonic()
    while child.poll() is None:
        if run.quota < 1 and not run.quiet and run.begin <= time.monotonic() - start < run.end:
            os.killpg(child.pid, signal.SIGSTOP)
            time.sleep(PERIOD_SECONDS * (1 - run.quota))
            os.killpg(child.pid, signal.SIGCONT)
            time.sleep(PERIOD_SECONDS * run.quota)
        else:
            time.sleep(PERIOD_SECONDS)


def _here(name: str, out: str) -> None:
    run = RUNS[name]
    tape = Tape(run.quota if run.quiet else None)
    run.job(tape, **run.options)
    Path(out).write_text(tape.as_json(name, run.unit, keys=run.keys, sizes=run.sizes), encoding="utf-8")


def main(arguments: list[str]) -> None:
    """Record the runs named, or those that there are no traces of, or with ``--all`` all."""
    if arguments[:1] == ["--here"]:
        _here(*arguments[1:])
        return
    missing = [name for name in RUNS if not (TRACES / f"{name}.json").exists()]
    for name in list(RUNS) if arguments == ["--all"] else arguments or missing:
        start = time.monotonic()
        record(name)
        print(f"{name}: {time.monotonic() - start:.1f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
