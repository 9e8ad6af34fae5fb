"""Progress overview: what runs, the worst first; what is wrong; what ended."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import dashboard

from dashboards import alerts, board, config, rules, signals
from dashboards.board import CHOSEN
from dashboards.panels import (
    OUTCOME_COLOURS,
    AnyPanel,
    Column,
    Query,
    Texts,
    condition_mapping,
    fixed,
    graph,
    link,
    listing,
    number,
    prop,
    timeline,
)
from dashboards.promql import (
    BY_OPERATION,
    INSTANCE,
    JOB,
    LEVEL,
    OPERATION,
    OUTCOME,
    THE_OPERATION,
    Selection,
    equals,
    fold,
    total,
)
from otel_progress import names
from otel_progress.names import OUTCOMES, DeviationKind, State

TITLE: Final = "Progress overview"
_WORST: Final = fold("max", BY_OPERATION, CHOSEN(rules.CONDITION))
_NOTHING: Final = f"max({rules.LOADED.name}) * 0"
"""Zero where somebody looks."""
_NOBODY_LOOKS: Final = "rules not loaded"
_OPERATION_OF: Final = f"{{{{{OPERATION}}}}} ({{{{{JOB}}}}})"
"""Two services may have an operation of the same name."""
_BAD: Final = ((None, "green"), (1.0, "red"))
_WARN: Final = ((None, "green"), (1.0, "orange"))


def _count(expression: str) -> Query:
    """Count series, or nothing found where the rules are there to find something."""
    return Query(f"count({expression}) or {_NOTHING}", "")


def _conditions(*conditions: str) -> str:
    matcher = f'{rules.CONDITION_LABEL}=~"{"|".join(conditions)}"'
    return fold("max", BY_OPERATION, CHOSEN(rules.CONDITION, matcher))


def _runs(outcome: str) -> str:
    return CHOSEN(rules.RUNS.name, equals(OUTCOME, outcome))


def _numbers() -> list[AnyPanel]:
    off = [kind for kind in config.DEVIATION_KINDS if kind != DeviationKind.STALLED.value]
    running = _conditions(*config.CALM_STATES, *config.DEVIATION_KINDS)
    numbers = (
        (
            Texts(
                title="Running?",
                brief="Operations that are alive in at least one process.",
                red="It has no red: none may be right at this hour.",
            ),
            _count(running),
            ((None, "blue"),),
        ),
        (
            Texts(
                title="Dead?",
                brief="Processes that ended without a word: killed, out of memory, machine gone. A day, or until a "
                "later start.",
                red="Find its process in the list of alerts below, look into the log of its machine, and start it "
                "again.",
            ),
            _count(CHOSEN(rules.DEAD.name)),
            _BAD,
        ),
        (
            Texts(
                title="Standing still?",
                brief="Operations of which a level is alive and does not advance, judged by its own pace.",
                red="Open the operation: the level that waits longest is where to look.",
            ),
            _count(_conditions(DeviationKind.STALLED.value)),
            _BAD,
        ),
        (
            Texts(
                title="Late or off?",
                brief="Operations that are overdue, slow, fail too many items, are rate limited, or break a rule "
                "otherwise.",
                red="Open the operation: its conditions over time tell what began first.",
            ),
            _count(_conditions(*off)),
            _WARN,
        ),
        (
            Texts(
                title="Missing?",
                brief="Operations that started at this time in each of the last two weeks, and not today.",
                red="Look at the scheduler: was it paused, did it fail, was the job moved?",
            ),
            _count(alerts.missing(CHOSEN)),
            _BAD,
        ),
    )
    widths = (4, 3, 4, 4, 4)
    ended = Texts(
        title="Ended today?",
        brief="Runs that ended in the last 24 hours, however short they were: all, and those that failed.",
        red="The table of endings below says which failed; the trace has the exception.",
    )
    either = [
        Query(f"sum({CHOSEN(rules.RUNS.name)}) or {_NOTHING}", "in all"),
        Query(f"sum({_runs(State.FAILED)}) or {_NOTHING}", "failed"),
    ]
    return [
        *(
            number(texts, [query], unit="none", span=span, steps=steps, no_value=_NOBODY_LOOKS)
            for (texts, query, steps), span in zip(numbers, widths, strict=True)
        ),
        number(ended, either, unit="none", span=5, no_value=_NOBODY_LOOKS).override_by_name(
            "failed", [prop("thresholds", {"mode": "absolute", "steps": _FAILED_STEPS})]
        ),
    ]


def _running_now() -> AnyPanel:
    signal = [
        (signals.FRACTION, 80),
        (signals.ETA, 110),
        (signals.ETA_LOW, 110),
        (signals.ETA_HIGH, 110),
        (signals.EXPECTED_END, 150),
        (signals.ELAPSED, 120),
        (signals.SINCE_ADVANCE, 120),
        (signals.PROCESSES, 90),
    ]
    cells = {
        signals.FRACTION.column: (
            prop("min", 0),
            prop("max", 1),
            prop("decimals", 0),
        ),
    }
    columns = [
        Column(
            title="State",
            expr=_WORST,
            width=120,
            properties=(
                prop("mappings", _mapping_json()),
                prop("custom.align", "left"),
                prop("custom.cellOptions", {"type": "color-text"}),
            ),
        ),
        *_whose(190, 140),
        *(
            Column(
                title=each.column,
                expr=each.now(CHOSEN, BY_OPERATION),
                unit=each.unit,
                width=width,
                properties=cells.get(each.column, ()),
            )
            for each, width in signal
        ),
    ]
    texts = Texts(
        title="What is running, how far is it, and when does it end?",
        brief="Each operation with the worst that holds in any of its processes, the worst first; left and its 80 % "
        "interval. "
        "A process that died is shown as it was last heard of.",
        red="Start at the top. Click the operation to see its levels.",
    )
    return listing(texts, columns, span=24, height=10, sort=[("State", True), (signals.ETA.column, True)])


def _mapping_json() -> list[dict[str, object]]:
    return [mapping.to_json() for mapping in condition_mapping()]


def _firing() -> AnyPanel:
    texts = Texts(
        title="Which alerts fire?",
        brief="Alerts of Prometheus about these services and about the pipeline. Click a name for its runbook. "
        "Where Grafana evaluates the rules, look at its own alert list.",
        red="Start with what is critical; the runbook says what to look at first.",
    )
    shown = ("severity", "alertname", OPERATION, LEVEL, JOB, INSTANCE)
    firing = 'alertstate="firing"'
    # Some are about a service, and have no operation.
    chosen = Selection((board.SERVICE_MATCHER, f'{OPERATION}=~"$operation|"'))
    ours = chosen("ALERTS", 'alertname=~"Progress.*"', firing)
    everybody = f'ALERTS{{alertname=~"{alerts.TELEMETRY_DOWN.name}|{alerts.TELEMETRY_STUCK.name}",{firing}}}'
    expr = fold("max", shown, f"{ours} or {everybody}")
    severity = [
        {
            "type": "value",
            "options": {"critical": {"color": "red", "index": 0}, "warning": {"color": "orange", "index": 1}},
        }
    ]
    columns = [
        Column(
            title="Severity",
            label="severity",
            width=90,
            properties=(prop("mappings", severity), prop("custom.cellOptions", {"type": "color-text"})),
        ),
        Column(
            title="Alert",
            label="alertname",
            width=190,
            properties=(link("Open its runbook", f"{config.RUNBOOKS_URL}/${{__value.text}}.md"),),
        ),
        Column(title="Operation", label=OPERATION, width=150),
        Column(title="Level", label=LEVEL, width=110),
        Column(title="Service", label=JOB, width=100),
        Column(title="Process", label=INSTANCE, width=330),
        Column(title="firing", expr=expr, width=1, properties=(prop("custom.hideFrom", {"viz": True}),)),
    ]
    return listing(texts, columns, span=16, height=12, sort=[("Severity", False), ("Alert", False)])


def _trouble() -> AnyPanel:
    texts = Texts(
        title="When did what go wrong?",
        brief="The worst condition of each operation over time.",
        red="What turned red first is where to begin.",
    )
    return timeline(texts, [Query(_WORST, _OPERATION_OF)], span=8, height=12)


def _how_far() -> AnyPanel:
    signal = signals.FRACTION
    texts = Texts(title="How far was each, over time?", brief=signal.brief, red=signal.red)
    query = Query(signal.history(CHOSEN, BY_OPERATION), _OPERATION_OF)
    return graph(texts, [query], unit=signal.unit, span=12, most=1)


def _ended_over_time() -> AnyPanel:
    texts = Texts(
        title="How many runs ended, and how?",
        brief="Runs that ended in each stretch of time, by outcome; counted from totals, so that short runs are there.",
        red="Many reds at one time have one cause: look at what they share.",
    )
    counter = CHOSEN(names.LEVEL_DURATION, THE_OPERATION, part="_count")
    query = Query(f"{fold('sum', (OUTCOME,), total(counter, '$__interval'))} > 0", f"{{{{{OUTCOME}}}}}")
    panel = graph(texts, [query], unit="none", span=12, step="10m", bars=True)
    for outcome, colour in OUTCOME_COLOURS.items():
        panel = panel.override_by_regexp(f"/^{outcome}$/", [fixed(colour)])
    return panel


def _whose(operation_width: int, service_width: int) -> tuple[Column, Column]:
    """Return the columns of the operation, which leads to its dashboard, and of its service."""
    service, operation = "Service", "Operation"
    opened = link("Open the operation", board.operation_link(service, operation))
    return (
        Column(title=operation, label=OPERATION, width=operation_width, properties=(opened,)),
        Column(title=service, label=JOB, width=service_width),
    )


def _ended_today() -> AnyPanel:
    texts = Texts(
        title="What ended in the last day, and how?",
        brief="Runs by outcome, the failed ones first, and their mean duration. Runs of a second count like others.",
        red="Open the operation for the history of its outcomes; its trace has the exception.",
    )
    seconds = total(CHOSEN(names.LEVEL_DURATION, THE_OPERATION, part="_sum"), "1d")
    runs = total(CHOSEN(names.LEVEL_DURATION, THE_OPERATION, part="_count"), "1d")
    columns = [
        *_whose(200, 150),
        Column(
            title="Mean duration",
            expr=f"{fold('sum', BY_OPERATION, seconds)} / {fold('sum', BY_OPERATION, runs)}",
            unit="dtdhms",
            width=130,
        ),
        *(
            Column(
                title=outcome.capitalize(),
                expr=fold("sum", BY_OPERATION, _runs(outcome)),
                width=105,
                otherwise="0",
                properties=(
                    (
                        prop("custom.cellOptions", {"type": "color-text"}),
                        prop("thresholds", {"mode": "absolute", "steps": _FAILED_STEPS}),
                    )
                    if outcome == State.FAILED
                    else ()
                ),
            )
            for outcome in OUTCOMES
        ),
        Column(
            title="Ended last",
            expr=f"{fold('max', BY_OPERATION, f'last_over_time({CHOSEN(rules.END.name)}[1d])')} * 1000",
            unit="dateTimeAsIsoNoDateIfToday",
            width=150,
        ),
    ]
    return listing(texts, columns, span=24, height=9, sort=[("Failed", True), ("Completed", True)])


_FAILED_STEPS: Final = [{"color": "text", "value": None}, {"color": "red", "value": 1}]


def make() -> dashboard.Dashboard:
    """Return the dashboard."""
    description = "What runs now, the worst first; what is late, stands still or died; what ended."
    made = board.new(config.OVERVIEW_UID, TITLE, description, since="now-6h")
    for variable in (
        board.source("datasource", "Prometheus", "prometheus"),
        board.services(),
        board.operations(),
    ):
        made = made.with_variable(variable)
    made = board.row(made, "Is anything wrong now?", _numbers(), [_running_now()])
    made = board.row(made, "What should somebody look at?", [_firing(), _trouble()])
    return board.row(made, "What happened?", [_how_far(), _ended_over_time()], [_ended_today()])


BOARD: Final = board.Board(config.OVERVIEW_UID, TITLE, make)
