"""The metrics: instruments made from `names`, whose callbacks read one view of the registry per collection."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation

from otel_progress import names
from otel_progress._clock import SYSTEM_CLOCK
from otel_progress._registry import Totals
from otel_progress.names import Metric

if TYPE_CHECKING:
    from otel_progress._contain import Tally
    from otel_progress._model import Clock
    from otel_progress._registry import Labels, Registry
    from otel_progress._state import LevelState

Attributes = dict[str, str]
Rows = list[tuple[float, Attributes]]
View = dict[Metric, Rows]


class Source(NamedTuple):
    """Where numbers come from: the registry and tally of one runtime, and what to do before they are read."""

    registry: Registry
    tally: Tally
    before: Callable[[], None]


class Instruments:
    """
    Every instrument of one meter.

    Each is observed through a callback. All callbacks of one collection read the same view, so that done and limit
    agree; a view is made anew as soon as an instrument asks a second time. Nothing is computed per advance.

    There can be several sources: when `configure` replaces the runtime, the levels and totals of the one before remain.
    """

    def __init__(self, meter: Meter, source: Source, clock: Clock = SYSTEM_CLOCK) -> None:
        self._sources: tuple[Source, ...] = (source,)
        self._tally = source.tally
        self._clock = clock
        self._lock = threading.Lock()  # covers the view in use and who has read it
        self._view: View = {}
        self._served: set[Metric] = set()
        self.heartbeat_ns: int | None = None
        """Unix nanoseconds of the ticker's last round; written by the ticker alone."""
        create = {
            "observable counter": meter.create_observable_counter,
            "observable up-down counter": meter.create_observable_up_down_counter,
            "observable gauge": meter.create_observable_gauge,
        }
        for metric in names.METRICS:
            if metric.kind in create:
                create[metric.kind](metric.name, [self._callback(metric)], metric.unit, metric.brief)
        self._duration = meter.create_histogram(
            names.LEVEL_DURATION.name,
            names.LEVEL_DURATION.unit,
            names.LEVEL_DURATION.brief,
            explicit_bucket_boundaries_advisory=names.DURATION_BOUNDARIES,
        )

        self._eta_error = meter.create_histogram(
            names.ETA_ERROR.name,
            names.ETA_ERROR.unit,
            names.ETA_ERROR.brief,
            explicit_bucket_boundaries_advisory=names.ETA_ERROR_BOUNDARIES,
        )

    def also(self, source: Source) -> None:
        """Show another runtime's numbers as well."""
        self._sources = (*self._sources, source)

    def after_fork(self) -> None:
        """In the child: another thread of the parent may have held the lock."""
        self._lock = threading.Lock()
        self.heartbeat_ns = None

    def record_duration(self, level: LevelState) -> None:
        """Record how long an ended level took, in its own context so that exemplars link to its trace."""
        if level.ending is not None:
            attributes = label_attributes(level.runtime.registry.labels(level))
            attributes[names.OUTCOME] = level.ending.outcome._value_
            self._duration.record(max(level.ending.at - level.started, 0.0), attributes, level.context)

    def record_eta_errors(self, level: LevelState, errors: Iterable[float]) -> None:
        """Record how wrong the promises of an ended level were."""
        attributes = label_attributes(level.runtime.registry.labels(level))
        for error in errors:
            self._eta_error.record(error, attributes, level.context)

    def _callback(self, metric: Metric) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def observe(_: CallbackOptions) -> Iterable[Observation]:
            try:
                return [Observation(_carried(value), attributes) for value, attributes in self._rows(metric)]
            except Exception as error:  # noqa: BLE001  # OTel would log it as its own error, at every collection
                self._tally.contain("metrics", error)
                return []

        return observe

    def _rows(self, metric: Metric) -> Rows:
        with self._lock:
            if metric in self._served or not self._served:
                self._served.clear()
                self._view = self._make_view()
            self._served.add(metric)
            return self._view.get(metric, [])

    def _make_view(self) -> View:
        totals: dict[Labels, Totals] = {}
        groups: dict[Labels, list[LevelState]] = {}
        for source in self._sources:
            source.before()
            live, ended = source.registry.read()
            for labels, done in ended.items():
                totals.setdefault(labels, Totals()).merge(done)
                groups.setdefault(labels, [])
            for level in live:
                labels = source.registry.labels(level)
                groups[labels].append(level)
                onsets = None if level.outlook is None else level.outlook.onsets
                totals[labels].add(level.counts(), level.counters, onsets)
        view: View = {metric: [] for metric in names.METRICS}
        now, now_ns = self._clock.monotonic(), self._clock.wall_ns()
        for labels, levels in groups.items():
            attributes = label_attributes(labels)
            for metric, value, extra in _totals_rows(totals[labels], levels):
                view[metric].append((value, attributes | extra))
            for gauge, reading in self._gauges(levels, now, now_ns):
                if reading is not None:
                    view[gauge].append((reading, attributes))
        tallies = [source.tally for source in self._sources]
        for metric, key, counters in (
            (names.TELEMETRY_DROPPED, names.REASON, [tally.dropped for tally in tallies]),
            (names.TELEMETRY_IGNORED, names.REASON, [tally.ignored for tally in tallies]),
            (names.TELEMETRY_CONTAINED, names.REASON, [tally.contained for tally in tallies]),
            (names.TELEMETRY_KEPT, names.SIGNAL, [tally.kept for tally in tallies]),
        ):
            counts: Counter[str] = Counter()
            for counter in counters:
                counts.update(dict(counter))
            view[metric] = [(value, {key: word}) for word, value in counts.items()]
        return view

    def _gauges(self, levels: list[LevelState], now: float, now_ns: int) -> Iterator[tuple[Metric, float | None]]:
        """Yield the live gauges of one label set: counts summed over levels of one unit, else the worst taken."""
        alive = [level for level in levels if level.ending is None]
        if not alive:
            return
        same = [level for level in alive if level.unit == alive[0].unit]
        for level in alive:
            if level.unit != alive[0].unit and not level.unit_conflict_counted:
                level.unit_conflict_counted = True
                self._tally.drop("unit_conflict")
        totals = [level.total for level in same]
        known = [total for total in totals if total is not None]
        yield names.LEVEL_DONE, sum(level.done for level in same)
        if len(known) == len(totals):
            yield names.LEVEL_LIMIT, sum(known)
        yield names.LEVEL_FRACTION, _fraction(same)
        # Each is read once: it is gone when the level ends, which may be now.
        rates = [rate for level in same if level.outlook and (rate := level.outlook.rate) is not None]
        yield names.LEVEL_RATE, sum(rates) if rates else None
        yield names.LEVEL_ELAPSED, max(now - level.started for level in alive)
        # An estimate counts down since it was made; the end it promises stands still.
        estimates = [made for level in alive if level.outlook and (made := level.outlook.estimated(now))]
        if estimates:
            expected = max(estimate.expected - age for estimate, age in estimates)
            yield names.LEVEL_ETA, max(expected, 0.0)
            yield names.LEVEL_ETA_LOW, max(0.0, *(estimate.low - age for estimate, age in estimates))
            yield names.LEVEL_ETA_HIGH, max(0.0, *(estimate.high - age for estimate, age in estimates))
            yield names.LEVEL_EXPECTED_END, now_ns / 1e9 + expected
        yield names.LEVEL_LAST_ADVANCE, now_ns / 1e9 - max(now - level.last_advance for level in alive)
        yield names.LEVEL_HEARTBEAT, None if self.heartbeat_ns is None else self.heartbeat_ns / 1e9
        yield names.QUALITY_GAUGE, min((level.quality for level in alive if level.quality is not None), default=None)


