"""Bad input and misuse: each case has a defined result, and none of them raises into the program."""

from __future__ import annotations

import contextlib
import gc
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from fractions import Fraction
from typing import Any, NoReturn

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.metrics.view import View
from opentelemetry.sdk.trace import IdGenerator, ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Sampler

from otel_progress import (
    Change,
    ProgressCancelled,
    active,
    advance,
    continue_from,
    current,
    find,
    flush,
    health,
    history,
    level,
    names,
    on_change,
    operation,
    track,
    watch,
)
from otel_progress._config import Config
from otel_progress._outbox import Outbox
from otel_progress._runtime import Runtime, replace
from otel_progress._ticker import Ticker
from otel_progress.testing import Capture, FakeClock, capture_progress

from .kit import LONGEST_SECONDS, attribute, ignored, in_thread, outcomes, parents, python, the_span, wait_until, wholes


def refuse(*_: object, **__: object) -> NoReturn:
    """Raise, whatever is asked."""
    raise ValueError("not with me")


class Hostile:
    """Raises at everything it can be asked, as a proxy does that is bound to nothing."""

    __str__ = __repr__ = __float__ = __int__ = __index__ = __len__ = __iter__ = __bool__ = refuse
    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = __contains__ = __getattr__ = refuse  # type: ignore[assignment]
    __hash__ = refuse  # type: ignore[assignment]

    @property
    def __class__(self) -> type:
        """Raise here as well."""
        refuse()

    @__class__.setter
    def __class__(self, value: type) -> None:
        refuse(value)


class HostileText(str):
    """A text that cannot be compared or hashed."""

    __slots__ = ()
    __eq__ = refuse  # type: ignore[assignment]
    __hash__ = None  # type: ignore[assignment]


class HostileMapping(Mapping[str, object]):
    """A mapping that hands out one entry and then fails."""

    def __getitem__(self, key: str) -> object:
        """Return something."""
        return key

    def __iter__(self) -> Iterator[str]:
        """Hand out one key, then fail."""
        yield "first"
        refuse()

    def __len__(self) -> int:
        """Claim to be large."""
        return 1_000_000


def made(given: Any) -> Any:  # noqa: ANN401
    """Return the instance of a hostile class, anything else as it is: pytest asks its parameters many a question."""
    return given() if isinstance(given, type) else given


ODD: list[Any] = [
    pytest.param(Hostile, id="hostile"),
    pytest.param(HostileText, id="hostile text"),
    pytest.param(HostileMapping, id="hostile mapping"),
    pytest.param(object(), id="object"),
    pytest.param([[]], id="list"),
    pytest.param({"a": {}}, id="dict"),
    pytest.param(b"\xff", id="bytes"),
    pytest.param("\ud800\x00\n", id="unprintable text"),
    pytest.param("x" * 100_000, id="long text"),
    pytest.param(-1, id="negative"),
    pytest.param(math.nan, id="nan"),
    pytest.param(10**5_000, id="beyond anything"),
    pytest.param(1j, id="complex"),
]


# --- numbers ----------------------------------------------------------------------------------------------------------

NO_NUMBERS: list[Any] = [
    pytest.param(-1, id="negative"),
    pytest.param(-0.5, id="negative float"),
    pytest.param(math.nan, id="nan"),
    pytest.param(math.inf, id="inf"),
    pytest.param(-math.inf, id="-inf"),
    pytest.param(2**63, id="beyond 64 bits"),
    pytest.param(10**5_000, id="beyond float"),
    pytest.param(1e300, id="1e300"),
    pytest.param(Decimal("NaN"), id="Decimal NaN"),
    pytest.param(Decimal(-3), id="Decimal negative"),
    pytest.param("7", id="text"),
    pytest.param(b"7", id="bytes"),
    pytest.param([7], id="list"),
    pytest.param(1j, id="complex"),
    pytest.param(object(), id="object"),
    pytest.param(Hostile, id="hostile"),
]

NUMBERS: list[Any] = [
    pytest.param(True, 1, id="bool"),
    pytest.param(Decimal("2.5"), 2.5, id="Decimal"),
    pytest.param(Fraction(7, 2), 3.5, id="Fraction"),
    pytest.param(2**62, 2**62, id="large"),
    pytest.param(0, 0, id="zero"),
    pytest.param(-0.0, 0, id="minus zero"),
]


@pytest.mark.parametrize("bad", NO_NUMBERS)
def test_what_is_no_number_is_ignored_and_counted(progress: Capture, bad: Any) -> None:  # noqa: ANN401
    """Every method that takes one leaves things as they were; the reason is counted once a call."""
    bad = made(bad)
    with operation("job", total=8) as job:
        job.advance(3)
        job.set_quality(0.5)
        for call in (job.advance, advance, job.skip, lambda n: job.item_failed(None, n)):
            call(bad)
        job.advance(bytes=bad)
        job.set_total(bad)
        job.set_done(bad)
        job.set_quality(bad)
        job.count("rows", bad)
        job.plan("copy", weight=bad)
        job.plan("copy", total=bad)
        shot = job.snapshot()
    assert (shot.done, shot.failed, shot.skipped, shot.bytes) == (3, 0, 0, 0)
    assert (shot.total, shot.fraction, shot.quality, dict(shot.counters), shot.children) == (8, 3 / 8, 0.5, {}, ())
    assert ignored(progress) == {
        "bad_advance": 5,
        "bad_total": 1,
        "bad_done": 1,
        "bad_quality": 1,
        "bad_count": 1,
        "bad_plan": 2,
    }


