"""What Grafana's links ask: from a number to its trace, from there to events and numbers, and back from an event."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from otel_progress import names
from otel_progress.names import DeviationKind, Record, State
from tests.stack.loki import Line
from tests.stack.programs import CONFIGS, wait_for
from tests.stack.tempo import SEARCHED_AFTER_SECONDS
from tests.stack.traces import Trace
from tests.stack.unfinished import unfinished

from .play import ALERTS_OF, OPERATIONS, Played

SOURCES: Path = CONFIGS / "grafana" / "datasources.yaml"
KINDS = {
    "stalled": DeviationKind.STALLED,
    "slow": DeviationKind.SLOW,
    "overdue": DeviationKind.OVERDUE,
    "errors": DeviationKind.ERROR_RATE,
    "quality": DeviationKind.QUALITY,
    "throughput": DeviationKind.LOW_THROUGHPUT,
    "limited": DeviationKind.RATE_LIMITED,
    "greedy": DeviationKind.RESOURCES,
    "custom": DeviationKind.CUSTOM,
}


def source(kind: str) -> dict[str, Any]:
    """The settings of a data source in the file that Grafana is given."""
    (found,) = (each for each in yaml.safe_load(SOURCES.read_text())["datasources"] if each["type"] == kind)
    settings: dict[str, Any] = found["jsonData"]
    return settings


def events(played: Played, service: str, *conditions: str) -> list[Line]:
    """The events of a service, oldest first."""
    query = " | ".join([f'{{service_name="{service}"}}', *conditions])
    return played.stage.loki.lines(query, played.began_at)


def traced(played: Played, service: str) -> Trace:
    """The last trace of a service, whole, from Tempo."""
    trace_id = events(played, service)[-1].labels["trace_id"]
    trace = played.stage.tempo.trace(trace_id)
    assert trace is not None
    return trace


@pytest.mark.parametrize("service", KINDS)
def test_a_deviation_is_an_event_that_leads_to_its_trace(played: Played, service: str) -> None:
    """With a sentence for people; the trace in Tempo and in Jaeger has the level that the event is about."""
    found = events(played, service, f"event_name=`{names.DEVIATION_EVENT.name}`")
    kinds = {line.labels[names.DEVIATION_KIND.replace(".", "_")] for line in found}
    assert KINDS[service] in kinds
    assert source("loki")["derivedFields"][0]["matcherRegex"] in found[0].labels
    for backend in (played.stage.tempo, played.stage.jaeger):
        trace = backend.trace(found[0].labels["trace_id"])
        assert trace is not None
        assert trace.problems() == []
        assert {line.labels["span_id"] for line in found} <= {span.span_id for span in trace.spans}


@pytest.mark.parametrize("service", sorted(OPERATIONS.keys() - {"missing", "demo", "unsent", "endings"}))
def test_a_trace_leads_to_its_events_and_numbers(played: Played, service: str) -> None:
    """As Grafana's link from a span asks Loki and Prometheus: the events of this trace and of no other."""
    trace = traced(played, service)
    links = source("tempo")
    query = links["tracesToLogsV2"]["query"].replace('$${__span.tags["service.name"]}', service)
    lines = played.stage.loki.lines(query.replace("$${__trace.traceId}", trace.trace_id), played.began_at)
    assert {line.labels["trace_id"] for line in lines} == {trace.trace_id}
    assert lines[0].labels["event_name"] == names.STARTED.name
    span = trace.spans[0]
    tags = ",".join(
        f'{tag["value"]}="{span.attributes[tag["key"]]}"'
        for tag in links["tracesToMetrics"]["tags"]
        if tag["key"] in span.attributes
    )
    found = [
        played.stage.prometheus.promql(each["query"].replace("$$__tags", tags), played.held_at)
        for each in links["tracesToMetrics"]["queries"]
    ]
    assert any(found) or service not in ALERTS_OF or service in {"throughput", "limited"}


def test_a_failure_is_found_with_its_exception(played: Played) -> None:
    """By status in Tempo, by service in Jaeger, by event in Loki: the same trace, with the exception's message."""
    failed = f'{{ resource.service.name = "failing" && status = error && span.{names.OUTCOME} = "{State.FAILED}" }}'
    (found,) = played.stage.tempo.search(failed, played.began_at)
    assert set(played.stage.jaeger.traces("failing")) == {found.trace_id}
    (event, *_) = events(played, "failing", f"event_name=`{names.FAILED_EVENT.name}`")
    assert event.labels["trace_id"] == found.trace_id
    trace = played.stage.jaeger.trace(found.trace_id)
    assert trace is not None
    messages = {
        each.attributes[names.EXCEPTION_MESSAGE]
        for span in trace.spans
        for each in span.events
        if each.name == names.EXCEPTION_EVENT
    }
    assert messages == {"column `price` of row 31 is not a number"}


def test_what_was_killed_is_open_for_ever(played: Played) -> None:
    """The operation and its level were shown and never completed; nothing else of any service is."""

    def left() -> set[tuple[str, str]]:
        found = unfinished(lambda query: played.stage.tempo.search(query, played.began_at))
        services = {trace_id: name for name in OPERATIONS for trace_id in played.stage.jaeger.traces(name)}
        return {(services[each.trace_id], each.name) for each in found if each.trace_id in services}

    killed = {(service, name) for service in ("killed", "revived") for name in ("resize", "pictures")}
    wait_for(lambda: left() == killed, SEARCHED_AFTER_SECONDS, "only what was killed being open")


@pytest.mark.parametrize("service", ["healthy", "failing", "short", "slow"])
def test_an_exemplar_of_a_duration_leads_to_its_trace(played: Played, service: str) -> None:
    """By the label that Grafana's data source names; the trace is one of the service's."""
    (label,) = {each["name"] for each in source("prometheus")["exemplarTraceIdDestinations"]}
    series = f'{names.LEVEL_DURATION.prometheus}_bucket{{job="{service}",progress_level=""}}'
    exemplars = played.stage.prometheus.exemplars(series, time.time() - played.began_at + 60)
    found = {each[label] for each in exemplars}
    assert found
    assert found <= set(played.stage.jaeger.traces(service))


def test_a_level_that_was_shown_has_its_true_length_in_the_completion_record(played: Played) -> None:
    """The healthy import ran for longer than its open record, which ended when it was shown."""
    trace = traced(played, "healthy")
    whole = {span.attributes[names.RECORD]: span.seconds for span in trace.named("import")}
    assert set(whole) == {Record.OPEN, Record.COMPLETION}
    assert whole[Record.COMPLETION] > 10 > whole[Record.OPEN]
