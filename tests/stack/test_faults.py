"""
A backend in trouble: the job does not notice, memory stays bounded, and what could be kept is delivered later.

The exporters' timeout is 1 s instead of 10 (3 s where a slow backend is to succeed), so that an outage of a second or
two is what one of a minute is with the defaults: several attempts fail, and a pause has grown.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

import pytest

from otel_progress import names

from .fault_table import record
from .job import JOBS, LIVELY, Job, command, environment
from .programs import free_ports, wait_for
from .proxy import Proxy, proxy
from .rig import Stack
from .traces import Trace

pytestmark = pytest.mark.faults

LONGEST_STEP_SECONDS: Final = 0.25
"""A step takes well under a millisecond; waiting for a backend would take seconds."""
LONGEST_BURST_STEP_SECONDS: Final = 1.0
"""
Python's full garbage collection has more to look at while 10,000 spans are kept: 0.31 s on a busy machine, against 0.18
with a Collector that takes them; without garbage collection the longest step took 0.04.
"""
LONGEST_FLUSH_SECONDS: Final = 2.0 + 2.0
"""The job gives its flush 2 seconds; a busy machine may need more to notice."""
LONGEST_EXIT_SECONDS: Final = 5.0 + 2.0
"""As above: a shutdown has 5 seconds."""
BACK_SECONDS: Final = 20.0
"""Within this time after the trouble all must have arrived: the pause between two attempts has grown to 8 s at most."""
MEGABYTES_KEPT: Final = 60.0
"""What a full memory of spans may add to a job: 10,000 of 3.2 KiB, and as much again for what is on its way."""

BEFORE, AFTER = 120, 20
SPANS = BEFORE + AFTER + 2
"""The steps, and the operation's open and completion records."""
QUICK: Final = {
    **LIVELY,
    "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
    "OTEL_PROGRESS_OPEN_AFTER_SECONDS": "0.1",
    "OTEL_PROGRESS_CHECKPOINT_SECONDS": "off",  # a busy machine must not add spans
}
ONE_TRACE: Final = {"OTEL_PROGRESS_TRACE_BYTES_LIMIT": "off"}


@dataclass(frozen=True)
class Ended:
    """What a job said at its end."""

    facts: Mapping[str, Any]
    exit_seconds: float
    lost: Mapping[str, int]
    """Records it counted as lost, by reason."""
    log: str


def work(
    stack: Stack, service: str, *, url: str = "", before: int = BEFORE, sleep: float = 0.01, **settings: str
) -> AbstractContextManager[Job]:
    """Start the job, by default against the stack's Collector."""
    env = environment(url or stack.collector.otlp_url, service, {**QUICK, **settings})
    arguments = [str(JOBS / "troubled_work.py"), str(before), str(AFTER), str(sleep)]
    return command(arguments, env, stack.folder)


def end(running: Job, longest_step_seconds: float = LONGEST_STEP_SECONDS) -> Ended:
    """Let a job end, after all that it was paused for."""
    running.go()
    last = running.finish()
    facts = running.said[-2]
    assert facts["slowest"] < longest_step_seconds
    assert facts["flush"] < LONGEST_FLUSH_SECONDS
    assert last["shutdown"] < LONGEST_EXIT_SECONDS
    assert facts["contained"] == {}
    exit_seconds = facts["flush"] + last["shutdown"] + running.exit_seconds
    return Ended(facts, exit_seconds, last["gone"], running.errors)


def arrived(stack: Stack, service: str, spans: int, seconds: float = BACK_SECONDS) -> Trace:
    """Return the one trace of a service once it has this many different spans."""

    def look() -> Trace | None:
        ((trace_id, count),) = stack.jaeger.traces(service).items()
        assert count >= spans, f"{count} spans"
        trace = stack.jaeger.trace(trace_id)
        assert trace is not None
        assert len({span.span_id for span in trace.spans}) == spans, f"{len(trace.spans)} spans"
        return trace

    return wait_for(look, seconds, f"{spans} spans of {service}")


@pytest.fixture(scope="module")
def healthy(stack: Stack) -> Ended:
    """The same job without any trouble."""
    with work(stack, "faults-none") as running:
        running.until("started")
        running.go()
        assert running.until("worked")["kept"] == {}
        running.go()
        running.until("ending")
        ended = end(running)
    assert ended.lost == {}
    assert arrived(stack, "faults-none", SPANS).problems() == []
    return ended


@pytest.fixture
def between(stack: Stack) -> Iterator[Proxy]:
    """A proxy before the Collector."""
    with proxy(stack.collector.otlp_url) as running:
        yield running