@pytest.mark.parametrize("bad", NO_NUMBERS)
def test_a_level_that_starts_with_a_bad_total_has_none(progress: Capture, bad: Any) -> None:  # noqa: ANN401
    """Unknown is unknown; a bad weight is one, and a bad phase is left out."""
    bad = made(bad)
    with operation("job", total=bad, phases={"copy": bad, "verify": 1}) as job:
        shot = job.snapshot()
        with level("step", weight=bad):
            pass
        assert list(track([1], total=bad)) == [1]
    assert (shot.total, shot.eta) == (None, None)
    assert [child.name for child in shot.children] == ["verify"]
    assert ignored(progress) == {"bad_total": 2, "bad_plan": 1}


@pytest.mark.parametrize(("given", "taken"), NUMBERS)
def test_what_is_a_number_counts_as_one(progress: Capture, given: Any, taken: float) -> None:  # noqa: ANN401
    """Whatever has a float from 0 up to what a metric can carry."""
    with operation("job", total=given) as job:
        job.advance(given, bytes=given)
        job.count("rows", given)
        shot = job.snapshot()
    assert (shot.done, shot.total, shot.bytes, shot.counters["rows"].value) == (taken, taken, taken, taken)
    assert progress.value(names.ITEMS.name, operation="job", item_outcome="ok") == taken
    assert ignored(progress) == {}


def test_sums_beyond_64_bits_stay_numbers_that_can_be_sent(progress: Capture) -> None:
    """Four times the largest number is a float: an integer OTLP cannot carry would cost the whole batch."""
    with operation("job") as job:
        for _ in range(4):
            job.advance(2**63 - 1)
            job.count("rows", 2**63 - 1)
        assert type(job.snapshot().done) is float
        items = progress.value(names.ITEMS.name, operation="job", item_outcome="ok")
    assert (type(items), items) == (float, 2.0**65)
    assert attribute(the_span(progress, "job"), names.DONE) == 2.0**65


def test_a_total_may_shrink_and_vanish(progress: Capture) -> None:
    """The share follows the total of the moment, and is unknown without one."""
    with operation("job", total=10) as job:
        job.advance(4)
        shares = []
        for total in (10, 5, 4, 0, None, 16):
            job.set_total(total)
            progress.tick(1)
            shares.append(job.snapshot().fraction)
    # 4/10, 4/5, 4/4, more done than there is, unknown, 4/16
    assert shares == [0.4, 0.8, 1.0, 1.0, None, 0.25]
    assert ignored(progress) == {}


def test_more_done_than_there_is_caps_the_share_and_leaves_nothing_to_wait_for(progress: Capture) -> None:
    """The count is told as it is, the share stops at one, and no time left is promised."""
    with operation("job", total=4) as job:
        for _ in range(6):
            job.advance()
            progress.tick(1)
        shot = job.snapshot()
        assert (shot.done, shot.total, shot.fraction) == (6, 4, 1.0)
        assert shot.eta is None or shot.eta.expected == 0
        assert progress.value(names.LEVEL_FRACTION.name, operation="job") == 1.0
        assert progress.value(names.LEVEL_DONE.name, operation="job") == 6
    assert attribute(the_span(progress, "job"), names.FRACTION) == 1.0


def test_a_total_of_zero_is_done(progress: Capture) -> None:
    """An empty job has nothing left, and nothing is divided by it."""
    with operation("job", total=0) as job:
        progress.tick(1)
        assert job.snapshot().fraction == 1.0
    assert list(track([], "nothing")) == []
    assert outcomes(progress) == {"job": "completed", "nothing": "completed"}


# --- names, texts, metadata -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        pytest.param("n" * 10_000, "n" * 119 + "…", id="10,000 characters"),
        pytest.param("a\x00b\x1b[31m\nc", "a b [31m c", id="control characters"),
        pytest.param("\u202egnp.exe", "gnp.exe", id="direction override"),
        pytest.param("a\ud800b", "a b", id="lone surrogate"),
        pytest.param("", "unnamed", id="empty"),
        pytest.param(" \n\t ", "unnamed", id="blank"),
        pytest.param(17, "17", id="int"),
        pytest.param(["a"], "['a']", id="list"),
        pytest.param(Hostile, "<Hostile>", id="hostile"),
    ],
)
def test_a_name_is_one_short_line_of_printable_text(progress: Capture, given: Any, kept: str) -> None:  # noqa: ANN401
    """Whatever is given; the same on the span, the metrics, the snapshot, and before the start."""
    given = made(given)
    step = level(given)
    assert (step.name, step.snapshot().name) == (kept, kept)
    with step as entered:
        assert (entered.name, entered.operation) == (kept, kept)
        assert [shot.name for shot in active(given)] == [kept]
    assert [shot.name for shot in history(given)] == [kept]
    assert attribute(the_span(progress, kept), names.OPERATION) == kept
    assert progress.value(names.ITEMS.name, operation=kept, item_outcome="ok") == 0


def test_ids_titles_messages_units_and_counter_names_are_shortened(progress: Capture) -> None:
    """No text of ours grows beyond its limit; control characters become spaces."""
    long = "a\n" * 5_000
    with operation("job", id=long, title=long, unit=long, metadata={long: long}) as job:
        job.update(message=long)
        job.count(long, 2, unit=long)
        job.retrying(long)
        shot = job.snapshot()
    texts = [shot.id, shot.title, shot.message, shot.reason, shot.unit, *shot.counters, *shot.metadata]
    assert all(text is not None and len(text) <= 1_000 and "\n" not in text for text in texts)
    assert len(shot.unit) == 120
    assert [len(name) for name in shot.counters] == [120]
    assert [(len(key), len(str(value))) for key, value in shot.metadata.items()] == [(60, 256)]


