"""The closing words of the demo: what was done, and where to look at it."""

from __future__ import annotations

from typing import Final

from otel_progress.cli._demo_job import Summary
from otel_progress.cli._demo_setup import Surroundings
from otel_progress.names import State
from otel_progress.terminal import format as fmt

_WOULD_SHOW: Final = {"cli": "live tree", "otlp": "OTLP", "prometheus": "Prometheus endpoint"}


def closing(summary: Summary, state: State, surroundings: Surroundings) -> str:
    """Return a few lines without a line end."""
    places = [f"  {place}" for place in _places(summary, surroundings)]
    return "\n".join(["", _work(summary, state), *_rest(summary), "", "Where to look:", *places])


def _work(summary: Summary, state: State) -> str:
    seconds = fmt.duration(sum(summary.phase_seconds.values()))
    ended = f"Done in {seconds}" if state is State.COMPLETED else f"{state.capitalize()} after {seconds}"
    files = f"{fmt.number(summary.compressed)} of {fmt.quantity(summary.files, '{file}')}"
    return f"{ended}: compressed {files}, {fmt.size(summary.text_bytes)} to {fmt.size(summary.compressed_bytes)}."


def _rest(summary: Summary) -> list[str]:
    counts = (
        (summary.not_text, "not text"),
        (summary.unreadable, "unreadable"),
        (summary.unreadable_folders, "unreadable folders"),
        (summary.verified, "verified"),
        (summary.damaged, "damaged"),
    )
    said = [f"{fmt.number(count)} {what}" for count, what in counts if count]
    return [f"{', '.join(said)}."] if said else []


def _places(summary: Summary, surroundings: Surroundings) -> list[str]:
    missing = surroundings.missing_extras
    lines = []
    if surroundings.otlp_endpoint is not None:
        lines.append(f"traces, metrics, events: sent to {surroundings.otlp_endpoint}")
        if summary.trace_id is not None:
            lines.append(f"trace id: {summary.trace_id}")
    elif "otlp" not in missing:
        lines.append("traces: not sent; set OTEL_EXPORTER_OTLP_ENDPOINT, to http://localhost:4318 for instance")
    if surroundings.prometheus_url is not None:
        lines.append(f"metrics: {surroundings.prometheus_url}, while it ran")
    elif "prometheus" not in missing:
        lines.append("metrics: no endpoint; --prometheus 9464 makes one while it runs")
    if missing:
        shows = ", ".join(_WOULD_SHOW[extra] for extra in missing)
        extras = "all" if len(missing) == len(_WOULD_SHOW) else ",".join(missing)
        lines.append(f"not installed: {shows}; for that, pip install 'otel-progress[{extras}]'")
    return lines
