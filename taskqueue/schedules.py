"""Schedules: tasks that are put on a queue again and again, as a cron expression says."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, partial
from typing import Any

from . import callbacks, clock, spans
from .cron import Cron
from .errors import NotSupported, ScheduleNotFound
from .item import QueueItem, optional_time, title_of
from .payload import Codec
from .queues.base import NewItem
from .queues.batch import BatchQueue
from .queues.sql_base import SqlBase
from .rhythm import Rhythm
from .settings import Settings
from .spec import check_name, check_weight, nearest
from .storage import periodic
from .storage.database import Database
from .storage.periodic import PeriodicRow
from .storage.transaction import Transaction
from .task import Task


@dataclass(frozen=True)
class Schedule:
    """A schedule as it was when it was read. Times are aware, UTC."""

    name: str
    queue_name: str
    #: Minute, hour, day of the month, month, day of the week, in ``timezone``; the second before them if there are six.
    #: Of a schedule of an outbox also "once", or "every 1h" from the end of one run to the next; with "after 10m", what
    #: was said of the first time.
    cron: str
    timezone: str
    weight: int
    is_paused: bool
    #: When it is due next; says nothing while it is paused.
    next_time: datetime
    #: When its task was put on the queue last, or None.
    last_time: datetime | None
    _unpack: Callable[[], Any] = field(default=lambda: None, repr=False, compare=False)

    @cached_property
    def data(self) -> Any:
        """The task or data. Raises :class:`PayloadError` when what is stored cannot be read."""
        return self._unpack()

    @property
    def title(self) -> str:
        """As of an item."""
        return title_of(self)


class Scheduling:
    """What a service can do about schedules."""

    settings: Settings

    @property
    def database(self) -> Database:
        """Where the schedules are."""
        raise NotImplementedError

    def _load(self, /, name: str) -> BatchQueue:
        raise NotImplementedError

    def schedule(
        self, name: str, cron: str, task: Any, *, queue: str, timezone: str = "UTC", weight: int = 0
    ) -> Schedule:
        """Let workers put a task on a queue again and again; a schedule of the same name is changed.

        Arguments:
            name: of the schedule, written like the name of a queue.
            cron: five fields: minute, hour, day of the month, month, day of the week; or six, the second before them;
                see docs/periodic.md.
            task: a :class:`Task`, or any data that survives the serializer.
            queue: the name of a registered queue of a type that stands in a database.
            timezone: an IANA name; the clock whose hours ``cron`` means.
            weight: of the items; lower goes first.

        What is due already stays due, and a paused schedule stays paused, so that an application can say this at each
        start. Raises :class:`ConfigurationError` on an unknown expression or time zone, :class:`QueueNotFound`,
        :class:`NotSupported`, :class:`SerializationError`, :class:`SpecError`.
        """
        rhythm, uid = Cron(cron, timezone), os.urandom(16).hex()
        values = {
            "name": check_name(name, "schedule"),
            "queue_name": self.scheduled_queue(queue).name,
            "cron": cron,
            "timezone": timezone,
            "uid": uid,
            "data": self.settings.codec.pack(task, purpose(name, queue), uid),
            "weight": check_weight(weight),
        }
        self.database.transaction(lambda tx: periodic.put(tx, next_time=rhythm.following(periodic.now(tx)), **values))
        if isinstance(task, Task):
            callbacks.remember(task.callback)
        return self._read_schedule(name)

    def unschedule(self, name: str) -> None:
        """Remove a schedule; what it has put on its queue stays there. Raises :class:`ScheduleNotFound`."""
        removed = self.database.statement(lambda tx: periodic.remove(tx, name))
        if not removed:
            raise self._no_schedule(name)

    def schedules(self) -> list[Schedule]:
        """All schedules, by name."""
        return [schedule_of(row, self.settings.codec) for row in self._schedule_rows()]

    def pause_schedule(self, name: str) -> Schedule:
        """Let a schedule come no more until it is resumed. Raises :class:`ScheduleNotFound`."""
        self.database.statement(lambda tx: periodic.pause(tx, name))
        return self._read_schedule(name)

    def resume_schedule(self, name: str) -> Schedule:
        """Let a paused schedule come again; what was due meanwhile is left out. Raises :class:`ScheduleNotFound`."""
        row = self._schedule_row(name)
        rhythm = Rhythm.of(row.cron, row.timezone)
        self.database.transaction(
            lambda tx: periodic.resume(tx, name, rhythm.following(periodic.now(tx)) or row.next_time)
        )
        return self._read_schedule(name)

    def run_schedule(self, name: str) -> QueueItem:
        """Put the task of a schedule on its queue now, whether due, paused or neither; its next time stays.

        Of a schedule of an outbox only one item stands at a time: the one that does is returned.
        Raises :class:`ScheduleNotFound`, :class:`QueueNotFound`, :class:`PayloadError`.
        """
        row = self._schedule_row(name)
        queue, new = self.scheduled_queue(row.queue_name), self.new_item(row)
        item = self.database.transaction(lambda tx: enqueue(tx, row, queue, new))
        queue.changed()
        return item

    def new_item(self, row: PeriodicRow) -> NewItem:
        """What a stored schedule puts on its queue. Raises :class:`PayloadError` when it cannot be read.

        Its callback is not remembered as one that this process queues: the row comes from the database, and whether
        it may run is for the allow list to say.
        """
        codec, uid = self.settings.codec, os.urandom(16).hex()
        text = codec.pack(data_of(row, codec), row.queue_name, uid, trace=spans.carried())
        return NewItem(uid, row.weight, text, dedup_key=row.name if row.is_single else None)

    def scheduled_queue(self, queue_name: str) -> SqlBase:
        """A queue that schedules can serve. Raises :class:`QueueNotFound`, :class:`NotSupported`."""
        queue = self._load(queue_name)
        if not isinstance(queue, SqlBase) or not queue.spec.is_persistent:
            raise NotSupported(
                f"queue {queue_name!r} is not registered in the database, where workers could find it: a schedule "
                "needs a queue of type Sql or SqlParallel with is_persistent=True"
            )
        if queue.spec.is_template:
            raise NotSupported(f"queue {queue_name!r} is a template: name a queue made with template={queue_name!r}")
        return queue

    def _read_schedule(self, name: str) -> Schedule:
        return schedule_of(self._schedule_row(name), self.settings.codec)

    def _schedule_row(self, name: str) -> PeriodicRow:
        row = self.database.statement(lambda tx: periodic.find(tx, name), write=False)
        if row is None:
            raise self._no_schedule(name)
        return row

    def _schedule_rows(self) -> list[PeriodicRow]:
        return self.database.statement(periodic.every, write=False)

    def _no_schedule(self, name: str) -> ScheduleNotFound:
        return ScheduleNotFound(
            f"there is no schedule {name!r}{nearest(name, (row.name for row in self._schedule_rows()))}"
        )


def enqueue(tx: Transaction, row: PeriodicRow, queue: SqlBase, new: NewItem) -> QueueItem:
    """Put the task of a schedule on its queue."""
    periodic.enqueued(tx, row.name)
    return queue.insert_within(tx, new)


def schedule_of(row: PeriodicRow, codec: Codec) -> Schedule:
    """What users see of a row."""
    return Schedule(
        row.name, row.queue_name, row.cron, row.timezone, row.weight, bool(row.is_paused),
        clock.from_ms(row.next_time), optional_time(row.last_time), partial(data_of, row, codec),
    )  # fmt: skip


def data_of(row: PeriodicRow, codec: Codec) -> Any:
    """The task or data in a row. Raises :class:`PayloadError` when it cannot be read."""
    return codec.unpack(row.data, purpose(row.name, row.queue_name), row.uid)


def purpose(name: str, queue_name: str) -> str:
    """Signed with the task, so that it can neither be moved to another schedule or queue nor stand as an item."""
    return f"periodic/{name}/{queue_name}"
