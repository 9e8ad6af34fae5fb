"""Config, clock, registry, instruments and both threads in one replaceable object."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
import weakref
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import metrics, trace

from otel_progress import _drain, _instruments, _report, _spans, _watching, names
from otel_progress._adoption import Adoption
from otel_progress._clock import SYSTEM_CLOCK
from otel_progress._config import Config
from otel_progress._contain import Tally
from otel_progress._ending import Told, outcome_of, owner, tell
from otel_progress._events import Events
from otel_progress._exits import at_worker_exit
from otel_progress._instruments import Instruments, Source, instruments_of
from otel_progress._learning import Learning
from otel_progress._model import Change, ChangeKind, Health
from otel_progress._outbox import Outbox
from otel_progress._registry import Registry
from otel_progress._snapshot import DEPTH_SHOWN, snapshot
from otel_progress._state import Ending, LevelState
from otel_progress._ticker import Ticker
from otel_progress._usage import Usage, usage
from otel_progress.errors import ConfigError
from otel_progress.names import State

if TYPE_CHECKING:
    from otel_progress._model import Clock, Deviation
    from otel_progress.sdk import Handle

TICK_BUDGET_SECONDS: Final = 0.02
"""Time one tick may take; levels that do not fit are looked at in the next."""

ABANDONED_GRACE_SECONDS: Final = 0.25
"""How long an abandoned end waits for the exception that may have caused it."""

EXIT_FLUSH_SECONDS: Final = 5.0
"""How long the interpreter's exit may wait for the outbox."""

FRESH_SECONDS: Final = 0.5
"""Age up to which a sample serves a reader; only then is the level looked at outside the ticker."""

_ABANDONED: Final = State.ABANDONED  # looked up once: see _state
_RETRYING: Final = State.RETRYING

Callback = Callable[[Change], object]

Moment = tuple[float, int]
"""Monotonic seconds and wall nanoseconds."""


