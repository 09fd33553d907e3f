"""Quantiles out of bins, and points out of rows."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskqueue.metrics.trends import points
from taskqueue.storage.histogram import BOUNDS, bin_of, quantile
from taskqueue.storage.schema import RUN_TIME_BINS
from taskqueue.storage.trends import MINUTE, TrendRow

WIDTH = MINUTE * 1000
#: A moment at which a minute, and a day, begins.
NOON = 1_800_014_400_000 - 1_800_014_400_000 % 86_400_000

TIMES = st.lists(st.floats(0, 6000, allow_nan=False), min_size=1, max_size=200)
PARTS = st.floats(0, 1, allow_nan=False)


def counted(times: list[float]) -> list[int]:
    """The bins of so many attempts."""
    counts = [0] * RUN_TIME_BINS
    for seconds in times:
        counts[bin_of(seconds)] += 1
    return counts


def test_the_bins_are_a_series_of_one_two_and_five() -> None:
    assert len(BOUNDS) == RUN_TIME_BINS - 1
    assert BOUNDS[:7] == (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
    assert BOUNDS[-3:] == (500, 1000, 2000)


@pytest.mark.parametrize(
    ("seconds", "number"),
    [(0, 0), (0.001, 0), (0.0011, 1), (0.002, 1), (1, 9), (1.5, 10), (2000, 19), (2000.1, 20), (1e9, 20)],
)
def test_a_time_counts_in_the_first_bin_that_reaches_so_far(seconds: float, number: int) -> None:
    assert bin_of(seconds) == number


def test_nothing_has_no_quantiles() -> None:
    assert quantile([0] * RUN_TIME_BINS, 0.5) is None


@pytest.mark.parametrize(
    ("times", "part", "expected"),
    [
        ([0.0001] * 10, 0.5, 0.0005),  # evenly in the first bin, which begins at nothing
        ([1.5] * 10, 1, 2.0),
        ([1.5] * 10, 0.5, 2**0.5),
        ([0.0005] * 95 + [3.0] * 5, 0.95, 0.001),
        ([0.0005] * 94 + [3.0] * 6, 0.95, 2 * 2.5 ** (1 / 6)),
        ([9999.0], 1, 5000.0),
        ([1.5, 1500.0], 0, 1.0),
    ],
)
def test_quantiles(times: list[float], part: float, expected: float) -> None:
    assert quantile(counted(times), part) == pytest.approx(expected)


@given(TIMES, PARTS)
def test_a_quantile_lies_in_the_bin_of_the_true_one(times: list[float], part: float) -> None:
    found = quantile(counted(times), part)
    true = sorted(times)[max(-int(-part * len(times) // 1), 1) - 1]
    assert found is not None
    number = bin_of(true)
    lower = BOUNDS[number - 1] if number else 0
    upper = BOUNDS[number] if number < len(BOUNDS) else 5000
    assert lower * 0.999 <= found <= upper * 1.001


@given(TIMES, PARTS, PARTS)
def test_quantiles_grow(times: list[float], one: float, other: float) -> None:
    counts = counted(times)
    less, more = quantile(counts, min(one, other)), quantile(counts, max(one, other))
    assert less is not None and more is not None and less <= more * 1.000001


def row(minute: int, done: int = 0, depth: int | None = None) -> TrendRow:
    """So many minutes after noon."""
    return TrendRow("jobs", NOON + minute * WIDTH, done=done, ran=(done, *[0] * (RUN_TIME_BINS - 1)), depth=depth)


def test_points_end_with_the_moment_and_gaps_are_filled() -> None:
    found = points([row(1, 5), row(3, 7, depth=2)], NOON + 3 * WIDTH + 59_999, 60, 4)

    assert [point.done for point in found] == [0, 5, 0, 7]
    assert [point.depth for point in found] == [None, None, None, 2]
    assert [point.p50 is None for point in found] == [True, False, True, False]
    assert found[-1].start == datetime.fromtimestamp(NOON / 1000 + 180, timezone.utc)
    assert found[-1].start.utcoffset() is not None


def test_a_wider_point_is_the_sum_and_knows_the_last_depth() -> None:
    rows = [row(minute, 1, depth=minute if minute % 3 == 0 else None) for minute in range(30)]

    found = points(rows, NOON + 29 * WIDTH, 900, 3)

    assert [(point.done, point.depth) for point in found] == [(0, None), (15, 12), (15, 27)]
    assert {point.seconds for point in found} == {900}


def test_what_lies_outside_is_left_out() -> None:
    found = points([row(-100, 1), row(0, 2), row(100, 4)], NOON, 60, 2)  # the last one by a clock that was set back

    assert [point.done for point in found] == [0, 2]
