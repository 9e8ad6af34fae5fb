"""Every query of the dashboards and rules returns data where the scenarios say so, and nothing where not."""

from __future__ import annotations

import json

import pytest

from tests.stack.programs import get

from . import query_table
from .ask import Found, Key, all_answers, questions
from .expected import EXPECTED
from .play import Played

PLACES = sorted({key[:2] for key in EXPECTED})


@pytest.fixture(scope="module")
def answered(played: Played) -> dict[Key, list[Found]]:
    """All answers."""
    found = all_answers(played)
    query_table.write(found)
    return found


def test_every_query_has_an_expectation() -> None:
    """And every expectation its query."""
    assert {each.key for each in questions()} == set(EXPECTED)


@pytest.mark.parametrize("place", PLACES, ids=": ".join)
def test_queries_return_data_where_the_scenarios_say_so(
    answered: dict[Key, list[Found]], place: tuple[str, str]
) -> None:
    """Of these services and no others: while they are held and after their end, or at some time."""
    for key in [each for each in EXPECTED if each[:2] == place]:
        expected = EXPECTED[key]
        found = [set(each) - expected.perhaps for each in answered[key]]
        assert found == [set(each) - expected.perhaps for each in expected.moments], key


def test_prometheus_evaluates_every_rule_without_an_error(played: Played) -> None:
    """As it says itself; a rule that fails, or never ran, would be silent."""
    groups = json.loads(get(f"{played.stage.prometheus.url}/api/v1/rules"))["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) == sum(each.entry.kind in {"recording", "alert"} for each in questions())
    assert {rule["name"]: rule.get("lastError", "") for rule in rules if rule["health"] != "ok"} == {}


def test_the_table_in_the_docs_has_every_query(answered: dict[Key, list[Found]]) -> None:
    """One row each; `make scenarios` renews it, and has the new one looked at."""
    written = query_table.path().read_text(encoding="utf-8")
    assert query_table.documented(written) == query_table.titles()
