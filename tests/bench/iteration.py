"""track(): what it adds to each item of a loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import rich.console
import rich.progress
import tqdm

from otel_progress import operation, track
from tests.bench.harness import Row, beside, compare, duration
from tests.bench.setups import devnull, recording

ITEMS = 300_000


def rows() -> Iterator[Row]:
    """Measure exact builtins, then any iterator."""
    numbers = list(range(ITEMS))
    builtins: dict[str, Iterable[int]] = {
        "list": numbers,
        "tuple": tuple(numbers),
        "range": range(ITEMS),
        "dict": dict.fromkeys(numbers),
    }
    with recording(), operation("bench"):
        added: list[dict[str, float]] = []
        for items in builtins.values():
            peers = items is numbers
            added.append(_added(lambda items=items: items, peers=peers))
        worst = max(cost["ours"] for cost in added)
        yield _row("`track(list / tuple / range / dict)`, per item, the slowest of them", worst, added[0], 3e-9)
        any_iterator = _added(lambda: iter(numbers), peers=True)
        yield _row("`track(any iterator)`, per item", any_iterator["ours"], any_iterator, 25e-9)
        names = [str(number) for number in numbers]
        keyed = _added(lambda: names, peers=True, key=str)
        yield _row("`track(list, key=str)`, per item", keyed["ours"], keyed, 300e-9)


def _row(what: str, ours: float, added: dict[str, float], budget: float) -> Row:
    peers, ratios = beside(ours, {name: added[name] for name in ("tqdm", "rich")})
    return Row(
        what=what,
        ours=f"{duration(ours)} over a bare loop",
        peers=peers,
        ratio=ratios,
        budget=f"≤ {duration(budget)}",
        ok=ours <= budget,
    )


def _added(
    make: Callable[[], Iterable[object]], *, peers: bool, key: Callable[[object], object] | None = None
) -> dict[str, float]:
    """Return seconds per item over a bare loop."""
    with devnull() as nowhere:
        console = rich.console.Console(file=nowhere, force_terminal=True)  # type: ignore[arg-type]  # a text file
        contenders: dict[str, Callable[[], object]] = {
            "bare": lambda: _consume(make()),
            "ours": lambda: _consume(track(make(), "items", key=key)),
        }
        if peers:
            contenders["tqdm"] = lambda: _consume(tqdm.tqdm(make(), total=ITEMS, file=nowhere))
            contenders["rich"] = lambda: _consume(rich.progress.track(make(), total=ITEMS, console=console))
        costs = compare(contenders, operations=ITEMS)
    bare = costs.pop("bare").wall
    return {name: cost.wall - bare for name, cost in costs.items()}


def _consume(items: Iterable[object]) -> None:
    for _ in items:
        pass
