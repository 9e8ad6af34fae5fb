from __future__ import annotations

from dataclasses import replace

from otel_progress import State
from otel_progress.cli._demo_job import Summary
from otel_progress.cli._demo_setup import Surroundings
from otel_progress.cli._demo_summary import closing

SUMMARY = Summary(
    folders=174,
    unreadable_folders=0,
    files=2_450,
    compressed=2_261,
    not_text=189,
    unreadable=0,
    large_files=71,
    bytes_read=102_273_533,
    text_bytes=37_195_829,
    compressed_bytes=7_680_348,
    lines=971_204,
    verified=445,
    damaged=0,
    settings_tried=15,
    phase_seconds={"scan": 0.3, "process": 58.2, "verify": 0.6},
    trace_id="0af7651916cd43dd8448eb211c80319c",
)
EVERYTHING = Surroundings("http://127.0.0.1:9464/metrics", "http://localhost:4318", ())


def test_closing_words_say_what_was_done_and_where_to_look() -> None:
    """With everything installed and set."""
    assert closing(SUMMARY, State.COMPLETED, EVERYTHING) == (
        "\n"
        "Done in 59 s: compressed 2,261 of 2,450 files, 37.2 MB to 7.68 MB.\n"
        "189 not text, 445 verified.\n"
        "\n"
        "Where to look:\n"
        "  traces, metrics, events: sent to http://localhost:4318\n"
        "  trace id: 0af7651916cd43dd8448eb211c80319c\n"
        "  metrics: http://127.0.0.1:9464/metrics, while it ran"
    )


def test_closing_words_say_how_to_get_what_was_not_set() -> None:
    """The variable for OTLP, the argument for the endpoint."""
    text = closing(replace(SUMMARY, trace_id=None), State.COMPLETED, Surroundings(None, None, ()))
    assert "traces: not sent; set OTEL_EXPORTER_OTLP_ENDPOINT" in text
    assert "--prometheus 9464" in text
    assert "pip" not in text


def test_closing_words_say_in_one_line_what_is_not_installed() -> None:
    """And nothing of what that would have done."""
    lines = closing(SUMMARY, State.COMPLETED, Surroundings(None, None, ("cli", "otlp", "prometheus"))).splitlines()
    assert lines[lines.index("Where to look:") + 1 :] == [
        "  not installed: live tree, OTLP, Prometheus endpoint; for that, pip install 'otel-progress[all]'"
    ]
    one = closing(SUMMARY, State.COMPLETED, replace(EVERYTHING, missing_extras=("cli",)))
    assert one.endswith("\n  not installed: live tree; for that, pip install 'otel-progress[cli]'")


def test_closing_words_of_an_interrupted_run_say_how_far_it_came() -> None:
    """What went wrong is counted as well."""
    summary = replace(SUMMARY, unreadable=3, unreadable_folders=2, damaged=1, verified=0)
    assert closing(summary, State.INTERRUPTED, EVERYTHING).splitlines()[1:3] == [
        "Interrupted after 59 s: compressed 2,261 of 2,450 files, 37.2 MB to 7.68 MB.",
        "189 not text, 3 unreadable, 2 unreadable folders, 1 damaged.",
    ]
