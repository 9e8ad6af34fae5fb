"""What is kept of a real run: when how much was done of how much, as a small JSON file."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Final

TRACES: Final = Path(__file__).parent / "traces"
MORE_ROUNDS: Final = TRACES / "more-rounds"
"""Quiet runs of which a later round was shorter, so less disturbed by what else the machine had to do."""
POINTS_KEPT: Final = 400
"""Moments a trace keeps, so that all traces together stay below 500 KB; all of them where keys or sizes are wanted."""
_TICK: Final = 1e-4
"""Seconds; times are written as whole numbers of it."""


QUOTA_PERIOD_SECONDS: Final = 0.1
"""In which a container's quota of processor time is handed out."""


class Tape:
    """
    Takes down a run while it happens. Jobs call it from one thread.

    With ``quota``, time is that of the processor, as if the job had one to itself, or that share of one: a thread that
    computes all the time runs for its share of each tenth of a second and stands still for the rest.
    """

    def __init__(self, quota: float | None = None) -> None:
        self._quota = quota
        self._start = self._clock()
        self._done = self._bytes = 0.0
        self.rows: list[tuple[float, float, float, int]] = []
        self.totals: list[tuple[float, float]] = []
        self.phases: list[tuple[str, float, float, float, list[tuple[float, float]]]] = []
        self._keys: dict[str, int] = {}

    def _clock(self) -> float:
        return time.perf_counter() if self._quota is None else time.process_time()

    def now(self) -> float:
        """Return seconds since the start."""
        passed = self._clock() - self._start
        if self._quota is None:
            return passed
        periods, rest = divmod(passed, QUOTA_PERIOD_SECONDS * self._quota)
        return periods * QUOTA_PERIOD_SECONDS + rest

    def total(self, items: float) -> None:
        """Say how many there are, as far as is known."""
        self.totals.append((self.now(), items))

    def step(self, items: float = 1, size: float = 0, key: str | None = None) -> None:
        """Say that so many items more are done."""
        self._done += items
        self._bytes += size
        number = -1 if key is None else key_number(key)
        self.rows.append((self.now(), self._done, self._bytes, number))

    @contextmanager
    def phase(self, name: str, items: float) -> Iterator[Tape]:
        """Take down one phase of a tree on a tape of its own, which runs on the same clock."""
        tape = Tape(self._quota)
        tape._start = self._start
        begin = self.now()
        yield tape
        self.phases.append((name, begin, self.now(), items, [(now, done) for now, done, _, _ in tape.rows]))

    def as_json(self, name: str, unit: str, *, keys: bool = False, sizes: bool = False) -> str:
        """Return the trace as text; thinned, unless keys or sizes of its items are wanted."""
        begin = self.totals[0][0] if self.totals else 0.0  # that is when a bar would start
        rows = [(now - begin, *rest) for now, *rest in self.rows]
        seconds = self.now() - begin
        if not (keys or sizes):
            rows = spread(rows, seconds)
        values: dict[str, object] = {
            "name": name,
            "unit": unit,
            "seconds": round(seconds, 4),
            "totals": [[round(now - begin, 4), items] for now, items in self.totals],
            **_columns(rows, sizes=sizes),
        }
        if keys:
            values["keys"] = [number for *_, number in rows]
        if self.phases:
            values["phases"] = [
                [name, round(begin, 4), round(end, 4), items, _columns(spread([(*r, 0, -1) for r in part], seconds))]
                for name, begin, end, items, part in self.phases
            ]
        return json.dumps(values, separators=(",", ":")) + "\n"


def key_number(key: str) -> int:
    """Return a short number for a key: enough to tell the items of one job apart."""
    number = 0
    for character in key.encode():
        number = (number * 131 + character) % 999_983
    return number


def spread(rows: list[tuple[float, float, float, int]], seconds: float) -> list[tuple[float, float, float, int]]:
    """Return rows that are a part of the run apart, in time or in items."""
    if len(rows) <= POINTS_KEPT:
        return rows
    kept = rows[:1]
    whole = rows[-1][1]
    for row in rows[1:-1]:
        if row[0] - kept[-1][0] >= 2 * seconds / POINTS_KEPT or row[1] - kept[-1][1] >= 2 * whole / POINTS_KEPT:
            kept.append(row)
    return [*kept, rows[-1]]


def _columns(rows: list[tuple[float, float, float, int]], *, sizes: bool = False) -> dict[str, list[float]]:
    columns = {"t": _steps([round(row[0] / _TICK) for row in rows]), "n": _steps([row[1] for row in rows])}
    if sizes:
        columns["b"] = _steps([row[2] for row in rows])
    return columns


def _steps(values: list[float]) -> list[float]:
    steps = [after - before for before, after in zip([0, *values], values, strict=False)]
    return [int(step) if step == int(step) else round(step, 3) for step in steps]


# --- reading ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """
    One recorded run; times in seconds since its start.

    Attributes:
        seconds: How long it took.
        totals: (When, items in all): what the job knew.
        rows: (When, items done), rising.
        sizes: Bytes done at each row, or empty.
        keys: Of the item each row finished, or empty.
        phases: Of a tree: (name, begin, end, items, rows).
    """

    name: str
    unit: str
    seconds: float
    totals: tuple[tuple[float, float], ...]
    rows: tuple[tuple[float, float], ...]
    sizes: tuple[float, ...] = ()
    keys: tuple[int, ...] = ()
    phases: tuple[tuple[str, float, float, float, tuple[tuple[float, float], ...]], ...] = field(default=())

    @property
    def end(self) -> float:
        """When the last item was done."""
        return self.rows[-1][0]


def read(name: str, *, more_rounds: bool = False) -> Trace:
    """Return a committed trace, with ``more_rounds`` the shortest there is."""
    path = TRACES / f"{name}.json"
    if more_rounds and (MORE_ROUNDS / path.name).exists():
        path = MORE_ROUNDS / path.name
    values = json.loads(path.read_text(encoding="utf-8"))
    return Trace(
        name=name,
        unit=values["unit"],
        seconds=values["seconds"],
        totals=tuple((now, items) for now, items in values["totals"]),
        rows=_rows(values),
        sizes=tuple(accumulate(values.get("b", ()))),
        keys=tuple(values.get("keys", ())),
        phases=tuple(
            (name, begin, end, items, _rows(part)) for name, begin, end, items, part in values.get("phases", ())
        ),
    )


def _rows(columns: dict[str, list[float]]) -> tuple[tuple[float, float], ...]:
    times = [tick * _TICK for tick in accumulate(columns["t"])]
    return tuple(zip(times, accumulate(columns["n"]), strict=True))