_shared: tuple[Instruments, ...] = ()
_shared_lock = threading.RLock()  # covers the creation of the shared instruments


def after_fork() -> None:
    """In the child: another thread of the parent may have held the lock."""
    global _shared_lock  # noqa: PLW0603  # as above
    _shared_lock = threading.RLock()


def instruments_of(provider: MeterProvider | None, source: Source, clock: Clock) -> Instruments:
    """
    Return the instruments of a provider, ``None`` for the global one, showing ``source``.

    Those of the global provider are made once for all runtimes: a second instrument of the same name would be given the
    callbacks of the first.
    """
    global _shared  # noqa: PLW0603  # one for the process, as is the global provider
    if provider is not None and provider is not metrics.get_meter_provider():
        return Instruments(provider.get_meter(names.SCOPE), source, clock)
    with _shared_lock:
        if _shared:
            _shared[0].also(source)
        else:
            _shared = (Instruments(metrics.get_meter(names.SCOPE), source, clock),)
        return _shared[0]


def _carried(value: float) -> float:
    # An integer that OTLP cannot carry would drop the whole batch it travels in.
    return value if type(value) is not int or value.bit_length() < 64 else float(value)  # noqa: PLR2004


def label_attributes(labels: Labels) -> Attributes:
    """Return the metric attributes of a label set."""
    operation, level = labels
    return {names.OPERATION: operation} if level is None else {names.OPERATION: operation, names.LEVEL: level}


def _totals_rows(totals: Totals, levels: list[LevelState]) -> Iterator[tuple[Metric, float, Attributes]]:
    for outcome in names.ItemOutcome:
        yield names.ITEMS, getattr(totals, outcome.value), {names.ITEM_OUTCOME: outcome.value}
    if totals.bytes:
        yield names.BYTES_DONE, totals.bytes, {}
    states = [level.state for level in levels if level.ending is None]
    for state in names.LIVE_STATES:
        if state in totals.states or state in states:
            yield names.ACTIVE, states.count(state), {names.STATE: state.value}
    for (name, unit), value in totals.counters.items():
        yield names.COUNTER, value, {names.COUNTER_NAME: name, names.COUNTER_UNIT: unit}
    holding = {(held.kind, held.severity) for level in levels if level.outlook for held in level.outlook.deviations}
    for (kind, severity), value in totals.onsets.items():
        how = {names.DEVIATION_KIND: kind.value, names.SEVERITY: severity.value}
        yield names.DEVIATIONS, value, how
        yield names.DEVIATION, int((kind, severity) in holding), how


def _fraction(levels: list[LevelState]) -> float | None:
    """Share done of several levels: of their totals together where all are known, else the mean of their shares."""
    parts: list[tuple[float, float]] = []
    for level in levels:
        done, total = level.progress()
        if total is None:
            return None
        parts.append((done, total))
    if all(level.total is not None for level in levels):
        total = sum(total for _, total in parts)
        return min(sum(done for done, _ in parts) / total, 1.0) if total > 0 else 1.0
    return sum(min(done / total, 1.0) if total > 0 else 1.0 for done, total in parts) / len(parts)
