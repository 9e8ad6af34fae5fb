"""
The other way out of a process: children of ``multiprocessing`` do not run the ``atexit`` hooks they inherit.

Under ``fork`` and ``forkserver`` they leave by ``os._exit``. The finalizers of ``multiprocessing.util`` run before:
up to Python 3.12 while the exception is still on its way, and before threads are waited for; since 3.13 after both,
among the ``atexit`` hooks that the child has registered itself (python/cpython#83856).
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Final

_LAST: Final = -1_000
"""Priority of our finalizer: queues hand over what they hold, and children are waited for, before it."""


def is_worker() -> bool:
    """Return whether this process was started by ``multiprocessing`` (or a process pool, which uses it)."""
    process = sys.modules.get("multiprocessing.process")  # not imported for this: without it this is no child of its
    return process is not None and process.parent_process() is not None


def at_worker_exit(failed: Callable[[BaseException], object], last: Callable[[], object]) -> None:
    """
    At the end of a worker, have ``failed`` called with the exception that ends it, if it can be seen, then ``last``.

    Before the last call all threads that would be waited for have ended. In another process do nothing.
    """
    util = sys.modules.get("multiprocessing.util")
    if util is not None and is_worker():
        util.Finalize(None, _finish, (failed, last), exitpriority=_LAST)


def _finish(failed: Callable[[BaseException], object], last: Callable[[], object]) -> None:
    error = sys.exception()
    if error is not None:
        failed(error)
    for thread in threading.enumerate():
        if not thread.daemon and thread is not threading.current_thread():
            thread.join()  # multiprocessing would do so next
    last()
