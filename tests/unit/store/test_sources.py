"""Backends as sources of history: what is asked, what is made of the answers, and of answers that make no sense."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from otel_progress import Profile, names
from otel_progress._contain import Tally
from otel_progress.store import _http
from otel_progress.store._jaeger import Jaeger
from otel_progress.store._prometheus import Prometheus
from otel_progress.store._remote import PAUSE_SECONDS, Remote
from otel_progress.store._tempo import Tempo, traceql
from otel_progress.testing import FakeClock

NOW = 1_700_000_000.0
PROFILE = Profile.from_samples([(0.0, 0.0), (30.0, 2.0), (60.0, 10.0)], 10.0, ended_at=NOW - 60)
UNDATED = Profile.from_samples([(0.0, 0.0), (40.0, 10.0)], 10.0)
KINDS: list[type[Remote]] = [Tempo, Jaeger, Prometheus]

Reply = Callable[[BaseHTTPRequestHandler], None]


class Server:
    """A backend that answers as it is told."""

    def __init__(self) -> None:
        self.reply: Reply = lambda _: None
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.over = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                outer.asked.append((parts.path, {key: values[0] for key, values in parse_qs(parts.query).items()}))
                outer.reply(self)

            def log_message(self, *args: object) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *args: object) -> None:
                """Say nothing of clients that go away: that is what is tested."""

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Stop."""
        self.over.set()
        self._server.shutdown()
        self._server.server_close()

    def answers(self, *answers: object) -> None:
        """Answer with JSON, the last one again and again."""
        left = [json.dumps(answer).encode() for answer in answers]
        self.reply = lambda handler: send(handler, left.pop(0) if len(left) > 1 else left[0])


def send(handler: BaseHTTPRequestHandler, body: bytes, status: int = 200, **headers: str) -> None:
    """Send an answer."""
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


@pytest.fixture
def server() -> Iterator[Server]:
    """A backend."""
    with closing(Server()) as made:
        yield made


class Asking:
    """A source with a clock and a tally."""

    def __init__(self, kind: type[Remote], url: str, service: str | None = None) -> None:
        self.clock = FakeClock(NOW)
        self.tally = Tally()
        self.source = kind(url, clock=self.clock, tally=self.tally, service=service)


def attribute(key: str, text: str) -> dict[str, Any]:
    """Return an attribute as OTLP's JSON has it."""
    return {"key": key, "value": {"stringValue": text}}


# --- Tempo ------------------------------------------------------------------------------------------------------------


def tempo_span(text: str, ended_at: float) -> dict[str, Any]:
    """Return a span that a search found; it took a minute."""
    return {
        "spanID": "b7ad6b7169203331",
        "startTimeUnixNano": str(int((ended_at - 60) * 1e9)),
        "durationNanos": str(60 * 10**9),
        "attributes": [attribute("service.name", "x"), attribute(names.PROFILE, text)],
    }


def test_tempo_is_asked_for_records_of_completed_runs(server: Server) -> None:
    """Of the last week; profiles come back newest first, dated by their spans where they have no date."""
    spans = [tempo_span(PROFILE.encode(), NOW), tempo_span(UNDATED.encode(), NOW - 30), tempo_span("{broken", NOW)]
    server.answers(
        {"traces": [{"traceID": "1", "spanSets": [{"spans": spans[:1]}]}, {"spanSets": [{"spans": spans[1:]}]}]}
    )
    found = Asking(Tempo, f"{server.url}/base").source.profiles("nightly", "read", 5)
    assert [(profile.seconds, profile.ended_at) for profile in found] == [(40.0, NOW - 30), (60.0, NOW - 60)]
    assert found[1] == Profile.decode(PROFILE.encode())
    ((path, query),) = server.asked
    assert path == "/base/api/search"
    assert query["q"] == (
        '{ span.progress.operation = "nightly" && span.progress.level = "read" && '
        'span.progress.outcome = "completed" && '
        '(span.progress.record = "completion" || span.progress.record = "span") && span.progress.profile != nil } '
        "| select(span.progress.profile) with (most_recent=true)"
    )
    assert (query["start"], query["end"]) == (str(int(NOW) + 60 - 7 * 86_400), str(int(NOW) + 60))
    assert (query["limit"], query["spss"]) == ("5", "5")


def test_tempo_is_asked_week_by_week_until_there_is_something(server: Server) -> None:
    """One search covers no more; a monthly job is found in the fifth."""
    server.answers(*[{"traces": []}] * 2, {"traces": [{"spanSets": [{"spans": [tempo_span(UNDATED.encode(), NOW)]}]}]})
    asking = Asking(Tempo, server.url)
    assert len(asking.source.profiles("monthly")) == 1
    starts = [int(query["start"]) for _, query in server.asked]
    assert [first - second for first, second in pairwise(starts)] == [7 * 86_400] * 2
    server.asked.clear()
    server.answers({})
    assert asking.source.profiles("never") == ()
    assert len(server.asked) == 5
    assert asking.tally.dropped == {}


