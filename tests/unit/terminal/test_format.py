from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_progress.terminal import format as fmt


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (3, "3"),
        (1204, "1,204"),
        (99_999, "99,999"),
        (100_000, "100 k"),
        (123_456, "123 k"),
        (999_499, "999 k"),
        (999_500, "1.00 M"),
        (1_240_000, "1.24 M"),
        (2_000_000_000, "2.00 G"),
        (12.5, "12.5"),
        (0.5, "0.5"),
        (1234.5, "1,234"),  # three digits, as everywhere, but never fewer than the whole part; .5 rounds to even
        (0.0123, "0.012"),
    ],
)
def test_counts_are_exact_while_they_are_short(value: float, text: str) -> None:
    """Counts below a hundred thousand are written out, others have three digits and a prefix."""
    assert fmt.number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.5, "0.50"), (3.44, "3.4"), (34.4, "34"), (344, "344"), (999.7, "1.0 k"), (1234, "1.2 k"), (123_456, "120 k")],
)
def test_numbers_that_keep_changing_have_two_digits(value: float, text: str) -> None:
    """Two digits move calmly."""
    assert fmt.rough(value) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (512, "512 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (34_100_000, "34.1 MB"),
        (340_000_000, "340 MB"),
        (1_240_000_000, "1.24 GB"),
        (999_999_999, "1.00 GB"),
    ],
)
def test_bytes_are_written_as_sizes(count: float, text: str) -> None:
    """Sizes have decimal prefixes and three digits."""
    assert fmt.size(count) == text


@pytest.mark.parametrize(
    ("done", "total", "unit", "text"),
    [
        (3, 5, "{item}", "3/5 items"),
        (1, 1, "{item}", "1/1 item"),
        (1, None, "{item}", "1 item"),
        (0, None, "{row}", "0 rows"),
        (1204, 2700, "{row}", "1,204/2,700 rows"),
        (950, 1_240_000, "{row}", "950/1.24 M rows"),
        (12, 10, "{row}", "12/10 rows"),
        (34_100_000, 1_240_000_000, "By", "34.1 MB/1.24 GB"),
        (34_100_000, None, "By", "34.1 MB"),
        (125, None, "s", "2 min 05 s"),
        (2, 3, "1", "2/3"),
        (2, 3, "", "2/3"),
        (2, 3, "{batch}", "2/3 batch"),  # no guessing at plurals
        (2, 3, "{USD}", "2/3 USD"),
    ],
)
def test_counts_say_how_far_and_of_what(done: float, total: float | None, unit: str, text: str) -> None:
    """A count has its total, where known, and its unit."""
    assert fmt.count(done, total, unit) == text


@pytest.mark.parametrize(
    ("per_second", "unit", "text"),
    [
        (1234.5, "{item}", "1.2 k item/s"),
        (34_400_000, "By", "34 MB/s"),
        (1, "{row}", "1 row/s"),
        (0, "{row}", "0 row/s"),
        (0.5, "{row}", "30 row/min"),
        (0.2, "{file}", "12 file/min"),
        (0.001, "{epoch}", "3.6 epoch/h"),
        (7.25, "1", "7.2/s"),
    ],
)
def test_slow_rates_are_given_per_minute_or_hour(per_second: float, unit: str, text: str) -> None:
    """A rate is never a small fraction."""
    assert fmt.rate(per_second, unit) == text


@pytest.mark.parametrize(
    ("fraction", "text"),
    [(0, "0 %"), (0.29, "29 %"), (0.999, "99 %"), (1, "100 %"), (1.3, "100 %"), (-0.1, "0 %")],
)
def test_hundred_percent_means_all_of_it(fraction: float, text: str) -> None:
    """Percent are rounded down, and 0.29 is 29 % although 0.29 * 100 is less than 29."""
    assert fmt.percent(fraction) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (0.46, "0.4 s"),
        (0.999, "0.9 s"),
        (1, "1 s"),
        (59.9, "59 s"),
        (60, "1 min 00 s"),
        (65, "1 min 05 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 00 min"),
        (7800, "2 h 10 min"),
        (86_399, "23 h 59 min"),
        (273_600, "3 d 04 h"),
    ],
)
def test_time_passed_is_rounded_down(seconds: float, text: str) -> None:
    """Two units say enough."""
    assert fmt.duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "~1 s"),
        (7.6, "~8 s"),
        (12, "~10 s"),
        (13, "~15 s"),
        (58, "~1 min"),
        (80, "~1.5 min"),  # steps of 30 s from a minute on: 80 is nearer to 90
        (180, "~3 min"),
        (450, "~8 min"),  # steps of a minute from five minutes on, halves up
        (1920, "~30 min"),
        (3800, "~1 h 05 min"),
        (7800, "~2 h 10 min"),
        (90_000, "~1 d 01 h"),
        (400_000, "~4 d 18 h"),  # steps of six hours: 111.1 h is nearer to 114
    ],
)
def test_time_left_is_rounded_to_about_a_tenth(seconds: float, text: str) -> None:
    """The further the end, the coarser the promise."""
    assert fmt.about(seconds) == text


@pytest.mark.parametrize(
    ("expected", "low", "high", "text"),
    [
        (180, 120, 300, "~3 min (2 to 5 min)"),
        (8, 5, 20, "~8 s (5 to 20 s)"),
        (8, 0, 20, "~8 s (0 to 20 s)"),
        (2, 0.2, 100, "~2 s (0 to 2 min)"),
        (50, 40, 130, "~50 s (40 s to 2.5 min)"),
        (155, 151, 400, "~2.5 min (2.5 to 7 min)"),
        (4000, 3000, 9000, "~1 h 05 min (50 min to 2.5 h)"),
        (400_000, 300_000, 600_000, "~4 d 18 h (3 to 7 d)"),
        (180, 178, 182, "~3 min"),  # nothing that the rounding does not say
        (0, 0, 0, "~1 s"),
    ],
)
def test_interval_stands_behind_the_time_left(expected: float, low: float, high: float, text: str) -> None:
    """Both ends share a unit where they can."""
    assert fmt.eta(expected, low, high) == text


def test_interval_encloses_the_estimate_as_shown() -> None:
    """1920 s is shown as 30 min: an interval of 31 to 35 min beside it would look like a fault."""
    assert fmt.eta(1920, 1890, 2100) == "~30 min (30 to 35 min)"


@given(st.floats(0, 1e30), st.floats(0, 1), st.floats(1, 10))
def test_no_number_is_too_odd_to_be_written(value: float, low: float, high: float) -> None:
    """Whatever is counted, the text is one short line."""
    texts = (
        fmt.number(value),
        fmt.rough(value),
        fmt.size(value),
        fmt.rate(value, "{row}"),
        fmt.duration(value),
        fmt.eta(value, value * low, value * high),
    )
    assert all(0 < len(text) < 80 and text.isascii() and text.isprintable() for text in texts)
