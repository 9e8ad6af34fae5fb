"""
What other tools show, from their sources, each fed with ``record`` and asked with ``left``.

tqdm and rich are checked against the real libraries on a fake clock by ``tests/unit/test_eta_peers.py``. The others are
written from the reading of their sources; where a tool looks at fixed moments, it does so ten times a second here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from itertools import pairwise
from math import ceil
from typing import Final, Protocol

from otel_progress import Profile

TICK_SECONDS: Final = 0.1


class Peer(Protocol):
    """A tool's time left: seconds, or ``None`` where it shows none."""

    def record(self, done: float, now: float) -> None:
        """Take in that ``done`` are done at ``now``."""
        ...

    def set_total(self, total: float, now: float) -> None:
        """Take in a total."""
        ...

    def left(self, now: float) -> float | None:
        """Return the seconds left that are shown."""
        ...


class _Peer:
    """Counts; the clock starts at 0."""

    def __init__(self) -> None:
        self.done = 0.0
        self.total = 0.0

    def record(self, done: float, now: float) -> None:
        self.done = done

    def set_total(self, total: float, now: float) -> None:
        self.total = total

    @property
    def open(self) -> float:
        return self.total - self.done


class Mean(_Peer):
    """wget, curl, ninja without a log, tqdm with ``smoothing=0``: the rest at the speed of the whole run."""

    def left(self, now: float) -> float | None:
        return self.open * now / self.done if self.done else None


class Tqdm(_Peer):
    """tqdm 4: the ratio of two averages over refreshes, which happen on an update a tenth of a second or more later."""

    def __init__(self, interval: float = 0.1, smoothing: float = 0.3) -> None:
        super().__init__()
        self._interval, self._smoothing = interval, smoothing
        self._units = self._seconds = self._calls = 0.0
        self._printed = self._printed_at = 0.0
        self._shown: float | None = None
        self._every = 0.0
        self._every_average = self._every_calls = 0.0

    def record(self, done: float, now: float) -> None:
        super().record(done, now)
        units, seconds = done - self._printed, now - self._printed_at
        if units < self._every or seconds < self._interval:
            return
        a = self._smoothing
        if units and seconds:
            self._units = a * units + (1 - a) * self._units
            self._seconds = a * seconds + (1 - a) * self._seconds
            self._calls += 1
        rate = self._units / self._seconds if self._seconds else done / now if now else 0.0
        self._shown = self.open / rate if rate else None
        # It looks at the clock only after as many updates as came between two refreshes before.
        if seconds >= 10:
            self._every = units * self._interval / seconds
        else:
            self._every_average = a * units * self._interval / seconds + (1 - a) * self._every_average
            self._every_calls += 1
            self._every = self._every_average / (1 - (1 - a) ** self._every_calls)
        self._printed, self._printed_at = done, now

    def left(self, now: float) -> float | None:
        return self._shown


class Rich(_Peer):
    """rich 15: what came in the last 30 s, or in the last 1000 updates, over the time from the first of them on."""

    def __init__(self, period: float = 30.0) -> None:
        super().__init__()
        self._period = period
        self._samples: deque[tuple[float, float]] = deque()

    def record(self, done: float, now: float) -> None:
        units = done - self.done
        super().record(done, now)
        while self._samples and self._samples[0][0] < now - self._period:
            self._samples.popleft()
        while len(self._samples) > 1000:
            self._samples.popleft()
        self._samples.append((now, units))

    def set_total(self, total: float, now: float) -> None:
        if total != self.total:
            self._samples.clear()
        super().set_total(total, now)

    def left(self, now: float) -> float | None:
        if len(self._samples) < 2:
            return None
        seconds = self._samples[-1][0] - self._samples[0][0]
        units = sum(units for _, units in self._samples) - self._samples[0][1]
        return ceil(self.open * seconds / units) if seconds and units else None


class Indicatif(_Peer):
    """indicatif 0.18: a speed averaged twice, both with nine tenths of the weight in 15 s, aged by silence."""

    def __init__(self, seconds: float = 15.0) -> None:
        super().__init__()
        self._constant = seconds
        self._once = self._twice = self._at = 0.0

    def _kept(self, seconds: float) -> float:
        return 0.1 ** (seconds / self._constant)

    def record(self, done: float, now: float) -> None:
        units, seconds = done - self.done, now - self._at
        if units <= 0 or seconds <= 0:
            return
        super().record(done, now)
        kept = self._kept(seconds)
        self._once = self._once * kept + units / seconds * (1 - kept)
        self._twice = self._twice * kept + self._once / (1 - self._kept(now)) * (1 - kept)
        self._at = now

    def left(self, now: float) -> float | None:
        if not self._twice:
            return None
        kept, whole = self._kept(now - self._at), 1 - self._kept(now)
        speed = (self._twice * kept + self._once * kept / whole * (1 - kept)) / whole
        return self.open / speed if speed > 0 else None


