"""A job that makes every metric appear, pushes them, serves them on its own endpoint as well, and stands still."""

from __future__ import annotations

import time

from talk import pause

from otel_progress import Change, configure, level, on_change, operation
from otel_progress.deviation import DeviationKind, Found, Run, Severity


def refuse(_: Change) -> None:
    """A callback with an error in it: contained, and counted."""
    raise RuntimeError


class Always:
    """A rule that always finds something."""

    kind = DeviationKind.CUSTOM
    severity = Severity.WARN

    def check(self, run: Run, *, held: bool) -> Found:  # noqa: ARG002  # as the protocol has it
        """Find it."""
        return Found(f"{run.name} is watched")


def main() -> None:
    """Make them all, and stand still twice."""
    handle = configure(terminal="off", prometheus=0, rules=[Always()])
    on_change(refuse)
    with operation("every-metric", total=3) as job:
        job.advance()
        job.advance(-1)  # ignored, and counted
        for number in range(100):  # more names than are kept: dropped, and counted
            job.count(f"counter_{number}")
        with level("step", total=10, unit="{file}") as step:
            step.advance(4, bytes=512)
            step.set_quality(0.5)
            with level("short", total=4) as short:  # its duration is recorded while the others live
                for _ in range(4):  # long enough to promise an end, and to be watched
                    time.sleep(1.1)
                    short.advance()
            pause("everything is there", url=handle.prometheus_url)
        pause("the step has ended")
    handle.shutdown()


if __name__ == "__main__":
    main()