def test_names_are_quoted_in_traceql() -> None:
    """A name is anything that people print."""
    assert 'span.progress.operation = "say \\"hi\\" \\\\"' in traceql('say "hi" \\', None)
    assert "span.progress.level = nil" in traceql("nightly", None)


# --- Jaeger -----------------------------------------------------------------------------------------------------------


def jaeger_answer(*spans: dict[str, str]) -> dict[str, Any]:
    """Return an answer with spans of these attributes that ended now."""
    made = [
        {"endTimeUnixNano": str(int(NOW * 1e9)), "attributes": [attribute(key, text) for key, text in each.items()]}
        for each in spans
    ]
    return {"result": {"resourceSpans": [{"scopeSpans": [{"spans": made}]}]}}


def record(level: str | None, outcome: str = "completed", text: str = "") -> dict[str, str]:
    """Return the attributes of a record."""
    found = {names.OPERATION: "nightly", names.OUTCOME: outcome, names.PROFILE: text or PROFILE.encode()}
    return found if level is None else {**found, names.LEVEL: level}


def test_jaeger_answers_with_whole_traces_of_which_the_wanted_records_are_taken(server: Server) -> None:
    """The operation's own, and its levels', apart; nothing of runs that failed."""
    spans = (record(None), record("read", text=UNDATED.encode()), record("read", "failed"), {"other": "span"})
    server.answers(jaeger_answer(*spans))
    asking = Asking(Jaeger, server.url, service="jobs")
    assert [profile.seconds for profile in asking.source.profiles("nightly", None, 3)] == [60.0]
    assert [(each.seconds, each.ended_at) for each in asking.source.profiles("nightly", "read", 3)] == [(40.0, NOW)]
    path, query = server.asked[0]
    assert path == "/api/v3/traces"
    assert query == {
        "query.service_name": "jobs",
        "query.attributes": '{"progress.operation": "nightly", "progress.outcome": "completed"}',
        "query.start_time_min": "2023-11-14T21:13:20Z",
        "query.start_time_max": "2023-11-14T22:14:20Z",
        "query.search_depth": "40",
    }
    assert json.loads(server.asked[-1][1]["query.attributes"])["progress.level"] == "read"


def test_jaeger_is_asked_farther_back_until_there_is_enough(server: Server) -> None:
    """Its answers are in no order of time: an hour, a day, five weeks, until there are three runs."""
    server.answers(jaeger_answer(), jaeger_answer(*[record("read")] * 2), jaeger_answer(*[record("read")] * 4))
    assert len(Asking(Jaeger, server.url).source.profiles("nightly", "read")) == 4
    assert [query["query.start_time_min"] for _, query in server.asked] == [
        "2023-11-14T21:13:20Z",
        "2023-11-13T22:13:20Z",
        "2023-10-10T22:13:20Z",
    ]
    server.asked.clear()
    server.answers(jaeger_answer(*[record("read")] * 3))
    assert len(Asking(Jaeger, server.url).source.profiles("nightly", "read")) == 3
    assert len(server.asked) == 1


def test_jaeger_says_not_found_where_there_is_nothing(server: Server) -> None:
    """That is an answer, not trouble."""
    server.reply = lambda handler: send(handler, b"{}", 404)
    asking = Asking(Jaeger, server.url)
    assert asking.source.profiles("nightly") == ()
    assert asking.tally.dropped == {}
    assert "query.service_name" not in server.asked[0][1]


