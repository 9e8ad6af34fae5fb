"""
Draw the dashboards from what the scenarios left behind: ``python -m tests.stack.scenarios.pictures``.

Needs a program that draws a dashboard's JSON from a Prometheus; the command is in ``OTEL_PROGRESS_RENDER``. It is no
part of this project: the pictures are committed. What is drawn is the committed dashboard with some things changed,
as the scenes take minutes and not hours: no least step, no time of a panel's own, and no annotations and no panels of
other sources than Prometheus.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from dashboards import config
from dashboards.build import GENERATED
from dashboards.promql import OPERATION
from otel_progress import names
from otel_progress.names import State
from tests.stack.programs import REPOSITORY, run

from .play import OPERATIONS, Played, play
from .stage import Stage

PICTURES: Final = REPOSITORY / "docs" / "pictures"
RENDER: Final = "OTEL_PROGRESS_RENDER"
WIDTH: Final = "1500"
SHOWN: Final = ("demo", "endings", "failing", "healthy", "killed", "missing", "short", "slow", "stalled")
"""Services in the overview: as many as fit into its tables without scrolling."""
BOARDS: Final = {
    config.OVERVIEW_UID: [f"service={each}" for each in SHOWN] + ["operation=All"],
    config.OPERATION_UID: ["service=slow", f"operation={OPERATIONS['slow']}"],
    config.RELIABILITY_UID: [],
}


def drawn(uid: str) -> dict[str, Any]:
    """Return a dashboard as it is drawn."""
    content: dict[str, Any] = json.loads((GENERATED / "dashboards" / f"{uid}.json").read_text(encoding="utf-8"))
    content["annotations"] = {"list": []}
    for variable in content["templating"]["list"]:
        if variable["name"] == "operation":  # several services are not filled into a variable's query
            variable["query"] = f"label_values({names.ACTIVE.prometheus}, {OPERATION})"
    content["panels"] = [each for each in content["panels"] if not each.get("panels")]
    for panel in content["panels"]:
        panel.pop("interval", None)
        if uid == config.OPERATION_UID and "fieldConfig" in panel:
            # Colours of outcomes that none of its runs had.
            overrides = panel["fieldConfig"]["overrides"]
            unused = {f"/^{outcome}$/" for outcome in names.OUTCOMES if outcome != State.COMPLETED}
            overrides[:] = [each for each in overrides if each["matcher"]["options"] not in unused]
        panel.pop("timeFrom", None)
    return content


def draw(played: Played) -> int:
    """Draw all dashboards at the moment when everything is wrong, and return how many were not drawn without a word."""
    program = shlex.split(os.environ[RENDER])
    wrong = 0
    first, last = (
        datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds") for at in (played.began_at, played.held_at)
    )
    for uid, variables in BOARDS.items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "dashboard.json")
            path.write_text(json.dumps(drawn(uid)), encoding="utf-8")
            chosen = [part for each in variables for part in ("--var", each)]
            done = run(
                *(*program, path, "--prometheus", played.stage.prometheus.url, "--out", PICTURES / f"{uid}.png"),
                *("--from", first.replace("+00:00", "Z"), "--to", last.replace("+00:00", "Z"), "--width", WIDTH),
                *("--scrape-interval", "1s", *chosen),
                check=False,
                timeout=180,
            )
        said = done.stdout + done.stderr
        print(said)
        wrong += done.returncode != 0 or "warning:" in said
    return wrong


def main() -> int:
    """Play, and draw."""
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(Path(folder))
        try:
            stage.start()
            return draw(play(stage))
        finally:
            stage.stop()


if __name__ == "__main__":
    sys.exit(main())
