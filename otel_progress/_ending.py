"""How a level ends: which of the five ends an exception means, and what of it is told."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from otel_progress import _bounds
from otel_progress.errors import ProgressCancelled
from otel_progress.names import State

if TYPE_CHECKING:
    from otel_progress._contain import Tally

Redact = Callable[[str], str]

_CANCELLED: Final = frozenset({"CancelledError", "Cancelled"})
"""Names of the exceptions by which asyncio, trio and anyio cancel; by name, so that none of them is imported."""

Told = tuple[str | None, str | None, str | None]
"""Type, message and stack of an error, redacted and shortened."""

NOTHING_TOLD: Final[Told] = (None, None, None)


def outcome_of(error: BaseException | None) -> State:
    """Return the end that leaving a level with ``error`` means (design, table of endings)."""
    if error is None:
        return State.COMPLETED
    if isinstance(error, Exception):
        return State.CANCELLED if isinstance(error, ProgressCancelled) else State.FAILED
    if isinstance(error, SystemExit):
        return State.COMPLETED if error.code in {None, 0} else State.INTERRUPTED
    if isinstance(error, KeyboardInterrupt):
        return State.INTERRUPTED
    if isinstance(error, GeneratorExit):
        return State.ABANDONED
    return State.CANCELLED if type(error).__name__ in _CANCELLED else State.FAILED


def tell(error: BaseException | str, redact: Redact, tally: Tally, *, stack: bool = True) -> Told:
    """Return what telemetry may say about an error. Formatted here and now: keeping the error would keep its frames."""
    if not isinstance(error, BaseException):
        return None, _redacted(_bounds.text(error), redact, tally), None
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    message = _redacted(_bounds.text(error), redact, tally)
    if not stack:
        return name, message, None
    with tally.containing("stack"):
        lines = "".join(traceback.format_exception(error))
        return name, message, _redacted(lines[-_bounds.STACK_LIMIT :], redact, tally)
    return name, message, None


def _redacted(text: str, redact: Redact, tally: Tally) -> str | None:
    try:
        return str(redact(text))
    except Exception as error:  # noqa: BLE001  # a user's redactor: what it cannot clean is not told
        tally.contain("redact", error)
        return None


def owner() -> tuple[int, int]:
    """Return who runs here: the thread and the asyncio task, so that an iterator in another task is left alone."""
    asyncio = sys.modules.get("asyncio.tasks")  # not imported for this: without it there is no task
    try:
        return threading.get_ident(), id(asyncio.current_task()) if asyncio is not None else 0
    except RuntimeError:  # no loop runs in this thread
        return threading.get_ident(), 0