def delivered(stack: Stack, running: Job, service: str, healthy: Ended) -> Ended:
    """The backend is back: let the job go on, and see that nothing was lost at its end."""
    running.go()
    running.until("ending")
    ended = end(running)
    assert arrived(stack, service, SPANS).problems() == []
    assert ended.lost == {}
    assert ended.facts["megabytes"] < healthy.facts["megabytes"] + MEGABYTES_KEPT
    return ended


def arrived_ids(stack: Stack, service: str) -> set[str]:
    """Return the ids of the spans that have arrived so far."""
    traces = [stack.jaeger.trace(trace_id) for trace_id in stack.jaeger.traces(service)]
    return {span.span_id for trace in traces if trace for span in trace.spans}


@pytest.mark.parametrize(
    ("case", "protocol"),
    [
        ("the Collector is down at the start", "http"),
        ("the Collector is down in the middle", "http"),
        ("the Collector is down in the middle, gRPC", "grpc"),
    ],
)
def test_a_collector_that_was_down_gets_all(stack: Stack, healthy: Ended, case: str, protocol: str) -> None:
    """Nothing is lost of what the job did before, meanwhile and after."""
    service = f"faults-down-{'start' if 'start' in case else 'middle'}-{protocol}"
    url = stack.collector.otlp_grpc_url if protocol == "grpc" else stack.collector.otlp_url
    if "start" in case:
        stack.collector.stop()
    try:
        with work(stack, service, url=url, OTEL_EXPORTER_OTLP_PROTOCOL=protocol) as running:
            running.until("started")
            stack.collector.stop()
            running.go()
            kept = running.until("worked")["kept"]
            assert kept["traces"] == BEFORE + 1, "the steps and the operation's open record"
            stack.collector.start()
            wait_for(lambda: len(arrived_ids(stack, service)) > BEFORE, BACK_SECONDS, "what was kept, by itself")
            ended = delivered(stack, running, service, healthy)
    finally:
        stack.collector.start()
    assert ended.log.count("cannot export traces") == ended.log.count("traces are exported again") == 1
    query = f'{names.BYTES_DONE.prometheus}{{service_name="{service}"}}'
    wait_for(lambda: stack.prometheus.value(query) == (BEFORE + AFTER) * 10, what="the true number of bytes")
    record(
        case,
        tried=f"a job with {BEFORE} levels while it is down, {AFTER} after",
        arrived="all",
        lost="nothing",
        exit_seconds=ended.exit_seconds,
    )


def test_a_collector_that_is_never_back_costs_the_telemetry_only(stack: Stack, healthy: Ended) -> None:
    """What is lost is counted and said, and the exit is bounded."""
    (port,) = free_ports(1)
    with work(stack, "faults-never", url=f"http://127.0.0.1:{port}") as running:
        running.until("started")
        running.go()
        running.until("worked")
        running.go()
        running.until("ending")
        ended = end(running)
    # And the operation's two events: started, completed.
    assert ended.lost == {"export_lost": SPANS + 2}
    assert ended.facts["kept"] == {"traces": SPANS, "logs": 2}
    assert ended.log.count("cannot export traces") == 1
    assert "export_lost" in ended.log
    assert len(ended.log.splitlines()) <= 5, f"a line for the traces, the logs, the metrics, the loss:\n{ended.log}"
    record(
        "the Collector is down until the end",
        tried=f"a job with {BEFORE + AFTER} levels",
        arrived="nothing",
        lost="all, counted and said in the log",
        exit_seconds=ended.exit_seconds,
    )


def test_a_collector_that_hangs_gets_all_when_it_goes_on(stack: Stack, healthy: Ended) -> None:
    """It is stopped in its tracks: it accepts connections, and answers nothing."""
    with work(stack, "faults-hangs") as running:
        running.until("started")
        stack.collector.send(signal.SIGSTOP)
        try:
            running.go()
            assert running.until("worked")["kept"]["traces"] == BEFORE + 1
        finally:
            stack.collector.send(signal.SIGCONT)
        ended = delivered(stack, running, "faults-hangs", healthy)
    record(
        "the Collector hangs (SIGSTOP)",
        tried=f"a job with {BEFORE} levels while it hangs, {AFTER} after",
        arrived="all; a batch whose answer was lost comes twice, and Jaeger shows it once",
        lost="nothing",
        exit_seconds=ended.exit_seconds,
    )


def test_a_slow_backend_gets_all_late(stack: Stack, between: Proxy, healthy: Ended) -> None:
    """1 s an export with a timeout of 3 s, which stands for 10 s and 30 s."""
    between.delay_seconds = 1.0
    with work(stack, "faults-slow", url=between.url, OTEL_EXPORTER_OTLP_TIMEOUT="3") as running:
        running.until("started")
        running.go()
        running.until("worked")
        ended = delivered(stack, running, "faults-slow", healthy)
    record(
        "each export takes 10 s",
        tried=f"a job with {BEFORE + AFTER} levels; 1 s in the test",
        arrived="all",
        lost="nothing",
        exit_seconds=ended.exit_seconds,
    )


