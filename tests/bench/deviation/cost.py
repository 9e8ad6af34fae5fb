"""What watching a level costs: time of one look, and memory."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator

from otel_progress import Estimate, Profile, Sample
from otel_progress.deviation import Monitor

_LOOKS = 2_000
_MONITORS = 20
_ESTIMATE = Estimate(expected=10.0, low=5.0, high=20.0, confidence=0.5, method="adaptive")


def costs() -> str:
    """Return one sentence with what was measured in processor time, the best of several rounds."""
    curve = tuple((share / 63, (share / 63) ** 1.1) for share in range(64))
    earlier = Profile(seconds=_LOOKS, total=_LOOKS, curve=curve, longest_pause=3.0, failed=3, peak_rss=1e8)
    alone, learned = (min(_look(history) for _ in range(7)) for history in ((), (earlier,)))
    kept = max(_kept(history) for history in ((), (earlier,)))
    made = min(_make((earlier,)) for _ in range(7))
    return (
        f"One look (`observe` and `check`, all rules, an estimate given): {alone * 1e6:.0f} us without history, "
        f"{learned * 1e6:.0f} us with it. Memory of a monitor: {kept / 1024:.0f} KiB at most. "
        f"Making one with an earlier run: {made * 1e6:.0f} us."
    )


def _samples() -> Iterator[Sample]:
    for now in range(_LOOKS):
        yield Sample(float(now), now + 0.5, _LOOKS, now // 500, 0, now * 10.5, 0.01 * now, 0.9, now * 0.9, 1e8)


def _look(history: tuple[Profile, ...]) -> float:
    monitor = Monitor(_LOOKS, history, own_estimates=False)
    samples = list(_samples())
    start = time.process_time()
    for sample in samples:
        monitor.observe(sample)
        monitor.check(sample.now, _ESTIMATE)
    return (time.process_time() - start) / _LOOKS


def _kept(history: tuple[Profile, ...]) -> float:
    tracemalloc.start()
    monitors = [Monitor(_LOOKS, history, own_estimates=False) for _ in range(_MONITORS)]
    for sample in _samples():
        for monitor in monitors:
            monitor.observe(sample)
            monitor.check(sample.now, _ESTIMATE)
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return size / _MONITORS


def _make(history: tuple[Profile, ...]) -> float:
    start = time.process_time()
    for _ in range(100):
        Monitor(_LOOKS, history, own_estimates=False)
    return (time.process_time() - start) / 100
