"""
The table of queries, docs/queries.md: what each returned in the scenarios.

The tests compare with `expected.py`; this is for people. Under ``make scenarios`` it is written anew.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.stack.programs import REPOSITORY

from .ask import Found, Key, Question, questions
from .play import ALERTS_OF, OPERATIONS

DOCUMENT: Final = REPOSITORY / "docs" / "queries.md"
VARIABLE: Final = "OTEL_PROGRESS_QUERY_TABLE"
"""Where the table is written to, if anywhere."""
FEW: Final = 4

HEAD: Final = """\
# What every query returns

Made by `make scenarios` from what real backends answered; do not edit.
[How they were asked](dashboards.md#how-they-were-seen). *Held* is while all jobs do what they do and all alerts fire,
*ended* five seconds after the last one ended; what is asked of a stretch of time has one answer for all of it, under
*ended*. Numbers are of series (traces, lines) that have data: those with nothing but zeros are not counted.
`collector` stands for what is about the pipeline and not about one service.

"""
SERVICES: Final = """\

## The services

| service | operation | alerts that fire |
| --- | --- | --- |
"""


def path() -> Path:
    """Return where the document is, or is to be written."""
    return Path(os.environ.get(VARIABLE) or DOCUMENT)


def write(answered: Mapping[Key, Sequence[Found]]) -> None:
    """Write the document anew, if the variable says where."""
    if VARIABLE in os.environ:
        path().write_text(document(answered), encoding="utf-8")


def document(answered: Mapping[Key, Sequence[Found]]) -> str:
    """Return the document."""
    lines: list[str] = []
    where = ""
    for question in questions():
        if question.key[0] != where:
            where = question.key[0]
            lines += ["", f"## {where}", "", "| query of | kind | held | ended |", "| --- | --- | --- | --- |"]
        kind = question.entry.kind if question.entry.language == "promql" else question.entry.language
        *held, ended = (_said(found) for found in answered[question.key])
        lines.append(f"| {_title(question)} | {kind} | {held[0] if held else ''} | {ended} |")
    services = [
        f"| {service} | {operation} | {', '.join(sorted(ALERTS_OF.get(service, ()))) or '-'} |"
        for service, operation in OPERATIONS.items()
    ]
    return HEAD + "\n".join(lines[1:]) + "\n" + SERVICES + "\n".join(services) + "\n"


def documented(text: str) -> list[str]:
    """Return the first cells of the tables of queries, in their order."""
    return re.findall(
        r"^\| (.+?) \| (?:instant|range|variable|annotation|recording|alert|logql|traceql) \|", text, re.MULTILINE
    )


def titles() -> list[str]:
    """Return what those cells should be."""
    return [_title(question) for question in questions()]


def _title(question: Question) -> str:
    """Return the title, with the name of the series where it is a name and no template."""
    _, title, _ = question.key
    series = question.entry.series
    return f"{title} ({series})" if series and "{" not in series else title


def _said(found: Found) -> str:
    if not found:
        return "-"
    if len(found) <= FEW:
        return ", ".join(f"{service} {count}" for service, count in sorted(found.items()))
    count = sum(found.values())
    return f"{len(found)} services" if count == len(found) else f"{count}, of {len(found)} services"
