"""Jobs whose processes end by no return of theirs: what is left of them in Jaeger."""

from __future__ import annotations

import pytest

from otel_progress import names

from .fault_table import record
from .nested import records, watch
from .rig import Stack
from .test_records import counted, said

pytestmark = pytest.mark.faults


@pytest.mark.parametrize(
    ("case", "mode", "ending"),
    [
        ("SIGTERM", "threads", "sigterm"),
        ("kill -9", "threads", "kill"),
        ("os._exit", "threads", "exit"),
        ("a worker is killed, as when memory runs out", "fork", "oom"),
    ],
)
def test_what_is_left_of_a_job_that_does_not_return(traced: Stack, case: str, mode: str, ending: str) -> None:
    """Every level and its numbers, up to the moment it stood still."""
    run = watch(traced, mode, ending)
    trace = run.ended["jaeger"]
    done = {level: numbers for level, numbers in counted(run.account or run.account_still).items() if level != mode}
    done = counted(run.account_still) | done
    found = said(trace, "open") | said(trace, "span") | said(trace, "completion")
    opened, completed = records(trace, "open"), records(trace, "completion")
    ends = sorted({span.attributes[names.OUTCOME] for span in completed.values()})
    running = len(opened.keys() - completed.keys())
    shown = [f"{len(completed)} {ends[0]}"] if completed else []
    shown += [f"{running} as running"] if running else []
    missing = [level for level, numbers in done.items() if found.get(level) != numbers]
    record(
        case,
        tried="two branches, each within the second of two tables",
        arrived=f"{len(opened)} of {len(run.account_still) - 1} levels: {', '.join(shown)}; 2 short ones",
        lost=f"numbers of {missing}"
        if missing
        else "nothing"
        if ending == "sigterm"
        else "nothing up to the last record",
    )
