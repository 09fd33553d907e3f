"""Life cycles of what stands in queues, whose steps may fail; and what must be true of them in the end."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from typing import Any

from sqlalchemy import Column, Integer, MetaData, Table, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from taskqueue import ErrorMode, QueueService, Runner, Task, TaskContext, TaskQueueError, Worker, travel
from taskqueue.operations import Operations
from taskqueue.outbox import MessageContext, Outbox, handles, queued
from taskqueue.queues.sql_base import SqlBase
from tests.faults.history import DEADLINE

metadata = MetaData()
#: What tasks have done; no key, so that what is done twice can be seen.
effects = Table("every_call_effects", metadata, Column("number", Integer, nullable=False))

_names = count()
#: MariaDB shows an old list of its transactions to who looks again within a tenth of a second.
_LOOK_EVERY = 0.15
#: Added to the number of a message: what the application writes with it.
BOOKED = 1000


def effect(ctx: TaskContext, number: int) -> None:
    """Exactly once."""
    with ctx.transaction() as session:
        session.execute(effects.insert().values(number=number))


def plain(ctx: TaskContext) -> None:
    """Does nothing."""


def fails(ctx: TaskContext) -> None:
    """Fails whenever it is called."""
    raise ValueError("as it should")


class Cycle:
    """One life cycle of a queue, whose steps may fail."""

    def __init__(self, service: QueueService, type_name: str) -> None:
        self.service = service
        self.type_name, self.name = type_name, f"every.call.{next(_names)}"
        self.acknowledged: list[int] = []
        self.failing_was_acknowledged = False

    def queue(self) -> SqlBase:
        made = self.service.create(self.type_name, self.name, error="dead")
        assert isinstance(made, SqlBase)
        return made

    def live(self) -> None:
        """All of it; every step may be refused with an error of ours, and with no other."""
        steps = [
            lambda: self._send(1), self._send_many, lambda: self._send(4, dedup_key="once"), self._send_failing,
            self._cancel_one, self._claim_and_release, self._run, self._revive, self._run,
        ]  # fmt: skip
        for step in steps:
            with suppress(TaskQueueError):
                step()

    def _send(self, number: int, **options: Any) -> None:
        self.queue().create_item(Task(effect, (number,)), **options)
        self.acknowledged.append(number)

    def _send_many(self) -> None:
        self.queue().create_items([Task(effect, (2,)), Task(effect, (3,))])
        self.acknowledged += [2, 3]

    def _send_failing(self) -> None:
        self.queue().enqueue(fails)
        self.failing_was_acknowledged = True

    def _cancel_one(self) -> None:
        queue = self.queue()
        queue.cancel_item(queue.enqueue(plain).id)

    def _claim_and_release(self) -> None:
        queue = self.queue()
        item = queue.claim_item()
        if item is not None:
            queue.extend_lease(item)
            queue.release_item(item, delay=0)

    def _run(self) -> None:
        Runner(self.queue(), error_mode=ErrorMode.CONTINUE).run_all(wait=0)

    def _revive(self) -> None:
        self.queue().revive_items()

    def finish(self) -> None:
        """What somebody does who comes later, when leases of those that failed have ended."""
        queue = self.queue()
        with travel(7200):
            assert Runner(queue, error_mode=ErrorMode.CONTINUE).run_all(wait=0)

    def broken_promises(self) -> Iterator[str]:
        """What is not as it was promised, as sentences."""
        yield from _lost_or_twice(_done(self.service), self.acknowledged)
        queue = self.queue()
        if queue.number_of_items():
            yield f"items are left: {queue.statistics()}"
        dead = queue.count_dead_items()
        if dead != 1 and (self.failing_was_acknowledged or dead > 1):
            yield f"{dead} dead letters"
        yield from _left_in_use(self.service)

    def forget(self) -> None:
        """Leave nothing behind."""
        self.service.delete(self.name)


class CallCycle:
    """One life cycle of deferred calls and of messages of an outbox.

    Nobody else may have operations and an outbox on the service.
    """

    def __init__(self, service: QueueService) -> None:
        self.service = service
        self.acknowledged: list[int] = []
        self.operations = service.settings.operations or Operations(service)
        if not self.operations.known():
            self.operations.operation("write", queueable=True, idempotent=True)(_write)
        self.outbox = service.settings.outbox or Outbox(service)
        self.parcels = _parcels_of(self.outbox)

    def live(self) -> None:
        """All of it; a step may be refused with an error of ours, and a session's own statement with its driver's."""
        steps: list[Callable[[], object]] = [
            lambda: self._defer(1), lambda: self._defer(2, key="once"), lambda: self._defer(2, key="once"),
            lambda: self._defer_within(3), lambda: self._book(4), self._cancel_one, self.operations.drain,
            self._deliver, self._look,
        ]  # fmt: skip
        for step in steps:
            with suppress(TaskQueueError, DBAPIError):
                step()

    def _defer(self, number: int, **options: Any) -> None:
        self.operations.defer("write", number, **options)
        self.acknowledged.append(number)

    def _defer_within(self, number: int) -> None:
        with Session(self.service.engine) as session, session.begin():
            self.operations.defer("write", number, session=session)
        self.acknowledged.append(number)

    def _book(self, number: int) -> None:
        with Session(self.service.engine) as session, session.begin():
            session.execute(effects.insert().values(number=number + BOOKED))
            queued(self.parcels, session).send(number=number)
        self.acknowledged += [number, number + BOOKED]

    def _cancel_one(self) -> None:
        call = self.operations.defer("write", 99, delay=3600)
        self.operations.cancel(call.id)

    def _deliver(self) -> None:
        Worker(self.service, ["outbox"], threads=1).drain()

    def _look(self) -> None:
        for call in self.operations.calls():
            self.operations.get(call.id)

    def finish(self) -> None:
        """What somebody does who comes later, when leases of those that failed have ended."""
        with travel(7200):
            self.operations.drain()
            self._deliver()

    def broken_promises(self) -> Iterator[str]:
        """What is not as it was promised, as sentences."""
        done = _done(self.service)
        yield from _lost_or_twice(done, self.acknowledged)
        if done[4] != done[4 + BOOKED]:
            yield "the message and the row of the application were not one"
        for call in self.operations.calls():
            if call.state not in ("succeeded", "cancelled") and call.operation == "write":
                # A cancellation that failed has left the call that was to be cancelled, which is due by now.
                yield f"a call has ended {call.state}: {call.error}"
        for queue in self.service.queues():
            if left := queue.number_of_items():
                yield f"{left} items are left in {queue.name}"
        yield from _left_in_use(self.service)

    def forget(self) -> None:
        """Leave nothing behind."""
        for queue in self.service.queues():
            queue.reset()
        self.service.database.transaction(lambda tx: tx.change("DELETE FROM {operation}"))


def _write(ctx: Any, data: int) -> None:
    ctx.session.execute(effects.insert().values(number=data))


class Parcels:
    """What messages call."""

    @handles
    def send(self, ctx: MessageContext, *, number: int) -> None:
        """Exactly once."""
        ctx.session.execute(effects.insert().values(number=number))


_parcels: dict[int, Parcels] = {}


def _parcels_of(outbox: Outbox) -> Parcels:
    if id(outbox) not in _parcels:
        _parcels[id(outbox)] = outbox.register("parcels", Parcels())
    return _parcels[id(outbox)]


def _done(service: QueueService) -> Counter[int]:
    with service.engine.connect() as connection:
        return Counter(connection.scalars(select(effects.c.number)))


def _lost_or_twice(done: Counter[int], acknowledged: list[int]) -> Iterator[str]:
    yield from (f"{number} was done {times} times" for number, times in done.items() if times > 1)
    yield from (f"{number} was acknowledged and is lost" for number in acknowledged if not done[number])


def _left_in_use(service: QueueService) -> Iterator[str]:
    service.database.lending.clear()
    for engine in {service.engine, service.database._both_engines()[1]}:
        if engine.pool.checkedout():  # type: ignore[attr-defined]
            yield f"connections are still in use: {engine.pool.status()}"
    # A server rolls back by itself, but a moment later, what was open on a connection that was thrown away.
    give_up = time.monotonic() + DEADLINE
    while found := open_transactions(service):
        if time.monotonic() > give_up:
            break
        threading.Event().wait(_LOOK_EVERY)
    if found:
        yield "a transaction was left open"


def open_transactions(service: QueueService) -> int:
    """How many there are in the database, besides the one that looks."""
    statement = {
        "mysql": "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_mysql_thread_id <> CONNECTION_ID()",
        "postgresql": "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> "
        "pg_backend_pid() AND LEFT(state, 19) = 'idle in transaction'",
    }.get(service.database.dialect.name)
    if statement is None:
        with service.engine.begin():  # takes the write lock, which one that is open would hold
            return 0
    return int(service.database.statement(lambda tx: tx.row(statement)[0], write=False))
