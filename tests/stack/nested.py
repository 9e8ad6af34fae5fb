"""Runs of ``jobs/nested.py`` in every mode and with every ending, looked at all the while."""

from __future__ import annotations

import signal
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

from otel_progress import names

from .job import LIVELY, Job, job
from .programs import wait_for
from .rig import Stack
from .tempo import SEARCHED_AFTER_SECONDS, Found
from .traces import Span, Trace
from .unfinished import COMPLETED, OPEN

OPERATION: Final = "nested-import"
IN_ONE_PROCESS: Final = ("plain", "threads", "asyncio")
IN_SEVERAL: Final = ("fork", "spawn", "pool")
MODES: Final = (*IN_ONE_PROCESS, *IN_SEVERAL)
BRANCHES: Final = {mode: ("north",) if mode == "plain" else ("north", "south") for mode in MODES}

CASES: Final = (
    *((mode, ending) for mode in MODES for ending in ("end", "sigterm", "kill")),
    *((mode, "exit") for mode in IN_ONE_PROCESS),
    ("fork", "oom"),
)
"""``exit`` is ``os._exit``; ``oom`` kills one worker, as the kernel does when memory runs out."""
LOOKS: Final = tuple((mode, "look") for mode in MODES)
"""
Runs of their own for looks at a running trace in Tempo: what has not been written yet when a look by id comes may be
lost (main after 3.0: 17 of 24 traces of three processes that were polled, none of 12 that were left alone).
"""

STILL: Final = {mode: 1 + 4 * len(BRANCHES[mode]) for mode in MODES}
"""Spans while the job stands still: the operation; of each branch itself, a bare span, the short and the long table."""
STAGES: Final = 3
"""Levels of the job of stages before its last stage: the operation and two stages."""
LOOK_SECONDS: Final = 1.0
SETTLE_SECONDS: Final = 1.0
AT_ONCE: Final = 6
"""Jobs at once: they wait most of the time."""
SHORT: Final = {"OTEL_PROGRESS_OPEN_AFTER_SECONDS": "0.3"}
"""Shown as soon as the ticker sees them; the job that runs plainly to its end has the default."""


def spans_at_end(mode: str, ending: str) -> int:
    """Return how many spans there are in the end."""
    branches = len(BRANCHES[mode])
    more = {
        "end": 1 + 3 * branches,  # completions of operation, branches and long tables; a bare span in each of these
        "sigterm": 1 + 2 * branches,  # the same, but the job does not come to the bare spans
        "kill": 0,
        "exit": 0,
        "oom": 1 + 3,  # as at the end, but of one branch alone
    }
    return STILL[mode] + more[ending]


@dataclass
class Run:
    """What was seen of one job."""

    mode: str
    ending: str
    trace_id: str = ""
    started_at: float = 0.0
    still: dict[str, Trace] = field(default_factory=dict)
    """By backend, while the job stood still."""
    ended: dict[str, Trace] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    """Orphans, ids that come twice, and warnings, at any look since all that runs was shown."""
    looks: int = 0
    found_running: Found | None = None
    """By a search, while the job stood still; of one run only, as it takes a while."""
    account_still: dict[str, dict[str, float]] = field(default_factory=dict)
    """By the job's own count, when it stood still; by the id of a level."""
    account: dict[str, dict[str, float]] = field(default_factory=dict)
    status: int = 0
    errors: str = ""

    def unfinished(self) -> set[tuple[str, str]]:
        """Return name and id of the levels that were cut off, by what was done to the job."""
        cut_off = {
            "kill": BRANCHES[self.mode],
            "exit": BRANCHES[self.mode],
            "oom": ("north",),
        }.get(self.ending, ())
        levels = {(name, level) for each in cut_off for name, level in (("branch", each), ("table", f"{each}-2"))}
        return levels | ({(OPERATION, self.mode)} if self.ending in {"kill", "exit"} else set())


def records(trace: Trace, kind: str) -> dict[str, Span]:
    """Return the records of a kind in a trace by the ids of their levels."""
    return {span.attributes[names.LEVEL_ID]: span for span in trace.spans if span.attributes.get(names.RECORD) == kind}


def found(stack: Stack, query: str, run: Run) -> Found | None:
    """Return what a search of Tempo finds of a run."""
    return next((each for each in stack.tempo.search(query, run.started_at) if each.trace_id == run.trace_id), None)


def matches(stack: Stack, query: str, run: Run) -> int:
    """Return how many spans of a run a search shows."""
    trace = found(stack, query, run)
    return 0 if trace is None else len(trace.matches)


def look(stack: Stack, run: Run, backend: str = "jaeger") -> Trace:
    """Look at the trace by its id; what is wrong with it is noted."""
    trace = stack.jaeger.trace(run.trace_id) if backend == "jaeger" else stack.tempo.trace(run.trace_id)
    assert trace is not None, backend
    run.problems += [f"{backend}, {len(trace.spans)} spans: {problem}" for problem in trace.problems()]
    run.looks += 1
    return trace


