"""Running, ended, stopped and killed jobs in the real Jaeger and the real Tempo: what the design promises of them."""

from __future__ import annotations

import signal
from collections import Counter
from concurrent.futures import Future

import pytest

from otel_progress import names

from .nested import BRANCHES, CASES, LOOKS, MODES, OPERATION, STAGES, STILL, Run, records, watch_all
from .programs import wait_for
from .rig import Stack
from .tempo import SEARCHED_AFTER_SECONDS
from .traces import Trace
from .unfinished import OPEN, unfinished

BACKENDS = ("jaeger", "tempo")
WATCH = {"at_least", "at_most"}
CLOCKS_SECONDS = 0.01
"""A span's times are of the wall clock, the job's watch is not."""
Runs = dict[tuple[str, str], Future[Run]]
STAGED = ("staged", "kill"), ("staged", "fail")


@pytest.fixture(scope="module")
def runs(traced: Stack) -> Runs:
    """Every run."""
    return watch_all(traced)


@pytest.fixture(scope="module")
def listed(traced: Stack, runs: Runs) -> dict[str, set[tuple[str, str]]]:
    """What was started and never completed: name and id of the levels, by trace."""
    since = min(run.result().started_at for run in runs.values() if run.exception() is None)
    found: dict[str, set[tuple[str, str]]] = {}
    for each in unfinished(lambda query: traced.tempo.search(query, since)):
        found.setdefault(each.trace_id, set()).add((each.name, each.level_id))
    return found


def result(runs: Runs, mode: str, ending: str) -> Run:
    """Return a run."""
    return runs[mode, ending].result()


def in_flight(runs: Runs, mode: str, backend: str) -> Run:
    """Return a run that was looked at in a backend while it stood still."""
    return result(runs, mode, "end" if backend == "jaeger" else "look")


def said(trace: Trace, kind: str) -> dict[str, dict[str, float]]:
    """Return what the records of a kind say was done, as the job counts it; zeros are left out."""
    keys = {
        "done": names.DONE,
        "limit": names.LIMIT,
        "failed": names.FAILED,
        "bytes": names.BYTES,
        "tokens": f"{names.COUNTER_PREFIX}tokens",
    }
    return {
        level: {key: span.attributes[name] for key, name in keys.items() if span.attributes.get(name)}
        for level, span in records(trace, kind).items()
    }