def test_jaeger_is_asked_for_one_trace_where_forty_are_too_large(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And if that one is too large as well, there is no history from it."""
    monkeypatch.setattr(_http.get_json, "__kwdefaults__", {"seconds": 2.0, "limit": 5_000})
    crowd = [record("read") for _ in range(30)]
    server.answers(jaeger_answer(*crowd), jaeger_answer(record("read")))
    asking = Asking(Jaeger, server.url)
    assert len(asking.source.profiles("nightly", "read", 1)) == 1
    assert [query["query.search_depth"] for _, query in server.asked] == ["40", "1"]
    server.answers(jaeger_answer(*crowd))
    assert asking.source.profiles("nightly", "read") == ()
    assert asking.tally.dropped == {"history_jaeger": 1}


# --- Prometheus -------------------------------------------------------------------------------------------------------


def vector(**values: str) -> dict[str, Any]:
    """Return an instant vector, one series an instance."""
    return {"data": {"result": [{"metric": {"instance": i}, "value": [NOW, text]} for i, text in values.items()]}}


def test_prometheus_knows_durations(server: Server) -> None:
    """One run for each process, the newest first; without a curve, and without what is no duration."""
    server.answers(
        vector(a=str(NOW - 900), b=str(NOW - 300), c=str(NOW)),
        vector(a="61.5", b="60", c="NaN", older="1"),
    )
    asking = Asking(Prometheus, server.url)
    assert asking.source.profiles("nightly", "read") == (
        Profile(seconds=60.0, total=None, curve=(), ended_at=NOW - 300),
        Profile(seconds=61.5, total=None, curve=(), ended_at=NOW - 900),
    )
    (path, newest), (_, mean) = server.asked
    of_level = '{progress_operation="nightly",progress_level="read",progress_outcome="completed"}'
    assert path == "/api/v1/query"
    assert newest["query"] == (
        f"topk(10, timestamp(progress_level_duration_seconds_count{of_level})"
        f" or max_over_time(timestamp(progress_level_duration_seconds_count{of_level})[30d:5m]))"
    )
    assert mean["query"] == (
        f"last_over_time(progress_level_duration_seconds_sum{of_level}[30d])"
        f" / last_over_time(progress_level_duration_seconds_count{of_level}[30d])"
    )


# --- odd answers ------------------------------------------------------------------------------------------------------


def redirect(handler: BaseHTTPRequestHandler) -> None:
    """Lead elsewhere."""
    send(handler, b"", 302, Location="/elsewhere")


def huge(handler: BaseHTTPRequestHandler) -> None:
    """Send without an end, quickly."""
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b" " * 65_536)


def drip_body(handler: BaseHTTPRequestHandler) -> None:
    """Send a byte now and then: a timeout between two bytes never comes."""
    handler.send_response(200)
    handler.end_headers()
    for _ in range(1_000):
        handler.wfile.write(b" ")
        time.sleep(0.05)


def drip_header(handler: BaseHTTPRequestHandler) -> None:
    """The same, before the answer has begun."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    drip_body(handler)


def hang(handler: BaseHTTPRequestHandler) -> None:
    """Say nothing at all."""
    time.sleep(10)


ODD: dict[str, Reply] = {
    "an error": lambda handler: send(handler, b"no", 500),
    "a redirect": redirect,
    "no JSON": lambda handler: send(handler, b"<html>"),
    "no text": lambda handler: send(handler, b"\xff\xfe\x00"),
    "a number": lambda handler: send(handler, b"7"),
    "another shape": lambda handler: send(handler, b'{"traces": [7], "result": [], "data": null}'),
    "another inside": lambda handler: send(
        handler,
        b'{"traces":[{"spanSets":[{"spans":[{"startTimeUnixNano":"soon"}]}]}],'
        b'"result":{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":[7]}]}]}]},'
        b'"data":{"result":[{"metric":{},"value":[0,"x"]}]}}',
    ),
    "deep": lambda handler: send(handler, b"[" * 200_000),
    "a part": lambda handler: send(handler, b'{"traces"', Content_Length="5000"),
    "no HTTP": lambda handler: handler.wfile.write(b"SSH-2.0-OpenSSH\r\n"),
    "huge": huge,
    "a body in drips": drip_body,
    "a header in drips": drip_header,
    "nothing": hang,
}


@pytest.mark.parametrize("reply", ODD.values(), ids=ODD)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_odd_answers_are_no_history(
    server: Server, kind: type[Remote], reply: Reply, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One line, one count, and soon; and the backend is left alone for a minute."""
    monkeypatch.setattr(_http.get_json, "__kwdefaults__", {"seconds": 0.5, "limit": 100_000})
    server.reply = reply
    asking = Asking(kind, server.url)
    with caplog.at_level(logging.WARNING, "otel_progress"):
        before = time.monotonic()
        assert asking.source.profiles("nightly", "read") == ()
        assert time.monotonic() - before < 5  # half a second, and a busy machine
        assert asking.source.profiles("nightly") == ()
    (line,) = caplog.messages
    assert line.startswith(f"otel_progress: no history from {kind.kind} at {server.url}: ")
    assert asking.tally.dropped == {f"history_{kind.kind}": 1}
    assert all(path != "/elsewhere" for path, _ in server.asked)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_a_backend_that_is_not_there_is_asked_again_after_a_minute(kind: type[Remote], server: Server) -> None:
    """It may be starting."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        asking = Asking(kind, f"http://127.0.0.1:{nobody.getsockname()[1]}")
        assert asking.source.profiles("nightly") == ()
        assert asking.source.profiles("nightly") == ()
        assert asking.tally.dropped == {f"history_{kind.kind}": 1}
    asking.source._url = server.url
    server.answers({"data": {"result": []}, "result": {}})
    asking.clock.advance(PAUSE_SECONDS)
    assert asking.source.profiles("nightly") == ()
    assert len(server.asked) >= 1
    assert asking.tally.dropped == {f"history_{kind.kind}": 1}


def test_a_wanted_number_of_runs_is_a_limit(server: Server) -> None:
    """Whatever the backend makes of it."""
    spans = [tempo_span(UNDATED.encode(), NOW - n) for n in range(9)]
    server.answers({"traces": [{"spanSets": [{"spans": spans}]}]})
    found = Asking(Tempo, server.url).source.profiles("nightly", limit=4)
    assert [profile.ended_at for profile in found] == [NOW, NOW - 1, NOW - 2, NOW - 3]
    assert Asking(Tempo, server.url).source.profiles("nightly", limit=0) == ()
