"""What a database goes through for a step: the same whether two hundred items stand in the queue, twenty thousand, or
five thousand before them that are leased or delayed."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from taskqueue import BatchQueue
from taskqueue.execution.holding import Holding
from taskqueue.queues.settlement import DONE
from tests.costs.stands import BIG_ONES, MANY, MOST, SLACK, Stand, Stands
from tests.costs.tasks import nothing

#: So many items are claimed, and half of them finished; so many are held when the heart beats.
CLAIMED, HELD = 10, 100
#: A statement may be executed in another way once it was prepared, which PostgreSQL's driver does at the sixth time.
TIMES = 8
_keys = itertools.count()

each_stand = pytest.mark.parametrize("stand", BIG_ONES, ids=str)


@each_stand
def test_given_much_in_a_queue_when_a_step_is_taken_then_no_more_is_examined_than_where_there_is_little(
    stands: Stands, stand: Stand
) -> None:
    few = _steps(stands, stands.small(stand))

    many = _steps(stands, stands.queues[stand])

    dialect = stands.service.database.dialect.name
    assert {step: cost for step, cost in many.items() if cost > few[step] + SLACK[dialect]} == {}
    assert {step: cost for step, cost in many.items() if cost > MOST[dialect]} == {}


@each_stand
def test_given_much_in_a_queue_when_the_heart_beats_then_only_what_is_held_is_examined(
    stands: Stands, stand: Stand
) -> None:
    few = _beat(stands, stands.small(stand))

    many = _beat(stands, stands.queues[stand])

    dialect = stands.service.database.dialect.name
    assert many <= few + SLACK[dialect]
    assert many <= MOST[dialect] * HELD / 10


@pytest.mark.parametrize("stand", BIG_ONES[:2], ids=str)
def test_given_much_in_a_queue_when_it_is_counted_then_that_is_seen(stands: Stands, stand: Stand) -> None:
    queue, small = stands.queues[stand], stands.small(stand)
    for one in (small, queue):
        one.number_of_items()

    assert stands.examined.by(queue.number_of_items) > MANY / 2
    assert stands.examined.by(queue.number_of_items) > 5 * stands.examined.by(small.number_of_items)


def _steps(stands: Stands, queue: BatchQueue) -> dict[str, int]:
    """By its name, the most that each step of an item's life lets the database go through."""
    most: dict[str, int] = {}

    def measure(step: str, work: Callable[[], object]) -> None:
        most[step] = max(most.get(step, 0), stands.examined.by(work))

    for _ in range(TIMES):
        items = []
        measure("claim", lambda: items.extend(queue.lease(CLAIMED, 60_000)))  # noqa: B023
        assert len(items) == CLAIMED
        half = CLAIMED // 2
        measure("look at a queue", queue.is_active)
        measure("look what goes first", lambda: queue.is_next(items[0]))  # noqa: B023
        measure("look for cancelled ones", lambda: queue.cancelled_among(items))  # noqa: B023
        measure("finish one", lambda: queue.settle(items[:1], DONE))  # noqa: B023
        measure("finish a group", lambda: queue.settle(items[1:half], DONE))  # noqa: B023
        measure("give back", lambda: queue.relinquish_items(items[half:]))  # noqa: B023
        measure("enqueue", lambda: queue.enqueue(nothing))
        measure("enqueue with a key", lambda: queue.create_item(1, dedup_key=f"new {next(_keys)}"))
        measure("enqueue with a key that is taken", lambda: queue.create_item(1, dedup_key="taken"))
        measure("see how long to wait", queue.wait)
    return most


def _beat(stands: Stands, queue: BatchQueue) -> int:
    with Holding(queue) as holding:
        items = holding.lease(HELD)
        assert len(items) == HELD and holding.begin(items[0])
        stands.service.database.last_beat = "", 0.0  # else it has just said that it is alive
        return stands.examined.by(holding._beat)
