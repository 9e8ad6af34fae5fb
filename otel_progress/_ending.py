"""How a level ends: which of the five ends an exception means, and what of it is told."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Final, TypeGuard

from otel_progress import _bounds
from otel_progress.errors import ProgressCancelled
from otel_progress.names import State

if TYPE_CHECKING:
    from otel_progress._contain import Tally

Redact = Callable[[str], str]

_CANCELLED: Final = frozenset({"CancelledError", "Cancelled"})
"""Names of the exceptions by which asyncio, trio and anyio cancel; by name, so that none of them is imported."""

STACK_FRAMES: Final = 50
"""Frames of a stack, the innermost ones."""

Told = tuple[str | None, str | None, str | None]
"""Type, message and stack of an error, redacted and shortened."""

_COMPLETED: Final = State.COMPLETED  # looked up once: see _state


def outcome_of(error: BaseException | None) -> State:
    """Return the end that leaving a level with ``error`` means (design, table of endings)."""
    if error is None:
        return _COMPLETED
    if isinstance(error, Exception):
        return State.CANCELLED if isinstance(error, ProgressCancelled) else State.FAILED
    if isinstance(error, SystemExit):
        succeeded = error.code is None or (isinstance(error.code, int) and error.code == 0)
        return State.COMPLETED if succeeded else State.INTERRUPTED
    if isinstance(error, KeyboardInterrupt):
        return State.INTERRUPTED
    if isinstance(error, GeneratorExit):
        return State.ABANDONED
    cancelled = any(kind.__name__ in _CANCELLED for kind in type(error).__mro__)
    return State.CANCELLED if cancelled else State.FAILED


def tell(error: BaseException | str, redact: Redact, tally: Tally, *, stack: bool = True) -> Told:
    """Return what telemetry may say about an error. Formatted here and now: keeping the error would keep its frames."""
    if not _is_error(error):
        return None, _message(error, redact, tally), None
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    message = _message(error, redact, tally)
    if not stack:
        return name, message, None
    with tally.containing("stack"):
        # The limit is for deep recursion: each level that such an error leaves would format a thousand frames.
        lines = "".join(traceback.format_exception(error, limit=-STACK_FRAMES))[-2 * _bounds.STACK_LIMIT :]
        told = _redacted(lines.encode("utf-8", "backslashreplace").decode(), redact, tally)  # no lone surrogates
        return name, message, told and told[-_bounds.STACK_LIMIT :]
    return name, message, None


def _is_error(value: object) -> TypeGuard[BaseException]:
    return issubclass(type(value), BaseException)  # a proxy may raise when `isinstance` asks for its class


def _message(error: object, redact: Redact, tally: Tally) -> str | None:
    # Cut after it is redacted: half a secret does not look like one.
    told = _redacted(_bounds.text(error, 2 * _bounds.TEXT_LIMIT), redact, tally)
    return told and _bounds.text(told)


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
        return _thread.number, id(asyncio.current_task()) if asyncio is not None else 0
    except RuntimeError:  # no loop runs in this thread
        return _thread.number, 0


class _Thread(threading.local):
    """A number for each thread; Python gives the identifier of a thread that has ended to the next one."""

    def __init__(self) -> None:
        self.number = next(_numbers)


_numbers = count()
_thread: Final = _Thread()