class _Ticking(_Peer, ABC):
    """Looks ten times a second, whatever happens between."""

    def __init__(self) -> None:
        super().__init__()
        self._next = TICK_SECONDS

    @abstractmethod
    def _tick(self, now: float) -> None:
        """Take one of these looks."""

    def _until(self, now: float) -> None:
        while self._next <= now:
            self._tick(self._next)
            self._next += TICK_SECONDS

    def record(self, done: float, now: float) -> None:
        self._until(now)
        super().record(done, now)


class AliveProgress(_Ticking):
    """alive-progress 3: units left and speed of the whole run, both smoothed."""

    def __init__(self) -> None:
        super().__init__()
        self._left: float | None = None
        self._speed: float | None = None

    def _tick(self, now: float) -> None:
        speed = self.done / now
        self._speed = speed if self._speed is None else self._speed + 0.3 * (speed - self._speed)
        if self._speed:
            left = self.open / self._speed
            self._left = left if self._left is None else self._left + 0.5 * (left - self._left)

    def left(self, now: float) -> float | None:
        self._until(now)
        return self._left


class Chromium(_Peer):
    """Chromium's downloads: the speed of the last ten seconds."""

    def __init__(self, seconds: float = 10.0) -> None:
        super().__init__()
        self._window = seconds
        self._samples: deque[tuple[float, float]] = deque([(0.0, 0.0)])

    def record(self, done: float, now: float) -> None:
        super().record(done, now)
        self._samples.append((now, done))

    def left(self, now: float) -> float | None:
        begin = max(now - self._window, 0.0)
        while len(self._samples) > 1 and self._samples[1][0] <= begin:
            self._samples.popleft()
        units = self.done - self._samples[0][1]
        return self.open * (now - begin) / units if units > 0 else None


class DuckDb(_Ticking):
    """
    DuckDB's filter (its first constants): progress and its velocity, with a noise for each look.

    The original is an unscented filter; as its two equations are linear, that is the plain Kalman filter, and shares
    are kept in 0..1.
    """

    def __init__(self) -> None:
        super().__init__()
        self._at: float | None = None
        self._x, self._v = 0.0, 0.01
        self._xx, self._xv, self._vv = 0.01, 0.0, 0.001

    def _tick(self, now: float) -> None:
        if not self.total:
            return
        seen = min(self.done / self.total, 1.0)
        if self._at is None:
            self._x, self._at = seen, now
            return
        dt, self._at = now - self._at, now
        self._x = min(max(self._x + self._v * dt, 0.0), 1.0)
        self._xx += 2 * dt * self._xv + dt * dt * self._vv + 1e-6
        self._xv += dt * self._vv
        self._vv += 1e-4
        spread = self._xx + 1e-4
        gain_x, gain_v = self._xx / spread, self._xv / spread
        surprise = seen - self._x
        self._x = min(max(self._x + gain_x * surprise, 0.0), 1.0)
        self._v += gain_v * surprise
        self._xx, self._xv, self._vv = (
            self._xx - gain_x * spread * gain_x,
            self._xv - gain_x * spread * gain_v,
            self._vv - gain_v * spread * gain_v,
        )

    def left(self, now: float) -> float | None:
        self._until(now)
        return (1 - self._x) / self._v if self._at is not None and self._v > 0 else None


class Ninja(_Peer):
    """
    ninja with a log: what the edges that are left took the last time, never fitted to today's speed.

    With the true ``seconds`` of today's run told it is no tool but an oracle: the earlier run's curve at the right
    length. What it is still wrong by is in the recordings: no one speed for the day explains both.
    """

    def __init__(self, profile: Profile, seconds: float | None = None) -> None:
        super().__init__()
        self._curve = profile.curve
        self._seconds = profile.seconds if seconds is None else seconds

    def left(self, now: float) -> float | None:
        share = self.done / self.total if self.total else 0.0
        for (x0, y0), (x1, y1) in pairwise(self._curve):
            if y1 >= share and y1 > y0:
                return (1 - x0 - (x1 - x0) * (share - y0) / (y1 - y0)) * self._seconds
        return 0.0


class LastTime(_Peer):
    """Jenkins: the length of the last run less what has passed."""

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        self._seconds = profile.seconds

    def left(self, now: float) -> float | None:
        return max(self._seconds - now, 0.0)


PEERS: Final = {
    "mean (wget, ninja)": Mean,
    "tqdm": Tqdm,
    "rich": Rich,
    "indicatif": Indicatif,
    "alive-progress": AliveProgress,
    "Chromium 10 s": Chromium,
    "DuckDB": DuckDb,
}
