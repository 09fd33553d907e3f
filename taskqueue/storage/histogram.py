"""How long attempts took, counted in bins: a few numbers that can be added up, and give quantiles all the same."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from .schema import RUN_TIME_BINS

#: The longest time (seconds) of each bin, from a millisecond on; the last bin is open.
BOUNDS = tuple(digit * 10**power / 1000 for power in range(7) for digit in (1, 2, 5))[: RUN_TIME_BINS - 1]
#: What the last bin is taken to reach to.
_LONGEST = 5000.0
#: The number of the bin in which so long (seconds) counts.
bin_of: Callable[[float], int] = partial(bisect_left, BOUNDS)


def count(times: Iterable[float], counts: list[int]) -> None:
    """Add to the bins what took so long (seconds). Many at a time, for which one step each is all there is."""
    for number, found in Counter(map(bin_of, times)).items():
        counts[number] += found


def quantile(counts: Sequence[int], part: float) -> float | None:
    """The time (seconds) within which that part (0 to 1) of what was counted took place; None: nothing was counted.

    Inside a bin times are taken to be spread evenly on a logarithmic scale (in the first one, which begins at nothing,
    on a plain one), so that the answer is off by a factor of 2.5 at the most, and usually by far less.
    """
    total = sum(counts)
    if not total:
        return None
    wanted, before = min(max(part, 0.0), 1.0) * total, 0
    for number, count in enumerate(counts):
        if count and before + count >= wanted:
            return _within(number, (wanted - before) / count)
        before += count
    return _LONGEST  # no sum of whole numbers comes here


def _within(number: int, part: float) -> float:
    upper = BOUNDS[number] if number < len(BOUNDS) else _LONGEST
    if not number:
        return float(upper * part)
    lower = BOUNDS[number - 1]
    return float(lower * (upper / lower) ** part)
