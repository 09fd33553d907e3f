"""What is claimed to be executed is unpacked in a row, as long as that is little."""

from __future__ import annotations

import pytest

from taskqueue import QueueItem, QueueService, Runner
from taskqueue.queues.sql_base import SqlBase
from tests.costs.tasks import nothing
from tests.servers import ALL_DATABASES

each_database = pytest.mark.parametrize("database_url", ALL_DATABASES, indirect=True)
each_type = pytest.mark.parametrize("type_name", ["Sql", "SqlParallel"])
NUMBER = 20


def is_read(item: QueueItem) -> bool:
    return "data" in vars(item)


@each_database
@each_type
@pytest.mark.parametrize(("length", "is_ahead"), [(1_000, True), (10_000, False)])
def test_given_items_when_leased_to_be_executed_then_little_is_unpacked_at_once_and_much_is_not(
    service: QueueService, type_name: str, length: int, is_ahead: bool
) -> None:
    queue: SqlBase = service.create(type_name, "mail")  # type: ignore[assignment]
    queue.create_items("x" * length for _ in range(NUMBER))

    items, _is_active = queue.lease_to_execute(NUMBER, 60_000)

    assert [is_read(item) for item in items] == [is_ahead] * NUMBER
    assert all(len(item.data) == length for item in items)
    queue.delete_items(items)


@each_database
@each_type
def test_given_an_item_that_cannot_be_read_when_it_is_leased_with_others_then_those_run_and_it_is_a_dead_letter(
    service: QueueService, type_name: str
) -> None:
    queue: SqlBase = service.create(type_name, "mail", error="dead")  # type: ignore[assignment]
    items = [queue.enqueue(nothing) for _ in range(NUMBER)]
    broken = items[NUMBER // 2]
    queue.database.statement(
        lambda tx: tx.change("UPDATE {item} SET data = :data WHERE id = :id", data='{"v":1,"call', id=broken.id)
    )

    result = Runner(queue).run_all()

    assert (result.completed, result.failed) == (NUMBER - 1, 1)
    assert [letter.id for letter in queue.dead_letters()] == [broken.id]
