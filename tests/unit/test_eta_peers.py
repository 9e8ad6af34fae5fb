"""The benchmark's copies of tqdm and rich say what the real libraries say, on a fake clock."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator

import pytest
from rich.progress import Progress
from tqdm import tqdm

from tests.bench.eta.peers import Chromium, DuckDb, Indicatif, Mean, Rich, Tqdm

SEEDS = pytest.mark.parametrize("seed", range(5))


def advances(seed: int, count: int = 400) -> Iterator[tuple[float, float]]:
    """Yield (done, now): bursts, gaps, and items between 1 ms and a minute."""
    numbers = random.Random(seed)
    now = done = 0.0
    for _ in range(count):
        now += numbers.lognormvariate(-2 + seed, 1.5)
        done += numbers.randrange(1, 4)
        yield done, now


class _ShownTqdm(tqdm):  # type: ignore[type-arg]
    """A bar whose clock is set by hand, and that notes the time left it shows."""

    shown: float | None = None
    clock = 0.0

    def display(self, *_: object, **__: object) -> bool:
        values = self.format_dict
        rate = values["rate"] or (values["n"] / values["elapsed"] if values["elapsed"] else 0)
        self.shown = (values["total"] - values["n"]) / rate if rate else None
        return True


@SEEDS
def test_tqdm(seed: int) -> None:
    """At every update, whether it refreshes or not."""
    bar = _ShownTqdm(total=2_000, file=io.StringIO())
    bar._time = lambda: bar.clock
    bar.start_t = bar.last_print_t = 0.0
    bar.monitor_interval = 0
    bar.shown = None
    copy = Tqdm()
    copy.set_total(2_000, 0.0)
    seen = 0
    for done, now in advances(seed):
        bar.clock = now
        bar.update(done - bar.n)
        copy.record(done, now)
        assert copy.left(now) == pytest.approx(bar.shown)
        seen += bar.shown is not None
    assert seen > 100


@SEEDS
def test_rich(seed: int) -> None:
    """At every update, and after a total that changes."""
    clock = 0.0
    bar = Progress(get_time=lambda: clock, auto_refresh=False, disable=True)
    task = bar.add_task("work", total=2_000)
    copy = Rich()
    copy.set_total(2_000, 0.0)
    seen = 0
    for index, (done, now) in enumerate(advances(seed, 1_500)):
        clock = now
        if index == 700:
            bar.update(task, total=5_000)
            copy.set_total(5_000, now)
        bar.advance(task, done - bar.tasks[0].completed)
        copy.record(done, now)
        if done < copy.total:
            assert copy.left(now) == bar.tasks[0].time_remaining
            seen += copy.left(now) is not None
    assert seen > 100


@pytest.mark.parametrize("make", [Mean, Chromium, Indicatif, DuckDb])
def test_the_others_agree_with_a_ruler_on_a_steady_run(make: type[Mean]) -> None:
    """Two units a second, 40 of 100 done after 20 s: 30 s left; a filter needs a little longer to settle."""
    peer = make()
    peer.set_total(100.0, 0.0)
    for n in range(1, 41):
        peer.record(float(n), n / 2)
    assert peer.left(20.0) == pytest.approx(30.0, rel=0.15)
