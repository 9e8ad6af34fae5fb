"""How a job speaks to the test that runs it: lines of JSON out, a line in for each pause."""

from __future__ import annotations

import json
import sys
import time

from otel_progress import flush, health


def say(**facts: object) -> None:
    """Tell the test something."""
    print(json.dumps(facts), flush=True)


def lost() -> dict[str, object]:
    """
    What the package says it dropped, ignored or kept away from the job: nothing, in a job that does nothing odd.

    To be asked before the shutdown, which puts the set-up that was there before back in place.
    """
    flush(2)
    mine = health()
    return {"lost": {**mine.dropped, **mine.ignored, **mine.contained}}


def pause(name: str, **facts: object) -> str:
    """Stand still until the test says go, and return what it said; with ``--no-pause`` go on at once."""
    if "--no-pause" in sys.argv:
        return "go"
    say(pause=name, at=time.time(), **facts)
    return sys.stdin.readline().strip()
