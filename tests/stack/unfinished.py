"""
What was started and never completed: open records less completion records, both asked of Tempo by search.

A trace of more than a block's time lies in several blocks. Structural operators (``!<``) see one block at a time, so
they call finished levels unfinished. And of a plain query's matches in one trace, only those of the block that has most
are shown (Tempo 3, ``combineSpansets``). Grouped by span id, each match is a set of its own, and all sets are shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from otel_progress import names

OPEN: Final = (
    f'{{ span.{names.RECORD} = "open" }} | by(span:id) | select(name, span.{names.LEVEL_ID}, span.{names.OPERATION})'
)
COMPLETED: Final = f'{{ span.{names.RECORD} = "completion" }} | by(span:id) | select(span.{names.OPEN_SPAN_ID})'


class Match(Protocol):
    """A span that a search found."""

    @property
    def span_id(self) -> str:
        """Its id, in hexadecimal."""

    @property
    def name(self) -> str | None:
        """Its name, if the query selects it."""

    @property
    def attributes(self) -> Mapping[str, Any]:
        """What the query selects."""


class Found(Protocol):
    """A trace that a search found."""

    @property
    def trace_id(self) -> str:
        """Its id, in hexadecimal."""

    @property
    def matches(self) -> Iterable[Match]:
        """The spans in it that match."""


@dataclass(frozen=True, order=True)
class Unfinished:
    """A level that was started and has not been completed; it runs still, or its process was killed."""

    trace_id: str
    name: str
    level_id: str
    """Empty where the level has none."""
    span_id: str


def unfinished(search: Callable[[str], Iterable[Found]]) -> list[Unfinished]:
    """
    Return the levels that are open, of all that were started in some time, over all traces.

    What was completed within the last seconds is still among them: a search does not see it yet.

    Args:
        search: Given a TraceQL query, returns the traces it finds in that time.
    """
    # Open records first: what completes between the two searches is finished, and what is opened is not looked at.
    opened = list(search(OPEN))
    completed = {match.attributes.get(names.OPEN_SPAN_ID) for trace in search(COMPLETED) for match in trace.matches}
    return sorted(
        Unfinished(trace.trace_id, match.name or "", match.attributes.get(names.LEVEL_ID) or "", match.span_id)
        for trace in opened
        for match in trace.matches
        if match.span_id not in completed
    )
