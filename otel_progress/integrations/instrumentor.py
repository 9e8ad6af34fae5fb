"""
``opentelemetry-instrument python job.py``: levels of a job that has no code of ours.

Loaded by opentelemetry-instrumentation through the entry point ``opentelemetry_instrumentor``; its name there,
``otel_progress``, is what ``OTEL_PYTHON_DISABLED_INSTRUMENTATIONS`` takes. Needs the extra ``instrument``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from opentelemetry import trace
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]  # not checked there

from otel_progress.processors import install

__all__ = ["ProgressInstrumentor"]


class ProgressInstrumentor(BaseInstrumentor):  # type: ignore[misc]  # as above
    """
    Adopts the spans of the global tracer provider, or of the one passed as ``instrument(tracer_provider=...)``.

    See `ProgressSpanProcessor` for what is adopted. The provider must be set already, as it is when
    ``opentelemetry-instrument`` comes here; `configure` in the same program adds nothing to it.
    """

    _undo: Callable[[], None] | None = None

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return nothing: spans are there without any library."""
        return ()

    def _instrument(self, **kwargs: Any) -> None:  # noqa: ANN401  # as the base has it
        self._undo = install(kwargs.get("tracer_provider") or trace.get_tracer_provider(), "instrument")

    def _uninstrument(self, **kwargs: Any) -> None:  # noqa: ANN401  # as above
        del kwargs
        if self._undo is not None:
            self._undo()
            self._undo = None
