"""Keys that are free again as soon as their item is started."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from taskqueue import BatchQueue, QueueItem, Runner, SpecError, TaskContext
from tests.contract import tasks
from tests.contract.backends import only_parallel
from tests.contract.conftest import MakeQueue
from tests.contract.test_races import at_once


def add(queue: BatchQueue, data: object = "x", weight: int = 0) -> QueueItem:
    """Put an item into the queue whose key counts until it is started."""
    return queue.create_item(data, dedup_key="k", unique_until="started", weight=weight)


def test_while_it_waits_an_item_is_unique(queue: BatchQueue, other: BatchQueue) -> None:
    first = add(queue, "first")

    assert add(other, "second") == first
    assert queue.create_item("third", dedup_key="k") == first  # whatever the second one would promise
    assert queue.number_of_items() == 1


def test_a_claimed_item_has_freed_its_key(queue: BatchQueue, other: BatchQueue) -> None:
    first = add(queue)
    claimed = queue.claim_item()
    assert claimed is not None and claimed.id == first.id

    second = add(other, "second")

    assert second.id != first.id
    assert queue.number_of_items() == 2
    queue.delete_item(claimed)
    assert add(queue) == second  # whose key the end of the first has not touched


def test_of_many_claimed_at_once_each_keeps_its_own_promise(make_queue: MakeQueue) -> None:
    queue = make_queue(batch_limit=3)
    queue.create_item("plain")
    finished = queue.create_item("a", dedup_key="finished")
    started = queue.create_item("b", dedup_key="started", unique_until="started")

    assert len(queue.claim_items(3)) == 3

    assert queue.create_item("c", dedup_key="finished").id == finished.id
    assert queue.create_item("d", dedup_key="started").id != started.id


def test_a_stolen_item_has_freed_its_key(queue: BatchQueue) -> None:
    first = add(queue)

    stolen = queue.steal_item()

    assert stolen is not None and stolen.id == first.id
    assert add(queue).id != first.id


@pytest.mark.parametrize("give_back", ["release_item", "relinquish_items"])
def test_an_item_that_was_given_back_does_not_take_its_key_again(queue: BatchQueue, give_back: str) -> None:
    first = add(queue)
    claimed = queue.claim_item()
    assert claimed is not None
    second = add(queue, weight=1)

    getattr(queue, give_back)(claimed if give_back == "release_item" else [claimed])

    assert queue.number_of_items() == 2
    again = queue.claim_item()
    assert again is not None and again.id == first.id
    assert add(queue).id == second.id


def test_a_task_may_queue_its_successor(queue: BatchQueue, effects: list[int]) -> None:
    def work(ctx: TaskContext) -> None:
        effects.append(len(effects))
        if len(effects) < 3:
            ctx.queue.create_item(task, dedup_key="k", unique_until="started")
            ctx.queue.create_item(task, dedup_key="k", unique_until="started")  # one is enough

    task = tasks.step(work)
    queue.create_item(task, dedup_key="k", unique_until="started")

    assert Runner(queue).run_all()
    assert effects == [0, 1, 2]


@only_parallel
def test_whoever_adds_and_claims_at_once_at_most_one_waits(
    queue: BatchQueue, other_of: Callable[[BatchQueue], BatchQueue]
) -> None:
    queues = [queue, other_of(queue), queue, other_of(queue)]

    def work(number: int) -> list[int]:
        seen = []
        for _ in range(10):
            seen.append(add(queues[number]).id)
            if number % 2:
                queues[number].claim_item()
        return seen

    seen = at_once(4, work)

    counts = queue.statistics()
    assert counts["ready"] <= 1
    assert counts["total"] == len({item_id for part in seen for item_id in part})  # type: ignore[attr-defined]


def test_a_promise_that_nobody_knows_is_refused(queue: BatchQueue) -> None:
    with pytest.raises(SpecError, match="unique_until must be 'started' or 'finished', not 'begun'"):
        queue.create_item("a", dedup_key="k", unique_until="begun")
    with pytest.raises(SpecError, match="give dedup_key as well"):
        queue.create_item("a", unique_until="started")

    assert queue.number_of_items() == 0
