"""A service on the application's own Engine, created with nothing but its URL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import Session

from taskqueue import BatchQueue, QueueService, Runner, Task, TaskContext
from tests.contract import tasks
from tests.contract.backends import Backend, only_sql
from tests.contract.conftest import MakeQueue, MakeService

pytestmark = only_sql
ENGINE_EVENTS = ("begin", "commit", "rollback", "savepoint", "engine_connect", "before_execute",
                 "before_cursor_execute", "after_cursor_execute")  # fmt: skip
POOL_EVENTS = ("connect", "first_connect", "checkout", "checkin", "reset", "invalidate", "close")


@pytest.fixture
def engine(backend: Backend, service: QueueService) -> Iterator[Engine]:
    """The application's engine; its pool must be empty at the end."""
    engine = create_engine(backend.url)
    yield engine
    assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    engine.dispose()


@pytest.fixture
def queue(make_service: MakeService, backend: Backend, engine: Engine) -> BatchQueue:
    """A queue of a service on that engine."""
    return make_service(engine).create(backend.type, "jobs", batch_limit=5, error="dead")


def listeners(engine: Engine) -> dict[str, int]:
    """How many listeners stand on each event."""
    found = {name: len(list(getattr(engine.dispatch, name))) for name in ENGINE_EVENTS}
    return found | {name: len(list(getattr(engine.pool.dispatch, name))) for name in POOL_EVENTS}


def use(queue: BatchQueue) -> None:
    """A little of everything."""
    queue.create_items(range(3))
    queue.create_item("k", dedup_key="k", delay=60)
    first, *rest = queue.claim_items(3)
    queue.extend_lease(first)
    queue.release_items(rest, 60)
    queue.delete_item(first)
    assert queue.steal_item() is not None
    assert queue.statistics()["total"] == 3
    queue.reset()


def test_everything_works_on_the_engine_of_an_application(
    queue: BatchQueue, engine: Engine, effects: list[Any]
) -> None:
    def work(ctx: TaskContext) -> None:
        with ctx.transaction() as session:
            assert session.get_bind() is engine
            ctx.queue.enqueue(tasks.note, "added inside")

    use(queue)
    queue.create_item(tasks.step(work))
    queue.enqueue(tasks.fail)
    with Session(engine) as session:
        queue.create_item(Task(tasks.note, ("joined",)), session=session)
        session.commit()

    result = Runner(queue).run_all()

    assert (result.completed, result.failed) == (3, 1)
    assert sorted(effects) == ["added inside", "attempt 1", "joined"]
    assert queue.get_statistic("dead") == 1


def test_the_engine_gets_no_listeners(make_service: MakeService, backend: Backend, engine: Engine) -> None:
    with engine.connect():  # SQLAlchemy itself listens for the first one
        pass
    before = listeners(engine)

    use(make_service(engine).create(backend.type, "jobs", batch_limit=5))

    assert listeners(engine) == before


def test_all_connections_go_back_as_they_were(queue: BatchQueue, engine: Engine) -> None:
    use(queue)
    Runner(queue).run_all()

    assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    with engine.connect() as connection:
        assert connection.get_isolation_level() == connection.default_isolation_level
        connection.execute(text("CREATE TABLE contract_probe (x INTEGER)"))
        connection.commit()
        connection.execute(text("INSERT INTO contract_probe VALUES (1)"))
        connection.rollback()  # real transactions, no autocommit left behind
        assert connection.execute(text("SELECT COUNT(*) FROM contract_probe")).scalar() == 0
        connection.rollback()
        connection.execute(text("DROP TABLE contract_probe"))
        connection.commit()


def test_closing_the_service_leaves_the_engine_open(
    make_service: MakeService, backend: Backend, engine: Engine
) -> None:
    service = make_service(engine)
    service.create(backend.type, "jobs").create_item("a")
    pool = engine.pool

    service.close()

    assert engine.pool is pool
    assert service.load("jobs").number_of_items() == 1


def test_a_service_of_its_own_sees_the_same_queue(queue: BatchQueue, make_queue: MakeQueue) -> None:
    queue.create_item("a")

    assert make_queue(batch_limit=5, error="dead").number_of_items() == 1


def test_an_engine_that_begins_its_transactions_itself_works_too(
    make_service: MakeService, backend: Backend, service: QueueService
) -> None:
    use(make_service(service.engine).create(backend.type, "jobs", batch_limit=5))
