"""What went wrong with one operation, how earlier runs were, where it runs and what it said."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import dashboard, logs, loki, tempo
from grafana_foundation_sdk.builders import table as table_panel
from grafana_foundation_sdk.models import common as cm
from grafana_foundation_sdk.models import dashboard as dm
from grafana_foundation_sdk.models import tempo as tm

from dashboards import config, rules, signals
from dashboards.board import CHOSEN, CHOSEN_LEVELS, TRACED_SERVICE
from dashboards.panels import (
    DATA_SOURCE,
    OUTCOME_COLOURS,
    AnyPanel,
    Column,
    Query,
    Texts,
    fixed,
    graph,
    listing,
    timeline,
)
from dashboards.promql import (
    BY_LEVEL,
    INSTANCE,
    JOB,
    LEVEL,
    OPERATION,
    OUTCOME,
    SERVICE_NAME,
    THE_OPERATION,
    fold,
    total,
)
from otel_progress import names

_LEVEL_NAME: Final = f"{{{{{LEVEL}}}}}"


def wrong() -> list[AnyPanel]:
    """Return the row: conditions over time, and the share of failed items."""
    conditions = Texts(
        title="What went wrong, and when?",
        brief="Conditions of the operation that held, each over time; a killed process is dead until a later start.",
        red="What began first is the cause, more often than not.",
    )
    shown = "|".join((config.DEAD, *config.DEVIATION_KINDS, "retrying", "paused", "running"))
    bad = f'{rules.CONDITION_LABEL}=~"{shown}"'
    failing = Texts(
        title="Which share of the items failed?",
        brief="Failed items among all, within a quarter of an hour, over all processes.",
        red="The exceptions are on the spans of the level; the same one again and again is a fault of the program or "
        "its input.",
    )
    return [
        timeline(
            conditions,
            [
                Query(
                    fold("max", (rules.CONDITION_LABEL,), CHOSEN(rules.CONDITION, bad)),
                    f"{{{{{rules.CONDITION_LABEL}}}}}",
                )
            ],
            span=12,
        ),
        graph(
            failing,
            [Query(signals.failed_share(CHOSEN_LEVELS, BY_LEVEL, "15m"), _LEVEL_NAME)],
            unit="percentunit",
            span=12,
        ).axis_soft_max(0.1),  # nothing failed: a line at the bottom, not at the top of nothing
    ]


def history() -> list[AnyPanel]:
    """Return the row: durations, outcomes and deviations of a week."""
    how_long = Texts(
        title="How long did runs take?",
        brief="Of runs that ended in each hour of the last week: the mean, and about what nine of ten stayed below. "
        "Diamonds lead to traces.",
        red="Runs that take longer and longer grow with their input, or with something that is never cleaned up.",
    )
    outcomes = Texts(
        title="How did runs end?",
        brief="Runs that ended in each hour of the last week, by outcome.",
        red="The exception is on the span of the failed run; a diamond beside leads there.",
    )
    deviations = Texts(
        title="How often did it depart from what was expected?",
        brief="Onsets of deviations in each hour of the last week by kind, over all processes and levels.",
        red="Onsets every day: the rule is too strict, or the job has changed. Tell it so, or mend it.",
    )

    def part(name: str) -> str:
        return total(CHOSEN(names.LEVEL_DURATION, THE_OPERATION, part=name), "$__interval")

    # Runs are rare: a week, whatever time the dashboard shows.
    mean = f"sum({part('_sum')}) / (sum({part('_count')}) > 0)"
    most = f"histogram_quantile(0.9, {fold('sum', ('le',), part('_bucket'))})"
    ended = graph(
        outcomes,
        [Query(f"{fold('sum', (OUTCOME,), part('_count'))} > 0", f"{{{{{OUTCOME}}}}}")],
        unit="none",
        span=8,
        step="1h",
        bars=True,
    ).time_from("7d")
    for outcome, colour in OUTCOME_COLOURS.items():
        ended = ended.override_by_regexp(f"/^{outcome}$/", [fixed(colour)])
    return [
        graph(
            how_long,
            [Query(mean, "mean"), Query(most, "nine of ten")],
            unit="dtdhms",
            span=8,
            step="1h",
            exemplars=True,
        )
        .time_from("7d")
        .draw_style(cm.GraphDrawStyle.POINTS)
        .show_points(cm.VisibilityMode.ALWAYS)
        .point_size(7),
        ended,
        graph(
            deviations,
            [
                Query(
                    f"{fold('sum', (config.KIND,), total(CHOSEN(names.DEVIATIONS), '$__interval'))} > 0",
                    f"{{{{{config.KIND}}}}}",
                )
            ],
            unit="none",
            span=8,
            step="1h",
            bars=True,
        ).time_from("7d"),
    ]


def resources() -> AnyPanel:
    """Return the table of machines and versions."""
    texts = Texts(
        title="Where does it run, and which version?",
        brief="What processes of the service say of themselves: machine, version, OpenTelemetry.",
        red="Trouble on one machine or in one version only is no coincidence.",
    )
    labels = ("host_name", "service_version", "telemetry_sdk_version", INSTANCE)
    columns = [
        Column(title="Machine", label="host_name", width=220),
        Column(title="Version", label="service_version", width=130),
        Column(title="OpenTelemetry", label="telemetry_sdk_version", width=130),
        Column(title="Process", label=INSTANCE, width=330),
        Column(title="Live levels", expr=_on_machines(labels), width=100),
    ]
    return listing(texts, columns, span=24, height=7, sort=[("Machine", False)])


def _on_machines(labels: tuple[str, ...]) -> str:
    live = fold("sum", (JOB, INSTANCE), f"{CHOSEN(names.ACTIVE)} > 0")
    more = ", ".join(each for each in labels if each != INSTANCE)
    return fold("max", labels, f"{live} * on ({JOB}, {INSTANCE}) group_left ({more}) target_info")


def events() -> tuple[AnyPanel, AnyPanel]:
    """Return the panels that ask Loki and Tempo."""
    mine = f'{SERVICE_NAME}=~"${TRACED_SERVICE}.*"'
    said = (
        logs.Panel()
        .title("What did it say?")
        .description(
            "Events of the operation: started, checkpoints, deviations, failed, completed.\n\n"
            "**When it is red:** the last event before the trouble has how far it was; open its trace."
        )
        .datasource(dm.DataSourceRef(type_val="loki", uid="${loki}"))
        .span(24)
        .height(10)
        .unit("none")
        .show_time(True)
        .sort_order(cm.LogsSortOrder.DESCENDING)
        .with_target(loki.Dataquery().expr(f'{{{mine}, {SERVICE_NAME}!=""}} | {OPERATION}=`$operation`').ref_id("A"))
    )
    traces = (
        table_panel.Panel()
        .title("Which traces does it have?")
        .description(
            "The latest runs; one that is still running has open records.\n\n"
            "**When it is red:** open the trace: the level that failed has the exception."
        )
        .datasource(dm.DataSourceRef(type_val="tempo", uid="${tempo}"))
        .span(24)
        .height(10)
        .unit("none")
        .with_target(
            tempo.Dataquery()
            .query(
                f'{{ resource.service.name =~ "${TRACED_SERVICE}.*" && span.{names.OPERATION} = "$operation" '
                f'&& span.{names.RECORD} =~ "span|open|completion" }}'
            )
            .query_type("traceql")
            .table_type(tm.SearchTableType.TRACES)
            .limit(20)
            .ref_id("A")
        )
    )
    return said, traces


def deviation_marks() -> dashboard.AnnotationQuery:
    """Return the marks for deviations on every graph."""
    series = CHOSEN(names.DEVIATION)
    return (
        dashboard.AnnotationQuery()
        .name("Deviations")
        .datasource(DATA_SOURCE)
        .enable(True)
        .icon_color("orange")
        .expr(f"max by ({config.KIND}, {LEVEL}) ({series}) == 1")
        .step("30s")
        .title_format(f"{{{{{config.KIND}}}}}")
        .text_format(_LEVEL_NAME)
        .placement("")
    )
