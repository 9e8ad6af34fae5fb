"""The ways to estimate, by name."""

from __future__ import annotations

from typing import Final

METHODS: Final = ("adaptive", "exponential", "history", "linear")
DEFAULT_METHOD: Final = "adaptive"