class Runtime:
    """
    Everything that levels share. Thread-safe; replaced as a whole by `configure` and by tests.

    Providers given here are used; otherwise the global ones, looked up at each operation, so a provider set later
    counts from the next operation on. Without any the levels exist, and nothing is recorded and no thread started.
    """

    def __init__(
        self,
        config: Config | None = None,
        *,
        clock: Clock = SYSTEM_CLOCK,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
        logger_provider: Any | None = None,  # noqa: ANN401  # the type is not public
        ticker: bool = True,
        tally: Tally | None = None,
    ) -> None:
        self.tally = tally or Tally()
        self.config = config or self._environment()
        self.enabled = self.config.enabled
        self.clock = clock
        self.registry = Registry(
            self.tally,
            history_limit=self.config.history_limit,
            live_limit=self.config.live_levels_limit,
            label_sets_limit=self.config.label_sets_limit,
        )
        self.outbox = Outbox(self.tally)
        self.ticker = Ticker(self.tick, self.tally) if ticker else None
        self.events = Events(logger_provider)
        self.adoption = Adoption(self)
        self.learning = Learning(self)
        self.dropped: deque[tuple[LevelState, Moment | None]] = deque()
        """
        Levels whose iterator vanished, and when, and levels that could not be ended for want of stack: a destructor may
        run anywhere, so it only appends; `reap` does the rest.
        """
        self.holding: dict[int, LevelState] = {}
        """Levels that have ended, whose spans wait for the one above them; the outbox's thread alone changes it."""
        self.tracer = tracer_provider.get_tracer(names.SCOPE) if tracer_provider is not None else None
        self._recording = any(given is not None for given in (tracer_provider, meter_provider, logger_provider))
        self._meter_provider = meter_provider
        self.instruments: Instruments | None = None
        # Covers the creation of tracer and instruments; reentrant, for signal handlers and destructors with levels.
        self._look_lock = threading.RLock()
        self._looking = False
        self._callbacks: tuple[Callback, ...] = ()
        self._callbacks_lock = threading.RLock()  # covers changes of the tuple; readers take it as it is
        self._next_key = 0
        self._usage: Usage | None = None
        self._heartbeat_ns: int | None = None
        self._meters_seen: metrics.MeterProvider | None = None
        self._exit_hooked = False
        self._unhook_threads: Callable[[], None] | None = None
        self.setup: Handle | None = None
        """What `configure` has set up around this runtime."""
        self._make_meters: Callable[[], metrics.MeterProvider] | None = None
        _runtimes.add(self)

    def _environment(self) -> Config:
        # Nobody is configuring here: a wrong variable is logged, and the defaults hold.
        try:
            return Config.make()
        except ConfigError as error:
            self.tally.log_once("config", "otel_progress: %s; using the defaults", error)
            return Config.make({})

    # --- what levels call -------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Look for global providers; called at the start of each operation."""
        with self._look_lock:
            if self._looking:  # we were interrupted in the middle, perhaps under a lock of the SDK
                return
            self._looking = True
            try:
                self._look()
            except Exception as error:  # noqa: BLE001  # a provider that fails costs its telemetry, not the levels
                self.tally.contain("providers", error)
            finally:
                self._looking = False

    def _look(self) -> None:
        if self.tracer is None:
            provider = trace.get_tracer_provider()
            if not isinstance(provider, trace.ProxyTracerProvider):
                self.tracer = provider.get_tracer(names.SCOPE)
                self._recording = True
                self._exit_hooked = False
        meters = metrics.get_meter_provider()
        if meters is not self._meters_seen:
            self._meters_seen = meters
            self._recording = self._recording or not type(meters).__name__.startswith(("_Proxy", "NoOp"))
            self._exit_hooked = False
        self._recording = self._recording or self.events.listening
        if not self._recording:
            return
        if not self._exit_hooked:
            self._exit_hooked = True
            atexit.unregister(self._at_exit)
            atexit.register(self._at_exit)  # after the providers' own hooks, to run before them
            at_worker_exit(self._worker_failed, self._at_worker_exit)
            self._hook_threads()
        if self.instruments is None:
            # Here, and not by the ticker when it first watches a level: a fork amid an import hangs in the child.
            import_module("otel_progress.deviation")
            if self._make_meters is not None:
                self._meter_provider = self._make_meters()
            source = Source(self.registry, self.tally, self.reap)
            self.instruments = instruments_of(self._meter_provider, source, self.clock)

    def own_meters(self, make: Callable[[], metrics.MeterProvider]) -> None:
        """In a forked child: count from 0, with a meter provider made when the next level starts."""
        self._make_meters, self.instruments = make, None

    def _hook_threads(self) -> None:
        """Hear of exceptions that leave a thread; whoever was told of them so far still is."""
        if self._unhook_threads is not None:
            return
        before = threading.excepthook

        def hook(args: threading.ExceptHookArgs) -> None:
            with self.tally.containing("excepthook"):
                if args.exc_value is not None:
                    self.thread_failed(args.exc_value)
            before(args)

        def unhook() -> None:
            if threading.excepthook is hook:
                threading.excepthook = before

        threading.excepthook = hook
        self._unhook_threads = unhook

    @property
    def busy(self) -> bool:
        """Whether anything records or listens: without it there is no work for the threads."""
        return self._recording or bool(self._callbacks) or self.learning.store is not None

    def started(self, level: LevelState) -> None:
        """Take in a level that has started; its span has been started by the caller."""
        self.registry.add(level)
        if not self.busy:
            return
        if self.ticker is not None:
            self.ticker.wake()
        if level.is_operation:
            self.learning.prefetch(level)
            self.registry.saw(level)  # its series has its place before those of its levels, which may be many
        if level.is_operation or self.config.short_level_events:
            self._announce(level)
        if self._callbacks:
            self._notify("started", level)

    def changed(self, level: LevelState, previous: State, reason: str | None) -> None:
        """Take in a change of state."""
        self.registry.saw(level)
        if level.announced and self.events.listening:
            at_ns = self.clock.wall_ns()
            self.outbox.put(self.events.state_changed, level, at_ns, (previous, level.state), reason)
        if self._callbacks:
            self._notify("state_changed", level)

    def end(
        self,
        level: LevelState,
        outcome: State,
        error: BaseException | str | None = None,
    ) -> None:
        """End a level, once: freeze its numbers, end the iterators it leaves behind, hand it to the outbox."""
        if self.dropped:
            self.reap()
        self._end(level, outcome, error)

    def _end(
        self,
        level: LevelState,
        outcome: State,
        error: BaseException | str | None = None,
        at: Moment | None = None,
    ) -> None:
        try:
            now, now_ns = at or (self.clock.monotonic(), self.clock.wall_ns())
            if now_ns < level.started_ns:  # noqa: PLR1730  # max() takes ten times as long
                now_ns = level.started_ns  # a wall clock set back must not make a span end before it starts
            if error is None or outcome is State.COMPLETED:  # an exit with success is no error
                ending = Ending(outcome, now, now_ns)
            else:
                ending = Ending(outcome, now, now_ns, *self.tell(error, stack=outcome is State.FAILED))
            if level.iterators:
                self._end_iterators(level, outcome, error)
            if level.end(ending):
                self._ended(level, ending)
        except RecursionError:  # at the bottom of a stack there is no room for us: whoever comes next ends it
            self.dropped.append((level, at))
        except Exception as failure:  # noqa: BLE001  # a program must not fail because its progress cannot be told
            self.tally.contain("end", failure)

    def finish(self, level: LevelState, ending: Ending) -> None:
        """End a level as its adopted span was ended."""
        if level.iterators:
            self._end_iterators(level, ending.outcome, None)
        if level.end(ending):
            self._ended(level, ending)

    def tell(self, error: BaseException | str, *, stack: bool) -> Told:
        """Return what telemetry may say about an error."""
        return tell(error, self.config.redact, self.tally, stack=stack)

    def _end_iterators(self, level: LevelState, outcome: State, error: BaseException | str | None) -> None:
        """End the iterators that outlived their loop (kept by a traceback or a variable), if they are this caller's."""
        here = owner()
        for child in list((level.iterators or {}).values()):
            if child.run_by == here:
                self._end(child, State.FAILED if outcome is State.FAILED else State.ABANDONED, error)

    def _ended(self, level: LevelState, ending: Ending) -> None:
        level.handle = None
        if level.parent is None:
            self.registry.remember(level)
        if not self.busy:
            self.registry.remove(level)
            return
        if not level.announced and ending.at - level.started >= self.config.open_after_seconds:
            self._announce(level)  # it ended before the ticker saw that it was old enough
        if ending.outcome is _ABANDONED:
            taken = self.outbox.put_later(ABANDONED_GRACE_SECONDS, _report.end, level)
        else:
            taken = self.outbox.put(_report.end, level)
        if not taken:  # a full queue costs the span, never a number
            self.registry.remove(level)
            _report.record_duration(level)
            _report.forget(level)
        if self._callbacks:
            self._notify("ended", level)

    def _announce(self, level: LevelState) -> None:
        level.announced = True
        if self.events.listening:
            self.outbox.put(self.events.started, level, self.clock.wall_ns(), _spans.eta_attributes(level))

    def _show(self, level: LevelState, now: float) -> None:
        """Have a level that is old enough shown in its trace, and say from time to time how far it is."""
        if not level.shown:
            level.shown = self.outbox.put(_report.show, level, self.clock.wall_ns(), _spans.live_attributes(level))
            level.checkpoint_due = now + self.config.checkpoint_seconds
            if not level.announced:
                self._announce(level)
        elif now >= level.checkpoint_due and not self.outbox.is_half_full:
            level.checkpoint_due = now + _report.checkpoint_interval(level, now, self.registry.size)
            self.outbox.put(
                _report.checkpoint, level, self.clock.wall_ns(), _spans.live_attributes(level, metadata=False)
            )

    def end_by_span(self, level: LevelState, at_ns: int | None) -> None:
        """End a level because the program ended its span, at the time that it gave."""
        now, now_ns = self.clock.monotonic(), self.clock.wall_ns()
        seconds = 0.0 if at_ns is None else (now_ns - at_ns) / 1e9
        self._end(level, State.COMPLETED, at=(now - seconds, now_ns if at_ns is None else at_ns))

    def reap(self) -> None:
        """End the levels whose iterators have vanished."""
        for _ in range(len(self.dropped)):
            try:
                level, at = self.dropped.popleft()
            except IndexError:  # another thread took it
                return
            self._end(level, State.ABANDONED, at=at)

    # --- the ticker ---------------------------------------------------------------------------------------------------

    def tick(self) -> bool:
        """
        Look at the live levels: sample, estimate, beat. Return whether there are any.

        Levels are taken in turn until the budget is spent, the newest first, so that children come before their
        parents, which count their shares. The next tick goes on below where this one stopped: by key, because levels
        come and go meanwhile.
        """
        self._heartbeat_ns = self.clock.wall_ns()
        if self.instruments is not None:
            self.instruments.heartbeat_ns = self._heartbeat_ns
        self.reap()
        if self.adoption.waiting:
            with self.tally.containing("adoption"):
                self.adoption.poll()
        levels = self.registry.live()
        if levels:
            self._usage = usage()
        if levels or self.learning.unwritten:
            self.learning.write_live()
        first = bisect_left(levels, self._next_key, key=lambda level: level.key) or len(levels)
        # Time as the process has it: a budget counts what the thread really takes from the program.
        until = time.perf_counter() + TICK_BUDGET_SECONDS
        self._next_key = 0
        for level in (*reversed(levels[:first]), *reversed(levels[first:])):
            now = self.clock.monotonic()
            self._look_at(level, now)
            if self.busy:
                self._watch(level, now)
            if time.perf_counter() > until and self.ticker is not None:
                self._next_key = level.key
                break
        return bool(levels or self.adoption.waiting or self.learning.unwritten)

    def _look_at(self, level: LevelState, now: float) -> None:
        state = level.state
        try:
            if self.adoption.levels:
                self.adoption.refresh(level)
            if level.estimator is None:
                self.learning.recall(level)
            level.sample(now, self.config.eta_method, self._usage if level.is_operation else None)
        except Exception as error:  # noqa: BLE001  # one level's odd numbers must not stop the others
            self.tally.contain("sample", error)
        if not self.busy:
            return
        if state is _RETRYING and level.state is State.RUNNING:
            self.changed(level, state, None)
        if now - level.started >= self.config.open_after_seconds:
            self._show(level, now)
        if self._callbacks and level.reported != (reported := (level.last_done, level.message, level.share)):
            level.reported = reported
            self._notify("advanced", level)

    def _watch(self, level: LevelState, now: float) -> None:
        """Check a level for deviations, and tell of those that began or are over. The ticker's thread alone does."""
        try:
            began, over = _watching.look(level, now, self.config.rules)
        except Exception as error:  # noqa: BLE001  # as above
            self.tally.contain("deviation", error)
            return
        told: tuple[tuple[ChangeKind, list[Deviation], Callable[..., None]], ...] = (
            ("deviation", began, self.events.deviates),
            ("recovered", over, self.events.recovered),
        )
        for kind, deviations, tell_of in told:
            for deviation in deviations:
                if self.events.listening:
                    self.outbox.put(tell_of, level, self.clock.wall_ns(), deviation)
                if self._callbacks:
                    self._notify(kind, level, deviation)

    def freshen(self, level: LevelState, depth: int = DEPTH_SHOWN) -> None:
        """Sample a level and its children for a reader, where the last sample is old."""
        now = self.clock.monotonic()
        for child in list((level.children or {}).values())[:100] if depth else ():
            self.freshen(child, depth - 1)
        if level.ending is None and (level.sampled_at is None or now - level.sampled_at >= FRESH_SECONDS):
            self._look_at(level, now)

    # --- subscribers --------------------------------------------------------------------------------------------------

    def subscribe(self, callback: Callback) -> None:
        """Add a callback; it is called by the outbox's thread."""
        with self._callbacks_lock:
            self._callbacks = (*self._callbacks, callback)
        if self.ticker is not None and len(self.registry):
            self.ticker.wake()

    def unsubscribe(self, callback: Callback) -> None:
        """Remove a callback; one that is not there is no error."""
        with self._callbacks_lock:
            self._callbacks = tuple(other for other in self._callbacks if other is not callback)

    def _notify(self, kind: ChangeKind, level: LevelState, deviation: Deviation | None = None) -> None:
        if self.outbox.is_half_full:  # a callback that is too slow must not crowd out the spans
            self.tally.drop("changes_full")
            return
        change = Change(kind, snapshot(level, self.clock.monotonic(), self.clock.wall_ns(), depth=0), deviation)
        self.outbox.put(self._call_back, change)

    def _call_back(self, change: Change) -> None:
        for callback in self._callbacks:
            try:
                callback(change)
            except BaseException as error:  # noqa: BLE001  # dropped: one that failed once fails at every change
                self.unsubscribe(callback)
                self.tally.contain("callback", error)

    # --- endings ------------------------------------------------------------------------------------------------------

    def flush(self, timeout_seconds: float) -> bool:
        """Have everything that has ended handed to OpenTelemetry; ``False`` on timeout."""
        self.reap()
        if self.holding or not self.outbox.is_idle:
            # After the ends that wait for what may have caused them.
            self.outbox.put_later(0.0, _report.release_all, self)
        return self.outbox.flush(timeout_seconds)

    def export(self, timeout_seconds: float) -> bool:
        """Flush, and have the providers export, where the process may end without their own hooks."""
        if self.setup is not None:
            return self.setup.flush(timeout_seconds)
        deadline = time.monotonic() + timeout_seconds
        flushed = self.flush(timeout_seconds)
        return _drain.each(_drain.flush, _drain.standing(), deadline, self.tally) and flushed

    def shutdown(self, timeout_seconds: float = EXIT_FLUSH_SECONDS, reason: str | None = None) -> bool:
        """End what is live as interrupted, flush, and stop both threads."""
        self.reap()
        self.interrupt(reason)
        self.adoption.forget()
        self.learning.close()
        flushed = self.flush(timeout_seconds)
        if self.ticker is not None:
            self.ticker.stop()
        self.outbox.stop()
        atexit.unregister(self._at_exit)
        if self._unhook_threads is not None:
            self._unhook_threads()
            self._unhook_threads = None
        return flushed

    def interrupt(self, reason: str | None = None) -> None:
        """End every live level as interrupted, children first; the reason, such as a signal's name, is told."""
        for level in reversed(self.registry.live()):
            level.reason = reason or level.reason
            self.end(level, State.INTERRUPTED)

    def thread_failed(self, error: BaseException) -> None:
        """Take in that an exception has left this thread: what it abandoned on its way has failed."""
        self.reap()
        if outcome_of(error) is not State.FAILED:
            return
        ending = Ending(State.FAILED, 0.0, 0, self.tell(error, stack=False)[0])
        for level in self.registry.finished():
            if level.run_by is not None and level.run_by[0] == owner()[0]:
                level.fail_after_all(ending)

    def _at_exit(self) -> None:
        with self.tally.containing("exit"):
            error = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
            if error is not None:
                self.thread_failed(error)
            self.interrupt()
            self.learning.close()
            self.flush(EXIT_FLUSH_SECONDS)

    def _worker_failed(self, error: BaseException) -> None:
        with self.tally.containing("exit"):
            self.thread_failed(error)

    def _at_worker_exit(self) -> None:
        with self.tally.containing("exit"):
            self.interrupt()
            self.export(EXIT_FLUSH_SECONDS)

    def health(self) -> Health:
        """Return how this package is doing."""
        dropped, ignored, contained = self.tally.as_mappings()
        return Health(
            enabled=self.enabled,
            live_levels=len(self.registry),
            finished_operations=len(self.registry.finished()),
            heartbeat_at=None if self._heartbeat_ns is None else self._heartbeat_ns / 1e9,
            outbox_length=len(self.outbox),
            outbox_busy_seconds=self.outbox.busy_seconds,
            export_kept=MappingProxyType({signal: count for signal, count in self.tally.kept.items() if count}),
            dropped=dropped,
            ignored=ignored,
            contained=contained,
        )

    def after_fork(self) -> None:
        """In the child: the live levels are the parent's to end and to tell of, and the threads are gone."""
        ending = Ending(State.ABANDONED, self.clock.monotonic(), self.clock.wall_ns())
        for level in self.registry.live():
            level.lock = threading.RLock()
            level.inherited = True
            level.ending = ending
            level.cells.clear()  # whoever still advances it is told, as after any end
        self.registry.forget()
        self.adoption.after_fork()
        self.outbox._stopped = True  # forked by a callback, its thread is this one, and must not go on with the queue
        self.outbox = Outbox(self.tally)
        self.holding.clear()
        self.learning.after_fork()
        self.ticker = self.ticker and Ticker(self.tick, self.tally)
        self.dropped.clear()
        self._heartbeat_ns = None
        self._look_lock = threading.RLock()
        self._looking = False
        self._callbacks_lock = threading.RLock()
        self.tally.after_fork()
        self._exit_hooked = False  # the child may leave in another way
        if self.instruments is not None:
            self.instruments.after_fork()


_runtime: Runtime | None = None
_runtime_lock = threading.RLock()  # covers the creation of the default runtime; reentrant as above
_runtimes: weakref.WeakSet[Runtime] = weakref.WeakSet()
"""All there are: one that was replaced keeps its levels, and must let go of them after a fork."""


def get() -> Runtime:
    """Return the runtime in use, making the default one at the first call."""
    global _runtime  # noqa: PLW0603  # the one replaceable instance
    if _runtime is None:
        with _runtime_lock:
            if _runtime is None:
                made = Runtime()
                _runtime = _runtime or made  # a signal handler may have made one meanwhile
    return _runtime


def replace(runtime: Runtime | None) -> Runtime | None:
    """Put another runtime in place and return the one before; levels already started stay with theirs."""
    global _runtime  # the one replaceable instance
    previous, _runtime = _runtime, runtime
    return previous


def everyone() -> list[Runtime]:
    """Return the runtime in use, and those that were replaced but are still there."""
    return list(_runtimes)


def _after_fork() -> None:
    global _runtime_lock  # noqa: PLW0603  # another thread of the parent may have held it
    _runtime_lock = threading.RLock()
    _instruments.after_fork()
    for runtime in list(_runtimes):
        runtime.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