class Forgetful:
    """An object that cannot say what it is."""

    __str__ = __repr__ = refuse  # type: ignore[assignment]


def test_metadata_is_made_of_plain_values(progress: Capture) -> None:
    """Unhashable, hostile and recursive values become short texts; plain ones stay what they are."""
    recursive: list[object] = []
    recursive.append(recursive)
    given = {
        "text": "plain",
        "int": 7,
        "float": 2.5,
        "bool": True,
        "huge": 10**5_000,
        "list": [1, [2]],
        "recursive": recursive,
        "hostile": Forgetful(),
        17: "a key that is no text",
    }
    with operation("job", metadata=given) as job:  # type: ignore[arg-type]  # that is the point
        kept = dict(job.snapshot().metadata)
    assert (kept["text"], kept["int"], kept["float"], kept["bool"]) == ("plain", 7, 2.5, True)
    assert kept["list"] == "[1, [2]]"
    assert "..." in str(kept["recursive"])
    assert str(kept["hostile"]).startswith("<Forgetful")
    assert kept["17"] == "a key that is no text"
    assert isinstance(kept["huge"], str)
    assert attribute(the_span(progress, "job"), names.METADATA_PREFIX + "list") == "[1, [2]]"


def test_metadata_is_bounded_in_entries_and_looks_at_no_more(progress: Capture) -> None:
    """Of a million entries the first are taken, the rest is not even read; of many updates the last ones stay."""
    read = []

    class Endless(HostileMapping):
        def __iter__(self) -> Iterator[str]:
            for number in range(1_000_000):
                read.append(number)
                yield f"key {number}"

    with operation("job", metadata=Endless()) as job:
        assert len(job.snapshot().metadata) == 32
        assert len(read) <= 33
        for number in range(100):
            job.update(metadata={f"late {number}": number})
        assert list(job.snapshot().metadata) == [f"late {number}" for number in range(68, 100)]
    assert attribute(the_span(progress, "job"), names.METADATA_PREFIX + "late 99") == 99


@pytest.mark.parametrize("bad", [5, "text", [("a", 1)], Hostile])
def test_metadata_that_is_no_mapping_is_ignored_and_counted(progress: Capture, bad: Any) -> None:  # noqa: ANN401
    """At the start and in an update; a mapping that fails half-way keeps what it gave."""
    bad = made(bad)
    with operation("job", metadata=bad) as job:
        job.update(metadata=bad)
        assert dict(job.snapshot().metadata) == {}
        job.update(metadata=HostileMapping())
        assert dict(job.snapshot().metadata) == {"first": "first"}
    assert ignored(progress) == {"bad_metadata": 2}


@pytest.mark.parametrize("bad", [5, Hostile, "copy", HostileMapping, object()])
def test_phases_that_make_no_sense_are_left_out(progress: Capture, bad: Any) -> None:  # noqa: ANN401
    """The operation starts all the same."""
    with operation("job", phases=made(bad)) as job, operation("inner", phases=[made(bad)]):
        job.snapshot()
        progress.tick(1)
    assert outcomes(progress) == {"inner": "completed", "job": "completed"}


def test_phases_are_bounded(progress: Capture) -> None:
    """Of ten thousand announced the first hundred are kept, and the dropped ones are counted."""
    with operation("job", phases=[f"phase {number}" for number in range(10_000)]) as job:
        job.plan("one more")
        assert len(job.snapshot().children) == 100
    assert progress.runtime.tally.dropped == {"phases": 2}  # the list at once, and the one more


# --- anything, anywhere -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("odd", ODD)
def test_no_argument_makes_a_call_raise(progress: Capture, odd: Any) -> None:  # noqa: ANN401
    """Every argument of every function and method, before, in and after a level, here and on a track."""
    odd = made(odd)
    with operation("job") as job:
        with level(odd), operation(odd):
            pass
        for options in ({"id": odd}, {"title": odd}, {"total": odd}, {"unit": odd}, {"metadata": odd}):
            with operation("inner", **options), job.level("named", weight=odd, **options):
                pass
            unstarted = level("later", **options)
            assert unstarted.name == "later"
            unstarted.snapshot()
            assert repr((unstarted.id, unstarted.state))
        with operation("phases", phases={"a": odd}), operation("phases", phases=[odd]), operation("p", phases=odd):
            pass
        assert list(track([1], odd, total=odd, id=odd, title=odd, unit=odd)) == [1]
        assert list(job.track([1], odd, total=odd)) == [1]
        with job.level("step") as step, track([1], "rows") as rows:
            for target in (step, rows, level("unstarted")):
                _call_everything(target, odd)
        _call_everything(step, odd)
        with job.level("failing") as failing:
            failing.fail(odd)
        assert failing.state == "failed"
        with continue_from(odd), level("a"):
            pass
        with continue_from({"traceparent": odd, "progress-operation": odd}), level("b"):
            pass
    for read in (active, history, find):
        read(odd)
        read(id=odd, state=odd, since=odd, limit=odd)
    on_change(odd).unsubscribe()
    watch(odd).close()
    flush(odd)
    progress.spans()
    assert progress.runtime.tally.contained == {}
    assert all(attribute(span, names.OUTCOME) for span in progress.spans())


