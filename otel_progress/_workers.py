"""`in_worker`: a function for a process pool whose levels belong to the caller's, and which loses none of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import fields
from functools import update_wrapper
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Generic, ParamSpec, TypeVar

from otel_progress import _context, _runtime
from otel_progress._propagation import carrier_of, continue_from

if TYPE_CHECKING:
    from otel_progress.sdk import Handle

P = ParamSpec("P")
R = TypeVar("R")

FLUSH_SECONDS: Final = 1.0
"""How long the end of a task may wait for a backend."""

REST_SECONDS: Final = 30.0
"""After a flush that failed nobody waits for the next ones: a dead Collector must not slow the pool down."""

_rest_until = 0.0
_set_up_in: int | None = None


def in_worker(function: Callable[P, R]) -> Callable[P, R]:
    """
    Return ``function`` for another process: a pool's ``map`` or ``submit``, or the target of a ``Process``.

    Called there, its levels are children of the level that is current here and now, and are exported when it returns:
    a pool that ends its workers loses nothing. Where this process was set up by `configure` and the worker is not
    (under ``spawn`` and ``forkserver``), the worker is set up first, once, with the same options, but for terminal and
    Prometheus endpoint, and with the default redactor if yours cannot be pickled.

    Arguments, result, exceptions and signature are the function's, and it can be pickled if the function can. The
    export waits for 1 s at most; when a backend does not answer, the tasks of the next 30 s do not wait for it. Without
    an SDK nothing is exported and nothing waits. In this same process (a thread pool) it only continues the level.
    """
    level = _context.current_level()
    handle = _runtime.get().setup
    return _Task(
        function,
        carrier=None if level is None else carrier_of(level),
        options=None if handle is None else _options(handle),
        process=os.getpid(),
    )


class _Task(Generic[P, R]):
    """The function, and what it takes along."""

    def __init__(
        self,
        function: Callable[P, R],
        carrier: dict[str, str] | None,
        options: dict[str, Any] | None,
        process: int,
    ) -> None:
        self._parts = (function, carrier, options, process)
        update_wrapper(self, function, updated=())

    def __reduce__(self) -> tuple[type[_Task[P, R]], tuple[Any, ...]]:
        return type(self), self._parts

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        function, carrier, options, process = self._parts
        elsewhere = process != os.getpid()
        if elsewhere and options is not None:
            _set_up(options)
        try:
            with continue_from(carrier or {}):
                return function(*args, **kwargs)
        finally:
            if elsewhere:
                _flush()


def _options(handle: Handle) -> dict[str, Any]:
    options = {option.name: getattr(handle.config, option.name) for option in fields(handle.config)}
    options.update(terminal="off", prometheus="off", resource_attributes=handle.resource_attributes)
    from pickle import dumps  # noqa: PLC0415  # whoever needs it has loaded it

    try:
        dumps(options["redact"])
    except Exception:  # noqa: BLE001  # a lambda, or whatever its own __reduce__ raises
        del options["redact"]
    return options


def _set_up(options: dict[str, Any]) -> None:
    """Configure this worker, unless it is: forked from one that was, or by a pool's initializer."""
    global _set_up_in  # noqa: PLW0603  # once in a process
    runtime = _runtime.get()
    if runtime.setup is not None or _set_up_in == os.getpid():
        return
    _set_up_in = os.getpid()
    with runtime.tally.containing("worker"):
        import_module("otel_progress.sdk").configure(**options)


def _flush() -> None:
    global _rest_until  # noqa: PLW0603  # one backend for the process
    if time.monotonic() < _rest_until:
        return
    runtime = _runtime.get()
    with runtime.tally.containing("worker"):
        if not runtime.export(FLUSH_SECONDS):
            _rest_until = time.monotonic() + REST_SECONDS
