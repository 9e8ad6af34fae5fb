"""Rules about what is measured beside the count: quality, memory, processor time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from otel_progress.deviation._rule import OK, UNDECIDED, Answer, Found
from otel_progress.deviation._run import Run
from otel_progress.deviation._words import lasting, runs, size
from otel_progress.names import DeviationKind, Severity

_RECOVERY: Final = 0.9
"""Share of a limit on resources at which the deviation ends."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Quality:
    """
    The quality falls well below its best in this run, or ends well below that of earlier runs.

    Quality may rise during a run, as in training: earlier runs, of which the last value is known, are compared with the
    end of this one only. Ends at half the distance.

    Attributes:
        drop: How far below its own best it may fall.
        below: How far below the lowest of earlier runs it may be at the end.
        end: Share done from which on the run is near its end.
        at_least: Quality that is expected all the time, if the user says so.
    """

    drop: float = 0.2
    below: float = 0.1
    end: float = 0.9
    at_least: float | None = None
    severity: Severity = Severity.WARN

    @property
    def kind(self) -> DeviationKind:
        """What it finds."""
        return DeviationKind.QUALITY

    def check(self, run: Run, *, held: bool) -> Answer:
        """Compare the quality with what it was."""
        quality, best = run.quality, run.best_quality
        if quality is None or best is None:
            return UNDECIDED
        slack = 0.5 if held else 1.0
        if self.at_least is not None and quality < self.at_least:
            return Found(f"the quality of {run.name} is {quality:.2f}; at least {self.at_least:.2f} is expected")
        past = run.past
        near_end = (run.fraction or 0.0) >= self.end
        if past.quality is not None and near_end and quality < past.quality - slack * self.below:
            return Found(
                f"the quality of {run.name} is {quality:.2f}; in {runs(past.runs)} it ended at {past.quality:.2f}"
            )
        if quality < best - slack * self.drop:
            return Found(f"the quality of {run.name} fell to {quality:.2f}; it was {best:.2f} in this run")
        return OK


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Resources:
    """
    The process needs much more memory or processor time than in earlier runs.

    Memory is compared with the largest peak, processor time with what earlier runs needed for the same part of the
    work. An error from ``error_factor`` on.

    Attributes:
        memory_factor: Times the largest peak.
        memory_bytes: And at least so many bytes above it.
        cpu_factor: Times the processor time.
        cpu_seconds: And at least so many seconds above it.
        cpu_after: Share of an earlier run's time after which processor times are compared.
        error_factor: Times the limit that is an error.
    """

    memory_factor: float = 1.5
    memory_bytes: float = 100e6
    cpu_factor: float = 2.0
    cpu_seconds: float = 5.0
    cpu_after: float = 0.1
    error_factor: float = 2.0
    severity: Severity = Severity.WARN

    @property
    def kind(self) -> DeviationKind:
        """What it finds."""
        return DeviationKind.RESOURCES

    def check(self, run: Run, *, held: bool) -> Answer:
        """Compare memory and processor time with earlier runs."""
        slack = _RECOVERY if held else 1.0
        memory, processor = self._memory(run, slack), self._cpu(run, slack)
        for answer in (memory, processor):
            if isinstance(answer, Found):
                return answer
        return UNDECIDED if memory is processor is UNDECIDED else OK

    def _memory(self, run: Run, slack: float) -> Answer:
        used, peak = run.rss, run.past.peak_rss
        if used is None or not peak:
            return UNDECIDED
        limit = max(self.memory_factor * peak, peak + self.memory_bytes)
        if used <= slack * limit:
            return OK
        return Found(
            f"{run.name} uses {size(used)} of memory; {runs(run.past.runs)} needed {size(peak)} at most",
            Severity.ERROR if used > self.error_factor * limit else None,
        )

    def _cpu(self, run: Run, slack: float) -> Answer:
        used, past = run.cpu, run.past
        if used is None or not past.cpu_seconds or not past.has_axis or not run.total:
            return UNDECIDED
        part = run.place - (run.place_of(run.origin) if run.origin else 0.0)
        if part < self.cpu_after:
            return UNDECIDED
        usual = part * past.cpu_seconds * run.reference / past.seconds
        limit = max(self.cpu_factor * usual, usual + self.cpu_seconds)
        if used <= slack * limit:
            return OK
        return Found(
            f"{run.name} has used {lasting(used)} of processor time; "
            f"{runs(past.runs)} needed {lasting(usual)} to get here",
            Severity.ERROR if used > self.error_factor * limit else None,
        )