def _call_everything(target: Any, odd: Any) -> None:  # noqa: ANN401
    target.advance(odd)
    target.advance(bytes=odd)
    target.advance(outcome=odd)
    target.advance(1, bytes=2, outcome=odd)
    advance(odd, bytes=odd, outcome=odd)
    target.skip(odd)
    target.item_failed(odd)
    target.item_failed(odd, odd)
    target.set_done(odd)
    target.set_total(odd)
    target.plan(odd, weight=odd, total=odd)
    target.update(message=odd, title=odd, metadata=odd)
    target.count(odd, odd, unit=odd)
    target.set_quality(odd)
    target.pause(odd)
    target.resume()
    target.retrying(odd)
    target.resume()
    target.cancel(odd)
    with contextlib.suppress(ProgressCancelled):  # its message is what was given
        target.check_cancelled()
    assert repr(target.snapshot())


def test_filters_that_make_no_sense_are_ignored_and_counted(progress: Capture) -> None:
    """A time or limit that is no number does not filter; a name that is no text finds what is called that."""
    with operation("17"):
        assert [shot.name for shot in active(17, since="yesterday", limit=-1)] == ["17"]  # type: ignore[arg-type]
        assert active(limit=0) == ()
        assert active(state="no such state") == ()
    assert ignored(progress) == {"bad_filter": 2}


@pytest.mark.parametrize("timeout", [None, "soon", Hostile, -1.0, math.nan])
def test_a_timeout_that_makes_no_sense_does_not_wait(progress: Capture, timeout: Any) -> None:  # noqa: ANN401
    """With something to wait for, flush says no at once; with nothing, yes."""
    timeout = made(timeout)
    assert flush(timeout) is True
    with _held(progress.runtime.outbox):
        with operation("job"):
            pass
        assert flush(timeout) is False
    assert flush(LONGEST_SECONDS) is True


# --- calls at the wrong time ------------------------------------------------------------------------------------------

CALLS: list[Callable[[Any], object]] = [
    lambda step: step.advance(),
    lambda step: step.advance(2, bytes=3, outcome="failed"),
    lambda step: step.skip(),
    lambda step: step.item_failed(ValueError("row")),
    lambda step: step.set_done(5),
    lambda step: step.set_total(5),
    lambda step: step.plan("copy"),
    lambda step: step.update(message="m", metadata={"k": "v"}),
    lambda step: step.count("tokens", 4),
    lambda step: step.set_quality(0.5),
    lambda step: step.pause(),
    lambda step: step.resume(),
    lambda step: step.retrying(),
    lambda step: step.fail("why"),
    lambda step: step.cancel("why"),
]


def test_calls_before_the_start_are_ignored_and_counted(progress: Capture) -> None:
    """Nothing is kept for later: the level starts as if they had not been made."""
    step = level("step")
    for call in CALLS:
        call(step)
    step.__exit__(None, None, None)
    step.check_cancelled()
    assert (step.state, step.cancel_requested, step.carrier()) == ("pending", False, {})
    assert ignored(progress) == {"before_start": len(CALLS)}
    with step:
        shot = step.snapshot()
        assert (shot.done, shot.total, shot.message, dict(shot.counters), shot.cancel_requested) == (
            0,
            None,
            None,
            {},
            False,
        )
    assert outcomes(progress) == {"step": "completed"}


def test_calls_after_the_end_are_ignored_and_counted(progress: Capture) -> None:
    """What ended stays as it ended, on the span, in the numbers and in the history."""
    with operation("job", total=4) as job:
        job.advance(2)
    before = job.snapshot()
    for call in CALLS:
        call(job)
    assert job.snapshot() == before
    assert ignored(progress) == {"after_end": len(CALLS)}
    assert progress.value(names.ITEMS.name, operation="job", item_outcome="ok") == 2
    assert progress.value(names.ITEMS.name, operation="job", item_outcome="failed") == 0
    assert outcomes(progress) == {"job": "completed"}
    with job.level("late"):  # below an end: an operation of its own
        pass
    assert list(job.track([1], "later still")) == [1]
    assert parents(progress) == {"job": None, "late": None, "later still": None}


def test_a_decorated_thing_that_is_no_function_raises_as_the_language_does(progress: Capture) -> None:
    """Decorating it is no error of ours; calling it is the language's."""
    for what in (5, None, "text"):
        with pytest.raises(TypeError, match="is not callable"):
            level("step")(what)()  # type: ignore[type-var]
    assert set(outcomes_of_all(progress)) == {"failed"}


def outcomes_of_all(progress: Capture) -> list[str]:
    """Return how every level ended."""
    return [attribute(span, names.OUTCOME) for span in wholes(progress)]


@pytest.mark.parametrize("what", [17, None, object(), 2.5])
def test_a_loop_over_what_is_not_iterable_raises_as_without_us(progress: Capture, what: Any) -> None:  # noqa: ANN401
    """The same TypeError in a loop, in a block and below a level; the block it leaves has failed."""
    with pytest.raises(TypeError) as bare:
        for _ in what:
            pass
    with operation("job") as job:
        for make in (lambda: track(what), lambda: job.track(what, "rows", total=3)):
            with pytest.raises(TypeError) as tracked:
                for _ in make():
                    pass
            assert str(tracked.value) == str(bare.value)
        with pytest.raises(TypeError) as blocked, track(what, "block") as items:
            for _ in items:
                pass
        assert str(blocked.value) == str(bare.value)
    assert outcomes(progress) == {"block": "failed", "job": "completed"}


def test_an_iterator_that_returns_itself_wrong_raises_as_without_us(progress: Capture) -> None:
    """``__iter__`` that returns no iterator, and one that raises: the language's error and the user's."""

    class Wrong:
        def __iter__(self) -> Iterator[int]:
            return 5  # type: ignore[return-value]

    class Raises:
        __iter__ = __len__ = __bool__ = refuse

    with pytest.raises(TypeError, match="non-iterator"):
        list(track(Wrong()))
    with pytest.raises(ValueError, match="not with me"):
        list(track(Raises()))
    assert progress.spans() == []


