"""Processes that fork: a child speaks on no connection of its parent, and waits for none of its threads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from taskqueue import QueueService, Runner, TaskContext
from taskqueue import service as services_module
from taskqueue.metrics.collector import ServiceCollector
from taskqueue.operations.sweeper import Sweeper
from taskqueue.outbox import MessageContext, Outbox, handles
from taskqueue.outbox import outbox as outbox_module
from taskqueue.queues import memory
from taskqueue.storage import expiry, gauges, registry
from taskqueue.worker import rota as rota_module
from taskqueue.worker.rota import Rota
from tests.forking import code_of, forked, halted
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


# --- what another thread was in the middle of -----------------------------------------------------


def test_given_a_thread_that_reads_registrations_when_the_process_forks_then_the_child_uses_the_service(
    service: QueueService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.create("SqlParallel", "q")

    def use() -> None:
        queue = service.load("q")
        assert service.exists("q")
        assert not service.exists("other")
        add(service, 0, "new")
        assert {one.name for one in service.served(["q", "new"])} == {"q", "new"}
        assert Runner(queue).run_all()
        local = service.create("Memory", "local")
        local.enqueue(note, 1)
        assert Runner(local).run_all().completed == 1

    with halted(monkeypatch, registry, "find", lambda: service.load("q")):
        code = code_of(forked(use))

    assert code == 0
    assert service.load("new").number_of_items() == EACH


def test_given_a_thread_that_makes_the_default_service_when_the_process_forks_then_the_child_makes_its_own(
    service: QueueService, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QueueService, "_default", None)
    monkeypatch.setenv("TASKQUEUE_DATABASE_URL", database_url)

    with halted(monkeypatch, services_module, "allowed_by_environment", QueueService.default):
        code = code_of(forked(lambda: QueueService.create("SqlParallel", "q").enqueue(note, 1)))

    assert code == 0
    assert service.load("q").number_of_items() == 1
    QueueService.default().close()


def test_given_a_thread_that_adds_to_a_queue_in_memory_when_the_process_forks_then_the_childs_copy_is_whole(
    service: QueueService, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = service.create("Memory", "local")
    queue.enqueue(note, 0)

    def use() -> None:
        queue.enqueue(note, 2)
        assert Runner(queue).run_all().completed == 3
        assert queue.number_of_items() == 0

    with halted(monkeypatch, memory.heapq, "heappush", lambda: queue.enqueue(note, 1)):
        code = code_of(forked(use))

    assert code == 0
    assert Runner(queue).run_all().completed == 2


def test_given_a_thread_that_registers_a_service_when_the_process_forks_then_the_child_uses_the_outbox(
    service: QueueService, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = Outbox(service)
    shop = outbox.register("shop", Shop())

    def use() -> None:
        outbox.register("other", Shop())
        with Session(service.engine) as session:
            outbox.queued(shop, session).sell(1)
            session.commit()

    with halted(monkeypatch, outbox_module, "refuse_unequal", lambda: outbox.register("late", Shop())):
        code = code_of(forked(use))

    assert code == 0
    assert [queue.number_of_items() for queue in outbox.queues.standing()] == [1]


def test_given_a_thread_that_finds_a_tenant_when_the_process_forks_then_the_child_finds_it_too(
    service: QueueService, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = QueueService(database_url, allow=[__name__], prefix="tenant_")
    outbox = Outbox(service, tenants={"a": tenant})

    with halted(monkeypatch, outbox_module, "Dispatcher", lambda: outbox.for_tenant("a")):
        code = code_of(forked(lambda: outbox.for_tenant("a")))

    assert code == 0


def test_given_a_thread_that_counts_or_sweeps_when_the_process_forks_then_the_child_does_it_too(
    service: QueueService, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector, sweeper = ServiceCollector(service), Sweeper(service)

    with halted(monkeypatch, gauges, "count_all", lambda: list(collector.collect())):
        counted = code_of(forked(lambda: list(collector.collect())))
    with halted(monkeypatch, expiry, "over", sweeper.sweep):
        swept = code_of(forked(sweeper.sweep))

    assert (counted, swept) == (0, 0)


def test_given_a_worker_that_is_choosing_a_queue_when_the_process_forks_then_the_child_adds_items(
    service: QueueService, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue, rota = service.create("SqlParallel", "q"), Rota()
    rota.serve([queue])
    service.settings.bell.listen(rota.ring)

    with halted(monkeypatch, rota_module.time, "monotonic", rota.take):
        code = code_of(forked(lambda: add(service, 0)))

    assert code == 0


class Shop:
    """A service of an outbox."""

    @handles
    def sell(self, ctx: MessageContext, number: int) -> None:
        """Nothing."""


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
