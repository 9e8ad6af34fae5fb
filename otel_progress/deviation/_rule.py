"""What a rule is: it looks at a run and finds a deviation, none, or that nobody can tell."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, Protocol

from otel_progress.names import DeviationKind, Severity

if TYPE_CHECKING:
    from otel_progress.deviation._run import Run


class Verdict(Enum):
    """The answers of a rule that are no deviation."""

    OK = "ok"
    UNDECIDED = "undecided"


OK: Final = Verdict.OK
"""The run is as expected. Ends a deviation of this rule."""

UNDECIDED: Final = Verdict.UNDECIDED
"""Too little is known, or the rule does not apply. Begins nothing and ends nothing."""


@dataclass(frozen=True, slots=True)
class Found:
    """A rule's answer that the run deviates: the sentence for a person, and a severity unless it is the rule's own."""

    sentence: str
    severity: Severity | None = None


Answer = Found | Verdict


class Rule(Protocol):
    """
    One way to deviate. Anything with these members is a rule; `DeviationKind.CUSTOM` is there for those of users.

    A rule keeps no state of a run: one object serves every monitor, from any thread.
    """

    @property
    def kind(self) -> DeviationKind:
        """What it finds."""
        ...

    @property
    def severity(self) -> Severity:
        """How much that matters, unless an answer says otherwise."""
        ...

    def check(self, run: Run, *, held: bool) -> Answer:
        """
        Look at a run. ``held`` says that this rule found a deviation when it looked last.

        What begins at one threshold should end at a lower one: a rule asks less of a deviation that is ``held``.
        """
        ...
