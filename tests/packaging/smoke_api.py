"""With OpenTelemetry's API alone everything runs, reads back what it did, and `configure` says what to install."""

import sys

import otel_progress
from otel_progress import ConfigError, State, active, advance, configure, current, history, level, operation, track

assert otel_progress.__file__.startswith(sys.prefix), otel_progress.__file__


@operation("nightly-import", total=2)
def nightly_import() -> list[str]:
    """Copy three rows, then iterate over two letters."""
    with level("copy", id="orders", total=3) as copy:
        copy.advance(2, bytes=64_000)
        copy.skip()
        copy.count("tokens", 812)
        assert current() is copy
        assert [each.name for each in active()] == ["nightly-import"]
    advance()
    letters = list(track(["a", "b"], "letters"))
    advance()
    return letters


assert nightly_import() == ["a", "b"]
assert current() is None
assert active() == ()

(run,) = history("nightly-import")
assert (run.state, run.done, run.total) == (State.COMPLETED, 2, 2), run
copied, letters = run.children
assert (copied.name, copied.id, copied.done, copied.skipped) == ("copy", "orders", 3, 1), copied
assert (letters.name, letters.done, letters.total) == ("letters", 2, 2), letters
assert copied.counters["tokens"].value == 812

for options, extra in (({"otlp": "http"}, "otlp"), ({"prometheus": 0}, "prometheus")):
    try:
        configure(**options)
    except ConfigError as error:
        assert f"otel-progress[{extra}]" in str(error), error
    else:
        raise AssertionError(f"configure({options}) without an SDK raised nothing")

assert not [name for name in sys.modules if name.startswith(("opentelemetry.sdk", "rich"))]

# Nothing is asked for that needs more than there is: the view falls back to plain lines.
configure().shutdown()
print("ok")
