"""Config, clock, registry, instruments and both threads in one replaceable object."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import metrics, trace

from otel_progress import _drain, _instruments, _report, _rounds, _spans, names
from otel_progress._adoption import Adoption
from otel_progress._clock import SYSTEM_CLOCK
from otel_progress._config import Config
from otel_progress._contain import Tally
from otel_progress._ending import Told, outcome_of, owner, tell
from otel_progress._events import Events
from otel_progress._exits import at_worker_exit
from otel_progress._instruments import Instruments, Source, instruments_of
from otel_progress._learning import Learning
from otel_progress._model import Health
from otel_progress._outbox import Outbox
from otel_progress._registry import Registry
from otel_progress._rounds import Rounds
from otel_progress._state import Ending, LevelState
from otel_progress._subscribers import Subscribers
from otel_progress._ticker import Ticker
from otel_progress.errors import ConfigError
from otel_progress.names import State

if TYPE_CHECKING:
    from otel_progress._model import Clock
    from otel_progress.sdk import Handle

ABANDONED_GRACE_SECONDS: Final = 0.25
"""How long an abandoned end waits for the exception that may have caused it."""

EXIT_FLUSH_SECONDS: Final = 5.0
"""How long the interpreter's exit may wait for the outbox."""

_ABANDONED: Final = State.ABANDONED  # looked up once: see _state

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
        self.rounds = Rounds(self)
        self.ticker = Ticker(self.rounds.tick, self.tally, prepare=_rounds.prepare) if ticker else None
        self.subscribers = Subscribers(self)
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
        return self._recording or bool(self.subscribers) or self.learning.store is not None

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
            self.announce(level)
        if self.subscribers:
            self.subscribers.notify("started", level)

    def changed(self, level: LevelState, previous: State, reason: str | None) -> None:
        """Take in a change of state."""
        self.registry.saw(level)
        if level.announced and self.events.listening:
            at_ns = self.clock.wall_ns()
            self.outbox.put(self.events.state_changed, level, at_ns, (previous, level.state), reason)
        if self.subscribers:
            self.subscribers.notify("state_changed", level)

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
            self.announce(level)  # it ended before the ticker saw that it was old enough
        if ending.outcome is _ABANDONED:
            taken = self.outbox.put_later(ABANDONED_GRACE_SECONDS, _report.end, level)
        else:
            taken = self.outbox.put(_report.end, level)
        if not taken:  # a full queue costs the span, never a number
            self.registry.remove(level)
            _report.record_duration(level)
            _report.forget(level)
        if self.subscribers:
            self.subscribers.notify("ended", level)

    def announce(self, level: LevelState) -> None:
        """Tell of a level that has started, and is not too short to be told of."""
        level.announced = True
        if self.events.listening:
            self.outbox.put(self.events.started, level, self.clock.wall_ns(), _spans.eta_attributes(level))

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
            heartbeat_at=None if self.rounds.heartbeat_ns is None else self.rounds.heartbeat_ns / 1e9,
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
        self.rounds = Rounds(self)
        self.ticker = self.ticker and Ticker(self.rounds.tick, self.tally, prepare=_rounds.prepare)
        self.dropped.clear()
        self._look_lock = threading.RLock()
        self._looking = False
        self.subscribers.after_fork()
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
