"""`ProgressSpanProcessor`: makes levels of spans that were made with the bare OpenTelemetry API. Needs the SDK."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.sdk.trace import SpanProcessor

from otel_progress import _bounds, _runtime
from otel_progress.names import SCOPE

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, Span

__all__ = ["ProgressSpanProcessor"]

SHUTDOWN_FLUSH_SECONDS: Final = 1.0
"""How long the end of a provider may wait for what we still hold; at the interpreter's exit we have waited before."""


class ProgressSpanProcessor(SpanProcessor):
    """
    Adopts spans of others as levels, with metrics, events and time left while they run.

    A span is adopted if it carries ``progress.total`` or ``progress.done``, from its start or set later, or if its name
    is in ``names``, in the setting ``adopt``, or that of a span adopted before in this process. Its ``progress.unit``,
    ``progress.bytes``, ``progress.message``, ``progress.level.id`` and ``progress.level.title`` are read as well, once
    a second and when it ends; with status ERROR the level has failed, otherwise it is completed. The span itself stays
    as it is. Spans that the sampler drops never come here.

    Add it to a provider before the processors that export, so that ``force_flush`` gives them what we still hold::

        provider.add_span_processor(ProgressSpanProcessor())

    `configure` and ``opentelemetry-instrument`` do so on their own; a second one changes nothing. Thread-safe; nothing
    of it raises into the program.
    """

    def __init__(self, *, names: Iterable[str] = ()) -> None:
        self._names = frozenset(_bounds.name(name) for name in ((names,) if isinstance(names, str) else names))
        self._wanted_by = {"hand"}
        self._shut = False

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Watch a span that is not ours; adopt it if it is a level already."""
        runtime = _runtime.get()
        try:
            scope = span.instrumentation_scope
            if (scope is None or scope.name != SCOPE) and runtime.enabled and self._wanted_by and not self._shut:
                runtime.adoption.started(span, parent_context, self._names, self)
        except Exception as error:  # noqa: BLE001  # a program must not fail because its progress cannot be told
            runtime.tally.contain("on_start", error)

    def on_end(self, span: ReadableSpan) -> None:
        """Read the last values of a span, and end its level if it is or now becomes one."""
        runtime = _runtime.get()
        try:
            scope = span.instrumentation_scope
            if (scope is None or scope.name != SCOPE) and not runtime.adoption.ended(span):
                # It may have started before `configure` put another runtime in place.
                any(other.adoption.ended(span) for other in _runtime.everyone() if other.adoption.watched)
        except Exception as error:  # noqa: BLE001  # as above
            runtime.tally.contain("on_end", error)

    def shutdown(self) -> None:
        """Adopt nothing more; what lives is interrupted, as its spans will not be exported."""
        self._shut = True
        deadline = time.monotonic() + SHUTDOWN_FLUSH_SECONDS
        for runtime in _runtime.everyone():
            with runtime.tally.containing("shutdown"):
                runtime.adoption.let_go(self)
                runtime.flush(max(deadline - time.monotonic(), 0.0))

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Hand everything that has ended to OpenTelemetry; ``False`` if that takes longer."""
        runtime = _runtime.get()
        with runtime.tally.containing("force_flush"):
            return runtime.flush(timeout_millis / 1000)
        return False


_installed: Final[weakref.WeakKeyDictionary[Any, ProgressSpanProcessor]] = weakref.WeakKeyDictionary()
"""The processor that `install` added to each provider: providers take them, but do not give them back."""


def install(provider: Any, owner: str) -> Callable[[], None]:  # noqa: ANN401  # whatever the program has set
    """
    Have the spans of a provider adopted, once however many ask for it; return what takes this owner's wish back.

    A provider that is not the SDK's is left alone.
    """
    add = getattr(provider, "add_span_processor", None)
    if add is None:
        return lambda: None
    processor = _installed.get(provider)
    if processor is None or processor._shut:
        processor = _installed[provider] = ProgressSpanProcessor()
        processor._wanted_by = set()
        add(processor)
    wanted_by = processor._wanted_by
    wanted_by.add(owner)
    return lambda: wanted_by.discard(owner)
