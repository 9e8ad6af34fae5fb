"""Each scenario makes exactly its alerts fire in the real Prometheus, and the healthy ones none."""

from __future__ import annotations

import pytest

from dashboards.alerts import ALERTS

from .ask import COLLECTOR
from .play import ALERTS_OF, OPERATIONS, PERHAPS, Played, firing


@pytest.mark.parametrize("service", [*OPERATIONS, COLLECTOR])
def test_a_scenario_makes_its_alerts_fire_and_no_others(played: Played, service: str) -> None:
    """Of all that ever fired while everything was played: also one that came and went is too many."""
    found = played.fired().get(service, set()) - PERHAPS.get(service, set())
    assert found == ALERTS_OF.get(service, set())


def test_no_alert_is_about_anything_else(played: Played) -> None:
    """Services that are no scenario, and the Collectors' own."""
    assert set(played.fired()) <= {*OPERATIONS, COLLECTOR}


def test_every_alert_has_a_scenario() -> None:
    """One that never fires here was not seen to work."""
    assert set().union(*ALERTS_OF.values()) == {alert.name for alert in ALERTS}


def test_alerts_are_over_when_what_they_are_about_is(played: Played) -> None:
    """All have ended, and `revived` was started again: what nobody made good goes on."""
    assert firing(played.stage) == {
        "killed": {"ProgressDead"},
        "failing": {"ProgressFailed"},
        "missing": {"ProgressNeverStarted"},
        "untold": {"ProgressTelemetryLost"},
        COLLECTOR: {"ProgressTelemetryDown"},
    }
