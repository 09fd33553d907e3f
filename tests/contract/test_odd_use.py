"""Uses that nobody recommends, and that must end in a sentence or in nothing lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import scoped_session, sessionmaker

from taskqueue import (
    BatchQueue,
    ConfigurationError,
    DatabaseError,
    LeaseLost,
    NotSupported,
    Outcome,
    QueueService,
    Runner,
    SpecError,
    Task,
    TaskContext,
    signals,
)
from taskqueue.queues.settlement import bury
from tests.contract import tasks
from tests.contract.backends import Backend, once_per_database, only_servers, only_sql
from tests.contract.conftest import MakeQueue, MakeService

OtherOf = Callable[[BatchQueue], BatchQueue]


@pytest.fixture
def make_engine(backend: Backend, service: QueueService) -> Iterator[Callable[..., Engine]]:
    made: list[Engine] = []

    def make(**options: Any) -> Engine:
        made.append(create_engine(backend.url, **options))
        return made[-1]

    yield make
    for engine in made:
        engine.dispose()


# --- the session of a task ---


@once_per_database
@pytest.mark.parametrize("way", ["commit", "rollback", "close"])
def test_the_session_of_a_task_is_ended_by_its_block_alone(make_queue: MakeQueue, way: str) -> None:
    queue = make_queue(error="dead")

    def meddle(ctx: TaskContext) -> None:
        with ctx.transaction() as session:
            getattr(session, way)()

    queue.create_item(tasks.step(meddle))

    Runner(queue).run_all()

    (dead,) = queue.dead_items()
    assert dead.error.startswith("NotSupported: ")


@once_per_database
def test_a_lease_that_the_task_lost_elsewhere_is_a_failure_of_the_task(
    make_queue: MakeQueue, other_of: OtherOf
) -> None:
    queue, elsewhere = make_queue("here", error="dead"), make_queue("there")
    elsewhere.create_item("x")
    zombie = elsewhere.claim_item()
    assert zombie is not None
    other_of(elsewhere).steal_item()

    def lose(ctx: TaskContext) -> None:
        with ctx.transaction():
            raise LeaseLost("as another queue would")

    queue.create_item(tasks.step(lose))

    Runner(queue).run_all()

    assert [dead.error for dead in queue.dead_items()] == ["LeaseLost: as another queue would"]


# --- engines ---


@only_servers
def test_an_engine_in_autocommit_is_refused_where_a_transaction_is_promised(
    make_service: MakeService, backend: Backend, make_engine: Callable[..., Engine]
) -> None:
    engine = make_engine(isolation_level="AUTOCOMMIT")
    queue = make_service(engine).create(backend.type, "jobs", error="dead")
    queue.create_item(Task(tasks.finish_in_transaction))

    Runner(queue).run_all()

    assert "autocommit" in queue.dead_items()[0].error
    with engine.connect() as connection, pytest.raises(ConfigurationError, match="autocommit"):
        queue.create_item("x", session=connection)


@only_sql
def test_a_pool_of_one_connection_is_refused_by_a_runner(
    make_service: MakeService, backend: Backend, make_engine: Callable[..., Engine]
) -> None:
    queue = make_service(make_engine(pool_size=1, max_overflow=0)).create(backend.type, "jobs")
    queue.enqueue(tasks.note, 1)

    with pytest.raises(ConfigurationError, match="pool_size=3"):
        Runner(queue).run_all()

    assert queue.get_statistic("ready") == 1


@once_per_database
def test_a_scoped_session_joins_as_its_session_does(queue: BatchQueue, service: QueueService) -> None:
    session = scoped_session(sessionmaker(service.engine))
    queue.create_item("undone", session=session)  # type: ignore[arg-type]
    session.rollback()
    queue.create_item("kept", session=session)  # type: ignore[arg-type]
    session.commit()
    session.remove()

    assert [item.data for item in queue.items()] == ["kept"]


# --- sources that use queues ---


@only_sql
def test_a_source_that_changes_queues_neither_loses_nor_half_stores(make_queue: MakeQueue, backend: Backend) -> None:
    source, target = make_queue("source", batch_limit=100), make_queue("target")
    source.create_items(range(1500))

    def drain() -> Iterator[Any]:
        while items := source.claim_items(100):
            for item in items:
                yield item.data
                source.delete_item(item)
        raise ValueError("in the end")

    with target.hold(), pytest.raises((ValueError, NotSupported)):
        target.create_items(drain())

    assert target.number_of_items() == 0
    if backend.database == "sqlite":
        assert source.number_of_items() >= 500  # refused as soon as the store was under way


# --- what was leased ahead behind a long task ---


def test_a_long_task_does_not_keep_its_neighbours(
    make_service: MakeService, backend: Backend, other_of: OtherOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskqueue.execution.holding._PATIENT", 0.2)
    service = make_service(lease_slice=2.0, heartbeat=0.1)
    queue = service.create(backend.type, "jobs")
    waiting: list[bool] = []

    def last_long(ctx: TaskContext) -> None:
        other = other_of(ctx.queue)
        waiting.append(tasks.until(lambda: other.get_statistic("leased") == 1))

    for number in range(20):
        queue.enqueue(tasks.note, number)
    queue.create_item(tasks.step(last_long))
    for number in range(20):
        queue.enqueue(tasks.note, number)

    result = Runner(queue).run_all()

    assert waiting == [True]
    assert result
    assert result.completed == 41


# --- damaged rows ---


def _damage(service: QueueService, statement: str) -> None:
    with service.engine.begin() as connection:
        connection.execute(text(statement))


@only_sql
def test_an_item_with_a_time_beyond_all_calendars_is_executed(
    queue: BatchQueue, service: QueueService, effects: list[int]
) -> None:
    queue.enqueue(tasks.note, 1)
    _damage(service, f"UPDATE taskqueue_item SET submit_time = {2**62}")

    assert Runner(queue).run_all()
    assert effects == [1]


@only_sql
@pytest.mark.parametrize("options", ["nojson", "[]", '{"lease_time": "abc"}', '{"batch_limit": null}'])
def test_a_damaged_registration_is_named(
    queue: BatchQueue, service: QueueService, make_service: MakeService, options: str
) -> None:
    with service.engine.begin() as connection:
        connection.execute(text("UPDATE taskqueue_queue SET options = :options"), {"options": options})

    with pytest.raises(DatabaseError, match="the registration of queue 'jobs' is damaged"):
        make_service().load("jobs")


@only_sql
def test_options_of_a_newer_release_are_left_alone(
    queue: BatchQueue, service: QueueService, make_service: MakeService
) -> None:
    _damage(service, """UPDATE taskqueue_queue SET options = '{"retry_limit": 3, "of_tomorrow": 1}'""")

    assert make_service().load("jobs").spec.retry_limit == 3


# --- others ---


def test_a_letter_is_revived_once_however_many_try(queue: BatchQueue) -> None:
    queue.create_item("x")
    item = queue.claim_item()
    assert item is not None
    queue.settle([item], bury("dead"))
    barrier, revived = threading.Barrier(4), []

    def revive() -> None:
        barrier.wait()
        revived.append(queue.revive_items([item.id]))

    threads = [threading.Thread(target=revive) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(revived) == [0, 0, 0, 1]
    assert queue.number_of_items() == 1


def test_a_template_takes_no_items(make_queue: MakeQueue) -> None:
    template = make_queue("pattern", is_template=True)

    with pytest.raises(NotSupported, match="is a template"):
        template.create_item("x")


@pytest.mark.parametrize("title", [{"fail": True}, [1], ("a",), b"x", 7])
def test_keyword_arguments_in_the_place_of_the_title_are_refused(title: Any) -> None:
    with pytest.raises(SpecError, match="title must be text"):
        Task(tasks.note, [1], title)


def test_a_hook_may_grant_further_attempts(make_queue: MakeQueue, effects: list[str]) -> None:
    queue = make_queue(error="abort")
    queue.enqueue(tasks.fail)
    asked: list[Outcome] = []

    def grant(_queue: BatchQueue, item: Any, outcome: Outcome, exception: Any) -> str | None:
        asked.append(outcome)
        return "retry" if len(asked) < 3 else None

    with signals.task_error.connected_to(grant, queue):
        result = Runner(queue).run_all()

    assert not result
    assert effects == ["attempt 1", "attempt 2", "attempt 3"]
