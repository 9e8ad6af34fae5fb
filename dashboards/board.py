"""What all dashboards share: variables, links, rows, and their JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as dm

from dashboards import config
from dashboards.panels import DATA_SOURCE, AnyPanel
from dashboards.promql import JOB, LEVEL, OPERATION, SERVICE_NAME, Selection
from otel_progress import names

SERVICE_MATCHER: Final = f'{JOB}=~"$service"'
OPERATION_MATCHER: Final = f'{OPERATION}=~"$operation"'
LEVEL_MATCHER: Final = f'{LEVEL}=~"$level"'
CHOSEN: Final = Selection((SERVICE_MATCHER, OPERATION_MATCHER))
"""The operations chosen by the variables."""
CHOSEN_LEVELS: Final = Selection((SERVICE_MATCHER, OPERATION_MATCHER, LEVEL_MATCHER))
TRACED_SERVICE: Final = "traced_service"
TAG: Final = "progress"
COLUMNS: Final = 24

ALL: Final = dm.VariableOption(text="All", value="$__all")


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard."""

    uid: str
    title: str
    make: Callable[[], dashboard.Dashboard]

    def content(self) -> dict[str, Any]:
        """Return the dashboard as Grafana's classic JSON model, its panels numbered."""
        content: dict[str, Any] = json.loads(JSONEncoder(sort_keys=True).encode(self.make().build()))
        for number, panel in enumerate(_all_panels(content["panels"]), start=1):
            panel["id"] = number
        return content

    def to_json(self) -> str:
        """Return the file."""
        return json.dumps(self.content(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _all_panels(panels: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    for panel in panels:
        yield panel
        yield from panel.get("panels") or ()


def new(uid: str, title: str, description: str, *, since: str) -> dashboard.Dashboard:
    """Return an empty dashboard that shows the time since then."""
    others = (
        dashboard.DashboardLink("Progress dashboards")
        .type(dm.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .as_dropdown(False)
        .include_vars(True)
        .keep_time(True)
        .placement("")
    )
    return (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .time(since, "now")
        .refresh("30s")
        .tooltip(dm.DashboardCursorSync.CROSSHAIR)
        .readonly()
        .link(others)
    )


def source(name: str, label: str, kind: str) -> dashboard.DatasourceVariable:
    """Return a choice of data source."""
    return dashboard.DatasourceVariable(name).label(label).type(kind)


def choice(name: str, label: str, query: str, *, several: bool = True) -> dashboard.QueryVariable:
    """Return a choice among the values of a label; ``several`` can be all."""
    variable = (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(DATA_SOURCE)
        .query(query)
        .refresh(dm.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dm.VariableSort.ALPHABETICAL_ASC)
    )
    return variable.multi(True).include_all(True).all_value(".*").current(ALL) if several else variable


def services(*, several: bool = True) -> dashboard.QueryVariable:
    """Return the choice of service."""
    return choice("service", "Service", f"label_values({names.ACTIVE.prometheus}, {JOB})", several=several)


def traced_service() -> dashboard.QueryVariable:
    """
    Return the chosen service's name in traces and logs, which is not shown: ``job`` has the namespace before it.

    There is none of a scraped job, whose series have no such label; queries take what begins with it.
    """
    query = f"label_values({Selection((SERVICE_MATCHER,))(names.ACTIVE)}, {SERVICE_NAME})"
    return choice(TRACED_SERVICE, "Service in traces", query, several=False).hide(dm.VariableHide.HIDE_VARIABLE)


def operations(*, several: bool = True) -> dashboard.QueryVariable:
    """Return the choice of operation, among those of the service."""
    series = Selection((SERVICE_MATCHER,))(names.ACTIVE)
    return choice("operation", "Operation", f"label_values({series}, {OPERATION})", several=several)


def levels() -> dashboard.QueryVariable:
    """Return the choice of level; all of them have the operation itself with them."""
    return choice("level", "Level", f"label_values({CHOSEN(names.ACTIVE)}, {LEVEL})")


def row(board: dashboard.Dashboard, title: str, *lines: Iterable[AnyPanel]) -> dashboard.Dashboard:
    """Add a row with lines of panels, each as wide as the page."""
    board = board.with_row(dashboard.Row(title))
    for line in lines:
        width = 0
        for panel in line:
            place = panel.build().grid_pos
            width += place.w if place else 0
            board = board.with_panel(panel)
        if width != COLUMNS:
            msg = f"{title}: a line of panels is {width} columns wide, not {COLUMNS}"
            raise ValueError(msg)
    return board


def folded(board: dashboard.Dashboard, title: str, *panels: AnyPanel) -> dashboard.Dashboard:
    """Add a closed row: its panels ask nothing until somebody opens it."""
    closed = dashboard.Row(title).collapsed(True)
    for panel in panels:
        closed = closed.with_panel(panel)
    return board.with_row(closed)


def operation_link(service: str, operation: str) -> str:
    """Return the address of the operation's dashboard, with the values of two columns, in the same time."""
    return (
        f"/d/{config.OPERATION_UID}?var-service=${{__data.fields.{service}}}"
        f"&var-operation=${{__data.fields.{operation}}}&var-datasource=${{datasource}}&${{__url_time_range}}"
    )
