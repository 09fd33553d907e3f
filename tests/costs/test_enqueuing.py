"""What it costs to put items into a queue: alone one statement and one commit each; many at a time one commit in all,
and two statements for a thousand of them, which are sent before the next thousand is asked for."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Iterator

import pytest

from taskqueue import QueueService, Task
from tests.costs.meters import Counted, Meter
from tests.costs.tasks import nothing
from tests.servers import ALL_DATABASES

ONE_BY_ONE, IN_BULK, PART = 200, 10_000, 1000
#: The text in each of them: together they are several times as much as a part may take.
LENGTH = 1000

each_database = pytest.mark.parametrize("database_url", ALL_DATABASES, indirect=True)
each_type = pytest.mark.parametrize("type_name", ["Sql", "SqlParallel"])


@each_database
@each_type
@pytest.mark.parametrize("options", [{}, {"delay": 60}, {"weight": 5}], ids=["now", "later", "weighty"])
def test_given_items_one_by_one_when_they_are_stored_then_each_costs_one_statement_and_one_commit(
    service: QueueService, meter: Meter, type_name: str, options: dict[str, int]
) -> None:
    queue = service.create(type_name, "mail")
    queue.enqueue(nothing)

    counted, seconds = cost(meter, lambda: [queue.enqueue(nothing, **options) for _ in range(ONE_BY_ONE)])

    assert ONE_BY_ONE <= counted.statements <= ONE_BY_ONE + changes_of_connection(seconds)
    assert ONE_BY_ONE <= counted.commits <= 1.02 * ONE_BY_ONE + own_writes(seconds)


@each_database
@each_type
def test_given_a_session_of_the_application_when_items_join_it_then_each_costs_one_statement_and_no_commit(
    service: QueueService, meter: Meter, type_name: str
) -> None:
    queue = service.create(type_name, "mail")
    queue.enqueue(nothing)
    with service.engine.connect() as connection:
        queue.create_item(Task(nothing), session=connection)  # which begins its transaction

        counted, seconds = cost(
            meter, lambda: [queue.create_item(Task(nothing), session=connection) for _ in range(ONE_BY_ONE)]
        )

        connection.commit()
    assert counted.statements == ONE_BY_ONE
    assert counted.commits <= 0.02 * ONE_BY_ONE + own_writes(seconds)


@each_database
@each_type
def test_given_many_items_at_once_when_they_are_stored_then_each_thousand_is_sent_before_the_next_is_asked_for(
    service: QueueService, meter: Meter, type_name: str
) -> None:
    queue = service.create(type_name, "mail")
    queue.enqueue(nothing)
    sent, kept = [], []

    def source() -> Iterator[Task]:
        for number in range(IN_BULK):
            if number % PART == 0:
                sent.append(meter.read().statements)
                kept.append(tracemalloc.get_traced_memory()[0])
            yield Task(nothing, (f"{number:0{LENGTH}}",))

    tracemalloc.start()
    try:
        assert queue.create_items(source()) == IN_BULK
    finally:
        tracemalloc.stop()

    assert sent == sorted(set(sent))  # more each time
    assert max(kept[2:]) < kept[2] + 2 * LENGTH * PART


@each_database
@each_type
def test_given_many_items_at_once_when_they_are_stored_then_that_is_one_commit_and_two_statements_for_a_thousand(
    service: QueueService, meter: Meter, type_name: str
) -> None:
    queue = service.create(type_name, "mail")
    queue.enqueue(nothing)

    counted, seconds = cost(meter, lambda: queue.create_items(Task(nothing) for _ in range(IN_BULK)))

    parts = IN_BULK / PART
    # SQLite takes fifty rows a statement, which is no round trip.
    shares = IN_BULK / 50 if service.database.dialect.name == "sqlite" else 0
    assert counted.statements <= shares + 2 * parts + 5
    assert 1 <= counted.commits <= parts / 2 + own_writes(seconds)


def cost(meter: Meter, store: Callable[[], object]) -> tuple[Counted, float]:
    """What it takes to store items, and how many seconds."""
    before, began = meter.read(), time.monotonic()
    store()
    return meter.read() - before, time.monotonic() - began


def changes_of_connection(seconds: float) -> float:
    """A connection that was in use for a second is looked at by its pool: some statements more."""
    return 5 * seconds


def own_writes(seconds: float) -> float:
    """MariaDB stores statistics by itself, of tables that had changed much before."""
    return 2 + seconds / 10
