"""Putting what is due on its queue: once for each period, however many workers look."""

from __future__ import annotations

import logging
from functools import lru_cache

from .errors import QueueNotFound, TaskQueueError
from .queues.base import NewItem
from .queues.sql_base import SqlBase
from .rhythm import Rhythm
from .schedules import Scheduling, enqueue
from .storage import periodic, registry
from .storage.periodic import PeriodicRow
from .storage.transaction import Transaction

_log = logging.getLogger(__name__)
#: What this process cannot read is looked at again after so many seconds.
_AGAIN = 60.0
#: ... and so is what waits for the end of the run before.
_STILL_STANDING = 1.0


class _StillStandingError(Exception):
    """Somebody has just put the item of the run before on the queue."""


def tick(service: Scheduling) -> float | None:
    """Put everything that is due on its queue; return the seconds until more is due, None when there is no schedule.

    Safe to call by any number of processes at once: each period puts one item on the queue, and periods that were
    missed put one together. A queue that is gone or not active misses its period. A schedule that cannot be read here
    (another key, an unknown time zone) is left to other processes. One of an outbox stays due while the item of its
    last run stands on the queue. Schedules may be added at any time: do not wait for the whole time returned. Raises
    :class:`DatabaseError`.
    """
    wait = service.database.statement(periodic.wait, write=False)
    if wait is None or wait > 0:
        return None if wait is None else wait / 1000
    rows = service.database.statement(periodic.due, write=False)
    left = {row.next_time: pause for row in rows if (pause := _serve(service, row))}
    past = max(left, default=0)
    wait = service.database.statement(lambda tx: periodic.wait(tx, after=past), write=False)
    return min([*left.values(), *([] if wait is None else [wait / 1000])], default=None)


def _serve(service: Scheduling, row: PeriodicRow) -> float:
    """Put one that is due on its queue, unless somebody else does; seconds to wait if it stays due, else 0."""
    try:
        queue, new = _queue(service, row), service.new_item(row)
        if queue is not None and _is_standing(queue, new):
            return _STILL_STANDING
        problem = service.database.transaction(lambda tx: _move_on(tx, row, queue, new))
    except _StillStandingError:
        return _STILL_STANDING
    except TaskQueueError as error:
        _complain(str(service.database.url), row.name, row.queue_name, row.next_time, str(error))
        return _AGAIN
    if problem:
        _log.warning("schedule %r was due, but queue %r %s: this time is left out", row.name, row.queue_name, problem)
    elif queue is not None:
        queue.changed()
    return 0


@lru_cache
def _complain(database: str, name: str, queue_name: str, next_time: int, problem: str) -> None:
    """Cached, so that it is said once on each database for each time that is due, however often it is met."""
    _log.error("schedule %r of queue %r is due and left to other processes: %s", name, queue_name, problem)


def _queue(service: Scheduling, row: PeriodicRow) -> SqlBase | None:
    try:
        return service.scheduled_queue(row.queue_name)
    except QueueNotFound:
        if row.is_single:
            raise  # what comes once must not be left out
        return None


def _is_standing(queue: SqlBase, new: NewItem) -> bool:
    """Whether a run of a schedule that allows one at a time has not ended."""
    key = new.dedup_key
    return (
        key is not None
        and queue.database.statement(lambda tx: queue.rows.id_with_key(tx, key), write=False) is not None
    )


def _move_on(tx: Transaction, row: PeriodicRow, queue: SqlBase | None, new: NewItem) -> str:
    """In one transaction: the next time, counted from now, and the item; why there is none, or an empty text."""
    following = Rhythm.of(row.cron, row.timezone).following(periodic.now(tx))
    moved = periodic.come_no_more(tx, row) if following is None else periodic.move_on(tx, row, following)
    if not moved:
        return ""
    standing = registry.find(tx, row.queue_name)
    if queue is None or standing is None:
        return "does not exist"
    if standing.status != "active" and not row.is_single:
        return f"is {standing.status}"
    if enqueue(tx, row, queue, new).uid != new.uid:
        raise _StillStandingError
    return ""
