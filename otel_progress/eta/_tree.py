"""Trees: phases that an earlier run went through one after another, and children that work side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import exp
from typing import Final, NamedTuple

from otel_progress._model import ChildView, Profile
from otel_progress.eta._history import slowness_of

PHASES_KEPT: Final = 24
"""Names of children looked at; a level with more of them has no phases but items."""
_VARIATION: Final = 0.1
"""How much today's speed is taken to vary from phase to phase."""
_OVERLAP: Final = 0.2
"""Share of two phases' time that may pass side by side, as they are looked at from time to time only."""
_HARDLY_BEGUN: Final = 0.02
_NEGLIGIBLE: Final = 1e-6


class PhaseLog:
    """When the children of each name were seen at work first and last, in active seconds."""

    __slots__ = ("_spans", "_too_many")

    def __init__(self) -> None:
        self._spans: dict[str, tuple[float, float]] = {}
        self._too_many = False

    def look(self, children: Iterable[ChildView], active: float) -> None:
        """Take down which children are at work now."""
        for child in children:
            if child.name is None:
                continue
            first, _ = self._spans.get(child.name, (active, active))
            if child.name not in self._spans and len(self._spans) >= PHASES_KEPT:
                self._too_many = True
            else:
                self._spans[child.name] = (first, active)

    def entered(self, name: str) -> float | None:
        """Return when a phase began."""
        span = self._spans.get(name)
        return None if span is None else span[0]

    def last(self) -> str | None:
        """Return the phase that was at work last."""
        return max(self._spans, key=lambda name: self._spans[name][1], default=None)

    def shares(self, seconds: float) -> tuple[tuple[str, float], ...]:
        """Return (name, share of the run after which it was through) if they came one after another, else nothing."""
        spans = sorted(self._spans.items(), key=lambda item: item[1][1])
        if self._too_many or len(spans) < 2 or not seconds > 0:  # noqa: PLR2004  # one phase is no phase
            return ()
        end = 0.0
        for _, (first, last) in spans:
            if end - first > _OVERLAP * (last - first) + _OVERLAP * end and first < end:
                return ()
            end = last
        # A phase is over when the next one begins; what comes after the last is its own.
        ends = [min(first / seconds, 1.0) for _, (first, _) in spans[1:]]
        return tuple((name, end) for (name, _), end in zip(spans, [*ends, 1.0], strict=True))


class PhaseOutlook(NamedTuple):
    """Seconds left (low, expected, high), and today's seconds for one second of the earlier run."""

    low: float
    expected: float
    high: float
    slowness: float


class Phases:
    """The phases of the newest run that had some."""

    __slots__ = ("_begins", "_ends", "_order", "_seconds")

    def __init__(self, runs: Sequence[Profile]) -> None:
        run = next((run for run in runs if run.phases), None)
        self._order = {} if run is None else {name: index for index, (name, _) in enumerate(run.phases)}
        self._ends = [] if run is None else [share for _, share in run.phases]
        self._begins = [0.0, *self._ends[:-1]]
        self._seconds = 0.0 if run is None else run.seconds

    def __bool__(self) -> bool:
        return bool(self._order)

    def outlook(self, children: Sequence[ChildView], log: PhaseLog, active: float) -> PhaseOutlook | None:
        """
        Return the seconds left, or ``None`` where the children at work are no phases of that run.

        The phase at work ends when its child says; today's speed in it and in those before it is that of the rest.
        """
        known = [child for child in children if child.name in self._order]
        names = {child.name for child in known}
        if len(names) > 1 or len(known) != len(children):
            return None
        name = known[0].name if known else log.last()
        if name is None or name not in self._order:
            return None
        index = self._order[name]
        entered = log.entered(name)
        entered = active if entered is None else entered
        if not known:  # between two phases
            entered, begin, length = active, self._ends[index] * self._seconds, 0.0
        else:
            begin = self._begins[index] * self._seconds
            length = (self._ends[index] - self._begins[index]) * self._seconds
        slowness = slowness_of(begin, entered, self._seconds, _VARIATION)
        low, expected, high, sure = self._in_hand(known, length, slowness, active - entered)
        if known and length > 0:
            here = sure * (active - entered + expected)
            slowness = slowness_of(begin + sure * length, entered + here, self._seconds, _VARIATION)
        rest = slowness * (self._seconds - begin - length)
        # Such that 80 % of the truths of the recorded development tree are inside.
        apart = exp(0.12 + 0.3 * (1 - sure) * (length / self._seconds if self._seconds else 1.0))
        return PhaseOutlook(low + rest / apart, expected + rest, high + rest * apart, slowness)

    @staticmethod
    def _in_hand(
        known: Sequence[ChildView], length: float, slowness: float, passed: float
    ) -> tuple[float, float, float, float]:
        """Return the seconds left of the phase at work, and how much of it is known of today."""
        if not known:
            return 0.0, 0.0, 0.0, 0.0
        told = [child.eta for child in known if child.eta is not None]
        fraction = min((child.fraction or 0.0 for child in known), default=0.0)
        if len(told) == len(known):
            low, expected, high = (max(ends) for ends in zip(*((e.low, e.expected, e.high) for e in told), strict=True))
            # A child that has hardly begun expects a day like the last; the phases before it know better.
            by_phases = length * slowness - passed
            if by_phases > 0 and expected > 0:
                doubt = (by_phases / expected) ** (_HARDLY_BEGUN / (fraction + _HARDLY_BEGUN))
                low, expected, high = low * doubt, expected * doubt, high * doubt
            # A child that is sure of its end tells today's speed before it is through.
            return low, expected, high, max(fraction, min(eta.confidence for eta in told))
        usual = length * slowness
        expected = usual * (1 - fraction) if fraction else max(usual - passed, 0.25 * usual, passed - usual)
        return expected / 2, expected, expected * 2, fraction


def side_by_side(children: Iterable[ChildView], left: float) -> tuple[float, float, float] | None:
    """
    Return low, expected and high seconds left where all that is left is in the hands of parallel children.

    Then the last of them ends the level: the critical path, not the sum. ``left`` is in units, of which a child is as
    many as its weight.
    """
    at_work = [child for child in children if child.parallel and child.fraction is not None]
    inside = sum(child.weight * (1 - (child.fraction or 0.0)) for child in at_work)
    told = [child.eta for child in at_work if child.eta is not None]
    if not told or len(told) < len(at_work) or left > inside * (1 + _NEGLIGIBLE):
        return None
    return max(eta.low for eta in told), max(eta.expected for eta in told), max(eta.high for eta in told)
