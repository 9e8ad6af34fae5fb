"""
What pushed metrics get wrong, in the real Prometheus: a short job counts, an ended one is over, a killed one is dead.

Nobody waits: the queries are asked of moments to come, when nothing more has arrived. Rules are then asked as the
expressions they are; what they read of other rules is put in their place.
"""

from __future__ import annotations

import pytest

from dashboards import rules
from dashboards.promql import EVERYTHING, ITEM_OUTCOME, LEVEL, THE_OPERATION, equals, total
from otel_progress import names

from . import shortened
from .play import HELD, Played

MINUTE = 60
SOON = (0, 1 * MINUTE, 4 * MINUTE, 6 * MINUTE, 60 * MINUTE)
"""Within Prometheus' look-back of five minutes, beyond it, and an hour later."""


_SHORT = 'job="short"'


def expression(rule: rules.Recording) -> str:
    """The expression of a rule, with those of the rules it reads."""
    text = rule.expression
    for other in (rules.DEAD, rules.PRESENT, rules.START):
        if other is not rule:
            text = text.replace(other.name, f"({other.expression})")
    return shortened.expression(text)


DEAD = expression(rules.DEAD)
(RUNNING,) = (
    expression(rule) for rule in rules.STATE_RULES.rules if dict(rule.labels) == {rules.CONDITION_LABEL: "running"}
)


def of_service(played: Played, query: str, at: float, service: str) -> list[float]:
    """The values of a service's series."""
    return [each.value for each in played.stage.prometheus.promql(query, at) if each.labels.get("job") == service]


@pytest.mark.parametrize("later", [*SOON, 23 * 60 * MINUTE])
def test_a_job_of_two_seconds_counts_in_the_day(played: Played, later: int) -> None:
    """One run, 7 items of 1,000 bytes: in what ended today, and in every total of a day."""
    at = played.ended_at + later
    assert of_service(played, rules.RUNS.expression, at, "short") == [1.0]
    items = EVERYTHING(names.ITEMS, _SHORT, equals(LEVEL, "pictures"), equals(ITEM_OUTCOME, "ok"))
    assert of_service(played, total(items, "1d"), at, "short") == [7.0]
    assert of_service(
        played, total(EVERYTHING(names.BYTES_DONE, _SHORT, equals(LEVEL, "pictures")), "1d"), at, "short"
    ) == [7000.0]
    seconds = EVERYTHING(names.LEVEL_DURATION, THE_OPERATION, _SHORT, part="_sum")
    (lasted,) = of_service(played, total(seconds, "1d"), at, "short")
    assert 1.5 < lasted < 10


def test_increase_would_not_have_counted_it(played: Played) -> None:
    """Its counter of runs has one value and never grew: the difference of last values is what sees it."""
    counter = EVERYTHING(names.LEVEL_DURATION, THE_OPERATION, _SHORT, part="_count")
    found = played.stage.prometheus.promql(f"increase({counter}[1d]) > 0", played.ended_at)
    assert found == []


@pytest.mark.parametrize("service", HELD)
def test_a_job_that_ended_is_over(played: Played, service: str) -> None:
    """At once and for good, although its last gauges linger for five minutes."""
    for later in SOON:
        at = played.ended_at + later
        assert of_service(played, RUNNING, at, service) == []
        assert of_service(played, DEAD, at, service) == []
    assert of_service(played, RUNNING, played.held_at, service) or service in {"paused", "retrying"}
    beats = EVERYTHING(names.LEVEL_HEARTBEAT, THE_OPERATION)
    assert of_service(played, beats, played.ended_at + 4 * MINUTE, service), "nothing lingers, so nothing was shown"


@pytest.mark.parametrize("later", [*SOON, 23 * 60 * MINUTE])
def test_a_job_that_was_killed_stays_dead(played: Played, later: int) -> None:
    """As long as nobody starts it again, and no longer than a day; it does not run beside that."""
    at = played.ended_at + later
    (silent,) = of_service(played, DEAD, at, "killed")
    assert silent == pytest.approx(at - played.killed_at, abs=5)
    assert of_service(played, RUNNING, at, "killed") == []
    assert of_service(played, DEAD, played.killed_at + 86_400 + MINUTE, "killed") == []


def test_a_later_start_makes_up_for_a_death(played: Played) -> None:
    """It was dead while the others went on, and is not after it was started again: now, and an hour later."""
    assert len(of_service(played, DEAD, played.held_at, "revived")) == 1
    for later in SOON:
        assert of_service(played, DEAD, played.again_at + later, "revived") == []
