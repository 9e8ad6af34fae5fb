"""A job that makes every metric appear, pushes them, serves them on its own endpoint as well, and stands still."""

from __future__ import annotations

import time

from talk import pause

from otel_progress import Change, configure, level, on_change, operation


def refuse(_: Change) -> None:
    """A callback with an error in it: contained, and counted."""
    raise RuntimeError


def main() -> None:
    """Make them all, and stand still twice."""
    handle = configure(terminal="off", prometheus=0)
    on_change(refuse)
    with operation("every-metric", total=3) as job:
        job.advance()
        job.advance(-1)  # ignored, and counted
        for number in range(100):  # more names than are kept: dropped, and counted
            job.count(f"counter_{number}")
        with level("step", total=10, unit="{file}") as step:
            step.advance(4, bytes=512)
            step.set_quality(0.5)
            with level("short"):
                pass  # its duration is recorded while the others live
            time.sleep(1.2)
            pause("everything is there", url=handle.prometheus_url)
        pause("the step has ended")
    handle.shutdown()


if __name__ == "__main__":
    main()