def counted(account: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Return the account of a job without durations, and without zeros."""
    return {
        level: {key: value for key, value in each.items() if key not in WATCH and value}
        for level, each in account.items()
    }


def edges(trace: Trace) -> Counter[tuple[str, str, str]]:
    """Return how often each kind of span comes: name, name of its parent, what record it is."""
    name = {span.span_id: span.name for span in trace.spans}
    return Counter(
        (span.name, name[span.parent_id] if span.parent_id else "", span.attributes.get(names.RECORD, ""))
        for span in trace.spans
    )


# --- all the while ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "ending"), [*CASES, *LOOKS, *STAGED])
def test_no_orphan_no_duplicate_id_no_warning_at_any_look(runs: Runs, mode: str, ending: str) -> None:
    """Of both backends, since what runs has been shown."""
    run = result(runs, mode, ending)
    assert run.looks > 2
    assert run.problems == []


# --- in flight --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("mode", MODES)
def test_a_running_job_is_there_with_its_tree(runs: Runs, mode: str, backend: str) -> None:
    """Each level below the one around it, in whatever thread, task or process it runs; bare spans among them."""
    trace = in_flight(runs, mode, backend).still[backend]
    branches = len(BRANCHES[mode])
    assert edges(trace) == {
        (OPERATION, "", "open"): 1,
        ("branch", OPERATION, "open"): branches,
        ("lookup", "branch", ""): branches,
        ("table", "branch", "span"): branches,
        ("table", "branch", "open"): branches,
    }
    assert len(trace.spans) == STILL[mode]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("mode", MODES)
def test_a_running_job_says_how_far_it_is(runs: Runs, mode: str, backend: str) -> None:
    """By its own count, when it stood still."""
    run = in_flight(runs, mode, backend)
    trace = run.still[backend]
    found = said(trace, "open") | said(trace, "span")
    assert found.pop(mode) == {"limit": 2}, "nothing of the operation's own is done"
    assert found == counted(run.account_still)
    tables = [span for level, span in records(trace, "open").items() if level.endswith("-2")]
    assert [span.attributes["said.early"] for span in tables] == [
        span.attributes[names.LEVEL_ID].removesuffix("-2") for span in tables
    ]


def test_a_search_finds_a_running_job_under_its_own_name(runs: Runs) -> None:
    """Tempo says so while it runs, and never "root span not yet received"."""
    found = result(runs, "plain", "end").found_running
    assert found is not None
    assert found.root_name == OPERATION
    assert {(each.name, each.attributes[names.LEVEL_ID]) for each in found.matches} == {
        (OPERATION, "plain"),
        ("branch", "north"),
        ("table", "north-2"),
    }


# --- ended ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("mode", MODES)
def test_an_ended_job_has_its_completions_below_its_open_records(runs: Runs, mode: str, backend: str) -> None:
    """And what ran later below the open records, too."""
    trace = result(runs, mode, "end").ended[backend]
    branches = len(BRANCHES[mode])
    assert edges(trace) - edges(result(runs, mode, "end").still["jaeger"]) == {
        (OPERATION, OPERATION, "completion"): 1,
        ("branch", "branch", "completion"): branches,
        ("insert", "table", ""): branches,
        ("table", "table", "completion"): branches,
    }
    opened = records(trace, "open")
    for level, span in records(trace, "completion").items():
        assert span.attributes[names.OPEN_SPAN_ID] == span.parent_id == opened[level].span_id
        assert span.attributes[names.OUTCOME] == "completed"
        assert names.ETA_SECONDS not in span.attributes


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("mode", MODES)
def test_the_numbers_in_the_trace_are_the_jobs_own(runs: Runs, mode: str, backend: str) -> None:
    """Counts, totals, bytes, failures, counters; and the time from start to end."""
    run = result(runs, mode, "end")
    trace = run.ended[backend]
    assert said(trace, "completion") | said(trace, "span") == counted(run.account)
    lasted = {level: span.seconds for level, span in records(trace, "completion").items()}
    true = {level: (each["at_least"], each["at_most"]) for level, each in run.account.items() if "at_most" in each}
    assert lasted.keys() == true.keys()
    for level, (at_least, at_most) in true.items():
        assert at_least - CLOCKS_SECONDS <= lasted[level] <= at_most + CLOCKS_SECONDS


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("mode", MODES)
def test_what_the_program_says_of_its_span_is_kept_whenever_it_says_it(runs: Runs, mode: str, backend: str) -> None:
    """Before a level was shown, and after."""
    trace = result(runs, mode, "end").ended[backend]
    for branch in BRANCHES[mode]:
        opened, completed = (records(trace, kind)[f"{branch}-2"].attributes for kind in ("open", "completion"))
        assert (opened["said.early"], opened.get("said.late")) == (branch, None)
        assert (completed["said.early"], completed["said.late"]) == (branch, branch)


# --- stopped and killed -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_sigterm_ends_every_level_as_interrupted(runs: Runs, mode: str) -> None:
    """With what was done until then; the process dies of the signal, as it would without us."""
    run = result(runs, mode, "sigterm")
    for backend in BACKENDS:
        ends = records(run.ended[backend], "completion")
        assert {level: span.attributes[names.OUTCOME] for level, span in ends.items()} == dict.fromkeys(
            records(run.ended[backend], "open"), "interrupted"
        )
        done = said(run.ended[backend], "completion")
        assert done | {mode: {}} == counted({k: v for k, v in run.account_still.items() if k in ends}) | {mode: {}}
    assert run.status == -signal.SIGTERM


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("mode", "ending"), [case for case in CASES if case[1] in {"kill", "exit"}])
def test_what_was_there_survives_a_kill(runs: Runs, mode: str, ending: str, backend: str) -> None:
    """The trace is what it was: every level that ran, and how far it was."""
    run = result(runs, mode, ending)
    assert {span.span_id for span in run.ended[backend].spans} == {span.span_id for span in run.still["jaeger"].spans}
    found = said(run.ended[backend], "open") | said(run.ended[backend], "span")
    del found[mode]
    assert found == counted(run.account_still)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_killed_worker_costs_what_it_was_doing(runs: Runs, backend: str) -> None:
    """The other goes on, and so does the job; of the killed one stands what it was doing."""
    run = result(runs, "fork", "oom")
    trace = run.ended[backend]
    assert set(records(trace, "open")) - set(records(trace, "completion")) == {"north", "north-2"}
    assert said(trace, "completion") | said(trace, "span") == counted(
        run.account | {"north-1": {"done": 3, "bytes": 30, "limit": 3}}
    )
    assert said(trace, "open")["north-2"] == counted(run.account_still)["north-2"]


# --- started, never completed -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "ending"), CASES)
def test_what_was_never_completed_is_what_was_killed(
    runs: Runs, listed: dict[str, set[tuple[str, str]]], mode: str, ending: str
) -> None:
    """By name and id, as a search over all traces says; nothing of a job that has ended or was stopped."""
    run = result(runs, mode, ending)
    assert listed.get(run.trace_id, set()) == run.unfinished()


@pytest.mark.parametrize("ending", ["kill", "fail"])
def test_what_was_never_completed_is_right_in_a_trace_of_several_blocks(
    traced: Stack, runs: Runs, listed: dict[str, set[tuple[str, str]]], ending: str
) -> None:
    """Of a job that takes longer than Tempo keeps a block open."""
    run = result(runs, "staged", ending)
    expected = {("staged", "night"), ("stage", "verify")} if ending == "kill" else set()
    assert listed.get(run.trace_id, set()) == expected
    assert len(records(run.ended["tempo"], "open")) == STAGES + 1
    wait_for(lambda: traced.tempo.blocks_with(run.trace_id) > 1, SEARCHED_AFTER_SECONDS, "several blocks of the trace")
    again = unfinished(lambda query: traced.tempo.search(query, run.started_at))
    assert {(each.name, each.level_id) for each in again if each.trace_id == run.trace_id} == expected


@pytest.mark.parametrize("query", [OPEN, "{ }"], ids=["open records", "everything"])
def test_a_search_names_every_run_by_its_root(traced: Stack, runs: Runs, query: str) -> None:
    """Never "root span not yet received"; but a search whose matches all lie in later blocks does not know it."""
    done = {run.trace_id: run for run in (runs[case].result() for case in (*CASES, *STAGED))}
    since = min(run.started_at for run in done.values())
    found = {each.trace_id: each.root_name for each in traced.tempo.search(query, since) if each.trace_id in done}
    assert found == {trace_id: "staged" if run.mode == "staged" else OPERATION for trace_id, run in done.items()}


# --- events -----------------------------------------------------------------------------------------------------------


def test_events_carry_the_span_that_is_in_the_trace(traced: Stack, runs: Runs) -> None:
    """Started, checkpoint, completed and failed, each with trace and span id of the level's open record."""
    run = result(runs, "staged", "fail")
    opened = {level: span.span_id for level, span in records(run.ended["jaeger"], "open").items()}
    failed = names.FAILED_EVENT.name
    events = traced.collector.events(run.trace_id)
    by_span = {span: Counter(e.name for e in events if e.span_id == span) for span in {e.span_id for e in events}}
    assert set(by_span) == set(opened.values())
    assert by_span[opened["verify"]][names.CHECKPOINT.name] >= 1
    assert by_span[opened["night"]][names.CHECKPOINT.name] >= 3, "it ran for 12 s, and one is due each second"
    for level, span in opened.items():
        last = failed if level in {"verify", "night"} else names.COMPLETED.name
        assert by_span[span][names.STARTED.name] == by_span[span][last] == 1, level
