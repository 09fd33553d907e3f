"""Putting what is due on its queue: once for each period, however many workers look."""

from __future__ import annotations

import logging
from functools import lru_cache

from .cron import Cron
from .errors import QueueNotFound, TaskQueueError
from .queues.base import NewItem
from .queues.sql_base import SqlBase
from .schedules import Scheduling, enqueue
from .storage import periodic, registry
from .storage.periodic import PeriodicRow
from .storage.transaction import Transaction

_log = logging.getLogger(__name__)
#: What this process cannot read is looked at again after so many seconds.
_AGAIN = 60.0


def tick(service: Scheduling) -> float | None:
    """Put everything that is due on its queue; return the seconds until more is due, None when there is no schedule.

    Safe to call by any number of processes at once: each period puts one item on the queue, and periods that were
    missed put one together. A queue that is gone or not active misses its period. A schedule that cannot be read here
    (another key, an unknown time zone) is left to other processes. Schedules may be added at any time: do not wait for
    the whole time returned. Raises :class:`DatabaseError`.
    """
    wait = service.database.statement(periodic.wait, write=False)
    if wait is None or wait > 0:
        return None if wait is None else wait / 1000
    left = [row for row in service.database.statement(periodic.due, write=False) if not _serve(service, row)]
    past = max((row.next_time for row in left), default=0)
    wait = service.database.statement(lambda tx: periodic.wait(tx, after=past), write=False)
    seconds = [] if wait is None else [wait / 1000]
    return min([*seconds, _AGAIN] if left else seconds, default=None)


def _serve(service: Scheduling, row: PeriodicRow) -> bool:
    """Put one that is due on its queue, unless somebody else does; False when that is left to others."""
    try:
        queue, new = _queue(service, row.queue_name), service.new_item(row)
        problem = service.database.transaction(lambda tx: _move_on(tx, row, queue, new))
    except TaskQueueError as error:
        _complain(row.name, row.next_time, str(error))
        return False
    if problem:
        _log.warning("schedule %r was due, but queue %r %s: this time is left out", row.name, row.queue_name, problem)
    elif queue is not None:
        queue.changed()
    return True


@lru_cache
def _complain(name: str, next_time: int, problem: str) -> None:
    """Cached, so that it is said once for each time that is due, however often it is met."""
    _log.error("schedule %r is due and left to other processes: %s", name, problem)


def _queue(service: Scheduling, name: str) -> SqlBase | None:
    try:
        return service.scheduled_queue(name)
    except QueueNotFound:
        return None


def _move_on(tx: Transaction, row: PeriodicRow, queue: SqlBase | None, new: NewItem) -> str:
    """In one transaction: the next time, counted from now, and the item; why there is none, or an empty text."""
    following = Cron(row.cron, row.timezone).following(periodic.now(tx))
    if not periodic.move_on(tx, row, following):
        return ""
    standing = registry.find(tx, row.queue_name)
    if queue is None or standing is None:
        return "does not exist"
    if standing.status != "active":
        return f"is {standing.status}"
    enqueue(tx, row, queue, new)
    return ""
