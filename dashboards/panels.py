"""How panels look: builders shared by the dashboards. No queries here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from grafana_foundation_sdk.builders import (
    common,
    dashboard,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.cog import builder as cog
from grafana_foundation_sdk.models import common as cm
from grafana_foundation_sdk.models import dashboard as dm
from grafana_foundation_sdk.models import prometheus as pm

from dashboards import config
from dashboards.signals import PLAIN, Steps

AnyPanel = cog.Builder[dm.Panel]
DATA_SOURCE: Final = dm.DataSourceRef(type_val="prometheus", uid="${datasource}")
OUTCOME_COLOURS: Final = {
    "completed": "green",
    "failed": "red",
    "cancelled": "blue",
    "interrupted": "orange",
    "abandoned": "purple",
}


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL query of a panel, and the name of its series or column."""

    expr: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """What a panel says of itself: the question, what is shown, what to do when it is red."""

    title: str
    brief: str
    red: str

    @property
    def description(self) -> str:
        """The text behind the panel's (i)."""
        return f"{self.brief}\n\n**When it is red:** {self.red}"


_BLANK: Final = [{"type": "special", "options": {"match": "null+nan", "result": {"text": " ", "index": 0}}}]


def _letters(count: int) -> str:
    return "ABCDEFGHIJKLMNOP"[:count]


def _target(query: Query, ref: str, *, instant: bool = False) -> prometheus.Dataquery:
    target = prometheus.Dataquery().expr(query.expr).ref_id(ref).legend_format(query.name).datasource(DATA_SOURCE)
    return target.instant() if instant else target.range()


def thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    """Return colours by value."""
    made = [dm.Threshold(value=value, color=colour) for value, colour in steps]
    return dashboard.ThresholdsConfig().mode(dm.ThresholdsMode.ABSOLUTE).steps(made)


def prop(name: str, value: object) -> dm.DynamicConfigValue:
    """Return one property of an override."""
    return dm.DynamicConfigValue(id_val=name, value=value)


def fixed(colour: str) -> dm.DynamicConfigValue:
    """Return the property that gives a series one colour."""
    return prop("color", {"mode": "fixed", "fixedColor": colour})


def condition_mapping() -> list[dm.ValueMapping]:
    """Return the words and colours of an operation's conditions."""
    results = {
        str(code): dm.ValueMappingResult(text=name.replace("_", " "), color=config.COLOURS[name], index=index)
        for index, (name, code) in enumerate(config.CODES.items())
    }
    return [dm.ValueMap(options=results)]


def number(
    texts: Texts,
    queries: Sequence[Query],
    *,
    unit: str,
    span: int,
    height: int = 4,
    steps: Steps = PLAIN,
    decimals: int | None = None,
    mappings: list[dm.ValueMapping] | None = None,
    no_value: str = "none",
) -> stat.Panel:
    """Return a panel of single values."""
    several = len(queries) > 1
    panel = (
        stat.Panel()
        .title(texts.title)
        .description(texts.description)
        .datasource(DATA_SOURCE)
        .span(span)
        .height(height)
        .unit(unit)
        .no_value(no_value)
        .thresholds(thresholds(steps))
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .color_mode(cm.BigValueColorMode.VALUE)
        .graph_mode(cm.BigValueGraphMode.NONE)
        .text_mode(cm.BigValueTextMode.VALUE_AND_NAME if several else cm.BigValueTextMode.VALUE)
    )
    if decimals is not None:
        panel = panel.decimals(decimals)
    if mappings:
        panel = panel.mappings(mappings)
    for ref, query in zip(_letters(len(queries)), queries, strict=True):
        panel = panel.with_target(_target(query, ref, instant=True))
    return panel


def graph(
    texts: Texts,
    queries: Sequence[Query],
    *,
    unit: str,
    span: int,
    height: int = 9,
    steps: Steps | None = None,
    least: float | None = 0,
    most: float | None = None,
    step: str | None = None,
    bars: bool = False,
    exemplars: bool = False,
) -> timeseries.Panel:
    """Return a graph over time, or stacked bars."""
    legend = common.VizLegendOptions().show_legend(True).display_mode(cm.LegendDisplayMode.LIST)
    panel = (
        timeseries.Panel()
        .title(texts.title)
        .description(texts.description)
        .datasource(DATA_SOURCE)
        .span(span)
        .height(height)
        .unit(unit)
        .thresholds(thresholds(steps or PLAIN))
        .legend(legend.placement(cm.LegendPlacement.BOTTOM))
        .tooltip(common.VizTooltipOptions().mode(cm.TooltipDisplayMode.MULTI).sort(cm.SortOrder.DESCENDING))
        .show_points(cm.VisibilityMode.NEVER)
        .line_width(2)
    )
    if steps:
        panel = panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(cm.GraphThresholdsStyleMode.DASHED))
    if least is not None:
        panel = panel.min(least)
    if most is not None:
        panel = panel.max(most)
    if step:
        panel = panel.interval(step)
    if bars:
        panel = (
            panel.draw_style(cm.GraphDrawStyle.BARS)
            .fill_opacity(80)
            .line_width(0)
            .stacking(common.StackingConfig().mode(cm.StackingMode.NORMAL).group("A"))
        )
    for ref, query in zip(_letters(len(queries)), queries, strict=True):
        target = _target(query, ref)
        panel = panel.with_target(target.exemplar(True) if exemplars else target)
    return panel


