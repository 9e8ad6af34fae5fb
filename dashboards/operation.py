"""Operation: one operation, its levels, its promises, its cost, its troubles and its history."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import dashboard

from dashboards import board, config, operation_past, operation_work, rules, signals
from dashboards.board import CHOSEN, CHOSEN_LEVELS
from dashboards.panels import (
    AnyPanel,
    Column,
    Query,
    Texts,
    band,
    condition_mapping,
    graph,
    listing,
    number,
    prop,
)
from dashboards.promql import (
    BY_OPERATION,
    LEVEL,
    Selection,
    fold,
    where,
)
from dashboards.signals import Signal, Steps

TITLE: Final = "Operation"

_WHOLE: Final = [
    {"type": "special", "options": {"match": match, "result": {"text": "(the operation)", "index": index}}}
    for index, match in enumerate(("empty", "null"))
]
"""The series of the operation itself have no level."""


def _stat(signal: Signal, *more: Signal, span: int, steps: Steps | None = None) -> AnyPanel:
    texts = Texts(title=signal.title, brief=signal.brief, red=signal.red)
    queries = [
        Query(each.now(CHOSEN, BY_OPERATION), "expected" if each is signal else each.column) for each in (signal, *more)
    ]
    return number(
        texts,
        queries,
        unit=signal.unit,
        span=span,
        decimals=signal.decimals,
        steps=steps or signal.steps,
        no_value="unknown",
    )


def _now() -> list[AnyPanel]:
    state = Texts(
        title="In which state is it?",
        brief="The worst that holds in any process of the operation.",
        red="The conditions over time, below, tell what began first.",
    )
    worst = fold("max", BY_OPERATION, CHOSEN(rules.CONDITION))
    return [
        number(
            state,
            [Query(worst, "")],
            unit="none",
            span=4,
            mappings=condition_mapping(),
            no_value="not running",
        ),
        _stat(signals.FRACTION, span=3),
        _stat(signals.ETA, signals.ETA_LOW, signals.ETA_HIGH, span=7),
        _stat(signals.EXPECTED_END, span=4),
        _stat(signals.ELAPSED, span=3),
        _stat(signals.PROCESSES, span=3),
    ]


def _promises() -> list[AnyPanel]:
    left = Texts(
        title="How much time was left, as promised?",
        brief="Expected time left and its 80 % interval. A straight line down is a promise that is kept.",
        red=signals.ETA.red,
    )
    end = Texts(
        title="How did the promised end move?",
        brief="Expected end as a time of day, and its 80 % interval. A flat line is a promise that is kept; one that "
        "rises runs away.",
        red="Look at the rate, and at how much there is to do, at the time when it began to rise.",
    )
    return [
        band(
            graph(
                left,
                [
                    Query(signals.ETA_LOW.history(CHOSEN, BY_OPERATION), "at best"),
                    Query(signals.ETA.history(CHOSEN, BY_OPERATION), "expected"),
                    Query(signals.ETA_HIGH.history(CHOSEN, BY_OPERATION), "at worst"),
                ],
                unit="dtdhms",
                span=12,
            ),
            "at best",
            "expected",
            "at worst",
        ),
        band(
            graph(
                end,
                [
                    Query(signals.EARLIEST_END.history(CHOSEN, BY_OPERATION), "at the earliest"),
                    Query(signals.EXPECTED_END.history(CHOSEN, BY_OPERATION), "expected"),
                    Query(signals.LATEST_END.history(CHOSEN, BY_OPERATION), "at the latest"),
                ],
                unit=signals.EXPECTED_END.unit,
                span=12,
                least=None,
            ),
            "at the earliest",
            "expected",
            "at the latest",
        ),
    ]


def _levels() -> AnyPanel:
    # What only holds others does not advance itself: the operation would always stand at the top.
    counting = Selection((*CHOSEN_LEVELS.matchers, f'{LEVEL}!=""'))
    shown = (
        (signals.ELAPSED, 130),
        (signals.FRACTION, 80),
        (signals.DONE, 130),
        (signals.LIMIT, 130),
        (signals.RATE, 120),
        (signals.ETA, 130),
        (signals.SINCE_ADVANCE, 130),
        (signals.PROCESSES, 100),
    )
    shown_levels = signals.ELAPSED.now(CHOSEN_LEVELS, (LEVEL,))
    columns = [
        Column(title="Level", label=LEVEL, width=200, properties=(prop("mappings", _WHOLE),)),
        *(
            Column(
                title=each.column,
                expr=each.now(counting if each is signals.SINCE_ADVANCE else CHOSEN_LEVELS, (LEVEL,)),
                unit=each.unit,
                width=width,
                properties=() if each.decimals is None else (prop("decimals", each.decimals),),
            )
            for each, width in shown
        ),
        Column(
            title="Failed in 1 h",
            # Of the levels above: one that ended would be a row with nothing else in it.
            expr=where(signals.failed_share(CHOSEN_LEVELS, (LEVEL,), "1h"), (LEVEL,), shown_levels),
            unit="percentunit",
            width=120,
        ),
    ]
    texts = Texts(
        title="Which level is it at?",
        brief="Levels that are alive, or were when their process died; the one that waits longest first.",
        red="The level at the top is the one to look at.",
    )
    return listing(texts, columns, span=24, height=8, sort=[(signals.SINCE_ADVANCE.column, True)], no_value="")


def make() -> dashboard.Dashboard:
    """Return the dashboard."""
    description = "One operation: how far, when it ends, whether it keeps its promises, what it costs, what went wrong."
    made = board.new(config.OPERATION_UID, TITLE, description, since="now-3h").annotation(
        operation_past.deviation_marks()
    )
    for variable in (
        board.source("datasource", "Prometheus", "prometheus"),
        board.services(several=False),
        board.traced_service(),
        board.operations(several=False),
        board.levels(),
        board.source("tempo", "Traces", "tempo"),
        board.source("loki", "Logs", "loki"),
    ):
        made = made.with_variable(variable)
    made = board.row(made, "Where is it?", _now(), [_levels()])
    made = board.row(made, "When will it end?", _promises())
    made = board.row(made, "Is it as fast as usual?", operation_work.speed())
    made = board.row(made, "What went wrong?", operation_past.wrong())
    made = board.row(
        made,
        "What does it use, and is it good?",
        operation_work.cost(),
        [operation_work.used(), operation_work.quality()],
    )
    made = board.row(made, "How were earlier runs?", operation_past.history())
    made = board.row(made, "Where does it run?", [operation_past.resources()])
    return board.folded(made, "What did it say? (Loki and Tempo)", *operation_past.events())


BOARD: Final = board.Board(config.OPERATION_UID, TITLE, make)