# --- an SDK that misbehaves -------------------------------------------------------------------------------------------


@contextmanager
def running(**options: Any) -> Iterator[Runtime]:  # noqa: ANN401
    """Use a runtime with providers of one's own, the real clock, and a heart that beats fifty times a second."""
    runtime = Runtime(Config.make({}), **options)
    runtime.ticker = Ticker(runtime.rounds.tick, runtime.tally, interval_seconds=0.02)
    previous = replace(runtime)
    try:
        yield runtime
    finally:
        replace(previous)
        runtime.shutdown(LONGEST_SECONDS)


@contextmanager
def _held(outbox: Outbox) -> Iterator[None]:
    """Keep the outbox's thread busy, as an exporter that hangs does."""
    entered, go = threading.Event(), threading.Event()

    def hang() -> None:
        entered.set()
        go.wait(LONGEST_SECONDS)

    outbox.put(hang)
    assert entered.wait(LONGEST_SECONDS)
    try:
        yield
    finally:
        go.set()


class Exporter(SpanExporter):
    """An exporter that does what it is told."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._act = act
        self.names: list[str] = []

    def export(self, spans: Any) -> SpanExportResult:  # noqa: ANN401  # a sequence of spans
        """Act, then take them."""
        self._act()
        self.names += [span.name for span in spans]
        return SpanExportResult.SUCCESS


def traced(exporter: SpanExporter) -> TracerProvider:
    """Return a provider that calls the exporter in whatever thread ends a span."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider


def beats(count: int) -> None:
    """Wait for so many heartbeats."""
    seen: set[float | None] = set()

    def beaten() -> bool:
        seen.add(health().heartbeat_at)
        return len(seen) > count

    wait_until(beaten, "the heart beats")


def test_an_exporter_that_raises_costs_spans_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK logs it; levels, numbers and the heartbeat go on."""
    monkeypatch.setattr(logging.getLogger("opentelemetry.sdk.trace.export"), "disabled", True)
    reader = InMemoryMetricReader()
    meters = MeterProvider([reader], shutdown_on_exit=False)
    with running(tracer_provider=traced(Exporter(refuse)), meter_provider=meters) as runtime:
        with operation("job") as job:
            beats(2)
            with level("step"):
                advance(3)
        assert flush(LONGEST_SECONDS)
        assert (job.state, runtime.tally.contained) == ("completed", {})
        assert _items(reader) == {("job", None): 0, ("job", "step"): 3}
    meters.shutdown()


def _items(reader: InMemoryMetricReader) -> dict[tuple[str, str | None], float]:
    data: Any = reader.get_metrics_data()
    found = {}
    for metric in (metric for scope in data.resource_metrics[0].scope_metrics for metric in scope.metrics):
        for point in metric.data.data_points if metric.name == names.ITEMS.name else ():
            if point.attributes[names.ITEM_OUTCOME] == "ok":
                found[point.attributes[names.OPERATION], point.attributes.get(names.LEVEL)] = point.value
    return found


def test_an_exporter_that_hangs_blocks_neither_the_job_nor_the_heartbeat() -> None:
    """Levels come and go meanwhile; how long it hangs can be read; flush gives up in time; nothing is lost."""
    go = threading.Event()
    exporter = Exporter(lambda: go.wait(LONGEST_SECONDS))
    with running(tracer_provider=traced(exporter)):
        with operation("first"):
            pass
        wait_until(lambda: health().outbox_busy_seconds > 0, "the exporter hangs")
        busy = health().outbox_busy_seconds
        with operation("second"):
            for _ in range(100):
                with level("step"):
                    advance()
            beats(3)
        assert not exporter.names
        assert health().outbox_busy_seconds > busy
        assert health().outbox_length >= 101  # 100 steps and their operation
        started = time.monotonic()
        assert flush(0.05) is False
        assert time.monotonic() - started < LONGEST_SECONDS / 2
        go.set()
        assert flush(LONGEST_SECONDS)
        assert exporter.names == ["first", "second", *["step"] * 100]
        assert (health().outbox_busy_seconds, health().outbox_length) == (0.0, 0)


def test_changes_that_nobody_takes_do_not_crowd_out_the_spans() -> None:
    """Subscribers have half of the queue: of ten steps' starts and ends some are not told, but each span is there."""
    exporter = Exporter(lambda: None)
    heard: list[str] = []
    with running(tracer_provider=traced(exporter)) as runtime:
        runtime.outbox = Outbox(runtime.tally, limit=16)
        with on_change(lambda change: heard.append(change.kind)), operation("job"):
            assert flush(LONGEST_SECONDS)
            with _held(runtime.outbox):
                for _ in range(10):
                    with level("step"):
                        advance(2)
                # Start, span and end of two steps and the start and span of the third fill half of 16 places.
                assert health().dropped == {"changes_full": 20 - 5}
            assert flush(LONGEST_SECONDS)
        assert flush(LONGEST_SECONDS)
        assert exporter.names == [*["step"] * 10, "job"]
        # The job's start, and those five; its end comes when nobody is subscribed any more.
        assert heard == ["started", "started", "ended", "started", "ended", "started"]


