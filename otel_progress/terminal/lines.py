"""
Progress as plain lines, for logs, pipes and continuous integration. Pure: text out, time passed in, no rich.

A reporter remembers what it said last. A level is reported when it has come another tenth of the way, else every 30 s;
operations also when they start and end; levels below them only once they have run for a while. Whatever runs, a bounded
number of lines a minute comes out; what is left out is counted in one line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from heapq import nlargest
from typing import Final

from otel_progress._model import Snapshot
from otel_progress.names import State
from otel_progress.terminal import format as fmt
from otel_progress.terminal import words

INTERVAL_SECONDS: Final = 30.0
"""A level that moves slowly is reported this often."""

STEPS: Final = 10
"""A level with a known total is reported this many times on its way, if that is more often."""

SHORTEST_SECONDS: Final = 3.0
"""Two lines about one level are at least this far apart, however fast it is."""

YOUNG_SECONDS: Final = 5.0
"""A level below an operation is not reported before it has run this long."""

_COLOURS: Final = {State.COMPLETED: "32", State.FAILED: "31", State.CANCELLED: "33", State.INTERRUPTED: "33"}


@dataclass
class Allowance:
    """So many lines at once, and so many more with every interval that passes: a token bucket."""

    lines: float
    interval_seconds: float = INTERVAL_SECONDS
    _left: float = field(init=False)
    _at: float | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._left = self.lines

    def take(self, now: float) -> bool:
        """Whether one more line may be written at ``now`` (monotonic seconds)."""
        if self._at is not None:
            self._left = min(self._left + (now - self._at) * self.lines / self.interval_seconds, self.lines)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


@dataclass(frozen=True, slots=True)
class Fold:
    """Levels of one name that ended but were too many to be told one by one."""

    name: str
    ends: Counter[State]

    def __str__(self) -> str:
        others = [f"{count} {state}" for state, count in self.ends.items() if state is not State.COMPLETED]
        return ", ".join([f"{self.name}: {fmt.number(self.ends.total())} more finished", *others])


class Endings:
    """Every finished level once; many of them folded by name, and told every 30 s."""

    def __init__(self) -> None:
        self._told: set[int] = set()
        self._allowance = Allowance(20)
        self._folded: dict[str, Counter[State]] = {}
        self._folded_at = 0.0

    def take(self, snapshots: Iterable[Snapshot], now: float, *, last: bool = False) -> list[Snapshot | Fold]:
        """Return what ended since the last call, oldest first; ``last`` hands out what is still folded."""
        ended = {level.key: level for level in snapshots if not level.is_live}
        fresh = [level for key, level in ended.items() if key not in self._told]
        # A key that is gone from the history never comes back: the set stays as small as the history.
        self._told = set(ended)
        told: list[Snapshot | Fold] = []
        for level in sorted(fresh, key=lambda level: level.ended_at or 0.0):
            if self._allowance.take(now):
                told.append(level)
            else:
                self._folded_at = self._folded_at if self._folded else now
                self._folded.setdefault(words.names(level), Counter())[level.state] += 1
        if self._folded and (last or now - self._folded_at >= INTERVAL_SECONDS):
            told.extend(Fold(name, ends) for name, ends in self._folded.items())
            self._folded = {}
        return told


@dataclass(slots=True)
class _Said:
    at: float
    step: int
    deviations: int = 0


class LineReporter:
    """
    Decides which lines are due; writes nothing itself. Not thread-safe: one thread calls it.

    ``color`` marks ends with their colour, nothing else.
    """

    def __init__(self, *, color: bool = False) -> None:
        self._color = color
        self._said: dict[int, _Said] = {}
        self._endings = Endings()
        self._starts = Allowance(20)
        self._levels = Allowance(20)
        self._held_back_at: float | None = None

    def lines(self, snapshots: Iterable[Snapshot], now: float, *, last: bool = False) -> list[str]:
        """
        Return the lines that are due at ``now`` (monotonic seconds), without line ends.

        ``snapshots`` are operations: the live ones and those finished lately. ``last`` says that there is no next time.
        """
        operations = [level for level in snapshots if level.parent_key is None]
        live = [level for operation in operations if operation.is_live for level in walk(operation)]
        ended = [operation for operation in operations if not operation.is_live]
        ended += [child for level in live for child in level.children if child.state is State.FAILED]
        known = self._said
        self._said = {}
        lines: list[str] = []
        due: list[Snapshot] = []
        for level in live:
            step = int((level.fraction or 0.0) * STEPS + 1e-9)
            said = known.get(level.key)
            if said is None:
                if level.parent_key is None and self._starts.take(now):
                    lines.append(f"{words.path(level)}: started")
                said = _Said(now, step)
            elif len(level.deviations) > said.deviations or (
                _is_worth_it(level) and now - said.at >= (SHORTEST_SECONDS if step > said.step else INTERVAL_SECONDS)
            ):  # at once
                due.append(level)
                said = _Said(now, max(step, said.step))
            said.deviations = len(level.deviations)
            self._said[level.key] = said
        lines += self._reports(due, now)
        lines += [self._end(end) for end in self._endings.take(ended, now, last=last)]
        return lines

    def _reports(self, due: list[Snapshot], now: float) -> list[str]:
        # The operations first, then what has run longest: that is where the time goes.
        ranked = nlargest(len(due), due, key=lambda level: (level.parent_key is None, level.elapsed_seconds))
        told = {id(level) for level in ranked if self._levels.take(now)}
        lines = [report(level) for level in due if id(level) in told]
        left_out = len(due) - len(told)
        if left_out and (self._held_back_at is None or now - self._held_back_at >= INTERVAL_SECONDS):
            self._held_back_at = now
            lines.append(f"... and {fmt.number(left_out)} more running")
        return lines

    def _end(self, end: Snapshot | Fold) -> str:
        if isinstance(end, Fold):
            return str(end)
        color = _COLOURS.get(end.state)
        text = summary(end)
        return f"\x1b[{color}m{text}\x1b[0m" if self._color and color else text


def walk(operation: Snapshot) -> Iterator[Snapshot]:
    """Yield a live level and the running levels below it, parents first, however deep they go."""
    stack = [operation]
    while stack:
        level = stack.pop()
        yield level
        stack.extend(child for child in reversed(level.children) if child.is_live and child.state is not State.PENDING)


def _is_worth_it(level: Snapshot) -> bool:
    return level.parent_key is None or level.elapsed_seconds >= YOUNG_SECONDS


def report(level: Snapshot) -> str:
    """Return how a live level stands, as one line."""
    left = words.time_left(level)
    said = [
        words.waiting(level),
        "" if level.fraction is None else fmt.percent(level.fraction),
        words.progress(level),
        words.speed(level),
        f"{fmt.duration(level.elapsed_seconds)} so far",
        f"{left} left" if left else "",
        *words.deviations(level),
        *words.troubles(level),
        words.children(level),
        *words.remarks(level, counters=words.COUNTERS_MOST),
    ]
    return f"{words.path(level)}: {', '.join(text for text in said if text)}"


def summary(operation: Snapshot) -> str:
    """Return how a finished operation ended and what it did, as one line."""
    return ", ".join([f"{words.path(operation)}: {words.ending(operation)}", *words.results(operation)])
