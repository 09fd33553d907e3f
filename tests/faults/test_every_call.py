"""Fail the n-th call to the database, for every n of one life cycle: before it is done, or after.

The error comes once. Whatever it hit, nothing that was acknowledged is lost or done twice, no connection is left in
use, no transaction is left open, and whoever goes on afterwards finds a queue that works.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from typing import Any

import psycopg
import pymysql
import pytest
from sqlalchemy import Column, Integer, MetaData, Table, event, select

from taskqueue import ErrorMode, QueueService, Runner, Task, TaskContext, TaskQueueError, travel
from taskqueue.queues.sql_base import SqlBase
from tests.storage.tapped import tap

metadata = MetaData()
#: What tasks have done; no key, so that what is done twice can be seen.
effects = Table("every_call_effects", metadata, Column("number", Integer, nullable=False))

_names = count()
#: By database: an error by a name, how it is made, and whether it may also come after the call was done.
ERRORS: dict[str, dict[str, tuple[Callable[[], Exception], bool]]] = {
    "sqlite": {
        "locked": (lambda: sqlite3.OperationalError("database is locked"), False),
        "full": (lambda: sqlite3.OperationalError("database or disk is full"), False),
        "io": (lambda: sqlite3.OperationalError("disk I/O error"), False),
    },
    "mariadb": {
        "deadlock": (lambda: pymysql.err.OperationalError(1213, "Deadlock found"), False),
        "lock-timeout": (lambda: pymysql.err.OperationalError(1205, "Lock wait timeout exceeded"), False),
        "lost": (lambda: pymysql.err.OperationalError(2013, "Lost connection during query"), True),
        "gone": (lambda: pymysql.err.OperationalError(2006, "Server has gone away"), True),
        "full": (lambda: pymysql.err.OperationalError(1114, "The table is full"), False),
        "no-cluster": (lambda: pymysql.err.OperationalError(1047, "WSREP has not yet prepared node"), False),
    },
    "postgresql": {
        "serialization": (lambda: psycopg.errors.SerializationFailure("could not serialize access"), False),
        "deadlock": (lambda: psycopg.errors.DeadlockDetected("deadlock detected"), False),
        "lost": (lambda: psycopg.OperationalError("consuming input failed"), True),
        "shutdown": (lambda: psycopg.errors.AdminShutdown("terminating connection"), True),
        "full": (lambda: psycopg.errors.DiskFull("could not extend file"), False),
    },
}
CASES = [
    pytest.param(database, error, was_done, id=f"{database}-{error}-{'after' if was_done else 'before'}")
    for database, errors in ERRORS.items()
    for error, (_make, also_after) in errors.items()
    for was_done in ((False, True) if also_after else (False,))
]


class Calls:
    """Counts the calls to the database and lets one of them fail."""

    def __init__(self) -> None:
        self.number = 0
        self.failing: int | None = None
        self.error: Exception = AssertionError("not armed")
        self.was_done = False

    def arm(self, failing: int | None, error: Exception, was_done: bool) -> None:
        """From here on calls are counted; the one with that number fails."""
        self.number, self.failing, self.error, self.was_done = 0, failing, error, was_done

    def disarm(self) -> None:
        self.failing = None

    def __call__(self, sql: str, commits: bool, send: Callable[[], Any]) -> Any:
        self.number += 1
        if self.number != self.failing:
            return send()
        if self.was_done:
            send()
        raise self.error


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """All calls on the connections of the package, once :func:`listen` was called also on those of sessions."""
    calls = Calls()
    tap(monkeypatch, calls)
    return calls


def listen(service: QueueService, calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    """Count the calls of sessions, too: their statements (which fail before they are done), and their commits."""

    def before(*_: Any) -> None:
        if not (calls.was_done and calls.number + 1 == calls.failing):
            calls("", False, lambda: None)
        else:
            calls.number += 1  # fails after it was done

    def after(*_: Any) -> None:
        if calls.was_done and calls.number == calls.failing:
            calls.failing = None
            raise calls.error

    engine = service.engine
    event.listen(engine, "before_cursor_execute", before)
    event.listen(engine, "after_cursor_execute", after)
    commit = engine.dialect.do_commit
    monkeypatch.setattr(
        engine.dialect, "do_commit", lambda connection: calls("COMMIT", True, lambda: commit(connection))
    )


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


def broken_promises(cycle: Cycle) -> Iterator[str]:
    """What is not as it was promised, as sentences."""
    with cycle.service.engine.connect() as connection:
        done = Counter(connection.scalars(select(effects.c.number)))
    yield from (f"{number} was done {times} times" for number, times in done.items() if times > 1)
    yield from (f"{number} was acknowledged and is lost" for number in cycle.acknowledged if not done[number])
    queue = cycle.queue()
    if queue.number_of_items():
        yield f"items are left: {queue.statistics()}"
    dead = queue.count_dead_items()
    if dead != 1 and (cycle.failing_was_acknowledged or dead > 1):
        yield f"{dead} dead letters"
    for engine in {cycle.service.engine, cycle.service.database._both_engines()[1]}:
        if engine.pool.checkedout():  # type: ignore[attr-defined]
            yield f"connections are still in use: {engine.pool.status()}"
    if open_transactions(cycle.service):
        yield "a transaction was left open"


def open_transactions(service: QueueService) -> int:
    """How many there are in the database, besides the one that looks."""
    statement = {
        "mysql": "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_mysql_thread_id <> CONNECTION_ID()",
        "postgresql": "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> "
        "pg_backend_pid() AND state LIKE 'idle in transaction%'",
    }.get(service.database.dialect.name)
    if statement is None:
        with service.engine.begin():  # takes the write lock, which one that is open would hold
            return 0
    return int(service.database.statement(lambda tx: tx.row(statement)[0], write=False))


@pytest.mark.chaos
@pytest.mark.parametrize("type_name", ["Sql", "SqlParallel"])
@pytest.mark.parametrize(("database", "error", "was_done"), CASES)
def test_whichever_call_fails_nothing_is_lost_and_nothing_is_done_twice(
    shared_database: Callable[..., str], calls: Calls, monkeypatch: pytest.MonkeyPatch, database: str, error: str,
    was_done: bool, type_name: str,
) -> None:  # fmt: skip
    service = QueueService(shared_database(database, "every_call"), allow=[__name__])
    make, _also_after = ERRORS[database][error]
    metadata.create_all(service.engine)
    listen(service, calls, monkeypatch)
    service.queues()

    def life(failing: int | None) -> list[str]:
        with service.engine.begin() as connection:
            connection.execute(effects.delete())
        cycle = Cycle(service, type_name)
        calls.arm(failing, make(), was_done)
        cycle.live()
        seen = calls.number
        calls.disarm()
        cycle.finish()
        found = [f"call {failing} of {seen}: {promise}" for promise in broken_promises(cycle)]
        service.delete(cycle.name)
        numbers.append(seen)
        return found

    numbers: list[int] = []
    try:
        assert life(None) == []
        whole = numbers[0]
        assert whole > 40, "the life cycle has become shorter than it was"
        found = [promise for failing in range(1, whole + 1) for promise in life(failing)]
    finally:
        metadata.drop_all(service.engine)
        service.close()
    assert found == []
