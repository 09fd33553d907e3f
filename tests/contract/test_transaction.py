"""Tasks whose writes and whose completion commit together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import Column, MetaData, String, Table, create_engine, select

from taskqueue import BatchQueue, LeaseLost, NotSupported, Outcome, QueueItem, Runner, TaskContext, signals
from tests.contract import tasks
from tests.contract.backends import Backend, only_memory, only_servers, only_sql
from tests.contract.conftest import MakeQueue, MakeService

notes = Table("contract_notes", MetaData(), Column("text", String(50)), mysql_engine="InnoDB")


class Notes:
    """A table of the application's own."""

    def __init__(self, url: str) -> None:
        self.engine = create_engine(url)
        notes.metadata.create_all(self.engine)

    def read(self) -> list[str]:
        with self.engine.connect() as connection:
            return sorted(connection.scalars(select(notes.c.text)))

    def close(self) -> None:
        notes.metadata.drop_all(self.engine)
        self.engine.dispose()


@pytest.fixture
def written(backend: Backend) -> Iterator[Notes]:
    """What the tasks have written, as others see it."""
    table = Notes(backend.url)
    yield table
    table.close()


def write(session: Any, text: str = "written") -> None:
    session.execute(notes.insert().values(text=text))


@only_sql
def test_the_writes_of_a_task_and_its_completion_are_one(queue: BatchQueue, written: Notes) -> None:
    seen: list[Any] = []

    def work(ctx: TaskContext) -> None:
        with ctx.transaction() as session:
            write(session)
            seen.append((written.read(), queue.number_of_items()))
        seen.append((written.read(), queue.number_of_items()))

    item = queue.create_item(tasks.step(work))

    result = Runner(queue).run_all()

    assert result
    assert result.completed == 1
    assert seen == [([], 1), (["written"], 0)]
    assert queue.outcome_of(item.id) == "ok"


@only_sql
def test_an_exception_inside_rolls_everything_back(make_queue: MakeQueue, written: Notes, effects: list[int]) -> None:
    queue = make_queue(retry_limit=1)

    def work(ctx: TaskContext) -> None:
        tasks.effects.append(ctx.attempt)
        with ctx.transaction() as session:
            write(session, f"attempt {ctx.attempt}")
            if ctx.attempt == 1:
                raise OSError("no paper")

    queue.create_item(tasks.step(work))

    assert Runner(queue).run_all()
    assert effects == [1, 2]
    assert written.read() == ["attempt 2"]


@only_sql
def test_an_exception_afterwards_undoes_nothing(queue: BatchQueue, written: Notes) -> None:
    def work(ctx: TaskContext) -> None:
        with ctx.transaction() as session:
            write(session)
        raise OSError("too late")

    queue.create_item(tasks.step(work))

    result = Runner(queue).run_all()

    assert (result.completed, result.failed) == (1, 0)
    assert written.read() == ["written"]


@only_sql
def test_a_task_that_lost_its_item_before_writes_nothing(queue: BatchQueue, other: BatchQueue, written: Notes) -> None:
    caught: list[BaseException] = []

    def work(ctx: TaskContext) -> None:
        other.steal_item()
        try:
            with ctx.transaction() as session:
                write(session)
        except LeaseLost as error:
            caught.append(error)
            raise

    queue.create_item(tasks.step(work))

    result = Runner(queue).run_all(wait=0)

    assert len(caught) == 1
    assert written.read() == []
    assert (result.completed, result.failed, result.number_of_items) == (0, 0, 1)
    assert queue.status == "active"


@only_servers  # on SQLite the write lock is the lease: nobody can steal meanwhile
def test_a_task_that_loses_its_item_meanwhile_writes_nothing(
    queue: BatchQueue, other: BatchQueue, written: Notes
) -> None:
    heard: list[Outcome] = []

    def listen(sender: BatchQueue, item: QueueItem, outcome: Outcome, exception: object, **facts: Any) -> None:
        heard.append(outcome)

    def work(ctx: TaskContext) -> None:
        with ctx.transaction() as session:
            write(session)
            other.steal_item()

    queue.create_item(tasks.step(work))

    with signals.item_finished.connected_to(listen, queue):
        Runner(queue).run_all(wait=0)

    assert heard == [Outcome.LEASE_LOST]
    assert written.read() == []
    assert other.statistics()["leased"] == 1


@only_sql
@pytest.mark.parametrize("fails", [False, True], ids=["committed", "rolled back"])
def test_items_that_are_added_inside_join_it(
    queue: BatchQueue, other: BatchQueue, effects: list[str], fails: bool
) -> None:
    def work(ctx: TaskContext) -> None:
        with ctx.transaction():
            ctx.queue.enqueue(tasks.note, "one", weight=-1)
            ctx.queue.create_items([tasks.step(lambda ctx: tasks.effects.append("two"))])
            assert other.number_of_items() == 1
            if fails:
                raise OSError("no paper")

    queue.create_item(tasks.step(work))

    result = Runner(queue).run_all()

    assert effects == ([] if fails else ["one", "two"])
    assert result.number_of_items == int(fails)


@only_sql
def test_it_is_opened_once_per_task(queue: BatchQueue, written: Notes, effects: list[str]) -> None:
    def work(ctx: TaskContext) -> None:
        with ctx.transaction() as session:
            write(session)
        try:
            with ctx.transaction() as session:
                write(session, "again")
        except NotSupported as error:
            tasks.effects.append(str(error))

    queue.create_item(tasks.step(work))

    assert Runner(queue).run_all().completed == 1
    assert len(effects) == 1
    assert "once per task" in effects[0]
    assert written.read() == ["written"]


@only_sql
def test_it_may_last_longer_than_several_beats_and_slices(
    make_service: MakeService, backend: Backend, written: Notes
) -> None:
    service = make_service(lease_slice=0.2, heartbeat=0.05)
    queue = service.create(backend.type, "jobs")

    def work(ctx: TaskContext) -> None:
        with ctx.transaction() as session:
            write(session)
            tasks.last(0.4)
            ctx.report(1)

    queue.create_item(tasks.step(work))

    result = Runner(queue).run_all()

    assert result.completed == 1
    assert written.read() == ["written"]


@only_sql
def test_others_wait_for_their_turn_and_lose_nothing(
    queue: BatchQueue, other_of: Callable[[BatchQueue], BatchQueue], written: Notes
) -> None:
    other = other_of(queue)
    added: list[bool] = []

    def add() -> None:
        other.create_item("from elsewhere", weight=9, delay=60)
        added.append(True)

    def work(ctx: TaskContext) -> None:
        with ctx.transaction() as session:
            write(session)
            thread.start()
            tasks.last(0.05)

    thread = Thread(target=add)
    queue.create_item(tasks.step(work))

    result = Runner(queue).run_all(wait=0)
    thread.join(20)

    assert result.completed == 1
    assert added == [True]
    assert written.read() == ["written"]
    assert [item.data for item in queue.items()] == ["from elsewhere"]


@only_memory
def test_memory_has_no_transactions(make_queue: MakeQueue) -> None:
    queue = make_queue()

    def work(ctx: TaskContext) -> None:
        with ctx.transaction():
            pass

    queue.create_item(tasks.step(work))

    result = Runner(queue).run_all()

    assert isinstance(result.exception, NotSupported)
    assert "use type Sql" in str(result.exception)


@only_sql
def test_an_end_has_no_item_to_complete(queue: BatchQueue) -> None:
    result = Runner(queue, on_end=tasks.finish_in_transaction).run_all()

    assert isinstance(result.exception, NotSupported)