def test_a_slow_export_of_metrics_does_not_delay_traces(stack: Stack, between: Proxy) -> None:
    """Each signal has a thread of its own."""
    between.delay_seconds, between.delayed = 60.0, "/v1/metrics"
    with work(stack, "faults-slow-metrics", url=between.url, OTEL_EXPORTER_OTLP_TIMEOUT="60") as running:
        running.until("started")
        running.go()
        running.until("worked")
        wait_for(lambda: len(arrived_ids(stack, "faults-slow-metrics")) > BEFORE, what="the spans, with the job alive")
        between.woken.set()
        running.go()
        running.until("ending")
        assert end(running).lost == {}


@pytest.mark.parametrize("case", ["429, Retry-After: 1", "429", "503, Retry-After: 60", "503"])
def test_a_backend_that_refuses_gets_all_when_it_takes_them_again(
    stack: Stack, between: Proxy, healthy: Ended, case: str
) -> None:
    """With and without a word on when to come back."""
    status, _, seconds = case.partition(", Retry-After: ")
    between.refusal = int(status), {"Retry-After": seconds} if seconds else {}
    service = f"faults-{status}-{seconds or 'none'}"
    with work(stack, service, url=between.url) as running:
        running.until("started")
        running.go()
        assert running.until("worked")["kept"]["traces"] == BEFORE + 1
        assert between.asked < 30, "it is not asked for each of a dozen batches, but now and then"
        between.refusal = None
        ended = delivered(stack, running, service, healthy)
    record(
        case,
        tried=f"a job with {BEFORE} levels while it refuses, {AFTER} after",
        arrived="all",
        lost="nothing",
        exit_seconds=ended.exit_seconds,
    )


def test_names_that_do_not_resolve_for_long_cost_nothing(stack: Stack, healthy: Ended) -> None:
    """``getaddrinfo`` hangs, whatever the timeout of the exporter; the last word of the outage is another address."""
    url = f"http://collector.invalid:{stack.collector.otlp_url.rpartition(':')[2]}"
    env = environment(url, "faults-dns", QUICK)
    arguments = [str(JOBS / "troubled_work.py"), str(BEFORE), str(AFTER), "0.01", "--hanging-names"]
    with command(arguments, env, stack.folder) as running:
        running.until("started")
        running.go()
        assert running.until("worked")["kept"]["traces"] == BEFORE + 1
        running.go()
        running.until("ending")
        ended = end(running)
    assert ended.lost == {}
    assert arrived(stack, "faults-dns", SPANS).problems() == []
    record(
        "the names of hosts do not resolve: DNS hangs",
        tried=f"a job with {BEFORE} levels while it hangs, {AFTER} after",
        arrived="all",
        lost="nothing",
        exit_seconds=ended.exit_seconds,
    )


def test_more_than_can_be_kept_costs_the_oldest_short_levels(stack: Stack, healthy: Ended) -> None:
    """13,000 levels in a burst while the Collector is down: 10,000 are kept, the open record among them."""
    stack.collector.stop()
    burst = 13_000
    try:
        with work(stack, "faults-burst", before=burst, sleep=0.0, **ONE_TRACE) as running:
            running.until("started")
            running.go()
            kept = running.until("worked")["kept"]["traces"]
            assert 9_000 < kept <= 10_000
            stack.collector.start()
            # A busy machine takes long for the burst: the pause between two attempts may have grown to its longest.
            wait_for(lambda: sum(stack.jaeger.traces("faults-burst").values()) > 9_000, 40, "what was kept")
            running.go()
            running.until("ending")
            ended = end(running, LONGEST_BURST_STEP_SECONDS)
    finally:
        stack.collector.start()
    made = burst + AFTER + 2
    lost = ended.lost.get("export_kept_full", 0)
    assert ended.lost == {"export_kept_full": lost}
    # Up to a thousand more waited for the one above them until the flush.
    assert made - 11_000 - AFTER - 2 <= lost < made - 9_000
    trace = arrived(stack, "faults-burst", made - lost, seconds=60)  # a busy machine takes long for so many
    records = [span.attributes[names.RECORD] for span in trace.named("troubled-work")]
    assert records == ["open", "completion"]
    assert trace.problems() == []
    assert ended.facts["megabytes"] < healthy.facts["megabytes"] + MEGABYTES_KEPT
    record(
        "more than can be kept",
        tried=f"{burst} short levels in a burst while the Collector is down",
        arrived="the newest 10,000, open and completion records among them",
        lost="the oldest short levels, counted",
        exit_seconds=ended.exit_seconds,
    )
