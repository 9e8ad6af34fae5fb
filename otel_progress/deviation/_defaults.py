"""The rules that are used unless others are given."""

from __future__ import annotations

from typing import Final

from otel_progress.deviation._measures import Quality, Resources
from otel_progress.deviation._overdue import Overdue
from otel_progress.deviation._rates import ErrorRate, LowThroughput, RateLimited
from otel_progress.deviation._rule import Rule
from otel_progress.deviation._slow import Slow
from otel_progress.deviation._stalled import Stalled

DEFAULT_RULES: Final[tuple[Rule, ...]] = (
    Stalled(),
    Slow(),
    Overdue(),
    ErrorRate(),
    LowThroughput(),
    Quality(),
    RateLimited(),
    Resources(),
)
"""One of each rule, with its defaults."""
