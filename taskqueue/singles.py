"""Schedules of one item at a time: it comes again only when the one before has ended.

The row says when the next run is due, the item on the queue is the run; it holds the name of the schedule as its
``dedup_key`` until it has ended. Whoever needs both locks the row first.
"""

from __future__ import annotations

import logging
import os
from typing import Any

from .errors import ConfigurationError, PayloadError, QueueNotFound
from .payload import Codec
from .queues.sql_base import SqlBase
from .rhythm import Rhythm
from .schedules import Schedule, Scheduling, data_of, purpose, schedule_of
from .storage import periodic
from .storage.periodic import PeriodicRow
from .storage.transaction import Transaction

_log = logging.getLogger(__name__)


def put(
    service: Scheduling, tx: Transaction, name: str, data: Any, rhythm: Rhythm, queue: SqlBase, weight: int = 0
) -> Schedule:
    """Set a schedule, or replace the one of that name.

    Said again as it stands it changes nothing, so that an application can say it at each start; unless it comes once.
    Else a run that waits is taken back, and the new data is due at once instead; one that is under way may come to its
    end, but if it fails it is not tried again. A new rhythm counts from now.
    """
    codec, uid = service.settings.codec, os.urandom(16).hex()
    values = {
        "name": name, "queue_name": queue.name, "cron": rhythm.text, "timezone": rhythm.timezone, "uid": uid,
        "data": codec.pack(data, purpose(name, queue.name), uid), "weight": weight,
    }  # fmt: skip
    now = periodic.now(tx)
    row, is_stale = _hold(tx, name)
    while row is None:
        if periodic.add_single(tx, next_time=rhythm.first(now), **values):
            _stop(tx, name, queue, is_stale)  # what has come once is no longer stored, but may stand
            return _read(tx, name, codec)
        row, is_stale = periodic.hold(tx, name), True  # another process has just added it
    is_same = row.cron == rhythm.text and row.timezone == rhythm.timezone and not rhythm.is_once
    if is_same and (row.queue_name, row.weight) == (queue.name, weight) and _has(row, data, codec):
        return schedule_of(row, codec)
    has_stopped = _stop(tx, name, _queue(service, row, queue), is_stale)
    if is_same:
        due, last = now if has_stopped else row.next_time, row.last_time
    else:
        due, last = rhythm.first(now), 0
    periodic.change_single(tx, next_time=due, last_time=last, **values)
    return _read(tx, name, codec)


def remove(service: Scheduling, tx: Transaction, name: str, queue: SqlBase) -> bool:
    """Let a schedule come no more; whether there was one.

    A run that waits is taken back; one that is under way may come to its end, but if it fails it is not tried again.

    Arguments:
        queue: where it may stand if it was to come once.
    """
    row, is_stale = _hold(tx, name)
    removed = row is not None and periodic.remove(tx, name)
    return _stop(tx, name, _queue(service, row, queue), is_stale) or removed


def succeeded(tx: Transaction, name: str) -> None:
    """In the transaction that ends a run: the next one is counted from here.

    Only where the schedule still stands, and has not got another rhythm since the run was put on the queue.
    """
    row = periodic.find(tx, name)
    if row is None:
        return
    try:
        following = Rhythm.of(row.cron, row.timezone).following(periodic.now(tx))
    except ConfigurationError as error:
        _log.warning("schedule %r is not counted from the end of its run: %s", name, error)
        return
    if following is not None:
        periodic.count_from_end(tx, row, following)


def _hold(tx: Transaction, name: str) -> tuple[PeriodicRow | None, bool]:
    """The row, and whether this transaction reads older states than that.

    Looked at before it is locked: locking what is not there would keep others from adding anything beside it, where
    the caller's transaction has repeatable reads.
    """
    seen = periodic.find(tx, name)
    row = periodic.hold(tx, name) if seen is not None else None
    return row, row != seen


def _queue(service: Scheduling, row: PeriodicRow | None, queue: SqlBase) -> SqlBase:
    """Where the items of a schedule stand, which may have got another queue."""
    if row is None or row.queue_name == queue.name:
        return queue
    try:
        return service.scheduled_queue(row.queue_name)
    except QueueNotFound:
        return queue


def _stop(tx: Transaction, name: str, queue: SqlBase, is_stale: bool) -> bool:
    """Take the item back that stands; whether there was one."""
    item_id = queue.rows.id_with_key(tx, name, lock=is_stale)
    return item_id is not None and queue.cancel_within(tx, item_id) is not None


def _has(row: PeriodicRow, data: Any, codec: Codec) -> bool:
    try:
        return bool(data_of(row, codec) == data)
    except PayloadError:
        return False


def _read(tx: Transaction, name: str, codec: Codec) -> Schedule:
    row = periodic.find(tx, name)
    assert row is not None  # noqa: S101  (this transaction has just stored it)
    return schedule_of(row, codec)
