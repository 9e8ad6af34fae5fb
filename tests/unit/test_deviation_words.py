"""Numbers in sentences, as a person would write them."""

from __future__ import annotations

import pytest

from otel_progress.deviation import _words as words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.0 s"),
        (0.44, "0.4 s"),
        (9.0, "9.0 s"),
        (59.9, "59 s"),
        (60.0, "1 min"),
        (250.0, "4 min 10 s"),
        (3_600.0, "1 h"),
        (7_500.0, "2 h 5 min"),
        (3 * 86_400 + 4 * 3_600 + 59, "3 d 4 h"),
    ],
)
def test_times_have_two_units_at_most(seconds: float, text: str) -> None:
    """Rounded down, as what has passed is."""
    assert words.lasting(seconds) == text


@pytest.mark.parametrize(
    ("count", "unit", "text"),
    [
        (1.0, "{item}", "1 item"),
        (1.04, "{row}", "1 row"),
        (3.0, "{row}", "3 rows"),
        (0.0, "{row}", "0 rows"),
        (2.34, "{row}", "2.3 rows"),
        (1_204.4, "{file}", "1,204 files"),
        (2.0, "{query}", "2 queries"),
        (2.0, "{series}", "2 series"),
        (3.0, "", "3"),
        (1.5e6, "By", "1.5 MB"),
        (512.0, "By", "512 B"),
    ],
)
def test_items_are_one_or_many(count: float, unit: str, text: str) -> None:
    """And bytes have a prefix."""
    assert words.items(count, unit) == text


@pytest.mark.parametrize(
    ("first", "second", "texts"),
    [
        (12.0, 30.0, ("12 rows/s", "30 rows/s")),
        (0.5, 1.0, ("30 rows/min", "60 rows/min")),
        (0.01, 100.0, ("36 rows/h", "360,000 rows/h")),
        (0.0, 2.0, ("0 rows/s", "2 rows/s")),
        (0.0, 0.0, ("0 rows/h", "0 rows/h")),
    ],
)
def test_two_speeds_are_given_by_the_same_stretch_of_time(first: float, second: float, texts: tuple[str, str]) -> None:
    """So that they can be compared."""
    assert words.rates(first, second, "{row}") == texts


def test_shares_factors_and_runs() -> None:
    """Small shares keep a digit, large factors none; one run is the last."""
    assert [words.share(part) for part in (0.0, 0.004, 0.123, 1.0)] == ["0 %", "0.4 %", "12 %", "100 %"]
    assert [words.times(factor) for factor in (2.51, 12.3)] == ["2.5 times", "12 times"]
    assert [words.runs(count) for count in (1, 3)] == ["its last run", "its 3 earlier runs"]
