"""Registration: how queues are made, found, changed and removed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

import taskqueue
from taskqueue import BatchQueue, QueueNotFound, QueueService
from taskqueue.queues.memory import MemoryQueue
from tests.contract import processes as jobs
from tests.contract.backends import Backend, once_per_database, only_memory, only_sql
from tests.contract.conftest import MakeQueue, MakeService


@pytest.fixture
def default_service(service: QueueService) -> Iterator[QueueService]:
    """The service of the test as that of the process."""
    before = QueueService._default
    yield service.make_default()
    QueueService._default = before


def test_a_queue_is_made_once_and_found_again(service: QueueService, queue: BatchQueue, backend: Backend) -> None:
    assert service.create(backend.type, "jobs") is queue
    assert service.load("jobs") is queue
    assert service.exists("jobs")
    assert [found.name for found in service.queues()] == ["jobs"]
    assert queue.spec.type == backend.type


def test_queues_are_listed_by_name(service: QueueService, make_queue: MakeQueue) -> None:
    for name in ("b", "a", "B", "a.1"):
        make_queue(name)

    assert [queue.name for queue in service.queues()] == ["B", "a", "a.1", "b"]


def test_an_unknown_queue_is_not_found_and_the_nearest_named(service: QueueService, queue: BatchQueue) -> None:
    assert not service.exists("job")
    with pytest.raises(QueueNotFound, match="did you mean 'jobs'"):
        service.load("job")
    with pytest.raises(QueueNotFound):
        service.delete("job")


def test_items_stay_when_a_queue_is_created_again(make_queue: MakeQueue) -> None:
    queue = make_queue()
    queue.create_items("ab")

    again = make_queue(reset=False)

    assert again.statistics()["ready"] == 2
    first = again.claim_item()
    assert first is not None
    assert first.data == "a"


def test_items_go_when_a_queue_is_created_with_reset(make_queue: MakeQueue) -> None:
    make_queue().create_items("ab")

    again = make_queue(reset=True)

    assert set(again.statistics().values()) == {0}


def test_a_reset_stores_the_type_and_options_that_are_given(
    service: QueueService, make_queue: MakeQueue, make_service: MakeService, backend: Backend
) -> None:
    make_queue(retry_limit=5, lease_time=9, status="paused").create_item("a")
    kind = {"Sql": "SqlParallel", "SqlParallel": "Sql"}.get(backend.type, backend.type)

    again = service.create(kind, "jobs", reset=True, retry_limit=1)

    assert (again.spec.type, again.spec.retry_limit, again.spec.lease_time) == (kind, 1, 3600)
    assert again.status == "active"
    assert again.number_of_items() == 0
    if backend.is_sql:
        assert make_service().load("jobs").spec == again.spec


def test_a_reset_of_what_never_was_is_a_creation(make_queue: MakeQueue) -> None:
    assert make_queue("fresh", reset=True).number_of_items() == 0


def test_a_deleted_queue_is_gone_with_its_items(service: QueueService, make_queue: MakeQueue) -> None:
    make_queue().create_items("ab")

    service.delete("jobs")

    assert not service.exists("jobs")
    assert service.queues() == []
    assert make_queue().number_of_items() == 0


def test_a_reset_throws_everything_away_and_counts_it(queue: BatchQueue) -> None:
    queue.create_items(range(20))
    queue.claim_item()

    assert queue.reset() == 20

    assert set(queue.statistics().values()) == {0}
    assert queue.reset() == 0


@only_sql
def test_a_queue_that_is_not_persistent_leaves_no_registration(
    make_queue: MakeQueue, service: QueueService, make_service: MakeService
) -> None:
    queue = make_queue(is_persistent=False)
    queue.create_item("a")

    assert make_queue(is_persistent=False) is queue
    assert not make_service().exists("jobs")
    assert make_service().queues() == []


@only_sql
def test_another_process_finds_a_queue_with_its_type_and_options(
    make_queue: MakeQueue, make_service: MakeService
) -> None:
    options: dict[str, Any] = {"retry_limit": 3, "retry_interval": 1.5, "error": "dead", "batch_limit": 7}
    queue = make_queue(**options)

    found = make_service().load("jobs")

    assert found is not queue
    assert type(found) is type(queue)
    assert found.spec == queue.spec


@only_sql
def test_a_queue_that_another_process_deleted_is_not_found(
    queue: BatchQueue, service: QueueService, make_service: MakeService
) -> None:
    make_service().delete("jobs")

    assert not service.exists("jobs")


@once_per_database
def test_many_processes_may_register_the_same_queue_at_once(
    backend: Backend, service: QueueService, processes: ProcessPoolExecutor
) -> None:
    assert service.queues() == []

    kinds = jobs.in_each(processes, jobs.create, backend.url, backend.type, "jobs")

    assert kinds == [backend.type] * jobs.PROCESSES
    assert service.load("jobs").number_of_items() == jobs.PROCESSES


@only_memory
def test_a_memory_queue_opens_no_database(make_service: MakeService, tmp_path: Path) -> None:
    file = tmp_path / "untouched.db"
    service = make_service(f"sqlite:///{file}")

    queue = service.create("Memory", "scratch")
    queue.create_item("a")
    service.create("Memory", "scratch", reset=True)
    service.queues()
    service.delete("scratch")

    assert not file.exists()


@only_memory
def test_a_memory_queue_works_where_no_database_can_be_reached(make_service: MakeService) -> None:
    service = make_service("postgresql+psycopg://nobody@127.0.0.1:1/nowhere")

    service.create("Memory", "scratch").create_item("a")

    assert service.load("scratch").number_of_items() == 1


def test_the_class_works_on_the_default_service(default_service: QueueService, backend: Backend) -> None:
    queue = QueueService.create(backend.type, "scratch", reset=True)

    assert taskqueue.queue("scratch") is queue
    assert taskqueue.queue("scratch", type=backend.type) is queue
    assert QueueService.load("scratch") is queue
    assert QueueService.exists("scratch")
    assert QueueService.queues() == [queue]
    QueueService.delete("scratch")
    assert not default_service.exists("scratch")


def test_a_type_may_be_added(make_service: MakeService, backend: Backend) -> None:
    class OwnQueue(MemoryQueue):
        pass

    service = make_service()
    service.register_type("Own", lambda spec, settings, service: OwnQueue(spec, settings), is_local=True)

    queue = service.create("Own", "mine", retry_limit=1)

    assert type(queue) is OwnQueue
    assert service.load("mine") is queue


@once_per_database
def test_tables_may_have_a_prefix_of_their_own(
    make_service: MakeService, service: QueueService, queue: BatchQueue
) -> None:
    own = make_service(prefix="own_")
    apart = own.create("Sql", "jobs")

    apart.create_item("a")

    assert queue.number_of_items() == 0
    assert sqlalchemy.inspect(own.engine).has_table("own_item")
    with own.engine.begin() as connection:
        own.database.tables.metadata.drop_all(connection)


def test_names_that_look_alike_are_queues_of_their_own(
    make_queue: MakeQueue, other_of: Callable[[BatchQueue], BatchQueue]
) -> None:
    names = ["mail", "Mail", "MAIL", "mail.", "mail-", "m_il", "m.il", "mail:1"]
    for name in names:
        make_queue(name).create_item(name)

    for name in names:
        assert [item.data for item in other_of(make_queue(name)).items()] == [name]
