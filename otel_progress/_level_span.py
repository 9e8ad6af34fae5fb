"""The span that user code sees inside a level: one from its beginning to its end, whatever records it turns into."""

from __future__ import annotations

import time
import traceback
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace
from opentelemetry.trace import Link, SpanContext, Status, StatusCode

from otel_progress import names

if TYPE_CHECKING:
    from opentelemetry.util.types import Attributes, AttributeValue

    from otel_progress._state import LevelState

LATE_LIMIT: Final = 128
"""Attributes, events and links kept for a completion record; the SDK's own limits are these."""

WRITERS_SECONDS: Final = 0.05
"""How long to wait for threads that are just writing to a span that is about to end; each takes microseconds."""

_OK: Final = StatusCode.OK


class LevelSpan(trace.Span):
    """
    The current span inside a level: writes go to the level's first span, after it was shown to its completion record.

    Thread-safe. What the SDK's span lets others read (attributes, parent, start time...) can be read here, up to date.
    It records until the level ends; `end` ends the level.
    """

    __slots__ = ("_context", "_late", "_level", "_target", "_writers", "anchor")

    def __init__(self, anchor: trace.Span, context: SpanContext, level: LevelState) -> None:
        self.anchor = anchor
        self._context = context
        self._level = level
        self._late: Late | None = None
        self._target: Any = anchor
        self._writers: list[None] = []
        """One entry for each write in hand: one step each way, so no lock is held while the SDK writes."""

    def get_span_context(self) -> SpanContext:
        """Return what children point to, before and after the level was shown."""
        return self._context

    def is_recording(self) -> bool:
        """Return whether the level lives: there is no such span where the first one does not record."""
        return self._level.ending is None

    def end(self, end_time: int | None = None) -> None:
        """End the level as completed; the end of its block changes nothing then."""
        self._level.runtime.end_by_span(self._level, end_time)

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        """Set an attribute of the level's span."""
        self._write("set_attribute", key, value)

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Set attributes of the level's span."""
        self._write("set_attributes", attributes)

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        """Add an event to the level's span."""
        self._write("add_event", name, attributes, timestamp)

    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        """Add a link to the level's span."""
        self._write("add_link", context, attributes)

    def update_name(self, name: str) -> None:
        """Rename the level's span; the level and its metrics keep their name."""
        self._write("update_name", name)

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Set the status of the level's span; a failure of the level makes it an error all the same."""
        self._write("set_status", status, description)

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,  # noqa: FBT001, FBT002  # as the API has it
    ) -> None:
        """Add an exception to the level's span; the level does not fail by that."""
        self._write("record_exception", exception, attributes, timestamp, escaped)

    def _write(self, method: str, *args: object) -> None:
        self._writers.append(None)
        try:
            if self._level.ending is None:
                getattr(self._target, method)(*args)
            else:
                self._level.ignore("after_end")
        except Exception as error:  # noqa: BLE001  # span implementations are not ours, nor is an exception's __str__
            self._level.runtime.tally.contain("span_write", error)
        finally:
            self._writers.pop()

    # --- reading --------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The span's name."""
        late = self._late
        return (
            late.name if late is not None and late.name is not None else getattr(self.anchor, "name", self._level.name)
        )

    @property
    def attributes(self) -> Mapping[str, AttributeValue]:
        """All attributes set so far."""
        late = self._late
        return {**(getattr(self.anchor, "attributes", None) or {}), **({} if late is None else late.attributes)}

    @property
    def status(self) -> Status:
        """The status set last."""
        late = self._late
        if late is not None and late.status is not None:
            return late.status
        status: Status | None = getattr(self.anchor, "status", None)
        return status or Status()

    @property
    def end_time(self) -> int | None:
        """When the level ended, in nanoseconds; not when it was shown."""
        ending = self._level.ending
        return None if ending is None else ending.at_ns

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  # whatever else the span of this SDK lets others read
        """Return what the first span has."""
        if name.startswith("_") or name == "anchor":  # private to the SDK, or asked for before there is one
            raise AttributeError(name)
        return getattr(self.anchor, name)

    # --- for the outbox -------------------------------------------------------------------------------------------

    @property
    def late(self) -> Late | None:
        """What was said since the level was shown; ``None`` before."""
        return self._late

    @property
    def target(self) -> object:
        """What is written to now: the first span, or what is kept for the completion record."""
        return self._target

    def part(self) -> None:
        """Keep what is said from now on for the completion record."""
        self._late = self._target = Late(self._level)
        self.settle()

    def settle(self) -> None:
        """Wait for threads that are just writing, so that none writes to a span that has ended: the SDK would warn."""
        if not self._writers:
            return
        until = time.monotonic() + WRITERS_SECONDS
        while self._writers and time.monotonic() < until:
            time.sleep(0.0001)


class Late:
    """What is said of a level after it was shown: kept here, bounded as a span is, until its completion record."""

    __slots__ = ("_level", "attributes", "events", "links", "name", "status")

    def __init__(self, level: LevelState) -> None:
        self._level = level
        self.name: str | None = None
        self.attributes: dict[str, AttributeValue] = {}
        self.events: deque[tuple[str, Attributes, int]] = deque()
        self.links: list[Link] = []
        self.status: Status | None = None

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        """Keep an attribute."""
        if key in self.attributes or len(self.attributes) < LATE_LIMIT:
            # A list may be changed by its owner afterwards.
            self.attributes[key] = tuple(value) if isinstance(value, list) else value
        else:
            self._level.runtime.tally.drop("span_attributes")

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Keep attributes."""
        for key, value in attributes.items():
            self.set_attribute(key, value)

    def add_event(self, name: str, attributes: Attributes, timestamp: int | None) -> None:
        """Keep an event; the oldest goes when there are too many, as on any span."""
        if len(self.events) >= LATE_LIMIT:
            self.events.popleft()
            self._level.runtime.tally.drop("span_events")
        at_ns = self._level.runtime.clock.wall_ns() if timestamp is None else timestamp
        self.events.append((name, dict(attributes or {}), at_ns))

    def add_link(self, context: SpanContext, attributes: Attributes) -> None:
        """Keep a link."""
        if len(self.links) < LATE_LIMIT:
            self.links.append(Link(context, dict(attributes or {})))
        else:
            self._level.runtime.tally.drop("span_links")

    def update_name(self, name: str) -> None:
        """Keep a name."""
        self.name = name

    def set_status(self, status: Status | StatusCode, description: str | None) -> None:
        """Keep a status by the rules of the API: OK is final, and unset changes nothing."""
        new = status if isinstance(status, Status) else Status(status, description)
        if new.status_code is not StatusCode.UNSET and (self.status is None or self.status.status_code is not _OK):
            self.status = new

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes,
        timestamp: int | None,
        escaped: bool,  # noqa: FBT001  # as the API has it
    ) -> None:
        """Keep an exception as the event that the specification makes of it."""
        kind = type(exception)
        module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
        told: dict[str, AttributeValue] = {
            names.EXCEPTION_TYPE: module + kind.__qualname__,
            names.EXCEPTION_MESSAGE: str(exception),
            names.EXCEPTION_STACKTRACE: "".join(traceback.format_exception(exception)),
            names.EXCEPTION_ESCAPED: str(escaped),
        }
        self.add_event(names.EXCEPTION_EVENT, {**told, **(attributes or {})}, timestamp)
