"""A job of three stages. It stands still before the last one and in it, as long as a test likes; then it fails."""

from __future__ import annotations

import time

from opentelemetry import trace
from talk import lost, pause, say

from otel_progress import configure, level, operation

STAGES = ("read", "clean", "verify")
STEP_SECONDS = 0.15


def main() -> None:
    """Work, and fail."""
    handle = configure(terminal="off")
    account = {}
    try:
        with operation("staged", id="night", total=len(STAGES)) as job:
            trace_id = f"{trace.get_current_span().get_span_context().trace_id:032x}"
            for stage in STAGES:
                if stage == STAGES[-1]:
                    pause("half", trace_id=trace_id)
                with level("stage", id=stage, total=10) as part:
                    for number in range(1, 11):
                        if number == 7 and stage == STAGES[-1]:
                            part.update(message="order 4711")
                            pause("verify", account=account)
                            raise LookupError("order 4711 is not there")  # noqa: TRY301  # to leave two levels
                        time.sleep(STEP_SECONDS)
                        part.advance()
                        account[stage] = number
                job.advance()
    except LookupError:
        facts = lost()
    handle.shutdown()
    say(account=account, **facts)


if __name__ == "__main__":
    main()
