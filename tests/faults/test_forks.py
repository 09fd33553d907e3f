"""Processes that fork while they are connected to a database: parent and child never speak on one connection."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import text

from taskqueue import QueueService, Runner, TaskContext
from tests.servers import ALL_DATABASES

pytestmark = [pytest.mark.chaos, pytest.mark.parametrize("database_url", ALL_DATABASES, indirect=True)]
#: Items that each of the two adds, while the other does the same.
EACH = 20
#: The service whose tasks this process executes, and the exit codes of their children.
services: list[QueueService] = []
codes: list[int] = []


@pytest.fixture
def service(database_url: str) -> Iterator[QueueService]:
    service = QueueService(database_url, allow=[__name__])
    yield service
    service.close()


def forked(work: Callable[[], object]) -> int:
    """Do it in a forked child, which ends without a word to anybody; its process id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        signal.alarm(60)
        work()
        code = 0
    finally:
        os._exit(code)


def code_of(pid: int) -> int:
    """The exit code of a child, when it has ended."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("is_used", [False, True], ids=["before-its-first-use", "after-its-first-use"])
def test_given_a_service_when_the_process_forks_then_parent_and_child_go_on(
    service: QueueService, database_url: str, is_used: bool
) -> None:
    # given
    if is_used:
        service.create("SqlParallel", "q").enqueue(note, -1)
    # when
    pid = forked(lambda: add(service, 0))
    add(service, EACH)
    code = code_of(pid)
    # then
    assert code == 0
    queue = service.load("q")
    assert sorted(item.data.args[0] for item in queue.items()) == [-1] * is_used + list(range(2 * EACH))
    assert Runner(queue).run_all()


def test_given_a_task_that_forks_when_both_use_the_database_then_both_go_on(service: QueueService) -> None:
    queue = service.create("Sql", "q")
    service.create("SqlParallel", "other")
    services[:], codes[:] = [service], []
    # SQLite knows no forks: in a child it believes for ever that it holds the parent's lock itself.
    in_transaction = [] if service.database.dialect.single_writer else [fork_in_transaction]
    tasks = [fork_and_add, *in_transaction, fork_and_add]
    for task in tasks:
        queue.enqueue(task)

    result = Runner(queue).run_all()

    assert (result.completed, result.exception, codes) == (len(tasks), None, [0] * len(tasks))
    assert queue.number_of_items() == 0
    added = [item.data.args[0] for item in service.load("other").items()]
    assert sorted(added) == sorted([*range(2 * EACH)] * len(tasks))


def test_given_open_connections_when_the_process_forks_then_the_child_speaks_on_none_of_them(
    service: QueueService,
) -> None:
    service.create("SqlParallel", "q")
    with service.engine.connect() as connection:
        mine = backend(connection)

        def look() -> None:
            with service.engine.connect() as other:
                assert backend(other) != mine

        assert code_of(forked(look)) == 0
        assert backend(connection) == mine, "and the parent's goes on"


def backend(connection: Any) -> object:
    """What tells a connection from others."""
    name = connection.dialect.name
    if name == "sqlite":
        return os.getpid(), id(connection.connection.dbapi_connection)
    statement = "SELECT pg_backend_pid()" if name == "postgresql" else "SELECT CONNECTION_ID()"
    return connection.exec_driver_sql(statement).scalar()


def add(service: QueueService, first: int, name: str = "q") -> None:
    """Add items one by one."""
    queue = service.create("SqlParallel", name)
    for number in range(first, first + EACH):
        queue.enqueue(note, number)


def note(ctx: TaskContext, number: int) -> None:
    """Nothing."""


def fork_and_add(ctx: TaskContext) -> None:
    """Fork; both add at the same time."""
    pid = forked(lambda: add(services[0], 0, "other"))
    add(services[0], EACH, "other")
    codes.append(code_of(pid))


def fork_in_transaction(ctx: TaskContext) -> None:
    """Fork in the task's own transaction, of which the child must end nothing."""
    with ctx.transaction() as session:
        session.execute(text("UPDATE taskqueue_queue SET status = status"))
        pid = forked(lambda: add(services[0], 0, "other"))
    add(services[0], EACH, "other")
    codes.append(code_of(pid))
