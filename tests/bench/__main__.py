"""``python -m tests.bench [subject ...]``: print the table; a run of all subjects also renews it in the README."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Iterable
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Final

from tests.bench.harness import Row

SUBJECTS: Final = ("iteration", "counting", "levels", "startup", "ticker", "memory", "outage")
README: Final = Path(__file__).resolve().parents[2] / "README.md"
BEGIN: Final = "<!-- bench:begin -->"
END: Final = "<!-- bench:end -->"


def main(subjects: list[str]) -> None:
    """Measure the subjects given, or all."""
    unknown = set(subjects) - set(SUBJECTS)
    if unknown:
        sys.exit(f"no such subject: {', '.join(sorted(unknown))}; there are {', '.join(SUBJECTS)}")
    start = time.perf_counter()
    rows: list[Row] = []
    for subject in subjects or SUBJECTS:
        print(f"{subject} ...", file=sys.stderr, flush=True)
        rows.extend(import_module(f"tests.bench.{subject}").rows())
    text = f"{table(rows)}\n\n{conditions()}\n"
    print(text)
    if not subjects:
        renew(README, text)
    missed = sum(row.ok is False for row in rows)
    print(f"{time.perf_counter() - start:.0f} s; {missed or 'no'} budget(s) missed", file=sys.stderr)


def table(rows: Iterable[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = ["| what | ours | peers | ratio | budget | ok |", "| --- | --- | --- | --- | --- | --- |"]
    marks = {True: "yes", False: "**no**", None: ""}
    lines += [
        f"| {row.what} | {row.ours} | {row.peers} | {row.ratio} | {row.budget} | {marks[row.ok]} |" for row in rows
    ]
    return "\n".join(lines)


def conditions() -> str:
    """Return what the table was measured with."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("tqdm", "rich"))
    return (
        f"Measured with Python {platform.python_version()}, OpenTelemetry {version('opentelemetry-sdk')}, {packages} "
        f"on {os.cpu_count()} cores; the best of several rounds in which all contenders take turns. "
        "Ratios are ours over each peer's, in the order of the peers."
    )


def renew(readme: Path, text: str) -> None:
    """Replace what stands between the markers, if the file has them."""
    if not readme.exists():
        return
    before, begin, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if begin and end:
        readme.write_text(f"{before}{BEGIN}\n{text}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
