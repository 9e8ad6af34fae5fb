"""The monitor of one level: it keeps the record, asks the rules, and remembers which deviations hold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isfinite

from otel_progress._model import Deviation, Estimate, Profile, Sample
from otel_progress.deviation._defaults import DEFAULT_RULES
from otel_progress.deviation._past import Past
from otel_progress.deviation._rule import Found, Rule, Verdict
from otel_progress.deviation._run import Run
from otel_progress.eta import Estimator


class Monitor:
    """
    Watch one level for deviations from what was to be expected of it.

    Feed it with `observe` (or `record`) and ask `check`; every ``now`` is monotonic seconds, passed in. Pauses are
    taken out. A rule that raises is asked no more. A check takes some 10 us, and what is kept does not grow with the
    run. Not thread-safe: the caller has the lock.

    Args:
        total: Items in all, ``None`` while unknown.
        history: Profiles of earlier runs, from which rules learn their thresholds; only completed runs are used.
        rules: What to look for; `DEFAULT_RULES` unless given.
        name: What sentences call the level.
        unit: What sentences call its items, in UCUM, such as ``{row}``.
        own_estimates: Whether it makes the estimates that rules ask for. Off, they are those given to `check`.
    """

    __slots__ = ("_broken", "_held", "_rules", "_run")

    def __init__(
        self,
        total: float | None = None,
        history: Iterable[Profile] = (),
        rules: Sequence[Rule] = DEFAULT_RULES,
        *,
        name: str = "the level",
        unit: str = "{item}",
        own_estimates: bool = True,
    ) -> None:
        profiles = tuple(history)
        self._run = Run(name, unit, Past(profiles), total)
        self._rules = tuple(rules)
        self._held: dict[int, Deviation] = {}  # by the place of the rule: one of a user need not be hashable
        self._broken: dict[int, Exception] = {}
        if own_estimates:
            self._run.estimator = Estimator(total, profiles)

    def observe(self, sample: Sample) -> None:
        """Take one sample in."""
        self._run.take(sample)
        if (estimator := self._run.estimator) is not None:
            estimator.observe(sample)

    def record(self, done: float, now: float) -> None:
        """Take in that ``done`` items are done at ``now``."""
        self._run.count(done, now)
        if (estimator := self._run.estimator) is not None:
            estimator.record(done, now)

    def set_total(self, total: float | None, now: float) -> None:
        """Take in a total that is new, grown, shrunk or lost."""
        self._run.limit_to(total)
        if (estimator := self._run.estimator) is not None:
            estimator.set_total(total, now)

    def pause(self, now: float) -> None:
        """Stop the clock: nothing until `resume` counts as silence."""
        self._run.pause(now)
        if (estimator := self._run.estimator) is not None:
            estimator.pause(now)

    def resume(self, now: float) -> None:
        """Start the clock again."""
        self._run.resume(now)
        if (estimator := self._run.estimator) is not None:
            estimator.resume(now)

    def check(self, now: float, estimate: Estimate | None = None) -> tuple[Deviation, ...]:
        """
        Return the deviations that hold at ``now``, in the order of the rules.

        Who has made an ``estimate`` anyway passes it on; otherwise the monitor makes its own, now and then.
        """
        run = self._run
        if isfinite(now):
            run.at(now)
        if estimate is not None:
            run.estimator = None  # its maker will go on making them
        if run.estimator is None:
            run.estimate = estimate
        for place, rule in enumerate(self._rules):
            if place not in self._broken:
                self._ask(place, rule)
        held = self._held
        return tuple([held[place] for place in sorted(held)]) if held else ()

    def _ask(self, place: int, rule: Rule) -> None:
        held, run = self._held, self._run
        before = held.get(place)
        try:
            answer = rule.check(run, held=before is not None)
            if isinstance(answer, Found):
                since = run.now if before is None else before.since
                held[place] = Deviation(rule.kind, answer.severity or rule.severity, since, answer.sentence)
            elif before is not None and answer is Verdict.OK:
                del held[place]
        except Exception as error:  # noqa: BLE001  # a user's rule: it must not silence the others
            self._broken[place] = error
            held.pop(place, None)

    @property
    def broken(self) -> tuple[tuple[Rule, Exception], ...]:
        """The rules that raised, and what: they are asked no more."""
        return tuple((self._rules[place], error) for place, error in self._broken.items())
