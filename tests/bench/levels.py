"""A short level: beside a bare span that carries the same attributes, without an SDK, and switched off."""

from __future__ import annotations

import time
from collections.abc import Iterator

from opentelemetry import metrics, trace

from otel_progress import Level, level, names, operation
from tests.bench.harness import Contender, Row, beside, compare, duration
from tests.bench.setups import Recording, api_only, disabled, recording

LEVELS = 400  # a batch: the processor's queue must take them all
QUIET_LEVELS = 500
ROUNDS = 50  # many short ones: on a busy machine some of them are left alone
QUIET_BUDGET = 3e-6


def rows() -> Iterator[Row]:
    """Measure with the batch processor, with the API alone, switched off."""
    with recording() as setup, operation("bench") as op:
        yield from _beside_a_span(setup, op)
    for what, situation in (("one level with the API alone", api_only), ("one disabled level", disabled)):
        with situation(), operation("bench"):
            costs = compare({"level": _quiet_levels, "span": _quiet_spans}, operations=QUIET_LEVELS, rounds=ROUNDS)
        ours = costs["level"].wall
        peers, ratios = beside(ours, {"the API's no-op span": costs["span"].wall})
        yield Row(
            what=what,
            ours=duration(ours),
            peers=peers,
            ratio=ratios,
            budget=f"≤ {duration(QUIET_BUDGET)}",
            ok=ours <= QUIET_BUDGET,
        )


def _beside_a_span(setup: Recording, op: Level) -> Iterator[Row]:
    run_id = op.snapshot().run_id
    before = setup.exporter.spans
    costs = compare(
        {
            "level": Contender(lambda: _levels(LEVELS), setup.settle),
            "span": Contender(lambda: _spans(setup.tracer, run_id, LEVELS), setup.settle),
            "both": Contender(lambda: _spans(setup.tracer, run_id, LEVELS, setup.histogram), setup.settle),
        },
        operations=LEVELS,
        rounds=ROUNDS,
    )
    if setup.exporter.spans - before < LEVELS * 3 * (ROUNDS + 1):  # one round warms up; the operation has records too
        raise RuntimeError("spans were lost, so the costs are not comparable")
    ours, span, both = costs["level"], costs["span"], costs["both"]
    for what, mine, theirs, with_histogram, budget in (
        ("a short level, on the calling thread", ours.caller, span.caller, both.caller, 1.3),
        ("a short level, all threads", ours.process, span.process, both.process, 1.8),
    ):
        peers, ratios = beside(mine, {"bare span": theirs, "span and duration histogram": with_histogram})
        yield Row(
            what=what,
            ours=duration(mine),
            peers=peers,
            ratio=ratios,
            budget=f"≤ {budget}x the bare span",
            ok=mine <= budget * theirs,
        )


def _levels(count: int) -> None:
    for _ in range(count):
        with level("file", total=1) as file:
            file.advance()


def _spans(tracer: trace.Tracer, run_id: str, count: int, histogram: metrics.Histogram | None = None) -> None:
    """Make spans as levels make them: what is known at the start is set there, the rest at the end."""
    for _ in range(count):
        started = time.monotonic()
        start = {
            names.OPERATION: "bench",
            names.LEVEL: "file",
            names.PATH: ("bench", "file"),
            names.RECORD: names.Record.SPAN.value,
            names.RUN_ID: run_id,
        }
        with tracer.start_as_current_span("file", attributes=start) as span:
            span.set_attributes(
                {
                    names.STATE: "completed",
                    names.OUTCOME: "completed",
                    names.DONE: 1.0,
                    names.LIMIT: 1.0,
                    names.FRACTION: 1.0,
                    names.UNIT: "{item}",
                }
            )
            if histogram is not None:
                labels = {names.OPERATION: "bench", names.LEVEL: "file", names.OUTCOME: "completed"}
                histogram.record(time.monotonic() - started, labels)


def _quiet_levels() -> None:
    for _ in range(QUIET_LEVELS):
        with level("file"):
            pass


def _quiet_spans() -> None:
    tracer = trace.get_tracer("bench")
    for _ in range(QUIET_LEVELS):
        with tracer.start_as_current_span("file"):
            pass
