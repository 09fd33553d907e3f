"""Checks of what users pass to the methods of a queue; each raises :class:`SpecError` with one sentence."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from .. import clock
from ..errors import NotSupported, SpecError
from ..spec import TASK_PAYLOAD, shown
from ..task import Task

Seconds = float | timedelta
_CENTURY_MS = 100 * 366 * 86_400_000


def delay_ms(delay: Seconds, what: str = "delay") -> int:
    """Seconds or a timedelta as milliseconds; the past means now."""
    if isinstance(delay, (int, float, timedelta)) and not isinstance(delay, bool):
        try:
            milliseconds = clock.to_ms(delay)
        except (OverflowError, ValueError):  # infinite, or not a number
            milliseconds = _CENTURY_MS + 1
        if milliseconds <= _CENTURY_MS:
            return max(milliseconds, 0)
    raise SpecError(f"{what} must be seconds or a timedelta of at most a hundred years, not {shown(delay)}")


def due(delay: Seconds | None, release_time: datetime | None) -> tuple[int, int | None]:
    if delay is not None and release_time is not None:
        raise SpecError("give delay or release_time, not both")
    if delay is not None:
        return delay_ms(delay), None
    if not isinstance(release_time, datetime) or release_time.utcoffset() is None:
        raise SpecError(f"release_time must be a datetime with a time zone, not {shown(release_time)}")
    return 0, max(clock.moment_ms(release_time), 0)


def check_key(key: object, what: str = "dedup_key") -> str:
    # MariaDB takes "k" for "k ", the others do not: so nobody may end with a blank.
    if isinstance(key, str) and 0 < len(key) <= 191 and key.isprintable() and key == key.strip():
        return key
    raise SpecError(f"{what} must be 1 to 191 printable characters without outer blanks, not {shown(key)}")


def check_unique_until(moment: object, dedup_key: object) -> bool:
    """Whether a key is free again as soon as its item is claimed."""
    if moment not in ("started", "finished"):
        raise SpecError(f"unique_until must be 'started' or 'finished', not {shown(moment)}")
    if moment == "started" and dedup_key is None:
        raise SpecError("unique_until='started' says how long a key is taken: give dedup_key as well")
    return moment == "started"


def check_callback(task: object, payload: str | None) -> None:
    """What follows a batch, on a queue with such items."""
    if not isinstance(task, Task):
        raise SpecError(f"on_finished must be a Task, not {shown(task)}")
    if "batch" in task.kwargs:
        raise SpecError("on_finished gets the keyword argument 'batch' with the counts: leave it out of kwargs")
    if payload not in (None, TASK_PAYLOAD):
        raise NotSupported(f"the queue hands its items to the handler {payload!r}, which calls no on_finished")


def check_ids(ids: Iterable[int]) -> list[int]:
    if isinstance(ids, (str, bytes, int)):
        raise SpecError(f"give a list of item ids, not {shown(ids)}")
    return [check_id(item_id) for item_id in ids]


def check_id(item_id: object) -> int:
    """An item id."""
    if isinstance(item_id, int) and not isinstance(item_id, bool) and 0 <= item_id < 2**63:
        return item_id
    raise SpecError(f"an item id is a whole number, not {shown(item_id)}")
