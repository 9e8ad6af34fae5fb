"""
What every query returns in the scenarios: of which services, and so of which not.

A query without an expectation, and an expectation without its query, is an error.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from dashboards import config, rules
from dashboards.alerts import ALERTS

from . import play
from .ask import COLLECTOR, Key
from .play import ALERTS_OF, END_BY_THEMSELVES, HAVE_EARLIER_RUNS, HELD, OPERATIONS

Services = frozenset[str]


@dataclass(frozen=True)
class Expected:
    """
    The services of which a query has data, at each moment it is asked of.

    `perhaps` may have data or not: the demo works as fast as the machine lets it, and departs from its earlier run
    on one that is busy.
    """

    moments: tuple[Services, ...]
    perhaps: Services = frozenset()


NONE: Final[Services] = frozenset()
RAN: Final = frozenset(OPERATIONS) - {"missing"}
HELD_ONES: Final = frozenset(HELD)
KILLED: Final = frozenset(play.KILLED)
SHOWN: Final = HELD_ONES | KILLED
"""Alive, or seen when they died."""
COUNTING: Final = HELD_ONES - {"paused", "retrying"}
"""Alive, with a level."""
BOUNDED: Final = COUNTING - {"throughput", "limited"}
"""Alive, with a total, so there is a promise."""
TIMED: Final = BOUNDED - {"overdue"}
"""Of which the operation knows how far it is: its phases were announced."""
WERE_TIMED: Final = TIMED | KILLED | {"demo", "failing", "short"}
BRIEF: Final = frozenset({"demo", "short", "untold"})
"""Perhaps too short to be watched, or to be seen by what is evaluated every few seconds; totals have them all."""
WERE_BOUNDED: Final = BOUNDED | KILLED | {"demo", "failing", "short"}
ENDED_EARLY: Final = frozenset({"demo", *HAVE_EARLIER_RUNS, *END_BY_THEMSELVES})
ENDED: Final = RAN - KILLED
REVIVED: Final = frozenset({"revived"})
"""Ends after all else has ended, when rules still record."""
LATE: Final = frozenset({"slow", "overdue"})
DEVIATING: Final = COUNTING - {"healthy", "unsent"}
DEMO: Final = frozenset({"demo"})
MUCH: Final = frozenset({"healthy", "unsent", "slow"})
"""They tell everything."""

PIPELINE: Final = frozenset({COLLECTOR})
PROMISED: Final = frozenset({"demo", "slow", "overdue"})


def some(*services: str) -> Services:
    """Return a set."""
    return frozenset(services)


def now(held: Services, ended: Services = NONE, perhaps: Services = NONE) -> Expected:
    """Expect data while all are held, and after all have ended."""
    return Expected((held, ended), perhaps)


def over(services: Services, perhaps: Services = NONE) -> Expected:
    """Expect data somewhere between the beginning and the end."""
    return Expected((services,), perhaps)


FAILED_ALERTS: Final = frozenset(name for name, alerts in ALERTS_OF.items() if alerts)
STAY: Final = KILLED | some("failing", "missing", "untold", COLLECTOR)
"""Whose alerts fire when all has ended: nothing has made up for it."""

OVERVIEW: Final = {
    "service": [over(RAN)],
    "operation": [over(RAN)],
    "Running?": [now(HELD_ONES)],
    "Dead?": [now(KILLED, KILLED)],
    "Standing still?": [now(some("stalled"))],
    "Late or off?": [now(DEVIATING - {"stalled"})],
    "Missing?": [now(some("missing"), some("missing"))],
    "Ended today?": [now(ENDED_EARLY, ENDED), now(some("failing"), some("failing"))],
    "What is running, how far is it, and when does it end?": [
        now(SHOWN, KILLED),  # state
        now(TIMED | KILLED, KILLED),  # done
        *[now(BOUNDED)] * 4,  # left, at best, at worst, end: of what is alive
        *[now(SHOWN, KILLED)] * 3,
    ],
    "Which alerts fire?": [now(FAILED_ALERTS, STAY)],
    "When did what go wrong?": [over(RAN - {"endings"}, BRIEF)],
    "How far was each, over time?": [over(WERE_TIMED, BRIEF)],
    "How many runs ended, and how?": [over(ENDED)],
    "What ended in the last day, and how?": [
        now(ENDED_EARLY, ENDED),
        now(ENDED_EARLY - {"failing", "endings"}, ENDED - {"failing", "endings"}),
        now(some("failing"), some("failing")),
        *[now(some("endings"), some("endings"))] * 3,
        now(ENDED_EARLY, ENDED),
    ],
}
OPERATION: Final = {
    "service": [over(RAN)],
    "traced_service": [over(RAN)],
    "operation": [over(RAN)],
    "level": [over(RAN - {"paused", "retrying", "endings"})],
    "Deviations": [over(DEVIATING, DEMO)],
    "In which state is it?": [now(SHOWN, KILLED)],
    "How far is it?": [now(TIMED | KILLED, KILLED)],
    "How much time is left?": [now(BOUNDED)] * 3,
    "When will it end?": [now(BOUNDED)],
    "For how long?": [now(SHOWN, KILLED)],
    "Processes?": [now(SHOWN, KILLED)],
    "Which level is it at?": [
        now(SHOWN, KILLED),  # running for
        now(BOUNDED | KILLED, KILLED),  # done
        now(COUNTING | KILLED, KILLED),  # items done
        now(BOUNDED | KILLED, KILLED),  # of
        now(COUNTING),  # rate
        now(BOUNDED),  # left
        now(COUNTING | KILLED, KILLED),  # no advance for
        now(SHOWN, KILLED),  # processes
        now(some("errors")),  # failed
    ],
    "How much time was left, as promised?": [over(WERE_BOUNDED, BRIEF)] * 3,
    "How did the promised end move?": [over(WERE_BOUNDED, BRIEF)] * 3,
    "How far was each level, over time?": [over(WERE_BOUNDED, BRIEF)],
    "Is it as fast as usual?": [over(WERE_BOUNDED | COUNTING, BRIEF), over(some("slow"))],
    "What went wrong, and when?": [over(RAN - {"endings"}, BRIEF)],
    "Which share of the items failed?": [over(some("errors"))],
    "How many bytes does it move?": [over(MUCH | {"demo", "errors", "short"}, BRIEF)],
    "How often does it call, and retry?": [over(MUCH | {"limited"})],
    "How much time goes to rate limits?": [over(MUCH | {"limited"})],
    "What has it used in the last day?": [now(MUCH | {"demo", "limited"}, MUCH | {"demo", "limited"})],
    "Is what it makes any good?": [over(MUCH | {"demo", "quality"}, BRIEF)],
    "How long did runs take?": [over(ENDED)] * 2,
    "How did runs end?": [over(ENDED)],
    "How often did it depart from what was expected?": [over(DEVIATING, DEMO)],
    "Where does it run, and which version?": [now(SHOWN, KILLED)],
    "What did it say?": [over(RAN)],
    "Which traces does it have?": [over(RAN - {"unsent"})],
}
RELIABILITY: Final = {
    "service": [over(RAN)],
    "operation": [over(RAN)],
    "How far off, typically?": [now(PROMISED, BOUNDED | DEMO, BRIEF)],
    "How far off are nine of ten?": [now(PROMISED, BOUNDED | DEMO, BRIEF)],
    "Did promises get better?": [over(BOUNDED | DEMO, BRIEF)] * 2,
    "Whose promises can be trusted?": [now(PROMISED, BOUNDED | DEMO, BRIEF)] * 3,
    # On a busy machine a moment's wait is nothing strange.
    "Do jobs wait for a backend?": [over(some("unsent"), RAN - {"unsent"})],
    "Was telemetry of ours dropped?": [over(some("untold"))],
    "Did our own code fail?": [over(some("untold"))],
    "Does a program use it wrongly?": [over(some("untold"))],
    "Does it answer?": [now(PIPELINE, PIPELINE)] * 2,
    "How full are its queues?": [over(PIPELINE)],
    "How much goes through?": [over(PIPELINE)] * 6,
    # Spans, metrics, events: only metrics reach the Collector whose queue is full.
    "Does it refuse what jobs send?": [over(NONE, PIPELINE), over(PIPELINE), over(NONE, PIPELINE)],
    "Does a backend refuse what it sends?": [*[over(NONE)] * 3, over(NONE), over(PIPELINE), over(NONE)],
}
_OF_CONDITION: Final = {
    config.DEAD: KILLED,
    "stalled": some("stalled"),
    "overdue": LATE,
    "error_rate": some("errors"),
    "quality": some("quality"),
    "slow": some("slow"),
    "low_throughput": some("throughput"),
    "rate_limited": some("limited"),
    "resources": some("greedy"),
    "custom": some("custom"),
    "retrying": some("retrying"),
    "paused": some("paused"),
    "running": RAN - {"endings"},
    "pending": NONE,  # an operation has begun, or there is none
}
_PERHAPS: Final = {"running": BRIEF | {"paused", "retrying"}}
"""They run for a moment only."""
RECORDED: Final = {
    rules.LOADED.name: [over(PIPELINE)],
    rules.START_OF_PROCESS.name: [over(RAN)],
    rules.START.name: [over(RAN)],
    rules.PRESENT.name: [over(RAN - {"endings"}, BRIEF)],
    rules.DEAD.name: [over(KILLED)],
    rules.END.name: [over(ENDED, REVIVED)],
    rules.CONDITION: [
        over(_OF_CONDITION[each], DEMO if each in config.DEVIATION_KINDS else _PERHAPS.get(each, NONE))
        for each in config.CONDITIONS
    ],
    rules.RUNS.name: [over(ENDED, REVIVED)],
    "job_operation_level_state:progress_level_active:sum": [over(RAN - {"endings"}, BRIEF)],
    "job_operation_level:progress_level_fraction:avg": [over(WERE_BOUNDED, BRIEF)],
    rules.RATE.name: [over(WERE_BOUNDED | COUNTING, BRIEF)],
    "job_operation_level:progress_level_eta_seconds:max": [over(WERE_BOUNDED, BRIEF)],
    "job_operation_level:progress_level_expected_end_timestamp_seconds:max": [over(WERE_BOUNDED, BRIEF)],
    "job_operation_level:progress_quality:min": [over(MUCH | {"demo", "quality"}, BRIEF)],
    rules.ITEMS.name: [over(WERE_BOUNDED | COUNTING | {"untold"})],
    rules.BYTES.name: [over(MUCH | {"demo", "errors", "short"})],
    rules.COUNTERS.name: [over(MUCH | {"demo", "limited"})],
    rules.DURATION_SUM.name: [over(ENDED, REVIVED)],
    rules.DURATION_COUNT.name: [over(ENDED, REVIVED)],
    rules.DEVIATIONS.name: [over(DEVIATING, DEMO)],
    rules.DURATION_BUCKET.name: [over(ENDED, REVIVED)],
    rules.ETA_ERROR.name: [over(BOUNDED | DEMO, BRIEF | REVIVED)],
}


def _alerting(alert: str) -> Expected:
    services = frozenset(name for name, alerts in ALERTS_OF.items() if alert in alerts)
    return now(services, services & STAY - ({COLLECTOR} if alert == "ProgressTelemetryStuck" else set()))


def _numbered(where: str, titles: dict[str, list[Expected]]) -> Iterable[tuple[Key, Expected]]:
    return (((where, title, number), each) for title, all_of in titles.items() for number, each in enumerate(all_of))


EXPECTED: Final[dict[Key, Expected]] = dict(
    (
        *_numbered(config.OVERVIEW_UID, OVERVIEW),
        *_numbered(config.OPERATION_UID, OPERATION),
        *_numbered(config.RELIABILITY_UID, RELIABILITY),
        *_numbered("rules", RECORDED),
        *_numbered("alerts", {alert.name: [_alerting(alert.name)] for alert in ALERTS}),
    )
)
