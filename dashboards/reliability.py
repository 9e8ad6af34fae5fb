"""Reliability: how honest the promises were, and whether the telemetry arrives."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import dashboard

from dashboards import board, config
from dashboards.board import CHOSEN, SERVICE_MATCHER
from dashboards.panels import AnyPanel, Column, Query, Texts, graph, listing, number, prop
from dashboards.promql import BY_OPERATION, JOB, OPERATION, REASON, SIGNAL, Selection, fold, total
from otel_progress import names

TITLE: Final = "Reliability of estimates and of the pipeline"
_SERVICE: Final = Selection((SERVICE_MATCHER,))
_COLLECTOR: Final = Selection((f'{JOB}="{config.COLLECTOR_JOB}"',))
_EXPORTER: Final = "{{exporter}}"
_NONE_DOWN: Final = f"count({_COLLECTOR('up')}) * 0"
_NO_STEPS: Final = [{"color": "text", "value": None}, {"color": "red", "value": 1}]
_RANGE: Final = "$__range"


def _error(quantile: float, by: tuple[str, ...], window: str) -> str:
    """
    Return by which share promises were off, at a quantile: 0.2 is a fifth too long or too short.

    The histogram has the absolute logarithm of promised over true time left, so that twice and half are equally wrong.
    """
    buckets = fold("sum", (*by, "le"), total(CHOSEN(names.ETA_ERROR, part="_bucket"), window))
    return f"exp(histogram_quantile({quantile:g}, {buckets})) - 1"


def _honesty() -> list[AnyPanel]:
    half = Texts(
        title="How far off, typically?",
        brief="Half of the promises made at a quarter, half and three quarters of a run were off by less; 100 % is "
        "twice, or half, "
        "of the true time left.",
        red="Tell levels their totals and phases earlier; give the program a store, so that it learns from its runs.",
    )
    most = Texts(
        title="How far off are nine of ten?",
        brief="Nine of ten promises were off by less.",
        red="The table says of which operation. Estimates without a history of earlier runs are the usual cause.",
    )
    steps = ((None, "green"), (0.5, "orange"), (1.0, "red"))
    over_time = Texts(
        title="Did promises get better?",
        brief="By which share half, and nine of ten, of the promises were off, within six hours.",
        red="It rose: look which operation changed, its input or its machine.",
    )
    return [
        number(
            half, [Query(_error(0.5, (), _RANGE), "")], unit="percentunit", span=5, height=9, steps=steps, decimals=0
        ),
        number(
            most, [Query(_error(0.9, (), _RANGE), "")], unit="percentunit", span=5, height=9, steps=steps, decimals=0
        ),
        graph(
            over_time,
            [Query(_error(0.5, (), "6h"), "half"), Query(_error(0.9, (), "6h"), "nine of ten")],
            unit="percentunit",
            span=14,
            step="30m",
        ),
    ]


def _by_operation() -> AnyPanel:
    texts = Texts(
        title="Whose promises can be trusted?",
        brief="By which share promises were off, the worst operation first, in the time shown.",
        red="Do not plan by the expected end of what stands at the top; look at the interval instead.",
    )
    columns = [
        Column(title="Operation", label=OPERATION, width=260),
        Column(title="Service", label=JOB, width=200),
        Column(
            title="Half are off by less than", expr=_error(0.5, BY_OPERATION, _RANGE), unit="percentunit", width=220
        ),
        Column(title="Nine of ten", expr=_error(0.9, BY_OPERATION, _RANGE), unit="percentunit", width=160),
        Column(
            title="Promises",
            expr=fold("sum", BY_OPERATION, total(CHOSEN(names.ETA_ERROR, part="_count"), _RANGE)),
            width=120,
        ),
    ]
    return listing(texts, columns, span=24, height=8, sort=[("Nine of ten", True)])


def _own() -> list[AnyPanel]:
    kinds = (
        (
            names.TELEMETRY_DROPPED,
            Texts(
                title="Was telemetry of ours dropped?",
                brief="Records and label sets that a bound kept out, by reason, in each stretch of time.",
                red="`too many label sets`: a name holds an id. A full queue: the exporter is slower than the job; "
                "numbers stay true.",
            ),
        ),
        (
            names.TELEMETRY_CONTAINED,
            Texts(
                title="Did our own code fail?",
                brief="Errors inside otel_progress that were kept away from the program, by place.",
                red="The program's log has one line for each place: report it, with its stack.",
            ),
        ),
        (
            names.TELEMETRY_IGNORED,
            Texts(
                title="Does a program use it wrongly?",
                brief="Calls that made no sense and were ignored, by reason.",
                red="Nothing is broken; the program's numbers may not be what its author thinks. The log names the "
                "place.",
            ),
        ),
    )
    waiting = Texts(
        title="Do jobs wait for a backend?",
        brief="Records that processes keep because their backend is in trouble, by signal.",
        red="Nothing is lost yet: mend the backend, or the way to it. What a process keeps ends with it.",
    )
    return [
        graph(
            waiting,
            [Query(fold("sum", (SIGNAL,), _SERVICE(names.TELEMETRY_KEPT)), f"{{{{{SIGNAL}}}}}")],
            unit="none",
            span=6,
        ),
        *(
            graph(
                texts,
                [Query(fold("sum", (REASON,), total(_SERVICE(metric), "$__interval")), f"{{{{{REASON}}}}}")],
                unit="none",
                span=6,
                step="10m",
                bars=True,
            )
            for metric, texts in kinds
        ),
    ]


def _collector() -> list[AnyPanel]:
    up = Texts(
        title="Does it answer?",
        brief="Collectors that Prometheus reaches, and those that it knows and does not reach.",
        red="Start it again; jobs go on meanwhile and keep what they can. Dead jobs cannot be told from it.",
    )
    queue = Texts(
        title="How full are its queues?",
        brief="Share of each sending queue in use; it lives on disk.",
        red="The backend of that exporter is down or too slow. Full queues make jobs keep, then drop, their spans.",
    )
    refused = Texts(
        title="Does it refuse what jobs send?",
        brief="Records in each stretch of time that it refused, because its memory or queue was full, by signal.",
        red="Senders try again, so nothing is lost yet. Give it more memory, or mend the backend.",
    )
    through = Texts(
        title="How much goes through?",
        brief="Records in each stretch of time that jobs sent and that backends took.",
        red="Sent falls behind accepted: look at the queues.",
    )
    failed = Texts(
        title="Does a backend refuse what it sends?",
        brief="Records in each stretch of time that a backend refused for good, or that found no room in a queue.",
        red="What failed to be sent is lost: the Collector's log has the backend's answer. Of what found no room jobs "
        "were told, and try again.",
    )
    kinds = (("spans", "spans"), ("metric_points", "metrics"), ("log_records", "events"))

    def rates(name: str, label: str = "") -> list[Query]:
        return [
            Query(f"sum({total(_COLLECTOR(f'{name}_{kind}'), '$__interval')})", f"{label}{title}")
            for kind, title in kinds
        ]

    size, capacity = _COLLECTOR("otelcol_exporter_queue_size"), _COLLECTOR("otelcol_exporter_queue_capacity")
    lost = [
        Query(f"{query.expr} or {accepted.expr} * 0", query.name)
        for prefix in ("send_failed", "enqueue_failed")
        for query, accepted in zip(
            rates(f"otelcol_exporter_{prefix}", f"{prefix.replace('_', ' ')}: "),
            rates("otelcol_receiver_accepted"),
            strict=True,
        )
    ]
    return [
        number(
            up,
            [Query(f"sum({_COLLECTOR('up')})", "yes"), Query(f"count({_COLLECTOR('up')} == 0) or {_NONE_DOWN}", "no")],
            unit="none",
            span=4,
            height=8,
            steps=((None, "red"), (1.0, "green")),
        ).override_by_name("no", [prop("thresholds", {"mode": "absolute", "steps": _NO_STEPS})]),
        graph(
            queue,
            [Query(fold("max", ("exporter",), f"{size} / {capacity}"), _EXPORTER)],
            unit="percentunit",
            span=10,
            height=8,
            steps=((None, "transparent"), (config.QUEUE_SHARE, "red")),
            most=1,
        ),
        graph(
            through,
            [*rates("otelcol_receiver_accepted", "accepted: "), *rates("otelcol_exporter_sent", "sent: ")],
            unit="short",
            span=10,
            height=8,
            step="10m",
        ),
        graph(refused, rates("otelcol_receiver_refused"), unit="none", span=12, height=8, step="10m"),
        graph(failed, lost, unit="none", span=12, height=8, step="10m"),
    ]


def make() -> dashboard.Dashboard:
    """Return the dashboard."""
    description = "Whether expected ends can be planned by, and whether what jobs send arrives."
    made = board.new(config.RELIABILITY_UID, TITLE, description, since="now-24h")
    for variable in (board.source("datasource", "Prometheus", "prometheus"), board.services(), board.operations()):
        made = made.with_variable(variable)
    made = board.row(made, "Can expected ends be trusted?", _honesty(), [_by_operation()])
    made = board.row(made, "Is what jobs tell complete?", _own())
    collector = _collector()
    return board.row(made, "Does the pipeline work?", collector[:3], collector[3:])


BOARD: Final = board.Board(config.RELIABILITY_UID, TITLE, make)