def band(panel: timeseries.Panel, low: str, middle: str, high: str) -> timeseries.Panel:
    """Show three series of a graph as one line within a band."""
    edge = [prop("custom.lineWidth", 0), fixed("blue")]
    hidden = prop("custom.hideFrom", {"legend": True, "tooltip": False, "viz": False})
    return (
        panel.override_by_name(low, [*edge, hidden])
        .override_by_name(high, [*edge, hidden, prop("custom.fillBelowTo", low), prop("custom.fillOpacity", 20)])
        .override_by_name(middle, [fixed("blue")])
    )


def timeline(texts: Texts, queries: Sequence[Query], *, span: int, height: int = 9) -> statetimeline.Panel:
    """Return the conditions of operations over time."""
    panel = (
        statetimeline.Panel()
        .title(texts.title)
        .description(texts.description)
        .datasource(DATA_SOURCE)
        .span(span)
        .height(height)
        .unit("none")
        .mappings(condition_mapping())
        .thresholds(thresholds(PLAIN))
        .fill_opacity(80)
        .merge_values(True)
        .show_value(cm.VisibilityMode.NEVER)
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(cm.LegendDisplayMode.LIST)
            .placement(cm.LegendPlacement.BOTTOM)
        )
    )
    for ref, query in zip(_letters(len(queries)), queries, strict=True):
        panel = panel.with_target(_target(query, ref))
    return panel


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a table: a label's value, or the value of a query."""

    title: str
    label: str | None = None
    expr: str | None = None
    unit: str = "none"
    width: int = 100
    otherwise: str | None = "NaN"
    """What stands where the query has nothing: shown as an empty cell, or 0 where that is known."""
    properties: tuple[dm.DynamicConfigValue, ...] = field(default=())


def listing(
    texts: Texts,
    columns: Sequence[Column],
    *,
    span: int,
    height: int,
    sort: Sequence[tuple[str, bool]],
    no_value: str = "",
) -> table.Panel:
    """
    Return a table with a row for each combination of the labels; ``sort`` is (column, descending), first things first.

    The first query has all rows. Each other is filled up to it: `merge` joins by the columns that all answers have,
    and an
    answer without series has none but its value, so that one unknown would leave the table with its first column.
    """
    queries = [column for column in columns if column.expr]
    labels = ", ".join(column.label for column in columns if column.label)
    panel = (
        table.Panel()
        .title(texts.title)
        .description(texts.description)
        .datasource(DATA_SOURCE)
        .span(span)
        .height(height)
        .unit("none")
        .no_value(no_value)
        .thresholds(thresholds(PLAIN))
        .cell_height(cm.TableCellHeight.SM)
    )
    source: dict[str, str] = {}
    for ref, column in zip(_letters(len(queries)), queries, strict=True):
        source[column.title] = f"Value #{ref}" if len(queries) > 1 else "Value"
        filled = f"{column.expr} or on ({labels}) ({queries[0].expr}) * {column.otherwise}"
        query = Query(filled if column is not queries[0] else column.expr or "", column.title)
        panel = panel.with_target(_target(query, ref, instant=True).format(pm.PromQueryFormat.TABLE))
    for column in columns:
        if column.label:
            source[column.title] = column.label
    renames = {source[column.title]: column.title for column in columns}
    order = {source[column.title]: place for place, column in enumerate(columns)}
    steps: list[tuple[str, Mapping[str, Any]]] = [
        # Names first: `merge` joins rows only where all shared columns are equal, and time and __name__ differ.
        ("filterFieldsByName", {"include": {"names": [source[column.title] for column in columns]}}),
        ("merge", {}),
        ("organize", {"indexByName": order, "renameByName": renames, "excludeByName": {}}),
        *(("sortBy", {"fields": {}, "sort": [{"field": name, "desc": down}]}) for name, down in reversed(sort)),
    ]
    for name, options in steps:
        if name != "merge" or len(queries) > 1:
            panel = panel.with_transformation(dm.DataTransformerConfig(id_val=name, options=dict(options)))
    for column in columns:
        width = prop("custom.width", column.width)
        unit = [] if column.label else [prop("unit", column.unit)]
        own = {each.id_val for each in column.properties}
        blank = [] if column.label or "mappings" in own else [prop("mappings", _BLANK)]
        panel = panel.override_by_name(column.title, [width, *unit, *blank, *column.properties])
    return panel


def link(title: str, url: str) -> dm.DynamicConfigValue:
    """Return the property that makes a cell a link."""
    return prop("links", [{"title": title, "url": url, "targetBlank": False}])
