"""PromQL written by functions: selectors, sums, and the expressions that pushed metrics need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dashboards import config
from otel_progress import names
from otel_progress.names import Metric


def label(attribute: str) -> str:
    """Return an attribute key as the label that Prometheus shows."""
    return attribute.replace(".", "_")


JOB: Final = "job"
"""The service, on every path: OTLP makes it of service.namespace and service.name, a scrape of the scrape job."""
INSTANCE: Final = "instance"
"""The process, on every path."""
SERVICE_NAME: Final = "service_name"
"""The service without its namespace, as in traces and logs; collector/prometheus.yaml promotes it."""
OPERATION: Final = label(names.OPERATION)
LEVEL: Final = label(names.LEVEL)
STATE: Final = label(names.STATE)
OUTCOME: Final = label(names.OUTCOME)
ITEM_OUTCOME: Final = label(names.ITEM_OUTCOME)
COUNTER_NAME: Final = label(names.COUNTER_NAME)
COUNTER_UNIT: Final = label(names.COUNTER_UNIT)
REASON: Final = label(names.REASON)
SIGNAL: Final = label(names.SIGNAL)

BY_OPERATION: Final = (JOB, OPERATION)
BY_LEVEL: Final = (JOB, OPERATION, LEVEL)
BY_PROCESS: Final = (JOB, INSTANCE, OPERATION)
BY_PROCESS_LEVEL: Final = (JOB, INSTANCE, OPERATION, LEVEL)

THE_OPERATION: Final = f'{LEVEL}=""'
"""Matches the series of the operation itself, which have no level."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which series a query is about: matchers that every selector in it gets."""

    matchers: tuple[str, ...] = ()

    def __call__(self, series: Metric | str, *more: str, part: str = "") -> str:
        """Return a selector; ``part`` is a histogram's ``_bucket``, ``_sum`` or ``_count``."""
        name = series if isinstance(series, str) else series.prometheus
        matchers = [*self.matchers, *more]
        return f"{name}{part}" + (f"{{{','.join(matchers)}}}" if matchers else "")


EVERYTHING: Final = Selection()


def equals(name: str, value: str) -> str:
    """Return a matcher."""
    return f'{name}="{value}"'


def fold(how: str, labels: Sequence[str], expression: str) -> str:
    """Return an aggregation."""
    return f"{how} by ({', '.join(labels)}) ({expression})"


def where(expression: str, labels: Sequence[str], condition: str, *, word: str = "and") -> str:
    """Return the series of an expression for which a condition on these labels has (``unless``: has not) a series."""
    return f"(({expression}) {word} on ({', '.join(labels)}) ({condition}))"


def latest(selector: str) -> str:
    """Return the last value of each series within the memory: of processes that are silent by now, too."""
    return f"last_over_time({selector}[{config.MEMORY}])"


def total(selector: str, window: str) -> str:
    """
    Return by how much each counter grew in a window, up to now.

    Not `increase()`: of a process that lasted two seconds there is one sample, of which `increase()` makes nothing.
    What was there before the window is looked for a day further back, so that a gap in the data does not count
    everything again. A counter that fell was started anew under the same labels (a scraped process): all it has is new.
    """
    now = f"last_over_time({selector}[{window}])"
    before = f"last_over_time({selector}[{config.MEMORY}] offset {window})"
    return f"(({now} - ({before} or {now} * 0)) >= 0 or {now})"


def alive(select: Selection, expression: str, labels: Sequence[str] = BY_PROCESS_LEVEL) -> str:
    """
    Return the series of an expression whose level is alive.

    A pushed gauge lingers for five minutes after its last sample; `active` is reported as 0 when a level has ended.
    """
    return where(expression, labels, fold("sum", labels, select(names.ACTIVE)) + " > 0")


def share(part: str, whole: str) -> str:
    """Return a quotient, without series where the whole is zero."""
    return f"({part}) / (({whole}) > 0)"