def test_a_full_queue_drops_spans_and_counts_them_but_loses_no_number() -> None:
    """Of 25 levels ten find room; the other spans are dropped; items and durations of all are there."""
    reader = InMemoryMetricReader()
    meters = MeterProvider([reader], shutdown_on_exit=False)
    exporter = Exporter(lambda: None)
    with running(tracer_provider=traced(exporter), meter_provider=meters) as runtime:
        runtime.outbox = Outbox(runtime.tally, limit=10)
        with operation("job"):
            with _held(runtime.outbox):
                for _ in range(25):
                    with level("step"):
                        advance(2)
                assert health().dropped == {"outbox_full": 15}
                assert health().outbox_length == 10
            assert flush(LONGEST_SECONDS)
        assert flush(LONGEST_SECONDS)
        assert exporter.names == [*["step"] * 10, "job"]
        assert _items(reader)["job", "step"] == 50
        data: Any = reader.get_metrics_data()
        durations = [
            point.count
            for metric in data.resource_metrics[0].scope_metrics[0].metrics
            for point in (metric.data.data_points if metric.name == names.LEVEL_DURATION.name else ())
            if point.attributes.get(names.LEVEL) == "step"
        ]
        assert durations == [25]
        assert health().live_levels == 0
    meters.shutdown()


class RaisingProcessor(SpanProcessor):
    """Raises where it is told."""

    def __init__(self, hook: str) -> None:
        setattr(self, hook, refuse)


class RaisingIds(IdGenerator):
    """Has no ids."""

    generate_span_id = generate_trace_id = refuse


class RaisingSampler(Sampler):
    """Cannot decide."""

    should_sample = refuse

    def get_description(self) -> str:
        """Return what it is called."""
        return "raising"


def _processor(hook: str) -> TracerProvider:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(RaisingProcessor(hook))
    return provider


BROKEN = [
    pytest.param(lambda: {"tracer_provider": _processor("on_start")}, {"span_start": 2}, id="processor at start"),
    pytest.param(lambda: {"tracer_provider": _processor("on_end")}, {"span": 2}, id="processor at end"),
    pytest.param(
        lambda: {"tracer_provider": TracerProvider(id_generator=RaisingIds(), shutdown_on_exit=False)},
        {"span_start": 2},
        id="id generator",
    ),
    pytest.param(
        lambda: {"tracer_provider": TracerProvider(sampler=RaisingSampler(), shutdown_on_exit=False)},
        {"span_start": 2},
        id="sampler",
    ),
    pytest.param(
        lambda: {
            "meter_provider": MeterProvider(
                [InMemoryMetricReader()],
                views=[View(instrument_name="*", exemplar_reservoir_factory=refuse)],
                shutdown_on_exit=False,
            )
        },
        {"duration": 2},
        id="view",
    ),
    pytest.param(
        lambda: {"tracer_provider": _processor("none"), "meter_provider": _Refusing()},
        {"providers": 1},
        id="meter provider",
    ),
]


class _Refusing(MeterProvider):
    """A meter provider that has no meters."""

    def __init__(self) -> None:
        super().__init__(shutdown_on_exit=False)

    get_meter = refuse  # type: ignore[assignment]


