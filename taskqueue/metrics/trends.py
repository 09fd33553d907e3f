"""What was done over time, as charts show it: points of equal width, the newest last, gaps filled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Literal, NamedTuple

from .. import clock
from ..errors import SpecError
from ..service import QueueService
from ..spec import check_name, shown
from ..storage import trends
from ..storage.trends import ALL_QUEUES, HOUR, MINUTE, TrendRow

Period = Literal["hour", "day", "week"]


class _Scale(NamedTuple):
    #: Seconds of the rows that are read, and of the points that are made of them; and how many points.
    resolution: int
    seconds: int
    points: int


_SCALES: dict[str, _Scale] = {
    "hour": _Scale(MINUTE, 60, 60),
    "day": _Scale(MINUTE, 15 * 60, 96),
    "week": _Scale(HOUR, 2 * 3600, 84),
}


@dataclass(frozen=True)
class TrendPoint:
    """What was done in so many seconds from a moment on."""

    #: A multiple of ``seconds``, in UTC.
    start: datetime
    seconds: int
    #: Attempts that ended ok; that failed (also those that are tried again); and that left a dead letter.
    done: int
    failed: int
    dead: int
    #: Within so many seconds half, and nineteen out of twenty, of these attempts ended; None: there were none.
    p50: float | None
    p95: float | None
    #: How many items stood in the queue, as a worker has seen last; None: none has looked.
    depth: int | None


def history(service: QueueService, queue_name: str | None, period: Period) -> list[TrendPoint]:
    """What was done in the last hour (60 points of a minute), day (96 of 15 minutes) or week (84 of two hours).

    The last point is that in which it is now, by the database's clock, and has not ended yet. Where nothing was done
    stands zero. Queues of type Memory have no history.

    Arguments:
        queue_name: None: all queues together, which have no depth.

    Raises :class:`SpecError` on a name or period that is none, :class:`DatabaseError` and its kin.
    """
    if period not in _SCALES:
        raise SpecError(f"period must be one of {', '.join(_SCALES)}, not {shown(period)}")
    scale, name = _SCALES[period], check_name(queue_name) if queue_name is not None else ALL_QUEUES
    if not service.uses_database:
        return points([], clock.now_ms(), scale.seconds, scale.points)
    now = service.database.statement(trends.now, write=False)
    since = _first(now, scale.seconds, scale.points)
    read = partial(trends.read, queue_name=name, resolution=scale.resolution, since=since)
    return points(service.database.statement(read, write=False), now, scale.seconds, scale.points)


def rates(service: QueueService, queue_names: Sequence[str]) -> dict[str, list[int]]:
    """How many attempts ended ok in each of the last 60 minutes, the one that it is now last; for each queue, by one
    statement. Raises :class:`SpecError` on names that are none, :class:`DatabaseError` and its kin."""
    if isinstance(queue_names, str):
        raise SpecError(f"queue_names must be a list of names, not {shown(queue_names)}")
    scale, names = _SCALES["hour"], [check_name(name) for name in queue_names]
    if not names or not service.uses_database:
        return {name: [0] * scale.points for name in names}
    width = scale.seconds * 1000
    read = partial(trends.done_lately, queue_names=names, resolution=scale.resolution, age=scale.points * width)
    now, found = service.database.statement(read, write=False)
    first = _first(now or 0, scale.seconds, scale.points)
    starts = range(first, first + scale.points * width, width)
    return {name: [done.get(start, 0) for start in starts] for name, done in found.items()}


def points(rows: Sequence[TrendRow], now: int, seconds: int, number: int) -> list[TrendPoint]:
    """So many points of so many seconds each, made of rows in the order of time; the last one is that in which ``now``
    (ms since 1970) lies. Rows outside of them are left out."""
    return [
        TrendPoint(clock.from_ms(row.start), seconds, row.done, row.failed, row.dead, row.quantile(0.5),
                   row.quantile(0.95), row.depth)
        for row in _summed(rows, now, seconds, number)
    ]  # fmt: skip


def _first(now: int, seconds: int, number: int) -> int:
    """When the first of so many points begins."""
    width = seconds * 1000
    return now - now % width - (number - 1) * width


def _summed(rows: Sequence[TrendRow], now: int, seconds: int, number: int) -> list[TrendRow]:
    first, width = _first(now, seconds, number), seconds * 1000
    name = rows[0].queue_name if rows else ALL_QUEUES
    sums = [TrendRow(name, first + place * width) for place in range(number)]
    for row in rows:
        place = (row.start - first) // width
        if 0 <= place < number:
            sums[place] = sums[place].plus(row)
    return sums
