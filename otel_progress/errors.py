"""
The exceptions this package raises.

ProgressError
├── ConfigError          while configuring; the message names the setting and what it may be
└── ProgressCancelled    by check_cancelled(), and nowhere else
"""

from __future__ import annotations


class ProgressError(Exception):
    """Base of every exception of ours."""


class ConfigError(ProgressError, ValueError):
    """A setting is wrong. Raised while configuring only; the message says how to mend it."""


class ProgressCancelled(ProgressError):  # noqa: N818  # reads like asyncio.CancelledError, and is not an error
    """Cancellation of a level was requested; raised by `Level.check_cancelled` alone."""
