"""
The table of fault cases, docs/faults.md: what was tried, what arrived, what was lost, how long the exit took.

Each test of a fault calls `record` with what it saw. That compares with the committed table, or, under ``make faults``,
collects rows for a new one: ``python -m tests.stack.fault_table ROWS`` prints it. Times are not compared.
"""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

DOCUMENT: Final = Path(__file__).resolve().parents[2] / "docs" / "faults.md"
ROWS_VARIABLE: Final = "OTEL_PROGRESS_FAULT_ROWS"

CASES: Final = (
    "the Collector is down at the start",
    "the Collector is down in the middle",
    "the Collector is down in the middle, gRPC",
    "the Collector is down until the end",
    "the Collector hangs (SIGSTOP)",
    "each export takes 10 s",
    "429, Retry-After: 1",
    "429",
    "503, Retry-After: 60",
    "503",
    "the names of hosts do not resolve: DNS hangs",
    "more than can be kept",
    "SIGTERM",
    "kill -9",
    "os._exit",
    "a worker is killed, as when memory runs out",
)
"""All cases, in the order of the table: one that no test records, and one that is not here, is an error."""

HEAD: Final = """\
# When something goes wrong

Made by `make faults` from what the tests saw with a real Collector and a real Jaeger; do not edit. Arrived is what
Jaeger showed in the end, exit what the job waited for its telemetry at its end, for which it has 5 s. No step of a job
waited for a backend: a test fails if one takes longer than 0.25 s (1 s in the burst, for Python's garbage collection).
Numbers in metrics are complete with the next export that passes.

| what happens | what was tried | arrived | lost | exit |
| --- | --- | --- | --- | --- |
"""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row: a case of `CASES`, and what was tried, arrived and was lost in words that are the same each time."""

    case: str
    tried: str
    arrived: str
    lost: str
    exit_seconds: float | None

    def markdown(self) -> str:
        """Return the row as Markdown."""
        took = "-" if self.exit_seconds is None else f"{self.exit_seconds:.1f} s"
        return f"| {self.case} | {self.tried} | {self.arrived} | {self.lost} | {took} |"


def record(case: str, *, tried: str, arrived: str, lost: str, exit_seconds: float | None = None) -> None:
    """
    Take in what a test saw of a case.

    Args:
        case: One of `CASES`.
        tried: What the job did meanwhile.
        arrived: What the backend showed in the end.
        lost: What did not arrive: ``nothing``, or what it was.
        exit_seconds: How long the job waited for its telemetry at its end; ``None`` where it was killed.
    """
    assert case in CASES, f"{case!r} has no place in CASES"
    row = Row(case=case, tried=tried, arrived=arrived, lost=lost, exit_seconds=exit_seconds)
    rows = os.environ.get(ROWS_VARIABLE)
    if rows:
        with Path(rows).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(row)) + "\n")
        return
    written = documented(DOCUMENT.read_text(encoding="utf-8"))
    assert written.get(case) == (tried, arrived, lost), f"docs/faults.md is out of date for {case!r}: make faults"


def documented(text: str) -> dict[str, tuple[str, ...]]:
    """Return the facts of a table by case: what was tried, arrived and was lost."""
    rows = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \| (.+?) \| .+ \|$", text, re.MULTILINE)
    return {case: tuple(facts) for case, *facts in rows if case in CASES}


def table(lines: str) -> str:
    """Return the document made of collected rows."""
    rows = {row.case: row for row in (Row(**json.loads(line)) for line in lines.splitlines())}
    missing = [case for case in CASES if case not in rows]
    assert not missing, f"no test recorded {missing}"
    return HEAD + "\n".join(rows[case].markdown() for case in CASES) + "\n"


if __name__ == "__main__":
    print(table(Path(sys.argv[1]).read_text(encoding="utf-8")), end="")