@pytest.mark.parametrize(("providers", "contained"), BROKEN)
def test_a_part_of_the_sdk_that_raises_is_contained(
    providers: Callable[[], dict[str, Any]], contained: dict[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged once and counted each time; the levels are there, nest, count and end as ever."""
    made = providers()
    with running(**made):
        with operation("job") as job, level("step") as step:
            assert current() is step
            advance(2)
        assert (job.state, step.state, current()) == ("completed", "completed", None)
        assert flush(LONGEST_SECONDS)
        (shot,) = history("job")
        assert [(child.name, child.done) for child in shot.children] == [("step", 2)]
        assert health().contained == contained
    logged = [record.getMessage() for record in caplog.records if record.name == "otel_progress"]
    assert logged == [f"otel_progress: {next(iter(contained))} failed; your program is unaffected"]
    for provider in made.values():
        provider.shutdown()


# --- callbacks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError("mine"), SystemExit(1), KeyboardInterrupt()])
def test_a_callback_that_raises_is_dropped_and_logged_once(
    progress: Capture, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told of one change; the others still hear of all, and the outbox goes on."""
    calls: list[Change] = []
    heard: list[Change] = []

    def bad(change: Change) -> None:
        calls.append(change)
        raise error

    with on_change(heard.append):
        with on_change(bad):
            for _ in range(3):
                with operation("job"):
                    pass
            assert len(progress.spans()) == 3
        with operation("job"):
            pass
        assert len(progress.spans("job")) == 4
    assert (len(calls), len(heard)) == (1, 8)  # each start and end
    assert health().contained == {"callback": 1}
    assert [record.getMessage() for record in caplog.records if record.name == "otel_progress"] == [
        "otel_progress: callback failed; your program is unaffected"
    ]


def test_a_callback_that_blocks_delays_neither_the_job_nor_the_heartbeat() -> None:
    """It can be seen to block, and flush gives up in time."""
    blocked, go = threading.Event(), threading.Event()

    def block(_: Change) -> None:
        blocked.set()
        go.wait(LONGEST_SECONDS)

    with running(), on_change(block):
        with operation("job") as job:
            assert blocked.wait(LONGEST_SECONDS)
            for _ in track(range(1_000), "rows"):
                pass
            beats(3)
            first = health().outbox_busy_seconds
            wait_until(lambda: health().outbox_busy_seconds > first, "the time it blocks grows")
        assert job.state == "completed"
        assert flush(0.05) is False
        go.set()
        assert flush(LONGEST_SECONDS)
        assert health().outbox_busy_seconds == 0.0


def test_a_callback_may_use_levels_and_ask_to_flush(progress: Capture) -> None:
    """Its levels are levels like any; a flush of the very thread that would do it says no at once."""
    answers = []

    def callback(change: Change) -> None:
        if change.level.name == "job" and change.kind == "ended":
            answers.append(flush(LONGEST_SECONDS))
            with operation("told"):
                advance(1)

    with on_change(callback):
        with operation("job"):
            pass
        assert outcomes(progress) == {"job": "completed", "told": "completed"}
    assert answers == [False]


def test_a_redactor_that_raises_costs_the_text_only(caplog: pytest.LogCaptureFixture) -> None:
    """Reasons and errors of items are not told, what they belong to is; logged once."""
    with capture_progress(redact=refuse) as progress:
        with operation("job") as job:
            job.pause("secret")
            assert (job.state, job.snapshot().reason) == ("paused", None)
            job.resume()
            job.item_failed(KeyError("secret"))
            job.fail("secret")
        span = the_span(progress, "job")
        assert (attribute(span, names.OUTCOME), attribute(span, names.FAILED)) == ("failed", 1)
        assert "secret" not in span.to_json()
        assert health().contained == {"redact": 3}
    assert len([record for record in caplog.records if record.name == "otel_progress"]) == 1


# --- sizes ------------------------------------------------------------------------------------------------------------


def test_a_thousand_levels_inside_each_other(progress: Capture) -> None:
    """They start, can be read, counted and carried, and end in order."""
    with ExitStack() as stack:
        stack.enter_context(operation("job", total=2))
        for _ in range(1_000):
            innermost = stack.enter_context(level("deep"))
        advance(3)
        progress.tick(5)
        assert current() is innermost
        assert innermost.snapshot().done == 3
        assert len(innermost.snapshot().path) == 1_001
        assert active()[0].children_live == 1
        assert len(find("job", limit=5)) == 5
        assert progress.value(names.ACTIVE.name, operation="job", level="deep", state="running") == 1_000
        assert innermost.carrier()["progress-level"] == "deep"
    assert set(outcomes_of_all(progress)) == {"completed"}
    assert len(wholes(progress)) == 1_001
    assert history()[0].children_finished == 1
    assert progress.runtime.tally.contained == {}


@pytest.mark.once
def test_ten_thousand_levels_alive_at_once(progress: Capture) -> None:
    """They are counted exactly, a snapshot lists a bounded number of them, and all end."""
    with operation("job") as job, ExitStack() as stack:
        for _ in range(10_000):
            stack.enter_context(job.level("wide", total=4)).advance()
        progress.tick(1)
        shot = job.snapshot()
        assert (shot.children_live, len(shot.children)) == (10_000, 100)
        assert health().live_levels == 10_001
        labels = {"operation": "job", "level": "wide"}
        assert progress.value(names.ACTIVE.name, **labels, state="running") == 10_000
        assert progress.value(names.LEVEL_DONE.name, **labels) == 10_000
        assert progress.value(names.LEVEL_FRACTION.name, **labels) == 0.25
    assert len(progress.spans("wide")) == 10_000
    assert (health().live_levels, dict(health().dropped)) == (0, {})
    assert current() is None


def test_more_live_levels_than_the_limit_are_dropped_from_metrics_and_counted() -> None:
    """They run, end and have their spans; only the live view leaves them out."""
    with capture_progress(live_levels_limit=3) as progress:
        with operation("job") as job, ExitStack() as stack:
            for _ in range(5):
                stack.enter_context(job.level("step")).advance()
            assert health().live_levels == 3
        assert dict(health().dropped) == {"live_levels": 3}  # of six
        assert len(progress.spans()) == 6
        assert progress.value(names.ITEMS.name, operation="job", level="step", item_outcome="ok") == 5


# --- destructors, signal handlers, the interpreter's end --------------------------------------------------------------


def test_levels_in_destructors_run_by_the_garbage_collector(progress: Capture) -> None:
    """A cycle whose clean-up uses every function, collected at any allocation of ours: no deadlock, exact numbers."""
    ran = []

    class Cycle:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            with operation("cleanup") as cleanup, level("step"):
                advance(2)
                cleanup.update(message="cleaning")
            for _ in track([1], "rows"):
                break
            active()
            ran.append(1)

    def work() -> None:
        for _ in range(300):
            Cycle()
            with operation("job"), level("step") as step:
                step.advance()
                step.count("tokens")

    before = gc.get_threshold()
    gc.set_threshold(5, 1, 1)  # nearly any line may be the one
    try:
        in_thread(work)
    finally:
        gc.set_threshold(*before)

    def all_collected() -> bool:
        gc.collect()  # does nothing while another thread, such as the outbox's, is at it
        return len(ran) == 300

    wait_until(all_collected, "every cycle is collected")
    assert progress.value(names.ITEMS.name, operation="cleanup", level="step", item_outcome="ok") == 600
    assert progress.value(names.ITEMS.name, operation="job", level="step", item_outcome="ok") == 300
    assert progress.runtime.tally.contained == {}


SCRIPT = """
import atexit, gc, os, signal, sys, threading
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
from otel_progress import advance, current, flush, health, history, level, operation, track

def one_line(span):
    return f"{span.name} {span.attributes['progress.outcome']} {span.attributes['progress.done']:.0f}\\n"

def export_spans():
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(formatter=one_line)))
    trace.set_tracer_provider(provider)
"""


def printed(body: str, *, returncode: int = 0) -> list[str]:
    """Run a script to its exit without a complaint; return the lines it printed, a span being one."""
    done = python(SCRIPT + body)
    assert done.returncode == returncode, done.stderr
    for complaint in ("Exception ignored", "Traceback", "opentelemetry"):
        assert complaint not in done.stderr
    return done.stdout.splitlines()


def test_levels_in_a_signal_handler_that_interrupts_any_line() -> None:
    """A handler that uses levels and flushes, thousands of times a second from before the first level: no deadlock."""
    body = """
metrics.set_meter_provider(MeterProvider())
trace.set_tracer_provider(TracerProvider())
handled = 0
def handler(*_):
    global handled
    with operation("signal") as job:
        advance(1)
        job.count("tokens")
        for _ in track([1, 2], "rows"): pass
    flush(0.0)
    handled += 1
    signal.setitimer(signal.ITIMER_REAL, 0.0003)
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.0003)
worked = 0
while handled < 500:
    with operation("job"), level("step"):
        advance(1)
    worked += 1
    flush(0.0)
signal.signal(signal.SIGALRM, signal.SIG_IGN)
assert current() is None
assert flush(10.0)
from otel_progress import _runtime
totals = _runtime.get().registry.read()[1]
assert totals["job", "step"].ok == worked, (totals["job", "step"], worked)
assert totals["signal", None].ok == handled
assert totals["signal", "rows"].ok == 2 * handled
print(dict(health().contained), dict(health().dropped))
"""
    assert printed(body) == ["{} {}"]


def test_a_signal_handler_that_leaves_the_program_interrupts_its_levels() -> None:
    """A SIGTERM turned into SystemExit unwinds the levels by the table."""
    body = """
export_spans()
def handler(*_):
    advance(5)
    sys.exit(143)
signal.signal(signal.SIGTERM, handler)
with operation("job"), level("step"):
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(10)
"""
    assert printed(body, returncode=143) == ["job interrupted 0", "step interrupted 5"]


def test_a_destructor_at_the_interpreters_end_is_harmless() -> None:
    """Modules are half gone by then; what it starts may be lost, and nothing is printed."""
    body = """
export_spans()
class Last:
    def __init__(self):
        self.me = self
    def __del__(self):
        with operation("late"):
            advance(1)
        flush(0.0)
sys.modules["kept to the last"] = Last()
last = Last()
with operation("job"):
    pass
"""
    assert printed(body)[:1] == ["job completed 0"]


def test_a_level_of_an_exit_handler_is_exported_by_a_flush() -> None:
    """It runs after our own exit, when Python may refuse to start a thread."""
    body = """
def at_exit():
    with operation("late"):
        advance(3)
    print(flush(5.0))
export_spans()
atexit.register(at_exit)
"""
    assert printed(body) == ["late completed 3", "True"]


def test_where_no_thread_can_be_started_the_flush_does_the_work() -> None:
    """The job runs, the missing heartbeat is logged once, and everything is exported, the last at the exit."""
    body = """
export_spans()
threading.stack_size(1 << 46)  # more than there are addresses: no thread starts
try:
    threading.Thread(target=print).start()
except RuntimeError:
    pass
else:
    raise SystemExit("a thread has started")
with operation("job") as job:
    for _ in track(range(3), "rows"): pass
print(health().outbox_length, job.state)
print(flush(5.0))
live = operation("live"); live.__enter__()
"""
    done = python(SCRIPT + body)
    assert done.returncode == 0, done.stderr
    expected = ["2 completed", "job completed 0", "rows completed 3", "True", "live interrupted 0"]
    assert done.stdout.splitlines() == expected
    assert done.stderr == ""


def test_levels_alive_at_the_end_are_interrupted() -> None:
    """In the main thread, in a daemon thread and in a suspended generator, innermost first."""
    body = """
export_spans()
inside = threading.Event()
def work():
    with operation("thread"):
        inside.set()
        threading.Event().wait()
@level
def rows():
    yield 1
with_block = operation("block"); with_block.__enter__()
suspended = rows(); next(suspended)
threading.Thread(target=work, daemon=True).start()
inside.wait()
"""
    assert printed(body) == ["thread interrupted 0", "block interrupted 0", "rows interrupted 0"]


# --- two runtimes -----------------------------------------------------------------------------------------------------


def test_levels_stay_with_the_runtime_they_started_in() -> None:
    """Replacing the runtime in the middle moves nothing: each has its levels, spans and numbers."""
    with capture_progress() as first:
        job = operation("job").__enter__()
        with capture_progress(clock=FakeClock(1_800_000_000.0)) as second:
            with level("step"):
                advance(2)
            job.advance(3)
            assert [shot.name for shot in active()] == []
            job.__exit__(None, None, None)
            with operation("own"):
                advance(5)
            assert outcomes(second) == {"step": "completed", "own": "completed"}
            assert second.value(names.ITEMS.name, operation="own", item_outcome="ok") == 5
            assert second.value(names.ITEMS.name, operation="job", level="step", item_outcome="ok") == 2
            assert second.value(names.ITEMS.name, operation="job", item_outcome="ok") is None
        assert outcomes(first) == {"job": "completed"}
        assert first.value(names.ITEMS.name, operation="job", item_outcome="ok") == 3
        assert [child.name for child in history("job")[0].children] == ["step"]
        assert current() is None


def test_a_runtime_that_was_shut_down_is_harmless() -> None:
    """Its live levels were interrupted; what starts later runs, is not exported, and keeps nothing for ever."""
    ended: list[ReadableSpan] = []

    class Keep(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            ended.append(span)

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Keep())
    with running(tracer_provider=provider) as runtime:
        with operation("live") as live:
            assert runtime.shutdown(LONGEST_SECONDS)
            assert live.state == "interrupted"
            live.advance()
            with level("late"):
                advance(1)
        started = time.monotonic()
        flush(LONGEST_SECONDS)
        assert time.monotonic() - started < LONGEST_SECONDS / 2
        assert runtime.shutdown(0.0) in {True, False}
    assert ended[0].name == "live"
    assert current() is None