def watch_for(seconds: float, stack: Stack, run: Run) -> None:
    """Look several times at a job that stands still."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        run.still["jaeger"] = look(stack, run)
        time.sleep(0.1)


def watch(stack: Stack, mode: str, ending: str) -> Run:
    """Run the job; look at it while it stands still, at its end, and all the time between."""
    run = Run(mode, ending, started_at=time.time())
    service = f"nested-{mode}-{ending}"
    settings = LIVELY if (mode, ending) == ("plain", "end") else {**LIVELY, **SHORT}
    with job(stack, "nested.py", service, mode, **settings) as running:
        standing = running.until("standing")
        run.trace_id, run.account_still = standing["trace_id"], standing["account"]
        # By the summary, and only then by id: what was over before its parent was old enough is an orphan for a moment.
        still = STILL[mode]
        wait_for(lambda: stack.jaeger.traces(service).get(run.trace_id) == still, 30, f"{still} spans of {service}")
        watch_for(LOOK_SECONDS, stack, run)
        if (mode, ending) == ("plain", "end"):
            run.found_running = wait_for(
                lambda: found(stack, OPEN, run), SEARCHED_AFTER_SECONDS, "Tempo finding a running job"
            )
        if ending == "look":
            run.still["tempo"] = look(stack, run, "tempo")
            return run
        end(running, standing, run)
        expected = spans_at_end(mode, ending)
        wait_for(lambda: len(look(stack, run).spans) == expected, 15, f"{expected} spans of {service}")
        run.ended["jaeger"] = look(stack, run)
        run.errors = running.errors
    return run


def end(running: Job, standing: dict[str, Any], run: Run) -> None:
    """End the job the way it is to end."""
    if run.ending == "sigterm":
        running.send(signal.SIGTERM)
    elif run.ending == "kill":
        running.send(signal.SIGKILL)
    elif run.ending == "exit":
        running.go("exit")
    else:
        if run.ending == "oom":
            running.send_to(standing["workers"]["north"], signal.SIGKILL)
        running.go()
        run.account = running.finish()["account"]
    run.status = running.gone()


def watch_stages(stack: Stack, ending: str) -> Run:
    """Run the job of stages, with checkpoints, so that its trace lies in several blocks; kill it, or let it fail."""
    run = Run("staged", ending, started_at=time.time())
    service = f"staged-{ending}"
    with job(stack, "stages.py", service, **LIVELY, **SHORT, OTEL_PROGRESS_CHECKPOINT_SECONDS="1") as running:
        run.trace_id = running.until("half")["trace_id"]
        # What a search finds has been written; what comes when the blocks of now are finished is in another one.
        wait_for(lambda: matches(stack, OPEN, run) == STAGES, SEARCHED_AFTER_SECONDS, "open records in a search")
        unfinished = stack.tempo.unfinished_blocks()
        wait_for(lambda: not unfinished & stack.tempo.unfinished_blocks(), SEARCHED_AFTER_SECONDS, "finished blocks")
        running.go()
        run.account_still = running.until("verify")["account"]
        # A checkpoint of the last stage that says where it stands: six of ten.
        wait_for(lambda: said_six(stack.jaeger.trace(run.trace_id)), 15, "a checkpoint of the last stage")
        watch_for(LOOK_SECONDS, stack, run)
        if ending == "kill":
            running.send(signal.SIGKILL)
            run.status = running.gone()
        else:
            running.go()
            run.account = running.finish()["account"]
            wait_for(lambda: records(look(stack, run), "completion").get("night"), 15, "its completion")
        time.sleep(SETTLE_SECONDS)
        run.ended["jaeger"] = look(stack, run)
    return run


def said_six(trace: Trace | None) -> bool:
    """Return whether a checkpoint of the last stage says that six items are done."""
    spans = trace.spans if trace is not None else ()
    checkpoints = [span.attributes for span in spans if span.attributes.get(names.RECORD) == "checkpoint"]
    return any(each.get(names.LEVEL_ID) == "verify" and each[names.DONE] == 6 for each in checkpoints)


def settle(stack: Stack, run: Run) -> None:
    """Wait until Tempo has written all records of a run, and only then look at them by id."""
    for query, kind in ((OPEN, "open"), (COMPLETED, "completion")):
        count = len(records(run.ended["jaeger"], kind))
        what = f"{count} {kind} records of {run.mode}-{run.ending} in a search"
        wait_for(lambda query=query, count=count: matches(stack, query, run) == count, SEARCHED_AFTER_SECONDS, what)
    run.ended["tempo"] = look(stack, run, "tempo")


def watch_all(stack: Stack) -> dict[tuple[str, str], Future[Run]]:
    """Run every case, some at once, to the end; a case that goes wrong does so where it is asked for."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        # The long ones first.
        runs = {("staged", ending): pool.submit(watch_stages, stack, ending) for ending in ("kill", "fail")}
        runs |= {case: pool.submit(watch, stack, *case) for case in (*CASES, *LOOKS)}
    for (_, ending), run in runs.items():
        if ending != "look" and run.exception() is None:
            settle(stack, run.result())
    return runs
