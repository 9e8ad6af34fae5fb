"""What the levels of one operation do, use and are worth: speed, bytes, counters, quality."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import common
from grafana_foundation_sdk.models import common as cm

from dashboards import signals
from dashboards.board import CHOSEN_LEVELS
from dashboards.panels import (
    AnyPanel,
    Column,
    Query,
    Texts,
    graph,
    listing,
    prop,
)
from dashboards.promql import (
    BY_LEVEL,
    COUNTER_NAME,
    COUNTER_UNIT,
    LEVEL,
    Selection,
    fold,
    total,
)
from otel_progress import names

_LEVEL_NAME: Final = f"{{{{{LEVEL}}}}}"
_A_NAMED_LEVEL: Final = f'{LEVEL}!=""'
_COUNTS: Final = [name for name, unit in names.STANDARD_COUNTERS.items() if unit not in {"s", "{USD}"}]
"""The standard counters that count something: seconds and money have panels of their own."""
_WAITS: Final = [name for name, unit in names.STANDARD_COUNTERS.items() if unit == "s"]


def speed() -> list[AnyPanel]:
    """Return the row: how far each level was, and how fast beside its usual rate."""
    rate = Texts(
        title="Is it as fast as usual?",
        brief="Items a second of each level, and, dashed, its mean of a week before: of the time it was alive then.",
        red=signals.RATE.red,
    )
    fraction = Texts(title="How far was each level, over time?", brief=signals.FRACTION.brief, red=signals.FRACTION.red)
    named = Selection((*CHOSEN_LEVELS.matchers, _A_NAMED_LEVEL))
    usual = signals.usual_rate(named)
    return [
        graph(
            fraction,
            [Query(signals.FRACTION.history(named, BY_LEVEL), _LEVEL_NAME)],
            unit=signals.FRACTION.unit,
            span=12,
            most=1,
        ),
        graph(
            rate,
            [
                Query(signals.RATE.history(named, BY_LEVEL), _LEVEL_NAME),
                Query(usual, f"{_LEVEL_NAME}, usual"),
            ],
            unit=signals.RATE.unit,
            span=12,
        ).override_by_query(
            "B", [prop("custom.lineStyle", {"fill": "dash", "dash": [8, 8]}), prop("custom.lineWidth", 1)]
        ),
    ]


def _per_second(counter: str, window: str = "$__rate_interval") -> str:
    return f"rate({counter}[{window}])"


def cost() -> list[AnyPanel]:
    """Return the row: bytes, counters and waiting, over time."""
    named = Selection((*CHOSEN_LEVELS.matchers, _A_NAMED_LEVEL))
    of_interest = f'{COUNTER_NAME}=~"{"|".join(_COUNTS)}"'
    wait = f'{COUNTER_NAME}=~"{"|".join(_WAITS)}"'
    bytes_texts = Texts(
        title="How many bytes does it move?",
        brief="Bytes a second of each level, over all processes.",
        red="A line that falls while items go on: the items got smaller. Both falling: look at disk and network.",
    )
    calls = Texts(
        title="How often does it call, and retry?",
        brief="Standard counters a second, over all levels: tokens, calls, failures, retries, rate limits hit.",
        red="Failures or retries that rise while calls do not: the service called is ill; look at its status.",
    )
    waiting = Texts(
        title="How much time goes to rate limits?",
        brief="Share of a process's time spent waiting for a rate limit, by level.",
        red="Above a half: ask for a higher limit, or run fewer processes.",
    )
    return [
        graph(
            bytes_texts,
            [Query(fold("sum", (LEVEL,), _per_second(named(names.BYTES_DONE))), _LEVEL_NAME)],
            unit="binBps",
            span=8,
        ),
        graph(
            calls,
            [
                Query(
                    fold("sum", (COUNTER_NAME,), _per_second(named(names.COUNTER, of_interest))),
                    f"{{{{{COUNTER_NAME}}}}}",
                )
            ],
            unit="suffix: /s",
            span=8,
            least=None,
        ).scale_distribution(common.ScaleDistributionConfig().type(cm.ScaleDistribution.LOG).log(10)),
        graph(
            waiting,
            [Query(fold("avg", (LEVEL,), _per_second(named(names.COUNTER, wait))), _LEVEL_NAME)],
            unit="percentunit",
            span=8,
            steps=((None, "transparent"), (0.5, "red")),
        ),
    ]


def used() -> AnyPanel:
    """Return the table of named counters."""
    texts = Texts(
        title="What has it used in the last day?",
        brief="Every named counter, over all runs and levels. Different counters are never added up.",
        red="It has no red of its own: compare with the day before.",
    )
    by = (LEVEL, COUNTER_NAME, COUNTER_UNIT)
    columns = [
        Column(title="Counter", label=COUNTER_NAME, width=220),
        Column(title="Level", label=LEVEL, width=180),
        Column(
            title="Last day",
            expr=f"{fold('sum', by, total(CHOSEN_LEVELS(names.COUNTER), '1d'))} > 0",
            unit="locale",
            width=140,
        ),
        Column(title="Unit", label=COUNTER_UNIT, width=110),
    ]
    return listing(texts, columns, span=12, height=9, sort=[("Counter", False), ("Level", False)])


def quality() -> AnyPanel:
    """Return the graph of the quality."""
    signal = signals.QUALITY
    texts = Texts(title=signal.title, brief=signal.brief, red=signal.red)
    query = Query(signal.history(CHOSEN_LEVELS, BY_LEVEL), _LEVEL_NAME)
    return graph(texts, [query], unit=signal.unit, span=12, most=1)
